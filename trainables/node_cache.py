"""Recent weights of a node, for all its workers: a folder in shared memory or on the local disk.

Files are named by the checksum of their bytes and verified when read, so it does not matter who wrote them or what
became of them. It is a cache: whatever goes wrong, a file is then read from the store.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Self

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of the user's own is made in it

CHECKSUM = re.compile(r"[0-9a-f]{64}")


class NodeCache:
    """A folder of files up to a number of bytes; the least recently used go first."""

    def __init__(self, folder: str | Path, limit_bytes: int) -> None:
        """The folder is made, for this user alone. One that others own or may write to is not used."""
        self.folder, self.limit = Path(folder), limit_bytes
        self.usable = _own(self.folder)

    @classmethod
    def here(cls, limit_bytes: int) -> Self:
        """This node's: in shared memory where that and the memory are large enough, else in the temporary folder."""
        roomy = _room(SHARED_MEMORY) >= 2 * limit_bytes and _memory() >= 4 * limit_bytes
        parent = SHARED_MEMORY if roomy else Path(tempfile.gettempdir())
        return cls(parent / f"order-search-{os.getuid()}", limit_bytes)

    def get(self, sha256: str, size: int) -> bytes | None:
        """The bytes of this checksum and number, None where they are not here or not as they were."""
        if not self.usable or not CHECKSUM.fullmatch(sha256):
            return None
        try:
            with self.opened(sha256) as file:
                content = file.read() if os.fstat(file.fileno()).st_size == size else b""
        except OSError:
            return None
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            self.drop(sha256)
            return None
        self.used(sha256)
        return content

    def put(self, sha256: str, content: bytes) -> None:
        """Keep bytes of this checksum, if they fit; a full disk keeps nothing."""
        if CHECKSUM.fullmatch(sha256):
            self.keep(sha256, content)

    def beside(self, name: str, limit_bytes: int) -> Self:
        """Another folder in the same place."""
        return type(self)(self.folder.with_name(f"{self.folder.name}-{name}"), limit_bytes)

    def names(self, start: str) -> list[str]:
        """The files whose names begin so."""
        try:
            return sorted(entry.name for entry in os.scandir(self.folder) if entry.name.startswith(start))
        except OSError:
            return []

    def opened(self, name: str) -> BufferedReader:
        """A file, to be read. OSError where there is none, or no regular one: links are not followed, nor pipes
        waited for."""
        if not self.usable:
            raise FileNotFoundError(name)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.fdopen(os.open(self.folder / name, flags), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "no regular file", name)
        return file

    def used(self, name: str) -> None:
        """Note that a file was used just now."""
        with suppress(OSError):
            os.utime(self.folder / name)

    def drop(self, name: str) -> None:
        """Take a file away."""
        with suppress(OSError):
            (self.folder / name).unlink()

    def keep(self, name: str, content: bytes | memoryview) -> None:
        """Write a file whole or not at all, if it fits and is not here; a full disk keeps nothing."""
        path = self.folder / name
        if not self.usable or len(content) > self.limit or path.exists():
            return
        part = self.folder / f".{name}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._make_room(len(content))
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
            part.replace(path)
        except OSError:  # full, or another process has made room of this very file
            with suppress(OSError):
                part.unlink()

    def _make_room(self, size: int) -> None:
        """Take the least recently used files away until so many bytes fit; what killed processes left is among them."""
        kept = []
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):
                about = entry.stat(follow_symlinks=False)
                kept.append((about.st_mtime_ns, about.st_size, entry.path))
        held = sum(length for _, length, _ in kept)
        for _, length, path in sorted(kept):
            if held + size <= self.limit:
                return
            with suppress(FileNotFoundError):
                Path(path).unlink()
            held -= length


def _own(folder: Path) -> bool:
    """Make a folder that only this user may enter; False where there is one that is someone else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077


def _room(folder: Path) -> int:
    """Bytes that are free on a folder's filesystem."""
    try:
        about = os.statvfs(folder)
    except OSError:
        return 0
    return about.f_bavail * about.f_frsize


def _memory() -> int:
    """Bytes of memory that are free for use."""
    import psutil

    return int(psutil.virtual_memory().available)
