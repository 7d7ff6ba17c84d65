"""Who is ranked where: by significance from three roots on, by the mean score, and by Borda count.

| column | what it is |
| --- | --- |
| `place` | by the mean score; exact ties share one |
| `rank` | 1 + the candidates that are shown to be better; below three roots, where nothing is shown, the place |
| `rank_low`, `rank_high` | the ranks that are possible, of all candidates together with probability 95 % |
| `borda` | the share of the others that a candidate beats, in percent, mean over cells (target, language), ties half |
| `borda_rank` | by `borda`; ties share one |

Ranks by significance come of the intervals of all pairs at once (`analysis.pairwise`). The Borda count is MMTEB's
(Enevoldsen et al. 2025, arXiv 2502.13595, after Colombo et al. 2022, arXiv 2202.03799), divided by the number of the
others; every cell votes alike, so a target in more languages has more votes than it has weight in the score.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from search.analysis.design import Design
from search.analysis.overall import HYPERPARAMETERS
from search.analysis.pairwise import rank_intervals
from search.means import PRECISION
from search.order import Order
from trainables.errors import Mistake

RANKS = ["rank", "rank_low", "rank_high", "place", "borda_rank", "borda"]
"""The columns that stand first."""

SIGNIFICANCE, MEAN = "significance", "mean"
"""What a rank is made by."""


def ranks(
    board: pd.DataFrame, roots: pd.DataFrame, cells: pd.DataFrame, needed: pd.Series, tuned: Collection[str], mixed: str
) -> pd.DataFrame:
    """The columns above with `ranked_by` and `rank_reason`, for a board whose index are candidates' names.

    `roots` are the scores, candidates × roots, `cells` the means (target, language) × candidates, `needed` the number
    of roots that a candidate must have. Few-shot candidates are ranked among themselves. `rank_reason` says why there
    is no rank, or no interval of one; `mixed`, where not empty, is such a reason for all.
    """
    few = board.seeds < needed.reindex(board.index)
    less, empty = board.budget < board.budget.max(), board.score.isna()
    ranked = ~(few | less | empty)
    found = pd.DataFrame(index=board.index, columns=[*RANKS, "ranked_by", "rank_reason"])
    found = found.astype({**dict.fromkeys(RANKS, "Int64"), "borda": float}).fillna({"ranked_by": "", "rank_reason": ""})
    found.loc[less, "rank_reason"] = "trained with less than the full budget"
    lacking = "{} of {} roots: the others may have been bad ones"
    found.loc[few, "rank_reason"] = [
        lacking.format(have, need) for have, need in zip(board.seeds[few], needed[board.index][few], strict=True)
    ]
    for _, names in board.index[ranked].groupby(board.few_shot[ranked]).items():
        found.loc[names] = _ranked(board.loc[names], roots.loc[names], cells[list(names)], tuned, mixed)
    return found


def _ranked(
    board: pd.DataFrame, roots: pd.DataFrame, cells: pd.DataFrame, tuned: Collection[str], mixed: str
) -> pd.DataFrame:
    """The columns for candidates that are all ranked, among themselves."""
    place = board.score.astype(float).round(PRECISION).rank(method="min", ascending=False).astype("Int64")
    share = borda(cells)
    shown, reason = _shown(board, roots, tuned, mixed)
    return pd.DataFrame({
        "rank": place if reason else shown["rank"], "rank_low": shown.rank_low, "rank_high": shown.rank_high,
        "place": place, "borda_rank": share.round(PRECISION).rank(method="min", ascending=False).astype("Int64"),
        "borda": share, "ranked_by": MEAN if reason else SIGNIFICANCE, "rank_reason": reason,
    }, index=board.index)  # fmt: skip


def borda(cells: pd.DataFrame) -> pd.Series:
    """The share of the others that each candidate beats in percent, mean over cells, ties half; missing for one alone.

    `cells` are (target, language) × candidates, none missing.
    """
    others = len(cells.columns) - 1
    beaten = cells.round(PRECISION).rank(axis="columns", method="average") - 1
    return beaten.mean() / others * 100 if others else pd.Series(float("nan"), index=cells.columns)


def _shown(
    board: pd.DataFrame, roots: pd.DataFrame, tuned: Collection[str], mixed: str
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """`rank_intervals` of the candidates, and why there is none."""
    nothing = pd.DataFrame(pd.NA, index=board.index, columns=["rank", "rank_low", "rank_high"], dtype="Int64")
    if mixed:
        return nothing, mixed
    if len(board) < 2:
        return nothing, "there is no other candidate to compare with"
    fixed = ["method", *(name for name in HYPERPARAMETERS if name not in tuned)]
    arms = [" ".join(str(value) for value in row if not pd.isna(value)) for row in board[fixed].itertuples(index=False)]
    try:
        orders = [Order.parse(str(text)) for text in board.order]
    except Mistake as mistake:
        return nothing, mistake.what
    found = rank_intervals(Design.of(roots.loc[board.index], orders, arms)).reindex(board.index)
    return found, next((str(reason) for reason in found.reason if reason), "")
