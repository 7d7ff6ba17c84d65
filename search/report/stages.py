"""The stage tree with what was shared, and what the study cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd

from search.report.names import Names
from search.report.parts import Group, Picture, Section
from search.results import Results
from trainables.tasks import SHAM

MOST_NODES = 1500
"""Stages that the tree shows: those that most orders share."""

Path = tuple[str, ...]


def section(results: Results, scores: Mapping[str, float], names: Names) -> Section:
    """`scores` are candidates' scores, which colour the tree."""
    cost = cost_of(results)
    groups = [Group("What was shared", (picture,))] if (picture := _tree(results, scores, names)) is not None else []
    groups.append(Group("Cost", tuple(_bars(results, cost))))
    saved = 1 - cost["distinct"] / cost["naive"] if cost["naive"] else 0.0
    lead = (
        f"{cost['naive']:,} stages if every candidate were run alone; {cost['distinct']:,} distinct ones ({saved:.0%} "
        f"less), of which {cost['executed']:,} were run and {cost['reused']:,} taken from the store; "
        f"{cost['seconds']:,.0f} s in all."
    )
    return Section("stages", "Stages and cost", lead, tuple(groups))


def cost_of(results: Results) -> dict[str, float]:
    """Stages naive, distinct, executed, reused, and seconds: summed over runs. Kinds' seconds by `seconds_by`."""
    keys = ("naive", "distinct", "executed", "reused")
    found = {key: sum(run.manifest["cost"].get(f"stages_{key}", 0) for run in results.runs) for key in keys}
    return found | {"seconds": sum(run.manifest["cost"].get("seconds", 0) for run in results.runs)}


def seconds_by(results: Results) -> pd.DataFrame:
    """Seconds that workers spent on stages that were run, by kind and tasks, the most first."""
    rows = results.stages[results.stages.executed.astype(bool)]
    found = rows.groupby(["kind", "tasks"], observed=True).seconds.agg(stages="size", seconds="sum").reset_index()
    return found.sort_values("seconds", ascending=False, kind="stable", ignore_index=True).round(2)


def nodes(results: Results) -> dict[Path, dict[str, Any]]:
    """The distinct beginnings of orders: how many orders begin so, and the seconds of the last stage over all roots
    and methods (None where it was not run here)."""
    orders = [str(order) for order in dict.fromkeys(results.candidates.order)]
    paths = [tuple(order.split(">")) for order in orders if order != "none"]
    seconds = _seconds(results.stages)
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        for end in range(1, len(path) + 1):
            node = found.setdefault(path[:end], {"orders": 0, "seconds": seconds.get(path[:end])})
            node["orders"] += 1
    return found


def _seconds(stages: pd.DataFrame) -> dict[Path, float]:
    """Seconds of training stages by the tasks of the path that leads to them."""
    rows = stages[stages.kind == "train"]
    about = {str(row.key): (row.parent, str(row.tasks), row.seconds) for row in rows.itertuples()}
    found: dict[Path, float] = defaultdict(float)
    for key, (_, _, seconds) in about.items():
        if not pd.isna(seconds):
            found[_path(key, about)] += float(seconds)
    return dict(found)


def _path(key: str, about: Mapping[str, tuple[Any, str, Any]]) -> Path:
    path: list[str] = []
    at: Any = key
    while at in about:
        parent, tasks, _ = about[at]
        path.append(tasks)
        at = parent
    return tuple(reversed(path))


def _tree(results: Results, scores: Mapping[str, float], names: Names) -> Picture | None:
    found = nodes(results)
    if not found:
        return None
    means = _means(results, scores)
    kept = sorted(found, key=lambda path: (-found[path]["orders"], len(path), path))[:MOST_NODES]
    kept = sorted(kept, key=lambda path: (len(path), path))
    total = len({str(order) for order in results.candidates.order})
    root = {"id": "", "parent": None, "label": "base model", "orders": total, "score": means.get(()), "seconds": None}
    listed = [root] + [
        {"id": ">".join(path), "parent": ">".join(path[:-1]), "label": names.group(path[-1].split("+")),
         "orders": found[path]["orders"], "score": means.get(path), "seconds": found[path]["seconds"]}
        for path in kept
    ]  # fmt: skip
    shared = sum(node["orders"] for node in found.values())
    said = (
        f"{len(found)} distinct training stages serve the {total} orders of this study, which would need {shared} if "
        f"nothing were shared, at every root and method."
    )
    table = pd.DataFrame([
        {"begins with": names.order(">".join(path)), "orders": found[path]["orders"], "seconds": found[path]["seconds"],
         "mean score": means.get(path)}
        for path in kept
    ]).round(2)  # fmt: skip
    caption = (
        "A box is a training stage; its width is how many orders share it, its colour the mean score of these orders. "
        "Click on a box to look into it."
    )
    return Picture("stages", "The stage tree", "icicle", said, {"nodes": listed}, table, caption)


def _means(results: Results, scores: Mapping[str, float]) -> dict[Path, float]:
    """The mean score of the orders that begin alike, controls left out."""
    found: dict[Path, list[float]] = defaultdict(list)
    for row in results.candidates.itertuples():
        score = scores.get(str(row.candidate))
        if score is None or pd.isna(score):
            continue
        path = () if row.order == "none" else tuple(str(row.order).split(">"))
        for end in range(len(path) + 1):
            if end or SHAM not in str(row.order):
                found[path[:end]].append(float(score))
    return {path: round(sum(values) / len(values), 2) for path, values in found.items()}


def _bars(results: Results, cost: Mapping[str, float]) -> list[Picture]:
    counts = [("if nothing were shared", cost["naive"]), ("distinct", cost["distinct"]), ("run", cost["executed"]),
              ("taken from the store", cost["reused"])]  # fmt: skip
    said = f"{cost['naive']:,} stages alone, {cost['distinct']:,} distinct, {cost['executed']:,} run."
    table = pd.DataFrame(counts, columns=["stages", "count"])
    data = {"labels": [name for name, _ in counts], "values": [value for _, value in counts], "x": "stages"}
    pictures = [Picture("cost-stages", "Stages", "bars", said, data, table, choice="Stages")]
    spent = seconds_by(results)
    if len(spent) and spent.seconds.sum() > 0:
        top = spent.head(12)
        labels = [f"{row.kind} {row.tasks}" for row in top.itertuples()]
        kinds = spent.groupby("kind").seconds.sum()
        said = "Workers' seconds: " + ", ".join(f"{kind} {value:,.0f}" for kind, value in kinds.items()) + "."
        data = {"labels": labels, "values": [float(value) for value in top.seconds], "x": "seconds of workers"}
        pictures.append(Picture("cost-seconds", "Seconds", "bars", said, data, spent, choice="Seconds"))
    return pictures
