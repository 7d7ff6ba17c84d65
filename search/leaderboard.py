"""The leaderboard: one row a candidate, made from the long table alone; exported as CSV, Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search.results import PRIMARY
from trainables.languages import LANGUAGES

MIN_ROOTS_FOR_INTERVAL = 3
"""Below this the t interval's half-width is 9 standard deviations or more and says nothing."""


def leaderboard(scores: pd.DataFrame, stage_cost: Mapping[str, int], portion: str) -> pd.DataFrame:
    """One row a candidate, best first; scores in percent.

    `score` is the mean over targets of the mean over languages, averaged over root seeds; `score_half_width` is half
    the 95 % t interval over roots. Ties share a rank. `gap_to_english` is English minus the mean of the other
    languages, over targets that have English. A mean is missing where a cell of the planned grid is.
    """
    clean = scores[(scores.portion == portion) & (scores.perturbation == "none") & scores.metric.isin(PRIMARY)]
    targets, families = list(dict.fromkeys(clean.target)), _families(clean.language)
    cells = {key: len(part) for key, part in clean.groupby(["candidate", "seed"], sort=False)}
    complete = max(cells.values(), default=0)
    rows = []
    for name, part in clean.groupby("candidate", sort=False):
        part = part[[cells[name, seed] == complete for seed in part.seed]]
        if len(part):
            rows.append(_row(str(name), part, targets, families, stage_cost))
    if not rows:
        return pd.DataFrame()
    board = pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable", ignore_index=True)
    board.insert(0, "rank", board.score.rank(method="min", ascending=False).astype(int))
    return board


def _row(
    name: str, part: pd.DataFrame, targets: Sequence[str], families: Mapping[str, list[str]], cost: Mapping[str, int]
) -> dict[str, Any]:
    first = part.iloc[0]
    by_root = part.groupby(["seed", "target"]).value.mean().groupby("seed").mean() * 100
    by_language = part.groupby(["target", "language"]).value.mean() * 100
    worst = by_language.groupby("language").mean().sort_values(kind="stable")
    row = {
        "order": first["order"], "method": first.method, "learning_rate": first.learning_rate, "seeds": len(by_root),
        "score": by_root.mean(), "score_half_width": _half_width(by_root.to_list()),
        "worst_language": worst.index[0], "worst_language_score": worst.iloc[0], "gap_to_english": _gap(by_language),
    }  # fmt: skip
    per_target = by_language.groupby("target").mean()
    row |= {target: per_target.get(target) for target in targets}
    for family, codes in families.items():
        row[f"family_{family}"] = part[part.language.isin(codes)].groupby("target").value.mean().mean() * 100
    return {**row, "stage_cost": cost.get(name)}


def _half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % t interval of the mean over independent roots, None below three."""
    from scipy.stats import t

    n = len(values)
    if n < MIN_ROOTS_FOR_INTERVAL:
        return None
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return float(t.ppf(0.975, n - 1) * deviation / math.sqrt(n))


def _gap(by_language: pd.Series) -> float | None:
    gaps = []
    for _, part in by_language.groupby("target"):
        values = part.droplevel("target")
        if "en" in values.index and len(values) > 1:
            gaps.append(values["en"] - values.drop("en").mean())
    return sum(gaps) / len(gaps) if gaps else None


def _families(languages: pd.Series) -> dict[str, list[str]]:
    """The codes of each language family, by the family's name in snake case."""
    found: dict[str, list[str]] = {}
    for code in sorted(set(languages)):
        family = LANGUAGES[code].family.split(":")[0] if code in LANGUAGES else "unknown"
        found.setdefault(family.lower().replace("-", "_").replace(" ", "_"), []).append(code)
    return dict(sorted(found.items()))


# --- exports ----------------------------------------------------------------------------------------------------------


def to_csv(board: pd.DataFrame) -> str:
    """CSV with scores to two decimals; a cell that a spreadsheet would run as a formula is quoted as text."""
    return _rounded(board).map(_harmless).to_csv(index=False, lineterminator="\n")


def to_json(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """JSON: what the study was, then the rows."""
    rows = json.loads(_rounded(board).to_json(orient="records"))
    return json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"


def to_markdown(board: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """A Markdown table with ± where it can be had, and what the figures are below it."""
    columns, lines = shown(board), []
    for record in board.to_dict("records"):
        lines.append("| " + " | ".join(_escape(text) for text in cells(record, board)) + " |")
    notes = "\n".join(f"- {note}" for note in about["notes"])
    head = f"| {' | '.join(_escape(c) for c in columns)} |\n|{'---|' * len(columns)}\n"
    return f"# {about['title']}\n\n{head}" + "\n".join(lines) + f"\n\n{notes}\n"


def shown(board: pd.DataFrame) -> list[str]:
    """The headings of the table people read."""
    varied = [c for c in ("method", "learning_rate") if len(board) and board[c].nunique() > 1]
    named = ["rank", "order", *varied, "score ↑", "worst language ↑", "gap to English ↓"]
    return [*named, *(f"{target} ↑" for target in _targets(board)), "stages"]


def cells(record: Mapping[str, Any], board: pd.DataFrame) -> list[str]:
    """One candidate's cells under `shown`'s headings; the best of each column is in bold in Markdown only."""
    score = f"{record['score']:.1f}"
    if record["score_half_width"] is not None and not math.isnan(record["score_half_width"]):
        score += f" ± {record['score_half_width']:.1f}"
    gap = record["gap_to_english"]
    varied = [str(record[c]) for c in ("method", "learning_rate") if board[c].nunique() > 1]
    return [
        str(record["rank"]), str(record["order"]), *varied, score,
        f"{record['worst_language']} {record['worst_language_score']:.1f}",
        "" if gap is None or math.isnan(gap) else f"{gap:.1f}",
        *(f"{record[target]:.1f}" for target in _targets(board)), str(record["stage_cost"]),
    ]  # fmt: skip


def _targets(board: pd.DataFrame) -> list[str]:
    if not len(board):
        return []
    columns = list(board.columns)
    start = columns.index("gap_to_english") + 1
    return [c for c in columns[start:] if not c.startswith("family_") and c != "stage_cost"]


def _rounded(board: pd.DataFrame) -> pd.DataFrame:
    kept = [c for c in board.select_dtypes("float").columns if c != "learning_rate"]
    return board.round(dict.fromkeys(kept, 2))


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" else cell


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.replace("*", "\\*").split())
