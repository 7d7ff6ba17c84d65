"""Orders and arms as parameters and back."""

from __future__ import annotations

import random

import pytest

from search.candidate import Arm
from search.codes import CODES, UNIT, ArmCode
from search.order import Order, OrderSpace

LISTED = [Order.parse(text) for text in ("c>a>b", "none", "a+c>b", "b", "b>c")]
SPACES = {
    "subsets": OrderSpace("abcd"),
    "short subsets": OrderSpace("abcd", max_length=2),
    "permutations": OrderSpace("abcd", "permutations"),
    "permutations alone": OrderSpace("abcd", "permutations", baselines=False),
    "groups": OrderSpace("abcd", "groups"),
    "small groups": OrderSpace("abcd", "groups", max_group=2),
    "few groups": OrderSpace("abcde", "groups", max_group=2, max_length=2),
    "explicit": OrderSpace("abc", "explicit", orders=LISTED),
    "all permutations listed": OrderSpace("abcd", "explicit", orders=list(OrderSpace("abcd", "permutations"))[5:]),
    "one task": OrderSpace("a"),
    "no task": OrderSpace(""),
}


@pytest.fixture(params=sorted(SPACES))
def space(request):
    return SPACES[request.param]


@pytest.fixture(params=sorted(CODES))
def code_of(request):
    return CODES[request.param]


def drawn(domains, generator):
    """Parameters drawn uniformly."""
    return {
        name: generator.random() if domain == UNIT else generator.choice(domain) for name, domain in domains.items()
    }


def within(value, domain):
    return 0 <= value <= 1 if domain == UNIT else value in domain


def test_decoding_undoes_encoding(space, code_of):
    code = code_of(space)
    for order in space:
        values = code.encode(order)
        assert values.keys() == code.domains.keys()
        assert all(within(values[name], domain) for name, domain in code.domains.items())
        assert code.decode(values) == order


def test_any_parameters_give_an_order_of_the_space_and_every_order_is_found(space, code_of):
    code, generator = code_of(space), random.Random(0)
    found = {code.decode(drawn(code.domains, generator)) for _ in range(12_000)}
    assert found <= set(space)
    assert len(found) > 0.9 * space.size


def test_parameters_of_one_value_are_left_out(space, code_of):
    assert all(domain == UNIT or len(domain) > 1 for domain in code_of(space).domains.values())


def test_length_is_left_out_where_it_is_fixed_and_only_groups_are_joined():
    assert list(CODES["lehmer"](SPACES["permutations"]).domains) == ["digit 1", "digit 2", "digit 3", "length"]
    assert CODES["lehmer"](SPACES["permutations"]).domains["length"] == range(3)  # 0, 1 and 4 tasks
    assert list(CODES["keys"](SPACES["all permutations listed"]).domains) == [f"key {task}" for task in "abcd"]
    assert "join 3" in CODES["keys"](SPACES["groups"]).domains


def test_keys_are_trained_from_the_lowest():
    values = {"key a": 0.4, "key b": 0.9, "key c": 0.1, "key d": 0.5, "length": 3}
    assert str(CODES["keys"](SPACES["subsets"]).decode(values)) == "c>a>d"


def test_lehmer_digits_count_among_the_tasks_that_are_left():
    code = CODES["lehmer"](SPACES["subsets"])
    assert str(code.decode({"digit 1": 2, "digit 2": 2, "digit 3": 0, "length": 4})) == "c>d>a>b"
    assert code.encode(Order.parse("b>a")) == {"digit 1": 1, "digit 2": 0, "digit 3": 0, "length": 2}


def test_joined_tasks_are_clipped_to_the_groups_there_may_be():
    keys = {f"key {task}": place / 5 for place, task in enumerate("abcde")}
    joined, apart = ({f"join {place}": join for place in range(1, 5)} for join in (1, 0))
    code = CODES["keys"](SPACES["few groups"])
    assert str(code.decode({**keys, **joined, "length": 4})) == "a+b>c+d"
    assert str(code.decode({**keys, **apart, "length": 4})) == "a>b+c"
    assert str(code.decode({**keys, **apart, "join 1": 1, "length": 3})) == "a+b>c"


def test_what_is_not_listed_becomes_the_nearest_listed_order():
    code = CODES["keys"](OrderSpace("abcd", "explicit", orders=[Order.parse("d>c>b>a"), Order.parse("a>b>d>c")]))
    assert str(code.decode(code.encode(Order.parse("a>b>c>d")))) == "a>b>d>c"
    assert str(code.decode(code.encode(Order.parse("c>d>b>a")))) == "d>c>b>a"


ARMS = [
    Arm("full", 1e-5), Arm("full", 3e-5), Arm("full", 1e-4),
    Arm("prompt", 1e-2, 16), Arm("prompt", 3e-2, 16), Arm("prompt", 1e-2, 64),
    Arm("icl", 0.0),
]  # fmt: skip


def test_arms_are_methods_and_ranks():
    code = ArmCode(ARMS)
    assert [code.decode(code.encode(arm)) for arm in ARMS] == ARMS
    assert code.domains == {
        "method": ("full", "prompt", "icl"), "learning rate": range(3), "prompt length": range(2),
    }  # fmt: skip
    assert code.encode(ARMS[4]) == {"method": "prompt", "learning rate": 1, "prompt length": 0}


def test_any_parameters_give_an_arm_of_their_method():
    code, generator = ArmCode(ARMS), random.Random(0)
    for _ in range(300):
        values = drawn(code.domains, generator)
        arm = code.decode(values)
        assert arm in ARMS
        assert arm.method == values["method"]
    assert code.decode({"method": "full", "learning rate": 2, "prompt length": 1}) == ARMS[2]


def test_a_single_arm_needs_no_parameters():
    code = ArmCode(ARMS[:1])
    assert code.domains == code.encode(ARMS[0]) == {}
    assert code.decode({}) == ARMS[0]
