"""What is to be had at once: the Pareto front of score, robustness, worst language and cost."""

from __future__ import annotations

import pandas as pd

from search.report.names import Names
from search.report.parts import Group, Picture, Section, several

AXES = {
    "score": ("score", "%"), "robust_score": ("robust score", "%"), "worst_language": ("worst language", "%"),
    "cost": ("cost alone", "s a root"),
}  # fmt: skip
"""Figures of the Pareto table: what they are called, and their unit."""

WANTED = (("score", "robust_score"), ("cost", "score"), ("score", "worst_language"), ("cost", "worst_language"))
"""Pairs that are drawn, horizontal first, where a study has both."""


def section(table: pd.DataFrame, names: Names) -> Section:
    """Candidates by two figures each; those on the front of all figures are named."""
    there = [key for key in AXES if key in table and table[key].notna().any()]
    pairs = [pair for pair in WANTED if set(pair) <= set(there)] if len(table) else []
    pictures = tuple(picture for pair in pairs if (picture := _scatter(table, names, *pair)) is not None)
    compared = several([AXES[key][0] for key in there])
    lead = f"A candidate is on the front if no other is at least as good in {compared} and better in one of them."
    return Section(
        "tradeoff", "Trade-offs", lead if pictures else "", (Group("Pareto front", pictures),) if pictures else (),
        missing="" if pictures else "fewer than two candidates are ranked.",
    )  # fmt: skip


def _scatter(table: pd.DataFrame, names: Names, x: str, y: str) -> Picture | None:
    kept = table[table[x].notna() & table[y].notna()]
    if len(kept) < 2:
        return None
    points = [
        {"x": round(float(row[x]), 3), "y": round(float(row[y]), 3), "label": names.candidate(str(row["candidate"])),
         "front": bool(row["front"])}
        for _, row in kept.iterrows()
    ]  # fmt: skip
    front = [str(one["label"]) for one in points if one["front"]]
    (x_name, x_unit), (y_name, y_unit) = AXES[x], AXES[y]
    said = f"{len(front)} of {len(points)} candidates are on the front: {several(front)}."
    caption = "A front of noisy figures is itself noisy, and favours whom luck favoured."
    data = {"points": points, "x": x_name, "x_unit": x_unit, "y": y_name, "y_unit": y_unit}
    shown = kept.assign(candidate=[names.candidate(str(one)) for one in kept.candidate])
    columns = ["candidate", *(key for key in AXES if key in kept), "front"]
    stem, title = f"pareto-{x}-{y}".replace("_", "-"), f"{y_name.capitalize()} against {x_name}"
    choice = f"{y_name.capitalize()} × {x_name}"
    return Picture(stem, title, "scatter", said, data, shown[columns].round(2), caption, choice)
