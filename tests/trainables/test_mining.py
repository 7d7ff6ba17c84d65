"""Bitext mining against a search by hand: candidates, thresholds and F1, on published pairs and on ties."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.examples import Example
from trainables.kinds import KINDS
from trainables.kinds import mining as mining_module
from trainables.kinds.mining import Found, find_pairs, fit_threshold
from trainables.tasks import Task

MINING = KINDS["mining"]


def task_of(**settings):
    return Task.model_validate({"name": "by-hand", "kind": "mining", "source": {"mini": "x"}, "mining": settings})


# --- the same by hand -------------------------------------------------------------------------------------------------


def all_pairs(x, y, score, neighbours):
    """The score of every pair, and who is among whose nearest."""
    cosines = x @ y.T
    k = min(neighbours, *cosines.shape)
    near_x, near_y = np.argsort(-cosines, axis=1)[:, :k], np.argsort(-cosines.T, axis=1)[:, :k]
    if score == "cosine":
        return cosines, near_x, near_y
    of_x = np.take_along_axis(cosines, near_x, 1).mean(1)
    of_y = np.take_along_axis(cosines.T, near_y, 1).mean(1)
    return cosines / ((of_x[:, None] + of_y[None, :]) / 2), near_x, near_y


def greedy(x, y, score, neighbours):
    """Of all pairs, the best first, those that are the best of either side and whose sides are both free."""
    scores, near_x, near_y = all_pairs(x, y, score, neighbours)
    best = {(i, max(near, key=lambda j: scores[i, j])) for i, near in enumerate(near_x)}
    best |= {(max(near, key=lambda i: scores[i, j]), j) for j, near in enumerate(near_y)}
    taken_x, taken_y, found = set(), set(), []
    for i, j in sorted(best, key=lambda pair: -scores[pair]):
        if i not in taken_x and j not in taken_y:
            taken_x.add(i)
            taken_y.add(j)
            found.append((scores[i, j], int(i), int(j)))
    return found


def f1_of(right, named, gold):
    return Fraction(2 * right, named + gold)


def best_cut(rows, gold):
    """F1 and threshold of the best of all cuts of (score, right) rows; half way to what is cut off."""
    cuts = []
    values = sorted({score for score, _ in rows}, reverse=True)
    for place, value in enumerate(values):
        kept = [right for score, right in rows if score >= value]
        below = values[min(place + 1, len(values) - 1)]
        cuts.append(
            (f1_of(sum(kept), len(kept), gold) if gold else Fraction(0), len(values) - place, (value + below) / 2)
        )
    f1, _, threshold = max(cuts)
    return f1, threshold


def unit_of(example):
    return example.pair if example.label == "target" and example.pair else example.id


def half_of(example):
    return hashlib.sha256(f"fold {unit_of(example)}".encode()).digest()[0] % 2


def by_hand(sources, targets, found, threshold):
    """The named pairs: above the threshold, or above the one fitted on the other half."""
    if threshold is not None:
        return [pair for pair in found if pair[0] >= threshold]
    thresholds = {}
    for half in (0, 1):
        rows = [(s, sources[i].pair == targets[j].id) for s, i, j in found if half_of(sources[i]) != half]
        gold = sum(half_of(source) != half and source.pair is not None for source in sources)
        thresholds[half] = best_cut(rows, gold)[1]
    return [pair for pair in found if pair[0] >= thresholds[half_of(sources[pair[1]])]]


# --- published pairs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucc(data_dir):
    """All 257 pairs of BUCC's zh-en with as many other sentences as make 1,000 and 1,200."""
    rows = {"zh": [], "en": []}
    with gzip.open(data_dir / "bucc2018" / "zh-en.sentences.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            rows[row["lang"]].append((row["id"], row["text"]))
    with gzip.open(data_dir / "bucc2018" / "zh-en.gold.jsonl.gz", "rt") as lines:
        pairs = {row["zh"]: row["en"] for row in map(json.loads, lines)}
    back = {target: source for source, target in pairs.items()}
    kept = {}
    for code, known, size in (("zh", pairs, 1000), ("en", back, 1200)):
        others = [row for row in rows[code] if row[0] not in known][: size - len(known)]
        wanted = {name for name, _ in others} | set(known)
        kept[code] = [row for row in rows[code] if row[0] in wanted]
    examples = [Example(i, "zh", text, pairs.get(i), "source") for i, text in kept["zh"]]
    return examples + [Example(i, "zh", text, back.get(i), "target") for i, text in kept["en"]]


def vectors_of(examples, noise, seed=0, width=48):
    """Unit vectors that translations share up to some noise; all of them a little alike, as an encoder's are."""
    rng = np.random.default_rng(seed)
    bases = {}
    rows = np.stack([bases.setdefault(unit_of(example), rng.normal(size=width)) for example in examples])
    rows = rows + noise * rng.normal(size=rows.shape) + 0.3
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.data
@pytest.mark.parametrize("noise", [0.3, 0.8, 1.5, 50.0])
@pytest.mark.parametrize("score", ["margin", "cosine"])
@pytest.mark.parametrize("given", ["cross-fitted", "from dev"])
def test_published_pairs(bucc, noise, score, given):
    examples = random.Random(1).sample(bucc, len(bucc))
    sources, targets = ([e for e in examples if e.label == side] for side in ("source", "target"))
    assert (len(sources), len(targets)) == (1000, 1200)
    vectors = vectors_of(examples, noise)
    of = {example.id: vector for example, vector in zip(examples, vectors, strict=True)}
    x, y = (np.stack([of[example.id] for example in side]) for side in (sources, targets))
    task = task_of(score=score)
    found = greedy(x, y, score, 4)
    candidates = find_pairs(task, examples, torch.tensor(vectors))
    assert [(examples[c.source].id, examples[c.target].id) for c in candidates] == [
        (sources[i].id, targets[j].id) for _, i, j in found
    ]
    assert [c.score for c in candidates] == pytest.approx([s for s, _, _ in found], abs=1e-12)

    threshold = None
    if given == "from dev":
        dev = [row for row in examples if int(hashlib.md5(unit_of(row).encode()).hexdigest(), 16) % 4 == 0]  # noqa: S324
        own = MINING.score(task, dev, [], torch.tensor(np.stack([of[example.id] for example in dev])))
        threshold = own.threshold
        assert 0 < len(dev) < len(examples)
    result = MINING.score(task, examples, [], torch.tensor(vectors), threshold)
    named = by_hand(sources, targets, found, threshold)
    right = sum(sources[i].pair == targets[j].id for _, i, j in named)
    oracle, fitted = best_cut([(s, sources[i].pair == targets[j].id) for s, i, j in found], 257)
    figures = {figure.metric: figure for figure in result.metrics}
    assert list(figures) == ["f1", "f1_oracle", "precision", "recall"]
    assert figures["f1"].value == float(f1_of(right, len(named), 257))
    assert figures["f1_oracle"].value == float(oracle) >= figures["f1"].value
    assert figures["precision"].value == (right / len(named) if named else 0.0)
    assert figures["recall"].value == right / 257
    assert (figures["f1"].n, figures["precision"].n, figures["recall"].n) == (257, len(named), 257)
    assert result.threshold == pytest.approx(fitted, abs=1e-12)
    said = {sources[i].id: targets[j].id for _, i, j in named}
    said |= {target: source for source, target in said.items()}
    assert result.items == [float(said.get(example.id) == example.pair) for example in examples]
    if noise < 0.5:
        assert figures["f1"].value > 0.9
    if noise > 10:
        assert figures["f1"].value < 0.1


# --- any vectors ------------------------------------------------------------------------------------------------------


def made(sources, targets, pairs):
    """Sentences of which the first so many are pairs."""
    examples = [Example(f"s{n}", "xx", label="source", pair=f"t{n}" if n < pairs else None) for n in range(sources)]
    return examples + [
        Example(f"t{n}", "xx", label="target", pair=f"s{n}" if n < pairs else None) for n in range(targets)
    ]


@pytest.mark.parametrize(
    ("sources", "targets", "neighbours"), [(30, 30, 4), (5, 40, 4), (40, 3, 4), (1, 1, 4), (2, 2, 1), (20, 30, 500)]
)
@pytest.mark.parametrize("score", ["margin", "cosine"])
def test_sides_of_any_size(sources, targets, neighbours, score):
    examples = made(sources, targets, min(sources, targets) // 2)
    vectors = vectors_of(examples, 0.5, seed=sources)
    found = find_pairs(task_of(score=score, neighbours=neighbours), examples, torch.tensor(vectors))
    expected = greedy(vectors[:sources], vectors[sources:], score, neighbours)
    assert [(c.source, c.target - sources) for c in found] == [(i, j) for _, i, j in expected]
    assert [c.score for c in found] == pytest.approx([s for s, _, _ in expected], abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 29, 1000])
def test_chunks_change_nothing(monkeypatch, chunk):
    examples = made(29, 41, 20)
    vectors = torch.tensor(vectors_of(examples, 1.0)).float()
    expected = find_pairs(task_of(), examples, vectors)
    monkeypatch.setattr(mining_module, "CHUNK", chunk)
    found = find_pairs(task_of(), examples, vectors)
    assert [pair[1:] for pair in found] == [pair[1:] for pair in expected]
    assert [pair.score for pair in found] == pytest.approx([pair.score for pair in expected], abs=1e-5)


@pytest.mark.parametrize(("sources", "targets"), [(0, 0), (3, 0), (0, 3)])
def test_an_empty_side(sources, targets):
    examples = made(sources, targets, 0)
    result = MINING.score(task_of(), examples, [], torch.tensor(vectors_of(examples, 1.0)) if examples else [])
    assert result.items == [1.0] * len(examples)  # nothing has a translation, nothing is said to have one
    assert [figure.n for figure in result.metrics] == [0] * 4


def test_nothing_to_find():
    examples = made(6, 6, 0)
    result = MINING.score(task_of(), examples, [], torch.tensor(vectors_of(examples, 1.0)), 100.0)
    assert result.items == [1.0] * 12
    assert result.metrics[3].value == 0.0


@pytest.mark.parametrize("score", ["margin", "cosine"])
def test_equal_sentences_are_paired_once(score):
    """Every sentence says the same: each is in one pair at most, and all scores are equal."""
    examples = made(7, 5, 5)
    found = find_pairs(task_of(score=score), examples, torch.ones(12, 4) / 2)
    assert 1 <= len(found) <= 5
    assert len({pair.source for pair in found}) == len({pair.target for pair in found}) == len(found)
    assert {pair.score for pair in found} == {1.0}
    assert found == find_pairs(task_of(score=score), examples, torch.ones(12, 4) / 2)


def test_the_order_of_sentences_changes_nothing():
    examples = made(25, 30, 18)
    vectors = vectors_of(examples, 1.0)
    order = np.random.default_rng(3).permutation(len(examples))
    one = MINING.score(task_of(), examples, [], torch.tensor(vectors))
    two = MINING.score(task_of(), [examples[i] for i in order], [], torch.tensor(vectors[order]))
    assert one.metrics == two.metrics
    assert [one.items[i] for i in order] == two.items


# --- thresholds -------------------------------------------------------------------------------------------------------

rows = st.lists(st.tuples(st.integers(-3, 12).map(lambda n: n / 8), st.booleans()), min_size=1, max_size=25)


@given(rows, st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_the_best_of_all_thresholds(rows, missed):
    """Equal scores are named together or not at all."""
    rows = sorted(rows, key=lambda row: -row[0])
    gold = sum(right for _, right in rows) + missed
    candidates = [Found(score, place, place) for place, (score, _) in enumerate(rows)]
    threshold = fit_threshold(candidates, [right for _, right in rows], gold)
    best, expected = best_cut(rows, gold)
    kept = [right for score, right in rows if score >= threshold]
    if gold:
        assert f1_of(sum(kept), len(kept), gold) == best
    assert threshold == expected


def test_no_candidates():
    assert fit_threshold([], [], 3) == float("inf")


def test_a_half_is_scored_with_the_other_halfs_threshold():
    """What is known of a half's own pairs changes nothing of what is named in it."""
    examples = made(60, 60, 40)
    vectors = torch.tensor(vectors_of(examples, 1.2))
    named = {}
    for blinded in (None, 0, 1):
        known = [
            Example(e.id, e.lang, label=e.label, pair=None if half_of(e) == blinded else e.pair)
            if e.label == "source" else e
            for e in examples
        ]  # fmt: skip
        candidates = find_pairs(task_of(), known, vectors)
        hits = [known[c.source].pair == known[c.target].id for c in candidates]
        kept = MINING._cross_fitted(known, candidates, hits)
        for half in (0, 1):
            named[blinded, half] = {
                c for c, keep in zip(candidates, kept, strict=True) if keep and half_of(known[c.source]) == half
            }
    assert named[None, 0] == named[0, 0] != set()
    assert named[None, 1] == named[1, 1] != set()
    assert (named[1, 0], named[0, 1]) != (named[None, 0], named[None, 1])


def test_the_two_sides_of_a_pair_are_one_unit():
    examples = made(8, 9, 5)
    units = [MINING.unit(example) for example in examples]
    assert units == [*(f"s{n}" for n in range(8)), *(f"s{n}" for n in range(5)), *(f"t{n}" for n in range(5, 9))]
