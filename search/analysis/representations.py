"""Does a language that lies close to English inside the model also profit from English training?

Representations (`trainables/representations.py`) against zero-shot scores, over languages.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import pandas as pd

from trainables.fertility import PORTION

MARGIN = "cosine_margin_layer_"

LEAST = 4
"""Languages below which a correlation has no interval (Fisher's needs n > 3)."""

VALUES = ["margin", "value"]
KEYS = ["target", "measured_on", "stage", "layer"]
COLUMNS = [
    *KEYS, "candidates", "languages", "pearson", "pearson_low", "pearson_high",
    "spearman", "spearman_low", "spearman_high",
]  # fmt: skip


def transfer_correlation(
    scores: pd.DataFrame, portion: str = "test", chosen: Collection[str] | None = None
) -> pd.DataFrame:
    """How the margin of translations goes with the zero-shot score: a row a target, stage and layer.

    `scores` is the long table. Its rows of the portion `representations` hold `cosine_margin_layer_…` at a `stage`
    (`measured_on` is their target); its main rows of `portion`, without perturbation, hold the scores at the end of the
    order. Only candidates of the full budget count, and of those the `chosen` ones (default: all). Both are averaged
    over the root seeds that have both, then Pearson's and Spearman's coefficients are taken over languages within each
    candidate and averaged over candidates; `candidates` are those that have them, since a candidate without spread
    among its languages, or with fewer than four, has none. English has no margin and so does not count.

    The 95 % interval is Fisher's for as many languages as the poorest candidate has (Spearman's with variance
    1.06 / (n − 3); Fieller, Hartley and Pearson 1957, Biometrika 44). Languages are the unit: candidates share them, so
    many candidates do not narrow it. Intervals hold one by one, not for the best of all layers. ValueError where a
    candidate's score of a language stands twice.
    """
    if "budget" in scores:
        scores = scores[scores.budget == 1]
    if chosen is not None:
        scores = scores[scores.candidate.isin(list(chosen))]
    by_candidate = _coefficients(_pairs(scores, portion))
    rows = [_row(key, part) for key, part in by_candidate.groupby(KEYS, dropna=False)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _pairs(scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """Margin beside score, one row a candidate, target, stage, layer and language."""
    margins = scores[(scores.portion == PORTION) & scores.metric.str.startswith(MARGIN)]
    margins = margins.assign(layer=margins.metric.str.removeprefix(MARGIN).astype(int), margin=margins.value)
    margins = margins.rename(columns={"target": "measured_on"})
    ends = scores[(scores.portion == portion) & scores.main.astype(bool)]
    if "perturbation" in ends:
        ends = ends[ends.perturbation == "none"]
    unit = ["candidate", "seed", "language"]
    if ends.duplicated([*unit, "target"]).any():
        raise ValueError("a score of a candidate, seed, target and language stands twice in the table")
    both = margins[[*unit, "measured_on", "stage", "layer", "margin"]].merge(ends[[*unit, "target", "value"]], on=unit)
    cell = [*KEYS, "candidate", "language"]
    return both.dropna(subset=VALUES).groupby(cell, as_index=False, sort=False, dropna=False)[VALUES].mean()


def _coefficients(pairs: pd.DataFrame) -> pd.DataFrame:
    """Languages, Pearson's and Spearman's coefficient, a row a candidate, target, stage and layer that has them."""
    arm = [pairs[key] for key in [*KEYS, "candidate"]]
    values = pairs[VALUES].groupby(arm, sort=False, dropna=False)
    found = pd.DataFrame({
        "languages": values.size(),
        "pearson": _correlation(pairs[VALUES], arm),
        "spearman": _correlation(values.rank(), arm),
    })  # fmt: skip
    known = (found.languages >= LEAST) & (values.nunique() > 1).all(axis="columns")
    return found[known].reset_index()


def _correlation(values: pd.DataFrame, arm: list[pd.Series]) -> pd.Series:
    """Pearson's coefficient of the two columns within each arm; ranks give Spearman's."""
    x, y = (values[name] - values[name].groupby(arm, dropna=False).transform("mean") for name in VALUES)
    sums = pd.DataFrame({"xy": x * y, "xx": x * x, "yy": y * y}).groupby(arm, sort=False, dropna=False).sum()
    return (sums.xy / (sums.xx * sums.yy) ** 0.5).clip(-1, 1)


def _row(key: tuple[Any, ...], part: pd.DataFrame) -> dict[str, Any]:
    languages = int(part.languages.min())
    return {
        **dict(zip(KEYS, key, strict=True)), "candidates": len(part), "languages": languages,
        **_interval("pearson", part.pearson.mean(), 1 / (languages - 3)),
        **_interval("spearman", part.spearman.mean(), 1.06 / (languages - 3)),
    }  # fmt: skip


def _interval(name: str, value: float, variance: float) -> dict[str, float]:
    """A coefficient and its 95 % interval by Fisher's transformation; that of exactly one has no width."""
    half = 1.96 * math.sqrt(variance)
    middle = math.atanh(value) if abs(value) < 1 else math.copysign(math.inf, value)
    return {name: float(value), f"{name}_low": math.tanh(middle - half), f"{name}_high": math.tanh(middle + half)}
