"""What the finals came to: the finalists' figures on fresh roots, which of them is named, and how surely."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from search.analysis.overall import overall
from search.means import half_width

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
            "score_half_width": half_width(own),
            "expected": 100 * before.mean, "expected_sd": 100 * before.deviation,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _share(probability: float) -> str:
    """Rounded down: 0.997 is not 1, nor 0.949 what was asked for."""
    return "over 0.99" if probability > 0.99 else f"{math.floor(100 * probability) / 100:.2f}"


def finals_sentence(finals: Finals, table: pd.DataFrame) -> str:
    """Who is named, with what probability, and its score on fresh roots."""
    named = table[table.named.astype(bool)] if len(table) else table
    if not len(named):
        why = "the finals were broken off before all had" if len(table) else "none has"
        return f"No finalist can be named: {why} scores at enough fresh roots."
    row, rule = named.iloc[0], finals.rule
    why = "the fresh roots are gone" if finals.done else "the finals were broken off"
    sure = "" if row.probability >= rule.confidence else f" (asked for: {rule.confidence:g}; {why})"
    half = "" if pd.isna(row.score_half_width) else f" ± {row.score_half_width:.1f}"
    how = (
        f"with probability {_share(row.probability)}{sure} it is within {100 * rule.tolerance:g} points of the best of "
        f"{len(table)} finalists on the selection score"
    )
    return (
        f"{row.candidate} is named: {how if len(table) > 1 else 'it is the only finalist with scores'}. Its zero-shot "
        f"score at {row.roots} fresh roots: {row.score:.1f}{half}."
    )
