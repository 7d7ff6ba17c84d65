"""Attacks of TextAttack's own deterministic parts: in lock-step the same as TextAttack's, to the last bit."""

from __future__ import annotations

import itertools

import pytest
from attacking import SWAPS, alone, build, examples, figures, ta

from perturb.attacker import attack
from perturb.candidates import CandidateStore


def assert_equal(ours, stock):
    assert [figures(one) for one in ours] == [figures(one) for one in stock]


RANKED = [*itertools.product(SWAPS, ["unk", "delete"])]


@pytest.mark.parametrize(
    ("swap", "search"), [*RANKED[::2], RANKED[1], RANKED[7], ("homoglyph", "greedy"), ("deletion", "beam")]
)
def test_lock_step_gives_the_stock_results(swap, search):
    """On fewer examples where the search tries every word of a text at each step."""
    chosen = list(examples(60 if search in ("unk", "delete") else 6))
    ours = attack(lambda: build([swap], search), chosen, slots=7)
    stock = alone(build([swap], search), chosen)
    assert_equal(ours, stock)
    kinds = {type(one).__name__ for one in stock}
    assert {"SuccessfulAttackResult", "SkippedAttackResult"} <= kinds, "the victim must give in"


def test_several_transformations_at_once_and_a_narrow_constraint():
    chosen = list(examples(14, "several"))
    ours = attack(lambda: build(SWAPS, "unk", distance=3), chosen, slots=16)
    stock = alone(build(SWAPS, "unk", distance=3), chosen)
    assert_equal(ours, stock)
    assert {"FailedAttackResult", "SuccessfulAttackResult"} <= {type(one).__name__ for one in stock}


@pytest.mark.parametrize("budget", [2, 12, 40])
def test_a_query_budget_ends_the_same_searches(budget):
    chosen = list(examples(20, "budget"))
    ours = attack(lambda: build(SWAPS, "delete", budget=budget), chosen, slots=9)
    assert_equal(ours, alone(build(SWAPS, "delete", budget=budget), chosen))
    assert max(one.num_queries for one in ours) == budget


def test_with_stored_candidates_nothing_differs():
    chosen = list(examples(16, "stored"))
    stock = alone(build(SWAPS, "unk"), chosen)
    store = CandidateStore()
    first = attack(lambda: build(SWAPS, "unk"), chosen, store=store, recipe="all")
    assert store.hits == 0 and store.misses > 0
    again = CandidateStore.from_bytes(store.to_bytes())
    second = attack(lambda: build(SWAPS, "unk"), chosen, store=again, recipe="all")
    assert again.misses == 0 and again.hits > 0
    assert_equal(first, stock)
    assert_equal(second, stock)


def test_the_stock_attacker_agrees():
    """`Attacker` itself, not only `Attack`: it writes its progress to the terminal."""
    chosen = list(examples(6, "attacker"))
    data = ta.datasets.Dataset([(text, label) for _, text, label in chosen if isinstance(text, str)])
    arguments = ta.AttackArgs(num_examples=-1, silent=True, disable_stdout=True)
    stock = ta.Attacker(build(SWAPS, "unk"), data, arguments).attack_dataset()
    ours = attack(lambda: build(SWAPS, "unk"), [one for one in chosen if isinstance(one[1], str)])
    assert_equal(ours, stock)


@pytest.mark.slow
@pytest.mark.parametrize(("swaps", "search"), [*(([swap], search) for swap, search in RANKED), (list(SWAPS), "unk")])
def test_five_hundred_examples_without_a_difference(swaps, search):
    chosen = list(examples(500, "many"))
    assert_equal(attack(lambda: build(swaps, search), chosen), alone(build(swaps, search), chosen))


@pytest.mark.slow
@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_five_hundred_examples_of_searches_over_all_words(search):
    chosen = list(examples(500, "many"))
    made = lambda: build(["homoglyph"], search)  # noqa: E731
    assert_equal(attack(made, chosen), alone(made(), chosen))
