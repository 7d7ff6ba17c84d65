"""What an encoder gives zero-shot on the mini suite's targets: each trained alone in English, at the default budget.

python -m benchmarks.zero_shot [MODEL]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks.alone import bench_of, others, scores_of, study_of
from benchmarks.results import record

SEEDS = (0, 1, 2)
TARGETS = ("mini-xnli", "mini-pawsx", "mini-pos", "mini-panx", "mini-xquad", "mini-tatoeba", "mini-bucc")


def main(model: str) -> None:
    """Print and record English dev, the mean and the least of the other languages, over the seeds."""
    lines = []
    with tempfile.TemporaryDirectory() as store:
        study = study_of(TARGETS, Path(store), model=model, seeds=len(SEEDS))
        bench = bench_of(study)
        for name in TARGETS:
            found = [scores_of(bench, study, study.space.arms[0], name, seed) for seed in SEEDS]
            dev = [one["dev"] for one in found if "dev" in one]
            least = min((v, k) for one in found for k, v in one.items() if k not in ("dev", "en"))
            shown = f"English dev {mean(dev):.3f}, " if dev else ""
            told = f"other languages {mean(map(others, found)):.3f}, the least {least[0]:.3f} ({least[1]})"
            lines.append(f"- {name}: {shown}{told}")
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.write("    " + " ".join(f"{k} {mean(o[k] for o in found):.2f}" for k in found[0]) + "\n")
    if model == "micro":
        record("zero-shot of the micro encoder", lines, "python -m benchmarks.zero_shot")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "micro")
