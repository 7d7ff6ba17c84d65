"""What a stage's model says of the items that are shown, clean and under each perturbation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import torch

from trainables.decoder import Decoder
from trainables.evaluate import EvaluationSet, predictions
from trainables.examples import Example
from trainables.icl import Demonstrations, predict
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of
from trainables.kinds.prompted import figures
from trainables.methods.settings import icl_settings
from trainables.stage import Stage
from trainables.stage_reader import Ready, StageReader
from trainables.tasks import UNTRAINED, Task

_FIGURE = {"span": "f1"}
"""What an item's figure is in text form, where it is no accuracy."""


class Cell(NamedTuple):
    """A perturbation of one language's items: what becomes of each, by its place in the set."""

    suite: str
    perturbation: str
    severity: int
    changed: Mapping[int, Example]


@dataclass
class Language:
    """One language's test set: which items are shown, and under which perturbations."""

    code: str
    examples: Sequence[Example]
    chosen: list[int]
    cells: list[Cell] = field(default_factory=list)


class Said(NamedTuple):
    """What was said of an item, and its figure."""

    words: str
    right: float


class Asking:
    """Asks one target's model. Only the items are encoded and read, of retrieval and mining also all that is searched;
    and of mining they alone are changed, all others stay clean."""

    def __init__(self, reader: StageReader, stage: Stage, ready: Ready, shots: Demonstrations) -> None:
        self._reader, self._stage, self._ready, self._shots = reader, stage, ready, shots
        self._task = ready.task

    @torch.no_grad()
    def answers(self, languages: Sequence[Language]) -> list[list[dict[int, Said]]]:
        """By language and cell (the clean one first) what is said of each item, by its place in the set."""
        return self._in_text(languages) if self._reader.in_text(self._task) else self._on_states(languages)

    def _on_states(self, languages: Sequence[Language]) -> list[list[dict[int, Said]]]:
        ready, kind = self._ready, kind_of(self._task, self._ready.model)
        parts = [part for one in languages for part in self._parts(one)]
        told = iter(zip(parts, predictions(ready.model, self._task, ready.head, parts, distinct=True), strict=True))
        thresholds = self._reader.thresholds(ready)
        found = []
        for one in languages:
            threshold, own = thresholds.get(one.code), []
            for _ in range(len(one.cells) + 1):
                part, predicted = next(told)
                result = kind.score(self._task, part.examples, part.features, predicted, threshold)
                words = kind.said(self._task, part.examples, part.features, predicted, threshold)
                places = one.chosen if self._whole else range(len(one.chosen))
                said = {i: Said(words[at], result.figures[at]) for i, at in zip(one.chosen, places, strict=True)}
                own.append(said)
                threshold = result.threshold if threshold is None else threshold  # that of the clean sentences
            found.append(own)
        return found

    @property
    def _whole(self) -> bool:
        """Whether an answer hangs on the other examples of a set."""
        return self._task.kind in UNTRAINED

    def _parts(self, one: Language) -> Iterator[EvaluationSet]:
        """The clean items and those of each cell. What a change leaves the same tokens stays as it is: an answer is
        then the clean context's words."""
        places = list(range(len(one.examples))) if self._whole else one.chosen
        number = {item: at for at, item in enumerate(places)}
        clean = [one.examples[item] for item in places]
        encoded = self._encoded(clean, {number[item] for item in one.chosen})
        yield EvaluationSet("test", one.code, clean, [feature for own in encoded for feature in own])
        for cell in one.cells:
            examples, features = list(clean), list(encoded)
            new = self._encoded(list(cell.changed.values()), set(range(len(cell.changed))))
            for (item, example), own in zip(cell.changed.items(), new, strict=True):
                if [feature.rows for feature in own] != [feature.rows for feature in encoded[number[item]]]:
                    examples[number[item]] = example
                    features[number[item]] = [replace(feature, item=number[item]) for feature in own]
            yield EvaluationSet("test", one.code, examples, [feature for own in features for feature in own])

    def _encoded(self, examples: Sequence[Example], asked: Collection[int]) -> list[list[Feature]]:
        """The features of each example. Of retrieval those that are not asked are only searched: they stand for their
        translation twice."""
        if self._task.kind == "retrieval":
            examples = [e if at in asked else replace(e, text=e.pair or "") for at, e in enumerate(examples)]
        ready = self._ready
        found: list[list[Feature]] = [[] for _ in examples]
        for feature in kind_of(self._task, ready.model).encode(
            self._task, examples, ready.model.tokenizer, ready.longest
        ):
            found[feature.item].append(feature)
        return found

    def _in_text(self, languages: Sequence[Language]) -> list[list[dict[int, Said]]]:
        """A decoder's answers, after the first draw of demonstrations."""
        task, model, settings = self._task, cast(Decoder, self._ready.model), icl_settings(self._stage.settings)
        found, name = [], _FIGURE.get(task.kind, "accuracy")
        for one in languages:
            shots = self._shots.draw(task, one.code, settings, self._stage.seed or 0, 1)
            clean = {item: one.examples[item] for item in one.chosen}
            own = []
            for asked in (clean, *({**clean, **cell.changed} for cell in one.cells)):
                told = predict(model, task, list(asked.values()), shots, settings, self._ready.room)
                rights = [figures(task, e, one)[name] for e, one in zip(asked.values(), told, strict=True)]
                words = [_words(task, e, one) for e, one in zip(asked.values(), told, strict=True)]
                own.append(dict(zip(asked, map(Said, words, rights), strict=True)))
            found.append(own)
        return found


def _words(task: Task, example: Example, said: Any) -> str:
    """A decoder's answer in words; that two are equally likely is none."""
    return "" if said is None else example.choices[said] if task.kind == "choice" else str(said)
