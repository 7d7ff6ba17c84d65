"""Is it the order, or only luck and longer training? The seed control and the sham controls.

The best of M orders always beats their mean; so does the best of M seeds of a single order. Only what the former has
over the latter is the orders'. And an order of k stages trains longer than the empty one; a sham order of k stages,
whose labels are shuffled, trains as long and teaches nothing.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.integrate import quad

from search.analysis.design import Array, Design
from search.analysis.designs import Designs, is_sham
from search.analysis.finding import Finding
from search.analysis.finite import expected_best, steps
from search.analysis.intervals import NOTHING, number
from search.analysis.linear import estimates, finding
from search.analysis.overall import candidates, overall
from search.analysis.wording import SEEN
from search.leaderboard import MIN_ROOTS_FOR_INTERVAL
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

    Table: m, `orders` (the mean, over all m of them, of the score of the best: closed form) and `seeds` (the expected
    score of the best of m seeds), in percent; `seeds_observed` (the mean over all m of the seeds that were run, as a
    check); `orders_gain` and `seeds_gain` (orders and seeds less the mean of all); n (roots), `seeds_n`, `estimate`
    (orders − seeds, in points), low, high, p, reason.

    The orders' side varies over roots (t). On the seeds' side luck is taken as normal, in what is chosen by and what is
    told, so that the best of m is the mean + slope · E[max of m standard normals]: with few seeds the jackknife of the
    observed best covers 85 to 93 % instead of 95, and nothing can be had where m is near their number. Both sides are
    independent, as the control's seeds are no roots of the study: Welch's degrees of freedom.
    """
    title = "The best of m orders against the best of m seeds of one order"
    sides = _sides(results)
    if sides is None:
        why = "no order was trained at further seeds (--seed-control M)"
        return Finding("seed_control", title, pd.DataFrame(), f"There is too little to say: {why}.")
    seeds = len(sides.seeds_told)
    most = min(seeds, len(sides.orders_told))
    table = pd.DataFrame([_best_of(sides, m) for m in steps(most)])
    notes = (
        f"Seeds of {sides.candidate}; the orders are those of its method and settings, controls left out.",
        f"Chosen on {SEEN[results.seen]} of the same root or seed, told on the portion that ranks are made from.",
        f"Interval: t over roots for the orders, normal luck for the {number(seeds, 'seed')}; Welch's degrees of "
        "freedom.",
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
    orders, count, roots = float(per_root.mean()), len(told), len(per_root)
    row = {
        "m": m, "orders": orders, "seeds": math.nan, "seeds_observed": expected_best(seen, told, m),
        "orders_gain": orders - float(sides.orders_told.mean()), "seeds_gain": math.nan, "n": roots, "seeds_n": count,
        "estimate": math.nan, "low": math.nan, "high": math.nan, "p": math.nan, "reason": "",
    }  # fmt: skip
    if count < MIN_ROOTS_FOR_INTERVAL:
        return row | {"reason": f"{number(count, 'seed')}: {MIN_ROOTS_FOR_INTERVAL} are needed"}
    seeds, of_seeds = best_of_normal(seen, told, m)
    row |= {"seeds": seeds, "seeds_gain": seeds - float(told.mean()), "estimate": orders - seeds}
    if roots < MIN_ROOTS_FOR_INTERVAL:
        return row | {"reason": f"{number(roots, 'root')}: an interval needs {MIN_ROOTS_FOR_INTERVAL}"}
    return row | _welch(orders - seeds, (per_root.var(ddof=1) / roots, of_seeds), (roots - 1, count - 1))


def best_of_normal(seen: Array, told: Array, m: int) -> tuple[float, float]:
    """What is expected to be `told` of the one of m with the highest `seen`, both normal, and the estimate's variance.

    mean + b·e, with b the slope of `told` on the standardised `seen` and e the expected maximum of m standard normals;
    variance s² / S + e² (b² / 2 + r²) / (S − 1), r² that of `told` about the slope: S seeds, three at least.
    """
    count, sd = len(told), float(seen.std(ddof=1))
    slope = float(np.cov(seen, told)[0, 1]) / sd if sd > NOTHING else 0.0
    rest = max(float(told.var(ddof=1)) - slope**2, 0.0) * (count - 1) / (count - 2)
    height = expected_maximum(m)
    variance = float(told.var(ddof=1)) / count + height**2 * (slope**2 / 2 + rest) / (count - 1)
    return float(told.mean()) + slope * height, variance


@lru_cache
def expected_maximum(m: int) -> float:
    """The expected highest of m standard normal draws."""
    found, _ = quad(lambda x: x * m * stats.norm.pdf(x) * stats.norm.cdf(x) ** (m - 1), -12, 12, limit=200)
    return float(found)


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
        some = "" if math.isnan(row.estimate) else f" (estimate: {figures})"
        return (
            f"There is too little to say whether the best of {row.m} orders differs from the best of {row.m} seeds of "
            f"{candidate}: {row.reason}{some}."
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
