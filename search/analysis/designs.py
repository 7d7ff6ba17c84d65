"""The designs of a study, each made once and handed on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from search.analysis.comparisons import order_contrasts, weighted
from search.analysis.covariance import Classes, classes
from search.analysis.design import Array, Design
from search.analysis.outcomes import arms, as_design, clean_cells, reduced, robust_cells
from search.analysis.overall import by_order, candidates
from search.order import Order
from search.results import Results
from trainables.methods import FEW_SHOT
from trainables.tasks import SHAM

T = TypeVar("T")


class Designs:
    """Tables and designs of every outcome of a study. Few-shot methods are in none of them."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._made: dict[str, Any] = {}
        self._compared: dict[tuple[str, ...], tuple[Array, Array, Classes]] = {}
        self._tables: dict[str, pd.DataFrame] = {}
        self._found: dict[tuple[str, str | None, bool], Design | None] = {}

    @cached_property
    def clean(self) -> pd.DataFrame:
        """Clean cells, in percent: (target, language) × (candidate, seed)."""
        return clean_cells(self.results)

    @cached_property
    def robust(self) -> pd.DataFrame:
        """Robust cells, in percent: (target, language) × (candidate, seed); empty where nothing was perturbed."""
        return robust_cells(self.results)

    @cached_property
    def methods(self) -> list[str]:
        """The methods, few-shot ones left out, as they first occur."""
        about = candidates(self.results.compared)
        return [method for method in about.method.unique() if method not in FEW_SHOT]

    def table(self, outcome: str) -> pd.DataFrame:
        """An outcome: candidates × roots in percent, empty where the study lacks it."""
        if outcome not in self._tables:
            self._tables[outcome] = reduced(self.robust if outcome.startswith("robust") else self.clean, outcome)
        return self._tables[outcome]

    def by_order(self, outcome: str) -> pd.DataFrame:
        """The same as (method, order) × roots. ValueError where two candidates share order and method."""
        values = self.table(outcome)
        if values.empty:
            return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=["method", "order"]))
        return by_order(values, self.results.compared, [str(name) for name in values.index])

    def of(self, outcome: str = "score", method: str | None = None, shams: bool = False) -> Design | None:
        """The design of an outcome, of one method or of all; None where the study lacks it.

        Sham controls are left out unless asked for: they are no orders of tasks.
        """
        key = outcome, method, shams
        if key not in self._found:
            found = self.made(self.table(outcome), method)
            self._found[key] = found if found is None or shams else self.real(found)
        return self._found[key]

    def made(self, values: pd.DataFrame, method: str | None = None) -> Design | None:
        """The design of any table of candidates × roots, in percent."""
        return as_design(self.results, values, method, self.about)

    @cached_property
    def about(self) -> pd.DataFrame:
        """`outcomes.arms` of the results."""
        return arms(self.results)

    def compared(self, design: Design) -> tuple[Array, Array, Classes]:
        """Contrasts among the orders of each set, the same weighted, and which pairs are alike (`order_tests.f_test`):
        made once for the same candidates, whatever the outcome."""
        key = design.names
        if key not in self._compared:
            contrasts = order_contrasts(design)
            self._compared[key] = contrasts, weighted(contrasts, design), classes(design)
        return self._compared[key]

    def once(self, name: str, make: Callable[[Results], T]) -> T:
        """Whatever is made of the results, made at the first call of this name."""
        if name not in self._made:
            self._made[name] = make(self.results)
        found: T = self._made[name]
        return found

    def put(self, outcome: str, table: pd.DataFrame) -> None:
        """An outcome of one's own, candidates × roots in percent."""
        self._tables[outcome] = table

    def real(self, design: Design) -> Design | None:
        """A design without sham controls; None where nothing else is there."""
        if not self.results.settings.controls:
            return design
        kept = [place for place, order in enumerate(design.orders) if not is_sham(order.tasks)]
        return design.only(kept) if kept else None

    def arms(self, outcome: str = "score") -> Design | None:
        """A design whose candidates are the arms (methods, with what is not tuned): means over the orders that all arms
        have, sham controls left out. None where there are fewer than two arms, or no such order."""
        design = self.of(outcome)
        if design is None:
            return None
        places: dict[str, dict[str, int]] = {}
        for place, (arm, order) in enumerate(zip(design.arms, design.orders, strict=True)):
            places.setdefault(arm, {})[str(order)] = place
        shared = [name for name in next(iter(places.values())) if all(name in own for own in places.values())]
        if len(places) < 2 or not shared:
            return None
        means = [design.values[:, [own[name] for name in shared]].mean(axis=1) for own in places.values()]
        names = tuple(places)
        return Design(names, (Order(),) * len(names), names, design.seeds, np.stack(means, axis=1))


def is_sham(tasks: tuple[str, ...]) -> bool:
    """Whether an order is a control: all of its stages train on shuffled labels."""
    return bool(tasks) and all(task.startswith(SHAM) for task in tasks)
