"""The store: the stages' outputs, addressed by key, on any filesystem that every worker sees.

Layout: `KEY[:2]/KEY/` holds a record (`record.json`: what was made, from what, its figures and checksums) and blobs
(`NAME-TOKEN`: weights as safetensors, predictions as parquet). A stage is in the store when its record is. The record
is created in one atomic step that fails if another exists, so of two writers the first wins and the second discards its
own blobs; a writer that dies leaves blobs no record names, never a wrong result. Blob names carry the host, process and
a random part, because a killed driver's workers go on writing for some seconds. A blob whose checksum is wrong counts
as absent: its stage is made again. So it is after a power failure, which may leave a record whose blobs are empty:
nothing is flushed to the disk before it is named (`store_medium.py` says why).

A stage whose weights were *collected* has `collected.json`, what its record was, instead of a record: it is not in the
store any more, its figures are still known, and it can be made again.

Beside the stages lie `attempts/` and `alive/` (`attempts.py`) and `studies/`, small documents. All of it is data (JSON,
safetensors, parquet), and names that documents of the store give are never followed out of a stage's folder.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from trainables.errors import Mistake
from trainables.stage import PREDICTIONS
from trainables.store_medium import Medium
from trainables.store_trouble import PATIENCE
from trainables.store_trouble import StoreTrouble as StoreTrouble
from trainables.untrusted import parse_json

if TYPE_CHECKING:
    from trainables.node_cache import NodeCache

Record = dict[str, Any]

RECORD, COLLECTED = "record.json", "collected.json"

KEY = re.compile(r"[0-9A-Za-z_-]{3,128}")
FILE = re.compile(r"\w[\w.-]{0,254}")
"""What a key and the name of a blob's file may look like."""


class Corrupt(Exception):
    """A stage's stored bytes are not what its record says, or its weights were collected."""


class Store:
    """A store at a local path or at any URL fsspec knows (`s3://bucket/prefix`).

    Every operation may raise StoreTrouble after `patience` seconds of trying: the disk is full, the server away.
    """

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        """`url` names the store's folder; it is made when the first stage is put."""
        self.url = url
        self.medium = Medium(url, patience)

    def hasty(self) -> Self:
        """The same store without patience: StoreTrouble at the first trouble."""
        other = copy.copy(self)
        other.medium = self.medium.hasty()
        return other

    def has(self, key: str) -> bool:
        """Whether the stage is in the store (its record is; blobs are verified when read)."""
        return self.medium.exists(self.path(key, RECORD))

    def keys(self) -> set[str]:
        """The keys of all stages in the store, in one listing."""
        return set(self.sizes())

    def sizes(self) -> dict[str, int]:
        """The bytes of each stage in the store, record and blobs, by key, in one listing."""
        sizes: dict[str, int] = {}
        stored = set()
        for path, size in self.medium.files().items():
            match path.split("/"):
                case [first, key, name] if key[:2] == first and KEY.fullmatch(key):
                    sizes[key] = sizes.get(key, 0) + size
                    if name == RECORD:
                        stored.add(key)
        return {key: sizes[key] for key in stored}

    def record(self, key: str) -> Record | None:
        """The stage's record, None when it is absent or no JSON (such a record is removed: the stage is made again).

        Of a stage whose weights were collected, what its record was, with `"collected": true`.
        """
        for name in (RECORD, COLLECTED):
            try:
                found = parsed(self.medium.read(self.path(key, name)))
            except FileNotFoundError:
                continue
            if isinstance(found, dict):
                return {**found, "collected": True} if name == COLLECTED else found
            self.medium.delete(self.path(key, name))
        return None

    def blob(self, key: str, name: str, cache: NodeCache | None = None) -> bytes:
        """The bytes of a stage's blob; Corrupt where they are missing or differ from the record's checksum."""
        return self.fetched(key, name, cache)[0]

    def fetched(self, key: str, name: str, cache: NodeCache | None) -> tuple[bytes, Literal["node", "store"]]:
        """`blob`, and whether it was read from the node's cache or from the store; it is in the cache then."""
        file, sha256, size = self._entry(key, name)
        kept = cache.get(sha256, size) if cache else None
        if kept is not None:
            return kept, "node"
        try:
            content = self.medium.read_all(self.path(key, file))
        except FileNotFoundError as error:
            raise Corrupt(f"{name} of stage {key} is missing") from error
        if len(content) != size or checksum(content) != sha256:
            raise Corrupt(f"{name} of stage {key} does not match its checksum")
        if cache:
            cache.put(sha256, content)
        return content, "store"

    def verify(self, key: str) -> bool:
        """Whether the stage is stored and every blob of it matches its checksum."""
        record = self.record(key)
        if record is None or record.get("collected"):
            return False
        try:
            for name in blobs_of(record):
                self.blob(key, name)
        except Corrupt:
            return False
        return True

    def put(
        self, key: str, record: Mapping[str, Any], blobs: Mapping[str, bytes], cache: NodeCache | None = None
    ) -> bool:
        """Store a stage unless it is there already; True if this call did it, False if another writer was first.

        What is stored goes to the node's `cache` as well: the stage's children may run on this node.
        """
        if self.has(key):
            return False
        token = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        entries: dict[str, dict[str, Any]] = {
            name: {"file": f"{name}-{token}", "sha256": checksum(content), "bytes": len(content)}
            for name, content in blobs.items()
        }
        about = {**record, "key": key, "writer": token, "blobs": entries}
        content = json.dumps(about, ensure_ascii=False, indent=1).encode()
        try:
            for name, blob in blobs.items():
                self.medium.write(self.path(key, entries[name]["file"]), blob)
            # A repeated request (NFS, S3) fails because its own first try succeeded: then this writer is the winner.
            won = self._create(key, content) or (self.record(key) or {}).get("writer") == token
        except StoreTrouble:
            # Whether the record is there is not known: then its blobs have to be. `gc` takes what is not needed.
            with suppress(StoreTrouble):
                if not self.hasty().has(key):
                    self.hasty()._remove(key, entries)
            raise
        if not won:
            self._remove(key, entries)
            return False
        if cache:
            for name, blob in blobs.items():
                cache.put(entries[name]["sha256"], blob)
        return True

    def collect(self, key: str) -> int:
        """Take the weights of a train stage away and keep its figures: the bytes freed, 0 where there are none.

        The stage is then no longer in the store (`has` is False, `blob` is Corrupt), until it is put again.
        """
        record = self.record(key)
        if record is None or not blobs_of(record) or PREDICTIONS in blobs_of(record):
            return 0
        if not record.get("collected"):
            with suppress(FileNotFoundError):  # another has taken it out; its blobs' names are never used again
                self.medium.move(self.path(key, RECORD), self.path(key, COLLECTED))
        there = set(self.medium.names(self.path(key)))  # an object store does not say whether it deleted anything
        blobs = {name: entry for name, entry in blobs_of(record).items() if file_of(entry) in there}
        return self._remove(key, blobs)

    def discard(self, key: str) -> None:
        """Take a stage out, its record first, so that it is made again; what a dead writer left is for `gc`."""
        record = self.record(key) or {}
        for name in (RECORD, COLLECTED):
            self.medium.delete(self.path(key, name))
        self._remove(key, blobs_of(record))
        self.medium.tidy(self.path(key))

    def document(self, name: str) -> Any:
        """A small JSON document beside the stages; None where there is none that can be read."""
        try:
            return parsed(self.medium.read(name))
        except FileNotFoundError:
            return None

    def put_document(self, name: str, content: Any) -> bool:
        """Store a document unless there is one of this name; True if this call did it."""
        return self.medium.create(name, json.dumps(content, ensure_ascii=False, indent=1).encode())

    def writable(self) -> None:
        """A Mistake where nothing can be written to the store, or two writers could both be the first."""
        hasty, probe = self.hasty(), f"alive/.probe-{secrets.token_hex(4)}"
        right = "a folder that this user and every worker may write to"
        try:
            alone = hasty.medium.create(probe, b"1") and not hasty.medium.create(probe, b"2")
            hasty.medium.delete(probe)
        except StoreTrouble as error:
            why = error.__cause__ or error
            raise Mistake(f"the store cannot be written to: {why}", where=f"--store {self.url}", right=right) from error
        if not alone:
            what = "the store lets a file be created that is there already: two studies could overwrite each other"
            right = "a filesystem with hard links, or an object store that honours If-None-Match"
            raise Mistake(what, where=f"--store {self.url}", right=right)

    def path(self, key: str, name: str = "") -> str:
        """Where a stage's file is, relative to the root; ValueError for a key or name that would be elsewhere."""
        if not KEY.fullmatch(key) or (name and not FILE.fullmatch(name)):
            raise ValueError(f"{key[:200]!r}/{name[:200]!r} is no file of a stage")
        return f"{key[:2]}/{key}/{name}" if name else f"{key[:2]}/{key}"

    def _entry(self, key: str, name: str) -> tuple[str, str, int]:
        """Of a blob its file, checksum and size in bytes, as the stage's record says."""
        record = self.record(key) or {}
        if record.get("collected"):
            raise Corrupt(f"{name} of stage {key} was collected to save room")
        entry = blobs_of(record).get(name)
        if entry is None:
            raise Corrupt(f"stage {key} has no {name}")
        file = file_of(entry)
        match entry:
            case {"sha256": str(sha256), "bytes": int(size)} if file:
                return file, sha256, size
        raise Corrupt(f"the record of stage {key} does not say where {name} is")

    def _create(self, key: str, content: bytes) -> bool:
        return self.medium.create(self.path(key, RECORD), content)

    def _remove(self, key: str, entries: Mapping[str, Any]) -> int:
        """Take blobs away; the bytes freed."""
        freed = 0
        for entry in entries.values():
            if (file := file_of(entry)) and self.medium.delete(self.path(key, file)):
                size = entry.get("bytes")
                freed += size if isinstance(size, int) else 0
        return freed


def checksum(content: bytes) -> str:
    """What a record says of a blob's bytes: their SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parsed(content: bytes) -> Any:
    """What a JSON file holds; None where it is no JSON, or nested too deeply."""
    try:
        return parse_json(content)
    except ValueError:
        return None


def blobs_of(record: Record) -> dict[str, Any]:
    """A record's blobs by their names, as it says."""
    blobs = record.get("blobs")
    return blobs if isinstance(blobs, dict) else {}


def file_of(entry: Any) -> str:
    """The file that a record says a blob is in; empty where it says none, or one that would be elsewhere."""
    file = entry.get("file") if isinstance(entry, dict) else None
    return file if isinstance(file, str) and FILE.fullmatch(file) else ""
