"""Record a study as the example of docs/example: a run folder small enough for the repository, and all made of it.

    python search/run.py --space orders --set orders.max_length=4 --seeds 6 --set controls=true --set forgetting=true \
        --seed-control 24 --perturbations docs/example/misspellings.yaml,docs/example/short-attack.yaml
    order-search report runs/RUN --examples 2 --out docs/example    # examples.json: what the model says of some texts
    python -m benchmarks.example runs/RUN
    python -m benchmarks.example            # make the files again from docs/example/run

What is left out: halves of the test items, figures of edits that enter no table of the example, predictions on edited
texts, and figures as PNG. Workers are numbered, since their names hold the machine's.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "example"
FORMATS = ("md", "csv", "json", "html", "tex", "parquet")
PORTIONS = ("dev", "test", "model", "forgetting", "representations")
LEFT_OUT = ("token_accuracy", "flips_down", "flips_up", "consistency", "undone", "words_changed", "candidates_per_word",
            "clean_attackable")  # fmt: skip


def trim(run: Path, folder: Path) -> None:
    """Copy what the example is made from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("manifest.json", "config.yaml"):
        shutil.copy(run / name, folder / name)
    scores = pd.read_parquet(run / "scores.parquet")
    kept = scores.portion.isin(PORTIONS) & ~scores.metric.isin(LEFT_OUT)
    _write(scores[kept], folder / "scores.parquet")
    _write(pd.read_parquet(run / "candidates.parquet"), folder / "candidates.parquet")
    stages = pd.read_parquet(run / "stages.parquet")
    names = {name: f"worker-{i}" for i, name in enumerate(sorted(stages.worker.dropna().unique()), start=1)}
    _write(stages.assign(worker=stages.worker.map(names)), folder / "stages.parquet")
    for path in sorted((run / "predictions").glob("*.parquet")):
        rows = pd.read_parquet(path)
        clean = (rows.portion == "test") & (rows.perturbation == "none")
        attacked = (rows.portion == "test") & rows.perturbation.str.startswith("attack:")
        (folder / "predictions").mkdir(exist_ok=True)
        _write(rows[clean | attacked], folder / "predictions" / path.name)


def render(folder: Path, out: Path) -> None:
    """Everything that is made from the recorded run, by the commands that a reader would use."""
    commands = [["leaderboard", folder, "--format", form, "--out", out / f"leaderboard.{form}"] for form in FORMATS]
    root = EXAMPLE.parent.parent
    for arguments in (*commands, ["report", folder, "--out", out, "--figures"]):
        told = [str(one.relative_to(root)) if isinstance(one, Path) else one for one in arguments]
        subprocess.run([sys.executable, "search/run.py", *told], check=True, cwd=root)
    for path in (out / "figures").glob("*.png"):
        path.unlink()  # ten times the SVG's size


def _write(rows: pd.DataFrame, path: Path) -> None:
    rows.to_parquet(path, index=False, compression="zstd", compression_level=19)
    print(f"{path.name}: {len(rows):,} rows, {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Record where a run is named, then make the files."""
    parser = argparse.ArgumentParser(description="record a study as the example of docs/example")
    parser.add_argument("run", nargs="?", type=Path)
    run = parser.parse_args().run
    if run:
        trim(run, EXAMPLE / "run")
    render(EXAMPLE / "run", EXAMPLE)


if __name__ == "__main__":
    main()
