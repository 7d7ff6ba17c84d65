"""What is left as edits grow more severe, and as attacks ask the model more often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from scipy import stats

from search.analysis.designs import Designs, is_sham
from search.analysis.finding import Finding
from search.analysis.finite import steps
from search.analysis.intervals import over_roots
from search.analysis.languages import best_order, ends_of
from search.analysis.outcomes import arms
from search.means import mean_by
from search.order import Order
from search.results import Results, Run
from search.robustness import ATTACK, perturbed
from trainables.languages import family
from trainables.methods import FEW_SHOT

ALL, MEAN, BEST, EMPTY = "all", "mean", "best", "empty"

FIGURES = {"robust": "robust", "changed": "changed", "clean_subset": "clean"}
"""Columns by metric: the worse of the clean and the edited figure, the main metric on the edited text, and the figure
of the same examples unchanged."""


def severity_curves(results: Results) -> Finding | None:
    """What is left under each edit at each severity; None where no edit was measured.

    Table: perturbation, keeps, family (`all`: all languages), who (`mean` of the candidates, the `best` one, the
    `empty` order), severity, n (roots), `estimate` (the robust figure in percent: mean over targets of means over
    languages), low, high (over roots), `changed` and `clean` (percent), reason. Cells that few examples are attackable
    in are left out.
    """
    cells = _severities(results)
    if cells is None:
        return None
    keys = ["metric", "perturbation", "severity"]
    by_target = {
        ALL: mean_by(mean_by(cells, [*keys, "target"]), keys),
        "": mean_by(mean_by(cells, [*keys, "family", "target"]), [*keys, "family"]),
    }
    parts = [(ALL, by_target[ALL])]
    if cells.index.unique("family").size > 1:
        parts += [(str(name), part.droplevel("family")) for name, part in by_target[""].groupby(level="family")]
    keeps = results.compared.pipe(perturbed, results.portion).drop_duplicates("perturbation")
    keeps_of = dict(zip(keeps.perturbation.astype(str), keeps.keeps, strict=True))
    rows = []
    for name, part in parts:
        for who, values in _who(results, part).items():
            rows += _severity_rows(name, who, values, keeps_of)
    table = pd.DataFrame(rows)
    notes = ("Each point's interval is over roots on these examples; points of one curve share models and examples.",)
    return Finding("severity_curves", "What is left as edits grow more severe", table, _severity_sentence(table),
                   unit="percent", notes=notes)  # fmt: skip


def budget_curves(results: Results) -> Finding | None:
    """The share of right examples that an attack has not yet broken after so many queries; None without attacks.

    Table: attack, target, family (`all`: all languages), who (`mean`, `best`, `empty`), queries, n (examples, by id or
    cluster), `estimate` (of the examples that were right, the share still right; an attack succeeds at the last query
    that it asked), low, high (over examples, clustered by id across languages, candidates and roots; t).
    """
    names = _shown(results)
    about, best = arms(results), best_order(results)
    rows: list[dict[str, Any]] = []
    for target in Designs(results).clean.index.unique("target"):
        parts = [_attacked(run, str(target), results) for run in results.runs]
        table = pd.concat(parts, ignore_index=True)
        table = table[table.candidate.isin(names) & (table.clean > 0)]
        table = table.assign(cluster=pd.factorize(table.cluster)[0])  # numbers: compared often
        for attack, own in table.groupby("perturbation", sort=True):
            base = about.base[best] if best is not None else None
            who = {MEAN: own, BEST: own[own.candidate == best], EMPTY: own[own.candidate == base]}
            for name, part in who.items():
                rows += _budget_rows(str(attack).removeprefix(ATTACK), str(target), name, part)
    if not rows:
        return None
    found = pd.DataFrame(rows)
    notes = (
        "Of all examples that were right, also those that cannot be changed; broken: less than half of the figure is "
        "left.",
        "low and high: over examples like these, for these roots and candidates.",
    )
    title = "What is left as attacks ask more"
    return Finding("budget_curves", title, found, _budget_sentence(found), unit="share", notes=notes)


# --- severities -------------------------------------------------------------------------------------------------------


def _severities(results: Results) -> pd.DataFrame | None:
    """Figures of edits in percent: (metric, perturbation, severity, target, language, family) × (candidate, seed)."""
    rows = perturbed(results.compared, results.portion)
    rows = rows[~rows.attack.astype(bool) & ~rows.apart.astype(bool) & (rows.reason == "") & (rows.budget == 1)]
    rows = rows[rows.candidate.isin(_shown(results))]
    metric = rows.metric.astype(object).mask(rows.main.astype(bool), "changed")
    rows = rows.assign(metric=metric)[metric.isin(list(FIGURES))]
    if rows.empty:
        return None
    texts = ["perturbation", "target", "language", "candidate"]
    rows = rows.astype(dict.fromkeys(texts, object))
    rows["family"] = rows.language.map(family)
    index = ["metric", "perturbation", "severity", "target", "language", "family"]
    # Where two suites have the same edit at the same severity, their mean counts.
    values = rows.groupby([*index, "candidate", "seed"], sort=False).value.mean()
    return values.unstack(["candidate", "seed"]) * 100


def _shown(results: Results) -> list[str]:
    """The compared candidates that are neither few-shot nor shams."""
    about = arms(results)
    return [
        str(name) for name, order, method in zip(about.index, about.order, about.method, strict=True)
        if method not in FEW_SHOT and not is_sham(Order.parse(str(order)).tasks)
    ]  # fmt: skip


def _who(results: Results, values: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Curves by root: of the mean over the candidates that have the root whole, of the best one and the empty order."""
    about, best = arms(results), best_order(results)
    names = values.columns.get_level_values("candidate")
    whole = values.loc[:, values.notna().all()]
    found = {MEAN: whole.T.groupby(level="seed").mean().T}
    for who, name in ((BEST, best), (EMPTY, about.base[best] if best is not None else None)):
        if name in names:
            found[who] = values.loc[:, names == name].droplevel("candidate", axis="columns")
    return found


def _severity_rows(name: str, who: str, values: pd.DataFrame, keeps: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for (perturbation, severity), part in values.groupby(level=["perturbation", "severity"], sort=True):
        part = part.droplevel(["perturbation", "severity"])
        if "robust" not in part.index:
            continue
        found = over_roots(part.loc["robust"].tolist())
        means = {column: float(part.loc[metric].mean()) if metric in part.index else math.nan
                 for metric, column in FIGURES.items() if metric != "robust"}  # fmt: skip
        rows.append({
            "perturbation": perturbation, "keeps": keeps[str(perturbation)], "family": name, "who": who,
            "severity": severity, "n": found.n, **ends_of(found), **means, "reason": found.reason,
        })  # fmt: skip
    return rows


def _severity_sentence(table: pd.DataFrame) -> str:
    own = table[(table.family == ALL) & (table.who == MEAN)].dropna(subset="estimate")
    if own.empty:
        return "Too little to say: no candidate has all of an edit's cells at one root."
    row = own.loc[own.estimate.idxmin()]
    interval = f" (95 % {row.low:.2f} to {row.high:.2f})" if pd.notna(row.low) else ""
    return (
        f"Least is left under {row.perturbation} at severity {row.severity}: a robust figure of "
        f"{row.estimate:.2f} %{interval} where the same examples have {row.clean:.2f} % unchanged, "
        "mean over the candidates."
    )


# --- budgets ----------------------------------------------------------------------------------------------------------


def _attacked(run: Run, target: str, results: Results) -> pd.DataFrame:
    """The attacked test examples of a run: candidate, language, perturbation, cluster, clean, score, queries."""
    path = run.path / "predictions" / f"{target}.parquet"
    columns = ["candidate", "language", "perturbation", "cluster", "id", "clean", "score", "queries"]
    there = set(parquet.read_schema(path).names) if path.is_file() else set()
    if not {"clean", "queries"} <= there:
        return pd.DataFrame(columns=columns)
    wanted = compute.starts_with(compute.field("perturbation"), ATTACK) & (compute.field("portion") == "test")
    kept = [name for name in columns if name in there]
    texts = [name for name in ("candidate", "language", "cluster", "id") if name in there]
    rows = parquet.read_table(path, columns=kept, filters=wanted, read_dictionary=texts).to_pandas()
    if results.portion == "report":
        from trainables.examples import in_search_half

        seen = {name: in_search_half(str(name)) for name in rows.id.unique()}
        rows = rows[~rows.id.map(seen).astype(bool)]
    if results.differences:
        rows["candidate"] = rows.candidate.astype(object) + f" [{run.name}]"
    return rows if "cluster" in rows else rows.assign(cluster=rows.id)


def _budget_rows(attack: str, target: str, who: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    if rows.empty:
        return []
    families = rows.language.map({code: family(code) for code in rows.language.unique()})
    parts = [(ALL, rows)]
    if families.nunique() > 1:
        parts += [(str(name), part) for name, part in rows.groupby(families, sort=True)]
    most = int(rows.queries.max())
    return [
        {"attack": attack, "target": target, "family": name, "who": who, "queries": step, **still_right(part, step)}
        for name, part in parts
        for step in steps(most)
    ]


def still_right(rows: pd.DataFrame, queries: int) -> dict[str, Any]:
    """n (clusters), estimate, low and high of the share that no attack of at most so many queries has broken.

    `rows` has an example that was right each: cluster, clean, score, queries. It is broken where less than half of its
    figure is left, as in `perturb.measure.attack_figures`. The interval is that of a ratio of sums
    over clusters (linearisation), within [0, 1]; none for one cluster.
    """
    broken = (rows.score < rows.clean / 2) & (rows.queries <= queries)
    number, clusters = pd.factorize(rows.cluster)
    left, size, n = np.bincount(number, ~broken), np.bincount(number), len(clusters)
    estimate = float(left.sum() / size.sum())
    if n < 2:
        return {"n": n, "estimate": estimate, "low": math.nan, "high": math.nan}
    error = math.sqrt(n / (n - 1) * float(((left - estimate * size) ** 2).sum())) / size.sum()
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return {"n": n, "estimate": estimate, "low": max(estimate - half, 0.0), "high": min(estimate + half, 1.0)}


def _budget_sentence(table: pd.DataFrame) -> str:
    own = table[(table.family == ALL) & (table.who == MEAN)]
    told = []
    for (attack, target), part in own.groupby(["attack", "target"], sort=True):
        last = part.loc[part.queries.idxmax()]
        half = part[part.estimate <= 1 - (1 - last.estimate) / 2]
        soon = f", half of what it breaks is broken after {int(half.queries.min())}" if last.estimate < 1 else ""
        interval = f" (95 % {last.low:.0%} to {last.high:.0%})" if pd.notna(last.low) else ""
        told.append(
            f"{attack} leaves {last.estimate:.0%} on {target}{interval} after {int(last.queries)} queries{soon}"
        )
    return f"Of the examples that were right, {'; '.join(told)}."
