"""Methods, prompts, difficulty and in-context prompts: findings whose rows are those of `asked.ask`."""

from __future__ import annotations

import math

import pandas as pd

from search.analysis.asked import COLUMNS, Row, ask, between_arms, icl_pair, nothing, of_estimate, trained_pair
from search.analysis.contrasts import gain_contrasts, method_contrasts
from search.analysis.design import Design
from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.icl import two_by_two_of
from search.analysis.interaction import complexity_of
from search.analysis.intervals import Estimate, over_roots
from search.analysis.overall import HYPERPARAMETERS, by_order, overall, paired
from search.analysis.primary import capital, sentence_of
from search.analysis.selection import chosen
from search.analysis.tested import ALL, Rows
from search.analysis.wording import estimate_of
from search.order import Order


def methods(designs: Designs) -> Finding:
    """Tuning methods against one another over the orders that they share.

    Table: measure, method, baseline, `orders`, `asked.COLUMNS`. Measures: `any difference` between all methods (a
    difference of two, an SD of more), `score` (the method's less the baseline's) and `gain` (what orders add to the
    empty one under the method less what they add under the baseline), paired by root.
    """
    name, title = "methods", "Tuning methods"
    if len(designs.methods) < 2:
        return Finding(name, title, pd.DataFrame(), "Nothing to compare: the study has one tuning method.")
    results = designs.results
    base = results.settings.pair[1] if results.settings.pair else "full"
    base = base if base in designs.methods else designs.methods[0]
    own = results.own[results.own.method.isin(designs.methods)]
    names = chosen(own, HYPERPARAMETERS, results.seen)
    rows: Rows = [
        {"measure": "any difference", "method": ALL, "baseline": "", **ask(designs, "methods", outcome)}
        for outcome in ("score", "robust_score") if not designs.table(outcome).empty
    ]  # fmt: skip
    about = {"contrast": "methods", "outcome": "score", "portion": results.portion}
    for measure, contrasts in (("score", method_contrasts), ("gain", gain_contrasts)):
        for row in contrasts(own, names, base, results.portion).itertuples():
            found = of_estimate(estimate_of(row, "difference"))
            rows.append({"measure": measure, "method": row.method, "baseline": base, "orders": row.orders,
                         **about, **found})  # fmt: skip
    table = pd.DataFrame(rows)
    notes = (
        "Each method at the learning rate (and prompt length) that is best on what was chosen on, for each order.",
        "Methods differ in what they may tune and in what was searched for them, not in the tuning alone.",
    )
    return Finding(name, title, table, _methods_sentence(table), notes=notes)


def _methods_sentence(table: pd.DataFrame) -> str:
    told = [capital(sentence_of(row)) for row in table[table.measure == "any difference"].head(1).to_dict("records")]
    for row in table[table.measure == "gain"].to_dict("records"):
        if pd.notna(row.get("low")):
            claim = "more" if row["low"] > 0 else "less" if row["high"] < 0 else None
            said = (
                f"gain {claim} under {row['method']}"
                if claim
                else f"are not shown to gain otherwise under {row['method']}"
            )
            told.append(f"Orders {said} than under {row['baseline']} ({_interval(row)}).")
    return " ".join(told)


def prompts(designs: Designs) -> Finding:
    """Prompt tuning against fine-tuning, and what of a prompt matters: its length, its learning rate.

    Table: part (`prompt − full`, `prompt length`, `learning rate`), `levels` (what is compared), `best` (the level of
    the highest mean), `asked.COLUMNS`. Each level at the other setting that is best on what was chosen on, for each
    order; means over the orders that all levels have.
    """
    name, title, results = "prompts", "Prompt tuning", designs.results
    if "prompt" not in designs.methods:
        return Finding(name, title, pd.DataFrame(), "Nothing to compare: the study has no prompts.")
    own = results.own[results.own.method.isin(["prompt", "full"])]
    about = {"outcome": "score", "portion": results.portion}
    rows: Rows = []
    if "full" in designs.methods:
        values = by_order(overall(own, results.portion), own, chosen(own, HYPERPARAMETERS, results.seen))
        both = [part.dropna(axis="columns") for part in paired(values, "prompt", "full")]
        less = (both[0].mean() - both[1].mean()).tolist() if both[0].size else []
        found = of_estimate(over_roots(less)) if less else nothing("no order has both at one root")
        rows.append(
            {"part": "prompt − full", "levels": "prompt, full", "best": "", "contrast": "prompts", **about, **found}
        )
    of_prompts = own[own.method == "prompt"]
    for part, column, nuisance in (("prompt length", "prompt_length", "learning_rate"),
                                   ("learning rate", "learning_rate", "prompt_length")):  # fmt: skip
        design = _levels(designs, of_prompts, column, nuisance)
        if design is not None:
            best = design.names[int(design.means.argmax())]
            rows.append({"part": part, "levels": ", ".join(design.names), "best": best, "contrast": part, **about,
                         **between_arms(design)})  # fmt: skip
    if not rows:
        return Finding(
            name, title, pd.DataFrame(), "Nothing to compare: the study has one kind of prompt and nothing else."
        )
    table = pd.DataFrame([{**dict.fromkeys(COLUMNS, math.nan), **row} for row in rows])
    return Finding(name, title, table, _prompts_sentence(table), notes=_sizes(designs))


def _levels(designs: Designs, rows: pd.DataFrame, column: str, nuisance: str) -> Design | None:
    """Roots × levels of a hyperparameter, over the orders that all have; None where there are no two."""
    results = designs.results
    names = chosen(rows, [nuisance], results.seen)
    about = rows.drop_duplicates("candidate").set_index("candidate").loc[names]
    values = overall(rows, results.portion).loc[names]
    levels = about[column].astype(float)
    by_level = {
        level: values[levels == level].set_axis(about.order[levels == level]) for level in sorted(levels.unique())
    }
    shared = [order for order in about.order.unique() if all(order in part.index for part in by_level.values())]
    if len(by_level) < 2 or not shared:
        return None
    means = pd.DataFrame(
        {f"{level:g}": part.loc[shared].mean(skipna=False) for level, part in by_level.items()}
    ).dropna()
    if not len(means):
        return None
    names_ = tuple(map(str, means.columns))
    return Design(names_, (Order(),) * len(names_), names_, tuple(map(int, means.index)), means.to_numpy(dtype=float))


def _prompts_sentence(table: pd.DataFrame) -> str:
    return " ".join(capital(sentence_of(row)) + best_of(row) for row in table.to_dict("records"))


def best_of(row: Row) -> str:
    """Which level of a hyperparameter has the highest mean, as a sentence that follows another."""
    return f" The highest mean is at {row['best']} of {row['levels']}." if row.get("best") else ""


def _sizes(designs: Designs) -> tuple[str, ...]:
    """How many of the encoder's parameters each method tunes."""
    rows = designs.results.own
    rows = rows[(rows.portion == "model") & (rows.metric == "tuned_share")]
    shares = rows.groupby("method", observed=True).value.mean()
    told = ", ".join(f"{method} {100 * share:.2g} %" for method, share in shares.items() if share > 0)
    return (f"Of the encoder's parameters are tuned: {told}.",) if told else ()


# --- difficulty, in context -------------------------------------------------------------------------------------------


def complexity(designs: Designs) -> Finding:
    """Do hard tasks act otherwise than easy ones under one method than under another? Then task by task.

    Table: row (`interaction` of an outcome, or `task`), task, difficulty, `asked.COLUMNS`; of a task `estimate` is its
    gain under the first method less that under the second. The unit of the interaction is the task.
    """
    name, title = "complexity", "Task difficulty × tuning method"
    pair, ratings = trained_pair(designs), designs.results.difficulty
    if pair is None or not ratings:
        why = "the study has one trained method" if pair is None else "no intermediate task has a difficulty"
        return Finding(name, title, pd.DataFrame(), f"Nothing to compare: {why}.")
    outcomes = [one for one in ("score", "robust_score") if not designs.table(one).empty]
    rows: Rows = [{"row": "interaction", **ask(designs, "complexity", outcome)} for outcome in outcomes]
    found = complexity_of(designs.by_order("score"), ratings, pair) if "score" in outcomes else None
    for row in found.tasks.to_dict("records") if found else []:
        rows.append({"row": "task", "task": row["task"], "difficulty": row["difficulty"], "outcome": "score",
                     "n": row["roots"], "unit": "roots", "estimate": row["difference"]})  # fmt: skip
    table = pd.DataFrame(rows).reindex(
        columns=list(dict.fromkeys(["row", "task", "difficulty", *(k for r in rows for k in r)]))
    )
    first = f"Of (gain under {pair[0]} − gain under {pair[1]}), hard tasks less easy ones: "
    told = " ".join(capital(sentence_of(row)) for row in rows[: len(outcomes)])
    notes = ("A task's gain is the order of it alone less the empty order; the unit is the task, not the root.",)
    return Finding(name, title, table, first + told if told else "There is too little to say.", notes=notes)


def icl(designs: Designs) -> Finding:
    """In context against fine-tuned, before and after intermediate training: the four effects of the 2 × 2.

    Table: effect, `asked.COLUMNS`; `icl.TwoByTwo` says what each is. `instead` is the question: the in-context method
    after intermediate training less the trained one without it.
    """
    name, title, pair = "icl", "In-context prompts against fine-tuning", icl_pair(designs)
    if pair is None:
        return Finding(name, title, pd.DataFrame(), "Nothing to compare: no in-context method beside a trained one.")
    rows: Rows = []
    for outcome in ("score", "robust_score"):
        if designs.table(outcome).empty:
            continue
        found = two_by_two_of(designs.by_order(outcome), pair)
        effects: dict[str, Estimate] = {"instead": found.instead, "training": found.training, "method": found.method,
                                        "interaction": found.interaction}  # fmt: skip
        about = {"contrast": "icl", "outcome": outcome, "portion": designs.results.portion}
        rows += [{"effect": effect, **about, **of_estimate(value)} for effect, value in effects.items()]
    if not rows:
        return Finding(name, title, pd.DataFrame(), "There is too little to say: nothing was scored.")
    table = pd.DataFrame(rows)
    row = ask(designs, "icl", "score")
    notes = (f"{pair[0]} and {pair[1]}, paired by root; 'after' is the mean of the orders that both have.",)
    return Finding(name, title, table, capital(sentence_of(row)), notes=notes)


def _interval(row: Row) -> str:
    return f"{row['estimate']:+.2f} points, 95 % {row['low']:+.2f} to {row['high']:+.2f}"
