"""A task's features, encoded once for all workers of a node: Arrow files that are mapped into memory.

A file is named by a digest of all that its features depend on, then by the checksum of its bytes, by which it is
verified before it is read. It is a cache, as that of weights is: what is missing, damaged or cannot be written is
encoded again, and kept in the process's own memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.feature_table import FeatureTable, arrow_file
from trainables.kinds.base import Feature, Kind
from trainables.node_cache import NodeCache
from trainables.tasks import Task
from trainables.watch import beat

SHARE = 4
"""For so many bytes of weights that a node may keep, it may keep one of encoded features besides."""

SMALL = 2000
"""Fewer features are a list again once they are read: of MNLI 4 MB, of SQuAD 40 MB. A table's are built anew for every
batch and every pass over them (2.5 µs one of MNLI, 10 µs one of SQuAD), which few need not be. The file is worth its
while from 20 features on: it costs 2 ms to write, and to read it takes a tenth of encoding, or less."""

LONGEST_WAIT = 600.0
"""Seconds that a worker waits for another that encodes the same. Where that one dies, the wait is over at once."""


class Encodings:
    """Features by what they depend on: from a file of the node, or encoded and put there."""

    def __init__(self, files: NodeCache | None, tokenizer: PreTrainedTokenizerBase) -> None:
        """Features are of this process alone without `files`, or where a tokenizer cannot say what it does."""
        self._files = files if files and files.usable and tokenizer.is_fast else None
        self._tokenizer = tokenizer

    @classmethod
    def beside(cls, cache: NodeCache | None, tokenizer: PreTrainedTokenizerBase) -> Self:
        """In a folder of their own beside a node's cache, from where new weights do not push them out."""
        return cls(cache.beside("encoded", cache.limit // SHARE) if cache else None, tokenizer)

    def training(
        self, task: Task, kind: Kind, longest: int, read: Callable[[], Sequence[Example]], origin: Callable[[], Any]
    ) -> Sequence[Feature]:
        """The features that a task is trained on. Its examples are read where the features have to be encoded; else
        their `origin` (JSON) is enough, which says all that they depend on beside the task."""

        def encode() -> Sequence[Feature]:
            return kind.training(kind.encode(task, read(), self._tokenizer, longest))

        return self._features("training", task, kind, longest, encode, origin)

    def scoring(self, task: Task, kind: Kind, longest: int, examples: Sequence[Example]) -> Sequence[Feature]:
        """The features that a task is scored on."""

        def encode() -> Sequence[Feature]:
            return kind.encode(task, examples, self._tokenizer, longest)

        return self._features("scoring", task, kind, longest, encode, lambda: _digest(map(repr, examples)))

    def _features(
        self, use: str, task: Task, kind: Kind, longest: int, encode: Callable[[], Sequence[Feature]],
        origin: Callable[[], Any],
    ) -> Sequence[Feature]:  # fmt: skip
        if self._files is None:
            return _in_memory(encode())
        about = [use, task.model_dump(mode="json"), type(kind).__qualname__, longest, origin()]
        name = _digest([_code(), self._rules, json.dumps(about, sort_keys=True)])
        found = _read(self._files, name)
        if found is not None:
            return found
        with _turn(self._files.folder / f".{name}"):
            found = _read(self._files, name)
            return _kept(self._files, name, encode()) if found is None else found

    @cached_property
    def _rules(self) -> str:
        """A digest of the tokenizer: vocabulary, rules, and what stands for what."""
        fast = self._tokenizer.backend_tokenizer
        fast.no_truncation()  # how the last texts were cut is no part of it, and is set anew by every call
        fast.no_padding()
        special = {name: str(token) for name, token in self._tokenizer.special_tokens_map.items()}
        about = [type(self._tokenizer).__qualname__, self._tokenizer.truncation_side, special]
        return _digest([json.dumps(about, sort_keys=True), fast.to_str()])


def _read(files: NodeCache, name: str) -> Sequence[Feature] | None:
    """The features of a name, None where no file has them."""
    for one in files.names(f"{name}-"):
        try:
            with files.opened(one) as file:
                # Read and not mapped: if the disk fails, it is an error here, and would be the process's end there.
                if hashlib.file_digest(file, "sha256").hexdigest() != one.removeprefix(f"{name}-"):
                    raise ValueError("the file is not as it was")
                table = FeatureTable.read(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        except OSError:
            continue
        except (ValueError, pa.ArrowException):
            files.drop(one)
            continue
        files.used(one)
        return list(table) if len(table) < SMALL else table
    return None


def _kept(files: NodeCache, name: str, features: Sequence[Feature]) -> Sequence[Feature]:
    """The features, as they are in the file that they are put in."""
    content = _arrow(features)
    if content is None:
        return features
    files.keep(f"{name}-{hashlib.sha256(content).hexdigest()}", memoryview(content))
    if len(features) < SMALL:
        return features
    found = _read(files, name)
    return FeatureTable.read(content) if found is None else found


def _in_memory(features: Sequence[Feature]) -> Sequence[Feature]:
    """The features as a table of this process's, where they are many."""
    content = None if len(features) < SMALL else _arrow(features)
    return features if content is None else FeatureTable.read(content)


def _arrow(features: Sequence[Feature]) -> pa.Buffer | None:
    """Features as an Arrow file, None where they do not fit into one."""
    beat()
    try:
        return arrow_file(features)
    except (pa.ArrowException, OverflowError):
        return None


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """A block that one process enters at a time. Others wait until it has left, and then enter all at once: what they
    came for is there, or could not be kept. The kernel lets a lock go with the process that holds it."""
    try:
        held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError:  # a full or read-only disk
        yield
        return
    first = _locked(held, fcntl.LOCK_EX)
    try:
        until = time.monotonic() + LONGEST_WAIT
        while not first and not _locked(held, fcntl.LOCK_SH) and time.monotonic() < until:
            beat()
            time.sleep(0.05)
        if not first:
            fcntl.flock(held, fcntl.LOCK_UN)
        yield
    finally:
        if first:
            with suppress(OSError):
                lock.unlink()
        os.close(held)


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a filesystem without locks: nobody waits for anybody
        return True
    return True


@cache
def _code() -> str:
    """A digest of what reads and encodes examples: this package and the libraries that it uses for that."""
    folder = Path(__file__).parent
    sources = sorted(folder.rglob("*.py"))
    used = [f"{name} {version(name)}" for name in ("tokenizers", "transformers", "pyarrow")]
    return _digest([platform.python_version(), *used, *(path.read_text(encoding="utf-8") for path in sources)])


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()
