"""Ray: one of our own on this machine, or the cluster at an address; and how many trials fit on it at once."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.settings import Settings

# Read by Ray when it is imported.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # one writer of ours in the driver instead
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000")  # the store resumes a study, not Tune
os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "30")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")

import ray

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def cluster(settings: Settings) -> Iterator[int]:
    """A Ray of our own on this machine, or the cluster at the address; gives the number of trials that fit at once.

    A Mistake where the address does not answer or nothing there has what a trial asks for.
    """
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    local, slots = settings.address is None, settings.max_concurrent
    _answers(settings.address)
    options: dict[str, Any] = {"include_dashboard": False} if local else {}
    if local and slots:
        options["num_cpus"] = max(slots * settings.cpus_per_trial, os.cpu_count() or 1)
    try:
        ray.init(
            address=settings.address or "local", logging_level=logging.ERROR, log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}}, **options,
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        right = "the address of a running Ray cluster, or no --address for this machine alone"
        told = str(error).splitlines()[0]
        raise Mistake(f"Ray cannot be reached: {told}", where=f"--address {settings.address}", right=right) from error
    try:
        yield _slots(settings)
    finally:
        ray.shutdown()


def _answers(address: str | None) -> None:
    """A Mistake where nothing listens at `host:port`; Ray itself would try for a minute and a half."""
    host, separator, port = (address or "").rpartition(":")
    if not separator or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        right = "the address of a running Ray cluster, `auto`, or no --address for this machine alone"
        raise Mistake(f"nothing answers there: {error}", where=f"--address {address}", right=right) from error


def _slots(settings: Settings) -> int:
    """How many trials run at once: what the cluster's resources allow, or fewer where it was asked."""
    available = ray.cluster_resources()  # type: ignore[no-untyped-call]
    slots = int(available.get("CPU", 0) // settings.cpus_per_trial)
    if settings.gpus_per_trial:
        slots = min(slots, int(available.get("GPU", 0) / settings.gpus_per_trial))
    if not slots:
        have = f"{available.get('CPU', 0):g} CPUs and {available.get('GPU', 0):g} GPUs"
        asked = f"{settings.cpus_per_trial} CPUs and {settings.gpus_per_trial:g} GPUs"
        flag = "--gpus-per-trial" if settings.gpus_per_trial else "--cpus-per-trial"
        raise Mistake(f"a trial asks for {asked}, and all of Ray has {have}", where=flag, right="less for each trial")
    return min(slots, settings.max_concurrent or slots)
