"""Moves on orders: what is one move away, what a draw gives, what two orders have in common with their child."""

from __future__ import annotations

import random

import pytest

import search.moves
from search.moves import crossover, mutate, neighbours
from search.order import Order, OrderSpace


def parse(*texts):
    return [Order.parse(text) for text in texts]


def full(tasks):
    """All permutations of the tasks as a list."""
    return [order for order in OrderSpace(tasks, "permutations") if len(order) == len(tasks)]


SPACES = {
    "subsets": OrderSpace("abcd"),
    "short subsets": OrderSpace("abcd", max_length=2),
    "permutations": OrderSpace("abcd", "permutations"),
    "permutations alone": OrderSpace("abc", "permutations", baselines=False),
    "groups": OrderSpace("abcd", "groups"),
    "small groups": OrderSpace("abcde", "groups", max_length=2, max_group=2),
    "one group": OrderSpace("abc", "groups", max_length=1),
    "listed": OrderSpace("abcd", "explicit", orders=full("abcd")),
    "one task": OrderSpace("a", "permutations"),
}


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


class Scripted(random.Random):
    """Gives the numbers it is told to."""

    def __init__(self, *numbers):
        super().__init__(0)
        self.numbers = list(numbers)

    def randrange(self, *_):
        return self.numbers.pop(0)

    def randint(self, *_):
        return self.numbers.pop(0)


def test_neighbours_are_other_orders_of_the_space_each_once(space):
    for order in space:
        found = neighbours(order, space)
        assert len(found) == len(set(found))
        assert order not in found
        assert all(other in space for other in found)
        assert found == neighbours(order, space)


def test_by_moves_every_order_is_reached_from_every_other(space):
    ahead = {order: neighbours(order, space) for order in space}
    for start in space:
        reached, waiting = {start}, [start]
        while waiting:
            new = set(ahead[waiting.pop()]) - reached
            reached |= new
            waiting += new
        assert reached == set(space)


def test_by_mutation_every_order_is_reached(space):
    generator = random.Random("reach")
    order, seen = space[0], set()
    for _ in range(150 * space.size):
        order = mutate(order, space, generator)
        seen.add(order)
    assert seen == set(space)


@pytest.mark.parametrize("name", ["subsets", "short subsets", "groups", "small groups", "one group", "listed"])
def test_a_move_can_be_taken_back(name):
    ahead = {order: neighbours(order, SPACES[name]) for order in SPACES[name]}
    assert all(order in ahead[other] for order in ahead for other in ahead[order])


def test_neighbours_of_a_subset():
    expected = parse("b>a", "c>a>b", "a>c>b", "a>b>c", "a", "b", "c>b", "a>c")
    assert set(neighbours(Order.parse("a>b"), OrderSpace("abc"))) == set(expected)
    assert set(neighbours(Order(), OrderSpace("abc"))) == set(parse("a", "b", "c"))


def test_neighbours_of_a_group():
    expected = parse("a>b", "b>a", "c>a+b", "a+b>c", "a+b+c", "a", "b", "b+c", "a+c")
    assert set(neighbours(Order.parse("a+b"), OrderSpace("abc", "groups"))) == set(expected)
    moved = neighbours(Order.parse("a+b>c+d>e"), OrderSpace("abcde", "groups"))
    assert set(parse("b>a+c+d>e", "c+d>a+b>e", "a+b+c+d>e", "a+b>c>d>e", "a+c>b+d>e", "a+b>c+d+e")) <= set(moved)


def test_neighbours_of_a_permutation():
    reversals = set(parse("b>a>c>d", "c>b>a>d", "d>c>b>a", "a>c>b>d", "a>d>c>b", "a>b>d>c"))
    inserts = set(parse("b>c>a>d", "b>c>d>a", "a>c>d>b", "c>a>b>d", "d>a>b>c", "a>d>b>c"))
    swap = set(parse("d>b>c>a"))
    listed = OrderSpace("abcd", "explicit", orders=full("abcd"))
    assert set(neighbours(Order.parse("a>b>c>d"), listed)) == reversals | inserts | swap


def test_a_list_may_leave_an_order_alone():
    space = OrderSpace("abcdef", "explicit", orders=parse("a>b>c", "d>e>f", "f>e>d"))
    alone, reversible, generator = *parse("a>b>c", "d>e>f"), random.Random(1)
    assert neighbours(alone, space) == []
    assert mutate(alone, space, generator) is None
    assert neighbours(reversible, space) == parse("f>e>d")
    assert mutate(reversible, space, generator) == Order.parse("f>e>d")


def test_a_mutant_is_a_neighbour_and_every_neighbour_comes(space):
    for index in {0, space.size // 2, space.size - 1}:
        order = space[index]
        generator = random.Random(index)
        drawn = {mutate(order, space, generator) for _ in range(1500)}
        assert drawn == set(neighbours(order, space))


def test_mutation_draws_without_listing(monkeypatch):
    monkeypatch.setattr(search.moves, "neighbours", None)  # it would list a million splits
    tasks = [f"t{number}" for number in range(20)]
    space = OrderSpace(tasks, "groups")
    order = Order((tuple(tasks),))
    drawn = [mutate(order, space, random.Random(seed)) for seed in range(50)]
    assert all(one in space for one in drawn)
    assert {len(one) for one in drawn} == {1, 2}  # dropped, or split and inserted


def test_order_crossover_of_permutations():
    a, b = parse("a>b>c>d>e", "e>d>c>b>a")
    child = crossover(a, b, OrderSpace("abcde", "permutations"), Scripted(2, 1, 5))  # keeps b>c in the second place
    assert child == Order.parse("e>b>c>d>a")


def test_crossover_of_orders_that_differ_in_length():
    a, b = parse("a>b>c", "d>e")
    assert crossover(a, b, OrderSpace("abcde"), Scripted(1, 1, 3)) == Order.parse("d>b>e")
    assert crossover(a, b, OrderSpace("abcde"), Scripted(1, 1, 2)) == Order.parse("d>b")
    assert crossover(b, a, OrderSpace("abcde"), Scripted(0, 1, 3)) == Order.parse("d>e>a")


def test_crossover_of_groups():
    a, b = parse("a+b>c", "b+d>a>e")
    assert crossover(a, b, OrderSpace("abcde", "groups"), Scripted(0, 0, 3)) == Order.parse("a+b>d>e")


def test_a_child_has_its_parents_tasks_and_lies_in_the_space(space):
    generator = random.Random("parents")
    children = 0
    for _ in range(300):
        a, b = space[generator.randrange(space.size)], space[generator.randrange(space.size)]
        child = crossover(a, b, space, generator)
        if child is None:
            continue
        children += 1
        assert child in space
        assert child not in (a, b)
        assert set(child.tasks) <= {*a.tasks, *b.tasks}
        assert len(child) <= max(len(a), len(b))
    assert children > 50 or space.size < 20


def test_nothing_comes_of_empty_or_equal_parents():
    space, generator = OrderSpace("abc"), random.Random(1)
    pair = Order.parse("a>b")
    assert crossover(Order(), pair, space, generator) is None
    assert crossover(pair, Order(), space, generator) is None
    assert crossover(pair, pair, space, generator) is None


def test_equal_generators_give_equal_draws(space):
    def drawn():
        generator = random.Random("equal")
        pairs = [(space[index], space[-1 - index]) for index in range(space.size)]
        return [(mutate(a, space, generator), crossover(a, b, space, generator)) for a, b in pairs]

    assert drawn() == drawn()
