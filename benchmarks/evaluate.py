"""Scoring all languages of a target beside a language at a time: the same model, head and texts.

    python -m benchmarks.evaluate [--shape micro|base] [--task xnli|udpos] [--limit 200] [--data-dir DIR] [--record]

Ours is one stream of all languages, sorted by length. The others score language after language in batches of 32 as
they stand in the file: padded to the longest of the batch (as `Trainer.predict` does), or to 128 tokens (as XTREME's
scripts do). All call the same `Kind.predict`; what they say must be the same. Then ours again as a further stage of the
study scores it whose lower half is frozen, where what the lower layers give is at hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.results import record
from benchmarks.train import SHAPES, made
from trainables.batches import collate
from trainables.data import DataSource
from trainables.evaluate import EvaluationSet, predictions, sets_of
from trainables.kinds.forms import kind_of, load_model
from trainables.models import Encoder
from trainables.tasks import load_task

BATCH, LONGEST = 32, 128


def by_language(model: Encoder, task: Any, head: Any, sets: list[EvaluationSet], fixed: bool) -> list[list[Any]]:
    """Language after language, in the order of the file."""
    model.eval()
    kind, pad = kind_of(task, model), int(model.tokenizer.pad_token_id)
    found = []
    for part in sets:
        told: list[Any] = []
        for at in range(0, len(part.features), BATCH):
            batch = collate(task.name, part.features[at : at + BATCH], pad, model.device)
            more = max(0, LONGEST - batch.ids.shape[1]) if fixed else 0
            ids, mask = F.pad(batch.ids, (0, more), value=pad), F.pad(batch.mask, (0, more))
            with torch.no_grad():
                told += kind.predict(task, head, model.states(ids, mask), mask, batch.features)
        found.append(told)
    return found


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES], default="micro")
    parser.add_argument("--task", choices=["xnli", "udpos"], default="xnli")
    parser.add_argument("--limit", type=int, default=200, help="examples a language")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(made(given.shape, Path(folder), given.data_dir, given.task))
    source = DataSource(data_dir=str(given.data_dir), limit=given.limit)
    task = source.resolved(load_task(given.task, "--task"))
    examples = {("test", code): rows for code, rows in source.load(task, "test").items()}
    sets = sets_of(task, examples, model, min(LONGEST, task.max_length))
    model.reset()
    torch.manual_seed(0)
    model.add_head(task.name, kind_of(task, model).head(task, model))
    head = model.head(task.name)

    def ours() -> list[list[Any]]:
        model.base_layers = 0  # as if all layers were a stage's own
        return predictions(model, task, head, sets)

    def again() -> list[list[Any]]:
        model.base_layers = len(model.layers) // 2
        return predictions(model, task, head, sets)

    sides: dict[str, Callable[[], list[list[Any]]]] = {
        "one stream": ours,
        "by language, padded to the batch's longest": lambda: by_language(model, task, head, sets, False),
        f"by language, padded to {LONGEST}": lambda: by_language(model, task, head, sets, True),
        "one stream, lower half at hand": again,
    }
    told = {name: side() for name, side in sides.items()}  # warm
    same = [sum(a == b for x, y in zip(told["one stream"], one, strict=True) for a, b in zip(x, y, strict=True))
            for one in told.values()]  # fmt: skip
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(given.repeats):
        for name, side in sides.items():
            start, cpu = time.monotonic(), time.process_time()
            side()
            times[name].append((time.monotonic() - start, time.process_time() - cpu))
    count = sum(len(part.features) for part in sets)
    own = statistics.median(seconds for seconds, _ in times["one stream"])
    lines = [f"{given.task}, {given.shape}: {len(sets)} languages, {count} features, {given.repeats} repeats, "
             f"{torch.get_num_threads()} threads", "",
             "| side | features/s | CPU s | one stream is | equal predictions |", "|---|---|---|---|---|"]  # fmt: skip
    for (name, each), equal in zip(times.items(), same, strict=True):
        seconds = statistics.median(one for one, _ in each)
        lines.append(f"| {name} | {count / seconds:,.0f} | {statistics.median(cpu for _, cpu in each):.1f} | "
                     f"{seconds / own:.2f}× | {equal / count:.4f} |")  # fmt: skip
    if given.record:
        record("evaluate", lines, " ".join(["python -m benchmarks.evaluate", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
