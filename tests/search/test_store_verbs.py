"""order-search gc and show --store: what goes, what stays, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from storing import bucket_server

from search import store_verbs
from search.cli import main
from search.store_verbs import _human, seconds, size
from trainables import store_inventory
from trainables.attempts import Attempts
from trainables.processes import host
from trainables.stage import PREDICTIONS, WEIGHTS
from trainables.store import Store
from trainables.store_gc import garbage, take_away
from trainables.store_inventory import Inventory

LONG_AGO = 7200
FOREIGN = {"host": "elsewhere 1 pid:[2]", "pid": 7, "started": 5}


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """`show` does not wait long for silent workers."""
    monkeypatch.setattr(store_verbs, "LOOKED", 0.1)


def key(number):
    return f"{number:02d}{'a' * 30}"


@pytest.fixture(scope="module")
def s3_endpoint():
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"), patience=0)


@pytest.fixture
def said(capsys):
    """What a command prints; it must be done without a mistake."""

    def run(*words):
        code = main([*map(str, words)])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    return run


@pytest.fixture
def refused(capsys):
    """What is told of a mistake."""

    def run(*words):
        code = main([*map(str, words)])
        printed = capsys.readouterr()
        assert code == 2, printed.out
        assert "Traceback" not in printed.err
        assert len(printed.err.splitlines()) <= 4
        return printed.err

    return run


def train(store, number, parent=None, size=1000, tasks=("nli",)):
    stage = {"kind": "train", "tasks": [*tasks], "parent": parent and key(parent), "settings": {}}
    store.put(key(number), {"stage": stage, "loss": 1.5}, {WEIGHTS: b"w" * size})


def score(store, number, parent, measure=None):
    settings = {"measure": measure} if measure else {}
    stage = {"kind": "score", "tasks": ["xnli"], "parent": key(parent), "settings": settings}
    store.put(key(number), {"stage": stage, "scores": [{"score": 0.5}]}, {PREDICTIONS: b"p" * 50})


def write(store, path, content=b"x" * 10):
    store.medium.write(path, content)


def aged(store, *paths, by=LONG_AGO):
    """Written that many seconds before now."""
    for path in paths or store.medium.files():
        then = time.time() - by
        os.utime(store.medium.at(path), (then, then))


def rows(out):
    return {row["what"]: row for row in json.loads(out)["rows"]}


LEFT = (f"01/{key(1)}/weights.safetensors-host-12-0123abcd", f"77/{key(77)}/predictions.parquet-a.b-c-7-ffffffff")


def clutter(store):
    """A store of a chain of two trainings and a score, with all that may be left over; all of it old."""
    train(store, 1)
    train(store, 2, parent=1)
    score(store, 3, parent=2)
    for path in LEFT:
        write(store, path)
    one = Attempts(store, "w:1")
    for number in (1, 2, 3, 50):
        lease = one.begin(key(number), {"kind": "train"})
        one.done(lease) if number != 50 else None
    write(store, "alive/far:7.json", json.dumps({"counter": 5, **FOREIGN}).encode())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    about = {"counter": 5, "host": host(), "pid": dead.pid, "started": 1}
    write(store, f"alive/here:{dead.pid}.json", json.dumps(about).encode())
    write(store, f"02/{key(2)}/record.json.123-0123456789ab.tmp")
    write(store, "alive/.probe-12345678")
    write(store, "shipped/abc.tar.0123456789ab.tmp")
    write(store, "shipped/abc.tar")
    aged(store)


def test_what_nothing_needs_is_taken_away(store, said):
    clutter(store)
    kept = {f"{key(n)[:2]}/{key(n)}/{name}" for n in (1, 2, 3) for name in ["record.json"]}
    out = said("gc", "--store", store.url, "--force", "--format", "json")
    found = rows(out)
    assert {what: row["files"] for what, row in found.items()} == {
        "blobs": 2, "attempts": 3, "signs of life": 2, "temporary files": 3, "weights": 0,
    }  # fmt: skip
    assert found["blobs"]["bytes"] == 20
    left = store.medium.files()
    assert kept <= set(left)
    assert {path for path in left if path.startswith("attempts")} == {f"attempts/{key(50)}/1.json"}
    assert all(store.verify(key(number)) for number in (1, 2, 3))
    assert len(left) == 3 + 3 + 1 + 1
    assert json.loads(out)["kept"] == sum(left.values())
    assert not Path(store.medium.at(f"77/{key(77)}")).exists()
    again = rows(said("gc", "--store", store.url, "--force", "--format", "json"))
    assert all(row["files"] == 0 for row in again.values())


def test_a_dry_run_says_the_same_and_takes_nothing(store, said):
    clutter(store)
    before = store.medium.files()
    dry = json.loads(said("gc", "--store", store.url, "--dry-run", "--keep-under", 1, "--format", "json"))
    assert store.medium.files() == before
    wet = json.loads(said("gc", "--store", store.url, "--force", "--keep-under", 1, "--format", "json"))
    assert dry["rows"] == wet["rows"]
    assert dry["freed"] == wet["freed"]
    assert sum(before.values()) - wet["freed"] == wet["kept"]
    # What was a record is kept, 2 bytes or so less or more than its new name's: it is the same file.
    assert sum(store.medium.files().values()) == wet["kept"]


def test_what_is_young_is_left_alone(store, said):
    """A writer may be about to name it."""
    clutter(store)
    for path in (*LEFT, f"attempts/{key(1)}/1.json", "alive/far:7.json", "alive/.probe-12345678"):
        aged(store, path, by=60)
    found = rows(said("gc", "--store", store.url, "--force", "--format", "json"))
    assert {what: row["files"] for what, row in found.items()} == {
        "blobs": 0, "attempts": 2, "signs of life": 1, "temporary files": 2, "weights": 0,
    }  # fmt: skip
    found = rows(said("gc", "--store", store.url, "--force", "--older-than", 30, "--format", "json"))
    assert (found["blobs"]["files"], found["attempts"]["files"], found["signs of life"]["files"]) == (2, 1, 1)


def test_times_are_the_stores_own(store, monkeypatch):
    """A clock of this machine that is wrong by years changes nothing."""
    clutter(store)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    young = LEFT[0]
    os.utime(store.medium.at(young))
    found = garbage(Inventory(store), {})
    assert set(found.files["blobs"]) == {LEFT[1]}


def test_a_stage_that_is_stored_meanwhile_keeps_its_blobs(store):
    clutter(store)
    found = garbage(Inventory(store), {})
    assert LEFT[1] in found.files["blobs"]
    name = LEFT[1].rpartition("/")[2]
    about = {"blobs": {PREDICTIONS: {"file": name, "sha256": "0", "bytes": 10}}}
    write(store, f"77/{key(77)}/record.json", json.dumps(about).encode())
    take_away(store, found)
    assert store.medium.exists(LEFT[1])
    assert not store.medium.exists(LEFT[0])


def test_a_live_worker_of_this_machine_stops_it(store, said, refused):
    clutter(store)
    worker = subprocess.Popen([
        sys.executable, "-c",
        "import sys, time; from trainables.attempts import Beat; from trainables.store import Store\n"
        "Beat(Store(sys.argv[1]), 'live:1').start(); print('up', flush=True); time.sleep(60)", store.url,
    ], stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert worker.stdout.readline() == b"up\n"
        before = store.medium.files()
        told = refused("gc", "--store", store.url)
        assert "1 workers use the store: live:1" in told
        assert "--force" in told
        assert store.medium.files() == before
        assert rows(said("gc", "--store", store.url, "--dry-run", "--format", "json"))["blobs"]["files"] == 2
        shown = said("show", "--store", store.url)
        assert "workers: 1 alive (live:1), 2 gone or silent" in shown
        said("gc", "--store", store.url, "--force")
        assert store.medium.exists("alive/live:1.json")
        assert all(store.verify(key(number)) for number in (1, 2, 3))
    finally:
        worker.kill()
        worker.wait()
    assert rows(said("gc", "--store", store.url, "--format", "json"))["signs of life"]["files"] == 1


def test_a_worker_of_another_machine_is_alive_if_its_counter_moves(store, refused, said, monkeypatch):
    clutter(store)
    counter, waited = iter(range(6, 100)), []

    def pass_by(pause):
        waited.append(pause)
        write(store, "alive/far:7.json", json.dumps({"counter": next(counter), **FOREIGN}).encode())

    workers = Inventory.workers

    def looked(self, seconds=30.0):
        return workers(self, seconds, clock=lambda: sum(waited), wait=pass_by)

    monkeypatch.setattr(Inventory, "workers", looked)
    assert "1 workers use the store: far:7" in refused("gc", "--store", store.url)
    assert len(waited) == 1
    monkeypatch.setattr(Inventory, "workers", lambda self, seconds=30.0: workers(
        self, seconds, clock=lambda: sum(waited), wait=waited.append))  # fmt: skip
    waited.clear()
    said("gc", "--store", store.url)
    assert sum(waited) == pytest.approx(30)


def test_weights_go_leaves_first_and_longest_ago_first(store, said):
    train(store, 1)
    train(store, 2, parent=1)
    train(store, 3, parent=1)
    train(store, 4, parent=3)
    score(store, 5, parent=4)
    for number, age in ((1, 9000), (2, 100), (3, 8000), (4, 5000), (5, 9999)):
        aged(store, *(path for path in store.medium.files() if key(number) in path), by=age)
    inventory = Inventory(store)
    assert [*garbage(inventory, {}, keep_under=inventory.bytes).weights] == []
    order = [4, 3, 2, 1]
    for gone in range(1, 5):
        found = garbage(inventory, {}, keep_under=inventory.bytes - 1000 * gone + 1)
        assert [*found.weights] == [key(number) for number in order[:gone]]
    under = inventory.bytes - 2000
    out = said("gc", "--store", store.url, "--force", "--keep-under", under, "--format", "json")
    assert rows(out)["weights"] == {**rows(out)["weights"], "files": 2, "bytes": 2000}
    assert json.loads(out)["kept"] <= under
    assert store.keys() == {key(1), key(2), key(5)}
    assert store.record(key(4))["loss"] == 1.5
    assert store.record(key(5))["scores"]
    assert store.verify(key(5))
    told = said("gc", "--store", store.url, "--force", "--keep-under", "10B")
    assert "more than 10 B: no more train weights" in told
    assert store.keys() == {key(5)}


def test_a_parent_that_is_its_own_child_is_left(store):
    """Records are others' words: a circle has no leaves."""
    train(store, 1, parent=2)
    train(store, 2, parent=1)
    train(store, 3, parent=3)
    assert garbage(Inventory(store), {}, keep_under=0).weights == {}


def test_nothing_but_a_store_is_touched(tmp_path, refused):
    """`--store ~` must not cost a user's own temporary files."""
    for name in ("notes.tmp", "do/done/paper.txt", "alive/x.json", "ab/abc/file-1-0123abcd", "nodes/x"):
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    before = sorted((tmp_path / "home").rglob("*"))
    assert "there is no store at" in refused("gc", "--store", tmp_path / "home", "--force")
    assert "there is no store at" in refused("show", "--store", tmp_path / "home")
    assert sorted((tmp_path / "home").rglob("*")) == before
    assert "there is no store at" in refused("gc", "--store", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    store = Store(str(tmp_path / "home"))
    train(store, 1)
    take_away(store, garbage(Inventory(store), {}))
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} >= {"notes.tmp", "paper.txt", "x.json"}


def test_flags_that_are_wrong_are_told(store, refused):
    train(store, 1)
    assert "a number of bytes such as 20GB is needed, but got 'much'" in refused("gc", "--keep-under", "much")
    assert "a number of seconds is needed, but got '-1'" in refused("gc", "--older-than=-1")
    assert "one thing is shown" in refused("show")
    assert "one thing is shown" in refused("show", "run", "--store", store.url)
    assert "order-search leaderboard run --format csv" in refused("show", "run", "--format", "csv")
    assert "cannot be opened" in refused("gc", "--store", "nosuch://x")


def test_a_store_in_trouble_is_told(store, refused, monkeypatch):
    clutter(store)
    monkeypatch.setattr("trainables.store_trouble.PATIENCE", 0)

    def fail(self, path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("trainables.store_files.LocalFiles.delete", fail)
    monkeypatch.setattr(Store, "writable", lambda self: None)
    monkeypatch.setattr("trainables.store_medium.Medium.now", lambda self: time.time())
    monkeypatch.setattr("trainables.store_trouble.time.sleep", lambda pause: None)
    monkeypatch.setattr("trainables.store_trouble.time.monotonic", iter(range(0, 10**6, 60)).__next__)
    assert "Input/output error" in refused("gc", "--store", store.url, "--force")


def test_what_lies_in_a_store_is_shown(store, said):
    clutter(store)
    train(store, 4, size=500, tasks=("pairs", "nli"))
    score(store, 6, parent=2, measure="perturbations")
    store.put(key(7), {"suite": "light", "task": "xnli"}, {"suite.json": b"s" * 70})
    store.collect(key(2))
    write(store, "shipped/abc.tar", b"a" * 5000)
    found = json.loads(said("show", "--store", store.url, "--format", "json"))
    by = {(row["kind"], row["tasks"]): row for row in found["rows"]}
    assert by["train", "nli"] == {
        "kind": "train", "tasks": "nli", "stages": 1, "collected": 1, "attempts": 2, "weights": 1000,
        "predictions": 0, "other": by["train", "nli"]["other"],
    }  # fmt: skip
    assert by["train", "pairs+nli"]["weights"] == 500
    assert (by["score", "xnli"]["stages"], by["score", "xnli"]["predictions"]) == (1, 50)
    assert by["score", "xnli (perturbations)"]["stages"] == 1
    assert by["texts", "xnli"]["other"] > 70
    assert by["not stored", ""]["attempts"] == 1
    assert by["no record", ""]["other"] == 30
    assert by["beside", ""]["other"] >= 5000
    total = found["total"]
    assert (total["stages"], total["collected"], total["attempts"]) == (5, 1, 4)
    assert sum(total[name] for name in ("weights", "predictions", "other")) == sum(store.medium.files().values())
    assert {worker["state"] for worker in found["workers"]} == {"gone", "silent"}
    table = said("show", "--store", store.url)
    assert "pairs+nli" in table
    assert "500 B" in table
    assert "workers: 0 alive, 2 gone or silent" in table
    lines = [*csv.DictReader(io.StringIO(said("show", "--store", store.url, "--format", "csv")))]
    assert lines[-1]["kind"] == "total"
    assert int(lines[-1]["weights"]) == 1500


@pytest.mark.parametrize("record", [
    {"stage": 5}, {"stage": {"kind": "train", "tasks": 3, "parent": []}}, {"stage": {"kind": ["x"], "tasks": ["a"]}},
    {"blobs": 7}, {"stage": {"kind": "train", "tasks": ["[red]x[/red]", 5, None], "settings": 3, "parent": "../../x"}},
    [], "x", {"blobs": {WEIGHTS: {"file": "../../../x"}}, "stage": {"kind": "train", "tasks": [], "parent": None}},
])  # fmt: skip
def test_records_that_say_odd_things_are_counted(store, said, record, tmp_path):
    (tmp_path / "x").write_text("mine")
    write(store, f"01/{key(1)}/record.json", json.dumps(record).encode())
    write(store, f"01/{key(1)}/weights.safetensors-h-1-01234567")
    train(store, 2)
    aged(store)
    before = store.medium.files()
    assert json.loads(said("show", "--store", store.url, "--format", "json"))["total"]["stages"] == 2
    assert "2" in said("show", "--store", store.url)
    assert store.medium.files() == before
    said("gc", "--store", store.url, "--keep-under", 0)
    assert (tmp_path / "x").read_text() == "mine"
    assert store.record(key(2))["loss"] == 1.5


def test_a_store_of_ones_own_folder_of_runs_is_found(tmp_path, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(Store("runs/store"), 1)
    assert "freed 0 B" in said("gc")
    train(Store("else/store"), 1)
    write(Store("else/store"), LEFT[0])
    assert "freed 10 B" in said("gc", "--out", "else", "--older-than", 0)


def test_an_object_store(s3_endpoint, said):
    url = "s3://bucket/gc"
    store = Store(url, patience=0)
    train(store, 1)
    train(store, 2, parent=1)
    score(store, 3, parent=2)
    write(store, LEFT[0])
    one = Attempts(store, "w:1")
    one.done(one.begin(key(1), {"kind": "train"}))
    found = rows(said("gc", "--store", url, "--format", "json"))
    assert all(row["files"] == 0 for row in found.values())  # all of it is young
    shown = json.loads(said("show", "--store", url, "--format", "json"))
    assert (shown["total"]["stages"], shown["total"]["weights"], shown["total"]["attempts"]) == (3, 2000, 1)
    out = said("gc", "--store", url, "--older-than", 0, "--keep-under", 1500, "--format", "json")
    assert {what: row["files"] for what, row in rows(out).items() if row["files"]} == {
        "blobs": 1, "attempts": 1, "weights": 2,
    }  # fmt: skip
    assert json.loads(out)["kept"] == sum(store.medium.files().values())
    assert store.keys() == {key(3)}
    assert store.record(key(2))["loss"] == 1.5


def test_words_for_people():
    assert [_human(n) for n in (0, 999, 1000, 1_500_000, 2 * 10**9, 3 * 10**12)] == [
        "0 B", "999 B", "1.0 kB", "1.5 MB", "2.0 GB", "3.0 TB",
    ]  # fmt: skip
    assert (size("20GB"), size("0"), size("1.5kB"), seconds("0"), seconds("2.5")) == (20 * 10**9, 0, 1500, 0, 2.5)
    assert store_inventory.READERS > 1
