"""How many single-stage trials a second one driver serves, and how many workers that feeds.

python -m benchmarks.dispatch --record

The real planner and runner, but every path is cut after its first stage, and stages do nothing. Workers share this
machine's cores with the driver, so what is also told is the driver's own processor time a trial: the ceiling where it
has a core to itself. Then workers that sleep a second a stage: the share of time in which they do.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from typing import Any

from search.cluster import joined  # sets what Ray reads when it is imported

# isort: split
from benchmarks.noop import Fabricated, Work, study
from benchmarks.noop_path import swapped
from benchmarks.planner_scale import STAGES, TARGETS, Meter, metered
from benchmarks.processes import apart
from benchmarks.results import record
from search import runner
from search.planner import Planner
from search.runner import Runner
from trainables.stage import Stage

SECONDS = (1, 10, 60)
"""Stages for which is told how many workers are fed."""


class OneByOne(Planner):
    """Paths of one stage."""

    def take(self) -> list[Stage]:
        """The first stage of a path; the others are given back."""
        path = super().take()
        self.tree.release(stage.key for stage in path[1:])
        return path[:1]


class Clock(Meter):
    """Notes, too, when the first and the last stage ended, by the wall and by this process's processor time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[int, float, float]] = []

    def heard(self, result: Any) -> None:
        """A result of Tune's."""
        super().heard(result)
        self.times.append((self.stages, time.monotonic(), time.process_time()))


def once(workers: int, stages: int, seconds: float) -> dict[str, float]:
    """One run in this process: stages a second after the first tenth, and the driver's processor time for each."""
    changed = {"seeds": 1, "candidates": stages // STAGES + 1, "max_concurrent": workers}
    with tempfile.TemporaryDirectory() as folder:
        work = Work(train=seconds, score=seconds, stores=False, gate=workers)
        made = study(folder, work, targets=TARGETS, changed=changed)
        with joined(made.settings, made.workplace()) as found:
            store, clock = Fabricated(made), Clock()
            planner = OneByOne(made, store)
            store.stages = planner.stages
            with swapped(metered(Runner, clock)):
                runner.run(made.settings, planner, found, lambda: None)
    warm = [one for one in clock.times if one[0] >= clock.stages // 10]
    # At the end fewer stages are left than there are workers.
    warm = [one for one in warm if one[0] <= clock.stages - 2 * workers]
    count, took, spent = (last - first for first, last in zip(warm[0], warm[-1], strict=True))
    return {
        "stages": clock.stages, "rate": count / took, "cpu_ms": 1000 * spent / count,
        "planner_ms": 1000 * clock.cpu / clock.stages, "busy": count * seconds / took / workers,
    }  # fmt: skip


def once_apart(workers: int, stages: int, seconds: float) -> dict[str, float]:
    """The figures of a run in a process of its own."""
    return apart("dispatch", "--once", str(workers), "--stages", str(stages), "--seconds", str(seconds))


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=1200)
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps(once(given.once, given.stages, given.seconds)))
        return
    lines, best = [], 0.0
    for workers in given.workers:
        found = once_apart(workers, given.stages, 0.0)
        best = max(best, found["rate"])
        lines.append(
            f"- {workers} no-op workers: {found['rate']:.1f} single-stage trials a second; the driver's processor time "
            f"a trial {found['cpu_ms']:.1f} ms, of it the planner's {found['planner_ms']:.2f}"
        )
    fed = ", ".join(f"{best * seconds:.0f} for stages of {seconds} s" for seconds in SECONDS)
    lines.append(f"- at {best:.0f} a second one driver feeds {fed}")
    found = once_apart(max(given.workers), 20 * max(given.workers), 1.0)
    lines.append(
        f"- {max(given.workers)} workers with stages of 1 s are at work {100 * found['busy']:.0f} % of the time"
    )
    if given.record:
        record("dispatch", lines, " ".join(["python -m benchmarks.dispatch", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
