"""The first run of a fresh clone, installation excluded: when the first row comes, when the end; then the second run.

    python -m benchmarks.first_run [--before CHECKOUT] [--repeats 1] [--record]

With another checkout (`git worktree add CHECKOUT COMMIT`) both are run alternately, each in new folders, and the ratio
of their seconds is told. Processor seconds are the whole machine's, which should be otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from benchmarks.results import record

ROOT = Path(__file__).resolve().parent.parent


class Run(NamedTuple):
    """Seconds to the first finished run of a candidate (None where none was run) and to the end, and of processors."""

    first: float | None
    end: float
    cpu: float


def timed(root: Path, folder: str) -> Run:
    """The command of the README, of a checkout."""
    start, first, before = time.monotonic(), None, _spent()
    command = [sys.executable, str(root / "search" / "run.py"), "--space", "orders"]
    env = {**os.environ, "PYTHONPATH": str(root)}  # not the checkout that is installed
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if first is None and line.startswith("done "):
                first = time.monotonic() - start
    assert process.returncode == 0
    return Run(first, time.monotonic() - start, _spent() - before)


def _spent() -> float:
    used = psutil.cpu_times()
    return float(used.user + used.nice + used.system)


def twice(root: Path) -> tuple[Run, Run, list[dict[str, Any]]]:
    """Two runs of a checkout in a new folder, and their manifests."""
    with tempfile.TemporaryDirectory() as folder:
        runs = timed(root, folder), timed(root, folder)
        manifests = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("runs/orders-*/manifest.json"))]
    return *runs, manifests


def main() -> None:
    """Run, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout to be measured beside this one")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    given = parser.parse_args()
    sides = {"this checkout": ROOT} | ({"before": given.before.resolve()} if given.before else {})
    found: dict[str, list[tuple[Run, Run, list[dict[str, Any]]]]] = {side: [] for side in sides}
    for _ in range(given.repeats):
        for side, root in sides.items():
            found[side].append(twice(root))
            print(side, found[side][-1][:2], file=sys.stderr, flush=True)
    lines = []
    for side, runs in found.items():
        first, end, cpu = (median(getattr(one[0], name) for one in runs) for name in Run._fields)
        again = median(one[1].end for one in runs)
        lines.append(
            f"- {side}: first row after {first:.0f} s, end after {end:.0f} s ({cpu:.0f} s of processors); "
            f"the same command again {again:.1f} s"
        )
    manifest, second = found["this checkout"][0][2]
    cost = manifest["cost"]
    lines += [
        f"- stages: {cost['stages_naive']} alone, {cost['stages_distinct']} distinct, {cost['stages_executed']} run; "
        f"the second time {second['cost']['stages_executed']}",
        f"- worker processes: {manifest['worker_starts']} started for {manifest['slots']} slots",
    ]
    if given.before:
        ratios = [b[0].end / a[0].end for a, b in zip(found["this checkout"], found["before"], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"- before takes {median(ratios):.2f} times as long ({shown})")
    if given.record:
        words = ["CHECKOUT" if word == str(given.before) else word for word in sys.argv[1:]]
        record("first run", lines, " ".join(["python -m benchmarks.first_run", *words]))
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
