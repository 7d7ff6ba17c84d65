"""Robust training: perturbations stay in their ball, hurt when they should, and leave everything else alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables import robust as robust_module
from trainables.batches import collate
from trainables.config import build
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.kinds import KINDS
from trainables.models import Encoder
from trainables.robust import RobustLoss, into_ball, uniform_in_ball
from trainables.robust_settings import Robust
from trainables.tasks import load_task

TASK = load_task("mini-nli", "--tasks")
KIND = KINDS[TASK.kind]


@pytest.fixture(scope="module")
def model(tiny_model):
    torch.set_num_threads(1)
    return Encoder(tiny_model)


@pytest.fixture(scope="module")
def features(model):
    return KIND.encode(TASK, DataSource(limit=64).training(TASK), model.tokenizer, TASK.max_length)


@pytest.fixture
def batch(model, features):
    """A batch and its loss; the model as a stage begins with it, its encoder frozen (without dropout) or not."""

    def batch(frozen=False, rows=slice(0, 8)):
        torch.manual_seed(1)
        model.reset()
        model.add_head(TASK.name, KIND.head(TASK, model))
        model.encoder.requires_grad_(not frozen).train(not frozen)
        made = collate(TASK.name, features[rows], int(model.tokenizer.pad_token_id), model.device)
        head = model.head(TASK.name)
        return made, lambda: KIND.loss(head, model.states(made.ids, made.mask), made.labels, made.features)

    return batch


def robust(kind="adversarial", seed=7, **more):
    return RobustLoss(Robust(kind=kind, **more).scalars(), seed)


# --- settings ---------------------------------------------------------------------------------------------------------


def test_none_gives_a_stage_no_settings():
    assert Robust().scalars() == {}


def test_each_kind_gives_what_it_reads():
    assert set(Robust(kind="smoothing").scalars()) == {"robust", "robust_epsilon", "robust_share"}
    told = Robust(kind="adversarial", epsilon=0.2, steps=3, share=0.5).scalars()
    assert told == {"robust": "adversarial", "robust_epsilon": 0.2, "robust_steps": 3, "robust_share": 0.5}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kind": "gaussian"}, "kind"), ({"kind": "smoothing", "epsilon": 0}, "epsilon"),
        ({"kind": "smoothing", "epsilon": float("nan")}, "epsilon"), ({"kind": "smoothing", "steps": 2}, "steps"),
        ({"kind": "adversarial", "steps": 0}, "steps"), ({"kind": "adversarial", "share": 0}, "share"),
        ({"kind": "adversarial", "share": 1.5}, "share"), ({"epsilon": 0.2}, "epsilon"), ({"share": 0.5}, "share"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_told(given, named):
    with pytest.raises(Mistake, match=named):
        build(Robust, given, "robust.yaml")


def test_what_a_run_writes_down_can_be_read_again():
    for one in (Robust(), Robust(kind="smoothing", epsilon=0.3), Robust(kind="adversarial", steps=2)):
        assert Robust.model_validate(one.model_dump()) == one


@pytest.mark.parametrize("kind", ["none", None, "worst"])
def test_other_kinds_make_no_loss(kind):
    with pytest.raises(ValueError, match="adversarial and smoothing"):
        RobustLoss({"robust": kind, "robust_epsilon": 0.1, "robust_share": 1.0}, 0)


# --- the ball ---------------------------------------------------------------------------------------------------------


def test_the_ball_is_filled_evenly():
    radius, width = 3.0, 4
    found = uniform_in_ball((20_000, width), radius, torch.Generator().manual_seed(0))
    norms = found.norm(dim=-1)
    assert norms.max() <= radius * (1 + 1e-5)
    # Of a ball's volume the share r^width lies within r radii of its middle.
    for share in (0.5, 0.8, 0.95):
        assert float((norms < share * radius).float().mean()) == pytest.approx(share**width, abs=0.01)
    assert found.mean(0).abs().max() < 0.05


def test_only_what_is_outside_is_brought_back():
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(into_ball(vectors, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


@pytest.mark.parametrize(
    "settings", [{"kind": "smoothing"}, {}, {"steps": 3}, {"steps": 4, "epsilon": 1.0, "share": 0.5}]
)
def test_words_are_moved_within_the_radius_and_nothing_else(model, batch, monkeypatch, settings):
    made, forward = batch()
    added = []
    inject = robust_module._added

    def spy(words, delta, mask, special):
        added.append((delta.detach(), special))
        return inject(words, delta, mask, special)

    monkeypatch.setattr(robust_module, "_added", spy)
    loss = robust(**settings)
    loss(model, forward, made.mask)
    words = model.encoder.get_input_embeddings()
    radius = loss.radius(words)
    assert radius == pytest.approx(settings.get("epsilon", 0.1) * words.weight.norm(dim=1).mean().item(), rel=1e-5)

    delta, special = added[-1]
    outputs = []
    with inject(words, delta, made.mask, special):
        handle = words.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        words(made.ids)
        handle.remove()
    lengths = (outputs[0] - words(made.ids)).norm(dim=-1)
    word = made.mask.bool() & ~torch.isin(made.ids, torch.tensor([0, 1, 2]))
    assert word.any()
    assert not word.all()
    assert lengths[~word].max() == 0
    assert lengths.max() <= radius * (1 + 1e-4)
    assert lengths[word].min() > 0.3 * radius


def test_unknown_words_are_moved_too(model):
    special = robust_module._special(model)
    assert model.tokenizer.unk_token_id not in special
    assert {model.tokenizer.pad_token_id, model.tokenizer.cls_token_id} <= set(special.tolist())


def test_no_trace_is_left_on_the_model(model, batch):
    made, forward = batch()
    model.eval()
    before = forward().item()
    robust(steps=2)(model, forward, made.mask)
    assert not model.encoder.get_input_embeddings()._forward_hooks
    assert forward().item() == before


def test_a_failing_batch_leaves_no_trace_either(model, batch):
    made, _ = batch()

    def failing():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        robust("smoothing")(model, failing, made.mask)
    assert not model.encoder.get_input_embeddings()._forward_hooks


def test_a_mask_of_other_tokens_is_refused(model, batch):
    made, forward = batch()
    with pytest.raises(ValueError, match="not"):
        robust("smoothing")(model, forward, made.mask[:, :-1])
    with pytest.raises(ValueError, match="without embedding"):
        robust("smoothing")(model, lambda: torch.zeros(()), made.mask)


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
def test_the_attack_makes_the_loss_greater(model, batch, frozen):
    clean, attacked, random = [], [], []
    for start in range(0, 64, 8):
        made, forward = batch(frozen, slice(start, start + 8))
        model.eval()  # so that dropout hides nothing
        clean.append(forward().item())
        attacked.append(robust(epsilon=0.5)(model, forward, made.mask).item())
        random.append(robust("smoothing", epsilon=0.5)(model, forward, made.mask).item())
    assert all(worse > loss for worse, loss in zip(attacked, clean, strict=True))
    assert sum(attacked) > sum(random)  # it is found, not come upon


def test_more_steps_find_worse(model, batch):
    one, five = [], []
    for start in range(0, 64, 8):
        made, forward = batch(rows=slice(start, start + 8))
        model.eval()
        one.append(robust(epsilon=1.0)(model, forward, made.mask).item())
        five.append(robust(epsilon=1.0, steps=5)(model, forward, made.mask).item())
    assert sum(five) > sum(one)


def test_a_greater_ball_holds_worse(model, batch):
    made, forward = batch()
    model.eval()
    losses = [robust(epsilon=epsilon)(model, forward, made.mask).item() for epsilon in (0.01, 0.1, 0.5)]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(forward().item(), abs=0.05)


def test_the_share_weighs_clean_and_perturbed(model, batch):
    made, forward = batch()
    model.eval()
    clean, whole = forward().item(), robust()(model, forward, made.mask).item()
    part = robust(share=0.25)(model, forward, made.mask).item()
    assert part == pytest.approx(0.75 * clean + 0.25 * whole, rel=1e-5)


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adversarial", "smoothing"])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_go_to_what_is_tuned(model, batch, frozen, kind):
    made, forward = batch(frozen)
    model.zero_grad(set_to_none=True)
    loss = robust(kind)(model, forward, made.mask)
    assert all(parameter.grad is None for parameter in model.parameters())
    loss.backward()
    tuned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert tuned
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == tuned


@pytest.mark.parametrize("settings", [{"kind": "smoothing"}, {"steps": 2}, {"steps": 2, "share": 0.5}])
def test_the_gradient_is_that_of_the_loss_at_the_perturbed_words(model, batch, monkeypatch, settings):
    made, forward = batch()  # with dropout
    found = []
    inject = robust_module._added

    def spy(words, delta, *more):
        found.append((words, delta.detach(), *more))
        return inject(words, delta, *more)

    monkeypatch.setattr(robust_module, "_added", spy)
    model.zero_grad(set_to_none=True)
    torch.manual_seed(3)
    robust(**settings)(model, forward, made.mask).backward()
    got = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    share = settings.get("share", 1.0)
    model.zero_grad(set_to_none=True)
    torch.manual_seed(3)
    with inject(*found[-1]):
        (share * forward()).backward()
    torch.manual_seed(3)
    ((1 - share) * forward()).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-6)
    assert any(gradient.abs().max() > 1e-4 for gradient in got.values())


def test_a_prefix_on_a_frozen_encoder_can_be_attacked(model, batch):
    """Nothing below the perturbation is trained, as under prefix tuning and LoRA."""
    made, _ = batch(frozen=True)
    added = nn.Parameter(torch.zeros(model.width))
    head = model.head(TASK.name)

    def forward():
        return KIND.loss(head, model.states(made.ids, made.mask) + added, made.labels, made.features)

    model.zero_grad(set_to_none=True)
    robust()(model, forward, made.mask).backward()
    assert added.grad is not None
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


# --- random numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"kind": "smoothing"}, {"steps": 2}, {"kind": "smoothing", "share": 0.5}])
def test_the_seed_alone_decides(model, batch, settings):
    def losses(seed):
        made, forward = batch()
        loss = robust(seed=seed, **settings)
        return [loss(model, forward, made.mask).item() for _ in range(3)]

    first = losses(7)
    assert losses(7) == first
    if settings.get("kind") == "smoothing":
        assert losses(8) != first
        assert len(set(first)) == 3


@pytest.mark.parametrize("settings", [{"kind": "smoothing"}, {"steps": 2}])
def test_a_longer_training_goes_on_where_the_shorter_one_ended(model, batch, settings):
    made, forward = batch()
    model.eval()
    words = model.encoder.get_input_embeddings().weight
    whole, first, second = (robust(**settings) for _ in range(3))
    losses = []
    for step in range(3):
        losses.append(whole(model, forward, made.mask).item())
        if step < 1:
            first(model, forward, made.mask)
        with torch.no_grad():
            words.mul_(1.1)  # as training would: the radius stays that of the first batch
    second.restore({**first.state(), "losses": torch.zeros(1)}, made.mask.device)
    with torch.no_grad():
        words.div_(1.1**2)
    found = second(model, forward, made.mask).item()
    assert found == pytest.approx(losses[1], rel=1e-5)
    assert robust(**settings)(model, forward, made.mask).item() != pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("settings", [{"kind": "smoothing"}, {"steps": 3}, {"steps": 3, "share": 0.5}])
def test_dropout_goes_on_as_without_it(model, batch, settings):
    made, forward = batch()
    assert model.encoder.training
    torch.manual_seed(5)
    forward()
    after = torch.get_rng_state()
    torch.manual_seed(5)
    robust(**settings)(model, forward, made.mask)
    assert torch.equal(torch.get_rng_state(), after)


def test_every_pass_of_a_step_has_the_same_dropout(model, batch):
    made, forward = batch()
    seen = []

    def telling():
        seen.append(forward())
        return seen[-1]

    torch.manual_seed(5)
    clean = forward().item()
    torch.manual_seed(5)
    robust(epsilon=1e-6, steps=2, share=0.5)(model, telling, made.mask)
    assert [loss.item() for loss in seen] == pytest.approx([clean] * 4, abs=1e-4)
    assert forward().item() != pytest.approx(clean, abs=1e-4)  # that of the next step is another
