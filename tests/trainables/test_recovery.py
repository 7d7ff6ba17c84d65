"""A stage that fails leaves nothing behind: the next one gives, bit for bit, what it would have given anyway."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch.optim import AdamW

from perturb.attacker import SearchFailed
from perturb.recipes.settings import AttackSettings
from perturb.suite import SuiteSettings
from trainables.attacked import Attacks
from trainables.data import DataSource
from trainables.evaluate import evaluate, sets_of
from trainables.heads import put_heads
from trainables.kinds import KINDS
from trainables.methods import put_on
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.oom import out_of_memory, release
from trainables.perturbations import Lookup
from trainables.robust_settings import Robust
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train

pytestmark = pytest.mark.usefixtures("young_heap")

TASK = load_task("mini-topic", "")
NEXT = load_task("mini-nli", "")
METHODS = ["full", "adapter", "prompt", "lora"]


@pytest.fixture(scope="module")
def model(tiny_model):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return Encoder(tiny_model)


@pytest.fixture(scope="module")
def examples():
    source = DataSource(limit=32)
    return {task.name: source.training(task) for task in (TASK, NEXT)}


@pytest.fixture(scope="module")
def features(model, examples):
    return {
        task.name: KINDS[task.kind].encode(task, examples[task.name], model.tokenizer, task.max_length)
        for task in (TASK, NEXT)
    }


def stage_of(task, name, parent=None, steps=4, **more):
    own = scalars(MethodSettings(), name, 4 if name == "prompt" else None)
    settings = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01, **own, **more}
    return Stage("train", parent, (task.name,), ("d",), "tiny", name, settings, steps, 0)


@pytest.fixture
def run(model, features):
    """Train a stage of a task; scores of a set from its weights."""

    def run(task, name, parent=None, **more):
        stage = stage_of(task, name, "0" * 32 if parent else None, **more)
        return train(model, stage, [task], {task.name: features[task.name]}, parent).weights

    return run


def full_memory():
    """What the CPU's allocator raises, for real."""
    torch.empty(1 << 60, dtype=torch.uint8)


class After:
    """Calls something, and the n-th time runs out of memory once it has."""

    def __init__(self, call, times):
        self.call, self.left = call, times

    def __call__(self, *given, **named):
        found = self.call(*given, **named)
        self.left -= 1
        if self.left == 0:
            full_memory()
        return found


def in_the_forward_pass(model, patch):
    """In a layer of the third batch."""
    patch.setattr(model.layers[1], "forward", After(model.layers[1].forward, 3))


def after_the_backward_pass(model, patch):
    patch.setattr(torch.nn.utils, "clip_grad_norm_", After(torch.nn.utils.clip_grad_norm_, 2))


def after_half_the_update(model, patch):
    """Some parameters have been moved, others have not."""

    def step(optimizer, *given):
        for group in optimizer.param_groups:
            group["params"] = group["params"][: len(group["params"]) // 2]
        whole(optimizer, *given)
        full_memory()

    whole = AdamW.step
    patch.setattr(AdamW, "step", step)


def when_modules_are_put_on(model, patch):
    """With modules in the encoder that are not in use yet."""
    patch.setattr(model.encoder, "add_adapter", After(model.encoder.add_adapter, 1))


TRAINING = [in_the_forward_pass, after_the_backward_pass, after_half_the_update]


def failed(call):
    """The error of a stage that runs out of memory."""
    try:
        call()
    except RuntimeError as error:
        assert out_of_memory(error)
        return error
    raise AssertionError("the stage did not fail")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("where", TRAINING, ids=lambda where: where.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_after_a_training_that_failed_all_is_as_before(model, run, monkeypatch, name, where):
    parent = run(TASK, name)
    child = run(NEXT, name, parent)
    with monkeypatch.context() as patch:
        where(model, patch)
        error = failed(lambda: run(TASK, name, learning_rate=0.1))
    release(model, error)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert same(run(NEXT, name, parent), child)  # a stage of the same method, from a parent
    assert same(run(TASK, name), parent)  # the one that failed, tried again


@pytest.mark.parametrize("name", ["adapter", "prompt", "lora"])
def test_after_modules_that_were_put_on_by_half(model, run, monkeypatch, name):
    parent = run(TASK, name)
    run(TASK, "full")  # so that there are none on
    with monkeypatch.context() as patch:
        when_modules_are_put_on(model, patch)
        error = failed(lambda: run(TASK, name))
    release(model, error)
    assert same(run(TASK, name), parent)


def test_after_another_method_failed(model, run, monkeypatch):
    full = run(TASK, "full")
    with monkeypatch.context() as patch:
        in_the_forward_pass(model, patch)
        error = failed(lambda: run(TASK, "adapter"))
    release(model, error)
    assert same(run(TASK, "full"), full)


@pytest.mark.parametrize("kind", ["adversarial", "smoothing"])
def test_after_a_robust_training_that_failed(model, run, monkeypatch, kind):
    """Its perturbations are no longer added to the embeddings."""
    plain = run(TASK, "full")
    with monkeypatch.context() as patch:
        in_the_forward_pass(model, patch)
        error = failed(lambda: run(TASK, "full", **Robust(kind=kind).scalars()))
    release(model, error)
    assert same(run(TASK, "full"), plain)


@pytest.mark.parametrize("name", ["full", "adapter"])
def test_after_an_evaluation_that_failed(model, run, features, examples, monkeypatch, name):
    weights = run(TASK, name)
    sets = sets_of(TASK, {("dev", "en"): examples[TASK.name]}, model)

    def scores():
        put_on(model, Stage("score", "0" * 32, (TASK.name,), ("d",), "tiny", name, settings), weights)
        put_heads(model, [TASK], {})
        model.load_head(TASK.name, weights)
        return evaluate(model, TASK, model.head(TASK.name), sets, split=64)

    settings = stage_of(TASK, name).settings
    before = scores()
    with monkeypatch.context() as patch:
        in_the_forward_pass(model, patch)
        error = failed(scores)
    release(model, error)
    assert scores() == before
    assert same(run(TASK, name), weights)


def test_memory_that_is_full_in_an_attack_is_told(model, run, examples, monkeypatch):
    """TextAttack's searches run in greenlets, and each tells its own error; the stage after it is as before."""
    weights = run(TASK, "full")
    settings = SuiteSettings(name="s", attacks=[AttackSettings(recipe="deepwordbug", examples=3)])
    attacks, sets = (
        Attacks(settings, Lookup(settings, None)),
        sets_of(TASK, {("dev", "en"): examples[TASK.name]}, model),
    )

    def attack():
        return attacks.evaluate(model, TASK, model.head(TASK.name), sets, "deepwordbug", TASK.max_length)

    before = attack()
    with monkeypatch.context() as patch:
        patch.setattr(model, "states", lambda ids, mask: full_memory())
        with pytest.raises(SearchFailed) as told:
            attack()
    assert out_of_memory(told.value)
    release(model, told.value)
    assert attack() == before
    assert same(run(TASK, "full"), weights)


def test_the_memory_of_a_failed_training_is_free_again(model, run, monkeypatch):
    """The optimizer's moments, which its frames hold as long as the error does."""
    moments = []

    def step(optimizer, *given):
        whole(optimizer, *given)
        moments.extend(weakref.ref(state["exp_avg"]) for state in optimizer.state.values())
        full_memory()

    whole = AdamW.step
    gc.collect()
    gc.disable()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(AdamW, "step", step)
            error = failed(lambda: run(TASK, "full"))
        assert any(one() is not None for one in moments)
        release(model, error)
        assert len(moments) > 10
        assert not any(one() is not None for one in moments)
    finally:
        gc.enable()
