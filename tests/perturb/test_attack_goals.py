"""What an attack is after: figures that fall, for every kind of task."""

from __future__ import annotations

import pytest
import torch

from perturb.goals import FigureFalls, FigureResult, figure_falls, ta, untargeted
from perturb.recipes.settings import AttackSettings

STATUS = ta.goal_function_results.GoalFunctionResultStatus


class Told:
    """A victim that answers each (example, text) as it is told."""

    model = None

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def __call__(self, asked):
        self.asked += asked
        return torch.tensor([self.answers[one] for one in asked])


def text(*columns):
    from collections import OrderedDict

    from perturb.attacked_text import ScriptText

    return ScriptText(OrderedDict((f"field {i}", column) for i, column in enumerate(columns)), language="en")


def test_it_is_reached_when_the_figure_falls_below_half_of_the_clean_one():
    clean, worse, half, less = text("clean"), text("worse"), text("half"), text("less")
    rows = {"clean": (0.8, 0.9), "worse": (0.5, 0.2), "half": (0.4, 0.5), "less": (0.39, 0.6)}
    goal = FigureFalls(Told({("a", key): row for key, row in rows.items()}))
    first, _ = goal.init_attack_example(clean, "a")
    assert first.goal_status == STATUS.SEARCHING
    results, over = goal.get_results([worse, half, less])
    assert [one.goal_status for one in results] == [STATUS.SEARCHING, STATUS.SEARCHING, STATUS.SUCCEEDED]
    assert [one.score for one in results] == pytest.approx([0.8, 0.5, 0.4])
    assert [(one.right, one.margin) for one in results] == [
        pytest.approx(rows[key]) for key in ("worse", "half", "less")
    ]
    assert not over and results[-1].num_queries == 4


def test_an_example_without_a_right_answer_is_skipped_and_leaves_nothing_behind():
    goal = FigureFalls(Told({("wrong", "same"): (0.0, 0.2), ("right", "same"): (1.0, 0.7)}))
    assert goal.init_attack_example(text("same"), "wrong")[0].goal_status == STATUS.SKIPPED
    found, _ = goal.init_attack_example(text("same"), "right")
    assert found.goal_status == STATUS.SEARCHING and found.right == 1.0


def test_the_victim_is_asked_which_example_and_about_all_its_texts():
    victim = Told({(7, ("one", "two")): (1.0, 1.0), (7, "one"): (1.0, 1.0)})
    goal = FigureFalls(victim)
    goal.init_attack_example(text("one", "two"), 7)
    goal.init_attack_example(text("one"), 7)
    assert victim.asked == [(7, ("one", "two")), (7, "one")]


@pytest.mark.parametrize("row", [(1.0,), (1.0, 1.5), (-0.1, 0.5), (1.0, float("nan"))])
def test_a_victim_without_two_figures_is_refused(row):
    with pytest.raises(ValueError, match="the victim gave"):
        FigureFalls(Told({("a", "clean"): row})).init_attack_example(text("clean"), "a")


def test_figures_a_rounding_error_outside_are_taken():
    goal = FigureFalls(Told({("a", "clean"): (1.0, 1.0 + 1e-8)}))
    assert goal.init_attack_example(text("clean"), "a")[0].score == 0.0


def test_no_more_is_asked_than_the_budget_allows():
    victim = Told({("a", key): (1.0, 0.5) for key in "abcd"})
    goal = figure_falls(victim, AttackSettings(recipe="pruthi", queries=3))
    goal.init_attack_example(text("a"), "a")
    results, over = goal.get_results([text(key) for key in "bcd"])
    assert over and len(results) == 2 and len(victim.asked) == 3


def test_without_a_budget_none_is_counted():
    assert figure_falls(Told({}), AttackSettings(recipe="pruthi")).query_budget == float("inf")


def test_a_result_can_be_printed():
    found = FigureResult(text("clean"), torch.tensor([0.25, 0.5]), 0.25, STATUS.SEARCHING, 0.5, 1, "a")
    assert found.get_colored_output() == "25% right"
    assert found.get_colored_output("file") == "[[25% right]]" and "clean" in str(found)
    attacked = ta.attack_results.FailedAttackResult(found, found)
    assert attacked.goal_function_result_str() == "25% right --> [FAILED]"


def test_classes_have_textattacks_own_goal():
    goal = untargeted(Told({"clean": (2.0, 1.0)}), AttackSettings(recipe="textattack:pruthi", queries=5))
    assert isinstance(goal, ta.goal_functions.UntargetedClassification) and goal.query_budget == 5
    assert goal.init_attack_example(text("clean"), 0)[0].goal_status == STATUS.SEARCHING
    assert goal.init_attack_example(text("clean"), 1)[0].goal_status == STATUS.SKIPPED
