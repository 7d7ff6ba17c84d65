"""Let a strategy search a problem: what was spent, and the regret of the order it would name, as the search goes on."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Literal, NamedTuple, Protocol

from benchmarks.strategies.problems import Problem
from search.candidate import Candidate
from search.prices import Ledger, UnitPrices
from search.space import Space
from search.strategies.adaptive import Told
from search.strategies.base import Value
from trainables.errors import Mistake

Recommend = Callable[[Space, Sequence[Told]], Candidate]
"""The candidate that is named after these results; there is at least one."""

By = Literal["evaluations", "cost"]


class Point(NamedTuple):
    """Where a search stood at a mark: the last state in which neither evaluations nor cost had passed it.

    `cost` counts each stage that was bought, once; `share` is it as a share of training every order of the space by
    itself, at as many roots.
    """

    mark: float
    evaluations: int
    cost: float
    share: float
    order: str
    regret: float


def incumbent(space: Space, history: Sequence[Told]) -> Candidate:
    """The best noisy observation; the mean where an order was seen more than once."""
    found: dict[Candidate, list[float]] = defaultdict(list)
    for told in history:
        if told.values is not None:
            found[told.candidate].append(told.values[0])
    return max(found, key=lambda candidate: mean(found[candidate]))


def posterior(space: Space, history: Sequence[Told]) -> Candidate:
    """The best posterior mean of the project's Gaussian process, over what was seen and what was not."""
    from search.surrogate.recommend import recommend

    return recommend(space, history)


RULES: dict[str, Recommend] = {"posterior": posterior, "incumbent": incumbent}


class Asked(Protocol):
    """What is played of a strategy; to save and restore it is nobody's business here."""

    def ask(self) -> Candidate | None:
        """The next candidate; None if there is none now."""

    def tell(self, candidate: Candidate, value: Value | None, roots: int = 1) -> None:
        """Its value."""


def play(
    strategy: Asked,
    problem: Problem,
    marks: Iterable[float],
    *,
    by: By = "evaluations",
    recommend: Recommend = incumbent,
    leaf: float = 1.0,
) -> list[Point]:
    """A point for each mark, in evaluations or in cost; none for a mark before the first result.

    A training stage costs one unit, what follows every order `leaf`. An evaluation that would pass the last mark is not
    made. A strategy that ends early stays where it is. Raises `Mistake` for a strategy that proposes smaller budgets: a
    problem has no values at these; ValueError for one that leaves the space.
    """
    search = _Search(problem, recommend, leaf)
    due = deque(sorted(marks))
    points: list[Point | None] = []
    while due and (candidate := strategy.ask()) is not None:
        if candidate.budget != 1:
            raise Mistake("it proposes smaller budgets.", where="--strategies", right="one that evaluates in full")
        if candidate not in problem.space:
            raise ValueError(f"candidate {candidate.name} is not in the space")
        after = len(search.history) + 1 if by == "evaluations" else search.cost + search.price(candidate)
        while due and due[0] < after:
            points.append(search.point(due.popleft()))
        if due:
            strategy.tell(candidate, search.evaluate(candidate), problem.roots)
    points += [search.point(mark) for mark in due]
    return [point for point in points if point is not None]


class _Search:
    """What was told and spent so far."""

    def __init__(self, problem: Problem, recommend: Recommend, leaf: float) -> None:
        self.history: list[Told] = []
        self.cost = 0.0
        self._problem, self._recommend, self._ledger = problem, recommend, Ledger(UnitPrices(leaf))
        self._visits: Counter[Candidate] = Counter()
        self._named: dict[int, Candidate] = {}  # by the length of the history
        self._exhaustive = (problem.space.orders.naive_stages() + leaf * problem.space.size) * problem.roots

    def price(self, candidate: Candidate) -> float:
        """The marginal price at all roots. A second visit needs fresh roots, at which nothing is trained yet."""
        seen = self._visits[candidate] > 0
        one = self._ledger.naive([candidate]) if seen else self._ledger.marginal(candidate)
        return one * self._problem.roots

    def evaluate(self, candidate: Candidate) -> float:
        """Buy and observe it."""
        self.cost += self.price(candidate)
        self._ledger.buy(candidate)
        value = self._problem.draw(candidate.order, self._visits[candidate])
        self._visits[candidate] += 1
        self.history.append(Told(candidate, (value,), self._problem.roots))
        return value

    def point(self, mark: float) -> Point | None:
        """Where the search stands."""
        seen = len(self.history)
        if not seen:
            return None
        if seen not in self._named:
            self._named[seen] = self._recommend(self._problem.space, self.history)
        order, share = self._named[seen].order, self.cost / self._exhaustive
        return Point(mark, seen, self.cost, share, str(order), self._problem.regret(order))
