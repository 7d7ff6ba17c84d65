"""Robust figures by hand."""

from __future__ import annotations

import math
import statistics

import pytest

from perturb.measure import attack_figures, figures, mean

CLEAN = [1.0, 1.0, 0.0, 0.0, 1.0]
CHANGED = [1.0, 0.0, 1.0, 0.0, 0.0]
CAN = [True, True, True, False, False]


def table(found):
    return {figure.metric: figure.value for figure in found}


def test_the_worse_of_both_figures_counts_example_by_example():
    found = table(figures(CLEAN, CHANGED, CAN))
    assert found["robust"] == pytest.approx(1 / 5)
    assert found["robust_attackable"] == pytest.approx(1 / 3)
    assert found["clean_attackable"] == pytest.approx(2 / 3)
    assert found["clean_subset"] == pytest.approx(3 / 5)
    assert found["drop"] == pytest.approx(1 / 5)
    assert found["flips_down"] == pytest.approx(2 / 5)
    assert found["flips_up"] == pytest.approx(1 / 5)
    assert found["consistency"] == pytest.approx(2 / 5)


def test_shares_of_right_tags_are_compared_too():
    found = table(figures([0.5, 1.0], [0.75, 0.25], [True, True]))
    assert found["robust"] == pytest.approx((0.5 + 0.25) / 2)
    assert (found["flips_down"], found["flips_up"], found["consistency"]) == (0.5, 0.5, 0.0)


def test_where_nothing_could_be_changed_there_is_no_figure_over_attackable_examples():
    found = table(figures([1.0, 0.0], [1.0, 0.0], [False, False]))
    assert "robust_attackable" not in found
    assert "clean_attackable" not in found
    assert found["robust"] == 0.5
    assert not figures([], [], [])


def test_the_error_of_a_drop_is_paired():
    drop = next(figure for figure in figures(CLEAN, CHANGED, CAN) if figure.metric == "drop")
    differences = [a - b for a, b in zip(CLEAN, CHANGED, strict=True)]
    assert drop.stderr == pytest.approx(statistics.stdev(differences) / math.sqrt(5))
    assert mean("x", [0.3]).stderr is None


def test_an_attack_succeeds_among_what_was_right_and_could_be_changed():
    clean, after, can = [1.0, 1.0, 0.0, 1.0, 0.8], [0.0, 1.0, 0.0, 1.0, 0.5], [True, True, True, False, True]
    found = table(attack_figures(clean, after, can, [10, 30, 1, 2, 8], [0.2, 0.4, 0.0, 0.0, 0.3]))
    assert found["attack_success"] == pytest.approx(1 / 3)  # 0.5 of 0.8 is more than half
    assert found["queries"] == pytest.approx(50 / 4)
    assert found["words_changed"] == pytest.approx(0.9 / 3)
    assert found["robust"] == pytest.approx((0 + 1 + 0 + 1 + 0.5) / 5)
    assert "flips_up" not in found


def test_an_attack_on_what_cannot_be_changed_has_no_success_to_speak_of():
    found = table(attack_figures([1.0], [1.0], [False], [1], [0.0]))
    assert "attack_success" not in found
    assert found["robust"] == 1.0
