"""What is particular to Bayesian optimisation over orders; the contract is tested in test_strategies.py."""

from __future__ import annotations

import itertools
import json
import random
import resource
from statistics import mean

import numpy as np
import pytest
from pydantic import ValidationError

from search.candidate import Arm
from search.order import Order, OrderSpace
from search.prices import Ledger, PriceTable, UnitPrices
from search.space import Space
from search.strategies.gp import GP, GPSettings
from search.strategies.random_orders import RandomOrders
from search.surrogate import pool as pools
from search.surrogate.features import Features
from search.surrogate.model import Belief, Surrogate

PLAIN = [Arm("full", 1e-3)]


def play(strategy, value, roots=lambda candidate: 1):
    """Ask all there is, tell it the other way round; the proposals."""
    proposed = []
    while not strategy.finished:
        asked = []
        while (candidate := strategy.ask()) is not None:
            asked.append(candidate)
        for candidate in reversed(asked):
            strategy.tell(candidate, value(candidate), roots(candidate))
        proposed += asked
    return proposed


def transferred(candidate):
    """Late tasks count most, a and b are good, some neighbours do one another harm."""
    worth = dict(zip("abcdefghi", (3, 2, 1, 0, -1, -2, -3, -4, -5), strict=True))
    tasks = candidate.order.tasks
    harm = sum(1.5 for pair in itertools.pairwise(tasks) if "".join(pair) in ("ba", "cb", "dc", "ca"))
    return sum(worth[name] * 0.7**ago for ago, name in enumerate(reversed(tasks))) - harm


def noisy(candidate, seed=0, sd=0.3):
    return transferred(candidate) + random.Random(f"{seed} {candidate.name}").gauss(0, sd)


def test_finds_better_orders_than_random_search():
    space = Space(OrderSpace("abcdef"), PLAIN)
    best = max(map(transferred, space))
    regrets = {GP: [], RandomOrders: []}
    for make, found in regrets.items():
        for seed in range(4):
            proposed = play(make(space, seed=seed, candidates=40), lambda one, seed=seed: noisy(one, seed))
            found.append(best - max(map(transferred, proposed)))
    assert mean(regrets[GP]) < 0.5 * mean(regrets[RandomOrders])


@pytest.mark.parametrize("acquisition", ["kg", "ei"])
def test_each_kernel_learns(acquisition):
    space = Space(OrderSpace("abcde"), PLAIN)
    best = max(map(transferred, space))

    def regret(proposed):
        return best - max(map(transferred, proposed))

    plays = [
        play(GP(space, seed=seed, candidates=30, initial=3, kernels=[kernel], acquisition=acquisition), transferred)
        for kernel in ("kendall", "position", "spearman", "adjacency") for seed in range(2)
    ]  # fmt: skip
    drawn = [play(RandomOrders(space, seed=seed, candidates=30), transferred) for seed in range(20)]
    assert mean(map(regret, plays)) < 0.5 * mean(map(regret, drawn))
    assert len(set(map(tuple, plays))) == 8


def test_the_acquisition_makes_a_difference():
    space = Space(OrderSpace("abcd"), PLAIN)
    plays = [play(GP(space, candidates=16, acquisition=name), transferred) for name in ("kg", "ei", "ei")]
    assert plays[0] != plays[1] == plays[2]


def test_a_batch_does_not_ask_the_same_question_four_times(monkeypatch):
    space = Space(OrderSpace("abcde", "permutations"), PLAIN)
    features = Features(space.orders.tasks, space.arms)

    def spread():
        """The mean squared distance within batches."""
        found = []
        for seed in range(3):
            strategy = GP(space, seed=seed, candidates=30, thrift=0, acquisition="ei")
            proposed = play(strategy, noisy)
            for start in strategy.state()["batches"][1:]:
                rows = features.matrix(proposed[start : start + 4])
                found.append(((rows[:, None] - rows[None]) ** 2).sum(-1).mean())
        return mean(found)

    believing = spread()
    monkeypatch.setattr(Belief, "believe", lambda self, place, roots: None)
    assert believing > 1.1 * spread()


def test_unknown_settings_are_refused():
    for wrong in ({"acquisition": "ucb"}, {"kernels": []}, {"kernels": ["cayley"]}, {"thrift": -1}, {"batch": 0}):
        with pytest.raises(ValidationError):
            GPSettings(**wrong)
    space = Space(OrderSpace("ab"), PLAIN)
    for wrong in ({"acquisition": "ucb"}, {"kernels": ["cayley"]}, {"thrift": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GP(space, **wrong)
    assert GP(space, **GPSettings().model_dump()).state() == GP(space).state()


# Prices --------------------------------------------------------------------------------------------------------------


def test_thrift_spends_less():
    space = Space(OrderSpace("abcde"), PLAIN)
    spent = {}
    for thrift in (0.0, 1.0, 2.0):
        strategies = [GP(space, seed=seed, candidates=34, thrift=thrift) for seed in range(2)]
        for seed, strategy in enumerate(strategies):
            play(strategy, lambda one, seed=seed: noisy(one, seed))
        spent[thrift] = sum(strategy.ledger.spent for strategy in strategies)
    assert spent[2.0] < spent[1.0] < 0.95 * spent[0.0]


class LongStages(UnitPrices):
    """Training is dear, scoring nearly free."""

    def train(self, group, arm):
        return 20.0


def shared_in_batches(strategy, told):
    """What a batch's candidates save by sharing stages nobody had bought, a batch; tells what `told` does."""
    saved = []
    while not strategy.finished:
        before = Ledger(strategy.ledger.prices)
        before.prefixes = set(strategy.ledger.prefixes)
        asked = []
        while (candidate := strategy.ask()) is not None:
            asked.append(candidate)
        alone = sum(before.marginal(candidate) for candidate in asked)
        saved.append(alone - sum(before.buy(candidate) for candidate in asked))
        for candidate in asked:
            strategy.tell(candidate, told(candidate))
    return sum(saved[1:])


def test_a_batch_shares_stages(monkeypatch):
    space = Space(OrderSpace("abcde"), PLAIN)

    def saved():
        return shared_in_batches(GP(space, candidates=36, prices=LongStages()), noisy)

    together, marginal = saved(), PriceTable.marginal
    monkeypatch.setattr(PriceTable, "marginal", lambda self, besides=(): marginal(self))
    assert together >= 60
    assert together > 2 * saved()


class Free(UnitPrices):
    """What follows an order costs nothing."""

    def leaf(self, arm):
        return 0.0


@pytest.mark.filterwarnings("error")
def test_of_what_costs_nothing_the_promise_decides():
    strategy = GP(Space(OrderSpace("abcd"), PLAIN), candidates=30, prices=Free(), thrift=2)
    play(strategy, transferred)
    assert strategy.ledger.spent > 0


# Spaces --------------------------------------------------------------------------------------------------------------


def test_learns_to_group():
    """Tasks a and b are worth most when they are trained together, last."""
    space = Space(OrderSpace("abcd", "groups"), PLAIN)

    def together(candidate):
        order = candidate.order
        return sum(len(set(group) & {"a", "b"}) ** 2 for group in order.groups[-1:]) - 0.3 * len(order.tasks)

    found = []
    for seed in range(3):
        proposed = play(GP(space, seed=seed, candidates=30), together)
        assert len(set(proposed)) == 30
        found.append(max(map(together, proposed)))
    assert found == [max(map(together, space))] * 3


ARMS = [Arm("full", rate) for rate in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)] + [
    Arm("prompt", rate, length) for rate in (1e-4, 1e-3, 1e-2) for length in (2, 8, 32, 128)
]


def tuned(candidate):
    """Prompts are better, at about 1e-3 and 32 vectors; full tuning is best at 1e-4."""
    off = (np.log10(candidate.learning_rate) - (-2.8 if candidate.method == "prompt" else -4)) ** 2
    length = abs(np.log2((candidate.prompt_length or 2) / 32)) * 0.4
    return 0.3 * transferred(candidate) - off - length + (2.5 if candidate.method == "prompt" else 0)


def test_finds_method_learning_rate_and_length():
    space = Space(OrderSpace("abc"), ARMS)
    for seed in range(2):
        proposed = play(GP(space, seed=seed, candidates=44), tuned)
        assert max(proposed, key=tuned).arm == Arm("prompt", 1e-3, 32)
        assert mean(one.method == "prompt" for one in proposed[-12:]) > 0.6
        assert max(space, key=tuned) in proposed


def test_beyond_a_size_it_searches_near_the_best(monkeypatch):
    monkeypatch.setattr(pools, "EXACT", 50)
    monkeypatch.setattr(pools, "RANDOM", 40)
    monkeypatch.setattr(pools, "whole", None)  # not called
    space = Space(OrderSpace("abcd"), [Arm("full", 1e-3), Arm("full", 1e-4)], [Order.parse("z")])

    def value(candidate):
        return 0.0 if candidate.order in space.controls else transferred(candidate)

    proposed = play(GP(space, candidates=40), value)
    assert max(map(value, proposed)) == max(value(space[place]) for place in range(space.size))
    assert len(set(proposed)) == 40
    assert proposed == play(GP(space, candidates=40), value)


def test_a_million_orders_are_never_listed(monkeypatch):
    space = Space(OrderSpace("abcdefghi"), PLAIN)
    assert space.size == 986_410
    monkeypatch.setattr(Space, "__iter__", None)
    strategy = GP(space, candidates=space.baselines + 9, batch=3, initial=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    proposed = play(strategy, transferred)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB, libraries included
    learned = proposed[space.baselines :]
    assert len(set(learned)) == 9
    assert max(map(transferred, learned)) > max(map(transferred, proposed[: space.baselines])) + 1


def test_controls_are_run_and_nothing_is_learned_from_them():
    plain = Space(OrderSpace("abcd"), PLAIN)
    space = Space(OrderSpace("abcd"), PLAIN, [Order.parse("z"), Order.parse("a>z")])
    strategy = GP(space, candidates=40)

    def value(candidate):
        return 1000.0 if "z" in candidate.order.tasks else transferred(candidate)

    proposed = play(strategy, value)
    assert {one.order for one in proposed[: space.baselines]} >= set(space.controls)
    assert max(plain, key=transferred) in proposed


# What is told --------------------------------------------------------------------------------------------------------


def test_learns_beside_failed_candidates():
    """All orders that begin with c fail."""
    space = Space(OrderSpace("abcd"), PLAIN)

    def value(candidate):
        return None if candidate.order.tasks[:1] == ("c",) else transferred(candidate)

    proposed = play(GP(space, candidates=40), value)
    assert len(set(proposed)) == 40
    assert max((one for one in space if value(one) is not None), key=transferred) in proposed


def test_roots_reach_the_noise(monkeypatch):
    told = []
    fit = Surrogate.fit

    def spied(self, rows, values, roots):
        told[:] = zip(values, roots, strict=True)
        return fit(self, rows, values, roots)

    monkeypatch.setattr(Surrogate, "fit", spied)
    proposed = play(GP(Space(OrderSpace("abc"), PLAIN), candidates=12), noisy, roots=lambda one: 1 + len(one.order))
    assert told == [(noisy(one), 1 + len(one.order)) for one in proposed[: len(told)]]
    assert {roots for _, roots in told} == {1, 2, 3, 4}


def test_two_objectives_are_traded_off():
    """Worth, and how short an order is: the front is found from its one end to the other."""
    space = Space(OrderSpace("abcd"), PLAIN)

    def values(candidate):
        return transferred(candidate), -float(len(candidate.order))

    def front(candidates):
        scored = {values(one) for one in candidates}
        return {one for one in scored if not any(a >= one[0] and b >= one[1] and (a, b) != one for a, b in scored)}

    proposed = play(GP(space, candidates=40), values)
    wanted = front(space)
    assert len(wanted) >= 3
    assert len(front(proposed) & wanted) >= len(wanted) - 1


def test_a_state_holds_the_hyperparameters_and_goes_on_alike():
    space = Space(OrderSpace("abcde"), PLAIN)
    first = GP(space, seed=3, candidates=30)
    for _ in range(17):
        first.tell(one := first.ask(), noisy(one))
    state = json.loads(json.dumps(first.state()))
    assert set(state["memory"]) == {"log_weight", "log_scale", "log_noise"}
    second, third = GP(space, seed=3, candidates=30), GP(space, seed=3, candidates=30)
    second.restore(state)
    assert play(second, noisy) == play(first, noisy)
    state["memory"]["log_scale"] = [5.0] * 4  # another kernel proposes otherwise
    third.restore(state)
    play(third, noisy)
    assert third.state()["memory"] != second.state()["memory"]
