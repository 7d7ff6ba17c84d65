"""What strategies are played on: a space of orders, noisy values of them, and how far an order is from the best one.

Values are in σ, the standard deviation over all orders of the space; regret is the best value less an order's, both
without noise. Noise depends on (seed, order, visit) alone, so that every strategy meets the same.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.strategies import formats
from benchmarks.strategies.instances import Instance, Orders, best_found, generated, in_parts
from benchmarks.strategies.recorded import recorded
from benchmarks.strategies.transfer import transfer
from search.candidate import Arm
from search.order import Order, OrderSpace
from search.space import Space
from trainables.errors import Mistake, nearest

KINDS = ("lop", "tsp", "qap", "pfsp", "transfer", "subsets", "recorded")
ARM = Arm("full", 1e-3)

LISTED = 8
"""Up to so many items all permutations are listed, and the best one is known."""


@dataclass(frozen=True)
class Problem:
    """`draw(order, visit)` is what a strategy is told of an order the visit-th time; `roots` is of how many root seeds
    it is the mean. `regret` is in `unit`."""

    name: str
    space: Space
    draw: Callable[[Order, int], float]
    regret: Callable[[Order], float]
    unit: str = "σ"
    roots: int = 1


@dataclass(frozen=True)
class Spec:
    """Which problem: of a `kind`, with `size` items or tasks (None: 7, of subsets 6), told with noise of SD `noise`.

    `instance` is a file instead of a generated instance; `best` its best known value, costs negated. A recorded study
    is in `table`; `told` names the column that strategies see, of so many `roots`.
    """

    kind: str
    size: int | None = None
    noise: float = 0.3
    instance: str | None = None
    best: float | None = None
    table: str | None = None
    told: str = "en_dev"
    roots: int = 1

    def make(self, seed: int) -> Problem:
        """The problem under this seed: it draws a generated instance, and the noise. Raises `Mistake`."""
        if self.kind not in KINDS:
            raise Mistake(f"unknown problem '{self.kind}'.", where="--problem", right=nearest(self.kind, KINDS))
        if self.kind == "recorded":
            return Problem("recorded", *recorded(self.table, self.told, self.roots, seed, ARM), "points", self.roots)
        if self.kind == "subsets":
            tasks = self.size or 6
            return listed("subsets", subsets(tasks), transfer(tasks, seed), self.noise, seed)
        instance = self.read() if self.instance else self._generated(seed)
        if instance.size <= LISTED:
            return listed(self.kind, permutations(instance.size), instance, self.noise, seed)
        return large(self.kind, instance, self.noise, seed)

    def read(self) -> Instance:
        """The instance in the file; its best value is the given one, the file's own, or what local search finds."""
        instance = formats.read(self.kind, self.instance or "")
        if instance.size <= LISTED:
            return instance
        known = instance.best if self.best is None else self.best
        return instance._replace(best=best_found(instance) if known is None else known)

    def _generated(self, seed: int) -> Instance:
        size = self.size or 7
        instance = transfer(size, seed) if self.kind == "transfer" else generated(self.kind, size, seed)
        return instance if size <= LISTED else instance._replace(best=best_found(instance))


def listed(name: str, orders: OrderSpace, instance: Instance, noise: float, seed: int) -> Problem:
    """All orders of the space are valued; regret is exact. Raises `Mistake` where there is nothing to find."""
    found = np.concatenate([in_parts(instance.values, rows) for rows in _by_length(orders)])
    # The empty order of a space of subsets has the value 0: nothing was trained.
    if np.ptp(found) == 0:
        raise Mistake("all orders are worth the same.", where=f"--problem {name}", right="more items")
    values = (found - found.mean()) / found.std()
    table = dict(zip(orders, values.tolist(), strict=True))
    best = max(values.tolist())
    return Problem(
        name, Space(orders, [ARM]), _noisy(table.__getitem__, noise, seed), lambda order: best - table[order]
    )


def large(name: str, instance: Instance, noise: float, seed: int) -> Problem:
    """More permutations than can be listed: σ is that of 2,000 random ones, regret is against the best known.

    The space begins with the empty order, which stands for leaving the order to chance: its value is the mean.
    """
    if instance.best is None:
        raise ValueError("a large instance needs the best value that is known")
    generator = np.random.default_rng(0)
    drawn = in_parts(instance.values, np.array([generator.permutation(instance.size) for _ in range(2000)]))
    mean, spread, best = float(drawn.mean()), float(drawn.std()), instance.best
    orders = OrderSpace(_names(instance.size), "permutations", baselines=False)
    places = {name: place for place, name in enumerate(orders.tasks)}

    def value(order: Order) -> float:
        if not order:
            return 0.0
        return float(instance.values(np.array([[places[task] for task in order.tasks]]))[0] - mean) / spread

    regret: Callable[[Order], float] = lambda order: (best - mean) / spread - value(order)  # noqa: E731
    return Problem(name, Space(orders, [ARM]), _noisy(value, noise, seed), regret)


@lru_cache(maxsize=4)
def permutations(size: int) -> OrderSpace:
    """All permutations of `size` items, without an empty order."""
    names = _names(size)
    rows = (Order(tuple((name,) for name in row)) for row in itertools.permutations(names))
    return OrderSpace(names, "explicit", orders=rows)


@lru_cache(maxsize=4)
def subsets(size: int) -> OrderSpace:
    """All ordered subsets of `size` tasks, the empty order and the single tasks first."""
    return OrderSpace(_names(size))


def _names(size: int) -> list[str]:
    return [f"t{number:0{len(str(size - 1))}d}" for number in range(size)]


def _by_length(orders: OrderSpace) -> Iterator[Orders]:
    """The orders as rows of task numbers, one array a length; together they are in the order of the space."""
    places = {name: place for place, name in enumerate(orders.tasks)}
    for length, group in itertools.groupby(orders, len):
        rows = [[places[task] for task in order.tasks] for order in group]
        yield np.array(rows, dtype=np.int64).reshape(len(rows), length)


def _noisy(value: Callable[[Order], float], noise: float, seed: int) -> Callable[[Order, int], float]:
    def draw(order: Order, visit: int) -> float:
        return value(order) + noise * random.Random(f"noise {seed} {order} {visit}").gauss(0, 1)

    return draw
