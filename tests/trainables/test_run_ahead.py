"""Stages that a bench trains together: each gets the outcome, the record and the attempt that it has alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load

from trainables import bench as bench_module
from trainables.attempts import Attempts, Held
from trainables.bench import Bench, Workplace
from trainables.failures import Diverged
from trainables.fused_cost import ALONE
from trainables.methods.settings import MethodSettings, scalars
from trainables.stage import WEIGHTS, Stage
from trainables.store import Store, StoreTrouble
from trainables.tasks import load_task

TASKS = ("mini-nli", "mini-topic")
SETTINGS = {"batch_size": 4, "warmup": 2, "weight_decay": 0.01, **scalars(MethodSettings(), "lora")}


@pytest.fixture
def place(tmp_path, tiny_model):
    tasks = {name: load_task(name, "--tasks").model_dump(mode="json") for name in TASKS}
    return Workplace(str(tmp_path / "store"), tiny_model, tasks, {name: ["en"] for name in TASKS}, limit=40)


def stage(task, parent=None, rate=1e-3, seed=0):
    key = parent.key if parent else None
    return Stage("train", key, (task,), ("0" * 16,), "tiny", "lora", {**SETTINGS, "learning_rate": rate}, 4, seed)


@pytest.fixture
def together(monkeypatch):
    monkeypatch.setattr(bench_module, "pass_tokens", lambda model, jobs: 1024 if len(jobs) > 1 else ALONE)


def weights(place, one):
    return load(Store(place.store).blob(one.key, WEIGHTS))


def test_stages_come_out_as_they_do_alone(place, together, tmp_path):
    first = stage("mini-topic")
    stages = [stage("mini-nli", first), stage("mini-topic", seed=1, rate=3e-3), stage("mini-nli", seed=2)]
    bench = Bench(place)
    bench.run(first)
    bench.run_ahead(stages)
    outcomes = [bench.run(one) for one in stages]
    assert all(outcome.made for outcome in outcomes)
    assert [outcome.parent for outcome in outcomes] == ["memory", "base", "base"]
    apart = replace(place, store=str(tmp_path / "apart"))
    alone = Bench(apart)
    for one in [first, *stages]:
        alone.run(one)
    for one in stages:
        mine, theirs = weights(place, one), weights(apart, one)
        assert mine.keys() == theirs.keys()
        for name, tensor in theirs.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-3, atol=1e-5)
        records = [Store(where.store).record(one.key) for where in (place, apart)]
        assert records[0]["loss_last"] == pytest.approx(records[1]["loss_last"], rel=1e-4)
        assert records[0]["together"] == 3
        assert "together" not in records[1]
    told = [about["ended"] for _, about in Attempts.all(Store(place.store))]
    assert told == ["stored"] * 4
    assert not bench._ahead
    assert not bench.run(stages[0]).made


def test_a_child_goes_on_from_the_weights_in_memory(place, together):
    stages = [stage("mini-topic"), stage("mini-nli")]
    bench = Bench(place)
    bench.run_ahead(stages)
    for one in stages:
        bench.run(one)
    assert bench.run(stage("mini-nli", stages[0])).parent == "memory"


def test_where_it_does_not_pay_nothing_is_begun(place, monkeypatch):
    monkeypatch.setattr(bench_module, "pass_tokens", lambda model, jobs: ALONE)
    bench = Bench(place)
    stages = [stage("mini-topic"), stage("mini-nli")]
    bench.run_ahead(stages)
    assert not list(Attempts.all(Store(place.store)))
    assert all(bench.run(one).made for one in stages)


def test_one_that_diverges_fails_alone(place, together):
    stages = [stage("mini-topic"), stage("mini-topic", rate=1e30, seed=1)]
    bench = Bench(place)
    bench.run_ahead(stages)
    assert bench.run(stages[0]).made
    with pytest.raises(Diverged):
        bench.run(stages[1])
    ended = {key: about["ended"] for key, about in Attempts.all(Store(place.store))}
    assert ended[stages[0].key] == "stored"
    assert ended[stages[1].key].startswith("Diverged")


def test_an_error_ends_all_attempts(place, together, monkeypatch):
    def failing(*_):
        raise RuntimeError("no memory for so many")

    monkeypatch.setattr(bench_module, "train_together", failing)
    stages = [stage("mini-topic"), stage("mini-nli")]
    bench = Bench(place)
    with pytest.raises(RuntimeError):
        bench.run_ahead(stages)
    ended = [about["ended"] for _, about in Attempts.all(Store(place.store))]
    assert ended == ["RuntimeError: no memory for so many"] * 2
    monkeypatch.undo()
    assert all(bench.run(one).made for one in stages)


def test_what_another_worker_holds_or_has_made_is_left_out(place, together):
    store = Store(place.store)
    stages = [stage("mini-topic"), stage("mini-nli"), stage("mini-nli", seed=1), stage("mini-nli", seed=2)]
    Bench(place).run(stages[1])
    Attempts(store, "elsewhere:1").begin(stages[2].key, {})
    bench = Bench(place)
    bench.run_ahead(stages)
    assert store.record(stages[0].key)["together"] == 2
    assert not bench.run(stages[1]).made
    with pytest.raises(Held):
        bench.run(stages[2])
    assert bench.run(stages[3]).made


def test_it_is_told_where_a_parent_came_from(place, together):
    first = stage("mini-topic")
    Bench(place).run(first)
    bench = Bench(place)
    bench.run_ahead([stage("mini-nli", first), stage("mini-nli")])
    assert bench.run(stage("mini-nli", first)).parent == "store"


def test_attempts_that_were_begun_end_where_a_later_one_cannot_be(place, together, monkeypatch):
    stages = [stage("mini-topic"), stage("mini-nli")]
    bench = Bench(place)
    begin = bench.storing.begin

    def full(one, *given, **about):
        if one.key == stages[1].key:
            raise StoreTrouble("the disk is full")
        return begin(one, *given, **about)

    monkeypatch.setattr(bench.storing, "begin", full)
    with pytest.raises(StoreTrouble):
        bench.run_ahead(stages)
    assert [about["ended"] for _, about in Attempts.all(Store(place.store))] == ["StoreTrouble: the disk is full"]
