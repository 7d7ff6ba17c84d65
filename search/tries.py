"""What became of stages that did not end well: how often each was tried, with which split of its batches, and why not.

A stage that fails three times is given up. What is not its own fault does not count: a node that was lost, a store that
could not be reached. Memory that ran out counts only when its batches cannot be split further.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainables.attempt import Attempt

ATTEMPTS = 3
"""How often a stage may fail before its candidates are given up."""

NODES = 10
"""How often a stage may lose its node: one that brings nodes down must not go on for ever."""

MOST_PARTS = 64
"""Parts that a batch is cut into at most, and at most as many as it has examples."""

Fault = Literal["error", "memory", "node"]
"""What went wrong: the stage itself, or its worker's process; memory; the machine under it."""


@dataclass(frozen=True)
class Failure:
    """One attempt that did not end well. `trace` is the worker's traceback, empty where it died."""

    attempt: int
    fault: Fault
    reason: str
    worker: str
    split: int
    trace: str = ""


class Tries:
    """The failures of each stage, and the attempt that comes next."""

    def __init__(self) -> None:
        self.failures: dict[str, list[Failure]] = defaultdict(list)
        self._next: dict[str, Attempt] = {}

    def next(self, key: str) -> Attempt:
        """The stage's next attempt."""
        return self._next.get(key, Attempt())

    def failed(self, key: str, fault: Fault, reason: str, batch: int, worker: str = "", trace: str = "") -> bool:
        """Note a failure of the stage's present attempt; whether it may be tried again. `batch` is its batch size."""
        now = self.next(key)
        known = self.failures[key]
        known.append(Failure(now.number, fault, reason, worker, now.split, trace))
        split = now.split
        if fault == "memory" and split < min(batch, MOST_PARTS):
            split = min(2 * split, batch, MOST_PARTS)
        own = sum(one.fault == "error" for one in known)
        own += sum(one.fault == "memory" and one.split >= min(batch, MOST_PARTS) for one in known)
        if own >= ATTEMPTS or sum(one.fault == "node" for one in known) >= NODES:
            return False
        self._next[key] = replace(now, number=now.number + 1, split=split, over=worker or now.over)
        return True

    def over(self, key: str, holder: str) -> None:
        """Another study's attempt at the stage has come to nothing: ours may begin."""
        self._next[key] = replace(self.next(key), over=holder)

    def told(self, key: str) -> list[dict[str, Any]]:
        """The stage's failures as rows, for the run folder."""
        return [vars(one) for one in self.failures.get(key, ())]
