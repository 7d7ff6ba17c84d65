"""Successive halving: who is promoted, whatever the order of arrival; brackets; what it costs."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from pydantic import ValidationError

from search.strategies.halving import Halving, HalvingSettings


@dataclass(frozen=True)
class Number:
    """A candidate that is a number, at a budget."""

    number: int
    budget: float = 1.0

    def at(self, budget):
        return replace(self, budget=budget)


class Numbers:
    """A space of numbers, each its own index."""

    def __init__(self, size, baselines=0):
        self.size, self.baselines = size, baselines

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        return Number(index)


def drain(strategy):
    """All that can be asked for now."""
    asked = []
    while (candidate := strategy.ask()) is not None:
        asked.append(candidate)
    return asked


def waves(strategy, value, shuffle=None):
    """The proposals wave by wave: all that can be had are asked for, then told, in an order that `shuffle` makes."""
    found = []
    while not strategy.finished:
        asked = drain(strategy)
        assert asked, "not finished, nothing running, nothing to propose"
        found.append(asked)
        told = list(asked)
        if shuffle:
            shuffle(told)
        for candidate in told:
            strategy.tell(candidate, value(candidate))
    return found


def by_number(candidate):
    return candidate.number / 100


def test_each_rung_has_a_third_of_the_one_before_at_three_times_the_budget():
    found = waves(Halving(Numbers(27)), by_number)
    assert [len(wave) for wave in found] == [27, 9, 3]
    assert [{candidate.budget for candidate in wave} for wave in found] == [{1 / 9}, {1 / 3}, {1.0}]
    assert [[candidate.number for candidate in wave] for wave in found[1:]] == [list(range(18, 27)), [24, 25, 26]]


@pytest.mark.parametrize("eta", [2, 3, 4, 7, 10])
@pytest.mark.parametrize("rungs", [1, 2, 5])
def test_the_last_budget_is_the_whole(eta, rungs):
    found = waves(Halving(Numbers(3), eta=eta, rungs=rungs), by_number)
    budgets = [wave[0].budget for wave in found]
    assert len(budgets) == rungs and budgets[-1] == 1.0
    assert budgets == [float(Fraction(1, eta**power)) for power in reversed(range(rungs))]


@pytest.mark.parametrize(
    ("size", "counts"), [(0, []), (1, [1, 1, 1]), (2, [2, 1, 1]), (5, [5, 1, 1]), (11, [11, 3, 1])]
)
def test_few_candidates_leave_one_for_the_whole_budget(size, counts):
    assert [len(wave) for wave in waves(Halving(Numbers(size)), by_number)] == counts


def test_promotions_do_not_depend_on_the_order_of_arrival():
    def uneven(candidate):  # many ties, some failures
        return None if candidate.number % 7 == 3 else candidate.number % 5 * candidate.budget

    expected = waves(Halving(Numbers(50), seed=1, candidates=40), uneven)
    assert [len(wave) for wave in expected] == [40, 13, 4]
    for shuffle in (list.reverse, random.Random(0).shuffle, random.Random(1).shuffle):
        assert waves(Halving(Numbers(50), seed=1, candidates=40), uneven, shuffle) == expected


def test_ties_go_to_those_that_entered_first():
    found = waves(Halving(Numbers(9), rungs=2), lambda candidate: 0.5, list.reverse)
    assert [candidate.number for candidate in found[1]] == [0, 1, 2]
    # Nor does it count who was better at a smaller budget.
    found = waves(Halving(Numbers(27)), lambda c: by_number(c) if c.budget == 1 / 9 else 0.5)
    assert [candidate.number for candidate in found[2]] == [18, 19, 20]


def test_a_rung_is_awaited_to_its_last_result():
    strategy = Halving(Numbers(6), rungs=2)
    asked = drain(strategy)
    for candidate in asked[1:]:
        strategy.tell(candidate, by_number(candidate))
        assert strategy.ask() is None
        assert not strategy.finished
    strategy.tell(asked[0], 1.0)  # the first, told last, is the best
    promoted = drain(strategy)
    assert promoted == [Number(0), Number(5)]
    assert strategy.finished  # though both still run
    strategy.tell(promoted[0], 0.1)
    assert strategy.ask() is None


def test_the_failed_are_never_promoted():
    found = waves(Halving(Numbers(9), rungs=2), lambda candidate: 0.0 if candidate.number == 4 else None)
    assert found[1] == [Number(4)]
    nan = waves(Halving(Numbers(9), rungs=2), lambda candidate: -1.0 if candidate.number == 4 else math.nan)
    assert nan == found
    assert [len(wave) for wave in waves(Halving(Numbers(9)), lambda candidate: None)] == [9]


def test_what_fails_at_a_larger_budget_ends_there():
    found = waves(Halving(Numbers(9), eta=2), lambda c: None if c.budget == 0.5 and c.number > 5 else by_number(c))
    assert [[candidate.number for candidate in wave] for wave in found] == [[*range(9)], [5, 6, 7, 8], [5]]


def test_the_seed_draws_who_enters_after_the_baselines():
    def entered(seed):
        return [
            candidate.number for candidate in waves(Halving(Numbers(1000, 3), seed=seed, candidates=12), by_number)[0]
        ]

    assert entered(0) == entered(0) != entered(1)
    assert entered(0)[:3] == entered(1)[:3] == [0, 1, 2]
    assert len(set(entered(0))) == 12


@pytest.mark.parametrize("brackets", [1, 2, 3])
def test_restored_at_any_moment_it_goes_on_alike(brackets):
    def make():
        return Halving(Numbers(40), seed=3, candidates=20, brackets=brackets)

    def noisy(candidate):
        return random.Random(f"{candidate}").choice([None, 0.1, 0.2, 0.3, 0.4])

    whole = [candidate for wave in waves(make(), noisy) for candidate in wave]
    for told in range(len(whole) + 1):
        strategy, running = make(), []
        for _ in range(told):  # two run at a time, the later one ends first
            running += [candidate for _ in range(2 - len(running)) if (candidate := strategy.ask()) is not None]
            latest = running.pop()
            strategy.tell(latest, noisy(latest))
        other = make()
        other.restore(json.loads(json.dumps(strategy.state())))
        assert other.state() == strategy.state()
        for one in (strategy, other):
            for candidate in running:
                one.tell(candidate, noisy(candidate))
        rest = waves(strategy, noisy)
        assert waves(other, noisy) == rest
        assert other.finished


def test_a_state_of_other_settings_is_refused():
    state = Halving(Numbers(9)).state()
    for changed in ({"eta": 2}, {"rungs": 2}, {"brackets": 2}, {"candidates": 8}):
        with pytest.raises(ValueError, match="the state is of"):
            Halving(Numbers(9), **changed).restore(state)


def test_brackets_have_hyperbands_numbers():
    # 9 from a ninth, 5 from a third, 3 at once (arXiv 1603.06560, R = 9, eta = 3).
    found = waves(Halving(Numbers(17), brackets=3), by_number)
    assert Counter(candidate.budget for candidate in found[0]) == {1 / 9: 9, 1 / 3: 5, 1.0: 3}
    assert Counter(candidate.budget for candidate in found[1]) == {1 / 3: 3, 1.0: 1}
    assert Counter(candidate.budget for candidate in found[2]) == {1.0: 1}
    assert [candidate.number for candidate in found[0]] == list(range(17))  # side by side, as they entered


def test_in_brackets_each_candidate_has_its_own_start():
    proposed = [
        candidate for wave in waves(Halving(Numbers(40), brackets=2), by_number, list.reverse) for candidate in wave
    ]
    assert len(set(proposed)) == len(proposed)
    starts = {}
    for candidate in proposed:
        starts.setdefault(candidate.number, candidate.budget)
    assert Counter(starts.values()) == {1 / 9: 26, 1 / 3: 14}  # as 9 to 5


def test_without_noise_it_finds_the_best_at_a_third_of_the_price():
    quality = random.Random(5).sample(range(27), 27)
    proposed = [
        candidate
        for wave in waves(Halving(Numbers(27)), lambda c: quality[c.number] / 27 * (1 - math.exp(-4 * c.budget)))
        for candidate in wave
    ]
    full = [candidate.number for candidate in proposed if candidate.budget == 1]
    assert max(full, key=quality.__getitem__) == quality.index(26)
    assert sum(candidate.budget for candidate in proposed) == pytest.approx(27 / 3)
    # A stage that goes on from the smaller budget's pays the difference alone.
    largest = {candidate.number: candidate.budget for candidate in proposed}
    assert sum(largest.values()) == pytest.approx(7)


@pytest.mark.parametrize("wrong", [{"eta": 1}, {"rungs": 0}, {"brackets": 0}, {"brackets": 4}, {"candidates": -1}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="must hold"):
        Halving(Numbers(9), **wrong)
    if "candidates" not in wrong:
        with pytest.raises(ValidationError):
            HalvingSettings(**wrong)


def test_default_settings_are_the_strategys():
    settings = HalvingSettings()
    assert Halving(Numbers(9), **settings.model_dump()).state() == Halving(Numbers(9)).state()
