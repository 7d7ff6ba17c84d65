"""Means over a grid of targets and languages in which cells may be missing. Imports no pandas itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from trainables.languages import family, pair_code

if TYPE_CHECKING:
    import pandas as pd

TARGET, FAMILY, LANGUAGE = "target_", "family_", "language_"
"""What the columns of targets, of language families and of languages begin with."""

ENGLISH = ("en", pair_code("en", "en"))
"""What English is called: where a target's languages are pairs, both texts are English."""

MIN_ROOTS_FOR_INTERVAL = 3
"""Below this the t interval's half-width is 9 standard deviations or more and says nothing."""


def summary(cells: pd.Series) -> dict[str, Any]:
    """One candidate's values by (target, language) as columns: the worst language, the gap to English, targets,
    families. A mean is missing where one of its cells is."""
    by_language = by_languages(cells)
    worst = by_language.idxmin() if by_language.notna().all() else None
    found = {
        "worst_language": worst, "worst_language_score": by_language[worst] if worst else None,
        "gap_to_english": gap_to_english(cells),
    }  # fmt: skip
    per_target = cells.groupby("target", sort=False).apply(mean)
    found |= {f"{TARGET}{snake(target)}": value for target, value in per_target.items()}
    for group, codes in families(cells.index.get_level_values("language")).items():
        own = cells[cells.index.get_level_values("language").isin(codes)]
        found[f"{FAMILY}{group}"] = mean(own.groupby("target").apply(mean))
    return found


def by_languages(cells: pd.Series) -> pd.Series:
    """For each language the mean over the targets that have it."""
    return cells.groupby("language").apply(mean)


def mean(cells: pd.Series) -> float:
    """The mean, missing where one of the values is."""
    return float(cells.mean(skipna=False))


def mean_by(values: pd.DataFrame, levels: str | list[str]) -> pd.DataFrame:
    """Each column's mean over the rows that agree in these levels of the index, missing where one of the values is."""
    holes = values.isna().groupby(level=levels, sort=False).any()
    return values.groupby(level=levels, sort=False).mean().mask(holes)


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % t interval of the mean over independent roots, None below three."""
    from scipy.stats import t

    n = len(values)
    if n < MIN_ROOTS_FOR_INTERVAL:
        return None
    middle = sum(values) / n
    deviation = math.sqrt(sum((value - middle) ** 2 for value in values) / (n - 1))
    return float(t.ppf(0.975, n - 1) * deviation / math.sqrt(n))


def gap_to_english(cells: pd.Series) -> float | None:
    """English minus the mean of the other languages, over the targets that have both; None where none has."""
    gaps = []
    for _, part in cells.groupby("target"):
        values = part.droplevel("target")
        english = next((code for code in ENGLISH if code in values.index), None)
        if english and len(values) > 1:
            gaps.append(values[english] - mean(values.drop(english)))
    return sum(gaps) / len(gaps) if gaps else None


def families(languages: Iterable[str]) -> dict[str, list[str]]:
    """The codes of each language family, by the family's name in snake case."""
    found: dict[str, list[str]] = {}
    for code in sorted(set(languages)):
        found.setdefault(snake(family(code)), []).append(code)
    return dict(sorted(found.items()))


def snake(name: str) -> str:
    """A name as part of a column's."""
    return re.sub(r"\W+", "_", name.lower())
