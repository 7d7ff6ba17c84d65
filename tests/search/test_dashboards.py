"""The Grafana dashboard: its queries ask for what is exported; a real Prometheus answers each while a study runs."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import yaml
from browser import browser_path, chromium

from search.metrics import METRICS, TAGS

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "configs" / "dashboards" / "order-search.json"
BOARD = json.loads(FILE.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
EXPORTED = {metric.exported: metric for metric in METRICS.values()}
STATES = {
    "ready",
    "running",
    "done",
    "reused",
    "failed",
    "waiting",
    "held",
    "open",
    "complete",
    "pruned",
    "busy",
    "free",
}

prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no Prometheus server here (Debian's package prometheus)"
)


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_asks_for_what_is_exported(title, query):
    """Names with the ending of their type; only tags that there are, with values that they take."""
    selected = re.findall(r"\b(\w+)\{([^}]*)\}(\[\$window\])?", query)
    assert len(selected) == query.count("ray_")
    for name, matchers, window in selected:
        metric = EXPORTED[name]
        assert bool(window) == bool(re.search(rf"\b(?:rate|increase)\({name}", query))
        assert metric.type != "gauge" or not window, "a gauge has no rate"
        found = dict(re.findall(r'(\w+)=~?"([^"]*)"', matchers))
        assert found.pop("study") == "$study"
        assert set(found) <= set(metric.tags)
        assert {value for values in found.values() for value in values.split("|")} <= STATES
        assert metric.type != "histogram" or "le" in query
    known = {"study", "le", *(tag for metric in METRICS.values() for tag in metric.tags)}
    grouped = re.findall(r"by \(([\w, ]+)\)", query)
    assert {tag for tags in grouped for tag in tags.split(", ")} <= known
    own = {tag for name, *_ in selected for tag in ("study", "le", *EXPORTED[name].tags)}
    assert {tag for tags in grouped for tag in tags.split(", ")} <= own
    assert query.startswith(("sum", "max", "60 * sum", "histogram_quantile")), "Ray adds a WorkerId: sum over processes"


def test_every_metric_is_shown():
    shown = {name for _, query in QUERIES for name in re.findall(r"ray_\w+", query)}
    assert shown == set(EXPORTED)


def test_grafana_finds_what_it_needs():
    assert BOARD["schemaVersion"] >= 36
    assert (BOARD["uid"], BOARD["title"]) == ("order-search", "Order search")
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for variable in ("study", "window"):
        assert variables[variable]["current"]
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["study"]["datasource"] == source
    asked = re.fullmatch(r"label_values\((\w+), study\)", variables["study"]["definition"])
    assert asked[1] in EXPORTED
    for panel in PANELS:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["datasource"] == source
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
        for target in panel["targets"]:
            assert target["datasource"] == source
            shown = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            grouped = ", ".join(re.findall(r"by \(([\w, ]+)\)", target["expr"]))
            assert all(tag in grouped for tag in shown)
    assert not re.search(r"__inputs|__requires", FILE.read_text()), "it is imported without questions"


def test_panels_lie_side_by_side():
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_the_documentation_lists_every_metric():
    """docs/dashboards.md has each with its type, its tags and what it says."""
    rows = re.findall(
        r"^\| `(ray_order_search_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", DOCS.read_text(), re.MULTILINE
    )
    assert rows == [
        (metric.exported.removesuffix("_bucket"), metric.type, ", ".join(("study", *metric.tags)), metric.help)
        for metric in METRICS.values()
    ]
    for values in TAGS.values():
        assert all(f"`{value}`" in DOCS.read_text() for value in values)


DOCS = ROOT / "docs" / "dashboards.md"


def plain(query, window="10m"):
    """A query as Grafana sends it with everything selected."""
    return query.replace("$study", ".*").replace("$window", window)


@prometheus
def test_prometheus_understands_every_query(tmp_path):
    rules = [{"record": f"query:{n}", "expr": plain(query)} for n, (_, query) in enumerate(QUERIES)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


STUDY = [
    "--languages", "en,de,zh", "--limit", "24", "--seeds", "8", "--set", "intermediate=[mini-nli,mini-topic]",
    "--set", "targets=[mini-xnli]", "--set", "train.steps=8", "--set", "train.target_steps=8",
    "--set", "train.batch_size=8", "--set", "learning_rate=[0.9,1e-9]", "--set", "train.weight_decay=1e8",
    "--max-concurrent", "2", *(["--tracker", "wandb"] if find_spec("wandb") else []),
]  # fmt: skip
"""Longer than it is looked at. With the first learning rate the weights grow a million fold a step: every training
diverges."""


class Running:
    """A study that runs in a folder, and a Prometheus that scrapes it every second."""

    def __init__(self, folder: Path, stack: ExitStack, *more: str) -> None:
        self.folder = folder
        self.temp = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dash")))  # sockets want short paths
        env = {**os.environ, "RAY_TMPDIR": str(self.temp), "RAY_metrics_report_interval_ms": "1000"}
        output = stack.enter_context((folder / "output.txt").open("w"))
        self.study = subprocess.Popen(
            [sys.executable, str(ROOT / "search" / "run.py"), *STUDY, *more], cwd=folder, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True, env={**env, "HOME": str(self.temp)},  # for Ray's token
        )  # fmt: skip
        stack.callback(self.end)

    def scraped(self, stack: ExitStack) -> None:
        """Start the server, once Ray has told where its metrics are."""
        folder, self.address = self.folder, f"127.0.0.1:{free_port()}"
        ports = wait_for(lambda: list(self.temp.glob("ray/session_2*/metrics_export_port_*")), "the port", self.alive)
        port = wait_for(lambda: ports[0].read_text().strip(), "the port", self.alive)
        (folder / "targets.json").write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"], "labels": {"job": "ray"}}]))
        (folder / "prometheus.yml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "ray", "file_sd_configs": [{"files": ["targets.json"]}]}],
        }))  # fmt: skip
        server = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             f"--web.listen-address={self.address}"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=(folder / "prometheus.txt").open("w"),
        )  # fmt: skip
        stack.callback(server.wait)
        stack.callback(server.terminate)

    @property
    def workers(self) -> dict[int, str]:
        """The command lines of the processes that run stages now, by their numbers."""
        children = psutil.Process(self.study.pid).children(recursive=True)
        lines = {}
        for child in children:
            with suppress(psutil.NoSuchProcess):
                lines[child.pid] = " ".join(child.cmdline()).strip()  # a title is padded to the old line's length
        return {pid: line for pid, line in lines.items() if line.startswith("ray::order-search ")}

    @property
    def logs(self) -> dict[int, str]:
        """What the workers have said, by their numbers."""
        files = self.temp.glob("ray/session_2*/logs/worker-*.out")
        return {int(path.stem.rpartition("-")[2]): path.read_text() for path in files}

    def alive(self):
        assert self.study.poll() is None, (self.folder / "output.txt").read_text()[-3000:]

    def ask(self, query):
        """The values of a query, by labels; those that are no numbers left out."""
        where = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(where, timeout=5) as answer:
                told = json.load(answer)
        except (urllib.error.URLError, OSError):
            return {}
        assert told["status"] == "success"
        found = {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in told["data"]["result"]}
        return {labels: value for labels, value in found.items() if math.isfinite(value)}

    def end(self):
        """As ^C does it, which is enough; by force where it is not."""
        if self.study.poll() is None:
            os.killpg(self.study.pid, signal.SIGINT)
            try:
                self.study.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.study.pid, signal.SIGKILL)
                self.study.wait()


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def wait_for(found, what, meanwhile, seconds=300.0):
    end = time.monotonic() + seconds
    while not (result := found()):
        meanwhile()
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.3)
    return result


@pytest.mark.slow
@prometheus
def test_a_real_prometheus_answers_every_query_while_a_study_runs(tmp_path):
    """With faults that the failure panels show: candidates that diverge, and a worker that is killed."""
    with ExitStack() as stack:
        running = Running(tmp_path, stack)
        running.scraped(stack)
        pid, line = wait_for(lambda: list(running.workers.items()), "a worker's title", running.alive)[0]
        assert re.fullmatch(r"ray::order-search \S.* #\d+", line), "a worker's title says what it does"
        wait_for(lambda: running.ask("sum(ray_order_search_stages_ended_total)").get((), 0) >= 3, "work", running.alive)
        told = running.logs[pid]
        assert f":actor_name:order-search worker {socket.gethostname()}:{pid}" in told
        assert re.search(r" begin \S.* #\d+ \(attempt 1\)\n", "".join(running.logs.values()))
        os.kill(next(iter(running.workers), pid), signal.SIGKILL)

        # Answered: it has data; and where it is about faults that there were, more than nothing.
        faults = re.compile("_(failed_runs|quarantined_stages|retries|lost_workers)_total")
        assert len([query for _, query in QUERIES if faults.search(query)]) == 8
        waiting = {query for _, query in QUERIES}

        def all_answered():
            for query in list(waiting):
                found = running.ask(plain(query))
                if max(found.values(), default=-1) > (0 if faults.search(query) else -1):
                    waiting.discard(query)
            return not waiting

        wait_for(all_answered, lambda: waiting, running.alive)
        study = {dict(labels)["study"] for labels in running.ask("ray_order_search_retries_total")}
        assert study == {path.name for path in (tmp_path / "runs").glob("orders-*")}
        drivers = {dict(labels)["WorkerId"] for labels in running.ask('{__name__=~"ray_order_search_.*"}')}
        assert len(drivers) == 1, "all metrics are the driver's"

        running.end()
        assert len(list(tmp_path.glob("runs/orders-*/tensorboard/*"))) == 1
        if find_spec("wandb"):
            assert len(list(tmp_path.glob("runs/orders-*/wandb/offline-run-*"))) >= 5, "one for each that diverged"


@pytest.mark.slow
@pytest.mark.skipif(browser_path() is None, reason="no Chromium here")
def test_rays_dashboard_shows_the_workers_names(tmp_path):
    """In a browser, as a person sees it; and Ray writes down for Prometheus where its metrics are."""
    with ExitStack() as stack:
        running = Running(tmp_path, stack, "--dashboard")
        pid = wait_for(lambda: list(running.workers), "a worker's title", running.alive)[0]
        url = re.search(r"dashboard is at (\S+)", (tmp_path / "output.txt").read_text())[1]
        page = stack.enter_context(chromium()).new_page(viewport={"width": 1500, "height": 520})
        page.set_default_timeout(120_000)
        page.goto(url)
        page.locator("input[type=password]").fill((running.temp / ".ray" / "auth_token").read_text().strip())
        page.keyboard.press("Enter")
        page.get_by_text("Recent jobs").first.wait_for()
        page.goto(f"{url}/#/actors")
        name = f"order-search worker {socket.gethostname()}:{pid}"
        page.get_by_text(name).wait_for()
        page.get_by_text("StagePath").first.wait_for()
        page.screenshot(path=tmp_path / "dashboard.png")
        (found,) = running.temp.glob("ray/prom_metrics_service_discovery.json")
        targets = [address for group in json.loads(found.read_text()) for address in group["targets"]]
        port = next(running.temp.glob("ray/session_2*/metrics_export_port_*")).read_text().strip()
        assert f"127.0.0.1:{port}" in targets
