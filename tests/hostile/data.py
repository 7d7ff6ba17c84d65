"""Data folders: rows and files that are none, bombs, and paths that lead out."""

from __future__ import annotations

import gzip
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from hostile.arena import Case, registered

CASES: dict[str, Case] = {}


def refused(*told: str) -> Any:
    """Registers a case of this file."""
    return registered(CASES, *told)


@refused("nested too deeply", "pairs/train.jsonl, row 1")
def _a_row_nested_too_deeply(arena):
    arena.rows("pairs/train", ["[" * 200_000])
    return arena.study()


@refused("thousands of figures")
def _a_number_of_thousands_of_figures(arena):
    arena.rows("pairs/train", ['{"id": ' + "9" * 5000 + "}"])
    return arena.study()


@refused("NUL character")
def _a_NUL_in_a_text(arena):
    arena.rows("pairs/train", [{"id": "1", "text": "a\0b", "label": "yes"}])
    return arena.study()


@refused("no UTF-8", "row 1")
def _text_that_is_no_unicode(arena):
    arena.put("data/pairs/train.jsonl", b'{"id": "1", "text": "\xff\xfe"}\n')
    return arena.study()


@refused("unpacks to more than")
def _a_gzip_bomb(arena):
    from trainables import rows

    arena.monkeypatch.setattr(rows, "LEAST_UNPACKED", 2**20)
    (arena.data / "pairs" / "train.jsonl").unlink()
    row = b'{"id": "1", "text": "' + b"a" * 2**20 + b'"}\n'
    arena.put("data/pairs/train.jsonl.gz", gzip.compress(row * 8))
    return arena.study("--on-bad-row", "skip")


@refused("a row has more than 1,000 bytes")
def _a_row_without_an_end(arena):
    from trainables import rows

    arena.monkeypatch.setattr(rows, "LONGEST_ROW", 1000)
    arena.put("data/pairs/train.jsonl", b"x" * 5000)
    return arena.study("--on-bad-row", "skip")


@refused("truncated or no gzip file")
def _a_pickle_as_gzip(arena):
    (arena.data / "pairs" / "train.jsonl").unlink()
    arena.put("data/pairs/train.jsonl.gz", arena.pickle)
    return arena.study()


@refused("truncated or no parquet file")
def _a_pickle_as_parquet(arena):
    (arena.data / "pairs" / "train.jsonl").unlink()
    arena.put("data/pairs/train.parquet", arena.pickle)
    return arena.study()


@refused("no label")
def _parquet_with_a_pickled_type(arena):
    (arena.data / "pairs" / "train.jsonl").unlink()
    about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": arena.pickle}
    schema = pa.schema([pa.field("text", pa.string(), metadata=about)])
    parquet.write_table(pa.table([["a"]], schema=schema), arena.at("data/pairs/train.parquet"))
    return arena.study()


@refused("no regular file")
def _a_pipe_as_data(arena):
    (arena.data / "pairs" / "train.jsonl").unlink()
    os.mkfifo(arena.data / "pairs" / "train.jsonl")
    return arena.study()


@refused("leads out of the data folder")
def _a_file_above_the_data_folder(arena):
    arena.put("secret.jsonl", '{"id": "1", "text": "secret", "label": "yes"}\n')
    arena.task("pairs", source={"folder": {"train": "../secret", "dev": "pairs/dev", "test": "pairs/test"}})
    return arena.study()


@refused("leads out of the data folder")
def _a_file_anywhere(arena):
    arena.task("pairs", source={"folder": {"train": arena.at("secret"), "dev": "pairs/dev"}})
    return arena.study()


@refused("leads out of the data folder")
def _a_language_that_leads_out(arena):
    arena.task("tags", source={"folder": {"train": "tags/train", "dev": "tags/dev", "test": "tags/{lang}"}},
               languages=["../../secret"])  # fmt: skip
    return arena.study()


@refused("leads out of the data folder")
def _a_treebank_that_leads_out(arena):
    arena.task("pairs", kind="tagging", labels=["N"], source={"ccgbank": "../.."})
    return arena.study()


@refused("source.hub.path")
def _a_folder_as_a_set_of_the_hub(arena):
    hub = {"path": "./evil", "revision": "0" * 40, "splits": {"train": "train"}}
    arena.task("pairs", source={"hub": hub})
    return ["--suite", arena.at("suite.yaml"), "--model", arena.model, "--dry-run"]


@refused("source.hub.revision")
def _a_set_of_the_hub_that_may_change(arena):
    hub = {"path": "owner/name", "revision": "main", "splits": {"train": "train"}}
    arena.task("pairs", source={"hub": hub})
    return ["--suite", arena.at("suite.yaml"), "--model", arena.model, "--dry-run"]


@refused("the language is no code")
def _a_language_that_commands_a_terminal(arena):
    arena.rows("pairs/train", [{"id": "1", "lang": "\x1b]0;x\x07", "text": "a", "label": "yes"}])
    return arena.study()


@refused("unknown label", "\\x1b[2J")
def _a_label_that_commands_a_terminal(arena):
    arena.rows("pairs/train", [{"id": "1", "text": "a", "label": "\x1b[2J\u202e"}])
    return arena.study()
