"""The planner without Ray: workers that fabricate results, in any order, over a real store."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from search import planner as planner_module
from search.planner import Planner
from search.settings import load_settings
from search.study import Study
from search.tries import ATTEMPTS
from trainables.stage import FORGETTING, PREDICTIONS, WEIGHTS
from trainables.store import Store


@pytest.fixture
def study(world):
    return study_of(world)


def study_of(world, **changed):
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    return Study(*load_settings(flags, changed))


def value_of(*parts):
    """A score in [0, 1) that depends on the words alone."""
    return int(hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8], 16) / 16**8


def scores_of(study, stage):
    target = stage.tasks[0]
    if stage.measure == FORGETTING:
        return [{"language": "en", "portion": FORGETTING, "metric": "accuracy", "value": value_of(stage.key),
                 "n": 10, "stderr": None, "main": True}]  # fmt: skip
    portions = [(code, portion) for code in study.grid[target] for portion in ("test", "search", "report")]
    portions += [("en", "dev")] if target != "links" else []
    return [
        {"language": code, "portion": portion, "metric": "accuracy", "value": value_of(stage.key, code, portion),
         "n": 10, "stderr": None, "main": True}
        for code, portion in portions
    ]  # fmt: skip


class Workers:
    """`number` workers that take paths from the planner and report, one stage at a time, in random order."""

    def __init__(self, study, number=1, seed=0, trouble=lambda stage, attempt: None):
        """`trouble` gives what goes wrong with a stage in an attempt: fields of its result, or None."""
        self.study, self.store = study, Store(study.settings.store_url)
        self._number, self._rng, self._trouble = number, random.Random(seed), trouble
        self.tried = Counter()
        self.weights = b"weights"
        self.events = []

    def plan(self):
        return Planner(self.study, self.store, lambda event, about: self.events.append((event, about)))

    def run(self, planner=None, most=5000):
        planner = planner or self.plan()
        paths = [[] for _ in range(self._number)]
        for _ in range(most):
            planner.look()
            if planner.idle:
                return planner
            own = self._rng.choice(paths)
            own += [] if own else planner.take()
            if own:
                result = self.result(own.pop(0))
                planner.report(result)
                if any(name in result for name in ("error", "held", "trouble")):
                    planner.give_back([stage.key for stage in own])
                    own.clear()
        raise AssertionError(f"not finished: {planner.counts()}")

    def result(self, stage):
        self.tried[stage.key] += 1
        about = {"key": stage.key, "kind": stage.kind, "worker": "w", "made": True, "seconds": 0.5, "parent": "store"}
        wrong = self._trouble(stage, self.tried[stage.key])
        if wrong:
            return {**about, **wrong}
        if self.store.has(stage.key):
            return {**about, "made": False}
        for key in filter(None, (stage.parent, stage.head_from)):
            if not self.store.has(key):
                return {**about, "error": "no weights", "missing": key, "fatal": False}
        if stage.kind == "train":
            self.store.put(stage.key, {}, {WEIGHTS: self.weights})
        else:
            self.store.put(stage.key, {"scores": scores_of(self.study, stage)}, {PREDICTIONS: b"predictions"})
        return about

    def names(self, event):
        return [about["name"] for heard, about in self.events if heard == event]

    def folder(self, stage):
        return Path(self.study.settings.store_url) / stage.key[:2] / stage.key


def stage_of(planner, label, kind="train"):
    return next(stage for stage, name in planner.stages.values() if name == label and stage.kind == kind)


# --- everything gets done ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strategy", ["exhaustive", "random"])
def test_every_run_completes(world, number, seed, strategy):
    study = study_of(world, strategy=strategy, seeds=2)
    workers = Workers(study, number, seed)
    planner = workers.run()
    assert len(planner.candidates) == study.space.size == 5
    assert sorted(workers.names("run")) == sorted(planner.runs)
    assert len(planner.runs) == 10
    cost = planner.cost_summary()
    assert cost["stages_executed"] == cost["stages_distinct"] == study.counts()["stages_distinct"]
    assert cost["stages_naive"] == study.counts()["stages_naive"]
    assert cost["stages_reused"] == 0
    assert set(workers.tried.values()) == {1}
    assert planner.campaign.strategy.state()["untold"] == []
    assert not planner.failed
    assert not planner.running


def test_results_do_not_depend_on_the_workers(world):
    tables = []
    for number in (1, 2, 7):
        study = study_of(world, store=str(world.folder / f"store{number}"))
        tables.append(Workers(study, number, seed=number).run().rows)
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 5 * 2 * (3 + 2)  # dev and test: the halves are for target-dev alone


def test_one_worker_completes_the_baselines_first(study):
    workers = Workers(study)
    planner = workers.run()
    orders = [planner.runs[name].candidate.order for name in workers.names("run")]
    assert [len(order.tasks) for order in orders] == [0] * 2 + [1] * 4 + [2] * 4


def test_few_open_runs_at_a_time(world, monkeypatch):
    monkeypatch.setattr(planner_module, "OPEN_RUNS", 4)
    study = study_of(world)
    workers = Workers(study, 2)
    planner = workers.plan()
    assert len(planner.candidates) == 2
    workers.run(planner)
    assert len(planner.candidates) == 5
    assert planner.cost_summary()["stages_executed"] == study.counts()["stages_distinct"]


def test_candidates_at_most(world):
    planner = Workers(study_of(world, candidates=3)).run()
    assert [str(candidate.order) for candidate in planner.candidates] == ["none", "pairs", "topics"]


def test_labels_tell_stages_apart(study):
    planner = Workers(study).run()
    labels = [f"{stage.kind} {label}" for stage, label in planner.stages.values()]
    assert len(labels) == len(set(labels))
    assert {"train pairs>topics #1", "train none | train tags #0", "score pairs | score links #0"} <= set(labels)


def test_standings_are_the_best_first(study):
    planner = Workers(study, 2).run()
    values = [score for _, score, _ in planner.standings()]
    assert values == sorted(values, reverse=True)
    assert {roots for _, _, roots in planner.standings()} == {2}


def test_the_strategy_is_told_what_the_objective_says(world):
    for objective, portion in (("en-dev", "dev"), ("target-dev", "search")):
        study = study_of(world, objective=objective, store=str(world.folder / objective))
        workers, told = Workers(study), {}
        planner = workers.plan()
        tell = planner.campaign.strategy.tell
        planner.campaign.strategy.tell = lambda candidate, value, roots, tell=tell, told=told: (
            told.__setitem__(candidate, value), tell(candidate, value, roots))  # fmt: skip
        workers.run(planner)
        assert len(told) == 5
        for candidate, value in told.items():
            rows = [row for row in planner.rows if row.candidate == candidate.name and row.portion == portion]
            by_target = [[row.value for row in rows if row.target == target] for target in ("tags", "links")]
            means = [sum(values) / len(values) for values in by_target if values]
            assert value == pytest.approx(sum(means) / len(means))


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_second_study_on_the_same_store_has_nothing_to_do(study):
    first = Workers(study, 3).run()
    second = Workers(study).plan()
    assert second.finished
    assert second.take() == []
    assert second.rows == first.rows
    assert second.cost_summary()["stages_executed"] == 0
    assert second.cost_summary()["stages_reused"] == first.cost_summary()["stages_distinct"]
    assert second.campaign.strategy.state()["untold"] == []


@pytest.mark.parametrize("stop", [1, 7, 20])
def test_a_study_that_was_stopped_goes_on(world, study, stop):
    workers = Workers(study, 3)
    with pytest.raises(AssertionError, match="not finished"):
        workers.run(most=stop)
    rest = Workers(study, 2)
    planner = rest.run()
    undisturbed = Workers(study_of(world, store=str(world.folder / "other"))).run()
    assert planner.rows == undisturbed.rows
    done = {key for key in workers.tried if workers.tried[key]}
    assert not done & set(rest.tried)  # what had ended was stored, and is not tried again
    assert planner.cost_summary()["stages_executed"] == study.counts()["stages_distinct"] - len(done)


def test_a_language_more_trains_nothing(world):
    Workers(study_of(world, languages=["de"])).run()
    planner = Workers(study_of(world)).run()
    assert {done.stage.kind for done in planner.done.values() if done.made} == {"score"}


def broken_json(folder):
    (folder / "record.json").write_text('{"scores": [')


def no_scores(folder):
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "scores": []}))


def other_scores(folder):
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "scores": [{"language": "en"}]}))


def broken_predictions(folder):
    next(folder.glob(f"{PREDICTIONS}-*")).write_bytes(b"other")


def no_predictions(folder):
    next(folder.glob(f"{PREDICTIONS}-*")).unlink()


@pytest.mark.parametrize("damage", [broken_json, no_scores, other_scores, broken_predictions, no_predictions])
def test_damaged_scores_are_made_again(study, damage):
    workers = Workers(study)
    first = workers.run()
    stage = stage_of(first, "pairs>topics | score tags #1", "score")
    damage(workers.folder(stage))
    again = Workers(study)
    planner = again.run()
    assert dict(again.tried) == {stage.key: 1}
    assert planner.rows == first.rows
    assert workers.store.verify(stage.key)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_stage_that_fails_is_tried_again(study):
    label = "pairs #1"
    key = stage_of(Planner(study, Store("memory://none")), label).key
    workers = Workers(study, 3, trouble=lambda stage, attempt: (
        {"error": "OSError: disk", "fatal": False} if stage.key == key and attempt < ATTEMPTS else None
    ))  # fmt: skip
    planner = workers.run()
    assert workers.tried[key] == ATTEMPTS
    assert not planner.failed
    retries = [about for event, about in workers.events if event == "retry"]
    assert [(about["label"], about["attempt"]) for about in retries] == [(label, 2), (label, 3)]
    assert len(planner.runs) == len(workers.names("run")) == 10


@pytest.mark.parametrize(("fatal", "attempts"), [(False, ATTEMPTS), (True, 1)])
@pytest.mark.parametrize("number", [1, 4])
def test_a_stage_that_cannot_be_made(study, fatal, attempts, number):
    key = stage_of(Planner(study, Store("memory://none")), "pairs #1").key
    workers = Workers(study, number, trouble=lambda stage, _: (
        {"error": "Diverged: loss is nan", "fatal": fatal} if stage.key == key else None
    ))  # fmt: skip
    planner = workers.run()
    lost = ["pairs full 0.001 #1", "pairs>topics full 0.001 #1"]
    assert workers.tried[key] == attempts
    assert sorted(planner.failed) == sorted(workers.names("failed")) == lost
    assert all("loss is nan" in reason and "pairs #1" in reason for reason in planner.failed.values())
    assert sorted(workers.names("run")) == sorted(set(planner.runs) - set(lost))
    assert {row.candidate for row in planner.rows if row.seed == 0} == {c.name for c in planner.candidates}
    assert not {row.candidate for row in planner.rows if row.seed == 1} & {name[:-3] for name in lost}
    assert planner.campaign.strategy.state()["untold"] == []


def test_a_target_that_cannot_be_scored_fails_its_runs_alone(study):
    def trouble(stage, attempt):
        return {"error": "bad", "fatal": True} if stage.tasks == ("links",) and stage.parent else None

    workers = Workers(study, 2, trouble=trouble)
    planner = workers.run()
    assert sorted(workers.names("run")) == ["none full 0.001 #0", "none full 0.001 #1"]
    assert len(planner.failed) == 8
    # The other target is scored all the same, and found by the next study.
    assert all(workers.store.has(key) for key, (stage, _) in planner.stages.items() if stage.tasks == ("tags",))
    again = Workers(study)
    again.run()
    assert {stage.tasks[0] for key, (stage, _) in planner.stages.items() if again.tried[key]} == {"links"}


def test_everything_fails(study):
    planner = Workers(study, 3, trouble=lambda stage, _: {"error": "no memory", "fatal": False}).run()
    assert sorted(planner.failed) == sorted(planner.runs)
    assert planner.rows == []
    assert planner.standings() == []
    assert planner.cost_summary()["stages_executed"] == 0


def test_a_worker_that_dies_is_no_end(study):
    planner = Workers(study).plan()
    path = planner.take()
    planner.lost(path[0].key, "its worker died")
    planner.give_back([stage.key for stage in path])
    assert [stage.key for stage in planner.take()] == [stage.key for stage in path]


@pytest.mark.parametrize("number", [1, 3])
def test_weights_that_are_gone_are_made_again(study, number):
    """Collected or damaged while the study runs: the first child that misses them brings them back."""
    key = stage_of(Planner(study, Store("memory://none")), "pairs #0").key
    workers = Workers(study, number)

    def trouble(stage, attempt):
        if stage.parent == key and workers.tried[key] == 1:
            workers.store.discard(key)

    workers._trouble = trouble
    planner = workers.run()
    assert workers.tried[key] >= 2
    assert not planner.failed
    cost = planner.cost_summary()
    assert cost["stages_executed"] == cost["stages_distinct"]


def test_weights_of_an_old_study_that_are_gone(world):
    """Scores are there, weights are not: only what a new order needs is trained again."""
    small = study_of(world, orders={"max_length": 1})
    first = Workers(small)
    planner = first.run()
    for stage, _ in planner.stages.values():
        if stage.kind == "train":
            first.store.discard(stage.key)
    again = Workers(study_of(world))
    planner = again.run()
    assert not planner.failed
    made = {label for key, (stage, label) in planner.stages.items() if again.tried[key] and stage.kind == "train"}
    assert "none | train tags #0" not in made
    assert {"pairs #0", "pairs>topics #0"} <= made
    assert Workers(study_of(world)).plan().finished


def test_scores_that_cannot_be_read_back(study):
    """A worker says that it made a score stage, but the store holds none: tried again, then given up."""
    key = stage_of(Planner(study, Store("memory://none")), "none | score tags #0", "score").key
    workers = Workers(study, 2, trouble=lambda stage, _: {"seconds": 0.5} if stage.key == key else None)
    planner = workers.run()
    assert workers.tried[key] == ATTEMPTS
    assert list(planner.failed) == ["none full 0.001 #0"]


def test_costs_are_learnt(study):
    workers = Workers(study)
    planner = workers.plan()
    stage = stage_of(planner, "pairs #0")
    guess = planner.cost(stage)
    assert guess > 0.5
    workers.run(planner)
    assert planner.cost(stage) == 0.5
