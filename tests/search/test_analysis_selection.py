"""Tuning on dev, and the best candidate for each target."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from planted import noise, row, run, table
from scipy import stats

from search.analysis.best import best_per_target
from search.analysis.overall import by_target, candidates, overall
from search.analysis.representations import MARGIN, transfer_correlation
from search.analysis.selection import chosen, settings_table
from trainables.fertility import PORTION

EMPTY = table(run("none", "full", 0, 50)).iloc[:0]


# --- means that count -------------------------------------------------------------------------------------------------


def test_the_overall_score_is_the_mean_over_targets_of_the_mean_over_languages():
    cells = [("a", "de", 10), ("a", "sw", 20), ("a", "ta", 60), ("b", "de", 50)]
    scores = pd.DataFrame([row("none", "full", 0, *cell) for cell in cells])
    assert by_target(scores, "test")["a"].loc["none full 0.001", 0] == pytest.approx(30)
    assert overall(scores, "test").loc["none full 0.001", 0] == pytest.approx(40)


def test_candidates_stand_as_they_first_occur():
    scores = table(*(run(order, "full", 0, 50) for order in ("none", "b", "a", "b>a")))
    expected = [f"{order} full 0.001" for order in ("none", "b", "a", "b>a")]
    assert overall(scores, "test").index.tolist() == candidates(scores).index.tolist() == expected


def test_only_what_counts_counts():
    scores = table(run("none", "full", 0, 50), run("a", "full", 0, 60), run("a", "full", 1, 64))
    pd.testing.assert_frame_equal(overall(noise(scores), "test"), overall(scores, "test"))
    assert chosen(noise(scores)) == chosen(scores) == ["none full 0.001", "a full 0.001"]
    # Tables of before stages, budgets and prompt lengths are read as well.
    older = scores.drop(columns=["stage", "budget", "prompt_length"])
    pd.testing.assert_frame_equal(overall(older, "test"), overall(scores, "test"))
    assert chosen(older) == chosen(scores)


def test_a_root_without_all_cells_has_no_score():
    scores = table(run("none", "full", 0, 50), run("none", "full", 1, 50)[1:])
    values = overall(scores, "test").loc["none full 0.001"]
    assert values[0] == pytest.approx(50) and np.isnan(values[1])
    assert by_target(scores, "test")["tatoeba"].loc["none full 0.001", 1] == pytest.approx(50)


def test_a_score_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="duplicate"):
        overall(table(run("none", "full", 0, 50), run("none", "full", 0, 50)), "test")


def test_nothing_scored_is_nothing_chosen():
    assert overall(EMPTY, "test").empty
    assert candidates(EMPTY).empty
    assert chosen(EMPTY) == []
    assert best_per_target(EMPTY).empty


# --- tuning -----------------------------------------------------------------------------------------------------------


def grid(dev):
    """Candidates of one order and method from {(learning rate, prompt length): [dev score of each root]}."""
    return table(*(
        run("none", "prompt", seed, 40, value, learning_rate=rate, prompt_length=length)
        for (rate, length), roots in dev.items()
        for seed, value in enumerate(roots)
        if value is not None
    ))  # fmt: skip


def test_each_order_and_method_has_its_own_best_learning_rate_on_dev_not_on_test():
    scores = table(
        run("none", "full", 0, 90, 50, learning_rate=1e-4), run("none", "full", 0, 40, 60, learning_rate=1e-3),
        run("a", "full", 0, 90, 70, learning_rate=1e-4), run("a", "full", 0, 40, 60, learning_rate=1e-3),
        run("a", "adapter", 0, 50, 50, learning_rate=1e-2),
    )  # fmt: skip
    assert chosen(scores) == ["none full 0.001", "a full 0.0001", "a adapter 0.01"]


def test_what_is_not_tuned_is_kept_apart():
    scores = grid({(1e-3, 4): [50, 50], (1e-2, 4): [60, 60], (1e-3, 8): [70, 70], (1e-2, 8): [65, 65]})
    assert chosen(scores) == ["none prompt 0.01 p4", "none prompt 0.001 p8"]
    assert chosen(scores, ("learning_rate", "prompt_length")) == ["none prompt 0.001 p8"]
    assert chosen(scores, ("prompt_length",)) == ["none prompt 0.001 p8", "none prompt 0.01 p8"]
    assert len(chosen(scores, ())) == 4


def test_ties_go_to_the_first_and_lacking_roots_lose():
    assert chosen(grid({(1e-2, 4): [20, 20, 20], (1e-3, 4): [30, 20, 10]})) == ["none prompt 0.01 p4"]
    unequal = {(1e-2, 4): [20.7, 77.8, 71.1], (1e-3, 4): [71.1, 77.8, 20.7]}  # by the order of adding alone
    assert chosen(grid(unequal)) == ["none prompt 0.01 p4"]
    assert chosen(grid(dict(reversed(unequal.items())))) == ["none prompt 0.001 p4"]
    assert chosen(grid({(1e-2, 4): [None, 90, 90], (1e-3, 4): [30, 30, 30]})) == ["none prompt 0.001 p4"]
    assert chosen(grid({(1e-2, 4): [None, 90, None], (1e-3, 4): [30, None, 30]})) == ["none prompt 0.001 p4"]


def test_without_dev_scores_only_what_is_no_choice_is_chosen():
    scores = table(run("none", "full", 0, 50), run("a", "full", 0, 50), run("a", "full", 0, 50, learning_rate=1e-2))
    assert chosen(scores[scores.portion == "test"]) == ["none full 0.001"]


def test_the_grid_shows_dev_beside_test():
    scores = table(
        run("none", "full", 0, 40, 50, learning_rate=1e-4), run("none", "full", 1, 44, 52, learning_rate=1e-4),
        run("none", "full", 0, 60, 30, learning_rate=1e-3),
    )  # fmt: skip
    grid_ = settings_table(scores)
    assert grid_.candidate.tolist() == ["none full 0.0001", "none full 0.001"]
    assert grid_.dev.tolist() == pytest.approx([51, 30])
    assert grid_.test.tolist() == pytest.approx([42, 60])
    assert grid_.roots.tolist() == [2, 1]
    assert grid_.chosen.tolist() == [True, False]


def test_representations_are_those_of_what_is_compared():
    """Neither candidates of a smaller budget nor those that tuning left behind enter the correlation."""
    rng = random.Random(7)
    parts = {}
    for name, budget in (("kept", 1.0), ("left", 1.0), ("small", 0.5)):
        margin = {"portion": PORTION, "metric": f"{MARGIN}2", "main": False, "stage": "after"}
        parts[name] = pd.DataFrame([
            row(name, "full", 0, "xnli", code, rng.gauss(50, 9), candidate=name, budget=budget, **more)
            for code in ("de", "es", "fi", "hi", "sw", "th") for more in (margin, {})
        ])  # fmt: skip
    scores = pd.concat(parts.values())
    pd.testing.assert_frame_equal(
        transfer_correlation(scores, chosen=["kept", "small"]), transfer_correlation(parts["kept"])
    )
    assert transfer_correlation(scores).candidates.tolist() == [2]


# --- the best for each target -----------------------------------------------------------------------------------------


def test_each_target_has_the_best_of_its_own_dev_or_of_the_others():
    scores = table(*(
        run(order, "full", seed, test + seed, dev)
        for order, test, dev in (("none", 70, 50), ("a", 40, 60), ("b", 90, 55))
        for seed in range(3)
    ))  # fmt: skip
    found = best_per_target(noise(scores)).set_index("target")
    assert found.order.tolist() == ["a", "a"]
    assert found.chosen_by.to_dict() == {"xnli": "its own dev", "tatoeba": "the other targets' dev"}
    assert found.among.tolist() == [3, 3]
    assert found.dev.tolist() == pytest.approx([60, 60])
    assert found.score.tolist() == pytest.approx([41, 41])
    low, high = stats.t.interval(0.95, 2, loc=41, scale=stats.sem([40, 41, 42]))
    assert found.half_width.tolist() == pytest.approx([(high - low) / 2] * 2)
    assert found.worst_language.tolist() == ["sw", "sw"]
    assert found.worst_language_score.tolist() == pytest.approx([39, 39])


def test_two_roots_have_no_interval_and_a_lost_root_loses():
    runs = [run("a", "full", 0, 40, 60), run("a", "full", 1, 42, 60), run("b", "full", 0, 90, 90)]
    found = best_per_target(table(*runs)).set_index("target").loc["xnli"]
    assert (found.order, found.roots, found.among) == ("a", 2, 2)
    assert pd.isna(found.half_width) and "2 roots" in found.reason


def test_with_dev_of_its_own_a_target_does_not_follow_another():
    rows = []
    for order, first, second in (("a", 60, 50), ("b", 50, 60)):
        for target, dev in (("x", first), ("y", second)):
            rows += [row(order, "full", 0, target, "en", dev, portion="dev"), row(order, "full", 0, target, "de", 40)]
    found = best_per_target(pd.DataFrame(rows)).set_index("target")
    assert found.order.to_dict() == {"x": "a", "y": "b"}


def test_without_any_dev_nothing_is_named():
    scores = table(run("none", "full", 0, 50))
    found = best_per_target(scores[scores.portion == "test"])
    assert found.candidate.isna().all() and found.among.tolist() == [0, 0]
    assert found.chosen_by.tolist() == ["nothing: no target has a score on English dev"] * 2


def test_what_was_tried_at_smaller_budgets_is_counted_but_not_chosen():
    """Six settings at half the budget, of which two were trained in full too."""
    rates = [10.0**-n for n in range(6)]
    small = [run("none", "full", 0, 99, 99, learning_rate=rate, budget=0.5) for rate in rates]
    rows = [{**one, "candidate": one["candidate"] + " at 0.5"} for part in small for one in part]
    full = [run("none", "full", 0, 50, 50, learning_rate=rate) for rate in rates[:2]]
    found = best_per_target(table(rows, *full))
    assert found.among.tolist() == [6, 6] and found.in_full.tolist() == [2, 2]
    assert found.candidate.tolist() == ["none full 1.0"] * 2
    assert best_per_target(table(*full)).among.tolist() == [2, 2]
