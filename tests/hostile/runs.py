"""Run folders of others: manifests, tables, settings and links that are read by `show`, `leaderboard` and `report`."""

from __future__ import annotations

import json
import os
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from hostile.arena import Arena, Case, registered

CASES: dict[str, Case] = {}


def refused(*told: str) -> Any:
    """Registers a case of this file."""
    return registered(CASES, *told)


def _file(arena: Arena, name: str, content: str | bytes, verb: str = "leaderboard") -> list[Any]:
    path = arena.run / name
    arena.put(str(path.relative_to(arena.folder)), content)
    return [verb, arena.run]


MANIFESTS = {
    "not JSON": "{", "a list": "[]", "a number": "1", "empty": "", "of another schema": '{"schema": 99}',
    "nested": "[" * 100_000, "binary": b"\x80\x02\xff", "NaN": '{"schema": NaN}', "null": "null",
}  # fmt: skip
for _name, _content in MANIFESTS.items():
    CASES[f"a manifest, {_name}"] = Case(
        lambda arena, content=_content: _file(arena, "manifest.json", content),
        ("the run folder is of schema 99",) if 'schema": 99' in str(_content) else ("the run cannot be read",),
    )
KEYS: dict[str, Any] = {
    "a grid that is a text": {"grid": "x"}, "a grid of numbers": {"grid": {"a": 1}},
    "tasks that are a list": {"tasks": [1]}, "a cost of NaN": {"cost": {"seconds": float("nan")}},
    "no grid": {"grid": None}, "a difficulty that is none": {"tasks": {"mini-nli": {"difficulty": 7}}},
}  # fmt: skip
for _name, _keys in KEYS.items():
    CASES[f"a manifest, {_name}"] = Case(lambda arena, keys=_keys: arena.manifest(**keys), ("the run cannot be read",))


@refused("the file has more than 100 bytes")
def _a_huge_manifest(arena):
    from trainables import untrusted

    arena.run  # noqa: B018 - made before files become small
    arena.monkeypatch.setattr(untrusted.read_json, "__defaults__", (100,))
    return ["leaderboard", arena.run]


@refused("the run cannot be read", "no regular file")
def _a_pipe_as_a_manifest(arena):
    (arena.run / "manifest.json").unlink()
    os.mkfifo(arena.run / "manifest.json")
    return ["leaderboard", arena.run]


@refused("the run cannot be read", "no regular file")
def _scores_linked_to_a_device(arena):
    (arena.run / "scores.parquet").unlink()
    (arena.run / "scores.parquet").symlink_to("/dev/zero")
    return ["leaderboard", arena.run]


@refused("the run cannot be read")
def _a_manifest_linked_to_another_file(arena):
    arena.put("secret.json", "root:x:0:0\n")
    (arena.run / "manifest.json").unlink()
    (arena.run / "manifest.json").symlink_to(arena.at("secret.json"))
    return ["leaderboard", arena.run]


@refused("no regular file", "config.yaml")
def _settings_linked_to_a_device(arena):
    (arena.run / "config.yaml").unlink()
    (arena.run / "config.yaml").symlink_to("/dev/zero")
    return ["leaderboard", arena.run]


@refused("no valid YAML", "config.yaml")
def _settings_with_a_tag_of_Python(arena):
    return _file(arena, "config.yaml", f"suite: !!python/object/apply:pathlib.Path.touch [{str(arena.canary)!r}]")


@refused("there is no file", "config.yaml, key 'suite'")
def _settings_that_are_run_again_and_lead_elsewhere(arena):
    return ["run", "--space", arena.yaml("config", {"suite": "../../../etc/passwd"}), "--dry-run"]


@refused("the run cannot be read")
def _a_pickle_as_scores(arena):
    return _file(arena, "scores.parquet", arena.pickle)


@refused("the run cannot be read")
def _a_pickle_as_candidates(arena):
    return _file(arena, "candidates.parquet", arena.pickle)


def _scores(arena: Arena, **columns: Any) -> list[Any]:
    path = arena.run / "scores.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    return ["leaderboard", arena.run]


@refused("the column 'value' is missing, or of another kind")
def _scores_of_texts(arena):
    return _scores(arena, value="=cmd|' /C calc'!A0")


@refused("the run cannot be read")
def _scores_without_candidates(arena):
    return _scores(arena, candidate=None)


@refused("the column 'seed'")
def _roots_that_are_no_numbers(arena):
    return _scores(arena, seed=1.5)


@refused("holds control characters")
def _candidates_that_command_a_terminal(arena):
    return _scores(arena, candidate="\x1b]52;c;ZXZpbA==\x07")


@refused("the run cannot be read")
def _scores_with_a_pickled_type(arena):
    about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": arena.pickle}
    field = pa.field("portion", pa.string(), metadata=about)
    parquet.write_table(pa.table([["test"]], schema=pa.schema([field])), arena.run / "scores.parquet")
    return ["leaderboard", arena.run]


@refused("rows, more than")
def _more_rows_than_any_study_has(arena):
    from search import run_tables

    arena.monkeypatch.setattr(run_tables, "MOST_ROWS", 10)
    return ["leaderboard", arena.run]


BOARDS = {
    "not JSON": "{", "nested": "[" * 100_000, "a list": "[]", "rows that are numbers": '{"rows": 7}',
    "rows that are odd": '{"rows": [[1], {"a": []}]}', "no rows": "{}", "a pickle": b"\x80\x02.",
    "columns of texts": json.dumps({"title": 1, "notes": 2, "rows": [{"rank": "x", "score": [], "order": {}}]}),
}  # fmt: skip
for _name, _content in BOARDS.items():
    CASES[f"a leaderboard, {_name}"] = Case(
        lambda arena, content=_content: _file(arena, "leaderboard.json", content, "show"), ("cannot be read",)
    )


@refused("the manifest cannot be read")
def _a_listing_with_a_broken_manifest(arena):
    _file(arena, "manifest.json", "[" * 100_000)
    return ["ls", "runs", "--out", arena.folder / "runs"]
