"""What strategies share that learn: batches, the history, several objectives as one number."""

from __future__ import annotations

import itertools
import json
import math
import random
from statistics import mean

import pytest

from search.candidate import Arm
from search.moves import neighbours
from search.order import OrderSpace
from search.space import Space
from search.strategies.adaptive import CANDIDATES, Adaptive, Told

PLAIN = [Arm("full", 1e-3)]
SPACE = Space(OrderSpace("abcd"), PLAIN)  # 65 orders, 5 of them baselines


class Climber(Adaptive):
    """Neighbours of the candidates of the highest utilities."""

    def propose(self, count):
        ranked = sorted((value, place) for place, value in enumerate(self.utilities()) if value is not None)
        for _, place in reversed(ranked):
            centre = self.history[place].candidate
            near = (type(centre)(order, *centre.arm) for order in neighbours(centre.order, self.space.orders))
            yield from (one for one in near if self.is_new(one))


class Stubborn(Adaptive):
    """The first candidates of the space, again and again, each twice."""

    def propose(self, count):
        return [self.space[place // 2] for place in range(2 * count + 10)]


class Blind(Adaptive):
    """Nothing, so random ones fill the batch."""

    def propose(self, count):
        return []


def batch_of(strategy):
    asked = []
    while (candidate := strategy.ask()) is not None:
        asked.append(candidate)
    return asked


def play(strategy, value):
    """Ask all there is, tell it the other way round; the proposals, batch by batch."""
    batches = []
    while not strategy.finished:
        batches.append(batch_of(strategy))
        for candidate in reversed(batches[-1]):
            strategy.tell(candidate, value(candidate))
    return batches


def worth(candidate):
    return sum((4 - ord(task) + ord("a")) * 0.7**place for place, task in enumerate(candidate.order.tasks))


# Batches -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "initial"), [(1, 0), (4, 6), (7, 2)])
def test_baselines_and_random_ones_are_followed_by_batches(batch, initial):
    batches = play(Climber(SPACE, seed=1, candidates=40, batch=batch, initial=initial), worth)
    sizes = [len(one) for one in batches]
    assert sizes[0] == SPACE.baselines + initial
    assert set(sizes[1:-1]) == {batch}
    assert sum(sizes) == 40
    assert batches[0][: SPACE.baselines] == [SPACE[place] for place in range(SPACE.baselines)]


def test_a_batch_waits_for_all_of_the_one_before():
    strategy = Climber(SPACE, candidates=30, batch=2, initial=0)
    first = batch_of(strategy)
    for candidate in first[1:]:
        strategy.tell(candidate, worth(candidate))
        assert strategy.ask() is None
    strategy.tell(first[0], None)
    assert strategy.ask() is not None


def test_the_order_of_arrival_changes_nothing():
    plays = []
    for arrival in (sorted, lambda batch, key: random.Random(5).sample(batch, len(batch))):
        strategy = Climber(SPACE, seed=2, candidates=40)
        while not strategy.finished:
            for candidate in arrival(batch_of(strategy), key=str):
                strategy.tell(candidate, worth(candidate))
        plays.append(strategy.history)
    assert plays[0] == plays[1]


def test_nothing_is_proposed_twice_and_random_ones_fill_up():
    for make in (Stubborn, Blind):
        proposed = list(itertools.chain(*play(make(SPACE, seed=3, candidates=SPACE.size), worth)))
        assert len(set(proposed)) == len(proposed) == SPACE.size


def test_random_fillings_depend_on_seed_and_batch():
    plays = [play(Blind(SPACE, seed=seed, candidates=40), worth) for seed in (1, 1, 2)]
    assert plays[0] == plays[1] != plays[2]
    uniform = [play(Blind(SPACE, seed=seed, candidates=6, batch=1, initial=0), worth)[-1][0] for seed in range(400)]
    assert len(set(uniform)) == SPACE.size - SPACE.baselines  # every candidate has its chance


def test_it_proposes_a_hundred_when_nobody_says():
    large = Space(OrderSpace("abcdefghi"), PLAIN)
    assert Blind(large).left == CANDIDATES == 100
    assert Blind(SPACE).left == SPACE.size
    assert Blind(SPACE, candidates=3).left == 3


def test_bad_settings_are_refused():
    for wrong in ({"batch": 0}, {"initial": -1}, {"candidates": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Blind(SPACE, **wrong)
    state = Blind(SPACE, batch=2).state()
    with pytest.raises(ValueError, match="the state is of"):
        Blind(SPACE, batch=3).restore(state)
    with pytest.raises(ValueError, match="remembers nothing"):
        Blind(SPACE, batch=2).restore({**state, "memory": [1]})


def test_stages_are_bought_when_they_are_proposed():
    strategy = Blind(SPACE, candidates=SPACE.size)
    play(strategy, worth)
    assert strategy.ledger.spent == 64 + 65  # every stage once, what follows an order for each
    half = Blind(SPACE, seed=1, candidates=30)
    play(half, worth)
    again = Blind(SPACE, seed=1, candidates=30)
    again.restore(json.loads(json.dumps(half.state())))
    assert again.ledger.spent == half.ledger.spent < 30 * 4


# What was told -------------------------------------------------------------------------------------------------------


def test_the_history_has_values_failures_and_roots():
    strategy = Blind(SPACE, candidates=5, initial=0)
    asked = batch_of(strategy)
    for candidate, value, roots in zip(asked, (0.5, None, math.nan, [1.0], 2), (1, 1, 1, 3, 2), strict=True):
        strategy.tell(candidate, value, roots)
    values = [(0.5,), None, None, (1.0,), (2,)]
    assert strategy.history == [Told(*told) for told in zip(asked, values, (1, 1, 1, 3, 2), strict=True)]
    assert strategy.utilities() == [0.5, None, None, 1.0, 2]


def test_a_value_that_is_partly_unknown_failed():
    strategy = Blind(SPACE, candidates=5, initial=0)
    for candidate in batch_of(strategy):
        strategy.tell(candidate, (1.0, math.nan))
    assert strategy.utilities() == [None] * 5


# Several objectives --------------------------------------------------------------------------------------------------


def two(candidate):
    """How good an order is, and how short."""
    return worth(candidate), -float(len(candidate.order))


def test_utilities_are_the_augmented_tchebycheff_scalarisation():
    strategy = Blind(SPACE, candidates=30)
    told = {}
    for candidate in batch_of(strategy):
        told[candidate] = None if not candidate.order else (worth(candidate), 100 * len(candidate.order) - 7)
        strategy.tell(candidate, told[candidate])
    weights = strategy._weights(2)
    values = [value for value in told.values() if value is not None]
    spans = [(min(column), max(column)) for column in zip(*values, strict=True)]
    for found, value in zip(strategy.utilities(), told.values(), strict=True):
        if value is None:
            assert found is None
            continue
        lacking = [w * (high - v) / (high - low) for w, v, (low, high) in zip(weights, value, spans, strict=True)]
        assert found == pytest.approx(-(max(lacking) + 0.05 * (lacking[0] + lacking[1])))


def test_an_objective_without_differences_does_no_harm():
    strategy = Blind(SPACE, candidates=5, initial=0)
    for candidate in batch_of(strategy):
        strategy.tell(candidate, (3.0, worth(candidate)))
    utilities, asked = strategy.utilities(), [told.candidate for told in strategy.history]
    assert max(zip(utilities, asked, strict=True), key=lambda pair: pair[0])[1] == max(asked, key=worth)


def test_weights_are_uniform_on_the_simplex_and_new_in_each_batch():
    drawn = []

    class Noting(Blind):
        def propose(self, count):
            drawn.append(tuple(self._weights(3)))
            assert self._weights(3) == list(drawn[-1])  # the same throughout a batch
            return []

    large = Space(OrderSpace("abcdefg"), PLAIN)
    play(Noting(large, candidates=600, batch=1, initial=0), two)
    assert len(set(drawn)) == len(drawn) == 600 - large.baselines
    assert all(sum(weights) == pytest.approx(1) and min(weights) >= 0 for weights in drawn)
    for place in range(3):  # uniform on the triangle: mean 1/3, variance 1/18
        assert mean(weights[place] for weights in drawn) == pytest.approx(1 / 3, abs=0.03)
        assert mean((weights[place] - 1 / 3) ** 2 for weights in drawn) == pytest.approx(1 / 18, abs=0.012)


def dominated_area(candidates):
    """The area that is dominated between the worst corner (0, −5) and the candidates' values."""
    area, least = 0.0, -5.0
    for value, shortness in sorted(map(two_of_five, candidates), reverse=True):
        if shortness > least:
            area += value * (shortness - least)
            least = shortness
    return area


def two_of_five(candidate):
    """Tasks are good or bad, late ones count most; every stage costs."""
    good = dict(zip("abcde", (4, 2, 1, -1, -2), strict=True))
    tasks = candidate.order.tasks
    return max(0.0, sum(good[task] * 0.8**ago for ago, task in enumerate(reversed(tasks)))), -float(len(tasks))


def test_a_front_is_found_better_than_by_random_search():
    space = Space(OrderSpace("abcde"), PLAIN)
    best = dominated_area(space)
    missing = {Climber: [], Blind: []}
    for make, found in missing.items():
        for seed in range(10):
            proposed = itertools.chain(*play(make(space, seed=seed, candidates=40), two_of_five))
            found.append(best - dominated_area(proposed))
    assert mean(missing[Climber]) < 0.5 * mean(missing[Blind])
