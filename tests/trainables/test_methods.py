"""The contract of tuning methods: every method × every kind of task that trains, on the micro model."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file, save, save_file

from trainables.batches import collate
from trainables.data import DataSource
from trainables.fingerprint import MICRO
from trainables.heads import put_heads
from trainables.kinds import KINDS
from trainables.methods import IN_CONTEXT, METHODS, method, put_on
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder, modules_in
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train

VARIANTS = {
    "full": ("full", {}),
    "full, partly frozen": ("full", {"full": {"freeze_embeddings": True, "freeze_layers": 1}}),
    "prompt": ("prompt", {}),
    "prompt, reparameterised": ("prompt", {"prompt": {"form": "reparameterised", "bottleneck": 16}}),
    "prompt, input": ("prompt", {"prompt": {"form": "input"}}),
    "adapter": ("adapter", {}),
    "adapter, houlsby": ("adapter", {"adapter": {"form": "houlsby", "reduction": 8}}),
    "adapter, stack": ("adapter", {"adapter": {"along": "stack"}}),
    "lora": ("lora", {}),
    "lora, all": ("lora", {"lora": {"matrices": ["q", "k", "v", "intermediate", "output"], "layers": [0, 2]}}),
    "lora, merge": ("lora", {"lora": {"along": "merge"}}),
    "probe": ("probe", {}),
}
TASKS = {
    "classification": "mini-nli", "tagging": "mini-tags", "span": "mini-squad2", "choice": "mini-csqa",
    "masked_lm": "mini-mlm",
}  # fmt: skip
LENGTH = 5
TRAINING = {"learning_rate": 1e-2, "batch_size": 4, "warmup": 1, "weight_decay": 0.0}


def modules(variant):
    name, fields = VARIANTS[variant]
    return name, scalars(MethodSettings.model_validate(fields), name, LENGTH if name == "prompt" else None)


def stage_of(variant, kind, *, parent=None, steps=4, seed=0, **more):
    name, own = modules(variant)
    return Stage("train", parent, (TASKS[kind],), ("d",), "micro", name, {**TRAINING, **own, **more}, steps, seed)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return Encoder(str(MICRO))


@pytest.fixture(scope="module")
def tasks():
    return {kind: load_task(name, "") for kind, name in TASKS.items()}


@pytest.fixture(scope="module")
def features(model, tasks):
    source = DataSource(limit=40)
    return {
        kind: KINDS[kind].encode(task, source.training(task), model.tokenizer, 64)[:24] for kind, task in tasks.items()
    }


@pytest.fixture(scope="module")
def trained(model, tasks, features):
    """The weights of a short stage of each method and kind, made once."""
    made = {}

    def trained(variant, kind):
        if (variant, kind) not in made:
            made[variant, kind] = train_on(model, stage_of(variant, kind), tasks, features, kind)
        return made[variant, kind]

    return trained


def train_on(model, stage, tasks, features, kind, parent=None):
    return train(model, stage, [tasks[kind]], {TASKS[kind]: features[kind]}, parent).weights


def logits_of(model, stage, tasks, features, kind, weights):
    """What the head says of a batch, from stored weights."""
    score = Stage("score", "p", stage.tasks, ("d",), "micro", stage.method, stage.settings)
    put_on(model, score, weights)
    put_heads(model, [tasks[kind]], weights, [tasks[kind]])
    model.eval()
    batch = collate(TASKS[kind], features[kind][:6], 1, model.device)
    with torch.no_grad():
        return model.head(TASKS[kind])(model.states(batch.ids, batch.mask))


every = [(variant, kind) for variant in VARIANTS for kind in TASKS]


@pytest.mark.parametrize(("variant", "kind"), every)
def test_only_what_the_method_names_is_trained(model, trained, variant, kind):
    weights = trained(variant, kind)
    encoder = {name.removeprefix("encoder."): t for name, t in weights.items() if name.startswith("encoder.")}
    base = {name for name in encoder if name in model._base}
    heads = [name for name in weights if name.startswith("heads.")]
    assert heads
    match variant:
        case "full":
            assert base == set(model._base)
        case "full, partly frozen":
            frozen = {n for n in model._base if n.startswith(("embeddings.", "encoder.layer.0."))}
            assert base == set(model._base) - frozen
        case "lora, merge":
            own = {f"encoder.layer.{n}.attention.self.{m}.weight" for n in range(3) for m in ("query", "value")}
            assert base == own == set(encoder)
        case "probe":
            assert not encoder
        case _:
            assert not base
            assert modules_in(weights) == {"tuned0" if "stack" in variant else "tuned"}


@pytest.mark.parametrize(("variant", "kind"), every)
def test_all_others_stay_as_they_are(model, tasks, features, variant, kind):
    """The encoder after training, but for what the stage stores, is the base model bit for bit."""
    weights = train_on(model, stage_of(variant, kind, steps=2), tasks, features, kind)
    state = model.encoder.state_dict()
    for name, tensor in model._base.items():
        if f"encoder.{name}" not in weights:
            assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize(("variant", "kind"), every)
def test_gradients_reach_all_that_is_trained(model, tasks, features, variant, kind):
    """After some steps no tuned tensor is what it began as (weight decay is off)."""
    seen = {}
    once = stage_of(variant, kind, steps=1)
    later = train_on(model, stage_of(variant, kind, steps=6), tasks, features, kind)
    torch.manual_seed(once.random_seed)
    put_on(model, once, {})
    put_heads(model, [tasks[kind]], {})
    method(once.method).prepare(model, once.settings)
    seen = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    if "merge" in variant:
        seen = {name: tensor for name, tensor in seen.items() if name.startswith("heads.")}
        assert all(not torch.equal(later[f"encoder.{n}"], t) for n, t in model._base.items() if f"encoder.{n}" in later)
    assert seen
    assert [name for name, before in seen.items() if torch.equal(later[name], before)] == []


@pytest.mark.parametrize(("variant", "kind"), every)
def test_padding_changes_nothing(model, trained, tasks, features, variant, kind):
    weights = trained(variant, kind)
    stage = stage_of(variant, kind)
    put_on(model, Stage("score", "p", stage.tasks, ("d",), "micro", stage.method, stage.settings), weights)
    model.eval()
    short, long = sorted(features[kind], key=lambda feature: feature.length)[:: len(features[kind]) - 1]
    with torch.no_grad():
        alone, padded = (
            model.states(batch.ids, batch.mask)
            for batch in (collate("x", chosen, 1, model.device) for chosen in ([short], [short, long]))
        )
    rows, length = alone.shape[:2]
    assert torch.allclose(alone, padded[:rows, :length], atol=1e-5)


CHAIN = [("classification", "tagging", "classification"), ("span", "choice", "tagging")]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kinds", CHAIN, ids="-".join)
def test_a_chain_is_the_same_through_the_store(model, tasks, features, variant, kinds):
    """Three stages in one process, and each on a fresh model from the bytes the former one stored."""
    inside = outside = None
    for place, kind in enumerate(kinds):
        stage = stage_of(variant, kind, parent=None if place == 0 else f"{place}", steps=2)
        inside = train_on(model, stage, tasks, features, kind, inside)
        parent = load(save(outside)) if outside else None
        outside = train_on(Encoder(str(MICRO)), stage, tasks, features, kind, parent)
        assert inside.keys() == outside.keys()
        assert all(torch.equal(inside[name], outside[name]) for name in inside)
    first = train_on(model, stage_of(variant, kinds[-1], steps=2), tasks, features, kinds[-1])
    carried = "probe" not in variant
    alike = all(torch.equal(first[n], inside[n]) for n in first if n in inside) and first.keys() == inside.keys()
    assert carried != alike or "probe" in variant


def test_stored_weights_give_the_same_logits_in_a_new_process(model, trained, tasks, features, tmp_path):
    wanted = {}
    for variant, kind in every:
        weights = trained(variant, kind)
        name = f"{list(VARIANTS).index(variant)}-{kind}"
        save_file(weights, tmp_path / f"{name}.safetensors")
        wanted[name] = logits_of(model, stage_of(variant, kind), tasks, features, kind, weights)
    script = Path(__file__).resolve()
    path = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env=path)
    found = load_file(tmp_path / "logits.safetensors")
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def again(folder):
    """In a new process: the logits of everything stored in the folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model = Encoder(str(MICRO))
    tasks = {kind: load_task(name, "") for kind, name in TASKS.items()}
    source = DataSource(limit=40)
    features = {
        kind: KINDS[kind].encode(task, source.training(task), model.tokenizer, 64)[:24] for kind, task in tasks.items()
    }
    found = {}
    for file in sorted(Path(folder).glob("*-*.safetensors")):
        number, kind = file.stem.split("-")
        stage = stage_of(list(VARIANTS)[int(number)], kind)
        found[file.stem] = logits_of(model, stage, tasks, features, kind, load_file(file))
    save_file(found, Path(folder) / "logits.safetensors")


# --- single methods ---------------------------------------------------------------------------------------------------


def test_every_method_has_a_variant_and_a_contract():
    trained = {name for name, _ in VARIANTS.values()}
    assert trained == set(METHODS) - set(IN_CONTEXT)
    for name in trained:
        assert method(name).name == name
    for name in (*IN_CONTEXT, "unknown"):
        with pytest.raises(KeyError, match="unknown method"):
            method(name)


def test_attaching_and_taking_off_leaves_the_base_model(model):
    """The library `adapters` rebuilds the layers; without modules they compute the same, bit for bit."""
    fresh = Encoder(str(MICRO))
    ids = torch.tensor([[0, 17, 400, 23, 2]])
    mask = torch.ones_like(ids)
    fresh.eval()
    with torch.no_grad():
        before = fresh.states(ids, mask)
        put_on(fresh, stage_of("lora", "tagging"), {})
        put_on(fresh, stage_of("prompt", "tagging"), {})
        put_on(fresh, stage_of("probe", "tagging"), {})
        fresh.eval()
        assert torch.equal(fresh.states(ids, mask), before)
    assert fresh.modules_on == []


def test_a_stack_keeps_the_former_modules(model, tasks, features):
    one = train_on(model, stage_of("adapter, stack", "tagging"), tasks, features, "tagging")
    two = train_on(model, stage_of("adapter, stack", "choice", parent="1"), tasks, features, "choice", one)
    assert modules_in(two) == {"tuned0", "tuned1"}
    former = [name for name in two if ".tuned0." in name]
    assert former
    assert all(torch.equal(two[name], one[name]) for name in former)


def test_a_prompt_of_another_length_is_refused(model, tasks, features, trained):
    weights = trained("prompt", "tagging")
    longer = stage_of("prompt", "tagging", parent="p", prompt_length=LENGTH + 1)
    with pytest.raises(ValueError, match=r"this stage has a prompt of length 6 \(prefix\).*starts from has weights"):
        train_on(model, longer, tasks, features, "tagging", weights)


@pytest.mark.parametrize(("variant", "other"), [("prompt", "lora"), ("lora", "adapter"), ("adapter", "prompt")])
def test_another_methods_modules_are_refused(model, tasks, features, trained, variant, other):
    with pytest.raises(ValueError, match="starts from has no such weights"):
        train_on(model, stage_of(variant, "tagging", parent="p"), tasks, features, "tagging", trained(other, "tagging"))


def test_a_prompt_has_a_length(model, tasks, features):
    with pytest.raises(ValueError, match="no prompt at all is the method probe"):
        train_on(model, stage_of("prompt", "tagging", prompt_length=0), tasks, features, "tagging")


def test_lora_merged_is_lora_added(model, tasks, features):
    """Merging changes where the update stands, not what the model says."""
    stage = stage_of("lora, merge", "tagging")
    torch.manual_seed(1)
    put_on(model, stage, {})
    for name, parameter in model.encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.eval()
    batch = collate("x", features["tagging"][:4], 1, model.device)
    with torch.no_grad():
        apart = model.states(batch.ids, batch.mask)
        method("lora").finish(model, stage.settings)
        assert model.modules_on == []
        together = model.states(batch.ids, batch.mask)
        put_on(model, stage_of("probe", "tagging"), {})
        model.eval()
        assert not torch.allclose(apart, model.states(batch.ids, batch.mask), atol=1e-2)
    assert torch.allclose(apart, together, atol=1e-4)


def test_a_longer_stage_goes_on_from_a_shorter_one(model, tasks, features):
    """Bit for bit what it is when it is trained at once, with every method."""
    for variant in VARIANTS:
        whole = train(model, stage_of(variant, "tagging", steps=6), [tasks["tagging"]],
                      {TASKS["tagging"]: features["tagging"]})  # fmt: skip
        first = stage_of(variant, "tagging", steps=2)
        part = train(model, replace(first, resumable=True), [tasks["tagging"]],
                     {TASKS["tagging"]: features["tagging"]})  # fmt: skip
        rest = train(model, stage_of(variant, "tagging", steps=6), [tasks["tagging"]],
                     {TASKS["tagging"]: features["tagging"]}, begun=load(save(part.state)))  # fmt: skip
        assert not whole.state
        assert all(torch.equal(whole.weights[name], rest.weights[name]) for name in whole.weights)
        assert whole.figures == rest.figures
        assert any(not torch.equal(whole.weights[name], part.weights[name]) for name in whole.weights)


def test_a_group_goes_on_although_a_task_was_not_drawn(model, tasks, features):
    """At the smaller budget one head has no moments yet."""
    names = (TASKS["tagging"], TASKS["choice"])
    group = [tasks["tagging"], tasks["choice"]]
    held = {names[0]: features["tagging"], names[1]: features["choice"][:1]}  # drawn by size: the second one seldom
    stage = Stage("train", None, names, ("d", "e"), "micro", "full", TRAINING, 30, 0)
    whole = train(model, stage, group, held)
    part = train(model, replace(stage, steps=1, resumable=True), group, held)
    assert len([name for name in part.state if name.endswith(".step")]) < len(
        [name for name in part.state if name.endswith(".value")]
    )
    rest = train(model, stage, group, held, begun=load(save(part.state)))
    assert all(torch.equal(whole.weights[name], rest.weights[name]) for name in whole.weights)


if __name__ == "__main__":
    again(sys.argv[1])
