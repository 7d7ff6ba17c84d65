"""The storing of what a worker makes, beside its further work, under the attempts that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch

from trainables import watch
from trainables.attempt import Attempt
from trainables.attempts import Attempts, Held, Lease
from trainables.node_cache import NodeCache
from trainables.stage import Stage
from trainables.store import Store, StoreTrouble
from trainables.threads import OwnThread


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: `made` here, or `found` in the store."""

    key: str
    kind: str
    made: bool
    seconds: float
    parent: str
    """Where the parent's weights came from: `base`, `memory` (this process), `node` or `store`."""
    worker: str
    bytes: int = 0
    """What was stored."""
    split: int = 1
    examples: int = 0
    tokens: int = 0
    queries: int = 0


@dataclass(frozen=True)
class Made:
    """A stage that was made and is to be stored; `content` makes its blobs, which takes a while of large weights."""

    stage: Stage
    attempt: Attempt
    figures: Mapping[str, Any]
    content: Callable[[], dict[str, bytes]]
    source: str
    seconds: float
    counts: watch.Counts


class Storing:
    """A worker's attempts at stages, and the storing of what it made, on a thread of its own."""

    def __init__(self, store: Store, worker: str, cache: NodeCache | None) -> None:
        """`worker` is the name that the worker's signs of life are under."""
        self.store, self.worker, self.attempts = store, worker, Attempts(store, worker)
        self._cache = cache
        self._leases: dict[str, Lease] = {}  # of the stages that are under way
        self._thread = OwnThread("store")
        self._last: tuple[str, Future[Outcome]] | None = None

    def begin(self, stage: Stage, attempt: Attempt, **about: Any) -> Lease:
        """Hold a stage. attempts.Held where another worker is at it."""
        told = {"kind": stage.kind, "tasks": stage.tasks, "attempt": attempt.number, "split": attempt.split, **about}
        lease = self.attempts.begin(stage.key, told, attempt.over)
        self._leases[stage.key] = lease
        return lease

    @contextmanager
    def held(self, leases: Iterable[Lease]) -> Iterator[None]:
        """Work on stages that are held; the attempts at them end with what it raises."""
        try:
            yield
        except BaseException as error:
            self._end(leases, f"{type(error).__name__}: {error}")
            raise

    def give_up(self, reason: str) -> None:
        """End the attempts at all stages that are under way, so that others may begin them at once."""
        self._end(self._leases.values(), reason)

    def end(self, lease: Lease, reason: str) -> None:
        """End the attempt at a stage."""
        self._end([lease], reason)

    def _end(self, leases: Iterable[Lease], reason: str) -> None:
        for lease in list(leases):
            if self._leases.pop(lease.key, None):
                with suppress(StoreTrouble):
                    self.attempts.end(lease, reason[:500])

    def put(self, made: Made, lease: Lease) -> Future[Outcome]:
        """The outcome of a stage once it is stored, Held where another worker has taken it over, StoreTrouble.

        One is stored after the other, and no more than one waits: memory holds no more than two. No stage is stored
        whose parent could not be: raises what the parent's future does.
        """
        self.settle()
        if self._last and self._last[0] == made.stage.parent and (error := self._last[1].exception()):
            raise error
        self._last = made.stage.key, self._thread.submit(lambda: self._put(made, lease))
        return self._last[1]

    def settle(self, key: str | None = None) -> None:
        """Wait until all that was made, or this stage of it, is stored or could not be."""
        if self._last and key in (None, self._last[0]):
            wait([self._last[1]])

    def _put(self, made: Made, lease: Lease) -> Outcome:
        stage, attempt = made.stage, made.attempt
        about = {"worker": self.worker, "seconds": made.seconds, "parent_from": made.source, "torch": torch.__version__,
                 "attempt": attempt.number, "split": attempt.split}  # fmt: skip
        with self.held([lease]):
            blobs = made.content()
            # One that was taken for dead and is not leaves it to who took it over: equal keys mean equal results.
            if self.attempts.holds(lease):
                cache = self._cache if stage.kind == "train" else None
                self.store.put(stage.key, {"stage": asdict(stage), **made.figures, **about}, blobs, cache)
            elif not self.store.has(stage.key):
                raise Held(stage.key, "", lease.number + 1)
            self.attempts.done(lease)
        self._leases.pop(stage.key, None)
        size = sum(map(len, blobs.values()))
        return Outcome(
            stage.key, stage.kind, True, made.seconds, made.source, self.worker, size, attempt.split,
            **made.counts._asdict(),
        )  # fmt: skip
