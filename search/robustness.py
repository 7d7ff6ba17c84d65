"""Robust figures, made from the long table alone: what is left of a score under edits and attacks, and how much of the
text these could change at all.

The robust score takes, example by example, the worse of the clean and the edited figure (`perturb.measure`); its mean
over examples is averaged over an edit's severities, then over edits, languages and targets, never the worst over all
edits: a language with more of them would look weaker.

The grid is the planned one and what occurs in the table, the same for all candidates: a mean is missing where a
candidate lacks a cell. A cell of a target, language and edit that less than half of the examples are attackable in says
little; it is n/a for every candidate alike. Only edits that claim to keep the form or the meaning count; stress edits,
controls and attacks stand apart. Where two suites have the same edit at the same severity, their mean counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Literal

import pandas as pd

from perturb.edits import edit_class
from perturb.errors import BadInput
from perturb.measure import ATTACKABLE
from perturb.recipes import recipe
from search.means import (
    FAMILY,
    LANGUAGE,
    by_languages,
    half_widths,
    mean_by,
    over_whole_roots,
    snake,
    summary,
    whole_roots,
)  # fmt: skip
from search.scores import CLEAN, Row, table

ATTACK = "attack:"
"""What the perturbation of an attack begins with, before the recipe's name."""

CELL = ["target", "language", "perturbation"]

CLAIMED = ("form", "meaning")
"""What edits keep that enter the robust score."""

FIGURES = (
    "clean_subset", "changed", "robust", "robust_attackable", "clean_attackable", "drop", "flips_down", "flips_up",
    "consistency", "candidates_per_word", "undone", "attack_success", "queries", "words_changed",
)  # fmt: skip
"""The figures of a cell; `changed` is the target's main metric on the changed text, `clean_subset` the mean
figure of the same examples unchanged (of spans F1, whatever the main metric)."""

RANKED = ("robust", "robust_attackable", "drop", "attack_success", "queries")
"""The figures that a leaderboard's columns are made of."""

Keeps = Literal["form", "meaning", "stress", "control", "unknown"]


@cache
def keeps_of(perturbation: str) -> Keeps:
    """What an edit or a recipe claims to keep; negative controls are `control`, names of no known edit `unknown`."""
    try:
        if perturbation.startswith(ATTACK):
            return recipe(perturbation.removeprefix(ATTACK)).keeps
        found = edit_class(perturbation)
    except BadInput:
        return "unknown"
    return "control" if found.control else found.keeps


def perturbed(scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """The rows of edits and attacks in a portion, with what they keep (`keeps`), whether they are an `attack`, and why
    their cell is n/a (`reason`, empty where it is not)."""
    rows = scores[(scores.portion == portion) & (scores.perturbation != CLEAN)]
    if not (rows.metric == "robust").any():
        return rows.head(0).assign(keeps="", attack=False, reason="")
    shares = rows[rows.metric == "robust"].groupby(CELL).attackability.mean()
    reasons = shares.map(_reason).rename("reason")
    rows = rows.assign(
        keeps=rows.perturbation.map(keeps_of), attack=rows.perturbation.str.startswith(ATTACK)
    ).join(reasons, on=CELL)  # fmt: skip
    return rows.assign(reason=rows.reason.fillna("not measured"))


def _reason(attackable: float) -> str:
    if pd.isna(attackable):
        return "attackability not measured"
    return "" if attackable >= ATTACKABLE else f"below {ATTACKABLE:.0%} attackable"


def robust_columns(scores: pd.DataFrame, portion: str, planned: pd.MultiIndex | None = None) -> pd.DataFrame:
    """Columns of the leaderboard, by candidate, in percent but for counts; none where nothing was perturbed.

    `planned` are cells (target, language, perturbation) that must be there; what occurs is part of the grid anyway.

    `robust_score` with half its 95 % t interval over roots, the same over attackable examples
    (`robust_attackable_score`), and the paired fall of the figures, clean less edited (`robust_drop`); the worst
    language and family, English less the others, one column a language, family and target; `attackability`, the share
    of the grid's examples that could be changed. `stress_score` is the robust score over stress edits. For each recipe
    the mean figure under attack, the share of successes among the examples that were right and could be changed, and
    queries an example. Means are over a candidate's whole roots, of which it has `robust_seeds`. A target without
    figures of examples (mining) is neither in those over attackable examples nor in those of the fall.
    """
    rows = perturbed(scores[scores.metric.isin(RANKED)], portion)
    names = pd.Index(rows.candidate.unique(), name="candidate")
    rows = rows[~rows.apart.astype(bool)]
    suites, attacks = rows[~rows.attack.astype(bool)], rows[rows.attack.astype(bool)]
    lost = unmeasured(rows, planned)
    columns: dict[str, pd.Series] = {}
    if suites.keeps.isin(CLAIMED).any():
        columns |= _robust(_counted(suites, *CLAIMED), names, _kept(lost, *CLAIMED))
    if (suites.keeps == "stress").any():
        columns["stress_score"] = _score(_counted(suites, "stress"), "robust", lost=_kept(lost, "stress")) * 100
    for name, own in attacks.groupby("perturbation", sort=False):
        found, short = own[own.reason == ""], snake(str(name).removeprefix(ATTACK))
        gone = lost[lost.get_level_values("perturbation") == name]
        columns[f"attacked_{short}"] = _score(found, "robust", lost=gone) * 100
        columns[f"attack_success_{short}"] = _score(found, "attack_success") * 100
        columns[f"attack_queries_{short}"] = _score(found, "queries")
    board = pd.DataFrame({name: values.reindex(names) for name, values in columns.items()}, index=names)
    return board.astype({"robust_seeds": "Int64"}) if "robust_seeds" in board else board


def robust_score(rows: Iterable[Row], portion: str) -> float | None:
    """One candidate's robust score, as a share; None where nothing was perturbed, or nothing that counts."""
    kept = [row for row in rows if row.portion == portion and row.metric == "robust" and not row.apart]
    if not kept:
        return None
    found = _score(_counted(perturbed(table(kept), portion), *CLAIMED), "robust")
    return float(found.iloc[0]) if len(found) else None


def language_cells(scores: pd.DataFrame, portion: str, metric: str = "robust") -> pd.DataFrame:
    """A figure of the edits that enter the robust score, as a share, mean over an edit's severities, then over edits:
    (target, language) × (candidate, seed). Missing where a cell of the grid is."""
    rows = perturbed(scores, portion)
    return _by_language(_cells(_counted(rows[~rows.apart.astype(bool)], *CLAIMED), metric))


def cells_under(
    scores: pd.DataFrame, portion: str, perturbations: Collection[str], planned: pd.MultiIndex | None = None
) -> pd.DataFrame:  # fmt: skip
    """The robust figure under some edits or attacks, as a share, mean over severities, then over these: (target,
    language) × (candidate, seed). Cells that are n/a are not there; a cell that one of these has not is missing."""
    rows = perturbed(scores[scores.metric == "robust"], portion)
    rows = rows[~rows.apart.astype(bool) & rows.perturbation.isin(list(perturbations))]
    lost = unmeasured(rows, planned)
    lost = lost[lost.get_level_values("perturbation").isin(list(perturbations))]
    return _by_language(_cells(rows[rows.reason == ""], "robust", lost=lost))


def _counted(rows: pd.DataFrame, *keeps: str) -> pd.DataFrame:
    """The rows of suites' edits that keep one of these and whose cell is not n/a."""
    return rows[~rows.attack.astype(bool) & rows.keeps.isin(keeps) & (rows.reason == "")]


def unmeasured(rows: pd.DataFrame, planned: pd.MultiIndex | None) -> pd.MultiIndex:
    """The planned cells (target, language, perturbation) that no candidate has."""
    found = pd.MultiIndex.from_frame(rows[CELL].drop_duplicates().astype(object))
    return found[:0] if planned is None else planned.difference(found, sort=False)


def _kept(cells: pd.MultiIndex, *keeps: str) -> pd.MultiIndex:
    """The cells of suites' edits that keep one of these."""
    names = cells.get_level_values("perturbation")
    return cells[[not name.startswith(ATTACK) and keeps_of(name) in keeps for name in names]]


def _robust(rows: pd.DataFrame, names: pd.Index, lost: pd.MultiIndex) -> dict[str, pd.Series]:
    cells = _cells(rows, "robust", lost=lost)
    scores, drops = _by_root(_roots(cells)) * 100, _by_root(_roots(_cells(rows, "drop"))) * 100
    columns = {
        "robust_score": _over_roots(scores), "robust_half_width": half_widths(scores),
        "robust_seeds": scores.notna().sum(axis="columns").reindex(names, fill_value=0),
        "robust_attackable_score": _score(rows, "robust_attackable") * 100,
        "robust_drop": _over_roots(drops), "robust_drop_half_width": half_widths(drops),
    }  # fmt: skip
    parts = _parts(_by_language(over_whole_roots(cells)) * 100)
    attackable = _score(rows, "robust", "attackability") * 100
    return columns | {str(name): values for name, values in parts.items()} | {"attackability": attackable}


def _parts(cells: pd.DataFrame) -> pd.DataFrame:
    """Robust figures in parts, from (target, language) × candidates: a row a candidate."""
    found = summary(cells)
    groups = found[[name for name in found if name.startswith(FAMILY)]]
    groups = groups.rename(columns=lambda name: name.removeprefix(FAMILY))
    whole = groups[groups.notna().all(axis="columns")]
    lowest = whole.idxmin(axis="columns") if len(whole) else pd.Series(dtype=object)
    languages = by_languages(cells).T.rename(columns=lambda code: f"{LANGUAGE}{snake(str(code))}")
    found = pd.concat([found.assign(worst_family=lowest.reindex(found.index)), languages], axis="columns")
    return found.add_prefix("robust_")


def _cells(
    rows: pd.DataFrame, metric: str, value: str = "value", lost: pd.MultiIndex | None = None
) -> pd.DataFrame:  # fmt: skip
    """The grid of a metric: (target, language, perturbation, severity) × (candidate, seed); `lost` cells (of severity
    0) are missing for all."""
    found = rows[rows.metric == metric].astype(dict.fromkeys([*CELL, "candidate"], object))
    found = found.groupby([*CELL, "severity", "candidate", "seed"], sort=False)[value].mean()
    cells = found.unstack(["candidate", "seed"])
    if lost is None or not len(lost):
        return cells
    more = pd.MultiIndex.from_tuples([(*cell, 0) for cell in lost], names=cells.index.names)
    return cells.reindex(cells.index.append(more))


def _by_language(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over severities, then edits: (target, language) × the same columns."""
    return mean_by(mean_by(cells, CELL), ["target", "language"])


def _roots(cells: pd.DataFrame) -> pd.Series:
    """The overall mean of each whole root, by (candidate, seed): over targets' means over languages."""
    return mean_by(_by_language(whole_roots(cells)), "target").mean()


def _by_root(values: pd.Series) -> pd.DataFrame:
    """Candidates × roots."""
    return values.unstack("seed") if len(values) else pd.DataFrame(dtype=float)


def _over_roots(roots: pd.DataFrame) -> pd.Series:
    return roots.mean(axis="columns")


def _score(
    rows: pd.DataFrame, metric: str, value: str = "value", lost: pd.MultiIndex | None = None
) -> pd.Series:  # fmt: skip
    return _over_roots(_by_root(_roots(_cells(rows, metric, value, lost))))


def robustness(scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """All figures of edits and attacks: a row a target, language, perturbation, severity and candidate.

    Shares in [0, 1], means over the candidate's roots, of which there are `roots`; empty where a figure is not of this
    kind of task or perturbation. `na` marks cells that enter no mean, for the `reason` beside it; `apart` languages
    beyond those the target is averaged over.
    """
    rows = perturbed(scores, portion)
    keys = [*CELL, "severity", "candidate"]
    rows = rows.assign(metric=rows.metric.astype(object).mask(rows.main.astype(bool), "changed"))
    groups = rows.groupby(keys)
    about = groups.agg(
        order=("order", "first"), method=("method", "first"), roots=("seed", "nunique"), apart=("apart", "first"),
        keeps=("keeps", "first"), attackability=("attackability", "mean"), reason=("reason", "first"),
    )  # fmt: skip
    values = rows.groupby([*keys, "metric"]).value.mean().unstack("metric").reindex(columns=list(FIGURES))
    about.insert(6, "na", about.reason != "")
    return about.join(values).reset_index()


def coverage(scores: pd.DataFrame, portion: str = "test") -> pd.DataFrame:
    """How much of each language's text edits can change: a row an edit and language, mean over targets.

    `attackability` is the share of examples an edit could change so that the tokenizer sees it, `candidates_per_word`
    how many it has. The same for every candidate, as they share a tokenizer.
    """
    rows = perturbed(scores, portion)
    rows = rows[~rows.attack.astype(bool)]
    names = ["perturbation", "language"]
    found = pd.DataFrame({
        "keeps": rows.groupby(names).keeps.first(), "targets": rows.groupby(names).target.nunique(),
        "attackability": _by_target(rows[rows.metric == "robust"], "attackability"),
        "candidates_per_word": _by_target(rows[rows.metric == "candidates_per_word"], "value"),
    })  # fmt: skip
    return found.rename_axis(names).reset_index()


def _by_target(rows: pd.DataFrame, value: str) -> pd.Series:
    return rows.groupby(CELL)[value].mean().groupby(level=["perturbation", "language"]).mean()
