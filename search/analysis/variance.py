"""How much of a score is which tasks, how much their order, and how much luck: variance components in closed form.

Scores are y[root, order] = set + order within the set + luck of the root, of each stage that orders share, and of the
order alone. All estimates are moments (ANOVA), unbiased before they are cut at 0; on balanced designs they are those of
REML where that is not cut either. With S the covariance over roots, g(k) its mean over pairs of orders that share k
stages: stage k has variance g(k) − g(k − 1), the root's own g(0), and what is left to the mean variance is the leaf's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from search.analysis.comparisons import cells, group, order_contrasts, task_contrasts
from search.analysis.covariance import box, classes, covariance
from search.analysis.design import Array, Design
from search.analysis.finding import Finding
from search.analysis.intervals import NOTHING, number
from search.analysis.order_tests import spread
from search.means import MIN_ROOTS_FOR_INTERVAL

SET, ORDER, SEED, SAMPLE = "set of tasks", "order within a set", "seed", "sample of items"
ROOT, LEAF = "seed: root", "seed: leaf"


@dataclass(frozen=True)
class Components:
    """Variances in squared points, uncut (an unbiased estimate may be negative); nan where the design has none.

    `seed` is the mean over orders of a score's variance over roots, and `parts` what it is made of (they add up to it).
    `noise` are the variances, of one root, of what is compared: (set means, orders of a set).
    """

    between_sets: float
    between_orders: float
    seed: float
    parts: dict[str, float]
    noise: tuple[float, float]


def components(design: Design) -> Components:
    """The variance components; all are nan below two roots, where nothing tells effects from noise."""
    orders, sets = order_contrasts(design), task_contrasts(design)
    order_raw, order_noise = spread(design.values, orders) if len(orders) else (math.nan, math.nan)
    set_raw, set_noise = spread(design.values, sets) if len(sets) else (math.nan, math.nan)
    within = order_raw - order_noise
    sampled = _sampled(design) * max(0.0 if math.isnan(within) else within, 0.0)
    parts = _luck(design) if design.roots > 1 and design.size else {}
    seed = sum(parts.values()) if parts else math.nan
    noise = set_noise * design.roots, order_noise * design.roots
    return Components(set_raw - set_noise - sampled, within, seed, parts, noise)


def variance(design: Design, sample_variance: float | None = None) -> Finding:
    """Variance components, their shares of the variance of one score, and order and sets against seeds.

    Table: component, `variance` (squared points), `sd` (points), `share` (of set + order + seed + sample), n (roots),
    and for the set and the order `estimate`, `low`, `high`: its share against seed noise alone, v / (v + noise of the
    same comparison at one root, in which what all orders of a root share cancels), with a 95 % interval, and `reason`
    where there is none. `sample_variance` is a score's variance from the finite number of items, in squared points.
    """
    found = components(design)
    listed = {SET: found.between_sets, ORDER: found.between_orders, SEED: found.seed} | found.parts
    if sample_variance is not None:
        listed[SAMPLE] = sample_variance
    kept = {name: value if math.isnan(value) else max(value, 0.0) for name, value in listed.items()}
    total = sum(kept[name] for name in (SET, ORDER, SEED, SAMPLE) if name in kept and not math.isnan(kept[name]))
    rows = [
        {"component": name, "variance": value, "sd": math.sqrt(value), "share": value / total if total else math.nan,
         "n": design.roots} | _against_seed(name, design, found)
        for name, value in kept.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    cut = [name for name, value in listed.items() if value < -NOTHING]
    return Finding(
        "variance", "Order, set, seed and sample", table, _sentence(table), unit="share", notes=_notes(design, cut)
    )


def share_interval(values: Array, contrasts: Array, design: Design, level: float = 0.95) -> tuple[Array, Array]:
    """The interval of v / (v + noise), v the mean square of the true contrasts, noise their variance at one root.

    F of the plain contrasts is taken as noncentral F with Box's degrees of freedom of the pooled covariance, whose
    noncentrality is h·R·v / noise; the interval holds those that F does not contradict. For the upper end an F below 1
    is taken as 1, so that a study whose effects happen to be smaller than its noise does not seem sure of none.
    `values` are … × roots × candidates. Needs three roots and noise.
    """
    roots = values.shape[-2]
    sample = covariance(values)
    below = np.trace(contrasts @ sample @ contrasts.T, axis1=-2, axis2=-1)
    above = roots * ((values.mean(axis=-2) @ contrasts.T) ** 2).sum(axis=-1)
    h = box(contrasts @ classes(design).pool(sample) @ contrasts.T)
    statistic, tail = above / below, (1 - level) / 2
    low = noncentrality(statistic, h, (roots - 1) * h, 1 - tail) / (h * roots)
    high = noncentrality(np.maximum(statistic, 1.0), h, (roots - 1) * h, tail) / (h * roots)
    return low / (1 + low), high / (1 + high)


def noncentrality(statistic: Array, df1: Array, df2: Array, p: float) -> Array:
    """The noncentrality at which F is at most `statistic` with probability p, bisected; 0 where even 0 gives less."""
    statistic, df1, df2 = np.broadcast_arrays(statistic, df1, df2)
    low, high = np.zeros(statistic.shape), np.ones(statistic.shape)
    while (open_end := stats.ncf.cdf(statistic, df1, df2, high) > p).any():
        high = np.where(open_end, 2 * high, high)
    for _ in range(60):
        middle = (low + high) / 2
        more = stats.ncf.cdf(statistic, df1, df2, middle) > p
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(stats.f.cdf(statistic, df1, df2) <= p, 0.0, (low + high) / 2)


def _luck(design: Design) -> dict[str, float]:
    """The seed's variance by where it arises, shortest shared prefix first. Pairs of one arm; needs two roots."""
    sample, shared = covariance(design.values), design.shared
    arms = np.unique(design.arms, return_inverse=True)[1]
    pairs = (arms[:, None] == arms) & ~np.eye(design.size, dtype=bool)
    found: dict[str, float] = {}
    before, mean_before = -1, 0.0
    for depth in sorted(set(shared[pairs].tolist())):
        mean = float(sample[pairs & (shared == depth)].mean())
        found[_part(before + 1, depth)] = (mean - mean_before) * float((design.depths >= depth).mean())
        before, mean_before = depth, mean
    found[LEAF] = float(np.diag(sample).mean()) - sum(found.values())
    return found


def _part(first: int, last: int) -> str:
    """The name of what stages `first` to `last` add; stage 0 is the root."""
    if last == 0:
        return ROOT
    if first == 0:
        return f"{ROOT} to stage {last}"
    return f"seed: stage {last}" if first == last else f"seed: stages {first} to {last}"


def _sampled(design: Design) -> float:
    """What each unit of variance between orders adds to that between set means, as not all orders of a set are there.

    The mean over sets of 1/n − 1/N, n the orders in the design and N those that there are.
    """
    own = cells(design)
    grouped = any(len(members) > 1 for order in design.orders for members in order.groups)
    extra = [
        max(1 / len(places) - 1 / possible_orders(len(design.orders[places[0]].tasks), grouped), 0) for places in own
    ]
    arms = [rows for rows in group([design.arms[places[0]] for places in own]) if len(rows) > 1]
    weights = {row: 1 - 1 / len(rows) for rows in arms for row in rows}
    return sum(weight * extra[row] for row, weight in weights.items()) / sum(weights.values()) if weights else 0.0


def possible_orders(tasks: int, grouped: bool) -> int:
    """The orders of all of so many tasks; `grouped`: those in which tasks may be trained together count as well."""
    if not grouped:
        return math.factorial(tasks)
    found = [1]
    for n in range(1, tasks + 1):
        found.append(sum(math.comb(n, size) * found[n - size] for size in range(1, n + 1)))
    return found[tasks]


def _against_seed(name: str, design: Design, found: Components) -> dict[str, Any]:
    """Columns estimate, low, high and reason of a row of the table."""
    empty = {"estimate": math.nan, "low": math.nan, "high": math.nan, "reason": ""}
    if name not in (SET, ORDER):
        return empty
    value, noise = (found.between_sets, found.noise[0]) if name == SET else (found.between_orders, found.noise[1])
    contrasts = task_contrasts(design) if name == SET else order_contrasts(design)
    if not len(contrasts):
        return empty | {"reason": "no two sets of tasks are there" if name == SET else "no set of tasks has two orders"}
    if design.roots < 2:
        return empty | {"reason": f"{number(design.roots, 'root')}: seed noise needs 2"}
    if noise < NOTHING**2:
        return empty | {"reason": "roots do not differ"}
    estimate = max(value, 0.0) / (max(value, 0.0) + noise)
    if design.roots < MIN_ROOTS_FOR_INTERVAL:
        few = f"{number(design.roots, 'root')}: an interval needs {MIN_ROOTS_FOR_INTERVAL}"
        return empty | {"estimate": estimate, "reason": few}
    low, high = share_interval(design.values, contrasts, design)
    return {"estimate": estimate, "low": float(low), "high": float(high), "reason": ""}


def _sentence(table: pd.DataFrame) -> str:
    shares = table.set_index("component").share
    told = [f"{shares[name]:.0%} {name}" for name in (SET, ORDER, SEED, SAMPLE) if pd.notna(shares.get(name))]
    if not told:
        return "No variance can be estimated from this design."
    said = f"Of the variance of one score: {', '.join(told)}."
    row = table.set_index("component").loc[ORDER]
    if pd.isna(row.estimate):
        return f"{said} Order against seed noise: {row.reason}."
    interval = f" (95 % interval {row.low:.0%} to {row.high:.0%})" if pd.notna(row.low) else f" ({row.reason})"
    return f"{said} Among orders of one set at one root, order is {row.estimate:.0%} and seed noise the rest{interval}."


def _notes(design: Design, cut: list[str]) -> tuple[str, ...]:
    notes = ["Moment estimates; the seed's parts add up to it, and shares to 1, before negative ones are cut at 0."]
    if cut:
        notes.append(f"Below 0, so shown as 0: {', '.join(cut)}.")
    if len(set(design.arms)) > 1:
        notes.append("Sets and orders are compared within an arm; what arms add is not among the components.")
    return tuple(notes)
