"""Studies drawn from a model: root luck shared along the prefixes of orders, effects of sets and of orders planted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from search.analysis.design import Design
from search.order import Order, OrderSpace

TASKS = ("a", "b", "c", "d", "e", "f")
SPREADS = ("equal", "falling", "autoregressive")
"""Ways of spreading luck over prefixes: the same variance a node; half of the parent's; an order keeps 0.7 of its
parent's luck."""


@lru_cache
def ordered_subsets(tasks: int = 4) -> tuple[Order, ...]:
    """All orders of all subsets: 65 of four tasks, 326 of five."""
    return tuple(OrderSpace(TASKS[:tasks]))


def design_of(values: np.ndarray, orders: tuple[Order, ...], arms: tuple[str, ...] | None = None) -> Design:
    """A design from values, roots × orders."""
    arms = arms or ("",) * len(orders)
    return Design(tuple(map(str, orders)), orders, arms, tuple(range(len(values))), np.asarray(values, dtype=float))


@dataclass(frozen=True)
class Luck:
    """The luck of one root: `carried` are nodes × orders, what each order has of each prefix's draw; `leaf` is the SD
    of what an order shares with none. Seed variance (without the root's shift) is 1 on average over orders."""

    carried: np.ndarray
    leaf: float

    @property
    def covariance(self) -> np.ndarray:
        return self.carried.T @ self.carried + self.leaf**2 * np.eye(self.carried.shape[1])

    def draw(self, rng: np.random.Generator, studies: int, roots: int, tails: float | None = None) -> np.ndarray:
        """Studies × roots × orders; `tails` are degrees of freedom of t-distributed draws (None: normal)."""
        nodes, orders = self.carried.shape
        shape = studies, roots, nodes + orders + 1
        found = (
            rng.standard_normal(shape) if tails is None else rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2))
        )
        return found[..., :nodes] @ self.carried + self.leaf * found[..., nodes:-1] + 2 * found[..., -1:]


def luck(orders: tuple[Order, ...], share: float, spread: str) -> Luck:
    """Luck of which `share` lies in shared prefixes, on average over orders."""
    nodes = sorted({prefix for order in orders for prefix in order.prefixes()}, key=str)
    place = {node: i for i, node in enumerate(nodes)}
    carried = np.zeros((len(nodes), len(orders)))
    for column, order in enumerate(orders):
        for depth, prefix in enumerate(order.prefixes(), start=1):
            carried[place[prefix], column] = _weight(spread, depth, len(order))
    carried *= np.sqrt(share / (carried**2).sum(0).mean())
    return Luck(carried, float(np.sqrt(1 - share)))


def _weight(spread: str, depth: int, length: int) -> float:
    if spread == "equal":
        return 1.0
    if spread == "falling":
        return 0.5 ** (depth / 2)
    kept = 0.7 ** (length - depth)
    return kept if depth == 1 else kept * (1 - 0.7**2) ** 0.5


def set_effects(rng: np.random.Generator, design: Design, studies: int, sd: float) -> np.ndarray:
    """Studies × 1 × orders: the same effect for all orders of a set."""
    names = sorted(set(design.sets))
    drawn = rng.standard_normal((studies, 1, len(names))) * sd
    return drawn[..., [names.index(name) for name in design.sets]]


def order_effects(rng: np.random.Generator, design: Design, studies: int, sd: float) -> np.ndarray:
    """Studies × 1 × orders: independent effects of all orders."""
    return rng.standard_normal((studies, 1, design.size)) * sd
