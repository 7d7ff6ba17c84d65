"""Word embeddings of the rows that are read: the weights are those of training with all rows."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from trainables import train as training
from trainables.data import DataSource
from trainables.failures import Diverged
from trainables.kinds import KINDS
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train
from trainables.used_rows import UsedRows, used_ids

SETTINGS = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01}
WORDS = "encoder.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def model(tiny_model):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return Encoder(tiny_model)


def stage(task, steps=6, **settings):
    return Stage("train", None, (task,), ("0" * 16,), "tiny", "full", {**SETTINGS, **settings}, steps, 0)


def encoded(model, name):
    task = load_task(name, "--tasks")
    examples = DataSource(limit=60).training(task)
    return task, KINDS[task.kind].encode(task, examples, model.tokenizer, task.max_length)


@contextmanager
def every_row(*_):
    yield


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.0}, {"weight_decay": 0.3, "warmup": 4}])
def test_the_weights_are_those_of_training_with_all_rows(model, monkeypatch, settings):
    task, features = encoded(model, "mini-nli")
    own = stage("mini-nli", steps=12, **settings)
    ours = train(model, own, [task], {task.name: features})
    monkeypatch.setattr(training, "only_used_rows", every_row)
    plain = train(model, own, [task], {task.name: features})
    assert ours.weights.keys() == plain.weights.keys()
    for name, tensor in plain.weights.items():
        assert ours.weights[name].shape == tensor.shape
        torch.testing.assert_close(ours.weights[name], tensor, rtol=2e-5, atol=2e-6, msg=name)
    assert ours.figures == pytest.approx(plain.figures, rel=1e-5)


def test_only_rows_that_are_read_are_trained(model):
    task, features = encoded(model, "mini-nli")
    model.reset()
    before = model.encoder.get_input_embeddings().weight.detach().clone()
    weights = train(model, stage("mini-nli", weight_decay=0.0), [task], {task.name: features}).weights[WORDS]
    moved = set((weights != before).any(1).nonzero().flatten().tolist())
    assert moved
    assert moved <= used_ids(features) - {model.tokenizer.pad_token_id}
    assert len(used_ids(features)) < len(before) / 2, "the test is of a text that has few of the words"


def test_the_embeddings_are_whole_again_after_an_error(model):
    task, features = encoded(model, "mini-nli")
    words = model.encoder.get_input_embeddings()
    with pytest.raises(Diverged):
        train(model, stage("mini-nli", learning_rate=1e30), [task], {task.name: features})
    assert model.encoder.get_input_embeddings() is words


def test_embeddings_that_an_output_layer_shares_are_trained_whole(model, monkeypatch):
    task, features = encoded(model, "mini-mlm")
    seen = []
    monkeypatch.setattr(UsedRows, "__init__", lambda *given: seen.append(given))
    train(model, stage("mini-mlm", steps=2), [task], {task.name: features})
    assert not seen


def test_frozen_embeddings_stay_as_they_are(model):
    task, features = encoded(model, "mini-nli")
    model.reset()
    words = model.encoder.get_input_embeddings().weight.detach().clone()
    weights = train(model, stage("mini-nli", freeze_embeddings=True), [task], {task.name: features}).weights
    assert WORDS not in weights
    torch.testing.assert_close(model.encoder.get_input_embeddings().weight, words, rtol=0, atol=0)


def test_the_rows_read_what_the_whole_matrix_reads():
    words = nn.Embedding(10, 4, padding_idx=1)
    rows = UsedRows(words, torch.tensor([0, 1, 4, 7]))
    ids = torch.tensor([[7, 0, 1], [4, 4, 1]])
    torch.testing.assert_close(rows(ids), words(ids), rtol=0, atol=0)
    rows(ids).sum().backward()
    assert rows.weight.grad.sum(1).tolist() == [4.0, 0.0, 8.0, 4.0], "the padding row has no gradient"
    with pytest.raises(IndexError):
        rows(torch.tensor([3]))


def test_robust_training_has_the_radius_of_all_words(model, monkeypatch):
    task, features = encoded(model, "mini-nli")
    own = stage("mini-nli", steps=3, robust="smoothing", robust_epsilon=0.5, robust_share=1.0)
    ours = train(model, own, [task], {task.name: features})
    monkeypatch.setattr(training, "only_used_rows", every_row)
    plain = train(model, own, [task], {task.name: features})
    assert ours.figures == pytest.approx(plain.figures, rel=1e-5)


def test_what_a_worker_did_before_changes_no_bit(tiny_model):
    model = Encoder(tiny_model)
    task, features = encoded(model, "mini-nli")
    first = train(model, stage("mini-nli"), [task], {task.name: features}).weights
    modules = scalars(MethodSettings(), "adapter")
    adapted = Stage("train", None, ("mini-nli",), ("",), "tiny", "adapter", {**SETTINGS, **modules}, 2, 0)
    train(model, adapted, [task], {task.name: features})
    again = train(model, stage("mini-nli"), [task], {task.name: features}).weights
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
