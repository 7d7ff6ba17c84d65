"""Stores that others may write to: whatever is in them that cannot be a stage counts as absent, and leads nowhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from hostile.arena import Arena, contents
from trainables.store import Corrupt, Store

CASES: dict[str, Callable[[Arena], None]] = {}

KEY = "ab" + "0" * 30


def _store(arena: Arena, record: str | bytes) -> Store:
    arena.put(f"store/ab/{KEY}/record.json", record)
    return Store(arena.at("store"), patience=0.1)


RECORDS: dict[str, str | bytes] = {
    "not JSON": "{", "empty": "", "a list": "[]", "nested": "[" * 100_000, "a pickle": b"\x80\x02.",
    "binary": b"\xff\xfe\x00", "a number": "7",
}  # fmt: skip
BLOBS: dict[str, Any] = {
    "a list": [], "a text": "x", "entries that are texts": {"weights": "x"}, "no file": {"weights": {"sha256": ""}},
    "a number as a file": {"weights": {"file": 7, "sha256": "", "bytes": 1}},
}  # fmt: skip


def _unreadable(arena: Arena, record: str | bytes) -> None:
    store = _store(arena, record)
    assert store.record(KEY) is None
    assert not store.verify(KEY)


def _without_blobs(arena: Arena, blobs: Any) -> None:
    store = _store(arena, json.dumps({"blobs": blobs}))
    with pytest.raises(Corrupt):
        store.blob(KEY, "weights")


def _leads_out(arena: Arena, file: str) -> None:
    """A record that names a file elsewhere, with its right checksum: neither read nor taken away."""
    secret = arena.put("secret", b"secret")
    entry = {"file": file, "sha256": hashlib.sha256(b"secret").hexdigest(), "bytes": 6}
    store = _store(arena, json.dumps({"blobs": {"weights": entry}}))
    with pytest.raises(Corrupt):
        store.blob(KEY, "weights")
    store.discard(KEY)
    assert secret.read_bytes() == b"secret"


def _documents(arena: Arena, content: str | bytes) -> None:
    arena.put("store/studies/x.json", content)
    before = contents(arena.folder)
    assert Store(arena.at("store"), patience=0.1).document("studies/x.json") in (None, [], 7)
    assert contents(arena.folder) == before


def _pickled_weights(arena: Arena) -> None:
    """A pickle with the right checksum in the place of weights: safetensors refuses it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    entry = {"file": "w", "sha256": hashlib.sha256(arena.pickle).hexdigest(), "bytes": len(arena.pickle)}
    store = _store(arena, json.dumps({"blobs": {"weights": entry}}))
    arena.put(f"store/ab/{KEY}/w", arena.pickle)
    with pytest.raises(SafetensorError):
        load(store.blob(KEY, "weights"))


def _key_that_leads_out(arena: Arena) -> None:
    secret = arena.put("secret/record.json", json.dumps({"blobs": {}}))
    store = Store(arena.at("store"), patience=0.1)
    with pytest.raises(ValueError):
        store.record("../../secret")
    assert secret.exists()


def _attempts(arena: Arena) -> None:
    from trainables.attempts import Attempts

    for place, content in enumerate(("{", "[]", "[" * 50_000, '{"worker": ["../x"], "token": {}}', b"\x80\x02.")):
        arena.put(f"store/attempts/{KEY}/{place + 1}.json", content)
    arena.put(f"store/attempts/{KEY}/99999999999999999999999999.json", "{}")
    arena.put(f"store/attempts/{KEY}/../../alive/x.json", "[" * 50_000)
    assert list(Attempts.all(Store(arena.at("store"), patience=0.1))) == []


for _name, _record in RECORDS.items():
    CASES[f"a record, {_name}"] = lambda arena, record=_record: _unreadable(arena, record)
    CASES[f"a document, {_name}"] = lambda arena, record=_record: _documents(arena, record)
for _name, _blobs in BLOBS.items():
    CASES[f"blobs, {_name}"] = lambda arena, blobs=_blobs: _without_blobs(arena, blobs)
for _file in ("../../../secret", "..", ".", "/etc/passwd", "a/../../../../secret", "", "record.json\n", "a\0b"):
    CASES[f"a blob's file {_file!r}"] = lambda arena, file=_file: _leads_out(arena, file)
CASES |= {
    "weights that are a pickle": _pickled_weights,
    "a key that leads out": _key_that_leads_out,
    "attempts that are none": _attempts,
}
