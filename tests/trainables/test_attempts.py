"""Attempts: one of many gets a stage, and who holds one is found dead by a counter that stands still, or at once."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from storing import KEY, KINDS, OTHER, bucket_server, counted, url_of

from trainables import attempts, processes
from trainables.attempts import Attempts, Beat, Held, Lease, Watcher
from trainables.processes import Process, is_gone, this_process
from trainables.store import Store, StoreTrouble

ABOUT = {"kind": "train", "tasks": ["nli"]}
FOREIGN = {"host": "elsewhere 1f2e 4026531836", "pid": 7, "started": 1234}


@pytest.fixture(scope="module")
def s3_endpoint():
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return Store(url_of(request.param, tmp_path, request))


@pytest.fixture
def local(tmp_path):
    return Store(str(tmp_path / "store"))


class Clock:
    """The observer's clock, set by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def attempt_file(key, number):
    return f"attempts/{key}/{number}.json"


def write(store, path, content):
    store.medium.replace(path, content if isinstance(content, bytes) else json.dumps(content).encode())


def foreign_attempt(store, key=KEY, number=1, worker="far:7", **more):
    """An attempt of a worker on another machine."""
    write(store, attempt_file(key, number), {"worker": worker, "token": f"t-{worker}", **FOREIGN, **more})


def sign(store, counter, worker="far:7"):
    write(store, f"alive/{worker}.json", {"counter": counter, **FOREIGN, "progress": 0})


def test_the_first_takes_it_and_the_second_is_told_who_holds_it(store):
    first, second = Attempts(store, "a:1"), Attempts(store, "b:2")
    lease = first.begin(KEY, ABOUT)
    assert lease == Lease(KEY, 1, "a:1")
    assert first.holds(lease)
    assert not second.holds(lease)
    with pytest.raises(Held) as caught:
        second.begin(KEY, ABOUT)
    assert (caught.value.key, caught.value.holder, caught.value.number) == (KEY, "a:1", 1)
    assert second.begin(OTHER, ABOUT).number == 1
    assert first.holds(lease)


def test_what_is_tried_is_noted_before_it_is_begun(store):
    Attempts(store, "a:1").begin(KEY, {**ABOUT, "split": 2})
    about = json.loads(store.medium.read(attempt_file(KEY, 1)))
    assert about["worker"] == "a:1"
    assert about["pid"] == os.getpid()
    assert about["host"] == processes.host()
    assert (about["kind"], about["tasks"], about["split"]) == ("train", ["nli"], 2)
    assert not store.has(KEY)
    assert store.keys() == set()


def test_a_failed_attempt_lets_another_begin_at_once(store):
    first, second = Attempts(store, "a:1"), Attempts(store, "b:2")
    first.end(first.begin(KEY, ABOUT), "diverged")
    lease = second.begin(KEY, ABOUT)
    assert lease.number == 2
    assert second.holds(lease)
    assert [about.get("ended") for _, about in Attempts.all(store)] == ["diverged", None]


def test_a_stored_attempt_says_so(store):
    one = Attempts(store, "a:1")
    one.done(one.begin(KEY, ABOUT))
    assert [(key, about["ended"], about["kind"]) for key, about in Attempts.all(store)] == [(KEY, "stored", "train")]


def test_who_was_thought_dead_loses_its_lease(store):
    first, second = Attempts(store, "a:1"), Attempts(store, "b:2")
    old = first.begin(KEY, ABOUT)
    new = second.begin(KEY, ABOUT, over="a:1")
    assert new.number == 2
    assert not first.holds(old)
    assert second.holds(new)
    first.end(old, "too late")  # does not end the other's
    assert second.holds(new)
    with pytest.raises(Held):
        first.begin(KEY, ABOUT)
    with pytest.raises(Held):  # another than the one that is over
        Attempts(store, "c:3").begin(KEY, ABOUT, over="a:1")


def test_a_lease_is_lost_when_its_file_is_gone_or_another_workers(store):
    one = Attempts(store, "a:1")
    lease = one.begin(KEY, ABOUT)
    foreign_attempt(store)
    assert not one.holds(lease)
    one.end(lease, "whatever")
    assert "ended" not in json.loads(store.medium.read(attempt_file(KEY, 1)))
    store.medium.delete(attempt_file(KEY, 1))
    assert not one.holds(lease)
    one.done(lease)
    assert not store.medium.exists(attempt_file(KEY, 1))


def test_a_worker_goes_on_after_its_own_attempt(store):
    """A process that is put to work anew is not held by what it began before."""
    one = Attempts(store, "a:1")
    assert one.begin(KEY, ABOUT).number == 1
    assert one.begin(KEY, ABOUT).number == 2
    anew = Attempts(store, "a:1")
    lease = anew.begin(KEY, ABOUT)
    assert lease.number == 3
    assert anew.holds(lease)


def test_another_machines_worker_of_the_same_name_is_another(store):
    """Containers share host names, and numbers of processes."""
    foreign_attempt(store, worker="a:1")
    with pytest.raises(Held):
        Attempts(store, "a:1").begin(KEY, ABOUT)


def test_a_repeated_request_does_not_take_the_winner_for_a_loser(store, monkeypatch):
    create = store.medium.create
    monkeypatch.setattr(store.medium, "create", lambda *args: create(*args) and False)
    one = Attempts(store, "a:1")
    lease = one.begin(KEY, ABOUT)
    assert lease.number == 1
    assert one.holds(lease)


def test_of_racing_threads_one_begins(store):
    if store.url.startswith("memory"):
        pytest.skip("fsspec's memory filesystem is for one thread")
    started = threading.Barrier(8)

    def begin(who):
        started.wait()
        try:
            return Attempts(store, f"w:{who}").begin(KEY, ABOUT)
        except Held as held:
            return held

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(begin, range(8)))
    leases = [one for one in found if isinstance(one, Lease)]
    assert len(leases) == 1
    assert {held.holder for held in found if isinstance(held, Held)} == {leases[0].holder}
    assert store.medium.names(f"attempts/{KEY}") == ["1.json"]


def test_of_racing_threads_one_takes_over(store):
    if store.url.startswith("memory"):
        pytest.skip("fsspec's memory filesystem is for one thread")
    foreign_attempt(store)
    started = threading.Barrier(8)

    def begin(who):
        started.wait()
        try:
            return Attempts(store, f"w:{who}").begin(KEY, ABOUT, over="far:7").number
        except Held:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(begin, range(8))) == [0] * 7 + [2]


def _race(url, who, started, results):
    begun = 0
    one = Attempts(Store(url), f"w:{who}")
    for number in range(20):
        started.wait()
        try:
            one.begin(f"key{number}", ABOUT)
            begun += 1
        except Held:
            pass
    results.put(begun)
    started.wait()  # all live until all have tried: who is gone holds nothing


def test_of_racing_processes_one_begins(local):
    context = multiprocessing.get_context("fork")
    started, results = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(local.url, who, started, results)) for who in range(4)]
    for racer in racers:
        racer.start()
    assert sum(results.get(timeout=30) for _ in racers) == 20
    for racer in racers:
        racer.join(30)
    assert len(local.medium.files("attempts")) == 20


def test_a_holder_is_over_when_its_counter_has_stood_still(store):
    clock = Clock()
    watcher = Watcher(store, clock=clock)
    foreign_attempt(store)
    sign(store, 4)
    assert watcher.look(KEY, "far:7") == "held"
    for counter in range(5, 40):  # never while it moves, however long
        clock.now += 29.9
        sign(store, counter)
        assert watcher.look(KEY, "far:7") == "held"
    clock.now += 29.9
    assert watcher.look(KEY, "far:7") == "held"
    clock.now += 0.2
    assert watcher.look(KEY, "far:7") == "over"
    lease = Attempts(store, "b:2").begin(KEY, ABOUT, over="far:7")
    assert lease.number == 2
    assert watcher.look(KEY, "far:7") == "held"  # by the one that took it over, who has just begun


def test_a_counter_that_is_set_back_moves_too(local):
    """A worker of the same name that has begun anew."""
    clock = Clock()
    watcher = Watcher(local, clock=clock)
    foreign_attempt(local)
    for counter in (500, 1, 500, 1):
        sign(local, counter)
        assert watcher.look(KEY, "far:7") == "held"
        clock.now += 29


def test_a_holder_without_a_sign_of_life_is_over_after_a_while(store):
    clock = Clock()
    watcher = Watcher(store, clock=clock)
    foreign_attempt(store)
    assert watcher.look(KEY, "far:7") == "held"
    clock.now += 31
    assert watcher.look(KEY, "far:7") == "over"
    foreign_attempt(store, number=2)  # a new attempt has its own time
    assert watcher.look(KEY, "far:7") == "held"


def test_an_attempt_that_has_ended_is_over_at_once_and_a_stored_stage_is_stored(store):
    watcher = Watcher(store)
    one = Attempts(store, "a:1")
    assert watcher.look(KEY, "a:1") == "over"  # there is no attempt
    lease = one.begin(KEY, ABOUT)
    assert watcher.look(KEY, "a:1") == "held"
    one.end(lease, "out of memory")
    assert watcher.look(KEY, "a:1") == "over"
    store.put(KEY, {}, {})
    assert watcher.look(KEY, "a:1") == "stored"


def test_the_time_of_day_changes_nothing(local, monkeypatch):
    clock = Clock()
    watcher = Watcher(local, clock=clock)
    foreign_attempt(local)
    sign(local, 1)
    assert watcher.look(KEY, "far:7") == "held"
    for jump in (10**9, -(10**9)):
        monkeypatch.setattr(time, "time", lambda jump=jump: jump)
        path = local.medium.at("alive/far:7.json")
        os.utime(path, (abs(jump), abs(jump)))
        clock.now += 10
        assert watcher.look(KEY, "far:7") == "held"
    clock.now += 10.1
    assert watcher.look(KEY, "far:7") == "over"


HOLDER = """
import sys, time
from trainables.attempts import Attempts, Beat
from trainables.store import Store
store = Store(sys.argv[1])
Beat(store, "w:1").start()
Attempts(store, "w:1").begin(sys.argv[2], {"kind": "train"})
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(local):
    """A real process that holds a stage."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, local.url, KEY], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.wait()


def test_a_process_of_this_machine_that_is_killed_is_over_at_once(local, holder):
    clock = Clock()  # stands still: no time passes
    watcher = Watcher(local, clock=clock)
    assert watcher.look(KEY, "w:1") == "held"
    with pytest.raises(Held):
        Attempts(local, "b:2").begin(KEY, ABOUT)
    holder.kill()
    deadline = time.monotonic() + 10
    while watcher.look(KEY, "w:1") == "held":  # it may take a moment to die; nobody has waited for it, it is a zombie
        assert time.monotonic() < deadline
    assert watcher.look(KEY, "w:1") == "over"
    assert Attempts(local, "b:2").begin(KEY, ABOUT).number == 2  # without being told that it is over
    assert holder.wait() == -9
    assert Watcher(local).look(KEY, "w:1") == "held"  # by b:2, this process


def test_a_stopped_process_is_over_by_its_counter_alone(local, holder):
    """It exists, but gives no sign; when it goes on, it finds its lease lost."""
    holder.send_signal(signal.SIGSTOP)
    clock = Clock()
    watcher = Watcher(local, clock=clock)
    assert watcher.look(KEY, "w:1") == "held"
    clock.now += 30
    assert watcher.look(KEY, "w:1") == "over"


def test_numbers_of_processes_are_used_again():
    here = this_process()
    assert not is_gone(here)
    assert is_gone(here._replace(started=here.started - 1))  # the number is now another process's
    assert not is_gone(here._replace(started=0))  # not known: nothing is said
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert is_gone(here._replace(pid=dead.pid, started=1))


def test_nothing_is_said_of_processes_elsewhere(monkeypatch):
    here = this_process()
    dead = here._replace(pid=2**22 + 1)  # beyond the largest number there can be
    assert is_gone(dead)
    for host in ("elsewhere", here.host.split()[0], here.host[:-1], here.host.replace("-", "0", 1)):
        assert not is_gone(dead._replace(host=host))
    assert not is_gone(Process(here.host, 1, processes.started(1)))  # init, another user's for most
    monkeypatch.setattr(processes, "_boot", lambda: "")  # a system without: hosts cannot be told apart
    assert not is_gone(dead)


def test_another_users_process_counts_as_alive(monkeypatch):
    def refused(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    monkeypatch.setattr(processes, "_stat", lambda pid: ("", 0))  # as /proc hides them
    assert not is_gone(this_process()._replace(pid=999))


def test_signs_of_life(store):
    progress = itertools.count()
    beat = Beat(store, "w:1", every=0.02, progress=lambda: next(progress))
    beat.start()
    first = json.loads(store.medium.read("alive/w:1.json"))
    assert (first["counter"], first["progress"], first["pid"]) == (1, 0, os.getpid())
    deadline = time.monotonic() + 20
    while json.loads(store.medium.read("alive/w:1.json"))["counter"] < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    beat.stop()
    assert not store.medium.exists("alive/w:1.json")
    time.sleep(0.06)
    assert not store.medium.exists("alive/w:1.json")


def test_a_beat_outlives_trouble(local, monkeypatch, caplog):
    beat = Beat(local, "w:1", every=0.01)
    renew = beat._store.medium.renew
    fails = iter([StoreTrouble("full")] * 3)

    def full(path, content):
        for error in fails:
            raise error
        renew(path, content)

    monkeypatch.setattr(beat._store.medium, "renew", full)
    beat.start()
    deadline = time.monotonic() + 20
    while not local.medium.exists("alive/w:1.json"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    beat.stop()
    assert "no sign of life: full" in caplog.text


def test_trouble_of_the_store_is_no_death(local, monkeypatch):
    """While an observer cannot look, a holder may be unable to write: its time begins anew."""
    clock = Clock()
    watcher = Watcher(local, clock=clock)
    foreign_attempt(local)
    sign(local, 1)
    assert watcher.look(KEY, "far:7") == "held"
    clock.now += 29
    with monkeypatch.context() as patch:

        def away(key):
            raise StoreTrouble("away")

        patch.setattr(watcher._store, "has", away)
        assert watcher.look(KEY, "far:7") == "held"
        patch.setattr(watcher._store, "has", lambda key: pytest.fail("it looked again at once"))
        assert watcher.look(KEY, "far:7") == "held"
    clock.now += 29
    assert watcher.look(KEY, "far:7") == "held"
    clock.now += 30.1
    assert watcher.look(KEY, "far:7") == "over"


MALFORMED = [
    b"", b"{", b"\xff\xfe", b"null", b"[]", b"7", b'{"worker": 3, "token": "t"}', b'{"worker": "far:7"}', b"[" * 60000,
    b'{"a":' * 30000, b" " * 200_000, b'{"worker": "far:7", "token": "t", "x": "' + b"x" * 100_000 + b'"}',
    b'{"worker": ["far:7"], "token": {}, "ended": "stored"}', b"9" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("content", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_attempt_is_over_only_when_it_has_stood_still(local, content):
    write(local, attempt_file(KEY, 1), content)
    clock = Clock()
    watcher, one = Watcher(local, clock=clock), Attempts(local, "b:2")
    with pytest.raises(Held) as caught:
        one.begin(KEY, ABOUT)
    assert caught.value.holder == ""
    assert "cannot be read" in str(caught.value)
    assert watcher.look(KEY, caught.value.holder) == "held"
    clock.now += 30
    assert watcher.look(KEY, caught.value.holder) == "over"
    assert one.begin(KEY, ABOUT, over="").number == 2
    assert [about["worker"] for _, about in Attempts.all(local)] == ["b:2"]


@pytest.mark.parametrize("content", [*MALFORMED, b'{"counter": "9"}', b'{"counter": 1e999}', b'{"counter": NaN}'])
def test_a_malformed_sign_of_life_does_not_move(local, content):
    clock = Clock()
    watcher = Watcher(local, clock=clock)
    foreign_attempt(local)
    write(local, "alive/far:7.json", content)
    assert watcher.look(KEY, "far:7") == "held"
    clock.now += 30
    assert watcher.look(KEY, "far:7") == "over"


@pytest.mark.parametrize(
    "process", [
        {"pid": -1, "started": 1}, {"pid": 0, "started": 1}, {"pid": 2**80, "started": 1}, {"pid": "7", "started": 1},
        {"pid": 7, "started": None}, {"pid": None}, {"host": 5, "pid": 7, "started": 1},
    ],
)  # fmt: skip
def test_an_attempt_of_no_process_is_over_only_when_it_has_stood_still(local, process):
    about = {"worker": "w:1", "token": "t", "host": processes.host(), **process}
    write(local, attempt_file(KEY, 1), about)
    clock = Clock()
    watcher = Watcher(local, clock=clock)
    assert watcher.look(KEY, "w:1") == "held"
    with pytest.raises(Held):
        Attempts(local, "b:2").begin(KEY, ABOUT)
    clock.now += 30
    assert watcher.look(KEY, "w:1") == "over"


def test_names_that_lead_out_of_the_store_are_not_followed(local, tmp_path):
    (tmp_path / "secret.json").write_text('{"counter": 1}')
    foreign_attempt(local, worker="../../secret")
    assert attempts.sign_of(local, attempts._alive("../../secret")) is None
    assert Watcher(local).look(KEY, "../../secret") == "held"
    with pytest.raises(Held):
        Attempts(local, "b:2").begin(KEY, ABOUT)
    for key in ("../../x", "a/../../../x", "", "."):
        with pytest.raises(ValueError, match="no path in a store"):
            Attempts(local, "b:2").begin(key, ABOUT)
    beat = Beat(local, "../../../out", every=60)
    beat.start()
    assert [*(tmp_path / "store" / "alive").iterdir()]
    beat.stop()
    assert {path.name for path in tmp_path.iterdir()} == {"store", "secret.json"}


def test_other_files_are_no_attempts(local):
    for name in ("0.json", "01.json", "-1.json", "1.json.5-ab.tmp", "9" * 13 + ".json", "x.json", "1.txt"):
        write(local, f"attempts/{KEY}/{name}", {"worker": "far:7", "token": "t"})
    assert attempts.newest(local, KEY) == 0
    assert list(Attempts.all(local)) == []
    assert Attempts(local, "a:1").begin(KEY, ABOUT).number == 1


def test_too_much_to_say_is_refused(local):
    one = Attempts(local, "a:1")
    with pytest.raises(ValueError, match="too much"):
        one.begin(KEY, {"kind": "x" * 70_000})
    lease = one.begin(KEY, ABOUT)
    one.end(lease, "é" * 100_000)
    assert Attempts(local, "b:2").begin(KEY, ABOUT).number == 2


def test_few_requests_a_stage(s3_endpoint):
    """Of an object store each takes some ten milliseconds."""
    store = Store(f"s3://bucket/{uuid.uuid4().hex}")
    one = Attempts(store, "a:1")
    with counted(store) as asked:
        lease = one.begin(KEY, ABOUT)
    assert asked == ["ListObjectsV2", "PutObject"]
    with counted(store) as asked:
        assert one.holds(lease)
    assert asked == ["ListObjectsV2", "GetObject"]
    with counted(store) as asked:
        one.done(lease)
    assert asked == ["GetObject", "PutObject"]
    with counted(store) as asked:
        one.begin(KEY, ABOUT)
    assert asked == ["ListObjectsV2", "GetObject", "PutObject"]
    with counted(store) as asked:
        Watcher(store).look(KEY, "a:1")
    assert asked == ["HeadObject", "ListObjectsV2", "GetObject", "GetObject"]
