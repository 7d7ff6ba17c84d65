"""Was the search worth it? Its course, the regret of its choice, and the controls: seeds instead of orders, shams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from search.analysis.finding import Finding
from search.report.effects import figure, forest
from search.report.names import Names
from search.report.parts import Group, Picture, Section

MOST_POINTS = 400
"""Of a line: of more, every so manieth."""


def section(findings: Sequence[Finding], names: Names) -> Section:
    """Drawn from the findings that are there."""
    by_name = {one.name: one for one in findings if len(one.table)}
    groups = []
    for name, title, make in MADE:
        if name in by_name and (pictures := make(by_name[name], names)):
            groups.append(Group(title, pictures))
    lead = "What the search found, when, and whether orders did more than seeds or longer training would."
    missing = "" if groups else "neither controls nor a course of the search."
    return Section("search", "The search and its controls", lead if groups else "", tuple(groups),
                   findings=("winners_curse",), missing=missing)  # fmt: skip


def _course(found: Finding, names: Names) -> tuple[Picture, ...]:
    table = found.table
    if not {"stages", "incumbent_score"} <= set(table) or len(table) < 2:
        return ()
    step = -(-len(table) // MOST_POINTS)
    kept = table[table.incumbent_score.notna()].iloc[::step]
    series = [_series("score of the best so far, on test", kept, "stages", "incumbent_score")]
    return (_lines("course", found, series, "training stages run", "score, %", names),)


def _regret(found: Finding, names: Names) -> tuple[Picture, ...]:
    if "k" not in found.table:
        return ()
    series = [_series("chosen on dev", found.table, "k", "estimate")]
    if "chance" in found.table:
        series.append(_series("at random", found.table, "k", "chance"))
    return (_lines("regret", found, series, "the best of the first k", "points below the best on test", names),)


def _seeds(found: Finding, names: Names) -> tuple[Picture, ...]:
    if not {"m", "orders_gain", "seeds_gain"} <= set(found.table):
        return ()
    series = [_series("the best of m orders", found.table, "m", "orders_gain"),
              _series("the best of m seeds of one order", found.table, "m", "seeds_gain")]  # fmt: skip
    return (_lines("seed-control", found, series, "m", "points", names),)


def _shams(found: Finding, names: Names) -> tuple[Picture, ...]:
    if "stages" not in found.table:
        return ()
    table = found.table.assign(stages=[f"{stages} stages" for stages in found.table.stages])
    return forest(Finding(found.name, found.title, table, found.sentence, found.unit), names, "stages")


def _lines(
    name: str, found: Finding, series: list[dict[str, Any]], x: str, y: str, names: Names
) -> Picture:  # fmt: skip
    table = found.table
    if "candidate" in table:
        table = table.assign(candidate=[names.candidate(str(one)) for one in table.candidate])
    return Picture(name, found.title, "lines", found.sentence, {"series": series, "x": x, "y": y}, pd.DataFrame(table))


def _series(name: str, table: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    kept = table[table[y].notna()]
    half = [
        figure((row.high - row.low) / 2) if y == "estimate" and hasattr(row, "high") else None
        for row in kept.itertuples()
    ]
    return {"name": name, "x": [figure(v) for v in kept[x]], "y": [figure(v) for v in kept[y]], "half": half}


MADE: tuple[tuple[str, str, Callable[[Finding, Names], tuple[Picture, ...]]], ...] = (
    ("sham_controls", "Orders against sham orders", _shams),
    ("seed_control", "The best of m orders, or of m seeds", _seeds),
    ("course", "The course of the search", _course),
    ("regret", "Regret of the choice", _regret),
)
"""Findings that are drawn: their names, the headings of their pictures, and what makes these."""
