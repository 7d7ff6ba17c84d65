"""The contract that every strategy keeps. A new one is tested by its entry in `STRATEGIES`.

A strategy may propose a candidate at several budgets; at each it is another candidate.
"""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter

import pytest

from search.candidate import Arm
from search.order import OrderSpace
from search.space import Space
from search.strategies import STRATEGIES


def space_of(tasks, **options):
    return Space(OrderSpace(tasks, **options), [Arm("full", 1e-3)])


SPACE = space_of("abcd")  # 65 orders, 5 of them baselines


@pytest.fixture(params=sorted(STRATEGIES))
def make(request):
    return STRATEGIES[request.param]


def value_of(candidate):
    """A value that depends on the candidate alone, and None (failed) for some."""
    code = sum(map(ord, str(getattr(candidate, "order", candidate))))
    return None if code % 7 == 0 else code % 11 / 10


def play(strategy, steps=10_000, value=value_of):
    """Ask and tell in turn; the proposals."""
    proposed = []
    while len(proposed) < steps and (candidate := strategy.ask()) is not None:
        proposed.append(candidate)
        strategy.tell(candidate, value(candidate))
    return proposed


def orders_of(proposed):
    """The different orders among proposals at any budget."""
    return {candidate.order for candidate in proposed}


def test_finishes_a_small_space_without_repeats(make):
    strategy = make(SPACE, seed=1, candidates=SPACE.size)
    proposed = play(strategy)
    assert len(proposed) == len(set(proposed))
    assert len(orders_of(proposed)) == SPACE.size
    assert all(candidate in SPACE for candidate in proposed)
    assert strategy.finished
    assert strategy.ask() is None


def test_stops_after_the_given_number(make):
    for wanted in (0, 1, 3, 17):
        strategy = make(SPACE, seed=2, candidates=wanted)
        assert len(orders_of(play(strategy))) == wanted
        assert strategy.finished
    with pytest.raises(ValueError, match="candidates >= 0"):
        make(SPACE, candidates=-1)


def test_more_than_the_space_has_is_all_of_it(make):
    assert len(orders_of(play(make(SPACE, candidates=1000)))) == SPACE.size


def test_baselines_come_first(make):
    for seed in range(3):
        proposed = play(make(SPACE, seed=seed, candidates=20))
        assert [candidate.order for candidate in proposed[:5]] == [SPACE[index].order for index in range(5)]


def test_survives_failed_candidates(make):
    proposed = play(make(SPACE, seed=3, candidates=30), value=lambda candidate: None)
    assert len(orders_of(proposed)) == len(proposed) == 30  # and nothing that failed is tried at another budget


def test_many_may_be_asked_before_any_is_told(make):
    strategy = make(SPACE, seed=4, candidates=30)
    proposed = []
    while not strategy.finished:
        asked = []
        while (candidate := strategy.ask()) is not None:
            asked.append(candidate)
        assert asked or strategy.finished
        proposed += asked
        for candidate in reversed(asked):
            strategy.tell(candidate, value_of(candidate))
    assert len(set(proposed)) == len(proposed)
    assert len(orders_of(proposed)) == 30


def test_equal_seeds_give_equal_proposals(make):
    assert play(make(SPACE, seed=5, candidates=40)) == play(make(SPACE, seed=5, candidates=40))


def test_restored_midway_it_goes_on_as_if_nothing_had_been(make):
    for told in (0, 3, 5, 6, 21, 40, 47):
        first = make(SPACE, seed=6, candidates=40)
        play(first, told)
        second = make(SPACE, seed=6, candidates=40)
        second.restore(json.loads(json.dumps(first.state())))
        assert second.state() == first.state()
        assert play(second) == play(first)
        assert second.finished


def test_what_runs_while_the_state_is_saved_can_be_told_later(make):
    first = make(SPACE, seed=7, candidates=40)
    play(first, 10)
    running = [first.ask() for _ in range(2)]
    running = [candidate for candidate in running if candidate is not None]
    second = make(SPACE, seed=7, candidates=40)
    second.restore(json.loads(json.dumps(first.state())))
    for strategy in (first, second):
        for candidate in reversed(running):
            strategy.tell(candidate, value_of(candidate))
    assert play(second) == play(first)


def test_a_foreign_state_is_refused(make):
    state = make(SPACE, seed=8).state()
    with pytest.raises(ValueError, match="the state is of"):
        make(space_of("ab"), seed=8).restore(state)
    with pytest.raises(ValueError, match="the state is of"):
        make(SPACE, seed=9).restore(state)
    with pytest.raises(ValueError, match="the state is of"):
        make(SPACE, seed=8).restore({})


def test_only_proposed_candidates_can_be_told_and_only_once(make):
    strategy = make(SPACE, seed=10)
    with pytest.raises(ValueError, match="not proposed"):
        strategy.tell(SPACE[0], 0.5)
    candidate = strategy.ask()
    with pytest.raises(ValueError, match="not proposed"):
        strategy.tell(candidate.at(0.75), 0.5)
    strategy.tell(candidate, 0.5)
    with pytest.raises(ValueError, match="told before"):
        strategy.tell(candidate, 0.5)


# What is particular to one -------------------------------------------------------------------------------------------


class Numbers:
    """A space of numbers, each its own index: as large as one likes."""

    def __init__(self, size, baselines):
        self.size, self.baselines = size, baselines

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        return index


def test_exhaustive_keeps_the_order_of_the_space():
    assert play(STRATEGIES["exhaustive"](SPACE)) == list(SPACE)


def test_random_without_a_number_draws_the_whole_space():
    proposed = play(STRATEGIES["random"](SPACE, seed=1))
    assert sorted(one.name for one in proposed) == sorted(one.name for one in SPACE)
    assert proposed != list(SPACE)
    assert proposed != play(STRATEGIES["random"](SPACE, seed=2))


def test_random_draws_uniformly():
    # Ten numbers, one baseline: each of the 9 · 8 ordered pairs that may follow it, 50 times on average.
    pairs = Counter(tuple(play(STRATEGIES["random"](Numbers(10, 1), seed=seed), 3)[1:]) for seed in range(3600))
    assert len(pairs) == 72
    chi_square = sum((count - 50) ** 2 / 50 for count in pairs.values())
    assert chi_square < 112  # the 0.999 quantile at 71 degrees of freedom


def test_random_never_holds_the_space():
    tracemalloc.start()
    strategy = STRATEGIES["random"](Numbers(10**9, 10), seed=1)
    proposed = play(strategy, 5000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(proposed)) == 5000
    assert max(proposed) > 10**8
    assert peak < 10e6
