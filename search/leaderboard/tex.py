r"""A leaderboard as a LaTeX table (booktabs) to `\input` into a paper; by itself it compiles as its first lines say.

Whatever is not ASCII is written in commands that every LaTeX engine knows; a character of which there is none (an
emoji, Arabic, Chinese) is shown by its code point, through a macro that a paper may define otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from search.leaderboard.sheet import Cell, Sheet, sheet, short

LONG = 60
"""Characters of a name in a table."""

PAGE = 35
"""Up to so many lines a table is a float; a longer one is set as a `longtable`, over several pages."""

SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", "`": r"\char96{}", "[": "{[}", "]": "{]}", "*": "{*}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "×": r"$\times$", "−": "$-$", "–": "--", "—": "---",
    "‡": r"\ddag{}", "…": r"\ldots{}", "·": r"$\cdot$", "’": "'", "“": "``", "”": "''", "\N{NO-BREAK SPACE}": "~",
    "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "ł": r"\l{}", "ı": r"\i{}",
}  # fmt: skip
"""What stands for a sign."""

ONE = re.compile(r"-(?=-)|,(?=,)|'(?=')|[?!](?=`)")
"""Signs that LaTeX would make one with the next."""

ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
"""The command that sets each combining mark over or under a letter."""

FALLBACK = r"\providecommand{\ordersearchchar}[1]{\texttt{[U+#1]}}"
ALONE = r"\documentclass{article}\usepackage[a3paper,landscape,margin=1cm]{geometry}\usepackage{booktabs,longtable}"


def to_tex(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    r"""The table, captioned with the title, the notes below it; needs `\usepackage{booktabs,longtable}`."""
    page = sheet(board, about)
    notes = [rf"{escaped(note)}\par" for note in page.notes]
    notes += [rf"\textbf{{{escaped(asked)}}} {escaped(told)}\par" for asked, told in page.answers]
    lines = [
        r"% In a paper: \usepackage{booktabs,longtable} and \input{leaderboard}. By itself:",
        rf"% pdflatex '{ALONE}\begin{{document}}\input{{leaderboard}}\end{{document}}'",
        "% Characters that LaTeX lacks are shown by code point; a paper may \\renewcommand this.",
        FALLBACK, *(_float(page) if len(page.rows) <= PAGE else _long(page)),
        r"{\footnotesize\noindent", *notes, "}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that LaTeX shows as it is."""
    text = unicodedata.normalize("NFC", text)
    alone = {match.start() for match in ONE.finditer(text)}
    return "".join(_sign(character) + ("{}" if place in alone else "") for place, character in enumerate(text))


def _sign(character: str) -> str:
    return SIGNS.get(character) or (character if " " <= character <= "~" else _accented(character))


def _accented(character: str) -> str:
    """A letter with one mark as a command, everything else by its code point."""
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and re.match("[A-Za-z]", parts) and parts[1] in ACCENTS:
        return rf"\{ACCENTS[parts[1]]}{{{parts[0]}}}"
    return rf"\ordersearchchar{{{ord(character):04X}}}"


def _float(page: Sheet) -> list[str]:
    return [
        r"\begin{table}[htbp]", r"\centering\small", rf"\caption{{{escaped(page.title)}}}",
        rf"\begin{{tabular}}{{{_columns(page)}}}", r"\toprule", _row(_headings(page)), r"\midrule",
        *(_row(map(_cell, row)) for row in page.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip


def _long(page: Sheet) -> list[str]:
    return [
        r"{\small", rf"\begin{{longtable}}{{{_columns(page)}}}", rf"\caption{{{escaped(page.title)}}}\\",
        r"\toprule", _row(_headings(page)), r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot",
        *(_row(map(_cell, row)) for row in page.rows), r"\end{longtable}", "}",
    ]  # fmt: skip


def _columns(page: Sheet) -> str:
    return "".join("l" if place in page.words else "r" for place in range(len(page.headings)))


def _headings(page: Sheet) -> Iterable[str]:
    return (escaped(short(heading, LONG)) for heading in page.headings)


def _cell(cell: Cell) -> str:
    text = escaped(short(cell.text, LONG))
    return rf"\textbf{{{text}}}" if cell.best else text


def _row(texts: Iterable[str]) -> str:
    return rf"{' & '.join(texts)} \\"
