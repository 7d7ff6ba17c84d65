"""A million score rows: how long it takes to load them and to make a leaderboard in every format, and how much memory.

    python -m benchmarks.leaderboard_rows                 # 326 orders × 6 roots × 3 targets, three edits and an attack
    python -m benchmarks.leaderboard_rows --rows 200000   # at least as many rows
    python -m benchmarks.leaderboard_rows --record        # and append the figures to RESULTS.md

The run is made up (`tests/search/made_runs.py`) by a process of its own, so that the peak is that of reading alone.
Seconds are of the process (CPU) and of the clock; on a machine that is busy with other things the latter say little.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from benchmarks.results import record
from search.files import write_table
from search.leaderboard.exports import write_all
from search.publish import publish, published
from search.results import load
from search.robustness import coverage, robustness

TESTS = Path(__file__).resolve().parent.parent / "tests" / "search"
TASKS = ("mini-nli", "mini-paraphrase", "mini-tags", "mini-topic", "mini-squad")
ROWS_A_CELL_AND_ROOT = 41
"""Rows that a candidate has of each of its 14 cells at a root: one clean, ten of each of three edits and an attack."""

MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from made_runs import made_run
made_run(Path(sys.argv[2]), tasks=sys.argv[4:], roots=int(sys.argv[3]), edits=("keyboard", "spacing", "casing"),
         attacks=("deepwordbug",))
"""


class Parts:
    """Seconds and peak memory by part."""

    def __init__(self) -> None:
        self.lines = ["| part | CPU s | clock s | peak GB so far |", "|---|---|---|---|"]
        self.cpu = self.clock = 0.0

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work and note what it took."""
        cpu, clock = time.process_time(), time.perf_counter()
        found = work()
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        self.lines.append(f"| {name} | {cpu:.1f} | {clock:.1f} | {_peak():.2f} |")
        self.cpu, self.clock = self.cpu + cpu, self.clock + clock
        return found

    def total(self, name: str) -> None:
        """A line of the sum so far."""
        self.lines.append(f"| **{name}** | **{self.cpu:.1f}** | **{self.clock:.1f}** | **{_peak():.2f}** |")


def main() -> None:
    """Make a run, read it, and print what each part took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="at least so many (1,000,000)")
    parser.add_argument("--record", action="store_true", help="append the figures to RESULTS.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, roots = Path(name) / "run", max(3, math.ceil(asked.rows / 326 / 14 / ROWS_A_CELL_AND_ROOT))
        subprocess.run([sys.executable, "-c", MAKE, str(TESTS), str(folder), str(roots), *TASKS], check=True)
        lines = measured(folder)
    if asked.record:
        record("Leaderboards of a million rows", lines, "python -m benchmarks.leaderboard_rows --record")
    else:
        print("\n".join(lines))


def measured(folder: Path) -> list[str]:
    """What each part takes on a run folder."""
    rows = parquet.read_metadata(folder / "scores.parquet").num_rows
    parts = Parts()
    results = parts("load", lambda: load([folder]))
    made, tables = parts("leaderboard, ranks, answer, Pareto", lambda: published(results))
    parts("six formats", lambda: write_all(folder, made.board, made.about))
    parts.total("load, leaderboard and exports")
    robust = parts("robustness and coverage", lambda: _robust(results))
    parts("their tables and others, parquet and CSV", lambda: _write(folder, {**tables, **robust}))
    parts("all that a run folder gets (with analysis and report)", lambda: publish(results, folder / "whole"))
    parts("scores.parquet and scores.csv", lambda: write_table(folder / "again", "scores", results.scores))
    return [f"{rows:,} rows: {len(made.board)} candidates × {results.seeds} roots × {len(results.grid)} cells.", "",
            *parts.lines]  # fmt: skip


def _robust(results: Any) -> dict[str, Any]:
    return {name: made(results.own, results.portion) for name, made in
            (("robustness", robustness), ("coverage", coverage))}  # fmt: skip


def _write(folder: Path, tables: dict[str, Any]) -> None:
    for name, table in tables.items():
        write_table(folder, name, table)


def _peak() -> float:
    """The most memory this process has had so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
