"""Files written whole or not at all; tables as parquet and as CSV."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from search.scores import csv_text

if TYPE_CHECKING:
    import pandas as pd


def write(path: Path, content: str | bytes) -> None:
    """A file, whole or not at all; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)


def write_table(folder: Path, name: str, rows: pd.DataFrame) -> None:
    """A table as `name.parquet` and as `name.csv`, in which no cell is a formula to a spreadsheet."""
    write(folder / f"{name}.parquet", parquet_bytes(rows))
    write(folder / f"{name}.csv", csv_text(rows))


def parquet_bytes(rows: pd.DataFrame) -> bytes:
    """A table as a parquet file's content."""
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
