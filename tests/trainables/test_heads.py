"""Heads along an order: new by default; carried, they go on where kind and labels agree and are kept where not."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from trainables.batches import collate
from trainables.data import DataSource
from trainables.heads import alike, held, put_heads
from trainables.kinds import KINDS
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train

NAMES = ("mini-nli", "mini-paraphrase", "mini-tags", "mini-mlm")
AGAIN = "nli.again"
"""A task of the labels of mini-nli, whose name no module may have as it is."""
TRAINING = {"learning_rate": 1e-2, "batch_size": 4, "warmup": 1, "weight_decay": 0.01}


@pytest.fixture(scope="module")
def model(tiny_model):
    return Encoder(tiny_model)


@pytest.fixture(scope="module")
def tasks():
    named = {name: load_task(name, "") for name in NAMES}
    return {**named, AGAIN: named["mini-nli"].model_copy(update={"name": AGAIN})}


@pytest.fixture(scope="module")
def features(model, tasks):
    source, found = DataSource(limit=12), {}
    for name, task in tasks.items():
        examples = source.training(tasks["mini-nli" if name in (AGAIN, "mini-mlm") else name])
        found[name] = KINDS[task.kind].encode(task, examples, model.tokenizer, 64)[:12]
    return found


@pytest.fixture(scope="module")
def chain(model, tasks, features):
    """The weights of each stage of an order, as it is written; `carry` for heads that are carried."""

    def chain(order, method="full", carry=True, model=model, stored=False):
        made, parent = [], None
        for place, names in enumerate(group.split("+") for group in order.split(">")):
            own = scalars(MethodSettings.model_validate({}), method, 3 if method == "prompt" else None)
            settings = {**TRAINING, **own, **({"heads": "carry"} if carry else {})}
            key = None if place == 0 else f"{place}"
            stage = Stage("train", key, tuple(names), ("d",) * len(names), "tiny", method, settings, 3, 0)
            group, given = [tasks[name] for name in names], {name: features[name] for name in names}
            weights = train(model, stage, group, given, parent, tasks.values() if carry else ()).weights
            parent = load(save(weights)) if stored else weights
            made.append(weights)
        return made

    return chain


def heads_in(weights):
    return {name.split(".")[1] for name in weights if name.startswith("heads.")}


def head_of(weights, task):
    prefix = f"heads.{task}."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def equal(one, other):
    assert one.keys() == other.keys() != set()
    return all(torch.equal(one[name], other[name]) for name in one)


def begun(model, task):
    return {name: tensor.detach() for name, tensor in model.head(task).named_parameters()}


def put(model, tasks, names, parent, carried=(*NAMES, AGAIN)):
    """Heads as a stage begins with them."""
    torch.manual_seed(3)
    model.reset(parent)
    put_heads(model, [tasks[name] for name in names], parent, [tasks[name] for name in carried])
    return set(model.heads)


# --- new heads --------------------------------------------------------------------------------------------------------


def test_heads_are_new_by_default(model, tasks, chain):
    """The same whatever the parent holds; and a stage stores its own alone."""
    first, second, third = chain("mini-nli>mini-tags>mini-nli", carry=False)
    assert [heads_in(one) for one in (first, second, third)] == [{"mini-nli"}, {"mini-tags"}, {"mini-nli"}]
    assert put(model, tasks, ["mini-nli"], {}) == {"mini-nli"}
    new = {name: tensor.clone() for name, tensor in begun(model, "mini-nli").items()}
    assert put(model, tasks, ["mini-nli"], first, carried=()) == {"mini-nli"}
    assert equal(begun(model, "mini-nli"), new)
    assert not equal(head_of(first, "mini-nli"), new)


# --- carried heads ----------------------------------------------------------------------------------------------------


def test_a_head_goes_on_as_the_same_tasks(model, tasks, chain):
    (first,) = chain("mini-nli")
    assert put(model, tasks, ["mini-nli"], first) == {"mini-nli"}
    assert equal(begun(model, "mini-nli"), head_of(first, "mini-nli"))


@pytest.mark.parametrize("method", ["full", "prompt", "adapter", "lora", "probe"])
def test_a_head_goes_on_through_a_stage_between(model, tasks, chain, method):
    """It is kept there, frozen, bit for bit, and trained on afterwards."""
    first, second, third = chain("mini-nli>mini-tags>mini-nli", method)
    assert [heads_in(one) for one in (first, second, third)] == [
        {"mini-nli"}, {"mini-nli", "mini-tags"}, {"mini-nli", "mini-tags"},
    ]  # fmt: skip
    assert equal(head_of(second, "mini-nli"), head_of(first, "mini-nli"))
    assert equal(head_of(third, "mini-tags"), head_of(second, "mini-tags"))
    put(model, tasks, ["mini-nli"], {n: t for n, t in second.items() if n.startswith("heads.")})
    assert equal(begun(model, "mini-nli"), head_of(first, "mini-nli"))
    assert not equal(head_of(third, "mini-nli"), head_of(second, "mini-nli"))


def test_a_head_goes_on_as_another_tasks_with_its_labels(model, tasks, chain):
    """Under the other's name: there is one head for both."""
    first, second, third = chain("mini-nli>nli.again>mini-tags")
    assert [heads_in(one) for one in (first, second, third)] == [
        {"mini-nli"}, {"nli_again"}, {"mini-tags", "nli_again"},
    ]  # fmt: skip
    assert put(model, tasks, [AGAIN], first) == {"nli_again"}
    assert equal(begun(model, AGAIN), head_of(first, "mini-nli"))
    assert not equal(head_of(second, "nli_again"), head_of(first, "mini-nli"))


def test_other_labels_have_a_head_of_their_own(model, tasks, chain):
    assert not alike(tasks["mini-nli"], tasks["mini-paraphrase"])
    first, second = chain("mini-nli>mini-paraphrase")
    assert heads_in(second) == {"mini-nli", "mini-paraphrase"}
    assert equal(head_of(second, "mini-nli"), head_of(first, "mini-nli"))
    assert {len(one) for name, one in head_of(second, "mini-paraphrase").items() if name.startswith("out.")} == {2}


def test_in_a_group_each_head_goes_on(model, tasks, chain):
    """By name where there are several with the same labels; a task that had none takes the first of those."""
    first, second = chain("nli.again+mini-nli+mini-tags>mini-nli")
    assert heads_in(first) == {"mini-nli", "nli_again", "mini-tags"}
    assert not equal(head_of(first, "mini-nli"), head_of(first, "nli_again"))
    put(model, tasks, ["mini-nli"], first)
    assert equal(begun(model, "mini-nli"), head_of(first, "mini-nli"))
    assert heads_in(second) == {"mini-nli", "mini-tags"}
    assert [task.name for task in held(first, tasks.values())] == ["mini-nli", "mini-tags", AGAIN]


def test_what_is_carried_is_only_what_may_be(model, tasks, chain):
    first, *_ = chain("mini-nli")
    assert put(model, tasks, ["mini-tags"], first, carried=["mini-tags"]) == {"mini-tags"}
    assert put(model, tasks, ["mini-tags"], first) == {"mini-nli", "mini-tags"}


@pytest.mark.parametrize("order", ["mini-nli>mini-tags>mini-nli", "mini-mlm>nli.again>mini-mlm+mini-nli"])
def test_a_chain_with_carried_heads_is_the_same_through_the_store(tiny_model, chain, order):
    inside, outside = chain(order), chain(order, model=Encoder(tiny_model), stored=True)
    for one, other in zip(inside, outside, strict=True):
        assert equal(one, other)


# --- what they mean ---------------------------------------------------------------------------------------------------


def test_a_carried_head_says_the_same_when_nothing_else_moves(model, tasks, features, chain):
    """Under the probe, a stage of another task changes nothing of what the kept head says."""
    first, second = chain("mini-nli>mini-tags", "probe")
    batch = collate("mini-nli", features["mini-nli"][:4], 1, model.device)
    logits = []
    for weights in (first, second):
        put(model, tasks, ["mini-nli"], weights)
        model.eval()
        with torch.no_grad():
            logits.append(model.head("mini-nli")(model.states(batch.ids, batch.mask)))
    assert torch.equal(*logits)


def test_orders_of_a_probe_differ_with_carried_heads_alone(chain):
    orders = ("mini-nli", "nli.again>mini-nli", "mini-paraphrase>mini-nli")
    alone, after, unrelated = (head_of(chain(order, "probe")[-1], "mini-nli") for order in orders)
    assert not equal(alone, after)
    # New heads: what a stage before leaves is nothing (that keys differ, and with them the random numbers, is the
    # plan's affair: it gives a probe's stages no parents).
    for order in orders[1:]:
        *_, before, last = chain(order, "probe", carry=False)
        assert not [name for name in before if name.startswith("encoder.")]
        assert heads_in(last) == {"mini-nli"}
    assert unrelated.keys() == alone.keys()


# --- the masked-LM head -----------------------------------------------------------------------------------------------


def test_the_masked_lm_head_is_carried_without_the_embeddings(model, tasks, chain):
    """It shares those with the encoder, which goes on training them in the stage between."""
    first, second, third = chain("mini-mlm>mini-nli>mini-mlm")
    assert [heads_in(one) for one in (first, second, third)] == [
        {"mini-mlm"}, {"mini-mlm", "mini-nli"}, {"mini-mlm", "mini-nli"},
    ]  # fmt: skip
    assert equal(head_of(second, "mini-mlm"), head_of(first, "mini-mlm"))
    assert not equal(head_of(third, "mini-mlm"), head_of(second, "mini-mlm"))
    words = "encoder.embeddings.word_embeddings.weight"
    assert all(words in one for one in (first, second, third))
    assert not torch.equal(second[words], first[words])
    assert not [name for name in first if name.startswith("heads.") and first[name].numel() == first[words].numel()]


def test_the_masked_lm_head_goes_on_with_the_embeddings_as_they_are(model, tasks, chain):
    _, second = chain("mini-mlm>mini-nli")
    put(model, tasks, ["mini-mlm"], second)
    head = model.head("mini-mlm")
    own = {name: tensor for name, tensor in head.named_parameters() if name in head_of(second, "mini-mlm")}
    assert equal(own, head_of(second, "mini-mlm"))
    (tied,) = [p for name, p in head.named_parameters() if name not in own]
    assert tied is model.encoder.get_input_embeddings().weight
    assert torch.equal(tied, second["encoder.embeddings.word_embeddings.weight"])


def test_a_full_stage_is_the_same_beside_a_kept_masked_lm_head(model, tasks, chain):
    """All of the encoder is trained, the embeddings too, as where nothing is kept."""
    kept, plain = chain("mini-mlm>mini-nli")[-1], chain("mini-nli")[-1]
    names = {name for name in plain if name.startswith("encoder.")}
    assert names == {name for name in kept if name.startswith("encoder.")}
