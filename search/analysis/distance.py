"""Does distance from English predict how far a language lies behind it? Over languages: n is their number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.gaps import gap_cells
from search.analysis.linear import CLAIM
from search.analysis.multiple import holm
from search.analysis.representations import LEAST
from search.means import ENGLISH
from search.results import Results
from trainables.errors import Mistake
from trainables.fertility import PORTION, SCRIPT
from trainables.languages import LANGUAGES, NO_FAMILIES


def distance(results: Results, distances: str | Path | None = None) -> Finding | None:
    """What goes with the gap to English over languages; None where fewer than four languages have a gap.

    The gap is English less the language, over the targets that have both, mean over candidates and roots. Predictors
    are `family`, `branch` and `script` (1 where it is another than English's, else 0), `steps` (their sum), `fertility`
    (tokens a word, where the study measured it), and the numeric columns of `distances`, a CSV file with a column
    `language` (as lang2vec's distances from English). A Mistake where that file cannot be read.

    Table: predictor, n (languages), `estimate` (Spearman's rho), low, high (Fisher's, for n languages), p (t), p_holm
    (over predictors), slope, slope_low, slope_high (least squares: points a unit), reason.
    """
    cells = gap_cells(Designs(results).clean)
    if cells.empty:
        return None
    gap = cells.mean(axis="columns").groupby(level="language").mean()
    gap = gap.groupby(gap.index.map(_foreign)).mean()
    gap = gap[gap.index.isin(LANGUAGES)]
    if len(gap) < LEAST:
        return None
    rows = [{"predictor": name, **_row(gap, values)} for name, values in _predictors(results, gap, distances).items()]
    table = pd.DataFrame(rows)
    table.insert(6, "p_holm", holm(table.p))
    notes = (
        "The unit is the language: more candidates or roots do not narrow these intervals.",
        "Languages are related and were not drawn at random, so intervals are too narrow; a correlation is no cause.",
        "family, branch and script are those of configs/languages.yaml.",
    )
    title = "Distance from English and the gap"
    return Finding("distance", title, table, _sentence(table), unit="correlation", notes=notes)


def steps_from_english(code: str) -> dict[str, float]:
    """`family`, `branch`, `script` (each 0 or 1) and `steps`, their sum, of a language of configs/languages.yaml.

    Another family is another branch too. What stands for a family and is none (isolates) is another one.
    """
    one, other = LANGUAGES["en"], LANGUAGES[code]
    names = [about.family.partition(":")[0] for about in (one, other)]
    related = names[0] == names[1] and names[0] not in NO_FAMILIES
    found = {
        "family": float(not related), "branch": float(not related or one.family != other.family),
        "script": float(one.script != other.script),
    }  # fmt: skip
    return {**found, "steps": sum(found.values())}


def _foreign(code: str) -> str:
    """The language of a pair with English, else the code itself."""
    first, _, second = str(code).partition("-")
    if second and "en" in (first, second):
        return second if first == "en" else first
    return str(code)


def _predictors(results: Results, gap: pd.Series, distances: str | Path | None) -> dict[str, pd.Series]:
    steps = pd.DataFrame({code: steps_from_english(code) for code in gap.index}).T
    found = {str(name): values for name, values in steps.items()}
    rows = results.compared
    rows = rows[(rows.portion == PORTION) & (rows.metric == "fertility")]
    rows = rows[~rows.language.astype(str).str.startswith(SCRIPT)]
    if len(rows):
        found["fertility"] = rows.groupby(rows.language.astype(object)).value.mean()
    return found | (_given(Path(distances)) if distances is not None else {})


def _given(path: Path) -> dict[str, pd.Series]:
    right = "a CSV file with a column 'language' (codes) and one or more columns of distances from English"
    try:
        table = pd.read_csv(path, dtype={"language": str})
    except (OSError, ValueError) as error:
        raise Mistake(f"the distances cannot be read: {error}", where=str(path), right=right) from error
    numbers = table.select_dtypes("number")
    if "language" not in table or numbers.empty:
        raise Mistake(f"the file has the columns {', '.join(map(str, table))}", where=str(path), right=right)
    if table.language.duplicated().any():
        twice = table.language[table.language.duplicated()].iloc[0]
        raise Mistake(f"the language {twice} stands twice", where=str(path), right=right)
    return {str(name): values.set_axis(table.language) for name, values in numbers.items()}


def _row(gap: pd.Series, values: pd.Series) -> dict[str, Any]:
    both = pd.concat([gap, values.astype(float)], axis="columns", join="inner", keys=["gap", "value"]).dropna()
    both = both[~both.index.isin(ENGLISH)]
    n, nan = len(both), math.nan
    nothing = dict.fromkeys(("estimate", "low", "high", "p", "slope", "slope_low", "slope_high"), nan)
    if n < LEAST:
        return {"n": n, **nothing, "reason": f"fewer than {LEAST} languages have it"}
    if both.value.nunique() < 2 or both.gap.nunique() < 2:
        return {"n": n, **nothing, "reason": "it is the same in all languages"}
    rho, p = stats.spearmanr(both.value, both.gap)
    line = stats.linregress(both.value, both.gap)
    half = float(stats.t.ppf(0.975, n - 2)) * line.stderr
    wide = 1.96 * math.sqrt(1.06 / (n - 3))
    middle = float(np.arctanh(rho)) if abs(rho) < 1 else math.copysign(math.inf, rho)
    return {
        "n": n, "estimate": float(rho), "low": math.tanh(middle - wide), "high": math.tanh(middle + wide),
        "p": float(p), "slope": float(line.slope), "slope_low": float(line.slope - half),
        "slope_high": float(line.slope + half), "reason": "",
    }  # fmt: skip


def _sentence(table: pd.DataFrame) -> str:
    had = table[table.p.notna()]
    if had.empty:
        return f"Too little to say: {table.reason.iloc[0]}."
    row = had.loc[had.p.idxmin()]
    figures = f"rho {row.estimate:.2f}, 95 % {row.low:.2f} to {row.high:.2f}, {int(row.n)} languages"
    shown = had[had.p_holm <= CLAIM]
    if shown.empty:
        none = f"Of {len(had)} predictors none is shown to go with the gap to English (Holm)"
        return f"{none}; nearest {row.predictor} ({figures})."
    names = ", ".join(shown.predictor)
    return f"Shown to go with the gap to English (Holm): {names}; most {row.predictor} ({figures})."
