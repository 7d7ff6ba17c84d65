"""Everything a report shows, computed from results and findings before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from search.analysis.finding import Finding
from search.analysis.five_questions import NOT_ASKED
from search.analysis.overall import candidates
from search.analysis.pareto import pareto
from search.means import TARGET, snake
from search.report import budgets, curves, effects, landscape, languages, searched, stages, tradeoff
from search.report.board import shown_columns
from search.report.cells import Cells
from search.report.cite import cite
from search.report.head import Choice, against_none, alike, capital, head, recommended
from search.report.names import Names, groups_of
from search.report.parts import Section, Summary
from search.results import Results

ANSWERS = "five_questions"
"""The finding that states the questions and their answers."""

PARTS = ("part", "verdict", "answer", "kind", "command")


def summarize(
    results: Results, board: pd.DataFrame, findings: Sequence[Finding], *, answer: Mapping[str, str] | None = None,
    examples: Mapping[str, Any] | None = None,
) -> Summary:  # fmt: skip
    """The report's data. `board` is the leaderboard, `answer` the space's question and its answer, `examples` (by
    language) what `--examples` asked for."""
    names = Names(results.settings.intermediate, candidates(results.own))
    choice = recommended(results, board)
    ranked = [str(name) for name in board.candidate.dropna()] if len(board) else []
    found = tuple(findings)
    cells = Cells.of(results, ranked)
    return Summary(
        head=head(results, board, choice, found, names),
        columns=shown_columns(board, results, names) if len(board) else (),
        board=board,
        sections=tuple(_sections(results, board, found, cells, names, choice)),
        languages=languages.pages(results, cells, names, dict(examples or {})),
        questions=tuple(_questions(found)),
        findings=found,
        about=_about(results, names, board)
        | _recommendation(results, choice)
        | {"answer": {key: capital(text) for key, text in (answer or {}).items()}, "frozen": _frozen(found)},
    )


def _sections(
    results: Results,
    board: pd.DataFrame,
    findings: Sequence[Finding],
    cells: Cells,
    names: Names,
    choice: Choice | None,
) -> list[Section]:
    ranked = list(map(str, cells.clean.columns))
    best = choice.candidate if choice else (ranked or [""])[0]
    scored = board.dropna(subset="candidate") if len(board) else board
    scores = scored.set_index("candidate").score.astype(float) if len(board) else pd.Series(dtype=float)
    return [
        languages.section(cells, findings, names),
        effects.section(findings, names),
        tradeoff.section(pareto(results.own, board, results.prices), names),
        curves.severities(results, ranked, best, names),
        budgets.section(findings, names),
        curves.forgetting(results, ranked, names),
        landscape.section(scores, names),
        searched.section(findings, names),
        stages.section(results, {str(name): float(score) for name, score in scores.items()}, names),
    ]  # fmt: skip


def _questions(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The questions that are answered: each with its `parts` (part, verdict, answer, kind, command), and what the
    answer `cannot` say; `asked` says whether the study asked any part of it."""
    found = next((one for one in findings if one.name == ANSWERS and len(one.table)), None)
    if found is None:
        return []
    rows = []
    for question, table in found.table.groupby("question", sort=False):
        parts = [
            {key: "" if pd.isna(row.get(key)) else str(row.get(key, "")) for key in PARTS}
            for row in table.to_dict("records")
        ]
        asked = any(part["verdict"] != NOT_ASKED for part in parts)
        rows.append({"question": str(question), "cannot": str(table.cannot.iloc[0]), "parts": parts, "asked": asked})
    return rows


def _frozen(findings: Sequence[Finding]) -> bool:
    """Whether the primary contrast was fixed before the run."""
    primary = next((one.table for one in findings if one.primary), pd.DataFrame())
    return bool("frozen" in primary and len(primary) and primary.frozen.iloc[0])


def _recommendation(results: Results, choice: Choice | None) -> dict[str, Any]:
    """The recommended candidate's order and settings, and how many others may be as good."""
    if choice is None:
        return {"recommended": {"order": "none", "settings": "", "method": ""}, "alike": ""}
    about = candidates(results.scores).loc[choice.candidate]
    length = "" if pd.isna(about.prompt_length) else f", prompt length {int(about.prompt_length)}"
    settings = f"method {about.method}, learning rate {about.learning_rate:g}{length}"
    chosen = {"order": str(about.order), "settings": settings, "method": str(about.method)}
    told = [against_none(results, choice), alike(choice.row)]
    return {"recommended": chosen, "alike": " ".join(filter(None, told))}


def _about(results: Results, names: Names, board: pd.DataFrame) -> dict[str, Any]:
    """How the results came about: runs, commands, settings, versions, data, and how to cite them."""
    manifest = results.manifest
    settings = results.settings.model_dump(mode="json", exclude={"space"})
    return {
        "runs": [
            {"name": run.name, "command": run.manifest["command"], "commit": run.manifest.get("commit", ""),
             "started": run.manifest.get("started", ""), "status": run.manifest["status"]}
            for run in results.runs
        ],
        "versions": dict(manifest["versions"]), "model": dict(manifest["model"]), "data": dict(manifest["data"]),
        "notes": list(manifest["notes"]), "finals": manifest.get("finals", ""), "suite": results.settings.suite,
        "tasks": list(names.tasks), "short": {task: names.task(task) for task in _tasks(board, names)},
        "targets": {f"{TARGET}{snake(target)}": target for target in results.settings.targets},
        "seeds": results.seeds, "objective": results.settings.objective, "left_out": names.prefix,
        "settings": yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
        "cite": cite(results), "candidates": len(results.candidates), "partial": dict(manifest.get("partial", {})),
    }  # fmt: skip


def _tasks(board: pd.DataFrame, names: Names) -> list[str]:
    """All tasks of orders, controls too."""
    orders = map(str, board.order) if len(board) else ()
    return list(
        dict.fromkeys([*names.tasks, *(task for order in orders for group in groups_of(order) for task in group)])
    )
