"""What tests of the store share: a server that speaks S3, and stores of every kind."""

from __future__ import annotations

import importlib.metadata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import fsspec
import pytest

KEY = "ab" + "0" * 30
OTHER = "cd" + "1" * 30
KINDS = ["local", "odd name", "memory", "s3"]


@contextmanager
def bucket_server() -> Iterator[str]:
    """A local moto server with a bucket of the name `bucket`, and the environment that makes s3fs use it: its URL."""
    moto_server = pytest.importorskip("moto.server", reason="needs moto[server]")
    s3fs = pytest.importorskip("s3fs", reason="needs the s3 extra")
    if int(importlib.metadata.version("s3fs").split(".")[0]) < 2026:
        pytest.skip("needs s3fs >= 2026.1 (the s3 extra)")
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": host,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # one of another test's speaks to another server
        with suppress(FileExistsError):  # moto keeps its buckets from server to server
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        yield settings["AWS_ENDPOINT_URL"]
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def url_of(kind: str, tmp_path, request) -> str:
    """Where a new store of a kind is; `s3` needs the fixture `s3_endpoint`."""
    match kind:
        case "local":
            return str(tmp_path / "store")
        case "odd name":
            return str(tmp_path / "a [store]* of ünïcode")
        case "memory":
            return f"memory://store-{uuid.uuid4().hex}"
        case _:
            request.getfixturevalue("s3_endpoint")
            return f"s3://bucket/{uuid.uuid4().hex}"


@contextmanager
def counted(store) -> Iterator[list[str]]:
    """The requests that a store on S3 makes meanwhile, by their operation."""
    asked: list[str] = []

    def ask(model, **kwargs):
        asked.append(model.name)

    events = store.medium.way.fs.s3.meta.events
    events.register("before-call.s3", ask)
    try:
        yield asked
    finally:
        events.unregister("before-call.s3", ask)
