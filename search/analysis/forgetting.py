"""Learning and forgetting along an order: English dev scores of its tasks after each of its stages."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from search.analysis.finding import Finding
from search.analysis.intervals import number, over_roots
from search.analysis.languages import ends_of, p_of
from search.analysis.linear import CLAIM
from search.analysis.multiple import holm
from search.analysis.outcomes import arms
from search.order import Order
from search.results import Results
from trainables.tasks import SHAM

PORTION = "forgetting"
"""Rows of tasks measured along orders: `target` is the task, `stage` the order so far."""

ALL = "all"
"""In a column `task`: the mean over tasks."""


def forgetting(results: Results) -> Finding | None:
    """What of a task is left so many stages after its own; None where that was not measured.

    Table: method, task (`all`: mean over the tasks that have it), since (stages after the task's own; 0 is its own),
    prefixes (orders so far), n (roots), `score` (percent), `estimate` (score less that after the task's own stage, in
    points; paired by root and order so far), low, high, p, p_holm (over tasks and since, `all` left out), reason. Sham
    tasks are left out.
    """
    measured = _measured(results)
    if measured.empty:
        return None
    rows: list[dict[str, Any]] = []
    for method, own in measured.groupby("method", sort=False):
        tasks = list(own.task.unique())
        for since, part in own.groupby("since", sort=True):
            by_task = dict(iter(part.groupby("task", sort=False)))
            whole = part.groupby(["task", "seed"])[["score", "change"]].mean().groupby(level="seed").mean()
            rows.append({"method": method, **_row(ALL, int(since), part, whole)} if len(by_task) > 1 else {})
            rows += [
                {"method": method, **_row(task, int(since), by_task[task],
                                          by_task[task].groupby("seed")[["score", "change"]].mean())}
                for task in tasks if task in by_task
            ]  # fmt: skip
    table = pd.DataFrame([row for row in rows if row])
    tested = (table.task != ALL) & (table.since > 0)
    table.insert(int(table.columns.get_indexer(["p"])[0]) + 1, "p_holm", holm(table.p.where(tested)))
    notes = (
        "English dev, with the head that the task's own stage trained; each order so far counts once.",
        "Longer ago is measured on fewer and longer orders; rows of one task are not of the same orders.",
    )
    return Finding("forgetting", "Learning and forgetting along an order", table, _sentence(table), notes=notes)


def _measured(results: Results) -> pd.DataFrame:
    """A row a method, order so far (`stage`), task and root: since, score (percent) and change (points)."""
    rows = results.compared
    rows = rows[(rows.portion == PORTION) & rows.main.astype(bool) & (rows.budget == 1)]
    columns = ["method", "stage", "task", "seed", "since", "score", "change"]
    rows = rows[[not str(task).startswith(SHAM) for task in rows.target]]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    rows = rows.astype({"candidate": object, "stage": object, "target": object}).rename(columns={"target": "task"})
    rows["arm"] = rows.candidate.map(arms(results).arm)
    # Candidates that begin alike share these stages: their rows are the same measurements.
    rows = rows.drop_duplicates(["arm", "stage", "task", "seed"])
    places = {(stage, task): _place(stage, task) for stage, task in set(zip(rows.stage, rows.task, strict=True))}
    found = [places[key] for key in zip(rows.stage, rows.task, strict=True)]
    rows = rows.assign(score=rows.value * 100, since=[one[0] for one in found], own=[one[1] for one in found])
    start = rows[rows.since == 0].set_index(["arm", "stage", "task", "seed"]).score
    keys = pd.MultiIndex.from_frame(rows[["arm", "own", "task", "seed"]])
    rows = rows.assign(change=rows.score - start.reindex(keys).to_numpy(), method=rows.arm)
    return rows[columns].dropna(subset="change")


def _place(stage: str, task: str) -> tuple[int, str]:
    """How many stages after its own a task is, and the order up to its own stage."""
    groups = Order.parse(stage).groups
    at = next(place for place, group in enumerate(groups) if task in group)
    return len(groups) - 1 - at, str(Order(groups[: at + 1]))


def _row(task: str, since: int, part: pd.DataFrame, by_root: pd.DataFrame) -> dict[str, Any]:
    found = over_roots(by_root.change.tolist())
    p = p_of(by_root.change) if since else math.nan
    return {
        "task": task, "since": since, "prefixes": part.stage.nunique(), "n": found.n,
        "score": float(by_root.score.mean()), **ends_of(found), "p": p, "reason": found.reason,
    }  # fmt: skip


def _sentence(table: pd.DataFrame) -> str:
    later = table[table.since > 0]
    if later.empty:
        return "Too little to say: no task was followed by another."
    tasks = later[later.task != ALL]
    one = (later if (later.task == ALL).any() else tasks).query("since == 1").iloc[0]
    interval = f" (95 % {one.low:+.2f} to {one.high:+.2f}; {number(int(one.n), 'root')})" if pd.notna(one.low) else (
        f" ({one.reason})")  # fmt: skip
    name = "a task" if one.task == ALL else one.task
    said = f"One stage after its own {name} has changed by {one.estimate:+.2f} points on English dev{interval}."
    tested = tasks[tasks.p.notna()]
    if tested.empty:
        return said
    lost = sorted(set(tested[(tested.p_holm <= CLAIM) & (tested.estimate < 0)].task))
    return f"{said} Shown to be forgotten in part (Holm): {', '.join(lost) if lost else 'none'}."
