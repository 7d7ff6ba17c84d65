"""What is looked at on every node of a cluster before a study starts there, and what is sent to nodes that lack it.

A task without CPUs is pinned to every node that a trial fits on. It says whether the node sees the store (the driver's
mark there, and the driver then the node's), the versions of what results depend on, and whether it sees the folders of
data and models as the driver does. A store that is not the same everywhere is a Mistake; a folder that some node lacks
is packed into the store once, and `trainables/shipped.py` unpacks it once on every node, also on those that come later.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import Mistake
from trainables.hub_models import hub_snapshot
from trainables.shipped import FOLDER_KEYS, ROOT, SUITE_KEYS, Parcel, blob, listing, pack
from trainables.store_medium import Medium
from trainables.store_trouble import PATIENCE, StoreTrouble

if TYPE_CHECKING:
    from search.settings import Settings

SEEN_SECONDS = 180.0
"""So long a node may take to answer: it may have to start a process from a slow disk, and to fetch the code."""

LOOK_SECONDS = 20.0
"""So long a node looks for the driver's mark: network file systems show new files after some seconds."""

PACKAGES = ("torch", "transformers", "tokenizers", "adapters", "safetensors", "numpy")
"""What results depend on: of another version they could be others."""

CODE = ("search", "trainables", "perturb", "configs")
"""The folders of this program."""

TRAINING = ("trainables", "perturb")
"""Those that results depend on."""

Place = dict[str, Any]

Fits = Callable[[Mapping[str, float]], bool]


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
    medium, mark = Medium(place["store"], PATIENCE), secrets.token_hex(16)
    marks = [f"nodes/{mark}"]
    try:
        medium.write(marks[0], b"driver")
        folders = {path: _parcel(path, entries) for path, entries in folders_of(place).items()}
        seen = _look(place["store"], mark, folders, fits)
        marks += [f"nodes/{one['wrote']}" for one in seen if one["wrote"]]
        check_store(settings.store_url, seen, medium)
        check_code(seen)
        for path, parcel in folders.items():
            if any(path not in one["sees"] for one in seen):
                folders[path] = ship(medium, path, parcel)
        about = {"mark": mark, "root": str(ROOT), "folders": {path: asdict(own) for path, own in folders.items()}}
        yield json.dumps({**place, "shipped": about}, sort_keys=True)
    finally:
        with suppress(StoreTrouble):
            for name in marks:
                medium.hasty().delete(name)
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


# --- nodes ------------------------------------------------------------------------------------------------------------


def _look(store: str, mark: str, folders: Mapping[str, Parcel], fits: Fits) -> list[Place]:
    """What every node that a trial fits on has seen."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked: dict[Any, str] = {}
    task = ray.remote(num_cpus=0, max_retries=0)(look)
    wanted = {path: (parcel.entries, parcel.listing) for path, parcel in folders.items()}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"] and fits(node["Resources"]):
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            one = task.options(scheduling_strategy=pinned, name=f"look at {node['NodeManagerAddress']}")
            asked[one.remote(store, mark, node["NodeID"], wanted)] = str(node["NodeManagerAddress"])
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=SEEN_SECONDS)
    if late:
        what = f"node {asked[late[0]]} does not answer within {SEEN_SECONDS:.0f} s"
        raise Mistake(what, where="--address", right="a cluster whose nodes can start a worker (see its logs)")
    seen = []
    for one in done:
        try:
            seen.append({**ray.get(one), "ip": asked[one]})
        except RayError as error:
            raise _unable(asked[one], error) from error
    return seen


def _unable(ip: str, error: Exception) -> Mistake:
    """Why a node could not even look."""
    told = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    missing = next((line for line in reversed(told) if "ModuleNotFoundError" in line), None)
    right = "the same environment on every node: pip install -c constraints.txt . (docs/cluster.md)"
    what = (
        missing.split("ModuleNotFoundError:")[-1].strip() if missing else (told[-1] if told else type(error).__name__)
    )
    return Mistake(f"node {ip} cannot run this program: {what[:300]}", where="--address", right=right)


def look(store: str, mark: str, node: str, folders: Mapping[str, tuple[Sequence[str], str]]) -> Place:
    """What one node sees; runs there. A second mark, of its own, is written beside the driver's."""
    found: Place = {
        "host": os.uname().nodename,
        "wrote": "",
        "trouble": "",
        "code": code_digest(),
        "versions": versions(),
    }
    found["sees"] = [path for path, (entries, marked) in folders.items() if listing(Path(path), entries) == marked]
    end = time.monotonic() + LOOK_SECONDS
    try:
        medium = Medium(store, 0)
        while not medium.exists(f"nodes/{mark}"):
            if time.monotonic() > end:
                found["trouble"] = "has another folder there" if Path(store).is_dir() else "has no such folder"
                return found
            time.sleep(0.5)
        medium.write(f"nodes/{mark}-{node}", b"node")
        found["wrote"] = f"{mark}-{node}"
    except (StoreTrouble, Mistake, OSError) as error:
        cause = error.__cause__ or error
        found["trouble"] = f"cannot use it: {type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
    return found


def versions() -> dict[str, str]:
    """Of the packages that results depend on, without what says for which device they were built."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "none"
    return found


def code_digest() -> str:
    """A hash over the program's own files, as they are imported here."""
    digest = hashlib.sha256()
    for path in sorted(path for name in TRAINING for path in (ROOT / name).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def check_store(url: str, seen: Sequence[Place], medium: Medium) -> None:
    """A Mistake where a node does not see the store, or the driver does not see what a node wrote there."""
    apart = [(one, one["trouble"]) for one in seen if not one["wrote"]]
    apart += [(one, "sees it, but what it writes does not arrive here") for one in seen
              if one["wrote"] and not medium.exists(f"nodes/{one['wrote']}")]  # fmt: skip
    if apart:
        told = "; ".join(f"node {one['ip']} ({one['host']}) {trouble}" for one, trouble in apart[:4])
        more = f"; and {len(apart) - 4} more" if len(apart) > 4 else ""
        right = "a folder that every node mounts at this path (NFS or the like), or a URL such as s3://bucket/prefix"
        raise Mistake(f"the store is not the same on every node: {told}{more}", where=f"--store {url}", right=right)


def check_code(seen: Sequence[Place]) -> None:
    """A Mistake where a node has other versions, or other code, than the driver."""
    own, mine = versions(), code_digest()
    for one in seen:
        other = [f"{name} {have} (here {own[name]})" for name, have in one["versions"].items() if have != own[name]]
        if other:
            right = "the same environment on every node: pip install -c constraints.txt . (docs/cluster.md)"
            raise Mistake(f"node {one['ip']} ({one['host']}) has {', '.join(other)}", where="--address", right=right)
        if one["code"] != mine:
            what = f"node {one['ip']} ({one['host']}) has another version of this program"
            right = "the same version on every node, or a job with the checkout as its --working-dir"
            raise Mistake(what, where="--address", right=right)


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
