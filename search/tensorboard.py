"""One TensorBoard log a study, written by the driver: stages' seconds and speed, runs' and candidates' scores, faults.

Steps are counts: of stages made, of runs done, of candidates told, of faults. Scores are percent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.metrics import kind_of

FAULTS = {"retry": "tried_again", "lost": "worker_lost", "quarantined": "stage_given_up", "failed": "run_failed"}


class Writer:
    """Listens to the planner; what is heard before `open` belongs to earlier runs and is only counted."""

    def __init__(self) -> None:
        self._writer: Any = None
        self._counts: Counter[str] = Counter()
        self._best: float | None = None

    def open(self, folder: Path) -> None:
        """Begin the log in a folder."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(logdir=str(folder))

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """The planner's listener."""
        if event == "stage" and about["made"]:
            self._stage(about)
        elif event == "run":
            self._scalar("zero_shot/run", 100 * about["score"], self._count("run"))
        elif event == "told" and about["values"] is not None and not about["pruned"]:
            self._candidate(100 * about["values"][0])
        elif event in FAULTS:
            count = self._count(event)
            self._scalar(f"faults/{FAULTS[event]}", count, count)

    def close(self) -> None:
        """Flush and close the log, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # --- inside -------------------------------------------------------------------------------------------------------

    def _stage(self, about: Mapping[str, Any]) -> None:
        step, kind, seconds = self._count("stage"), kind_of(about["stage"]), about["seconds"]
        self._scalar(f"seconds/{kind}", seconds, step)
        for what, name in (("examples", "examples"), ("tokens", "tokens"), ("queries", "attack_queries")):
            if about.get(what) and seconds > 0:
                self._scalar(f"{name}_a_second/{kind}", about[what] / seconds, step)

    def _candidate(self, score: float) -> None:
        """What the search is told of a candidate by its first goal, and the best so far: the search's curve."""
        self._best = score if self._best is None else max(self._best, score)
        step = self._count("candidate")
        self._scalar("search/candidate", score, step)
        self._scalar("search/best_so_far", self._best, step)

    def _count(self, what: str) -> int:
        self._counts[what] += 1
        return self._counts[what]

    def _scalar(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)
