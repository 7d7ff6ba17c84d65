"""Ends workers that have stopped: a process whose heart does not beat hangs where no thread of its own can end it.

A worker's own watch ends it when no batch is done for long. Where the interpreter's lock is held, that thread hangs
too, and with it the one that renews the worker's heartbeat in the store: the driver sees that and kills the process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from trainables.console import say
from trainables.store import StoreTrouble

if TYPE_CHECKING:
    from trainables.store import Store

LOOK_SECONDS = 5.0


class Pulse:
    """Looks at the heartbeats of workers that run a path, in a thread of its own."""

    def __init__(self, store: Store, timeout: float) -> None:
        """A worker is killed when its counter has stood still for `timeout` seconds of this process's clock."""
        self._store, self._timeout = store, timeout
        self._places: dict[str, tuple[str, int]] = {}
        self._seen: dict[str, tuple[Any, float]] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()

    def watch(self, worker: str, node: str, pid: int) -> None:
        """A worker has begun a path."""
        self._seen.pop(worker, None)
        self._places[worker] = node, pid

    def forget(self, worker: str) -> None:
        """Its path has ended."""
        self._places.pop(worker, None)

    def _run(self) -> None:
        while not self._end.wait(min(LOOK_SECONDS, self._timeout / 4)):
            with suppress(StoreTrouble):
                self.look()

    def look(self) -> None:
        """Kill those that have stood still too long."""
        for worker, (node, pid) in list(self._places.items()):
            about = self._store.document(f"alive/{worker}.json")
            counter = about.get("counter") if isinstance(about, dict) else None
            now = time.monotonic()
            known, since = self._seen.get(worker, (self, now))
            if counter != known:
                self._seen[worker] = counter, now
            elif now - since > self._timeout and worker in self._places:
                self.forget(worker)
                say(f"worker {worker} has given no sign of life for {now - since:.0f} s and is ended")
                kill(node, pid, about.get("started") if isinstance(about, dict) else None)


def kill(node: str, pid: int, started: Any = None) -> None:
    """End a worker process on a node, unless the process of that number is another one by now (`started`: since when,
    as `trainables.processes` tells it)."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if node == ray.get_runtime_context().get_node_id():
        _kill(pid, started)
        return
    strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    ray.remote(_kill).options(num_cpus=0, scheduling_strategy=strategy, max_retries=0).remote(pid, started)


def _kill(pid: int, started: Any) -> None:
    from trainables import processes

    with suppress(ProcessLookupError):
        if started is None or processes.started(pid) == started:
            os.kill(pid, signal.SIGKILL)
