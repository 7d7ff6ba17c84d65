"""A leaderboard as a Markdown table (GitHub's), with what it says of itself below."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from search.leaderboard.sheet import Cell, Sheet, sheet, short


def to_markdown(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """The title, the table with the best of each column in bold, the notes and the answers."""
    return sheet_markdown(sheet(board, about))


def sheet_markdown(page: Sheet) -> str:
    """The same of any sheet."""
    lines = [
        f"# {escaped(page.title)}", "", _row(map(escaped, page.headings)),
        f"|{''.join('---|' if place in page.words else '---:|' for place in range(len(page.headings)))}",
        *(_row(map(_cell, row)) for row in page.rows), "", *(f"- {_begun(escaped(note))}" for note in page.notes),
    ]  # fmt: skip
    for question, sentence in page.answers:
        lines += ["", f"**{escaped(question)}** {escaped(sentence)}"]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|*`\[~]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _row(texts: Any) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    text = escaped(short(cell.text))
    return f"**{text}**" if cell.best else text


def _begun(text: str) -> str:
    """Text at the beginning of a line, where a sign or a number would begin a list, a quote or a heading."""
    return re.sub(r"^(?:([#+\-=>])|(\d+)([.)]))", lambda m: rf"\{m[1]}" if m[1] else rf"{m[2]}\{m[3]}", text)
