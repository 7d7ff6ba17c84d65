"""What an analysis hands on: a table with its figures, and one plain sentence that claims no more than they do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

FIGURES = ("n", "estimate", "low", "high", "p")
"""Columns that every finding uses for the same thing: how many units an estimate rests on, the estimate, its 95 %
interval, and the p of the test that it is zero. What cannot be had is empty or not there; `reason` says why."""


@dataclass(frozen=True)
class Finding:
    """One analysis of a study.

    `name` is a file's stem (`precedence`), `title` a heading. `table` has a row a result: what it is about, then
    columns of FIGURES. `unit` is what `estimate`, `low` and `high` are in: `points` (percent points), `share`, `tau`,
    `rank` or another word. `sentence` says what the table supports, for people. `primary` is true of the one contrast
    that was frozen before the run; all others are exploratory. `notes` are what a reader must know besides:
    assumptions, what was left out and why.
    """

    name: str
    title: str
    table: pd.DataFrame
    sentence: str
    unit: str = "points"
    primary: bool = False
    notes: tuple[str, ...] = field(default=())
