"""What the order does: variance, precedence, positions and tasks, drawn from the findings of the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from search.analysis.finding import Finding
from search.report.names import Names
from search.report.parts import Group, Picture, Section
from search.report.split import Part, parts_of

CLAIM = 0.05
"""The corrected p at or below which an effect counts as shown."""

MOST_ROWS = 40
"""Effects of one picture: the largest of more."""

BEFORE = (
    "A cell: the points that orders gain where the task of the row comes anywhere before that of the column, against "
    "the other way round. ● shown after Holm's correction."
)
AT = (
    "A cell: the mean of the orders that have the task there, less the mean of the orders of the same set. ● shown "
    "after Holm's correction."
)
INTERVALS = "Estimates with 95 % intervals; filled where shown after correction for their number."


def section(findings: Sequence[Finding], names: Names) -> Section:
    """Pictures of the findings that are there."""
    by_name = {one.name: one for one in findings}
    groups = []
    for name, title, make in MADE:
        if name in by_name and (pictures := make(by_name[name], names)):
            groups.append(Group(title, pictures))
    lead = "Orders of the same set of tasks are compared, so that what the set does is not taken for what order does."
    missing = "" if groups else "no set of tasks was trained in more than one order."
    return Section("order", "What the order does", lead if groups else "", tuple(groups), missing=missing,
                   findings=("which_tasks", "order", "neighbours", "order_by_family"))  # fmt: skip


def variance(found: Finding, names: Names) -> tuple[Picture, ...]:
    """The shares of the variance of one score."""
    pictures = []
    for part in parts_of(found):
        kept = part.table[part.table.share.notna()] if "share" in part.table else part.table[:0]
        kept = kept[~kept.component.astype(str).str.startswith("seed:")]  # parts of the seed's share
        if kept.empty:
            continue
        data = {"labels": list(map(str, kept.component)), "values": [round(100 * float(v), 1) for v in kept.share],
                "x": "share of the variance of one score, %"}  # fmt: skip
        pictures.append(Picture(part.stem("variance"), found.title, "bars", found.sentence, data, part.told(names),
                                choice=part.choice))  # fmt: skip
    return tuple(pictures)


def precedence(found: Finding, names: Names) -> tuple[Picture, ...]:
    """Tasks × tasks: what "row before column" adds over the other way round, in points; antisymmetric."""
    pictures = []
    for part in parts_of(found):
        table = part.table[part.table.estimate.notna()] if len(part.table) else part.table
        if table.empty:
            continue
        tasks = list(dict.fromkeys([*table["first"], *table["second"]]))
        place = {task: i for i, task in enumerate(tasks)}
        values, marks = np.full((len(tasks), len(tasks)), np.nan), np.zeros((len(tasks), len(tasks)), dtype=bool)
        for row in table.itertuples():
            i, j = place[row.first], place[row.second]
            values[i, j], values[j, i] = row.estimate, -row.estimate
            marks[i, j] = marks[j, i] = shown(row)
        # The task that does best before the others stands on top.
        by = np.argsort(-np.nanmean(np.where(np.eye(len(tasks), dtype=bool), 0.0, values), axis=1), kind="stable")
        labels = [names.task(tasks[i]) for i in by]
        data = {"rows": labels, "columns": labels, "values": _lists(values[np.ix_(by, by)]),
                "marks": marks[np.ix_(by, by)].tolist(), "row_title": "trained before",
                "column_title": "trained after", "unit": "points"}  # fmt: skip
        said = largest(_gaining(table), lambda row: f"{names.task(row.first)} before {names.task(row.second)}")
        pictures.append(Picture(part.stem("precedence"), found.title, "matrix", said, data, part.told(names),
                                BEFORE, part.choice))  # fmt: skip
    return tuple(pictures)


def _gaining(table: pd.DataFrame) -> pd.DataFrame:
    """Each pair the way round that gains."""
    ends = {"first": "second", "second": "first", "estimate": "estimate", "low": "high", "high": "low"}
    turned = table.rename(columns={name: ends[name] for name in ends if name in table})
    numbers = [name for name in ("estimate", "low", "high") if name in turned]
    turned[numbers] = -turned[numbers]
    return table.where(table.estimate >= 0, turned[table.columns])


def positions(found: Finding, names: Names) -> tuple[Picture, ...]:
    """Tasks × positions, once counted from the end and once from the start."""
    pictures = []
    for part in parts_of(found):
        for counted in ("end", "start") if len(part.table) else ():
            table = part.table[(part.table.counted_from == counted) & part.table.estimate.notna()]
            if len(table):
                pictures.append(_positions(found, part, table, counted, names))
    return tuple(pictures)


def _positions(found: Finding, part: Part, table: pd.DataFrame, counted: str, names: Names) -> Picture:
    tasks, places = list(dict.fromkeys(table.task)), sorted(set(map(int, table.position)))
    values, marks = np.full((len(tasks), len(places)), np.nan), np.zeros((len(tasks), len(places)), dtype=bool)
    for row in table.itertuples():
        i, j = tasks.index(row.task), places.index(int(row.position))
        values[i, j], marks[i, j] = row.estimate, shown(row)
    data = {
        "rows": [names.task(task) for task in tasks], "columns": [_position(i, counted) for i in places],
        "values": _lists(values), "marks": marks.tolist(), "row_title": "", "column_title": f"from the {counted}",
        "unit": "points",
    }  # fmt: skip
    said = largest(table, lambda row: f"{names.task(row.task)} {_position(int(row.position), counted)}")
    choice = f"{part.choice}, from the {counted}" if part.choice else f"From the {counted}"
    return Picture(part.stem(f"positions-{counted}"), found.title, "matrix", said, data, part.told(names), AT, choice)


def forest(found: Finding, names: Names, column: str) -> tuple[Picture, ...]:
    """Estimates with their intervals, the largest on top; filled where they are shown."""
    called = {"task": names.task, "candidate": names.candidate, "order": names.order}.get(column, str)
    pictures = []
    for part in parts_of(found):
        if column not in part.table or not part.table.estimate.notna().any():
            continue
        table = part.table[part.table.estimate.notna()]
        most = table.reindex(table.estimate.abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS])
        kept = most.sort_values("estimate", ascending=False, kind="stable")
        rows = [
            {"label": called(str(getattr(row, column))), "estimate": figure(row.estimate), "shown": shown(row),
             "low": figure(getattr(row, "low", np.nan)), "high": figure(getattr(row, "high", np.nan))}
            for row in kept.itertuples()
        ]  # fmt: skip
        caption = INTERVALS if len(kept) == len(table) else f"{INTERVALS} The {len(kept)} largest of {len(table)}."
        said = largest(table, lambda row: called(str(getattr(row, column))), found.unit)
        stem, data = part.stem(found.name.replace("_", "-")), {"rows": rows, "unit": found.unit}
        told = part.told(names)
        pictures.append(Picture(stem, found.title, "forest", said, data, told, caption, part.choice))
    return tuple(pictures)


def _inclusion(found: Finding, names: Names) -> tuple[Picture, ...]:
    return forest(found, names, "task")


def _gains(found: Finding, names: Names) -> tuple[Picture, ...]:
    return forest(found, names, "candidate")


MADE: tuple[tuple[str, str, Callable[[Finding, Names], tuple[Picture, ...]]], ...] = (
    ("variance", "Where differences come from", variance),
    ("precedence", "Which task before which", precedence),
    ("positions", "Which task at which position", positions),
    ("inclusion", "What including a task adds", _inclusion),
    ("gains", "Gains over no intermediate task", _gains),
)
"""Findings that are drawn: their names, the headings of their pictures, and what makes these."""


def shown(row: Any) -> bool:
    """Whether an effect is shown: by its corrected p."""
    p = next((getattr(row, key) for key in ("p_holm", "p_adjusted", "q", "p") if hasattr(row, key)), np.nan)
    return bool(not pd.isna(p) and p <= CLAIM)


def largest(table: pd.DataFrame, called: Callable[[Any], str], unit: str = "points") -> str:
    """`1 of 6 shown. The largest: tags before topic, +1.17 points (95 % +0.50 to +1.84).`"""
    rows = list(table.itertuples())
    sure = [row for row in rows if shown(row)]
    row = max(sure or rows, key=lambda one: abs(one.estimate))
    known = hasattr(row, "low") and not pd.isna(row.low)
    interval = f" (95 % {row.low:+.2f} to {row.high:+.2f})" if known else ""
    first = "The only one" if len(rows) == 1 else "The largest" if not sure else "The largest of these"
    what = " points" if unit == "points" else ""
    return f"{len(sure)} of {len(rows)} shown. {first}: {called(row)}, {row.estimate:+.2f}{what}{interval}."


def figure(value: float) -> float | None:
    """A number as JSON has it, None for a missing one."""
    return None if pd.isna(value) else round(float(value), 3)


def _lists(values: np.ndarray[Any, Any]) -> list[list[float | None]]:
    return [[figure(value) for value in row] for row in values]


def _position(place: int, counted: str) -> str:
    return ("last" if counted == "end" else "first") if place == 1 else f"{place}"
