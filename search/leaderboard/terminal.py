"""A leaderboard on the terminal: just made, or of a finished run from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.leaderboard.sheet import Sheet, plain, sheet
from trainables.errors import Mistake
from trainables.untrusted import read_json

WHOLE_ORDER = 48
"""Columns of the terminal that an order's name may take before it is folded."""

HEAD = 20
"""Lines of a leaderboard that are shown."""


def print_board(board: pd.DataFrame, about: Mapping[str, Any], console: Console, most: int = HEAD) -> None:
    """The leaderboard's head, its notes and answers; names stay text."""
    print_sheet(sheet(board, about), console, most)


def print_sheet(page: Sheet, console: Console, most: int = HEAD) -> None:
    """The same of any sheet."""
    grid = Table(title=Text(page.title), title_justify="left", box=None, pad_edge=False)
    for place, heading in enumerate(page.headings):
        left = place in page.words
        longest = max((len(row[place].text) for row in page.rows), default=0) if heading == "order" else 0
        least = min(longest, WHOLE_ORDER) or None
        grid.add_column(Text(heading), justify="left" if left else "right", overflow="fold", min_width=least)
    for row in page.rows[:most]:
        grid.add_row(*(Text(cell.text, "bold" if cell.best else "") for cell in row))
    console.print(grid)
    if len(page.rows) > most:
        console.print(f"… and {len(page.rows) - most} more")
    for note in page.notes:
        console.print(Text(f"· {note}", "dim"))
    for asked, told in page.answers:
        console.print(Text.assemble("\n", (asked, "bold"), f" {told}"))


def show(path: str, console: Console, most: int = HEAD) -> None:
    """Print a finished run from its files: the leaderboard's head, what it says of itself, one line a finding of the
    analysis where there is one, and where everything is."""
    folder = Path(path)
    content = _read(folder / "leaderboard.json")
    try:
        board = pd.DataFrame(content["rows"])
        about = {key: content.get(key, {}) for key in ("title", "notes", "answer", "finals", "columns", "by")}
        print_board(board, about, console, most)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise _unreadable(folder / "leaderboard.json", f"{type(error).__name__}: {error}") from error
    if (folder / "analysis.json").is_file():
        _findings(folder / "analysis.json", console)
    found = sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    console.print(Text.assemble("\n", (f"{folder}/", "bold"), f" {', '.join(found)}"), soft_wrap=True)


def _findings(file: Path, console: Console) -> None:
    """One line a finding: its title and its sentence."""
    try:
        findings = [(plain(one["title"]), plain(one["sentence"])) for one in _read(file)["findings"]]
    except (KeyError, TypeError) as error:
        raise _unreadable(file, f"{type(error).__name__}: {error}") from error
    console.print()
    for title, sentence in findings:
        console.print(Text.assemble((title, "bold"), f": {sentence}"))


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        what = (
            error.strerror or "cannot be opened" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        )
        raise _unreadable(file, what) from error


def _unreadable(file: Path, what: str) -> Mistake:
    right = f"a run folder that holds {file.name}; `order-search ls runs` lists them"
    return Mistake(f"{file.name} cannot be read: {what}", where=str(file.parent), right=right)
