"""What tests of several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published data; without it the test is skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ORDER_SEARCH_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"there is no folder of published data at {folder} (set ORDER_SEARCH_DATA)")
    return folder
