"""Successive halving: many candidates at a small budget, the best of them at ever larger ones.

Jamieson and Talwalkar, arXiv 1502.07943; with several brackets Hyperband, Li et al., arXiv 1603.06560. Synchronous: a
rung's best are named when all of the rung are told, so that what is proposed depends on no order of arrival.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, Generic, Self

from pydantic import Field, model_validator

from search.prices import Prices
from search.strategies.base import B, Space, Value
from search.strategies.random_orders import draws
from trainables.config import Config


class HalvingSettings(Config):
    """How steeply candidates are thinned out."""

    eta: int = Field(3, ge=2, description="one in so many goes on to a budget so many times as large")
    rungs: int = Field(3, ge=1, description="budgets, the last of them the full one")
    brackets: int = Field(1, ge=1, description="starts: bracket number b leaves out the b smallest budgets (Hyperband)")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.brackets > self.rungs:
            raise ValueError(f"brackets <= rungs must hold, but got {self.brackets} brackets and {self.rungs} rungs")
        return self


class Halving(Generic[B]):
    """Many candidates at a small budget, the best of them at ever larger ones (successive halving, Hyperband).

    `rungs` budgets, each `eta` times the one before, the last 1; the best 1/eta of a rung enter the next.

    A rung's best are max(1, n // eta) of its n candidates, ties by the order of entry; a failed one is never among
    them. `candidates` limits how many distinct ones enter: all of the space in its order, or as many as random search
    draws. Bracket b of `brackets` begins at rung b; those that enter are dealt to brackets in Hyperband's proportions.

    It holds an index for each candidate that entered, and what was told.
    """

    def __init__(
        self,
        space: Space[B],
        *,
        seed: int = 0,
        candidates: int | None = None,
        prices: Prices | None = None,
        eta: int = 3,
        rungs: int = 3,
        brackets: int = 1,
    ) -> None:
        """Raises ValueError unless candidates >= 0, eta >= 2 and 1 <= brackets <= rungs."""
        if candidates is not None and candidates < 0:
            raise ValueError(f"candidates >= 0 must hold, but got {candidates}")
        if eta < 2 or not 1 <= brackets <= rungs:
            raise ValueError(f"eta >= 2 and 1 <= brackets <= rungs must hold, but got {eta=}, {brackets=}, {rungs=}")
        entering = space.size if candidates is None else min(candidates, space.size)
        self._space, self._eta = space, eta
        self._identity: dict[str, Any] = {
            "strategy": type(self).__name__, "size": space.size, "seed": seed, "candidates": entering,
            "eta": eta, "rungs": rungs, "brackets": brackets,
        }  # fmt: skip
        self._budgets = [float(Fraction(1, eta ** (rungs - 1 - rung))) for rung in range(rungs)]
        self._indices: Sequence[int] = range(space.size)
        if entering < space.size:
            self._indices = list(islice(draws(space.size, space.baselines, seed), entering))
        self._bracket = _dealt(entering, eta, rungs, brackets)
        self._begin()

    def _begin(self) -> None:
        """Everything is still to be proposed."""
        self._told: list[dict[int, float | None]] = [{} for _ in self._budgets]
        self._running: dict[B, tuple[int, int]] = {}
        self._members: dict[tuple[int, int], list[int]] = {}  # entries by bracket and rung
        self._left: dict[tuple[int, int], int] = {}  # how many of them are still to be told
        self._waiting: list[tuple[int, int, int]] = []  # a heap of promotions so far, entry, rung
        entries: list[list[int]] = [[] for _ in range(max(self._bracket, default=-1) + 1)]
        for entry, bracket in enumerate(self._bracket):
            entries[bracket].append(entry)
        for bracket, members in enumerate(entries):
            self._enter(bracket, bracket, members)

    @property
    def finished(self) -> bool:
        """Whether nothing waits, and nothing that runs can lead to a promotion."""
        last = len(self._budgets) - 1
        return not self._waiting and all(rung == last for rung, _ in self._running.values())

    @property
    def left(self) -> None:
        """Not known: promotions are still to come."""

    def ask(self) -> B | None:
        """The next candidate at its budget: those with fewer promotions first, then as they entered."""
        if not self._waiting:
            return None
        _, entry, rung = heapq.heappop(self._waiting)
        candidate = self._candidate(rung, entry)
        self._running[candidate] = (rung, entry)
        return candidate

    def tell(self, candidate: B, value: Value | None, roots: int = 1) -> None:
        """Take note of a value (None or nan: failed); the last of a rung promotes the rung's best.

        Raises ValueError if the candidate was not proposed at this budget, or was told before.
        """
        place = self._running.pop(candidate, None)
        if place is None:
            raise ValueError(f"candidate {candidate} was not proposed, or was told before")
        if isinstance(value, Sequence):
            raise TypeError(f"halving promotes by one number, but {len(value)} were told")
        self._note(*place, None if value is None or math.isnan(value) else value)

    def state(self) -> dict[str, Any]:
        """What was told, as rung, place of entry and value, and what is running; in an order of their own."""
        told = [[rung, entry, value] for rung, values in enumerate(self._told) for entry, value in values.items()]
        told.sort(key=lambda one: one[:2])
        return {**self._identity, "told": told, "running": sorted(self._running.values())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`. Raises ValueError if it is of another space, seed or setting."""
        mine, its = self._identity, {name: state.get(name) for name in self._identity}
        if mine != its:
            raise ValueError(f"the state is of {its}, but this strategy is {mine}")
        self._begin()
        for rung, entry, value in state["told"]:
            self._note(rung, entry, value)
        self._running = {self._candidate(rung, entry): (rung, entry) for rung, entry in state["running"]}
        begun = {(entry, rung) for rung, entry, *_ in [*state["told"], *state["running"]]}
        self._waiting = [one for one in self._waiting if one[1:] not in begun]
        heapq.heapify(self._waiting)

    def _enter(self, bracket: int, rung: int, members: list[int]) -> None:
        self._members[bracket, rung], self._left[bracket, rung] = members, len(members)
        for entry in members:
            heapq.heappush(self._waiting, (rung - bracket, entry, rung))

    def _note(self, rung: int, entry: int, value: float | None) -> None:
        bracket = self._bracket[entry]
        self._told[rung][entry] = value
        self._left[bracket, rung] -= 1
        if self._left[bracket, rung] == 0 and rung + 1 < len(self._budgets):
            self._enter(bracket, rung + 1, self._best(rung, self._members[bracket, rung]))

    def _best(self, rung: int, members: list[int]) -> list[int]:
        values = {entry: value for entry in members if (value := self._told[rung][entry]) is not None}
        ranked = sorted(values, key=lambda entry: (-values[entry], entry))
        return ranked[: max(1, len(members) // self._eta)]

    def _candidate(self, rung: int, entry: int) -> B:
        return self._space[self._indices[entry]].at(self._budgets[rung])


def _dealt(entering: int, eta: int, rungs: int, brackets: int) -> list[int]:
    """The bracket of each candidate that enters, in Hyperband's proportions at every moment of the dealing.

    Its bracket with k rungs has ceil(rungs / k · eta^(k − 1)) candidates.
    """
    weights = [math.ceil(Fraction(rungs, rungs - b) * eta ** (rungs - b - 1)) for b in range(brackets)]
    counts, dealt = [0] * brackets, []
    for _ in range(entering):
        bracket = min(range(brackets), key=lambda b: (Fraction(counts[b] + 1, weights[b]), b))
        counts[bracket] += 1
        dealt.append(bracket)
    return dealt
