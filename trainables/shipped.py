"""What a node of a cluster takes from the store before its first stage: folders that it does not see, once a node.

The driver (`search/shipping.py`) says in the workplace, under `shipped`, which folders those are. A node that has the
same folder uses its own; any other fetches the folder's archive from the store, checks it and unpacks it, one process
at a time, into a folder of its user's on its own disk. Ray is not imported here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainables.store_medium import Medium
from trainables.store_trouble import PATIENCE, Patience

ROOT = Path(__file__).resolve().parent.parent
"""The folder that this package is imported from."""

FOLDER_KEYS = ("data_dir", "model", "language_adapters")
"""Keys of a workplace that may name a folder."""

SUITE_KEYS = ("lexicons", "wordnet")
"""The same of each of its perturbation suites."""

CHUNK = 2**20


class Apart(Exception):
    """This node does not see the store that the study was started with, or not what it needs there."""


@dataclass(frozen=True)
class Parcel:
    """A folder, or some entries of it, as the driver has it; JSON in, JSON out."""

    entries: tuple[str, ...]
    """The names in the folder that are meant."""
    listing: str
    """A hash over the names, sizes and times of the files below them."""
    sha256: str = ""
    """Of the archive in the store; empty where none was needed when the study began."""
    bytes: int = 0
    name: str = ""
    """What the folder is called below the node's own one; a hub model is told by it."""


def here(place: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a workplace with the folders as this node has them. Takes what is lacking from the store.

    Apart where the driver's mark is not in the store, so that this is another store, or an archive is damaged;
    StoreTrouble where the store does not answer.
    """
    fields = dict(place)
    about = fields.pop("shipped", None)
    if about is None:
        return fields
    check(fields["store"], about["mark"])
    parcels = {path: Parcel(**{**told, "entries": tuple(told["entries"])}) for path, told in about["folders"].items()}
    found: dict[str, str] = {}

    def local(path: str) -> str:
        if path not in found:
            found[path] = _local(fields["store"], path, about["root"], parcels)
        return found[path]

    for key in FOLDER_KEYS:
        if fields.get(key):
            fields[key] = local(fields[key])
    suites = fields.get("suites", {})
    fields["suites"] = {
        name: {**suite, **{key: local(suite[key]) for key in SUITE_KEYS if suite.get(key)}}
        for name, suite in suites.items()
    }
    return fields


def _local(store: str, path: str, root: str, parcels: Mapping[str, Parcel]) -> str:
    if Path(path).is_relative_to(root):  # a part of the code, which Ray has brought, or which is installed here
        return str(ROOT / Path(path).relative_to(root))
    parcel = parcels.get(path)
    if parcel is None or listing(Path(path), parcel.entries) == parcel.listing:
        return path
    if not parcel.sha256:
        raise Apart(f"{path} is not on this node as it is on the driver's, and was on all nodes when the study began")
    return str(folder(store, parcel))


def check(store: str, mark: str) -> None:
    """Apart where the driver's mark is not in what is called the store on this node."""
    if not Medium(store, PATIENCE).exists(f"nodes/{mark}"):
        raise Apart(f"the store {store} is another one on this node, or the study that it is told of has ended")


def listing(path: Path, entries: Sequence[str]) -> str:
    """A hash over the names, sizes and times (whole seconds) of the files of a folder; empty where it is not there.

    Equal on every node that mounts the same file system. No content is read.
    """
    lines = []
    try:
        for file in _files(path, entries):
            about = file.stat()
            lines.append(f"{file.relative_to(path)}\0{about.st_size}\0{int(about.st_mtime)}")
    except OSError:
        return ""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32] if lines else ""


def _files(path: Path, entries: Sequence[str]) -> Iterator[Path]:
    """The files below entries of a folder; those of linked folders too, as readers see them."""
    for name in sorted(entries):
        entry = path / name
        if not entry.is_dir():
            yield entry
            continue
        for at, folders, names in os.walk(entry, followlinks=True):
            folders.sort()
            yield from (Path(at) / file for file in sorted(names))


def pack(path: Path, entries: Sequence[str], into: IO[bytes]) -> str:
    """Write an archive of a folder's entries; its SHA-256. Equal files give equal archives, whoever owns them."""
    hashing = _Hashing(into)
    with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.PAX_FORMAT, dereference=True) as archive:  # type: ignore[call-overload]
        for file in _files(path, entries):
            about = archive.gettarinfo(str(file), arcname=str(file.relative_to(path)))
            about.uid = about.gid = about.mtime = 0
            about.uname = about.gname = ""
            about.mode, about.type = 0o600, tarfile.REGTYPE
            with file.open("rb") as content:
                archive.addfile(about, content)
    return hashing.digest.hexdigest()


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._file.write(content)


def folder(store: str, parcel: Parcel) -> Path:
    """Where a parcel of the store is unpacked on this node; fetched first where it is not.

    Apart where the store has it not, or not as it was packed. Processes of a node wait for one another.
    """
    base = own_folder()
    target = base / parcel.sha256
    with _locked(base / f"{parcel.sha256}.lock"):
        if not target.is_dir():
            part = base / f"{parcel.sha256}.{secrets.token_hex(4)}.part"
            try:
                _fetch(store, parcel, part)
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
                part.with_suffix(".tar").unlink(missing_ok=True)
    return target / parcel.name if parcel.name else target


def _fetch(store: str, parcel: Parcel, part: Path) -> None:
    """Fetch an archive, check it, and unpack it below `part`: regular files and folders, nothing that leads out."""
    part.mkdir(mode=0o700)
    archive = part.with_suffix(".tar")
    medium = Medium(store, PATIENCE)

    def fetched() -> str:
        digest = hashlib.sha256()
        with medium.fs.open(medium.at(blob(parcel.sha256)), "rb") as source, archive.open("wb") as to:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                to.write(chunk)
        return digest.hexdigest()

    try:
        found = Patience(store, PATIENCE, remote=not medium.local).does((FileNotFoundError,), fetched)
    except FileNotFoundError:
        raise Apart(f"the store {store} has no archive {blob(parcel.sha256)} any more") from None
    if found != parcel.sha256:
        raise Apart(f"the archive {blob(parcel.sha256)} of the store {store} is damaged: its checksum is another")
    content = part / parcel.name if parcel.name else part
    content.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as opened:
        opened.extractall(content, filter="data")


def blob(sha256: str) -> str:
    """Where an archive is in the store."""
    return f"shipped/{sha256}.tar"


def own_folder() -> Path:
    """A folder on this node's own disk that is this user's alone (TMPDIR says where); Apart where it is another's."""
    path = Path(tempfile.gettempdir()) / f"order-search-shipped-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise Apart(f"{path} is not a folder of this user's alone (mode 0700): remove it, or set TMPDIR")
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
