"""The first run of a fresh clone, installation excluded: when the first row comes, when the end; then the second run.

python -m benchmarks.first_run
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import record

SCRIPT = Path(__file__).resolve().parent.parent / "search" / "run.py"


def timed(folder: str) -> tuple[float | None, float]:
    """Seconds to the first finished run of a candidate (None where none was run) and to the end."""
    start, first = time.monotonic(), None
    command = [sys.executable, str(SCRIPT), "--space", "orders"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if first is None and line.startswith("done "):
                first = time.monotonic() - start
    assert process.returncode == 0
    return first, time.monotonic() - start


def main() -> None:
    """Run twice in a new folder and record both."""
    with tempfile.TemporaryDirectory() as folder:
        first, end = timed(folder)
        _, again = timed(folder)
        manifests = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("runs/orders-*/manifest.json"))]
    cost = manifests[0]["cost"]
    record(
        "first run",
        [
            f"- first row after {first:.0f} s, end after {end:.0f} s; the same command again {again:.1f} s",
            f"- stages: {cost['stages_naive']} alone, {cost['stages_distinct']} distinct, "
            f"{cost['stages_executed']} run; the second time {manifests[1]['cost']['stages_executed']}",
            f"- worker processes: {manifests[0]['worker_starts']} started for {manifests[0]['slots']} slots",
        ],
        "python -m benchmarks.first_run",
    )


if __name__ == "__main__":
    main()
