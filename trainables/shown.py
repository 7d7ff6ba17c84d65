"""Examples to be looked at: a few items' texts, clean, edited and attacked, and what a stage's model says of each.

Only these items are encoded and read, so that it takes seconds. Of retrieval and mining all other sentences are read
too, since an answer is one of them.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pandas as pd

from trainables.bench import Workplace
from trainables.edited import changed, fields_of, spelled
from trainables.evaluate import EvaluationSet
from trainables.examples import Example
from trainables.icl import Demonstrations
from trainables.kinds import KINDS
from trainables.perturbations import ATTACK
from trainables.perturbed import Row, choose, drawn
from trainables.shown_answers import Asking, Cell, Language, Said
from trainables.stage import PREDICTIONS, Stage
from trainables.stage_reader import Ready, StageReader, gone
from trainables.store import Corrupt
from trainables.tasks import Task

CLEAN = "none"
"""The name of no perturbation."""


def shown_examples(
    place: Workplace, stages: Iterable[Stage], count: int, languages: Collection[str] | None = None
) -> list[Row]:
    """What a run's models say of `count` items a language, the same in every language, in all languages scored or some.

    `stages` are score stages of one candidate at one root seed: for each target its clean one and, as far as these are
    to be shown, those of suites (their edits are made again, or read from the store) and of attacks (the texts that
    they found are read from the store). Other measures are passed over.

    A row: `target`, `language`, `id`, `suite`, `perturbation` (`none`, an edit, `attack:RECIPE`), `severity` (0 where
    there is none), `texts` (by name, such as question and context), `changed` (whether they are others than the clean
    ones), `gold` and `predicted` in words (empty: no answer), and `right`, in [0, 1]: of spans F1, of tagging the share
    of right tags. Rows are by target, language, item, and perturbation, the clean ones first.

    Mistake where the weights or an attack's texts are not in the store.
    """
    reader, asked = StageReader(place), list(stages)
    rows: list[Row] = []
    for stage in asked:
        if not stage.measure:
            own = [s for s in asked if s.tasks == stage.tasks and s.measure in ("perturbations", "attack")]
            rows += _Target(reader, stage, own, count, languages).rows()
    return rows


class _Target:
    """One target of a run."""

    def __init__(
        self, reader: StageReader, stage: Stage, perturbed: Sequence[Stage], count: int,
        languages: Collection[str] | None,
    ) -> None:  # fmt: skip
        self._reader, self._stage, self._perturbed, self._count = reader, stage, perturbed, count
        self._ready: Ready = reader.ready(stage)
        self._task: Task = self._ready.task
        tests = reader.tests(self._task)
        self._tests = {code: rows for code, rows in tests.items() if languages is None or code in languages}
        self._shots = reader.demonstrations(stage) if reader.in_text(self._task) else Demonstrations()

    def rows(self) -> list[Row]:
        """All rows of the target."""
        languages = [self._language(code, examples) for code, examples in self._tests.items()]
        for stage in self._perturbed:
            self._add_attack(stage, languages) if stage.measure == "attack" else self._add_edits(stage, languages)
        told = Asking(self._reader, self._stage, self._ready, self._shots).answers(languages)
        return [row for one, own in zip(languages, told, strict=True) for row in self._told(one, own)]

    def _language(self, code: str, examples: Sequence[Example]) -> Language:
        """The items that are shown: of those that each suite chose, so that all perturbations are of the same ones."""
        suites = [self._reader.suite(stage).settings for stage in self._perturbed]
        seed = suites[0].seed if suites else 0
        unit = KINDS[self._task.kind].unit
        places = [
            place for place, example in enumerate(examples)
            if fields_of(self._task, example, "all") and unit(example) not in self._shots.held_out
        ]  # fmt: skip
        for suite in suites:
            places = sorted({*places} & {*choose(self._task, examples, suite.examples, suite.seed)})
        return Language(code, examples, drawn(examples, places, self._count, seed))

    def _add_edits(self, stage: Stage, languages: Sequence[Language]) -> None:
        suite, task = self._reader.suite(stage), self._task
        every = [EvaluationSet("test", code, examples, []) for code, examples in self._reader.tests(task).items()]
        edited = {one.part.language: one for one in suite.of(task, every)}
        for language in languages:
            own = edited[language.code]
            for (name, severity), rows in own.edited.changes.items():
                made = {
                    item: changed(task, own.part.examples[item], changes)
                    for item, changes in zip(own.chosen, rows, strict=True)
                    if item in language.chosen
                }
                language.cells.append(Cell(suite.settings.name, name, severity, made))

    def _add_attack(self, stage: Stage, languages: Sequence[Language]) -> None:
        try:
            stored = pd.read_parquet(io.BytesIO(self._reader.store.blob(stage.key, PREDICTIONS)))
        except Corrupt as error:
            what = f"the texts of the attack {stage.settings['attack']} on '{self._task.name}'"
            raise gone(what, self._reader.place.store, str(error)) from error
        if stored.empty:
            return
        stored = stored[stored["portion"] == "test"]
        for language in languages:
            own = stored[stored["language"] == language.code]
            texts = dict(zip(own["id"], own["text"], strict=True))
            made = {
                item: _respelled(self._task, language.examples[item], texts[language.examples[item].id])
                for item in language.chosen
                if language.examples[item].id in texts
            }
            if made:
                name = f"{ATTACK}{stage.settings['attack']}"
                language.cells.append(Cell(str(stage.settings["suite"]), name, 0, made))

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _told(self, one: Language, said: Sequence[Mapping[int, Said]]) -> Iterator[Row]:
        gold = KINDS[self._task.kind].gold(self._task, one.examples)
        cells = [Cell("", CLEAN, 0, {item: one.examples[item] for item in one.chosen}), *one.cells]
        for item in one.chosen:
            clean = texts_of(self._task, one.examples[item])
            for cell, own in zip(cells, said, strict=True):
                if item in cell.changed:
                    texts = texts_of(self._task, cell.changed[item])
                    yield {
                        "target": self._task.name, "language": one.code, "id": one.examples[item].id,
                        "suite": cell.suite, "perturbation": cell.perturbation, "severity": cell.severity,
                        "texts": texts, "changed": texts != clean, "gold": gold[item],
                        "predicted": own[item].words, "right": own[item].right,
                    }  # fmt: skip


def texts_of(task: Task, example: Example) -> dict[str, str]:
    """What one reads of an example, by name, in the order of reading."""
    match task.kind:
        case "tagging":
            return {"words": " ".join(example.words)}
        case "span":
            return {"question": example.text, "context": example.pair or ""}
        case "choice":
            asked = {"question": example.pair} if example.pair else {}
            listed = {f"choice {number + 1}": text for number, text in enumerate(example.choices)}
            return {"text": example.text, **asked, **listed}
        case "retrieval" | "mining":
            return {"text": example.text}
    return {"text": example.text, **({} if example.pair is None else {"pair": example.pair})}


def _respelled(task: Task, example: Example, text: str) -> Example:
    """The example with the text that an attack found: its fields, with a line break between them. Those of a field stay
    as many as they were, since words alone are attacked."""
    fields = fields_of(task, example, "all")
    if len(fields) == 1:
        return spelled(task, example, fields, [text])
    lines, own = text.split("\n"), example.text.count("\n") + 1
    return spelled(task, example, fields, ["\n".join(lines[:own]), "\n".join(lines[own:])])
