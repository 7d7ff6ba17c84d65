"""A task's examples, from the mini suite, a data folder or the hub, in one form; and their fingerprints.

Rows are read and checked in the driver before anything starts: a missing, unreadable or truncated file, or a row
without its label, is a Mistake that names file and row; or the row is skipped and counted, where that is asked for.
Neither Ray nor torch is imported here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from trainables.errors import Mistake, nearest
from trainables.examples import Example, Split
from trainables.forms import check_labels, shown
from trainables.languages import pairs_of
from trainables.mixed import mixed_pairs
from trainables.reading import ByLanguage, OnBadRow, Reader, Skipped, called
from trainables.sham import shuffled
from trainables.tasks import KIND_SETTINGS, ROLES, SETTINGS_OF, Task, load_task


class DataSource:
    """Reads tasks' examples; `limit` keeps at most that many a language and split, the same items in each language."""

    def __init__(self, data_dir: str | None = None, limit: int | None = None, on_bad_row: OnBadRow = "error") -> None:
        """Raises Mistake where there is no folder `data_dir`."""
        self.folder = Path(data_dir).expanduser().resolve() if data_dir else None
        self._reader = Reader(self.folder, on_bad_row)
        self._limit = limit
        self._cache: dict[tuple[str, Split], ByLanguage] = {}
        if self.folder and not self.folder.is_dir():
            right = "a folder that holds the data sets"
            raise Mistake(f"there is no folder {data_dir}", where="--data-dir", right=right)

    @property
    def skipped(self) -> list[Skipped]:
        """The rows that were malformed and left out."""
        return self._reader.skipped

    def resolved(self, task: Task) -> Task:
        """The task with its labels, where those are to be read from its training set."""
        if not task.labels_from_train or task.labels:
            return task
        examples = self.load(task, "train", ["en"]).get("en", [])
        found = {label for example in examples for label in (example.tags or (str(example.label),))}
        if not found:
            raise Mistake("there are no training examples to read labels from", where=f"task {task.name}")
        return task.model_copy(update={"labels": sorted(found)})

    def load(self, task: Task, split: Split, languages: Iterable[str] | None = None) -> ByLanguage:
        """The examples of a split by language, in the task's order of languages; all languages when None is given."""
        found = self._cache.get((task.name, split))
        if found is None:
            found = {code: _cut(rows, self._limit) for code, rows in self._read(task, split).items()}
            if task.labels_from_train and split != "train":
                found = {code: self._of_known_labels(task, split, rows) for code, rows in found.items()}
            self._cache[task.name, split] = found
        wanted = set(found if languages is None else languages)
        return {code: rows for code, rows in found.items() if code in wanted}

    def languages(self, task: Task, split: Split) -> list[str]:
        """The languages that a split has, in the task's order; those of the mini suite without generating anything."""
        if not task.source.mini:
            return list(self.load(task, split))
        codes = _mini_languages(task, split)
        return pairs_of([code for code in task.mixed if code in codes]) if _is_mixed(task, split) else list(codes)

    def check(self, task: Task, splits: Iterable[Split]) -> None:
        """Read what a study needs of a task; Mistake where that cannot be used.

        The mini suite's sets are fixed, so of them the small English dev set stands for all.
        """
        for split in ("dev",) if task.source.mini else splits:
            if split == "train":
                self.training(task)
            else:
                found = self.load(task, split, ["en"] if split == "dev" else None)
                if split == "dev" and task.trained_on == task.name and "dev" in task.source.splits and not found:
                    self._lacking(task, split)

    def training(self, task: Task, rows: int | None = None) -> list[Example]:
        """The only examples a stage may train on: English ones, or what `train_languages` allows; at most `rows`, the
        same items in each language."""
        found = self.load(task, "train", task.train_languages)
        each = None if rows is None else max(1, rows // max(1, len(found)))
        examples = [example for own in found.values() for example in _cut(own, each)]
        if not examples:
            self._lacking(task, "train")
        return shuffled(task, examples) if task.sham else examples

    def fingerprint(self, task: Task, splits: Mapping[Split, Iterable[str]]) -> str:
        """16 hexadecimal digits over everything the examples of these splits and languages depend on."""
        # How a task is scored and where it is listed changes nothing of what is trained on.
        unread = {"question", "licence", "citation", "languages", "extra_languages", "mixed", "train", "difficulty"}
        unread |= {"template", "word_order"}  # of decoders and of perturbations, and said in their stages' settings
        unread |= {"retrieval", "mining", "metric"} if set(splits) == {"train"} else set()
        unread |= KIND_SETTINGS - SETTINGS_OF.get(task.kind, set())
        parts: list[Any] = [task.model_dump(mode="json", exclude=unread), self._limit]
        parts += [self.fingerprint(part, splits) for part in self._parts(task)]
        for split, languages in sorted(splits.items()):
            parts += [split, sorted(languages), self._origin(task, split)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _lacking(self, task: Task, split: Split) -> NoReturn:
        path = next(iter(self._reader.files(task.unmixed, split).values()), None)
        where = str(path) if path else f"task {task.name}"
        right = "rows of language 'en'" + (", or `train: TASK` in the target's file" if split == "train" else "")
        raise Mistake(f"task '{task.name}' has no {called(task, split)}", where=where, right=right)

    def _of_known_labels(self, task: Task, split: Split, examples: list[Example]) -> list[Example]:
        """The examples whose labels the training set has too: a model has no output for others.

        A sentence is kept whole: a tag that training never saw counts as wrong (CCGbank's rare categories). Only what
        is left after `limit` is asked for that, since `limit` cuts the training set that labels are from.
        """
        if task.kind == "tagging":
            return examples
        known, kept = set(task.labels), []
        for example in examples:
            if known and str(example.label) not in known:
                where = f"task {task.name}, {split}, language {example.lang}, the example {shown(example.id)}"
                label = shown(str(example.label))
                what = f"the label {label} does not occur in the training set, which the labels are from"
                self._reader.bad(task, split, Mistake(what, where=where, right="`labels` in the task's file"))
            else:
                kept.append(example)
        return kept

    def _origin(self, task: Task, split: Split) -> str:
        if task.source.mini:
            return _mini_digest()
        files = self._reader.files(task.unmixed, split)
        if files:
            return " ".join(_file_digest(path, path.stat().st_mtime_ns) for path in files.values())
        hub = task.source.hub
        return f"{hub.path}@{hub.revision}" if hub else ""

    def _parts(self, task: Task) -> list[Task]:
        """The tasks whose examples together are this one's."""
        where = f"task {task.name}, key 'source.tasks'"
        parts = [load_task(name, where) for name in task.source.tasks]
        for part in parts:
            if (part.kind, part.labels) != (task.kind, task.labels):
                right = "parts of the same kind with the same labels"
                raise Mistake(f"'{part.name}' cannot be a part of '{task.name}'", where=where, right=right)
        return parts

    def _read(self, task: Task, split: Split) -> ByLanguage:
        if _is_mixed(task, split):
            found = self._read(task.unmixed, split)
            return mixed_pairs(task, found, partial(self._reader.bad, task, split))
        task = task.unmixed
        if task.source.mini:
            return _read_mini(task, split)
        return self._read_parts(task, split) if task.source.tasks else self._reader.read(task, split)

    def _read_parts(self, task: Task, split: Split) -> ByLanguage:
        found: ByLanguage = {}
        for part in self._parts(task):
            source = part.source
            if source.mini or source.tasks or source.ccgbank or split in source.splits:
                for code, examples in self.load(part, split).items():
                    named = [replace(example, id=f"{part.name}:{example.id}") for example in examples]
                    found.setdefault(code, []).extend(named)
        return found


def _is_mixed(task: Task, split: Split) -> bool:
    """Whether the languages of a split are pairs: dev and training sets stay in one language."""
    return bool(task.mixed) and split == "test"


def _cut(examples: list[Example], most: int | None) -> list[Example]:
    """At most so many of the examples, the same items in each language."""
    units = {_unit(example) for example in examples}
    if most is None or len(units) <= most:
        return examples
    kept = set(sorted(units, key=lambda unit: hashlib.sha256(unit.encode()).digest())[:most])
    return [example for example in examples if _unit(example) in kept]


def _unit(example: Example) -> str:
    """What `limit` counts: an item, or a source sentence together with its translation."""
    return example.pair if example.label == "target" and example.pair else example.id


def _mini_languages(task: Task, split: Split) -> tuple[str, ...]:
    from trainables.mini import generate

    name, where = str(task.source.mini), f"task {task.name}, key 'source.mini'"
    if name not in generate.SIZES:
        raise Mistake(f"the mini suite has no set '{name}'", where=where, right=nearest(name, generate.SIZES))
    return generate.languages(name, split)


def _read_mini(task: Task, split: Split) -> ByLanguage:
    from trainables.mini import generate

    codes = _mini_languages(task, split)
    found = {code: generate.examples(str(task.source.mini), split, code) for code in codes}
    for example in found.get("en", []):
        _check_mini(task, example)
    return found


def _check_mini(task: Task, example: Example) -> None:
    where = f"task {task.name}, key 'source.mini'"
    for role in ROLES[task.kind]:
        if not getattr(example, role):
            what = f"the mini suite's '{task.source.mini}' is no {task.kind} task: it has no {role}"
            raise Mistake(what, where=where)
    if task.labels:
        check_labels(task, example.tags or ([example.label] if example.label else []), where)


@cache
def _mini_digest() -> str:
    from trainables.mini.grammar import data_files

    digest = hashlib.sha256()
    for name, content in data_files():
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


@cache
def _file_digest(path: Path, modified_ns: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise Mistake(f"the file cannot be read: {error.strerror}", where=str(path)) from error
