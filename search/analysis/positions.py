"""Where in an order does a task do most good? Positions are compared within a set of tasks, as sets differ by more."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.analysis.comparisons import group
from search.analysis.design import Array, Design
from search.analysis.finding import Finding
from search.analysis.linear import estimates, sentence

_ENDS = ("end", "start")


def positions(design: Design) -> Finding:
    """The mean of the orders that have a task at a position, each less the mean of the orders of its set, in points.

    Table: task, `counted_from` (end or start), `position` (1 is the last stage, right before the target, or the first),
    `orders` (how many), and what `linear.estimates` gives. A set is compared within its arm and number of stages; where
    a task has the same position in all orders of its set in the design, they say nothing and do not count.
    """
    about, weights = [], []
    alike = group(list(zip(design.arms, design.sets, map(len, design.orders), strict=True)))
    for task, counted in itertools.product(design.tasks, _ENDS):
        at = np.array([_position(order.groups, task, counted) for order in design.orders])
        cells = [np.array(places) for places in alike if len(set(at[places])) > 1]
        for position in sorted({int(where) for places in cells for where in at[places]}):
            row, orders = _less_the_mean(cells, at == position)
            about.append((task, counted, position, orders))
            weights.append(row)
    table = pd.DataFrame(about, columns=["task", "counted_from", "position", "orders"])
    found = estimates(np.array(weights).reshape(len(about), design.size), design)
    table = pd.concat([table, found], axis="columns")
    from_the_end = sentence(
        table[table.counted_from == "end"], "positions counted from the end", lambda row: f"{row.task} {_words(row)}"
    )
    notes = (
        "Less the mean of the orders of the same set of tasks; t over roots.",
        "Positions of one task add up to about 0, so they are not independent claims.",
    )
    return Finding("positions", "Which task at which position", table, from_the_end, notes=notes)


def _less_the_mean(cells: Sequence[NDArray[np.int64]], there: NDArray[np.bool_]) -> tuple[Array, int]:
    """Weights of the mean, over the orders that are `there`, of (order less the mean of its cell), and their number."""
    row, orders = np.zeros(len(there)), 0
    for places in cells:
        own = there[places]
        row[places] += own - own.sum() / len(places)
        orders += int(own.sum())
    return row / orders, orders


def _position(groups: tuple[tuple[str, ...], ...], task: str, counted_from: str) -> int:
    """The stage that holds a task, from 1; 0 where none does."""
    counted = groups[::-1] if counted_from == "end" else groups
    return next((stage for stage, members in enumerate(counted, start=1) if task in members), 0)


def _words(row: Any) -> str:
    return "last" if row.position == 1 else f"at position {row.position} from the end"
