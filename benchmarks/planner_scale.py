"""What the planner adds to Ray Tune: many no-op stages in a tree, against the same trials from a trivial searcher.

python -m benchmarks.planner_scale --record
python -m benchmarks.planner_scale --stages 600 --repeats 1 --barriers 0     a quick look

Both take the same settings of Tune (`search.runner.run`), the same trainable and the same paths: those that the planner
gave out are played again by the other, which hears nothing of what becomes of them. Every run is a process of its own.
Then a study with barriers: a cohort that runs root after root, each waiting for all of the one before.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from search.cluster import joined  # sets what Ray reads when it is imported

# isort: split
import psutil
from ray import tune
from ray.tune.search import Searcher

from benchmarks.noop import Ended, Work, bound_of, planner_of, study, workers_up
from benchmarks.noop_path import swapped
from benchmarks.processes import apart
from benchmarks.results import record
from search import runner
from search.planner import Planner
from search.runner import Runner
from trainables.store import Store

TARGETS = ["mini-pos", "mini-tatoeba"]
STAGES = 4
"""Stages that one candidate more brings: its last task's, a target's own training, and two scores."""

EVERY = 50
"""Memory is looked at so often, in stages."""


class Meter:
    """Processor seconds of this thread in a searcher's calls, and the memory of the process as stages end."""

    def __init__(self, trials: Path | None = None) -> None:
        """Paths that are given out are written to the file `trials`, a line each."""
        self.cpu, self.stages, self.trials, self.holds = 0.0, 0, 0, 0
        self.marks: list[tuple[int, float, int]] = []
        self._file = trials.open("w", encoding="utf-8") if trials else None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher, and with it this."""
        return {}

    def given(self, config: Any) -> None:
        """A searcher's answer."""
        if not isinstance(config, dict):
            return
        if config["path"] == "[]":
            self.holds += 1
            return
        self.trials += 1
        if self._file:
            self._file.write(json.dumps(config) + "\n")

    def heard(self, result: Any) -> None:
        """A result of Tune's."""
        if result and result.get("key"):
            self.stages += 1
            if self.stages % EVERY == 1:
                self.marks.append((self.stages, time.monotonic(), psutil.Process().memory_info().rss))

    def close(self) -> None:
        """The last look."""
        self.marks.append((self.stages, time.monotonic(), psutil.Process().memory_info().rss))
        if self._file:
            self._file.close()


class Trivial(Searcher, tune.Stopper):  # type: ignore[misc]
    """Gives out the paths of the file `trials`, one after the other; it is made as a `Runner` is."""

    trials: Path

    def __init__(self, planner: Planner, place: str, asks: str, tick: Callable[[], None], pulse: Any) -> None:
        Searcher.__init__(self)
        self._lines, self._place = self.trials.open(encoding="utf-8"), place
        self.workers: set[str] = set()
        self.causes: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Trivial:
        return self

    def suggest(self, trial_id: str) -> Any:
        """The next line."""
        line = self._lines.readline()
        return {**json.loads(line), "workplace": self._place} if line else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing follows from it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """A path ends after its last stage."""
        return bool(result.get("last"))

    def stop_all(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing is left to be taken away."""


def metered(base: type, meter: Meter) -> type:
    """The searcher, with its calls timed."""

    class Metered(base):  # type: ignore[misc]
        def suggest(self, trial_id: str) -> Any:
            start = time.thread_time()
            found = super().suggest(trial_id)
            meter.cpu += time.thread_time() - start
            meter.given(found)
            return found

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            start = time.thread_time()
            super().on_trial_result(trial_id, result)
            meter.cpu += time.thread_time() - start
            meter.heard(result)

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            start = time.thread_time()
            super().on_trial_complete(trial_id, result, error)
            meter.cpu += time.thread_time() - start
            meter.heard(result)

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            start = time.thread_time()
            found = bool(super().__call__(trial_id, result))
            meter.cpu += time.thread_time() - start
            return found

    return Metered


def once(kind: str, folder: str, stages: int, workers: int, stores: bool) -> dict[str, Any]:
    """One run, `planner` or `trivial`, in this process: its figures. Paths are left in, or read from, `folder`."""
    trials = Path(folder) / "trials.jsonl"
    changed = {"seeds": 1, "candidates": stages // STAGES + 1, "max_concurrent": workers}
    with tempfile.TemporaryDirectory() as out:
        made = study(out, Work(stores=stores, gate=workers), targets=TARGETS, changed=changed)
        with joined(made.settings, made.workplace()) as found:
            start, begun = time.monotonic(), time.thread_time()
            planner = planner_of(made, Store(made.settings.store_url) if stores else None)
            planning = time.thread_time() - begun
            meter = Meter(trials if kind == "planner" else None)
            if kind == "trivial":
                Trivial.trials, planning = trials, 0.0
            with swapped(metered(Runner if kind == "planner" else Trivial, meter)):
                runner.run(made.settings, planner, found, lambda: None)
            end = time.monotonic()
            meter.close()
            return _figures(meter, planning, start, end, len(workers_up(made)))


def _figures(meter: Meter, planning: float, start: float, end: float, processes: int) -> dict[str, Any]:
    first, middle = meter.marks[0], next(mark for mark in meter.marks if mark[0] >= meter.stages / 2)
    last = meter.marks[-1]
    return {
        "stages": meter.stages, "trials": meter.trials, "holds": meter.holds, "processes": processes,
        "planning_ms": 1000 * planning / meter.stages, "calls_ms": 1000 * meter.cpu / meter.stages,
        "warm_s": end - first[1], "total_s": end - start,
        "grown_mb": (last[2] - first[2]) / 1e6,
        "half_kb": (last[2] - middle[2]) / 1e3 / (last[0] - middle[0]), "rss_mb": last[2] / 1e6,
    }  # fmt: skip


def scale(stages: int, workers: int, repeats: int, stores: bool) -> list[str]:
    """Interleaved runs of both, and their medians."""
    found: dict[str, list[dict[str, Any]]] = {"planner": [], "trivial": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for kind, runs in found.items():
                words = ["--once", kind, "--folder", folder, "--stages", str(stages), "--workers", str(workers)]
                runs.append(apart("planner_scale", *words, *([] if stores else ["--no-store"])))
    middle = {kind: {name: median(run[name] for run in runs) for name in runs[0]} for kind, runs in found.items()}
    own, other = middle["planner"], middle["trivial"]
    what = "each puts its record into the store" if stores else "nothing is stored, records are made up in the driver"
    cpu = own["calls_ms"] + own["planning_ms"]
    return [
        f"{own['stages']:.0f} no-op stages in {own['trials']:.0f} trials on {workers} workers ({what}); medians of "
        f"{repeats} interleaved runs",
        f"- the planner's own processor time a stage: {cpu:.2f} ms (of it {own['planning_ms']:.2f} planning before the "
        f"start); the trivial searcher's {other['calls_ms']:.2f} ms",
        f"- from the first stage's end: {_against(own, other, 'warm_s')}; planning included: "
        f"{_against(own, other, 'total_s')}",
        f"- the driver's memory grew by {own['grown_mb']:.0f} MB (trivial {other['grown_mb']:.0f}), in the second half "
        f"by {own['half_kb']:.1f} kB a stage (trivial {other['half_kb']:.1f}); at the end {own['rss_mb']:.0f} MB",
        f"- worker processes started: {own['processes']:.0f}; holds: {own['holds']:.0f}",
    ]


def _against(own: dict[str, Any], other: dict[str, Any], name: str) -> str:
    mine, its, stages = own[name], other[name], own["stages"]
    each = f"{1000 * mine / stages:.1f} and {1000 * its / stages:.1f} ms a stage"
    return f"{mine:.1f} s, trivial {its:.1f} s: {100 * (mine / its - 1):+.1f} % ({each})"


def barriers(roots: int, workers: int, seconds: float) -> list[str]:
    """A cohort root after root: nothing of a root is ready until all of the one before is done."""
    changed = {"seeds": roots, "candidates": 9, "max_concurrent": workers, "pruning": {"pruner": "median",
               "candidates": 9}}  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        work = Work(train=seconds, score=seconds, gate=workers)
        made = study(out, work, targets=TARGETS, changed=changed)
        with joined(made.settings, made.workplace()) as found:
            ended = Ended()
            planner = Planner(made, Store(made.settings.store_url), ended)
            meter = Meter()
            with swapped(metered(Runner, meter)):
                runner.run(made.settings, planner, found, lambda: None)
        up = workers_up(made)
    bound = bound_of(planner, work.seconds, workers, roots)
    took = ended.last - up[workers - 1]
    over = (took - 1.1 * bound) / (roots - 1)
    return [
        f"{len(planner.done)} stages of {seconds:g} s in {roots} rounds ({roots - 1} barriers) on {workers} workers",
        f"- {took:.2f} s from when all workers were up, bound {bound:.2f} s: 1.1 x the bound "
        f"{over:+.2f} s a barrier (0.3 are allowed)",
        f"- worker processes started: {len(up)} for {found.slots} slots; holds: {meter.holds}",
    ]


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-store", action="store_true", help="workers store nothing")
    parser.add_argument("--barriers", type=int, default=7, help="rounds of the study with barriers; 0 for none")
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    parser.add_argument("--once", choices=["planner", "trivial"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps(once(given.once, given.folder, given.stages, given.workers, not given.no_store)))
        return
    lines = scale(given.stages, given.workers, given.repeats, not given.no_store) if given.repeats else []
    if given.barriers:
        lines += ["", *barriers(given.barriers, given.workers, 0.5)]
    if given.record:
        record("planner at scale", lines, " ".join(["python -m benchmarks.planner_scale", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
