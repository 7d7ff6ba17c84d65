"""Attacks by budget: what is left of what was right, as an attacker may ask the model more often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from search.analysis.finding import Finding
from search.report.effects import figure
from search.report.names import Names
from search.report.parts import Group, Picture, Section

FINDING, ALL = "budget_curves", "all"

WHO = {"mean": "mean of the orders", "best": "the best order", "empty": "no intermediate task"}
"""Whose curve it is."""


def section(findings: Sequence[Finding], names: Names) -> Section:
    """Drawn from the finding of attacks' budgets: a picture a target and attack."""
    found = next((one for one in findings if one.name == FINDING and len(one.table)), None)
    if found is None:
        missing = "no attack was run; `order-search run … --perturbations attacks` runs some."
        return Section("budgets", "Attacks by budget", missing=missing)
    rows = found.table[(found.table.family == ALL) & found.table.estimate.notna()]
    several = rows.attack.nunique() > 1
    pictures = tuple(
        _picture(found, part, number, f"{names.task(str(target))}{f', {attack}' if several else ''}")
        for number, ((target, attack), part) in enumerate(rows.groupby(["target", "attack"], sort=False), start=1)
    )
    lead = (
        "Of the examples that were right, the share that an attack has not broken within so many queries of the model."
    )
    return Section("budgets", "Attacks by budget", lead, (Group("Budget curves", pictures),), findings=(FINDING,))


def _picture(found: Finding, rows: pd.DataFrame, number: int, choice: str) -> Picture:
    series: list[dict[str, Any]] = []
    for who, part in rows.groupby("who", sort=False):
        part = part.sort_values("queries")
        half = [figure(50 * (row.high - row.low)) for row in part.itertuples()]
        series.append({"name": WHO.get(str(who), str(who)), "x": [int(q) for q in part.queries],
                       "y": [figure(100 * e) for e in part.estimate], "half": half})  # fmt: skip
    falls = {one["name"]: one["y"][-1] for one in series}
    most = int(rows.queries.max())
    said = (
        f"After {most} queries: " + ", ".join(f"{name} {left:.0f} %" for name, left in falls.items()) + " still right."
    )
    data = {"series": series, "x": "queries an example", "y": "still right, %"}
    title = f"What an attack leaves: {choice}"
    caption = "Bars are 95 % intervals over examples."
    return Picture(f"budgets-{number}", title, "lines", said, data, rows.reset_index(drop=True), caption, choice)
