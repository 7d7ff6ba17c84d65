"""How far languages lie behind English, and whether an order changes that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.intervals import number, over_roots
from search.analysis.items import ItemVariances, both_intervals, item_variances
from search.analysis.languages import best_order, ends_of, listed, p_of
from search.analysis.linear import CLAIM
from search.analysis.multiple import holm
from search.analysis.outcomes import arms
from search.means import ENGLISH
from search.results import Results


def gaps(results: Results) -> Finding | None:
    """How far each language lies behind English, by candidate; None where no target has both.

    Table: candidate, order, method, language, targets (that have it and English), n (roots), `estimate` (English less
    the language, mean over those targets, paired by root), low, high, low_items, high_items (over items too: paired by
    item where the language's are translations, `paired` says of how many targets; independent elsewhere), `change`
    (the gap less the empty order's, paired by root) with change_low, change_high, change_p, change_p_holm (over the
    languages of a candidate), reason.
    """
    cells = gap_cells(Designs(results).clean)
    if cells.empty:
        return None
    found, about = item_variances(results), arms(results)
    rows = [
        row
        for code, part in cells.groupby(level="language", sort=True)
        for row in _gap_rows(str(code), part, about, found)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    places = {name: place for place, name in enumerate(about.index)}
    table = table.sort_values("candidate", key=lambda names: names.map(places), kind="stable", ignore_index=True)
    adjusted = table.groupby("candidate", sort=False).change_p.transform(holm)
    table.insert(int(table.columns.get_indexer(["change_p"])[0]) + 1, "change_p_holm", adjusted)
    for place, column in enumerate(("order", "method"), 1):
        table.insert(place, column, table.candidate.map(about[column]))
    notes = ["English less the language, over the targets that have both; English's own luck is in every gap."]
    if found is None:
        notes.append("No predictions: there is no interval over items.")
    title = "The gap to English"
    return Finding("gaps", title, table, _gap_sentence(table, results), notes=tuple(notes))


def gap_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """English less each other language, of the targets that have English: (target, language) × (candidate, seed)."""
    parts = []
    for target, own in cells.groupby(level="target", sort=False):
        english = next((code for code in ENGLISH if (target, code) in own.index), None)
        if english is not None and len(own) > 1:
            parts.append(-(own.drop((target, english)) - own.loc[(target, english)]))
    return pd.concat(parts) if parts else pd.DataFrame()


def _gap_rows(
    code: str, cells: pd.DataFrame, about: pd.DataFrame, found: ItemVariances | None
) -> list[dict[str, Any]]:  # fmt: skip
    targets = [str(target) for target in cells.index.get_level_values("target")]
    values = cells.mean(skipna=False).unstack("seed").reindex(cells.columns.unique("candidate"))
    known = [] if found is None else [target for target in targets if (target, code) in found.gap]
    paired = sum(code not in found.about.alone[target] for target in known) if found is not None else 0
    rows = []
    for name, own in values.iterrows():
        variance, freedom = math.nan, 0.0
        if found is not None and known:
            pieces = found.gap.loc[name, [(target, code) for target in known]].to_numpy(float) / len(targets) ** 2
            below = (pieces**2 / np.maximum(found.about.freedom[known].to_numpy(float), 1)).sum()
            variance = float(pieces.sum())
            freedom = variance**2 / below if below > 0 else 0.0
        both = both_intervals(own.to_numpy(float), variance, freedom)
        base = about.base[name]
        change = own - values.loc[base] if base in values.index and base != name else pd.Series(dtype=float)
        less = over_roots(change.tolist())
        ends = {f"change_{end}" if end != "estimate" else "change": value for end, value in ends_of(less).items()}
        rows.append({
            "candidate": name, "language": code, "targets": len(targets), "paired": paired,
            **{key: both[key] for key in ("n", "estimate", "low", "high", "low_items", "high_items")}, **ends,
            "change_p": p_of(change), "reason": over_roots(own.tolist()).reason,
        })  # fmt: skip
    return rows


def _gap_sentence(table: pd.DataFrame, results: Results) -> str:
    best = best_order(results)
    own = table[table.candidate == best]
    if own.empty or own.estimate.isna().all():
        return "Too little to say: the best order has no gap to English."
    row = own.loc[own.estimate.idxmax()]
    interval = f" (95 % {row.low:.2f} to {row.high:.2f}; {number(int(row.n), 'root')})" if pd.notna(row.low) else ""
    said = f"{best} lies furthest behind English in {row.language}: {row.estimate:.2f} points{interval}."
    tested = own[own.change_p.notna()]
    if tested.empty:
        return said
    shown = [tested[(tested.change_p_holm <= CLAIM) & (sign * tested.change < 0)] for sign in (1, -1)]
    words = [
        f"{word} in {listed(part.language)}"
        for word, part in zip(("smaller", "larger"), shown, strict=True)
        if len(part)
    ]
    told = " and ".join(words) if words else f"in none of {len(tested)} languages another"
    return f"{said} Its gap is shown to be {told} than the empty order's (Holm)."
