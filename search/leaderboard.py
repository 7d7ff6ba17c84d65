"""The leaderboard: one row a candidate, made from the long table alone; exported as CSV, Markdown and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from search.results import csv_text
from trainables.languages import family, pair_code
from trainables.methods import FEW_SHOT

TARGET, FAMILY, EXTRA = "target_", "family_", "extra_"
"""What the columns of targets, of language families, and of targets' further languages begin with."""

OWN = "‡"
"""Marks the score of a target whose own training set is among the order's tasks: no transfer."""

ENGLISH = ("en", pair_code("en", "en"))
"""What English is called: where a target's languages are pairs, both texts are English."""

VARIED = ("method", "prompt_length", "learning_rate", "budget")
"""What a candidate is besides its order; each is shown to people where it differs."""

PRECISION = 9
"""Digits to which scores are compared: sums of equal figures in other orders of adding still tie."""

MIN_ROOTS_FOR_INTERVAL = 3
"""Below this the t interval's half-width is 9 standard deviations or more and says nothing."""


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
    for metric, values in _sizes(scores).items():
        board[str(metric)] = values.reindex(clean.candidate.unique()).to_numpy()
    for target, part in extra.groupby("target", sort=False):
        board[f"{EXTRA}{_snake(str(target))}"] = _extra(part, clean, board)
    for order, said in (about_orders or {}).items():
        for column, value in said.items():
            board.loc[board.order == order, column] = value
    compared = board.score.astype(float).round(PRECISION)
    whole = (board.seeds == roots) & (board.budget == board.budget.max())
    board["few_shot"] = board.method.isin(FEW_SHOT)
    ranks = compared.where(whole).groupby(board.few_shot).rank(method="min", ascending=False)
    board.insert(0, "rank", ranks.astype("Int64"))
    board["last"], board["less"] = -compared.fillna(-1.0), -board.budget
    by = ["few_shot", "rank", "less", "last"]
    return board.sort_values(by, kind="stable", ignore_index=True).drop(columns=["last", "less"])


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
    by_language = cells_.groupby("language").apply(_mean)
    worst = by_language.idxmin() if by_language.notna().all() else None
    row = {
        "order": first["order"], "method": first.method, "learning_rate": first.learning_rate,
        "prompt_length": first.prompt_length, "budget": first.budget, "seeds": len(by_root),
        "score": by_root.mean() if len(by_root) else None, "score_half_width": half_width(by_root.to_list()),
        "worst_language": worst, "worst_language_score": by_language[worst] if worst else None,
        "gap_to_english": _gap(cells_),
    }  # fmt: skip
    per_target = cells_.groupby("target", sort=False).apply(_mean)
    row |= {f"{TARGET}{_snake(target)}": value for target, value in per_target.items()}
    for group, codes in _families(grid.get_level_values("language")).items():
        own = cells_[cells_.index.get_level_values("language").isin(codes)]
        row[f"{FAMILY}{group}"] = _mean(own.groupby("target").apply(_mean))
    return {**row, "stage_cost": cost.get(name)}


def _extra(part: pd.DataFrame, clean: pd.DataFrame, board: pd.DataFrame) -> pd.Series:
    """The mean of a target's further languages, over whole roots, for each candidate of the board."""
    order_of = clean.drop_duplicates("candidate").set_index("candidate")
    cells_ = part.pivot_table(index="candidate", columns="language", values="value", aggfunc="mean") * 100
    means = cells_.mean(axis="columns", skipna=False).reindex(order_of.index)
    return pd.Series(means.to_numpy(), index=board.index)


def _mean(cells_: pd.Series) -> float:
    """The mean, missing where one of the values is."""
    return float(cells_.mean(skipna=False))


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % t interval of the mean over independent roots, None below three."""
    from scipy.stats import t

    n = len(values)
    if n < MIN_ROOTS_FOR_INTERVAL:
        return None
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return float(t.ppf(0.975, n - 1) * deviation / math.sqrt(n))


def _gap(cells_: pd.Series) -> float | None:
    gaps = []
    for _, part in cells_.groupby("target"):
        values = part.droplevel("target")
        english = next((code for code in ENGLISH if code in values.index), None)
        if english and len(values) > 1:
            gaps.append(values[english] - _mean(values.drop(english)))
    return sum(gaps) / len(gaps) if gaps else None


def _families(languages: Iterable[str]) -> dict[str, list[str]]:
    """The codes of each language family, by the family's name in snake case."""
    found: dict[str, list[str]] = {}
    for code in sorted(set(languages)):
        found.setdefault(_snake(family(code)), []).append(code)
    return dict(sorted(found.items()))


def _snake(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower())


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
    named = ["rank", "order", *varied, "score ↑", "worst language ↑", "gap to English ↓"]
    return [*named, *(f"{target.removeprefix(TARGET)} ↑" for target in _targets(board)), "stages"]


def cells(record: Mapping[str, Any], board: pd.DataFrame) -> list[str]:
    """One candidate's cells under `shown`'s headings, empty where a figure is missing."""
    varied = [_plain(record[name]) for name in VARIED if board[name].nunique(dropna=False) > 1]
    varied += [_figure(record["tuned_share"] * 100, 2)] if _sized(board) else []
    worst = _figure(record["worst_language_score"])
    half = _figure(record["score_half_width"])
    roots = board.seeds.max()
    partial = f" ({record['seeds']} of {roots} roots)" if 0 < record["seeds"] < roots else ""
    return [
        _figure(record["rank"], 0) + (" few-shot" if record.get("few_shot") else ""), str(record["order"]), *varied,
        _figure(record["score"]) + (f" ± {half}" if half else "") + partial,
        f"{record['worst_language']} {worst}" if worst else "", _figure(record["gap_to_english"]),
        *(_marked(record, target) for target in _targets(board)), _figure(record["stage_cost"], 0),
    ]  # fmt: skip


def _marked(record: Mapping[str, Any], target: str) -> str:
    own = record.get("own_training_set")
    marked = isinstance(own, str) and target.removeprefix(TARGET) in map(_snake, own.split())
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
