"""Regularised evolution: the youngest candidates are the population, the best of a few of them has a child.

Real et al., AAAI 2019, arXiv 1802.01548. Age, not rank, removes a candidate, so one that was only lucky dies out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import Field

from search.candidate import Arm, Candidate
from search.moves import crossover, mutate
from search.order import Order
from search.strategies.adaptive import Adaptive
from search.strategies.settings import AdaptiveSettings

TRIES = 50
"""How many children are made for each that is wanted, before random candidates fill the batch."""

AFTER_CROSSING = 0.5
"""How often a child of two is mutated as well."""


class EvolutionSettings(AdaptiveSettings):
    """Who may have a child, and of how many parents."""

    population: int = Field(30, ge=1, description="the youngest candidates, of which parents are drawn")
    sample: int = Field(10, ge=1, description="candidates of a tournament: the best of them is a parent")
    crossover: float = Field(0.5, ge=0, le=1, description="how often a child has two parents")


class _Individual(NamedTuple):
    utility: float
    candidate: Candidate


class Evolution(Adaptive[EvolutionSettings]):
    """Children of the best among the last candidates, changed a little (regularised evolution).

    The last `population` candidates that did not fail, in the order of proposal; a parent is the best of `sample`.

    With probability `crossover` a child has two parents (order crossover, the arm of either), else one; it then differs
    by one move of its order or by its arm. All children of a batch come of the same population.
    """

    Settings = EvolutionSettings

    def _begin(self) -> None:
        super()._begin()
        self._arms = _ArmMoves(self.space.arms)

    def propose(self, count: int) -> Iterator[Candidate]:
        """Children that are new."""
        population, generator, made = self.population(), self.generator(), set[Candidate]()
        for _ in range(TRIES * count if population else 0):
            child = self._child(population, generator)
            if child is None or child in made or not self.is_new(child):
                continue
            made.add(child)
            yield child
            if len(made) == count:
                return

    def population(self) -> list[_Individual]:
        """The youngest that did not fail, oldest first. A control outside the space of orders has no children."""
        told = zip(self.history, self.utilities(), strict=True)
        alive = [
            _Individual(utility, one.candidate)
            for one, utility in told
            if utility is not None and one.candidate.order in self.space.orders
        ]
        return alive[-self.settings.population :]

    def _child(self, population: list[_Individual], generator: random.Random) -> Candidate | None:
        parent = self._parent(population, generator)
        if generator.random() >= self.settings.crossover:
            return self._mutated(parent.order, parent.arm, generator)
        other = self._parent(population, generator)
        arm = generator.choice((parent.arm, other.arm))
        order = crossover(parent.order, other.order, self.space.orders, generator)
        if order is None or generator.random() < AFTER_CROSSING:
            return self._mutated(order or parent.order, arm, generator)
        return Candidate(order, *arm)

    def _parent(self, population: list[_Individual], generator: random.Random) -> Candidate:
        drawn = generator.sample(population, min(self.settings.sample, len(population)))
        return max(drawn, key=lambda one: one.utility).candidate

    def _mutated(self, order: Order, arm: Arm, generator: random.Random) -> Candidate | None:
        """Another order or another arm: each task counts as one thing to change, and each setting that varies."""
        settings = self._arms.settings(arm)
        if generator.random() * (settings + len(self.space.orders.tasks)) < settings:
            return Candidate(order, *self._arms.draw(arm, generator))
        changed = mutate(order, self.space.orders, generator)
        return None if changed is None else Candidate(changed, *arm)


class _ArmMoves:
    """From one arm to another: rather to the next learning rate or prompt length of the same method."""

    def __init__(self, arms: tuple[Arm, ...]) -> None:
        self._arms = arms
        methods = {arm.method: [other for other in arms if other.method == arm.method] for arm in arms}
        self._rates = {name: sorted({arm.learning_rate for arm in same}) for name, same in methods.items()}
        self._lengths = {name: sorted({arm.prompt_length or 0 for arm in same}) for name, same in methods.items()}

    def settings(self, arm: Arm) -> int:
        """How many of method, and learning rate and prompt length under the arm's method, have several values."""
        return sum(len(values) > 1 for values in (self._rates, self._rates[arm.method], self._lengths[arm.method]))

    def draw(self, arm: Arm, generator: random.Random) -> Arm:
        """Another arm; the probability falls with the square of its distance."""
        others = [other for other in self._arms if other != arm]
        weights = [1 / self._distance(arm, other) ** 2 for other in others]
        return generator.choices(others, weights)[0]

    def _distance(self, one: Arm, other: Arm) -> int:
        """Steps in the methods' lists of rates and lengths; another method is two steps more."""
        steps = sum(abs(a - b) for a, b in zip(self._place(one), self._place(other), strict=True))
        return max(1, steps + 2 * (one.method != other.method))

    def _place(self, arm: Arm) -> tuple[int, int]:
        rates, lengths = self._rates[arm.method], self._lengths[arm.method]
        return rates.index(arm.learning_rate), lengths.index(arm.prompt_length or 0)
