"""The leaderboard: one row a candidate, made from the long table alone; exported as CSV, Markdown and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from search.means import MIN_ROOTS_FOR_INTERVAL as MIN_ROOTS_FOR_INTERVAL
from search.means import PRECISION as PRECISION
from search.means import TARGET, snake, summary
from search.means import half_width as half_width
from search.robustness import robust_columns
from search.scores import csv_text
from trainables.methods import FEW_SHOT

EXTRA = "extra_"
"""What the columns of targets' further languages begin with."""

OWN = "‡"
"""Marks the score of a target whose own training set is among the order's tasks: no transfer."""

VARIED = ("method", "prompt_length", "learning_rate", "budget")
"""What a candidate is besides its order; each is shown to people where it differs."""

ROBUST = ["robust ↑", "attackable %"]
"""Shown to people where edits were measured."""


def leaderboard(
    scores: pd.DataFrame,
    stage_cost: Mapping[str, int],
    portion: str,
    about_orders: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """One row a candidate, best first; scores in percent.

    `score` is the mean over targets of the mean over languages, averaged over root seeds; `score_half_width` is half
    the 95 % t interval over roots. `gap_to_english` is English minus the mean of the other languages, over targets that
    have English. A pair of languages (`es-ru`) is a language like others; it counts with the family of both, or with
    `family_mixed`. Ties share a rank.

    The grid (targets × languages) and the roots are all that occur in the table. Figures are made from a candidate's
    whole roots; where it has none, a mean is missing if a cell of it is. A candidate without one of the roots may have
    lost a bad one, so it has no rank and stands below those that have all, with what it has.

    A candidate that was trained with less than the full budget (successive halving left it there) has no rank either.

    Few-shot candidates (demonstrations in the target language) are ranked among themselves, below the zero-shot ones.

    Languages beyond those that a target is averaged over stand apart, in columns `extra_TARGET`. `about_orders` adds
    columns that say more of an order than its scores do, by its name (`own_training_set`, `difficulty`).

    Where the table has perturbed rows, their figures stand in columns of their own (`robustness.robust_columns`); they
    change no rank.
    """
    clean = scores[(scores.portion == portion) & (scores.perturbation == "none") & scores.main.astype(bool)]
    apart = clean.apart.astype(bool)
    clean, extra = clean[~apart], clean[apart]
    grid = pd.MultiIndex.from_frame(clean[["target", "language"]].drop_duplicates())
    roots = clean.seed.nunique()
    rows = [_row(str(name), part, grid, stage_cost) for name, part in clean.groupby("candidate", sort=False)]
    if not rows:
        return pd.DataFrame()
    board = pd.DataFrame(rows)
    robust = robust_columns(scores, portion).reindex(clean.candidate.unique()).reset_index(drop=True)
    for metric, values in _sizes(scores).items():
        board[str(metric)] = values.reindex(clean.candidate.unique()).to_numpy()
    for target, part in extra.groupby("target", sort=False):
        board[f"{EXTRA}{snake(str(target))}"] = _extra(part, clean, board)
    for order, said in (about_orders or {}).items():
        for column, value in said.items():
            board.loc[board.order == order, column] = value
    board = _beside_score(board, robust)
    compared = board.score.astype(float).round(PRECISION)
    whole = (board.seeds == roots) & (board.budget == board.budget.max())
    board["few_shot"] = board.method.isin(FEW_SHOT)
    ranks = compared.where(whole).groupby(board.few_shot).rank(method="min", ascending=False)
    board.insert(0, "rank", ranks.astype("Int64"))
    board["last"], board["less"] = -compared.fillna(-1.0), -board.budget
    by = ["few_shot", "rank", "less", "last"]
    return board.sort_values(by, kind="stable", ignore_index=True).drop(columns=["last", "less"])


def _beside_score(board: pd.DataFrame, robust: pd.DataFrame) -> pd.DataFrame:
    """The robust score with its interval stands after the clean one, the other robust columns at the end."""
    head = [column for column in ("robust_score", "robust_half_width") if column in robust]
    at = board.columns.get_loc("score_half_width") + 1
    parts = [board.iloc[:, :at], robust[head], board.iloc[:, at:], robust.drop(columns=head)]
    return pd.concat(parts, axis="columns")


def _sizes(scores: pd.DataFrame) -> pd.DataFrame:
    """What is said of each candidate's models (portion `model`), mean over targets and roots: candidates × metrics."""
    rows = scores[scores.portion == "model"]
    return rows.pivot_table(index="candidate", columns="metric", values="value", aggfunc="mean")


def _row(name: str, part: pd.DataFrame, grid: pd.MultiIndex, cost: Mapping[str, int]) -> dict[str, Any]:
    first = part.iloc[0]
    values = part.set_index(["seed", "target", "language"]).value.unstack("seed").reindex(grid) * 100
    whole = values.dropna(axis="columns")
    by_root = whole.groupby("target").mean().mean()
    cells_ = (whole if len(by_root) else values).mean(axis="columns")
    return {
        "order": first["order"], "method": first.method, "learning_rate": first.learning_rate,
        "prompt_length": first.prompt_length, "budget": first.budget, "seeds": len(by_root),
        "score": by_root.mean() if len(by_root) else None, "score_half_width": half_width(by_root.to_list()),
        **summary(cells_.to_frame()).iloc[0].to_dict(), "stage_cost": cost.get(name),
    }  # fmt: skip


def _extra(part: pd.DataFrame, clean: pd.DataFrame, board: pd.DataFrame) -> pd.Series:
    """The mean of a target's further languages, over whole roots, for each candidate of the board."""
    order_of = clean.drop_duplicates("candidate").set_index("candidate")
    cells_ = part.pivot_table(index="candidate", columns="language", values="value", aggfunc="mean") * 100
    means = cells_.mean(axis="columns", skipna=False).reindex(order_of.index)
    return pd.Series(means.to_numpy(), index=board.index)


# --- exports ----------------------------------------------------------------------------------------------------------


def to_csv(board: pd.DataFrame) -> str:
    """CSV with scores to two decimals; a cell that a spreadsheet would run as a formula is quoted as text."""
    return csv_text(_rounded(board))


def to_json(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """JSON: what the study was, then the rows."""
    rows = json.loads(_rounded(board).to_json(orient="records"))
    return json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"


def to_markdown(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """A Markdown table with ± where it can be had, and what the figures are below it."""
    columns, lines = shown(board), []
    for record in board.to_dict("records"):
        lines.append("| " + " | ".join(_escape(text) for text in cells(record, board)) + " |")
    notes = "\n".join(f"- {_escape(note)}" for note in about["notes"])
    head = f"| {' | '.join(_escape(c) for c in columns)} |\n|{'---|' * len(columns)}\n"
    told = about.get("answer") or {}
    answer = f"\n**{_escape(told['question'])}** {_escape(told['sentence'])}\n" if told else ""
    if about.get("finals"):
        answer += f"\n**Which is the best?** {_escape(about['finals'])}\n"
    return f"# {_escape(about['title'])}\n\n{head}" + "\n".join(lines) + f"\n\n{notes}\n{answer}"


def shown(board: pd.DataFrame) -> list[str]:
    """The headings of the table people read."""
    varied = [name.replace("_", " ") for name in VARIED if len(board) and board[name].nunique(dropna=False) > 1]
    varied += ["tuned %"] if _sized(board) else []
    robust = ROBUST if _robust(board) else []
    named = ["rank", "order", *varied, "score ↑", "worst language ↑", *robust, "gap to English ↓"]
    return [*named, *(f"{target.removeprefix(TARGET)} ↑" for target in _targets(board)), "stages"]


def cells(record: Mapping[str, Any], board: pd.DataFrame) -> list[str]:
    """One candidate's cells under `shown`'s headings, empty where a figure is missing."""
    varied = [_plain(record[name]) for name in VARIED if board[name].nunique(dropna=False) > 1]
    varied += [_figure(record["tuned_share"] * 100, 2)] if _sized(board) else []
    worst = _figure(record["worst_language_score"])
    robust = [
        _score(record, "robust_score", "robust_half_width", "robust_seeds", board), _figure(record["attackability"]),
    ] if _robust(board) else []  # fmt: skip
    return [
        _figure(record["rank"], 0) + (" few-shot" if record.get("few_shot") else ""), str(record["order"]), *varied,
        _score(record, "score", "score_half_width", "seeds", board),
        f"{record['worst_language']} {worst}" if worst else "", *robust, _figure(record["gap_to_english"]),
        *(_marked(record, target) for target in _targets(board)), _figure(record["stage_cost"], 0),
    ]  # fmt: skip


def _score(record: Mapping[str, Any], score: str, half_width: str, seeds: str, board: pd.DataFrame) -> str:
    """A mean over roots, ± where it can be had, and how many roots it is of where some are lacking."""
    half, roots = _figure(record[half_width]), board.seeds.max()
    count = 0 if pd.isna(record[seeds]) else int(record[seeds])
    partial = f" ({count} of {roots} roots)" if 0 < count < roots else ""
    return _figure(record[score]) + (f" ± {half}" if half else "") + partial


def _robust(board: pd.DataFrame) -> bool:
    return "robust_score" in board.columns


def _marked(record: Mapping[str, Any], target: str) -> str:
    own = record.get("own_training_set")
    marked = isinstance(own, str) and target.removeprefix(TARGET) in map(snake, own.split())
    return _figure(record[target]) + (f" {OWN}" if marked else "")


def _sized(board: pd.DataFrame) -> bool:
    """Whether the share of tuned parameters tells candidates apart."""
    return "tuned_share" in board.columns and board.tuned_share.nunique(dropna=False) > 1


def _plain(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:g}" if isinstance(value, int | float) else str(value)


def _figure(value: Any, digits: int = 1) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def _targets(board: pd.DataFrame) -> list[str]:
    return [column for column in board.columns if column.startswith(TARGET)]


def _rounded(board: pd.DataFrame) -> pd.DataFrame:
    kept = [c for c in board.select_dtypes("float").columns if c not in (*VARIED, "tuned_share")]
    return board.round(dict.fromkeys(kept, 2))


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(re.sub(r"([\\|*`\[])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;")).split())
