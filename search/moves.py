"""Small changes of an order that stay inside its space: one move away, a random move, and a cross of two orders.

A move is a function of an order and of a few numbers: which task, which gap, which missing task. To try all numbers is
to list the neighbours; to draw them is to mutate.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence

from search.order import Groups, Kind, Order, OrderSpace

TRIES = 60
"""How often `mutate` and `crossover` draw before they give up drawing."""

Names = Sequence[str]
Move = tuple[Callable[..., Groups | None], tuple[str, ...]]
"""What makes other groups out of (groups, missing tasks, numbers …), None where the numbers fit nothing; and what the
numbers count: see `_counts`."""


def neighbours(order: Order, space: OrderSpace) -> list[Order]:
    """The other orders of the space that are one move away, each once, always in the same sequence.

    Two tasks swapped; one taken out and put elsewhere; a segment reversed; and where the kind of space has orders of
    several lengths, a missing task added at any place, a task dropped, or replaced by a missing one. With groups, also
    two neighbouring groups joined, a group split in any two (2^k - 2 ways for k tasks), a task moved or added into one.
    Permutations lead to the shorter baselines by cutting off the end, and back by filling up.

    By moves every order of an enumerated space is reached from every other; a list (`explicit`) may fall apart.
    """
    found: dict[Order, None] = {}
    missing = _missing(order, space)
    counts = _counts(order, missing)
    for make, numbers in _MOVES[space.kind]:
        for drawn in itertools.product(*(range(counts[number]) for number in numbers)):
            made = _checked(make(order.groups, missing, *drawn), order, space)
            if made is not None:
                found[made] = None
    return list(found)


def mutate(order: Order, space: OrderSpace, generator: random.Random) -> Order | None:
    """A random neighbour: any kind of move alike, then any of its results; None for an order without neighbours.

    What leads out of the space is drawn again, kind and all; neighbours are listed only if that goes on for long.
    """
    missing = _missing(order, space)
    counts = _counts(order, missing)
    possible = [move for move in _MOVES[space.kind] if all(counts[number] for number in move[1])]
    for _ in range(TRIES if possible else 0):
        make, numbers = generator.choice(possible)
        drawn = (generator.randrange(counts[number]) for number in numbers)
        made = _checked(make(order.groups, missing, *drawn), order, space)
        if made is not None:
            return made
    listed = neighbours(order, space)
    return generator.choice(listed) if listed else None


def crossover(a: Order, b: Order, space: OrderSpace, generator: random.Random) -> Order | None:
    """Order crossover (OX; Davis, IJCAI 1985) of two orders that may differ in tasks, length and groups.

    A segment of `a` stays where it is; the places before and after it are filled with what `b` has besides, in the
    sequence of `b`. The places number as in `a` or as in `b`, or any number between; if `b` offers too little, some
    stay empty. Places hold groups: a task that the segment has is taken out of `b`'s groups, empty groups vanish.

    None if for many segments nothing comes of it but the parents, or nothing that lies in the space.
    """
    for _ in range(TRIES if a and b else 0):
        first, last = sorted((generator.randrange(len(a)), generator.randrange(len(a))))
        places = generator.randint(*sorted((len(a), len(b))))
        segment = a.groups[first : last + 1]
        taken = set(itertools.chain.from_iterable(segment))
        others = _without(b.groups, taken)[: max(0, places - len(segment))]
        child = Order((*others[:first], *segment, *others[first:]))
        if child in space and child not in (a, b):
            return child
    return None


def _missing(order: Order, space: OrderSpace) -> list[str]:
    present = set(order.tasks)
    return [name for name in space.tasks if name not in present]


def _checked(groups: Groups | None, order: Order, space: OrderSpace) -> Order | None:
    """The order of these groups if it is another one of the space."""
    if groups is None:
        return None
    made = Order(groups)
    return made if made != order and made in space else None


def _counts(order: Order, missing: Names) -> Mapping[str, int]:
    """How many there are of what a move's numbers stand for."""
    largest = max(map(len, order.groups), default=0)
    return {
        "task": len(order.tasks),
        "missing": len(missing),
        "group": len(order),
        "gap": len(order) + 1,
        "part": 2**largest if largest > 1 else 0,  # a set of a group's tasks, as bits
    }


# Moves ---------------------------------------------------------------------------------------------------------------


def _swap(groups: Groups, missing: Names, one: int, other: int) -> Groups | None:
    tasks = _tasks(groups)
    return _renamed(groups, {tasks[one]: tasks[other], tasks[other]: tasks[one]}) if one < other else None


def _insert(groups: Groups, missing: Names, task: int, gap: int) -> Groups | None:
    name = _tasks(groups)[task]
    rest = _without(groups, {name})
    return (*rest[:gap], (name,), *rest[gap:]) if gap <= len(rest) else None


def _reverse(groups: Groups, missing: Names, first: int, last: int) -> Groups | None:
    if first >= last:
        return None
    return (*groups[:first], *reversed(groups[first : last + 1]), *groups[last + 1 :])


def _add(groups: Groups, missing: Names, new: int, gap: int) -> Groups:
    return (*groups[:gap], (missing[new],), *groups[gap:])


def _drop(groups: Groups, missing: Names, task: int) -> Groups:
    return _without(groups, {_tasks(groups)[task]})


def _replace(groups: Groups, missing: Names, task: int, new: int) -> Groups:
    return _renamed(groups, {_tasks(groups)[task]: missing[new]})


def _join(groups: Groups, missing: Names, group: int) -> Groups | None:
    if group + 1 == len(groups):
        return None
    return (*groups[:group], groups[group] + groups[group + 1], *groups[group + 2 :])


def _split(groups: Groups, missing: Names, group: int, part: int) -> Groups | None:
    before = tuple(name for bit, name in enumerate(groups[group]) if part >> bit & 1)
    after = tuple(name for bit, name in enumerate(groups[group]) if not part >> bit & 1)
    return (*groups[:group], before, after, *groups[group + 1 :]) if before and after else None


def _move_into(groups: Groups, missing: Names, task: int, group: int) -> Groups | None:
    name = _tasks(groups)[task]
    rest = _without(groups, {name})
    return _add_into(rest, (name,), 0, group) if group < len(rest) else None


def _add_into(groups: Groups, missing: Names, new: int, group: int) -> Groups:
    return (*groups[:group], (*groups[group], missing[new]), *groups[group + 1 :])


def _cut(groups: Groups, missing: Names, kept: int) -> Groups:
    return groups[:kept]


def _fill(groups: Groups, missing: Names, first: int) -> Groups:
    return (*groups, *((name,) for name in (*missing[first:], *missing[:first])))


_REPLACE: Move = (_replace, ("task", "missing"))
_COMMON: tuple[Move, ...] = (
    (_swap, ("task", "task")), (_insert, ("task", "gap")), (_reverse, ("group", "group")), _REPLACE,
)  # fmt: skip
_CHOOSING: tuple[Move, ...] = ((_add, ("missing", "gap")), (_drop, ("task",)))
_GROUPING: tuple[Move, ...] = (
    (_join, ("group",)), (_split, ("group", "part")),
    (_move_into, ("task", "group")), (_add_into, ("missing", "group")),
)  # fmt: skip
_FILLING: tuple[Move, ...] = ((_cut, ("group",)), (_fill, ("missing",)))
_MOVES: dict[Kind, tuple[Move, ...]] = {
    "permutations": _COMMON + _FILLING,
    "subsets": _COMMON + _CHOOSING,
    "groups": _COMMON + _CHOOSING + _GROUPING,
    "explicit": _COMMON + _CHOOSING + _GROUPING + _FILLING,
}


def _tasks(groups: Groups) -> Names:
    return tuple(itertools.chain.from_iterable(groups))


def _renamed(groups: Groups, names: Mapping[str, str]) -> Groups:
    return tuple(tuple(names.get(name, name) for name in group) for group in groups)


def _without(groups: Groups, names: set[str]) -> Groups:
    """The groups without some tasks; empty groups vanish."""
    rest = (tuple(name for name in group if name not in names) for group in groups)
    return tuple(group for group in rest if group)
