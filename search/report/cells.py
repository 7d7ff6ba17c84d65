"""Candidates × languages: clean and robust scores and gaps to English, once for pictures, tables and language pages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from search.analysis.outcomes import clean_cells, robust_cells
from search.means import ENGLISH, mean_by
from search.results import Results
from search.scores import CLEAN
from trainables.languages import LANGUAGES, family, script


@dataclass(frozen=True)
class Cells:
    """Means over roots, in percent: `clean` and `robust` are (target, language) × candidate, in the given order.

    `robust` is empty where nothing was perturbed. A mean is missing where one of its cells is.
    """

    clean: pd.DataFrame
    robust: pd.DataFrame

    @classmethod
    def of(cls, results: Results, ranked: list[str]) -> Cells:
        """Of the candidates that are `ranked`, best first."""
        clean = _over_roots(clean_cells(results, few_shot=True), ranked)
        found = robust_cells(results, few_shot=True) if (results.compared.perturbation != CLEAN).any() else clean[:0]
        return cls(clean, _over_roots(found, ranked) if len(found) else clean[:0])

    @cached_property
    def languages(self) -> list[str]:
        """By family, that of English first, and in it English; then by code."""
        codes = list(map(str, self.clean.index.unique("language")))
        own = family(ENGLISH[0])
        return sorted(codes, key=lambda code: (family(code) != own, family(code), code not in ENGLISH, code))

    @cached_property
    def by_language(self) -> pd.DataFrame:
        """Means over targets: candidates × languages."""
        return self._wide(self.clean)

    @cached_property
    def robust_by_language(self) -> pd.DataFrame:
        """The same of robust scores."""
        return self._wide(self.robust)

    @cached_property
    def gap_by_language(self) -> pd.DataFrame:
        """English less the language, mean over the targets that have both: candidates × languages but English."""
        english = self.clean[self.clean.index.get_level_values("language").isin(ENGLISH)].droplevel("language")
        kept = self.clean[self.clean.index.get_level_values("target").isin(english.index)]
        gaps = english.reindex(kept.index.get_level_values("target")).to_numpy(dtype=float) - kept
        return self._wide(gaps[~gaps.index.get_level_values("language").isin(ENGLISH)])

    def _wide(self, cells: pd.DataFrame) -> pd.DataFrame:
        if not len(cells):
            return pd.DataFrame(index=cells.columns)
        found = mean_by(cells, "language").T
        return found[[code for code in self.languages if code in found]]


def _over_roots(cells: pd.DataFrame, ranked: list[str]) -> pd.DataFrame:
    """Each candidate's mean over the roots it has, in the order of `ranked`."""
    means = cells.T.groupby(level="candidate", sort=False).mean().T
    return means.reindex(columns=[name for name in ranked if name in means])


def called(code: str) -> str:
    """`Swahili`, or the code where the language is not listed."""
    return LANGUAGES[code].name if code in LANGUAGES else code


def about_language(code: str) -> dict[str, str]:
    """What is said of a language besides its scores."""
    branch = LANGUAGES[code].family if code in LANGUAGES else family(code)
    return {"code": code, "name": called(code), "family": branch, "script": script(code)}


def worst_of(values: pd.Series) -> tuple[str, float] | None:
    """The lowest and where it is; None where one is missing."""
    if not len(values) or values.isna().any():
        return None
    return str(values.idxmin()), float(np.min(values))
