"""Studies drawn from a model, and how often the statistics of `search/analysis` are right about them.

Orders of one root share the luck of their prefixes: y = effect of the order + what it has of each prefix's draw + its
own draw + the root's draw. Seed variance without the root's is 1 on average over orders, so effects are in seed
SDs. Everything is drawn and judged for many studies at once, with the functions that a real study's analysis calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from search.analysis.comparisons import order_contrasts, task_contrasts, weighted
from search.analysis.covariance import classes
from search.analysis.design import Array, Design
from search.analysis.linear import t_over_roots
from search.analysis.order_tests import ROOTS_FOR_SIGN_FLIP, f_test, sign_flip
from search.analysis.pairwise import shown_above
from search.analysis.precedence import precedence_weights
from search.analysis.variance import share_interval
from search.order import Order, OrderSpace

TASKS = ("a", "b", "c", "d", "e", "f")
SPREADS = ("equal", "falling", "autoregressive")
"""Ways of spreading luck over prefixes: the same variance a stage; half of the stage before's; an order keeps 0.7 of
its parent's luck and adds its own."""

UNSTABLE = "unstable task"
"""Equal, but a stage that trains the first task has three times the SD: pairs of one class are not alike then."""

SHARES = (0.5, 0.65, 0.8)
"""Shares of seed variance in shared prefixes."""

BATCH = 1000
"""Studies drawn at once."""


@lru_cache
def ordered_subsets(tasks: int = 4) -> tuple[Order, ...]:
    """All orders of all subsets: 65 of four tasks, 326 of five."""
    return tuple(OrderSpace(TASKS[:tasks]))


def design_of(values: Array, orders: tuple[Order, ...], arms: tuple[str, ...] | None = None) -> Design:
    """A design from values, roots × orders."""
    arms = arms or ("",) * len(orders)
    return Design(tuple(map(str, orders)), orders, arms, tuple(range(len(values))), np.asarray(values, dtype=float))


@lru_cache
def blank(tasks: int = 4) -> Design:
    """A design of all ordered subsets without scores: for its contrasts and classes."""
    return design_of(np.zeros((1, len(ordered_subsets(tasks)))), ordered_subsets(tasks))


@dataclass(frozen=True)
class Luck:
    """The luck of a root: `carried` are nodes × orders, what each order has of each prefix's draw; `leaf` is the SD of
    an order's own draw, `tails` the degrees of freedom of t-distributed draws (None: normal)."""

    carried: Array
    leaf: float
    tails: float | None = None

    @property
    def covariance(self) -> Array:
        """Of the orders within a root, less the root's own draw."""
        return np.asarray(self.carried.T @ self.carried + self.leaf**2 * np.eye(self.carried.shape[1]))

    def draw(self, rng: np.random.Generator, studies: int, roots: int) -> Array:
        """Studies × roots × orders. The root's own draw has SD 2: no comparison may depend on it."""
        nodes, orders = self.carried.shape
        shape = studies, roots, nodes + orders + 1
        if self.tails is None:
            drawn = rng.standard_normal(shape)
        else:
            drawn = rng.standard_t(self.tails, shape) * np.sqrt(1 - 2 / self.tails)
        return np.asarray(drawn[..., :nodes] @ self.carried + self.leaf * drawn[..., nodes:-1] + 2 * drawn[..., -1:])


def luck(orders: tuple[Order, ...], share: float, spread: str, tails: float | None = None) -> Luck:
    """Luck of which `share` lies in shared prefixes, on average over orders."""
    nodes = sorted({prefix for order in orders for prefix in order.prefixes()}, key=str)
    place = {node: i for i, node in enumerate(nodes)}
    carried = np.zeros((len(nodes), len(orders)))
    for column, order in enumerate(orders):
        for depth, prefix in enumerate(order.prefixes(), start=1):
            wild = spread == UNSTABLE and TASKS[0] in prefix.groups[-1]
            carried[place[prefix], column] = _weight(spread, depth, len(order)) * (3 if wild else 1)
    carried *= np.sqrt(share / max((carried**2).sum(axis=0).mean(), 1e-12))
    return Luck(carried, float(np.sqrt(1 - share)), tails)


def _weight(spread: str, depth: int, length: int) -> float:
    if spread in ("equal", UNSTABLE):
        return 1.0
    if spread == "falling":
        return 0.5 ** (depth / 2)
    kept = 0.7 ** (length - depth)
    return float(kept if depth == 1 else kept * (1 - 0.7**2) ** 0.5)


def set_effects(rng: np.random.Generator, design: Design, studies: int, sd: float) -> Array:
    """Studies × 1 × orders: the same effect for all orders of a set."""
    names = sorted(set(design.sets))
    drawn = rng.standard_normal((studies, 1, len(names))) * sd
    return np.asarray(drawn[..., [names.index(name) for name in design.sets]])


def order_effects(rng: np.random.Generator, design: Design, studies: int, sd: float) -> Array:
    """Studies × 1 × orders: independent effects of all orders."""
    return rng.standard_normal((studies, 1, design.size)) * sd


def p_values(values: Array, contrasts: Array, design: Design) -> Array:
    """p of `order_tests` of many studies: … × roots × orders to …."""
    scaled = weighted(contrasts, design)
    if values.shape[-2] >= ROOTS_FOR_SIGN_FLIP:
        return sign_flip(values, scaled)
    return f_test(values, scaled, classes(design)).p


def claims(noise: Luck, roots: int, studies: int, seed: int = 0, effect: float = 0.5) -> dict[str, float]:
    """How often the two tests claim an effect at 5 %, over all ordered subsets of four tasks.

    `order, sets matter`: set effects of three seed SDs and none of order (the test's p is the same where nothing does);
    `order, it matters`: effects of `effect` seed SDs inside sets; `tasks, nothing matters`; `tasks, they matter`.
    """
    design, rng = blank(), np.random.default_rng(seed)
    order, tasks = order_contrasts(design), task_contrasts(design)
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for count in batches(studies):
        values = noise.draw(rng, count, roots)
        cases = {
            "order, sets matter": (values + set_effects(rng, design, count, 3), order),
            "order, it matters": (values + order_effects(rng, design, count, effect), order),
            "tasks, nothing matters": (values, tasks),
            "tasks, they matter": (values + set_effects(rng, design, count, effect), tasks),
        }
        for name, (scores, contrasts) in cases.items():
            found.setdefault(name, []).append(p_values(scores, contrasts, design) <= 0.05)
    return {name: float(np.concatenate(parts).mean()) for name, parts in found.items()}


JUDGED = ("difference", "precedence", "order share", "set share", "ranks", "tied ranks")
"""What `coverage` looks at."""


def coverage(noise: Luck, roots: int, studies: int, seed: int = 0, only: tuple[str, ...] = JUDGED) -> dict[str, float]:
    """How often 95 % intervals hold the truth, over all ordered subsets of four tasks with sets and orders that matter.

    `difference` of two orders; `precedence` of all pairs; `order share` and `set share` of variance against seed noise;
    `ranks` of all orders together, and the same where nothing matters (`tied ranks`: every rank is true of all).
    """
    design, rng = blank(), np.random.default_rng(seed)
    effects, order, tasks = precedence_weights(design).T, order_contrasts(design), task_contrasts(design)
    judges: dict[str, Callable[[Array, Array], NDArray[np.bool_]]] = {
        "difference": lambda values, mu: _held(values[..., 20:] - values[..., :45], mu[..., 20:] - mu[..., :45]),
        "precedence": lambda values, mu: _held(values @ effects, mu @ effects),
        "order share": lambda values, mu: _share_held(values, mu, order, noise, design),
        "set share": lambda values, mu: _share_held(values, mu, tasks, noise, design),
        "ranks": lambda values, mu: _ranks_held(values, mu, design),
        "tied ranks": lambda values, mu: _ranks_held(values - mu, 0 * mu, design),
    }
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for count in batches(studies):
        mu = set_effects(rng, design, count, 0.5) + order_effects(rng, design, count, 0.5)
        values = noise.draw(rng, count, roots) + mu
        for name in only:
            found.setdefault(name, []).append(judges[name](values, mu))
    return {name: float(np.concatenate(parts).mean()) for name, parts in found.items()}


def batches(studies: int) -> list[int]:
    """`studies` in parts of at most BATCH."""
    return [min(BATCH, studies - done) for done in range(0, studies, BATCH)]


def _held(per_root: Array, truth: Array) -> NDArray[np.bool_]:
    """Whether t intervals over roots (last axis but one) hold the truth."""
    mean, half, _ = t_over_roots(np.swapaxes(per_root, -1, -2))
    return np.asarray(np.abs(mean - truth[..., 0, :]) <= half)


def _share_held(values: Array, truth: Array, contrasts: Array, noise: Luck, design: Design) -> NDArray[np.bool_]:
    effect = ((truth[..., 0, :] @ contrasts.T) ** 2).sum(axis=-1)
    share = effect / (effect + np.trace(contrasts @ noise.covariance @ contrasts.T))
    low, high = share_interval(values, contrasts, design)
    return np.asarray((low <= share) & (share <= high))


def _ranks_held(values: Array, truth: Array, design: Design) -> NDArray[np.bool_]:
    """Whether all rank intervals of a study hold the true ranks, all of a tie's ranks where there are ties."""
    above, mu = shown_above(values, classes(design), 0.95), truth[..., 0, :]
    better = (mu[:, :, None] > mu[:, None, :]).sum(axis=1), (mu[:, :, None] < mu[:, None, :]).sum(axis=1)
    return np.asarray(((above.sum(axis=1) <= better[0]) & (above.sum(axis=2) <= better[1])).all(axis=1))
