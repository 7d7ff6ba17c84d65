"""The Pareto front against loops by hand."""

from __future__ import annotations

import itertools
import random

import pandas as pd
import pytest
from planted import noise, run, table

from search.analysis.pareto import pareto
from search.leaderboard import leaderboard

FIGURES = {"score": 1, "worst_language": 1, "cost": -1}


def planted(seed, number=25):
    """Candidates of few different figures, so that some tie: scores and boards made of them, and prices."""
    generator = random.Random(seed)
    orders = [">".join(order) for order in itertools.permutations("abcd", 3)] + ["none"]
    runs = []
    for order, method in zip(orders[:number], itertools.cycle(["full", "prompt", "lora"]), strict=False):
        more = {"prompt_length": 8} if method == "prompt" else {}
        runs.append(run(order, method, 0, generator.randint(40, 45), **more))
        if generator.random() < 0.5:
            for one in runs[-1]:
                one["value"] -= 0.05 * (one["language"] == "sw")  # a worse worst language
    scores = table(*runs)
    prices = {name: float(generator.randint(1, 4)) for name in scores.candidate.unique()}
    return scores, leaderboard(scores, {}, "test"), prices


def beats(one, other, figures=FIGURES):
    """Whether `one` is at least as good in everything and better in something."""
    better = False
    for name, sign in figures.items():
        if sign * one[name] < sign * other[name]:
            return False
        better = better or sign * one[name] > sign * other[name]
    return better


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_that_of_loops_by_hand(seed):
    scores, board, prices = planted(seed)
    found = pareto(scores, board, prices).to_dict("records")
    assert len(found) == len(board) == 25
    for row in found:
        above = [other for other in found if beats(other, row)]
        assert row["front"] == (not above)
        if above:
            named = next(other for other in found if other["candidate"] == row["dominated_by"])
            assert named in above
            assert named["score"] == max(other["score"] for other in above)
        else:
            assert pd.isna(row["dominated_by"])
    fronts = [row["front"] for row in found]
    assert fronts == sorted(fronts, reverse=True)
    assert 0 < sum(fronts) < 25
    for front in (True, False):
        values = [row["score"] for row in found if row["front"] == front]
        assert values == sorted(values, reverse=True)


def test_figures_are_the_boards_and_the_prices():
    scores, board, prices = planted(7)
    found = pareto(noise(scores), board, prices).set_index("candidate")
    names = {(row.order, row.method): row.candidate for row in scores.itertuples()}
    for row in board.itertuples():
        one = found.loc[names[row.order, row.method]]
        assert (one.score, one.worst_language) == (row.score, row.worst_language_score)
        assert one.cost == prices[one.name]
        assert one.prompt_length == 8 if row.method == "prompt" else pd.isna(one.prompt_length)


def test_robustness_counts_where_the_board_has_it():
    scores, board, prices = planted(3)
    board["robust_score"] = [float(place % 7) for place in range(len(board))]
    found = pareto(scores, board, prices).to_dict("records")
    figures = {**FIGURES, "robust_score": 1}
    for row in found:
        assert row["front"] == (not any(beats(other, row, figures) for other in found))
    assert sum(row["front"] for row in found) > pareto(*planted(3)).front.sum()


def test_who_lacks_a_figure_is_in_no_front_and_dominates_nobody():
    scores = table(run("a", "full", 0, 60), run("b", "full", 0, 50), run("c", "full", 0, 90))
    board = leaderboard(scores, {}, "test")
    found = pareto(scores, board, {"a full 0.001": 2.0, "b full 0.001": 1.0}).set_index("order")
    assert found.front.to_dict() == {"a": True, "b": True, "c": False}
    assert found.dominated_by.isna().all()


def test_who_has_no_rank_is_left_out():
    """Fewer roots or targets than the others have: their means are of something else."""
    runs = [run(order, "full", seed, 50) for order in "ab" for seed in (0, 1)]
    part = [one for one in run("c", "full", 0, 90) + run("c", "full", 1, 90) if one["target"] == "xnli"]
    scores = table(*runs, part, run("d", "full", 0, 95))
    found = pareto(scores, leaderboard(scores, {}, "test"), dict.fromkeys(scores.candidate.unique(), 1.0))
    assert found.order.tolist() == ["a", "b"]
    assert found.front.all()


def test_few_shot_candidates_compete_among_themselves():
    scores = table(run("a", "full", 0, 50), run("a", "icl-target", 0, 70), run("b", "icl-target", 0, 60))
    found = pareto(scores, leaderboard(scores, {}, "test"), dict.fromkeys(scores.candidate.unique(), 1.0))
    assert dict(zip(zip(found.order, found.method, strict=True), found.front, strict=True)) == {
        ("a", "full"): True, ("a", "icl-target"): True, ("b", "icl-target"): False,
    }  # fmt: skip


def test_equal_candidates_are_both_in_the_front():
    scores = table(run("a", "full", 0, 50), run("b", "full", 0, 50))
    found = pareto(scores, leaderboard(scores, {}, "test"), {"a full 0.001": 1.0, "b full 0.001": 1.0})
    assert found.front.tolist() == [True, True]


def test_smaller_budgets_are_left_out():
    small = run("b", "full", 0, 90)
    for one in small:
        one |= {"budget": 1 / 3, "candidate": one["candidate"] + " at 0.3333"}
    twin = run("a", "full", 0, 90)
    for one in twin:
        one |= {"budget": 1 / 3, "candidate": one["candidate"] + " at 0.3333"}
    scores = table(run("a", "full", 0, 50), small, twin)
    prices = dict.fromkeys(scores.candidate.unique(), 1.0)
    found = pareto(scores, leaderboard(scores, {}, "test"), prices)
    assert found.candidate.tolist() == ["a full 0.001"]
    assert found.front.tolist() == [True]
    assert found.score.tolist() == pytest.approx([50])
    none = scores[scores.budget < 1]
    assert len(pareto(none, leaderboard(none, {}, "test"), prices)) == 0


def test_only_what_the_board_compares():
    scores = table(run("a", "full", 0, 50), run("a", "full", 0, 60, learning_rate=1e-2), run("b", "full", 0, 40))
    board = leaderboard(scores[scores.candidate != "a full 0.01"], {}, "test")
    found = pareto(scores, board, dict.fromkeys(scores.candidate.unique(), 1.0))
    assert set(found.candidate) == {"a full 0.001", "b full 0.001"}


def test_an_empty_board():
    scores = table(run("a", "full", 0, 50)).iloc[:0]
    found = pareto(scores, leaderboard(scores, {}, "test"), {})
    assert len(found) == 0
    assert {"candidate", "order", "score", "worst_language", "cost", "front", "dominated_by"} <= set(found.columns)
