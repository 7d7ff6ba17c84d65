"""Score a target in text form on a suite's edited examples: each cell as the clean examples are, in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from perturb.measure import Figure, figures
from trainables.evaluate import EvaluationSet, portions_of
from trainables.examples import Example
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.perturbed import Cell, EditedSet, Row, Suites, cells_of, coverage_figures
from trainables.tasks import Task
from trainables.watch import beating

Ask = Callable[[Sequence[EvaluationSet]], tuple[list[Row], list[Row]]]
"""Scores sets as `icl.evaluate_icl` does; of a span an item's figure is its F1."""


def evaluate_edited_prompts(
    model: Encoder, task: Task, sets: Sequence[EvaluationSet], suites: Suites, longest: int, ask: Ask
) -> tuple[list[Row], list[Row]]:
    """Rows of scores and of predictions as of `perturbed.evaluate_edited`.

    Items that demonstrations are drawn from are left out, as in the clean score. Whether the tokenizer sees a change is
    judged on prompts without demonstrations.
    """
    kind = kind_of(task, model)
    scores: list[Row] = []
    items: list[Row] = []
    for one in suites.of(task, sets):
        features = kind.encode(task, one.part.examples, model.tokenizer, longest)
        encoded = replace(one, part=replace(one.part, features=features))
        clean = _asked(ask, one, one.part.examples)[1]
        for cell in beating(cells_of(task, kind, encoded, model, longest)):
            told, changed = _asked(ask, one, cell.examples)
            about = {"language": one.part.language, "perturbation": cell.perturbation, "severity": cell.severity}
            for portion, members in portions_of(kind, one.part):
                mine = [i for i in one.chosen if i in set(members) and one.part.examples[i].id in clean]
                if mine:
                    metrics = [row for row in told if row["portion"] == portion and "_draw_" not in row["metric"]]
                    scores += _rows({**about, "portion": portion}, metrics, one, cell, mine, clean, changed)
            items += [
                {**about, "portion": one.part.portion, "id": name, "score": changed[name], "clean": clean[name],
                 "attackable": item in cell.reached}
                for item, name in ((item, one.part.examples[item].id) for item in one.chosen)
                if name in clean
            ]  # fmt: skip
    return scores, items


def _asked(ask: Ask, one: EditedSet, examples: Sequence[Example]) -> tuple[list[Row], dict[str, float]]:
    """The rows of scores of the chosen examples, and their figures by id."""
    part = EvaluationSet(one.part.portion, one.part.language, [examples[item] for item in one.chosen], [])
    scores, items = ask([part])
    return scores, {row["id"]: row["score"] for row in items}


def _rows(
    about: Row, metrics: Sequence[Row], one: EditedSet, cell: Cell, mine: Sequence[int], clean: dict[str, float],
    changed: dict[str, float],
) -> list[Row]:  # fmt: skip
    names = [one.part.examples[item].id for item in mine]
    can = [item in cell.reached for item in mine]
    own = [Figure(row["metric"], row["value"], row["n"], row["stderr"]) for row in metrics]
    told = figures([clean[name] for name in names], [changed[name] for name in names], can)
    return [
        {**about, "metric": figure.metric, "main": place == 0, "value": figure.value, "n": figure.n,
         "stderr": figure.stderr, "attackability": sum(can) / len(can)}
        for place, figure in enumerate([*own, *told, *coverage_figures(cell, mine)])
    ]  # fmt: skip
