"""Masked words: which, how many, the head that is tied to the embeddings, and that nothing but the text decides."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM

from trainables.batches import collate
from trainables.corpus import MiniCorpus
from trainables.examples import Example
from trainables.fingerprint import MICRO
from trainables.kinds import KINDS
from trainables.kinds.base import IGNORED, Feature
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import Task
from trainables.train import train

MASKED = KINDS["masked_lm"]
TIED = "encoder.embeddings.word_embeddings.weight"
TEXTS = [
    ("en", "The old mill by the river burned down in 1904, and nobody ever built it again."),
    ("hi", "मेरी बहन पुणे में रहती है और गणित पढ़ाती है।"),
    ("th", "แมวสีดำนอนอยู่บนหลังคาบ้านทุกเช้า"),
    ("zh", "北京的秋天很短，可是天空特别蓝。"),
    ("ar", "وصل القطار إلى المدينة بعد منتصف الليل."),
]
EXAMPLES = [Example(f"t{number}", code, text) for number, (code, text) in enumerate(TEXTS)]


def task_of(name="by-hand", **settings):
    return Task.model_validate({"name": name, "kind": "masked_lm", "source": {"mini": "x"}, "masked_lm": settings})


@pytest.fixture(scope="module")
def micro():
    return Encoder(str(MICRO)).eval()


@pytest.fixture
def tiny(tiny_model):
    """A model whose checkpoint has no masked-LM head."""
    return Encoder(tiny_model)


def encode(model, examples=EXAMPLES, length=96, **settings):
    return MASKED.encode(task_of(**settings), examples, model.tokenizer, length)


# --- masks ------------------------------------------------------------------------------------------------------------


def test_masks_depend_on_the_language_and_the_id_alone(micro):
    alone = [encode(micro, [example])[0] for example in EXAMPLES]
    random.seed(1)
    torch.manual_seed(1)
    again = encode(micro, EXAMPLES[::-1], copies=4)
    by_item = {feature.item: feature for feature in again[::-1]}  # the first copy of each
    for place, feature in enumerate(alone):
        other = by_item[len(EXAMPLES) - 1 - place]
        assert (feature.ids, feature.label) == (other.ids, other.label)


@pytest.mark.parametrize(("change", "same"), [({}, True), ({"id": "t9"}, False), ({"lang": "de"}, False)])
def test_another_item_is_masked_elsewhere(micro, change, same):
    fields = {"id": "t0", "lang": "en", "text": TEXTS[0][1], **change}
    one, two = encode(micro, EXAMPLES[:1]), encode(micro, [Example(**fields)])
    assert ([f.positions for f in one] == [f.positions for f in two]) == same


def test_another_text_with_the_same_id_is_masked_alike(micro):
    """Of as many tokens: the places come from the id, not from what stands there."""
    one, two = "the dog sees the cat", "the cat sees the dog"
    assert len({len(ids) for ids in micro.tokenizer([one, two])["input_ids"]}) == 1
    first, second = (encode(micro, [Example("1", "en", text)]) for text in (one, two))
    assert [feature.positions for feature in first] == [feature.positions for feature in second]


@pytest.mark.parametrize("copies", [1, 2, 6])
def test_copies_are_masked_differently(micro, copies):
    features = encode(micro, copies=copies)
    assert Counter(feature.item for feature in features) == dict.fromkeys(range(len(EXAMPLES)), copies)
    places = [tuple(feature.positions) for feature in features if feature.item == 0]
    assert len(set(places)) == copies


@pytest.mark.parametrize("share", [0.01, 0.15, 0.5])
@pytest.mark.parametrize("length", [8, 96])
def test_a_share_of_the_words_is_masked(micro, share, length):
    tokenizer = micro.tokenizer
    for feature in encode(micro, length=length, share=share):
        row = tokenizer(EXAMPLES[feature.item].text, truncation=True, max_length=length)["input_ids"]
        assert len(feature.ids) == len(feature.label) == len(row) <= length
        assert len(feature.positions) == max(1, round(share * (len(row) - 2)))
        assert feature.positions == sorted(feature.positions)
        for place, (shown, label, own) in enumerate(zip(feature.ids, feature.label, row, strict=True)):
            if place in feature.positions:
                assert label == own
                assert own not in tokenizer.all_special_ids
                assert shown == tokenizer.mask_token_id or shown not in tokenizer.all_special_ids
            else:
                assert (shown, label) == (own, IGNORED)


def test_most_are_masked_some_are_others_some_are_kept(micro):
    rng = random.Random(0)
    texts = MiniCorpus().sentences(rng, 300)
    examples = [Example(str(number), "xx", text) for number, text in enumerate(texts)]
    counts, others = Counter(), set()
    for feature in encode(micro, examples, copies=4):
        for place in feature.positions:
            shown = feature.ids[place]
            kind = (
                "mask" if shown == micro.tokenizer.mask_token_id else ("kept", "other")[shown != feature.label[place]]
            )
            counts[kind] += 1
            if kind == "other":
                others.add(shown)
    total = counts.total()
    assert total > 3000
    for kind, share in (("mask", 0.8), ("other", 0.1), ("kept", 0.1)):
        assert counts[kind] / total == pytest.approx(share, abs=5 * (share * (1 - share) / total) ** 0.5)
    assert len(others) > 0.8 * counts["other"]  # drawn from all the vocabulary


def test_a_text_without_words(micro):
    """Nothing is there to be masked but the first token; the item still has a figure."""
    features = encode(micro, [Example("1", "en", "")], copies=2)
    assert [feature.positions for feature in features] == [[0], [0]]
    batch = collate("x", features, 1, micro.device)
    states = micro.states(batch.ids, batch.mask)
    head = MASKED.head(task_of(), micro)
    predictions = MASKED.predict(task_of(), head, states, batch.mask, features)
    assert [len(row) for row in predictions] == [1, 1]
    assert len(MASKED.score(task_of(), [Example("1", "en", "")], features, predictions).items) == 1


def test_scores_are_shares_of_the_masked_words():
    features = [
        *(Feature(0, [0, 9, 9, 2], [IGNORED, 5, 6, IGNORED], [1, 2]) for _ in range(2)),
        Feature(1, [0, 9, 2], [IGNORED, 7, IGNORED], [1]),
    ]
    examples = [Example("1", "en", "a b"), Example("2", "en", "c")]
    result = MASKED.score(task_of(), examples, features, [[5, 6], [5, 0], [0]])
    assert result.items == [0.75, 0.0]
    (figure,) = result.metrics
    assert (figure.metric, figure.value, figure.n) == ("accuracy", 3 / 5, 5)


# --- the head ---------------------------------------------------------------------------------------------------------


def batch_of(model, **settings):
    return collate("x", encode(model, **settings), 1, model.device)


def test_the_head_is_the_checkpoints(micro):
    """The scores are those of the whole model as the library loads it, and the loss is over the masked words."""
    whole = AutoModelForMaskedLM.from_pretrained(MICRO).eval()
    batch = batch_of(micro)
    head = MASKED.head(task_of(), micro)
    with torch.no_grad():
        logits = whole(input_ids=batch.ids, attention_mask=batch.mask).logits
        states = micro.states(batch.ids, batch.mask)
        assert torch.allclose(head(states), logits, atol=1e-4)
        loss = MASKED.loss(head, states, batch.labels, batch.features)
        expected = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED)
        assert loss == pytest.approx(float(expected), abs=1e-4)
        predictions = MASKED.predict(task_of(), head, states, batch.mask, batch.features)
    best = logits.argmax(-1)
    assert predictions == [best[row, feature.positions].tolist() for row, feature in enumerate(batch.features)]


def test_the_micro_model_guesses_masked_words(micro):
    """It was pretrained that way, in the mini languages."""
    texts = MiniCorpus().sentences(random.Random(5), 60)
    examples = [Example(str(number), "xx", text) for number, text in enumerate(texts)]
    features = encode(micro, examples, copies=1)
    batch = collate("x", features, 1, micro.device)
    with torch.no_grad():
        states = micro.states(batch.ids, batch.mask)
        found = MASKED.predict(task_of(), MASKED.head(task_of(), micro), states, batch.mask, features)
    assert MASKED.score(task_of(), examples, features, found).metrics[0].value > 0.3


def stage_of(*names, steps=4):
    settings = {"learning_rate": 1e-3, "weight_decay": 0.01, "warmup": 1, "batch_size": 8}
    return Stage("train", None, names, ("d",) * len(names), "m", "full", settings, steps, 0)


def trained(model, *names, steps=4):
    tasks = [task_of(name) for name in names]
    return train(model, stage_of(*names, steps=steps), tasks, {name: encode(model) for name in names})[:2]


@pytest.mark.parametrize("checkpoint", ["tiny", "micro"])
def test_training_the_head_changes_the_embeddings(checkpoint, tiny, micro):
    model = tiny if checkpoint == "tiny" else micro
    before = model.encoder.get_input_embeddings().weight.detach().clone()
    weights, figures = trained(model, "text", steps=20)
    assert figures["loss_last"] < figures["loss_first"]
    head = model.head("text")
    (last,) = (module for module in head.modules() if getattr(module, "weight", before[0]).shape == before.shape)
    assert last.weight is model.encoder.get_input_embeddings().weight
    assert torch.equal(weights[TIED], last.weight)
    assert not torch.equal(weights[TIED], before)
    # Rows of words that are in no text change too: as words that were not meant.
    used = {number for feature in encode(model) for number in feature.ids}
    unused = [number for number in range(len(before)) if number not in used]
    assert (weights[TIED][unused] - before[unused]).abs().amax(1).min() > 0


def test_the_tied_matrix_is_stored_once(tiny):
    weights, _ = trained(tiny, "one", "two")
    shape = tiny.encoder.get_input_embeddings().weight.shape
    assert [name for name, tensor in weights.items() if tensor.shape == shape] == [TIED]
    assert {name.split(".")[1] for name in weights if name.startswith("heads.")} == {"one", "two"}
    assert {tuple(tensor.shape) for name, tensor in weights.items() if name == "heads.one.bias"} == {shape[:1]}
    assert len({tensor.data_ptr() for tensor in weights.values()}) == len(weights)


def test_the_next_head_starts_from_the_checkpoints(tiny):
    """Not from what another stage made of it, and tied to the embeddings as they are now."""

    def parameters(head):
        return {name: tensor.detach().clone() for name, tensor in head.named_parameters() if tensor.shape != embeddings}

    embeddings = tiny.encoder.get_input_embeddings().weight.shape
    first = parameters(MASKED.head(task_of(), tiny))
    trained(tiny, "text", steps=8)
    used = parameters(tiny.head("text"))
    assert any(not torch.equal(used[name], tensor) for name, tensor in first.items())
    second = MASKED.head(task_of(), tiny)
    assert second is not tiny.head("text")
    assert all(torch.equal(parameters(second)[name], tensor) for name, tensor in first.items())
    tied = [tensor for tensor in second.parameters() if tensor.shape == embeddings]
    assert len(tied) == 1
    assert tied[0] is tiny.encoder.get_input_embeddings().weight
    tiny.reset()
    assert all(torch.equal(parameters(MASKED.head(task_of(), tiny))[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize("checkpoint", ["tiny", "micro"])
def test_a_new_head_uses_up_no_draw(checkpoint, tiny_model):
    """Whether a worker makes its first head or its tenth: the same head, and the same random numbers after it."""
    path = tiny_model if checkpoint == "tiny" else str(MICRO)
    seen = []
    for seed, earlier in ((1, 0), (1, 2), (2, 0)):
        model = Encoder(path)
        for _ in range(earlier):
            MASKED.head(task_of(), model)
        torch.manual_seed(seed)
        head = MASKED.head(task_of(), model)
        seen.append(([tensor.detach() for tensor in head.parameters()], torch.rand(3)))
    assert all(torch.equal(one, two) for heads, _ in seen for one, two in zip(heads, seen[0][0], strict=True))
    assert torch.equal(seen[0][1], seen[1][1])
    assert not torch.equal(seen[0][1], seen[2][1])


def test_training_twice_gives_the_same_weights(tiny_model):
    runs = []
    for warm in (False, True):
        model = Encoder(tiny_model)
        if warm:
            trained(model, "before", steps=2)
        runs.append(trained(model, "text")[0])
    assert runs[0].keys() == runs[1].keys()
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_stored_weights_give_the_same_guesses(tiny_model):
    """A child stage in another process has the stored weights alone."""
    model = Encoder(tiny_model)
    weights, _ = trained(model, "text", steps=20)
    batch = batch_of(model)
    results = []
    for place, fresh in enumerate((model, Encoder(tiny_model))):
        if place:
            fresh.reset(weights)
            fresh.add_head("text", MASKED.head(task_of(), fresh))
            fresh.load_head("text", weights)
        fresh.eval()
        with torch.no_grad():
            results.append(fresh.head("text")(fresh.states(batch.ids, batch.mask)))
    assert torch.allclose(*results, atol=1e-6)


def test_a_frozen_encoder_keeps_its_embeddings(tiny):
    """The probe trains the rest of the head."""
    tiny.reset()
    before = tiny.encoder.get_input_embeddings().weight.detach().clone()
    stage = Stage("train", None, ("text",), ("d",), "m", "probe", stage_of("text").settings, 4, 0)
    weights = train(tiny, stage, [task_of("text")], {"text": encode(tiny)}).weights
    assert torch.equal(tiny.encoder.get_input_embeddings().weight, before)
    assert TIED not in weights
    assert all(name.startswith("heads.text.") for name in weights)
    assert weights
    tiny.encoder.requires_grad_(True)
