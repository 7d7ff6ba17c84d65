"""Reading the tables of a run folder that others may have written: as parquet, checked before anything is made of them.

Parquet is data. What is looked at are the kinds of columns, which everything after relies on, and the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.dataset as files
import pyarrow.parquet as parquet
from pandas.api.types import is_bool_dtype, is_integer_dtype, is_numeric_dtype

from search.scores import UNUSED
from trainables.untrusted import CONTROL, regular

MOST_ROWS = 100_000_000
"""Rows of a table at most: ten times those of the largest studies there are."""

TEXTS = [
    "candidate", "order", "method", "target", "language", "portion", "perturbation", "metric", "stage",
]  # fmt: skip
"""Columns of the long table that repeat few texts: read as categories, a tenth of the memory."""


def read_scores(path: Path, objective: str) -> pd.DataFrame:
    """The long table without the halves of the test items that nothing is made from under this objective."""
    unused = list(UNUSED[objective])
    if not _few(regular(path)):
        return pd.read_parquet(path)
    names = parquet.read_schema(path).names
    texts = [name for name in TEXTS if name in names]
    read = files.ParquetFileFormat(read_options=files.ParquetReadOptions(dictionary_columns=texts))
    rows = files.dataset(path, format=read).to_table(filter=~files.field("portion").isin(unused))
    frame: pd.DataFrame = rows.to_pandas()
    # The candidates come back as they first occur, whatever order the categories have in the file.
    kinds = {name: pd.CategoricalDtype(frame[name].unique().astype(object)) for name in texts}
    return _checked(frame.astype({**kinds, "prompt_length": "Int64"}), "scores")


def read_table(path: Path) -> pd.DataFrame:
    """A table of a run folder. OSError, ValueError or what pyarrow raises where it is none, or not as it should be."""
    _few(regular(path))
    return _checked(pd.read_parquet(path), path.stem)


def _few(path: Path) -> int:
    """The number of rows of a file; ValueError where there are more than any study has (a few bytes can say so)."""
    rows = int(parquet.read_metadata(path).num_rows)
    if rows > MOST_ROWS:
        raise ValueError(f"{path.name} has {rows:,} rows, more than {MOST_ROWS:,}")
    return rows


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table, if its columns are of the kinds they should be, and no text in it is one that a terminal obeys."""
    if not len(frame):
        return frame
    for column, is_kind in COLUMNS.get(name, {}).items():
        if column not in frame or not is_kind(frame[column]):
            raise ValueError(f"{name}.parquet: the column '{column}' is missing, or of another kind")
    for column in frame.select_dtypes(["object", "string", "category"]).columns:
        if any(isinstance(one, str) and CONTROL.search(one) for one in frame[column].unique()):
            raise ValueError(f"{name}.parquet: the column '{str(column)[:40]}' holds control characters")
    return frame


def _is_text(column: pd.Series) -> bool:
    return all(isinstance(one, str) for one in column.unique())


def _is_whole(column: pd.Series) -> bool:
    return bool(is_integer_dtype(column.dtype))


def _is_number(column: pd.Series) -> bool:
    return bool(is_numeric_dtype(column.dtype)) and not is_bool_dtype(column.dtype)


def _is_flag(column: pd.Series) -> bool:
    return bool(is_bool_dtype(column.dtype))


COLUMNS: dict[str, dict[str, Callable[[pd.Series], bool]]] = {
    "scores": {
        **dict.fromkeys(TEXTS, _is_text), **dict.fromkeys(("seed", "severity", "n"), _is_whole),
        **dict.fromkeys(("value", "learning_rate", "budget"), _is_number), "main": _is_flag, "apart": _is_flag,
    },
    "candidates": {
        **dict.fromkeys(("candidate", "order", "method"), _is_text),
        **dict.fromkeys(("learning_rate", "stage_cost", "price"), _is_number),
    },
    "stages": dict.fromkeys(("key", "label", "kind", "tasks"), _is_text),
}  # fmt: skip
"""Columns that everything hangs on, of a table with rows, and what they hold."""
