"""What is particular to regularised evolution; the contract is tested in test_strategies.py."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from playing import noisy, play, recency

from search.candidate import Arm
from search.moves import neighbours
from search.order import Order, OrderSpace
from search.space import Space
from search.strategies.evolution import Evolution, EvolutionSettings
from search.strategies.random_orders import RandomOrders

PLAIN = [Arm("full", 1e-3)]
ARMS = [Arm("full", rate) for rate in (1e-5, 1e-4, 1e-3)] + [Arm("prompt", 1e-2, length) for length in (4, 8, 16)]


@pytest.mark.parametrize("orders", [
    OrderSpace("abcdefg", "permutations"), OrderSpace("abcdefg"), OrderSpace("abcdefg", "groups", max_group=3),
], ids=lambda orders: orders.kind)  # fmt: skip
def test_finds_better_orders_than_random_search(orders):
    space, ahead = Space(orders, PLAIN), []
    for seed in range(8):
        found = [
            max(map(recency, play(make(space, seed=seed, candidates=60), lambda one, seed=seed: noisy(one, seed))))
            for make in (Evolution, RandomOrders)
        ]
        ahead.append(found[0] - found[1])
    assert sum(ahead) / len(ahead) > 0.3
    assert sum(one > 0 for one in ahead) >= 6


def test_the_population_ages_and_the_failed_are_not_of_it():
    strategy = Evolution(Space(OrderSpace("abcde"), PLAIN), seed=1, candidates=60, population=10)
    values = {}

    def value(candidate):
        number = values.setdefault(candidate, len(values))
        return None if number % 3 == 2 else 1000.0 - number

    play(strategy, value)
    alive = [told for told in strategy.history if told.values is not None]
    assert [one.candidate for one in strategy.population()] == [told.candidate for told in alive[-10:]]
    assert max(alive, key=lambda told: told.values).candidate not in [one.candidate for one in strategy.population()]


def test_a_child_is_one_move_from_the_best_of_the_sample():
    space = Space(OrderSpace("abcdefg", "permutations", baselines=False), PLAIN)
    strategy = Evolution(space, seed=2, candidates=60, population=100, sample=100, crossover=0, batch=1)
    proposed = play(strategy, recency)
    for number in range(7, 60):
        best = max(proposed[:number], key=recency)
        assert proposed[number].order in set(neighbours(best.order, space.orders)) - {Order()}


def test_crossover_has_an_effect():
    permutations = [order for order in OrderSpace("abcdef", "permutations") if len(order) == 6]
    space = Space(OrderSpace("abcdef", "explicit", orders=permutations), PLAIN)
    never, always = (
        play(Evolution(space, seed=3, candidates=60, population=100, sample=1, crossover=share), recency)
        for share in (0, 1)
    )
    assert never[:6] == always[:6]

    def far(proposed):
        """How many are more than one move from all before."""
        orders = [one.order for one in proposed]
        near = [set(neighbours(order, space.orders)) & set(orders[:place]) for place, order in enumerate(orders)]
        return sum(not some for some in near[6:])

    assert far(never) == 0 < far(always)


def test_learns_the_arm():
    worth = {Arm("prompt", 1e-2, 16): 6.0, Arm("prompt", 1e-2, 8): 4.0}
    space = Space(OrderSpace("abcd"), ARMS)
    proposed = play(Evolution(space, seed=4, candidates=120), lambda one: recency(one) / 4 + worth.get(one.arm, 0))
    drawn = Counter(one.arm for one in proposed[60:])
    assert drawn.most_common(1)[0][0] == Arm("prompt", 1e-2, 16)
    assert drawn[Arm("prompt", 1e-2, 16)] > 20
    assert {one.arm for one in proposed} == set(ARMS)


def test_moves_to_a_near_arm_more_often_than_to_a_far_one():
    strategy, generator = Evolution(Space(OrderSpace("ab"), ARMS)), random.Random(5)
    drawn = Counter(strategy._arms.draw(Arm("full", 1e-5), generator) for _ in range(3000))
    assert Arm("full", 1e-5) not in drawn
    assert drawn[Arm("full", 1e-4)] > 2 * drawn[Arm("full", 1e-3)]
    assert drawn[Arm("full", 1e-4)] > 2 * drawn[Arm("prompt", 1e-2, 4)]
    assert set(drawn) == set(ARMS) - {Arm("full", 1e-5)}


def test_goes_on_where_nothing_can_be_changed():
    alone = [Order.parse(text) for text in ("a>b>c", "d>e>f", "f>e>d")]
    space = Space(OrderSpace("abcdef", "explicit", orders=alone), PLAIN, controls=[Order.parse("a+b+c")])
    assert {one.order for one in play(Evolution(space, initial=0), recency)} == {*alone, Order.parse("a+b+c")}
    assert len(play(Evolution(Space(OrderSpace(""), ARMS), initial=0), recency)) == len(ARMS)


def test_several_objectives_are_searched_at_once():
    space = Space(OrderSpace("abcdef", "permutations", baselines=False), PLAIN)
    proposed = play(Evolution(space, seed=6, candidates=80), lambda one: (recency(one), -len(str(one.order)[:1])))
    assert len(set(proposed)) == 80


def test_settings_and_arguments_agree():
    space = Space(OrderSpace("abc"), PLAIN)
    chosen = EvolutionSettings().model_dump()
    assert Evolution(space, **chosen).state() == Evolution(space).state()
    for name in chosen:
        assert Evolution(space, **{**chosen, name: 1}).state() != Evolution(space).state()
    for wrong in ({"population": 0}, {"sample": 0}, {"crossover": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Evolution(space, **wrong)
