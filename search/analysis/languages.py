"""Language by language, family by family, script by script: what an order gains, and whether the order matters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from search.analysis.design import Design
from search.analysis.designs import Designs, is_sham
from search.analysis.finding import Finding
from search.analysis.intervals import NOTHING, Estimate, over_roots
from search.analysis.linear import CLAIM, t_over_roots
from search.analysis.multiple import holm
from search.analysis.order_tests import F_TEST, ROOTS_FOR_F, f_test, spread, untestable
from search.analysis.outcomes import PARTS, arms, groups, outcome_table, reduced
from search.analysis.selection import ranked
from search.order import EMPTY, Order
from search.results import Results

SCORE, ROBUST = "score", "robust_score"

PLURAL = {"language": "languages", "family": "families", "script": "scripts"}


def by_language(results: Results) -> Finding | None:
    """What each language, family and script has of the best order, and whether the order matters there; None where
    nothing was scored.

    Table: of (`score`, `robust_score`), kind, name, languages, n (roots), `estimate` (the best order's gain over the
    empty one, paired by root), low, high, p, p_holm, `best` and `empty` (their scores, percent), `worst` (whether the
    best order's score is the lowest of its kind), orders, `spread` (highest less lowest of the orders' means),
    `order_sd` (SD between orders of a set, noise taken off), order_p, order_p_holm, reason. Holm's correction is over
    the rows of one `of` and kind.
    """
    designs, best = Designs(results), best_order(results)
    if best is None:
        return None
    rows: list[dict[str, Any]] = []
    for of, cells in ((SCORE, designs.clean), (ROBUST, designs.robust)):
        for kind in PARTS if len(cells) else ():
            rows += [
                {"of": of, "kind": kind, "name": name, **_part(designs, cells, f"{kind}:{name}", best)}
                for name in groups(cells, kind)
            ]
    table = pd.DataFrame(rows)
    by_kind = table.groupby(["of", "kind"], sort=False)
    for column in ("p", "order_p"):
        table.insert(int(table.columns.get_indexer([column])[0]) + 1, f"{column}_holm", by_kind[column].transform(holm))
    lowest = by_kind.best.transform("min")
    table.insert(int(table.columns.get_indexer(["best"])[0]), "worst", table.best == lowest)
    notes = (
        f"The best order is {best}: of those with a task the highest on {results.seen}; the gain of a chosen order on "
        "the roots that it was chosen on may look larger than it is.",
        f"Whether the order matters: {F_TEST}; the sign-flip's smallest p survives no correction at 6 roots.",
        "spread is the range of the orders' means, luck included.",
    )
    title = "Language by language"
    return Finding("by_language", title, table, _sentence(table, best), notes=notes)


def best_order(results: Results) -> str | None:
    """The candidate, with a task and no sham, that is best on what choices are made on; few-shot methods left out.

    None where nothing was scored on it.
    """
    seen, about = outcome_table(results, SCORE, results.seen), arms(results)
    if seen.empty:
        return None
    orders = {name: str(about.order[name]) for name in seen.index}
    real = [name for name, order in orders.items() if order != EMPTY and not is_sham(Order.parse(order).tasks)]
    return next(iter(ranked(seen, real)), None)


def order_f(designs: Designs, values: pd.DataFrame) -> dict[str, Any]:
    """Of a table of candidates × roots: orders, `spread`, `order_sd`, `order_p` (F) of the orders, and a reason."""
    design = designs.made(values)
    design = None if design is None else designs.real(design)
    nothing = {"orders": 0, "spread": math.nan, "order_sd": math.nan, "order_p": math.nan}
    if design is None:
        return nothing | {"reason": "no candidate has all roots"}
    row = nothing | {"orders": design.size, "spread": float(np.ptp(design.means)), "reason": ""}
    if not len(designs.compared(design)[0]):
        return row | {"reason": "not testable: no set of tasks has two orders"}
    return row | _tested(designs, design)


def _tested(designs: Designs, design: Design) -> dict[str, Any]:
    contrasts, scaled, alike = designs.compared(design)
    raw, noise = spread(design.values, contrasts)
    if design.roots < ROOTS_FOR_F:
        return {"reason": untestable(design.roots)}
    row = {"order_sd": math.sqrt(max(raw - noise, 0))}
    if math.sqrt(noise) < NOTHING:
        return row | {"reason": "not testable: roots do not differ"}
    test = f_test(design.values, scaled, alike)
    return row | {"order_p": float(test.p)}


def _part(designs: Designs, cells: pd.DataFrame, outcome: str, best: str) -> dict[str, Any]:
    values, about = reduced(cells, outcome), designs.about
    kind, _, name = outcome.partition(":")
    languages = sum(PARTS[kind](code) == name for code in cells.index.unique("language"))
    base, nan = about.base[best], math.nan
    of_best = values.loc[best] if best in values.index else pd.Series(dtype=float)
    of_base = values.loc[base] if base in values.index else pd.Series(dtype=float)
    gain = over_roots((of_best - of_base).tolist())
    test = order_f(designs, values) if len(values) else {"reason": "nothing was scored"}
    reason = "; ".join(dict.fromkeys(filter(None, (gain.reason, str(test.pop("reason"))))))
    found = ends_of(gain)
    return {
        "languages": languages, "n": gain.n, **found, "p": p_of(of_best - of_base), "best": _mean(of_best),
        "empty": _mean(of_base), **{"orders": 0, "spread": nan, "order_sd": nan, "order_p": nan}, **test,
        "reason": reason,
    }  # fmt: skip


def ends_of(found: Estimate) -> dict[str, float]:
    """Columns estimate, low and high."""
    mean = math.nan if found.mean is None else found.mean
    half = math.nan if found.half_width is None else found.half_width
    return {"estimate": mean, "low": mean - half, "high": mean + half}


def p_of(differences: pd.Series) -> float:
    """Two-sided p of t over roots; nan below three."""
    known = differences.dropna().to_numpy(float)
    return float(t_over_roots(known)[2]) if len(known) else math.nan


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else math.nan


def _sentence(table: pd.DataFrame, best: str) -> str:
    told = []
    for kind, many in PLURAL.items():
        part = table[(table.of == SCORE) & (table.kind == kind)]
        had = part[part.p.notna()]
        if had.empty:
            continue
        up, down = (had[(had.p_holm <= CLAIM) & (sign * had.estimate > 0)] for sign in (1, -1))
        lost = f" and loses in {listed(down.name)}" if len(down) else ""
        told.append(f"of {len(had)} {many} the best order gains in {listed(up.name) if len(up) else 'none'}{lost}")
    if not told:
        return f"Too little to say: {table.reason.iloc[0]}."
    tested = table[(table.of == SCORE) & (table.kind == "language") & table.order_p.notna()]
    matters = tested[tested.order_p_holm <= CLAIM]
    if len(tested):
        told.append(f"the order is shown to matter in {listed(matters.name) if len(matters) else 'none of them'}")
    worst = table[(table.of == SCORE) & (table.kind == "language") & table.worst].iloc[0]
    said = f"Shown after Holm's correction, {best}: {'; '.join(told)}."
    return f"{said} Its lowest mean of a language is {worst.best:.2f} % ({worst['name']})."


def listed(names: pd.Series) -> str:
    """The first eight of names, and how many more."""
    told = list(map(str, names))
    return ", ".join(told[:8]) + (f" and {len(told) - 8} more" if len(told) > 8 else "")
