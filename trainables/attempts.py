"""Who works at which stage: attempts, the signs of life of workers, and when an attempt is over.

An attempt is a file `attempts/KEY/N.json`, N = 1, 2, 3 ..., created in one atomic step that fails where there is one.
So among all workers of all studies one gets the number, which is the attempt's fencing token: whoever has the newest
number holds the stage, and who finds a newer one than its own has lost it and discards its result.

A worker shows that it lives by a counter in `alive/WORKER.json`. Whether a holder is gone is decided by a counter that
stands still, by the observer's own clock, or by asking this machine whether the process exists. No time of day is read
or compared anywhere, so clocks may differ and jump.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from trainables.processes import Process, is_gone, this_process
from trainables.store import Store, StoreTrouble, parsed

SMALL = 64 * 2**10
"""Bytes that are read of an attempt or a sign of life at most. They have some hundred."""

EVERY, STILL = 5.0, 30.0
"""Seconds between signs of life, and for how long there may be none."""

NUMBER = re.compile(r"([1-9][0-9]{0,11})\.json")
PLAIN = re.compile(r"[\w.:~-]{1,200}", re.ASCII)

STORED = "stored"
"""How an attempt has ended whose stage is in the store."""

_log = logging.getLogger("order_search.store")


class Held(Exception):
    """Another worker holds the stage."""

    def __init__(self, key: str, holder: str, number: int) -> None:
        """`holder` is empty where the attempt's file says nothing that can be read."""
        super().__init__(key, holder, number)
        self.key, self.holder, self.number = key, holder, number

    def __str__(self) -> str:
        return f"stage {self.key} is held by {self.holder or 'an attempt that cannot be read'} (attempt {self.number})"


@dataclass(frozen=True)
class Lease:
    """A stage that a worker holds, until there is an attempt with a greater number (the fencing token)."""

    key: str
    number: int
    holder: str


class _Attempt(NamedTuple):
    """An attempt as its file says; all empty where the file is malformed."""

    worker: str = ""
    token: str = ""
    ended: str = ""
    process: Process | None = None
    about: Mapping[str, Any] | None = None

    @property
    def is_gone(self) -> bool:
        """Whether its process was of this machine and has ended."""
        return self.process is not None and is_gone(self.process)

    @classmethod
    def read(cls, content: bytes) -> _Attempt:
        match about := parsed(content):
            case {"worker": str(worker), "token": str(token)}:
                ended = about.get("ended")
                return cls(worker, token, ended if isinstance(ended, str) else "", Process.read(about), about)
        return cls()


class Sign(NamedTuple):
    """A worker's sign of life. The process is None where the file does not say."""

    counter: int
    process: Process | None


class Beat:
    """A worker's signs of life: a daemon thread that counts up in `alive/WORKER.json`."""

    def __init__(
        self, store: Store, worker: str, every: float = EVERY, progress: Callable[[], int] | None = None
    ) -> None:
        """A sign every `every` seconds; `progress` gives a number that grows while the worker gets on."""
        self._store, self._worker, self._every, self._progress = store.hasty(), worker, every, progress or (lambda: 0)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)
        self._counter = 0

    def start(self) -> None:
        """Give the first sign, then go on."""
        self._sign()
        self._thread.start()

    def stop(self) -> None:
        """Give no more signs, and take the file away."""
        self._stopped.set()
        self._thread.join(2 * self._every)
        with suppress(StoreTrouble):
            self._store.medium.delete(_alive(self._worker))

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self._sign()

    def _sign(self) -> None:
        self._counter += 1
        about = {"counter": self._counter, **this_process()._asdict(), "progress": self._progress()}
        try:  # every sign is as long as the last, for it is overwritten in place
            self._store.medium.renew(_alive(self._worker), json.dumps(about).encode().ljust(1024))
        except StoreTrouble as trouble:  # the next sign is as good
            _log.warning("no sign of life: %s", trouble)


class Attempts:
    """One worker's attempts."""

    def __init__(self, store: Store, worker: str) -> None:
        """`worker` is the name that the worker's signs of life are under."""
        self._store, self._worker = store, worker
        self._token = secrets.token_hex(8)  # names of workers may meet (pids are used again), these do not

    def begin(self, key: str, about: Mapping[str, Any], over: str | None = None) -> Lease:
        """Take the next number of a stage, and note what is tried before it is begun.

        Held where the newest attempt has not ended and is another worker's, unless that one is `over` (someone saw it
        standing still: `Watcher`) or was a process of this machine that is gone.
        """
        own = {**about, "worker": self._worker, "token": self._token, **this_process()._asdict()}
        content = json.dumps(own).encode()
        if len(content) > SMALL:
            raise ValueError(f"{len(content)} bytes are too much to say of an attempt")
        number = newest(self._store, key)
        while True:
            if number:
                last = self._read(key, number)
                if not (last.ended or last.worker == over or self._is_mine(last) or last.is_gone):
                    raise Held(key, last.worker, number)
            number += 1
            # Where a request was repeated after its answer was lost, the file is there and ours.
            if self._store.medium.create(_file(key, number), content) or self._read(key, number).token == self._token:
                return Lease(key, number, self._worker)

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is the stage's newest, and its file is still this worker's."""
        return newest(self._store, lease.key) == lease.number and self._is_own(lease)

    def end(self, lease: Lease, reason: str) -> None:
        """Note why an attempt has ended, so that another may begin at once."""
        attempt = self._read(lease.key, lease.number)
        if attempt.token == self._token and attempt.about is not None:
            about = {**attempt.about, "ended": reason[:1000] or "ended"}
            self._store.medium.replace(_file(lease.key, lease.number), json.dumps(about).encode())

    def done(self, lease: Lease) -> None:
        """Note that the attempt's stage is stored."""
        self.end(lease, STORED)

    @staticmethod
    def all(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
        """The key of every stage that was begun, and what its worker noted then, once an attempt that can be read."""
        found = [(path.split("/"), path) for path in store.medium.files("attempts")]
        for (_, key, name), path in sorted(one for one in found if len(one[0]) == 3):
            if NUMBER.fullmatch(name):
                with suppress(FileNotFoundError):
                    about = _Attempt.read(store.medium.read(path, SMALL)).about
                    if about is not None:
                        yield key, dict(about)

    def _read(self, key: str, number: int) -> _Attempt:
        return _attempt(self._store, key, number)

    def _is_own(self, lease: Lease) -> bool:
        return self._read(lease.key, lease.number).token == self._token

    def _is_mine(self, last: _Attempt) -> bool:
        """Whether an attempt is this worker's, also from before it was made anew in the same process."""
        return last.token == self._token or (last.worker == self._worker and last.process == this_process())


class Watcher:
    """Looks whether those who hold stages still live. In the driver, for holders of other studies and its own."""

    def __init__(self, store: Store, still: float = STILL, clock: Callable[[], float] = time.monotonic) -> None:
        """A holder is gone when its counter has stood still for `still` seconds of `clock`, while we could look."""
        self._store, self._still, self._clock = store.hasty(), still, clock
        self._seen: dict[str, tuple[Sign | None, float]] = {}  # by worker and attempt: the last sign, and since when
        self._blind_until = float("-inf")

    def look(self, key: str, holder: str) -> Literal["held", "over", "stored"]:
        """What has become of a stage that `holder` held.

        `over` where its newest attempt has ended, or the holder's counter stands still, or, at once, where it was a
        process of this machine that is gone. Where the store is in trouble nothing can be said, so it is `held`, and
        time begins anew: a holder that could not write, or was not seen, is not dead.
        """
        if self._clock() < self._blind_until:
            return "held"
        try:
            return self._look(key, holder)
        except StoreTrouble:
            self._seen.clear()
            self._blind_until = self._clock() + min(EVERY, self._still / 6)
            return "held"

    def _look(self, key: str, holder: str) -> Literal["held", "over", "stored"]:
        if self._store.has(key):
            return "stored"
        number = newest(self._store, key)
        attempt = _attempt(self._store, key, number) if number else _Attempt(ended="there is none")
        if attempt.ended or attempt.is_gone:
            return "over"
        worker = attempt.worker or holder
        sign = sign_of(self._store, _alive(worker))
        place = f"{worker} {key} {number}" if sign is None else worker
        now = self._clock()
        known = self._seen.get(place)
        if known is None or known[0] != sign:
            self._seen[place] = sign, now
            return "held"
        return "over" if now - known[1] >= self._still else "held"


def sign_of(store: Store, path: str) -> Sign | None:
    """A sign of life; None where there is none that can be read."""
    try:
        match about := parsed(store.medium.read(path, SMALL)):
            case {"counter": int(counter)}:
                return Sign(counter, Process.read(about))
    except FileNotFoundError:
        pass
    return None


def _alive(worker: str) -> str:
    """Where a worker's sign of life is. Names come from files of the store: an odd one does not lead out of it."""
    return f"alive/{worker if PLAIN.fullmatch(worker) else hashlib.sha256(worker.encode()).hexdigest()}.json"


def _file(key: str, number: int) -> str:
    return f"attempts/{key}/{number}.json"


def newest(store: Store, key: str) -> int:
    """The number of a stage's newest attempt, 0 where there is none."""
    found = (NUMBER.fullmatch(name) for name in store.medium.names(f"attempts/{key}"))
    return max((int(match[1]) for match in found if match), default=0)


def _attempt(store: Store, key: str, number: int) -> _Attempt:
    try:
        return _Attempt.read(store.medium.read(_file(key, number), SMALL))
    except FileNotFoundError:
        return _Attempt()


def last_words(store: Store, key: str) -> str:
    """Why a stage's newest attempt has ended, as its worker noted; empty where it did not come to that."""
    number = newest(store, key)
    return _attempt(store, key, number).ended if number else ""
