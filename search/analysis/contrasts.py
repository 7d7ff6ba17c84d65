"""Methods against one another over orders, and orders against one another within a method. In percent points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from search.analysis.intervals import Estimate, number, over_roots
from search.analysis.overall import by_order, by_target, counted, overall, paired
from search.order import EMPTY

NO_EFFECT = "no effect possible: every order gives the same scores"


def method_contrasts(
    scores: pd.DataFrame, chosen: Sequence[str], baseline: str = "full", report: str = "test"
) -> pd.DataFrame:
    """One row a method: its overall score less the baseline's, over roots.

    Paired: for each root the mean, over the orders that both have there, of the difference; then mean and 95 % t
    interval over roots. `orders` counts those that enter; `note` says where not every root has all of them. Each
    interval holds by itself, not all at once.
    """
    return _contrasts(by_order(overall(scores, report), scores, chosen), baseline)


def target_contrasts(
    scores: pd.DataFrame, chosen: Sequence[str], baseline: str = "full", report: str = "test"
) -> pd.DataFrame:
    """`method_contrasts` for each target by itself, in a column `target`."""
    parts = [
        _contrasts(by_order(values, scores, chosen), baseline).assign(target=target)
        for target, values in by_target(scores, report).items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def gain_contrasts(
    scores: pd.DataFrame, chosen: Sequence[str], baseline: str = "full", report: str = "test"
) -> pd.DataFrame:
    """`method_contrasts` of gains: what orders add to the empty one under a method, less what they add under another.

    For each root that has the empty order under both methods, the mean over the other orders that both have there of
    (score less the empty order's); `difference` is the method's less the baseline's.
    """
    return _contrasts(by_order(overall(scores, report), scores, chosen), baseline, gains=True)


def order_effect(scores: pd.DataFrame, chosen: Sequence[str], report: str = "test") -> pd.DataFrame:
    """One row a method: how far its orders lie apart, and whether they can differ at all.

    `range` and `sd` (which holds what roots add to a mean, too) are of the orders' means over the roots that all have.
    `identical` says that each cell (root,
    target, language) has exactly the same value in every order: the negative control of a frozen encoder.
    """
    values = by_order(overall(scores, report), scores, chosen)
    rows = []
    for method in values.index.unique("method"):
        means = _means(values, method)
        compared = len(means) > 1
        same = compared and _identical(scores, chosen, method, report)
        apart = float(means.max() - means.min()) if compared else None
        rows.append({
            "method": method, "orders": len(means), "range": apart, "sd": float(means.std()) if compared else None,
            "identical": same, "sentence": _said(len(means), apart, same),
        })  # fmt: skip
    return pd.DataFrame(rows)


def order_gains(
    scores: pd.DataFrame, chosen: Sequence[str], report: str = "test", portion: str = "dev"
) -> pd.DataFrame:
    """One row an order and method: its score on `portion` in a column of that name, its `score`, and its gain over the
    empty order, paired by roots."""
    values = by_order(overall(scores, report), scores, chosen)
    dev = overall(scores, portion)
    dev_means = by_order(dev, scores, chosen).mean(axis="columns") if len(dev) else {}
    rows = []
    for method, order in values.index:
        row = {"method": method, "order": order, portion: dev_means.get((method, order)),
               "score": values.loc[(method, order)].mean()}  # fmt: skip
        if (method, EMPTY) in values.index:
            gain = over_roots((values.loc[(method, order)] - values.loc[(method, EMPTY)]).tolist())
        else:
            gain = Estimate(None, None, 0, f"the order '{EMPTY}' was not scored")
        rows.append(row | _columns(gain, "gain"))
    return pd.DataFrame(rows)


def _contrasts(values: pd.DataFrame, baseline: str, *, gains: bool = False) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for method in values.index.unique("method"):
        if method == baseline:
            continue
        own, its = paired(values, method, baseline)
        both = _over_empty(own - its) if gains else own - its
        both = both.dropna(how="all", axis="columns")
        row = {"method": method, "baseline": baseline} | _columns(over_roots(both.mean().tolist()), "difference")
        note = "not every root has all orders" if both.isna().to_numpy().any() else ""
        rows.append(row | {"orders": len(both), "note": note})
    return pd.DataFrame(rows)


def _over_empty(values: pd.DataFrame) -> pd.DataFrame:
    """Orders × roots less the empty order, which is left out; nothing where that was not scored."""
    if EMPTY not in values.index:
        return values.iloc[:0]
    found = (values - values.loc[EMPTY]).drop(EMPTY)
    return found.dropna(how="all")


def _columns(estimate: Estimate, name: str) -> dict[str, Any]:
    mean, half_width, roots, reason = estimate
    return {name: mean, "half_width": half_width, "roots": roots, "reason": reason}


def _means(values: pd.DataFrame, method: str) -> pd.Series:
    """The mean of each of a method's orders over the roots that all of them have; orders without scores are left out.

    Where no root has all, over the roots that each has.
    """
    own = values.xs(method, level="method").dropna(how="all")
    whole = own.dropna(axis="columns")
    return (whole if whole.shape[1] else own).mean(axis="columns")


def _identical(scores: pd.DataFrame, chosen: Sequence[str], method: str, report: str) -> bool:
    rows = counted(scores, report)
    rows = rows[rows.candidate.isin(list(chosen)) & (rows.method == method)]
    cells = rows.set_index(["seed", "target", "language", "candidate"]).value.unstack("candidate")
    return bool(cells.notna().all().all() and (cells.nunique(axis="columns") == 1).all())


def _said(orders: int, apart: float | None, same: bool) -> str:
    if apart is None or math.isnan(apart):
        return f"nothing to compare: {number(orders, 'order')}"
    if same:
        return NO_EFFECT
    return f"best and worst of {orders} orders lie {apart:.2f} points apart"
