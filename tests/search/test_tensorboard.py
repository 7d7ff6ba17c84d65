"""The TensorBoard log of a study, read back."""

from __future__ import annotations

from collections import defaultdict

import pytest
from tensorboardX.proto.event_pb2 import Event

from search.tensorboard import Writer
from trainables.stage import Stage


def stage_of(kind="train", measure=None):
    return Stage(kind, None, ("mini-nli",), ("mark",), "model", "full", {"measure": measure} if measure else {})


def made(stage, seconds=2.0, **more):
    return {"stage": stage, "made": True, "seconds": seconds, "examples": 64, "tokens": 900, "queries": 0, **more}


def told(value, pruned=False):
    return {"values": None if value is None else (value,), "pruned": pruned}


def read(folder):
    """Each curve as its steps and values. A record is 8 bytes of length, 4 of checksum, the event, 4 of checksum."""
    (path,) = folder.iterdir()
    content, place, found = path.read_bytes(), 0, defaultdict(list)
    while place < len(content):
        length = int.from_bytes(content[place : place + 8], "little")
        event = Event.FromString(content[place + 12 : place + 12 + length])
        for value in event.summary.value:
            found[value.tag].append((event.step, pytest.approx(value.simple_value)))
        place += length + 16
    return dict(found)


def test_one_log_has_all_curves(tmp_path):
    own = Writer()
    own.open(tmp_path)
    own.hear("stage", made(stage_of()))
    own.hear("stage", made(stage_of("score", "attack"), seconds=4.0, queries=20))
    own.hear("stage", {"stage": stage_of(), "made": False, "seconds": 0.01})
    own.hear("run", {"name": "a #0", "score": 0.5})
    for about in (told(0.6), told(0.5), told(None), told(0.9, pruned=True), told(0.7)):
        own.hear("told", about)
    own.hear("retry", {})
    own.hear("retry", {})
    own.hear("failed", {})
    own.hear("proposed", {})
    own.close()
    own.hear("run", {"name": "b #0", "score": 0.5})
    own.close()
    assert read(tmp_path) == {
        "seconds/train": [(1, 2.0)], "examples_a_second/train": [(1, 32.0)], "tokens_a_second/train": [(1, 450.0)],
        "seconds/attack": [(2, 4.0)], "examples_a_second/attack": [(2, 16.0)], "tokens_a_second/attack": [(2, 225.0)],
        "attack_queries_a_second/attack": [(2, 5.0)],
        "zero_shot/run": [(1, 50.0)],
        "search/candidate": [(1, 60.0), (2, 50.0), (3, 70.0)],
        "search/best_so_far": [(1, 60.0), (2, 60.0), (3, 70.0)],
        "faults/tried_again": [(1, 1.0), (2, 2.0)], "faults/run_failed": [(1, 1.0)],
    }  # fmt: skip


def test_what_was_there_before_counts_and_is_not_logged(tmp_path):
    own = Writer()
    own.hear("told", told(0.8))
    own.hear("run", {"name": "a #0", "score": 0.5})
    own.open(tmp_path)
    own.hear("told", told(0.6))
    own.hear("run", {"name": "b #0", "score": 0.4})
    own.close()
    assert read(tmp_path) == {
        "search/candidate": [(2, 60.0)], "search/best_so_far": [(2, 80.0)], "zero_shot/run": [(2, 40.0)],
    }  # fmt: skip


def test_no_log_is_no_trouble():
    own = Writer()
    own.hear("run", {"name": "a #0", "score": 0.5})
    own.close()
