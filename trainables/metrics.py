"""Metrics with their standard errors. Figures equal the official scripts' on the same predictions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass


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
    from seqeval.metrics import f1_score
    from seqeval.metrics.sequence_labeling import get_entities

    n = len(gold)
    if not n:
        return Measured(metric, math.nan, 0, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of tags without B- and I-, which UD-POS has
        value = float(f1_score(list(gold), list(predicted), average="micro"))
        rows = [(set(get_entities(g)), set(get_entities(p))) for g, p in zip(gold, predicted, strict=True)]
    hits = [2.0 * len(g & p) for g, p in rows]
    sizes = [float(len(g) + len(p)) for g, p in rows]
    mean_size = math.fsum(sizes) / n
    if n < 2 or not mean_size:
        return Measured(metric, value, n, None)
    rest = math.fsum((hit - value * size) ** 2 for hit, size in zip(hits, sizes, strict=True)) / (n - 1)
    return Measured(metric, value, n, math.sqrt(rest / n) / mean_size)


def ratio_f1(metric: str, hits: Sequence[bool], kept: Sequence[bool], gold: int) -> Measured:
    """F1 of a set of pairs: `hits` says which candidates are right, `kept` which are named, `gold` how many exist."""
    right = sum(hit and keep for hit, keep in zip(hits, kept, strict=True))
    named = sum(kept)
    return Measured(metric, 2 * right / (named + gold) if named + gold else math.nan, gold, None)
