"""What is made of a study's results: leaderboard, robustness, answers and their tables, each a file of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from search.analysis.answers import answer
from search.analysis.pareto import pareto
from search.analysis.representations import transfer_correlation
from search.analysis.selection import chosen, settings_table
from search.describe import robust_notes
from search.files import write, write_table
from search.leaderboard import leaderboard, to_csv, to_json, to_markdown
from search.results import Results
from search.robustness import coverage, robustness


class Published(NamedTuple):
    """The leaderboard, and what it says of itself (title, notes, answer, finals)."""

    board: pd.DataFrame
    about: dict[str, Any]


def publish(results: Results, folder: Path) -> Published:
    """Write everything that is made from results into a folder; files of the same names are replaced."""
    board = leaderboard(results.compared, results.stage_cost, results.portion, results.order_facts)
    write_table(folder, "pareto", pareto(results.own, board, results.prices))
    about = {
        "title": results.manifest["title"],
        "notes": [*results.manifest["notes"], *_robustness(results, folder)],
        "answer": _answer(results, folder),
        "finals": results.manifest.get("finals", ""),
    }
    write(folder / "leaderboard.csv", to_csv(board))
    write(folder / "leaderboard.json", to_json(board, about))
    write(folder / "leaderboard.md", to_markdown(board, about))
    return Published(board, about)


def _robustness(results: Results, folder: Path) -> list[str]:
    """What is to be said of robust figures; these cell by cell in `robustness.csv`, coverage in `coverage.csv`."""
    if not results.settings.perturbations or not len(results.own):
        return []
    write_table(folder, "robustness", robustness(results.own, results.portion))
    write_table(folder, "coverage", coverage(results.own, results.portion))
    return robust_notes(results.compared, results.portion)


def _answer(results: Results, folder: Path) -> dict[str, str]:
    """The space's question and its answer; the table behind that in `answer.csv`."""
    settings = results.settings
    if not len(results.own):
        return {}
    found = answer(
        settings.answer, results.own, difficulty=results.difficulty, methods=settings.pair,
        baseline=settings.pair[1] if settings.pair else "full", report=results.portion, portion=results.seen,
        question=settings.question,
    )  # fmt: skip
    write_table(folder, "answer", found.table)
    if len(settings.arms) > 1:
        write_table(folder, "tuning", settings_table(results.own, settings.tuned, results.seen, results.portion))
    if settings.representations:
        names = chosen(results.own, settings.tuned, results.seen)
        write_table(folder, "representations", transfer_correlation(results.own, results.portion, names))
    return {"question": found.question, "sentence": found.sentence}
