"""Do orders rank alike in different languages, on different targets, on dev and on test? Kendall's tau-b.

At one root all languages are scored by the same trained models and share their luck: rankings of the same roots agree
even where no order is better than another. So the roots are split in halves, and one language's ranking on one half is
compared with the other's on the other half: `apart`. What a ranking's own luck allows is its agreement with itself from
half to half, the ceiling: apart / ceiling is the agreement with this luck taken off. All are means over the splits.

The interval is a jackknife over roots, t with roots − 1 degrees of freedom. Simulated with 16 and 64 orders, 2 to 6
languages and 3 to 6 roots, it covers the expectation of the mean over pairs in 94 to 99 % of studies: it is cautious,
most so where orders hardly differ.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from search.analysis.design import Array
from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.intervals import number
from search.analysis.outcomes import outcome_table, reduced
from search.means import ENGLISH, MIN_ROOTS_FOR_INTERVAL
from search.results import Results

MOST_SPLITS = 12
"""At most so many splits of the roots in halves; of more, a fixed random choice."""

LEAST_ORDERS = 3
"""The fewest orders whose rankings are compared."""

LEAST_CEILING = 0.1
"""Below this agreement of a ranking with itself nothing is divided by it."""

MEAN = "mean"
"""In columns `first` and `second`: the mean over all pairs."""


def agreement(results: Results) -> Finding | None:
    """Agreement of the orders' rankings between languages, between targets, and of dev with test; None below 3 orders.

    Table: method, kind (`language`, `target`, `portion`), first, second (`mean`: over all pairs; `en`, `mean`: of
    English with each other language), n (orders), roots, `estimate` (apart), low, high, `same` (on the same roots),
    ceiling, corrected (estimate / ceiling), reason.
    """
    designs, rows = Designs(results), []
    for method in designs.methods:
        for kind, names, values in _rankings(designs, method):
            rows += [{"method": method, "kind": kind, **row} for row in _rows(kind, names, values)]
    if not rows:
        return None
    table = pd.DataFrame(rows)
    notes = (
        "Halves of the roots against each other: on the same roots languages share the luck of the same models.",
        "low and high: jackknife over roots, each by itself; n is the number of orders.",
    )
    title = "Do orders rank alike everywhere?"
    return Finding("agreement", title, table, _sentence(table), unit="tau", notes=notes)


def tau_b(first: Array, second: Array) -> Array:
    """Kendall's tau-b of each row of `first` with each of `second` (… × rows × orders); nan where a row is all ties."""
    one, two = _signs(first), _signs(second)
    sizes = [np.sqrt((signs**2).sum(axis=-1, dtype=float)) for signs in (one, two)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((one @ np.swapaxes(two, -1, -2)) / (sizes[0][..., :, None] * sizes[1][..., None, :]))


def apart(values: Array, statistic: Callable[[Array, Array], Array] | None = None) -> Array:
    """Rankings × rankings: tau-b (or another `statistic` of rows) from one half of the roots to the other, mean over
    splits; the diagonal is each one's agreement with itself. `values` are roots × rankings × orders, of two roots at
    least."""
    weights = np.zeros((2, len(halves := splits(len(values))), len(values)))
    for place, both in enumerate(halves):
        for side, half in enumerate(both):
            weights[side, place, list(half)] = 1 / len(half)
    one, two = (np.tensordot(side, values, axes=1) for side in weights)
    across = (statistic or tau_b)(one, two).mean(axis=0)
    return np.asarray((across + across.T) / 2)


def splits(roots: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Splits of so many roots in two halves, as equal as can be; at most MOST_SPLITS."""
    every = [
        (half, rest)
        for half in itertools.combinations(range(roots), roots // 2)
        if 2 * len(half) < roots or 0 in half
        for rest in [tuple(root for root in range(roots) if root not in half)]
    ]
    if len(every) <= MOST_SPLITS:
        return every
    return [every[i] for i in sorted(np.random.default_rng(roots).permutation(len(every))[:MOST_SPLITS])]


def _signs(values: Array) -> NDArray[np.float32]:
    first, second = np.triu_indices(values.shape[-1], 1)
    rounded = np.round(values, 9)
    return np.sign(rounded[..., first] - rounded[..., second]).astype(np.float32)


def _rankings(designs: Designs, method: str) -> list[tuple[str, list[str], Array]]:
    """Of each kind the names of its rankings and roots × rankings × orders; those that have two or more."""
    results, found = designs.results, []
    cells = designs.clean
    parts = {
        "language": {code: reduced(cells, f"language:{code}") for code in cells.index.unique("language")},
        "target": {name: reduced(cells, f"target:{name}") for name in cells.index.unique("target")},
        "portion": {
            results.seen: outcome_table(results, "score", results.seen),
            results.portion: designs.table("score"),
        },
    }
    score = designs.of("score", method)
    for kind, tables in parts.items():
        there = {name: table for name, table in tables.items() if len(table)}
        if score is None or len(there) < 2:
            continue
        tables_ = [table.reindex(index=list(score.names), columns=list(score.seeds)) for table in there.values()]
        values = np.stack([table.to_numpy(float).T for table in tables_], axis=1)
        kept = ~np.isnan(values).any(axis=(0, 1))
        if kept.sum() >= LEAST_ORDERS:
            found.append((kind, list(map(str, there)), values[:, :, kept]))
    return found


def _rows(kind: str, names: Sequence[str], values: Array) -> list[dict[str, Any]]:
    """A row a pair of rankings, after those of their means."""
    roots, _, orders = values.shape
    same = tau_b(values.mean(axis=0), values.mean(axis=0))
    across = apart(values) if roots > 1 else np.full_like(same, math.nan)
    without = None
    if roots >= MIN_ROOTS_FOR_INTERVAL:
        without = np.stack([apart(np.delete(values, root, axis=0)) for root in range(roots)])
    places = {(names[a], names[b]): [(a, b)] for a, b in itertools.combinations(range(len(names)), 2)}
    pairs = [pair for own in places.values() for pair in own]
    english = next((place for place, name in enumerate(names) if name in ENGLISH), None)
    groups = {(MEAN, MEAN): pairs} if len(pairs) > 1 else {}
    if kind == "language" and english is not None and len(names) > 2:
        groups[names[english], MEAN] = [pair for pair in pairs if english in pair]
    rows = []
    for (first, second), own in {**groups, **places}.items():
        one, two = map(list, zip(*own, strict=True))
        estimate, itself = _mean(across[one, two]), np.diagonal(across)
        with np.errstate(invalid="ignore"):
            ceiling = _mean(np.sqrt(np.maximum(itself[one], 0) * np.maximum(itself[two], 0)))
        half = math.nan if without is None else jackknife(np.array([_mean(each[one, two]) for each in without]))
        rows.append({
            "first": first, "second": second, "n": orders, "roots": roots, "estimate": estimate,
            "low": estimate - half, "high": estimate + half, "same": _mean(same[one, two]), "ceiling": ceiling,
            "corrected": estimate / ceiling if ceiling >= LEAST_CEILING else math.nan,
            "reason": _reason(roots, ceiling),
        })  # fmt: skip
    return rows


def _mean(values: Array) -> float:
    """The mean of those that there are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def jackknife(without: Array) -> float:
    """Half a 95 % interval from the estimates that leave out one root each."""
    roots = len(without)
    spread = ((without - without.mean()) ** 2).sum() * (roots - 1) / roots
    return float(stats.t.ppf(0.975, roots - 1) * math.sqrt(spread))


def _reason(roots: int, ceiling: float) -> str:
    if roots < MIN_ROOTS_FOR_INTERVAL:
        return f"{number(roots, 'root')}: an interval needs {MIN_ROOTS_FOR_INTERVAL}" + (
            ", halves 2" if roots < 2 else ""
        )
    if math.isnan(ceiling) or ceiling < LEAST_CEILING:
        return "the rankings hardly agree with themselves from half to half: not corrected"
    return ""


def _sentence(table: pd.DataFrame) -> str:
    method = table.method.iloc[0]
    own = table[table.method == method]
    told = []
    for kind, what in (
        ("language", "between languages"),
        ("target", "between targets"),
        ("portion", "of dev with test"),
    ):
        part = own[own.kind == kind]
        overall = part[(part["first"] == MEAN) | (len(part) == 1)]
        told += [f"{what} {_said(row)}" for _, row in overall[overall.estimate.notna()].iterrows()]
        if kind == "language":
            english = part[part["first"].isin(ENGLISH) & (part.second == MEAN) & part.estimate.notna()]
            told += [f"of English with each other language {_said(row)}" for _, row in english.iterrows()]
    if not told:
        return "Too little to say: rankings of two halves of the roots need two roots."
    head = f"Rankings of {number(int(own.n.iloc[0]), 'order')} from one half of the roots to the other, tau"
    return f"{head} {'; '.join(told)}."


def _said(row: Any) -> str:
    interval = f"95 % {row.low:.2f} to {row.high:.2f}; " if pd.notna(row.low) else ""
    return f"{row.estimate:.2f} ({interval}a ranking with itself {row.ceiling:.2f})"
