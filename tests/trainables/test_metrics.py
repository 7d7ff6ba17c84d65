"""Metrics equal numpy's, scipy's and seqeval's figures; standard errors equal the bootstrap's."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from trainables.metrics import mean_of, span_f1

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
