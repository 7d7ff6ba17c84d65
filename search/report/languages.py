"""The language × order heat maps, and what the page of each language shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from search.analysis.finding import Finding
from search.report import across
from search.report.cells import Cells, about_language, called
from search.report.names import Names
from search.report.parts import Group, Picture, Section
from search.results import Results
from trainables.fertility import PORTION
from trainables.languages import family

MOST_ORDERS = 400
"""Rows of a heat map; of a larger study the best ones."""

SIZED = 150_000
"""Figures of language pages above which targets are left out of them."""


def section(cells: Cells, findings: Sequence[Finding], names: Names) -> Section:
    """Heat maps of clean and robust scores and of gaps to English: best orders on top, languages by family."""
    made = [
        _heat(cells.by_language, names, "clean", "Clean", "Clean scores by language", "score", "%"),
        _heat(cells.robust_by_language, names, "robust", "Robust", "Robust scores by language", "score", "%"),
        _heat(cells.gap_by_language, names, "gap", "Gap to English", "Gap to English by language", "gap", "points"),
    ]  # fmt: skip
    pictures = tuple(picture for picture in made if picture is not None)
    lead = "Means over targets. Orders from the best on top, languages grouped by family."
    return Section(
        "languages", "Languages", lead,
        (Group("Language × order", pictures), *across.groups(findings, names)) if pictures else (),
        findings=("by_language", "gaps"),
        missing="" if pictures else "no candidate has a score in any language.",
    )  # fmt: skip


def _heat(
    values: pd.DataFrame, names: Names, name: str, choice: str, title: str, scale: str, unit: str
) -> Picture | None:
    values = values.dropna(how="all").head(MOST_ORDERS)
    if values.empty:
        return None
    labels, codes = [names.candidate(str(one)) for one in values.index], list(map(str, values.columns))
    stacked = values.stack()
    low, high = stacked.idxmin(), stacked.idxmax()
    ends = [f"{stacked[at]:.1f} ({names.candidate(str(at[0]))} in {called(str(at[1]))})" for at in (low, high)]
    words = "percent" if unit == "%" else unit
    said = f"{len(values)} orders × {len(codes)} languages, from {ends[0]} to {ends[1]} {words}."
    table = values.round(2).rename_axis("candidate").reset_index()
    table.insert(0, "order", labels)
    data = {
        "rows": labels, "columns": codes, "groups": [family(code) for code in codes],
        "full": [called(code) for code in codes], "values": _lists(values), "scale": scale, "unit": unit,
    }  # fmt: skip
    return Picture(f"languages-{name}", title, "heat", said, data, table.drop(columns="candidate"), choice=choice)


def pages(results: Results, cells: Cells, names: Names, examples: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the page of a language shows, for all of them.

    `orders` names the rows; of each language the mean over targets (`score`, `robust`, `gap`) and each target's score,
    a list as long as `orders`; what is known of the language; and, where they were made, `examples`.
    """
    ranked, found = list(map(str, cells.clean.columns)), {}
    targets = list(map(str, cells.clean.index.unique("target")))
    whole = len(ranked) * len(cells.clean) <= SIZED
    fertility = _fertility(results)
    for code in cells.languages:
        about: dict[str, Any] = dict(about_language(code))
        if code in fertility:
            about["fertility"] = round(fertility[code], 2)
        columns = {"score": cells.by_language.get(code), "robust": cells.robust_by_language.get(code),
                   "gap": cells.gap_by_language.get(code)}  # fmt: skip
        about["values"] = {
            name: _list(values.reindex(ranked)) for name, values in columns.items() if values is not None
        }
        own = [target for target in targets if (target, code) in cells.clean.index]
        about["targets"] = {t: _list(cells.clean.loc[(t, code)]) for t in own} if whole and len(own) > 1 else {}
        about["examples"] = (examples or {}).get(code, [])
        found[code] = about
    return {"orders": [names.candidate(name) for name in ranked], "candidates": ranked, "languages": found,
            "targets": {target: names.task(target) for target in targets}}  # fmt: skip


def _fertility(results: Results) -> dict[str, float]:
    """Tokens a word of each language, where the study measured it."""
    rows = results.own[(results.own.portion == PORTION) & (results.own.metric == "fertility")]
    return {str(code): float(value) for code, value in rows.groupby("language", observed=True).value.mean().items()}


def _lists(values: pd.DataFrame) -> list[list[float | None]]:
    return [_list(row) for _, row in values.iterrows()]


def _list(values: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 1) for value in values.astype(float)]
