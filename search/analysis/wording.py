"""Estimates in words, which claim no more than the interval."""

from __future__ import annotations

from typing import Any

import pandas as pd

from search.analysis.intervals import Estimate

SEEN = {"dev": "English dev", "search": "the search half of the test items"}
"""What a choice was made on, by the portion of the table."""

OF_A_TARGET = {"dev": "dev", "search": "search half of the test items"}
"""The same as one target's own."""


def estimate_of(row: Any, name: str) -> Estimate:
    """The estimate in a table's row: columns `name`, half_width, roots, reason."""
    mean, half = (None if pd.isna(value) else float(value) for value in (getattr(row, name), row.half_width))
    return Estimate(mean, half, int(row.roots), row.reason)


def figure(estimate: Estimate, units: str, *, signed: bool = True) -> str:
    """`+1.20 ± 0.40 points (95 %; 3 roots)`, or the mean with the reason why there is no interval.

    `units` says what the estimate is from; unsigned ones are scores in percent.
    """
    if estimate.mean is None:
        return f"no figure ({estimate.reason})"
    mean = f"{estimate.mean:+.2f}" if signed else f"{estimate.mean:.2f}"
    name = " points" if signed else ""
    if estimate.half_width is None:
        return f"{mean}{name} ({estimate.reason})"
    return f"{mean} ± {estimate.half_width:.2f}{name} (95 %; {units})"


def verdict(estimate: Estimate, more: str, less: str, neither: str) -> str:
    """Which of three claims the interval supports; without one, none of them."""
    if estimate.mean is None or estimate.half_width is None:
        return "too little to say"
    if not estimate.excludes_zero:
        return neither
    return more if estimate.mean > 0 else less
