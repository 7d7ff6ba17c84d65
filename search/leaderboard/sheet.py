"""What people read of a leaderboard: headings with ↑ and ↓, cells with ± and ranks that are possible, the best marked.

A sheet is text and nothing else, the same for every format; the files beside this one put it into their notations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from search.means import TARGET, snake

OWN = "‡"
"""Marks the score of a target whose own training set is among the order's tasks: no transfer."""

VARIED = ("run", "method", "prompt_length", "learning_rate", "budget")
"""What a candidate is besides its order; each is shown to people where it differs."""

LONG = 100
"""Characters of a name that a table shows; machine-readable files have all of them."""

Record = Mapping[str, Any]


class Cell(NamedTuple):
    """The text of a cell, and whether it is the best of its column among those ranked."""

    text: str
    best: bool = False


class Sheet(NamedTuple):
    """A leaderboard as text: a title, headings, rows of as many cells, notes, and questions with their answers.

    `words` holds the places of columns of words, which stand to the left.
    """

    title: str
    headings: list[str]
    words: frozenset[int]
    rows: list[list[Cell]]
    notes: list[str]
    answers: list[tuple[str, str]]


class Column(NamedTuple):
    """A heading, the text of a record's cell, and of which figure the highest (1) or the lowest (-1) is the best."""

    heading: str
    text: Callable[[Record], str]
    figure: str = ""
    better: int = 0
    words: bool = False


def sheet(board: pd.DataFrame, about: Mapping[str, Any]) -> Sheet:
    """The sheet of a board and of what it says of itself: title, notes, answer, finals, and the `columns` that are
    shown beside the overall ones, each with its heading."""
    columns, records = list(_columns(board, about.get("columns") or {})), board.to_dict("records")
    together = ["few_shot", *(["method"] if about.get("by") == "method" else [])]
    best = [_best(board, column, together) for column in columns]
    rows = [
        [Cell(plain(column.text(record)), place in marked) for column, marked in zip(columns, best, strict=True)]
        for place, record in enumerate(records)
    ]
    words = frozenset(place for place, column in enumerate(columns) if column.words)
    notes = [plain(note) for note in about["notes"]]
    return Sheet(plain(about["title"]), [plain(c.heading) for c in columns], words, rows, notes, _answers(about))


def shown(board: pd.DataFrame, labels: Mapping[str, str] | None = None) -> list[str]:
    """The headings of the table people read; `labels` are those of further columns, by default the targets."""
    return [column.heading for column in _columns(board, labels or {})]


def cells(record: Record, board: pd.DataFrame, labels: Mapping[str, str] | None = None) -> list[str]:
    """One candidate's cells under `shown`'s headings, empty where a figure is missing."""
    return [column.text(record) for column in _columns(board, labels or {})]


def plain(text: str) -> str:
    """Text on one line, without control characters, which a terminal would obey."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", " ".join(str(text).split()))


def short(text: str, most: int = LONG) -> str:
    """A name of any length in a table: the middle of a long one is left out."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[-(most // 4) :]}"


def _columns(board: pd.DataFrame, labels: Mapping[str, str]) -> Iterator[Column]:
    yield Column("rank", _rank)
    varied = [name for name in VARIED if name in board and board[name].nunique(dropna=False) > 1]
    yield Column("order", lambda record: str(record["order"]), words=True)
    for name in varied:
        yield Column(name.replace("_", " "), partial(_value, name), words=name in ("run", "method"))
    if "tuned_share" in board and board.tuned_share.round(6).nunique(dropna=False) > 1:
        yield Column("tuned %", lambda record: _figure(record["tuned_share"] * 100, 2))
    roots = int(board.seeds.max()) if len(board) else 0
    yield Column("score ↑", partial(_score, "score", "score_half_width", "seeds", roots), "score", 1)
    yield Column("Borda rank", lambda record: _figure(record["borda_rank"], 0))
    yield Column("worst language ↑", _worst, "worst_language_score", 1, words=True)
    if "robust_score" in board:
        text = partial(_score, "robust_score", "robust_half_width", "robust_seeds", roots)
        yield Column("robust ↑", text, "robust_score", 1)
        yield Column("attackable %", lambda record: _figure(record["attackability"]))
    yield Column("gap to English ↓", lambda record: _figure(record["gap_to_english"]), "gap_to_english", -1)
    for name, label in (labels or {c: c.removeprefix(TARGET) for c in board if c.startswith(TARGET)}).items():
        yield Column(f"{label} ↑", partial(_marked, name), name, 1)
    yield Column("stages", lambda record: _figure(record["stage_cost"], 0))


def _best(board: pd.DataFrame, column: Column, together: list[str]) -> set[int]:
    """Places of the rows that are best in a column at the digits that are shown: among those ranked together (alike in
    some columns), of which there must be two."""
    found: set[int] = set()
    if not column.better or column.figure not in board:
        return found
    values = (board[column.figure].astype(float) * column.better).round(1).where(board["rank"].notna())
    for _, part in values.groupby([board[name] for name in together]):
        if len(part.dropna()) > 1:
            found |= set(part.index[part == part.max()])
    return found


def _answers(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = about.get("answer") or {}
    found = [(plain(told["question"]), plain(told["sentence"]))] if told else []
    return found + ([("Which is the best?", plain(about["finals"]))] if about.get("finals") else [])


def _rank(record: Record) -> str:
    if pd.isna(record["rank"]):
        return ""
    low, high = record["rank_low"], record["rank_high"]
    possible = "" if pd.isna(low) else f" ({low:.0f}–{high:.0f})"
    return f"{record['rank']:.0f}{possible}" + (" few-shot" if record.get("few_shot") else "")


def _score(score: str, half_width: str, seeds: str, roots: int, record: Record) -> str:
    """A mean over roots, ± where it can be had, and how many roots it is of where some are lacking."""
    half = _figure(record[half_width])
    count = 0 if pd.isna(record[seeds]) else int(record[seeds])
    partly = f" ({count} of {roots} roots)" if 0 < count < roots else ""
    return _figure(record[score]) + (f" ± {half}" if half else "") + partly


def _worst(record: Record) -> str:
    worst = _figure(record["worst_language_score"])
    return f"{record['worst_language']} {worst}" if worst else ""


def _marked(name: str, record: Record) -> str:
    own = record.get("own_training_set")
    marked = isinstance(own, str) and name.startswith(TARGET) and name.removeprefix(TARGET) in map(snake, own.split())
    return _figure(record[name]) + (f" {OWN}" if marked else "")


def _value(name: str, record: Record) -> str:
    value = record[name]
    return "" if pd.isna(value) else f"{value:g}" if isinstance(value, int | float) else str(value)


def _figure(value: Any, digits: int = 1) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"
