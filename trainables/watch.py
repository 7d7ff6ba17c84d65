"""Whether a worker is still at work: a sign of life and a count once a batch, and a thread that ends a hung process.

Neither torch nor Ray is imported here. The thread needs the interpreter's lock: a process in which a thread holds that
and never lets it go looks alive to nobody inside, so such hangs are found from outside, by the worker's heartbeat.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self, TypeVar, overload

STALLED = 70
"""The exit code of a process that was ended because it stood still."""

LONGEST_TICK = 5.0
"""Seconds between two looks of the thread at most."""

STDERR = 2
"""The process's own standard error, whatever `sys.stderr` has been made to be."""

T = TypeVar("T")


class Counts(NamedTuple):
    """What a stage has done so far: examples and tokens (padding not counted) that the model was given, and queries
    that attacks asked. What is read again (in every epoch, after an edit) counts again."""

    examples: int = 0
    tokens: int = 0
    queries: int = 0


class _State:
    """What this process is at. One thread works and beats; others may read."""

    __slots__ = ("beats", "depth", "examples", "queries", "tokens")

    def __init__(self) -> None:
        self.beats = self.examples = self.tokens = self.queries = self.depth = 0


_state = _State()


def beat(examples: int = 0, tokens: int = 0, queries: int = 0) -> None:
    """Say that the work goes on, and what was just done (`Counts`). Costs under a microsecond: no clock is read."""
    state = _state
    state.beats += 1
    state.examples += examples
    state.tokens += tokens
    state.queries += queries


def counts() -> Counts:
    """What was done since the work of this process began: the stage's so far, the last one's once it has ended."""
    return Counts(_state.examples, _state.tokens, _state.queries)


def beating(things: Iterable[T]) -> Iterator[T]:
    """The things one after the other, with a beat before each and one after the last."""
    for thing in things:
        beat()
        yield thing
    beat()


class Beating(Sequence[T]):
    """A sequence with a beat for each of its things that is looked at: what loops over it need not know."""

    def __init__(self, things: Sequence[T]) -> None:
        self._things = things

    def __len__(self) -> int:
        return len(self._things)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        beat()
        return self._things[place]


@contextmanager
def beating_module(module: Any) -> Iterator[None]:
    """A beat for every call of a torch module: where the loop that calls it is another library's."""
    handle = module.register_forward_hook(lambda *_: beat())
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def work() -> Iterator[None]:
    """A stage's work: counts begin at 0, and a `Watch` looks for beats. Work within work is part of it."""
    if _state.depth == 0:
        _state.examples = _state.tokens = _state.queries = 0
    _state.depth += 1
    beat()
    try:
        yield
    finally:
        beat()
        _state.depth -= 1


@contextmanager
def uncounted() -> Iterator[None]:
    """Work that is no stage's own (something is measured): beats are signs of life, but nothing is counted."""
    before = counts()
    try:
        yield
    finally:
        _state.examples, _state.tokens, _state.queries = before


class Watch:
    """A daemon thread that ends the process once its work has had no beat for `stall_timeout` seconds.

    It then writes the stacks of all threads to standard error, calls `on_stall` with the reason, and exits with
    `STALLED`, without waiting for anything: what hangs may hang for ever. `on_stall` has `patience` seconds, and what
    it raises is passed over. Outside `work()` nothing is ended.

    Time is what passes while the process runs: a stopped or frozen one (SIGSTOP, a suspended machine, a paused
    container) does not count as standing still. A stall is seen up to a twentieth of the timeout late, 5 s at most.
    """

    def __init__(self, stall_timeout: float, on_stall: Callable[[str], None], patience: float = 30.0) -> None:
        if stall_timeout <= 0:
            raise ValueError(f"a worker cannot be given {stall_timeout} seconds for a batch")
        self._timeout, self._on_stall, self._patience = stall_timeout, on_stall, patience
        self._tick = min(LONGEST_TICK, stall_timeout / 20)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def start(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _look(self) -> None:
        still, seen, last = 0.0, _state.beats, time.monotonic()
        while not self._over.wait(self._tick):
            now = time.monotonic()
            # A tick that took much longer than asked was not this process's: it was stopped, or had no processor.
            passed, last = min(now - last, 2 * self._tick), now
            if _state.beats != seen or not _state.depth:
                still, seen = 0.0, _state.beats
                continue
            still += passed
            if still >= self._timeout:
                self._end(f"no batch for {still:.0f} s")
                return

    def _end(self, reason: str) -> None:
        with suppress(OSError):
            os.write(STDERR, f"{reason}: this worker is ended. What its threads are at:\n".encode())
            faulthandler.dump_traceback(STDERR, all_threads=True)
        told = threading.Thread(target=self._tell, args=(reason,), daemon=True)
        told.start()
        told.join(self._patience)
        os._exit(STALLED)

    def _tell(self, reason: str) -> None:
        try:
            self._on_stall(reason)
        except Exception as error:  # noqa: BLE001 - the process is ended either way
            with suppress(OSError):
                os.write(STDERR, f"on_stall: {type(error).__name__}: {error}\n".encode())
