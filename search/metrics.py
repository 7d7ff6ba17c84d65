"""A running study's metrics for Prometheus, which Ray exports: `ray_order_search_…` on every node's metrics port.

All of them are the driver's, whatever its workers are, so that no gauge of a dead worker is left standing. They say
what the listener hears and what the planner says when it is asked. Where nothing can be exported the study goes on
without.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from trainables.console import say
from trainables.redaction import redacted

if TYPE_CHECKING:
    from search.planner import Planner
    from trainables.stage import Stage

POLL_SECONDS = 2.0
"""How often the planner is asked; Ray exports every 10 s."""

SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0)
"""The upper bounds of the histogram's buckets."""


class Metric(NamedTuple):
    """One metric: `tags` come besides `study`, the run folder's name, which all have."""

    name: str
    type: Literal["gauge", "counter", "histogram"]
    help: str
    tags: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """Its name in Prometheus; of a histogram the buckets' (Ray's `_sum` is of bucket middles: not used)."""
        return f"ray_{self.name}{ {'gauge': '', 'counter': '_total', 'histogram': '_bucket'}[self.type] }"


METRICS = {metric.name.removeprefix("order_search_"): metric for metric in (
    Metric("order_search_stages", "gauge",
           "Stages that are planned, by state: ready, running, done, reused, failed, waiting, held", ("state",)),
    Metric("order_search_candidates", "gauge",
           "Candidates, by state: open, complete, pruned, failed", ("state",)),
    Metric("order_search_workers", "gauge",
           "Workers that run a stage (busy), and places for workers that do not (free)", ("state",)),
    Metric("order_search_best_score", "gauge",
           "Best mean zero-shot score over targets and languages so far, a share of 1"),
    Metric("order_search_saved_seconds", "gauge",
           "Estimated seconds that sharing and reuse of stages have spared so far"),
    Metric("order_search_store_bytes", "gauge",
           "What the stages in the store take, in bytes, as far as this run knows"),
    Metric("order_search_stages_ended", "counter",
           "Stages made by this run, by kind", ("kind",)),
    Metric("order_search_stages_found", "counter",
           "Stages that were there when a worker came to them, by kind", ("kind",)),
    Metric("order_search_busy_seconds", "counter",
           "Seconds that workers have spent on stages that ended, by kind", ("kind",)),
    Metric("order_search_stage_seconds", "histogram",
           "Seconds that one stage took, by kind", ("kind",)),
    Metric("order_search_examples", "counter",
           "Examples that went through a model, by kind of stage; counted when the stage ends", ("kind",)),
    Metric("order_search_tokens", "counter",
           "Tokens that went through a model, by kind of stage; counted when the stage ends", ("kind",)),
    Metric("order_search_attack_queries", "counter",
           "Texts that attacks have asked a model about; counted when the stage ends"),
    Metric("order_search_parents", "counter",
           "Where the weights came from that a stage started from: base, memory, node, store", ("source",)),
    Metric("order_search_halved_batches", "counter",
           "Stages made with batches in parts, because memory ran out before"),
    Metric("order_search_retries", "counter",
           "Stages that are tried again"),
    Metric("order_search_lost_workers", "counter",
           "Stages whose worker died or was ended while it ran them"),
    Metric("order_search_quarantined_stages", "counter",
           "Stages given up"),
    Metric("order_search_failed_runs", "counter",
           "Runs (a candidate at one root) that failed"),
    Metric("order_search_collected_bytes", "counter",
           "Bytes of weights taken out of the store because nothing waited for them"),
)}  # fmt: skip
"""Every metric by its short name."""

KINDS = ("train", "score", "attack", "perturbations", "representations", "forgetting")
SOURCES = ("base", "memory", "node", "store")
TAGS = {"kind": KINDS, "source": SOURCES}
"""What counters' tags may be: each such series begins at 0, since Prometheus counts no increase to a first value."""


def kind_of(stage: Stage) -> str:
    """What a stage does, one of KINDS."""
    return stage.measure or stage.kind


class Metrics:
    """A listener and poll of the planner that sets the metrics; nothing is exported before `open`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ray: dict[str, Any] = {}
        self._study = ""
        self._planner: Planner | None = None
        self._slots = 0
        self._polled = -math.inf
        self._set: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        self._early: list[tuple[str, float, dict[str, str]]] | None = []  # what was heard before `open`
        self.candidates = {"open": 0, "complete": 0, "pruned": 0, "failed": 0}

    def open(self, study: str, planner: Planner, slots: int) -> None:
        """Begin to export under a study's name, once this process is connected to Ray. `slots` is the number of workers
        that there is room for."""
        early, self._early = self._early or [], None
        try:
            self._ray = {short: _made(metric) for short, metric in METRICS.items()}
        except Exception as error:  # noqa: BLE001 - a study needs no dashboard
            self._without(error)
            return
        self._study, self._planner, self._slots = study, planner, slots
        for short, metric in METRICS.items():
            if metric.type == "counter":
                self._begin(short, metric.tags)
        for short, value, tags in early:
            self._count(short, value, **tags)
        self.tick()

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """The planner's listener."""
        if event == "stage":
            self._stage(about)
        elif event == "proposed":
            self.candidates["open"] += 1
        elif event == "told":
            self.candidates["open"] -= 1
            state = "pruned" if about["pruned"] else "complete" if about["values"] is not None else "failed"
            self.candidates[state] += 1
        elif event == "collected":
            self._count("collected_bytes", about["bytes"])
        elif event in _COUNTED:
            self._count(_COUNTED[event], 1)

    def tick(self) -> None:
        """Called often; asks the planner every POLL_SECONDS."""
        now = self._clock()
        if self._planner is not None and now - self._polled >= POLL_SECONDS:
            self._polled = now
            self._poll(self._planner)

    def close(self) -> None:
        """The gauges' series end: what is left of a study are its counters. Ray passes this on when it is shut down."""
        for short, tags in list(self._set):
            self._gauge(short, math.nan, **dict(tags))
        self._ray, self._planner = {}, None

    # --- inside -------------------------------------------------------------------------------------------------------

    def _stage(self, about: Mapping[str, Any]) -> None:
        kind = kind_of(about["stage"])
        if not about["made"]:
            self._count("stages_found", 1, kind=kind)
            return
        self._count("stages_ended", 1, kind=kind)
        self._count("busy_seconds", about["seconds"], kind=kind)
        self._call("stage_seconds", "observe", about["seconds"], kind=kind)
        self._count("examples", about.get("examples", 0), kind=kind)
        self._count("tokens", about.get("tokens", 0), kind=kind)
        self._count("attack_queries", about.get("queries", 0))
        self._count("halved_batches", int(about.get("split", 1) > 1))
        if about.get("parent") in SOURCES:
            self._count("parents", 1, source=about["parent"])

    def _poll(self, planner: Planner) -> None:
        for state, number in planner.counts().items():
            self._gauge("stages", number, state=state)
        for state, number in self.candidates.items():
            self._gauge("candidates", number, state=state)
        busy = len({worker for worker in planner.running.values() if worker})
        self._gauge("workers", busy, state="busy")
        self._gauge("workers", max(0, self._slots - busy), state="free")
        self._gauge("saved_seconds", planner.saved)
        self._gauge("store_bytes", planner.store_bytes)
        for _, score, _ in planner.standings()[:1]:
            self._gauge("best_score", score)

    def _begin(self, short: str, tags: tuple[str, ...]) -> None:
        """A counter's series at 0, which Ray's public method refuses."""
        for tag in tags:
            for value in TAGS[tag]:
                self._call(short, "_record", 0.0, **{tag: value})
        if not tags:
            self._call(short, "_record", 0.0)

    def _count(self, short: str, value: float, **tags: str) -> None:
        if self._early is not None:
            self._early.append((short, value, tags))
        elif value > 0:
            self._call(short, "inc", float(value), **tags)

    def _gauge(self, short: str, value: float, **tags: str) -> None:
        self._set.add((short, tuple(tags.items())))
        self._call(short, "set", float(value), **tags)

    def _call(self, short: str, method: str, value: float, **tags: str) -> None:
        if short not in self._ray:
            return
        try:
            getattr(self._ray[short], method)(value, {"study": self._study, **tags})
        except Exception as error:  # noqa: BLE001 - a study needs no dashboard
            self._without(error)

    def _without(self, error: Exception) -> None:
        self._ray, self._planner = {}, None
        say(f"no metrics are exported from here on: {redacted(str(error))}")


_COUNTED = {
    "retry": "retries", "lost": "lost_workers", "quarantined": "quarantined_stages", "failed": "failed_runs",
}  # fmt: skip


def _made(metric: Metric) -> Any:
    from ray.util import metrics

    made = {"gauge": metrics.Gauge, "counter": metrics.Counter, "histogram": metrics.Histogram}[metric.type]
    more: dict[str, Any] = {"boundaries": list(SECONDS)} if metric.type == "histogram" else {}
    return made(metric.name, metric.help, tag_keys=("study", *metric.tags), **more)
