"""Does it matter that a is trained before b, and that it is trained immediately before b?

Raw means of "a before b" are confounded with the set of tasks (orders that hold both are other sets than those that do
not), so a regression compares orders of the same set only:

    score of o = effect of its set + Σ over pairs a, b of beta_ab · x_ab(o) + noise

with x = 1/2 where a comes before b, −1/2 where after, 0 where they are not both in o or are trained together. It is
solved for each root by least squares, then t over roots. "Set" is the set of tasks with the number of stages (they
differ where tasks are trained together) and the arm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from search.analysis.comparisons import group
from search.analysis.design import Array, Design
from search.analysis.finding import Finding
from search.analysis.linear import estimates, finding

ESTIMABLE = 1e-6
"""How far a coefficient's row may lie from the space of the rows and still count as in it."""

_NEVER = "no set of tasks has orders with both, one before and one after the other"
_TANGLED = "cannot be told apart from other effects in these orders"


def precedence(design: Design) -> Finding:
    """For each pair of tasks what "first before second" adds over "second before first", in points.

    Table: first, second, `orders` (how many orders of sets in which the pair's order varies), and what
    `linear.estimates` gives.
    """
    pairs = list(itertools.combinations(design.tasks, 2))
    columns = _precedences(design)
    weights, reasons = _coefficients(columns, np.eye(len(pairs)))
    table = pd.DataFrame(pairs, columns=["first", "second"]).assign(orders=_informing(columns))
    table = pd.concat([table, estimates(weights, design, reasons)], axis="columns")
    notes = ("Orders of the same set of tasks only, by least squares for each root, then t over roots.",)
    return finding(
        "precedence", "Which task before which", table, "precedence effects",
        lambda row: f"{row['first']} before {row.second}", notes,
    )  # fmt: skip


def neighbours(design: Design) -> Finding:
    """What it adds that `first` is trained immediately before `second`, beyond precedence, in points.

    One regression holds precedence and neighbours. An order of k stages has k − 1 neighbours, whatever its order, so
    only differences among neighbours can be had: each effect is against the mean of all pairs of neighbours.
    """
    pairs = list(itertools.permutations(design.tasks, 2))
    next_to = _columns([_immediately(design, *pair) for pair in pairs], design)
    columns = np.concatenate([next_to, _precedences(design)], axis=1)
    there = columns[:, : len(pairs)].any(axis=0)
    wanted = np.eye(len(pairs), columns.shape[1])
    wanted[:, : len(pairs)] -= there / max(there.sum(), 1)
    weights, reasons = _coefficients(columns, wanted)
    table = pd.DataFrame(pairs, columns=["first", "second"]).assign(orders=_informing(columns[:, : len(pairs)]))
    table = pd.concat([table, estimates(weights, design, reasons)], axis="columns")
    notes = ("Beyond precedence, both in one regression; each against the mean of all pairs of neighbours.",)
    return finding(
        "neighbours", "Which task immediately before which", table, "neighbour effects",
        lambda row: f"{row['first']} immediately before {row.second}", notes,
    )  # fmt: skip


def precedence_weights(design: Design) -> Array:
    """Pairs of tasks × candidates: the weights of scores in each effect of `precedence`, nan where not estimable."""
    columns = _precedences(design)
    return _coefficients(columns, np.eye(columns.shape[1]))[0]


def raw_before(design: Design, first: str, second: str) -> float:
    """The mean score of all orders with `first` before `second` less that of all other orders, in points.

    What not to use: it mixes what tasks are worth with what their order is worth.
    """
    before, means = _before(design, first, second) > 0, design.means
    return float(means[before].mean() - means[~before].mean())


def _before(design: Design, first: str, second: str) -> Array:
    """Of each order: 1/2 where first is trained before second, −1/2 where after, else 0."""
    found = np.zeros(design.size)
    for place, order in enumerate(design.orders):
        at = {task: stage for stage, group in enumerate(order.groups) for task in group}
        if first in at and second in at:
            found[place] = np.sign(at[second] - at[first]) / 2
    return found


def _immediately(design: Design, first: str, second: str) -> Array:
    """Of each order: 1 where the stage after first's holds second, else 0."""
    return np.array([
        float(any(first in one and second in other for one, other in itertools.pairwise(order.groups)))
        for order in design.orders
    ])  # fmt: skip


def _precedences(design: Design) -> Array:
    """Candidates × pairs of tasks: the regressors of precedence, centred."""
    return _columns([_before(design, *pair) for pair in itertools.combinations(design.tasks, 2)], design)


def _columns(found: list[Array], design: Design) -> Array:
    """Regressors as the columns of one matrix, each less its mean over orders of the same arm, set and number of
    stages."""
    columns = np.stack(found, axis=1) if found else np.zeros((design.size, 0))
    centred = columns.copy()
    for places in group(list(zip(design.arms, design.sets, map(len, design.orders), strict=True))):
        centred[places] -= columns[places].mean(axis=0)
    return np.where(np.abs(centred) < ESTIMABLE, 0.0, centred)


def _coefficients(columns: Array, wanted: Array) -> tuple[Array, Sequence[str]]:
    """Least squares weights of combinations of coefficients, and why there are none: nan rows where not estimable.

    `columns` are candidates × effects, centred; `wanted` combinations × effects. As columns are centred, so are the
    weights: no set effect enters.
    """
    if not columns.size:
        return np.full((len(wanted), len(columns)), np.nan), [_NEVER] * len(wanted)
    inverse = np.linalg.pinv(columns, rcond=1e-10)
    reached = np.asarray(np.abs(wanted @ (inverse @ columns) - wanted).max(axis=1) < ESTIMABLE)
    varies = np.asarray(columns[:, : len(wanted)].any(axis=0))
    weights = np.where((reached & varies)[:, None], wanted @ inverse, np.nan)
    return weights, [_NEVER if not some else "" if can else _TANGLED for some, can in zip(varies, reached, strict=True)]


def _informing(columns: Array) -> Array:
    return np.asarray((columns != 0).sum(axis=0))
