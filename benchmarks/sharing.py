"""What sharing stages saves: the tree of all orders beside the same candidates as independent trials of Ray Tune.

    python -m benchmarks.sharing [--tasks 4] [--repeats 2] [--record]

Both sides run the same loop (`trainables.bench`) on two workers that Tune uses again for the next trial, alternating,
each in a process of its own. An independent trial trains a whole candidate and keeps its weights in memory; the tree
also writes every stage to its store. Time counts from the start of the first stage to the end of the last.

With n tasks in all orders of all subsets, S stages of intermediate tasks alone and D distinct ones, M = D + 1
candidates with the empty order, and c the cost of a candidate's targets (training and scoring) in mean intermediate
stages, no tree saves more than R = (S + M c) / (D + M c). Told is how much of R is reached, and the time beside what no
schedule beats, max(work / workers, longest path).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from statistics import mean, median
from typing import Any
from uuid import uuid4

from search.cluster import joined  # sets what Ray reads when it is imported

# isort: split
from ray import tune

from benchmarks.processes import apart
from benchmarks.results import record
from search import runner
from search.planner import Planner
from search.settings import load_settings
from search.slots import resources
from search.study import Study
from trainables import trainable
from trainables.stage import Stage
from trainables.store import Store
from trainables.storing import Storing
from trainables.trainable import StagePath

TASKS = ["mini-nli", "mini-topic", "mini-paraphrase", "mini-pos", "mini-squad"]
WORKERS = 2


def study_of(folder: str, tasks: int, steps: int, workers: int = WORKERS) -> Study:
    """All ordered subsets of so many tasks, one target."""
    flags = {"suite": "mini-full", "targets": ["mini-xnli"], "out": folder, "seeds": 1, "languages": ["en", "de", "sw"],
             "max_concurrent": workers}  # fmt: skip
    changed = {"intermediate": TASKS[:tasks], "orders": {"kind": "subsets", "max_length": tasks},
               "train": {"steps": steps, "target_steps": steps}}  # fmt: skip
    return Study(*load_settings(flags, changed))


class Times:
    """When stages, or whole candidates, ran: by the clock of this machine."""

    def __init__(self) -> None:
        self.begun, self.ended = math.inf, 0.0
        self.done: list[tuple[Stage, float]] = []

    def __call__(self, event: str, about: Mapping[str, Any]) -> None:
        """An event of the planner's."""
        if event == "stage":
            self.add(about["seconds"])
            self.done.append((about["stage"], about["seconds"]))

    def add(self, seconds: float) -> None:
        """One that has just ended."""
        now = time.time()
        self.begun, self.ended = min(self.begun, now - seconds), max(self.ended, now)


def tree(tasks: int, steps: int) -> dict[str, float]:
    """The stage tree, and what its stages cost."""
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(folder, tasks, steps)
        with joined(study.settings, study.workplace()) as found:
            planner = Planner(study, Store(study.settings.store_url), times)
            runner.run(study.settings, planner, found, lambda: None)
    # A target may be trained on one of the intermediate tasks: its own training is the one that a score starts from.
    scored = {stage.parent for stage, _ in times.done if stage.kind == "score"}
    last = [(stage, seconds) for stage, seconds in times.done if stage.kind == "score" or stage.key in scored]
    inner = [seconds for stage, seconds in times.done if stage.kind == "train" and stage.key not in scored]
    ends: dict[str | None, float] = {}
    took = {stage.key: seconds for stage, seconds in times.done}
    parents = {stage.key: stage.parent for stage, _ in times.done}

    def end(key: str | None) -> float:
        if key is None:
            return 0.0
        if key not in ends:
            ends[key] = end(parents[key]) + took[key]
        return ends[key]

    work = sum(took.values())
    return {
        "seconds": times.ended - times.begun, "stages": len(times.done), "inner": len(inner), "stage": mean(inner),
        "targets": sum(seconds for _, seconds in last), "work": work, "longest": max(map(end, took)),
    }  # fmt: skip


class Whole(StagePath):
    """A candidate as an independent trial: all its stages, with nothing of others'."""

    def step(self) -> dict[str, Any]:
        """All of it, in a store in memory that is then forgotten."""
        return trainable._thread().submit(self._whole).result()

    def _whole(self) -> dict[str, Any]:
        if not self._path:  # Tune asks once more before it hears that the trial is done
            return {"done": True, "seconds": 0.0}
        start = time.time()
        bench = self._bench
        bench.store = Store(f"memory://{uuid4().hex}")
        bench.storing = Storing(bench.store, bench.worker, None)
        bench._resident.clear()
        for stage in self._path:
            bench.run(stage)
        self._path = []
        for path in list(bench.store.medium.files("")):
            bench.store.medium.delete(path)
        return {"done": True, "begun": start, "seconds": time.time() - start, "ended": time.time()}


def independent(tasks: int, steps: int) -> dict[str, float]:
    """The same candidates through plain Tune."""
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(folder, tasks, steps)
        with joined(study.settings, study.workplace()) as found:
            planner = Planner(study, Store(study.settings.store_url))
            paths = []
            for run in planner.runs.values():
                paths.append(json.dumps([planner.stages[key][0].to_json() for key in run.stages]))
            space = {"workplace": found.place, "resources": json.dumps(resources(study.settings)), "tries": "{}",
                     "stop": "-", "labels": "", "path": tune.grid_search(paths)}  # fmt: skip
            results = tune.Tuner(
                Labelled, param_space=space,
                tune_config=tune.TuneConfig(
                    reuse_actors=True, max_concurrent_trials=WORKERS, trial_dirname_creator=lambda t: str(t.trial_id)
                ),
                run_config=tune.RunConfig(name="trials", storage_path=folder, verbose=0),
            ).fit()  # fmt: skip
            told = [result.metrics for result in results]
    assert len(told) == len(paths)
    return {
        "seconds": max(one["ended"] for one in told) - min(one["begun"] for one in told), "trials": len(told),
        "work": sum(one["seconds"] for one in told),
    }  # fmt: skip


class Labelled(Whole):
    """Labels, which the grid does not have, are the keys."""

    def setup(self, config: dict[str, Any]) -> None:
        """As a path is taken up."""
        keys = [Stage.from_json(text).key for text in json.loads(config["path"])]
        super().setup({**config, "labels": json.dumps(keys)})


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=4, choices=range(2, len(TASKS) + 1))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    parser.add_argument("--once", choices=["tree", "independent"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps({"tree": tree, "independent": independent}[given.once](given.tasks, given.steps)))
        return
    trees, others = [], []
    for _ in range(given.repeats):
        words = ["--tasks", str(given.tasks), "--steps", str(given.steps)]
        trees.append(apart("sharing", "--once", "tree", *words))
        others.append(apart("sharing", "--once", "independent", *words))
    n = given.tasks
    alone = sum(k * math.perm(n, k) for k in range(1, n + 1))
    distinct = sum(math.perm(n, k) for k in range(1, n + 1))
    candidates = distinct + 1
    c = median(one["targets"] / candidates / one["stage"] for one in trees)
    ceiling = (alone + candidates * c) / (distinct + candidates * c)
    ratios = [other["seconds"] / own["seconds"] for own, other in zip(trees, others, strict=True)]
    bounds = [own["seconds"] / max(own["work"] / WORKERS, own["longest"]) for own in trees]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    lines = [
        f"- {n} tasks, {candidates} orders, {WORKERS} workers, a stage {median(o['stage'] for o in trees):.2f} s, "
        f"c = {c:.2f}: R = {ceiling:.2f}",
        f"- tree {median(o['seconds'] for o in trees):.1f} s, independent "
        f"{median(o['seconds'] for o in others):.1f} s: {median(ratios):.2f}× ({shown}), "
        f"{median(ratios) / ceiling:.2f} of R",
        f"- tree {median(bounds):.3f} × max(work / workers, longest path)",
    ]
    if given.record:
        record("sharing", lines, " ".join(["python -m benchmarks.sharing", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
