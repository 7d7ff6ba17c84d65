"""A worker's start with a large training set: what the node has encoded beside encoding it anew.

    python -m benchmarks.encoded [--examples 100000] [--shape micro|base] [--data-dir DIR] [--repeats 3] [--record]

Real MNLI, repeated until it has as many examples. Each side is a process of its own that has loaded its model and asks
for the features: as lists (as every worker had them before there were tables), as a table in its own memory (where a
node keeps nothing), as the first worker of a node, and as any further one, which maps the file of the first. Told are
seconds, memory that this costs the process (what it shares with others apart), and batches of 32 a second: drawn, built
and padded.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks.results import record
from benchmarks.train import SHAPES, made
from trainables import encoded
from trainables.batches import collate, training_batches
from trainables.bench import Bench, Workplace
from trainables.node_cache import NodeCache
from trainables.tasks import load_task

BATCH, BATCHES, LONGEST = 32, 2000, 128
SIDES = {
    "lists, encoded by each worker": "lists", "a table, encoded by each worker": "table",
    "the node's first worker": "first", "any further one": "further",
}  # fmt: skip
NODE = 10**9


def repeated(data: Path, folder: Path, count: int) -> None:
    """A data folder with MNLI's training set, again and again until it has `count` examples."""
    with gzip.open(data / "mnli" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    (folder / "mnli").mkdir(parents=True)
    with (folder / "mnli" / "train.jsonl").open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({**rows[number % len(rows)], "id": str(number)}, ensure_ascii=False) + "\n")


def worker(side: str, folder: Path) -> dict[str, float]:
    """One worker: what it takes it to have the features, and what it makes of them."""
    task = load_task("mnli", "--task")
    place = Workplace(
        str(folder / "store"), str(folder / "model"), {"mnli": task.model_dump(mode="json")}, {"mnli": ["en"]},
        data_dir=str(folder / "data"), node_cache=NODE if side in ("first", "further") else 0,
    )  # fmt: skip
    if side == "lists":
        encoded.SMALL = sys.maxsize
    with patch.object(NodeCache, "here", lambda limit: NodeCache(folder / "node", limit)):
        bench = Bench(place)
    model = bench.model
    before, start = _memory(), time.monotonic()
    features = bench._training_features(task, LONGEST, None)
    seconds, after = time.monotonic() - start, _memory()
    pad = int(model.tokenizer.pad_token_id)
    batches = training_batches({"mnli": features}, BATCH, BATCHES + 1, 0)
    next(batches)  # shuffles
    start = time.monotonic()
    for name, batch in islice(batches, BATCHES):
        collate(name, batch, pad, model.device)
    rate = BATCHES / (time.monotonic() - start)
    return {"seconds": seconds, "own": after[0] - before[0], "resident": after[1] - before[1], "rate": rate}


def _memory() -> tuple[int, int]:
    """Bytes of this process alone, and all that are resident."""
    gc.collect()
    found: Any = psutil.Process().memory_full_info()
    return found.uss, found.rss


def measured(side: str, folder: Path) -> dict[str, float]:
    """The figures of a worker in a new process."""
    command = [sys.executable, "-m", "benchmarks.encoded", "--worker", side, "--folder", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--shape", choices=[*SHAPES], default="micro")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    parser.add_argument("--worker", choices=[*SIDES.values()], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(worker(given.worker, given.folder)))
        return
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(given.shape, folder / "model", given.data_dir, "mnli")
        repeated(given.data_dir, folder / "data", given.examples)
        for _ in range(given.repeats):
            for side, short in SIDES.items():
                figures[side].append(measured(short, folder))
            (file,) = (folder / "node-encoded").iterdir()
            size = file.stat().st_size
            file.unlink()
    lines = [
        f"MNLI, {given.examples:,} examples, {given.shape}, {given.repeats} repeats; the file has {size / 1e6:.0f} MB",
        "", "| worker | seconds | its own memory, MB | resident, MB | batches/s |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for side, each in figures.items():
        seconds, own, resident, rate = (
            statistics.median(one[what] for one in each) for what in ("seconds", "own", "resident", "rate")
        )
        lines.append(f"| {side} | {seconds:.2f} | {own / 1e6:,.0f} | {resident / 1e6:,.0f} | {rate:,.0f} |")
    if given.record:
        record("encoded", lines, " ".join(["python -m benchmarks.encoded", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
