"""The leaderboard of results, or of a part of them, and what it says of itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import pandas as pd

from search.leaderboard.board import about_candidates, leaderboard, main_rows, ranked_board, roots_of_runs
from search.leaderboard.cuts import FLAGS, Cut, View
from search.leaderboard.groups import columns_by
from search.leaderboard.notes import notes
from search.means import grid_cells, over_whole_roots
from search.results import Results
from search.robustness import cells_under
from trainables.errors import Mistake


class Viewed(NamedTuple):
    """A leaderboard, and what it says of itself: title, notes, `columns` (the headings of those that are shown beside
    the overall ones), `by`."""

    board: pd.DataFrame
    about: dict[str, Any]


WHOLE = View()
"""All of a study."""


def view(results: Results, asked: View = WHOLE) -> Viewed:
    """The leaderboard of a part of results. Raises Mistake for a name that the results do not have."""
    cut = Cut(results, asked)
    blocks = [[method] for method in cut.methods] if asked.by == "method" else [cut.methods]
    boards = [found for found in (_board(cut, methods) for methods in blocks) if len(found)]
    board = pd.concat(boards, ignore_index=True) if boards else pd.DataFrame()
    labels: dict[str, str] = {}
    if len(board):
        under = {name: _under(cut, [name]) for name in cut.grouped}
        found = {name: over_whole_roots(cells) for name, cells in under.items() if len(cells)}
        labels, more = columns_by(asked.by, over_whole_roots(_cells(cut, cut.methods)), found)
        more = more.reindex(board.candidate).set_axis(board.index)
        board = pd.concat([board, more[[name for name in more if name not in board]]], axis="columns")
    said = "; ".join(f"{kind} {', '.join(names)}" for kind, names in asked.parts.items())
    title = results.manifest["title"] + (f": {said}" if said else "")
    labels = {column: _partial(results, asked, name) for column, name in labels.items()}
    return Viewed(
        board, {"title": title, "notes": notes(results, cut, board), "columns": labels, "by": asked.by or ""}
    )  # fmt: skip


def _board(cut: Cut, methods: Collection[str]) -> pd.DataFrame:
    """The leaderboard of the candidates of some methods."""
    results, rows = cut.results, cut.rows(methods)
    mixed = f"the runs differ: {'; '.join(results.differences)}" if results.differences else ""
    if not cut.changed:
        return leaderboard(
            rows, results.stage_cost, results.portion, results.order_facts,
            grid=cut.grid, edits=cut.edits, tuned=results.settings.tuned, mixed=mixed,
        )  # fmt: skip
    clean = main_rows(rows, results.portion)
    return ranked_board(
        _cells(cut, methods), about_candidates(clean), roots_of_runs(clean), results.stage_cost, results.order_facts,
        tuned=results.settings.tuned, mixed=mixed,
    )  # fmt: skip


def _cells(cut: Cut, methods: Collection[str]) -> pd.DataFrame:
    """What candidates are compared on, in percent: (target, language) × (candidate, seed)."""
    if cut.changed:
        cells = _under(cut, cut.changed, methods)
        if len(cells):
            return cells
        what = f"{', '.join(cut.changed)}: no cell is left, all are n/a or were not measured"
        raise Mistake(what, where=FLAGS["perturbations"], right="another edit, or other languages")
    clean = main_rows(cut.rows(methods), cut.results.portion)
    return grid_cells(clean[~clean.apart.astype(bool)], cut.grid) * 100


def _under(cut: Cut, perturbations: Collection[str], methods: Collection[str] | None = None) -> pd.DataFrame:
    """The robust figures in percent under some edits or attacks; candidates stand as in the table."""
    rows = cut.rows(cut.methods if methods is None else methods)
    cells = cells_under(rows, cut.results.portion, perturbations, cut.edits) * 100
    if cells.empty:
        return cells
    names = [name for name in rows.candidate.unique() if name in cells.columns.unique("candidate")]
    return cells[cells.index.isin(cut.grid)].reindex(columns=names, level="candidate")


def _partial(results: Results, asked: View, target: str) -> str:
    """A target's heading, which says so where the data have not all of its languages."""
    some = asked.languages or asked.families or asked.scripts
    told = "" if some or asked.by not in (None, "target", "method") else results.manifest["partial"].get(target, "")
    return f"{target}, {told.split(' (')[0]}" if told else target
