"""Metrics equal numpy's, scipy's and seqeval's figures; standard errors equal the bootstrap's."""

from __future__ import annotations

import gzip
import json
import math
import random
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, classification_report, f1_score
from seqeval.metrics.sequence_labeling import get_entities

from trainables.examples import Example
from trainables.kinds import KINDS, Feature
from trainables.metrics import mean_of, ratio_f1, span_f1
from trainables.tasks import Task

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BARE = ["NOUN", "NUM", "VERB", "CCONJ", "SCONJ", "PUNCT"]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=200))
def test_mean_and_stderr(values):
    found = mean_of("accuracy", values)
    assert found.n == len(values)
    assert found.value == pytest.approx(np.mean(values), abs=1e-12)
    assert found.stderr == pytest.approx(scipy.stats.sem(values), abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=100))
def test_accuracy_is_a_binomial_share(values):
    found, p, n = mean_of("accuracy", values), np.mean(values), len(values)
    assert found.stderr == pytest.approx(math.sqrt(p * (1 - p) / (n - 1)), abs=1e-12)


def test_mean_of_one_and_of_none():
    assert mean_of("accuracy", [1.0]).stderr is None
    assert mean_of("accuracy", [1.0]).value == 1.0
    nothing = mean_of("accuracy", [])
    assert math.isnan(nothing.value)
    assert (nothing.n, nothing.stderr) == (0, None)


def pairs_of(tags):
    """Sentences of random tags with predictions that are often right."""
    lengths = st.lists(st.integers(1, 12), min_size=1, max_size=15)
    return st.tuples(lengths, st.randoms(use_true_random=False)).map(lambda drawn: corpus(tags, *drawn))


def corpus(tags, lengths, rng):
    gold = [[rng.choice(tags) for _ in range(length)] for length in lengths]
    return gold, [[tag if rng.random() < 0.7 else rng.choice(tags) for tag in row] for row in gold]


@pytest.mark.parametrize("tags", [BIO, BARE, BIO + BARE], ids=["BIO", "bare", "both"])
def test_f1_is_seqevals(tags):
    @given(pairs_of(tags))
    @settings(max_examples=60, deadline=None)
    def check(pair):
        gold, predicted = pair
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = f1_score(gold, predicted)
            spans = [(set(get_entities(g)), set(get_entities(p))) for g, p in zip(gold, predicted, strict=True)]
        found = span_f1("f1", gold, predicted)
        assert found.value == expected
        assert found.n == len(gold)
        # The standard error takes F1 for 2·hits / (gold + predicted) over sentences: that must be the same figure.
        hits, sizes = sum(len(g & p) for g, p in spans), sum(len(g) + len(p) for g, p in spans)
        assert expected == pytest.approx(2 * hits / sizes if sizes else 0.0)

    check()


def test_f1_perfect_wrong_and_empty():
    gold = [["B-PER", "I-PER", "O"], ["B-LOC"]]
    perfect = span_f1("f1", gold, gold)
    assert (perfect.value, perfect.stderr, perfect.n) == (1.0, 0.0, 2)
    assert span_f1("f1", gold, [["O", "O", "O"], ["O"]]).value == 0.0
    assert span_f1("f1", gold, [["B-PER", "O", "O"], ["B-LOC"]]).value == 0.5  # the right start is not enough
    nothing = span_f1("f1", [], [])
    assert math.isnan(nothing.value)
    assert (nothing.n, nothing.stderr) == (0, None)
    no_spans = span_f1("f1", [["O"], ["O"]], [["O"], ["O"]])
    assert (no_spans.value, no_spans.stderr) == (0.0, None)
    assert span_f1("f1", [["B-PER"]], [["B-PER"]]).stderr is None  # of one sentence


def test_f1_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        span_f1("f1", [["NOUN", "VERB"], ["O"]], [["NOUN", "NOUN"], ["O"]])


@pytest.mark.parametrize("tags", [BIO, BARE], ids=["BIO", "bare"])
def test_stderr_of_f1_is_the_bootstraps(tags):
    rng = random.Random(7)
    gold, predicted = corpus(tags, [rng.randint(3, 25) for _ in range(300)], rng)
    found = span_f1("f1", gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spans = [(set(get_entities(g)), set(get_entities(p))) for g, p in zip(gold, predicted, strict=True)]
    hits = np.array([2 * len(g & p) for g, p in spans])
    sizes = np.array([len(g) + len(p) for g, p in spans])
    draws = np.random.default_rng(7).integers(0, len(gold), (4000, len(gold)))
    values = hits[draws].sum(1) / sizes[draws].sum(1)
    assert found.stderr == pytest.approx(values.std(ddof=1), rel=0.15)


# --- published sentences ----------------------------------------------------------------------------------------------


def perfect(rng, tags, labels):
    return list(tags)


def at_random(rng, tags, labels):
    return [rng.choice(labels) for _ in tags]


def nothing(rng, tags, labels):
    return ["O" if "O" in labels else labels[0]] * len(tags)


def often_right(rng, tags, labels):
    return [tag if rng.random() < 0.8 else rng.choice(labels) for tag in tags]


def ill_formed(rng, tags, labels):
    """I- after O, I- at the beginning, I- of another type than its B-; of bare tags, neighbours joined."""
    if "O" not in labels:
        return [tags[place - place % 2] for place in range(len(tags))]
    swaps = {"PER": "LOC", "LOC": "ORG", "ORG": "PER"}
    found = []
    for tag in tags:
        start, _, what = tag.partition("-")
        if start == "B" and rng.random() < 0.7:
            tag = f"I-{what}"
        elif start == "I" and rng.random() < 0.5:
            tag = rng.choice([f"B-{what}", f"I-{swaps[what]}", "O"])
        found.append(tag)
    return found


def shifted(rng, tags, labels):
    return [*tags[1:], tags[0]]


PREDICTORS = [perfect, at_random, nothing, often_right, ill_formed, shifted]


def bio_spans(tags):
    """Where the spans of B-, I- and O are, by the rules of conlleval: an I- that continues no span of its type begins
    one."""
    spans, before = [], "O"
    for place, tag in enumerate(tags):
        start, _, what = tag.partition("-")
        if start == "B" or (start == "I" and before[2:] != what):
            spans.append([what, place, place])
        elif start == "I":
            spans[-1][2] = place
        before = tag
    return {tuple(span) for span in spans}


def published(data_dir, name, field):
    """1,000 sentences and more, some of every language."""
    with gzip.open(data_dir / name / "test.jsonl.gz", "rt") as lines:
        rows = list(lines)
    return [json.loads(row) for row in rows[:: len(rows) // 1000]]


@pytest.mark.data
@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize(("name", "field"), [("udpos", "upos"), ("panx", "ner_tags")])
def test_tagging_scores_are_seqevals(data_dir, name, field, predictor):
    rows = published(data_dir, name, field)
    assert len(rows) >= 1000
    labels = sorted({tag for row in rows for tag in row[field]})
    rng = random.Random(0)
    gold = [row[field] for row in rows]
    predictions = [predictor(rng, tags, labels) for tags in gold]
    examples = [
        Example(str(number), row["lang"], words=tuple(row["tokens"]), tags=tuple(row[field]))
        for number, row in enumerate(rows)
    ]
    task = Task.model_validate({"name": name, "kind": "tagging", "source": {"mini": "x"}, "labels": labels})
    # A sentence in two features, as a long one is.
    features, parts = [], []
    for number, tags in enumerate(predictions):
        cut = rng.randint(0, len(tags))
        features += [Feature(number, []), Feature(number, [])]
        parts += [tags[:cut], tags[cut:]]
    result = KINDS["tagging"].score(task, examples, features, parts)
    f1, token = result.metrics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f1.value == f1_score(gold, predictions)
        assert f1.value == classification_report(gold, predictions, output_dict=True)["micro avg"]["f1-score"]
        assert token.value == accuracy_score(gold, predictions)
        one = [f1_score([g], [p]) for g, p in zip(gold[:50], predictions[:50], strict=True)]
    assert one == [span_f1("f1", [g], [p]).value for g, p in zip(gold[:50], predictions[:50], strict=True)]
    assert (f1.n, token.n) == (len(rows), sum(map(len, gold)))
    assert result.items == [accuracy_score([g], [p]) for g, p in zip(gold, predictions, strict=True)]
    if name == "panx":
        spans = [(bio_spans(g), bio_spans(p)) for g, p in zip(gold, predictions, strict=True)]
        hits, total = sum(len(g & p) for g, p in spans), sum(len(g) + len(p) for g, p in spans)
        assert f1.value == pytest.approx(2 * hits / total, abs=1e-15)


@pytest.mark.parametrize(
    ("gold", "predicted", "f1"),
    [
        ("O I-PER", "O B-PER", 1.0),  # an I- after O begins a span
        ("B-PER I-LOC", "B-PER B-LOC", 1.0),  # and so does one of another type
        ("B-PER I-PER", "B-PER B-PER", 0.0),
        ("I-PER I-PER", "B-PER I-PER", 1.0),
        ("NOUN NOUN VERB", "NOUN NOUN VERB", 1.0),
        ("NOUN NOUN VERB", "NOUN VERB VERB", 0.0),  # neighbours with the same tag are one span
        ("NOUN VERB", "NOUN NUM", 0.5),
    ],
)
def test_f1_by_hand(gold, predicted, f1):
    assert span_f1("f1", [gold.split()], [predicted.split()]).value == pytest.approx(f1)


# --- accuracy ---------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("kind", "name"), [("classification", "xnli/test"), ("choice", "hellaswag/val")])
def test_accuracy_is_sklearns(data_dir, kind, name, share):
    """Of predictions that are right about so often; features in another order than the examples."""
    with gzip.open(data_dir / f"{name}.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in list(lines)[:1000]]
    assert len(rows) >= 1000
    gold = [row["label"] for row in rows]
    labels = sorted(set(gold))
    rng = random.Random(0)
    predictions = [label if rng.random() < share else rng.choice(labels) for label in gold]
    fields = {"labels": labels} if kind == "classification" else {}
    task = Task.model_validate({"name": kind, "kind": kind, "source": {"mini": "x"}, **fields})
    examples = [Example(str(number), "en", label=str(label)) for number, label in enumerate(gold)]
    features = [Feature(number, [], label if kind == "choice" else 0) for number, label in enumerate(gold)]
    order = rng.sample(range(len(gold)), len(gold))
    result = KINDS[kind].score(task, examples, [features[i] for i in order], [predictions[i] for i in order])
    assert result.metrics[0].value == sklearn.metrics.accuracy_score(gold, predictions)
    assert result.items == [float(a == b) for a, b in zip(gold, predictions, strict=True)]


@pytest.mark.data
@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0])
def test_retrieval_is_a_search_by_hand(data_dir, noise):
    with gzip.open(data_dir / "tatoeba" / "test.jsonl.gz", "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["lang"] == "fra"]
    assert len(rows) == 1000
    rng = np.random.default_rng(0)
    english = rng.normal(size=(len(rows), 24))
    other = english + noise * rng.normal(size=english.shape)
    cosines = (other / np.linalg.norm(other, axis=1, keepdims=True)) @ (
        english / np.linalg.norm(english, axis=1, keepdims=True)
    ).T
    texts = [row["eng"] for row in rows]
    expected = [float(texts[found] == text) for found, text in zip(cosines.argmax(1), texts, strict=True)]
    assert (0 < sum(expected) < len(rows)) == (noise > 0)
    task = Task.model_validate({"name": "x", "kind": "retrieval", "source": {"mini": "x"}})
    examples = [Example(str(row["id"]), "fr", row["text"], row["eng"]) for row in rows]
    both = torch.tensor(np.stack([other, english], 1)).flatten(0, 1)
    vectors = list(torch.nn.functional.normalize(both, dim=-1))
    result = KINDS["retrieval"].score(task, examples, [], vectors)
    assert result.items == expected
    assert result.metrics[0].value == np.mean(expected)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30), st.integers(0, 20))
def test_f1_of_pairs(found, missed):
    """F1 of the named pairs against the gold ones is scikit-learn's on all pairs, the missed ones included."""
    hits, kept = [hit for hit, _ in found], [keep for _, keep in found]
    gold = sum(hits) + missed
    measured = ratio_f1("f1", hits, kept, gold)
    assert measured.n == gold
    if gold + sum(kept):
        truth, named = hits + [True] * missed, kept + [False] * missed
        assert measured.value == pytest.approx(sklearn.metrics.f1_score(truth, named, zero_division=0.0), abs=1e-15)
    else:
        assert math.isnan(measured.value)
