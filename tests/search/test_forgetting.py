"""Learning and forgetting along an order: which stages there are, how they are shared, and that they change nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache

import pytest
import torch
from enumerating import enumerated
from test_planner import Workers, stage_of, study_of
from test_stored import stages_of

from search.candidate import Candidate
from search.order import Order
from search.planner import Planner
from search.settings import load_settings
from search.study import Study
from search.study_prices import StudyPrices
from search.tree import StageTree
from trainables.bench import Bench, Workplace
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.evaluate import evaluate, sets_of
from trainables.failures import MissingParent
from trainables.kinds.forms import kind_of
from trainables.methods import put_on
from trainables.stage import FORGETTING, WEIGHTS, Stage
from trainables.store import Store

STUDIES = {
    "subsets": {},
    "one task at most": {"orders": {"max_length": 1}},
    "groups": {"orders": {"kind": "groups"}},
    "permutations": {"orders": {"kind": "permutations"}},
    "joint": {"orders": {"kind": "joint"}},
    "explicit": {"orders": {"kind": "explicit", "explicit": ["pairs+topics", "topics>pairs", "pairs"]}},
    "shams": {"controls": True},
    "representations": {"representations": ["links"]},
    "arms": {"method": ["full", "lora", "probe", "prompt"], "learning_rate": [1e-3, 1e-2], "prompt_length": [0, 8]},
    "heads": {"method": ["probe", "full"], "train": {"heads": "carry"}},
}  # fmt: skip


def measured(study, order, seed=0):
    """Which task is measured after which stage, with whose head: labels in the order that they are planned in."""
    planned = study.planned(Candidate(Order.parse(order), *study.space.arms[0]), seed)
    labels = {one.stage.key: one.label for one in planned}
    return [
        (labels[one.stage.parent], one.stage.tasks[0], labels[one.stage.head_from])
        for one in planned if one.stage.measure == FORGETTING and one.after == labels[one.stage.parent]
    ]  # fmt: skip


# --- which stages there are -------------------------------------------------------------------------------------------


def test_every_task_so_far_after_every_stage_with_its_own_stages_head(world):
    study = study_of(world, forgetting=True)
    assert measured(study, "none") == []
    assert measured(study, "pairs>topics") == [
        ("pairs", "pairs", "pairs"),
        ("pairs>topics", "pairs", "pairs"), ("pairs>topics", "topics", "pairs>topics"),
    ]  # fmt: skip
    both = "pairs+topics"
    assert measured(study, both) == [(both, "pairs", both), (both, "topics", both)]


@pytest.mark.parametrize("kind", STUDIES)
def test_no_other_stage_changes_and_the_rest_is_counted(world, kind):
    plain, study = study_of(world, **STUDIES[kind]), study_of(world, forgetting=True, **STUDIES[kind])
    without, every = stages_of(plain), stages_of(study)
    assert without == {key: stage for key, stage in every.items() if stage.measure != FORGETTING}
    assert len(every) > len(without)
    assert study.counts() == enumerated(study)
    assert study.identity == plain.identity
    for arm in study.space.arms:  # what a strategy is told of prices
        told = [[StudyPrices(one).leaf(arm), StudyPrices(one).train(("pairs",), arm)] for one in (plain, study)]
        assert told[0] == told[1]


def test_a_task_without_a_dev_set_is_passed_over_and_said(world):
    from search.describe import describe

    world.task("topics", kind="classification", labels=["yes", "no"], source={"folder": {"train": "topics/train"}})
    study = study_of(world, forgetting=True)
    assert measured(study, "topics>pairs") == [("topics>pairs", "pairs", "topics>pairs")]
    assert study.counts() == enumerated(study)
    assert [note for note in describe(study)["notes"] if "forgetting" in note] == [
        "learning and forgetting: rows of portion forgetting in scores, in no mean; no English dev set: topics"
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "probe"}, "no stage leaves the next one anything"),
        ({"method": "prompt", "prompt_length": 0}, "no stage leaves the next one anything"),
        ({"model": "micro-decoder", "intermediate": ["mini-nli"], "targets": ["mini-xnli"]}, "the model is a decoder"),
    ],
)
def test_where_nothing_can_be_measured(changed, said):
    with pytest.raises(Mistake, match=said):
        Study(*load_settings({}, {"forgetting": True, **changed})).check()


def test_no_task_with_a_dev_set(world):
    for name in ("pairs", "topics"):
        world.task(name, kind="classification", labels=["yes", "no"], source={"folder": {"train": f"{name}/train"}})
    with pytest.raises(Mistake, match="no intermediate task has one"):
        study_of(world, forgetting=True)._check_followed()


# --- the tree waits for both stages -----------------------------------------------------------------------------------


def borrowing(stored=(), lost=""):
    """`a>b`, scored on its target, with a's head measured after b; the stages, a tree of them, and whether it is
    complete. What is `lost` leaves the store when the tree has looked into it."""
    a = Stage("train", None, ("a",), ("-",), "micro", "full", steps=10, seed=0)
    b = replace(a, parent=a.key, tasks=("b",))
    score = Stage("score", b.key, ("t",), ("-",), "micro", "full")
    after = replace(score, tasks=("a",), settings={"measure": FORGETTING, "head_from": a.key})
    own = replace(after, parent=a.key)
    stages = {"a": a, "b": b, "score": score, "after": after, "own": own}
    there = {stages[name].key for name in stored}
    tree = StageTree(lambda stage: 1.0, there.__contains__)
    complete = tree.add("run", list(stages.values()))
    there.discard(stages[lost].key if lost else "")
    return stages, tree, complete


def names(stages, path):
    labels = {stage.key: name for name, stage in stages.items()}
    return [labels[stage.key] for stage in path]


def test_what_is_stored_is_not_made_for_its_head():
    stages, tree, complete = borrowing(stored=["score", "after", "own"])
    assert complete
    assert tree.remaining == 0
    assert not tree.is_done(stages["a"].key)


def test_a_collected_head_is_made_again_before_it_is_needed():
    """b's weights are stored and a's are not: the measurement after b waits for a, the score does not."""
    stages, tree, _ = borrowing(stored=["b", "own"])
    paths = [names(stages, tree.next_path()) for _ in range(3)]
    assert sorted(paths) == [[], ["a"], ["score"]]
    tree.start(stages["a"].key)
    assert tree.complete(stages["a"].key, 1.0) == []
    assert names(stages, tree.next_path()) == ["after"]


def test_a_head_that_is_there_keeps_nobody_waiting():
    stages, tree, _ = borrowing(stored=["a", "b", "own"])
    assert sorted([names(stages, tree.next_path()) for _ in range(3)]) == [[], ["after"], ["score"]]


def test_a_path_may_hold_the_head_itself():
    stages, tree, _ = borrowing()
    assert names(stages, tree.next_path())[:2] == ["a", "b"]


def test_a_head_that_cannot_be_made_again_loses_the_measurement_alone():
    stages, tree, _ = borrowing(stored=["b", "own"])
    assert tree.fail(stages["a"].key, "diverged") == ["run"]
    assert tree.is_lost(stages["after"].key)
    assert names(stages, tree.next_path()) == ["score"]
    assert tree.add("again", list(stages.values())) is False
    assert tree.lost == {"run": "diverged", "again": "diverged"}


def test_a_head_that_goes_missing_while_the_study_runs():
    stages, tree, _ = borrowing(stored=["a", "b", "own", "score"], lost="a")
    assert names(stages, tree.next_path()) == ["after"]
    tree.start(stages["after"].key)
    assert tree.forget(stages["a"].key) == []
    tree.release([stages["after"].key])
    path = tree.next_path()
    assert names(stages, path) == ["a"]
    assert tree.next_path() == []
    tree.start(path[0].key)
    tree.complete(path[0].key, 1.0)
    assert names(stages, tree.next_path()) == ["after"]


def test_the_head_comes_first():
    stages, _, _ = borrowing()
    tree = StageTree(lambda stage: 1.0, lambda key: False)
    with pytest.raises(ValueError, match="comes before its head's stage"):
        tree.add("run", [replace(stages["after"], parent=None)])


# --- a study --------------------------------------------------------------------------------------------------------


def test_rows_are_apart(world):
    """They have their portion and the stage they were measured after, and nothing that is told or shown differs."""
    plain = Workers(study_of(world, store=str(world.folder / "plain"))).run()
    planner = Workers(study_of(world, forgetting=True), 3).run()
    rows = [row for row in planner.rows if row.portion == FORGETTING]
    assert [row for row in planner.rows if row.portion != FORGETTING] == plain.rows
    assert {(row.order, row.stage, row.target) for row in rows} == {
        ("pairs", "pairs", "pairs"), ("topics", "topics", "topics"),
        *(("pairs>topics", stage, task) for stage, task in
          (("pairs", "pairs"), ("pairs>topics", "pairs"), ("pairs>topics", "topics"))),
        *(("topics>pairs", stage, task) for stage, task in
          (("topics", "topics"), ("topics>pairs", "topics"), ("topics>pairs", "pairs"))),
    }  # fmt: skip
    assert {(row.language, row.main, row.apart) for row in rows} == {("en", True, False)}
    assert planner.standings() == plain.standings()
    assert planner.campaign.history == plain.campaign.history
    counts = planner.study.counts()
    assert (counts["stages_naive"], counts["stages_distinct"]) == (planner.tree.naive, planner.tree.distinct)


def test_switched_on_later_it_alone_is_run(world):
    Workers(study_of(world)).run()
    later = Workers(study_of(world, forgetting=True))
    planner = later.run()
    made = [planner.stages[key][0].measure for key in later.tried]
    assert set(made) == {FORGETTING}
    assert len(made) == 2 * (2 + 2 * 2)
    assert Workers(study_of(world, forgetting=True)).plan().finished


@pytest.mark.parametrize("stop", [3, 11, 25])
def test_stopped_and_begun_again(world, stop):
    first = Workers(study_of(world, forgetting=True), 3)
    with pytest.raises(AssertionError, match="not finished"):
        first.run(most=stop)
    rest = Workers(study_of(world, forgetting=True), 2, seed=5)
    again = rest.run()
    assert again.rows == Workers(study_of(world, forgetting=True, store=str(world.folder / "other"))).run().rows
    assert not first.tried.keys() & rest.tried.keys()


@pytest.mark.parametrize("number", [1, 3])
def test_a_head_that_was_collected(world, number):
    """Of a finished study all but the last stages' weights are gone: what holds a head is made again, once."""
    first = Workers(study_of(world))
    planner = first.run()
    gone = {stage_of(planner, f"{task} #{seed}").key for task in ("pairs", "topics") for seed in (0, 1)}
    for key in gone:
        first.store.discard(key)
    again = Workers(study_of(world, forgetting=True), number)
    assert not again.run().failed
    assert {key for key in again.tried if again.run().stages[key][0].kind == "train"} == gone
    assert set(again.tried.values()) == {1}


@pytest.mark.parametrize("number", [1, 3])
def test_a_head_that_is_lost_while_the_study_runs(world, number):
    workers = Workers(study_of(world, forgetting=True), number)
    key = stage_of(workers.plan(), "pairs #0").key

    def trouble(stage, attempt):
        if stage.head_from == key != stage.parent and workers.tried[key] == 1:
            workers.store.discard(key)

    workers._trouble = trouble
    assert not workers.run().failed
    assert workers.tried[key] == 2


# --- real models ------------------------------------------------------------------------------------------------------

SMALL = {
    "intermediate": ["mini-nli", "mini-tags", "mini-mlm"], "limit": 12,
    "orders": {"kind": "explicit", "explicit": ["none", "mini-nli>mini-mlm+mini-tags", "mini-tags>mini-nli"]},
}  # fmt: skip
TRAIN = {"steps": 3, "target_steps": 2, "batch_size": 4}


def small(tmp_path, model, *, heads="new", **changed):
    flags = {"targets": "mini-xnli,mini-tatoeba", "languages": "en,de", "seeds": 1, "out": str(tmp_path)}
    own = {"model": model, "learning_rate": [1e-2], "train": {**TRAIN, "heads": heads}, "forgetting": True}
    study = Study(*load_settings(flags, {**SMALL, **own, **changed}))
    study.data = source(study.settings.limit)
    return study


@cache
def source(limit):
    """The mini suite's examples, generated once for all studies and benches."""
    return DataSource(limit=limit)


def bench_of(study):
    bench = Bench(Workplace(**json.loads(study.workplace())))
    bench._data = study.data
    return bench


def finish(study, benches=1):
    planner = Planner(study, Store(study.settings.store_url))
    workers = [bench_of(study) for _ in range(benches)]
    turn = 0
    while not planner.finished:
        for stage in planner.take():
            planner.report(asdict(workers[turn % benches].run(stage)))
            turn += 1
    assert not planner.failed
    return planner


@pytest.mark.parametrize(
    ("method", "heads"),
    [("full", "new"), ("full", "carry"), ("prompt", "new"), ("adapter", "new"), ("lora", "new"), ("probe", "carry")],
)
def test_a_candidate_alone_and_by_hand(tmp_path, tiny_model, method, heads):
    """Through the tree on three workers, alone, and with the heads laid on by hand: the same figures, bit for bit."""
    study = small(tmp_path / "tree", tiny_model, method=method, heads=heads)
    study.check()
    planner = finish(study, benches=3)
    assert study.counts() == enumerated(study)
    order = "mini-nli>mini-mlm+mini-tags"
    rows = [row for row in planner.rows if row.portion == FORGETTING and row.order == order]
    assert [(row.stage, row.target, row.metric, row.main) for row in rows] == [
        ("mini-nli", "mini-nli", "accuracy", True), (order, "mini-nli", "accuracy", True),
        (order, "mini-mlm", "accuracy", True), (order, "mini-tags", "f1", True),
        (order, "mini-tags", "token_accuracy", False),
    ]  # fmt: skip
    alone = small(tmp_path / "alone", tiny_model, method=method, heads=heads)
    candidate = Candidate(Order.parse(order), *study.space.arms[0])
    bench = bench_of(alone)
    for stage in alone.stages(candidate, 0):
        bench.run(stage)
    for stage in alone.stages(candidate, 0):
        if stage.measure == FORGETTING:
            mine, theirs = (one.record(stage.key)["scores"] for one in (bench.store, planner.store))
            assert mine == theirs == by_hand(bench, stage)


def by_hand(bench, stage):
    """The stage's encoder with the task's head from the stage that trained it."""
    task, model = bench._tasks[stage.tasks[0]], bench.model
    put_on(model, stage, bench._weights(stage.parent)[0])
    head = kind_of(task, model).head(task, model)
    model.add_head(task.name, head)
    model.load_head(task.name, bench._weights(stage.head_from)[0])
    sets = sets_of(task, {("dev", "en"): bench._data.load(task, "dev", ["en"])["en"]}, model)
    return [{**row, "portion": FORGETTING} for row in evaluate(model, task, head, sets)[0]]


def test_a_carried_head_is_the_one_that_its_stage_trained(tmp_path, tiny_model):
    """Heads that are carried stay as they are, so it is no matter from which stage's weights they are taken."""
    from safetensors.torch import load

    study = small(tmp_path, tiny_model, heads="carry", intermediate=["mini-nli", "mini-tags"], orders={"max_length": 2})
    planner = finish(study)
    first, last = (stage_of(planner, f"{name} #0").key for name in ("mini-nli", "mini-nli>mini-tags"))
    one, other = (load(planner.store.blob(key, WEIGHTS)) for key in (first, last))
    held = [name for name in other if name.startswith("heads.mini-nli.")]
    assert held
    assert all(torch.equal(one[name], other[name]) for name in held)


def test_weights_that_hold_no_head_are_named(tmp_path, tiny_model):
    study = small(tmp_path, tiny_model)
    bench = bench_of(study)
    stages = study.stages(Candidate(Order.parse("mini-nli>mini-mlm+mini-tags"), *study.space.arms[0]), 0)
    trained = [stage for stage in stages if stage.kind == "train"][:2]
    for stage in trained:
        bench.run(stage)
    bench.store.discard(trained[0].key)
    after = next(s for s in stages if s.measure == FORGETTING and s.parent != s.head_from)
    with pytest.raises(MissingParent) as missing:
        bench_of(study).run(after)
    assert missing.value.key == trained[0].key == after.head_from


def test_what_is_learned_is_seen_and_what_is_forgotten(tmp_path):
    """Enough steps that a task is learned; then another one, hard enough that the first is done worse."""
    study = small(
        tmp_path, "micro", limit=400, intermediate=["mini-topic", "mini-tags"], targets=["mini-tatoeba"],
        orders={"kind": "explicit", "explicit": ["mini-topic>mini-tags"]}, learning_rate=[3e-3], objective="target-dev",
        train={"steps": 40, "batch_size": 16},
    )  # fmt: skip
    found = {(row.stage, row.target): row.value for row in finish(study).rows if row.portion == FORGETTING and row.main}
    own, after = found["mini-topic", "mini-topic"], found["mini-topic>mini-tags", "mini-topic"]
    assert own > 0.6
    assert after < own - 0.05
    assert found["mini-topic>mini-tags", "mini-tags"] > 0.5
