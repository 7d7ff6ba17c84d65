"""`--tracker`: a run a candidate, read back with the trackers' own libraries; nothing of it can stop a study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from search import trackers
from search.candidate import Arm
from search.order import OrderSpace
from search.prices import UnitPrices
from search.scores import rows_of
from search.settings import Settings
from search.space import Space
from search.trackers import Tracking, tracked, tracking
from trainables.errors import Mistake

SPACE = Space(OrderSpace("ab"), [Arm("prompt", 3e-2, 16)])
ROOT = Path(__file__).resolve().parents[2]
SECRET = "t0p5ecretvalue99"  # noqa: S105 - looked for where it must not be


def settings_of(**changed):
    return Settings.model_validate({"space": "orders", **changed})


def told(candidate, value=0.7, pruned=False):
    about = {"metric": "accuracy", "main": True, "n": 10, "stderr": None}
    cells = [("de", "test", 0.6), ("zh", "test", 0.5), ("en", "dev", value)]
    scores = [{"language": code, "portion": portion, "value": share, **about} for code, portion, share in cells]
    rows = [row for seed in (0, 1) for row in rows_of(candidate, seed, "xnli", scores)]
    return {"candidate": candidate, "values": None if value is None else (value,), "pruned": pruned, "rows": rows}


def failed(candidate):
    return {"candidate": candidate, "values": None, "pruned": False, "rows": []}


class Kept:
    """A writer that keeps what it is given, or raises where it is told to."""

    def __init__(self, *broken):
        self.broken, self.runs, self.threads = broken, [], set()
        self.status = None

    def open(self, folder):
        if "open" in self.broken:
            raise ConnectionError(f"https://someone:{SECRET}@host refused\nat length")

    def write(self, one):
        self.threads.add(threading.current_thread())
        self.runs.append(one)
        if len(self.runs) in self.broken or "write" in self.broken:
            raise OSError("disk full")

    def close(self, status):
        self.status = status


def tracking_of(writer, **changed):
    lines = []
    return Tracking("mlflow", writer, settings_of(**changed), lines.append), lines


def test_a_candidate_is_a_run_with_its_figures(tmp_path):
    own, lines = tracking_of(writer := Kept())
    own.hear("told", told(SPACE[1]))  # before there is a folder
    own.open(tmp_path / "orders-1", UnitPrices(leaf=2.0))
    own.hear("proposed", {"candidate": SPACE[2]})
    own.hear("failed", {"name": f"{SPACE[2].name} #1", "reason": "train b: the loss is nan"})
    own.hear("told", failed(SPACE[2]))
    own.hear("told", told(SPACE[3], pruned=True))
    own.close("done")
    one, two, three = writer.runs
    assert one.name == SPACE[1].name
    assert one.params == {
        "order": "a", "stages": 1, "method": "prompt", "learning_rate": 0.03, "prompt_length": 16, "budget": 1.0,
        "roots": 2,
    }  # fmt: skip
    assert one.metrics == pytest.approx({
        "price": 3.0, "score": 70.0, "zero-shot": 55.0, "zero-shot/xnli": 55.0, "zero-shot language/de": 60.0,
        "zero-shot language/zh": 50.0, "en-dev/xnli": 70.0,
    })  # fmt: skip
    assert one.tags == {"study": "orders-1", "status": "complete", "objective": "en-dev"}
    assert (two.status, two.tags["reason"], two.metrics) == ("failed", "train b: the loss is nan", {"price": 3.0})
    assert three.status == "pruned"
    assert writer.status == "done"
    assert writer.threads
    assert threading.current_thread() not in writer.threads
    assert not lines


def test_several_goals_are_told_each():
    settings = settings_of(goals=["score", "worst_language", "cost"], objective="target-dev")
    about = {**told(SPACE[1]), "values": (0.7, float("nan"), -3.0)}
    found = tracked(about, settings, 3.0, "orders-1").metrics
    assert (found["score"], found["price"]) == (70.0, 3.0)
    assert not {"worst_language", "cost"} & set(found), "nan is no figure, and the cost is the price"


def test_a_reason_tells_no_secret():
    reason = f"OSError: s3://key:{SECRET}@host/bucket"
    assert SECRET not in tracked(failed(SPACE[1]), settings_of(), 1.0, "orders-1", reason).tags["reason"]


def test_one_candidate_that_cannot_be_written_is_told_and_the_others_are_written(tmp_path):
    own, lines = tracking_of(writer := Kept(2))
    own.open(tmp_path, UnitPrices())
    for place in range(4):
        own.hear("told", told(SPACE[place]))
    own.close("done")
    assert len(writer.runs) == 4
    assert lines == [
        "mlflow could not be written to, the study goes on: OSError: disk full",
        "1 of 4 candidates are not in mlflow; they are in the run folder",
    ]


def test_a_tracker_that_always_fails_is_left_alone(tmp_path):
    own, lines = tracking_of(writer := Kept("write"))
    own.open(tmp_path, UnitPrices())
    for _ in range(50):
        own.hear("told", told(SPACE[1]))
    own.close("stopped")
    assert len(writer.runs) == trackers.GIVE_UP
    assert writer.status is None
    assert [line.split()[0] for line in lines] == ["mlflow", "50"]


def test_a_server_that_cannot_be_reached_is_told_without_its_credentials(tmp_path):
    own, lines = tracking_of(writer := Kept("open"))
    own.open(tmp_path, UnitPrices())
    own.hear("told", told(SPACE[1]))
    own.close("done")
    assert not writer.runs
    assert lines == [
        "mlflow could not be written to, the study goes on: ConnectionError: https://***@host refused",
        "1 of 1 candidates are not in mlflow; they are in the run folder",
    ]


def test_the_end_does_not_wait_for_a_tracker_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "PATIENCE", 0.3)
    release = threading.Event()
    writer = Kept()
    writer.write = lambda one: release.wait(30)
    own, lines = tracking_of(writer)
    own.open(tmp_path, UnitPrices())
    own.hear("told", told(SPACE[1]))
    own.close("done")
    release.set()
    assert lines == ["1 of 1 candidates are not in mlflow; they are in the run folder"]


def test_a_study_that_ends_before_it_has_a_folder():
    own, lines = tracking_of(Kept())
    own.hear("told", told(SPACE[1]))
    own.close("failed")
    assert not lines


def test_no_tracker_unless_asked():
    assert tracking(settings_of()) is None


def test_a_missing_library_is_told_before_anything_starts(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(Mistake, match="mlflow, sqlalchemy, alembic") as raised:
        tracking(settings_of(tracker="mlflow"))
    assert raised.value.where == "--tracker"
    assert "order-search[trackers]" in raised.value.right


SCRIPT = """
import json, sys
hosts = []
def hook(event, args):
    if event == "socket.getaddrinfo" or event == "socket.connect" and not isinstance(args[1], str | bytes):
        hosts.append(repr(args))
sys.addaudithook(hook)
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from test_trackers import SPACE, failed, settings_of, told
from search.prices import UnitPrices
from search.trackers import tracking
for _ in range({times}):  # the second time goes on in the same folder
    own = tracking(settings_of(tracker={name!r}))
    own.open(Path({folder!r}), UnitPrices())
    own.hear("told", told(SPACE[1]))
    own.hear("told", told(SPACE[1]))
    own.hear("told", failed(SPACE[2]))
    own.close("done")
print(json.dumps(hosts))
"""


def write_with(name, folder, times=2, **environment):
    """Two candidates, written in a process of its own; what it printed, and where it turned to."""
    folder.mkdir()
    script = SCRIPT.format(root=str(ROOT), tests=str(Path(__file__).parent), name=name, folder=str(folder), times=times)
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "WANDB_"))}
    own |= {"HOME": str(folder.parent), **environment}
    done = subprocess.run(
        [sys.executable, "-c", script], env=own, cwd=folder.parent, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *printed, hosts = done.stdout.splitlines()
    return printed, json.loads(hosts), done.stderr


def read_mlflow(address):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    return client.search_runs([client.get_experiment_by_name("order-search").experiment_id])


def test_mlflow_has_a_run_a_candidate_under_the_studys(tmp_path):
    pytest.importorskip("mlflow")
    printed, hosts, errors = write_with("mlflow", folder := tmp_path / "orders-1")
    assert (printed, hosts, errors) == ([], [], "")
    assert {path.name for path in folder.iterdir()} == {"mlruns"}
    runs = {run.info.run_name: run for run in read_mlflow(f"sqlite:///{folder}/mlruns/mlflow.db")}
    assert set(runs) == {"orders-1", SPACE[1].name, SPACE[2].name}
    parent, one, two = runs["orders-1"], runs[SPACE[1].name], runs[SPACE[2].name]
    assert (parent.info.status, one.info.status, two.info.status) == ("FINISHED", "FINISHED", "FAILED")
    assert one.data.tags["mlflow.parentRunId"] == two.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert one.data.params["order"] == "a"
    assert one.data.params["learning_rate"] == "0.03"
    assert one.data.metrics["zero-shot language/de"] == pytest.approx(60)
    assert two.data.tags["status"] == "failed"
    assert two.data.tags["study"] == "orders-1"


def test_an_mlflow_server_that_is_down_is_told_without_its_password(tmp_path):
    pytest.importorskip("mlflow")
    server = {"MLFLOW_TRACKING_URI": f"http://someone:{SECRET}@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    printed, _, errors = write_with("mlflow", folder := tmp_path / "orders-1", 1, **server)
    assert "the study goes on" in printed[0]
    assert "127.0.0.1" in printed[0], "it went where MLFLOW_TRACKING_URI says"
    assert printed[1:] == ["3 of 3 candidates are not in mlflow; they are in the run folder"]
    assert SECRET not in "".join(printed) + errors
    assert not list(folder.iterdir())


def read_wandb(path):
    """The records of one run's file, which holds one block."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, found = path.read_bytes(), 7, []
    assert content[:4] == b":W&B"
    assert len(content) < 32768
    while place < len(content):
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        found.append(Record.FromString(content[place + 7 : place + 7 + length]))
        place += 7 + length
    return found


def test_wandb_has_a_run_a_candidate_grouped_by_study(tmp_path):
    pytest.importorskip("wandb")
    printed, hosts, errors = write_with("wandb", folder := tmp_path / "orders-1", WANDB_API_KEY=40 * "5")
    assert (printed, hosts, errors) == ([], [], "")
    files = list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    runs = {}
    for path in files:
        records = read_wandb(path)
        run = next(record.run for record in records if record.WhichOneof("record_type") == "run")
        summary = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for record in records for item in record.summary.update
        }  # fmt: skip
        ended = next(record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit")
        runs[run.display_name] = (
            run,
            {item.key: json.loads(item.value_json) for item in run.config.update},
            summary,
            ended,
        )
    run, config, summary, ended = runs[SPACE[1].name]
    assert (run.project, run.run_group, run.job_type, list(run.tags)) == (
        "order-search", "orders-1", "candidate", ["complete"])  # fmt: skip
    assert (config["order"], config["prompt_length"], config["study"]) == ("a", 16, "orders-1")
    assert summary["zero-shot"] == pytest.approx(55)
    assert summary["zero-shot language/de"] == pytest.approx(60)
    assert ended == 0
    assert runs[SPACE[2].name][3] == 1
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert 40 * b"5" not in written
    assert not run.host
    assert not any(record.environment.ListFields() for record in records), "the machine is not told of"
