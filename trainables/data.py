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
        """Raises Mistake where there is no folder `data_dir`."""
        self.folder = Path(data_dir).expanduser().resolve() if data_dir else None
        self._limit = limit
        self._cache: dict[tuple[str, Split], ByLanguage] = {}
        if self.folder and not self.folder.is_dir():
            right = "a folder that holds the data sets"
            raise Mistake(f"there is no folder {data_dir}", where="--data-dir", right=right)

    def load(self, task: Task, split: Split, languages: Iterable[str] | None = None) -> ByLanguage:
        """The examples of a split by language, in the task's order of languages; all languages when None is given."""
        found = self._cache.get((task.name, split))
        if found is None:
            found = {code: self._limited(rows) for code, rows in self._read(task, split).items()}
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
                self.load(task, split, ["en"] if split == "dev" else None)

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
        # How a task is scored and where it is listed changes nothing of what is trained on.
        unread = {"question", "licence", "citation", "languages", "train"}
        unread |= {"retrieval"} if set(splits) == {"train"} else set()
        parts: list[Any] = [task.model_dump(mode="json", exclude=unread), self._limit]
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
            task = task.model_copy(update={"fields": task.fields | task.source.hub.fields})
        elif task.source.folder.get(split) or (task.source.hub and split in task.source.hub.splits):
            raise Mistake(
                f"task '{task.name}' has its {split} examples in a data folder only",
                where="--data-dir",
                right="the folder that holds them (or the hub's copy, where the task names one)",
            )
        else:
            return {}
        return _grouped(task, rows, origin)


def _mini_languages(task: Task, split: Split) -> tuple[str, ...]:
    from trainables.mini import generate, grammar

    name, where = str(task.source.mini), f"task {task.name}, key 'source.mini'"
    if name not in generate.SIZES:
        raise Mistake(f"the mini suite has no set '{name}'", where=where, right=nearest(name, generate.SIZES))
    codes = grammar.language_codes() if split == "test" else ("en",)
    return tuple(code for code in codes if not (name == "translations" and code == "en"))


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
    _check_labels(task, example.tags or ([example.label] if example.label else []), where)


def _grouped(task: Task, rows: Iterable[dict[str, Any]], origin: str) -> ByLanguage:
    grouped: ByLanguage = {}
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows, 1):
        where = f"{origin}, row {number}"
        code = str(row.get(task.fields.get("lang", "lang")) or "en")
        code = task.language_codes.get(code, code)
        examples = grouped.setdefault(code, [])
        example = _example(task, row, code, len(examples) + 1, where)
        if (code, example.id) in seen:
            raise Mistake(f"the id {example.id!r} occurs twice in language {code}", where=where)
        seen.add((code, example.id))
        examples.append(example)
    order = {code: place for place, code in enumerate(task.languages)}
    return dict(sorted(grouped.items(), key=lambda entry: (order.get(entry[0], len(order)), entry[0])))


def _example(task: Task, row: dict[str, Any], code: str, number: int, where: str) -> Example:
    """One row in the common form; its number within its language for an id where it has none, so that sets whose
    languages are parallel row by row are parallel here. A Mistake where the row does not fit."""

    def field(role: str) -> Any:
        return row.get(task.fields.get(role, role))

    for role in dict.fromkeys((*ROLES[task.kind], *(["pair"] if "pair" in task.fields else []))):
        if field(role) in (None, "", []):
            name = task.fields.get(role, role)
            raise Mistake(f"the example has no {role} (field '{name}')", where=where, right=f"fields: {', '.join(row)}")
    common: dict[str, Any] = {"id": str(number if field("id") is None else field("id")), "lang": code}
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
    """Each row of a split, in all its languages, with class numbers turned into their names."""
    import datasets

    language = hub.fields.get("lang", "lang")
    configs = {code: name for code, name in hub.configs.items() if split == "test" or code == "en"}
    for code, config in configs.items() or [(None, hub.config)]:
        try:
            found = datasets.load_dataset(hub.path, config, split=hub.splits[split], revision=hub.revision)
        except (OSError, ValueError) as error:
            where = f"hub {hub.path}@{hub.revision[:7]}" + (f", {config}" if config else "")
            right = "a connection to the hub, or --data-dir with a folder that holds the data"
            raise Mistake(f"the data set cannot be loaded: {error}", where=where, right=right) from error
        inner = {name: getattr(feature, "feature", feature) for name, feature in found.features.items()}
        classes = {name: feature.names for name, feature in inner.items() if isinstance(feature, datasets.ClassLabel)}
        for row in found:
            named = {name: _class_name(row[name], names) for name, names in classes.items()}
            own = code or str(row.get(language) or "en").removesuffix(hub.language_suffix)
            yield {**row, **named, language: own}


def _class_name(value: Any, names: list[str]) -> Any:
    """The name of a class by its number, or of each in a list; -1 (no label) stays what it is."""
    if isinstance(value, list):
        return [_class_name(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


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
