"""Attacks by budget: what is left of a score as an attacker may ask the model more often."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from search.analysis.finding import Finding
from search.report.names import Names
from search.report.parts import Group, Picture, Section

NAMES = ("budgets", "attack_budgets", "budget_curves", "attack_budget")
"""What the finding may be called."""

BUDGET, RECIPE = ("queries", "budget"), ("recipe", "perturbation", "attack")
"""What its columns may be called: the queries allowed an example, and the attack."""


def section(findings: Sequence[Finding], names: Names) -> Section:
    """Drawn from the finding of attacks' budgets."""
    found = next((one for one in findings if one.name in NAMES), None)
    picture = None if found is None else _picture(found, names)
    if picture is None:
        missing = "no attack was run; `order-search run … --perturbations attacks` runs some."
        return Section("budgets", "Attacks by budget", missing=missing)
    lead = "An example counts as withstood while the attack has not succeeded within so many queries of the model."
    return Section(
        "budgets",
        "Attacks by budget",
        lead,
        (Group("Budget curves", (picture,)),),
        findings=(found.name,) if found else (),
    )


def _picture(found: Finding, names: Names) -> Picture | None:
    budget = next((name for name in BUDGET if name in found.table), None)
    recipe = next((name for name in RECIPE if name in found.table), None)
    if budget is None or "estimate" not in found.table:
        return None
    table = found.table[found.table.estimate.notna()]
    if table.empty:
        return None
    series = []
    for name, rows in table.groupby(recipe, sort=False) if recipe else [("attack", table)]:
        mean = rows.groupby(budget).estimate.mean()
        series.append({"name": str(name).removeprefix("attack:"), "x": [float(x) for x in mean.index],
                       "y": [round(float(y), 3) for y in mean], "half": [None] * len(mean)})  # fmt: skip
    data = {"series": series, "x": "queries an example", "y": found.unit}
    shown = (
        table.assign(candidate=[names.candidate(str(c)) for c in table.candidate]) if "candidate" in table else table
    )
    return Picture("budgets", found.title, "lines", found.sentence, data, pd.DataFrame(shown))
