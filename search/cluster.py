"""Ray: one of our own on this machine, or the cluster at an address; and how many trials fit on it at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.address import address_of, own_token, refused, resolved
from search.autoscaling import addable
from search.shipping import code, prepared, shipped
from search.slots import asked, check_asked, fit, slots
from search.slots import resources as resources
from trainables.errors import Mistake

if TYPE_CHECKING:
    from search.settings import Settings

# Read by Ray when it is imported.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # one writer of ours in the driver instead
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000")  # the store resumes a study, not Tune
os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "30")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")

import ray
from ray._private import ray_constants, services
from ray.exceptions import RayError

ROOT = Path(__file__).resolve().parent.parent

ENV = {"TOKENIZERS_PARALLELISM": "false"}
"""What every worker has in its environment."""

LOOPBACK = "127.0.0.1"

JOB_FOLDER = "runtime_resources"
"""Below it Ray keeps the working directories of submitted jobs, and removes them when it needs the room."""


@dataclass(frozen=True)
class Joined:
    """A started Ray: trials at once, the workplace for its workers, and its dashboard where it has one."""

    slots: int
    place: str
    dashboard: str = ""


@contextmanager
def joined(settings: Settings, workplace: str) -> Iterator[Joined]:
    """A Ray of our own on this machine, or the cluster at the address, on which all is in order.

    `workplace` is `Study.workplace()`; workers are given the one that comes back, in which are the folders that nodes
    do not see. A Mistake where the address does not answer or does not let us in, where nothing there has what a trial
    asks for, or where a node does not see the store.
    """
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    check_asked(settings)
    address = address_of(settings.address)
    with _own(settings, workplace) if address is None else _joined(settings, address, workplace) as found:
        yield found


@contextmanager
def _own(settings: Settings, workplace: str) -> Iterator[Joined]:
    """A Ray that this process starts and ends, of which nothing listens beyond the machine."""
    place = workplace and prepared(workplace)  # before anything is started: it may have to ask the hub
    own_token()
    options: dict[str, Any] = {"include_dashboard": settings.dashboard, "dashboard_host": LOOPBACK}
    if settings.max_concurrent:
        options["num_cpus"] = max(settings.max_concurrent * settings.cpus_per_trial, os.cpu_count() or 1)
    with _loopback():
        with _own_group():
            _connect(None, runtime_env={"env_vars": {**ENV, "PYTHONPATH": str(ROOT)}}, address="local", **options)
        try:
            nodes = [node["Resources"] for node in ray.nodes()]  # type: ignore[no-untyped-call]
            url = ray.get_runtime_context().worker.node.webui_url if settings.dashboard else ""
            yield Joined(slots(settings, nodes, nodes), place, f"http://{url}" if url else "")
        finally:
            ray.shutdown()


@contextmanager
def _joined(settings: Settings, address: str, workplace: str) -> Iterator[Joined]:
    """The cluster at an address, with this program's code and data on its nodes."""
    _check_out(settings)
    found = resolved(address)
    with ExitStack() as stack:
        brought = stack.enter_context(code())
        _connect(settings.address, address=found, runtime_env={"env_vars": ENV, **brought})
        stack.callback(ray.shutdown)
        count = slots(settings, *_nodes(), more=addable(settings))
        ask = asked(settings)
        place = stack.enter_context(shipped(workplace, settings, lambda node: fit(ask, node) > 0))
        yield Joined(count, place)


def _connect(given: str | None, **options: Any) -> None:
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise refused(error, given) from error


def _nodes() -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """What each living node has, and what is free of it now."""
    alive = {n["NodeID"]: n["Resources"] for n in ray.nodes() if n["Alive"]}  # type: ignore[no-untyped-call]
    free = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    return list(alive.values()), [free.get(node, {}) for node in alive]


def _check_out(settings: Settings) -> None:
    """A Mistake where results would lie in the folder of a submitted job, which Ray removes."""
    for flag, path in (("--out", settings.out), ("--store", settings.store_url)):
        if "://" not in path and JOB_FOLDER in Path(path).expanduser().resolve().parts:
            what = "results would be lost: Ray removes the working directory of a job some time after it"
            right = "a folder that every node sees, such as --out /mnt/shared/runs"
            raise Mistake(what, where=f"{flag} {path}", right=right)


@contextmanager
def _own_group() -> Iterator[None]:
    """Ray's processes get a process group of their own: a signal to the command's whole group, which a scheduler or a
    terminal sends, is for the command to act upon; Ray's would end at a SIGTERM and every stage under way with it.

    Ray's processes end with their parent all the same (PR_SET_PDEATHSIG).
    """
    before = services.ConsolePopen
    services.ConsolePopen = partial(before, process_group=0)  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        services.ConsolePopen = before  # type: ignore[misc]


@contextmanager
def _loopback() -> Iterator[None]:
    """Ray of this machine alone listens on the loopback address alone, as it does on macOS and Windows.

    On Linux it takes `_node_ip_address="127.0.0.1"` for the machine's address on the network, and then listens on all.
    """
    name, before, there = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER, os.environ
    variable = there.get(name)
    there[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False  # the variable is for the processes that Ray starts
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if variable is None:
            there.pop(name, None)
        else:
            there[name] = variable
