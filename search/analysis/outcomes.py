"""What is compared: tables of one outcome, candidates × roots in percent, and designs of them.

An outcome is a mean over cells (target, language): over targets of means over languages, as the overall score is. The
clean cells are those of the leaderboard; the robust ones are `robustness.language_cells`. A mean is missing where one
of its cells is, so that all candidates are compared on the same cells.

| outcome | what it is |
| --- | --- |
| `score` | the overall score |
| `target:NAME`, `language:CODE`, `family:NAME`, `script:NAME` | the same over these cells alone |
| `gap_to_english` | English less the mean of the other languages, over the targets that have both |
| `worst_language` | each root's lowest mean of a language over its targets |
| `robust_score` | the overall robust score |
| `robust_score_foreign` | the same without English |
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from search.analysis.design import Design
from search.analysis.overall import HYPERPARAMETERS, candidates, counted
from search.means import ENGLISH, mean_by
from search.order import EMPTY, Order
from search.results import Results
from search.robustness import language_cells
from trainables.errors import Mistake, nearest
from trainables.languages import family, script
from trainables.methods import FEW_SHOT

NAMED = ("score", "robust_score", "robust_score_foreign", "gap_to_english", "worst_language")
"""Outcomes that every study, or every study with edits, may have."""

PARTS: dict[str, Callable[[str], str]] = {"language": str, "family": family, "script": script}
"""What languages are grouped by, and the group of a language's code."""


def outcome_table(results: Results, outcome: str, portion: str | None = None, few_shot: bool = False) -> pd.DataFrame:
    """The compared candidates' values of an outcome: candidates × own roots, in percent (gaps in points).

    Rows are those of `Results.compared` at the full budget as they first occur, few-shot methods left out unless
    asked for; empty where the study lacks all that the outcome is made of. `portion` is by default the one that ranks
    are made from. Raises Mistake for an outcome that there is not.
    """
    _check(outcome)
    cells = robust_cells(results, portion, few_shot) if outcome.startswith("robust") else None
    return reduced(clean_cells(results, portion, few_shot) if cells is None else cells, outcome)


def design_of(results: Results, outcome: str, method: str | None = None) -> Design | None:
    """The complete design of an outcome; None where the study lacks it.

    Only candidates of `method`, where one is named. Methods and hyperparameters that are not tuned make arms. Those
    that are tuned do not, since orders are compared at the best setting of each; two orders of one arm at two learning
    rates therefore count as sharing stages that they do not share, which costs power and no level.
    """
    return as_design(results, outcome_table(results, outcome), method)


def as_design(
    results: Results, values: pd.DataFrame, method: str | None = None, about: pd.DataFrame | None = None
) -> Design | None:
    """The design of a table of candidates × roots, as `design_of` makes it; `about` is `arms`, where it is at hand."""
    if values.empty:
        return None
    about = (arms(results) if about is None else about).loc[values.index]
    if method is not None:
        about = about[about.method == method]
    design = Design.of(values.loc[about.index], [Order.parse(str(text)) for text in about.order], about.arm.to_list())
    return design if design.size and design.roots else None


def arms(results: Results) -> pd.DataFrame:
    """By compared candidate: order, method, `arm` (what it is besides its order and what is tuned, in words) and `base`
    (the candidate of the empty order in its arm; None where there is none)."""
    about = candidates(results.compared)
    fixed = ["method", *(name for name in HYPERPARAMETERS if name not in results.settings.tuned)]
    rows = about[fixed].itertuples(index=False)
    names = [" ".join(str(value) for value in row if not pd.isna(value)) for row in rows]
    found = about[["order", "method"]].astype(object).assign(arm=names)
    empty = found[found.order == EMPTY].drop_duplicates("arm")
    return found.assign(base=found.arm.map(dict(zip(empty.arm, empty.index, strict=True))).astype(object))


def clean_cells(results: Results, portion: str | None = None, few_shot: bool = False) -> pd.DataFrame:
    """Clean scores in percent: (target, language) × (candidate, seed)."""
    rows = counted(results.compared, portion or results.portion)
    rows = rows if few_shot else rows[~rows.method.isin(FEW_SHOT)]
    names = ["candidate", "seed", "target", "language"]
    values = rows[[*names, "value"]].astype({"candidate": object, "target": object, "language": object})
    return _tidy(values.set_index(names).value.unstack(["candidate", "seed"]) * 100, rows)


def robust_cells(
    results: Results, portion: str | None = None, few_shot: bool = False, metric: str = "robust"
) -> pd.DataFrame:
    """Robust scores in percent, means over an edit's severities, then edits: (target, language) × (candidate, seed).

    `metric` may be another figure of edits, as `robust_attackable`.
    """
    rows = results.compared
    rows = rows[(rows.perturbation != "none") & rows.metric.isin(["robust", metric]) & (rows.budget == 1)]
    found = language_cells(rows, portion or results.portion, metric) * 100
    if not few_shot and len(found):
        shown = rows[~rows.method.isin(FEW_SHOT)].candidate.unique()
        found = found.loc[:, found.columns.get_level_values("candidate").isin(shown)]
    return _tidy(found, rows)


def reduced(cells: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Cells (target, language) × (candidate, seed) as a table of an outcome: candidates × roots.

    A robust outcome is made of robust cells, all others may be made of either.
    """
    languages = cells.index.get_level_values("language")
    kind, _, name = outcome.partition(":")
    match kind:
        case "robust_score_foreign":
            values = _overall(cells[~languages.isin(ENGLISH)])
        case "target":
            values = _overall(cells[cells.index.get_level_values("target") == name])
        case "language" | "family" | "script":
            values = _overall(cells[[PARTS[kind](code) == name for code in languages]])
        case "gap_to_english":
            values = _gap(cells)
        case "worst_language":
            by_language = mean_by(cells, "language")
            values = by_language.min().where(by_language.notna().all())
        case _:
            values = _overall(cells)
    if values.empty or values.isna().all():
        return pd.DataFrame()
    return values.unstack("seed").reindex(cells.columns.unique("candidate"))


def groups(cells: pd.DataFrame, kind: str) -> list[str]:
    """The languages, families or scripts (`kind`) that cells have, sorted."""
    return sorted({PARTS[kind](code) for code in cells.index.unique("language")})


def _overall(cells: pd.DataFrame) -> pd.Series:
    """The mean over targets of means over languages, by (candidate, seed)."""
    return mean_by(cells, "target").mean(skipna=False)


def _gap(cells: pd.DataFrame) -> pd.Series:
    """English less the mean of the others, mean over targets that have both, by (candidate, seed)."""
    english = cells.index.get_level_values("language").isin(ENGLISH)
    both = cells[english].droplevel("language") - mean_by(cells[~english], "target")
    there = cells[english].index.get_level_values("target").intersection(cells[~english].index.unique("target"))
    return both.loc[there].mean(skipna=False) if len(there) else pd.Series(dtype=float)


def _tidy(cells: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Candidates in the order in which they first occur, roots by number."""
    if cells.empty:
        return cells
    place = {name: place for place, name in enumerate(rows.candidate.unique())}
    return cells[sorted(cells.columns, key=lambda key: (place[key[0]], key[1]))]


def _check(outcome: str) -> None:
    kind, sep, name = outcome.partition(":")
    if (sep and name and kind in ("target", *PARTS)) or outcome in NAMED:
        return
    known = [*NAMED, *(f"{kind}:NAME" for kind in ("target", *PARTS))]
    raise Mistake(f"there is no outcome '{outcome}'", right=nearest(outcome, known))
