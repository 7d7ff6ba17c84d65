"""States below a stage's own weights: the same bits, computed once."""

from __future__ import annotations

import pytest
import torch

from trainables import lower as lower_module
from trainables.data import DataSource
from trainables.evaluate import evaluate, sets_of
from trainables.kinds import KINDS
from trainables.lower import LowerStates
from trainables.methods import put_on
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.precision import computed_in
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train
from trainables.watch import counts, work

TASK = load_task("mini-nli", "--tasks")


@pytest.fixture(scope="module")
def data():
    source = DataSource(limit=60)
    return source.training(TASK), {("test", code): rows for code, rows in source.load(TASK, "dev", ["en"]).items()}


def without_dropout(path):
    torch.set_num_threads(1)
    model = Encoder(path)
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    return model


@pytest.fixture
def model(tiny_model):
    return without_dropout(tiny_model)


def trained(model, data, method="full", **settings):
    own = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01, **settings}
    own |= scalars(MethodSettings(), method, 4 if method == "prompt" else None) | settings
    stage = Stage("train", None, (TASK.name,), ("0" * 16,), "tiny", method, own, 3, 0)
    features = KINDS[TASK.kind].encode(TASK, data[0], model.tokenizer, TASK.max_length)
    return stage, train(model, stage, [TASK], {TASK.name: features}).weights


def scored(model, data, stage, weights):
    put_on(model, Stage("score", stage.key, stage.tasks, stage.data, "tiny", stage.method, stage.settings), weights)
    model.add_head(TASK.name, KINDS[TASK.kind].head(TASK, model))
    model.load_head(TASK.name, weights)
    return evaluate(model, TASK, model.head(TASK.name), sets_of(TASK, data[1], model))


@pytest.fixture
def runs(monkeypatch):
    """How often each layer of a model was run."""

    def of(model):
        count = [0] * len(model.layers)
        real = type(model.layers[0]).forward

        def counted(layer, *given, **named):
            count[list(model.layers).index(layer)] += 1
            return real(layer, *given, **named)

        monkeypatch.setattr(type(model.layers[0]), "forward", counted)
        return count

    return of


def test_scores_are_the_same_bits(model, data, tiny_model):
    stage, weights = trained(model, data, freeze_embeddings=True, freeze_layers=1)
    first, second = scored(model, data, stage, weights), scored(model, data, stage, weights)
    assert model.lower._kept
    plain = without_dropout(tiny_model)
    plain.lower = LowerStates(0)
    assert scored(plain, data, stage, weights) == first == second
    assert not plain.lower._kept


def test_the_lower_layers_are_run_once_a_batch(model, data, runs):
    stage, weights = trained(model, data, freeze_embeddings=True, freeze_layers=1)
    count = runs(model)
    for _ in range(3):
        scored(model, data, stage, weights)
    assert count[0] >= 1
    assert count[1] == 3 * count[0]


@pytest.mark.parametrize("settings", [{}, {"freeze_embeddings": True}, {"freeze_layers": 1}])
def test_what_a_stage_has_tuned_is_run(model, data, settings):
    stage, weights = trained(model, data, **settings)
    scored(model, data, stage, weights)
    assert model.base_layers == 0
    assert not model.lower._kept


@pytest.mark.parametrize("method", ["prompt", "adapter", "lora"])
def test_layers_with_modules_are_run(model, data, method):
    stage, weights = trained(model, data, method)
    scored(model, data, stage, weights)
    assert not model.lower._kept


def test_under_a_probe_all_layers_are_the_base_models(model, data, runs):
    stage, weights = trained(model, data, "probe")
    first = scored(model, data, stage, weights)
    count = runs(model)
    assert scored(model, data, stage, weights) == first
    assert not any(count)


def test_the_states_have_a_limit(model, data):
    stage, weights = trained(model, data, "probe")
    model.lower = LowerStates(limit=200_000)
    whole = scored(model, data, stage, weights)
    assert 0 < model.lower._bytes <= 200_000
    assert scored(model, data, stage, weights) == whole


def test_another_precision_has_other_states(model, data):
    stage, weights = trained(model, data, "probe")
    scored(model, data, stage, weights)
    before = len(model.lower._kept)
    with computed_in(model, "bfloat16"):
        scored(model, data, stage, weights)
    assert len(model.lower._kept) == 2 * before


@pytest.mark.parametrize("order", [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_a_worker_that_has_seen_both_precisions_gives_each_its_own(model, data, tiny_model, order):
    """States of batches that are scored, and of features that are trained on, bit by bit."""
    features = {TASK.name: KINDS[TASK.kind].encode(TASK, data[0], model.tokenizer, TASK.max_length)}
    settings = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01, **FROZEN}
    stage = Stage("train", None, (TASK.name,), ("0" * 16,), "tiny", "full", settings, 3, 0)

    def result(model, precision):
        with computed_in(model, precision):
            weights = train(model, stage, [TASK], features).weights
            return weights, scored(model, data, stage, weights)

    found = {precision: result(model, precision) for precision in order}
    assert {key[-1] for key in model.lower._trained} == {None, torch.bfloat16}
    for precision, (weights, scores) in found.items():
        fresh, its = result(without_dropout(tiny_model), precision)
        assert scores == its
        assert all(torch.equal(tensor, fresh[name]) for name, tensor in weights.items())
    assert any(not torch.equal(tensor, found["float32"][0][name]) for name, tensor in found["bfloat16"][0].items())


def test_other_ids_are_another_batch():
    from trainables.batches import collate
    from trainables.kinds.base import Feature

    cpu = torch.device("cpu")
    batches = [collate("t", [Feature(0, ids)], 1, cpu) for ids in ([0, 5, 2], [0, 6, 2], [0, 5, 2])]
    assert batches[0].content == batches[2].content != batches[1].content
    wide = (
        collate("t", [Feature(0, [3, 4, 5, 6])], 1, cpu),
        collate("t", [Feature(0, [3, 4]), Feature(1, [5, 6])], 1, cpu),
    )
    assert wide[0].content != wide[1].content


def test_the_layers_are_themselves_again_after_an_error(model, data):
    stage, weights = trained(model, data, "probe")
    scored(model, data, stage, weights)
    kept = next(iter(model.lower._kept.values()))
    with pytest.raises(RuntimeError), lower_module._passed(model.embeddings, list(model.layers), kept):
        raise RuntimeError
    assert "forward" not in vars(model.embeddings)
    assert not any("forward" in vars(layer) for layer in model.layers)


# --- training ---------------------------------------------------------------------------------------------------------


FROZEN = {"freeze_embeddings": True, "freeze_layers": 1}


@pytest.mark.parametrize(("method", "settings"), [("full", FROZEN), ("probe", {})])
def test_training_on_kept_states_gives_the_same_weights(model, data, monkeypatch, method, settings):
    kept = trained(model, data, method, **settings)[1]
    assert model.lower._trained
    monkeypatch.setattr(LowerStates, "of_features", lambda *_: None)
    plain = trained(model, data, method, **settings)[1]
    assert kept.keys() == plain.keys()
    for name, tensor in plain.items():
        if not name.endswith("key.bias"):  # its gradient is 0 but for rounding, which AdamW scales up
            torch.testing.assert_close(kept[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_lower_layers_are_not_run_while_a_stage_trains(model, data, runs):
    features = KINDS[TASK.kind].encode(TASK, data[0], model.tokenizer, TASK.max_length)
    own = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01, **FROZEN}
    count = runs(model)
    for seed in range(2):
        train(
            model,
            Stage("train", None, (TASK.name,), ("",), "tiny", "full", own, 3, seed),
            [TASK],
            {TASK.name: features},
        )
    assert count[1] == 6
    assert count[0] < 6, "once for all features"


def test_what_a_worker_did_before_changes_no_bit(model, data, tiny_model):
    stage, first = trained(model, data, **FROZEN)
    scored(model, data, stage, first)
    trained(model, data, "probe")
    again = trained(model, data, **FROZEN)[1]
    fresh = trained(without_dropout(tiny_model), data, **FROZEN)[1]
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        assert torch.equal(tensor, fresh[name])


def test_too_many_states_are_not_kept(model, data):
    model.lower = LowerStates(limit=1000)
    trained(model, data, **FROZEN)
    assert not model.lower._trained


def test_layers_with_dropout_are_run(tiny_model, data):
    model = without_dropout(tiny_model)
    model.layers[0].output.dropout.p = 0.1
    trained(model, data, **FROZEN)
    assert not model.lower._trained
    trained(model, data, "probe")  # which switches dropout off
    assert model.lower._trained


def test_robust_training_runs_all_layers(model, data):
    trained(model, data, **FROZEN, robust="smoothing", robust_epsilon=0.5, robust_share=1.0)
    assert not model.lower._trained


def test_kept_states_are_not_counted(model, data):
    features = KINDS[TASK.kind].encode(TASK, data[0], model.tokenizer, TASK.max_length)
    own = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01, **FROZEN}
    with work():
        train(
            model, Stage("train", None, (TASK.name,), ("",), "tiny", "full", own, 3, 0), [TASK], {TASK.name: features}
        )
        assert counts().examples == 24
