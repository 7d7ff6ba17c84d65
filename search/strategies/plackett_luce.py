"""Plackett–Luce: a distribution over orders that moves, step by step, to where the values told were high.

An order is drawn task by task, each with odds exp(weight) among those that are left (Plackett, Applied Statistics
24(2), 1975). The weights follow the gradient of the expected value (REINFORCE; Williams, Machine Learning 8, 1992). As
a search over permutations: Ceberio, Santucci and Baioletti, GECCO 2020 companion, doi 10.1145/3377929.3398094.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pydantic import Field

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace
from search.strategies.adaptive import Adaptive
from search.strategies.settings import AdaptiveSettings

TRIES = 100
"""How often a candidate is drawn, until it is new, before another way is taken."""

Weights = Sequence[float]
Decision = tuple[int, Sequence[int]]
"""What was chosen and what there was to choose from: places in the vector of weights."""


class PlackettLuceSettings(AdaptiveSettings):
    """How fast the distribution follows what is told."""

    rate: float = Field(0.3, gt=0, description="step along the gradient, for each candidate of a batch")


class PlackettLuce(Adaptive[PlackettLuceSettings]):
    """Draws from a distribution over orders that moves towards the better ones (Plackett–Luce).

    REINFORCE on one vector of weights: of tasks, of ending, of joining the last group, and of arms.

    The whole history is gone through again for each batch, batch after batch, as it was proposed. A candidate counts
    with its standardised rank among all told up to its batch: one that diverged does not drown the others, and one that
    failed ranks last.
    """

    Settings = PlackettLuceSettings

    def _begin(self) -> None:
        super()._begin()
        self.policy = Policy(self.space.orders, self.space.arms)

    def propose(self, count: int) -> Iterator[Candidate]:
        """New candidates from the distribution."""
        weights, generator, made = self.weights(), self.generator(), set[Candidate]()
        for _ in range(count):
            candidate = self._drawn_new(weights, made, generator) or self._listed_new(weights, made, generator)
            if candidate is None:
                return
            made.add(candidate)
            yield candidate

    def weights(self) -> Weights:
        """The weights after all that was told. A control outside the space of orders teaches nothing."""
        candidates, utilities = [told.candidate for told in self.history], self.utilities()
        weights = [0.0] * self.policy.size
        for start, end in pairwise(self._batches):
            advantages = _standardised_ranks(utilities[:end])[start:]
            gradient = [0.0] * self.policy.size
            for candidate, advantage in zip(candidates[start:end], advantages, strict=True):
                if candidate.order in self.space.orders:
                    self.policy.add_gradient(gradient, weights, candidate, advantage)
            weights = [weight + self.settings.rate * slope for weight, slope in zip(weights, gradient, strict=True)]
        return weights

    def _drawn_new(self, weights: Weights, made: set[Candidate], generator: random.Random) -> Candidate | None:
        """A draw that is new. Each draw is made a little hotter, so that it leaves what has been proposed already."""
        for attempt in range(TRIES):
            heat = 1 + 4 * attempt / TRIES
            candidate = self.policy.draw([weight / heat for weight in weights], generator)
            if candidate.order in self.space.orders and candidate not in made and self.is_new(candidate):
                return candidate
        return None

    def _listed_new(self, weights: Weights, made: set[Candidate], generator: random.Random) -> Candidate | None:
        """A draw among the new ones of a list of orders: draws task by task seldom fall on a short list."""
        if self.space.orders.kind != "explicit":
            return None
        arm = self.policy.draw_arm(weights, generator)
        listed = (Candidate(order, *arm) for order in self.space.orders)
        new = [candidate for candidate in listed if candidate not in made and self.is_new(candidate)]
        if not new:
            return None
        logs = [self.policy.log_probability(weights, candidate) for candidate in new]
        return generator.choices(new, [math.exp(log - max(logs)) for log in logs])[0]


class Policy:
    """Draws candidates, each decision a softmax over the weights of what can be chosen, and derives by the weights.

    Where orders differ in length, each step may also choose to end. Where groups are allowed, a task that follows
    another joins its group or stands apart. The tasks of a group have no sequence, so each counts as chosen among all
    that were left when the group began (Breslow's approximation for ties). All weights 0: all decisions even, so all
    lengths are about as likely, though there are many more long orders.
    """

    def __init__(self, orders: OrderSpace, arms: Sequence[Arm]) -> None:
        self._tasks, self._arms = orders.tasks, tuple(arms)
        self._places = {name: place for place, name in enumerate(self._tasks)}
        self._end, self._apart, self._join = range(len(self._tasks), len(self._tasks) + 3)
        self._arm_places = range(self._join + 1, self._join + 1 + len(self._arms))
        self.size = self._arm_places.stop
        self._longest, self._widest, self._ends = _shape(orders)

    def draw(self, weights: Weights, generator: random.Random) -> Candidate:
        """A candidate; its order may lie outside a space that is a list."""
        arm = self.draw_arm(weights, generator)
        groups: list[list[str]] = []
        left = list(range(len(self._tasks)))
        while left and self._goes_on(groups):
            chosen = _choose(weights, self._options(left), generator)
            if chosen == self._end:
                break
            left.remove(chosen)
            if self._joins(groups, weights, generator):
                groups[-1].append(self._tasks[chosen])
            else:
                groups.append([self._tasks[chosen]])
        return Candidate(Order(tuple(map(tuple, groups))), *arm)

    def draw_arm(self, weights: Weights, generator: random.Random) -> Arm:
        """An arm alone."""
        return self._arms[_choose(weights, self._arm_places, generator) - self._arm_places.start]

    def log_probability(self, weights: Weights, candidate: Candidate) -> float:
        """The sum over all decisions."""
        total = 0.0
        for chosen, options in self._decisions(candidate):
            total += math.log(_softmax(weights, options)[options.index(chosen)])
        return total

    def add_gradient(self, gradient: list[float], weights: Weights, candidate: Candidate, factor: float) -> None:
        """Add `factor` times the gradient of the log-probability."""
        for chosen, options in self._decisions(candidate):
            gradient[chosen] += factor
            for option, probability in zip(options, _softmax(weights, options), strict=True):
                gradient[option] -= factor * probability

    def _decisions(self, candidate: Candidate) -> Iterator[Decision]:
        yield self._arm_places[self._arms.index(candidate.arm)], self._arm_places
        groups, left = candidate.order.groups, list(range(len(self._tasks)))
        for number, group in enumerate(groups, start=1):
            options = self._options(left)
            for name in group:
                yield self._places[name], options
                left.remove(self._places[name])
            sides = (self._apart, self._join)
            yield from ((self._join, sides) for _ in group[1:] if number < self._longest)
            if number < len(groups) and len(group) < self._widest:
                yield self._apart, sides
        if self._ends and left and self._goes_on(groups):
            yield self._end, self._options(left)

    def _options(self, left: Sequence[int]) -> Sequence[int]:
        return [*left, self._end] if self._ends else list(left)

    def _goes_on(self, groups: Sequence[Sequence[str]]) -> bool:
        """Whether there is room for another task, apart or in the last group."""
        return len(groups) < self._longest or (len(groups) == self._longest > 0 and len(groups[-1]) < self._widest)

    def _joins(self, groups: Sequence[Sequence[str]], weights: Weights, generator: random.Random) -> bool:
        """Whether the next task joins the last group; it has to where no further group fits."""
        if not groups or len(groups[-1]) == self._widest:
            return False
        if len(groups) == self._longest:
            return True
        return _choose(weights, (self._apart, self._join), generator) == self._join


def _shape(orders: OrderSpace) -> tuple[int, int, bool]:
    """How many groups an order has at most, how many tasks a group, and whether orders may end before the last task.

    Baselines are run first in any case, so short ones beside permutations are none to learn.
    """
    longest, tasks = max(orders.count_by_length(), default=0), orders.tasks
    if orders.kind == "explicit":
        widest = max((len(group) for order in orders for group in order.groups), default=1)
        return longest, widest, any(1 < len(order.tasks) < len(tasks) for order in orders)
    widths = (width for width in range(len(tasks), 0, -1) if Order((tasks[:width],)) in orders)
    return longest, next(widths, 1), orders.kind != "permutations"


def _standardised_ranks(utilities: Sequence[float | None]) -> list[float]:
    """Ranks with mean 0 and variance 1, equal ones for equal utilities; a failed one ranks below all others."""
    values = [-math.inf if utility is None else utility for utility in utilities]
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    last = {value: place for place, value in enumerate(ordered)}
    ranks = [(first[value] + last[value] - len(values) + 1) / 2 for value in values]
    spread = math.sqrt(sum(rank**2 for rank in ranks) / len(ranks)) or 1.0
    return [rank / spread for rank in ranks]


def _softmax(weights: Weights, options: Sequence[int]) -> list[float]:
    largest = max(weights[option] for option in options)
    odds = [math.exp(weights[option] - largest) for option in options]
    total = sum(odds)
    return [one / total for one in odds]


def _choose(weights: Weights, options: Sequence[int], generator: random.Random) -> int:
    return generator.choices(options, _softmax(weights, options))[0]
