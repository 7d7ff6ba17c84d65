"""Does the difficulty of an intermediate task act differently under different tuning methods?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from search.analysis.intervals import Estimate, welch
from search.analysis.overall import by_order, overall, paired
from search.order import EMPTY

CLASSES = ("high", "low")


class Complexity(NamedTuple):
    """`tasks`: one row an intermediate task. `interaction`: the mean difference over high tasks less that over low."""

    tasks: pd.DataFrame
    interaction: Estimate


def complexity(
    scores: pd.DataFrame,
    chosen: Sequence[str],
    difficulty: Mapping[str, str],
    methods: tuple[str, str] = ("adapter", "full"),
    report: str = "test",
) -> Complexity:
    """The method × difficulty interaction, in percent points.

    A task's gain is the score of the order of this task alone less that of the empty order, its `difference` the gain
    under the first method less that under the second; both are means over the roots that both methods have both
    orders of. The unit is the task, so the 95 % interval is Welch's over tasks, not over roots: it holds for tasks
    like these. Tasks without a difficulty (controls) do not count. Raises ValueError for one that is not high or low.
    """
    return complexity_of(by_order(overall(scores, report), scores, chosen), difficulty, methods)


def complexity_of(values: pd.DataFrame, difficulty: Mapping[str, str], methods: tuple[str, str]) -> Complexity:
    """`complexity` of any outcome: `values` are (method, order) × roots, as `by_order` gives them."""
    for task, rating in difficulty.items():
        if rating not in CLASSES:
            raise ValueError(f"the difficulty of {task} must be one of {CLASSES}, but got {rating!r}")
    first, second = methods
    tasks = _tasks(values, difficulty, first, second)
    high, low = ([] if tasks.empty else tasks.difference[tasks.difficulty == name].tolist() for name in CLASSES)
    return Complexity(tasks, welch(high, low, CLASSES, "task"))


def _tasks(values: pd.DataFrame, difficulty: Mapping[str, str], first: str, second: str) -> pd.DataFrame:
    both = paired(values, first, second)
    if EMPTY not in both[0].index:
        return pd.DataFrame()
    gains = [own - own.loc[EMPTY] for own in both]
    rows = []
    for task in gains[0].index:
        mine, its = (gain.loc[task].dropna() for gain in gains)
        if task in difficulty and len(mine):
            rows.append({
                "task": task, "difficulty": difficulty[task], f"gain_{first}": mine.mean(),
                f"gain_{second}": its.mean(), "difference": (mine - its).mean(), "roots": len(mine),
            })  # fmt: skip
    return pd.DataFrame(rows)
