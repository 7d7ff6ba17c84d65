"""Which runs a study makes, and when it is over: the strategy's candidates at the study's roots, then the finals.

A run is a candidate at one root seed. A strategy is told of a candidate when all its roots are done. With a pruner a
batch of candidates runs root after root, and those that look hopeless are not given the next one. With `confidence`
the best few by posterior mean are run again on fresh roots when the strategy has ended, until one can be named.

Runs of a seed control go besides: no strategy, pruner or final hears of them.

Nothing here depends on which run is done first: batches and rounds are decided when all of them are told.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from search.candidate import Arm, Candidate
from search.goals import told
from search.prices import Prices
from search.roots import control
from search.scores import Row, selection_value
from search.settings import Settings
from search.space import Space
from search.strategies import STRATEGIES, Strategy
from search.strategies.adaptive import Told
from trainables.config import Config
from trainables.methods import FEW_SHOT

COHORT = 200
"""So many candidates are pruned together at most, root after root."""

Run = tuple[Candidate, int]
"""A candidate and a root seed."""


class HasCandidate(Protocol):
    """Something about a candidate."""

    @property
    def candidate(self) -> Candidate:
        """Which."""


T = TypeVar("T", bound=HasCandidate)

Listener = Callable[[str, Mapping[str, Any]], None]


def make_strategy(settings: Settings, space: Space, prices: Prices) -> Strategy[Candidate]:
    """The strategy that the settings name, with its own settings."""
    own = getattr(settings, settings.strategy.replace("-", "_"), None)
    options = own.model_dump() if isinstance(own, Config) else {}
    return STRATEGIES[settings.strategy](
        space, seed=settings.search_seed, candidates=settings.candidates, prices=prices, **options
    )


class Campaign:
    """Asks the strategy, gathers what its candidates score, tells it, and holds the finals."""

    def __init__(
        self,
        settings: Settings,
        space: Space,
        prices: Prices,
        listener: Listener = lambda event, about: None,
        controls: Iterable[Run] = (),
    ) -> None:
        """`listener` hears of candidates that are `proposed` and `told`. `controls` are a seed control's runs."""
        self._settings, self._space, self._prices, self._listener = settings, space, prices, listener
        self.strategy = make_strategy(settings, space, prices)
        self.proposed: list[Candidate] = []
        self.history: dict[Candidate, Told] = {}
        self.pruned: set[Candidate] = set()
        self.finals: Finals | None = None
        self._pruning = Cohort(settings) if settings.pruning.pruner != "none" else None
        self._queue: deque[Run] = deque()
        self._out: set[Run] = set()
        self._controls = deque(controls)
        self._controls_out: set[Run] = set()
        self._rows: dict[Candidate, dict[int, list[Row] | None]] = defaultdict(dict)

    @property
    def finished(self) -> bool:
        """Whether `next` will give no more runs, and all that it gave are done."""
        waiting = self._queue or self._out or self._controls or self._controls_out
        return not waiting and self.strategy.finished and self._ended

    def next(self) -> Run | None:
        """The next run, those of the seed control first; None while results are awaited, or when all is over."""
        if self._controls:
            run = self._controls.popleft()
            self._controls_out.add(run)
            return run
        if not self._queue:
            self._refill()
        if not self._queue:
            return None
        run = self._queue.popleft()
        self._out.add(run)
        return run

    def done(self, run: Run, rows: list[Row] | None) -> None:
        """A run's scores, None if it failed. Raises KeyError for a run that was not given out."""
        candidate, seed = run
        if control(seed):
            self._controls_out.remove(run)
            return
        self._out.remove(run)
        if self.finals is not None:
            self.finals.tell(candidate, seed, rows)
            return
        self._rows[candidate][seed] = rows
        if self._pruning is not None:
            return  # told when the cohort is through
        if len(self._rows[candidate]) == self._settings.seeds:
            self._tell(candidate)

    def told_rows(self, candidate: Candidate) -> list[Row]:
        """The rows of a candidate's roots that are done, by root."""
        return [row for _, rows in sorted(self._rows[candidate].items()) for row in rows or ()]

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _ended(self) -> bool:
        if self._pruning is not None and self._pruning.open:
            return False
        return self._settings.confidence is None or (self.finals is not None and self.finals.done)

    def _refill(self) -> None:
        if self._pruning is not None:
            self._refill_cohort(self._pruning)
        else:
            candidate = self.strategy.ask()
            if candidate is not None:
                self._propose(candidate)
                self._queue.extend((candidate, seed) for seed in range(self._settings.seeds))
        if self._queue or self._out or not self.strategy.finished or self._settings.confidence is None:
            return
        if self._pruning is not None and self._pruning.open:
            return
        if self.finals is None:
            self.finals = Finals(self._settings, self._space, self._prices, list(self.history.values()), self._rows)
        self._queue.extend(self.finals.round())

    def _refill_cohort(self, cohort: Cohort) -> None:
        """Root 0 for a new cohort, or the next root for those of the present one that go on."""
        if self._out:
            return
        if cohort.open:
            going, ending = cohort.advance(self._rows)
            for candidate, early in ending:
                if early:
                    self.pruned.add(candidate)
                self._tell(candidate)
                failed = self.history[candidate].values is None
                score = None if failed else selection_value(self.told_rows(candidate), self._settings.objective)
                cohort.finish(candidate, None if early else score)
            self._queue.extend((candidate, cohort.root) for candidate in going)
        if not cohort.open:
            while cohort.room and (entering := self.strategy.ask()) is not None:
                self._propose(entering)
                cohort.enter(entering)
            self._queue.extend((candidate, 0) for candidate in cohort.open)

    def _propose(self, candidate: Candidate) -> None:
        self.proposed.append(candidate)
        self._listener("proposed", {"candidate": candidate})

    def _tell(self, candidate: Candidate) -> None:
        found = self._rows[candidate]
        whole = all(rows is not None for rows in found.values())
        rows = self.told_rows(candidate)
        value = told(self._settings.goals, rows, self._settings.objective, candidate, self._prices) if whole else None
        values = None if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
        self.history[candidate] = Told(candidate, values, len(found))
        self.strategy.tell(candidate, value, len(found))
        about = {"candidate": candidate, "values": values, "pruned": candidate in self.pruned, "rows": rows}
        self._listener("told", about)


class Cohort:
    """Candidates that are run root after root, and a pruner that gives some up in between."""

    def __init__(self, settings: Settings) -> None:
        from search.pruning import Pruner

        self._settings = settings
        self._pruner = Pruner(settings.pruning)
        self._full, self._ended = 0, 0  # candidates that ran to their end; all that are through
        self.open: list[Candidate] = []
        self.root = 0

    @property
    def room(self) -> int:
        """How many more may enter: first those that must run to their end before any is pruned; then as many as are
        through, so that the bar rises while barriers stay few."""
        missing = self._settings.pruning.candidates - self._full
        return (missing if missing > 0 else min(self._ended, COHORT)) - len(self.open)

    def enter(self, candidate: Candidate) -> None:
        """A candidate of a new cohort."""
        if not self.open:
            self.root = 0
        self.open.append(candidate)

    def advance(
        self, rows: Mapping[Candidate, Mapping[int, list[Row] | None]]
    ) -> tuple[list[Candidate], list[tuple[Candidate, bool]]]:
        """After a root of all: who goes on to the next, and who ends, each with whether it was pruned."""
        going: list[Candidate] = []
        ending: list[tuple[Candidate, bool]] = []
        portion = "dev" if self._settings.objective == "en-dev" else "search"
        for candidate in self.open:
            found = rows[candidate][self.root]
            cells = {
                (row.target, row.language): row.value
                for row in found or ()
                if row.portion == portion and row.main and not row.apart and row.perturbation == "none"
            }
            if cells:
                self._pruner.report(candidate, self.root, cells)
            if not cells or self.root + 1 == self._settings.seeds:
                ending.append((candidate, False))
            elif self._pruner.should_prune(candidate):
                ending.append((candidate, True))
            else:
                going.append(candidate)
        self.open = going
        self.root += 1
        return going, ending

    def finish(self, candidate: Candidate, score: float | None) -> None:
        """Tell the pruner what became of a candidate: its score, whatever the goals; None if failed or pruned."""
        self._full += score is not None
        self._ended += 1
        self._pruner.finish(candidate, score)


class Finals:
    """The finalists on fresh roots (`best_arm`): numbered on from the study's own."""

    def __init__(
        self,
        settings: Settings,
        space: Space,
        prices: Prices,
        history: Sequence[Told],
        rows: Mapping[Candidate, Mapping[int, list[Row] | None]],
    ) -> None:
        import numpy as np

        from search.best_arm import Finals as Identification
        from search.best_arm import noise_of
        from search.surrogate.recommend import Recommended, recommended

        full = [one for one in history if one.candidate.budget == 1]
        full.sort(key=lambda one: space.index(one.candidate))  # never by arrival: sums of figures differ in last bits
        values = {
            one.candidate: [_value(rows[one.candidate].get(seed), settings.objective) for seed in range(settings.seeds)]
            for one in _different(full, prices)
        }
        known = [_told(candidate, found) for candidate, found in values.items()]
        failed = {one.candidate.at(1) for one in history if one.values is None}
        every = recommended(space, known, settings.finals.finalists + len(failed) + len(full))
        ranked = [*every, *(Recommended(one.candidate.at(1), math.nan, math.nan) for one in _halved(history))]
        found: dict[Candidate, Recommended] = {}
        for one in _different(ranked, prices):
            if one.candidate not in failed:
                found.setdefault(one.candidate, one)
        self.recommended = list(found.values())[: settings.finals.finalists]
        self._first, self._objective = settings.seeds, settings.objective
        self._rule: Identification[Candidate] | None = None
        if self.recommended:
            self._rule = Identification(
                [one.candidate for one in self.recommended], settings.confidence or 0.95,
                seed=settings.search_seed, noise=noise_of(np.reshape(list(values.values()), (-1, settings.seeds))),
                **settings.finals.model_dump(exclude={"finalists"}),
            )  # fmt: skip

    @property
    def rule(self) -> Any:
        """The identification with its standing; None where nothing could be recommended."""
        return self._rule

    @property
    def done(self) -> bool:
        """Whether a finalist is named, or there is none."""
        return self._rule is None or self._rule.done

    def round(self) -> list[Run]:
        """All runs of the next round; none while one is under way, or when it is over."""
        if self._rule is None:
            return []
        return [(finalist, self._first + root) for finalist, root in self._rule.next(10_000)]

    def tell(self, candidate: Candidate, seed: int, rows: list[Row] | None) -> None:
        """What a finalist scored at a fresh root."""
        assert self._rule is not None  # noqa: S101
        value = _value(rows, self._objective)
        self._rule.tell(candidate, seed - self._first, None if math.isnan(value) else value)


def _different(ones: Iterable[T], prices: Prices) -> Iterator[T]:
    """Of zero-shot candidates those whose stages differ: an arm that trains no order has one for all orders."""
    idle: set[Arm] = set()
    for one in ones:
        arm = one.candidate.arm
        if arm.method in FEW_SHOT or arm in idle:
            continue
        if prices.trunk(arm) is None:
            idle.add(arm)
        yield one


def _halved(history: Sequence[Told]) -> list[Told]:
    """Candidates at less than the full budget, those at larger ones first, then the better."""
    lesser = [one for one in history if one.candidate.budget < 1 and one.values is not None]
    return sorted(lesser, key=lambda one: (-one.candidate.budget, [-value for value in one.values or ()],
                                           one.candidate.name))  # fmt: skip


def _told(candidate: Candidate, values: Sequence[float]) -> Told:
    """The selection score whatever the goals: what the finals are about."""
    found = [value for value in values if not math.isnan(value)]
    return Told(candidate, (sum(found) / len(found),) if found else None, max(1, len(found)))


def _value(rows: Sequence[Row] | None, objective: str) -> float:
    value = selection_value(rows, objective) if rows else None
    return float("nan") if value is None else value
