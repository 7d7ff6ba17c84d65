"""Clean against robust: do orders trade one for the other, and does their order matter for robustness?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from search.analysis.agreement import apart, jackknife
from search.analysis.asked import ask
from search.analysis.comparisons import cells
from search.analysis.design import Array, Design
from search.analysis.designs import Designs, is_sham
from search.analysis.finding import Finding
from search.analysis.intervals import number, over_roots
from search.analysis.languages import ends_of, p_of
from search.analysis.linear import CLAIM
from search.analysis.multiple import holm
from search.analysis.outcomes import arms, reduced, robust_cells
from search.analysis.pareto import dominates
from search.means import MIN_ROOTS_FOR_INTERVAL
from search.order import EMPTY, Order
from search.results import Results

FIGURES = {
    "robust": "robust score", "robust_attackable": "robust score over attackable examples",
    "drop": "fall under edits (clean less edited, paired)",
}  # fmt: skip
"""Figures of edits by metric, in words."""

ALL, WITHIN = "all orders", "within sets"

LEAST_ORDERS = 4
"""The fewest orders that a correlation is made of."""


def tradeoff(results: Results) -> Finding | None:
    """How the clean score of orders goes with their robust figures; None where nothing was perturbed.

    Table: method, of (`robust`, `robust_attackable`, `drop`), scope (`all orders`, `within sets`: means of the same set
    of tasks taken off), n (orders), roots, `estimate` (Pearson's r of clean on one half of the roots with the figure on
    the other, mean over splits), low, high (jackknife over roots), `same` (on the same roots), reason.
    """
    designs = Designs(results)
    if designs.robust.empty:
        return None
    rows = []
    for method in designs.methods:
        clean = designs.of("score", method)
        for metric in FIGURES:
            table = reduced(robust_cells(results, metric=metric), "robust_score")
            rows += _correlations(method, metric, clean, table) if clean is not None and len(table) else []
    table = pd.DataFrame(rows)
    if table.empty:
        return None
    notes = (
        "On the same roots clean and robust scores come from the same models and share their luck; so r is from one "
        "half of the roots to the other. Luck makes it smaller than that of the orders' true worth.",
        "The robust score takes the worse of the clean and the edited figure, so it cannot exceed the clean one.",
    )
    return Finding("tradeoff", "Accuracy against robustness", table, _sentence(table), unit="correlation", notes=notes)


def robust_gains(results: Results) -> Finding | None:
    """What each order gains over the empty one, clean and robust; None where nothing was perturbed.

    Table: candidate, order, method, n (roots), `estimate` (robust gain, points), low, high, p, p_holm (over all
    orders), clean, clean_low, clean_high (clean gain), `front` (no order has both means at least as high and one
    higher), `free` (the largest robust gain among those without a clean loss in the mean), reason.
    """
    designs, about = Designs(results), arms(results)
    clean, robust = designs.table("score"), designs.table("robust_score")
    if clean.empty or robust.empty:
        return None
    real = [name for name in clean.index if name in robust.index
            and not is_sham(Order.parse(str(about.order[name])).tasks)]  # fmt: skip
    rows = [_gain(name, clean, robust, about) for name in real if about.order[name] != EMPTY]
    table = pd.DataFrame(rows)
    if table.empty:
        return None
    table.insert(int(table.columns.get_indexer(["p"])[0]) + 1, "p_holm", holm(table.p))
    means = np.stack([part.loc[real].mean(axis="columns", skipna=False).to_numpy(float) for part in (clean, robust)], 1)
    front = {name: not dominates(means, one).any() and not np.isnan(one).any()
             for name, one in zip(real, means, strict=True)}  # fmt: skip
    table["front"] = table.candidate.map(front)
    without = table[(table.clean >= 0) & table.estimate.notna()]
    table["free"] = table.index == (without.estimate.idxmax() if len(without) else -1)
    table = table[[*(name for name in table if name != "reason"), "reason"]]
    notes = (
        "Means of the study's roots: the largest of many gains looks larger than it is.",
        "A clean loss that is not shown is still possible: clean_low says how large it may be.",
    )
    title = "Robustness gained, and what it costs"
    return Finding("robust_gains", title, table, _gain_sentence(table), notes=notes)


def robust_order(results: Results) -> Finding | None:
    """Does the order of the same tasks matter for robust figures, in all languages and in others than English? None
    where nothing was perturbed.

    Table: of (`robust`, `robust_attackable`, `drop`), languages (`all`, `foreign`), then `asked.COLUMNS`.
    """
    designs = Designs(results)
    if designs.robust.empty:
        return None
    rows = []
    for metric in FIGURES:
        for languages, outcome in (("all", "robust_score"), ("foreign", "robust_score_foreign")):
            table = reduced(robust_cells(results, metric=metric), outcome)
            if len(table):
                designs.put(f"{metric} {languages}", table)
                row = ask(designs, "order", f"{metric} {languages}")
                rows.append({"of": metric, "languages": languages, **row})
    found = pd.DataFrame(rows)
    told = [
        f"{FIGURES[str(row['of'])]}, {row['languages']} languages: {_effect(row)}"
        for row in rows if pd.notna(row["p"]) and (row["of"] != "robust_attackable")
    ]  # fmt: skip
    sentence = f"Orders of the same set: {'; '.join(told)}." if told else f"Too little to say: {rows[0]['reason']}."
    notes = ("foreign: without English. Each test by itself; all but the primary one are exploratory.",)
    return Finding("robust_order", "The order, and robustness", found, sentence, notes=notes)


def pearson(first: Array, second: Array) -> Array:
    """Pearson's r of each row of `first` with each of `second` (… × rows × orders); nan where a row does not vary."""
    one, two = (rows - rows.mean(axis=-1, keepdims=True) for rows in (first, second))
    sizes = [np.sqrt((rows**2).sum(axis=-1)) for rows in (one, two)]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (one @ np.swapaxes(two, -1, -2)) / (sizes[0][..., :, None] * sizes[1][..., None, :])
    return np.asarray(np.clip(found, -1, 1))


def _correlations(method: str, metric: str, clean: Design, table: pd.DataFrame) -> list[dict[str, Any]]:
    other = table.reindex(index=list(clean.names), columns=list(clean.seeds)).to_numpy(float).T
    kept = np.flatnonzero(~np.isnan(other).any(axis=0))
    values = np.stack([clean.values[:, kept], other[:, kept]], axis=1)
    return [
        {"method": method, "of": metric, "scope": scope, **_correlation(own)}
        for scope, own in ((ALL, values), (WITHIN, _within(values, clean.only(kept))))
        if own.shape[-1] >= LEAST_ORDERS
    ]


def _within(values: Array, design: Design) -> Array:
    """Values less their set's mean, of sets with two orders or more."""
    parts = [values[..., own] - values[..., own].mean(axis=-1, keepdims=True) for own in cells(design) if len(own) > 1]
    return np.concatenate(parts, axis=-1) if parts else values[..., :0]


def _correlation(values: Array) -> dict[str, Any]:
    roots, _, orders = values.shape
    means = values.mean(axis=0)
    estimate = float(apart(values, pearson)[0, 1]) if roots > 1 else math.nan
    half = math.nan
    if roots >= MIN_ROOTS_FOR_INTERVAL:
        half = jackknife(np.array([apart(np.delete(values, root, axis=0), pearson)[0, 1] for root in range(roots)]))
    reason = "" if roots >= MIN_ROOTS_FOR_INTERVAL else f"{number(roots, 'root')}: an interval needs 3"
    return {
        "n": orders, "roots": roots, "estimate": estimate, "low": max(estimate - half, -1.0),
        "high": min(estimate + half, 1.0), "same": float(pearson(means, means)[0, 1]), "reason": reason,
    }  # fmt: skip


def _sentence(table: pd.DataFrame) -> str:
    told = []
    for row in table[(table.method == table.method.iloc[0]) & (table.of != "robust_attackable")].itertuples():
        if pd.isna(row.low):
            continue
        shown = f"r = {row.estimate:.2f} (95 % {row.low:.2f} to {row.high:.2f})"
        claim = "together" if row.low > 0 else "against each other" if row.high < 0 else "no relation is shown"
        told.append(f"clean score and {FIGURES[str(row.of)]}, {row.scope}: {shown}, {claim}")
    if not told:
        return f"Too little to say: {table.reason.iloc[0]}."
    return f"From one half of the roots to the other, {'; '.join(told)}."


def _gain(name: str, clean: pd.DataFrame, robust: pd.DataFrame, about: pd.DataFrame) -> dict[str, Any]:
    base = about.base[name]
    there = base in clean.index and base in robust.index
    gains = [table.loc[name] - table.loc[base] if there else pd.Series(dtype=float) for table in (robust, clean)]
    found, own = (over_roots(values.tolist()) for values in gains)
    ends = {"clean" if end == "estimate" else f"clean_{end}": value for end, value in ends_of(own).items()}
    return {
        "candidate": name, "order": about.order[name], "method": about.method[name], "n": found.n, **ends_of(found),
        "p": p_of(gains[0]), **ends, "reason": found.reason,
    }  # fmt: skip


def _gain_sentence(table: pd.DataFrame) -> str:
    free = table[table.free]
    if free.empty:
        return "No order gains robustness over the empty one without a clean loss in the mean."
    row = free.iloc[0]
    interval = f" (95 % {row.low:+.2f} to {row.high:+.2f})" if pd.notna(row.low) else f" ({row.reason})"
    clean = f"{row.clean:+.2f}"
    clean += f" (95 % {row.clean_low:+.2f} to {row.clean_high:+.2f})" if pd.notna(row.clean_low) else ""
    shown = table[(table.p_holm <= CLAIM) & (table.estimate > 0)]
    return (
        f"Of orders without a clean loss {row.candidate} gains most robustness over the empty order: "
        f"{row.estimate:+.2f} points{interval}, clean {clean}. Of {number(len(table), 'order')} {len(shown)} are shown "
        "to gain robustness (Holm)."
    )


def _effect(row: dict[str, Any]) -> str:
    said = "the order matters" if row["p"] <= CLAIM else "that the order matters is not shown"
    return f"{said} (p = {row['p']:.2g}, {number(int(row['n']), 'root')}, SD {row['estimate']:.2f} points)"
