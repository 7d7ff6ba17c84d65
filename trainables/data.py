"""A task's examples, from the mini suite, a data folder or the hub, in one form; and their fingerprints.

Rows are read and checked in the driver before anything starts: a missing, unreadable or truncated file, or a row
without its label, is a Mistake that names file and row. Neither Ray nor torch is imported here.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from trainables.errors import Mistake, nearest
from trainables.examples import Example, Split
from trainables.tasks import ROLES, HubSource, Task, resolve_file

ByLanguage = dict[str, list[Example]]


class DataSource:
    """Reads tasks' examples; `limit` keeps at most that many a language and split, the same items in each language."""

    def __init__(self, data_dir: str | None = None, limit: int | None = None) -> None:
        self.folder = Path(data_dir).expanduser().resolve() if data_dir else None
        self._limit = limit
        self._cache: dict[tuple[str, Split], ByLanguage] = {}

    def load(self, task: Task, split: Split, languages: Iterable[str] | None = None) -> ByLanguage:
        """The examples of a split by language, in the task's order of languages; all languages when None is given."""
        found = self._cache.get((task.name, split))
        if found is None:
            found = {code: self._limited(rows) for code, rows in self._read(task, split).items()}
            self._cache[task.name, split] = found
        wanted = set(found if languages is None else languages)
        return {code: rows for code, rows in found.items() if code in wanted}

    def training(self, task: Task) -> list[Example]:
        """English training examples, the only ones a stage may train on."""
        examples = self.load(task, "train", ["en"]).get("en", [])
        if not examples:
            path = self._file(task, "train")
            where = str(path) if path else f"task {task.name}"
            right = "rows of language 'en', or `train: TASK` in the target's file"
            raise Mistake(f"task '{task.name}' has no English training examples", where=where, right=right)
        return examples

    def fingerprint(self, task: Task, splits: Mapping[Split, Iterable[str]]) -> str:
        """16 hexadecimal digits over everything the examples of these splits and languages depend on."""
        parts: list[Any] = [task.model_dump(mode="json", exclude={"question", "licence", "citation"}), self._limit]
        for split, languages in sorted(splits.items()):
            parts += [split, sorted(languages), self._origin(task, split)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _limited(self, examples: list[Example]) -> list[Example]:
        if self._limit is None or len(examples) <= self._limit:
            return examples
        chosen = sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())[: self._limit]
        kept = {example.id for example in chosen}
        return [example for example in examples if example.id in kept]

    def _origin(self, task: Task, split: Split) -> str:
        if task.source.mini:
            return _mini_digest()
        path = self._file(task, split)
        if path is not None:
            return _file_digest(path, path.stat().st_mtime_ns)
        hub = task.source.hub
        return f"{hub.path}@{hub.revision}" if hub else ""

    def _file(self, task: Task, split: Split) -> Path | None:
        stem = task.source.folder.get(split)
        if self.folder is None or stem is None:
            return None
        try:
            path = resolve_file(self.folder, stem)
        except OSError as error:
            raise Mistake(f"the folder cannot be read: {error.strerror}", where=f"--data-dir {self.folder}") from error
        if path is None:
            raise Mistake(
                f"task '{task.name}' needs the file {stem}.jsonl.gz (or .jsonl, .parquet), which is not there",
                where=f"--data-dir {self.folder}",
                right=f"a folder that holds {stem}.jsonl[.gz]",
            )
        return path

    def _read(self, task: Task, split: Split) -> ByLanguage:
        if task.source.mini:
            return _read_mini(task, split)
        path = self._file(task, split)
        if path is not None:
            rows, origin = _parquet_rows(path) if path.suffix == ".parquet" else _lines(path), str(path)
        elif task.source.hub and split in task.source.hub.splits and self.folder is None:
            rows, origin = _hub_rows(task.source.hub, split), f"hub {task.source.hub.path}"
        elif task.source.folder.get(split) or (task.source.hub and split in task.source.hub.splits):
            raise Mistake(
                f"task '{task.name}' has its {split} examples in a data folder only",
                where="--data-dir",
                right="the folder that holds them (or the hub's copy, where the task names one)",
            )
        else:
            return {}
        return _grouped(task, rows, origin)


def _read_mini(task: Task, split: Split) -> ByLanguage:
    from trainables.mini import generate, grammar

    name = str(task.source.mini)
    if name not in generate.SIZES:
        raise Mistake(
            f"the mini suite has no set '{name}'", where=f"task {task.name}", right=nearest(name, generate.SIZES)
        )
    codes = grammar.language_codes() if split == "test" else ("en",)
    codes = tuple(code for code in codes if not (name == "translations" and code == "en"))
    return {code: generate.examples(name, split, code) for code in codes}


def _grouped(task: Task, rows: Iterable[dict[str, Any]], origin: str) -> ByLanguage:
    grouped: ByLanguage = {}
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows, 1):
        where = f"{origin}, row {number}"
        example = _example(task, row, number, where)
        if (example.lang, example.id) in seen:
            raise Mistake(f"the id {example.id!r} occurs twice in language {example.lang}", where=where)
        seen.add((example.lang, example.id))
        grouped.setdefault(example.lang, []).append(example)
    order = {code: place for place, code in enumerate(task.languages)}
    return dict(sorted(grouped.items(), key=lambda entry: (order.get(entry[0], len(order)), entry[0])))


def _example(task: Task, row: dict[str, Any], number: int, where: str) -> Example:
    """One row in the common form, its number for an id where it has none; a Mistake where it does not fit."""

    def field(role: str) -> Any:
        return row.get(task.fields.get(role, role))

    for role in dict.fromkeys((*ROLES[task.kind], *(["pair"] if "pair" in task.fields else []))):
        if field(role) in (None, "", []):
            name = task.fields.get(role, role)
            raise Mistake(f"the example has no {role} (field '{name}')", where=where, right=f"fields: {', '.join(row)}")
    code = str(field("lang") or "en")
    name = str(number if field("id") is None else field("id"))
    common: dict[str, Any] = {"id": name, "lang": task.language_codes.get(code, code)}
    match task.kind:
        case "tagging":
            words, tags = field("words"), field("tags")
            if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
                raise Mistake("words and tags are not two lists of the same length", where=where)
            tags = [task.label_values.get(str(tag), str(tag)) for tag in tags]
            _check_labels(task, tags, where)
            return Example(**common, words=tuple(map(str, words)), tags=tuple(tags))
        case "retrieval":
            return Example(**common, text=str(field("text")), pair=str(field("pair")))
        case _:
            label = task.label_values.get(str(field("label")), str(field("label")))
            _check_labels(task, [label], where)
            pair = field("pair")
            return Example(**common, text=str(field("text")), pair=None if pair is None else str(pair), label=label)


def _check_labels(task: Task, labels: Iterable[str], where: str) -> None:
    for label in labels:
        if label not in task.labels:
            raise Mistake(
                f"unknown label '{label}' for task '{task.name}'", where=where, right=nearest(str(label), task.labels)
            )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Each row of a file of JSON lines, decoded one by one so that an error names its row."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                row = json.loads(line.decode("utf-8"))
                if not isinstance(row, dict):
                    raise Mistake("the row is no JSON object", where=f"{path}, row {number}")
                yield row
    except PermissionError as error:
        raise Mistake("the file cannot be read: permission denied", where=str(path)) from error
    except (EOFError, OSError, zlib.error) as error:
        right = "fetch the file again: it is truncated or no gzip file"
        raise Mistake(f"the file cannot be read: {error}", where=f"{path}, after row {number}", right=right) from error
    except UnicodeDecodeError as error:
        raise Mistake(f"the row is no UTF-8 text: {error.reason}", where=f"{path}, row {number}") from error
    except json.JSONDecodeError as error:
        raise Mistake(f"the row is no JSON: {error.msg}", where=f"{path}, row {number}") from error


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Each row of a parquet file, its lists as lists and what is missing as None."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        for batch in ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, ArrowException) as error:
        right = "fetch the file again: it is truncated or no parquet file"
        raise Mistake(f"the file cannot be read: {error}", where=str(path), right=right) from error


def _hub_rows(hub: HubSource, split: Split) -> Iterator[dict[str, Any]]:
    import datasets

    try:
        found = datasets.load_dataset(hub.path, hub.config, split=hub.splits[split], revision=hub.revision)
    except (OSError, ValueError) as error:
        where = f"hub {hub.path}@{hub.revision[:7]}"
        right = "a connection to the hub, or --data-dir with a folder that holds the data"
        raise Mistake(f"the data set cannot be loaded: {error}", where=where, right=right) from error
    yield from map(dict, found)


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
