"""Findings as files: a table each, all of them as JSON, and as Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis.finding import Finding
from search.analysis.findings import findings
from search.analysis.five_questions import NOT_ASKED
from search.analysis.primary import p_value
from search.files import write, write_table
from search.leaderboard.markdown import escaped
from search.results import Results

SCHEMA = 1
"""Of analysis.json: raised when an older reader would misread it."""

FOLDER = "analysis"
"""Of the findings' tables, in a run folder."""

SHOWN_ROWS = 12
"""Rows of a table that analysis.md shows; all are in its CSV."""

FOR_MACHINES = frozenset({
    "contrast", "portion", "unit", "measured", "seed_sd", "in_seed_sd_low", "in_seed_sd_high", "level", "planned_test",
    "frozen", "codes", "data",
})  # fmt: skip
"""Columns that analysis.md leaves out."""

P_VALUES = ("p", "q", "p_holm", "p_adjusted")


def write_analysis(results: Results, folder: Path) -> list[Finding]:
    """Write all findings into a folder: `analysis/NAME.csv` and `.parquet` of each that has rows, `analysis.json`,
    `analysis.md`. Tables of findings that are no more are taken away. The findings."""
    found = findings(results)
    told = {one.name for one in found if len(one.table)}
    for old in (folder / FOLDER).glob("*.*"):
        if old.stem not in told and old.suffix in (".csv", ".parquet"):
            old.unlink()
    for one in found:
        if len(one.table):
            write_table(folder / FOLDER, one.name, one.table)
    write(folder / "analysis.json", to_json(results, found))
    write(folder / "analysis.md", to_markdown(results, found))
    return found


def why_none(results: Results) -> str:
    """Why there is no analysis; empty where there is one."""
    if results.differences:
        return f"The runs are not of one study, so nothing is tested over them: {'; '.join(results.differences)}."
    return "" if len(results.own) else "Nothing was scored."


# --- JSON -------------------------------------------------------------------------------------------------------------


def to_json(results: Results, found: Sequence[Finding]) -> str:
    """`schema`; `primary`, what the manifest froze; `reason`, why there are no findings; `findings`, a list of name,
    title, unit, primary, sentence, notes, columns and rows (by column; null where a cell is empty)."""
    content = {
        "schema": SCHEMA, "primary": results.manifest.get("primary"), "reason": why_none(results),
        "findings": [as_record(one) for one in found],
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_record(found: Finding) -> dict[str, Any]:
    """A finding as plain values."""
    rows = json.loads(found.table.to_json(orient="records", double_precision=10))
    return {
        "name": found.name, "title": found.title, "unit": found.unit, "primary": found.primary,
        "sentence": found.sentence, "notes": list(found.notes), "columns": list(map(str, found.table.columns)),
        "rows": rows,
    }  # fmt: skip


# --- Markdown ---------------------------------------------------------------------------------------------------------


def to_markdown(results: Results, found: Sequence[Finding]) -> str:
    """Headings, sentences, notes and the heads of tables; what a study does not have is listed at the end."""
    lines = [f"# Analysis: {escaped(str(results.manifest['title']))}", ""]
    if not found:
        return "\n".join([*lines, escaped(why_none(results)), ""])
    for one in found:
        if len(one.table):
            lines += _section(one)
    lacking = [f"- {escaped(one.title)}: {escaped(one.sentence)}" for one in found if not len(one.table)]
    if lacking:
        lines += ["## Not in this study", "", *lacking, ""]
    return "\n".join(lines)


def _section(found: Finding) -> Iterator[str]:
    exploratory = not found.primary and "p" in found.table and found.name != "five_questions"
    yield f"## {escaped(found.title)}{' (exploratory)' if exploratory else ''}"
    yield ""
    if found.name == "five_questions":
        yield from _questions(found.table)
    else:
        yield escaped(found.sentence)
        yield ""
        yield from _table(found)
    yield from (f"- {escaped(note.rstrip('.'))}." for note in found.notes)
    yield ""


def _questions(table: pd.DataFrame) -> Iterator[str]:
    for number, part in table.groupby("number"):
        yield f"**{number}. {escaped(str(part.question.iloc[0]))}**"
        yield ""
        yield from (
            f"- {escaped(row.part)}: **{escaped(row.verdict)}**. {_code(row.answer)}" for row in part.itertuples()
        )
        yield f"- {escaped(str(part.cannot.iloc[0]))}"
        more = part[(part.verdict != NOT_ASKED) & (part.command != "")]
        if len(more):
            yield f"- With more roots: `{more.command[more.needed.astype(float).idxmax()]}`"
        yield ""


def _code(text: str) -> str:
    """Escaped but for what stands between backquotes, which is a command."""
    parts = text.split("`")
    return "".join(f"`{part}`" if place % 2 else escaped(part) for place, part in enumerate(parts))


def _table(found: Finding) -> Iterator[str]:
    kept = [
        name for name, column in found.table.items()
        if name not in FOR_MACHINES and any(_text(str(name), cell) for cell in column)
    ]  # fmt: skip
    yield f"| {' | '.join(escaped(str(name).replace('_', ' ')) for name in kept)} |"
    yield "|" + "---|" * len(kept)
    for row in found.table.head(SHOWN_ROWS).to_dict("records"):
        yield f"| {' | '.join(_text(name, row[name]) for name in kept)} |"
    left = len(found.table) - SHOWN_ROWS
    yield ""
    if left > 0:
        yield f"… and {left:,} more in {FOLDER}/{found.name}.csv"
        yield ""


def _text(name: str, cell: Any) -> str:
    """A cell for people: p to two digits, other figures to two decimals."""
    if cell is None or (not isinstance(cell, str) and pd.isna(cell)):
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return p_value(cell) if name in P_VALUES else f"{cell:.0f}" if cell.is_integer() else f"{cell:.2f}"
    return escaped(str(cell))
