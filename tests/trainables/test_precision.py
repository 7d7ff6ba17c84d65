"""Mixed precision: forward passes and nothing else in bfloat16, for every kind, method and score."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from perturbing import LANGUAGES, TASKS
from safetensors.torch import load

from trainables.batches import collate
from trainables.bench import Bench, Workplace
from trainables.continuations import logprobs
from trainables.data import DataSource
from trainables.decoder import Decoder, Prompt
from trainables.fingerprint import model_path
from trainables.kinds.forms import kind_of
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.precision import computed_in, forward_pass
from trainables.robust_settings import Robust
from trainables.stage import STATE, WEIGHTS, Stage
from trainables.store import Store
from trainables.tasks import load_task
from trainables.train import Course, train

TRAINED = {
    "classification": "mini-nli", "tagging": "mini-tags", "span": "mini-squad2", "choice": "mini-csqa",
    "masked_lm": "mini-mlm",
}  # fmt: skip
ALL = {
    "full": ("full", {}, {}), "full, robust": ("full", {}, Robust(kind="adversarial", steps=2, share=0.5).scalars()),
    "full, smoothed": ("full", {}, Robust(kind="smoothing").scalars()), "probe": ("probe", {}, {}),
    "prompt": ("prompt", {}, {}), "adapter": ("adapter", {}, {}),
    "lora, merged": ("lora", {"lora": {"along": "merge"}}, {}),
}  # fmt: skip
"""Methods, their settings, and further ones of a stage."""

EVERY_STEP = ("states", "cross_entropy", "backward", "clip_grad_norm_", "step")


def autocast() -> bool:
    return torch.is_autocast_enabled("cpu")


def watch(monkeypatch, where, name, seen):
    """Note at each call whether autocast is on."""
    real = getattr(where, name)

    def told(*given, **named):
        seen.add(autocast())
        return real(*given, **named)

    monkeypatch.setattr(where, name, told)


@pytest.fixture
def tiny(tiny_model):
    return Encoder(tiny_model)


@pytest.fixture(scope="module")
def micro():
    return Encoder(model_path("micro"))


@pytest.fixture(scope="module")
def data():
    return DataSource(limit=32)


def training(model, data, task="mini-nli", variant="full", steps=4, rate=1e-3, batch=8):
    """A stage, and what `train` is given of it."""
    method, fields, more = ALL[variant]
    own = scalars(MethodSettings.model_validate(fields), method, 4 if method == "prompt" else None)
    settings = {"learning_rate": rate, "batch_size": batch, "warmup": 2, "weight_decay": 0.01, **own, **more}
    task = load_task(task, "")
    kind = kind_of(task, model)
    features = [*kind.training(kind.encode(task, data.training(task), model.tokenizer, 48))]
    stage = Stage("train", None, (task.name,), ("d",), "m", method, settings, steps, 0, resumable=True)
    return stage, [task], {task.name: features}


@pytest.fixture
def watched(monkeypatch):
    """Whether autocast was on, by what was done."""
    seen: defaultdict[str, set[bool]] = defaultdict(set)
    for where, name in (
        (torch.nn.functional, "cross_entropy"), (torch.Tensor, "backward"), (torch.autograd, "grad"),
        (torch.nn.utils, "clip_grad_norm_"), (Course, "step"), (Encoder, "states"), (Encoder, "merge"),
    ):  # fmt: skip
        watch(monkeypatch, where, name, seen[name])
    return seen


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ALL)
def test_forward_passes_alone_are_in_it(tiny, data, watched, variant):
    with computed_in(tiny, "bfloat16"):
        train(tiny, *training(tiny, data, variant=variant))
    assert not autocast()
    expected = {name: {name in ("states", "cross_entropy")} for name in EVERY_STEP}
    expected |= {"merge": {False}} if "merged" in variant else {}
    expected |= {"grad": {False}} if "robust" in variant else {}
    assert {name: seen for name, seen in watched.items() if seen} == expected


def test_float32_knows_no_autocast(tiny, data, monkeypatch):
    plain = train(tiny, *training(tiny, data))
    monkeypatch.setattr(torch, "autocast", None)
    with computed_in(tiny, "float32"):
        again = train(tiny, *training(tiny, data))
    assert all(torch.equal(tensor, again.weights[name]) for name, tensor in plain.weights.items())
    assert plain.figures == again.figures


@pytest.mark.parametrize("kind", TRAINED)
def test_what_is_kept_is_float32(tiny, data, kind):
    """Loss, gradients, weights, moments."""
    stage, tasks, features = training(tiny, data, TRAINED[kind])
    with computed_in(tiny, "bfloat16"):
        found = train(tiny, stage, tasks, features)
        one = kind_of(tasks[0], tiny)
        chosen = features[tasks[0].name][:4]
        batch = collate(tasks[0].name, chosen, int(tiny.tokenizer.pad_token_id), tiny.device)
        with forward_pass(tiny):
            head = tiny.head(tasks[0].name)
            assert head is not None
            loss = one.loss(head, tiny.states(batch.ids, batch.mask), batch.labels, batch.features)
    loss.backward()
    assert loss.dtype is torch.float32
    grads = [parameter.grad for parameter in tiny.parameters() if parameter.grad is not None]
    assert grads
    assert {grad.dtype for grad in grads} == {torch.float32}
    assert {tensor.dtype for tensor in found.weights.values()} == {torch.float32}
    assert {tensor.dtype for name, tensor in found.state.items() if "rng" not in name} == {torch.float32}


@pytest.mark.parametrize("variant", ["full", "full, robust", "adapter"])
def test_the_same_is_learned(micro, data, variant):
    stage, *rest = training(micro, data, "mini-topic", variant, steps=30, rate=1e-3)
    losses, ends = [], []
    for precision in ("float32", "bfloat16"):
        with computed_in(micro, precision):
            found = train(micro, stage, *rest)
        losses.append((found.figures["loss_first"], found.figures["loss_last"]))
        ends.append(found.weights)
    assert losses[0][1] < 0.8 * losses[0][0], "something is learned"
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[0] != losses[1]
    assert any(not torch.equal(one, ends[1][name]) for name, one in ends[0].items())


def test_a_longer_stage_goes_on_from_a_shorter_one(tiny, data):
    with computed_in(tiny, "bfloat16"):
        stage, *rest = training(tiny, data, steps=6)
        whole = train(tiny, stage, *rest)
        part = train(tiny, replace(stage, steps=2), *rest)
        again = train(tiny, stage, *rest, begun=part.state)
    assert all(torch.equal(tensor, again.weights[name]) for name, tensor in whole.weights.items())


# --- scores, through the bench ----------------------------------------------------------------------------------------

SUITE = {"name": "s", "edits": ["keyboard"], "severities": [5], "examples": 6,
         "attacks": [{"recipe": "deepwordbug", "queries": 20, "examples": 3}]}  # fmt: skip


def bench_of(folder, model):
    names = {*TASKS.values(), "mini-nli", "mini-pos", "mini-squad", "mini-csqa"}
    tasks = {name: load_task(name, "") for name in names}
    tasks |= {task.trained_on: load_task(task.trained_on, "") for task in tasks.values() if task.trained_on}
    return Bench(Workplace(
        str(folder / "store"), model, {name: task.model_dump(mode="json") for name, task in tasks.items()},
        {name: LANGUAGES[task.kind] for name, task in tasks.items() if task.kind in LANGUAGES}, limit=12,
        suites={"s": SUITE},
    ))  # fmt: skip


def stages_of(kind, dtype, **more):
    """A target's own training, if it has any, and the score with some settings."""
    task = load_task(TASKS[kind], "")
    trained = training_stage(task.trained_on, dtype) if task.trained_on else None
    parent = trained and trained.key
    score = Stage("score", parent, (task.name,), ("d",), "m", "full", {"dtype": dtype, **more})
    return [one for one in (trained, score) if one]


def training_stage(task, dtype, method="full"):
    settings = {"dtype": dtype, "learning_rate": 1e-3, "batch_size": 4, "warmup": 2, "weight_decay": 0.01}
    settings |= scalars(MethodSettings(), method)
    return Stage("train", None, (task,), ("d",), "m", method, settings, 2, 0, resumable=True)


MEASURES = {
    "clean": {}, "edited": {"measure": "perturbations", "suite": "s"},
    "attacked": {"measure": "attack", "attack": "deepwordbug", "suite": "s"},
    "representations": {"measure": "representations"},
}  # fmt: skip
CASES = [
    (kind, name) for kind in TASKS for name in MEASURES
    if (name != "representations" or kind == "retrieval") and (name != "attacked" or kind != "mining")
]  # fmt: skip


@pytest.mark.parametrize(("kind", "measure"), CASES)
def test_scores_are_numbers(tmp_path, tiny_model, monkeypatch, kind, measure):
    """Finite floats of Python, as JSON and parquet have them; made in bfloat16, weights stored in float32."""
    forward: set[bool] = set()
    after: set[bool] = set()
    bench = bench_of(tmp_path, tiny_model)
    watch(monkeypatch, Encoder, "states", forward)
    watch(monkeypatch, Encoder, "all_states", forward)
    watch(monkeypatch, type(kind_of(load_task(TASKS[kind], ""), bench.model)), "score", after)
    stages = stages_of(kind, "bfloat16", **MEASURES[measure])
    for stage in stages:
        bench.run(stage)
    assert forward == {True}
    assert after <= {False}, "cosines and figures are computed in float32"
    store = Store(bench.place.store)
    record = store.record(stages[-1].key)
    json.dumps(record, allow_nan=False)
    values = [row["value"] for row in record["scores"]]
    assert values
    assert all(type(value) is float and math.isfinite(value) for value in values)
    for stage in stages[:-1]:
        stored = [*load(store.blob(stage.key, WEIGHTS)).values()]
        stored += [tensor for name, tensor in load(store.blob(stage.key, STATE)).items() if "rng" not in name]
        assert {tensor.dtype for tensor in stored} == {torch.float32}


@pytest.mark.parametrize("together", [False, True])
def test_a_stages_dtype_decides(tmp_path, tiny_model, monkeypatch, together):
    """One bench, stages of both precisions, alone and together; between them the model is in none."""
    seen: set[bool] = set()
    monkeypatch.setattr("trainables.bench.pass_tokens", lambda model, jobs: 1024 if together else 0)
    bench = bench_of(tmp_path, tiny_model)
    watch(monkeypatch, Encoder, "states", seen)
    for dtype in ("bfloat16", "float32"):
        seen.clear()
        stages = [training_stage(task, dtype, "lora") for task in ("mini-nli", "mini-pos")]
        bench.run_ahead(stages)
        for stage in stages:
            bench.run(stage)
        assert seen == {dtype == "bfloat16"}
        assert bench.model.precision is torch.float32
    said = training_stage("mini-nli", "float32")
    settings = {name: value for name, value in said.settings.items() if name != "dtype"}
    seen.clear()
    bench.run(replace(said, settings=settings))  # which says nothing
    assert seen == {False}


def test_scores_are_near_those_of_float32(tmp_path):
    bench = bench_of(tmp_path, model_path("micro"))
    found = {}
    for dtype in ("float32", "bfloat16"):
        (stage,) = stages_of("retrieval", dtype, measure="representations")
        bench.run(stage)
        found[dtype] = {(r["language"], r["metric"]): r["value"] for r in bench.store.record(stage.key)["scores"]}
    assert found["bfloat16"] == pytest.approx(found["float32"], abs=0.02)
    assert found["bfloat16"] != found["float32"]


# --- decoders ---------------------------------------------------------------------------------------------------------


def test_a_decoder_in_context():
    """Log-probabilities are those of float32 within bfloat16's digits, and no two answers share a rounded one."""
    model = Decoder(model_path("micro-decoder"))
    ids = model.texts.prompt("A dog")
    answers = [[token] for token in range(10, 400)]
    found = []
    for precision in ("float32", "bfloat16"):
        with computed_in(model, precision), torch.no_grad():
            found.append([one[0] for one in logprobs(model, [Prompt(ids, answers)])[0]])
    assert found[1] == pytest.approx(found[0], abs=0.3)
    assert found[0] != found[1]
    assert len(set(found[1])) > 0.95 * len(answers)


# --- devices ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    """A model on a GPU that is said to have bfloat16 or not."""

    def gpu(there):
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: there or including_emulation
        )
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
        return SimpleNamespace(device=torch.device("cuda", 0), precision=torch.float32)

    return gpu


def test_a_gpu_that_only_imitates_it_is_refused(gpu):
    model = gpu(False)
    with pytest.raises(RuntimeError, match="Tesla T4 does not compute in bfloat16"), computed_in(model, "bfloat16"):
        pass
    assert model.precision is torch.float32
    with computed_in(model, "float32"):
        pass


def test_one_that_has_it_is_taken(gpu):
    model = gpu(True)
    with computed_in(model, "bfloat16"):
        assert model.precision is torch.bfloat16
    assert model.precision is torch.float32


def test_precisions_end_with_their_blocks(tiny):
    with pytest.raises(ZeroDivisionError), computed_in(tiny, "bfloat16"):
        with forward_pass(tiny):
            assert torch.get_autocast_dtype("cpu") is torch.bfloat16
            assert autocast()
        with computed_in(tiny, "float32"), forward_pass(tiny):
            assert not autocast()
        assert tiny.precision is torch.bfloat16
        _ = 1 / 0
    assert tiny.precision is torch.float32
