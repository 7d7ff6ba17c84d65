"""Do the default study's orders differ by more than seed noise? Six roots, sign-flip of whole roots.

    python search/run.py --space orders --seeds 6
    python -m benchmarks.order_noise runs/RUN

Each root gives every order's zero-shot score less the root's mean. Under "no order differs" a root's contrasts may as
well have the opposite sign, all together (orders of one root share stages, so they cannot be exchanged one by one). The
statistic is the sum of squared mean contrasts; with R roots the smallest p is 2 / 2^R. Two questions are asked: among
all orders, and among orders of the same set of tasks.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.results import record


def contrasts(scores: pd.DataFrame, within_sets: bool) -> np.ndarray:
    """Roots × orders: zero-shot score in percent less the root's mean (of the same set of tasks, if asked)."""
    clean = scores[(scores.portion == "test") & scores.main]
    table = clean.groupby(["seed", "order", "target"]).value.mean().groupby(["seed", "order"]).mean().unstack() * 100
    sets = ["+".join(sorted(order.replace(">", "+").split("+"))) if within_sets else "" for order in table.columns]
    centred = table.T.groupby(pd.Index(sets)).transform(lambda part: part - part.mean()).T
    return np.asarray(centred.loc[:, centred.abs().sum() > 0])


def sign_flip(rows: np.ndarray) -> float:
    """The share of sign patterns of whole roots whose statistic is at least the observed one."""
    observed = (rows.mean(0) ** 2).sum()
    signs = np.array(list(itertools.product((1, -1), repeat=len(rows))))
    statistics = ((signs @ rows / len(rows)) ** 2).sum(1)
    return float((statistics >= observed - 1e-12).mean())


def main(folder: str) -> None:
    """Print and record both tests, with the spread of orders beside the noise between roots."""
    scores = pd.read_parquet(Path(folder) / "scores.parquet")
    lines = []
    for question, within in (("all orders", False), ("orders of the same set of tasks", True)):
        rows = contrasts(scores, within)
        between, noise = rows.mean(0).std(ddof=1), rows.std(0, ddof=1).mean()
        lines.append(
            f"- {question} ({rows.shape[1]}): SD between orders' means {between:.2f} points, SD between roots of one "
            f"order {noise:.2f}; sign-flip of {len(rows)} roots p = {sign_flip(rows):.3f}"
        )
    record("orders against seed noise", lines, "python -m benchmarks.order_noise runs/RUN  (after --seeds 6)")


if __name__ == "__main__":
    main(sys.argv[1])
