"""What a user would write today: an Optuna study with one number a task, sorted into an order."""

from __future__ import annotations

import optuna

from search.candidate import Candidate
from search.order import Order
from search.prices import Prices
from search.space import Space
from search.strategies.base import Value

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaTPE:
    """Stock TPE over random keys (Bean, ORSA J. Computing 6, 1994), with the first arm of the space.

    In spaces of ordered subsets one more number says how many tasks of the sorted ones are taken. As a user's own study
    would, it starts from Optuna's random trials, knows no baselines, and proposes an order again as it likes.
    """

    def __init__(
        self, space: Space, *, seed: int = 0, candidates: int | None = None, prices: Prices | None = None
    ) -> None:
        self._orders, self._arm = space.orders, space.arms[0]
        self._left = space.size if candidates is None else candidates
        self._longest = max(self._orders.count_by_length())
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._running: dict[Candidate, optuna.Trial] = {}

    @property
    def finished(self) -> bool:
        """Whether all trials have been asked for."""
        return self._left <= 0

    def ask(self) -> Candidate | None:
        """The order of the next trial."""
        if self.finished:
            return None
        self._left -= 1
        trial = self._study.ask()
        keys = {task: trial.suggest_float(task, 0, 1) for task in self._orders.tasks}
        length = trial.suggest_int("length", 0, self._longest) if self._orders.kind == "subsets" else self._longest
        candidate = Candidate(Order(tuple((task,) for task in sorted(keys, key=keys.__getitem__)[:length])), *self._arm)
        self._running[candidate] = trial
        return candidate

    def tell(self, candidate: Candidate, value: Value | None, roots: int = 1) -> None:
        """Finish the trial that proposed it. Raises ValueError for several objectives."""
        trial = self._running.pop(candidate)
        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif isinstance(value, (int, float)):
            self._study.tell(trial, float(value))
        else:
            raise ValueError("this study has one objective")
