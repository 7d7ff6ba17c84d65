"""`study.journal`: a study's candidates as trials of Optuna, in a file that optuna-dashboard opens while it grows."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search.candidate import Arm, Candidate
from search.quiet import quiet_optuna
from search.space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import JournalStorage

Direction = Literal["maximize", "minimize"]


class Journal:
    """A file that a candidate enters when it is proposed, and whose trial ends when the candidate is told.

    A trial's parameters are `length` (training stages), `position of TASK` (the stage that trains the task, from 1; 0
    where none does), `method`, `learning_rate` and `prompt_length` (only where the method has one). Optuna wants each
    parameter to be of one range in all trials, and no list of orders would do for a large space: the order as text is
    a user attribute, with the candidate's name, its budget and whatever is told of it at the end.
    """

    def __init__(
        self, path: Path, space: Space, *, name: str = "study", objectives: Mapping[str, Direction] | None = None
    ) -> None:
        """Begin a new file: what was at `path` is replaced in one step. `objectives` are `score`, if not given."""
        objectives = objectives or {"score": "maximize"}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with quiet_optuna():
            _create(part, name, objectives)
        part.replace(path)
        self._storage = _storage(path)
        self._study = self._storage.get_study_id_from_name(name)
        self._objectives = len(objectives)
        self._tasks = list(dict.fromkeys([*space.orders.tasks, *(t for order in space.controls for t in order.tasks)]))
        self._distributions = _distributions(self._tasks, space.arms)
        self._running: dict[Candidate, int] = {}  # trial ids

    def begin(self, candidate: Candidate) -> None:
        """A trial that runs from now on. Raises ValueError for a candidate that runs already."""
        from optuna.trial import TrialState, create_trial

        if candidate in self._running:
            raise ValueError(f"candidate {candidate.name} runs already")
        values = _parameters(candidate, self._tasks)
        trial = create_trial(
            state=TrialState.RUNNING,
            params=values,
            distributions={name: self._distributions[name] for name in values},
            user_attrs={"order": str(candidate.order), "candidate": candidate.name, "budget": candidate.budget},
        )
        self._running[candidate] = self._storage.create_new_trial(self._study, trial)

    def end(
        self,
        candidate: Candidate,
        values: Sequence[float] | None,
        *,
        pruned: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Its end: complete with a value for each objective, failed where there is none or one is nan, or pruned.

        `attributes` are what else is worth reading: seeds, scores by language, cost; JSON, each a write of its own.
        Raises ValueError for a candidate that does not run, or for a wrong number of values.
        """
        from optuna.trial import TrialState

        if candidate not in self._running:
            raise ValueError(f"candidate {candidate.name} does not run")
        if values is not None and len(values) != self._objectives:
            raise ValueError(f"{self._objectives} values are needed, but got {len(values)}")
        if values is None or any(map(math.isnan, values)):
            state, told = TrialState.FAIL, None
        else:
            state, told = TrialState.COMPLETE, list(values)
        if pruned:
            state, told = TrialState.PRUNED, None
        trial = self._running.pop(candidate)
        for name, value in (attributes or {}).items():
            self._storage.set_trial_user_attr(trial, name, value)
        self._storage.set_trial_state_values(trial, state, told)

    def close(self) -> None:
        """What still runs is marked as failed: nobody works on it any more."""
        for candidate in list(self._running):
            self.end(candidate, None)


def _create(path: Path, name: str, objectives: Mapping[str, Direction]) -> None:
    """A journal of a study without trials."""
    import optuna

    study = optuna.create_study(storage=_storage(path), study_name=name, directions=list(objectives.values()))
    study.set_metric_names(list(objectives))


def _storage(path: Path) -> JournalStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _distributions(tasks: Sequence[str], arms: Sequence[Arm]) -> dict[str, BaseDistribution]:
    """What each parameter may be in any trial of the study."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    rates = [arm.learning_rate for arm in arms]
    lengths = [arm.prompt_length for arm in arms if arm.prompt_length is not None]
    distributions: dict[str, BaseDistribution] = {"length": IntDistribution(0, len(tasks))}
    distributions |= {f"position of {task}": IntDistribution(0, len(tasks)) for task in tasks}
    distributions["method"] = CategoricalDistribution(tuple(dict.fromkeys(arm.method for arm in arms)))
    distributions["learning_rate"] = FloatDistribution(min(rates), max(rates), log=min(rates) > 0)
    if lengths:
        distributions["prompt_length"] = IntDistribution(min(lengths), max(lengths))
    return distributions


def _parameters(candidate: Candidate, tasks: Sequence[str]) -> dict[str, Any]:
    positions = {task: place for place, group in enumerate(candidate.order.groups, start=1) for task in group}
    values: dict[str, Any] = {"length": len(candidate.order)}
    values |= {f"position of {task}": positions.get(task, 0) for task in tasks}
    values |= {"method": candidate.method, "learning_rate": candidate.learning_rate}
    if candidate.prompt_length is not None:
        values["prompt_length"] = candidate.prompt_length
    return values
