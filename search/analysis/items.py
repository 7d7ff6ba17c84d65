"""The second interval: over root seeds and over items like these.

The estimand of the first interval is the expectation over root seeds on these very items; its variance is that of the
roots' scores, V_R = s² / R. The second one also takes the items as drawn from many like them. Roots and items are
crossed: every root is scored on the same items, so that with y = item + root + their interaction the variance of a mean
is V_R + V_I. V_R already holds the interaction's part; V_I is the items' own: the cluster-robust variance of the mean
over roots (linearised; exact for means of figures) less its part from the interaction, as in two-way clustering
(Cameron, Gelbach & Miller 2011, JBES 29). It is cut at 0, so the second interval is never narrower than the first. Its
t has Satterthwaite's degrees of freedom, from R − 1 and from clusters less strata.

Items are drawn in clusters (`trainables.clusters`), a parallel item in all its languages at once, so that differences
between candidates and between parallel languages are paired by item. Targets are drawn independently.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from search.analysis.design import Array
from search.analysis.finding import Finding
from search.analysis.intervals import number
from search.analysis.outcomes import arms, clean_cells, reduced
from search.analysis.predictions import Items, items_of
from search.means import ENGLISH, MIN_ROOTS_FOR_INTERVAL
from search.results import Results

ALL = "all"
"""In a column `target`: the mean over targets."""

SCORE, GAIN = "score", "gain"


@dataclass(frozen=True)
class ItemVariances:
    """V_I in squared points: of candidates' scores and of their gains over the empty order (candidates × targets), and
    of their gaps to English, one target's, (candidates × (target, language)); nan where there is none.

    `about` has a row a target: items, clusters, freedom (clusters less strata), exact, clustered, `alone` (languages
    whose items are no translations of others').
    """

    score: pd.DataFrame
    gain: pd.DataFrame
    gap: pd.DataFrame
    about: pd.DataFrame


_MADE: dict[int, ItemVariances | None] = {}


def item_variances(results: Results) -> ItemVariances | None:
    """The items' own variances, kept as long as the results are; None without predictions of any target."""
    key = id(results)
    if key not in _MADE:
        _MADE[key] = _made(results)
        weakref.finalize(results, _MADE.pop, key, None)
    return _MADE[key]


def items(results: Results) -> Finding | None:
    """Scores and gains over the empty order with both intervals, by target and overall; None without predictions.

    Table: measure (`score`, `gain`), candidate, order, method, target (`all`: overall), items, clusters, n (roots),
    estimate, low, high (over roots), low_items, high_items (over roots and items), sd_roots and sd_items (of the
    estimate, from each), reason.
    """
    found = item_variances(results)
    if found is None:
        return None
    about, cells = arms(results), clean_cells(results)
    targets = list(cells.index.unique("target"))
    values = {ALL: reduced(cells, "score"), **{str(t): reduced(cells, f"target:{t}") for t in targets}}
    rows: list[dict[str, Any]] = []
    for measure, variances in ((SCORE, found.score), (GAIN, found.gain)):
        for target, table in values.items():
            if measure == GAIN:
                table = _gains(table, about)
            parts = {t: float(len(targets)) for t in map(str, targets)} if target == ALL else {target: 1.0}
            rows += _rows(measure, target, table, variances, found.about, parts)
    table = pd.DataFrame(rows)
    for place, column in enumerate(("order", "method"), 2):
        table.insert(place, column, table.candidate.map(about[column]))
    return Finding(
        "items", "Over roots, and over roots and items", table, _sentence(table), notes=_notes(found, targets)
    )


def sample_variance(results: Results) -> float | None:
    """The variance, in squared points, that one overall score has from the finite number of items: the mean over
    candidates of V_I (the interaction of roots with items is in a seed's variance). None without predictions; targets
    without any count as if their items were all there are."""
    found = item_variances(results)
    if found is None:
        return None
    targets = len(clean_cells(results).index.unique("target"))
    values = found.score.sum(axis="columns", min_count=1) / targets**2
    return float(values.mean()) if values.notna().any() else None


def main_variance(values: Array, stratum: NDArray[np.int64]) -> Array:
    """V_I of … × roots × clusters, what each cluster adds to each root's score; roots that are nan are left out.

    Σ f·ū² less Σ f·(u − ū)² / (R (R − 1)), ū the mean over roots and f = G / (G − 1) for the G clusters of a stratum;
    nan for a stratum of one cluster that counts. At one root nothing can be taken off.
    """
    _, place, sizes = np.unique(stratum, return_inverse=True, return_counts=True)
    factor = np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), np.nan)[place.reshape(-1)]
    there = ~np.isnan(values).any(axis=-1, keepdims=True)
    roots = there.sum(axis=-2)
    known = np.where(there, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = known.sum(axis=-2) / roots
        rest = ((known - mean[..., None, :]) ** 2 * there).sum(axis=-2) / np.maximum(roots * (roots - 1), 1)
    # A stratum that a difference does not touch adds nothing, whatever its factor.
    parts = np.where((mean == 0) & (rest == 0), 0.0, factor * (mean**2 - rest))
    return np.asarray(np.maximum(parts.sum(axis=-1), 0.0))


def both_intervals(values: Array, variance: float, freedom: float) -> dict[str, float]:
    """n, estimate, low, high, low_items, high_items, sd_roots, sd_items of roots' values and V_I with its degrees of
    freedom; what cannot be had is nan."""
    own = values[~np.isnan(values)]
    nan, roots = math.nan, len(own)
    found = {"n": roots, "estimate": float(own.mean()) if roots else nan, **dict.fromkeys(
        ("low", "high", "low_items", "high_items", "sd_roots"), nan), "sd_items": math.sqrt(variance)}  # fmt: skip
    if roots < MIN_ROOTS_FOR_INTERVAL:
        return found
    seeds = float(own.var(ddof=1)) / roots
    half = float(stats.t.ppf(0.975, roots - 1)) * math.sqrt(seeds)
    found |= {"sd_roots": math.sqrt(seeds), "low": found["estimate"] - half, "high": found["estimate"] + half}
    if not math.isnan(variance):
        below = seeds**2 / (roots - 1) + (variance**2 / freedom if freedom > 0 else 0.0)
        total = seeds + variance
        wide = float(stats.t.ppf(0.975, total**2 / below)) * math.sqrt(total) if below > 0 else 0.0
        wide = max(wide, half)
        found |= {"low_items": found["estimate"] - wide, "high_items": found["estimate"] + wide}
    return found


def _made(results: Results) -> ItemVariances | None:
    about, score, gain, gap, told = arms(results), {}, {}, {}, {}
    for one in items_of(results):
        names = list(one.candidates)
        bases = [names.index(base) if base in names else -1 for base in about.base.reindex(names)]
        whole = one.summed([1 / len(one.languages)] * len(one.languages))
        score[one.target] = pd.Series(main_variance(whole, one.stratum), names)
        own = main_variance(whole - whole[bases], one.stratum)
        gain[one.target] = pd.Series(np.where(np.array(bases) >= 0, own, np.nan), names)
        for code, values in _gap_parts(one):
            gap[one.target, code] = pd.Series(main_variance(values, one.stratum), names)
        told[one.target] = {
            "items": len(one.language), "clusters": len(one.stratum), "exact": one.exact, "clustered": one.clustered,
            "freedom": len(one.stratum) - len(np.unique(one.stratum)), "alone": one.alone,
        }  # fmt: skip
    if not told:
        return None
    return ItemVariances(pd.DataFrame(score), pd.DataFrame(gain), pd.DataFrame(gap), pd.DataFrame(told).T)


def _gap_parts(one: Items) -> Iterator[tuple[str, Array]]:
    """English less each other language, cluster by cluster."""
    english = next((code for code in ENGLISH if code in one.languages), None)
    for code in one.languages if english else ():
        if code != english:
            yield code, one.summed([float(other == english) - float(other == code) for other in one.languages])


def _gains(values: pd.DataFrame, about: pd.DataFrame) -> pd.DataFrame:
    """Candidates × roots less the empty order of their arm, which is left out itself."""
    base = about.base.reindex(values.index)
    kept = [name for name in values.index if base[name] in values.index and base[name] != name]
    return values.loc[kept] - values.loc[base[kept]].to_numpy()


def _rows(
    measure: str, target: str, table: pd.DataFrame, variances: pd.DataFrame, about: pd.DataFrame,
    parts: dict[str, float],
) -> list[dict[str, Any]]:  # fmt: skip
    there = [name for name in parts if name in variances]
    counted = about.loc[there]
    missing = [name for name in parts if name not in there]
    rows = []
    for name, own in zip(table.index, table.to_numpy(float), strict=True):
        pieces = variances.loc[name, there].to_numpy(float) / np.array([parts[t] for t in there]) ** 2
        total = float(pieces.sum()) if there else math.nan
        squares = float((pieces**2 / np.maximum(counted.freedom.to_numpy(float), 1)).sum())
        found = both_intervals(own, total, total**2 / squares if squares > 0 else 0.0)
        rows.append({
            "measure": measure, "candidate": name, "target": target, "items": int(counted["items"].sum()),
            "clusters": int(counted.clusters.sum()), **found, "reason": _reason(int(found["n"]), missing),
        })  # fmt: skip
    return rows


def _reason(roots: int, missing: list[str]) -> str:
    if roots < MIN_ROOTS_FOR_INTERVAL:
        return f"{number(roots, 'root')}: an interval needs {MIN_ROOTS_FOR_INTERVAL}"
    return f"items of {', '.join(missing)} count as fixed" if missing else ""


def _sentence(table: pd.DataFrame) -> str:
    whole = table[(table.target == ALL) & table.low_items.notna()]
    if whole.empty:
        return "Too little to say: an interval needs three roots."
    told = []
    for measure, name in ((SCORE, "an overall score"), (GAIN, "a gain over the empty order")):
        own = whole[whole.measure == measure]
        if len(own):
            roots, both = (own.high - own.low).median() / 2, (own.high_items - own.low_items).median() / 2
            told.append(f"of {name} {roots:.2f} points over roots and {both:.2f} over roots and items")
    counts = whole.iloc[0]
    return (
        f"Half a 95 % interval (median of {number(whole.candidate.nunique(), 'candidate')}): {'; '.join(told)} "
        f"({counts['items']:,} items in {counts.clusters:,} clusters)."
    )


def _notes(found: ItemVariances, targets: list[Any]) -> tuple[str, ...]:
    about = found.about
    notes = ["low and high are over root seeds on these items; low_items and high_items also over items like these."]
    missing = [str(t) for t in targets if t not in about.index]
    if missing:
        notes.append(f"No item says how sure these are, so their items count as fixed: {', '.join(missing)}.")
    stretched = list(about.index[~about.exact.astype(bool)])
    if stretched:
        notes.append(
            f"The score is no mean over items for {', '.join(stretched)}: the variance is that of the stored standard "
            "error, and only how items go together (clusters, languages, candidates) is taken from their figures."
        )
    bare = list(about.index[~about.clustered.astype(bool)])
    if bare:
        notes.append(f"The files name no clusters for {', '.join(bare)}: each id is one, in all languages.")
    apart = [f"{target} ({', '.join(codes)})" for target, codes in about.alone.items() if codes]
    if apart:
        notes.append(f"No translations of one another, so drawn language by language: {'; '.join(apart)}.")
    return tuple(notes)
