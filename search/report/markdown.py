"""The report as Markdown: the same summary in words and tables, for a terminal, a repository or a paper's appendix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from search.leaderboard.markdown import escaped
from search.report.parts import Column, Section, Summary

HEAD = 25
"""Rows of the leaderboard; `leaderboard.md` has all."""

ROWS = 12
"""Rows of a finding's table; `report.json` has all."""


def to_markdown(summary: Summary) -> str:
    """Headings, sentences and the heads of tables; no pictures."""
    return "\n".join(_lines(summary)).rstrip() + "\n"


def _lines(summary: Summary) -> Iterator[str]:
    head, about = summary.head, summary.about
    yield f"# {escaped(head.title)}\n"
    yield from (f"> **{escaped(stamp)}**\n" for stamp in head.stamps)
    model = escaped(about["model"]["name"])
    yield f"{head.date} · {about['candidates']} candidates × {about['seeds']} roots · model {model}\n"
    if head.recommended:
        yield f"**Recommended order:** {escaped(head.recommended)} ({escaped(head.why)}). {escaped(about['alike'])}\n"
        yield from _table(["", "", ""], ([key.name, f"**{key.figure}**", key.beside] for key in head.keys), raw={1})
    else:
        yield escaped(head.why)
    if head.primary:
        yield f"**Primary result.** {escaped(head.primary)}\n"
    if about["answer"]:
        yield f"**{escaped(about['answer']['question'])}** {escaped(about['answer']['sentence'])}\n"
    if about["finals"]:
        yield f"**Which is the best?** {escaped(about['finals'])}\n"
    yield from (f"{escaped(caveat)}\n" for caveat in head.caveats)
    yield from _questions(summary)
    yield from _board(summary)
    for section in summary.sections:
        yield from _section(section)
    yield from _findings(summary)
    yield from _how(summary)


def _questions(summary: Summary) -> Iterator[str]:
    if summary.questions:
        yield "## The questions, answered\n"
    for number, row in enumerate(summary.questions, start=1):
        yield f"**{number}. {escaped(row['question'])}**\n"
        for part in row["parts"]:
            yield f"- {escaped(part['part'])}: **{escaped(part['verdict'])}**. {escaped(part['answer'])}"
        yield f"\n{escaped(row['cannot'])}\n"


def _board(summary: Summary) -> Iterator[str]:
    yield "## Leaderboard\n"
    columns = [column for column in summary.columns if column.part in ("", "targets", "cost")]
    rows = ([_shown(row, column) for column in columns] for row in summary.board.head(HEAD).to_dict("records"))
    yield from _table([column.heading + _arrow(column) for column in columns], rows)
    if len(summary.board) > HEAD:
        yield f"The best {HEAD} of {len(summary.board)}; leaderboard.md has all.\n"


def _arrow(column: Column) -> str:
    return {"high": " ↑", "low": " ↓"}.get(column.better, "") if column.key != "rank" else ""


def _shown(row: dict[str, Any], column: Column) -> str:
    value = row[column.key]
    if pd.isna(value):
        return ""
    if column.digits is None:
        return f"{value:g}" if isinstance(value, float) else str(value)
    text = f"{float(value):.{column.digits}f}"
    match column.key:
        case "rank" if not pd.isna(row.get("rank_low")):
            return f"{text} ({row['rank_low']:.0f}–{row['rank_high']:.0f})"
        case "score" | "robust_score":
            half = row["score_half_width" if column.key == "score" else "robust_half_width"]
            return text if pd.isna(half) else f"{text} ± {half:.1f}"
        case "worst_language_score":
            return f"{row['worst_language']} {text}"
    return text


def _section(section: Section) -> Iterator[str]:
    if not section.groups:
        return
    yield f"## {escaped(section.title)}\n"
    if section.lead:
        yield f"{escaped(section.lead)}\n"
    for group in section.groups:
        for picture in group.pictures:
            yield f"- **{escaped(picture.title)}**: {escaped(picture.sentence)}"
    yield ""


def _findings(summary: Summary) -> Iterator[str]:
    if summary.findings:
        yield "## Findings\n"
    for found in summary.findings:
        if found.name == "five_questions":
            continue
        yield f"### {escaped(found.title)} ({'primary' if found.primary else 'exploratory'})\n"
        yield f"{escaped(found.sentence)}\n"
        yield from (f"- {escaped(note)}" for note in found.notes)
        if found.notes:
            yield ""
        if len(found.table):
            rows = ([_plain(value) for value in row] for row in found.table.head(ROWS).itertuples(index=False))
            yield from _table([str(name) for name in found.table], rows)
            if len(found.table) > ROWS:
                yield f"The first {ROWS} of {len(found.table)} rows.\n"


def _how(summary: Summary) -> Iterator[str]:
    yield "## How it was made\n"
    for run in summary.about["runs"]:
        yield f"Run {escaped(run['name'])}, {escaped(run['started'])}, commit {escaped(run['commit'] or 'unknown')}:\n"
        yield f"    {' '.join(str(run['command']).split())}\n"
    versions = ", ".join(f"{name} {version}" for name, version in summary.about["versions"].items())
    model = summary.about["model"]
    yield f"{escaped(versions)}; model {escaped(model['name'])} {model['fingerprint'][:16]}\n"
    lacking = [section for section in summary.sections if section.missing and not section.groups]
    if lacking:
        yield "What this study does not show:\n"
        yield from (f"- {escaped(section.title)}: {section.missing}" for section in lacking)
        yield ""
    yield "How to cite:\n"
    yield "\n".join(f"    {line}" for line in str(summary.about["cite"]).splitlines())


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]], raw: Iterable[int] = ()) -> Iterator[str]:
    """A table; the cells of the columns `raw` are Markdown already."""
    names, kept = list(headings), set(raw)
    yield f"| {' | '.join(map(escaped, names))} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(cell if i in kept else escaped(cell) for i, cell in enumerate(row))} |"
    yield ""


def _plain(value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
