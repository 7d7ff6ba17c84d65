"""Trials of one frozen encoder trained together, beside the same trials one after another.

    python -m benchmarks.fused [--method prompt|lora|adapter] [--batch 4 8 16 32] [--candidates 4 8 16]
        [--shape micro|base|large] [--device cpu|cuda] [--task mnli] [--data-dir DIR] [--record]

Candidates differ in seed and learning rate. Both sides are whole trainings, with what is put on the model before and
copied out of it after, and alternate. Told are seconds of the clock and of the processor (medians), their ratio, the
least and greatest ratio of a pair, and what the cost model (`fused_cost`) chose for such jobs before: so many padded
tokens a pass, or `alone`; and what deciding took of the fewest steps for which it is measured. The last column is the
gain with that choice, 1 where it is `alone`. On a GPU one trial's share of its use is told too: what is left of it is
what there is to gain.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.results import record
from benchmarks.train import SHAPES, Task, loaded, made
from trainables import fused_cost
from trainables.data import DataSource
from trainables.fused import TOKENS, Job, train_together
from trainables.kinds.forms import kind_of, load_model
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train

RATES = (1e-4, 5e-4, 2.4e-3, 1.2e-2)
PROMPT = 16


class Spent(NamedTuple):
    """Seconds by the clock and of the processor."""

    clock: float
    cpu: float


def jobs_of(own: Task, method: str, batch: int, candidates: int, steps: int, seed: int) -> list[Job]:
    """Trials of one task that differ in seed and learning rate."""
    modules = scalars(MethodSettings.model_validate({}), method, PROMPT if method == "prompt" else None)
    found = []
    for number in range(candidates):
        rate = RATES[number % len(RATES)]
        settings = {"learning_rate": rate, "batch_size": batch, "warmup": 1, "weight_decay": 0.01, **modules}
        root = 1000 * seed + number
        stage = Stage("train", None, (own.task.name,), ("",), "", method, settings, steps, root)
        found.append(Job(stage, [own.task], {own.task.name: own.features}))
    return found


def one_after_another(model: Encoder, jobs: Sequence[Job]) -> None:
    """What a worker does now."""
    for job in jobs:
        train(model, job.stage, job.tasks, job.features)


def spent(model: Encoder, work: Callable[[], object]) -> Spent:
    """What a training takes, all that it leaves the GPU to do included."""
    clock, cpu = time.monotonic(), time.process_time()
    work()
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return Spent(time.monotonic() - clock, time.process_time() - cpu)


@contextmanager
def gpu_use(found: list[float]) -> Iterator[None]:
    """Percent of the time that the GPU was at work in the block, as nvidia-smi says ten times a second."""
    over = threading.Event()
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]

    def look() -> None:
        while not over.wait(0.1):
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
            found.extend([float(said)] if said.isdigit() else [])

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measured(model: Encoder, own: Task, method: str, batch: int, candidates: int, steps: int, repeats: int) -> str:
    """A row of the table."""
    fewest = jobs_of(own, method, batch, candidates, fused_cost.MEASURED_FROM, 0)
    deciding = spent(model, lambda: fused_cost.pass_tokens(model, fewest)).clock
    choice = fused_cost.pass_tokens(model, fewest)
    apart: list[Spent] = []
    together: list[Spent] = []
    for seed in range(repeats + 1):
        jobs = jobs_of(own, method, batch, candidates, steps, seed)
        first = spent(model, lambda: one_after_another(model, jobs))  # noqa: B023 - called at once
        second = spent(model, lambda: train_together(model, jobs, choice or TOKENS))  # noqa: B023
        if seed:  # the first pair is to warm up
            apart.append(first)
            together.append(second)
    ratios = sorted(one.clock / two.clock for one, two in zip(apart, together, strict=True))
    alone, fused = (statistics.median(one.clock for one in side) for side in (apart, together))
    alone_cpu, fused_cpu = (statistics.median(one.cpu for one in side) for side in (apart, together))
    share = deciding / (alone / steps * fused_cost.MEASURED_FROM)
    cells = [
        batch, candidates, f"{alone:.2f}", f"{fused:.2f}", f"{alone / fused:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        f"{alone_cpu:.2f}", f"{fused_cpu:.2f}", f"{alone_cpu / fused_cpu:.2f}", choice or "alone", f"{share:.1%}",
        f"{alone / fused if choice else 1.0:.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def task_of(model: Encoder, name: str, data: Path, length: int) -> Task:
    """A task's training features: of the mini suite, or of the data folder."""
    if not name.startswith("mini-"):
        return loaded(model, name, data, length)
    task = load_task(name, "--task")
    kind = kind_of(task, model)
    examples = DataSource(limit=2000).training(task)
    return Task(task, kind, list(kind.training(kind.encode(task, examples, model.tokenizer, length))))


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=["prompt", "lora", "adapter"], default="prompt")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--candidates", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--shape", choices=["micro", *SHAPES], default="micro")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--task", default="mnli", help="mnli, squad, or a task of the mini suite")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--length", type=int, default=64, help="tokens of a text at most")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append the figures to RESULTS.md")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    heads = (
        "batch",
        "candidates",
        "one after another s",
        "together s",
        "gain (least to greatest)",
        "CPU s",
        "CPU s together",
        "CPU gain",
        "tokens a pass, chosen",
        "deciding",
        "gain with the choice",
    )
    about = f"{given.repeats} alternating pairs after one, {given.threads} threads, {given.device}"
    lines = [f"{given.steps} steps of {given.task} in texts of up to {given.length} tokens, {about}", "",
             f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        words = "*" if given.task.startswith("mini-") else given.task
        model = load_model(made(given.shape, Path(folder), given.data_dir, words), given.device)
        own = task_of(model, given.task, given.data_dir, given.length)
        for batch in given.batch:
            if given.device == "cuda":
                used: list[float] = []
                with gpu_use(used):
                    one_after_another(model, jobs_of(own, given.method, batch, 4, given.steps, 0))
                share = f"{statistics.mean(used):.0f} %" if used else "unknown"
                lines.append(f"| {batch} | 1 | one trial's use of the GPU: {share} |")
            for candidates in given.candidates:
                sizes = batch, candidates, given.steps, given.repeats
                lines.append(measured(model, own, given.method, *sizes))
                sys.stderr.write(f"{lines[-1]} load {os.getloadavg()[0]:.1f}\n")
    title = f"fused trials: {given.method}, {given.shape}"
    if given.record:
        record(title, lines, "python -m benchmarks.fused " + " ".join(sys.argv[1:]))
    else:
        sys.stdout.write("\n".join([title, *lines]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
