"""Four ordering problems of operations research: what orders of n items are worth, and seeded instances of them.

`values` takes orders as rows of item numbers, shape (m, n), and gives m values; higher is better, so costs are negated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Orders = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = Callable[[Orders], Floats]


class Instance(NamedTuple):
    """An ordering problem of `size` items; `best` is the best value that is known, if one is."""

    size: int
    values: Values
    best: float | None = None


def linear_ordering(matrix: Floats) -> Instance:
    """LOP: the sum of the entries above the diagonal when rows and columns are put in this order; (n, n)."""
    return Instance(len(matrix), partial(_above_diagonal, matrix))


def travelling_salesman(distances: Floats) -> Instance:
    """TSP: the length of the closed tour, negated; distances (n, n)."""
    return Instance(len(distances), partial(_tour, distances))


def quadratic_assignment(first: Floats, second: Floats) -> Instance:
    """QAP: Σ_kl A[k, l] · B[p(k), p(l)] for the order p, negated; A and B (n, n)."""
    return Instance(len(first), partial(_assignment, first, second))


def flow_shop(times: Floats, best: float | None = None) -> Instance:
    """PFSP: the makespan when jobs pass all machines in this order, negated; times (machines, jobs)."""
    return Instance(times.shape[1], partial(_makespan, times), best)


def generated(kind: str, size: int, seed: int) -> Instance:
    """An instance as the libraries' random ones are made: whole numbers, uniformly drawn.

    LOP: entries 0 to 100. TSP: points on a square of side 1000, distances rounded. QAP: both matrices symmetric, 0 to
    99 (Taillard, Parallel Computing 17, 1991). PFSP: times 1 to 99 on five machines (Taillard, EJOR 64, 1993).
    """
    generator = np.random.default_rng([seed, *kind.encode()])
    if kind == "lop":
        return linear_ordering(generator.integers(0, 101, (size, size)).astype(float))
    if kind == "tsp":
        points = generator.integers(0, 1001, (size, 2)).astype(float)
        return travelling_salesman(np.rint(np.linalg.norm(points[:, None] - points[None], axis=-1)))
    if kind == "qap":
        drawn = np.triu(generator.integers(0, 100, (2, size, size)), 1).astype(float)
        return quadratic_assignment(*(drawn + drawn.transpose(0, 2, 1)))
    if kind == "pfsp":
        return flow_shop(generator.integers(1, 100, (5, size)).astype(float))
    raise ValueError(f"kind must be lop, tsp, qap or pfsp, but got {kind!r}")


def best_found(instance: Instance, starts: int = 5, seed: int = 0) -> float:
    """The best value that local search finds: steepest ascent over insertions and exchanges, from random orders."""
    generator = np.random.default_rng(seed)
    return max(_climbed(instance, generator.permutation(instance.size)) for _ in range(starts))


def in_parts(values: Values, orders: Orders) -> Floats:
    """The values, computed for so many orders at a time that a few million numbers are held."""
    rows = max(1, 4_000_000 // max(1, orders.shape[1]) ** 2)
    return np.concatenate([values(orders[start : start + rows]) for start in range(0, len(orders), rows)])


def _climbed(instance: Instance, order: Orders) -> float:
    value = float(instance.values(order[None])[0])
    while True:
        near = _neighbours(order)
        found = in_parts(instance.values, near)
        best = int(found.argmax())
        if found[best] <= value:
            return value
        order, value = near[best], float(found[best])


def _neighbours(order: Orders) -> Orders:
    size = len(order)
    rows = []
    for taken in range(size):
        rest = np.delete(order, taken)
        rows += [np.insert(rest, place, order[taken]) for place in range(size) if place != taken]
        for other in range(taken + 2, size):
            swapped = order.copy()
            swapped[[taken, other]] = swapped[[other, taken]]
            rows.append(swapped)
    return np.array(rows)


def _above_diagonal(matrix: Floats, orders: Orders) -> Floats:
    return np.asarray(np.triu(matrix[orders[:, :, None], orders[:, None, :]], 1).sum((1, 2)))


def _tour(distances: Floats, orders: Orders) -> Floats:
    return np.asarray(-distances[orders, np.roll(orders, -1, axis=1)].sum(1))


def _assignment(first: Floats, second: Floats, orders: Orders) -> Floats:
    return np.asarray(-np.einsum("kl,mkl->m", first, second[orders[:, :, None], orders[:, None, :]]))


def _makespan(times: Floats, orders: Orders) -> Floats:
    done = np.zeros((len(times), len(orders)))  # when each machine is free again
    for jobs in orders.T:
        ready = np.zeros(len(orders))
        for machine, taken in enumerate(times[:, jobs]):
            ready = done[machine] = np.maximum(ready, done[machine]) + taken
    return np.asarray(-done[-1])
