"""What strategies share that learn from what they are told: batches, the history, and several objectives as one.

A batch is proposed from all the batches before it, when all of them are told. So what is proposed depends on the seed
and on values, never on the number of workers or on which of them is done first; and a strategy is a function of its
history, which is all that a state has to hold.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from search.candidate import Candidate
from search.prices import Ledger, Prices, UnitPrices
from search.space import Space
from search.strategies.base import Value
from search.strategies.random_orders import draws
from search.strategies.settings import AdaptiveSettings

S = TypeVar("S", bound=AdaptiveSettings)

CANDIDATES = 100
"""How many candidates an adaptive strategy proposes when nobody says: where published comparisons end."""


@dataclass(frozen=True)
class Told:
    """A candidate and what became of it: a value for each objective, means of `roots` root seeds; None if it failed."""

    candidate: Candidate
    values: tuple[float, ...] | None
    roots: int = 1


class Adaptive(ABC, Generic[S]):
    """Proposes the baselines and some random candidates, then batch after batch what a subclass makes of the history.

    No candidate is proposed twice; where a subclass finds too few new ones, random ones fill the batch. With several
    objectives each batch draws weights and is proposed for their scalarisation (ParEGO; Knowles, IEEE TEC 10(1), 2006).
    """

    Settings: type[S] = AdaptiveSettings  # type: ignore[assignment]
    """The settings of its own that a strategy takes."""

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        candidates: int | None = None,
        prices: Prices | None = None,
        **options: Any,
    ) -> None:
        """`options` are fields of `Settings`. Raises ValueError where they are not, or for candidates < 0."""
        if candidates is not None and candidates < 0:
            raise ValueError(f"candidates >= 0 must hold, but got {candidates}")
        self.settings = self.Settings(**options)
        self.space, self.seed = space, seed
        self._limit = min(CANDIDATES if candidates is None else candidates, space.size)
        self._prices = prices or UnitPrices()
        self._identity: dict[str, Any] = {
            "strategy": type(self).__name__, "size": space.size, "seed": seed, "candidates": self._limit,
            **self.settings.model_dump(mode="json"),
        }  # fmt: skip
        self._begin()

    def _begin(self) -> None:
        self.ledger = Ledger(self._prices)
        self._proposed: list[int] = []  # indices, in the order of proposal
        self._places: dict[int, int] = {}  # of an index among the proposals
        self._candidates: list[Candidate] = []  # of the proposals
        self._seen: set[Candidate] = set()
        self._asked = 0
        self._running: set[int] = set()  # indices
        self._told: dict[int, tuple[tuple[float, ...] | None, int]] = {}  # by place
        self._batches: list[int] = []  # the number of proposals at the start of each

    # --- the contract -------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether all that may be proposed has been asked for."""
        return self._asked >= self._limit

    @property
    def left(self) -> int:
        """How many candidates may still be asked for."""
        return self._limit - self._asked

    def ask(self) -> Candidate | None:
        """The next candidate of the batch; None while results of the batch are awaited."""
        if self.finished:
            return None
        if self._asked == len(self._proposed):
            if self._running:
                return None
            self._propose_batch()
        index = self._proposed[self._asked]
        self._asked += 1
        self._running.add(index)
        return self._candidates[self._asked - 1]

    def tell(self, candidate: Candidate, value: Value | None, roots: int = 1) -> None:
        """Take note of a value (None or nan: failed). Raises ValueError if it was not proposed, or told before."""
        index = self.space.index(candidate) if candidate.budget == 1 and candidate in self.space else -1
        if index not in self._running:
            raise ValueError(f"candidate {candidate.name} was not proposed, or was told before")
        self._running.remove(index)
        values = None if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
        if values is not None and any(map(math.isnan, values)):
            values = None
        self._told[self._places[index]] = (values, roots)

    def state(self) -> dict[str, Any]:
        """What was proposed in which batches, what was told, and what a subclass remembers."""
        told = [[place, values and list(values), roots] for place, (values, roots) in sorted(self._told.items())]
        return {
            **self._identity, "proposed": list(self._proposed), "batches": list(self._batches), "asked": self._asked,
            "told": told, "memory": self._memory(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`. Raises ValueError if it is of another space, seed or setting."""
        mine, its = self._identity, {name: state.get(name) for name in self._identity}
        if mine != its:
            raise ValueError(f"the state is of {its}, but this strategy is {mine}")
        self._begin()
        self._batches = list(state["batches"])
        self._take(state["proposed"])
        self._asked = state["asked"]
        self._told = {place: (values and tuple(values), roots) for place, values, roots in state["told"]}
        self._running = {self._proposed[place] for place in range(self._asked) if place not in self._told}
        self._remember(state["memory"])

    # --- what subclasses use ------------------------------------------------------------------------------------------

    @abstractmethod
    def propose(self, count: int) -> Iterable[Candidate]:
        """Up to `count` candidates worth trying next; those that were proposed before are passed over."""

    @property
    def history(self) -> list[Told]:
        """All that was told, in the order of proposal (never of arrival)."""
        return [Told(self._candidates[place], *self._told[place]) for place in sorted(self._told)]

    def utilities(self) -> list[float | None]:
        """One number for each of `history`, higher is better, None for a failed one: the value, or with several
        objectives the augmented Tchebycheff scalarisation under this batch's weights, of values scaled to [0, 1]."""
        values = [told.values for told in self.history]
        scored = [value for value in values if value is not None]
        if not scored or len(scored[0]) == 1:
            return [None if value is None else value[0] for value in values]
        low = [min(column) for column in zip(*scored, strict=True)]
        width = [max(column) - least or 1.0 for column, least in zip(zip(*scored, strict=True), low, strict=True)]
        weights = self._weights(len(low))
        found: list[float | None] = []
        for value in values:
            if value is None:
                found.append(None)
                continue
            lacking = [w * (1 - (v - lo) / wd) for w, v, lo, wd in zip(weights, value, low, width, strict=True)]
            found.append(-max(lacking) - 0.05 * sum(lacking))
        return found

    def generator(self, purpose: str = "") -> random.Random:
        """Random numbers for this batch and purpose."""
        return random.Random(f"{self.seed} {type(self).__name__} {len(self._batches)} {purpose}")

    def is_new(self, candidate: Candidate) -> bool:
        """Whether the candidate has not been proposed."""
        return candidate not in self._seen

    def _memory(self) -> Any:
        """What cannot be had from the history again; JSON."""
        return None

    def _remember(self, memory: Any) -> None:
        """Take a `_memory()` back."""
        if memory is not None:
            raise ValueError(f"{type(self).__name__} remembers nothing, but the state has {memory!r}")

    # --- batches ------------------------------------------------------------------------------------------------------

    def _weights(self, count: int) -> list[float]:
        """Uniform on the simplex."""
        generator = self.generator("weights")
        drawn = [generator.expovariate(1) for _ in range(count)]
        return [one / sum(drawn) for one in drawn]

    def _propose_batch(self) -> None:
        self._batches.append(len(self._proposed))
        if not self._proposed:
            first = min(self._limit, self.space.baselines + self.settings.initial)
            self._take(islice(draws(self.space.size, self.space.baselines, self.seed), first))
        if self._asked < len(self._proposed):
            return
        count = min(self.settings.batch, self._limit - len(self._proposed))
        fresh = (index for index in map(self.space.index, self.propose(count)) if index not in self._places)
        chosen = list(islice(dict.fromkeys(fresh), count))
        self._take(chosen)
        self._take(islice(self._drawn(), count - len(chosen)))

    def _take(self, indices: Iterable[int]) -> None:
        for index in indices:
            self._places[index] = len(self._proposed)
            self._proposed.append(index)
            candidate = self.space[index]
            self._candidates.append(candidate)
            self._seen.add(candidate)
            self.ledger.buy(candidate)

    def _drawn(self) -> Iterator[int]:
        """Indices that were not proposed, uniformly drawn without replacement."""
        seed = self.generator("fill").getrandbits(62)
        return (index for index in draws(self.space.size, 0, seed) if index not in self._places)
