"""A batch in parts: the same loss and gradient as the whole, for every kind of task and method."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from exactness import exactly, furthest, quiet
from torch.optim import AdamW

from trainables import train as training
from trainables.batches import collate, parts, training_batches
from trainables.data import DataSource
from trainables.decoder import Decoder
from trainables.fingerprint import MICRO
from trainables.heads import put_heads
from trainables.kinds import KINDS
from trainables.kinds.base import IGNORED, Feature
from trainables.kinds.forms import kind_of
from trainables.methods import method, put_on
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.robust_settings import Robust
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import backward, train

TASKS = {
    "classification": "mini-nli", "tagging": "mini-tags", "span": "mini-squad2", "choice": "mini-csqa",
    "masked_lm": "mini-mlm",
}  # fmt: skip
METHODS = ("full", "prompt", "lora", "adapter")
STEPS = 3
NO_GRADIENT = ("attention.self.key.bias", "heads.mini-squad2.bias", "heads.mini-csqa.out.bias")
"""Parameters whose exact gradient is 0, since a softmax does not see what all its inputs have in common: what moves
them is rounding, which Adam makes as large as any other gradient."""


@pytest.fixture(scope="module")
def data():
    return DataSource(limit=24)


@pytest.fixture(scope="module")
def micro():
    torch.use_deterministic_algorithms(True, warn_only=True)
    return quiet(Encoder(str(MICRO)))


@pytest.fixture(scope="module")
def exact(tiny_model):
    return exactly(quiet(Encoder(tiny_model)), masked_lm=True)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory, tiny_tokenizer):
    from transformers import XGLMConfig, XGLMForCausalLM

    from trainables.new_decoder import decoder_tokenizer

    folder, tokenizer = tmp_path_factory.mktemp("xglm"), decoder_tokenizer(tiny_tokenizer)
    config = XGLMConfig(
        d_model=32, ffn_dim=64, num_layers=2, attention_heads=2, max_position_embeddings=400, dropout=0.0,
        attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.0, init_std=0.18, bos_token_id=0, pad_token_id=1,
        eos_token_id=2, vocab_size=len(tokenizer),
    )  # fmt: skip
    torch.manual_seed(0)
    XGLMForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return exactly(Decoder(str(folder)))


def stage_of(task, name="full", steps=STEPS, rate=1e-3, resumable=False, **more):
    own = scalars(MethodSettings(), name, 5 if name == "prompt" else None)
    settings = {"learning_rate": rate, "batch_size": 7, "warmup": 2, "weight_decay": 0.01, **own, **more}
    return Stage("train", None, (task.name,), ("d",), "m", name, settings, steps, 0, resumable=resumable)


def features_of(model, task, data):
    kind = kind_of(task, model)
    return [*kind.training(kind.encode(task, data.training(task), model.tokenizer, task.max_length))]


@pytest.fixture
def both(data):
    """What a stage gives with whole batches, and in three parts."""

    def both(model, kind, name="full", split=3, **more):
        task = load_task(TASKS[kind], "")
        features = {task.name: features_of(model, task, data)}
        stage = stage_of(task, name, **more)
        return tuple(train(model, stage, [task], features, split=one) for one in (1, split))

    return both


def losses(trained):
    return [trained.figures["loss_first"], trained.figures["loss_last"]]


@pytest.mark.parametrize("name", ["full", "adapter"])
@pytest.mark.parametrize("kind", TASKS)
def test_in_double_precision_parts_are_the_whole(double, exact, both, kind, name):
    whole, split = both(exact, kind, name)
    assert losses(split) == pytest.approx(losses(whole), rel=1e-13)
    assert furthest(whole.weights, split.weights) < 1e-9
    assert losses(whole)[0] != losses(whole)[1]  # something was learned


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", TASKS)
def test_in_single_precision_they_are_so_but_for_rounding(micro, both, kind, name):
    whole, split = both(micro, kind, name, steps=3, rate=2e-5)
    assert losses(split) == pytest.approx(losses(whole), rel=1e-6)
    assert furthest(whole.weights, split.weights, NO_GRADIENT) < 1e-5


@pytest.mark.parametrize("robust", ["adversarial", "smoothing"])
@pytest.mark.parametrize("kind", TASKS)
def test_robust_training_in_parts(double, exact, both, kind, robust):
    """What smoothing draws for a batch does not depend on its parts, nor do the numbers drawn for the next one."""
    settings = Robust(kind=robust, share=0.5, **({"steps": 2} if robust == "adversarial" else {})).scalars()
    whole, split = both(exact, kind, steps=2, resumable=True, **settings)
    assert losses(split) == pytest.approx(losses(whole), rel=1e-12)
    assert furthest(whole.weights, split.weights) < 1e-8
    for name in whole.state.keys() & {"robust_rng", "robust_radius", "rng"}:
        assert torch.equal(whole.state[name], split.state[name])


@pytest.mark.parametrize("kind", ["classification", "span", "choice"])
def test_a_decoder_in_parts(double, decoder, both, kind):
    """Mean over the answers' tokens, of which choices have different numbers."""
    whole, split = both(decoder, kind)
    assert losses(split) == pytest.approx(losses(whole), rel=1e-12)
    assert furthest(whole.weights, split.weights) < 1e-8


def test_a_group_in_parts(double, exact, data):
    tasks = [load_task(TASKS[kind], "") for kind in ("classification", "tagging")]
    features = {task.name: features_of(exact, task, data) for task in tasks}
    stage = stage_of(tasks[0], steps=8)
    whole, split = (train(exact, stage, tasks, features, split=one) for one in (1, 2))
    assert furthest(whole.weights, split.weights) < 1e-9


# --- one part is what training always was -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TASKS)
def test_whole_batches_are_trained_on_as_ever(tiny_model, data, kind, monkeypatch):
    """Bit for bit the plain loop, with dropout. Rows of embeddings apart, which differ in how the norm is summed."""
    monkeypatch.setattr(training, "only_used_rows", lambda *_: nullcontext())
    model, task = Encoder(tiny_model), load_task(TASKS[kind], "")
    features = features_of(model, task, data)
    stage = stage_of(task)
    found = train(model, stage, [task], {task.name: features}, split=1)
    torch.manual_seed(stage.random_seed)
    put_on(model, stage, {})
    put_heads(model, [task], {})
    method("full").prepare(model, stage.settings)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
    for step, (_, chosen) in enumerate(training_batches({task.name: features}, 7, STEPS, stage.random_seed)):
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 2)
        batch = collate(task.name, chosen, 1, model.device)
        loss = KINDS[kind].loss(model.head(task.name), model.states(batch.ids, batch.mask), batch.labels, chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    tuned = model.tuned()
    assert found.weights.keys() == tuned.keys()
    assert all(torch.equal(found.weights[name], tuned[name]) for name in tuned)


def test_the_figures_say_how_many_parts(micro, both):
    whole, split = both(micro, "classification", steps=1)
    assert "split" not in whole.figures
    assert split.figures == {**split.figures, "split": 3}


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "split"), [(8, 1), (8, 3), (9, 3), (2, 4), (1, 8), (5, 5)])
def test_parts_are_of_one_size_and_keep_the_order(count, split):
    features = [Feature(item, [0]) for item in range(count)]
    found = parts(features, split)
    assert [feature for part in found for feature in part] == features
    assert len(found) == min(count, split)
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.fixture
def tagged(exact, data):
    """The loss of some features, of which some have no label, and the gradients of the model."""
    task = load_task(TASKS["tagging"], "")
    features = features_of(exact, task, data)[:4]
    stage = stage_of(task)

    def tagged(split, unlabelled=()):
        put_on(exact, stage, {})
        torch.manual_seed(0)
        put_heads(exact, [task], {})
        method("full").prepare(exact, stage.settings)
        exact.zero_grad(set_to_none=True)
        chosen = [
            Feature(f.item, f.ids, [IGNORED] * len(f.ids)) if place in unlabelled else f
            for place, f in enumerate(features)
        ]
        loss = backward(exact, KINDS["tagging"], task.name, chosen, None, split)
        return float(loss), {n: p.grad.clone() for n, p in exact.named_parameters() if p.grad is not None}

    return tagged


@pytest.mark.parametrize("split", [2, 4, 9])
def test_a_part_without_any_label_counts_for_nothing(double, tagged, split):
    loss, gradients = tagged(1, unlabelled=(2, 3))
    own, found = tagged(split, unlabelled=(2, 3))
    assert own == pytest.approx(loss, rel=1e-13)
    assert gradients.keys() == found.keys()
    assert all(torch.allclose(gradients[name], found[name], rtol=0, atol=1e-12) for name in gradients)


def test_a_batch_without_any_label_is_what_it_is_as_a_whole(double, tagged):
    for split in (1, 2):
        loss, gradients = tagged(split, unlabelled=range(4))
        assert loss != loss
        assert not any(gradient.any() for gradient in gradients.values())


def test_the_model_never_sees_more_than_a_part(micro, data, monkeypatch):
    task, seen = load_task(TASKS["choice"], ""), []
    features = features_of(micro, task, data)[:14]
    states = micro.states
    monkeypatch.setattr(micro, "states", lambda ids, mask: seen.append(len(ids)) or states(ids, mask))
    train(micro, stage_of(task, steps=2), [task], {task.name: features}, split=4)
    assert len(seen) == 2 * 4  # 7 features are 1, 2, 2 and 2
    assert max(seen) <= 2 * max(len(feature.rows) for feature in features)
