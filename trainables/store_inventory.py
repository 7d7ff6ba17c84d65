"""What lies in a store: its stages with their records and files, attempts, workers, and what belongs to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from trainables.attempts import EVERY, STILL, Sign, sign_of
from trainables.processes import exists, is_gone
from trainables.store import COLLECTED, KEY, RECORD, Record, Store, blobs_of, file_of, parsed
from trainables.store_files import File

READERS = 16
"""Records that are read at once: of an object store each takes some ten milliseconds."""

State = Literal["alive", "gone", "silent"]
"""What a worker is: alive (its counter moves, or it is a process of this machine), gone (it was one), or silent."""


@dataclass
class Kept:
    """A stage's folder. `record` is what its record says, or said before its weights were collected."""

    key: str
    files: dict[str, File] = field(default_factory=dict)
    record: Record = field(default_factory=dict)

    @property
    def stored(self) -> bool:
        """Whether the stage is in the store."""
        return RECORD in self.files

    @property
    def collected(self) -> bool:
        """Whether its weights were taken away."""
        return not self.stored and COLLECTED in self.files

    @cached_property
    def named(self) -> set[str]:
        """The blobs' files that its record names, where the stage is stored."""
        return {file_of(entry) for entry in blobs_of(self.record).values()} if self.stored else set()

    @property
    def unnamed(self) -> dict[str, File]:
        """Its files that nothing names: a writer died, or is at work."""
        own = {RECORD, COLLECTED, *self.named}
        return {name: file for name, file in self.files.items() if name not in own}

    @property
    def stage(self) -> dict[str, Any]:
        """The stage, as its record says; empty for edited texts, and where it says nothing."""
        stage = self.record.get("stage")
        return stage if isinstance(stage, dict) else {}

    @property
    def parent(self) -> str:
        """The key of the stage that it starts from, empty for the base model."""
        parent = self.stage.get("parent")
        return parent if isinstance(parent, str) else ""


class Inventory:
    """What a store holds, by one listing and all records."""

    def __init__(self, store: Store) -> None:
        """Nothing is changed, not even what is broken."""
        self.store = store
        self.entries = store.medium.entries()
        self.stages: dict[str, Kept] = {}
        self.attempts: dict[str, dict[str, File]] = {}
        for path, file in self.entries.items():
            match path.split("/"):
                case ["attempts", key, name]:
                    self.attempts.setdefault(key, {})[name] = file
                case [first, key, name] if key[:2] == first and KEY.fullmatch(key):
                    self.stages.setdefault(key, Kept(key)).files[name] = file
        known = [kept for kept in self.stages.values() if kept.stored or kept.collected]
        for kept, record in zip(known, _each(self._record, known, store.medium.local), strict=True):
            kept.record = record

    @property
    def is_store(self) -> bool:
        """Whether stages were stored, or begun, there."""
        return bool(self.attempts) or any(kept.stored or kept.collected for kept in self.stages.values())

    @property
    def bytes(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.entries.values())

    def _record(self, kept: Kept) -> Record:
        try:
            found = parsed(self.store.medium.read(self.store.path(kept.key, RECORD if kept.stored else COLLECTED)))
        except FileNotFoundError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def signs(self) -> list[str]:
        """The files of workers' signs of life."""
        return [path for path in self.entries if path.startswith("alive/") and path.endswith(".json")]

    def workers(
        self,
        seconds: float = STILL,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> dict[str, State]:
        """The state of every worker that left a sign of life, by the sign's file.

        Of other machines' it is alive if its counter moves within `seconds`; that is waited for only if need be.
        """
        before = {path: sign_of(self.store, path) for path in self.signs}
        states: dict[str, State] = {path: _state(sign) for path, sign in before.items()}
        end = clock() + seconds
        while "silent" in states.values() and clock() < end:
            wait(min(EVERY / 2, max(0.0, end - clock())))
            for path in [path for path, state in states.items() if state == "silent"]:
                if sign_of(self.store, path) != before[path]:
                    states[path] = "alive"
        return states


def _state(sign: Sign | None) -> State:
    if sign is None or sign.process is None:
        return "silent"
    return "gone" if is_gone(sign.process) else "alive" if exists(sign.process) else "silent"


def _each(read: Callable[[Kept], Record], known: Iterable[Kept], local: bool) -> list[Record]:
    if local:
        return [read(kept) for kept in known]
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, known))
