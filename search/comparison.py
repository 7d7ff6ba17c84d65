"""Two studies side by side: the candidates that both have, how far their scores differ, and what else does.

A difference is second − first, on the cells (target, language) that both have. Where the data of what is compared are
the same, roots are paired by their numbers: with one suite, a root draws the same examples in both. Otherwise the two
are independent samples, and the interval is Welch's (B. L. Welch, Biometrika 34, 1947). How far two studies order their
candidates alike is Kendall's tau-b (M. G. Kendall, Biometrika 33, 1945).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import kendalltau

from search.analysis.intervals import Estimate, number, over_roots, welch
from search.analysis.overall import SETTINGS, candidates, counted
from search.leaderboard.sheet import Cell, Sheet, plain
from search.means import PRECISION, grid_cells, mean_by, whole_roots
from search.results import Results, Run
from search.scores import csv_text
from trainables.errors import Mistake

ALL = "all"
"""In column `target`: the mean over the targets that both have."""

PLACES = ("out", "store", "address", "max_concurrent", "cpus_per_trial", "gpus_per_trial")
"""Settings that say where and how fast, and change no score."""


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common and what not.

    `table` has a row a candidate and target (`all` first): candidate, order, method, learning_rate, prompt_length,
    target, `first` and `second` (scores in percent), `difference` and `half_width` (95 %; points), `n` (roots in all,
    or pairs), `paired`, `reason` (why there is no interval). `agreement` has a row a target: `tau`, of `n` candidates.
    `differences` has a row each setting, version, data set and so on that differs: `what`, `first`, `second`.
    """

    names: tuple[str, str]
    table: pd.DataFrame
    agreement: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...]


def compare(first: Results, second: Results) -> Comparison:
    """Compare two runs. Raises Mistake where they have no candidate, or no cell, in common."""
    names = first.runs[0].name, second.runs[0].name
    if names[0] == names[1]:
        names = str(first.runs[0].path), str(second.runs[0].path)
    grid = first.grid[first.grid.isin(second.grid)]
    right = "two runs of one study, or of two that share candidates and targets"
    if not len(grid):
        raise Mistake("the runs have no target and language in common", where=" and ".join(names), right=right)
    about, other = candidates(first.own), candidates(second.own)
    both = [name for name in about.index if name in set(other.index)]
    if not both:
        raise Mistake("the runs have no candidate in common", where=" and ".join(names), right=right)
    scores = [_scores(results, grid) for results in (first, second)]
    same = {target: _same_data(first.runs[0], second.runs[0], target) for target in scores[0]}
    rows = []
    for name in both:
        known = {"candidate": name, **about.loc[name].to_dict()}
        rows += [{**known, "target": t, **_contrast(scores, t, name, paired)} for t, paired in same.items()]
    table = pd.DataFrame(rows)
    table = table.assign(place=-table.groupby("candidate")["first"].transform("first").fillna(-1).round(PRECISION))
    table = table.sort_values("place", kind="stable", ignore_index=True).drop(columns="place")
    notes = tuple(_notes(first, second, grid, len(both), same))
    return Comparison(names, table, _agreement(table), differences(first.runs[0], second.runs[0]), notes)


def differences(first: Run, second: Run) -> pd.DataFrame:
    """What two runs' manifests and settings do not have in common: `what`, `first`, `second`."""
    told = [_facts(run) for run in (first, second)]
    keys = [key for key in dict.fromkeys([*told[0], *told[1]]) if told[0].get(key) != told[1].get(key)]
    rows = [{"what": key, "first": told[0].get(key, ""), "second": told[1].get(key, "")} for key in keys]
    return pd.DataFrame(rows, columns=["what", "first", "second"])


def _scores(results: Results, grid: pd.MultiIndex) -> dict[str, pd.DataFrame]:
    """Scores in percent over whole roots, candidates × roots: of all targets together, then of each."""
    cells = whole_roots(grid_cells(counted(results.own, results.portion), grid) * 100)
    targets = mean_by(cells, "target")
    parts = {ALL: targets.mean(skipna=False), **{str(target): row for target, row in targets.iterrows()}}
    return {name: values.unstack("seed") for name, values in parts.items()}


def _same_data(first: Run, second: Run, target: str) -> bool:
    """Whether what a target is trained and scored on is the same in both, so that roots are pairs."""
    if first.settings.suite != second.settings.suite or first.manifest["limited"] != second.manifest["limited"]:
        return False
    if first.settings.objective != second.settings.objective:
        return False
    data = [run.manifest["data"] for run in (first, second)]
    kept = [key for key in {*data[0], *data[1]} if target == ALL or key == f"score {target}" or key.startswith("train")]
    return all(data[0].get(key, data[1].get(key)) == data[1].get(key, data[0].get(key)) for key in kept)


def _contrast(scores: list[dict[str, pd.DataFrame]], target: str, name: str, same: bool) -> dict[str, Any]:
    """One candidate's scores and their difference."""
    tables = [part[target] for part in scores]
    a, b = (table.loc[name].dropna() if name in table.index else pd.Series(dtype=float) for table in tables)
    both = a.index.intersection(b.index)
    paired = same and len(both) > 0
    found: Estimate = (
        over_roots((b[both] - a[both]).to_list()) if paired
        else welch(b.to_list(), a.to_list(), ("second run's", "first run's"), "root")
    )  # fmt: skip
    return {
        "first": a.mean(), "second": b.mean(), "difference": found.mean, "half_width": found.half_width, "n": found.n,
        "paired": paired, "reason": found.reason,
    }  # fmt: skip


def _agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How far both order the candidates alike; empty below three of them."""
    rows = []
    for target, part in table.groupby("target", sort=False):
        whole = part.dropna(subset=["first", "second"]).round({"first": PRECISION, "second": PRECISION})
        tau = float(kendalltau(whole["first"], whole["second"]).statistic) if len(whole) > 2 else float("nan")
        rows.append({"target": target, "tau": tau, "n": len(whole)})
    return pd.DataFrame(rows)


def _facts(run: Run) -> dict[str, str]:
    """What a run is, as flat texts."""
    manifest = run.manifest
    facts = {
        "status": manifest["status"], "commit": manifest["commit"], "model": _model(manifest), "started":
        manifest["started"], "roots": len(manifest["seeds"]), "candidates": manifest["candidates"],
        "limited": manifest["limited"] or "no",
    }  # fmt: skip
    found = {key: str(value) for key, value in facts.items()}
    found |= {f"version of {name}": str(value) for name, value in manifest["versions"].items()}
    found |= {f"data of {name}": str(mark) for name, mark in manifest["data"].items()}
    found |= {f"languages of {name}": ", ".join(codes) for name, codes in manifest["grid"].items()}
    settings = run.settings.model_dump(mode="json", exclude={*PLACES, "model", "seeds", "limit"})
    return found | {f"setting {key}": text for key, text in _flat(settings)}


def _model(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['model']['name']} {manifest['model']['fingerprint'][:8]}"


def _flat(settings: Mapping[str, Any], begin: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{begin}{key}.")
        else:
            yield f"{begin}{key}", json.dumps(value, ensure_ascii=False)


def _notes(
    first: Results, second: Results, grid: pd.MultiIndex, both: int, same: Mapping[str, bool]
) -> Iterator[str]:  # fmt: skip
    yield f"{number(both, 'candidate')} in both, on the {number(len(grid), 'cell')} (target, language) that both have"
    pairs = [target for target, paired in same.items() if paired and target != ALL]
    alone = [target for target, paired in same.items() if not paired and target != ALL]
    if pairs:
        yield f"paired by root, as the data are the same: {', '.join(pairs)}"
    if alone:
        yield f"not paired, as the data differ (Welch's interval): {', '.join(alone)}"
    yield "Δ: second − first in points; each 95 % interval holds by itself, not all at once"
    if first.portion != second.portion:
        yield f"the first is scored on {first.portion} items, the second on {second.portion} items"


# --- for people and machines ------------------------------------------------------------------------------------------


def sheet_of(found: Comparison, top: int | None = None) -> Sheet:
    """What people read: a line a candidate, with the difference over all targets and on each."""
    table = found.table
    wide = table.pivot(index="candidate", columns="target", values=["first", "second", "difference", "half_width"])
    about = table.drop_duplicates("candidate").set_index("candidate")[list(SETTINGS)]
    varied = [name for name in SETTINGS[1:] if about[name].nunique(dropna=False) > 1]
    targets = [target for target in table.target.unique() if target != ALL]
    rows = []
    for name in about.index[:top]:
        row = wide.loc[name]
        words = [str(about.loc[name, "order"]), *(_value(about.loc[name, key]) for key in varied)]
        scores = [_figure(row["first", ALL]), _figure(row["second", ALL])]
        deltas = [_difference(row["difference", t], row["half_width", t]) for t in (ALL, *targets)]
        rows.append([Cell(plain(text)) for text in (*words, *scores, *deltas)])
    headings = [
        "order", *(name.replace("_", " ") for name in varied), "first ↑", "second ↑", "Δ",
        *(f"Δ {target}" for target in targets),
    ]  # fmt: skip
    notes = [f"first: {found.names[0]}; second: {found.names[1]}", *found.notes, *_agreed(found), *_told(found)]
    left = frozenset(i for i, name in enumerate(headings) if name in ("order", "method"))
    return Sheet("Two runs compared", headings, left, rows, [plain(note) for note in notes], [])


def to_json(found: Comparison, top: int | None = None) -> str:
    """Everything, rows to two decimals."""
    content = {
        "first": found.names[0], "second": found.names[1], "notes": list(found.notes),
        "agreement": _records(found.agreement.round(4)), "differences": _records(found.differences),
        "rows": _records(_head(found, top)),
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def to_csv(found: Comparison, top: int | None = None) -> str:
    """The table to two decimals."""
    return csv_text(_head(found, top))


def _head(found: Comparison, top: int | None) -> pd.DataFrame:
    kept = found.table.candidate.isin(found.table.candidate.unique()[:top])
    return found.table[kept].round(dict.fromkeys(["first", "second", "difference", "half_width"], 2))


def _records(table: pd.DataFrame) -> Any:
    return json.loads(table.to_json(orient="records"))


def _agreed(found: Comparison) -> Iterator[str]:
    told = [f"{row.target} {row.tau:.2f}" for row in found.agreement.itertuples() if not pd.isna(row.tau)]
    if told:
        among = number(int(found.agreement.n.max()), "candidate")
        yield f"agreement of the two rankings (Kendall's tau-b, {among}): {', '.join(told)}"


def _told(found: Comparison) -> Iterator[str]:
    if found.differences.empty:
        yield "nothing else differs"
    for row in found.differences.itertuples():
        yield f"{row.what}: {row.first or 'nothing'} → {row.second or 'nothing'}"


def _difference(value: Any, half_width: Any) -> str:
    return "" if pd.isna(value) else f"{value:+.2f}" + ("" if pd.isna(half_width) else f" ± {half_width:.2f}")


def _figure(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:.1f}"


def _value(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:g}" if isinstance(value, int | float) else str(value)
