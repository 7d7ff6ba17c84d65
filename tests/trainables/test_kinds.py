"""The contract that every kind of task keeps. A new one is tested by its entry in `KINDS` and a case here."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from trainables.batches import collate, scoring_batches
from trainables.evaluate import evaluate, in_search_half, sets_of
from trainables.examples import Example
from trainables.kinds import KINDS
from trainables.kinds.base import IGNORED
from trainables.mini import generate
from trainables.models import Encoder
from trainables.tasks import Task, load_task

CASES = {"classification": "mini-nli", "tagging": "mini-pos", "retrieval": "mini-tatoeba"}


@pytest.fixture(scope="module")
def model(tiny_model):
    return Encoder(tiny_model)


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def task(kind):
    return load_task(CASES[kind.name], "--tasks")


@pytest.fixture
def examples(task):
    """Parallel items of two languages, long and short."""
    code = "de" if task.kind == "retrieval" else "en"
    return generate.examples(str(task.source.mini), "test", code)[:40]


def predicted(model, task, head, features, size=8, layer=-1):
    """Predictions in the order of the features, in batches of that size."""
    found = []
    model.eval()
    with torch.no_grad():
        for at in range(0, len(features), size):
            batch = collate(task.name, features[at : at + size], 1, model.device)
            states = model.states(batch.ids, batch.mask, layer)
            found += KINDS[task.kind].predict(task, head, states, batch.mask, batch.features)
    return found


def head_of(model, kind, task, seed=0):
    torch.manual_seed(seed)
    return kind.head(task, model.width)


def test_every_kind_has_a_case():
    assert set(CASES) == set(KINDS)
    assert all(kind.name == name for name, kind in KINDS.items())


def test_round_trip(model, kind, task, examples):
    features = kind.encode(task, examples, model.tokenizer, task.max_length)
    assert {feature.item for feature in features} == set(range(len(examples)))
    for feature in features:
        assert len(feature.ids) <= task.max_length
        assert (feature.ids[0], feature.ids[-1]) == (model.tokenizer.bos_token_id, model.tokenizer.eos_token_id)
        assert model.tokenizer.unk_token_id not in feature.ids
    predictions = predicted(model, task, head_of(model, kind, task), features)
    assert len(predictions) == len(features)
    result = kind.score(task, examples, features, predictions)
    assert len(result.items) == len(examples)
    assert all(0.0 <= item <= 1.0 for item in result.items)
    for figure in result.metrics:
        assert 0.0 <= figure.value <= 1.0
        assert figure.n >= len(examples)
        assert figure.stderr is not None
    main = result.metrics[0]
    if main.metric == "accuracy":
        assert main.value == pytest.approx(sum(result.items) / len(examples))


def test_the_truth_scores_one(model, kind, task, examples):
    features = kind.encode(task, examples, model.tokenizer, task.max_length)
    match task.kind:
        case "classification":
            truth = [examples[f.item].label for f in features]
        case "tagging":
            truth = [list(examples[f.item].tags) for f in features]
        case _:
            rng = torch.Generator().manual_seed(0)
            truth = [vector for one in torch.randn(len(examples), 9, generator=rng) for vector in (one, one)]
            truth = [vector / vector.norm() for vector in truth]
    result = kind.score(task, examples, features, truth)
    assert result.items == [1.0] * len(examples)
    assert [figure.value for figure in result.metrics] == [1.0] * len(result.metrics)


def test_padding_changes_nothing(model, kind, task, examples):
    features = kind.encode(task, examples, model.tokenizer, task.max_length)
    lengths = [len(feature.ids) for feature in features]
    assert min(lengths) < max(lengths)
    model.eval()
    layer = task.retrieval.layer
    with torch.no_grad():
        for feature in features[:10]:
            longest = features[lengths.index(max(lengths))]
            alone = collate(task.name, [feature], 1, model.device)
            together = collate(task.name, [feature, longest], 1, model.device)
            one = model.states(alone.ids, alone.mask, layer)[0]
            two = model.states(together.ids, together.mask, layer)[0, : len(feature.ids)]
            assert torch.allclose(one, two, atol=1e-5)
    head = head_of(model, kind, task)
    single, batched = (predicted(model, task, head, features, size) for size in (1, 16))
    if task.kind == "retrieval":
        assert torch.allclose(torch.stack(single), torch.stack(batched), atol=1e-5)
    else:
        assert single == batched


def test_gradients_reach_the_head_and_the_encoder(model, kind, task, examples):
    features = kind.encode(task, examples[:8], model.tokenizer, task.max_length)
    head = head_of(model, kind, task)
    if head is None:
        with pytest.raises(ValueError, match="cannot be trained"):
            kind.loss(nn.Identity(), torch.zeros(1, 1, 1), torch.zeros(1))
        return
    model.reset()
    model.zero_grad()
    batch = collate(task.name, features, 1, model.device)
    loss = kind.loss(head, model.states(batch.ids, batch.mask), batch.labels)
    assert torch.isfinite(loss)
    loss.backward()
    for parameter in [*head.parameters(), *model.encoder.parameters()]:
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    model.zero_grad()


def test_one_example(model, kind, task, examples):
    features = kind.encode(task, examples[:1], model.tokenizer, task.max_length)
    result = kind.score(task, examples[:1], features, predicted(model, task, head_of(model, kind, task), features))
    assert len(result.items) == 1
    assert all(0.0 <= figure.value <= 1.0 for figure in result.metrics)


def test_no_example(model, kind, task):
    assert kind.encode(task, [], model.tokenizer, task.max_length) == []
    result = kind.score(task, [], [], [])
    assert result.items == []
    assert all(figure.n == 0 and figure.stderr is None for figure in result.metrics)


def test_encoding_does_not_depend_on_the_neighbours(model, kind, task, examples):
    together = kind.encode(task, examples, model.tokenizer, task.max_length)
    alone = [f for e in examples for f in kind.encode(task, [e], model.tokenizer, task.max_length)]
    assert [(f.ids, f.label, f.positions) for f in together] == [(f.ids, f.label, f.positions) for f in alone]


def test_long_texts_are_cut_to_the_length(model, kind, task, examples):
    long = [longer(example, 8) for example in examples[:3]]
    for length in (8, 20, 64):
        features = kind.encode(task, long, model.tokenizer, length)
        assert max(len(feature.ids) for feature in features) <= length
        predictions = predicted(model, task, head_of(model, kind, task), features)
        assert len(kind.score(task, long, features, predictions).items) == 3


def longer(example, times):
    pair = None if example.pair is None else " ".join([example.pair] * times)
    return Example(
        example.id, example.lang, " ".join([example.text] * times), pair, example.label,
        example.words * times, example.tags * times,
    )  # fmt: skip


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_evaluation_does_not_depend_on_the_batches(model, kind, task, examples, monkeypatch):
    head = head_of(model, kind, task)
    sets = sets_of(task, {("test", "en"): examples, ("test", "de"): examples[::-1], ("dev", "en"): examples[:7]}, model)
    scores, items = evaluate(model, task, head, sets)
    monkeypatch.setattr("trainables.evaluate.scoring_batches", lambda features: scoring_batches(features, 200))
    assert evaluate(model, task, head, sets) == (scores, items)


def test_halves_add_up(model, kind, task, examples):
    head = head_of(model, kind, task)
    scores, items = evaluate(model, task, head, sets_of(task, {("test", "en"): examples}, model))
    n = {(row["portion"], row["metric"]): row["n"] for row in scores}
    for metric in {row["metric"] for row in scores}:
        assert n["search", metric] + n["report", metric] == n["test", metric]
    assert [item["id"] for item in items] == [example.id for example in examples]
    assert {row["portion"] for row in scores} == {"test", "search", "report"}


def test_an_empty_set_of_a_language(model, kind, task, examples):
    sets = sets_of(task, {("test", "en"): [], ("test", "de"): examples}, model)
    scores, items = evaluate(model, task, head_of(model, kind, task), sets)
    assert len(items) == len(examples)
    assert {row["n"] for row in scores if row["language"] == "en"} == {0}


def test_the_halves_are_halves():
    kept = sum(in_search_half(f"test-{number}") for number in range(2000))
    assert 900 < kept < 1100


# --- tagging ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pos():
    return load_task("mini-pos", "--tasks")


def test_a_long_sentence_gets_one_tag_a_word(model, pos):
    rng = random.Random(0)
    words = [rng.choice(["dog", "ยาวมาก" * 9, "Haus", "дом", "x" * 60, "."]) for _ in range(137)]
    tags = [rng.choice(pos.labels) for _ in words]
    example = Example("1", "en", words=tuple(words), tags=tuple(tags))
    for length in (8, 9, 20, 96):
        features = KINDS["tagging"].encode(pos, [example, example], model.tokenizer, length)
        assert len(features) > 4
        assert all(len(f.ids) <= length and len(f.ids) == len(f.label) and f.positions for f in features)
        predictions = predicted(model, pos, head_of(model, KINDS["tagging"], pos), features)
        assert sum(len(row) for row in predictions) == 2 * len(words)
        kept = [pos.labels[label] for f in features for label in f.label if label != IGNORED]
        assert kept == tags * 2
        read = [pos.labels[f.label[place]] for f in features for place in f.positions]
        assert read == tags * 2
        truth = [[pos.labels[f.label[place]] for place in f.positions] for f in features]
        assert KINDS["tagging"].score(pos, [example] * 2, features, truth).items == [1.0, 1.0]


def test_words_without_pieces_keep_their_tag(model, pos):
    """A word that the tokenizer drops (a zero-width sign, a blank) must not shift the others' tags."""
    words = ("dog", "\u200b", " ", "\ufeff", "runs")
    example = Example("1", "en", words=words, tags=("NOUN", "X", "X", "X", "VERB"))
    features = KINDS["tagging"].encode(pos, [example], model.tokenizer, 96)
    predictions = predicted(model, pos, head_of(model, KINDS["tagging"], pos), features)
    assert [len(row) for row in predictions] == [5]
    (feature,) = features
    assert len(feature.label) == len(feature.ids)
    assert [pos.labels[feature.label[place]] for place in feature.positions] == list(example.tags)


def test_pieces_of_words_are_those_of_the_sentence(model, pos):
    """Words encoded one by one give the ids of the sentence with spaces."""
    example = Example(
        "1", "en", words=("Anna", "bought", "an", "apple", "."), tags=("PROPN", "VERB", "DET", "NOUN", "PUNCT")
    )
    (feature,) = KINDS["tagging"].encode(pos, [example], model.tokenizer, 96)
    assert feature.ids == model.tokenizer("Anna bought an apple .")["input_ids"]


# --- classification ---------------------------------------------------------------------------------------------------


def test_the_longer_sentence_is_cut_first(model):
    task = load_task("mini-nli", "--tasks")
    example = Example("1", "en", text="a dog " * 50, pair="cat", label="neutral")
    (feature,) = KINDS["classification"].encode(task, [example], model.tokenizer, 20)
    text = model.tokenizer.decode(feature.ids)
    assert len(feature.ids) == 20
    assert "cat" in text


def test_single_sentences(model):
    task = load_task("mini-topic", "--tasks")
    example = Example("1", "en", text="Anna ate an apple.", label="food")
    (feature,) = KINDS["classification"].encode(task, [example], model.tokenizer, 96)
    assert feature.ids == model.tokenizer("Anna ate an apple.")["input_ids"]
    assert feature.label == task.labels.index("food")


# --- retrieval --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_identical_sentences_are_found(model, layer, pooling):
    settings = {"layer": layer, "pooling": pooling}
    shipped = load_task("mini-tatoeba", "--tasks")
    task = Task.model_validate({**shipped.model_dump(), "retrieval": settings})
    texts = sorted({example.pair for example in generate.examples("translations", "test", "de")})
    examples = [Example(str(number), "en", text=text, pair=text) for number, text in enumerate(texts)]
    sets = sets_of(task, {("test", "en"): examples}, model)
    scores, _ = evaluate(model, task, None, sets)
    if (layer, pooling) == (0, "first"):
        return  # the first token's embedding is the same in every sentence
    assert next(row["value"] for row in scores if row["portion"] == "test") == 1.0


def test_either_of_two_equal_english_sentences_is_right(model):
    task = load_task("mini-tatoeba", "--tasks")
    pairs = [("Hallo", "Hello"), ("Guten Tag", "Hello"), ("Ja", "Yes")]
    examples = [Example(str(number), "de", text=a, pair=b) for number, (a, b) in enumerate(pairs)]
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    result = KINDS["retrieval"].score(task, examples, [], [one, one, one, one, two, two])
    assert result.items == [1.0, 1.0, 1.0]
