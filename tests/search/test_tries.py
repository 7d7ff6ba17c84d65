"""Failures of stages: what is tried again, with which split, and when it is given up."""

from __future__ import annotations

import pytest

from search.tries import ATTEMPTS, MOST_PARTS, NODES, Tries
from trainables.attempt import Attempt

KEY = "a" * 32


def fail(tries, fault, batch=8, times=1):
    return [tries.failed(KEY, fault, "why", batch, f"host:{number}") for number in range(times)]


def test_a_stage_that_never_failed_is_tried_plainly():
    assert Tries().next(KEY) == Attempt(1, 1, None)
    assert Attempt().to_json() == {}


def test_an_error_is_tried_again_with_the_same_batches_and_given_up_after_the_third():
    tries = Tries()
    assert fail(tries, "error", times=ATTEMPTS) == [True, True, False]
    assert [one.attempt for one in tries.failures[KEY]] == [1, 2, 3]
    assert {one.split for one in tries.failures[KEY]} == {1}


def test_the_next_attempt_knows_whose_the_last_one_was():
    tries = Tries()
    fail(tries, "error")
    assert tries.next(KEY) == Attempt(2, 1, "host:0")
    assert tries.next(KEY).to_json() == {"number": 2, "over": "host:0"}
    assert Attempt(**tries.next(KEY).to_json()) == tries.next(KEY)


@pytest.mark.parametrize(("batch", "splits"), [(8, [2, 4, 8]), (6, [2, 4, 6]), (2, [2]), (1, [])])
def test_full_memory_halves_the_batch_down_to_single_examples_and_then_counts(batch, splits):
    tries = Tries()
    for split in splits:
        assert tries.failed(KEY, "memory", "full", batch)
        assert tries.next(KEY).split == split
    assert [tries.failed(KEY, "memory", "full", batch) for _ in range(ATTEMPTS)] == [True, True, False]
    assert max(one.split for one in tries.failures[KEY]) == min(batch, MOST_PARTS)


def test_a_split_is_kept_after_another_kind_of_failure():
    tries = Tries()
    fail(tries, "memory")
    fail(tries, "error")
    assert tries.next(KEY).split == 2


def test_lost_nodes_are_no_fault_of_the_stage_but_not_for_ever():
    tries = Tries()
    assert fail(tries, "node", times=NODES) == [True] * (NODES - 1) + [False]


def test_what_went_wrong_is_told_with_its_trace():
    tries = Tries()
    tries.failed(KEY, "error", "ValueError: x", 8, "host:1", "Traceback …")
    assert tries.told(KEY) == [
        {"attempt": 1, "fault": "error", "reason": "ValueError: x", "worker": "host:1", "split": 1,
         "trace": "Traceback …"}
    ]  # fmt: skip
    assert tries.told("b" * 32) == []
