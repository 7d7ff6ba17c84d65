"""A leaderboard for machines: CSV, JSON and parquet. `configs/columns.yaml` says what every column is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from search.files import parquet_bytes
from search.leaderboard.sheet import VARIED
from search.scores import csv_text


def to_csv(board: pd.DataFrame) -> str:
    """CSV with scores to two decimals; a cell that a spreadsheet would run as a formula is quoted as text."""
    return csv_text(_rounded(board))


def to_json(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """JSON: what the study was, then the rows, with scores to two decimals."""
    rows = json.loads(_rounded(board).to_json(orient="records"))
    return json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"


def to_parquet(board: pd.DataFrame) -> bytes:
    """Parquet with all digits."""
    return parquet_bytes(board)


def _rounded(board: pd.DataFrame) -> pd.DataFrame:
    kept = [c for c in board.select_dtypes("float").columns if c not in (*VARIED, "tuned_share")]
    return board.round(dict.fromkeys(kept, 2))
