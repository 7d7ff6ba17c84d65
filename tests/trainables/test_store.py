"""The store: first writer wins, nothing half-written counts, on a local disk, in memory and on S3."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from storing import KEY, KINDS, OTHER, bucket_server, url_of

from trainables.errors import Mistake
from trainables.store import Corrupt, Store


@pytest.fixture(scope="module")
def s3_endpoint():
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return url_of(request.param, tmp_path, request)


@pytest.fixture
def store(url):
    return Store(url)


def files(store, key=KEY):
    """The names of all files of a stage."""
    return sorted(path.rsplit("/", 1)[-1] for path in store.medium.files(store.path(key)))


def blob_path(store, name="weights", key=KEY):
    return store.path(key, store.record(key)["blobs"][name]["file"])


def test_put_and_get(store):
    assert store.keys() == set()
    assert not store.has(KEY)
    assert store.record(KEY) is None
    assert not store.verify(KEY)
    blobs = {"weights": b"\x00\xff" * 1000, "empty": b""}
    assert store.put(KEY, {"loss": 0.5, "text": "ü ไทย"}, blobs)
    assert store.has(KEY)
    assert store.verify(KEY)
    record = store.record(KEY)
    assert (record["loss"], record["text"], record["key"]) == (0.5, "ü ไทย", KEY)
    assert {name: store.blob(KEY, name) for name in blobs} == blobs
    assert record["blobs"]["weights"]["bytes"] == 2000
    assert store.put(OTHER, {}, {})
    assert store.keys() == {KEY, OTHER}
    with pytest.raises(Corrupt, match="has no scores"):
        store.blob(KEY, "scores")


def test_another_store_at_the_same_url_sees_it(store, url):
    assert store.keys() == set()
    Store(url).put(KEY, {"a": 1}, {"weights": b"w"})
    assert store.keys() == {KEY}
    assert store.record(KEY)["a"] == 1


def test_the_first_writer_wins(store):
    assert store.put(KEY, {"who": 1}, {"weights": b"one"})
    assert not store.put(KEY, {"who": 2}, {"weights": b"two"})
    assert store.record(KEY)["who"] == 1
    assert store.blob(KEY, "weights") == b"one"
    assert len(files(store)) == 2


def test_a_late_second_writer_leaves_nothing(store, monkeypatch):
    """Both looked before either wrote."""
    store.put(KEY, {"who": 1}, {"weights": b"one"})
    monkeypatch.setattr(store, "has", lambda key: False)
    assert not store.put(KEY, {"who": 2}, {"weights": b"two", "more": b"three"})
    assert store.record(KEY)["who"] == 1
    assert len(files(store)) == 2


def test_a_repeated_request_does_not_take_the_winner_for_a_loser(store, monkeypatch):
    """NFS and S3 may repeat a request whose answer was lost: it then fails because the first try succeeded."""
    create = store._create
    monkeypatch.setattr(store, "_create", lambda *args: create(*args) and False)
    assert store.put(KEY, {}, {"weights": b"one"})
    assert store.verify(KEY)


def test_threads(store):
    if store.url.startswith("memory"):
        pytest.skip("fsspec's memory filesystem is for one thread")
    started = threading.Barrier(8)

    def write(who):
        started.wait()
        return store.put(KEY, {"who": who}, {"weights": bytes([who]) * 1000, "more": b""})

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert sum(won) == 1
    assert store.record(KEY)["who"] == won.index(True)
    assert store.blob(KEY, "weights") == bytes([won.index(True)]) * 1000
    assert len(files(store)) == 3


def _write(url, who, started, won):
    store = Store(url)
    store.has = lambda key: False  # all have looked already
    started.wait()
    won.put((who, store.put(KEY, {"who": who}, {"weights": bytes([who]) * 1000})))


def test_processes(tmp_path):
    store = Store(str(tmp_path))
    context = multiprocessing.get_context("fork")
    started, won = context.Barrier(6), context.Queue()
    writers = [context.Process(target=_write, args=(str(tmp_path), who, started, won)) for who in range(6)]
    for writer in writers:
        writer.start()
    results = dict(won.get(timeout=30) for _ in writers)
    for writer in writers:
        writer.join()
    assert sum(results.values()) == 1
    winner = store.record(KEY)["who"]
    assert results[winner]
    assert store.blob(KEY, "weights") == bytes([winner]) * 1000
    assert len(files(store)) == 2


@pytest.mark.parametrize(
    "damage", [lambda b: b[:5] + bytes([b[5] ^ 1]) + b[6:], lambda b: b[:-1], lambda b: b"", None],
    ids=["flipped bit", "truncated", "emptied", "missing"],
)  # fmt: skip
def test_a_damaged_blob_is_told(store, damage):
    store.put(KEY, {}, {"weights": random.Random(0).randbytes(5000), "other": b"fine"})
    path = blob_path(store)
    if damage:
        store.medium.write(path, damage(store.medium.read(path)))
    else:
        store.medium.delete(path)
    with pytest.raises(Corrupt, match=KEY):
        store.blob(KEY, "weights")
    assert store.blob(KEY, "other") == b"fine"
    assert not store.verify(KEY)
    store.discard(KEY)
    assert not store.has(KEY)
    assert files(store) == []
    assert store.put(KEY, {}, {"weights": b"again"})
    assert store.verify(KEY)


@pytest.mark.parametrize("content", [b"", b'{"key": "ab', b"\xff\xfe\x00", b"null", b"[1]", b"{} {}"])
def test_a_broken_record_counts_as_absent(store, content):
    store.put(KEY, {}, {"weights": b"w"})
    store.medium.write(store.path(KEY, "record.json"), content)
    assert store.record(KEY) is None
    assert not store.has(KEY)
    assert not store.verify(KEY)
    with pytest.raises(Corrupt):
        store.blob(KEY, "weights")
    assert store.put(KEY, {"again": True}, {"weights": b"w"})
    assert store.verify(KEY)


def test_a_writer_that_dies_between_blob_and_record(store, monkeypatch):
    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_create", die)
    with pytest.raises(KeyboardInterrupt):
        store.put(KEY, {}, {"weights": b"half"})
    monkeypatch.undo()
    assert files(store) != []
    assert not store.has(KEY)
    assert store.keys() == set()
    assert store.put(KEY, {}, {"weights": b"whole"})
    assert store.blob(KEY, "weights") == b"whole"


def _die_between(path):
    store = Store(path)
    store._create = lambda *args: os._exit(9)
    store.put(KEY, {}, {"weights": b"half"})


def test_a_process_killed_between_blob_and_record(tmp_path):
    writer = multiprocessing.get_context("fork").Process(target=_die_between, args=(str(tmp_path),))
    writer.start()
    writer.join(30)
    assert writer.exitcode == 9
    store = Store(str(tmp_path))
    assert not store.has(KEY)
    assert store.put(KEY, {}, {"weights": b"whole"})
    assert store.verify(KEY)


def test_discard(store):
    store.discard(KEY)  # of nothing
    store.put(KEY, {}, {"weights": b"w"})
    store.put(OTHER, {}, {"weights": b"w"})
    store.discard(KEY)
    assert store.keys() == {OTHER}
    assert files(store) == []
    assert store.verify(OTHER)


def test_writable(store):
    store.writable()
    store.put(KEY, {}, {})
    store.writable()
    assert store.keys() == {KEY}


def test_an_unwritable_store_is_a_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    for url in (str(tmp_path / "file" / "store"), "/proc/order-search-store"):
        with pytest.raises(Mistake, match="cannot be written") as caught:
            Store(url).writable()
        assert caught.value.where == f"--store {url}"


def test_an_unknown_url_is_a_mistake():
    with pytest.raises(Mistake, match="cannot be opened"):
        Store("nosuch://bucket/prefix")


def test_an_unreachable_bucket_is_a_mistake(s3_endpoint):
    store = Store("s3://bucket/prefix")
    store.medium.way.fs = unreachable()
    with pytest.raises(Mistake, match="cannot be written"):
        store.writable()


def unreachable():
    """A filesystem of S3 whose server refuses connections."""
    once = {"retries": {"max_attempts": 0}, "connect_timeout": 2}
    return fsspec.filesystem("s3", skip_instance_cache=True, endpoint_url="http://127.0.0.1:9", config_kwargs=once)


def test_what_others_put_on_s3_is_seen_at_once(s3_endpoint):
    """Listings are not kept: another process's stage appears in the next one."""
    url = f"s3://bucket/{uuid.uuid4().hex}"
    store = Store(url)
    store.put(KEY, {}, {})
    assert store.keys() == {KEY}
    other = Store(url)
    other.medium.way.fs = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    other.put(OTHER, {}, {})
    assert store.has(OTHER)
    assert store.keys() == {KEY, OTHER}


def test_a_relative_path_stays_where_it_was_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    monkeypatch.chdir("/")
    store.put(KEY, {}, {"weights": b"w"})
    record = json.loads(next(Path(tmp_path / "here").rglob("record.json")).read_text())
    assert record["key"] == KEY
