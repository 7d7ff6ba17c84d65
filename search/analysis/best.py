"""The best candidate for each target: chosen as the search chooses, told with its score in all languages."""

from __future__ import annotations

from typing import Any

import pandas as pd

from search.analysis.intervals import over_roots
from search.analysis.overall import SETTINGS, by_target, candidates, counted, lesser
from search.analysis.selection import ranked
from search.analysis.wording import OF_A_TARGET, SEEN


def best_per_target(scores: pd.DataFrame, report: str = "test", portion: str = "dev") -> pd.DataFrame:
    """One row a target that has `report` scores, figures in percent.

    The column named as `portion` is what the candidate was chosen by; `chosen_by` says whether that was the target's
    own or, where it has none, the mean over the other targets'. `among` counts the candidates that were tried for it at
    any budget, each once, and `in_full` those at the full budget: the choice is among these alone. `score` is the mean
    over languages and roots with `half_width`, half its 95 % t interval over roots (None below three: see `reason`).

    Dev and report scores are of the same roots, so the best of many looks somewhat better than it is.
    """
    about, devs = candidates(scores), by_target(scores, portion)
    rows = []
    for target, values in by_target(scores, report).items():
        dev, by = _dev_of(target, devs, portion)
        names = ranked(dev, about.index)
        tried = lesser(scores, portion, [target] if target in devs else list(devs))
        name = names[0] if names else None
        row: dict[str, Any] = {"target": target, "candidate": name}
        row |= {column: about[column].get(name) for column in about}
        row |= {"chosen_by": by, "among": len(_united(about.loc[names], tried)), "in_full": len(names)}
        row[portion] = dev.loc[name].mean() if names else None
        found = over_roots(values.loc[name].tolist() if name in values.index else [])
        row |= {"score": found.mean, "half_width": found.half_width, "roots": found.n, "reason": found.reason}
        rows.append(row | _worst(counted(scores, report), target, name))
    return pd.DataFrame(rows)


def _dev_of(target: str, devs: dict[str, pd.DataFrame], portion: str) -> tuple[pd.DataFrame, str]:
    """The scores (candidates × roots) that a target's best is chosen by, and what they are, in words."""
    if target in devs:
        return devs[target], f"its own {OF_A_TARGET[portion]}"
    if not devs:
        return pd.DataFrame(), f"nothing: no target has a score on {SEEN[portion]}"
    return sum(devs.values()) / len(devs), f"the other targets' {OF_A_TARGET[portion]}"


def _united(full: pd.DataFrame, lesser_: pd.DataFrame) -> set[tuple[Any, ...]]:
    """The different settings of both; a missing one equals a missing one."""
    rows = (part[list(SETTINGS)].itertuples(index=False, name=None) for part in (full, lesser_))
    return {tuple(None if pd.isna(cell) else cell for cell in row) for part in rows for row in part}


def _worst(rows: pd.DataFrame, target: str, name: str | None) -> dict[str, Any]:
    own = rows[(rows.target == target) & (rows.candidate == name)]
    languages = own.groupby("language").value.mean() * 100
    worst = languages.idxmin() if len(languages) else None
    return {"worst_language": worst, "worst_language_score": languages[worst] if worst else None}
