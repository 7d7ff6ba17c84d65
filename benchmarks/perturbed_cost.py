"""What do perturbations add to a study? Seconds of its stages by what they do, from the records of its store.

python search/run.py --space orders --perturbations standard --out OUT
python -m benchmarks.perturbed_cost OUT/store
"""

from __future__ import annotations

import argparse
from collections import defaultdict

from benchmarks.results import record
from trainables.store import Store


def seconds(store: Store) -> dict[str, list[float]]:
    """The seconds of every stage, by what it did."""
    found: dict[str, list[float]] = defaultdict(list)
    for key in sorted(store.keys()):
        about = store.record(key) or {}
        if stage := about.get("stage"):
            found[stage["settings"].get("measure") or stage["kind"]].append(float(about["seconds"]))
    return found


def main() -> None:
    """Print the table, and record it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="a study's store")
    given = parser.parse_args()
    found = seconds(Store(given.store))
    lines = ["| what | stages | seconds | a stage |", "|---|---:|---:|---:|"]
    lines += [f"| {what} | {len(own)} | {sum(own):.0f} | {sum(own) / len(own):.2f} |" for what, own in found.items()]
    added = sum(sum(found.get(what, [])) for what in ("perturbations", "attack"))
    if found.get("train"):
        lines.append(f"\nperturbations take {added / sum(found['train']):.2f} of the seconds of training")
    record("perturbations beside training", lines, "python -m benchmarks.perturbed_cost OUT/store")


if __name__ == "__main__":
    main()
