"""What is looked at on every node of a cluster before a study starts: the store, versions, code, and folders.

A task without CPUs is pinned to every node that a trial fits on. `look` runs there and imports little.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainables.errors import Mistake
from trainables.shipped import ROOT, Parcel, listing
from trainables.store_medium import Medium
from trainables.store_trouble import StoreTrouble

SEEN_SECONDS = 180.0
"""So long a node may take to answer: it may have to start a process from a slow disk, and to fetch the code."""

LOOK_SECONDS = 10.0
"""So long a node looks for the driver's mark: network file systems show new files after some seconds."""

PACKAGES = ("torch", "transformers", "tokenizers", "adapters", "safetensors", "numpy")
"""What results depend on: of another version they could be others."""

TRAINING = ("trainables", "perturb")
"""The folders of this program that results depend on."""

Seen = dict[str, Any]
"""What a node has seen; it comes back as JSON would."""

Fits = Callable[[Mapping[str, float]], bool]
"""Whether a trial fits on a node with these resources."""


def look_everywhere(store: str, mark: str, folders: Mapping[str, Parcel], fits: Fits) -> list[Seen]:
    """What every node that a trial fits on has seen; nothing where all are yet to come."""
    import ray
    from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked: dict[Any, str] = {}
    task: Any = ray.remote(num_cpus=0, max_retries=0)(look)
    wanted = {path: (parcel.entries, parcel.listing) for path, parcel in folders.items()}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"] and fits(node["Resources"]):
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            one = task.options(scheduling_strategy=pinned, name=f"look at {node['NodeManagerAddress']}")
            asked[one.remote(store, mark, node["NodeID"], wanted)] = str(node["NodeManagerAddress"])
    if not asked:
        return []
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=SEEN_SECONDS)
    if late:
        what = f"node {asked[late[0]]} does not answer within {SEEN_SECONDS:.0f} s"
        raise Mistake(what, where="--address", right="a cluster whose nodes can start a worker (see its logs)")
    seen = []
    for answer in done:
        try:
            seen.append({**ray.get(answer), "ip": asked[answer]})
        except (NodeDiedError, TaskUnschedulableError):
            continue  # it has left the cluster meanwhile
        except RayError as error:
            raise _unable(asked[answer], error) from error
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


def look(store: str, mark: str, node: str, folders: Mapping[str, tuple[Sequence[str], str]]) -> Seen:
    """What one node sees; runs there. A second mark, of its own, is written beside the driver's."""
    found: Seen = {
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


def check_store(url: str, seen: Sequence[Seen], medium: Medium) -> None:
    """A Mistake where a node does not see the store, or the driver does not see what a node wrote there.

    Takes the nodes' marks away.
    """
    apart = [(one, one["trouble"]) for one in seen if not one["wrote"]]
    apart += [(one, "sees it, but what it writes does not arrive here") for one in seen
              if one["wrote"] and not medium.delete(f"nodes/{one['wrote']}")]  # fmt: skip
    if apart:
        told = "; ".join(f"node {one['ip']} ({one['host']}) {trouble}" for one, trouble in apart[:4])
        more = f"; and {len(apart) - 4} more" if len(apart) > 4 else ""
        right = "a folder that every node mounts at this path (NFS or the like), or a URL such as s3://bucket/prefix"
        raise Mistake(f"the store is not the same on every node: {told}{more}", where=f"--store {url}", right=right)


def check_code(seen: Sequence[Seen]) -> None:
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
