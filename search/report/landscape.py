"""The Kendall landscape: orders as points of a plane, near one another where they train the same tasks alike.

The squared distance of two orders is 4 × (pairs of tasks that they train in opposite order) + (pairs that only one of
them puts in an order) + (tasks that only one of them has): Kendall's tau distance, carried over to ordered subsets by
features (`search.surrogate.features`, block `kendall`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.candidate import Arm, Candidate
from search.order import Order
from search.report.names import Names
from search.report.parts import Group, Picture, Section
from search.surrogate.features import Features
from trainables.tasks import SHAM

LEAST = 4
"""Orders below which a plane shows nothing."""

MOST = 500
"""Orders that a map shows: of more, the best."""

STEPS = 300
"""Of majorization at most."""

CAPTION = (
    "Squared distance: 4 for each pair of tasks trained in opposite order, 1 for each pair that only one of two orders "
    "puts in an order, 1 for each task that only one has. On the map orders are as far apart as two dimensions allow; "
    "directions mean nothing."
)


def section(scores: pd.Series, names: Names) -> Section:
    """`scores` are those of candidates, in percent, best first; of one order the best is drawn."""
    best: dict[str, float] = {}
    for candidate, score in scores.items():
        order = names.order_of.get(str(candidate), "")
        if order and SHAM not in order and not pd.isna(score):
            best.setdefault(order, float(score))
    if len(best) < LEAST:
        missing = f"{len(best)} orders have scores, and a map needs {LEAST}."
        return Section("landscape", "Landscape of orders", missing=missing)
    best = dict(list(best.items())[:MOST])
    orders = list(best)
    rows = features(orders)
    points, stress = plane(rows)
    near = _neighbours(_distances(rows), np.array(list(best.values())))
    data = {
        "points": [
            {"x": round(float(x), 3), "y": round(float(y), 3), "label": names.order(order), "value": round(score, 2)}
            for (x, y), (order, score) in zip(points, best.items(), strict=True)
        ],
        "value": "score, %",
    }  # fmt: skip
    said = (
        f"{len(orders)} orders. Those that are nearest to one another differ by {near[0]:.1f} points in the mean, any "
        f"two by {near[1]:.1f}. Stress of the map: {stress:.2f}."
    )
    table = pd.DataFrame(data["points"]).rename(columns={"label": "order", "value": "score"})[
        ["order", "score", "x", "y"]
    ]
    picture = Picture(
        "landscape", "Orders by Kendall distance, coloured by score", "landscape", said, data, table, CAPTION
    )
    return Section(
        "landscape", "Landscape of orders", "Do orders that are alike score alike?", (Group("Landscape", (picture,)),)
    )


def features(orders: Sequence[str]) -> NDArray[np.float64]:
    """Orders × features, whose squared Euclidean distance is the map's."""
    parsed = [Order.parse(order) for order in orders]
    tasks = list(dict.fromkeys(task for order in parsed for task in order.tasks))
    arm = Arm("full", 1.0)
    made = Features(tasks, [arm])
    rows = made.matrix(Candidate(order, *arm) for order in parsed)
    return rows[:, made.blocks["kendall"]]


def plane(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Orders × 2 coordinates whose distances are as near to those of the features as can be, and the stress left.

    Classical scaling first, then its stress is brought down by majorization (SMACOF: de Leeuw 1977; Borg and Groenen,
    Modern Multidimensional Scaling, 2005, chapter 8): in a symmetric space many orders have one and the same place in
    the classical plane. Stress is Kruskal's stress-1: 0 is a perfect map. Deterministic.
    """
    wanted = _distances(rows)
    total = float((wanted**2).sum())
    centred = rows - rows.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    at = np.zeros((len(rows), 2))
    at[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    at += np.random.default_rng(0).normal(0, 0.05, at.shape)  # points in one place would never part
    stress = np.inf
    for _ in range(STEPS):
        found = _distances(at)
        before, stress = stress, float(((wanted - found) ** 2).sum())
        if before - stress <= 1e-6 * total:
            break
        ratio = np.divide(wanted, found, out=np.zeros_like(found), where=found > 1e-12)
        pull = -ratio
        np.fill_diagonal(pull, ratio.sum(axis=1))
        at = pull @ at / len(at)
    return at - at.mean(axis=0), float(np.sqrt(stress / total)) if total else 0.0


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (rows**2).sum(axis=1)
    far = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    np.fill_diagonal(far, 0.0)
    return np.asarray(np.sqrt(np.maximum(far, 0.0)))


def _neighbours(far: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Mean absolute difference of scores between nearest neighbours (ties averaged), and between any two."""
    far = far.copy()
    np.fill_diagonal(far, np.inf)
    differences = np.abs(scores[:, None] - scores[None, :])
    nearest = far <= far.min(axis=1, keepdims=True) + 1e-9
    near = (differences * nearest).sum(axis=1) / nearest.sum(axis=1)
    return float(near.mean()), float(differences[np.triu_indices(len(scores), 1)].mean())
