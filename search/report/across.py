"""Across languages: where an order gains, whether orders rank alike everywhere, what goes with the gap to English."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from search.analysis.finding import Finding
from search.report.cells import called
from search.report.effects import figure, forest
from search.report.names import Names
from search.report.parts import Group, Picture

GAINS = {"score": "Score", "robust_score": "Robust score"}
KINDS = {"language": "by language", "family": "by family", "script": "by script"}

MEAN = "mean"
"""In a pair of the finding `agreement`: over all the others."""


def groups(findings: Sequence[Finding], names: Names) -> list[Group]:
    """Drawn from the findings that are there."""
    by_name = {one.name: one for one in findings if len(one.table)}
    made = [(title, make(by_name[name], names)) for name, title, make in MADE if name in by_name]
    return [Group(title, pictures) for title, pictures in made if pictures]


def _gains(found: Finding, names: Names) -> tuple[Picture, ...]:
    """What the best order gains over the empty one, by language, family and script."""
    pictures = []
    for of, what in GAINS.items():
        for kind, how in KINDS.items():
            rows = found.table[(found.table.of == of) & (found.table.kind == kind)]
            if rows.estimate.notna().sum() < 2:
                continue
            if kind == "language":
                rows = rows.assign(name=[called(str(code)) for code in rows.name])
            for one in forest(replace(found, table=rows.reset_index(drop=True)), names, "name"):
                stem = f"gains-{of.replace('_', '-')}-{kind}"
                pictures.append(replace(one, name=stem, title=f"Gain of the best order, {how}", choice=f"{what} {how}"))
    return tuple(pictures)


def _agreement(found: Finding, names: Names) -> tuple[Picture, ...]:
    """Kendall's tau of the orders' rankings, languages × languages and targets × targets."""
    pictures = []
    table = found.table[(found.table["first"] != MEAN) & (found.table["second"] != MEAN) & found.table.estimate.notna()]
    for (method, kind), rows in table.groupby(["method", "kind"], sort=False):
        parts = list(dict.fromkeys([*rows["first"], *rows["second"]]))
        if kind not in (*KINDS, "target") or len(parts) < 2:
            continue
        values = np.full((len(parts), len(parts)), np.nan)
        for row in rows.itertuples():
            i, j = parts.index(row.first), parts.index(row.second)
            values[i, j] = values[j, i] = row.estimate
        labels = [called(str(one)) if kind == "language" else names.task(str(one)) for one in parts]
        several = f", {method}" if table.method.nunique() > 1 else ""
        lows, highs = rows.loc[rows.estimate.idxmin()], rows.loc[rows.estimate.idxmax()]
        said = (
            f"Kendall's τ from {lows.estimate:.2f} ({lows['first']} and {lows['second']}) to {highs.estimate:.2f} "
            f"({highs['first']} and {highs['second']}). {found.sentence}"
        )
        data = {"rows": labels, "columns": labels, "values": [[figure(v) for v in line] for line in values],
                "marks": np.zeros(values.shape, dtype=bool).tolist(), "row_title": "", "column_title": "",
                "unit": "Kendall's τ", "most": 1.0}  # fmt: skip
        caption = "A cell: how alike two rank the orders, on halves of the roots that they do not share."
        pictures.append(Picture(f"agreement-{kind}{f'-{method}' if several else ''}", found.title, "matrix", said, data,
                                pd.DataFrame(rows), caption, f"{str(kind).capitalize()}s{several}"))  # fmt: skip
    return tuple(pictures)


def _distance(found: Finding, names: Names) -> tuple[Picture, ...]:
    return forest(found, names, "predictor")


MADE: tuple[tuple[str, str, Callable[[Finding, Names], tuple[Picture, ...]]], ...] = (
    ("by_language", "Where the best order gains", _gains),
    ("agreement", "Do orders rank alike everywhere?", _agreement),
    ("distance", "Distance from English and the gap", _distance),
)
"""Findings that are drawn: their names, the headings of their pictures, and what makes these."""
