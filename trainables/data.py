"""A task's examples, from the mini suite, a data folder or the hub, in one form; and their fingerprints.

Rows are read and checked in the driver before anything starts: a missing, unreadable or truncated file, or a row
without its label, is a Mistake that names file and row; or the row is skipped and counted, where that is asked for.
Neither Ray nor torch is imported here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from trainables.errors import Mistake, nearest
from trainables.examples import Example, Split
from trainables.forms import blank, check_labels, example_of, field_of, shown
from trainables.rows import Row, Rows, ccgbank_files, ccgbank_rows, file_rows, hub_rows
from trainables.sham import shuffled
from trainables.tasks import ROLES, CarvedDev, Task, load_task, resolve_file

ByLanguage = dict[str, list[Example]]

OnBadRow = Literal["error", "skip"]

LANGUAGE_CODE = re.compile(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
"""What a language's code may be made of; what else a field holds is no code but something gone wrong."""


class Skipped(NamedTuple):
    """A row that was left out: of which task and split, where it stands, what is wrong with it."""

    task: str
    split: str
    where: str
    what: str


class DataSource:
    """Reads tasks' examples; `limit` keeps at most that many a language and split, the same items in each language."""

    def __init__(self, data_dir: str | None = None, limit: int | None = None, on_bad_row: OnBadRow = "error") -> None:
        """Raises Mistake where there is no folder `data_dir`."""
        self.folder = Path(data_dir).expanduser().resolve() if data_dir else None
        self.skipped: list[Skipped] = []
        self._told: set[tuple[str, str]] = set()
        self._limit = limit
        self._on_bad_row = on_bad_row
        self._cache: dict[tuple[str, Split], ByLanguage] = {}
        if self.folder and not self.folder.is_dir():
            right = "a folder that holds the data sets"
            raise Mistake(f"there is no folder {data_dir}", where="--data-dir", right=right)

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
            found = {code: self._limited(rows) for code, rows in self._read(task, split).items()}
            if task.labels_from_train and split != "train":
                found = {code: self._of_known_labels(task, split, rows) for code, rows in found.items()}
            self._cache[task.name, split] = found
        wanted = set(found if languages is None else languages)
        return {code: rows for code, rows in found.items() if code in wanted}

    def languages(self, task: Task, split: Split) -> list[str]:
        """The languages that a split has, in the task's order; those of the mini suite without generating anything."""
        return list(_mini_languages(task, split)) if task.source.mini else list(self.load(task, split))

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

    def training(self, task: Task) -> list[Example]:
        """The only examples a stage may train on: English ones, or what `train_languages` allows."""
        found = self.load(task, "train", task.train_languages)
        examples = [example for rows in found.values() for example in rows]
        if not examples:
            self._lacking(task, "train")
        return shuffled(task, examples) if task.sham else examples

    def fingerprint(self, task: Task, splits: Mapping[Split, Iterable[str]]) -> str:
        """16 hexadecimal digits over everything the examples of these splits and languages depend on."""
        # How a task is scored and where it is listed changes nothing of what is trained on.
        unread = {"question", "licence", "citation", "languages", "extra_languages", "train", "difficulty"}
        unread |= {"retrieval", "mining", "metric"} if set(splits) == {"train"} else set()
        parts: list[Any] = [task.model_dump(mode="json", exclude=unread), self._limit]
        for split, languages in sorted(splits.items()):
            parts += [split, sorted(languages), self._origin(task, split)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _lacking(self, task: Task, split: Split) -> NoReturn:
        path = next(iter(self._files(task, split).values()), None)
        where = str(path) if path else f"task {task.name}"
        right = "rows of language 'en'" + (", or `train: TASK` in the target's file" if split == "train" else "")
        raise Mistake(f"task '{task.name}' has no {_called(task, split)}", where=where, right=right)

    def _of_known_labels(self, task: Task, split: Split, examples: list[Example]) -> list[Example]:
        """The examples whose labels the training set has too: a model has no output for others.

        A sentence is kept whole: a tag that training never saw counts as wrong (CCGbank's rare categories). Only what
        is left after `limit` is asked for that, since `limit` cuts the training set that labels are from.
        """
        if task.kind == "tagging":
            return examples
        known, kept = set(task.labels), []
        for example in examples:
            unknown = [label for label in [str(example.label)] if label not in known]
            if unknown and known:
                where = f"task {task.name}, {split}, language {example.lang}, the example {shown(example.id)}"
                what = f"the label {shown(unknown[0])} does not occur in the training set, which the labels are from"
                self._bad(task, split, Mistake(what, where=where, right="`labels` in the task's file"))
            else:
                kept.append(example)
        return kept

    def _limited(self, examples: list[Example]) -> list[Example]:
        units = {_unit(example) for example in examples}
        if self._limit is None or len(units) <= self._limit:
            return examples
        kept = set(sorted(units, key=lambda unit: hashlib.sha256(unit.encode()).digest())[: self._limit])
        return [example for example in examples if _unit(example) in kept]

    def _origin(self, task: Task, split: Split) -> str:
        if task.source.mini:
            return _mini_digest()
        if task.source.tasks:
            return " ".join(self._origin(part, split) for part in self._parts(task))
        files = self._files(task, split)
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

    def _files(self, task: Task, split: Split) -> dict[str, Path]:
        """The files of a split by name: a language's code where each has its own, `gold` for mining, else ''."""
        source = task.source
        if self.folder is None:
            return {}
        if source.ccgbank:
            return {file.name: file for file in ccgbank_files(self.folder / source.ccgbank, split)}
        stem = source.folder.get(split) or (
            source.folder.get("train") if split == "dev" and source.carved_dev else None
        )
        if stem is None:
            return {}
        if "{lang}" not in stem:
            return {"": self._file(task, stem)}
        codes = task.train_languages if split == "train" else [*task.languages, *task.extra_languages]
        if not codes:
            where = f"task {task.name}, key '{'train_languages' if split == 'train' else 'languages'}'"
            what = f"the task lists no languages that {{lang}} of '{stem}' could stand for"
            raise Mistake(what, where=where, right="a list of language codes")
        files: dict[str, Path] = {}
        for code in codes:
            path = self._found(stem.replace("{lang}", code))
            if path is None:
                continue
            files[code] = path
            if source.gold:
                gold = source.gold.replace("{lang}", code).replace("{split}", split)
                files[f"{code} gold"] = self._file(task, gold)
        return files or {"": self._file(task, stem.replace("{lang}", codes[0]))}

    def _file(self, task: Task, stem: str) -> Path:
        path = self._found(stem)
        if path is None:
            raise Mistake(
                f"task '{task.name}' needs the file {stem}.jsonl.gz (or .jsonl, .parquet), which is not there",
                where=f"--data-dir {self.folder}",
                right=f"a folder that holds {stem}.jsonl[.gz]",
            )
        return path

    def _found(self, stem: str) -> Path | None:
        """A file of the data folder, None where it is not there."""
        folder = self.folder or Path()
        try:
            return resolve_file(folder, stem)
        except OSError as error:
            raise Mistake(f"the folder cannot be read: {error.strerror}", where=f"--data-dir {folder}") from error

    @staticmethod
    def _rows(task: Task, split: Split, path: Path) -> Rows:
        """The rows of a file, of which there must be one at least."""
        rows = file_rows(path)
        first = next(rows, None)
        if first is None:
            what = f"the file is empty: task '{task.name}' has no {_called(task, split)}"
            raise Mistake(what, where=str(path), right="a file with one row at least")
        yield first
        yield from rows

    def _read(self, task: Task, split: Split) -> ByLanguage:
        source = task.source
        if source.mini:
            return _read_mini(task, split)
        if source.tasks:
            return self._read_parts(task, split)
        if source.ccgbank and self.folder:
            return self._grouped(task, split, ccgbank_rows(self.folder / source.ccgbank, split))
        files = self._files(task, split)
        if task.kind == "mining" and files:
            return self._read_mining(task, split, files)
        if files:
            rows = (
                _in_language(task, place, code)
                for code, path in files.items()
                if not code.endswith(" gold")
                for place in self._rows(task, split, path)
            )
            return self._grouped(task, split, self._carved(task, split, rows, source.folder))
        if source.hub and self.folder is None:
            task = task.model_copy(update={"fields": task.fields | source.hub.fields | {"lang": "lang"}})
            held: Split = "train" if split == "dev" and split not in source.hub.splits and source.carved_dev else split
            if held in source.hub.splits:
                return self._grouped(
                    task, split, self._carved(task, split, hub_rows(source.hub, held), source.hub.splits)
                )
        if split in source.splits or source.ccgbank:
            place, right = (
                "in a data folder",
                "the folder that holds them (or the hub's copy, where the task names one)",
            )
            if self.folder:
                place, right = "on the hub", f"no --data-dir, or the {split} file in the task's `source.folder`"
            raise Mistake(f"task '{task.name}' has its {split} examples {place} only", where="--data-dir", right=right)
        return {}

    def _read_parts(self, task: Task, split: Split) -> ByLanguage:
        found: ByLanguage = {}
        for part in self._parts(task):
            source = part.source
            if source.mini or source.tasks or source.ccgbank or split in source.splits:
                for code, examples in self.load(part, split).items():
                    named = [replace(example, id=f"{part.name}:{example.id}") for example in examples]
                    found.setdefault(code, []).extend(named)
        return found

    def _carved(self, task: Task, split: Split, rows: Rows, splits: Iterable[str]) -> Rows:
        """The rows of a split, where the dev set is taken out of the training set: it is not among the `splits`."""
        carved = task.source.carved_dev
        if carved is None or split == "test" or "dev" in splits:
            yield from rows
            return
        for where, row in rows:
            if isinstance(row, Mistake):
                yield where, row
            elif not _is_group(row.get(carved.by)):  # rows without the field would all fall on one side
                right = "`carved_dev: {by: FIELD}` with a field that every row fills"
                what = f"the row has no '{carved.by}' to take the dev set of '{task.name}' by"
                yield where, Mistake(what, where=where, right=right)
            elif _in_dev(carved, row) == (split == "dev"):
                yield where, row

    def _read_mining(self, task: Task, split: Split, files: Mapping[str, Path]) -> ByLanguage:
        """Sentences of both sides, English ones as targets, with the ids that the gold file pairs."""
        if "" in files or not task.source.gold:
            what = "a mining task needs a file of sentences and one of gold pairs for each language"
            right = "`gold: NAME/{lang}.gold`, and {lang} in the folder's file"
            raise Mistake(what, where=f"task {task.name}, key 'source'", right=right)
        found: ByLanguage = {}
        for code in (name for name in files if not name.endswith(" gold")):
            sides = self._grouped(task, split, self._rows(task, split, files[code]))
            sources, targets = sides.get(code, []), sides.get("en", [])
            for side, rows in ((code, sources), ("en", targets)):
                if not rows:
                    what = f"task '{task.name}' has no sentences in language '{side}' to mine"
                    raise Mistake(what, where=str(files[code]), right=f"rows of the languages '{code}' and 'en'")
            pairs = self._gold(
                task, split, files[f"{code} gold"], code, {e.id for e in sources}, {e.id for e in targets}
            )
            back = {target: source for source, target in pairs.items()}
            found[code] = [replace(e, label="source", pair=pairs.get(e.id)) for e in sources]
            found[code] += [replace(e, lang=code, label="target", pair=back.get(e.id)) for e in targets]
        return found

    def _gold(
        self, task: Task, split: Split, path: Path, code: str, sources: set[str], targets: set[str]
    ) -> dict[str, str]:
        """The ids that a gold file pairs, each of a sentence that is there."""
        pairs: dict[str, str] = {}
        for where, row in self._rows(task, split, path):
            try:
                if isinstance(row, Mistake):
                    raise row
                source, target = row.get(code), row.get("en")
                if not all(isinstance(one, str | int) and not blank(one) for one in (source, target)):
                    right = f"the ids of a sentence and its translation, as '{code}' and 'en'"
                    raise Mistake("no pair of ids", where=where, right=right)
                for one, known, side in ((source, sources, code), (target, targets, "en")):
                    if str(one) not in known:
                        raise Mistake(f"there is no sentence {shown(str(one))} in language '{side}'", where=where)
                pairs[str(source)] = str(target)
            except Mistake as mistake:
                self._bad(task, split, mistake)
        return pairs

    def _grouped(self, task: Task, split: Split, rows: Rows) -> ByLanguage:
        grouped: ByLanguage = {}
        met: Counter[str] = Counter()
        seen: set[tuple[str, str]] = set()
        first: Example | None = None
        for where, row in rows:
            try:
                if isinstance(row, Mistake):
                    raise row
                code = _language(task, row, where)
                met[code] += 1  # rows that are left out count too, so that those after them stay parallel
                examples = grouped.setdefault(code, [])
                example = example_of(task, row, code, met[code], where)
                if example is None:
                    continue
                if (code, example.id) in seen:
                    raise Mistake(f"the id {shown(example.id)} occurs twice in language {code}", where=where)
                first = first or example
                if task.kind == "classification" and (example.pair is None) != (first.pair is None):
                    right = "`fields: {pair: FIELD}` where all are pairs; no field named 'pair' where they are not"
                    raise Mistake("some examples are pairs of texts, others are not", where=where, right=right)
            except Mistake as mistake:
                self._bad(task, split, mistake)
                continue
            seen.add((code, example.id))
            examples.append(example)
        order = {code: place for place, code in enumerate((*task.languages, *task.extra_languages))}
        kept = {code: examples for code, examples in grouped.items() if examples}
        return dict(sorted(kept.items(), key=lambda entry: (order.get(entry[0], len(order)), entry[0])))

    def _bad(self, task: Task, split: Split, mistake: Mistake) -> None:
        """Raise what is wrong with a row, or take note of it and go on."""
        if self._on_bad_row == "error":
            raise mistake
        # A file that two splits are made of (a carved dev set) is read twice.
        if (task.name, mistake.where) not in self._told:
            self._told.add((task.name, mistake.where))
            self.skipped.append(Skipped(task.name, split, mistake.where, mistake.what))


def _unit(example: Example) -> str:
    """What `limit` counts: an item, or a source sentence together with its translation."""
    return example.pair if example.label == "target" and example.pair else example.id


def _called(task: Task, split: Split) -> str:
    """What a message calls the examples of a split that a study cannot do without."""
    english = "English " if split == "dev" or (split == "train" and task.train_languages == ["en"]) else ""
    return f"{english}{'training' if split == 'train' else split} examples"


def _in_language(task: Task, place: tuple[str, Row | Mistake], code: str) -> tuple[str, Row | Mistake]:
    """A row of a language's own file says its language, if it does not itself."""
    where, row = place
    if isinstance(row, Mistake) or not code or not blank(field_of(task, row, "lang")):
        return where, row
    return where, {**row, str(task.fields.get("lang", "lang")): code}


def _language(task: Task, row: Row, where: str) -> str:
    """The language a row says it is in, English where it says nothing."""
    own = field_of(task, row, "lang")
    if own is None or own == "":
        return "en"
    code = task.language_codes.get(own, own) if isinstance(own, str) else ""
    if not LANGUAGE_CODE.fullmatch(code) or len(code) > 35:
        told = shown(own) if isinstance(own, str) else f"of the type {type(own).__name__}"
        raise Mistake(f"the language is no code but {told}", where=where, right="a code such as 'en' or 'zh'")
    return code


def _is_group(value: Any) -> bool:
    return isinstance(value, str | int | float) and not blank(value)


def _in_dev(carved: CarvedDev, row: Row) -> bool:
    # Half a character is no bad row here: it may stand in a field that no example is made of.
    place = hashlib.sha256(f"dev {row.get(carved.by)}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(place[:4], "big") / 2**32 < carved.share


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
