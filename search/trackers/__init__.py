"""`--tracker`: every candidate as a run of an experiment tracker, written besides what the run folder holds.

A candidate is written when it is told, all at once, by a thread of its own: neither a slow tracker nor a broken one
holds up the study. What could not be written is told once; everything is in the run folder anyway.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search.candidate import Candidate
from search.prices import Ledger, Prices
from search.recorder import attributes_of
from trainables.console import say
from trainables.errors import Mistake
from trainables.redaction import redacted

if TYPE_CHECKING:
    from search.settings import Settings

NEEDED = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}
"""The trackers, and the packages that each needs."""

GIVE_UP = 3
"""After so many failures in a row nothing more is tried."""

PATIENCE = 60.0
"""Seconds without progress after which the end of a study no longer waits for its tracker."""


@dataclass(frozen=True)
class Tracked:
    """A candidate as a tracker shows it. Scores are percent, the price is the estimated seconds of its stages alone."""

    name: str
    params: dict[str, str | int | float]
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """`complete`, `pruned` or `failed`."""
        return self.tags["status"]


class Writer(Protocol):
    """A tracker's library; raises whatever that raises. All calls come from one thread."""

    def open(self, folder: Path) -> None:
        """Begin the study of a run folder, or go on with it."""

    def write(self, tracked: Tracked) -> None:
        """One candidate; one that is there already is left as it is."""

    def close(self, status: str) -> None:
        """The study has ended as `done`, `stopped` or `failed`."""


class Tracking:
    """The planner's listener; what is heard before `open` is kept till then."""

    def __init__(self, name: str, writer: Writer, settings: Settings, tell: Callable[[str], None] = say) -> None:
        """`name` is the tracker's."""
        self._name, self._writer, self._settings, self._tell = name, writer, settings, tell
        self._told: list[Mapping[str, Any]] | None = []
        self._ledger: Ledger | None = None
        self._reasons: dict[str, str] = {}
        self._queue: queue.SimpleQueue[tuple[Mapping[str, Any], float, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._status, self._put, self._done, self._lost = "failed", 0, 0, 0
        self._failures = 0

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """Takes note of `told` and of why runs have `failed`."""
        if event == "failed":
            self._reasons.setdefault(str(about["name"]).rpartition(" #")[0], str(about["reason"]))
        elif event == "told":
            if self._told is not None:
                self._told.append(about)
            elif self._ledger is not None:
                self._give(about, self._ledger)

    def open(self, folder: Path, prices: Prices) -> None:
        """Begin to write, for a run folder; where, is the tracker's to say."""
        told, self._told = self._told or [], None
        self._ledger = Ledger(prices)
        self._thread = threading.Thread(target=self._run, args=(folder,), name="tracker", daemon=True)
        self._thread.start()
        for about in told:
            self._give(about, self._ledger)

    def close(self, status: str) -> None:
        """Wait until all is written, but not for a tracker that has stopped answering."""
        if self._thread is None:
            return
        self._status = status
        self._queue.put(None)
        done, since = -1, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < PATIENCE:
            if self._done != done:
                done, since = self._done, time.monotonic()
            self._thread.join(0.2)
        self._ledger = None
        missing = self._put - self._done + self._lost
        if missing:
            self._tell(f"{missing} of {self._put} candidates are not in {self._name}; they are in the run folder")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _give(self, about: Mapping[str, Any], ledger: Ledger) -> None:
        candidate: Candidate = about["candidate"]
        reason = self._reasons.pop(candidate.name, "")
        self._put += 1
        self._queue.put((about, ledger.naive([candidate]), reason))

    def _run(self, folder: Path) -> None:
        """The thread: one candidate after another until None."""
        self._tried(partial(self._writer.open, folder), GIVE_UP)
        while (one := self._queue.get()) is not None:
            if self._failures >= GIVE_UP or not self._tried(partial(self._write, folder.name, *one)):
                self._lost += 1
            self._done += 1
        if self._failures < GIVE_UP:
            self._tried(partial(self._writer.close, self._status))

    def _write(self, study: str, about: Mapping[str, Any], price: float, reason: str) -> None:
        self._writer.write(tracked(about, self._settings, price, study, reason))

    def _tried(self, act: Callable[[], None], weight: int = 1) -> bool:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a study needs no tracker
            first, self._failures = not self._failures and not self._lost, self._failures + weight
            if first:
                told = redacted(f"{type(error).__name__}: {error}".splitlines()[0])
                self._tell(f"{self._name} could not be written to, the study goes on: {told}")
            return False
        self._failures = 0
        return True


def tracking(settings: Settings, where: str = "--tracker") -> Tracking | None:
    """What the settings ask for, if anything; a Mistake where its library is not installed. `where` names the flag or
    the file that asks."""
    name = settings.tracker
    if name is None:
        return None
    missing = [package for package in NEEDED[name] if find_spec(package) is None]
    if missing:
        right = "pip install 'order-search[trackers]', or no tracker"
        raise Mistake(f"{name} needs packages that are not installed: {', '.join(missing)}", where=where, right=right)
    if name == "mlflow":
        from search.trackers.mlflow import MlflowWriter

        return Tracking(name, MlflowWriter(), settings)
    from search.trackers.wandb import WandbWriter

    return Tracking(name, WandbWriter(), settings)


def tracked(about: Mapping[str, Any], settings: Settings, price: float, study: str, reason: str = "") -> Tracked:
    """A candidate that was told. `price` is in estimated seconds, `study` the run folder's name, `reason` why a run of
    it failed."""
    candidate: Candidate = about["candidate"]
    values, attributes = about["values"], attributes_of(about["rows"], settings.objective)
    params: dict[str, str | int | float] = {
        "order": str(candidate.order), "stages": len(candidate.order), "method": candidate.method,
        "learning_rate": candidate.learning_rate, "budget": candidate.budget, "roots": attributes["roots"],
    }  # fmt: skip
    if candidate.prompt_length is not None:
        params["prompt_length"] = candidate.prompt_length
    metrics = {"price": price}
    for goal, value in zip(settings.goals, values or (), strict=False):
        if goal != "cost":  # it is minus the price
            metrics[goal] = 100 * value
    zero_shot = attributes["zero-shot by target"]
    if zero_shot:
        metrics["zero-shot"] = sum(zero_shot.values()) / len(zero_shot)
    metrics |= {f"zero-shot/{target}": value for target, value in zero_shot.items()}
    metrics |= {f"zero-shot language/{code}": value for code, value in attributes["zero-shot by language"].items()}
    seen = attributes[f"{settings.objective} by target"]
    metrics |= {f"{settings.objective}/{target}": value for target, value in seen.items()}
    status = "pruned" if about["pruned"] else "failed" if values is None else "complete"
    tags = {"study": study, "status": status, "objective": settings.objective}
    if status == "failed":
        tags["reason"] = redacted(reason or "a run of it has no scores")[:500]
    return Tracked(candidate.name, params, {name: v for name, v in metrics.items() if math.isfinite(v)}, tags)
