"""A side of a benchmark in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time


def apart(benchmark: str, *words: str) -> dict[str, float]:
    """The figures that a benchmark of this folder prints in its last line, as JSON, when it is given these words."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(*words, json.dumps(found), f"({time.monotonic() - start:.0f} s in all)", file=sys.stderr, flush=True)
    return found
