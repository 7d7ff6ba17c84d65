"""A leaderboard in every format, by the format's name, which is its file's ending too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from search.files import write
from search.leaderboard.machine import to_csv, to_json, to_parquet
from search.leaderboard.markdown import to_markdown
from search.leaderboard.tex import to_tex
from search.leaderboard.webpage import to_html

FORMATS: dict[str, Callable[[pd.DataFrame, Mapping[str, Any]], str | bytes]] = {
    "csv": lambda board, _: to_csv(board),
    "md": to_markdown,
    "json": to_json,
    "html": to_html,
    "tex": to_tex,
    "parquet": lambda board, _: to_parquet(board),
}


def write_all(folder: Path, board: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """`leaderboard.*` of a folder; files of the same names are replaced."""
    for name, made in FORMATS.items():
        write(folder / f"leaderboard.{name}", made(board, about))
