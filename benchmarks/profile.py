"""Where each second of a study's stages goes: every stage of it, on one bench without Ray.

    python -m benchmarks.profile [--record]                                     # the default study on a CPU
    python -m benchmarks.profile --shape large --device cuda --limit 2000 [--precision bfloat16] [--record]

Processor seconds of the functions below, less those of others of them that they call; on a GPU seconds by the clock,
the GPU waited for. With a shape the model's weights are random, and the study is one of XTREME on the data folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.results import record
from benchmarks.train import SHAPES, made
from search.planner import Planner
from search.settings import load_settings
from search.study import Study
from trainables import bench as benches
from trainables import evaluate, storing
from trainables import train as training
from trainables.bench import Bench, Workplace
from trainables.kinds import KINDS
from trainables.store import Store
from trainables.threads import known

WHERE: dict[str, list[tuple[Any, str]]] = {
    "training: forward and backward": [(training, "backward")],
    "training: clipping and optimizer": [(training.Course, "step")],
    "training: all else (weights laid on, heads, copies)": [(benches, "train")],
    "scoring: forward and heads": [(evaluate, "predictions"), (benches, "evaluate")],
    "scoring: metrics": [(kind, "score") for kind in set(map(type, KINDS.values()))],
    "data read and encoded": [(Bench, "_training_features"), (Bench, "_evaluation_sets")],
    "perturbed and attacked texts": [(Bench, "_suite")],
    "storing": [(storing.Storing, "_put")],
    "model loaded": [(benches, "load_model")],
    "planner": [(Planner, "take"), (Planner, "report"), (Planner, "__init__")],
}  # fmt: skip


class Stopwatch:
    """Seconds by name; what a function spends in another that is watched counts there."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.spent, self._inner = now, Counter[str](), [0.0]

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """The block's."""
        start = self.now()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = self.now() - start
            self.spent[name] += took - self._inner.pop()
            self._inner[-1] += took

    def watch(self, stack: ExitStack, name: str, owner: Any, function: str) -> None:
        """Watch a function as long as the stack is open."""
        original = getattr(owner, function)

        def watched(*given: Any, **more: Any) -> Any:
            with self.of(name):
                return original(*given, **more)

        stack.enter_context(patch.object(owner, function, watched))


def settings_of(given: argparse.Namespace, folder: str) -> Study:
    """The default study, or one of XTREME's with a model of a shape."""
    flags: dict[str, Any] = {"space": "orders", "out": f"{folder}/out"}
    changed: dict[str, Any] = {"precision": given.precision}
    if given.shape:
        model = made(given.shape, Path(folder) / "model", given.data_dir, "*")
        flags |= {"suite": "xtreme", "data_dir": str(given.data_dir), "model": model, "limit": given.limit, "seeds": 1}
        flags |= {"gpus_per_trial": 1.0} if given.device == "cuda" else {}
        changed |= {"train": {"steps": given.steps, "target_steps": given.steps}}
    return Study(*load_settings(flags, changed))


def main() -> None:
    """Run, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES], help="of a model with random weights (the shipped encoder)")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit", type=int, default=200, help="examples a set, with a shape")
    parser.add_argument("--steps", type=int, default=20, help="of a stage, with a shape")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    watch = Stopwatch(time.process_time if given.device == "cpu" else synchronised)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        study = settings_of(given, folder)
        for name, functions in WHERE.items():
            for owner, function in functions:
                watch.watch(stack, name, owner, function)
        start, clock, stages = watch.now(), time.monotonic(), 0
        bench = Bench(Workplace(**json.loads(study.workplace())))
        # On the thread of this function, so that it is watched too.
        stack.enter_context(patch.object(bench.storing._thread, "submit", lambda task: known(task())))
        planner = Planner(study, Store(study.settings.store_url))
        while path := planner.take():
            for stage in path:
                planner.report({**asdict(bench.run(stage)), "label": ""})
                stages += 1
        whole, clock = watch.now() - start, time.monotonic() - clock
    lines = [f"{stages} stages, {torch.get_num_threads()} threads: {whole:.1f} s ({clock:.1f} by the clock)", "",
             "| where | s | share |", "|---|---|---|"]  # fmt: skip
    rest = whole - sum(watch.spent.values())
    for name, seconds in [*watch.spent.most_common(), ("all else", rest)]:
        lines.append(f"| {name} | {seconds:.1f} | {100 * seconds / whole:.0f} % |")
    shape = f"{given.shape}, {given.device}, {given.precision}" if given.shape else "default study, CPU"
    if given.record:
        record(f"profile: {shape}", lines, " ".join(["python -m benchmarks.profile", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
