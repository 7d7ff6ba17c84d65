"""Which process this is, and whether another process of this machine still exists: for leases and heartbeats.

A process is known by its host (name, boot and pid namespace, for containers share names and numbers), its number and
when it started. The start is counted in clock ticks since the boot, which no change of the time of day moves.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple


class Process(NamedTuple):
    """A process of some machine. `started` is in ticks since that machine's boot; 0 where that is not known."""

    host: str
    pid: int
    started: int

    @classmethod
    def read(cls, about: Mapping[str, Any]) -> Process | None:
        """From a document of the store; None where it does not say."""
        match about:
            case {"host": str(host), "pid": int(pid), "started": int(started)} if 0 < pid < 2**31:
                return cls(host, pid, started)
        return None


def started(pid: int) -> int:
    """When a process of this machine started, in ticks since the boot; 0 where that cannot be read."""
    return _stat(pid)[1]


def this_process() -> Process:
    """This process."""
    return _process(os.getpid())


def is_gone(process: Process) -> bool:
    """Whether a process has surely ended: it was of this machine, and there is none of its number and start any more.

    False for processes of other machines, and of this one where boots or namespaces cannot be told apart.
    """
    return _is_here(process) and not _lives(process)


def exists(process: Process) -> bool:
    """Whether a process is surely there: it is of this machine, and has not ended."""
    return _is_here(process) and _lives(process)


def _is_here(process: Process) -> bool:
    return process.host == host() and bool(_boot() and _namespace())


def _lives(process: Process) -> bool:
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists and is another user's
        return True
    state, since = _stat(process.pid)
    return state not in ("Z", "X") and not (since and process.started and since != process.started)


@lru_cache(maxsize=1)
def host() -> str:
    """What tells this machine (or container) from all others: its name, boot and pid namespace."""
    return " ".join(part for part in (socket.gethostname(), _boot(), _namespace()) if part)


@lru_cache(maxsize=1)
def _process(pid: int) -> Process:
    return Process(host(), pid, started(pid))


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@lru_cache(maxsize=1)
def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, int]:
    """The state of a process and its start in ticks since the boot."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # the name before may hold anything
        return fields[0].decode("ascii"), int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", 0
