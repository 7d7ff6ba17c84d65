"""What the search was worth: how far its choice lies from the best, at what cost, and how lucky the winner was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from search.analysis.costs import marginal
from search.analysis.design import Array
from search.analysis.designs import Designs, is_sham
from search.analysis.finding import Finding
from search.analysis.finite import expected_best, steps
from search.analysis.intervals import Estimate, number, over_roots
from search.analysis.overall import overall
from search.analysis.wording import SEEN
from search.means import PRECISION
from search.order import Order
from search.results import Results
from trainables.methods import FEW_SHOT

TOLD = {"test": "test", "report": "the report half of the test items"}
"""What a choice is judged on, by the portion of the table."""

MOST_NAMED = 3
"""Of the candidates that are chosen by all roots but one so many are named."""


def searched(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was chosen on and what it is told by, in percent: candidates (of the full budget, as they were proposed) ×
    roots, alike in shape and without holes. Controls and few-shot methods are left out."""
    own = results.own
    kept = ~own.method.isin(FEW_SHOT)
    if results.settings.controls:
        kept &= ~own.order.isin(_shams(results))
    seen, told = overall(own[kept], results.seen), overall(own[kept], results.portion)
    seen, told = seen.align(told, join="inner")
    whole = told.where(seen.notna())
    most = int(whole.notna().sum(axis="columns").max()) if len(whole) else 0
    whole = whole[whole.notna().sum(axis="columns") == most].dropna(axis="columns")
    listed = {name: place for place, name in enumerate(results.candidates.candidate)}
    names = sorted(whole.index, key=lambda name: listed.get(name, len(listed)))
    return seen.loc[names, whole.columns], whole.loc[names]


def _shams(results: Results) -> list[str]:
    orders = [str(order) for order in results.candidates.order.unique()]
    return [order for order in orders if is_sham(Order.parse(order).tasks)]


# --- regret@k ---------------------------------------------------------------------------------------------------------


def regret(designs: Designs) -> Finding:
    """Of the first k by the selection score, how far the best falls short of the best of all (arXiv 2104.08247).

    Table: k, `of` (candidates), n (roots), `estimate` (the regret in points, of the portion that ranks are made from),
    low, high, `relative` (in percent of the best of all, as published), `chance` (the regret of k drawn at random),
    reason. Each root chooses by itself; mean and t interval over roots, cut at 0.
    """
    title, results, (seen, told) = "Regret of the choice", designs.results, designs.once("searched", searched)
    if len(told) < 2:
        return _none("regret", title, "fewer than two candidates have scores to choose by and to be told by")
    rows = []
    for k in steps(len(told)):
        short = [_short(seen[root].to_numpy(), told[root].to_numpy(), k) for root in told.columns]
        chance = [told[root].max() - expected_best(told[root], told[root], k) for root in told.columns]
        relative = [100 * lost / told[root].max() for lost, root in zip(short, told.columns, strict=True)]
        rows.append({"k": k, "of": len(told), **_row(over_roots(short), at_least=0.0),
                     "relative": float(np.mean(relative)), "chance": float(np.mean(chance))})  # fmt: skip
    table = pd.DataFrame(rows)
    first, last = rows[0], next(row for row in rows if row["estimate"] <= rows[0]["estimate"] / 2)
    sentence = (
        f"The best of {len(told)} on {SEEN[results.seen]} lies {_figure(first)} points below the best on "
        f"{TOLD[results.portion]}, where one at random lies {first['chance']:.2f} below"
    )
    if last["k"] > 1 and first["estimate"] > 0:
        sentence += f"; the best of the first {last['k']} lies {last['estimate']:.2f} below"
    notes = (
        "Of one root each: the best of all is itself lucky there, so the regret of an order is smaller than this.",
    )
    return Finding("regret", title, table, sentence + ".", notes=notes)


def _short(seen: Array, told: Array, k: int) -> float:
    first = np.argsort(-seen.round(PRECISION), kind="stable")[:k]
    return float(told.max() - told[first].max())


# --- the course of the search -----------------------------------------------------------------------------------------


def course(designs: Designs) -> Finding:
    """The search in the order of proposal: what it had spent, and how good its choice was by then.

    Table: `proposed` (from 1), candidate, `stages` and `seconds` (trained so far, over all roots: `costs.marginal`),
    `selection` (the candidate's score that the strategy is told, in percent), `incumbent` (the best by it so far, of
    the full budget and all roots), `incumbent_score` (of it, on the portion that ranks are made from), `estimate` (its
    regret: by how much its mean over roots falls short of the best mean of all, in points), n (roots).
    """
    title, results, (_, told) = "The course of the search", designs.results, designs.once("searched", searched)
    means = told.mean(axis="columns")
    spent = marginal(results)
    if means.empty or len(results.candidates) < 2:
        return _none("course", title, "fewer than two candidates were scored")
    about = results.candidates.drop_duplicates("candidate").set_index("candidate")
    best, rows = float(means.max()), []
    incumbent, highest = None, -math.inf
    for place, row in enumerate(spent.assign(stages=spent.stages.cumsum(), seconds=spent.seconds.cumsum()).itertuples(),
                                start=1):  # fmt: skip
        value = about.value.get(row.candidate)
        if row.candidate in means.index and pd.notna(value) and round(float(value), PRECISION) > highest:
            incumbent, highest = row.candidate, round(float(value), PRECISION)
        score = math.nan if incumbent is None else float(means[incumbent])
        rows.append({
            "proposed": place, "candidate": row.candidate, "stages": row.stages, "seconds": row.seconds,
            "selection": None if pd.isna(value) else 100 * float(value), "incumbent": incumbent,
            "incumbent_score": score, "estimate": best - score, "n": told.shape[1],
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return Finding("course", title, table, _course_sentence(table, results), notes=_course_notes(table, results))


def _course_sentence(table: pd.DataFrame, results: Results) -> str:
    last = table.iloc[-1]
    if last.incumbent is None:
        return "No candidate has a score that a choice could be made by."
    since = table[table.incumbent == last.incumbent].iloc[0]
    cost = f"{int(since.stages):,} of {int(last.stages):,} training stages"
    seconds = "" if math.isnan(last.seconds) else f", {since.seconds:,.0f} of {last.seconds:,.0f} s"
    return (
        f"The strategy {results.settings.strategy} proposed its final choice, {last.incumbent}, as number "
        f"{since.proposed} of {len(table)}, after {cost}{seconds}; it lies {last.estimate:.2f} points below the best "
        f"mean on {TOLD[results.portion]} of all that were run."
    )


def _course_notes(table: pd.DataFrame, results: Results) -> tuple[str, ...]:
    notes = [
        "Against the best of what was run, not of the space; that best is itself chosen on the figures it is told by."
    ]
    if table.seconds.isna().any():
        notes.append("Seconds are empty from the first stage on that this run did not train itself.")
    if len(results.runs) > 1:
        notes.append("Runs are merged: one after another, as they were named.")
    return tuple(notes)


# --- the winner's luck ------------------------------------------------------------------------------------------------


def winners_curse(designs: Designs) -> Finding:
    """How much of the winner's lead is luck: its lead where it was chosen, and where that had no say.

    Table: `told_by`, candidate, n (roots), `seen` (what it was chosen by), `estimate`, low, high (the same where it was
    not chosen), `lost` (seen − estimate), reason. Rows: the `report portion` (lead over the mean of all, chosen on the
    selection portion of the same roots); a `held-out root` (chosen by the other roots alone, each root held out once:
    lead on the same portion); and for each finalist its selection score at `fresh roots` against that of its own.
    """
    title, results, (seen, told) = "The winner's luck", designs.results, designs.once("searched", searched)
    rows = [] if len(told) < 2 else [_report(seen, told), *([_held_out(seen, told)] if told.shape[1] > 1 else [])]
    rows += _finals(results)
    if not rows:
        return _none("winners_curse", title, "fewer than two candidates have scores to choose by and to be told by")
    table = pd.DataFrame(rows)
    notes = (
        "Leads are over the mean of all candidates of the same roots. English dev and test differ in more than luck; a "
        "held-out root differs in luck alone.",
        "Folds of held-out roots overlap, so their interval is approximate.",
    )
    return Finding("winners_curse", title, table, _curse_sentence(table, results), notes=notes)


def _report(seen: pd.DataFrame, told: pd.DataFrame) -> dict[str, Any]:
    name = seen.mean(axis="columns").round(PRECISION).idxmax()
    lead = (told.loc[name] - told.mean()).tolist()
    return _told("report portion", str(name), float((seen.loc[name] - seen.mean()).mean()), over_roots(lead))


def _held_out(seen: pd.DataFrame, told: pd.DataFrame) -> dict[str, Any]:
    names, at_others, at_own = [], [], []
    for root in told.columns:
        others = [one for one in told.columns if one != root]
        name = seen[others].mean(axis="columns").round(PRECISION).idxmax()
        names.append(str(name))
        at_others.append(float((told.loc[name, others] - told[others].mean()).mean()))
        at_own.append(float(told.loc[name, root] - told[root].mean()))
    different = ", ".join(list(dict.fromkeys(names))[:MOST_NAMED])
    return _told("held-out root", different, float(np.mean(at_others)), over_roots(at_own))


def _finals(results: Results) -> list[dict[str, Any]]:
    """Each finalist's selection score at fresh roots beside that of the study's own roots, in percent."""
    if not len(results.finals):
        return []
    about = results.candidates.drop_duplicates("candidate").set_index("candidate").value
    rows = []
    for row in results.finals.itertuples():
        own = about.get(row.candidate)
        half = None if pd.isna(row.selection_half_width) else float(row.selection_half_width)
        found = Estimate(float(row.selection), half, int(row.roots), "" if half is not None else "too few fresh roots")
        rows.append(_told("fresh roots", row.candidate, math.nan if pd.isna(own) else 100 * float(own), found))
    return rows


def _told(by: str, candidate: str, seen: float, found: Estimate) -> dict[str, Any]:
    row = _row(found)
    return {"told_by": by, "candidate": candidate, "seen": seen, **row, "lost": seen - row["estimate"]}


def _curse_sentence(table: pd.DataFrame, results: Results) -> str:
    by = {row["told_by"]: row for row in table[table.told_by != "fresh roots"].to_dict("records")}
    told = []
    if "report portion" in by:
        row = by["report portion"]
        told.append(
            f"{row['candidate']} leads the mean by {row['seen']:.2f} points on {SEEN[results.seen]}, where it was "
            f"chosen, and by {_figure(row)} on {TOLD[results.portion]}"
        )
    if "held-out root" in by:
        row = by["held-out root"]
        told.append(
            f"what is chosen by all roots but one leads by {row['seen']:.2f} there and by {_figure(row)} at that one"
        )
    finals = table[table.told_by == "fresh roots"]
    if len(finals):
        told.append(f"{number(len(finals), 'finalist')} lost {finals.lost.mean():.2f} points on average at fresh roots")
    return "; ".join(told) + "."


# --- rows -------------------------------------------------------------------------------------------------------------


def _row(found: Estimate, at_least: float = -math.inf) -> dict[str, Any]:
    mean = math.nan if found.mean is None else found.mean
    half = math.nan if found.half_width is None else found.half_width
    return {"n": found.n, "estimate": mean, "low": max(mean - half, at_least), "high": mean + half,
            "reason": found.reason}  # fmt: skip


def _figure(row: dict[str, Any]) -> str:
    interval = "" if math.isnan(row["high"]) else f" (95 % {row['low']:.2f} to {row['high']:.2f})"
    return f"{row['estimate']:.2f}{interval}"


def _none(name: str, title: str, why: str) -> Finding:
    return Finding(name, title, pd.DataFrame(), f"There is too little to say: {why}.")
