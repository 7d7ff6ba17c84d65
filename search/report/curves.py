"""Curves: what is left of a score as texts get worse, and how tasks are learnt and forgotten along an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from search.means import half_width
from search.report.names import Names
from search.report.parts import Group, Picture, Section
from search.results import Results
from search.robustness import CLAIMED, perturbed
from search.scores import CLEAN
from trainables.languages import family

FORGETTING = "forgetting"
"""The portion of dev scores of an order's tasks along it."""

MOST_LINES = 8
"""Lines of one picture: so many colours are told apart."""

FOLLOWED = 12
"""Orders whose learning and forgetting is shown."""


def severities(results: Results, ranked: Sequence[str], best: str, names: Names) -> Section:
    """Robust figures by severity, severity 0 being the same examples unchanged: by edit, by order, by family."""
    cells = _cells(results)
    if cells.empty or cells.severity.nunique() < 2:
        missing = (
            "nothing was perturbed at several severities; `order-search run … --perturbations standard` does that."
        )
        return Section("severity", "Robustness by severity", missing=missing)
    one = cells[cells.candidate == best] if (cells.candidate == best).any() else cells
    claimed = cells[cells.keeps.isin(CLAIMED)]
    own = one[one.keeps.isin(CLAIMED)]
    first = [name for name in ranked if name in set(claimed.candidate)]
    kept = list(dict.fromkeys([*first[: MOST_LINES - 1], *_none_of(first, names)]))
    pictures = [
        _curve(one, "perturbation", str, "edit", "By edit", f"What is left under each edit: {names.candidate(best)}"),
        _curve(claimed[claimed.candidate.isin(kept)], "candidate", names.candidate, "order", "By order",
               "What is left of the best orders, mean over edits"),
        _curve(own.assign(family=[family(str(code)) for code in own.language]), "family", str, "family", "By family",
               f"What is left in each family: {names.candidate(best)}"),
    ]  # fmt: skip
    shown = tuple(picture for picture in pictures if picture is not None)
    lead = (
        "Of each example the worse of its clean and its edited figure counts. Severity 0 is the same examples "
        "unchanged, so curves begin where those examples are, not at the leaderboard's score."
    )
    return Section("severity", "Robustness by severity", lead, (Group("What is left by severity", shown),),
                   findings=("severity_curves", "robust_order", "tradeoff", "robust_gains"))  # fmt: skip


def _none_of(ranked: Sequence[str], names: Names) -> list[str]:
    return [name for name in ranked if names.order_of.get(name) == "none"][:1]


def _cells(results: Results) -> pd.DataFrame:
    """A row a candidate, root, target, language, edit and severity: robust figures in percent, severity 0 the clean
    ones of the same examples; cells that are n/a left out."""
    rows = perturbed(results.compared, results.portion)
    rows = rows[~rows.attack.astype(bool) & (rows.reason == "") & ~rows.apart.astype(bool)]
    kept = ["candidate", "seed", "target", "language", "perturbation", "severity", "keeps", "value"]
    after = rows[rows.metric == "robust"][kept]
    before = rows[rows.metric == "clean_subset"].assign(severity=0)[kept]
    both = pd.concat([before, after], ignore_index=True).astype({"perturbation": object, "candidate": object})
    return both.assign(value=both.value * 100)


def _curve(
    cells: pd.DataFrame, by: str, called: Callable[[str], str], what: str, choice: str, title: str
) -> Picture | None:
    """Means over edits, then languages, then targets, then roots, with t intervals over roots."""
    if cells.empty:
        return None
    keys = [by, "severity", "seed"]
    steps = [[*keys, "target", "language", "perturbation"], [*keys, "target", "language"], [*keys, "target"], keys]
    values = cells
    for step in map(list, map(dict.fromkeys, steps)):  # `by` may be one of these itself
        values = values.groupby(step, sort=False, observed=True).value.mean().reset_index()
    found = values.groupby([by, "severity"], sort=False).value.agg(
        value="mean", half_width=lambda one: half_width(one.to_list()), roots="size"
    ).reset_index()  # fmt: skip
    order = list(dict.fromkeys(found[by]))[:MOST_LINES]
    series = [_series(called(str(name)), found[found[by] == name], "severity") for name in order]
    falls = {one["name"]: one["y"][0] - one["y"][-1] for one in series}
    most = max(falls, key=lambda name: falls[name])
    said = f"From severity 0 to {int(found.severity.max())} the largest fall is {falls[most]:.1f} points ({most})."
    table = found.assign(**{by: [called(str(name)) for name in found[by]]}).round(2)
    data = {"series": series, "x": "severity", "y": "robust, %", "whole": True}
    return Picture(f"severity-by-{what}", title, "lines", said, data, table, choice=choice,
                   caption="Bars are 95 % t intervals over roots, where there are three or more.")  # fmt: skip


def _series(name: str, rows: pd.DataFrame, x: str) -> dict[str, Any]:
    rows = rows.sort_values(x)
    halves = [None if pd.isna(half) else round(float(half), 2) for half in rows.half_width.astype(float)]
    return {"name": name, "x": [int(v) for v in rows[x]], "y": [round(float(v), 2) for v in rows.value], "half": halves}


def forgetting(results: Results, ranked: Sequence[str], names: Names) -> Section:
    """English dev of an order's tasks after each of its stages, a picture an order of two or more stages."""
    rows = results.own[(results.own.portion == FORGETTING) & results.own.main.astype(bool)]
    rows = rows[rows.perturbation == CLEAN]
    measured = set(rows.candidate)
    followed = [name for name in ranked if name in measured and len(_stages(names, name)) > 1][:FOLLOWED]
    made = [_along(rows[rows.candidate == name], name, names, place) for place, name in enumerate(followed, start=1)]
    pictures = tuple(picture for picture in made if picture is not None)
    title = "Learning and forgetting along an order"
    if not pictures:
        missing = "not measured; `order-search run … --set forgetting=true` does that."
        return Section("forgetting", title, missing=missing)
    lead = "Every task of an order on its own English dev set, after each stage from the one that trains it."
    return Section("forgetting", title, lead, (Group("Dev scores along an order", pictures),), findings=("forgetting",))


def _stages(names: Names, candidate: str) -> list[str]:
    order = names.order_of.get(candidate, "none")
    return [] if order == "none" else order.split(">")


def _along(rows: pd.DataFrame, candidate: str, names: Names, place: int) -> Picture | None:
    if rows.empty:
        return None
    groups = _stages(names, candidate)
    prefixes = [">".join(groups[: end + 1]) for end in range(len(groups))]
    rows = rows.assign(after=rows.stage.astype(object).map({stage: i for i, stage in enumerate(prefixes)}),
                       value=rows.value * 100)  # fmt: skip
    found = rows.dropna(subset="after").groupby(["target", "after"], observed=True, sort=False).value.agg(
        value="mean", half_width=lambda one: half_width(one.to_list()), roots="size"
    ).reset_index()  # fmt: skip
    tasks = [task for group in groups for task in group.split("+") if task in set(found.target)]
    if not tasks:
        return None
    series = [_series(names.task(task), found[found.target == task], "after") for task in tasks]
    losses = {one["name"]: one["y"][0] - one["y"][-1] for one in series if len(one["y"]) > 1}
    most = max(losses, key=lambda name: losses[name]) if losses else ""
    lost = f"{most} has lost {losses[most]:.1f} points" if most and losses[most] > 0 else "no task has lost anything"
    said = f"By the end of the order {lost}."
    data = {"series": series, "x": "after training", "y": "English dev, %",
            "ticks": ["+".join(map(names.task, group.split("+"))) for group in groups]}  # fmt: skip
    table = found.assign(target=[names.task(str(t)) for t in found.target],
                         after=[names.order(prefixes[int(i)]) for i in found.after]).round(2)  # fmt: skip
    label = names.candidate(candidate)
    return Picture(f"forgetting-{place}", f"Along {label}", "lines", said, data, table, choice=label,
                   caption="Bars are 95 % t intervals over roots, where there are three or more.")  # fmt: skip
