"""The primary contrast: what was frozen before the run, and what it came to. All else is exploratory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from search.analysis.asked import COLUMNS, SD, T_TEST, WELCH, Row, ask, nothing
from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.intervals import number
from search.analysis.order_tests import F_TEST, ROOTS_FOR_F, ROOTS_FOR_SIGN_FLIP, SIGN_FLIP, untestable
from search.analysis.power import LEVEL
from search.order import Order
from search.primary import QUESTIONS, contrast_of, has_two_orders, has_two_sets
from search.results import Results
from trainables.errors import Mistake
from trainables.methods import FEW_SHOT

if TYPE_CHECKING:
    from search.study import Study

LEARNS = ("gp", "evolution", "tpe", "plackett-luce", "halving")
"""Strategies whose candidates depend on the scores of others."""

CLAIMS = {
    "order": ("orders of the same set of tasks differ in {}", "that orders of the same set of tasks differ in {}"),
    "tasks": ("sets of tasks differ in {}", "that sets of tasks differ in {}"),
    "methods": ("tuning methods differ in {}", "that tuning methods differ in {}"),
    "complexity": (
        "hard and easy intermediate tasks act differently under the two methods, in {}",
        "that hard and easy intermediate tasks act differently under the two methods, in {},",
    ),
    "icl": (
        "in-context prompts after intermediate training and fine-tuning without it differ in {}",
        "that in-context prompts after intermediate training and fine-tuning without it differ in {}",
    ),
    "prompts": ("prompt tuning and fine-tuning differ in {}", "that prompt tuning and fine-tuning differ in {}"),
    "prompt length": ("the prompt's length matters for {}", "that the prompt's length matters for {}"),
    "learning rate": ("the prompts' learning rate matters for {}", "that the prompts' learning rate matters for {}"),
}  # fmt: skip
"""What each contrast claims, and what is not shown where it does not."""

BETWEEN = {
    "order": "orders of a set", "tasks": "sets of tasks", "methods": "methods", "prompt length": "lengths",
    "learning rate": "learning rates",
}  # fmt: skip
"""What an SD is between."""


def frozen(study: Study, when: str) -> dict[str, Any]:
    """What a manifest says of the primary contrast before anything is run.

    `outcome` of the scored `portion`, `contrast` and its `question`, the `test` that so many `roots` allow, its
    `level`, the `methods` compared, `items` (fingerprints of the targets' data), and `when` that was written.
    """
    settings, outcome = study.settings, study.settings.primary.outcome
    contrast = contrast_of(settings, study.space.orders)
    kind, _, name = outcome.partition(":")
    targets = [name] if kind == "target" else list(study.grid)
    return {
        "outcome": outcome, "portion": "report" if settings.objective == "target-dev" else "test",
        "contrast": contrast, "question": QUESTIONS[contrast], "test": _planned_test(study, contrast), "level": LEVEL,
        "roots": settings.seeds, "methods": [method for method in settings.method if method not in FEW_SHOT],
        "items": {target: study.fingerprints["score", target] for target in targets}, "when": f"{when}, before the run",
    }  # fmt: skip


def _planned_test(study: Study, contrast: str) -> str:
    """The test that will be made, or why there can be none."""
    settings = study.settings
    if contrast == "order" and not has_two_orders(study.space.orders):
        return "not testable: no set of tasks has two orders"
    if contrast == "tasks" and not has_two_sets(study.space.orders):
        return "not testable: there is one set of tasks"
    if contrast == "complexity":
        return WELCH
    if settings.seeds < ROOTS_FOR_F:
        return untestable(settings.seeds)
    arms = {
        (arm.method, "learning_rate" in settings.tuned or arm.learning_rate,
         "prompt_length" in settings.tuned or arm.prompt_length)
        for arm in settings.arms if arm.method not in FEW_SHOT
    }  # fmt: skip
    if contrast == "icl" or (contrast == "methods" and len(arms) == 2):
        return T_TEST
    return SIGN_FLIP if settings.seeds >= ROOTS_FOR_SIGN_FLIP else F_TEST


def declared(results: Results) -> tuple[Mapping[str, Any], str]:
    """The primary contrast of results, and what is to be said of when it was chosen (empty: before the run).

    Of runs that were frozen for different ones there is none: ValueError says so.
    """
    found = [run.manifest.get("primary") for run in results.runs]
    known = [one for one in found if one]
    if len(known) < len(found) or not known:
        settings = results.settings
        orders = [Order.parse(str(text)) for text in results.candidates.order.unique()]
        said = "The run folder says nothing of it: it is the default, and was not frozen before the run"
        return {"outcome": settings.primary.outcome, "contrast": contrast_of(settings, orders)}, said
    different = {(one["outcome"], one["contrast"]) for one in known}
    if len(different) > 1:
        told = ", ".join(f"{contrast} of {outcome}" for outcome, contrast in sorted(different))
        raise ValueError(f"the runs were frozen for different primary contrasts ({told})")
    if len(known) > 1:
        return known[0], f"{len(known)} runs are merged, each frozen for it: the number of roots was not"
    return known[0], ""


def primary(designs: Designs) -> Finding:
    """The primary contrast of the primary outcome: one row of `asked.COLUMNS`, with its `level`, the `planned_test` and
    whether it was `frozen` before the run."""
    title = "The primary contrast"
    try:
        about, late = declared(designs.results)
        row = ask(designs, about["contrast"], about["outcome"])
    except (ValueError, Mistake) as error:
        table = pd.DataFrame([nothing(str(error))]).reindex(columns=[*COLUMNS, "level", "planned_test", "frozen"])
        return Finding("primary", title, table, f"There is no primary contrast: {error}.", primary=True)
    planned = str(about.get("test", ""))
    table = pd.DataFrame([{**row, "level": LEVEL, "planned_test": planned, "frozen": bool(planned)}])
    notes = [note for note in (late, _reused(designs.results), _learned(designs.results, about["contrast"])) if note]
    if planned and row["test"] and planned != row["test"]:
        notes.append(f"Planned was: {planned}. The test that was made is the one that the scored roots allow.")
    sentence = f"Primary: {sentence_of(row)}"
    return Finding("primary", title, table, sentence, primary=True, notes=tuple(notes))


def sentence_of(row: Row) -> str:
    """What a row of `asked.ask` supports, as a sentence: claimed at 5 %, else what would have been shown."""
    contrast, what = row["contrast"], words(row["outcome"])
    claim, not_claimed = (text.format(what) for text in CLAIMS[contrast])
    if math.isnan(row["p"]):
        some = "" if math.isnan(row["estimate"]) else f" (estimate: {effect(row)})"
        return f"there is too little to say whether {claim}: {row['reason']}{some}{_needed(row)}."
    figures = f"p = {p_value(row['p'])}, {row['test']}, {number(int(row['n']), row['unit'].removesuffix('s'))}"
    if row["p"] <= LEVEL:
        return f"{claim} ({figures}): {effect(row)}."
    could = "" if math.isnan(row["detectable"]) else f" {row['detectable']:.2f} points would be shown in 4 of 5 studies"
    more = f"{could}{_needed(row)}{_doubtful(row)}"
    return f"{not_claimed} is not shown ({figures}): {effect(row)};{more}.".replace(";.", ".").replace(";;", ";")


def effect(row: Row) -> str:
    """`an SD of 1.20 points between orders of a set (95 % 0.80 to 1.60; 0.85 of seed noise's SD, 0.56 to 1.13)`."""
    sd, value = row["measured"] == SD, row["estimate"]
    told = f"a difference of {value:+.2f} points"
    if sd:
        told = f"an SD of {value:.2f} points between {BETWEEN[row['contrast']]}"
    sign = "" if sd else "+"
    parts = []
    if not math.isnan(row["low"]):
        parts.append(f"95 % {row['low']:{sign}.2f} to {row['high']:{sign}.2f}")
    if not math.isnan(row["in_seed_sd"]):
        of = "SDs between tasks" if row["unit"] == "tasks" else "SDs of seed noise"
        ends = row["in_seed_sd_low"], row["in_seed_sd_high"]
        interval = "" if math.isnan(ends[0]) else f", {ends[0]:{sign}.2f} to {ends[1]:{sign}.2f}"
        parts.append(f"{row['in_seed_sd']:{sign}.2f} {of}{interval}")
    return told + (f" ({'; '.join(parts)})" if parts else "")


def p_value(p: float) -> str:
    """Two digits; what is smaller than a thousandth is not told more exactly."""
    return "below 0.001" if p < 0.001 else f"{p:.2g}"


def _needed(row: Row) -> str:
    needed = row["needed"]
    if needed is None or pd.isna(needed) or needed <= row["n"]:
        return ""  # fewer than there are: the estimate itself is large enough, and this study did not show it
    each = " of each kind" if row["unit"] == "tasks" else ""
    return f"; {int(needed)} {row['unit']}{each} would show an effect as large as the estimate as often"


def _doubtful(row: Row) -> str:
    """What is to be said where an interval leaves out 0 and the test does not."""
    if row["measured"] != SD or not row["low"] > 0:
        return ""
    return "; the interval supposes one covariance for all that share alike, the test does not, and they disagree here"


def words(outcome: str) -> str:
    """An outcome in words."""
    kind, _, name = outcome.partition(":")
    named = {
        "score": "the score", "robust_score": "the robust score", "gap_to_english": "the gap to English",
        "robust_score_foreign": "the robust score in other languages than English",
        "attacked_foreign": "what is left under attack in other languages than English",
        "worst_language": "the score in the worst language", "target": f"the score on {name}",
        "language": f"the score in {name}", "family": f"the score in {name} languages",
        "script": f"the score in {name} script",
    }  # fmt: skip
    return named[kind]


def _reused(results: Results) -> str:
    """What was known of a study's scores before its primary contrast was written down."""
    reused = sum(run.manifest["cost"].get("stages_reused", 0) for run in results.runs)
    every = sum(run.manifest["cost"].get("stages_distinct", 0) for run in results.runs)
    if not reused:
        return ""
    return (
        f"{reused:,} of {every:,} stages were in the store before this was frozen: what an earlier run has shown of "
        "them may have been known"
    )


def _learned(results: Results, contrast: str) -> str:
    strategy = results.settings.strategy
    if strategy not in LEARNS or contrast not in ("order", "tasks"):
        return ""
    return (
        f"The strategy {strategy} chose what to run by scores of the same roots: the orders are no sample, and the "
        "test's level holds for given ones only"
    )


def capital(text: str) -> str:
    """The first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]
