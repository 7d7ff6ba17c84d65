"""A leaderboard as one small page: no script, nothing from elsewhere, light and dark, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd

from search.leaderboard.sheet import Cell, Sheet, sheet

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #57606a; --best: #eaf5ea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #12161c; --line: #3a424d; --soft: #a3adb8; --best: #1d3325; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem auto;
  max-width: 90rem; padding: 0 1rem; overflow-wrap: anywhere; }
.table { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
thead th { vertical-align: bottom; }
tbody tr:last-child > * { border-bottom: 0; }
.words { text-align: left; }
tbody th { font-weight: normal; white-space: normal; overflow-wrap: anywhere; min-width: 11rem; max-width: 26rem; }
td.best { font-weight: bold; background: var(--best); }
ul { color: var(--soft); padding-left: 1.2rem; }
@media print { .table { overflow: visible; } th, td { padding: .1rem .3rem; } }
"""

SAFE = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing but its own style."""


def to_html(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """The whole page; names stay text, each in a direction of its own."""
    page = sheet(board, about)
    title = escape(page.title)
    answers = "".join(f"<p><strong>{_text(asked)}</strong> {_text(told)}</p>\n" for asked, told in page.answers)
    notes = "".join(f"<li>{_text(note)}</li>\n" for note in page.notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{SAFE}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_text(page.title)}</h1>\n"
        f"{answers}{_table(page, title)}<ul>\n{notes}</ul>\n</main>\n</body>\n</html>\n"
    )


def _table(page: Sheet, title: str) -> str:
    head = "".join(
        f'<th scope="col"{_words(page, place)}>{_text(heading)}</th>' for place, heading in enumerate(page.headings)
    )
    order = page.headings.index("order")
    rows = "".join(f"<tr>{''.join(_cells(page, row, order))}</tr>\n" for row in page.rows)
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{title}">\n<table>\n<thead>\n<tr>{head}</tr>\n'
        f"</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )


def _cells(page: Sheet, row: list[Cell], order: int) -> Iterable[str]:
    for place, cell in enumerate(row):
        if place == order:
            yield f'<th scope="row" class="words">{_text(cell.text)}</th>'
        elif cell.best:
            words = " words" if place in page.words else ""
            yield f'<td class="best{words}">{_text(cell.text)}</td>'
        else:
            yield f"<td{_words(page, place)}>{_text(cell.text)}</td>"


def _words(page: Sheet, place: int) -> str:
    return ' class="words"' if place in page.words else ""


def _text(text: str) -> str:
    """Text as it is; what is not plain ASCII stands by itself, so that its direction turns nothing else around."""
    shown = escape(text)
    return shown if text.isascii() or not text else f"<bdi>{shown}</bdi>"
