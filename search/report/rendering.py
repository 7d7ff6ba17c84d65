"""The report as one HTML file that needs nothing else: no network, no server, no file beside it.

plotly.js is inlined once, as gzip in base64: 2 MB instead of 4.8, and nothing of it is parsed before a picture comes
into view. Browsers unpack it themselves (DecompressionStream: Chrome 80, Firefox 113, Safari 16.4); in an older one, or
should anything go wrong, the tables of the pictures stand in their place. The page's policy (Content-Security-Policy)
forbids every request and every script but the three whose hashes it names.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from search.means import TARGET
from search.report.board import MOST, best, is_own
from search.report.cells import called
from search.report.figures import draw
from search.report.names import groups_of
from search.report.parts import Column, Summary, columns
from search.report.theme import LINES, themes
from trainables.errors import Mistake

ROWS = 1000
"""Rows of a table that the page holds; the files have all."""


class Cell(NamedTuple):
    """A cell of the leaderboard: its text, what it is sorted by, a small addition, whether it is the best, and where on
    a bar of its column it lies (low, middle, high in percent)."""

    text: str
    value: str
    beside: str = ""
    best: bool = False
    bar: tuple[float, float, float] | None = None


def render(summary: Summary) -> str:
    """The page."""
    figures = {picture.name: draw(picture) for picture in summary.pictures()}
    data = {
        "figures": figures, "themes": themes(), "languages": summary.languages,
        "tables": {picture.name: columns(picture.table, ROWS) for picture in summary.pictures()}
        | {f"finding {one.name}": columns(one.table, ROWS) for one in summary.findings},
    }  # fmt: skip
    scripts = [_page("early.js"), _page("report.js"), _plotly()]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_page("report.html.j2"))
    tasks = {name: i % len(LINES["light"]) for i, name in enumerate(summary.about["tasks"])}
    return template.render(
        s=summary, figures=figures, lines=LINES, columns=summary.columns, rows=_rows(summary),
        zero=_zero(summary), short=summary.about["short"], tasks=tasks, groups_of=groups_of,
        picture_of=_picture_of, policy=_policy(scripts), style=Markup(_page("report.css")),  # noqa: S704
        early=Markup(scripts[0]), script=Markup(scripts[1]), data=Markup(embedded(data)),  # noqa: S704
        plotly=Markup(_packed()), methods=sorted(set(map(str, summary.board.method))) if len(summary.board) else [],  # noqa: S704
    )  # fmt: skip


def embedded(data: Any) -> str:
    """JSON that stands in a script element as it is: no tag can begin or end in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _picture_of(figure: dict[str, Any]) -> dict[str, int]:
    layout = figure["layout"]
    return {"height": layout["height"], "width": layout["meta"]["min_width"]}


# --- the leaderboard --------------------------------------------------------------------------------------------------


def _rows(summary: Summary) -> list[dict[str, Any]]:
    board = summary.board.head(MOST)
    tops = {column.key: best(summary.board, column) for column in summary.columns}
    span = _span(board)
    return [
        {"order": str(row["order"]), "method": str(row["method"]),
         "recommended": row["candidate"] == summary.head.recommended,
         "cells": [_cell(row, column, i in tops[column.key], span, summary) for column in summary.columns]}
        for i, row in board.iterrows()
    ]  # fmt: skip


def _cell(row: pd.Series, column: Column, top: bool, span: tuple[float, float], summary: Summary) -> Cell:
    value = row[column.key]
    if pd.isna(value):
        return Cell("", "")
    if column.digits is None:
        return Cell(f"{value:g}" if isinstance(value, float) else str(value), str(value))
    text, plain = f"{float(value):.{column.digits}f}", f"{float(value):.6g}"
    match column.key:
        case "rank":
            low, high = row.get("rank_low"), row.get("rank_high")
            known = not (pd.isna(low) or pd.isna(high))
            return Cell(text, plain, f"{int(low)}–{int(high)}" if known else "")
        case "score":
            half = row["score_half_width"]
            bar = _bar(float(value), 0.0 if pd.isna(half) else float(half), span)
            return Cell(text, plain, "" if pd.isna(half) else f"± {half:.1f}", top, bar)
        case "robust_score":
            half = row["robust_half_width"]
            return Cell(text, plain, "" if pd.isna(half) else f"± {half:.1f}", top)
        case "worst_language_score":
            return Cell(text, plain, called(str(row["worst_language"])), top)
    own = column.key.startswith(TARGET) and is_own(row, summary.about["targets"].get(column.key, ""))
    return Cell(text + (" ‡" if own else ""), plain, "", top)


def _span(board: pd.DataFrame) -> tuple[float, float]:
    if not len(board) or board.score.isna().all():
        return 0.0, 1.0
    half = board.score_half_width.astype(float).fillna(0.0)
    low, high = float((board.score - half).min()), float((board.score + half).max())
    return low, high if high > low else low + 1


def _bar(value: float, half: float, span: tuple[float, float]) -> tuple[float, float, float]:
    low, high = span
    a, m, b = (round(100 * (one - low) / (high - low), 1) for one in (value - half, value, value + half))
    return a, m, b


def _zero(summary: Summary) -> float | None:
    """Where on the bars the empty order lies."""
    board = summary.board
    none = board[(board.order == "none") & board.score.notna()] if len(board) else board
    return _bar(float(none.score.iloc[0]), 0.0, _span(board.head(MOST)))[1] if len(none) else None


# --- what is inlined --------------------------------------------------------------------------------------------------


@cache
def _page(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text("utf-8")


@cache
def _plotly() -> str:
    spec = find_spec("plotly")  # the file alone is wanted: importing plotly takes longer than all of the rest
    if spec is None or spec.origin is None:
        raise Mistake("plotly is not installed", right="pip install plotly, of which the report needs the script")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text("utf-8")


@cache
def _packed() -> str:
    return base64.b64encode(gzip.compress(_plotly().encode(), 6, mtime=0)).decode()


def _policy(scripts: Sequence[str]) -> str:
    """No request at all, and no script but these."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )
