"""The medium a store lies on: a local or shared folder, or an object store, behind a few operations on whole files.

Every operation is tried again while the medium is in trouble (`store_trouble.py`). Paths are relative to the store's
root; one that would leave it is refused. Files are bytes; nothing is unpickled.
"""

from __future__ import annotations

import copy
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem

from trainables.errors import Mistake
from trainables.store_files import File, LocalFiles, RemoteFiles
from trainables.store_trouble import ANSWERS, Patience

DOCUMENT = 256 * 2**20
"""Bytes of a JSON document that are read at most. A score stage's record has some thousand rows: a megabyte."""

RIGHT = "a folder, or a URL such as s3://bucket/prefix (pip install 'order-search[s3]')"


class Medium:
    """Files below one folder or URL."""

    def __init__(self, url: str, patience: float) -> None:
        """`url` as fsspec knows it; `patience` in seconds. A Mistake where no filesystem is known for it."""
        # A listing kept in memory would hide what other workers have put; and who retries is this class.
        options: dict[str, Any] = {"use_listings_cache": False}
        if url.startswith(("s3://", "s3a://")):
            options["config_kwargs"] = {"retries": {"max_attempts": 1}, "connect_timeout": 5, "read_timeout": 30}
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url, **options)
        except (ValueError, ImportError) as error:
            raise Mistake(f"the store cannot be opened: {error}", where=f"--store {url}", right=RIGHT) from error
        if "config_kwargs" in options:
            self.fs.retries = 1
        self.local = isinstance(self.fs, LocalFileSystem)
        self.way = LocalFiles() if self.local else RemoteFiles(self.fs)
        self._url, self._patience = url, Patience(url, patience, remote=not self.local)

    def hasty(self) -> Self:
        """The same medium, whose operations raise StoreTrouble at the first trouble."""
        other = copy.copy(self)
        other._patience = Patience(self._url, 0, remote=not self.local)
        return other

    def read(self, path: str, most: int = DOCUMENT) -> bytes:
        """The first `most` bytes of a file; FileNotFoundError where there is none."""
        return self._patience.does(ANSWERS, self.way.read, self.at(path), most)

    def read_all(self, path: str) -> bytes:
        """A file of any size; FileNotFoundError where there is none."""
        return self._patience.does(ANSWERS, self.way.read, self.at(path), None)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        try:
            self._patience.does(ANSWERS, self.way.look, self.at(path))
        except FileNotFoundError:
            return False
        return True

    def write(self, path: str, content: bytes) -> None:
        """Write a file under a name that nobody else uses or reads yet."""
        self._patience.does((), self.way.write, self.at(path), content)

    def replace(self, path: str, content: bytes) -> None:
        """Write a file whose readers see either what it was or what it is, whole."""
        self._patience.does((), self.way.replace, self.at(path), content)

    def renew(self, path: str, content: bytes) -> None:
        """Overwrite a small file that is written often; `content` is always equally long.

        Locally it is overwritten in place, so that a full disk does not matter; a reader might see a mixture.
        """
        self._patience.does((), self.way.renew, self.at(path), content)

    def create(self, path: str, content: bytes) -> bool:
        """Create a whole file in one step; False if it exists.

        False, too, where a request was repeated after its answer was lost: who cares reads whose file it is.
        """
        return self._patience.does((), self.way.create, self.at(path), content)

    def move(self, path: str, to: str) -> None:
        """Give a file another name, whose old file is replaced; FileNotFoundError where there is none."""
        self._patience.does(ANSWERS, self.way.move, self.at(path), self.at(to))

    def delete(self, path: str) -> bool:
        """Take a file away; False if it is known to have been away already."""
        try:
            self._patience.does(ANSWERS, self.way.delete, self.at(path))
        except FileNotFoundError:
            return False
        return True

    def tidy(self, folder: str) -> None:
        """Take an empty folder away where the medium has folders; one that is not empty stays."""
        if self.local:
            with suppress(OSError):
                Path(self.at(folder)).rmdir()

    def files(self, folder: str = "") -> dict[str, int]:
        """All files below a folder, by their paths relative to the root, with their sizes in bytes: one listing."""
        return {path: file.size for path, file in self.entries(folder).items()}

    def entries(self, folder: str = "") -> dict[str, File]:
        """`files`, with what else is known of each."""
        start = f"{self.root}/"
        found = self._patience.does(ANSWERS, self.way.entries, self.at(folder) if folder else self.root)
        return {path.removeprefix(start): file for path, file in found.items() if path.startswith(start)}

    def names(self, folder: str) -> list[str]:
        """The names of the files right in a folder: one request."""
        return self._patience.does(ANSWERS, self.way.names, self.at(folder))

    def now(self) -> float | None:
        """The time by the medium's own clock, in seconds, as it is noted at files; None where it notes none."""
        probe = f"alive/.probe-{secrets.token_hex(4)}"
        self.write(probe, b"")
        try:
            return self._patience.does((), self.way.look, self.at(probe)).written
        finally:
            self.delete(probe)

    def at(self, path: str) -> str:
        """Where a file of the store is; ValueError for a path that would leave the store."""
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise ValueError(f"{path[:200]!r} is no path in a store")
        return f"{self.root}/{path}"
