"""Which candidates no other one beats in everything: the Pareto front of score, worst language, robustness and cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.analysis.overall import SETTINGS, candidates
from trainables.methods import FEW_SHOT

FIGURES = ("score", "worst_language", "robust_score", "cost")
"""What is compared, each where the leaderboard has it; of the cost less is better."""


def pareto(scores: pd.DataFrame, board: pd.DataFrame, prices: Mapping[str, float]) -> pd.DataFrame:
    """The candidates of a leaderboard with their figures, the front first and by score.

    `front` says whether no other candidate is at least as good in every figure and better in one; where one is,
    `dominated_by` names the one of highest score. `prices` are the prices of candidates' own stages, by name. What has
    no rank (roots or budget are lacking) is left out; few-shot candidates compete among themselves; what lacks a figure
    is in no front and dominates nobody. Means of the study's roots: a front of noisy figures is itself noisy, and
    favours whom luck favoured.
    """
    if not len(board):
        return pd.DataFrame(columns=["candidate", *SETTINGS, *FIGURES, "front", "dominated_by"])
    about = candidates(scores).reset_index()
    about.index = _keys(about)
    found = about.join(_figures(board), how="inner").reset_index(drop=True)
    found["cost"] = found.candidate.map(prices)
    names = [name for name in FIGURES if name in found and found[name].notna().any()]
    values = found[names].to_numpy(dtype=float) * [-1.0 if name == "cost" else 1.0 for name in names]
    whole, apart = ~np.isnan(values).any(axis=1), found.method.isin(FEW_SHOT).to_numpy()
    # One at a time: all pairs at once would take gigabytes in a large space.
    better = [whole & whole[place] & dominates(values, values[place]) & (apart == apart[place])
              for place in range(len(values))]  # fmt: skip
    found["front"] = whole & np.array([not mask.any() for mask in better], dtype=bool)
    by_score = found.score.to_numpy(dtype=float)
    found["dominated_by"] = [
        found.candidate.iloc[int(np.where(mask, by_score, -np.inf).argmax())] if mask.any() else None for mask in better
    ]
    columns = ["candidate", *SETTINGS, *names, "front", "dominated_by"]
    return found.sort_values(["front", "score"], ascending=False, kind="stable")[columns].reset_index(drop=True)


def dominates(values: NDArray[np.float64], one: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows are at least as good as this one everywhere and better somewhere."""
    return np.asarray((values >= one).all(axis=1) & (values > one).any(axis=1))


def _figures(board: pd.DataFrame) -> pd.DataFrame:
    found = pd.DataFrame({"score": board["score"], "worst_language": board["worst_language_score"]})
    if "robust_score" in board:
        found["robust_score"] = board["robust_score"]
    found.index = _keys(board)
    return found[board["rank"].notna().to_numpy()]


def _keys(frame: pd.DataFrame) -> pd.Index:
    """What a candidate is besides its budget, as text: a missing prompt length has no type of its own."""
    return pd.Index([
        f"{one.order} {one.method} {one.learning_rate!r} {'' if pd.isna(one.prompt_length) else one.prompt_length}"
        for one in frame.itertuples()
    ])  # fmt: skip
