"""Two studies at once on one store: each shared stage is trained once; what a killed one was at the other does."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pandas as pd
import pytest
from test_faults import STAGES, begun, ended, reached, scores, undisturbed  # noqa: F401 - a fixture, used by its name

from trainables.attempts import Attempts
from trainables.store import Store


def attempts(store: Store) -> Counter:
    return Counter(key for key, _ in Attempts.all(store))


def together(tmp_path, *more):
    """Two studies of one store, each with run folders of its own."""
    store = str(tmp_path / "store")
    both = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        both.append(begun(tmp_path / name, "--store", store, *more))
    return both, Store(store)


@pytest.mark.slow
def test_each_shared_stage_is_trained_once(undisturbed, tmp_path):  # noqa: F811
    both, store = together(tmp_path)
    told = [ended(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    tried = attempts(store)
    assert len(tried) == STAGES
    assert set(tried.values()) == {1}, "a stage was tried by both"
    for name in ("first", "second"):
        pd.testing.assert_frame_equal(scores(tmp_path / name), scores(undisturbed), check_exact=True)


def test_one_killed_the_other_takes_its_stages_over(undisturbed, tmp_path):  # noqa: F811
    both, store = together(tmp_path, "--max-concurrent", "1")
    reached(tmp_path / "first", 4, both[0], store)
    os.killpg(both[0].pid, signal.SIGKILL)
    both[0].communicate()
    told = ended(both[1])
    assert both[1].returncode == 0, told[-3000:]
    tried = attempts(store)
    assert len(tried) == STAGES
    assert sum(tried.values()) <= STAGES + 2, "more than what was under way was tried again"
    pd.testing.assert_frame_equal(scores(tmp_path / "second"), scores(undisturbed), check_exact=True)
