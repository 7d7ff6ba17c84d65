"""From the long table to means that count: by candidate and root, over targets or for one of them, in percent.

A target's score is the mean over its languages, the overall score the mean over targets (XTREME's). Only what a
candidate scores itself at the full budget counts: the main metric, unperturbed, in the languages that a target is
averaged over. The grid (targets × languages) is all that occurs; a mean is missing (nan) where a cell of it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

SETTINGS = ("order", "method", "learning_rate", "prompt_length")
"""What a candidate is besides its budget."""

HYPERPARAMETERS = ("learning_rate", "prompt_length")
"""The columns that vary within an order and a method."""


def counted(scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """The rows of a portion that enter means."""
    return _own(scores)[lambda rows: rows.portion == portion]


def by_target(scores: pd.DataFrame, portion: str) -> dict[str, pd.DataFrame]:
    """For each target its score in percent: candidates (as they first occur) × roots.

    Raises ValueError where a cell has two scores.
    """
    rows = counted(scores, portion)
    cells = rows.set_index(["candidate", "seed", "target", "language"]).value.unstack(["target", "language"]) * 100
    names, targets = rows.candidate.unique(), rows.target.unique()
    return {t: cells[t].mean(axis="columns", skipna=False).unstack("seed").reindex(names) for t in targets}


def overall(scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """The overall score in percent: candidates (as they first occur) × roots; empty where nothing was scored."""
    targets = list(by_target(scores, portion).values())
    return pd.DataFrame(sum(targets) / len(targets)) if targets else pd.DataFrame()


def candidates(scores: pd.DataFrame) -> pd.DataFrame:
    """The candidates of the full budget as they first occur, with order, method, learning_rate and prompt_length."""
    own = _own(scores).drop_duplicates("candidate").set_index("candidate")
    return own.reindex(columns=list(SETTINGS))


def lesser(scores: pd.DataFrame, portion: str, targets: Collection[str]) -> pd.DataFrame:
    """The different candidates that have a score of one of the targets at a smaller budget: a row each of SETTINGS."""
    if "budget" not in scores:
        return pd.DataFrame(columns=list(SETTINGS))
    rows = _main(scores)
    rows = rows[(rows.budget < 1) & (rows.portion == portion) & rows.target.isin(list(targets))]
    return rows.reindex(columns=list(SETTINGS)).drop_duplicates()


def by_order(values: pd.DataFrame, scores: pd.DataFrame, chosen: Sequence[str]) -> pd.DataFrame:
    """Values (candidates × roots) of the chosen candidates as (method, order) × roots, in the order they were chosen.

    Raises ValueError where two of the chosen have the same order and method: orders are compared at one setting each.
    """
    about = candidates(scores)
    kept = [name for name in chosen if name in values.index]
    index = pd.MultiIndex.from_frame(about.loc[kept, ["method", "order"]])
    if not index.is_unique:
        method, order = index[index.duplicated()][0]
        raise ValueError(f"one candidate an order and method must be chosen, but there are two of {order} {method}")
    return values.loc[kept].set_axis(index, axis="index")


def paired(values: pd.DataFrame, first: str, second: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two methods' values as orders × roots, alike in shape; missing in both where one lacks them.

    `values` is `by_order`'s. Only orders that both methods have in some root; none where a method is not there at all.
    """
    methods = values.index.unique("method")
    if first not in methods or second not in methods:
        return pd.DataFrame(), pd.DataFrame()
    one, other = values.xs(first, level="method").align(values.xs(second, level="method"), join="inner")
    both = one.notna() & other.notna()
    kept = both.any(axis="columns")
    return one.where(both)[kept], other.where(both)[kept]


def _own(scores: pd.DataFrame) -> pd.DataFrame:
    """The candidates' own scores at the full budget; tables of before budgets hold no others."""
    rows = _main(scores)
    return rows[rows.budget == 1] if "budget" in rows else rows


def _main(scores: pd.DataFrame) -> pd.DataFrame:
    """The candidates' own scores at any budget; tables of before stages hold no others."""
    kept = scores.main.astype(bool) & ~scores.apart.astype(bool) & (scores.perturbation == "none")
    if "stage" in scores:
        kept &= scores.stage == ""
    return scores[kept]
