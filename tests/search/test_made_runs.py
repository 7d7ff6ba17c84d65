"""Run folders with planted values read like real ones, and give back what was planted."""

from __future__ import annotations

import pytest
from made_runs import made_run

from search.publish import publish
from search.results import load


def test_what_was_planted_comes_back(tmp_path):
    path = made_run(tmp_path / "run", max_length=2, effects={"mini-nli>mini-tags": 20.0}, edits=["keyboard"],
                    attacks=["deepwordbug"], controls=True, seed_control=4, forgetting=True, items=6)  # fmt: skip
    results = load([path])
    assert len(results.control.seed.unique()) == 4
    assert results.own.seed.max() == 5
    board = publish(results, path).board
    assert board.order[0] == "mini-nli>mini-tags"
    assert board.score[0] - board.score[1:].mean() == pytest.approx(20, abs=3)
    assert {"robust_score", "attacked_deepwordbug"} <= set(board.columns)


def test_equal_arguments_give_equal_files(tmp_path):
    one, two = (made_run(tmp_path / name, max_length=1, roots=2) for name in ("a", "b"))
    for name in ("scores.parquet", "manifest.json", "config.yaml", "candidates.parquet"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
