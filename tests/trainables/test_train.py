"""Training: a function of the stage and its parent alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch

from trainables import train as train_module
from trainables.batches import collate, scoring_batches, training_batches
from trainables.data import DataSource
from trainables.failures import Diverged
from trainables.kinds import KINDS
from trainables.kinds.base import Feature
from trainables.methods import IN_CONTEXT, METHODS
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import CHECKED_EVERY, train
from trainables.watch import counts, work

SETTINGS = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01}
TASKS = {name: load_task(name, "--tasks") for name in ("mini-nli", "mini-pos", "mini-topic")}


@pytest.fixture(scope="module")
def model(tiny_model):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return Encoder(tiny_model)


@pytest.fixture(scope="module")
def features(model):
    source = DataSource(limit=120)
    return {
        name: KINDS[task.kind].encode(task, source.training(task), model.tokenizer, task.max_length)
        for name, task in TASKS.items()
    }


@pytest.fixture
def run(model, features):
    """Train a stage from a parent's weights."""

    def run(stage, parent=None):
        tasks = [TASKS[name] for name in stage.tasks]
        return train(model, stage, tasks, {name: features[name] for name in stage.tasks}, parent)[:2]

    return run


def stage(*tasks, seed=0, steps=6, method="full", parent=None, **settings):
    tasks = tasks or ("mini-nli",)
    data = ("0" * 16,) * len(tasks)
    modules = scalars(MethodSettings(), method, 4 if method == "prompt" else None)
    return Stage("train", parent, tasks, data, "tiny", method, {**SETTINGS, **modules, **settings}, steps, seed)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def digest(module):
    state = module.state_dict()
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(IN_CONTEXT)))
def test_the_same_stage_gives_the_same_weights(run, method):
    first, figures = run(stage(method=method))
    torch.rand(3)  # the state of the global generator does not matter
    run(stage("mini-pos", seed=5))
    again, others = run(stage(method=method))
    assert same(first, again)
    assert figures == others


def test_another_seed_gives_other_weights(run):
    first, second = run(stage())[0], run(stage(seed=1))[0]
    assert not torch.equal(first["heads.mini-nli.out.weight"], second["heads.mini-nli.out.weight"])
    assert not torch.equal(*(w["encoder.encoder.layer.0.output.dense.weight"] for w in (first, second)))


def test_weights_are_a_copy(run, model):
    weights, _ = run(stage())
    kept = {name: tensor.clone() for name, tensor in weights.items()}
    run(stage(seed=1))
    assert same(weights, kept)


def test_full_tunes_everything(run, model):
    weights, _ = run(stage())
    changed = {
        name for name, tensor in weights.items() if not torch.equal(tensor, model._base.get(name[8:], tensor + 1))
    }
    assert {name for name in weights if name.startswith("encoder.")} == {f"encoder.{name}" for name in model._base}
    # Positions and words that no batch holds do not move but by decay; layers all do.
    assert all(name in changed for name in weights if ".layer." in name)


def test_the_probe_leaves_the_encoder_as_it_is(run, model):
    model.reset()
    before = digest(model.encoder)
    probe = stage(method="probe", steps=20, learning_rate=1e-2)
    weights, _ = run(probe)
    assert digest(model.encoder) == before
    assert weights
    assert all(name.startswith("heads.") for name in weights)
    torch.manual_seed(probe.random_seed)  # as training begins: the head it started from
    head = KINDS["classification"].head(load_task(probe.tasks[0], ""), model)
    untrained = {f"heads.{probe.tasks[0]}.{name}": tensor for name, tensor in head.state_dict().items()}
    assert untrained.keys() == weights.keys()
    assert not any(torch.equal(weights[name], untrained[name]) for name in weights)


def test_the_probe_has_no_dropout(run, model):
    """Frozen states are the same in every step: only what the head sees of them changes."""
    run(stage(method="full"))
    run(stage(method="probe", steps=1))
    assert not model.encoder.training


def test_full_after_probe_trains_the_encoder_again(run):
    first = run(stage())[0]
    run(stage(method="probe"))
    assert same(run(stage())[0], first)


def test_a_child_depends_on_its_parent_through_the_weights_alone(run):
    parent = run(stage())[0]
    child = run(stage("mini-pos", parent="0" * 32), parent)[0]
    again = run(stage("mini-pos", parent="0" * 32), {name: t.clone() for name, t in parent.items()})[0]
    other = run(stage("mini-pos", parent="0" * 32), run(stage(seed=1))[0])[0]
    assert same(child, again)
    assert not same(child, other)
    assert not any(name.startswith("heads.mini-nli") for name in child)


def test_a_group_trains_every_head(run, model, features):
    group = ("mini-nli", "mini-pos", "mini-topic")
    weights, _ = run(stage(*group, steps=30))
    torch.manual_seed(stage(*group, steps=30).random_seed)
    for name in group:
        new = KINDS[TASKS[name].kind].head(TASKS[name], model).state_dict()
        assert any(name.startswith("heads.") for name in weights)
        for part, tensor in new.items():
            assert not torch.equal(weights[f"heads.{name}.{part}"], tensor)


def test_loss_falls(run):
    figures = run(stage("mini-topic", steps=150, learning_rate=3e-3))[1]
    assert figures["loss_last"] < figures["loss_first"] - 0.2


@pytest.mark.parametrize("rate", [1e30, float("1e38")])
def test_a_huge_learning_rate_diverges(run, rate):
    with pytest.raises(Diverged, match=r"learning rate 1e\+3"):
        run(stage(learning_rate=rate))


def test_after_divergence_the_model_is_as_before(run):
    first = run(stage())[0]
    with pytest.raises(Diverged):
        run(stage(learning_rate=1e38))
    assert same(run(stage())[0], first)


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_long_stage_that_diverges_does_not_go_on_to_its_end(run, rate):
    with work(), pytest.raises(Diverged, match=r"loss is nan at step [2-9] of 10000 at learning rate 1e\+3.; it was "):
        run(stage(steps=10_000, learning_rate=rate))
    assert counts().examples <= CHECKED_EVERY * SETTINGS["batch_size"]


def test_weights_that_are_no_numbers_at_the_last_step_are_told(run):
    """The loss is one yet: it was computed before the last update."""
    with pytest.raises(
        Diverged, match=r"weights are no numbers after step 1 of 1 at learning rate 1e\+39; its loss was \d"
    ):
        run(stage(steps=1, learning_rate=1e39))


def test_a_batch_without_labels_is_no_divergence(model, features, monkeypatch):
    """Its loss is the mean of nothing, but it moves no weight; and looking at the losses changes nothing."""
    blank = [replace(f, label=[-100] * len(f.ids)) for f in features["mini-pos"][:4]]
    group = {"mini-pos": [*blank, *features["mini-pos"][4:40]]}
    one = stage("mini-pos", batch_size=1, steps=70)
    batches = [chosen[0].item for _, chosen in training_batches(group, 1, 70, one.random_seed)]
    assert {0, 1, 2, 3} & set(batches[:32])  # before the first look
    one = replace(one, steps=max(step for step, item in enumerate(batches, 1) if item > 3))  # the last one has labels

    def weights(every):
        monkeypatch.setattr(train_module, "CHECKED_EVERY", every)
        return train(model, one, [TASKS["mini-pos"]], group).weights

    found = weights(CHECKED_EVERY)
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    assert same(weights(10**9), found)
    assert same(weights(1), found)


def test_a_retrieval_task_cannot_be_trained_on(model):
    task = load_task("mini-tatoeba", "--tasks")
    with pytest.raises(ValueError, match="cannot be trained on"):
        train(model, stage("mini-tatoeba"), [task], {"mini-tatoeba": [Feature(0, [0, 5, 2])]})


def test_more_steps_are_another_stage_of_the_same_random_numbers():
    """So that a longer stage may go on from a shorter one."""
    assert stage(steps=6).key != stage(steps=7).key
    assert stage(steps=6).random_seed == stage(steps=7).random_seed


# --- batches ----------------------------------------------------------------------------------------------------------


def sized(*lengths):
    return [Feature(item, [0] * length, 0) for item, length in enumerate(lengths)]


def test_training_batches_are_a_function_of_the_seed():
    group = {"a": sized(*range(1, 90)), "b": sized(*range(1, 30))}
    first, again, other = (list(training_batches(group, 8, 40, seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert len(first) == 40
    assert list(training_batches(group, 8, 20, 3)) == first[:20]  # a cut changes nothing before it


def test_tasks_are_drawn_in_proportion_to_their_size():
    group = {"a": sized(*[1] * 300), "b": sized(*[1] * 100)}
    drawn = [task for task, _ in training_batches(group, 4, 1000, 0)]
    assert 680 < drawn.count("a") < 820


def test_an_epoch_holds_every_feature_once():
    features = sized(*range(1, 101))
    epochs = [batch for _, batch in training_batches({"a": features}, 8, 26, 0)]
    for epoch in (epochs[:13], epochs[13:]):
        assert sorted(feature.item for batch in epoch for feature in batch) == list(range(100))
    assert epochs[:13] != epochs[13:]
    assert all(max(len(f.ids) for f in b) - min(len(f.ids) for f in b) < 10 for b in epochs)


def test_a_batch_larger_than_the_data():
    assert all(len(batch) == 3 for _, batch in training_batches({"a": sized(1, 2, 3)}, 8, 5, 0))


def test_no_features_are_an_error():
    with pytest.raises(ValueError, match="a has no training features"):
        next(training_batches({"a": []}, 8, 1, 0))


def test_scoring_batches_hold_everything_once():
    features = sized(*[(7 * i) % 50 + 1 for i in range(200)], 5000)
    batches = list(scoring_batches(features, 400))
    assert sorted(i for batch in batches for i in batch) == list(range(201))
    assert all(len(b) * max(len(features[i].ids) for i in b) <= 400 for b in batches if len(b) > 1)
    assert list(scoring_batches([])) == []


def test_collate():
    batch = collate(
        "a", [Feature(0, [0, 7, 2], [-100, 3, -100]), Feature(1, [0, 2], [-100, -100])], 1, torch.device("cpu")
    )
    assert batch.ids.tolist() == [[0, 7, 2], [0, 2, 1]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.labels.tolist() == [[-100, 3, -100], [-100, -100, -100]]


def test_seeds_reach_every_random_number(run):
    """Two stages that differ in nothing but an unrelated setting draw other numbers: the key is the seed."""
    one = stage()
    assert replace(one, model="other").random_seed != one.random_seed
