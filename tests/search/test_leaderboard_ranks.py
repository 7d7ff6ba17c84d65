"""Ranks: by significance from three roots on, by the mean below, by Borda count; and why there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from boards import TWO, board_of, row_of, scores

from search.analysis.design import Design
from search.analysis.pairwise import rank_intervals
from search.leaderboard import cells, leaderboard
from search.leaderboard.ranks import borda
from search.order import Order


def values(means, roots=5, spread=0.5, seed=0):
    """Orders with these means in one cell each of two languages, and a little luck of each root."""
    rng = np.random.default_rng(seed)
    return {
        order: [{"x": {"de": mean + rng.normal(0, spread), "en": mean + rng.normal(0, spread)}} for _ in range(roots)]
        for order, mean in means.items()
    }


CLEAR = values({"a": 70, "b": 60.1, "a>b": 60, "none": 40})


def test_who_is_not_shown_to_differ_shares_a_rank():
    board = board_of(CLEAR)
    ranks = {row.order: (row["rank"], row.rank_low, row.rank_high) for _, row in board.iterrows()}
    assert ranks == {"a": (1, 1, 1), "b": (2, 2, 3), "a>b": (2, 2, 3), "none": (4, 4, 4)}
    assert board.place.to_list() == [1, 2, 3, 4]
    assert set(board.ranked_by) == {"significance"}
    assert set(board.rank_reason) == {""}
    assert [cells(record, board)[0] for record in board.to_dict("records")] == [
        "1 (1–1)", "2 (2–3)", "2 (2–3)", "4 (4–4)",
    ]  # fmt: skip


def test_they_are_those_of_all_pairs():
    found = values(dict.fromkeys(["none", "a", "b", "a>b", "b>a"], 50), spread=2, seed=3)
    board = board_of(found).set_index("order")
    table = pd.DataFrame(
        {order: [np.mean(list(root["x"].values())) for root in roots] for order, roots in found.items()}
    ).T
    expected = rank_intervals(Design.of(table, [Order.parse(order) for order in found], ["full 0.001"] * len(found)))
    for column in ("rank", "rank_low", "rank_high"):
        assert board[column].reindex(found).to_list() == expected[column].to_list()


@pytest.mark.parametrize("roots", [1, 2])
def test_below_three_roots_nothing_is_shown(roots):
    board = board_of({order: found[:roots] for order, found in CLEAR.items()})
    assert board["rank"].to_list() == board.place.to_list() == [1, 2, 3, 4]
    assert board[["rank_low", "rank_high"]].isna().all(axis=None)
    assert set(board.ranked_by) == {"mean"}
    assert board.rank_reason.str.contains("an interval needs 3").all()


def test_why_there_is_no_rank():
    board = board_of({**CLEAR, "c": CLEAR["a"][:4]})
    row = row_of(board, "c")
    assert pd.isna([row["rank"], row.place, row.borda, row.rank_low]).all()
    assert (row.ranked_by, row.rank_reason) == ("", "4 of 5 roots: the others may have been bad ones")
    part = scores({"c": CLEAR["a"]}, candidate="c at 0.33", budget=0.33)
    row = row_of(leaderboard(pd.concat([scores(CLEAR), part]), {}, "test"), "c")
    assert (row.ranked_by, row.rank_reason) == ("", "trained with less than the full budget")


def test_one_candidate_has_nobody_to_compare_with():
    board = board_of({"a": CLEAR["a"]})
    assert (board["rank"][0], board.ranked_by[0]) == (1, "mean")
    assert "no other candidate" in board.rank_reason[0]
    assert pd.isna(board.borda[0])


def test_few_shot_candidates_are_compared_among_themselves():
    few = pd.concat(
        [scores({order: CLEAR[order]}, method="icl-target", candidate=f"{order} icl") for order in ("a", "none")]
    )
    board = leaderboard(pd.concat([scores(CLEAR), few]), {}, "test")
    assert board["rank"].to_list() == [1, 2, 2, 4, 1, 2]
    assert board.borda.to_list() == pytest.approx([100, *board.borda[1:4], 100, 0])


def test_runs_that_differ_are_not_compared_by_significance():
    both = pd.concat(
        [scores(CLEAR, run="one"), scores({"b": [*CLEAR["a"], *CLEAR["a"]]}, run="two", candidate="b [two]")]
    )
    board = leaderboard(both, {}, "test", mixed="the runs differ: base model differs")
    assert list(board.columns)[6:8] == ["run", "order"]
    assert board["rank"].notna().all()  # each has the roots of its own run
    assert board["rank"].to_list() == board.place.to_list()
    assert set(board.rank_reason) == {"the runs differ: base model differs"}
    assert board.rank_low.isna().all()


def test_an_order_that_cannot_be_read_has_no_interval():
    board = board_of({**CLEAR, "a+a": CLEAR["b"]})
    assert set(board.ranked_by) == {"mean"}
    assert board.rank_reason.str.contains("named twice").all()


# --- Borda ------------------------------------------------------------------------------------------------------------


def test_borda_by_hand():
    """Three cells; a beats both in two of them and ties with b in the third, where c is above them."""
    table = pd.DataFrame({"a": [3.0, 3.0, 1.0], "b": [2.0, 1.0, 1.0], "c": [1.0, 2.0, 9.0]})
    assert borda(table).to_dict() == pytest.approx({
        "a": (2 + 2 + 0.5) / 3 / 2 * 100, "b": (1 + 0 + 0.5) / 3 / 2 * 100, "c": (0 + 1 + 2) / 3 / 2 * 100,
    })  # fmt: skip


def test_every_cell_votes_alike_and_each_target_weighs_alike_in_the_mean():
    """`a` wins the target in one language by far, `b` the one in three by little."""
    board = board_of({
        "a": [{"x": {"de": 90}, "y": {"de": 50, "en": 50, "sw": 50}}],
        "b": [{"x": {"de": 50}, "y": {"de": 51, "en": 51, "sw": 51}}],
    })  # fmt: skip
    assert board.order.to_list() == ["a", "b"]
    assert board.borda.to_list() == [25, 75]
    assert board.borda_rank.to_list() == [2, 1]


def test_equal_figures_tie_in_borda():
    board = board_of(dict.fromkeys(("a", "b", "a>b"), TWO["a"]))
    assert board.borda.to_list() == [50, 50, 50]
    assert board.borda_rank.to_list() == board.place.to_list() == [1, 1, 1]
