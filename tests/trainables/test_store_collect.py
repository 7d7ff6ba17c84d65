"""Collected weights, sizes in one listing, and documents of the store that lie."""

from __future__ import annotations

import json
import os
import pickle
import threading
import uuid

import pytest
from storing import KEY, KINDS, OTHER, bucket_server, counted, url_of

from trainables.node_cache import NodeCache
from trainables.stage import PREDICTIONS
from trainables.store import Corrupt, Store, checksum

WEIGHTS = "weights.safetensors"


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


def files(store, key=KEY):
    return sorted(path.rsplit("/", 1)[-1] for path in store.medium.files(store.path(key)))


def test_collected_weights_are_gone_and_the_figures_stay(store):
    store.put(KEY, {"loss": 0.25}, {WEIGHTS: b"w" * 1000, "state.safetensors": b"s" * 500})
    assert store.collect(KEY) == 1500
    assert files(store) == ["collected.json"]
    assert not store.has(KEY)
    assert not store.verify(KEY)
    assert store.keys() == set()
    record = store.record(KEY)
    assert (record["loss"], record["collected"], record["key"]) == (0.25, True, KEY)
    with pytest.raises(Corrupt, match="collected"):
        store.blob(KEY, WEIGHTS)
    assert store.collect(KEY) == 0
    assert store.collect(OTHER) == 0


def test_a_collected_stage_can_be_made_and_collected_again(store):
    for number in range(3):
        assert store.put(KEY, {"number": number}, {WEIGHTS: b"w" * 100})
        assert store.record(KEY)["number"] == number
        assert "collected" not in store.record(KEY)
        assert store.verify(KEY)
        assert store.blob(KEY, WEIGHTS) == b"w" * 100
        assert store.collect(KEY) == 100
        assert store.record(KEY)["number"] == number
    store.discard(KEY)
    assert store.record(KEY) is None
    assert files(store) == []


@pytest.mark.parametrize("blobs", [{}, {PREDICTIONS: b"p"}])
def test_scores_are_not_collected(store, blobs):
    store.put(KEY, {"scores": []}, blobs)
    assert store.collect(KEY) == 0
    assert store.verify(KEY)


def test_a_collector_that_dies_half_way_leaves_no_stage_without_weights(store, monkeypatch):
    store.put(KEY, {"loss": 1}, {WEIGHTS: b"w" * 100})
    with monkeypatch.context() as patch:

        def die(*args):
            raise KeyboardInterrupt

        patch.setattr(Store, "_remove", die)
        with pytest.raises(KeyboardInterrupt):
            store.collect(KEY)
    assert not store.has(KEY)
    assert store.record(KEY)["loss"] == 1
    assert store.collect(KEY) == 100  # the next one takes what is left
    assert files(store) == ["collected.json"]


def test_of_several_collectors_nothing_is_counted_twice(local):
    for _ in range(20):
        local.put(KEY, {}, {WEIGHTS: b"w" * 100})
        started, freed = threading.Barrier(4), []

        def collect(started=started, freed=freed):
            started.wait()
            freed.append(local.collect(KEY))

        threads = [threading.Thread(target=collect) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(freed) == 100
        assert files(local) == ["collected.json"]


def test_a_stage_made_again_meanwhile_is_left_alone(local, monkeypatch):
    """Between looking and taking away another has collected it, and a third has made it again."""
    local.put(KEY, {"who": 1}, {WEIGHTS: b"one"})
    move = local.medium.move

    def late(*args):
        local.medium.move = move
        local.collect(KEY)
        local.put(KEY, {"who": 2}, {WEIGHTS: b"two"})
        raise FileNotFoundError

    local.medium.move = late
    assert local.collect(KEY) == 0
    assert local.record(KEY)["who"] == 2
    assert local.verify(KEY)


def test_sizes(store):
    assert store.sizes() == {}
    store.put(KEY, {}, {WEIGHTS: b"w" * 1000, "more": b"m" * 10})
    store.put(OTHER, {}, {})
    record = len(store.medium.read(store.path(OTHER, "record.json")))
    sizes = store.sizes()
    assert sizes[OTHER] == record
    assert sizes[KEY] == 1010 + len(store.medium.read(store.path(KEY, "record.json")))
    store.medium.write(store.path("ef" + "0" * 30, "weights-of-the-dead"), b"x" * 50)
    store.medium.write(f"attempts/{KEY}/1.json", b"{}")
    store.medium.write("studies/record.json", b"{}")
    assert store.sizes() == sizes
    store.collect(KEY)
    assert store.sizes() == {OTHER: record}


def test_requests_to_an_object_store(s3_endpoint):
    """Each takes some ten milliseconds, and stages there are thousands of."""
    store = Store(f"s3://bucket/{uuid.uuid4().hex}")
    with counted(store) as asked:
        store.put(KEY, {}, {WEIGHTS: b"w"})
    assert asked == ["HeadObject", "PutObject", "PutObject"]
    for number in range(20):
        store.put(f"{number:02}a{'0' * 30}", {}, {})
    for ask in (store.keys, store.sizes):
        with counted(store) as asked:
            assert len(ask()) == 21
        assert asked == ["ListObjectsV2"]
    with counted(store) as asked:
        assert store.has(KEY)
        assert not store.has("ff" + KEY)
    assert asked == ["HeadObject", "HeadObject"]


@pytest.mark.parametrize("file", ["../../secret", "/etc/hostname", "..", ".", "", "a/b", "a\\b", "a\0b", 7, None, []])
def test_a_record_that_names_a_file_elsewhere_is_refused(local, tmp_path, file):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "secret").write_bytes(b"secret")
    entry = {"file": file, "sha256": checksum(b"secret"), "bytes": 6}
    record = {"key": KEY, "writer": "x", "blobs": {WEIGHTS: entry}}
    local.medium.write(local.path(KEY, "record.json"), json.dumps(record).encode())
    with pytest.raises(Corrupt):
        local.blob(KEY, WEIGHTS)
    assert not local.verify(KEY)
    local.collect(KEY)
    local.discard(KEY)
    assert not local.has(KEY)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert (tmp_path / "store" / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize(
    "blobs", [
        None, 7, [], "x", {WEIGHTS: None}, {WEIGHTS: []}, {WEIGHTS: {"file": "f"}},
        {WEIGHTS: {"file": "f", "sha256": 1, "bytes": 1}},
    ],
)  # fmt: skip
def test_a_record_with_odd_blobs_is_corrupt_and_can_be_discarded(local, blobs):
    local.medium.write(local.path(KEY, "record.json"), json.dumps({"key": KEY, "blobs": blobs}).encode())
    with pytest.raises(Corrupt):
        local.blob(KEY, WEIGHTS)
    assert local.collect(KEY) == 0
    local.discard(KEY)
    assert local.put(KEY, {}, {WEIGHTS: b"w"})
    assert local.verify(KEY)


@pytest.mark.parametrize("key", ["../../x", "..", "a/b", "", "ab", "a" * 129, "ab\0c", "ab c", "äöüä"])
def test_a_key_that_leads_elsewhere_is_refused(local, key):
    for act in (local.has, local.record, local.collect, local.discard, lambda key: local.put(key, {}, {})):
        with pytest.raises(ValueError, match="no file of a stage"):
            act(key)
    with pytest.raises(ValueError, match="no file of a stage"):
        local.put(KEY, {}, {"../x": b""})


@pytest.mark.parametrize("name", ["../x.json", "studies/../../x.json", "/etc/passwd", "studies//x.json", ""])
def test_a_document_elsewhere_is_refused(local, name):
    with pytest.raises(ValueError, match="no path in a store"):
        local.document(name)
    with pytest.raises(ValueError, match="no path in a store"):
        local.put_document(name, {})


def test_a_record_that_is_a_named_pipe_or_nested_too_deep_counts_as_absent(local, tmp_path):
    path = tmp_path / "store" / local.path(KEY, "record.json")
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert local.record(KEY) is None
    path.unlink()
    path.write_bytes(b"[" * 100_000)
    assert local.record(KEY) is None
    assert not local.has(KEY)


def test_a_pickle_in_the_place_of_weights_is_not_what_the_record_says(local):
    local.put(KEY, {}, {WEIGHTS: b"w" * 50})
    file = local.record(KEY)["blobs"][WEIGHTS]["file"]
    local.medium.write(local.path(KEY, file), pickle.dumps(print).ljust(50, b"."))
    with pytest.raises(Corrupt, match="checksum"):
        local.blob(KEY, WEIGHTS)


def test_weights_come_from_the_node_when_they_are_there(store, tmp_path):
    cache = NodeCache(tmp_path / "cache", 10_000)
    store.put(KEY, {}, {WEIGHTS: b"w" * 1000})
    assert store.fetched(KEY, WEIGHTS, None) == (b"w" * 1000, "store")
    assert store.fetched(KEY, WEIGHTS, cache) == (b"w" * 1000, "store")
    assert store.fetched(KEY, WEIGHTS, cache) == (b"w" * 1000, "node")
    store.put(OTHER, {}, {WEIGHTS: b"o" * 1000}, cache)
    assert store.fetched(OTHER, WEIGHTS, cache) == (b"o" * 1000, "node")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert store.fetched(OTHER, WEIGHTS, cache) == (b"o" * 1000, "store")
    assert store.blob(OTHER, WEIGHTS, cache) == b"o" * 1000
    store.collect(KEY)
    with pytest.raises(Corrupt, match="collected"):
        store.fetched(KEY, WEIGHTS, cache)
