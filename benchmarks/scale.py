"""What grows how fast: the cost of a candidate, of an example and of a language as there are more of them.

    python -m benchmarks.scale [--record]

The driver's part without Ray: planning a study, playing it through (the real planner, campaign and tree on fabricated
scores), and making the run folder's tables of it. The worker's part on the micro encoder: encoding and scoring a set.
Seconds are of the processor. The power is the slope of seconds over size on logarithmic scales, between the first and
the last size: 1 is linear, above 1.3 something grows faster than it should.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from benchmarks.noop import Work, planner_of, simulate, study
from benchmarks.results import record
from search.publish import publish
from search.results import load
from trainables.data import DataSource
from trainables.evaluate import evaluate, sets_of
from trainables.fingerprint import MICRO
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.tasks import load_task

TESTS = Path(__file__).resolve().parent.parent / "tests" / "search"

Row = tuple[str, list[int], list[float]]


def timed(sizes: Iterable[int], what: Callable[[int], object]) -> list[float]:
    """Processor seconds for each size."""
    found = []
    for size in sizes:
        start = time.process_time()
        what(size)
        found.append(time.process_time() - start)
    return found


def driver(candidates: int, **more: object) -> None:
    """Plan and play a study of so many candidates."""
    with tempfile.TemporaryDirectory() as folder:
        changed = {"seeds": 1, "candidates": candidates, **more}
        planner = planner_of(study(folder, Work(), targets=["mini-pos", "mini-tatoeba"], changed=changed))
        simulate(planner, 2, lambda stage: 1.0)
        if len(planner.candidates) != candidates:
            raise ValueError(f"{len(planner.candidates)} candidates, not {candidates}")


def tables(orders: int) -> None:
    """All that a run folder gets of a made-up run of ordered subsets of so many tasks."""
    sys.path.insert(0, str(TESTS))
    from made_runs import made_run

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        names = ("mini-nli", "mini-paraphrase", "mini-tags", "mini-topic", "mini-squad")
        made_run(run, tasks=names[:orders], roots=3)
        start = time.process_time()
        publish(load([run]), Path(folder) / "whole")
        TABLES.append(time.process_time() - start)


TABLES: list[float] = []


def worker() -> list[Row]:
    """Encoding and scoring sets of more and more examples."""
    torch.set_num_threads(1)
    model, task = Encoder(str(MICRO)), load_task("mini-xnli", "")
    rows = DataSource().load(task, "test", ["en", "de"])
    examples = [example for own in rows.values() for example in own]
    kind = kind_of(task, model)
    model.add_head(task.name, kind.head(task, model))
    sizes = [200, 800, 3200, 12800]
    many = {size: [examples[place % len(examples)] for place in range(size)] for size in sizes}
    sets = {}

    def encoded(size: int) -> None:
        sets[size] = sets_of(task, {("test", "en"): many[size]}, model)

    def scored(size: int) -> None:
        model.base_layers = 0
        evaluate(model, task, model.head(task.name), sets[size])

    encoded(sizes[0])
    scored(sizes[0])
    return [
        ("encoding, by examples", sizes, timed(sizes, encoded)),
        ("scoring, by examples", sizes, timed(sizes, scored)),
    ]


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()
    driver(10)  # what is imported and read once
    counts = [10, 100, 1000, 3000]
    found: list[Row] = [("driver, by candidates", counts, timed(counts, driver))]
    roots = [1, 4, 16]
    found.append(("driver, by root seeds (100 candidates)", roots, timed(roots, lambda n: driver(100, seeds=n))))
    tasks = [2, 3, 4, 5]
    for count in tasks:
        tables(count)
    orders = [sum(math.perm(n, k) for k in range(n + 1)) for n in tasks]
    found.append(("leaderboard, analysis and report, by orders (3 roots)", orders, TABLES))
    found += worker()
    lines = ["| what | sizes | CPU s | ms each | power |", "|---|---|---|---|---|"]
    for name, sizes, seconds in found:
        each = " ".join(f"{1000 * s / n:.2f}" for n, s in zip(sizes, seconds, strict=True))
        power = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
        lines.append(f"| {name} | {' '.join(map(str, sizes))} | {' '.join(f'{s:.2f}' for s in seconds)} | {each} | "
                     f"{power:.2f} |")  # fmt: skip
    if given.record:
        record("scale", lines, " ".join(["python -m benchmarks.scale", *sys.argv[1:]]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
