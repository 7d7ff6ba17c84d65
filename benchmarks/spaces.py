"""What the shipped spaces cost, and what they answer, read from their finished runs.

for space in methods prompts complexity icl joint; do python search/run.py --space $space --out runs; done
python -m benchmarks.spaces runs/RUN …
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.results import record


def main(runs: list[str]) -> None:
    """Record a line a run: seconds, stages, slots, and the answer."""
    lines = []
    for run in map(Path, runs):
        manifest = json.loads((run / "manifest.json").read_text("utf-8"))
        answer = json.loads((run / "leaderboard.json").read_text("utf-8"))["answer"]
        cost = manifest["cost"]
        lines.append(
            f"- {run.name.rsplit('-', 2)[0]}: {cost['seconds']:.0f} s on {manifest['slots']} workers, "
            f"{manifest['candidates']} candidates × {len(manifest['seeds'])} roots, {cost['stages_executed']} stages "
            f"({cost['stages_naive']} alone). {answer['sentence']}"
        )
    record("the shipped spaces", lines, "python -m benchmarks.spaces runs/RUN …  (after the runs)")


if __name__ == "__main__":
    main(sys.argv[1:])
