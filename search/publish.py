"""What is made of a study's results: leaderboard, robustness, answers and their tables, each a file of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from search.analysis.answers import answer
from search.analysis.export import write_analysis
from search.analysis.pareto import pareto
from search.analysis.representations import transfer_correlation
from search.analysis.selection import chosen, settings_table
from search.files import write_table
from search.leaderboard.exports import write_all
from search.leaderboard.views import view
from search.report.write import write_report
from search.results import Results
from search.robustness import coverage, robustness


class Published(NamedTuple):
    """The leaderboard, and what it says of itself (title, notes, columns, answer, finals)."""

    board: pd.DataFrame
    about: dict[str, Any]


def publish(results: Results, folder: Path) -> Published:
    """Write everything that is made from results into a folder; files of the same names are replaced."""
    made, tables = published(results)
    if results.settings.perturbations and len(results.own):
        tables["robustness"] = robustness(results.own, results.portion)
        tables["coverage"] = coverage(results.own, results.portion)
    for name, table in tables.items():
        write_table(folder, name, table)
    write_all(folder, made.board, made.about)
    write_report(results, folder, made.board, write_analysis(results, folder), made.about)
    return made


def published(results: Results) -> tuple[Published, dict[str, pd.DataFrame]]:
    """The leaderboard of all of the results, and the tables behind what it says, by their names."""
    board, about = view(results)
    answered, tables = _answer(results)
    about = {**about, "answer": answered, "finals": results.manifest.get("finals", "")}
    return Published(board, about), {"pareto": pareto(results.own, board, results.prices), **tables}


def _answer(results: Results) -> tuple[dict[str, str], dict[str, pd.DataFrame]]:
    """The space's question and its answer, and the tables behind it."""
    settings = results.settings
    if not len(results.own):
        return {}, {}
    found = answer(
        settings.answer, results.own, difficulty=results.difficulty, methods=settings.pair,
        baseline=settings.pair[1] if settings.pair else "full", report=results.portion, portion=results.seen,
        question=settings.question,
    )  # fmt: skip
    tables = {"answer": found.table}
    if len(settings.arms) > 1:
        tables["tuning"] = settings_table(results.own, settings.tuned, results.seen, results.portion)
    if settings.representations:
        names = chosen(results.own, settings.tuned, results.seen)
        tables["representations"] = transfer_correlation(results.own, results.portion, names)
    return {"question": found.question, "sentence": found.sentence}, tables
