"""A study's metrics: what events and planner make of them, and how Ray exports them."""

from __future__ import annotations

import logging
import math
import re
import time
import urllib.request
from types import SimpleNamespace

import pytest

from search import metrics
from search.metrics import KINDS, METRICS, SOURCES, Metrics, kind_of
from trainables.stage import Stage


class Exported:
    """As much of a metric of Ray's as is used: what it was told last, and in all."""

    def __init__(self):
        self.last, self.sums, self.seen = {}, {}, []

    def set(self, value, tags):
        self.last[tuple(tags.values())] = value

    def inc(self, value, tags):
        assert value > 0  # as Ray wants it
        self._record(value, tags)

    def _record(self, value, tags):
        self.sums[tuple(tags.values())] = self.sums.get(tuple(tags.values()), 0.0) + value

    def observe(self, value, tags):
        self.seen.append((value, *tags.values()))


@pytest.fixture
def exported(monkeypatch):
    made = {}
    monkeypatch.setattr(metrics, "_made", lambda metric: made.setdefault(metric.name[13:], Exported()))
    return made


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def planner_of(**changed):
    counts = dict.fromkeys(("ready", "running", "done", "reused", "failed", "waiting", "held"), 1)
    fields = {"running": {"a": "host:1", "b": "host:1", "c": ""}, "saved": 12.5, "store_bytes": 70, **changed}
    return SimpleNamespace(counts=lambda: counts, standings=lambda: [("x", 0.75, 1), ("y", 0.5, 2)], **fields)


def stage_of(kind="train", measure=None):
    settings = {"measure": measure} if measure else {}
    return Stage(kind, None, ("mini-nli",), ("mark",), "model", "full", settings)


def stage_event(made=True, **more):
    about = {"stage": stage_of(), "made": made, "seconds": 2.5, "parent": "memory", "split": 1}
    return {**about, "examples": 30, "tokens": 400, "queries": 0, **more}


def opened(clock=None):
    own = Metrics(clock or Clock())
    own.open("orders-1", planner_of(), slots=4)
    return own


def test_a_stage_counts_by_what_it_does(exported):
    own = opened()
    own.hear("stage", stage_event())
    own.hear("stage", stage_event(parent="node", split=2, seconds=1.5))
    own.hear("stage", stage_event(stage=stage_of("score", "attack"), queries=9, parent="store"))
    train, attack = ("orders-1", "train"), ("orders-1", "attack")
    assert exported["stages_ended"].sums[train] == 2
    assert exported["stages_ended"].sums[attack] == 1
    assert exported["busy_seconds"].sums[train] == 4.0
    assert exported["stage_seconds"].seen[:2] == [(2.5, *train), (1.5, *train)]
    assert exported["examples"].sums[train] == 60
    assert exported["tokens"].sums[attack] == 400
    assert exported["attack_queries"].sums == {("orders-1",): 9}
    assert exported["halved_batches"].sums == {("orders-1",): 1}
    assert exported["parents"].sums == {
        ("orders-1", "base"): 0, ("orders-1", "memory"): 1, ("orders-1", "node"): 1, ("orders-1", "store"): 1,
    }  # fmt: skip


def test_a_stage_that_was_there_takes_no_time(exported):
    own = opened()
    own.hear("stage", stage_event(made=False))
    assert exported["stages_found"].sums["orders-1", "train"] == 1
    assert exported["stages_ended"].sums["orders-1", "train"] == exported["examples"].sums["orders-1", "train"] == 0
    assert not exported["stage_seconds"].seen


def test_every_kind_of_stage_has_a_name():
    assert [kind_of(stage_of("train")), kind_of(stage_of("score"))] == ["train", "score"]
    for measure in KINDS[2:]:
        assert kind_of(stage_of("score", measure)) == measure


def test_faults_are_counted_each_by_its_own_name(exported):
    own = opened()
    for event, times in (("retry", 4), ("lost", 3), ("quarantined", 2), ("failed", 1)):
        for _ in range(times):
            own.hear(event, {})
    own.hear("collected", {"keys": ["a", "b"], "bytes": 1000})
    found = {name: exported[name].sums["orders-1",] for name in (
        "retries", "lost_workers", "quarantined_stages", "failed_runs", "collected_bytes")}  # fmt: skip
    assert list(found.values()) == [4, 3, 2, 1, 1000]


def test_counters_begin_at_zero(exported):
    """Prometheus counts no increase to the first value that it sees of a series."""
    opened()
    assert exported["failed_runs"].sums == {("orders-1",): 0}
    assert set(exported["tokens"].sums) == {("orders-1", kind) for kind in KINDS}
    assert set(exported["parents"].sums.values()) == {0}
    assert len(exported["parents"].sums) == len(SOURCES)


def test_what_happened_before_there_was_a_folder_counts(exported):
    own = Metrics()
    own.hear("failed", {})
    own.hear("proposed", {})
    own.hear("proposed", {})
    own.hear("told", {"pruned": False, "values": (0.5,)})
    own.open("orders-1", planner_of(), slots=1)
    assert exported["failed_runs"].sums == {("orders-1",): 1}
    assert exported["candidates"].last["orders-1", "open"] == exported["candidates"].last["orders-1", "complete"] == 1


@pytest.mark.parametrize(("told", "state"), [
    ({"pruned": False, "values": (0.5,)}, "complete"),
    ({"pruned": False, "values": None}, "failed"),
    ({"pruned": True, "values": None}, "pruned"),
])  # fmt: skip
def test_candidates_by_state(exported, told, state):
    own = Metrics()
    own.hear("proposed", {})
    own.hear("told", told)
    assert own.candidates == {**dict.fromkeys(own.candidates, 0), state: 1}


def test_gauges_are_asked_for_now_and_then(exported):
    clock = Clock()
    own = Metrics(clock)
    planner = planner_of()
    own.open("orders-1", planner, slots=4)
    assert exported["stages"].last["orders-1", "held"] == 1
    assert exported["workers"].last == {("orders-1", "busy"): 1, ("orders-1", "free"): 3}
    assert exported["best_score"].last == {("orders-1",): 0.75}
    assert exported["saved_seconds"].last == {("orders-1",): 12.5}
    planner.store_bytes = 80
    for _ in range(100):
        own.tick()
    assert exported["store_bytes"].last == {("orders-1",): 70}
    clock.now = metrics.POLL_SECONDS
    own.tick()
    assert exported["store_bytes"].last == {("orders-1",): 80}


def test_no_score_is_no_best_score(exported):
    own, planner = Metrics(), planner_of()
    planner.standings = list
    own.open("orders-1", planner, slots=1)
    assert exported["best_score"].last == {}


def test_gauges_end_with_the_study_and_counters_stay(exported):
    own = opened()
    own.hear("retry", {})
    own.close()
    gauges = [value for name, metric in METRICS.items() if metric.type == "gauge"
              for value in exported[name].last.values()]  # fmt: skip
    assert len(gauges) == 16
    assert all(map(math.isnan, gauges))
    assert exported["retries"].sums == {("orders-1",): 1}
    own.hear("retry", {})
    own.tick()
    own.close()
    assert exported["retries"].sums == {("orders-1",): 1}


def test_a_study_goes_on_where_nothing_can_be_exported(exported, monkeypatch, capsys):
    own = opened()

    def broken(value, tags):
        raise RuntimeError("no agent")

    monkeypatch.setattr(exported["retries"], "inc", broken)
    for _ in range(3):
        own.hear("retry", {})
        own.tick()
    own.close()
    assert capsys.readouterr().out == "no metrics are exported from here on: no agent\n"


def test_nothing_is_kept_where_no_metric_can_be_made(monkeypatch, capsys):
    def broken(metric):
        raise ImportError("no module named ray")

    monkeypatch.setattr(metrics, "_made", broken)
    own = Metrics()
    own.hear("failed", {})
    own.open("orders-1", planner_of(), slots=1)
    own.hear("stage", stage_event())
    own.tick()
    own.close()
    assert own._early is None
    assert capsys.readouterr().out.count("no metrics are exported") == 1


SERIES = re.compile(r"^(ray_order_search_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def scrape(port):
    """Our samples at a metrics port: (name, labels) to value; the types by name."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}, {}
    samples = {
        (name, tuple(sorted(re.findall(r'(study|state|kind|source|le)="([^"]*)"', labels)))): float(value)
        for name, labels, value in SERIES.findall(text)
    }
    return samples, dict(re.findall(r"^# TYPE (ray_order_search_\w+) (\w+)$", text, re.MULTILINE))


def wait_for(found, seconds=30.0):
    end = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < end:
        time.sleep(0.2)
    return result


def test_ray_exports_them_as_the_table_says(monkeypatch):
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "500")
    import search.cluster  # noqa: F401, I001 - sets what Ray reads when it is imported
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    try:
        port = ray.nodes()[0]["MetricsExportPort"]
        own = Metrics()
        own.open("orders-1", planner_of(), slots=4)
        own.hear("stage", stage_event())
        own.hear("retry", {})
        retries = "ray_order_search_retries_total", (("study", "orders-1"),)
        assert wait_for(lambda: scrape(port)[0].get(retries) == 1)
        samples, types = scrape(port)
        assert types == {metric.exported.removesuffix("_bucket"): metric.type for metric in METRICS.values()}
        for metric in METRICS.values():
            labels = [dict(labels) for name, labels in samples if name == metric.exported]
            assert labels, metric.name
            assert all({*found} - {"le"} == {"study", *metric.tags} for found in labels)
        seconds = "ray_order_search_busy_seconds_total", (("kind", "train"), ("study", "orders-1"))
        assert samples[seconds] == 2.5

        own.close()
        gauges = {metric.exported for metric in METRICS.values() if metric.type == "gauge"}
        assert wait_for(lambda: not gauges & {name for name, _ in scrape(port)[0]})
        assert scrape(port)[0][retries] == 1
    finally:
        ray.shutdown()
