"""What a leaderboard says of its part, its ranks and its robust figures, below what the study says of itself."""

from __future__ import annotations

import pandas as pd

from search.describe import changed_notes, robust_notes
from search.leaderboard.cuts import Cut
from search.leaderboard.ranks import SIGNIFICANCE
from search.results import Results


def notes(results: Results, cut: Cut, board: pd.DataFrame) -> list[str]:
    """The notes of a board: what part it is of first, then the study's own, then those of ranks and robust figures."""
    rows = cut.rows(cut.methods)
    rows = rows[rows.metric == "robust"]
    changed = changed_notes(rows, results.portion, cut.changed) if cut.changed else []
    robust = [] if cut.changed else robust_notes(rows, results.portion)
    own = [note for note in results.manifest["notes"] if not (changed and note.startswith("score:"))]
    return [*_runs(results), *_part(cut), *changed, *own, *_ranks(board), *robust]


def _runs(results: Results) -> list[str]:
    """Which runs stand together, where there are several."""
    if len(results.runs) < 2:
        return []
    names = ", ".join(run.name for run in results.runs)
    apart = f"; not of one study, side by side: {'; '.join(results.differences)}" if results.differences else ""
    return [f"runs: {names}{apart}"]


def _part(cut: Cut) -> list[str]:
    """What is left of the grid, and what a column of a group is."""
    told, whole = [], cut.results.grid
    asked = cut.asked
    if len(cut.grid) < len(whole):
        counts = [
            f"{target} in {(cut.grid.get_level_values(0) == target).sum()} of "
            f"{(whole.get_level_values(0) == target).sum()}"
            for target in cut.grid.unique("target")
        ]
        told.append(f"only these cells, for all candidates alike, in means and ranks: {', '.join(counts)} languages")
    if asked.by == "perturbation":
        told.append("one column an edit or attack: the robust score under it alone, on the cells that it has")
    elif asked.by == "method":
        told.append("one block a method, each ranked by itself")
    elif asked.by in ("language", "family", "script"):
        told.append(f"one column a {asked.by}: the mean over targets of means over its languages")
    return told


def _ranks(board: pd.DataFrame) -> list[str]:
    """How ranks are made, and why there is none, or no interval of one."""
    if not len(board):
        return []
    ranked = board[board["rank"].notna()]
    told = []
    if (ranked.ranked_by == SIGNIFICANCE).any():
        told.append(
            "rank: 1 + the number of candidates that are shown to be better, and in brackets the ranks that are "
            "possible (all pairs at once, 95 %); lines stand by their mean score"
        )
    reasons = dict.fromkeys(ranked.rank_reason[ranked.ranked_by != SIGNIFICANCE])
    told += [f"rank: by the mean score, no difference is shown ({reason})" for reason in reasons]
    if len(ranked) > 1:
        told.append("Borda rank: by how many of the others a candidate beats, mean over targets and languages")
    missing = dict.fromkeys(board.rank_reason[board["rank"].isna()])
    return told + [f"no rank: {reason}" for reason in missing]
