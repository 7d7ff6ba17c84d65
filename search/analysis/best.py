"""The best candidate for each target: chosen on English dev alone, told with its score in all languages."""

from __future__ import annotations

from typing import Any

import pandas as pd

from search.analysis.intervals import over_roots
from search.analysis.overall import by_target, candidates, counted
from search.analysis.selection import ranked


def best_per_target(scores: pd.DataFrame, report: str = "test", portion: str = "dev") -> pd.DataFrame:
    """One row a target that has `report` scores, figures in percent.

    `dev` is what the candidate was chosen by, `among` from how many; `chosen_by` says whether that was the target's own
    dev set or, where it has none, the mean over the other targets'. `score` is the mean over languages and roots with
    `half_width`, half its 95 % t interval over roots (None below three: see `reason`).

    Dev and report scores are of the same roots, so the best of many looks somewhat better than it is.
    """
    about, devs = candidates(scores), by_target(scores, portion)
    rows = []
    for target, values in by_target(scores, report).items():
        dev, by = _dev_of(target, devs, portion)
        names = ranked(dev, about.index)
        name = names[0] if names else None
        row: dict[str, Any] = {"target": target, "candidate": name}
        row |= {column: about[column].get(name) for column in about}
        row |= {"chosen_by": by, "among": len(names), "dev": dev.loc[name].mean() if names else None}
        found = over_roots(values.loc[name].tolist() if name in values.index else [])
        row |= {"score": found.mean, "half_width": found.half_width, "roots": found.n, "reason": found.reason}
        rows.append(row | _worst(counted(scores, report), target, name))
    return pd.DataFrame(rows)


def _dev_of(target: str, devs: dict[str, pd.DataFrame], portion: str) -> tuple[pd.DataFrame, str]:
    """The scores (candidates × roots) that a target's best is chosen by, and what they are, in words."""
    if target in devs:
        return devs[target], f"its own {portion}"
    if not devs:
        return pd.DataFrame(), f"nothing: no target has a {portion} score"
    return sum(devs.values()) / len(devs), f"the other targets' {portion}"


def _worst(rows: pd.DataFrame, target: str, name: str | None) -> dict[str, Any]:
    own = rows[(rows.target == target) & (rows.candidate == name)]
    languages = own.groupby("language").value.mean() * 100
    worst = languages.idxmin() if len(languages) else None
    return {"worst_language": worst, "worst_language_score": languages[worst] if worst else None}
