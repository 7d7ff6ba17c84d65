"""What the finals came to: the finalists' figures on fresh roots, which of them is named, and how surely."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from search.analysis.overall import overall
from search.leaderboard import half_width

if TYPE_CHECKING:
    from search.campaign import Finals

COLUMNS = (
    "candidate", "named", "probability", "roots", "selection", "selection_half_width", "behind", "chance", "score",
    "score_half_width", "expected", "expected_sd",
)  # fmt: skip


def finals_table(finals: Finals, scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """A row a finalist, best first; figures in percent, of fresh roots alone.

    `selection` is the score that the search is told, `score` the zero-shot score, each with half its 95 % t interval
    over roots; `behind` by how much the named one is expected to lead, `chance` the probability of being the very best
    of the finalists, `probability` (of the named) that of being within the tolerance of the best. `expected` is what
    the search's posterior expected of the selection score, with its standard deviation. `scores` hold fresh roots only.
    """
    if finals.rule is None:
        return pd.DataFrame(columns=list(COLUMNS))
    standing = finals.rule.standing()
    means = overall(scores, portion) if len(scores) else pd.DataFrame()
    expected = {one.candidate: one for one in finals.recommended}
    rows: list[dict[str, Any]] = []
    for place in standing.places:
        name, before = place.finalist.name, expected[place.finalist]
        own = [float(value) for value in means.loc[name].dropna()] if name in means.index else []
        named = place.finalist == standing.named
        rows.append({
            "candidate": name, "named": named, "probability": standing.probability if named else math.nan,
            "roots": place.roots, "selection": 100 * place.mean, "selection_half_width": 100 * place.half_width,
            "behind": 100 * place.behind, "chance": place.chance, "score": sum(own) / len(own) if own else math.nan,
            "score_half_width": half_width(own) if own else None,
            "expected": 100 * before.mean, "expected_sd": 100 * before.deviation,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def finals_sentence(finals: Finals, table: pd.DataFrame) -> str:
    """Who is named, with what probability, and its score on fresh roots."""
    named = table[table.named.astype(bool)] if len(table) else table
    if not len(named):
        return "No finalist can be named: fewer than two of them have scores at enough fresh roots."
    row, rule = named.iloc[0], finals.rule
    many = f"{len(table)} finalists" if len(table) > 1 else "the only finalist"
    sure = "" if row.probability >= rule.confidence else f" (asked for: {rule.confidence:g}; the fresh roots are gone)"
    half = "" if pd.isna(row.score_half_width) else f" ± {row.score_half_width:.1f}"
    return (
        f"{row.candidate} is named: with probability {row.probability:.2f}{sure} it is within "
        f"{100 * rule.tolerance:g} points of the best of {many} on the selection score. Its zero-shot score at "
        f"{row.roots} fresh roots: {row.score:.1f}{half}."
    )
