"""Score a target on a suite's edited examples, beside the clean ones, in one stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn

from perturb.edits.base import Edit
from perturb.measure import Figure, figures, mean
from perturb.suite import Edited, Item, SuiteSettings, prepare
from trainables.edited import applies, changed, fields_of, item_of, vocabulary
from trainables.evaluate import EvaluationSet, Portion, portions_of, predictions, scored
from trainables.examples import Example
from trainables.kinds.base import Feature, Kind, Result
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.perturbations import Lookup
from trainables.store import Corrupt, Store
from trainables.tasks import UNTRAINED, Task
from trainables.watch import Beating, beating

SUITE = "suite.json.gz"
"""The blob of a stored suite."""

Row = dict[str, Any]


@dataclass(frozen=True)
class EditedSet:
    """A suite's edits of one set: which of its examples were chosen, and what becomes of them."""

    part: EvaluationSet
    chosen: list[int]
    edited: Edited


class Suites:
    """A suite's edited examples: read from the store, or made and stored there for whoever comes next."""

    def __init__(self, settings: SuiteSettings, lookup: Lookup, store: Store) -> None:
        self.settings, self.lookup, self._store = settings, lookup, store
        self.streams: dict[tuple[str, int], Stream] = {}
        """What a model reads, by task and longest text."""

    def of(self, task: Task, sets: Sequence[EvaluationSet]) -> list[EditedSet]:
        """The English dev set and the test sets of a target, edited."""
        found = []
        for portion in ("dev", "test"):
            kept = [part for part in sets if part.portion == portion and part.examples]
            examples = [example for part in kept for example in part.examples]
            edits = self.lookup.made(self.lookup.of(task, examples))
            found += [self._edited(task, part, edits, kept) for part in kept]
        return found

    def _edited(
        self, task: Task, part: EvaluationSet, edits: Sequence[Edit], beside: Sequence[EvaluationSet]
    ) -> EditedSet:
        chosen = choose(task, part.examples, self.settings.examples, self.settings.seed)
        attested = vocabulary(task, part.examples)
        items = [item_of(task, part.examples[place], self.settings.fields, attested) for place in chosen]
        mine = [edit for edit in edits if applies(edit, task, part.language)]
        key = self._key(task, items, mine, beside)
        stored = self._stored(key)
        if stored is None:
            stored = prepare(mine, Beating(items), self.settings.severities, self.settings.seed)
            about = {"suite": self.settings.name, "task": task.name, "language": part.language}
            self._store.put(key, about, {SUITE: stored.to_bytes()})
        return EditedSet(part, chosen, stored)

    def _stored(self, key: str) -> Edited | None:
        if not self._store.has(key):
            return None
        try:
            return Edited.from_bytes(self._store.blob(key, SUITE))
        except (Corrupt, OSError, ValueError, KeyError):
            self._store.discard(key)
            return None

    def _key(self, task: Task, items: Sequence[Item], edits: Sequence[Edit], beside: Sequence[EvaluationSet]) -> str:
        """Of all that the edited texts depend on: the settings, what edits look up, the texts; where phrases are taken
        from translations, those too."""
        about = hashlib.sha256(self.settings.fingerprint(self.lookup.mark(task)).encode())
        vocabularies: dict[int, str] = {}
        rows: list[Any] = [[edit.name for edit in edits]]
        for item in items:
            for name, text in item.texts.items():
                words = id(text.attested)
                if words not in vocabularies:
                    vocabularies[words] = hashlib.sha256("\n".join(sorted(text.attested)).encode()).hexdigest()
                rows.append([item.id, name, text.text, text.language, text.spans, text.fixed, vocabularies[words]])
        if any(edit.name == "phrase-mixing" for edit in edits):
            rows += [[part.language, e.id, e.text, e.pair] for part in beside for e in part.examples]
        about.update(json.dumps(rows).encode())
        return about.hexdigest()[:32]


def choose(task: Task, examples: Sequence[Example], most: int | None, seed: int) -> list[int]:
    """At most so many of the examples, in their order: the same items in every language. Of mining all that may change,
    which the English side does not (its F1 is over the whole collection)."""
    if task.kind == "mining":
        return [place for place, example in enumerate(examples) if fields_of(task, example, "all")]
    return drawn(examples, range(len(examples)), most, seed)


def drawn(examples: Sequence[Example], places: Sequence[int], most: int | None, seed: int) -> list[int]:
    """At most so many of the places, by a hash of the seed and the example's id: fewer of them are some of these."""
    if most is None or len(places) <= most:
        return sorted(places)
    ranked = sorted(places, key=lambda i: hashlib.sha256(f"{seed} {examples[i].id}".encode()).digest())
    return sorted(ranked[:most])


@dataclass(frozen=True)
class Cell:
    """A set under one edit at one severity: all its examples, the chosen ones edited, with their features.

    `edited` are those that it changes, `reached` those that it can change so that the tokenizer sees it; `candidates`
    is how many the edit has a word.
    """

    perturbation: str
    severity: int
    examples: list[Example]
    features: list[Feature]
    edited: frozenset[int]
    reached: frozenset[int]
    candidates: float


class Stream(NamedTuple):
    """All that a model reads of a target: gold pairs for thresholds, each set's clean examples, then its cells."""

    thresholds: list[EvaluationSet]
    sets: list[EditedSet]
    cells: list[list[Cell]]

    @property
    def parts(self) -> list[EvaluationSet]:
        """Set by set."""
        cells = [
            EvaluationSet(one.part.portion, one.part.language, cell.examples, cell.features)
            for one, own in zip(self.sets, self.cells, strict=True)
            for cell in own
        ]
        return [*self.thresholds, *(one.part for one in self.sets), *cells]


def stream_of(model: Encoder, task: Task, sets: Sequence[EvaluationSet], suites: Suites, longest: int) -> Stream:
    """The stream of a target: the same for every stage's weights, so it is made once a worker."""
    if (task.name, longest) not in suites.streams:
        kind = kind_of(task, model)
        found = [replace(one, part=_asked(task, one)) for one in suites.of(task, sets)]
        cells = [cells_of(task, kind, one, model, longest) for one in found]
        thresholds = [part for part in sets if part.portion == "threshold"]
        suites.streams[task.name, longest] = Stream(thresholds, found, cells)
    return suites.streams[task.name, longest]


def _asked(task: Task, one: EditedSet) -> EvaluationSet:
    """The set with what need not be read left out: examples that were not chosen. In retrieval their translations are
    among those that are searched; they stand for the sentences too."""
    chosen = set(one.chosen)
    features = one.part.features
    if task.kind == "retrieval":
        pairs = zip(features[0::2], features[1::2], strict=True)
        features = [f for mine, other in pairs for f in (mine if mine.item in chosen else other, other)]
    elif task.kind != "mining":
        features = [feature for feature in features if feature.item in chosen]
    return replace(one.part, features=features)


@torch.no_grad()
def evaluate_edited(
    model: Encoder, task: Task, head: nn.Module | None, sets: Sequence[EvaluationSet], suites: Suites, longest: int,
    split: int = 1,
) -> tuple[list[Row], list[Row]]:  # fmt: skip
    """Rows of scores (with `perturbation`, `severity`, `attackability`) and of predictions, of a target with its head.

    Every distinct text is read by the model once, whichever edits and severities share it. Texts are encoded to at most
    `longest` tokens, as the clean ones were. Batches are the `split`-th part of the usual size.
    """
    kind = kind_of(task, model)
    stream = stream_of(model, task, sets, suites, longest)
    told = iter(predictions(model, task, head, stream.parts, distinct=True, split=split))
    thresholds = {
        part.language: kind.score(task, part.examples, part.features, next(told)).threshold
        for part in stream.thresholds
    }
    compared = [Compared(kind, task, one, next(told), thresholds.get(one.part.language)) for one in stream.sets]
    cells = ((one, cell) for one, own in zip(compared, stream.cells, strict=True) for cell in own)
    rows = [one.rows(cell, next(told)) for one, cell in beating(cells)]
    return [score for scores, _ in rows for score in scores], [item for _, items in rows for item in items]


def cells_of(task: Task, kind: Kind, one: EditedSet, model: Encoder, longest: int) -> list[Cell]:
    """The cells of a set. What no edit touched keeps its features, and so does what the tokenizer sees unchanged: an
    answer is then the same words, however its context writes them."""
    own: list[list[Feature]] = [[] for _ in one.part.examples]
    for feature in one.part.features:
        own[feature.item].append(feature)
    # Severity 0 stands for all sites at once: not scored, it tells what the edit can do to each example.
    every = {(name, 0): rows for name, rows in one.edited.whole.items()}
    todo = [
        (cell, item, changed(task, one.part.examples[item], changes))
        for cell, rows in (*one.edited.changes.items(), *every.items())
        for item, changes in zip(one.chosen, rows, strict=True)
        if changes
    ]
    encoded: list[list[Feature]] = [[] for _ in todo]
    for feature in kind.encode(task, [example for _, _, example in todo], model.tokenizer, longest):
        encoded[feature.item].append(feature)
    made = {(cell, item): (example, found) for (cell, item, example), found in zip(todo, encoded, strict=True)}
    seen = {place for place, (_, found) in made.items() if _ids(found) != _ids(own[place[1]])}
    cells = []
    for cell in one.edited.changes:
        edited = frozenset(item for item in one.chosen if (cell, item) in made)
        reached = frozenset(
            item for item in one.chosen if ((cell, item) if item in edited else ((cell[0], 0), item)) in seen
        )
        rows = [
            made[cell, item] if item in edited & reached else pair
            for item, pair in enumerate(zip(one.part.examples, own, strict=True))
        ]
        features = [replace(feature, item=item) for item, (_, found) in enumerate(rows) for feature in found]
        cover = one.edited.coverage[cell[0]]
        candidates = cover.candidates / cover.words if cover.words else 0.0
        cells.append(Cell(*cell, [example for example, _ in rows], features, edited, reached, candidates))
    return cells


def _ids(features: Sequence[Feature]) -> list[list[list[int]]]:
    return [feature.rows for feature in features]


class Compared:
    """A set's clean figures, which its cells are compared with.

    Where a figure hangs on the other examples (retrieval, mining) all of these are there, the chosen ones edited; else
    the chosen ones stand alone.
    """

    def __init__(
        self, kind: Kind, task: Task, one: EditedSet, predicted: Sequence[Any], threshold: float | None
    ) -> None:
        self._kind, self._task, self._part, self._threshold = kind, task, one.part, threshold
        self._whole = task.kind in UNTRAINED
        chosen = set(one.chosen)
        self._portions: list[tuple[Portion, list[int], list[int], Result]] = []
        for portion, members in portions_of(kind, one.part):
            mine = [item for item in members if item in chosen]
            if mine:
                keep = members if self._whole else mine
                clean = scored(kind, task, one.part.examples, one.part.features, predicted, keep, threshold)
                self._portions.append((portion, keep, mine, clean))

    def rows(self, cell: Cell, predicted: Sequence[Any]) -> tuple[list[Row], list[Row]]:
        """The rows of scores and of predictions of one cell."""
        scores: list[Row] = []
        items: list[Row] = []
        for portion, keep, mine, clean in self._portions:
            # A threshold that the clean sentences gave is not fitted anew to edited ones.
            threshold = clean.threshold if self._threshold is None else self._threshold
            found = scored(self._kind, self._task, cell.examples, cell.features, predicted, keep, threshold)
            at = {item: place for place, item in enumerate(keep)}
            before = [clean.figures[at[item]] for item in mine]
            after = [found.figures[at[item]] for item in mine]
            can = [item in cell.reached for item in mine]
            metrics = [mean(found.metrics[0].metric, after)] if self._task.kind == "retrieval" else found.metrics
            told = [*metrics, *self._robust(clean, found, before, after, can), *coverage_figures(cell, mine)]
            about = {"language": self._part.language, "portion": portion, "perturbation": cell.perturbation,
                     "severity": cell.severity}  # fmt: skip
            scores += [
                {**about, "metric": figure.metric, "main": place == 0, "value": figure.value, "n": figure.n,
                 "stderr": figure.stderr, "attackability": sum(can) / len(can)}
                for place, figure in enumerate(told)
            ]  # fmt: skip
            if portion in ("dev", "test"):
                ids = (self._part.examples[item].id for item in mine)
                items += [
                    {**about, "id": name, "score": b, "clean": a, "attackable": c}
                    for name, a, b, c in zip(ids, before, after, can, strict=True)
                ]
        return scores, items

    def _robust(
        self, clean: Result, found: Result, before: Sequence[float], after: Sequence[float], can: Sequence[bool]
    ) -> list[Figure]:
        told = figures(before, after, can)
        if self._task.kind != "mining":
            return told
        # F1 is over the collection, so there is no figure of an example that it is the mean of.
        value = min(clean.metrics[0].value, found.metrics[0].value)
        kept = [figure for figure in told if figure.metric in ("flips_down", "flips_up", "consistency")]
        return [Figure("robust", value, len(before), None), *kept]


def coverage_figures(cell: Cell, mine: Sequence[int]) -> list[Figure]:
    """How many candidates the edit has a word, and of the edited examples the share that the tokenizer undoes."""
    edited = [float(item not in cell.reached) for item in mine if item in cell.edited]
    return [
        Figure("candidates_per_word", cell.candidates, len(mine), None),
        *([mean("undone", edited)] if edited else []),
    ]
