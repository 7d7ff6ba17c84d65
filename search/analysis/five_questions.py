"""The project's five questions, answered by one study: what it supports, what it cannot say, and what would."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from search.analysis.asked import COLUMNS
from search.analysis.designs import Designs
from search.analysis.finding import Finding
from search.analysis.order_tests import SIGN_FLIP
from search.analysis.power import LEVEL
from search.analysis.primary import capital, sentence_of
from search.analysis.tested import ALL
from search.analysis.tested_methods import best_of
from search.results import Results

QUESTIONS = {
    1: "Does the sequence of intermediate tasks affect accuracy and robustness across language families, zero-shot?",
    2: "Does that order affect robustness to adversarial perturbations in other languages than English?",
    3: "Does English intermediate training with in-context prompts beat fine-tuning alone?",
    4: "Does intermediate-task difficulty act differently under adapter-based and full fine-tuning?",
    5: "Prompt tuning against fine-tuning: prompt length, learning rate, parameters tuned",
}
"""The questions that this project was begun for."""

CANNOT = {
    1: "It says nothing of other tasks, longer or shorter stages, or families of which no language is among the tests.",
    2: "It says nothing of other edits and attacks, or of larger budgets; that an edit keeps the meaning is its claim.",
    3: "It says nothing of other decoders, larger ones, other wordings or other numbers of demonstrations.",
    4: "It does not say why a task is hard: what is rated hard differs from what is easy in more than difficulty.",
    5: "It says nothing of lengths and learning rates that were not tried, nor of other ways of prompting.",
}
"""What the answer to each question cannot say, whatever it is."""

YES, NO, HINT, OPEN, NOT_SHOWN, NOT_ASKED = "yes", "no", "hint", "too little to say", "not shown", "not asked"


class _Part(NamedTuple):
    """One part of a question: where its row stands, and the command that would ask it where there is none."""

    number: int
    name: str
    finding: str
    where: Mapping[str, Any]
    lacking: str
    command: str


def five_questions(designs: Designs, found: Mapping[str, Finding], primary: Mapping[str, Any]) -> Finding:
    """A row a question and part, taken from the findings by name: no test is made here.

    Table: number, question, part, verdict, answer (a sentence), `kind` (`primary` or `exploratory`),
    `asked.COLUMNS`, q (of exploratory ones: the false-discovery rate among all of the study's), cannot, command (which
    would ask what was not asked, or has the roots that a null needs). Verdicts: `yes`; `no` (the opposite is shown);
    `hint` (p would show it, q does not); `not shown`; `too little to say`; `not asked`.

    `primary` is the row of the primary finding.
    """
    results = designs.results
    rows = [_answer(part, found, primary, results) for part in _parts(results)]
    rows.insert(2, _families(found, results))
    table = pd.DataFrame(rows).sort_values("number", kind="stable", ignore_index=True)
    told = []
    for number, part in table.groupby("number"):
        verdicts = "; ".join(f"{row.part}: {row.verdict}" for row in part.itertuples())
        told.append(f"{number}. {verdicts}")
    notes = (
        holds_for(results),
        "All answers but that of the primary contrast are exploratory.",
    )
    return Finding("five_questions", "The questions, answered", table, ". ".join(told) + ".", notes=notes)


def holds_for(results: Results) -> str:
    """What any conclusion of a study is limited to."""
    settings, grid = results.settings, results.grid
    languages = len(grid.unique("language"))
    targets = ", ".join(map(str, grid.unique("target")))
    budget = f"{settings.train.epochs:g} epochs" if settings.train.epochs else f"{settings.train.steps} steps"
    limited = f", LIMITED to {results.manifest['limited']} a split" if results.manifest.get("limited") else ""
    return (
        f"Conclusions hold for the one pretrained checkpoint that was searched ({results.manifest['model']['name']}), "
        f"on these items ({targets}; {languages} languages{limited}) and at these budgets ({budget} a stage)."
    )


def _parts(results: Results) -> Iterator[_Part]:
    command, order = str(results.manifest["command"]), {"method": ALL}
    suites = ",".join(dict.fromkeys([*results.settings.perturbations, "standard"]))
    attacks = ",".join(dict.fromkeys([*results.settings.perturbations, "attacks"]))
    unperturbed, no_attack = "nothing was perturbed", "nothing was attacked"
    edits, attacked = f"{command} --perturbations {suites}", f"{command} --perturbations {attacks}"
    yield _Part(1, "accuracy", "order", {**order, "outcome": "score"}, "nothing was scored", command)
    yield _Part(1, "robustness", "order", {**order, "outcome": "robust_score"}, unperturbed, edits)
    yield _Part(2, "edits", "order", {**order, "outcome": "robust_score_foreign"}, unperturbed, edits)
    yield _Part(2, "attacks", "order", {**order, "outcome": "attacked_foreign"}, no_attack, attacked)
    one = "the study has no in-context method beside a trained one"
    instead = {"effect": "instead"}
    yield _Part(3, "accuracy", "icl", {**instead, "outcome": "score"}, one, "order-search run --space icl")
    if "icl" in results.settings.method:
        yield _Part(3, "robustness", "icl", {**instead, "outcome": "robust_score"}, unperturbed, edits)
    why = "no intermediate task has a difficulty" if results.settings.pair else "the study has one trained method"
    of_tasks = {"row": "interaction"}
    space = "order-search run --space complexity"
    yield _Part(4, "accuracy", "complexity", {**of_tasks, "outcome": "score"}, why, space)
    if results.settings.answer == "complexity":
        yield _Part(4, "robustness", "complexity", {**of_tasks, "outcome": "robust_score"}, unperturbed, edits)
    methods = "the study has not both prompt tuning and full fine-tuning"
    yield _Part(5, "prompt − full", "prompts", {"part": "prompt − full"}, methods, "order-search run --space methods")
    yield _Part(5, "prompt length", "prompts", {"part": "prompt length"}, "there is one prompt length or none",
                "order-search run --space prompts")  # fmt: skip
    yield _Part(5, "learning rate", "prompts", {"part": "learning rate"}, "prompts have one learning rate or none",
                "order-search run --space prompts")  # fmt: skip


def _answer(part: _Part, found: Mapping[str, Finding], primary: Mapping[str, Any], results: Results) -> dict[str, Any]:
    about = {
        "number": part.number,
        "question": QUESTIONS[part.number],
        "part": part.name,
        "cannot": CANNOT[part.number],
    }
    row = _row_of(found.get(part.finding), part.where)
    if row is None:
        told = f"Not asked by this study: {part.lacking}. `{part.command}` would."
        return {**about, "verdict": NOT_ASKED, "answer": told, "kind": "", "command": part.command}
    row = {**dict.fromkeys(COLUMNS, math.nan), **row}  # a table has no columns for what none of its rows has
    if str(row["reason"]).startswith("not testable: no set of tasks has two orders"):
        command = f"{results.manifest['command']} --set orders.kind=subsets --set orders.max_length=2"
        told = f"Not asked by this study: no set of tasks has two orders. `{command}` would."
        return {**about, "verdict": NOT_ASKED, "answer": told, "kind": "", "command": command}
    is_primary = is_the_primary(row, primary)
    verdict = _verdict(row, is_primary)
    return {
        **about, "verdict": verdict, "answer": _sentence(row, verdict, is_primary, bool(primary.get("frozen"))),
        "kind": "primary" if is_primary else "exploratory", **{name: row.get(name) for name in COLUMNS},
        "q": row.get("q", math.nan), "command": _more_roots(row, verdict, results),
    }  # fmt: skip


def _row_of(finding: Finding | None, where: Mapping[str, Any]) -> dict[str, Any] | None:
    if finding is None or finding.table.empty:
        return None
    table = finding.table
    for name, value in where.items():
        if name not in table:
            return None
        table = table[table[name] == value]
    return table.to_dict("records")[0] if len(table) else None


def is_the_primary(row: Mapping[str, Any], primary: Mapping[str, Any]) -> bool:
    """Whether a finding's row is the very test of the primary contrast."""
    contrast = row.get("contrast")
    same = contrast is not None and (contrast, row.get("outcome")) == (primary["contrast"], primary["outcome"])
    whole = row.get("method", ALL) == ALL and row.get("effect", "instead") == "instead"
    return same and whole and row.get("row", "interaction") == "interaction" and "part" not in row


def _verdict(row: Mapping[str, Any], is_primary: bool) -> str:
    if pd.isna(row["p"]):
        return OPEN
    if row["p"] > LEVEL:
        return NOT_SHOWN
    if not is_primary and not row.get("q", math.nan) <= LEVEL:
        return HINT
    return NO if row["contrast"] == "icl" and row["estimate"] < 0 else YES


def _sentence(row: dict[str, Any], verdict: str, is_primary: bool, frozen: bool) -> str:
    """The row in words, with how far it may be relied on."""
    told = capital(sentence_of(row)) + best_of(row)
    if verdict == OPEN:
        return told
    if is_primary:
        return f"{told} This is the primary contrast{', fixed before the run' if frozen else ', by default'}."
    q = row.get("q", math.nan)
    among = "" if pd.isna(q) else f", q = {q:.2g} among all exploratory tests of the study"
    doubt = ", so a hint and no more" if verdict == HINT else ""
    return f"{told} Exploratory{among}{doubt}.{_floor(row) if verdict == HINT else ''}"


def _floor(row: Mapping[str, Any]) -> str:
    """What is to be said where the sign-flip has no smaller p."""
    least = 2.0 ** (1 - row["n"])
    if row["test"] != SIGN_FLIP or row["p"] > least * 1.5:
        return ""
    return f" At {int(row['n'])} roots the sign-flip has no smaller p than {least:.2g}: more roots may show more."


def _more_roots(row: Mapping[str, Any], verdict: str, results: Results) -> str:
    """The command that has the roots which a null, or too few of them, would need."""
    needed = row.get("needed")
    few = verdict in (OPEN, NOT_SHOWN, HINT) and row.get("unit") == "roots"
    if not few or needed is None or pd.isna(needed) or int(needed) <= results.seeds:
        return ""
    return f"{results.manifest['command']} --seeds {int(needed)}"


def _families(found: Mapping[str, Finding], results: Results) -> dict[str, Any]:
    """The part of the first question that is about families: many tests, corrected by Holm, told in one sentence."""
    about = {"number": 1, "question": QUESTIONS[1], "part": "families", "cannot": CANNOT[1]}
    finding = found.get("order_by_family")
    here = None if finding is None or finding.table.empty else finding.table[finding.table.asks == "here"]
    if here is None or here.reason.astype(str).str.startswith("not testable: no set").all():
        command = f"{results.manifest['command']} --set orders.kind=subsets --set orders.max_length=2"
        told = "Not asked by this study: there are no two families, or no set of tasks has two orders."
        return {**about, "verdict": NOT_ASKED, "answer": told, "kind": "", "command": command}
    tested = here[here.p.notna()]
    verdict = OPEN if tested.empty else YES if (tested.p_holm <= LEVEL).any() else NOT_SHOWN
    return {**about, "verdict": verdict, "answer": f"{finding.sentence} Exploratory." if finding else "",
            "kind": "exploratory", "n": int(here.n.max()), "unit": "roots", "command": ""}  # fmt: skip
