"""The medium a store lies on: a local or shared folder, or an object store, behind a few operations on whole files.

Every operation is tried again while the medium is in trouble (`store_trouble.py`). Paths are relative to the store's
root; one that would leave it is refused. Files are bytes; nothing is unpickled. No file is flushed to the disk
(`fsync`) before it is named: that takes 4 ms a file on a virtual disk, more on spinning ones, and would guard only
against power failures, after which a file may be there without its bytes. A record then is no JSON, or a blob does not
match its checksum: either is seen when it is read, and the stage is made again.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from errno import EINVAL
from pathlib import Path
from typing import Any, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem

from trainables.errors import Mistake
from trainables.store_trouble import ANSWERS, Patience

DOCUMENT = 256 * 2**20
"""Bytes of a JSON document that are read at most. A score stage's record has some thousand rows: a megabyte."""

RIGHT = "a folder, or a URL such as s3://bucket/prefix (pip install 'order-search[s3]')"


class Medium:
    """Files below one folder or URL."""

    def __init__(self, url: str, patience: float) -> None:
        """`url` as fsspec knows it; `patience` in seconds. A Mistake where no filesystem is known for it."""
        # A listing kept in memory would hide what other workers have put; and the patience is this class's own.
        options: dict[str, Any] = {"use_listings_cache": False}
        if url.startswith(("s3://", "s3a://")):
            options["config_kwargs"] = {"retries": {"max_attempts": 1}, "connect_timeout": 5, "read_timeout": 30}
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url, **options)
        except (ValueError, ImportError) as error:
            raise Mistake(f"the store cannot be opened: {error}", where=f"--store {url}", right=RIGHT) from error
        self.local = isinstance(self.fs, LocalFileSystem)
        self._s3 = hasattr(self.fs, "call_s3")
        if self._s3:
            self.fs.retries = 1
        self._url, self._patience = url, Patience(url, patience, remote=not self.local)

    def hasty(self) -> Self:
        """The same medium, whose operations raise StoreTrouble at the first trouble."""
        other = type(self).__new__(type(self))
        other.__dict__ = {**self.__dict__, "_patience": Patience(self._url, 0, remote=not self.local)}
        return other

    def read(self, path: str, most: int = DOCUMENT) -> bytes:
        """The first `most` bytes of a file; FileNotFoundError where there is none."""
        return self._patience.does(ANSWERS, self._read, self.at(path), most)

    def read_all(self, path: str) -> bytes:
        """A file of any size; FileNotFoundError where there is none."""
        return self._patience.does(ANSWERS, self._read, self.at(path), None)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        try:
            self._patience.does(ANSWERS, self._look, self.at(path))
        except FileNotFoundError:
            return False
        return True

    def write(self, path: str, content: bytes) -> None:
        """Write a file under a name that nobody else uses or reads yet."""
        self._patience.does((), self._write, self.at(path), content)

    def replace(self, path: str, content: bytes) -> None:
        """Write a file whose readers see either what it was or what it is, whole."""
        self._patience.does((), self._replace, self.at(path), content)

    def renew(self, path: str, content: bytes) -> None:
        """Overwrite a small file that is written often; `content` is always equally long.

        Locally it is overwritten in place, so that a full disk does not matter; a reader might see a mixture.
        """
        self._patience.does((), self._renew, self.at(path), content)

    def create(self, path: str, content: bytes) -> bool:
        """Create a whole file in one step; False if it exists.

        False, too, where a request was repeated after its answer was lost: who cares reads whose file it is.
        """
        return self._patience.does((), self._create, self.at(path), content)

    def move(self, path: str, to: str) -> None:
        """Give a file another name, whose old file is replaced; FileNotFoundError where there is none."""
        self._patience.does(ANSWERS, self._move, self.at(path), self.at(to))

    def delete(self, path: str) -> bool:
        """Take a file away; False if it is away already."""
        try:
            self._patience.does(ANSWERS, self.fs.rm_file, self.at(path))
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
        return self._patience.does(ANSWERS, self._files, self.at(folder) if folder else self.root)

    def names(self, folder: str) -> list[str]:
        """The names of the files right in a folder: one request."""
        return self._patience.does(ANSWERS, self._names, self.at(folder))

    def at(self, path: str) -> str:
        """Where a file of the store is; ValueError for a path that would leave the store."""
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise ValueError(f"{path[:200]!r} is no path in a store")
        return f"{self.root}/{path}"

    def _read(self, path: str, most: int | None) -> bytes:
        if self.local:
            with os.fdopen(_open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a named pipe would be waited for for ever
                    raise FileNotFoundError(path)
                return file.read() if most is None else file.read(most)
        if most is None:
            return bytes(self.fs.cat_file(path))
        try:
            return bytes(self.fs.cat_file(path, start=0, end=most))
        except OSError as error:
            if self._s3 and error.errno == EINVAL and _code(error) in ("InvalidRange", "416"):  # it is empty
                return b""
            raise

    def _look(self, path: str) -> None:
        if self.local:
            os.stat(path)  # noqa: PTH116 - a third of the time of pathlib's
        elif self._s3:
            bucket, key, _ = self.fs.split_path(path)
            self.fs.call_s3("head_object", Bucket=bucket, Key=key)  # `info` asks for a folder of this name, too
        else:
            self.fs.info(path)

    def _write(self, path: str, content: bytes) -> None:
        if not self.local:
            self.fs.pipe_file(path, content)
            return
        try:
            file = _made(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with os.fdopen(file, "wb", buffering=0) as opened:
                _write_all(opened.fileno(), content)
        except OSError:
            with suppress(OSError):
                Path(path).unlink()  # half a file on a full disk: others may need the room
            raise

    def _replace(self, path: str, content: bytes) -> None:
        if not self.local:
            self.fs.pipe_file(path, content)
            return
        whole = _beside(path)
        self._write(whole, content)
        os.replace(whole, path)  # noqa: PTH105

    def _renew(self, path: str, content: bytes) -> None:
        if not self.local:
            self.fs.pipe_file(path, content)
            return
        file = _made(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW)
        try:
            os.pwrite(file, content, 0)
            os.ftruncate(file, len(content))
        finally:
            os.close(file)

    def _create(self, path: str, content: bytes) -> bool:
        if self.local:
            whole = _beside(path)
            try:
                self._write(whole, content)
                os.link(whole, path)  # atomic on local disks and on NFS
            except FileExistsError:
                return False
            finally:
                with suppress(OSError):
                    Path(whole).unlink()
            return True
        try:
            self.fs.pipe_file(path, content, mode="create")  # object stores: put if none matches
        except OSError as error:
            # Not every server says which condition failed, without which s3fs takes it for an invalid argument.
            if isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412"):
                return False
            raise
        return True

    def _move(self, path: str, to: str) -> None:
        if self.local:
            os.replace(path, to)  # noqa: PTH105
        else:
            self.fs.pipe_file(to, self.fs.cat_file(path))
            self.fs.rm_file(path)

    def _files(self, folder: str) -> dict[str, int]:
        start = f"{self.root}/"
        if self.local:
            return {path.removeprefix(start): size for path, size in _walk(folder)}
        try:
            if self._s3:  # with a prefix it is one request, and none for a file of the folder's name
                parent, _, name = folder.rpartition("/")
                found = self.fs.find(parent, prefix=f"{name}/", detail=True) if parent else self.fs.find(
                    folder, detail=True)  # fmt: skip
            else:
                found = self.fs.find(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {str(path).removeprefix(start): int(about.get("size") or 0) for path, about in found.items()
                if about.get("type") == "file" and str(path).startswith(start)}  # fmt: skip

    def _names(self, folder: str) -> list[str]:
        if self.local:
            try:
                with os.scandir(folder) as entries:
                    return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
            except FileNotFoundError:
                return []
        start = f"{folder.removeprefix(self.root + '/')}/"
        names = (path.removeprefix(start) for path in self._files(folder))
        return [name for name in names if "/" not in name]


def _code(error: OSError) -> str:
    """The code of an object store's own error, of which this one was made."""
    answer: Any = getattr(error.__cause__, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def _beside(path: str) -> str:
    """A temporary name: a killed driver's workers go on writing for some seconds, so that it is nobody else's."""
    return f"{path}.{os.getpid()}-{secrets.token_hex(6)}.tmp"


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o666)


def _made(path: str, flags: int) -> int:
    """A file opened to be written, in a folder that is made if need be."""
    try:
        return _open(path, flags)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return _open(path, flags)


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def _walk(folder: str) -> Iterator[tuple[str, int]]:
    """The regular files below a folder with their sizes, without what vanishes meanwhile; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            listed = list(entries)
    except FileNotFoundError:
        return
    for entry in listed:
        with suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path, entry.stat(follow_symlinks=False).st_size
