"""What does a task add to the orders that hold it, and what does an order add to no intermediate task at all?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from search.analysis.design import Array, Design
from search.analysis.finding import Finding
from search.analysis.linear import estimates, finding
from search.order import Order


def inclusion(design: Design) -> Finding:
    """For each task the mean over the orders that hold it of (its score − that of the same order without it).

    In points. Table: task, `orders` (how many have their counterpart in the design), and what `linear.estimates` gives.
    Paired within a root and an arm; a task that is trained together with others is taken out of its group.
    """
    places = {(arm, order): place for place, (arm, order) in enumerate(zip(design.arms, design.orders, strict=True))}
    weights = np.zeros((len(design.tasks), design.size))
    counts = []
    for row, task in zip(weights, design.tasks, strict=True):
        pairs = [
            (place, places[arm, without(order, task)])
            for (arm, order), place in places.items()
            if task in order.tasks and (arm, without(order, task)) in places
        ]
        for place, other in pairs:
            row[place] += 1
            row[other] -= 1
        row /= len(pairs) or np.nan
        counts.append(len(pairs))
    reasons = ["" if count else "no order is there both with and without it" for count in counts]
    found = estimates(weights, design, reasons)
    table = pd.concat([pd.DataFrame({"task": list(design.tasks), "orders": counts}), found], axis="columns")
    notes = ("Each order less the same order without the task, paired by root; t over roots.",)
    return finding(
        "inclusion", "What including a task adds", table, "tasks' contributions", lambda row: f"{row.task}", notes,
    )  # fmt: skip


def gains(design: Design) -> Finding:
    """For each candidate its score less the empty order's of the same arm, in points, paired by root.

    Table: candidate, order, and what `linear.estimates` gives; Holm's correction over all orders.
    """
    empty = {arm: place for place, (arm, order) in enumerate(zip(design.arms, design.orders, strict=True)) if not order}
    told = [place for place, order in enumerate(design.orders) if order]
    weights = np.array([_over(place, empty.get(design.arms[place]), design.size) for place in told])
    reasons = ["" if design.arms[place] in empty else "the empty order was not scored" for place in told]
    about = {"candidate": [design.names[i] for i in told], "order": [str(design.orders[i]) for i in told]}
    found = estimates(weights.reshape(len(told), design.size), design, reasons)
    notes = ("Paired by root; t over roots. What the luck of the empty order adds is the same in all of them.",)
    return finding(
        "gains", "Orders against no intermediate task", pd.concat([pd.DataFrame(about), found], axis="columns"),
        "gains over the empty order", lambda row: f"{row.candidate}", notes,
    )  # fmt: skip


def without(order: Order, task: str) -> Order:
    """The order with a task taken out; a stage of it alone falls away."""
    kept = (tuple(name for name in members if name != task) for members in order.groups)
    return Order(tuple(members for members in kept if members))


def _over(place: int, other: int | None, size: int) -> Array:
    row = np.zeros(size)
    row[place] = 1
    if other is None:
        return np.full(size, np.nan)
    row[other] -= 1
    return row
