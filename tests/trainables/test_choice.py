"""Multiple choice: rows of a choice each, mixed numbers of choices in a batch, and what is cut where."""

from __future__ import annotations

import gzip
import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer

from trainables.batches import collate, scoring_batches, training_batches
from trainables.examples import Example
from trainables.fingerprint import MICRO
from trainables.kinds import KINDS
from trainables.models import Encoder
from trainables.tasks import Task

CHOICE = KINDS["choice"]
TASK = Task.model_validate({"name": "by-hand", "kind": "choice", "source": {"mini": "x"}, "max_length": 96})

MIXED = [
    Example("1", "en", "She opened the window because", None, "1", choices=("it was locked", "it was hot")),
    Example("2", "de", "Er nahm den Schirm, denn", None, "2", choices=("es schien", "er schlief", "es regnete")),
    Example("3", "hi", "बच्चा रो रहा था", "क्यों?", "0", choices=("वह गिर गया", "वह सो गया", "सूरज", "नदी")),
    Example("4", "zh", "", "水在多少度结冰？", "4", choices=("一百度", "五十度", "二十度", "十度", "零度")),
    Example("5", "th", "ฝนตกหนัก", "ถนนเป็นอย่างไร", "0", choices=("เปียก", "แห้ง" * 9)),
    Example("6", "ar", "ذهب إلى السوق", None, "1", choices=("لينام", "ليشتري الخبز", "ليطير")),
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MICRO)


@pytest.fixture(scope="module")
def model(tiny_model):
    return Encoder(tiny_model).eval()


@pytest.fixture(scope="module")
def head(model):
    torch.manual_seed(3)
    return CHOICE.head(TASK, model)


def encode(model, examples, length=96):
    return CHOICE.encode(TASK, examples, model.tokenizer, length)


@torch.no_grad()
def scores(model, head, rows):
    """Each row's score on its own, without any padding."""
    return [float(head(model.states(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long)))) for row in rows]


@torch.no_grad()
def run(model, head, features):
    batch = collate("x", features, 1, model.device)
    states = model.states(batch.ids, batch.mask)
    predictions = CHOICE.predict(TASK, head, states, batch.mask, batch.features)
    return predictions, CHOICE.loss(head, states, batch.labels, batch.features)


def test_a_row_is_the_context_with_a_choice(tokenizer):
    first, second, *_ = CHOICE.encode(TASK, [MIXED[0], MIXED[2]], tokenizer, 96)
    assert first.rows == [tokenizer(MIXED[0].text, choice)["input_ids"] for choice in MIXED[0].choices]
    assert second.rows == [tokenizer(MIXED[2].text, f"क्यों? {choice}")["input_ids"] for choice in MIXED[2].choices]
    assert [first.label, second.label] == [1, 0]
    assert first.length == max(map(len, first.rows))


def test_mixed_numbers_of_choices_in_a_batch(model, head):
    """The same predictions and losses as one by one; an item never takes another's choice or one that is not there."""
    features = encode(model, MIXED)
    assert [len(feature.rows) for feature in features] == [2, 3, 4, 5, 2, 3]
    for order in (features, features[::-1], features[1:4]):
        together, loss = run(model, head, order)
        alone = [run(model, head, [feature]) for feature in order]
        assert together == [prediction for (prediction,), _ in alone]
        assert loss == pytest.approx(float(sum(one for _, one in alone) / len(alone)), abs=1e-5)
        for feature, best, (_, one) in zip(order, together, alone, strict=True):
            own = scores(model, head, feature.rows)
            assert own[best] == pytest.approx(max(own), abs=1e-5)
            assert one == pytest.approx(
                float(F.cross_entropy(torch.tensor(own), torch.tensor(feature.label))), abs=1e-4
            )


def test_gradients_of_mixed_items(model, head):
    """Missing choices give no gradient that is no number, and none to speak of."""
    features = encode(model, MIXED)
    grads = []
    for groups in ([features], [[feature] for feature in features]):
        head.zero_grad()
        for group in groups:
            batch = collate("x", group, 1, model.device)
            loss = CHOICE.loss(head, model.states(batch.ids, batch.mask).detach(), batch.labels, batch.features)
            (loss * len(group) / len(features)).backward()
        grads.append([parameter.grad.clone() for parameter in head.parameters()])
    assert all(torch.isfinite(grad).all() for grad in grads[0])
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(*grads, strict=True))


@pytest.mark.parametrize("right", range(5))
def test_the_best_score_is_chosen(right):
    """Scores below zero do not lose against what fills up shorter items."""
    counts = [2, 5, 3]
    features = CHOICE.encode(
        TASK,
        [Example(str(n), "en", "a", None, "0", choices=("b",) * n) for n in counts],
        AutoTokenizer.from_pretrained(MICRO),
        96,
    )
    states = torch.full((sum(counts), 4, 1), -50.0)
    expected = [min(right, count - 1) for count in counts]
    for first, best in zip([0, 2, 7], expected, strict=True):
        states[first + best] = -49.0
    head = nn.Flatten(0)  # a head's scores are rows × 1
    found = CHOICE.predict(TASK, lambda s: head(s[:, 0]).unsqueeze(-1), states, torch.ones(10, 4), features)
    assert found == expected


@pytest.mark.parametrize("length", [8, 10, 16, 24])
def test_what_is_too_long_loses_the_end_of_its_context(tokenizer, length):
    context, question = "once upon a time " * 9, "why did he go?"
    example = Example("1", "en", context, question, "0", choices=("yes", "because it rained on and on"))
    (feature,) = CHOICE.encode(TASK, [example], tokenizer, length)
    ones = tokenizer(context, add_special_tokens=False)["input_ids"]
    for row, choice in zip(feature.rows, example.choices, strict=True):
        twos = tokenizer(f"{question} {choice}", add_special_tokens=False)["input_ids"]
        assert len(row) == length
        end = row.index(2)
        first, second = row[1:end], row[end + 2 : -1]
        assert row == [0, *first, 2, 2, *second, 2]
        assert len(first) >= 1
        assert first == ones[: len(first)]
        assert second == twos[-len(second) :]
        assert len(second) == min(
            len(twos), length - 5
        )  # it loses its beginning only where one token of context is left


def test_choices_with_the_same_beginning_stay_apart(tokenizer):
    """Long choices that differ at their end only: CODAH's and HellaSwag's do."""
    choices = tuple(f"{'and then he went on ' * 10}{end}" for end in ("home", "away", "again"))
    (feature,) = CHOICE.encode(TASK, [Example("1", "en", "He came.", None, "0", choices=choices)], tokenizer, 24)
    assert len({tuple(row) for row in feature.rows}) == 3


def test_batches_count_rows(tokenizer):
    features = CHOICE.encode(TASK, MIXED * 8, tokenizer, 96)
    seen = []
    for chosen in scoring_batches(features, 400):
        tokens = sum(len(features[i].rows) for i in chosen) * max(features[i].length for i in chosen)
        assert tokens <= 400 or len(chosen) == 1
        seen += chosen
    assert sorted(seen) == list(range(len(features)))
    for _, drawn in training_batches({"x": features}, 7, 20, 0):
        batch = collate("x", drawn, 1, torch.device("cpu"))
        assert len(batch.labels) == len(drawn) <= 7
        assert len(batch.ids) == sum(len(feature.rows) for feature in drawn)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts"), [("hellaswag/val", {4}), ("cosmosqa/val", {4}), ("commonsenseqa/val", {5}), ("codah/val", {4})]
)
def test_published_choices(data_dir, tokenizer, name, counts):
    """Every choice keeps its end, in rows that differ wherever the choices do."""
    with gzip.open(data_dir / f"{name}.jsonl.gz", "rt") as lines:
        examples = [published(json.loads(line)) for line in list(lines)[:100]]
    features = CHOICE.encode(TASK, examples, tokenizer, 96)
    assert {len(feature.rows) for feature in features} == counts
    for example, feature in zip(examples, features, strict=True):
        assert feature.length <= 96
        for row, choice in zip(feature.rows, example.choices, strict=True):
            ids = tokenizer(choice, add_special_tokens=False)["input_ids"]
            kept = min(len(ids), 60)
            assert row[-1 - kept : -1] == ids[-kept:]
        assert len(set(map(tuple, feature.rows))) == len(set(example.choices))


def published(row):
    if "endings" in row:
        return Example(
            str(row["id"]),
            "en",
            row.get("ctx") or row["prompt"],
            None,
            str(row["label"]),
            choices=tuple(row["endings"]),
        )
    if "answer0" in row:
        choices = tuple(row[f"answer{number}"] for number in range(4))
        return Example(row["id"], "en", row["context"], row["question"], str(row["label"]), choices=choices)
    choices = tuple(choice["text"] for choice in row["question"]["choices"])
    return Example(
        row["id"], "en", row["question"]["stem"], None, str("ABCDE".index(row["answerKey"])), choices=choices
    )
