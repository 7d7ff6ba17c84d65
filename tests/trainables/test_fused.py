"""Trials trained together are what they are alone: every method and form, every kind of task, with dropout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from exactness import exactly, furthest, quiet
from safetensors.torch import load, save
from transformers import AutoModel, BertConfig, BertModel

from trainables import fused, fused_cost
from trainables.batches import collate, collate_together
from trainables.data import DataSource
from trainables.failures import Diverged
from trainables.fingerprint import MICRO
from trainables.fusable import signature
from trainables.fused import Drawn, Job, fits, passes, train_together
from trainables.fused_modules import Rows
from trainables.kinds import KINDS
from trainables.kinds.base import Feature
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.precision import computed_in
from trainables.robust_settings import Robust
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train
from trainables.watch import counts, work

VARIANTS = {
    "prefix": ("prompt", {}),
    "prefix, dropout": ("prompt", {"prompt": {"dropout": 0.3}}),
    "reparameterised": ("prompt", {"prompt": {"form": "reparameterised", "bottleneck": 16}}),
    "input": ("prompt", {"prompt": {"form": "input"}}),
    "pfeiffer": ("adapter", {"adapter": {"reduction": 4}}),
    "houlsby": ("adapter", {"adapter": {"form": "houlsby", "reduction": 8}}),
    "stack": ("adapter", {"adapter": {"along": "stack"}}),
    "houlsby, stack": ("adapter", {"adapter": {"form": "houlsby", "along": "stack"}}),
    "lora": ("lora", {}),
    "lora, all": (
        "lora",
        {"lora": {"matrices": ["q", "k", "v", "intermediate", "output"], "layers": [1], "rank": 3, "dropout": 0.2}},
    ),
    "merge": ("lora", {"lora": {"along": "merge", "alpha": 3}}),
}
TASKS = {
    "classification": "mini-nli", "tagging": "mini-tags", "span": "mini-squad2", "choice": "mini-csqa",
    "masked_lm": "mini-mlm",
}  # fmt: skip
NO_GRADIENT = ("heads.mini-squad2.bias", "heads.mini-csqa.out.bias")
"""Their exact gradient is 0: a softmax does not see what all its inputs have in common, and Adam enlarges rounding."""


@pytest.fixture(scope="module")
def data():
    return DataSource(limit=24)


@pytest.fixture(scope="module")
def exact(tiny_model):
    """A model with dropout in double precision."""
    torch.set_num_threads(1)
    model = exactly(Encoder(tiny_model), masked_lm=True)
    assert model.encoder.config.hidden_dropout_prob == model.encoder.config.attention_probs_dropout_prob == 0.1
    return model


@pytest.fixture(scope="module")
def still(tiny_model):
    """The same without dropout."""
    return exactly(quiet(Encoder(tiny_model)), masked_lm=True)


@pytest.fixture(scope="module")
def micro():
    torch.set_num_threads(1)
    return Encoder(str(MICRO))


@pytest.fixture(scope="module")
def features(micro, data):
    """By kind; the tiny model's vocabulary is another, but smaller ids are words of it too."""
    found = {}
    for kind, name in TASKS.items():
        task = load_task(name, "")
        encoded = KINDS[kind].encode(task, data.training(task), micro.tokenizer, 48)
        found[kind] = [_within(feature, 800) for feature in encoded[:16]]
    return found


def _within(feature, words):
    """The feature with token ids of a smaller vocabulary."""
    label = feature.label
    if isinstance(label, list) and len(label) == len(feature.ids):
        label = [number % words if number >= words else number for number in label]
    return replace(
        feature, ids=[i % words for i in feature.ids], others=[[i % words for i in row] for row in feature.others],
        label=label,
    )  # fmt: skip


@pytest.fixture
def job(features):
    """A job by variant and kinds of task; further arguments are settings."""

    def job(variant, *kinds, steps=3, seed=0, parent=None, begun=None, resumable=False, carried=(), **more):
        name, fields = VARIANTS[variant]
        own = scalars(MethodSettings.model_validate(fields), name, 5 if name == "prompt" else None)
        training = {"learning_rate": 1e-3, "batch_size": 4, "warmup": 2, "weight_decay": 0.01}
        tasks = [load_task(TASKS[kind], "") for kind in kinds]
        names = tuple(task.name for task in tasks)
        stage = Stage(
            "train", "p" if parent else None, names, ("d",) * len(names), "m", name, {**training, **own, **more},
            steps, seed, resumable=resumable,
        )  # fmt: skip
        held = {task.name: features[kind] for task, kind in zip(tasks, kinds, strict=True)}
        return Job(stage, tasks, held, parent or {}, carried, begun)

    return job


def alone(model, job):
    return train(model, job.stage, job.tasks, job.features, job.parent, job.carried, job.begun)


def assert_alike(wanted, found, within=1e-9):
    """Weights, figures and states of stages trained alone and together."""
    for one, other in zip(wanted, found, strict=True):
        assert furthest(one.weights, other.weights) < within
        assert other.figures == pytest.approx(one.figures, rel=1e-9)
        assert one.state.keys() == other.state.keys()
        for name, tensor in one.state.items():
            assert torch.allclose(tensor.double(), other.state[name].double(), rtol=1e-9, atol=within), name


def diverse(job, variant, model):
    """Trials that differ in all in which they may: tasks, rates, decay, seeds, sizes of batch and text, steps, parents,
    lengths of prompts, whether they are resumable, and (in a stack) former modules."""
    parent = alone(model, job(variant, "tagging", seed=9, learning_rate=1e-2)).weights
    grand = alone(model, job(variant, "choice", seed=8, parent=parent)).weights
    longer = {"prompt_length": 9} if VARIANTS[variant][0] == "prompt" else {}
    return [
        job(variant, "classification", parent=grand, learning_rate=5e-3),
        job(variant, "tagging", seed=1, steps=2, weight_decay=0.3, **longer),
        job(variant, "span", seed=2, batch_size=3, steps=5, warmup=4, resumable=True),
        job(variant, "choice", seed=3, batch_size=2, parent=parent),
        job(variant, "masked_lm", seed=4, batch_size=5, steps=4, **longer),
        job(variant, "tagging", "choice", seed=5, parent=parent, steps=6, sampling="uniform", resumable=True),
    ]


# --- together as alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [300, 10**6])
@pytest.mark.parametrize("variant", VARIANTS)
def test_together_is_alone(double, exact, job, variant, tokens):
    """In double precision, with dropout of states, attention and modules, whatever is read in one pass."""
    jobs = diverse(job, variant, exact)
    assert_alike([alone(exact, one) for one in jobs], train_together(exact, jobs, tokens))


@pytest.mark.parametrize("variant", VARIANTS)
def test_so_it_is_without_dropout(double, still, job, variant):
    """Attention is then computed for all at once, with what prompts were filled up with hidden."""
    jobs = diverse(job, variant, still)
    assert_alike([alone(still, one) for one in jobs], train_together(still, jobs, 10**6))


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_single_precision_it_is_so_but_for_rounding(micro, job, variant):
    jobs = [
        replace(one, stage=replace(one.stage, settings={**one.stage.settings, "learning_rate": 2e-5}))
        for one in diverse(job, variant, micro)
    ]
    for one, found in zip(jobs, train_together(micro, jobs), strict=True):
        wanted = alone(micro, one)
        assert furthest(wanted.weights, found.weights, NO_GRADIENT) < 1e-5 * one.stage.steps
        assert found.figures == pytest.approx(wanted.figures, rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_mixed_precision_it_is_so_but_for_its_rounding(micro, job, variant):
    """Of a weight that AdamW moves by about the learning rate a step a few hundredths at most, in the mean."""
    with computed_in(micro, "bfloat16"):
        jobs = diverse(job, variant, micro)
        for one, found in zip(jobs, train_together(micro, jobs), strict=True):
            wanted = alone(micro, one)
            gone = one.stage.settings["learning_rate"] * one.stage.steps
            apart = torch.cat([(found.weights[name] - tensor).flatten() for name, tensor in wanted.weights.items()])
            assert apart.abs().mean() < 0.03 * gone
            assert found.figures == pytest.approx(wanted.figures, rel=0.03)


@pytest.mark.parametrize("variant", ["prefix", "input", "merge"])
def test_eager_attention(double, tiny_model, job, variant):
    """Its dropout is of the attention's weights."""

    class Eager(Encoder):
        def _load(self):
            return AutoModel.from_pretrained(**self._source, attn_implementation="eager", **self._extra)

    model = exactly(Eager(tiny_model))
    longer = {"prompt_length": 8} if variant != "merge" else {}
    jobs = [job(variant, "classification"), job(variant, "span", seed=1, batch_size=3, **longer)]
    assert_alike([alone(model, one) for one in jobs], train_together(model, jobs, 10**6))


@pytest.mark.parametrize("variant", ["prefix", "input", "pfeiffer", "lora"])
def test_a_model_with_token_types(double, tmp_path, tiny_tokenizer, job, variant):
    config = BertConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, initializer_range=0.18, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    model = exactly(Encoder(str(tmp_path)))
    jobs = [job(variant, "classification"), job(variant, "span", seed=1), job(variant, "choice", seed=2, batch_size=2)]
    assert_alike([alone(model, one) for one in jobs], train_together(model, jobs))


def test_carried_heads(double, exact, job):
    """One goes on, one is only kept."""
    parent = alone(exact, job("lora", "tagging", "choice")).weights
    carried = [load_task(TASKS[kind], "") for kind in ("tagging", "choice")]
    jobs = [job("lora", "tagging", parent=parent, carried=carried), job("lora", "span", seed=1)]
    wanted, found = [alone(exact, one) for one in jobs], train_together(exact, jobs)
    assert_alike(wanted, found)
    assert torch.equal(found[0].weights["heads.mini-csqa.out.weight"], parent["heads.mini-csqa.out.weight"])


@pytest.mark.parametrize("variant", ["prefix", "stack", "merge"])
def test_a_longer_stage_goes_on_from_a_shorter_one(double, exact, job, variant):
    """Alone from a state of together, and together from one of alone."""
    short, long = job(variant, "tagging", steps=3, resumable=True), job(variant, "tagging", steps=7)
    other = job(variant, "choice", seed=1, steps=5)
    whole = alone(exact, long)
    states = alone(exact, short).state, train_together(exact, [other, short])[1].state
    first, second = (replace(long, begun=load(save(state))) for state in states)
    assert_alike([whole, whole], [train_together(exact, [other, first])[1], alone(exact, second)])


def test_a_state_of_all_steps(double, exact, job):
    """Nothing is left to train."""
    done = alone(exact, job("lora", "tagging", resumable=True))
    jobs = [job("lora", "tagging", begun=done.state), job("lora", "choice", seed=1)]
    assert_alike([done._replace(state={})], train_together(exact, jobs)[:1])


# --- trials do not meet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["prefix", "input", "pfeiffer", "lora, all"])
def test_dropout_does_not_depend_on_the_partners(double, exact, job, variant):
    own = job(variant, "classification", steps=4)
    partners = [
        [],
        [job(variant, "span", seed=1, batch_size=5)],
        [job(variant, "choice", seed=2), job(variant, "tagging", seed=3, steps=1)],
    ]
    found = [train_together(exact, [*beside, own], 10**6)[-1] for beside in partners]
    assert_alike([found[0]] * 3, found)
    for module in exact.encoder.modules():
        assert not isinstance(module, torch.nn.Dropout) or module.training
    assert furthest(found[0].weights, alone(exact, replace(own, stage=replace(own.stage, seed=7))).weights) > 1e-4


@pytest.mark.parametrize("variant", ["prefix", "input", "houlsby", "lora", "merge"])
@pytest.mark.parametrize("steps", [3, 40])
def test_one_that_diverges_harms_no_other(double, exact, job, variant, steps):
    jobs = [
        job(variant, "classification", steps=steps),
        job(variant, "classification", seed=1, steps=steps, learning_rate=1e300),
        job(variant, "tagging", seed=2, batch_size=3, steps=steps),
    ]
    first, diverged, last = train_together(exact, jobs, 10**6)
    assert_alike([alone(exact, jobs[0]), alone(exact, jobs[2])], [first, last], 1e-8)
    assert isinstance(diverged, Diverged)
    with pytest.raises(Diverged) as own:
        alone(exact, jobs[1])
    assert str(diverged) == str(own.value)


def test_all_that_is_read_is_counted(micro, job):
    jobs = [job("lora", "classification"), job("lora", "choice", seed=1, steps=5), job("lora", "span", seed=2)]
    wanted = []
    for one in jobs:
        with work():
            alone(micro, one)
            wanted.append(counts())
    with work():
        train_together(micro, jobs)
        assert counts() == tuple(map(sum, zip(*wanted, strict=True)))


def test_the_model_and_the_random_numbers_are_as_before(micro, job):
    jobs = [job("stack", "tagging"), job("stack", "choice", seed=1)]
    before = alone(micro, jobs[0])
    torch.manual_seed(1)
    drawn = torch.get_rng_state()
    train_together(micro, jobs)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any("forward" in module.__dict__ for module in micro.encoder.modules())
    again = alone(micro, jobs[0])
    assert all(torch.equal(before.weights[name], again.weights[name]) for name in before.weights)


def test_what_fails_leaves_no_trace(micro, job):
    jobs = [job("prefix", "tagging"), job("prefix", "choice", seed=1)]
    wanted = alone(micro, jobs[0])
    broken = replace(jobs[1], features={"mini-csqa": [Feature(0, [0, 10**6, 2], 0)]})
    with pytest.raises(IndexError):
        train_together(micro, [jobs[0], broken])
    found = alone(micro, jobs[0])
    assert all(torch.equal(wanted.weights[name], found.weights[name]) for name in wanted.weights)


# --- which ------------------------------------------------------------------------------------------------------------


def test_stages_with_equal_signatures(job):
    one = job("lora", "tagging").stage
    alike = job("lora", "choice", seed=3, steps=9, batch_size=32, learning_rate=0.1, warmup=7, parent={"x": 1}).stage
    assert signature(one) == signature(alike) is not None
    settings = one.settings
    for other in (
        replace(one, model="another"), replace(one, settings={**settings, "lora_rank": 3}),
        replace(one, settings={**settings, "lora_alpha": 3}), replace(one, settings={**settings, "along": "merge"}),
        replace(one, settings={**settings, "lora_layers": "1"}), job("pfeiffer", "tagging").stage,
        replace(one, settings={**settings, "unknown": 1}),
    ):  # fmt: skip
        assert signature(other) not in (None, signature(one))
    assert signature(job("pfeiffer", "tagging").stage) != signature(job("houlsby", "tagging").stage)
    assert signature(job("prefix", "tagging").stage) != signature(job("input", "tagging").stage)
    longer = job("prefix", "tagging", prompt_length=224).stage
    assert signature(longer) == signature(job("prefix", "tagging").stage)


def test_stages_without_a_signature(job):
    one = job("lora", "tagging").stage
    robust = Robust(kind="smoothing", share=0.5).scalars()
    for other in (
        replace(one, method="full"), replace(one, method="probe"), replace(one, kind="score"),
        replace(one, settings={**one.settings, **robust}),
        replace(one, settings={**one.settings, "language_adapters": True}),
    ):  # fmt: skip
        assert signature(other) is None


def test_what_cannot_be_trained_together_is_refused(micro, job, monkeypatch):
    jobs = [job("lora", "tagging"), job("pfeiffer", "tagging")]
    with pytest.raises(ValueError, match=f"cannot be trained together: {jobs[0].stage.key}, {jobs[1].stage.key}"):
        train_together(micro, jobs)
    full = replace(jobs[0], stage=replace(jobs[0].stage, method="full"))
    with pytest.raises(ValueError, match="cannot be trained together"):
        train_together(micro, [full, full])
    assert train_together(micro, []) == []
    assert fits(micro)
    monkeypatch.setattr(micro.encoder.config, "model_type", "deberta-v2")
    assert not fits(micro)
    with pytest.raises(ValueError, match="cannot be trained together"):
        train_together(micro, jobs[:1])


def test_updates_merged_where_there_are_none_now_are_refused(micro, job):
    parent = {"encoder.encoder.layer.0.output.dense.weight": torch.zeros(128, 256)}
    with pytest.raises(ValueError, match=r"changed before, but was not: encoder\.layer\.0\.output\.dense"):
        train_together(micro, [job("merge", "tagging", parent=parent)])


# --- rows and passes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [[2, 2, 2], [1, 3, 2], [4]])
def test_rows_apart_and_together(counts):
    rows = Rows(counts, torch.device("cpu"))
    given = torch.arange(float(sum(counts) * 10)).reshape(-1, 5, 2)
    apart = rows.apart(given)
    assert apart.shape == (len(counts), max(counts) * 5, 2)
    assert torch.equal(rows.together(apart, 5), given)
    for own, part in zip(apart, given.split(counts), strict=True):
        assert torch.equal(own[: part.numel() // 2], part.reshape(-1, 2))
        assert set(own.flatten().tolist()) == set(part.flatten().tolist())  # filled up with the trial's own
    whose = rows.each(torch.arange(len(counts)).unsqueeze(1)).squeeze(1).tolist()
    assert whose == [place for place, count in enumerate(counts) for _ in range(count)]


def test_passes_hold_batches_of_similar_length():
    drawn = [Drawn(None, "t", [Feature(0, [0] * length)] * rows) for length, rows in [(9, 2), (30, 1), (10, 3), (8, 1)]]
    assert [[one.length for one in own] for own in passes(drawn, 50)] == [[30], [10, 9], [8]]
    assert [[one.length for one in own] for own in passes(drawn, 1)] == [[30], [10], [9], [8]]
    assert [[one.length for one in own] for own in passes(drawn, 10**6)] == [[30, 10, 9, 8]]


def test_batches_one_below_the_other(features):
    batches = [features["classification"][:3], features["choice"][:2], features["tagging"][:2]]
    device = torch.device("cpu")
    with work():
        ids, mask, labels = collate_together(batches, 1, device)
        together = counts()
    first = 0
    with work():
        for batch, labelled in zip(batches, labels, strict=True):
            own = collate("t", batch, 1, device)
            rows, length = own.ids.shape
            assert torch.equal(ids[first : first + rows, :length], own.ids)
            assert torch.equal(mask[first : first + rows, :length], own.mask)
            assert not mask[first : first + rows, length:].any()
            assert torch.equal(labelled, own.labels)
            first += rows
        assert counts() == together
    assert first == len(ids)


# --- whether it pays --------------------------------------------------------------------------------------------------


def test_the_fastest_is_chosen_where_it_is_clearly_faster():
    assert fused_cost.fastest({fused_cost.ALONE: 2.0, 1024: 1.0, 2048: 1.5}) == 1024
    assert fused_cost.fastest({fused_cost.ALONE: 1.0, 1024: 0.97, 2048: 1.5}) == fused_cost.ALONE
    assert fused_cost.fastest({fused_cost.ALONE: 1.0, 1024: float("inf")}) == fused_cost.ALONE


def test_groups_that_are_alike_are_measured_once(micro, job, monkeypatch):
    measured = []
    monkeypatch.setattr(fused_cost, "_chosen", {})
    monkeypatch.setattr(fused_cost, "_asked", {})
    monkeypatch.setattr(fused_cost, "measured", lambda *about: measured.append(about) or {0: 2.0, 1024: 1.0})

    def group(**more):
        return [job("lora", "tagging", seed=seed, **{"steps": 300, **more}) for seed in range(3)]

    assert fused_cost.pays(micro, group())
    assert fused_cost.pays(micro, group(learning_rate=0.1))
    assert len(measured) == 1
    fused_cost.pays(micro, group(batch_size=8))
    fused_cost.pays(micro, group()[:2])
    assert len(measured) == 3
    assert not fused_cost.pays(micro, group()[:1])
    assert not fused_cost.pays(micro, [replace(one, stage=replace(one.stage, method="full")) for one in group()])
    assert not fused_cost.pays(micro, group(batch_size=400))  # two are more than a pass
    assert len(measured) == 3
    assert not fused_cost.pays(micro, group(batch_size=1, steps=150))
    assert fused_cost.pays(micro, group(batch_size=1, steps=150))  # enough of them by now
    assert len(measured) == 4


def test_measuring_changes_nothing(micro, job, monkeypatch):
    monkeypatch.setattr(fused_cost, "_chosen", {})
    monkeypatch.setattr(fused_cost, "_asked", {})
    jobs = [job("prefix", kind, seed=seed, steps=300) for seed, kind in enumerate(("tagging", "choice"))]
    short = replace(jobs[0], stage=replace(jobs[0].stage, steps=3))
    wanted = train_together(micro, [short])[0]
    torch.manual_seed(1)
    drawn = torch.get_rng_state()
    with work():
        collate("t", jobs[0].features["mini-tags"][:2], 1, micro.device)
        before = counts()
        fused_cost.pass_tokens(micro, jobs)
        assert fused_cost._chosen
        assert counts() == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert micro.modules_on == []
    found = train_together(micro, [short])[0]
    assert all(torch.equal(wanted.weights[name], found.weights[name]) for name in wanted.weights)


def test_what_is_measured_is_every_choice(micro, job):
    jobs = [job("lora", "tagging", steps=50), job("lora", "choice", seed=1, steps=50), job("lora", "span", steps=50)]
    seconds = fused_cost.measured(micro, jobs, fused_cost.PASSES["cpu"])
    assert seconds.keys() == {fused_cost.ALONE, *fused_cost.PASSES["cpu"]}
    assert all(spent > 0 for spent in seconds.values())


def test_what_memory_is_too_small_for_does_not_pay(micro, job, monkeypatch):
    run = fused.run_steps

    def full(model, trials, tokens, most):
        if tokens == 2048:
            raise torch.OutOfMemoryError("CUDA out of memory")
        run(model, trials, tokens, most)

    monkeypatch.setattr(fused_cost, "run_steps", full)
    jobs = [job("lora", "tagging", steps=50), job("lora", "choice", seed=1, steps=50)]
    assert fused_cost.measured(micro, jobs, [1024, 2048])[2048] == float("inf")
