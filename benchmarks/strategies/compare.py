"""What the long table of searches says: regret at checkpoints, paired differences, and costs to the same regret."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
LEVEL = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float


def t_interval(values: Floats) -> Interval:
    """Student's t over seeds; no width with one."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def on_marks(rows: pd.DataFrame, problem: str, strategy: str) -> pd.DataFrame:
    """Regret, seeds × marks; marks that some seed had not reached yet are left out."""
    mine = rows[(rows.problem == problem) & (rows.strategy == strategy)]
    return mine.pivot(index="seed", columns="mark", values="regret").dropna(axis="columns")


def on_grid(rows: pd.DataFrame, problem: str, strategy: str, column: str, grid: Floats) -> Floats:
    """Regret, seeds × grid, each search a step function of `column`; nan where a search had not begun or had ended."""
    mine = rows[(rows.problem == problem) & (rows.strategy == strategy)]
    found = []
    for _, search in mine.groupby("seed"):
        places = np.searchsorted(search[column].to_numpy(), grid, side="right") - 1
        inside = (places >= 0) & (grid <= search[column].max())
        found.append(np.where(inside, search.regret.to_numpy()[places], math.nan))
    return np.array(found)


def summary(rows: pd.DataFrame, checkpoints: list[float], against: str) -> pd.DataFrame:
    """A row a problem, strategy and checkpoint: regret over seeds (mean with interval, median), what was spent, and two
    paired differences from the strategy `against`: at the same checkpoint, and from its last one (negative: better)."""
    found = []
    for problem in dict.fromkeys(rows.problem):
        base = on_marks(rows, problem, against)
        for strategy in dict.fromkeys(rows.strategy):
            mine = on_marks(rows, problem, strategy)
            for mark in (mark for mark in checkpoints if mark in mine.columns):
                there = rows[(rows.problem == problem) & (rows.strategy == strategy) & (rows.mark == mark)]
                found.append({
                    "problem": problem, "strategy": strategy, "at": mark,
                    **_named("regret", t_interval(mine[mark].to_numpy())), "median": float(mine[mark].median()),
                    "evaluations": there.evaluations.mean(), "cost": there.cost.mean(), "share": there.share.mean(),
                    **_named("difference", _paired(mine[mark], base, mark)),
                    **_named("from_end", _paired(mine[mark], base, max(base.columns))),
                })  # fmt: skip
    return pd.DataFrame(found)


def cost_to_reach(costs: Floats, regrets: Floats, level: float) -> float:
    """The cost at which a curve first comes down to the level, linear between its points; inf if it never does."""
    below = np.flatnonzero(regrets <= level)
    if not len(below):
        return math.inf
    first = int(below[0])
    if first == 0:
        return float(costs[0])
    left = (regrets[first - 1] - level) / (regrets[first - 1] - regrets[first])
    return float(costs[first - 1] + left * (costs[first] - costs[first - 1]))


def cost_ratio(mine: Floats, other: Floats, costs: Floats, seed: int = 0) -> Interval:
    """The share of the whole cost at which my mean curve reaches the other's end value; regrets seeds × costs, paired.

    The interval is the percentiles of a bootstrap over seeds; a curve that never comes down to it has inf. As mean
    curves are not quite smooth, a curve may reach even its own end value before its end: compare with its own ratio.
    """
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(0, len(mine), len(mine)) for _ in range(RESAMPLES)]
    found = [_ratio(mine[rows], other[rows], costs) for rows in drawn]
    # Not interpolated: between a number and inf there is none.
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Interval(_ratio(mine, other, costs), float(low), float(high))


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """`cost_ratio` of every strategy (`strategy`) to every strategy's end (`reaches`), for searches marked by cost."""
    found = []
    for problem in dict.fromkeys(rows.problem):
        curves = {strategy: on_marks(rows, problem, strategy) for strategy in dict.fromkeys(rows.strategy)}
        marks = [mark for mark in sorted(set(rows.mark)) if all(mark in curve.columns for curve in curves.values())]
        for other, its in curves.items():
            for strategy, mine in curves.items():
                ratio = cost_ratio(mine[marks].to_numpy(), its[marks].to_numpy(), np.array(marks))
                found.append({"problem": problem, "strategy": strategy, "reaches": other, **_named("ratio", ratio)})
    return pd.DataFrame(found)


def _ratio(mine: Floats, other: Floats, costs: Floats) -> float:
    return cost_to_reach(costs, mine.mean(0), float(other.mean(0)[-1])) / float(costs[-1])


def _paired(mine: pd.Series, base: pd.DataFrame, mark: float) -> Interval:
    if mark not in base.columns:
        return Interval(math.nan, math.nan, math.nan)
    return t_interval((mine - base[mark]).dropna().to_numpy())


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
