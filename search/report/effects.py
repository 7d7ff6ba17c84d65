"""What the order does: precedence, positions and tasks, drawn from the findings of the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from search.analysis.finding import Finding
from search.report.names import Names
from search.report.parts import Group, Picture, Section

CLAIM = 0.05
"""The corrected p at or below which an effect counts as shown."""

MOST_ROWS = 40
"""Effects of one picture: the largest of more."""


def section(findings: Sequence[Finding], names: Names) -> Section:
    """Pictures of the findings that are there."""
    by_name = {one.name: one for one in findings}
    groups = []
    if (found := by_name.get("precedence")) is not None and (picture := precedence(found, names)):
        groups.append(Group("Which task before which", (picture,)))
    if (found := by_name.get("positions")) is not None and (pictures := positions(found, names)):
        groups.append(Group("Which task at which position", pictures))
    if (found := by_name.get("inclusion")) is not None and (
        picture := forest(found, names, "task", "What including a task adds")
    ):
        groups.append(Group("What including a task adds", (picture,)))
    if (found := by_name.get("gains")) is not None and (
        picture := forest(found, names, "candidate", "Gains over no intermediate task")
    ):
        groups.append(Group("Gains over no intermediate task", (picture,)))
    lead = (
        "Orders of the same set of tasks are compared, so that what the set does is not taken for what the order does."
    )
    missing = "" if groups else "no set of tasks was trained in more than one order."
    return Section("order", "What the order does", lead if groups else "", tuple(groups), missing=missing,
                   findings=("variance", "precedence", "positions", "neighbours", "inclusion", "gains"))  # fmt: skip


def precedence(found: Finding, names: Names) -> Picture | None:
    """Tasks × tasks: what "row before column" adds over the other way round, in points; antisymmetric."""
    table = found.table[found.table.estimate.notna()]
    if table.empty:
        return None
    tasks = list(dict.fromkeys([*table["first"], *table["second"]]))
    place = {task: i for i, task in enumerate(tasks)}
    values = np.full((len(tasks), len(tasks)), np.nan)
    marks = np.zeros(values.shape, dtype=bool)
    for row in table.itertuples():
        i, j = place[str(row.first)], place[str(row.second)]
        values[i, j], values[j, i] = row.estimate, -row.estimate
        marks[i, j] = marks[j, i] = _shown(row)
    # The task that does best before the others stands on top.
    by = np.argsort(-np.nanmean(np.where(np.eye(len(tasks), dtype=bool), 0.0, values), axis=1), kind="stable")
    tasks, values, marks = [tasks[i] for i in by], values[np.ix_(by, by)], marks[np.ix_(by, by)]
    labels = [names.task(task) for task in tasks]
    data = {"rows": labels, "columns": labels, "values": _lists(values), "marks": marks.tolist(),
            "row_title": "trained before", "column_title": "trained after", "unit": "points"}  # fmt: skip
    caption = (
        "A cell: how many points orders gain where the task of the row comes anywhere before that of the column, against "
        "the other way round. ● shown after Holm's correction."
    )
    return Picture("precedence", found.title, "matrix", found.sentence, data, _told(table, names), caption)


def positions(found: Finding, names: Names) -> tuple[Picture, ...]:
    """Tasks × positions, once counted from the end and once from the start."""
    pictures = []
    for counted in ("end", "start"):
        table = found.table[(found.table.counted_from == counted) & found.table.estimate.notna()]
        if table.empty:
            continue
        tasks, places = list(dict.fromkeys(table.task)), sorted(set(map(int, table.position)))
        values, marks = np.full((len(tasks), len(places)), np.nan), np.zeros((len(tasks), len(places)), dtype=bool)
        for row in table.itertuples():
            i, j = tasks.index(row.task), places.index(int(row.position))
            values[i, j], marks[i, j] = row.estimate, _shown(row)
        data = {
            "rows": [names.task(task) for task in tasks], "columns": [_position(i, counted) for i in places],
            "values": _lists(values), "marks": marks.tolist(), "row_title": "", "column_title": f"from the {counted}",
            "unit": "points",
        }  # fmt: skip
        caption = (
            "A cell: the mean of the orders that have the task there, less the mean of the orders of the same set. "
            "● shown after Holm's correction."
        )
        pictures.append(Picture(f"positions-{counted}", found.title, "matrix", found.sentence, data,
                                _told(table, names), caption, choice=f"From the {counted}"))  # fmt: skip
    return tuple(pictures)


def forest(found: Finding, names: Names, column: str, title: str, name: str = "") -> Picture | None:
    """Estimates with their intervals, the largest on top; filled where they are shown."""
    if column not in found.table or "estimate" not in found.table:
        return None
    table = found.table[found.table.estimate.notna()]
    if table.empty:
        return None
    largest = table.reindex(table.estimate.abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS])
    kept = largest.sort_values("estimate", ascending=False, kind="stable")
    called = {"task": names.task, "candidate": names.candidate, "order": names.order}.get(column, str)
    rows = [
        {"label": called(str(getattr(row, column))), "estimate": _figure(row.estimate),
         "low": _figure(getattr(row, "low", np.nan)), "high": _figure(getattr(row, "high", np.nan)), "shown": _shown(row)}
        for row in kept.itertuples()
    ]  # fmt: skip
    caption = "Estimates with 95 % intervals; filled where shown after correction for their number."
    if len(kept) < len(table):
        caption += f" The {len(kept)} largest of {len(table)}."
    data = {"rows": rows, "unit": found.unit}
    return Picture(name or found.name, title, "forest", found.sentence, data, _told(table, names), caption)


def _shown(row: Any) -> bool:
    p = next((getattr(row, key) for key in ("p_holm", "p_adjusted", "q", "p") if hasattr(row, key)), np.nan)
    return bool(not pd.isna(p) and p <= CLAIM)


def _told(table: pd.DataFrame, names: Names) -> pd.DataFrame:
    """A finding's table with short names of tasks and candidates."""
    called = {"task": names.task, "first": names.task, "second": names.task, "order": names.order}
    found = table.copy()
    for column, name in called.items():
        if column in found:
            found[column] = [name(str(value)) for value in found[column]]
    return found


def _figure(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 3)


def _lists(values: np.ndarray[Any, Any]) -> list[list[float | None]]:
    return [[_figure(value) for value in row] for row in values]


def _position(place: int, counted: str) -> str:
    return ("last" if counted == "end" else "first") if place == 1 else f"{place}"
