"""Metrics with their standard errors. Figures equal the official scripts' on the same predictions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric's value in [0, 1], the number of units it is over, and its standard error over them (None below two)."""

    metric: str
    value: float
    n: int
    stderr: float | None


def mean_of(metric: str, values: Sequence[float]) -> Measured:
    """A mean and its standard error s/√n."""
    n = len(values)
    if not n:
        return Measured(metric, math.nan, 0, None)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else None
    return Measured(metric, mean, n, None if variance is None else math.sqrt(variance / n))


def span_f1(metric: str, gold: Sequence[list[str]], predicted: Sequence[list[str]]) -> Measured:
    """Micro-averaged F1 over spans as seqeval 1.2.2 counts them, bare tags included (runs of equal tags are one span).

    The standard error is that of a ratio of sums over sentences (linearisation; Cochran, Sampling Techniques, 6.4).
    """
    n = len(gold)
    if not n:
        return Measured(metric, math.nan, 0, None)
    rows = [(_spans(tuple(g)), _spans(tuple(p))) for g, p in zip(gold, predicted, strict=True)]
    right, named, there = sum(len(g & p) for g, p in rows), sum(len(p) for _, p in rows), sum(len(g) for g, _ in rows)
    precision, recall = right / max(1, named), right / max(1, there)
    value = 2 * precision * recall / (precision + recall) if right else 0.0
    hits = [2.0 * len(g & p) for g, p in rows]
    sizes = [float(len(g) + len(p)) for g, p in rows]
    mean_size = math.fsum(sizes) / n
    if n < 2 or not mean_size:
        return Measured(metric, value, n, None)
    rest = math.fsum((hit - value * size) ** 2 for hit, size in zip(hits, sizes, strict=True)) / (n - 1)
    return Measured(metric, value, n, math.sqrt(rest / n) / mean_size)


@lru_cache(2**16)
def _spans(tags: tuple[str, ...]) -> frozenset[tuple[str, int, int]]:
    """The spans of a sentence. The same gold tags are asked for in every stage, and each prediction for a set and its
    halves."""
    from seqeval.metrics.sequence_labeling import get_entities

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of tags without B- and I-, which UD-POS has
        return frozenset(get_entities(list(tags)))


def ratio_f1(metric: str, hits: Sequence[bool], kept: Sequence[bool], gold: int) -> Measured:
    """F1 of a set of pairs: `hits` says which candidates are right, `kept` which are named, `gold` how many exist."""
    right = sum(hit and keep for hit, keep in zip(hits, kept, strict=True))
    named = sum(kept)
    return Measured(metric, 2 * right / (named + gold) if named + gold else math.nan, gold, None)
