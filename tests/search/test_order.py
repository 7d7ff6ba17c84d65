"""Notation, enumeration and counting of orders."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.order import Order, OrderSpace
from trainables.errors import Mistake

NINE = ("anli", "boolq", "copa", "hellaswag", "mnli", "qqp", "sciq", "squad", "swag")


# Notation ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["none", "mnli", "mnli>squad", "mnli>qqp+squad>swag", "a-1.x_y"])
def test_text_round_trip(text):
    assert str(Order.parse(text)) == text


def test_names_inside_a_group_are_sorted_and_space_is_free():
    order = Order.parse("  mnli >squad + qqp\t>swag ")
    assert order == Order((("mnli",), ("qqp", "squad"), ("swag",))) == Order((("mnli",), ("squad", "qqp"), ("swag",)))
    assert hash(order) == hash(Order.parse("mnli>qqp+squad>swag"))
    assert order.tasks == ("mnli", "qqp", "squad", "swag")
    assert len(order) == 3


def test_the_empty_order():
    assert Order.parse(" none ") == Order() == Order(())
    assert (len(Order()), Order().tasks, Order().prefixes()) == (0, (), ())


def test_prefixes_are_shortest_first():
    assert [str(prefix) for prefix in Order.parse("a>b+c>d").prefixes()] == ["a", "a>b+c", "a>b+c>d"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a>b>a", "task 'a' is named twice"),
        ("a+a", "task 'a' is named twice"),
        ("a>>b", "a group is empty"),
        ("a+", "a group is empty"),
        (">a", "a group is empty"),
        ("", "a group is empty"),
        ("none>a", "'none' is the empty order"),
        ("a+none", "'none' is the empty order"),
        ("a b>c", "'a b' is not a task name"),
    ],
)
def test_faulty_notation_is_a_mistake(text, fault):
    with pytest.raises(Mistake, match=fault) as caught:
        Order.parse(text, where="--order")
    assert caught.value.where == "--order"
    assert "'a>b'" in caught.value.right


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(Mistake, match="unknown task 'mnil'") as caught:
        Order.parse("mnil>squad", known=["mnli", "squad"], where="orders.yaml: order")
    assert "did you mean 'mnli'?" in caught.value.right


def test_the_constructor_checks_as_well():
    with pytest.raises(Mistake, match="named twice"):
        Order((("a",), ("a", "b")))
    with pytest.raises(Mistake, match="empty"):
        Order(((),))


# Spaces --------------------------------------------------------------------------------------------------------------


def texts(space):
    return [str(order) for order in space]


def test_subsets_go_by_length_then_by_the_given_order_of_tasks():
    assert texts(OrderSpace(["c", "a", "b"], max_length=2)) == [
        "none",
        *"cab",
        "c>a",
        "c>b",
        "a>c",
        "a>b",
        "b>c",
        "b>a",
    ]


def test_permutations_with_and_without_single_tasks():
    full = ["c>a>b", "c>b>a", "a>c>b", "a>b>c", "b>c>a", "b>a>c"]
    assert texts(OrderSpace(["c", "a", "b"], "permutations")) == ["none", "c", "a", "b", *full]
    assert texts(OrderSpace(["c", "a", "b"], "permutations", baselines=False)) == ["none", *full]
    assert texts(OrderSpace(["a"], "permutations")) == ["none", "a"]
    assert texts(OrderSpace([], "permutations")) == ["none"]


def test_groups_are_smaller_first():
    space = OrderSpace(["b", "a", "c"], "groups", max_group=2, max_length=2)
    assert texts(space)[:7] == ["none", "b", "a", "c", "a+b", "b+c", "a+c"]
    assert texts(space)[7:10] == ["b>a", "b>c", "b>a+c"]
    assert space.count_by_length() == {0: 1, 1: 6, 2: 12}


def test_explicit_orders_have_their_baselines_first():
    listed = [Order.parse(text) for text in ("a>b", "b", "b+c", "none", "a")]
    space = OrderSpace(["a", "b", "c"], "explicit", orders=listed)
    assert texts(space) == ["none", "a", "b", "a>b", "b+c"]
    assert (space.baselines, space.naive_stages(), space.distinct_stages()) == (3, 5, 4)
    assert space.count_by_length() == {0: 1, 1: 3, 2: 1}
    assert Order.parse("b>a") not in space
    assert not OrderSpace(["a"], "explicit")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"tasks": ["a"], "kind": "subset"}, "Unknown kind"),
        ({"tasks": ["a", "a"]}, "named twice"),
        ({"tasks": ["none"]}, "empty order"),
        ({"tasks": ["a"], "max_length": -1}, "max_length is -1"),
        ({"tasks": ["a"], "max_group": 2}, "max_group is 2 with kind 'subsets'"),
        ({"tasks": ["a"], "kind": "groups", "max_group": 0}, "max_group is 0"),
        ({"tasks": ["a", "b"], "kind": "permutations", "max_length": 1}, "a permutation has all 2"),
        ({"tasks": ["a"], "orders": [Order()]}, "kind is 'subsets'"),
        ({"tasks": ["a"], "kind": "explicit", "orders": [Order.parse("b")]}, "unknown task 'b'"),
        ({"tasks": ["a"], "kind": "explicit", "orders": [Order(), Order()]}, "listed twice"),
        ({"tasks": ["a"], "kind": "explicit", "orders": [Order.parse("a")], "max_length": 0}, "longer than max_length"),
    ],
)
def test_contradicting_settings_are_mistakes(arguments, fault):
    with pytest.raises(Mistake, match=fault) as caught:
        OrderSpace(**arguments, where="orders.yaml")
    assert caught.value.where == "orders.yaml"
    assert caught.value.right


def every_kind(count, max_length, max_group, draws):
    """One space of each kind over `count` tasks."""
    tasks = [f"t{number}" for number in range(count)]
    yield OrderSpace(tasks, max_length=max_length)
    yield OrderSpace(tasks, "permutations", baselines=draws)
    groups = OrderSpace(tasks, "groups", max_group=max_group, max_length=max_length)
    yield groups
    yield OrderSpace(tasks, "explicit", orders=itertools.islice(groups, 0, None, 7))


@given(st.integers(0, 4), st.none() | st.integers(0, 5), st.none() | st.integers(1, 5), st.booleans())
def test_listing_ranking_and_counting_agree(count, max_length, max_group, baselines):
    for space in every_kind(count, max_length, max_group, baselines):
        listed = list(space)
        assert len(set(listed)) == len(listed) == len(space) == space.size
        assert [space[index] for index in range(space.size)] == listed
        assert [space.index(order) for order in listed] == list(range(space.size))
        assert all(order in space for order in listed)
        assert space.naive_stages() == sum(map(len, listed))
        assert space.distinct_stages() == len({prefix for order in listed for prefix in order.prefixes()})
        every = [prefix for order in listed for prefix in order.prefixes()]
        for some in (space.tasks, space.tasks[1:], space.tasks[:1], ("other",)):
            assert space.naive_trained(some) == sum(len({*one.tasks} & {*some}) for one in every)
            assert space.distinct_trained(some) == sum(len({*one.tasks} & {*some}) for one in set(every))
        assert [len(order.tasks) <= 1 for order in listed] == [index < space.baselines for index in range(space.size)]
        counted = {length: sum(len(order) == length for order in listed) for length in map(len, listed)}
        assert {length: number for length, number in space.count_by_length().items() if number} == counted


@given(st.data())
def test_rank_and_unrank_are_inverse_for_fifteen_tasks(data):
    tasks = [f"t{number}" for number in range(15)]
    kind = data.draw(st.sampled_from(["subsets", "permutations", "groups"]))
    space = OrderSpace(tasks, kind)
    index = data.draw(st.integers(0, space.size - 1))
    order = space[index]
    assert order in space
    assert space.index(order) == index
    assert space[index - space.size] == order


def test_sizes_of_fifteen_tasks_and_beyond():
    fifteen = OrderSpace([f"t{number}" for number in range(15)])
    assert fifteen.size == sum(math.perm(15, length) for length in range(16)) == len(fifteen)
    # Weak orders of all 15 tasks: the Fubini number, OEIS A000670.
    groups = OrderSpace(fifteen.tasks, "groups")
    assert (groups.size + 1) // 2 == 230283190977853
    huge = OrderSpace([f"t{number}" for number in range(40)], "groups")
    assert huge and huge.size > 2**63
    assert huge.index(huge[huge.size - 1]) == huge.size - 1
    with pytest.raises(OverflowError):
        len(huge)


def test_indices_outside():
    space = OrderSpace(["a", "b"])
    assert str(space[-1]) == "b>a"
    for index in (5, -6):
        with pytest.raises(IndexError, match="outside a space of 5"):
            space[index]


def test_what_lies_outside():
    space = OrderSpace(["a", "b", "c"], max_length=2)
    for text in ("a>b>c", "a+b", "x"):
        assert Order.parse(text) not in space
    assert "a" not in space
    with pytest.raises(ValueError, match="a\\+b is not in"):
        space.index(Order.parse("a+b"))


@pytest.mark.parametrize(
    ("kind", "ratios"), [("subsets", (2.20, 3.06, 4.02, 5.00)), ("permutations", (1.20, 1.50, 1.85, 2.21))]
)
def test_sharing_ratios_of_the_literature(kind, ratios):
    for count, ratio in zip((3, 4, 5, 6), ratios, strict=True):
        space = OrderSpace([f"t{number}" for number in range(count)], kind, baselines=False)
        assert round(space.naive_stages() / space.distinct_stages(), 2) == ratio


def test_nine_tasks_are_neither_listed_nor_held():
    tracemalloc.start()
    space = OrderSpace(NINE)
    assert space.size == len(space) == 986_410
    assert space.distinct_stages() == 986_409
    assert space.naive_stages() == sum(length * math.perm(9, length) for length in range(10))
    for index in range(0, space.size, 4999):
        assert space.index(space[index]) == index
    longest_first = OrderSpace(NINE[::-1], "permutations", baselines=False)
    assert sum(1 for _ in itertools.islice(longest_first, 20_000)) == 20_000
    assert str(space[space.size - 1]) == ">".join(reversed(NINE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
