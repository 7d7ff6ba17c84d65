"""The planner when things go wrong around it: other studies, full memory, lost nodes, unreachable stores, budgets."""

from __future__ import annotations

import json

import pytest
from test_planner import Workers, stage_of, study_of

from search import planner as planner_module
from search.settings import load_settings
from search.study import Study
from trainables.stage import WEIGHTS


class Others:
    """Stands for the watcher: what is told of each stage that another study holds."""

    def __init__(self, told):
        self.told, self.asked = told, []

    def look(self, key, holder):
        self.asked.append((key, holder))
        return self.told(key)


def held(stage, attempt):
    return {"held": "elsewhere:1"} if attempt == 1 else None


@pytest.fixture
def study(world):
    return study_of(world)


def undisturbed(world):
    return Workers(study_of(world, store=str(world.folder / "other"))).run().rows


# --- other studies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
def test_a_stage_that_another_study_makes_is_waited_for_and_taken(world, study, number):
    workers = Workers(study, number, trouble=held)
    planner = workers.plan()
    first = next(iter(planner.stages))

    def told(key):
        if sum(key == one for one, _ in others.asked) < 3:
            return "held"
        stage = planner.stages[key][0]
        result = Workers(study).result(stage)  # made by the other study
        return "stored" if "error" not in result else "over"

    others = planner._watcher = Others(told)
    workers.run(planner)
    assert planner.finished
    assert planner.rows == undisturbed(world)
    assert {key for key, _ in others.asked} == set(planner.stages)
    assert not planner.done[first].made
    assert planner.cost_summary()["stages_executed"] == 0
    assert set(workers.tried.values()) == {1}, "a stage that another study makes was tried again"


def test_a_stage_whose_holder_is_gone_is_taken_over(world, study):
    workers = Workers(study, 2, trouble=held)
    planner = workers.plan()
    planner._watcher = Others(lambda key: "over")
    workers.run(planner)
    assert planner.rows == undisturbed(world)
    assert set(workers.tried.values()) == {2}
    assert {planner.attempt(key).over for key in planner.stages} == {"elsewhere:1"}
    assert planner.attempt(next(iter(planner.stages))).number == 1, "it was no failure of ours"


def test_while_one_is_held_others_are_run(study):
    workers = Workers(study)
    planner = workers.plan()
    path = planner.take()
    planner.report({"key": path[0].key, "kind": path[0].kind, "worker": "w", "held": "elsewhere:1"})
    planner.give_back([stage.key for stage in path[1:]])
    planner._watcher = Others(lambda key: "held")
    assert planner.counts()["held"] == 1
    while path := planner.take():
        for stage in path:
            planner.report(workers.result(stage))
    assert planner.held
    assert not planner.finished
    assert planner.counts()["waiting"] + 1 == planner.tree.remaining


# --- memory, nodes, the store -----------------------------------------------------------------------------------------


def test_full_memory_is_tried_with_half_the_batch(study):
    workers = Workers(study, trouble=lambda stage, attempt: {"error": "full", "oom": True} if attempt < 3 else None)
    planner = workers.plan()
    key = stage_of(planner, "pairs #0", "train").key
    workers.run(planner)
    assert planner.attempt(key).split == 4
    assert not planner.failed
    retries = [about for event, about in workers.events if event == "retry" and about["label"] == "pairs #0"]
    assert [about["split"] for about in retries[:2]] == [2, 4]


def test_a_lost_node_costs_no_attempt(study):
    planner = Workers(study).plan()
    for number in range(5):
        (stage, *rest) = planner.take()
        planner.lost(stage.key, "its node was lost", "node", f"gone:{number}")
        planner.give_back([one.key for one in rest])
    assert not planner.failed
    assert not planner.quarantined
    assert planner.cost_summary()["failures"] == 5


def test_what_failed_three_times_is_quarantined_with_its_log(study):
    label = "pairs #0"
    workers = Workers(
        study,
        trouble=lambda stage, attempt: (
            {"error": "boom", "trace": f"line {attempt}"}
            if stage.kind == "train" and stage.tasks == ("pairs",) and stage.parent is None
            else None
        ),
    )
    planner = workers.run()
    assert planner.finished
    key = stage_of(planner, label, "train").key
    assert planner.quarantined[key] == "boom (3 attempts)"
    assert [one["trace"] for one in planner.tries.told(key)] == ["line 1", "line 2", "line 3"]
    assert [about["label"] for event, about in workers.events if event == "quarantined"].count(label) == 1
    assert planner.counts()["failed"] == len(planner.quarantined)


def test_a_store_that_workers_cannot_reach_stops_the_study_and_blames_no_stage(study):
    workers = Workers(study, trouble=lambda stage, attempt: {"trouble": "disk full"})
    planner = workers.run()
    assert planner.stopped == "disk full"
    assert not planner.finished
    assert not planner.failed
    assert planner.take() == []
    assert sum(workers.tried.values()) == planner_module.TROUBLES


def test_a_store_that_comes_back_stops_nothing(study):
    seen = []

    def sometimes(stage, attempt):
        seen.append(stage)
        return {"trouble": "disk full"} if len(seen) % 3 == 0 else None

    planner = Workers(study, trouble=sometimes).run()
    assert planner.finished
    assert not planner.stopped


def test_a_stopped_study_gives_nothing_out_and_goes_on_the_next_time(world, study):
    workers = Workers(study)
    planner = workers.plan()
    for stage in planner.take():
        planner.report(workers.result(stage))
    planner.stop("by hand")
    planner.stop("later")
    assert (planner.stopped, planner.take(), planner.idle, planner.finished) == ("by hand", [], True, False)
    again = Workers(study_of(world)).run()
    assert again.rows == undisturbed(world)


# --- the store's budget -----------------------------------------------------------------------------------------------


def budgeted(world, budget, **more):
    flags = {
        "suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out),
        "store_budget": budget,
    }  # fmt: skip
    return Study(*load_settings(flags, more))


SIZE = 100_000


class Heavy(Workers):
    """Train stages of 100 kB."""

    def result(self, stage):
        self.weights = b"w" * SIZE
        return {**super().result(stage), "bytes": SIZE if stage.kind == "train" else 0}


@pytest.mark.parametrize("number", [1, 3])
def test_a_study_of_ten_times_the_budget_has_the_same_results(world, number):
    study = budgeted(world, 2 * SIZE, seeds=4)
    workers = Heavy(study, number)
    planner = workers.run()
    trained = [key for key, (stage, _) in planner.stages.items() if stage.kind == "train"]
    assert len(trained) >= 10 * 2
    assert planner.rows == Workers(study_of(world, store=str(world.folder / "other"), seeds=4)).run().rows
    assert planner.collector.collected
    kept = [key for key in trained if workers.store.has(key)]
    assert len(kept) <= 2
    assert set(workers.tried.values()) == {1}, "nothing was made twice: what is removed is what nobody waits for"
    assert planner.collector.most <= (2 + number + 3) * SIZE, planner.collector.most / SIZE
    events = [about for event, about in workers.events if event == "collected"]
    assert sum(about["bytes"] for about in events) > 0


def test_what_was_removed_is_made_again_for_a_new_study(world):
    workers = Heavy(budgeted(world, SIZE))
    workers.run()
    longer = Heavy(budgeted(world, SIZE, **{"train": {"target_steps": 7}}))
    planner = longer.run()
    assert planner.finished
    assert not planner.failed


def test_figures_of_removed_weights_are_kept(world):
    workers = Heavy(budgeted(world, SIZE))
    planner = workers.run()
    gone = [k for k, (stage, _) in planner.stages.items() if stage.kind == "train" and not workers.store.has(k)]
    assert gone
    for key in gone:
        assert workers.store.record(key)["collected"]
        folder = workers.folder(planner.stages[key][0])
        assert not list(folder.glob(f"{WEIGHTS}*"))
        assert json.loads((folder / "collected.json").read_text())["key"] == key


def test_without_a_budget_nothing_is_removed(study):
    workers = Heavy(study)
    planner = workers.run()
    assert all(workers.store.has(key) for key in planner.stages)
    assert not planner.collector.collected
