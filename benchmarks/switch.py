"""From the last step of a stage to the first step of its child on a warm worker.

    python -m benchmarks.switch [--shape micro|base|large] [--method full|adapter|lora|prompt] [--record]

A chain of short stages on one worker (`trainables.bench`). As `StagePath` does it, the next is begun while the one
before is being stored; and once more the next is begun when the one before is stored. Told are seconds by the clock
from the end of a stage's last step to the start of the next one's first (weights copied, handed over and laid on the
model, optimizer and heads made anew), and how long after its last step a stage was stored. Weights are random, the text
is real.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.results import record
from benchmarks.train import SHAPES, made
from trainables import train as training
from trainables.bench import Bench, Workplace
from trainables.methods.settings import MethodSettings, scalars
from trainables.stage import Stage
from trainables.tasks import load_task

TASK = "mnli"


@contextmanager
def watched(times: list[tuple[str, float]]) -> Iterator[None]:
    """Notes when steps begin and end."""
    backward, step = training.backward, training.Course.step

    def begun(*given: Any, **more: Any) -> Any:
        times.append(("begin", time.monotonic()))
        return backward(*given, **more)

    def ended(*given: Any) -> None:
        step(*given)
        times.append(("end", time.monotonic()))

    with patch.object(training, "backward", begun), patch.object(training.Course, "step", ended):
        yield


def chain(method: str, length: int, steps: int, batch: int, first: int) -> list[Stage]:
    """Stages, each the child of the one before."""
    settings = {"learning_rate": 1e-4, "batch_size": batch, "warmup": 1, "weight_decay": 0.01, "heads": "new",
                **scalars(MethodSettings(), method)}  # fmt: skip
    found: list[Stage] = []
    for seed in range(first, first + length):
        parent = found[-1].key if found else None
        found.append(Stage("train", parent, (TASK,), ("",), "", method, {**settings, "along": "continue"}, steps, seed))
    return found


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES], default="micro")
    parser.add_argument("--method", choices=["full", "adapter", "lora", "prompt"], default="full")
    parser.add_argument("--stages", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = made(given.shape, Path(folder) / "model", given.data_dir, TASK)
        task = load_task(TASK, "--task")
        place = Workplace(
            f"{folder}/store", model, {TASK: task.model_dump(mode="json")}, {}, str(given.data_dir), 400,
            threads=given.threads, device=given.device,
        )  # fmt: skip
        bench = Bench(place)
        lines = [
            f"{given.method}, {given.shape}: {given.stages} stages, {given.threads} threads, {given.device}", "",
            "| the next stage | to its first step, s | stored after, s | MB a stage |", "|---|---|---|---|",
        ]  # fmt: skip
        for name, beside in (("begun beside the storing", True), ("begun when stored", False)):
            stages = chain(given.method, given.stages, given.steps, given.batch, 0 if beside else given.stages)
            switches, stored, size = run(bench, stages, given.steps, beside)
            lines.append(f"| {name} | {told(switches)} | {told(stored)} | {size / 1e6:.1f} |")
    if given.record:
        record("stage switch", lines, " ".join(["python -m benchmarks.switch", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


def run(bench: Bench, stages: list[Stage], steps: int, beside: bool) -> tuple[list[float], list[float], int]:
    """Seconds from each stage's last step to the next one's first, and to when it was stored; a stage's bytes."""
    times: list[tuple[str, float]] = []
    stored: list[float] = []
    futures = []
    with watched(times):
        for stage in stages:
            future = bench.begin(stage)
            ended = times[-1][1]
            future.add_done_callback(lambda _, ended=ended: stored.append(time.monotonic() - ended))  # type: ignore[misc]
            futures.append(future)
            if not beside:
                future.result()
    size = [future.result().bytes for future in futures][-1]
    moments, per = [moment for _, moment in times], 2 * steps
    return [moments[at] - moments[at - 1] for at in range(per, len(moments), per)], stored, size


def told(seconds: list[float]) -> str:
    """The median, and from the least to the most."""
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
