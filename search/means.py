"""Means over a grid of targets and languages in which cells may be missing. Imports no pandas itself.

Tables of cells are (target, language) × anything: candidates, or (candidate, seed). A mean is missing where one of the
values that it is over is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from trainables.languages import family, pair_code

if TYPE_CHECKING:
    import pandas as pd

TARGET, FAMILY, LANGUAGE = "target_", "family_", "language_"
"""What the columns of targets, of language families and of languages begin with."""

ENGLISH = ("en", pair_code("en", "en"))
"""What English is called: where a target's languages are pairs, both texts are English."""

MIN_ROOTS_FOR_INTERVAL = 3
"""Below this the t interval's half-width is 9 standard deviations or more and says nothing."""

PRECISION = 9
"""Digits to which scores are compared: sums of equal figures in other orders of adding still tie."""


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """Candidates' values, (target, language) × candidates, as columns: the worst language, the gap to English, one
    column a target, one a family."""
    import pandas as pd

    by_language = by_languages(cells)
    whole = by_language.notna().all()
    told = by_language.loc[:, whole]
    found = {
        "worst_language": (told.idxmin() if len(told.columns) else pd.Series(dtype=object)).reindex(cells.columns),
        "worst_language_score": by_language.min().where(whole), "gap_to_english": gap_to_english(cells),
    }  # fmt: skip
    found |= {f"{TARGET}{snake(str(target))}": row for target, row in mean_by(cells, "target").iterrows()}
    groups = families(cells.index.get_level_values("language"))
    found |= {f"{FAMILY}{name}": part_mean(cells, codes) for name, codes in groups.items()}
    return pd.DataFrame(found, index=cells.columns)


def by_languages(cells: pd.DataFrame) -> pd.DataFrame:
    """For each language, sorted, the mean over the targets that have it."""
    return mean_by(cells, "language").sort_index()


def part_mean(cells: pd.DataFrame, languages: Iterable[str]) -> pd.Series:
    """The mean over targets of means over some languages, for each column."""
    own = cells[cells.index.get_level_values("language").isin(list(languages))]
    return mean_by(own, "target").mean(skipna=False)


def mean_by(values: pd.DataFrame, levels: str | list[str]) -> pd.DataFrame:
    """Each column's mean over the rows that agree in these levels of the index, missing where one of the values is."""
    holes = values.isna().groupby(level=levels, sort=False).any()
    return values.groupby(level=levels, sort=False).mean().mask(holes)


def grid_cells(rows: pd.DataFrame, grid: pd.MultiIndex | None = None) -> pd.DataFrame:
    """Rows of the long table as cells of a grid, by default of all that occur: (target, language) × (candidate, seed).

    Candidates stand as they first occur. Raises ValueError where a cell has two values.
    """
    import pandas as pd

    names = ["candidate", "seed", "target", "language"]
    found = rows[[*names, "value"]].astype(dict.fromkeys(["candidate", "target", "language"], object))
    if grid is None:
        grid = pd.MultiIndex.from_frame(found[["target", "language"]].drop_duplicates())
    cells = found.set_index(names).value.unstack(["candidate", "seed"]).reindex(grid)
    place = {name: place for place, name in enumerate(found.candidate.unique())}
    return cells[sorted(cells.columns, key=lambda key: (place[key[0]], key[1]))]


def whole_roots(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells × (candidate, seed) without the roots that lack a cell: nobody wins by skipping one."""
    return cells.loc[:, cells.notna().all()]


def over_whole_roots(cells: pd.DataFrame) -> pd.DataFrame:
    """Means of cells × (candidate, seed) over each candidate's whole roots; of one that has none, over those that have
    the cell."""
    whole = cells.notna().all()
    some = whole.groupby(level="candidate").transform("any")
    return cells.loc[:, whole | ~some].T.groupby(level="candidate", sort=False).mean().T


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % t interval of the mean over independent roots, None below three."""
    from scipy.stats import t

    n = len(values)
    if n < MIN_ROOTS_FOR_INTERVAL:
        return None
    middle = sum(values) / n
    deviation = math.sqrt(sum((value - middle) ** 2 for value in values) / (n - 1))
    return float(t.ppf(0.975, n - 1) * deviation / math.sqrt(n))


def half_widths(values: pd.DataFrame) -> pd.Series:
    """`half_width` of each row over the roots that it has (candidates × roots), missing below three."""
    from scipy.stats import t

    n = values.notna().sum(axis="columns")
    n = n.where(n >= MIN_ROOTS_FOR_INTERVAL)
    return values.std(axis="columns") * t.ppf(0.975, n - 1) / n**0.5


def gap_to_english(cells: pd.DataFrame) -> pd.Series:
    """English less the mean of the other languages, mean over the targets that have both; missing where none has."""
    import pandas as pd

    gaps = []
    for target in cells.index.unique("target"):
        values = cells.xs(target, level="target")
        english = next((code for code in ENGLISH if code in values.index), None)
        if english and len(values) > 1:
            gaps.append(values.loc[english] - values.drop(english).mean(skipna=False))
    return sum(gaps) / len(gaps) if gaps else pd.Series(math.nan, index=cells.columns)


def families(languages: Iterable[str]) -> dict[str, list[str]]:
    """The codes of each language family, by the family's name in snake case."""
    return grouped(languages, lambda code: snake(family(code)))


def grouped(languages: Iterable[str], group: Callable[[str], str]) -> dict[str, list[str]]:
    """Languages by a group of theirs, groups and codes sorted."""
    found: dict[str, list[str]] = {}
    for code in sorted(set(languages)):
        found.setdefault(group(code), []).append(code)
    return dict(sorted(found.items()))


def snake(name: str) -> str:
    """A name as part of a column's."""
    return re.sub(r"\W+", "_", name.lower())
