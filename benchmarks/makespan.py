"""How close runs come to what no schedule can beat: max(work / workers, longest path).

python -m benchmarks.makespan --record
python -m benchmarks.makespan --seeds 3 --tasks 5 --no-ray     the simulation alone

First the real planner with simulated workers and no Ray: a fixed tree, all ordered subsets of five tasks, each with a
target's own training and two scores. Stages take log-normal times that the planner does not know beforehand; with
`--dispatch` and `--step` also the driver's time for a trial and a stage counts (see benchmarks.dispatch). Then Ray with
eight workers whose stages sleep; time counts from when all workers are up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from typing import Any

from benchmarks.noop import Ended, NoopStudy, Work, bound_of, planner_of, simulate, study, workers_up
from benchmarks.results import record

TARGETS = ["mini-pos", "mini-tatoeba"]

HOURS = Work(train=600, score=90, spread=0.4)
"""Seconds of stages as a base model on a GPU has them: ten minutes of training, one and a half of scoring."""

SLEEPS = Work(train=3.6, score=3.2, spread=0.3, least=3.0, gate=8)
"""What sleeps on Ray."""


def tree(folder: str, work: Work, tasks: int, seeds: int, **changed: Any) -> NoopStudy:
    """All ordered subsets of the first tasks of the embedded suite."""
    names = ["mini-anli", "mini-nli", "mini-paraphrase", "mini-squad2", "mini-squad", "mini-swag", "mini-ccg"]
    changed |= {"seeds": seeds, "intermediate": names[:tasks]}
    return study(folder, work, targets=TARGETS, changed=changed)


def simulated(workers: int, tasks: int, seeds: int, dispatch: float, step: float) -> list[str]:
    """The real planner in simulated time."""
    with tempfile.TemporaryDirectory() as folder:
        made = tree(folder, HOURS, tasks, seeds)
        planner = planner_of(made)
        played = simulate(planner, workers, HOURS.seconds, dispatch, step)
    bound = played.bound(workers)
    return [
        f"- {workers} simulated workers, {len(planner.candidates)} orders of {tasks} tasks x {seeds} roots, "
        f"{len(planner.done)} stages{f', driver {dispatch:g} s a trial and {step:g} s a stage' if dispatch else ''}: "
        f"{played.makespan:.0f} s, bound {bound:.0f} s (work / workers {played.work / workers:.0f}, longest path "
        f"{played.longest:.0f}): {played.makespan / bound:.3f} x"
    ]


def on_ray(workers: int, tasks: int) -> list[str]:
    """The same on Ray, in real time."""
    from search.cluster import joined

    # isort: split
    from benchmarks.noop_path import swapped
    from search import runner
    from search.planner import Planner
    from trainables.store import Store

    with tempfile.TemporaryDirectory() as folder:
        made = tree(folder, SLEEPS, tasks, 1, max_concurrent=workers)
        with joined(made.settings, made.workplace()) as found:
            ended = Ended()
            planner = Planner(made, Store(made.settings.store_url), ended)
            with swapped():
                runner.run(made.settings, planner, found, lambda: None)
        up = workers_up(made)
    took = ended.last - up[workers - 1]
    stages = [done.stage for done in planner.done.values()]
    work = sum(map(SLEEPS.seconds, stages))
    bound = bound_of(planner, SLEEPS.seconds, workers)
    return [
        f"- {workers} workers on Ray, {len(stages)} stages of 3 s or more ({work:.0f} s together): {took:.1f} s from "
        f"when all were up, bound {bound:.1f} s: {took / bound:.3f} x; "
        f"{len(up)} processes"
    ]


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64, help="simulated ones")
    parser.add_argument("--tasks", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="root seeds: 2 are a study's default")
    parser.add_argument("--dispatch", type=float, default=0.0)
    parser.add_argument("--step", type=float, default=0.0)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()
    lines: list[str] = []
    for seeds in given.seeds:
        lines += simulated(given.workers, given.tasks, seeds, given.dispatch, given.step)
    if not given.no_ray:
        lines += on_ray(8, 4)
    if given.record:
        record("makespan", lines, " ".join(["python -m benchmarks.makespan", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
