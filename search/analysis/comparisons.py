"""The two questions as contrasts: orders of one set against one another, and sets against one another.

A contrast matrix C (contrasts × candidates) asks whether C·mu is 0. `weighted` turns it so that its rows have equal
variance and no covariance under a fixed working covariance of the tree; z'z of z = C·mean is then a test statistic that
weighs the less noisy contrasts more. As nothing of it depends on the data, any test that is valid for a fixed contrast
matrix stays valid, however far the true covariance is from the working one: only power depends on that.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.linalg import cholesky, helmert, solve_triangular

from search.analysis.design import Array, Design

WORKING_SHARE = 2 / 3
"""The share of seed variance in shared prefixes that weights suppose, with the same variance a stage. Simulated at true
shares of 0.5 to 0.8, in three ways of spreading it: 1/2, 2/3 and 4/5 have the same power within 0.05."""


def order_contrasts(design: Design) -> Array:
    """Orthonormal contrasts among the orders of each set of tasks (and arm); a set with one order gives none."""
    parts = [_spread(helmert(len(places)), places, design.size) for places in cells(design) if len(places) > 1]
    return np.vstack([np.zeros((0, design.size)), *parts])


def task_contrasts(design: Design) -> Array:
    """Orthonormal contrasts among the means of sets, within each arm; a set's mean is over its orders in the design."""
    means = np.zeros((len(cells(design)), design.size))
    for row, places in enumerate(cells(design)):
        means[row, places] = 1 / len(places)
    arms = group([design.arms[places[0]] for places in cells(design)])
    parts = [_spread(helmert(len(rows)), rows, len(means)) for rows in arms if len(rows) > 1]
    return np.asarray(np.vstack([np.zeros((0, len(means))), *parts]) @ means)


def weighted(contrasts: Array, design: Design, share: float = WORKING_SHARE) -> Array:
    """The contrasts, whitened by the working covariance: `share` in shared stages, the rest each candidate's own."""
    if not len(contrasts):
        return contrasts
    stage = share / max(design.depths.mean(), 1)
    noise = stage * (contrasts @ design.shared @ contrasts.T) + (1 - share) * contrasts @ contrasts.T
    return np.asarray(solve_triangular(cholesky(noise, lower=True), contrasts, lower=True))


def cells(design: Design) -> list[list[int]]:
    """The places of the candidates of each arm and set of tasks, as they first occur."""
    return group(list(zip(design.arms, design.sets, strict=True)))


def group(keys: Sequence[Hashable]) -> list[list[int]]:
    """The places of each key, as they first occur."""
    found: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return list(found.values())


def _spread(rows: Array, places: Sequence[int], size: int) -> Array:
    """Rows over some columns as rows over all."""
    found = np.zeros((len(rows), size))
    found[:, places] = rows
    return found
