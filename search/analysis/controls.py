"""Is it the order, or only luck and longer training? The seed control and the sham controls.

The best of M orders always beats their mean; so does the best of M seeds of a single order. Only what the former has
over the latter is the orders'. And an order of k stages trains longer than the empty one; a sham order of k stages,
whose labels are shuffled, trains as long and teaches nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from search.analysis.design import Array, Design
from search.analysis.designs import Designs, is_sham
from search.analysis.finding import Finding
from search.analysis.finite import expected_best, steps
from search.analysis.intervals import NOTHING, number
from search.analysis.linear import estimates, finding
from search.analysis.overall import candidates, overall
from search.analysis.wording import SEEN
from search.order import Order
from search.results import Results


class _Sides(NamedTuple):
    """What is compared: of orders (candidates × roots) and of the one order's seeds (one each), what they are chosen
    by and what they are told by, in percent."""

    candidate: str
    orders_seen: Array
    orders_told: Array
    seeds_seen: Array
    seeds_told: Array


def seed_control(results: Results) -> Finding:
    """The best of m orders at one root against the best of m seeds of one order, both chosen on the selection portion.

    Table: m, `orders` and `seeds` (the mean, over all m of them, of the score of the best, in percent), `orders_gain`
    and `seeds_gain` (the same less the mean of all), n (roots), `seeds_n`, `estimate` (orders − seeds, in points), low,
    high, p, reason. The orders' side varies over roots (t); the seeds' side has the jackknife over seeds, whose
    variance is on average too large rather than too small (Efron & Stein 1981, Annals of Statistics 9), and only where
    m is at most half of the seeds. Both sides are independent, as the control's seeds are no roots of the study:
    Welch's degrees of freedom.
    """
    title = "The best of m orders against the best of m seeds of one order"
    sides = _sides(results)
    if sides is None:
        why = "no order was trained at further seeds (--seed-control M)"
        return Finding("seed_control", title, pd.DataFrame(), f"There is too little to say: {why}.")
    seeds = len(sides.seeds_told)
    most = min(seeds, len(sides.orders_told))
    sizes = sorted({*steps(most), min(max(seeds // 2, 1), most)})
    table = pd.DataFrame([_best_of(sides, m) for m in sizes])
    notes = (
        f"Seeds of {sides.candidate}; the orders are those of its method and settings, controls left out.",
        f"Chosen on {SEEN[results.seen]} of the same root or seed, told on the portion that ranks are made from.",
        "Interval: t over roots for the orders, the jackknife over seeds for the seeds, Welch's degrees of freedom; "
        f"none where m is more than half of the {number(seeds, 'seed')}.",
        "Rows of different m are of the same scores: one comparison seen several times; m = 1 is the mean order "
        "against this one.",
        "Orders of one root share the luck of the stages that they share, seeds share none: if orders did not matter, "
        "the best of m seeds would gain more.",
    )
    return Finding("seed_control", title, table, _seed_sentence(table, sides.candidate), notes=notes)


def _sides(results: Results) -> _Sides | None:
    control = results.control
    names = control.candidate.unique()
    if not len(names):
        return None
    name = str(names[0])
    about, arm = candidates(results.own), candidates(control).loc[name]
    alike = about[(about.method == arm.method) & (about.learning_rate == arm.learning_rate)
                  & (about.prompt_length.isna() if pd.isna(arm.prompt_length)
                     else about.prompt_length == arm.prompt_length)]  # fmt: skip
    kept = [one for one, order in alike.order.items() if not _controls(results, str(order))]
    portions = results.seen, results.portion
    by_orders = [overall(results.own, portion).reindex(kept) for portion in portions]
    whole = (by_orders[0] + by_orders[1]).dropna(axis="columns", how="all").dropna()
    by_seeds = [overall(control[control.candidate == name], portion) for portion in portions]
    both = (by_seeds[0] + by_seeds[1]).dropna(axis="columns")
    if not both.size or whole.shape[0] < 2 or not whole.shape[1]:
        return None
    values = [part.loc[whole.index, whole.columns].to_numpy(dtype=float) for part in by_orders]
    seeds = [part[both.columns].to_numpy(dtype=float)[0] for part in by_seeds]
    return _Sides(name, *values, *seeds)


def _controls(results: Results, order: str) -> bool:
    return results.settings.controls and is_sham(Order.parse(order).tasks)


def _best_of(sides: _Sides, m: int) -> dict[str, Any]:
    seen, told = sides.seeds_seen, sides.seeds_told
    per_root = np.array([
        expected_best(one, other, m) for one, other in zip(sides.orders_seen.T, sides.orders_told.T, strict=True)
    ])  # fmt: skip
    orders, seeds, count, roots = float(per_root.mean()), expected_best(seen, told, m), len(told), len(per_root)
    row = {
        "m": m, "orders": orders, "seeds": seeds, "orders_gain": orders - float(sides.orders_told.mean()),
        "seeds_gain": seeds - float(told.mean()), "n": roots, "seeds_n": count, "estimate": orders - seeds,
        "low": math.nan, "high": math.nan, "p": math.nan, "reason": "",
    }  # fmt: skip
    if roots < 3:
        return row | {"reason": f"{number(roots, 'root')}: an interval needs 3"}
    if 2 * m > count or count < 3:
        return row | {"reason": f"the jackknife needs {max(2 * m, 3)} seeds"}
    parts = per_root.var(ddof=1) / roots, jackknife(seen, told, m)
    return row | _welch(orders - seeds, parts, (roots - 1, count - 1))


def jackknife(seen: Array, told: Array, m: int) -> float:
    """The variance of `expected_best` over seeds, leaving out one at a time."""
    count = len(told)
    kept = ~np.eye(count, dtype=bool)
    left = np.array([expected_best(seen[mask], told[mask], m) for mask in kept])
    return float((count - 1) / count * ((left - left.mean()) ** 2).sum())


def _welch(mean: float, parts: tuple[float, float], freedoms: tuple[int, int]) -> dict[str, Any]:
    variance = sum(parts)
    if variance <= NOTHING**2:
        return {"low": mean, "high": mean, "p": 1.0 if abs(mean) <= NOTHING else 0.0}
    freedom = variance**2 / sum(part**2 / own for part, own in zip(parts, freedoms, strict=True))
    error = math.sqrt(variance)
    half = float(stats.t.ppf(0.975, freedom)) * error
    return {"low": mean - half, "high": mean + half, "p": float(2 * stats.t.sf(abs(mean) / error, freedom))}


def _seed_sentence(table: pd.DataFrame, candidate: str) -> str:
    shown = table[table.low.notna()]
    row = (shown if len(shown) else table).iloc[-1]
    figures = f"{row.estimate:+.2f} points"
    if not len(shown):
        return (
            f"The best of {row.m} orders lies {figures} from the best of {row.m} seeds of {candidate}; there is too "
            f"little to say whether that is luck: {row.reason}."
        )
    told = f"{figures}, 95 % {row.low:+.2f} to {row.high:+.2f}; {number(int(row.n), 'root')}, {int(row.seeds_n)} seeds"
    if row.low > 0:
        claim = "is better than"
    elif row.high < 0:
        claim = "is worse than"
    else:
        claim = "is not shown to differ from"
    return f"The best of {row.m} orders {claim} the best of {row.m} seeds of {candidate} ({told})."


# --- sham controls ----------------------------------------------------------------------------------------------------


def shams(designs: Designs) -> Finding:
    """What real tasks add to training as long on shuffled labels: orders of k stages against the sham order of k.

    Table: method (and what is not tuned), `stages`, `orders` (how many real ones), and what `linear.estimates` gives:
    the mean of the real orders less the sham order, in points, paired by root; Holm's correction over all rows.
    """
    title = "Orders against sham orders of as many stages"
    design = designs.of("score", shams=True)
    found = [] if design is None else _lengths(design)
    if design is None or not found:
        why = "the study has no sham controls (--set controls=true)"
        return Finding("sham_controls", title, pd.DataFrame(), f"There is too little to say: {why}.")
    about = pd.DataFrame([(arm, stages, len(real)) for arm, stages, real, _ in found],
                         columns=["method", "stages", "orders"])  # fmt: skip
    weights = np.stack([_less(real, sham, design.size) for _, _, real, sham in found])
    table = pd.concat([about, estimates(weights, design)], axis="columns")
    notes = (
        "A sham order has the same stages with their labels shuffled (arXiv 2108.11696): what is left is what the "
        "tasks teach, not what longer training does.",
        "All real orders of a length count alike; there is one sham order a length.",
    )
    several = about.method.nunique() > 1
    return finding(
        "sham_controls", title, table, "gains over sham orders",
        lambda row: f"orders of {number(int(row.stages), 'stage')}{f' under {row.method}' if several else ''}", notes,
    )  # fmt: skip


def _lengths(design: Design) -> list[tuple[str, int, list[int], int]]:
    """By arm and number of stages: the places of the real orders and of the sham one."""
    found = []
    for place, (order, arm) in enumerate(zip(design.orders, design.arms, strict=True)):
        if not is_sham(order.tasks):
            continue
        real = [
            other for other, (one, its) in enumerate(zip(design.orders, design.arms, strict=True))
            if its == arm and len(one) == len(order) and not is_sham(one.tasks)
        ]  # fmt: skip
        if real:
            found.append((arm, len(order), real, place))
    return found


def _less(real: list[int], sham: int, size: int) -> Array:
    row = np.zeros(size)
    row[real] = 1 / len(real)
    row[sham] = -1
    return row
