"""The report's files: `report.html`, `report.md`, `report.json`, and the model card of the recommended order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis.finding import Finding
from search.files import write
from search.report.card import card
from search.report.markdown import to_markdown
from search.report.parts import Section, Summary, columns, records
from search.report.rendering import render
from search.report.summary import summarize
from search.results import Results

SCHEMA = 1
"""Of report.json: raised when a reader would misread it."""

CARD = "RECOMMENDED.md"


def write_report(
    results: Results, folder: Path, board: pd.DataFrame, findings: Sequence[Finding], about: Mapping[str, Any],
    examples: Mapping[str, Any] | None = None,
) -> Summary:  # fmt: skip
    """Write the report into a folder; files of the same names are replaced.

    `board` is the leaderboard, `about` what it says of itself (`answer`), `examples` rows to look at, by language.
    """
    summary = summarize(results, board, findings, answer=about.get("answer"), examples=examples)
    write(folder / "report.html", render(summary))
    write(folder / "report.md", to_markdown(summary))
    write(folder / "report.json", to_json(summary))
    if summary.head.recommended:
        write(folder / "cards" / CARD, card(results, summary))
    return summary


def to_json(summary: Summary) -> str:
    """All of the summary; tables as `columns` and `rows`, nothing left out of them."""
    content = {
        "schema": SCHEMA, "head": asdict(summary.head), "about": dict(summary.about),
        "leaderboard": {"columns": [asdict(column) for column in summary.columns], "rows": records(summary.board)},
        "sections": [_section(section) for section in summary.sections], "questions": list(summary.questions),
        "findings": [
            {"name": one.name, "title": one.title, "unit": one.unit, "primary": one.primary, "sentence": one.sentence,
             "notes": list(one.notes), "table": columns(one.table)}
            for one in summary.findings
        ],
        "languages": summary.languages,
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def _section(section: Section) -> dict[str, Any]:
    pictures = [
        {"name": one.name, "title": one.title, "kind": one.kind, "sentence": one.sentence, "caption": one.caption,
         "table": columns(one.table)}
        for group in section.groups for one in group.pictures
    ]  # fmt: skip
    return {"name": section.name, "title": section.title, "lead": section.lead, "missing": section.missing,
            "pictures": pictures}  # fmt: skip
