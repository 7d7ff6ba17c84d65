"""What every strategy promises, and the part that those share whose proposals do not depend on results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from search.prices import Prices

Value = float | Sequence[float]
"""What a strategy is told of a candidate: one number, or one for each objective; higher is better."""

C = TypeVar("C", bound=Hashable)
C_co = TypeVar("C_co", bound=Hashable, covariant=True)


class Budgeted(Hashable, Protocol):
    """A candidate that can be had at a smaller training budget too; at each it is a candidate of its own."""

    @property
    def budget(self) -> float:
        """The share of the full training budget, 0 < budget <= 1."""

    def at(self, budget: float) -> Self:
        """The same candidate at another budget."""


B = TypeVar("B", bound=Budgeted)


class Space(Protocol[C_co]):
    """A lazy sequence of candidates. It may be far too large to list: strategies only ever index it."""

    @property
    def size(self) -> int:
        """The number of candidates."""

    @property
    def baselines(self) -> int:
        """How many of the first candidates are baselines (the empty order, single tasks)."""

    def __getitem__(self, index: int, /) -> C_co:
        """The candidate at `index`, 0 <= index < size."""


class Strategy(Protocol[C]):
    """Who proposes candidates. Baselines come first; no candidate twice; equal seed and tells, equal proposals."""

    @property
    def finished(self) -> bool:
        """Whether `ask` will never propose again, whatever is told; proposals may still be running."""

    @property
    def left(self) -> int | None:
        """How many candidates it may still propose; None where that is not known."""

    def ask(self) -> C | None:
        """The next candidate; None if there is none now (results are awaited) or none left (`finished`)."""

    def tell(self, candidate: C, value: Value | None, roots: int = 1) -> None:
        """A proposed candidate's value, the mean of `roots` root seeds; None if it failed.

        Raises ValueError for a candidate that was not proposed or was told before.
        """

    def state(self) -> dict[str, Any]:
        """All that a strategy made with the same arguments needs to go on from here; JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`; candidates proposed but not told can still be told. Raises ValueError if foreign."""


class Factory(Protocol):
    """How every strategy is made.

    `candidates` limits how many distinct ones are proposed (at whatever budgets), baselines among them; None is the
    strategy's own number. `prices` says what stages cost; a strategy that is blind to prices ignores it.
    """

    def __call__(
        self, space: Any, *, seed: int = 0, candidates: int | None = None, prices: Prices | None = None
    ) -> Strategy[Any]:
        """Raises ValueError for a negative number of candidates."""


class Sweep(ABC, Generic[C]):
    """A strategy whose proposals do not depend on results: a fixed sequence of indices. Subclasses say which.

    It holds what was proposed and not told, never the space.
    """

    def __init__(
        self, space: Space[C], *, seed: int = 0, candidates: int | None = None, prices: Prices | None = None
    ) -> None:
        if candidates is not None and candidates < 0:
            raise ValueError(f"candidates >= 0 must hold, but got {candidates}")
        self._space, self._seed = space, seed
        self._limit = space.size if candidates is None else min(candidates, space.size)
        self._proposed = 0
        self._untold: dict[C, int] = {}  # index by candidate

    @property
    def finished(self) -> bool:
        """Whether all candidates have been proposed."""
        return self._proposed >= self._limit

    @property
    def left(self) -> int:
        """How many candidates are still to be proposed."""
        return self._limit - self._proposed

    def ask(self) -> C | None:
        """The next candidate of the sequence, None after the last."""
        if self.finished:
            return None
        index = self._next_index()
        self._proposed += 1
        candidate = self._space[index]
        self._untold[candidate] = index
        return candidate

    def tell(self, candidate: C, value: Value | None, roots: int = 1) -> None:
        """Take note that a candidate is through. Raises ValueError if it was not proposed, or was told before."""
        if self._untold.pop(candidate, None) is None:
            raise ValueError(f"candidate {candidate} was not proposed, or was told before")

    def state(self) -> dict[str, Any]:
        """How far the sequence has come, and the indices that are still to be told."""
        return {**self._identity(), "proposed": self._proposed, "untold": list(self._untold.values())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`. Raises ValueError if it is another strategy's, space's or seed's."""
        mine, its = self._identity(), {name: state.get(name) for name in self._identity()}
        if mine != its:
            raise ValueError(f"the state is of {its}, but this strategy is {mine}")
        self._proposed = 0
        self._rewind()
        for _ in range(state["proposed"]):
            self._next_index()
            self._proposed += 1
        self._untold = {self._space[index]: index for index in state["untold"]}

    def _identity(self) -> dict[str, Any]:
        return {"strategy": type(self).__name__, "size": self._space.size, "seed": self._seed}

    @abstractmethod
    def _next_index(self) -> int:
        """The index of proposal number `self._proposed`, asked for once each, in turn."""

    @abstractmethod
    def _rewind(self) -> None:
        """Begin the sequence of indices anew."""
