"""A stage is stored while the next one is made; nothing is told that is not stored."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load
from torch.optim import AdamW

from trainables.attempts import Attempts, Held
from trainables.bench import Bench, Workplace
from trainables.failures import Diverged
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.stage import WEIGHTS, Stage
from trainables.store import Store, StoreTrouble
from trainables.tasks import load_task
from trainables.threads import OwnThread

TASK = "mini-topic"


@pytest.fixture
def place(tmp_path, tiny_model):
    task = load_task(TASK, "").model_dump(mode="json")
    return Workplace(str(tmp_path / "store"), tiny_model, {TASK: task}, {TASK: ["en"]}, limit=20)


def train_stage(parent=None, seed=0, method="full"):
    settings = {"learning_rate": 1e-3, "batch_size": 4, "warmup": 1, "weight_decay": 0.01, "along": "continue",
                **scalars(MethodSettings(), method)}  # fmt: skip
    return Stage("train", parent and parent.key, (TASK,), ("d",), "tiny", method, settings, 2, seed)


def score_stage(parent):
    return Stage("score", parent.key, (TASK,), ("d",), "tiny", "full", {})


class Slow(Store):
    """A store that puts nothing before it may."""

    def __init__(self, url, error=None):
        super().__init__(url)
        self.may, self.asked, self.error = threading.Event(), threading.Event(), error

    def put(self, *given):
        self.asked.set()
        assert self.may.wait(60)
        if self.error:
            raise self.error
        return super().put(*given)


def slow_bench(place, error=None):
    bench = Bench(place)
    store = bench.store = bench.storing.store = Slow(place.store, error)
    return bench, store


def ends(place):
    return {key: about.get("ended") for key, about in Attempts.all(Store(place.store))}


def test_a_child_is_made_while_its_parent_is_stored(place, monkeypatch):
    bench, store = slow_bench(place)
    first = train_stage()
    child = score_stage(first)
    outcome = bench.begin(first)
    assert store.asked.wait(60)
    assert not outcome.done()
    made = threading.Event()
    make = bench._made

    def noting(*given):
        found = make(*given)
        made.set()
        return found

    monkeypatch.setattr(bench, "_made", noting)
    thread = OwnThread("stages")
    scored = thread.submit(lambda: bench.begin(child).result())
    assert made.wait(60)
    assert not Store(place.store).has(first.key)
    assert not outcome.done()
    assert ends(place) == {first.key: None, child.key: None}
    store.may.set()
    assert outcome.result(60).made
    assert scored.result(60).parent == "memory"
    assert ends(place) == {first.key: "stored", child.key: "stored"}


def test_no_child_is_stored_whose_parent_could_not_be(place):
    bench, store = slow_bench(place, StoreTrouble("the disk is full"))
    first = train_stage()
    store.may.set()
    outcome = bench.begin(first)
    with pytest.raises(StoreTrouble, match="the disk is full"):
        bench.begin(score_stage(first))
    with pytest.raises(StoreTrouble, match="the disk is full"):
        outcome.result(60)
    assert not Store(place.store).keys()
    assert set(ends(place).values()) == {"StoreTrouble: the disk is full"}
    store.error = None
    assert bench.run(train_stage(seed=1)).made  # what hangs on neither goes on
    assert bench.run(first).made


def test_who_has_lost_a_stage_says_so_when_it_would_be_stored(place, monkeypatch):
    bench, make = Bench(place), Bench._made
    stage = train_stage()

    def lose(self, *given):
        Attempts(Store(place.store), "other").begin(stage.key, {}, over=bench.worker)
        return make(self, *given)

    monkeypatch.setattr(Bench, "_made", lose)
    outcome = bench.begin(stage)
    with pytest.raises(Held):
        outcome.result(60)
    assert not Store(place.store).keys()


def test_weights_that_are_on_their_way_are_waited_for(place):
    """A stage's weights may be gone from memory before they are in the store."""
    bench, store = slow_bench(place)
    first = train_stage()
    bench.begin(first)
    bench._resident.clear()
    thread = OwnThread("stages")
    scored = thread.submit(lambda: bench.begin(score_stage(first)).result())
    assert store.asked.wait(60)
    assert not scored.done()
    store.may.set()
    assert scored.result(60).parent == "store"


def test_a_worker_that_ends_leaves_its_stages_to_others(place):
    bench, store = slow_bench(place)
    stage = train_stage()
    bench.begin(stage)
    bench.leave(SystemExit(1))
    assert ends(place) == {stage.key: "SystemExit: 1"}
    other = Bench(replace(place))
    assert other.run(stage).made
    store.may.set()


def test_settling_waits(place):
    bench, store = slow_bench(place)
    outcome = bench.begin(train_stage())
    thread = OwnThread("stages")
    settled = thread.submit(bench.settle)
    assert store.asked.wait(60)
    assert not settled.done()
    store.may.set()
    settled.result(60)
    assert outcome.done()


def test_a_process_ends_without_its_threads():
    code = (
        "import threading, time\nfrom trainables.threads import OwnThread\nasked = threading.Event()\n"
        "OwnThread('a').submit(lambda: (asked.set(), time.sleep(600)))\nasked.wait()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


# --- what is on the model ---------------------------------------------------------------------------------------------


def copies(model, weights=None):
    """How many weights are copied to lay these on."""
    own = model.encoder.state_dict()
    before = {name: own[name]._version for name in model.base}
    model.reset(weights)
    return sum(own[name]._version > version for name, version in before.items())


def same(model, weights):
    own = model.encoder.state_dict()
    return all(torch.equal(own[name], weights.get(f"encoder.{name}", tensor)) for name, tensor in model.base.items())


def test_weights_that_are_on_the_model_are_not_copied_again(place):
    bench = Bench(place)
    first = train_stage()
    bench.run(first)
    weights, model = bench._resident[first.key], bench.model
    assert copies(model, weights) == 0
    assert same(model, weights)
    loaded = load(Store(place.store).blob(first.key, WEIGHTS))
    assert copies(model, loaded) == sum(name.startswith("encoder.") for name in loaded)
    assert same(model, loaded)
    assert copies(model) == sum(name.startswith("encoder.") for name in loaded)
    assert same(model, {})
    model.encoder.requires_grad_(False)
    assert copies(model) == 0


def test_a_weight_that_was_trained_is_copied_though_torch_counted_nothing(tiny_model):
    model = Encoder(tiny_model)
    model.reset()
    parameters = list(model.encoder.parameters())
    optimizer = AdamW(parameters, lr=1.0, fused=True)
    sum(parameter.square().sum() for parameter in parameters).backward()
    optimizer.step()
    assert not same(model, {})
    model.reset()
    assert same(model, {})


def test_a_merged_update_is_taken_back(place):
    bench = Bench(place)
    merged = train_stage(method="lora")
    merged = replace(merged, settings={**merged.settings, "along": "merge"})
    bench.run(merged)
    assert not same(bench.model, {})
    bench.model.reset()
    assert same(bench.model, {})


def test_after_a_failed_training_the_weights_are_what_they_were(place, monkeypatch):
    bench = Bench(place)
    broken = train_stage()
    broken = replace(broken, settings={**broken.settings, "learning_rate": 1e30})
    with pytest.raises(Diverged):
        bench.run(broken)
    bench.model.reset()
    assert same(bench.model, {})
