"""What is particular to `tpe`; the contract that it keeps as all do is in test_strategies.py."""

from __future__ import annotations

import json
import random
import warnings

import pytest

from search.candidate import Arm
from search.order import Order, OrderSpace
from search.space import Space
from search.strategies.random_orders import RandomOrders
from search.strategies.tpe import TPE, TPESettings

FULL = (Arm("full", 1e-3),)
ARMS = [Arm(method, rate, length) for method, length in (("full", None), ("prompt", 16)) for rate in (1e-4, 1e-3, 1e-2)]


def playing(strategy, value):
    """The values of the proposals, each told as soon as it is made."""
    told = []
    while (candidate := strategy.ask()) is not None:
        told.append(value(candidate))
        strategy.tell(candidate, told[-1])
    return told


def early(candidate):
    """Highest for a>b>c>d>e>f>g: each pair in alphabetic order counts, the more the nearer to the front."""
    tasks = candidate.order.tasks
    return sum((7 - i) * (tasks[i] < tasks[j]) for i in range(len(tasks)) for j in range(i + 1, len(tasks)))


def permutations(tasks):
    return Space(OrderSpace(tasks, "explicit", orders=list(OrderSpace(tasks, "permutations"))[len(tasks) + 1 :]), FULL)


@pytest.mark.parametrize("code", ["keys", "lehmer"])
def test_it_finds_what_random_search_does_not(code):
    space, seeds = permutations("abcdef"), range(3)
    found = [max(playing(TPE(space, seed=seed, candidates=50, code=code), early)) for seed in seeds]
    drawn = [max(playing(RandomOrders(space, seed=seed, candidates=50), early)) for seed in seeds]
    assert sum(found) > sum(drawn) + 10


def test_proposals_depend_on_the_history_alone():
    space = Space(OrderSpace("abcd"), ARMS)
    whole = TPE(space, seed=3, candidates=40, batch=5)
    random.seed(1)
    first = TPE(space, seed=3, candidates=40, batch=5)
    for _ in range(21):
        for strategy in (whole, first):
            candidate = strategy.ask()
            strategy.tell(candidate, early(candidate))
    second = TPE(space, seed=3, candidates=40, batch=5)
    second.restore(json.loads(json.dumps(first.state())))
    random.seed(2)
    assert playing(second, early) == playing(whole, early)


def test_every_kind_of_space_is_gone_through():
    listed = [Order.parse(text) for text in ("none", "a", "a+b", "b>a", "a>b>c")]
    for orders in (
        OrderSpace("abc", "permutations"),
        OrderSpace("abc", "groups", max_group=2),
        OrderSpace("abc", "explicit", orders=listed),
        OrderSpace(""),
    ):
        space = Space(orders, FULL, controls=[Order.parse("sham")])
        assert len(playing(TPE(space, seed=1), early)) == space.size


def last_arms(value):
    """The arms of the later half of 60 proposals among 6 arms and 326 orders."""
    strategy = TPE(Space(OrderSpace("abcde"), ARMS), seed=1, candidates=60)
    playing(strategy, value)
    return [told.candidate.arm for told in strategy.history[30:]]


def test_it_settles_on_the_best_method_and_learning_rate():
    best = Arm("prompt", 1e-3, 16)
    arms = last_arms(lambda one: early(one) / 60 + 2 * (one.method == "prompt") + 2 * (one.learning_rate == 1e-3))
    assert arms.count(best) > 12  # 5 by chance


def test_it_keeps_away_from_a_method_that_fails():
    arms = last_arms(lambda one: None if one.method == "prompt" else early(one))
    assert sum(arm.method == "prompt" for arm in arms) < 9  # 15 by chance


def test_several_objectives_are_searched():
    space = permutations("abcde")
    strategy = TPE(space, seed=0, candidates=40)
    playing(strategy, lambda candidate: (early(candidate), -early(candidate)))
    assert len(strategy.history) == 40


def test_optuna_says_nothing_and_keeps_its_own_settings(capfd):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        playing(TPE(permutations("abcd"), candidates=12), early)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


def test_settings_are_the_arguments():
    settings = TPESettings.model_validate({"code": "lehmer", "batch": 2, "initial": 3})
    assert len(playing(TPE(permutations("abcd"), candidates=9, **settings.model_dump()), early)) == 9
    with pytest.raises(ValueError, match="code"):
        TPESettings.model_validate({"code": "ranks"})


def test_a_state_of_another_code_is_refused():
    space = permutations("abcd")
    with pytest.raises(ValueError, match="the state is of"):
        TPE(space, code="lehmer").restore(TPE(space, code="keys").state())
