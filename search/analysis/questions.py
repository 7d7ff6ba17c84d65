"""The two questions of a study, which tasks and in which order, tested; beside each what it could have shown."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from search.analysis.comparisons import order_contrasts, task_contrasts
from search.analysis.design import Design
from search.analysis.finding import Finding
from search.analysis.intervals import number
from search.analysis.order_tests import ORDER, TASKS, Outcome, order_test, task_test
from search.analysis.power import LEVEL, Noise, detectable_sd, noise_of_orders, noise_of_sets, roots_for_sd

_CLAIMS = {
    TASKS: ("which tasks are trained matters", "that it matters which tasks are trained is not shown"),
    ORDER: ("the order of the same tasks matters", "that the order of the same tasks matters is not shown"),
}


def questions(design: Design) -> Finding:
    """Do sets of tasks differ, and do orders of the same set? A row each.

    Table: question, n (roots), contrasts, `estimate` (SD between what is compared, noise taken off; points), `sd_raw`,
    `sd_noise`, statistic, df1, df2, p, method, `detectable` (the SD that this design shows in 4 of 5 studies),
    `roots_needed` (for the estimate to be shown as often; empty where it is 0 or out of reach), reason.
    """
    sets = noise_of_sets(design, task_contrasts(design)) if design.roots > 1 else None
    orders = noise_of_orders(design, order_contrasts(design)) if design.roots > 1 else None
    outcomes = [(task_test(design), sets), (order_test(design), orders)]
    table = pd.DataFrame([_row(outcome, noise) for outcome, noise in outcomes])
    notes = (
        "Orders of one root share the luck of the stages that they share; roots are what is independent.",
        "A set of tasks is the mean of its orders in the study.",
    )
    sentence = " ".join(_said(outcome, row) for (outcome, _), row in zip(outcomes, table.itertuples(), strict=True))
    return Finding("questions", "Which tasks, and in which order?", table, sentence, notes=notes)


def _row(outcome: Outcome, noise: Noise | None) -> dict[str, Any]:
    return {
        "question": outcome.question, "n": outcome.roots, "contrasts": outcome.contrasts, "estimate": outcome.sd,
        "sd_raw": outcome.sd_raw, "sd_noise": outcome.sd_noise, "statistic": outcome.statistic, "df1": outcome.df1,
        "df2": outcome.df2, "p": outcome.p, "method": outcome.method,
        "detectable": math.nan if noise is None else detectable_sd(outcome.roots, noise),
        "roots_needed": None if noise is None else roots_for_sd(outcome.sd, noise), "reason": outcome.reason,
    }  # fmt: skip


def _said(outcome: Outcome, row: Any) -> str:
    if outcome.reason:
        spread = "" if math.isnan(outcome.sd_raw) else f"; the means differ by an SD of {outcome.sd_raw:.2f} points"
        return f"{outcome.question.capitalize()}: {outcome.reason}{spread}."
    shown, not_shown = _CLAIMS[outcome.question]
    figures = f"(p = {outcome.p:.2g}, {number(outcome.roots, 'root')}, SD {outcome.sd:.2f} points)"
    if outcome.p <= LEVEL:
        return f"{shown.capitalize()} {figures}."
    could = (
        "" if math.isnan(row.detectable) else f"; an SD of {row.detectable:.2f} would be shown in 4 of 5 such studies"
    )
    return f"{not_shown.capitalize()} {figures}{could}."
