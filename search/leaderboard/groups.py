"""One column a group: languages, families, scripts, targets, or edits and attacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from search.leaderboard.cuts import By
from search.means import FAMILY, LANGUAGE, TARGET, grouped, mean_by, part_mean, snake
from trainables.languages import family, script

SCRIPT, PERTURBATION = "script_", "perturbation_"
"""What the columns of scripts and of perturbations begin with."""

LANGUAGES_BY: dict[str, tuple[str, Callable[[str], str]]] = {
    "language": (LANGUAGE, str), "family": (FAMILY, family), "script": (SCRIPT, script),
}  # fmt: skip
"""What the columns of groups of languages begin with, and the group of a language's code."""


def columns_by(
    by: By | None, cells: pd.DataFrame, under: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, str], pd.DataFrame]:
    """The columns that are shown, with a heading each, and their figures by candidate.

    `cells` are means in percent, (target, language) × candidates; `under` the same under each edit and attack. A
    group's figure is the mean over targets of means over its languages.
    """
    codes = cells.index.get_level_values("language")
    if by in ("language", "family", "script"):
        begin, of = LANGUAGES_BY[by]
        found = {name: part_mean(cells, own) for name, own in grouped(codes, of).items()}
    elif by == "perturbation":
        begin, found = PERTURBATION, {name: mean_by(own, "target").mean(skipna=False) for name, own in under.items()}
    else:
        begin, found = TARGET, {str(name): row for name, row in mean_by(cells, "target").iterrows()}
    labels = {f"{begin}{snake(name)}": name for name in found}
    return labels, pd.DataFrame(dict(zip(labels, found.values(), strict=True)), index=cells.columns)
