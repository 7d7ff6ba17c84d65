"""The store: the stages' outputs, addressed by key, on any filesystem that every worker sees.

Layout: `KEY[:2]/KEY/` holds a record (`record.json`: what was made, from what, its figures and checksums) and blobs
(`NAME-TOKEN`: weights as safetensors, predictions as parquet). A stage is in the store when its record is. The record
is created in one atomic step that fails if another exists, so of two writers the first wins and the second discards its
own blobs; a writer that dies leaves blobs no record names, never a wrong result. Blob names carry the host, process and
a random part, because a killed driver's workers go on writing for some seconds. A blob whose checksum is wrong counts
as absent: its stage is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from trainables.errors import Mistake

Record = dict[str, Any]


class Corrupt(Exception):
    """A stage's stored bytes are not what its record says."""


class Store:
    """A store at a local path or at any URL fsspec knows (`s3://bucket/prefix`)."""

    def __init__(self, url: str) -> None:
        """`url` names the store's folder; it is made when the first stage is put."""
        try:
            # A listing kept in memory would hide what other workers have put.
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            right = "a folder, or a URL such as s3://bucket/prefix (pip install 'order-search[s3]')"
            raise Mistake(f"the store cannot be opened: {error}", where=f"--store {url}", right=right) from error
        self.url = url
        self._local = isinstance(self._fs, LocalFileSystem)

    def has(self, key: str) -> bool:
        """Whether the stage is in the store (its record is; blobs are verified when read)."""
        return bool(self._fs.exists(self._path(key, "record.json")))

    def keys(self) -> set[str]:
        """The keys of all stages in the store, in one listing."""
        records = self._fs.glob(f"{escape(self._root)}/??/*/record.json") if self._fs.exists(self._root) else []
        return {str(path).split("/")[-2] for path in records}

    def record(self, key: str) -> Record | None:
        """The stage's record, None when it is absent or no JSON (such a record is removed: the stage is made again)."""
        try:
            found = json.loads(self._fs.cat_file(self._path(key, "record.json")))
        except FileNotFoundError:
            return None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.discard(key)
            return None
        return found

    def blob(self, key: str, name: str) -> bytes:
        """The bytes of a stage's blob; Corrupt where they are missing or differ from the record's checksum."""
        record = self.record(key)
        entry = (record or {}).get("blobs", {}).get(name)
        if entry is None:
            raise Corrupt(f"stage {key} has no {name}")
        try:
            content: bytes = self._fs.cat_file(self._path(key, entry["file"]))
        except FileNotFoundError as error:
            raise Corrupt(f"{name} of stage {key} is missing") from error
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise Corrupt(f"{name} of stage {key} does not match its checksum")
        return content

    def verify(self, key: str) -> bool:
        """Whether the stage is stored and every blob of it matches its checksum."""
        record = self.record(key)
        try:
            for name in (record or {}).get("blobs", {}):
                self.blob(key, name)
        except Corrupt:
            return False
        return record is not None

    def put(self, key: str, record: Mapping[str, Any], blobs: Mapping[str, bytes]) -> bool:
        """Store a stage unless it is there already; True if this call did it, False if another writer was first."""
        if self.has(key):
            return False
        token = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        entries: dict[str, dict[str, Any]] = {
            name: {"file": f"{name}-{token}", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in blobs.items()
        }
        self._fs.makedirs(self._path(key), exist_ok=True)
        for name, content in blobs.items():
            self._fs.pipe_file(self._path(key, entries[name]["file"]), content)
        about = {**record, "key": key, "writer": token, "blobs": entries}
        content = json.dumps(about, ensure_ascii=False, indent=1).encode()
        if self._create(self._path(key, "record.json"), content, token):
            return True
        # A repeated request (NFS, S3) fails because its own first try succeeded: then this writer is the winner.
        if (self.record(key) or {}).get("writer") == token:
            return True
        for entry in entries.values():
            self._fs.rm_file(self._path(key, entry["file"]))
        return False

    def discard(self, key: str) -> None:
        """Take a stage out, its record first, so that it is made again."""
        folder = self._path(key)
        with suppress(FileNotFoundError):  # another may take it out at the same time
            self._fs.rm_file(f"{folder}/record.json")
        with suppress(FileNotFoundError):
            self._fs.rm(folder, recursive=True)

    def attempt(self, key: str, about: Mapping[str, Any]) -> None:
        """Note that a stage is begun, before it is: what was tried can be counted even if its worker dies."""
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.json"
        folder = f"{self._root}/attempts/{key}"
        self._fs.makedirs(folder, exist_ok=True)
        self._fs.pipe_file(f"{folder}/{name}", json.dumps(about).encode())

    def attempts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The key of every stage that was begun, and what its worker noted then, once an attempt."""
        for path in sorted(self._fs.glob(f"{escape(self._root)}/attempts/*/*.json")):
            yield str(path).split("/")[-2], json.loads(self._fs.cat_file(path))

    def document(self, name: str) -> Any:
        """A small JSON document beside the stages; None where there is none that can be read."""
        try:
            return json.loads(self._fs.cat_file(f"{self._root}/{name}"))
        except (FileNotFoundError, ValueError):
            return None

    def put_document(self, name: str, content: Any) -> bool:
        """Store a document unless there is one of this name; True if this call did it."""
        path, token = f"{self._root}/{name}", f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return self._create(path, json.dumps(content, ensure_ascii=False, indent=1).encode(), token)

    def writable(self) -> None:
        """A Mistake where nothing can be written to the store."""
        probe = f"{self._root}/.probe-{secrets.token_hex(4)}"
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)
        except Exception as error:  # botocore's errors, for one, are no OSError
            right = "a folder that this user and every worker may write to"
            raise Mistake(
                f"the store cannot be written to: {error}", where=f"--store {self.url}", right=right
            ) from error

    def _path(self, key: str, name: str = "") -> str:
        folder = f"{self._root}/{key[:2]}/{key}"
        return f"{folder}/{name}" if name else folder

    def _create(self, path: str, content: bytes, token: str) -> bool:
        """Create a whole file in one step; False if it exists. Hard links are atomic on local disks and on NFS."""
        if self._local:
            whole = Path(f"{path}.{token}")
            whole.write_bytes(content)
            try:
                os.link(whole, path)
            except FileExistsError:
                return False
            finally:
                whole.unlink()
            return True
        try:
            self._fs.pipe_file(path, content, mode="create")  # object stores: put if none matches
        except FileExistsError:
            return False
        return True
