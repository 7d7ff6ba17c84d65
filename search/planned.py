"""What the planner keeps of a run and of a stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from search.candidate import Candidate
from search.scores import Row
from trainables.stage import Stage


@dataclass
class Run:
    """One candidate at one root seed: its scores by target, what is measured besides (task, key, and after which of its
    stages, where that is not the last), the target's training stages, and the rows of what is done."""

    candidate: Candidate
    seed: int
    goals: dict[str, str]
    measures: list[tuple[str, str, str]]
    trained: dict[str, str]
    stages: list[str]
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """A stage that came to an end in this run: `made` here, or found in the store."""

    stage: Stage
    label: str
    made: bool
    seconds: float
    worker: str
    parent_from: str
    split: int = 1


class Seconds:
    """What stages took, by what they have in common with those that take about as long."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}

    def add(self, stage: Stage, seconds: float) -> None:
        """One more that was made."""
        total, count = self._sums.get(alike(stage), (0.0, 0))
        self._sums[alike(stage)] = total + seconds, count + 1

    def mean(self, stage: Stage) -> float | None:
        """The mean of its like; None where none was made."""
        total, count = self._sums.get(alike(stage), (0.0, 0))
        return total / count if count else None


def alike(stage: Stage) -> tuple[str, ...]:
    """What stages have in common that take about as long as one another."""
    return stage.kind, *stage.tasks, *(str(stage.settings.get(key) or "") for key in ("measure", "suite", "attack"))
