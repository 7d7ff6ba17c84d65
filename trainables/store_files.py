"""Whole files of a store, on a disk that every worker sees or behind any filesystem of fsspec's, without retries.

No file is flushed to the disk (`fsync`) before it is named: that takes 4 ms a file on a virtual disk, more on spinning
ones, and would guard only against power failures, after which a file may be there without its bytes. A record then is
no JSON, or a blob does not match its checksum: either is seen when it is read, and the stage is made again.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from errno import EINVAL
from pathlib import Path
from typing import Any, NamedTuple


class File(NamedTuple):
    """A file's size in bytes and when it was last written, in seconds by the medium's own clock; None if unknown."""

    size: int
    written: float | None


class LocalFiles:
    """On a local disk, or one that is mounted: hard links are atomic there, and on NFS."""

    def read(self, path: str, most: int | None) -> bytes:
        """The first bytes of a file, all where `most` is None; FileNotFoundError where there is no regular file."""
        with os.fdopen(_open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):  # a named pipe would be waited for for ever
                raise FileNotFoundError(path)
            return file.read() if most is None else file.read(min(most, about.st_size))  # room for all is made at once

    def look(self, path: str) -> File:
        """What is known of a file; FileNotFoundError where there is none."""
        about = os.stat(path)  # noqa: PTH116 - a third of the time of pathlib's
        return File(about.st_size, about.st_mtime)

    def write(self, path: str, content: bytes) -> None:
        """Write a file that nobody else uses yet."""
        try:
            with os.fdopen(_made(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb", buffering=0) as file:
                left = memoryview(content)
                while left:
                    left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                Path(path).unlink()  # half a file on a full disk: others may need the room
            raise

    def replace(self, path: str, content: bytes) -> None:
        """Write a file of which readers see all or nothing."""
        whole = _beside(path)
        self.write(whole, content)
        os.replace(whole, path)  # noqa: PTH105

    def renew(self, path: str, content: bytes) -> None:
        """Overwrite a small file in place, for which a full disk has room."""
        file = _made(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW)
        try:
            os.pwrite(file, content, 0)
            os.ftruncate(file, len(content))
        finally:
            os.close(file)

    def create(self, path: str, content: bytes) -> bool:
        """Create a whole file in one step; False where it exists."""
        whole = _beside(path)
        try:
            self.write(whole, content)
            os.link(whole, path)
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                Path(whole).unlink()
        return True

    def move(self, path: str, to: str) -> None:
        """Rename a file; FileNotFoundError where there is none."""
        os.replace(path, to)  # noqa: PTH105

    def delete(self, path: str) -> None:
        """Take a file away; FileNotFoundError where there is none."""
        os.unlink(path)  # noqa: PTH108

    def entries(self, folder: str) -> dict[str, File]:
        """All regular files below a folder, by path."""
        return dict(_walk(folder))

    def names(self, folder: str) -> list[str]:
        """The names of the regular files right in a folder."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []


class RemoteFiles:
    """On an object store, or wherever else fsspec writes whole files. On S3 each of these is one request, but for
    `read` of a whole file (two or more) and `move` (three)."""

    def __init__(self, fs: Any) -> None:
        """`fs` is fsspec's filesystem."""
        self.fs = fs
        self._s3 = hasattr(fs, "call_s3")

    def read(self, path: str, most: int | None) -> bytes:
        """The first bytes of a file, all where `most` is None; FileNotFoundError where there is none."""
        if most is None:
            return bytes(self.fs.cat_file(path))
        try:
            return bytes(self.fs.cat_file(path, start=0, end=most))
        except OSError as error:
            if error.errno == EINVAL and _code(error) in ("InvalidRange", "416"):  # it is empty
                return b""
            raise

    def look(self, path: str) -> File:
        """What is known of a file; FileNotFoundError where there is none."""
        if not self._s3:
            return _file(self.fs.info(path))
        bucket, key, _ = self.fs.split_path(path)
        about = self.fs.call_s3("head_object", Bucket=bucket, Key=key)  # `info` asks for a folder of this name, too
        return File(int(about["ContentLength"]), about["LastModified"].timestamp())

    def write(self, path: str, content: bytes) -> None:
        """Write a file; whoever reads it sees all or nothing."""
        self.fs.pipe_file(path, content)

    replace = renew = write

    def create(self, path: str, content: bytes) -> bool:
        """Create a whole file in one step; False where it exists. On object stores: put if none matches."""
        try:
            self.fs.pipe_file(path, content, mode="create")
        except OSError as error:
            # Not every server says which condition failed, without which s3fs takes it for an invalid argument.
            if isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412"):
                return False
            raise
        return True

    def move(self, path: str, to: str) -> None:
        """Write a file anew under another name, then take it away; FileNotFoundError where there is none."""
        self.fs.pipe_file(to, self.fs.cat_file(path))
        self.fs.rm_file(path)

    def delete(self, path: str) -> None:
        """Take a file away. Not every filesystem says where there was none."""
        self.fs.rm_file(path)

    def entries(self, folder: str) -> dict[str, File]:
        """All files below a folder, by path."""
        parent, _, name = folder.rpartition("/")
        try:
            if self._s3 and parent:  # with a prefix nothing is asked for a file of the folder's name
                found = self.fs.find(parent, prefix=f"{name}/", detail=True)
            else:
                found = self.fs.find(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {str(path): _file(about) for path, about in found.items() if about.get("type") == "file"}

    def names(self, folder: str) -> list[str]:
        """The names of the files right in a folder."""
        names = (path.removeprefix(f"{folder}/") for path in self.entries(folder))
        return [name for name in names if "/" not in name]


def _file(about: dict[str, Any]) -> File:
    written = about.get("LastModified") or about.get("mtime") or about.get("created")
    seconds = written.timestamp() if isinstance(written, datetime) else written
    return File(int(about.get("size") or 0), float(seconds) if isinstance(seconds, int | float) else None)


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


def _walk(folder: str) -> Iterator[tuple[str, File]]:
    """The regular files below a folder, without what vanishes meanwhile; links are not followed."""
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
                about = entry.stat(follow_symlinks=False)
                yield entry.path, File(about.st_size, about.st_mtime)
