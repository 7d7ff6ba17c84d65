"""What is looked at on every node of a cluster before a study starts there, and what is sent to nodes that lack it.

A task without CPUs is pinned to every node that a trial fits on. It says whether the node sees the store (the driver's
mark there, and the driver then the node's), the versions of what results depend on, and whether it sees the folders of
data and models as the driver does. A store that is not the same everywhere is a Mistake; a folder that some node lacks
is packed into the store once, and `trainables/shipped.py` unpacks it once on every node, also on those that come later.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.nodes import Fits, check_code, check_store, look_everywhere
from trainables.errors import Mistake
from trainables.hub_models import hub_snapshot
from trainables.shipped import FOLDER_KEYS, ROOT, SUITE_KEYS, Parcel, blob, listing, pack
from trainables.store_medium import Medium
from trainables.store_trouble import PATIENCE, StoreTrouble

if TYPE_CHECKING:
    from search.settings import Settings

RENEW_SECONDS = 600.0
"""The driver's mark is written anew so often."""

CODE = ("search", "trainables", "perturb", "configs")
"""The folders of this program."""

Place = dict[str, Any]


def prepared(workplace: str) -> str:
    """The workplace with the base model in a folder: one of the hub is fetched, so that no worker asks the hub."""
    place: Place = json.loads(workplace)
    if not Path(place["model"]).is_dir():
        place["model"] = hub_snapshot(place["model"])
    return json.dumps(place, sort_keys=True)


@contextmanager
def shipped(workplace: str, settings: Settings, fits: Fits) -> Iterator[str]:
    """The workplace for the nodes of the cluster that Ray is connected to, once all is found in order there.

    `fits` says whether a trial fits on a node with these resources; others are not asked. The driver's mark lies in the
    store until the study ends. Mistakes name nodes by their address.
    """
    place: Place = json.loads(prepared(workplace))
    medium = Medium(place["store"], PATIENCE)
    with marked(medium) as mark:
        folders = {path: _parcel(path, entries) for path, entries in folders_of(place).items()}
        seen = look_everywhere(place["store"], mark, folders, fits)
        check_store(settings.store_url, seen, medium)
        check_code(seen)
        for path, parcel in folders.items():
            if not seen or any(path not in one["sees"] for one in seen):  # none: an autoscaler is to start them
                folders[path] = ship(medium, path, parcel)
        about = {"mark": mark, "root": str(ROOT), "folders": {path: asdict(own) for path, own in folders.items()}}
        yield json.dumps({**place, "shipped": about}, sort_keys=True)


@contextmanager
def marked(medium: Medium) -> Iterator[str]:
    """The driver's mark in the store, by its name, until the study ends.

    It is written again now and then: what is old there is taken for what a killed driver left (`order-search gc`).
    """
    mark, over = secrets.token_hex(16), threading.Event()

    def renew() -> None:
        while not over.wait(RENEW_SECONDS):
            with suppress(StoreTrouble):
                medium.hasty().replace(f"nodes/{mark}", b"driver")

    medium.write(f"nodes/{mark}", b"driver")
    thread = threading.Thread(target=renew, daemon=True, name="mark")
    thread.start()
    try:
        yield mark
    finally:
        over.set()
        thread.join()
        with suppress(StoreTrouble):
            medium.hasty().delete(f"nodes/{mark}")
            medium.tidy("nodes")


def folders_of(place: Mapping[str, Any]) -> dict[str, list[str]]:
    """The folders that workers read, and of each the entries they need; without those that are a part of the code."""
    found: dict[str, list[str]] = {}
    for key in FOLDER_KEYS:
        if place.get(key):
            found[place[key]] = data_entries(place) if key == "data_dir" else _all(place[key])
    for suite in place.get("suites", {}).values():
        found |= {suite[key]: _all(suite[key]) for key in SUITE_KEYS if suite.get(key)}
    return {path: entries for path, entries in found.items() if not Path(path).is_relative_to(ROOT)}


def data_entries(place: Mapping[str, Any]) -> list[str]:
    """The entries of the data folder that the study's tasks and suites name: it may hold much else."""
    from trainables.tasks import Task, load_task

    wanted: set[str] = set()
    tasks = [Task.model_validate(fields) for fields in place["tasks"].values()]
    while tasks:
        source = tasks.pop().source
        stems = [*source.folder.values(), *filter(None, (source.gold, source.ccgbank))]
        wanted |= {stem.split("/")[0].split("{")[0] for stem in stems}
        tasks += [load_task(name, "source.tasks") for name in source.tasks]
    starts = ("bli_", "omw_") if place.get("suites") else ()
    folder = Path(place["data_dir"])
    return [name for name in _all(str(folder)) if name.startswith((*wanted, *starts))]


def _all(path: str) -> list[str]:
    return sorted(entry.name for entry in Path(path).iterdir() if not entry.name.startswith("."))


def _parcel(path: str, entries: Sequence[str]) -> Parcel:
    parts = Path(path).parts[-3:]  # models--OWNER--NAME/snapshots/COMMIT
    hub = len(parts) == 3 and parts[0].startswith("models--") and parts[1] == "snapshots"
    return Parcel(tuple(entries), listing(Path(path), entries), name="/".join(parts) if hub else "")


def ship(medium: Medium, path: str, parcel: Parcel) -> Parcel:
    """Pack a folder into the store, unless the same is there."""
    with tempfile.TemporaryFile() as archive:
        sha256 = pack(Path(path), parcel.entries, archive)
        size = archive.tell()
        there = medium.files("shipped").get(blob(sha256))
        if there != size:
            part = f"{blob(sha256)}.{secrets.token_hex(6)}.tmp" if medium.local else blob(sha256)
            archive.seek(0)
            _write(medium, part, archive)
            if medium.local:
                medium.move(part, blob(sha256))
    return replace(parcel, sha256=sha256, bytes=size)


def _write(medium: Medium, name: str, archive: Any) -> None:
    """Write a large file piece by piece; a Mistake where the store has no room for it."""
    try:
        medium.fs.makedirs(medium.at("shipped"), exist_ok=True)
        with medium.fs.open(medium.at(name), "wb") as file:
            shutil.copyfileobj(archive, file, 2**20)
    except OSError as error:
        medium.hasty().delete(name)
        what = f"folders that nodes lack cannot be put into the store: {error}"
        raise Mistake(what, where="--store", right="room in the store, or folders that every node sees") from error


@contextmanager
def code() -> Iterator[dict[str, Any]]:
    """The part of Ray's runtime environment that takes this program's code to every node, also to those to come.

    Nothing where Ray has brought it already: in a submitted job whose working directory it lies in.
    """
    if "runtime_resources" in ROOT.parts:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="order-search-code-") as folder:
        for name in CODE:
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
                shutil.copytree(ROOT / name, Path(folder) / name, ignore=ignore)
        yield {"working_dir": folder}
