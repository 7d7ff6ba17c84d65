"""The figures of a leaderboard: one row a candidate, made from the long table alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from search.leaderboard.ranks import RANKS, ranks
from search.means import (
    PRECISION,
    grid_cells,
    half_widths,
    mean_by,
    over_whole_roots,
    snake,
    summary,
    whole_roots,
)
from search.robustness import robust_columns
from trainables.methods import FEW_SHOT

EXTRA = "extra_"
"""What the columns of targets' further languages begin with."""

ABOUT = ["order", "method", "learning_rate", "prompt_length", "budget"]
"""What a candidate is."""

HEAD = ["robust_score", "robust_half_width"]
"""Robust columns that stand after the clean score; the others stand at the end."""


def leaderboard(
    scores: pd.DataFrame,
    stage_cost: Mapping[str, int],
    portion: str,
    about_orders: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    grid: pd.MultiIndex | None = None,
    edits: pd.MultiIndex | None = None,
    tuned: Collection[str] = (),
    mixed: str = "",
) -> pd.DataFrame:
    """One row a candidate, best first; scores in percent. `configs/columns.yaml` says what each column is.

    `score` is the mean over targets of the mean over languages, averaged over root seeds; `score_half_width` is half
    the 95 % t interval over roots. `gap_to_english` is English minus the mean of the other languages, over targets that
    have English. A pair of languages (`es-ru`) is a language like others; it counts with the family of both, or with
    `family_mixed`. Ranks are those of `ranks.ranks`; rows stand by `place`, their mean score.

    `grid` holds the planned cells (target, language), by default all that occur. Figures are made from a candidate's
    whole roots; where it has none, a mean is missing if a cell of it is. A candidate without one of the roots may have
    lost a bad one, so it has no rank and stands below those that have all, with what it has. A candidate that was
    trained with less than the full budget (successive halving left it there) has no rank either. Few-shot candidates
    (demonstrations in the target language) are ranked among themselves, below the zero-shot ones.

    Languages beyond those that a target is averaged over stand apart, in columns `extra_TARGET`. `about_orders` adds
    columns that say more of an order than its scores do, by its name (`own_training_set`, `difficulty`).

    Where the table has perturbed rows, their figures stand in columns of their own (`robustness.robust_columns`, of
    which `edits` are the planned cells); they change no rank. `tuned` are hyperparameters of which each order has the
    best, `mixed` says why runs are not of one study, where they are not: then no rank interval is made.
    """
    clean = main_rows(scores, portion)
    apart = clean.apart.astype(bool)
    clean, extra = clean[~apart], clean[apart]
    if not len(clean):
        return pd.DataFrame()
    cells, about = grid_cells(clean, grid) * 100, about_candidates(clean)
    robust = robust_columns(scores, portion, edits).reindex(about.index)
    told = [_sizes(scores).reindex(about.index), _extras(extra, about.index)]
    return ranked_board(
        cells, about, roots_of_runs(clean), stage_cost, about_orders, robust=robust, told=told, tuned=tuned, mixed=mixed
    )


def ranked_board(
    cells: pd.DataFrame,
    about: pd.DataFrame,
    needed: pd.Series,
    stage_cost: Mapping[str, int],
    about_orders: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    robust: pd.DataFrame | None = None,
    told: Sequence[pd.DataFrame] = (),
    tuned: Collection[str] = (),
    mixed: str = "",
) -> pd.DataFrame:
    """The leaderboard of any cells in percent, (target, language) × (candidate, seed), and what is known besides.

    `about` says what the candidates are, `needed` how many roots each must have; `robust` and `told` are further
    columns. All of these have candidates' names as their index.
    """
    names = about.index
    roots = mean_by(whole_roots(cells), "target").mean().unstack("seed").reindex(names)
    means = over_whole_roots(cells)[list(names)]
    board = about.assign(
        seeds=roots.notna().sum(axis="columns").astype(int),
        score=roots.mean(axis="columns"),
        score_half_width=half_widths(roots),
    )
    few_shot = board.method.isin(FEW_SHOT).rename("few_shot")
    found = ranks(board.assign(few_shot=few_shot), roots, means, needed, tuned, mixed)
    cost = pd.Series([stage_cost.get(name) for name in names], index=names, dtype="Int64", name="stage_cost")
    robust = pd.DataFrame(index=names) if robust is None else robust
    head = [name for name in HEAD if name in robust]
    parts = [
        found[RANKS], board, robust[head], summary(means), cost, *told, _of_orders(board.order, about_orders or {}),
        robust.drop(columns=head), few_shot, found.drop(columns=RANKS),
    ]  # fmt: skip
    return _sorted(pd.concat(parts, axis="columns").rename_axis("candidate").reset_index())


def main_rows(scores: pd.DataFrame, portion: str) -> pd.DataFrame:
    """The clean rows of the main metrics in a portion."""
    return scores[(scores.portion == portion) & (scores.perturbation == "none") & scores.main.astype(bool)]


def about_candidates(rows: pd.DataFrame) -> pd.DataFrame:
    """What each candidate is, by its name, as they first occur."""
    names = [*(["run"] if "run" in rows else []), *ABOUT]
    about = rows.drop_duplicates("candidate").set_index("candidate")[names]
    about.index = about.index.astype(object)
    texts = dict.fromkeys([name for name in names if name in ("run", "order", "method")], object)
    return about.astype({**texts, "prompt_length": "Int64"})


def roots_of_runs(rows: pd.DataFrame) -> pd.Series:
    """How many roots a candidate must have to be ranked: all that its run has; by candidate."""
    if "run" not in rows:
        return pd.Series(rows.seed.nunique(), index=rows.candidate.unique().astype(object))
    runs = rows.groupby("run", observed=True).seed.nunique()
    found = rows.drop_duplicates("candidate").set_index("candidate").run.map(runs).astype(int)
    return found.set_axis(found.index.astype(object))


def _of_orders(orders: pd.Series, about: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What is said of each candidate's order."""
    columns = list(dict.fromkeys(column for said in about.values() for column in said))
    rows = {name: [about.get(order, {}).get(name) for order in orders] for name in columns}
    return pd.DataFrame(rows, index=orders.index)


def _sizes(scores: pd.DataFrame) -> pd.DataFrame:
    """What is said of each candidate's models (portion `model`), mean over targets and roots: candidates × metrics."""
    rows = scores[scores.portion == "model"].astype({"candidate": object, "metric": object})
    return rows.pivot_table(index="candidate", columns="metric", values="value", aggfunc="mean")


def _extras(extra: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """The mean of each target's further languages over roots."""
    found, rows = {}, extra.astype(dict.fromkeys(["candidate", "target", "language"], object))
    for target, part in rows.groupby("target", sort=False):
        cells = part.pivot_table(index="candidate", columns="language", values="value", aggfunc="mean") * 100
        found[f"{EXTRA}{snake(str(target))}"] = cells.mean(axis="columns", skipna=False).reindex(names)
    return pd.DataFrame(found, index=names)


def _sorted(board: pd.DataFrame) -> pd.DataFrame:
    """By place, the zero-shot first; below the ranked ones those of the larger budget, then of the higher score."""
    last, less = -board.score.astype(float).round(PRECISION).fillna(-1.0), -board.budget
    by = ["few_shot", "place", "less", "last"]
    rows = board.assign(last=last, less=less).sort_values(by, kind="stable", ignore_index=True)
    candidate = rows.pop("candidate")
    return rows.drop(columns=["last", "less"]).assign(candidate=candidate)
