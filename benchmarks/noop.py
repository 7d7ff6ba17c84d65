"""Workers that train nothing, to measure the driver: the real study, campaign, planner, runner and Tune, but stages
that do nothing or sleep, and that store fabricated scores.

`Path` takes the place of `trainables.trainable.StagePath`, with a bench of its own; `simulate` does without Ray.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path as Folder
from typing import Any

from search.planner import Planner
from search.settings import load_settings
from search.study import Study
from trainables.attempt import FIRST, Attempt
from trainables.stage import PREDICTIONS, WEIGHTS, Stage
from trainables.store import Store
from trainables.threads import known

GATE_SECONDS = 180.0
"""How long a worker waits for the others to come up."""


@dataclass(frozen=True)
class Work:
    """What a stage takes: `train` and `score` seconds in the median, log-normal with `spread` but never below `least`;
    by the stage's key, so that it is the same everywhere. With `stores` its record is put into the store. No worker
    begins before `gate` of them are up."""

    train: float = 0.0
    score: float = 0.0
    spread: float = 0.0
    least: float = 0.0
    stores: bool = True
    gate: int = 1

    def seconds(self, stage: Stage) -> float:
        """Of this stage."""
        median = self.train if stage.kind == "train" else self.score
        if not median:
            return 0.0
        return max(self.least, median * math.exp(random.Random(stage.key).gauss(0, self.spread)))


class NoopStudy(Study):
    """A study of the embedded suite whose workers do `work`."""

    work = Work()

    def workplace(self) -> str:
        """The study's own, and what `Bench` below needs besides."""
        trained = [target.name for target in self.targets if target.trained_on]
        place = {**json.loads(super().workplace()), "trained": trained, "work": asdict(self.work)}
        return json.dumps(place, sort_keys=True)


def study(folder: str, work: Work, *, targets: Iterable[str], changed: Mapping[str, Any], **flags: Any) -> NoopStudy:
    """A study of ordered subsets of the embedded suite's nine tasks; all but `flags` and `changed` as by default."""
    given = {"suite": "mini-full", "targets": [*targets], "out": folder, **flags}
    found = NoopStudy(*load_settings(given, {"orders": {"kind": "subsets", "max_length": 9}, **changed}))
    found.work = work
    return found


def scores(key: str, languages: Iterable[str], trained: bool) -> list[dict[str, Any]]:
    """Scores such as a score stage stores: of all test items and of both halves of them, and of English dev."""
    cells = [(code, portion) for code in languages for portion in ("test", "search", "report")]
    cells += [("en", "dev")] if trained else []
    value = int(key[:8], 16) / 16**8
    return [
        {"language": code, "portion": portion, "metric": "f1", "value": value, "n": 100, "stderr": 0.01, "main": True}
        for code, portion in cells
    ]


def figures(stage: Stage, languages: Mapping[str, list[str]], trained: Iterable[str]) -> dict[str, Any]:
    """What a stage's record says."""
    if stage.kind == "train":
        return {"tuned_parameters": 10**6, "tuned_share": 0.5, "loss": 1.0}
    return {"scores": scores(stage.key, languages[stage.tasks[0]], stage.tasks[0] in set(trained))}


class Bench:
    """Stands in for trainables.bench.Bench on a worker: sleeps, and puts a record with a few bytes beside it."""

    broken = False

    def __init__(self, place: Mapping[str, Any]) -> None:
        """`up/` beside the store holds a file for each process that ever was, with the time when its first step began
        that was a step among all."""
        import trainables.bench  # noqa: F401 - here, as a real worker imports it before its first stage
        from trainables.storing import Outcome

        self._outcome = Outcome
        self.worker = f"{socket.gethostname()}:{os.getpid()}"
        self._place, self._work, self.store = place, Work(**place["work"]), Store(place["store"])
        self._up = Folder(f"{place['store']}-up")
        self._up.mkdir(parents=True, exist_ok=True)
        self._mine = self._up / str(os.getpid())
        self._mine.touch()
        self._met = False

    def meet(self) -> None:
        """Wait in the first step until all workers are at theirs. Earlier would not do: a worker that ends a path while
        another's process starts takes over that one's trial, and Tune ends the process."""
        if self._met:
            return
        self._met, end = True, time.monotonic() + GATE_SECONDS
        self._mine.write_text("here")
        while sum(bool(path.read_text()) for path in self._up.iterdir()) < self._work.gate and time.monotonic() < end:
            time.sleep(0.02)
        self._mine.write_text(str(time.time()))

    def begin(self, stage: Stage, attempt: Attempt = FIRST) -> Any:
        """One stage."""
        seconds = self._work.seconds(stage)
        if seconds:
            time.sleep(seconds)
        if self._work.stores:
            content = b"x" * 64
            about = figures(stage, self._place["languages"], self._place["trained"])
            blobs = {WEIGHTS if stage.kind == "train" else PREDICTIONS: content}
            self.store.put(stage.key, {"stage": asdict(stage), **about, "worker": self.worker}, blobs)
        parent = "memory" if stage.parent else "base"
        return known(self._outcome(stage.key, stage.kind, True, seconds, parent, self.worker, 64))

    def settle(self) -> None:
        """All is stored."""

    def leave(self, error: BaseException) -> None:
        """Nothing is held."""

    def recover(self, error: BaseException) -> None:
        """Nothing was left behind."""


def bound_of(planner: Planner, seconds: Callable[[Stage], float], workers: int, rounds: int = 1) -> float:
    """What no schedule of a planner's stages can beat, in seconds. Of `rounds` root seeds each waits for all of the one
    before it; a stage that several have belongs to the first."""
    found, before = 0.0, set[str]()
    for root in range(rounds):
        runs = (run for run in planner.runs.values() if rounds == 1 or run.seed == root)
        fresh = {key: planner.stages[key][0] for run in runs for key in run.stages if key not in before}
        before.update(fresh)
        ends: dict[str | None, float] = {}
        for stage in fresh.values():  # parents come first
            ends[stage.key] = ends.get(stage.parent, 0.0) + seconds(stage)
        found += max(sum(map(seconds, fresh.values())) / workers, *ends.values())
    return found


def workers_up(study: Study) -> list[float]:
    """When each worker process began its first stage, by the clock, infinite for one that did not; one for each process
    that ever was."""
    times = [path.read_text() for path in Folder(f"{study.settings.store_url}-up").iterdir()]
    return sorted(float(time) if time[:1].isdigit() else math.inf for time in times)


class Fabricated(Store):
    """A store in memory that holds nothing and knows every record: what workers that store nothing would have put."""

    def __init__(self, study: Study) -> None:
        super().__init__("memory://fabricated")
        self._study = study
        self.stages: Mapping[str, tuple[Stage, str]] = {}
        self.requests = 0

    def record(self, key: str) -> dict[str, Any] | None:
        """What `figures` makes up for the stage; the planner's `stages` must have been given."""
        self.requests += 1
        trained = [target.name for target in self._study.targets if target.trained_on]
        return figures(self.stages[key][0], self._study.grid, trained) if key in self.stages else None

    def has(self, key: str) -> bool:
        """Never before it is asked for."""
        self.requests += 1
        return False

    def keys(self) -> set[str]:
        """None."""
        self.requests += 1
        return set()


def planner_of(study: Study, store: Store | None = None) -> Planner:
    """A planner on this store, or on a fabricated one."""
    if store is not None:
        return Planner(study, store)
    fabricated = Fabricated(study)
    planner = Planner(study, fabricated)
    fabricated.stages = planner.stages
    return planner


class Ended:
    """A listener of a planner's: when the last stage ended, by the clock."""

    last = 0.0

    def __call__(self, event: str, about: Mapping[str, Any]) -> None:
        """Any event."""
        if event == "stage":
            self.last = time.time()


@dataclass
class Played:
    """A simulated run: seconds to the end, seconds of all stages together, and the longest chain of stages."""

    makespan: float
    work: float
    longest: float

    def bound(self, workers: int) -> float:
        """What no schedule can beat."""
        return max(self.work / workers, self.longest)


def simulate(
    planner: Planner, workers: int, seconds: Callable[[Stage], float], dispatch: float = 0.0, step: float = 0.0
) -> Played:
    """Play a study by events in simulated time: workers take paths and report each stage after its seconds.

    The driver does one thing at a time: it takes `dispatch` seconds to start a trial and `step` to hear of a stage.
    """
    queue: list[tuple[float, int, Stage, list[Stage]]] = []
    ends: dict[str | None, float] = {None: 0.0}
    now = driver = work = 0.0
    idle, number = workers, 0
    while not planner.finished:
        while idle and (path := planner.take()):
            driver = max(driver, now) + dispatch
            heapq.heappush(queue, (driver + seconds(path[0]), number, path[0], path[1:]))
            idle, number = idle - 1, number + 1
        now, _, stage, rest = heapq.heappop(queue)
        took = seconds(stage)
        work += took
        ends[stage.key] = ends.get(stage.parent, 0.0) + took
        planner.report(
            {"key": stage.key, "kind": stage.kind, "worker": "w", "made": True, "seconds": took, "parent": "memory"}
        )
        driver = max(driver, now) + step
        if rest:
            heapq.heappush(queue, (driver + seconds(rest[0]), number, rest[0], rest[1:]))
            number += 1
        else:
            idle += 1
    return Played(now, work, max(ends.values()))
