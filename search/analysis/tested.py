"""What was tested, contrast by contrast: findings whose rows are those of `asked.ask`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from search.analysis.asked import Row, ask, between_arms, icl_pair, nothing, of_estimate, trained_pair
from search.analysis.comparisons import order_contrasts, weighted
from search.analysis.contrasts import gain_contrasts, method_contrasts
from search.analysis.covariance import Classes, classes
from search.analysis.design import Array, Design
from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.icl import two_by_two_of
from search.analysis.interaction import complexity_of
from search.analysis.intervals import NOTHING, Estimate, over_roots
from search.analysis.multiple import holm
from search.analysis.order_tests import F_TEST, ROOTS_FOR_F, f_test, spread, untestable
from search.analysis.outcomes import PARTS, as_design, groups, reduced
from search.analysis.overall import HYPERPARAMETERS, by_order, overall, paired
from search.analysis.power import LEVEL
from search.analysis.primary import p_value, sentence_of, words
from search.analysis.selection import chosen
from search.analysis.wording import estimate_of
from search.order import Order
from search.robustness import ATTACK, cells_under
from trainables.methods import FEW_SHOT

OUTCOMES = ("score", "robust_score", "robust_score_foreign", "attacked_foreign", "worst_language", "gap_to_english")
"""What orders and sets are compared in; those that a study has."""

TOLD = ("score", "robust_score")
"""Of these the sentence speaks; the others are in the table."""

ALL = "all"
"""In a column `method`: all methods at once, each compared within itself."""

Rows = list[Row]


def within(contrast: str, designs: Designs) -> Finding:
    """`order` or `tasks` in every outcome that the study has: a row an outcome and method (`all`: all at once).

    Table: method, `asked.COLUMNS`. `attacked_foreign` is the mean figure under attack in other languages than English.
    """
    name, title = {
        "order": ("order", "Does the order of the same tasks matter?"),
        "tasks": ("which_tasks", "Does it matter which tasks are trained?"),
    }[contrast]
    scopes: list[str | None] = [None, *(designs.methods if len(designs.methods) > 1 else [])]
    rows: Rows = []
    for outcome in OUTCOMES:
        if outcome == "attacked_foreign":
            designs.put(outcome, attacked(designs))
        if designs.table(outcome).empty:
            continue
        rows += [{"method": scope or ALL, **ask(designs, contrast, outcome, scope)} for scope in scopes]
    table = pd.DataFrame(rows)
    if table.empty:
        return Finding(name, title, table, "There is too little to say: nothing was scored.")
    told = [sentence_of(row) for row in table[table.method == ALL].to_dict("records") if row["outcome"] in TOLD]
    notes = [
        "Orders of one root share the luck of the stages that they share, so no label is permuted: roots are.",
        "A set of tasks is the mean of its orders in the study." if contrast == "tasks" else
        "Only orders of the same set are compared: what a set is worth does not enter.",
    ]  # fmt: skip
    if len(designs.methods) > 1:
        notes.append("Within each method; 'all' asks whether it matters under any of them.")
    return Finding(name, title, table, capital(" ".join(map(capital, told))), notes=tuple(notes))


def attacked(designs: Designs) -> pd.DataFrame:
    """The mean figure under attack, over recipes, in other languages than English: candidates × roots in percent."""
    results = designs.results
    rows = results.compared
    rows = rows[~rows.method.isin(FEW_SHOT) & (rows.budget == 1)]
    recipes = [name for name in rows.perturbation.unique() if str(name).startswith(ATTACK)]
    cells = cells_under(rows, results.portion, recipes) * 100 if recipes else pd.DataFrame()
    if cells.empty:
        return pd.DataFrame()
    there = cells.columns.get_level_values("candidate")
    found = reduced(cells, "robust_score_foreign")
    return found.reindex([name for name in rows.candidate.unique() if name in there]) if len(found) else found


def order_by_family(designs: Designs) -> Finding:
    """The order test in each language family, clean and robust: does the order matter there, and otherwise there?

    Table: of (`score`, `robust_score`), family, `languages`, asks (`here`, or `otherwise`: do orders differ there as
    they do elsewhere, that is, in the family's score less that of all other families), n (roots), `estimate` (SD
    between orders of a set with noise taken off, in points), p, p_holm, reason. Holm's correction is over the families
    of one question. Always the F test: at 6 roots the sign-flip has no p below 0.03, which no correction survives.
    """
    name, title = "order_by_family", "The order, in each language family"
    test = _FTest(designs)
    rows = [row for outcome in ("score", "robust_score") for row in _families(test, outcome)]
    if not rows:
        return Finding(name, title, pd.DataFrame(), "There is too little to say: there are no two language families.")
    table = pd.DataFrame(rows)
    adjusted = table.groupby(["of", "asks"], sort=False).p.transform(holm)
    table.insert(int(table.columns.get_indexer(["p"])[0]) + 1, "p_holm", adjusted)
    notes = (
        "A family with one language in the study is that language.",
        f"{F_TEST}, whatever the number of roots: what corrections for several families need is a small p, and the "
        "sign-flip's smallest at 6 roots is 0.03.",
    )
    return Finding(name, title, table, _family_sentence(table), notes=notes)


class _FTest:
    """The order's F test of several tables of the same candidates, whose contrasts are made once."""

    def __init__(self, designs: Designs) -> None:
        self.designs = designs
        self._made: dict[tuple[str, ...], tuple[Array, Array, Classes]] = {}

    def __call__(self, values: pd.DataFrame) -> Row | None:
        """n, estimate, p and reason of candidates × roots; None where there is no design."""
        design = as_design(self.designs.results, values)
        design = None if design is None else self.designs.real(design)
        if design is None:
            return None
        if design.names not in self._made:
            contrasts = order_contrasts(design)
            self._made[design.names] = contrasts, weighted(contrasts, design), classes(design)
        contrasts, scaled, alike = self._made[design.names]
        row: Row = {"n": design.roots, "estimate": math.nan, "p": math.nan, "reason": ""}
        if not len(contrasts):
            return row | {"reason": "not testable: no set of tasks has two orders"}
        raw, noise = spread(design.values, contrasts)
        row["estimate"] = math.sqrt(max(raw - noise, 0)) if design.roots > 1 else math.nan
        if design.roots < ROOTS_FOR_F:
            return row | {"reason": untestable(design.roots)}
        if math.sqrt(noise) < NOTHING:
            return row | {"reason": "not testable: roots do not differ"}
        return row | {"p": float(f_test(design.values, scaled, alike).p)}


def _families(test: _FTest, outcome: str) -> Rows:
    cells = test.designs.robust if outcome == "robust_score" else test.designs.clean
    names = groups(cells, "family") if len(cells) else []
    rows: Rows = []
    for family in names if len(names) > 1 else []:
        there = np.array([PARTS["family"](code) == family for code in cells.index.get_level_values("language")])
        inside, outside = reduced(cells[there], "score"), reduced(cells[~there], "score")
        about = {"of": outcome, "family": family, "languages": cells[there].index.unique("language").size}
        asked = {"here": inside}
        if outside.shape == inside.shape:
            asked["otherwise"] = inside - outside
        for asks, values in asked.items():
            row = test(values)
            rows += [] if row is None else [{**about, "asks": asks, **row}]
    return rows


def _family_sentence(table: pd.DataFrame) -> str:
    told = []
    for outcome, part in table.groupby("of", sort=False):
        here = part[(part.asks == "here")]
        if here.p.isna().all():
            told.append(f"of {words(str(outcome))} there is too little to say ({here.reason.iloc[0]})")
            continue
        shown, other = here[here.p_holm <= LEVEL], part[(part.asks == "otherwise") & (part.p_holm <= LEVEL)]
        where = f"in {len(shown)} of {len(here)} families ({_list(shown.family)})" if len(shown) else (
            f"in none of {len(here)} families"
        )  # fmt: skip
        differs = f"it acts otherwise than elsewhere in {_list(other.family)}" if len(other) else (
            "that it acts otherwise in some family than elsewhere is not shown"
        )  # fmt: skip
        told.append(f"the order is shown to matter for {words(str(outcome))} {where} (Holm); {differs}")
    return capital("; ".join(told)) + "."


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(str, names))


# --- methods ----------------------------------------------------------------------------------------------------------


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

    Table: part (`prompt − full`, `length`, `learning rate`), `levels` (what is compared), `best` (the level of the
    highest mean), `asked.COLUMNS`. Each level at the other setting that is best on what was chosen on, for each order;
    means over the orders that all levels have.
    """
    name, title, results = "prompts", "Prompt tuning", designs.results
    if "prompt" not in designs.methods:
        return Finding(name, title, pd.DataFrame(), "Nothing to compare: the study has no prompts.")
    own = results.own[results.own.method.isin(["prompt", "full"])]
    about = {"contrast": "methods", "outcome": "score", "portion": results.portion}
    rows: Rows = []
    if "full" in designs.methods:
        values = by_order(overall(own, results.portion), own, chosen(own, HYPERPARAMETERS, results.seen))
        both = [part.dropna(axis="columns") for part in paired(values, "prompt", "full")]
        less = (both[0].mean() - both[1].mean()).tolist() if both[0].size else []
        found = of_estimate(over_roots(less)) if less else nothing("no order has both at one root")
        rows.append({"part": "prompt − full", "levels": "prompt, full", "best": "", **about, **found})
    of_prompts = own[own.method == "prompt"]
    for part, column, nuisance in (("length", "prompt_length", "learning_rate"),
                                   ("learning rate", "learning_rate", "prompt_length")):  # fmt: skip
        design = _levels(designs, of_prompts, column, nuisance)
        if design is not None:
            best = design.names[int(design.means.argmax())]
            rows.append({"part": part, "levels": ", ".join(design.names), "best": best, **about,
                         **between_arms(design)})  # fmt: skip
    if not rows:
        return Finding(
            name, title, pd.DataFrame(), "Nothing to compare: the study has one kind of prompt and nothing else."
        )
    table = pd.DataFrame(rows)
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
    told = []
    for row in table.to_dict("records"):
        what = {"prompt − full": "prompt tuning and fine-tuning differ", "length": "the prompt's length matters",
                "learning rate": "the prompts' learning rate matters"}[row["part"]]  # fmt: skip
        best = f"; best mean at {row['best']} of {row['levels']}" if row["best"] else ""
        if pd.isna(row.get("p")):
            told.append(f"there is too little to say whether {what}: {row['reason']}{best}.")
            continue
        figures = f"p = {p_value(row['p'])}, {int(row['n'])} roots; {_interval(row)}"
        said = what if row["p"] <= LEVEL else f"that {what} is not shown"
        told.append(f"{said} ({figures}{best}).")
    return " ".join(map(capital, told))


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


def capital(text: str) -> str:
    """The first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]
