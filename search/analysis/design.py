"""The design of a study: which candidate scored what at which root, and what candidates share.

Candidates at one root share the luck of the stages that they share; roots are independent. So a design is a matrix of
roots × candidates, and of each pair of candidates the number of training stages that they have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.order import Order

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """A complete table of one outcome: `values` are roots × candidates, none missing, in percent.

    `names` are the candidates' names, `orders` their orders, `arms` what each is besides its order (method and
    hyperparameters, in words): candidates of different arms share no training stage. `seeds` are the roots' numbers.
    """

    names: tuple[str, ...]
    orders: tuple[Order, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Array

    def __post_init__(self) -> None:
        shape = len(self.seeds), len(self.names)
        if self.values.shape != shape or not len(self.orders) == len(self.arms) == len(self.names):
            raise ValueError(f"values of {shape} (roots × candidates) are needed, but got {self.values.shape}")
        if np.isnan(self.values).any():
            raise ValueError("a design has no missing values: leave such candidates or roots out first")

    @classmethod
    def of(cls, values: pd.DataFrame, orders: Sequence[Order], arms: Sequence[str] | None = None) -> Self:
        """From a table of candidates × roots (as `overall.overall` gives it) in percent, with the order of each row.

        Candidates that lack the most roots are left out until every one of the rest has every root that is left: first
        candidates without any value, then those that have fewer roots than the others.
        """
        kept = ~values.isna().all(axis="columns")
        most = int(values[kept].notna().sum(axis="columns").max()) if kept.any() else 0
        kept &= values.notna().sum(axis="columns") == most
        whole = values[kept].dropna(axis="columns")
        places = [int(i) for i in np.flatnonzero(kept.to_numpy())]
        return cls(
            tuple(map(str, whole.index)), tuple(orders[i] for i in places),
            tuple(arms[i] for i in places) if arms is not None else ("",) * len(places),
            tuple(int(seed) for seed in whole.columns), whole.to_numpy(dtype=float).T.copy(),
        )  # fmt: skip

    @property
    def roots(self) -> int:
        """The number of root seeds."""
        return len(self.seeds)

    @property
    def size(self) -> int:
        """The number of candidates."""
        return len(self.names)

    @property
    def means(self) -> Array:
        """Each candidate's mean over roots; nan where there is no root."""
        return np.asarray(self.values.mean(axis=0)) if self.roots else np.full(self.size, np.nan)

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """All tasks, as they first occur in the orders."""
        return tuple(dict.fromkeys(task for order in self.orders for task in order.tasks))

    @cached_property
    def depths(self) -> NDArray[np.int64]:
        """The number of training stages (groups) of each candidate."""
        return np.array([len(order) for order in self.orders], dtype=np.int64)

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """The set of tasks of each candidate, in any order: `mini-nli+mini-tags`, or `none`."""
        return tuple("+".join(sorted(order.tasks)) or str(order) for order in self.orders)

    @cached_property
    def shared(self) -> NDArray[np.int64]:
        """Candidates × candidates: the number of training stages (groups of the order) that two have in common."""
        found = np.zeros((self.size, self.size), dtype=np.int64)
        prefixes: dict[tuple[object, ...], list[int]] = {}
        for place, (order, arm) in enumerate(zip(self.orders, self.arms, strict=True)):
            for length in range(1, len(order) + 1):
                prefixes.setdefault((arm, order.groups[:length]), []).append(place)
        for places in prefixes.values():
            found[np.ix_(places, places)] += 1
        return found

    def only(self, kept: Iterable[int]) -> Design:
        """The design of some of the candidates, by their places."""
        places = list(kept)
        return Design(
            tuple(self.names[i] for i in places), tuple(self.orders[i] for i in places),
            tuple(self.arms[i] for i in places), self.seeds, self.values[:, places],
        )  # fmt: skip
