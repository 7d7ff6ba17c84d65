"""What is particular to the Plackett–Luce search; the contract is tested in test_strategies.py."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from playing import noisy, play, recency

import search.strategies.plackett_luce as module
from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace
from search.space import Space
from search.strategies.plackett_luce import PlackettLuce, PlackettLuceSettings, Policy
from search.strategies.random_orders import RandomOrders

PLAIN = [Arm("full", 1e-3)]
ARMS = [Arm("full", 1e-4), Arm("full", 1e-3), Arm("prompt", 1e-2, 8)]


def full(tasks):
    """All permutations of the tasks."""
    return [order for order in OrderSpace(tasks, "permutations") if len(order) == len(tasks)]


def drawn(strategy, count=300):
    """Draws from what a strategy has learnt."""
    weights, generator = strategy.weights(), random.Random("draws")
    return [strategy.policy.draw(weights, generator) for _ in range(count)]


def some_weights(policy, scale=1.0):
    generator = random.Random("weights")
    return [generator.gauss(0, scale) for _ in range(policy.size)]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


# The distribution ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [
    OrderSpace("abcd"), OrderSpace("abcd", max_length=2), OrderSpace("abcd", "permutations", baselines=False),
    OrderSpace("abcd", "explicit", orders=full("abcd")),
])  # fmt: skip
def test_draws_are_as_frequent_as_their_probabilities(orders):
    policy = Policy(orders, ARMS)
    weights, generator = some_weights(policy), random.Random(1)
    counts = Counter(policy.draw(weights, generator) for _ in range(20_000))
    space = Space(orders, ARMS)
    if orders.kind == "permutations":
        listed = [Candidate(order, *arm) for order in full("abcd") for arm in ARMS]
    else:
        listed = list(space)
    chances = {candidate: math.exp(policy.log_probability(weights, candidate)) for candidate in listed}
    assert sum(chances.values()) == pytest.approx(1)
    for candidate, chance in chances.items():
        assert counts[candidate] / 20_000 == pytest.approx(chance, abs=5 * math.sqrt(chance / 20_000) + 1e-3)


@pytest.mark.parametrize(
    "limits", [{}, {"max_length": 2}, {"max_group": 2}, {"max_length": 1}, {"max_length": 2, "max_group": 2}]
)
def test_draws_of_groups_fill_the_space_and_stay_in_it(limits):
    orders = OrderSpace("abcd", "groups", **limits)
    policy, generator = Policy(orders, PLAIN), random.Random(2)
    counts = Counter(policy.draw([0.0] * policy.size, generator).order for _ in range(20_000))
    assert set(counts) == set(orders)


@pytest.mark.parametrize("orders", [
    OrderSpace("abcd"), OrderSpace("abcd", "permutations"), OrderSpace("abcd", "groups"),
    OrderSpace("abcd", "groups", max_length=2, max_group=2),
])  # fmt: skip
def test_the_gradient_is_that_of_the_log_probability(orders):
    policy = Policy(orders, ARMS)
    weights = some_weights(policy)
    for index in range(0, orders.size, 7):
        candidate = Candidate(orders[index], *ARMS[index % 3])
        gradient = [0.0] * policy.size
        policy.add_gradient(gradient, weights, candidate, 2.0)
        for place in range(policy.size):
            up, down = ([w + step * (i == place) for i, w in enumerate(weights)] for step in (1e-5, -1e-5))
            slope = (policy.log_probability(up, candidate) - policy.log_probability(down, candidate)) / 2e-5
            assert gradient[place] == pytest.approx(2 * slope, abs=1e-6)


def test_tasks_of_a_group_have_no_sequence():
    policy = Policy(OrderSpace("abc", "groups"), PLAIN)
    weights = [0.0] * policy.size
    chances = {
        policy.log_probability(weights, Candidate(Order.parse(text), *PLAIN[0])) for text in ("a+b", "a+c", "b+c")
    }
    assert len(chances) == 1
    weights[0] = 2.0
    favoured = [
        policy.log_probability(weights, Candidate(Order.parse(text), *PLAIN[0])) for text in ("a+b", "a+c", "b+c")
    ]
    assert favoured[0] == pytest.approx(favoured[1])
    assert favoured[0] > favoured[2]


# What is learnt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [
    OrderSpace("abcdefg", "permutations"), OrderSpace("abcdefg"), OrderSpace("abcdefg", "groups", max_group=3),
], ids=lambda orders: orders.kind)  # fmt: skip
def test_finds_better_orders_than_random_search(orders):
    space, ahead = Space(orders, PLAIN), []
    for seed in range(8):
        found = [
            max(map(recency, play(make(space, seed=seed, candidates=60), lambda one, seed=seed: noisy(one, seed))))
            for make in (PlackettLuce, RandomOrders)
        ]
        ahead.append(found[0] - found[1])
    assert sum(ahead) / len(ahead) > 0.3
    assert sum(one > 0 for one in ahead) >= 6


def test_concentrates_on_the_best():
    space = Space(OrderSpace("abcdef", "permutations", baselines=False), PLAIN)
    values = [recency(Candidate(order, *PLAIN[0])) for order in full("abcdef")]
    spread = math.sqrt(mean((value - mean(values)) ** 2 for value in values))
    for seed in range(4):
        strategy = PlackettLuce(space, seed=seed, candidates=120)
        play(strategy, lambda one, seed=seed: noisy(one, seed))
        assert mean(map(recency, drawn(strategy))) > mean(values) + 1.2 * spread
        last = Counter(one.order.tasks[-1] for one in drawn(strategy))
        assert last.most_common(1)[0][0] in ("a", "b")


def test_begins_evenly():
    strategy = PlackettLuce(Space(OrderSpace("abc"), ARMS))
    assert set(strategy.weights()) == {0.0}
    lengths = Counter(len(one.order) for one in drawn(strategy, 8000))
    assert all(1800 < lengths[length] < 2200 for length in range(4))


def test_learns_when_to_end_and_what_to_join():
    short = PlackettLuce(Space(OrderSpace("abcdef"), PLAIN), seed=1, candidates=80)
    play(short, lambda one: -abs(len(one.order) - 2))
    long = PlackettLuce(Space(OrderSpace("abcdef"), PLAIN), seed=1, candidates=80)
    play(long, lambda one: len(one.order))
    assert mean(len(one.order) for one in drawn(short)) < 3 < 4.5 < mean(len(one.order) for one in drawn(long))
    joined, apart = (
        PlackettLuce(Space(OrderSpace("abcdef", "groups"), PLAIN), seed=1, candidates=80) for _ in range(2)
    )
    play(joined, lambda one: len(one.order.tasks) - len(one.order))
    play(apart, lambda one: len(one.order) - len(one.order.tasks))
    widths = [mean(len(one.order.tasks) / max(1, len(one.order)) for one in drawn(way)) for way in (joined, apart)]
    assert widths[0] > 2 > 1.2 > widths[1]


def test_learns_the_arm_and_leaves_one_that_fails():
    def value(candidate):
        return {"full": None, "prompt": 1.0}[candidate.method] if candidate.learning_rate != 1e-4 else 0.0

    strategy = PlackettLuce(Space(OrderSpace("abcd"), ARMS), seed=2, candidates=80)
    play(strategy, value)
    arms = Counter(one.arm for one in drawn(strategy))
    assert arms[Arm("prompt", 1e-2, 8)] > 200
    assert arms[Arm("full", 1e-3)] < 30


def test_a_short_list_is_searched_by_its_probabilities(monkeypatch):
    monkeypatch.setattr(module, "TRIES", 0)  # as if no draw task by task ever fell on the list
    space = Space(OrderSpace("abcdefg", "explicit", orders=full("abcdefg")[::20]), PLAIN)
    assert space.size == 252
    for seed in range(3):
        learnt, random_ones = (
            play(make(space, seed=seed, candidates=60), recency)[30:] for make in (PlackettLuce, RandomOrders)
        )
        assert mean(map(recency, learnt)) > mean(map(recency, random_ones)) + 0.5


def test_goes_on_where_nothing_is_left_to_draw():
    tasks = [Order.parse(text) for text in ("none", "a", "b", "a+b")]
    joint = Space(OrderSpace("ab", "explicit", orders=tasks), ARMS, controls=[Order.parse("b>a")])
    assert len(set(play(PlackettLuce(joint, seed=3), recency))) == joint.size
    permutations = Space(OrderSpace("abc", "permutations"), ARMS)
    assert len(set(play(PlackettLuce(permutations, seed=3), recency))) == permutations.size


def test_ranks_have_mean_0_and_variance_1_and_ties_share_theirs():
    ranks = module._standardised_ranks([3.0, None, 1e9, 3.0, -1.0])
    assert sum(ranks) == pytest.approx(0)
    assert sum(rank**2 for rank in ranks) / 5 == pytest.approx(1)
    assert ranks[1] < ranks[4] < ranks[0] == ranks[3] < ranks[2]
    assert module._standardised_ranks([1.0, 1.0]) == [0, 0]
    assert module._standardised_ranks([None]) == [0]


def test_settings_and_arguments_agree():
    space = Space(OrderSpace("abc"), PLAIN)
    chosen = PlackettLuceSettings().model_dump()
    assert PlackettLuce(space, **chosen).state() == PlackettLuce(space).state()
    for name in chosen:
        assert PlackettLuce(space, **{**chosen, name: 1}).state() != PlackettLuce(space).state()
    with pytest.raises(ValueError, match="rate"):
        PlackettLuce(space, rate=0)
