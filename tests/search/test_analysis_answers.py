"""Answers in words: no sentence claims more than its interval supports."""

from __future__ import annotations

import pandas as pd
import pytest
from planted import run, table

from search.analysis.answers import ALL, KINDS, SAME_ROOTS, answer
from search.analysis.contrasts import NO_EFFECT
from search.analysis.intervals import Estimate
from search.analysis.wording import figure, verdict

EMPTY = table(run("none", "full", 0, 50)).iloc[:0]
WOBBLE = (0.0, 0.4, -0.4)  # what roots add to every effect


def study(effects, roots=3, base=50):
    """A table from {(order, method): points above `base`}; roots wobble, but the empty order under full does not."""
    return table(*(
        run(order, method, root, base + points + (WOBBLE[root] if points else 0))
        for (order, method), points in effects.items()
        for root in range(roots)
    ))  # fmt: skip


# --- wording ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Estimate(1.0, 0.5, 3), "more"),
        (Estimate(-1.0, 0.5, 3), "less"),
        (Estimate(1.0, 1.5, 3), "neither"),
        (Estimate(1.0, 1.0, 3), "neither"),
        (Estimate(0.0, 0.0, 3), "neither"),
        (Estimate(9.0, None, 2, "2 roots"), "too little to say"),
        (Estimate(None, None, 0, "no root"), "too little to say"),
    ],
)
def test_a_verdict_is_the_intervals(estimate, said):
    assert verdict(estimate, "more", "less", "neither") == said


def test_figures_come_with_their_interval_or_the_reason_for_none():
    assert figure(Estimate(1.234, 0.5, 3), "3 roots") == "+1.23 ± 0.50 points (95 %; 3 roots)"
    assert figure(Estimate(-1.234, None, 2, "2 roots: why"), "2 roots") == "-1.23 points (2 roots: why)"
    assert figure(Estimate(41.2, 0.5, 3), "3 roots", signed=False) == "41.20 ± 0.50 (95 %; 3 roots)"
    assert figure(Estimate(None, None, 0, "why"), "") == "no figure (why)"


# --- every kind -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_of_nothing_every_kind_says_that_there_is_too_little(kind):
    found = answer(kind, EMPTY)
    assert found.sentence.startswith("There is too little to say: ")
    assert found.n == 0 and found.question.endswith("?")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_roots_decide_nothing(kind):
    effects = {(o, m): 5 + 9 * (o != "none") + 9 * (m == "full") for o in ("none", "a", "b") for m in ("icl", "full")}
    found = answer(kind, study(effects, roots=2), methods=None)
    for claim in ("higher than", "lower than", "it helps", "gains more", "a gain", "is higher"):
        assert f", {claim}" not in found.sentence
    assert "2 roots: an interval needs 3" in found.sentence or "There is too little to say" in found.sentence


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="must be one of"):
        answer("worst", EMPTY)


def test_methods_are_higher_lower_or_not_shown_to_differ():
    scores = study({("none", "full"): 0, ("none", "adapter"): 5, ("none", "lora"): -5, ("none", "probe"): 0.1})
    found = answer("methods", scores)
    assert "adapter − full: +5.00 ± 0.99 points (95 %; 3 roots, 1 order), higher than full" in found.sentence
    assert "lora − full: -5.00 ± 0.99 points (95 %; 3 roots, 1 order), lower than full" in found.sentence
    assert "probe − full: +0.10 ± 0.99 points (95 %; 3 roots, 1 order), not shown to differ from full" in found.sentence
    assert "not all at once" in found.sentence and "gain" not in found.sentence
    levels = found.table[(found.table.measure == "score") & (found.table.target == ALL)]
    assert found.n == 3 and levels.method.tolist() == ["adapter", "lora", "probe"]
    assert set(found.table.target) == {ALL, "xnli", "tatoeba"}
    other = answer("methods", scores, baseline="adapter")
    assert "full − adapter: -5.00" in other.sentence
    assert "too little" in answer("methods", scores, baseline="prompt").sentence


def test_methods_are_asked_what_orders_gain_under_them():
    effects = {("none", "full"): 0, ("none", "adapter"): -20, ("a", "full"): 2, ("a", "adapter"): -13}
    found = answer("methods", study(effects))
    assert found.sentence.startswith("gain over 'none', adapter − full: +5.00 ± ")
    assert "(95 %; 3 roots, 1 order), orders gain more than under full; adapter − full: -17.50 ± " in found.sentence
    gains = found.table[found.table.measure == "gain"]
    assert gains.difference.tolist() == pytest.approx([5])
    told = answer("methods", study({**effects, ("a", "adapter"): -23})).sentence
    assert ", orders gain less than under full; adapter" in told


def test_methods_under_which_no_order_can_matter_are_named():
    effects = {("none", "full"): 0, ("none", "probe"): 0, ("a", "full"): 5, ("a", "probe"): 0}
    told = answer("methods", study(effects)).sentence
    assert told.endswith(f"; probe: {NO_EFFECT}.") and told.count(NO_EFFECT) == 1
    assert NO_EFFECT not in answer("methods", study({**effects, ("a", "probe"): 0.1})).sentence


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_few_shot_methods_do_not_stand_beside_zero_shot_ones(kind):
    effects = {(o, m): 5 * (o != "none") for o in ("none", "a", "b") for m in ("icl", "full", "adapter")}
    few = study({("none", "icl-target"): 30, ("a", "icl-target"): 40})
    zero, rating = study(effects), {"a": "high", "b": "low"}
    without = answer(kind, zero, difficulty=rating)
    found = answer(kind, pd.concat([zero, few]), difficulty=rating, kept=None)
    said = "; few-shot methods are left out (icl-target)."
    assert found.sentence == without.sentence.removesuffix(".") + said
    pd.testing.assert_frame_equal(found.table, without.table)
    assert "few-shot" not in without.sentence


def test_a_spaces_own_question_is_answered():
    scores = study({("none", "full"): 0, ("a", "full"): 5})
    assert answer("orders", scores, question="why?").question == "why?"
    assert answer("orders", EMPTY, question="why?").question == "why?"
    assert answer("orders", scores).question == "Which order of intermediate tasks transfers best?"


def test_each_method_is_compared_at_its_best_learning_rate_on_dev():
    scores = table(*(
        run("none", method, root, test + WOBBLE[root] * (method == "adapter"), dev, learning_rate=rate)
        for root in range(3)
        for method, rate, test, dev in (
            ("full", 1e-3, 50, 60), ("full", 1e-4, 70, 20), ("adapter", 1e-3, 80, 20), ("adapter", 1e-2, 55, 60),
        )
    ))  # fmt: skip
    assert "adapter − full: +5.00" in answer("methods", scores).sentence
    kept = ["none full 0.0001", "none adapter 0.01"]
    assert "adapter − full: -15.00" in answer("methods", scores, kept=kept).sentence


def test_the_interaction_is_told_over_tasks():
    rating = {"h1": "high", "h2": "high", "h3": "high", "l1": "low", "l2": "low"}
    gains = {"none": 0, "h1": 8, "h2": 9, "h3": 8.5, "l1": 1, "l2": 2}
    effects = {(order, "adapter"): gain for order, gain in gains.items()} | {(order, "full"): 0 for order in gains}
    found = answer("complexity", study(effects), difficulty=rating)
    assert "+7.00 ± " in found.sentence and "over 3 hard and 2 easy tasks" in found.sentence
    assert found.sentence.endswith("hard tasks gain more from adapter over full than easy ones do.")
    assert found.n == 5 and len(found.table) == 5
    turned = answer("complexity", study(effects), difficulty=rating, methods=("full", "adapter"))
    assert turned.sentence.endswith("hard tasks gain less from full over adapter than easy ones do.")
    one = answer("complexity", study(effects), difficulty={"h1": "high", "l1": "low", "l2": "low"})
    assert one.sentence.endswith("an interval needs 2 of each), too little to say.")
    none = answer("complexity", study(effects), difficulty={"h1": "high"})
    assert none.sentence == "There is too little to say: there is no low task."


def test_the_two_by_two_is_told_effect_by_effect():
    effects = {("none", "icl"): 0, ("none", "full"): 0, ("a", "icl"): 4, ("a", "full"): 10}
    told = answer("icl", study(effects)).sentence
    first = "icl after intermediate training − full without: +4.00 ± 0.99 points (95 %; 3 roots), icl is higher; "
    assert told.startswith(first)
    assert "mean of both methods: +7.00 ± 0.99 points (95 %; 3 roots), it helps" in told
    assert "full − icl: +3.00 ± 0.00 points (95 %; 3 roots), full is higher" in told
    assert "under full less that under icl: +6.00 ± 0.00 points (95 %; 3 roots), full gains more" in told
    effects |= {("a", "full"): 4}
    assert "+0.00 ± 0.00 points (95 %; 3 roots), no interaction is shown" in answer("icl", study(effects)).sentence


def test_the_best_order_is_told_with_its_gain_and_how_it_was_chosen():
    told = answer("orders", study({("none", "full"): 0, ("a", "full"): 5, ("a>b", "full"): 3})).sentence
    assert f"full: a is best on English dev of 3 orders ({SAME_ROOTS})" in told
    assert "over 'none' +5.00 ± 0.99 points (95 %; 3 roots), a gain" in told
    assert "best and worst of 3 orders lie 5.00 points apart" in told
    small = answer("orders", study({("none", "full"): 0, ("a", "full"): 0.2})).sentence
    assert "no gain is shown" in small
    worse = answer("orders", study({("none", "full"): 0, ("a", "full"): -5})).sentence
    assert "of 2 orders the empty one is best on English dev" in worse


def test_what_was_chosen_on_test_items_is_not_said_to_be_of_dev():
    scores = study({("none", "full"): 0, ("a", "full"): 5})
    oracle = scores[scores.portion == "test"]
    oracle = pd.concat([oracle.assign(portion=name) for name in ("search", "report")])
    about = {"report": "report", "portion": "search"}
    found = answer("orders", oracle, **about)
    assert "full: a is best on the search half of the test items of 2 orders" in found.sentence
    assert found.table.search.tolist() == pytest.approx([50, 55])
    best = answer("best", oracle, **about).sentence
    assert "xnli: a full 0.001" in best and "best of 2 on its own search half of the test items" in best
    empty = oracle[(oracle.order == "none") & (oracle.portion == "report")]
    none = pd.concat([empty, empty.assign(order="a", candidate="a", value=empty.value + 0.01)])
    assert "no order has a score on the search half of the test items" in answer("orders", none, **about).sentence
    for kind in KINDS:
        assert "dev" not in answer(kind, oracle, **about).sentence


def test_a_frozen_encoders_orders_can_have_no_effect():
    told = answer("orders", study({("none", "probe"): 0, ("a", "probe"): 0, ("none", "full"): 0, ("a", "full"): 5}))
    assert f"probe: {NO_EFFECT}; full: a is best on English dev" in told.sentence


def test_the_best_of_each_target_is_told_with_what_it_was_chosen_by():
    found = answer("best", study({("none", "full"): 0, ("a", "full"): 5}))
    assert "xnli: a full 0.001, 55.00 ± 0.99 (95 %; 3 roots), best of 2 on its own dev" in found.sentence
    assert "tatoeba: a full 0.001, 55.00 ± 0.99 (95 %; 3 roots), best of 2 on the other targets' dev" in found.sentence
    assert SAME_ROOTS in found.sentence and found.n == 3


def test_the_best_says_how_many_were_trained_in_full():
    scores = study({("none", "full"): 0, ("a", "full"): 5})
    small = study({(order, "full"): 40 for order in ("none", "a", "b", "b>a", "a>b")})
    small = small.assign(budget=1 / 3, candidate=small.candidate + " at 0.3333")
    told = answer("best", pd.concat([small, scores])).sentence
    assert "xnli: a full 0.001" in told
    assert "best of 5, 2 of them trained in full, on its own dev" in told
