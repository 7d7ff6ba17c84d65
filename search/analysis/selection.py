"""Which candidates are compared: nuisance hyperparameters are tuned for each order and method on the dev score."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import pandas as pd

from search.analysis.overall import HYPERPARAMETERS, candidates, overall
from search.means import PRECISION


def chosen(scores: pd.DataFrame, tuned: Collection[str] = ("learning_rate",), portion: str = "dev") -> list[str]:
    """One candidate for each order, method and value of the hyperparameters that are not `tuned`.

    It is the one with the highest mean over roots of its overall `portion` score. Candidates that lack roots lose to
    those that lack fewer; ties go to the first. Where there is a choice and no score to make it by, nothing is chosen.
    """
    about = candidates(scores)
    fixed = ["order", "method", *(name for name in HYPERPARAMETERS if name not in tuned)]
    values = overall(scores, portion)
    kept: list[str] = []
    for _, part in about.groupby(fixed, sort=False, dropna=False):
        best = list(part.index) if len(part) == 1 else ranked(values, part.index)[:1]
        kept += best
    return kept


def settings_table(
    scores: pd.DataFrame,
    tuned: Collection[str] = ("learning_rate",),
    portion: str = "dev",
    report: str = "test",
) -> pd.DataFrame:
    """The grid to look at: every candidate's means over roots of both portions, and whether it was chosen."""
    about = candidates(scores).reset_index()
    dev, test = overall(scores, portion), overall(scores, report)
    about["roots"] = about.candidate.map(test.notna().sum(axis="columns")).fillna(0).astype(int)
    about[portion] = about.candidate.map(dev.mean(axis="columns"))
    about[report] = about.candidate.map(test.mean(axis="columns"))
    about["chosen"] = about.candidate.isin(chosen(scores, tuned, portion))
    return about


def ranked(values: pd.DataFrame, names: Collection[Hashable]) -> list[str]:
    """Those of the named candidates that have a value (candidates × roots), best first.

    More roots come before a higher mean, since the root that failed may have been a bad one; ties keep their order.
    """
    part = values.reindex(list(names))
    key = pd.DataFrame({"roots": part.notna().sum(axis="columns"), "mean": part.mean(axis="columns").round(PRECISION)})
    return list(key.dropna().sort_values(["roots", "mean"], ascending=False, kind="stable").index)
