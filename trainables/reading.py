"""Reading a data folder, the hub or CCGbank: from rows to examples by language; what is wrong is told or noted."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from trainables.errors import Mistake
from trainables.examples import Example, Split
from trainables.forms import blank, example_of, field_of, shown
from trainables.rows import Row, Rows, ccgbank_files, ccgbank_rows, file_rows, hub_rows
from trainables.tasks import CarvedDev, Task, resolve_file
from trainables.watch import beating

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


class Reader:
    """Reads a task's rows from `folder`, or from the hub where there is none."""

    def __init__(self, folder: Path | None, on_bad_row: OnBadRow = "error") -> None:
        self.folder = folder
        self.skipped: list[Skipped] = []
        self._told: set[tuple[str, str]] = set()
        self._on_bad_row = on_bad_row

    def read(self, task: Task, split: Split) -> ByLanguage:
        """The examples of a split by language; nothing where the task has no such split."""
        source = task.source
        if source.ccgbank and self.folder:
            return self._grouped(task, split, ccgbank_rows(self.folder / self._inside(source.ccgbank), split))
        files = self.files(task, split)
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

    def files(self, task: Task, split: Split) -> dict[str, Path]:
        """The files of a split by name: a language's code where each has its own, `gold` for mining, else ''."""
        source = task.source
        if self.folder is None:
            return {}
        if source.ccgbank:
            return {file.name: file for file in ccgbank_files(self.folder / self._inside(source.ccgbank), split)}
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
            return resolve_file(folder, self._inside(stem))
        except OSError as error:
            raise Mistake(f"the folder cannot be read: {error.strerror}", where=f"--data-dir {folder}") from error

    def _inside(self, stem: str) -> str:
        """A path of a task's file, if it stays below the data folder."""
        if Path(stem).is_absolute() or ".." in Path(stem).parts:
            right = "a path within the data folder, such as pairs/train"
            raise Mistake(f"{shown(stem)} leads out of the data folder", where=f"--data-dir {self.folder}", right=right)
        return stem

    @staticmethod
    def _rows(task: Task, split: Split, path: Path) -> Rows:
        """The rows of a file, of which there must be one at least."""
        rows = file_rows(path)
        first = next(rows, None)
        if first is None:
            what = f"the file is empty: task '{task.name}' has no {called(task, split)}"
            raise Mistake(what, where=str(path), right="a file with one row at least")
        yield first
        yield from rows

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
                self.bad(task, split, mistake)
        return pairs

    def _grouped(self, task: Task, split: Split, rows: Rows) -> ByLanguage:
        grouped: ByLanguage = {}
        met: Counter[str] = Counter()
        seen: set[tuple[str, str]] = set()
        first: Example | None = None
        for where, row in beating(rows):  # a large set takes minutes
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
                self.bad(task, split, mistake)
                continue
            seen.add((code, example.id))
            examples.append(example)
        order = {code: place for place, code in enumerate((*task.languages, *task.extra_languages))}
        kept = {code: examples for code, examples in grouped.items() if examples}
        return dict(sorted(kept.items(), key=lambda entry: (order.get(entry[0], len(order)), entry[0])))

    def bad(self, task: Task, split: Split, mistake: Mistake) -> None:
        """Raise what is wrong with a row, or take note of it and go on."""
        if self._on_bad_row == "error":
            raise mistake
        # A file that two splits are made of (a carved dev set) is read twice.
        if (task.name, mistake.where) not in self._told:
            self._told.add((task.name, mistake.where))
            self.skipped.append(Skipped(task.name, split, mistake.where, mistake.what))


def called(task: Task, split: Split) -> str:
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
