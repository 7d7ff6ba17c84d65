"""What a stage costs beside its own work: a study on one worker beside bare Ray Tune doing the same stages.

    python -m benchmarks.overhead [--tasks 3] [--steps 20] [--repeats 3] [--record]

Ours is the whole system: planner, leases, store, records, scores read back. Bare Tune is a class Trainable that is
used again for the next trial (`reuse_actors`), with the model and all weights in memory, a trial for each path that
ours gave out and in that order, a stage a `step()`; it trains and scores with the same code, saves weights with
`torch.save`, and knows of nothing else. Both sides alternate, each in a process of its own. Time counts from the start
of the first stage to the end of the last.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from search.cluster import joined  # sets what Ray reads when it is imported

# isort: split
from ray import tune

from benchmarks.processes import apart
from benchmarks.results import record
from benchmarks.sharing import Times, study_of
from search import runner
from search.planner import Planner
from search.slots import resources
from trainables.attempt import FIRST
from trainables.stage import Stage
from trainables.store import Store
from trainables.trainable import StagePath


class Noting(Planner):
    """Notes the paths that it gives out."""

    def __init__(self, *given: Any) -> None:
        self.paths: list[list[str]] = []
        super().__init__(*given)

    def take(self) -> list[Stage]:
        """As the planner does."""
        path = super().take()
        if path:
            self.paths.append([stage.to_json() for stage in path])
        return path


def ours(tasks: int, steps: int, file: Path) -> dict[str, float]:
    """The whole system; the paths go to the file."""
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(folder, tasks, steps, 1)
        with joined(study.settings, study.workplace()) as found:
            planner = Noting(study, Store(study.settings.store_url), times)
            start = time.process_time()
            runner.run(study.settings, planner, found, lambda: None)
            cpu = time.process_time() - start
    file.write_text(json.dumps(planner.paths))
    work = sum(seconds for _, seconds in times.done)
    return {"seconds": times.ended - times.begun, "stages": len(times.done), "work": work, "cpu": cpu}


class Plain(StagePath):
    """The same stages without leases, records and a store that others read."""

    def setup(self, config: dict[str, Any]) -> None:
        """Labels are not needed."""
        stages = json.loads(config["path"])
        super().setup({**config, "labels": json.dumps(stages)})

    def step(self) -> dict[str, Any]:
        """A stage, and its weights into a file."""
        from trainables import trainable

        return trainable._thread().submit(self._stage).result()

    def _stage(self) -> dict[str, Any]:
        import torch

        start, stage, bench = time.time(), self._path.pop(0), self._bench
        bench._made(stage, FIRST, time.monotonic())
        if stage.kind == "train":
            torch.save(bench._resident[stage.key], Path(self.logdir) / f"{stage.key}.pt")
        return {"done": not self._path, "begun": start, "ended": time.time()}


class Ends(tune.Callback):
    """When the first stage began and each ended."""

    def __init__(self) -> None:
        self.begun, self.ended, self.work, self.stages = float("inf"), 0.0, 0.0, 0

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """A stage."""
        self.begun, self.ended = min(self.begun, result["begun"]), max(self.ended, time.time())
        self.work += result["ended"] - result["begun"]
        self.stages += 1


def bare(tasks: int, steps: int, file: Path) -> dict[str, float]:
    """Plain Tune."""
    ends = Ends()
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(folder, tasks, steps, 1)
        paths = [json.dumps(path) for path in json.loads(file.read_text())]
        with joined(study.settings, study.workplace()) as found:
            space = {"workplace": found.place, "resources": json.dumps(resources(study.settings)), "tries": "{}",
                     "stop": "-", "path": tune.grid_search(paths)}  # fmt: skip
            start = time.process_time()
            tune.Tuner(
                Plain, param_space=space,
                tune_config=tune.TuneConfig(
                    reuse_actors=True, max_concurrent_trials=1, trial_dirname_creator=lambda t: str(t.trial_id)
                ),
                run_config=tune.RunConfig(name="trials", storage_path=folder, verbose=0, callbacks=[ends]),
            ).fit()  # fmt: skip
            cpu = time.process_time() - start
    return {"seconds": ends.ended - ends.begun, "stages": ends.stages, "work": ends.work, "cpu": cpu}


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    parser.add_argument("--once", choices=["ours", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps({"ours": ours, "bare": bare}[given.once](given.tasks, given.steps, given.file)))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        words = ["--tasks", str(given.tasks), "--steps", str(given.steps), "--file", f"{folder}/paths"]
        for _ in range(given.repeats):
            for side, runs in found.items():
                runs.append(apart("overhead", "--once", side, *words))
    each = {side: [run["seconds"] / run["stages"] for run in runs] for side, runs in found.items()}
    beside = {side: [(r["seconds"] - r["work"]) / r["stages"] for r in runs] for side, runs in found.items()}
    lines = [f"{found['ours'][0]['stages']:.0f} stages on one worker, {given.repeats} alternating repeats", "",
             "| side | s a stage (least to most) | of it not the stage's own | driver's CPU s a stage |",
             "|---|---|---|---|"]  # fmt: skip
    for side, runs in found.items():
        lines.append(
            f"| {side} | {median(each[side]):.3f} ({min(each[side]):.3f} to {max(each[side]):.3f}) | "
            f"{median(beside[side]):.3f} | {median(run['cpu'] / run['stages'] for run in runs):.3f} |"
        )
    more = median(own / other - 1 for own, other in zip(each["ours"], each["bare"], strict=True))
    lines += ["", f"- ours takes {100 * more:+.1f} % a stage over bare Tune (10 are allowed), and "
              f"{median(beside['ours']):.3f} s a stage beside the work (0.15 are allowed)"]  # fmt: skip
    if given.record:
        record("overhead", lines, " ".join(["python -m benchmarks.overhead", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
