"""A medium in trouble: operations are tried again for a while, nothing half-written counts, and it is told in words."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
import uuid

import fsspec
import pytest
from storing import KEY, OTHER, bucket_server

from trainables import store_trouble
from trainables.errors import Mistake
from trainables.store import Corrupt, Store, StoreTrouble
from trainables.store_files import LocalFiles

CODES = [
    errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EDQUOT
]  # fmt: skip


@pytest.fixture(scope="module")
def s3_endpoint():
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture
def local(tmp_path):
    return Store(str(tmp_path / "store"), patience=30)


@pytest.fixture
def pauses(monkeypatch):
    """Pauses pass at once; the list of their seconds. The clock that patience goes by is set on by them."""
    slept: list[float] = []
    monkeypatch.setattr(store_trouble.time, "sleep", slept.append)
    monkeypatch.setattr(store_trouble.time, "monotonic", lambda: 50.0 + sum(slept))
    return slept


def failing(monkeypatch, name, errors):
    """Have an operation of the medium raise these errors first; the list of what it was asked."""
    do, asked, left = getattr(LocalFiles, name), [], list(errors)

    def fail(self, *args):
        asked.append(args)
        if left:
            raise left.pop(0)
        return do(self, *args)

    monkeypatch.setattr(LocalFiles, name, fail)
    return asked


OPERATIONS = {
    "look": lambda store: store.has(KEY), "read": lambda store: store.record(KEY),
    "write": lambda store: store.put(OTHER, {}, {"weights": b"w"}), "create": lambda store: store.put(OTHER, {}, {}),
    "replace": lambda store: store.medium.replace("a/b", b"1") is None, "entries": lambda store: store.keys(),
    "renew": lambda store: store.medium.renew("a/b", b"1") is None, "move": lambda store: store.collect(KEY),
    "names": lambda store: len(store.medium.names(f"ab/{KEY}")) == 2,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("code", CODES, ids=[errno.errorcode[code] for code in CODES])
def test_trouble_that_passes_is_not_noticed(local, monkeypatch, pauses, name, code):
    local.put(KEY, {}, {"weights": b"w"})
    failing(monkeypatch, name, [OSError(code, os.strerror(code))] * 6)
    assert OPERATIONS[name](local)
    assert len(pauses) == 6


@pytest.mark.parametrize("name", OPERATIONS)
def test_trouble_that_stays_is_told(local, monkeypatch, pauses, name, caplog):
    local.put(KEY, {}, {"weights": b"w"})
    failing(monkeypatch, name, [OSError(errno.EIO, "Input/output error")] * 1000)
    with pytest.raises(StoreTrouble, match=r"does not do what it is asked: \[Errno 5\] Input/output error \(tried"):
        OPERATIONS[name](local)
    assert "trying again for up to 30 s" in caplog.text
    assert sum(pauses) == pytest.approx(30)


def test_pauses_grow_to_some_seconds_and_end_with_the_patience(local, monkeypatch, pauses):
    asked = failing(monkeypatch, "look", [OSError(errno.EIO, "")] * 1000)
    with pytest.raises(StoreTrouble):
        local.has(KEY)
    assert sum(pauses) == pytest.approx(30)
    assert max(pauses) <= 5
    assert all(0.05 * 2**k <= pause <= 0.1 * 2**k for k, pause in enumerate(pauses[:5]))
    assert len(asked) == len(pauses) + 1
    assert len(asked) < 25


def test_missing_files_are_answers_and_bugs_are_bugs(local, monkeypatch, pauses):
    assert not local.has(KEY)
    assert local.record(KEY) is None
    assert not local.medium.delete("no/such")
    with pytest.raises(FileNotFoundError):
        local.medium.read("no/such")
    failing(monkeypatch, "look", [TypeError("a bug")])
    with pytest.raises(TypeError):
        local.has(KEY)
    assert pauses == []


def test_a_hasty_store_has_no_patience(local, monkeypatch, pauses):
    failing(monkeypatch, "look", [OSError(errno.EIO, "")] * 2)
    with pytest.raises(StoreTrouble):
        local.hasty().has(KEY)
    assert pauses == []
    assert not local.has(KEY)
    assert len(pauses) == 1


def test_the_time_of_day_does_not_end_patience(local, monkeypatch, pauses):
    clock = iter([10**9, -(10**9)] * 100)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    failing(monkeypatch, "look", [OSError(errno.EIO, "")] * 5)
    assert not local.has(KEY)


def test_a_folder_that_vanishes_under_a_writer_is_made_again(local, monkeypatch, pauses):
    """`discard` takes an empty folder away while another is about to write to it."""
    failing(monkeypatch, "write", [FileNotFoundError()])
    failing(monkeypatch, "create", [FileNotFoundError()])
    assert local.put(KEY, {}, {"weights": b"w"})
    assert local.verify(KEY)


def test_a_put_that_fails_leaves_nothing(local, monkeypatch, pauses, tmp_path):
    failing(monkeypatch, "create", [OSError(errno.EROFS, "")] * 1000)
    with pytest.raises(StoreTrouble):
        local.put(KEY, {}, {"weights": b"w" * 100, "more": b"m"})
    assert local.medium.files() == {}


def test_a_put_whose_record_may_be_there_leaves_its_blobs(local, monkeypatch, pauses):
    """The link was made, and every answer was lost."""
    create = LocalFiles.create

    def lost(self, *args):
        create(self, *args)
        raise OSError(errno.ETIMEDOUT, "")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "create", lost)
        with pytest.raises(StoreTrouble):
            local.put(KEY, {}, {"weights": b"w"})
    assert local.verify(KEY)


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of its own of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk):
    store = Store(str(small_disk / "store"), patience=0.3)
    store.put(OTHER, {}, {"weights": b"o" * 400_000})
    with pytest.raises(StoreTrouble, match="No space left"):
        store.put(KEY, {}, {"weights": b"w" * 900_000})
    assert not store.has(KEY)
    with pytest.raises(StoreTrouble, match="No space left"):
        store.hasty().medium.write(store.path(KEY, "weights"), b"w" * 900_000)
    assert store.medium.files(store.path(KEY)) == {}  # half a file would keep others from writing
    assert store.verify(OTHER)
    patient = Store(store.url, patience=30)
    later = threading.Timer(0.3, lambda: store.collect(OTHER))
    later.start()
    assert patient.put(KEY, {}, {"weights": b"w" * 900_000})
    later.join()
    assert patient.verify(KEY)


def test_signs_of_life_need_no_room(small_disk):
    from trainables.attempts import Beat

    store = Store(str(small_disk / "store"), patience=0)
    beat = Beat(store, "w:1", every=60)
    beat.start()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "rest").write_bytes(b"x" * 2_000_000)
    beat._sign()
    assert b'"counter": 2' in store.medium.read("alive/w:1.json")
    beat.stop()


def test_a_store_that_is_read_only_for_a_while(small_disk):
    store = Store(str(small_disk / "store"), patience=30)
    store.put(OTHER, {}, {"weights": b"o"})
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(Mistake, match=r"cannot be written to: .*Read-only"):
        store.writable()
    with pytest.raises(StoreTrouble, match="Read-only"):
        Store(store.url, patience=0.2).put(KEY, {}, {})
    assert store.verify(OTHER)
    later = threading.Timer(0.3, subprocess.run, [["mount", "-o", "remount,rw", small_disk]])
    later.start()
    assert store.put(KEY, {}, {"weights": b"w"})
    later.join()
    assert store.verify(KEY)


def test_an_object_store_that_is_away_for_a_while(s3_endpoint):
    """A port that refuses connections, until a relay to the server listens on it."""
    import socket

    place = socket.create_server(("127.0.0.1", 0))
    port = place.getsockname()[1]
    place.close()
    store = Store(f"s3://bucket/{uuid.uuid4().hex}", patience=60)
    there = store.medium.way.fs
    options = {"retries": {"max_attempts": 0}, "connect_timeout": 2}
    away = fsspec.filesystem(
        "s3", skip_instance_cache=True, endpoint_url=f"http://127.0.0.1:{port}", config_kwargs=options
    )
    away.retries = 1
    store.medium.way.fs = away
    hasty = store.hasty()
    acts = (
        lambda: hasty.has(KEY), hasty.keys, lambda: hasty.record(KEY), lambda: hasty.put(KEY, {}, {}),
        lambda: hasty.medium.names("attempts"),
    )  # fmt: skip
    for act in acts:
        with pytest.raises(StoreTrouble, match="onnect"):
            act()
    later = threading.Timer(0.4, lambda: setattr(store.medium.way, "fs", there))
    later.start()
    with pytest.raises(StoreTrouble):
        hasty.put(KEY, {}, {"weights": b"w"})
    later.join()
    assert store.put(KEY, {}, {"weights": b"w"})
    assert store.verify(KEY)


def test_an_object_store_that_comes_back_is_waited_for(s3_endpoint, monkeypatch, pauses):
    from botocore.exceptions import ClientError, EndpointConnectionError

    store = Store(f"s3://bucket/{uuid.uuid4().hex}")
    call, fails = store.medium.way.fs._call_s3, []

    async def away(method, *args, **kwargs):
        if fails:
            raise fails.pop()
        return await call(method, *args, **kwargs)

    monkeypatch.setattr(store.medium.way.fs, "_call_s3", away)
    slow = ClientError({"Error": {"Code": "SlowDown", "Message": "slower"}}, "PutObject")
    for error in (EndpointConnectionError(endpoint_url="http://x"), slow, ConnectionResetError(), TimeoutError()):
        fails[:] = [error] * 4
        store.put(KEY, {}, {"weights": b"w"})
        assert store.verify(KEY)
        assert fails == []
        store.discard(KEY)
    assert len(pauses) == 16


def test_a_missing_bucket_is_trouble_for_writers(s3_endpoint):
    store = Store("s3://no-such-bucket/x", patience=0)
    with pytest.raises(Mistake, match="cannot be written"):
        store.writable()
    with pytest.raises(StoreTrouble):
        store.put(KEY, {}, {})
    assert not store.medium.way.fs.exists("no-such-bucket")  # none is made of a name that was mistyped


def test_a_server_that_does_not_say_which_condition_failed(s3_endpoint, monkeypatch):
    """MinIO and others answer 412 without naming If-None-Match."""
    from botocore.exceptions import ClientError

    store = Store(f"s3://bucket/{uuid.uuid4().hex}", patience=0)

    def refuse(path, content, mode="overwrite"):
        error = OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold")
        raise error from ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")

    monkeypatch.setattr(store.medium.way.fs, "pipe_file", refuse)
    assert store.medium.create("a/b", b"") is False


def test_an_empty_object_is_read(s3_endpoint):
    store = Store(f"s3://bucket/{uuid.uuid4().hex}", patience=0)
    store.medium.write("a/b", b"")
    assert store.medium.read("a/b") == b""
    assert store.medium.exists("a/b")


def test_a_store_where_files_can_be_created_twice_is_refused(local, monkeypatch):
    monkeypatch.setattr(LocalFiles, "create", lambda self, path, content: True)
    with pytest.raises(Mistake, match="could overwrite each other") as caught:
        local.writable()
    assert "If-None-Match" in caught.value.right


def test_a_filesystem_without_hard_links_is_refused(local, monkeypatch):
    def refused(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(Mistake, match=r"cannot be written to: .*not permitted"):
        local.writable()
    assert local.medium.files() == {}


def test_a_reader_is_told_that_the_store_is_away_and_not_that_weights_are_missing(local, monkeypatch, pauses):
    """Weights that are missing are made again; a store that is away is waited for."""
    local.put(KEY, {}, {"weights": b"w"})
    failing(monkeypatch, "read", [OSError(errno.ESTALE, "Stale file handle")] * 1000)
    with pytest.raises(StoreTrouble):
        local.blob(KEY, "weights")
    with pytest.raises(StoreTrouble):
        local.verify(KEY)
    assert not issubclass(StoreTrouble, Corrupt | OSError)
