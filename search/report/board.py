"""The leaderboard as a report shows it: which columns, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from search.leaderboard.sheet import VARIED
from search.means import FAMILY, TARGET, snake
from search.report.names import Names
from search.report.parts import Column
from search.results import Results
from trainables.languages import LANGUAGES

ATTACKED = "attacked_"
"""What the columns of figures under an attack begin with."""

MOST = 2000
"""Rows of the leaderboard that a report shows; the files have all."""


def shown_columns(board: pd.DataFrame, results: Results, names: Names) -> tuple[Column, ...]:
    """The columns that the board has figures for, in the order that people read them."""
    return tuple(column for column in _columns(board, results, names) if board[column.key].notna().any())


def _columns(board: pd.DataFrame, results: Results, names: Names) -> Iterator[Column]:
    known = set(board.columns)
    fixed = [
        Column("rank", "rank", "low", digits=0), Column("order", "order", digits=None),
        *(Column(name, name.replace("_", " "), digits=None) for name in VARIED
          if name in known and board[name].nunique(dropna=False) > 1),
        Column("score", "score", "high"), Column("robust_score", "robust", "high"),
        Column("worst_language_score", "worst language", "high"), Column("gap_to_english", "gap to English", "low"),
        Column("borda", "Borda %", "high"),
    ]  # fmt: skip
    yield from (column for column in fixed if column.key in known)
    for target in results.settings.targets:
        if (key := f"{TARGET}{snake(target)}") in known:
            yield Column(key, names.task(target), "high", "targets")
    for key, name in _families(board).items():
        yield Column(key, name, "high", "families")
    yield from (Column(key, heading, better, part, digits) for key, heading, better, part, digits in (
        ("robust_drop", "fall under edits", "low", "robustness", 1),
        ("robust_attackable_score", "robust where changed", "high", "robustness", 1),
        ("attackability", "attackable %", "", "robustness", 1),
        ("stress_score", "under stress", "high", "robustness", 1),
    ) if key in known)  # fmt: skip
    for key in board.columns:
        if key.startswith(ATTACKED):
            yield Column(key, f"under {key.removeprefix(ATTACKED).replace('_', ' ')}", "high", "robustness")
    if "stage_cost" in known:
        yield Column("stage_cost", "stages", "low", "cost", 0)


def _families(board: pd.DataFrame) -> dict[str, str]:
    called = {snake(info.family.split(":")[0]): info.family.split(":")[0] for info in LANGUAGES.values()}
    keys = [key for key in board.columns if key.startswith(FAMILY)]
    return {key: called.get(key.removeprefix(FAMILY), key.removeprefix(FAMILY).replace("_", " ")) for key in keys}


def best(board: pd.DataFrame, column: Column) -> set[int]:
    """The rows that are best in a column among those with a rank; none where nothing is better or worse."""
    if not column.better or column.key in ("rank", "stage_cost"):
        return set()
    ranked = board[board["rank"].notna()] if "rank" in board else board
    values = ranked[column.key].astype(float).round(column.digits or 0)
    most = values.max() if column.better == "high" else values.min()
    found = values[values == most]
    return set() if len(found) == len(values) else set(found.index)


def is_own(row: pd.Series, target: str) -> bool:
    """Whether the training set of a target is among the order's tasks, which is no transfer."""
    own = row.get("own_training_set")
    return isinstance(own, str) and target in own.split()
