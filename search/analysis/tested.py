"""What was tested, contrast by contrast: findings whose rows are those of `asked.ask`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from search.analysis.asked import Row, ask
from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.intervals import NOTHING
from search.analysis.multiple import holm
from search.analysis.order_tests import F_TEST, ROOTS_FOR_F, f_test, spread, untestable
from search.analysis.outcomes import PARTS, groups, reduced
from search.analysis.power import LEVEL
from search.analysis.primary import capital, sentence_of, words
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
    rows = [row for outcome in ("score", "robust_score") for row in _families(designs, outcome)]
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


def _f_row(designs: Designs, values: pd.DataFrame) -> Row | None:
    """n, estimate, p and reason of the order's F test of candidates × roots; None where there is no design."""
    design = designs.made(values)
    design = None if design is None else designs.real(design)
    if design is None:
        return None
    contrasts, scaled, alike = designs.compared(design)
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


def _families(designs: Designs, outcome: str) -> Rows:
    cells = designs.robust if outcome == "robust_score" else designs.clean
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
            row = _f_row(designs, values)
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
