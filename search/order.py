"""Orders of intermediate tasks: notation, enumeration and counting.

An order is a sequence of groups; the tasks of a group are trained together. `mnli>squad+qqp` trains MNLI first, then
SQuAD and QQP jointly; `none` is the empty order. An `OrderSpace` is a lazy sequence of orders: it counts and unranks in
closed form and never lists or holds them, so nine tasks (986,410 ordered subsets) cost no more than three.

One scheme serves all enumerated kinds. With `free` tasks left, groups of at most `widest` tasks and `length` groups to
go, there are G(free, length) = Σ_size C(free, size) · G(free − size, length − 1) sequences; ordered subsets are the
case `widest` = 1, where G is n!/(n − k)!. Groups compare by size first, then by the given order of the tasks, so that
the single tasks are the first orders after the empty one.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self, get_args

from trainables.errors import Mistake, nearest

EMPTY = "none"
"""How the empty order is written."""

Groups = tuple[tuple[str, ...], ...]
Kind = Literal["subsets", "permutations", "groups", "explicit"]

_NOTATION = f"'a>b' trains a, then b; 'a>b+c' trains a, then b and c together; '{EMPTY}' is the empty order"
_NOT_IN_A_NAME = re.compile(r"[>+\s]")


@dataclass(frozen=True)
class Order:
    """A sequence of groups of tasks. The names inside a group are sorted, so equal orders are equal objects.

    `len` is the number of groups (training stages); the empty order is therefore false in a condition. Raises
    `Mistake` for a task named twice, an empty group, or a name that the notation cannot hold.
    """

    groups: Groups = ()

    def __post_init__(self) -> None:
        fault = _fault(self.groups)
        if fault:
            raise Mistake(fault, right=_NOTATION)
        object.__setattr__(self, "groups", tuple(tuple(sorted(group)) for group in self.groups))

    @classmethod
    def parse(cls, text: str, *, known: Iterable[str] | None = None, where: str = "") -> Self:
        """Read the notation; white space around separators is free.

        `known` are the valid task names (None: any); `where` names the flag or file for the message. Raises `Mistake`.
        """
        if text.strip() == EMPTY:
            return cls()
        groups = tuple(tuple(name.strip() for name in group.split("+")) for group in text.split(">"))
        fault = _fault(groups)
        if fault:
            raise Mistake(f"Order '{text}': {fault}", where=where, right=_NOTATION)
        order = cls(groups)
        if known is not None:
            _check_known(order, frozenset(known), where)
        return order

    def __str__(self) -> str:
        return ">".join("+".join(group) for group in self.groups) or EMPTY

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks, group after group."""
        return tuple(itertools.chain.from_iterable(self.groups))

    def prefixes(self) -> tuple[Order, ...]:
        """The nonempty prefixes, shortest first, the order itself last: one for each training stage."""
        return tuple(Order(self.groups[:length]) for length in range(1, len(self.groups) + 1))


class OrderSpace:
    """A lazy sequence of orders over `tasks`; the empty order first, then the single tasks, then longer ones.

    `kind` says which: `subsets`, ordered subsets of the tasks; `permutations`, all tasks in every order, after the
    empty order and, with `baselines`, the single tasks; `groups`, ordered sequences of disjoint groups of at most
    `max_group` tasks (weak orders of subsets); `explicit`, exactly the given `orders`, baselines first, the others as
    listed. `max_length` limits the number of groups; None is no limit. Raises `Mistake` for settings that contradict
    one another, named by `where`.

    `len()` fails past `sys.maxsize`, as Python has it; `size` never does.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        kind: Kind = "subsets",
        *,
        max_length: int | None = None,
        max_group: int | None = None,
        baselines: bool = True,
        orders: Iterable[Order] = (),
        where: str = "",
    ) -> None:
        self.tasks: tuple[str, ...] = tuple(tasks)
        self.kind: Kind = kind
        listed = tuple(orders)
        _check_settings(self.tasks, kind, max_length, max_group, listed, where)
        self._widest = min(len(self.tasks), max_group or len(self.tasks)) if kind == "groups" else 1
        self._listed: dict[Order, int] = {}
        if kind == "explicit":
            ranked = sorted(listed, key=self._baseline_rank)
            self._listed = {order: index for index, order in enumerate(ranked)}
            self._orders: Sequence[Order] = ranked
            self._blocks = dict(sorted(Counter(map(len, ranked)).items()))
        else:
            lengths = self._enumerated_lengths(max_length, singles=baselines)
            self._blocks = {length: _count(len(self.tasks), length, self._widest) for length in lengths}
        self.size: int = sum(self._blocks.values())
        self._baselines = self._count_baselines()

    def __repr__(self) -> str:
        return f"OrderSpace({'+'.join(self.tasks)}, {self.kind}, size={self.size})"

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return self.size > 0  # without this, a condition would call len(), which overflows in very large spaces

    def __getitem__(self, index: int) -> Order:
        """The order at `index`, negative from the end; O(tasks²) for subsets. Raises IndexError."""
        rank = operator.index(index)
        rank += self.size if rank < 0 else 0
        if not 0 <= rank < self.size:
            raise IndexError(f"index {index} lies outside a space of {self.size} orders")
        if self.kind == "explicit":
            return self._orders[rank]
        for length, count in self._blocks.items():
            if rank < count:
                return Order(_unrank(self.tasks, length, self._widest, rank))
            rank -= count
        raise IndexError(index)  # not reached: the blocks add up to the size

    def __iter__(self) -> Iterator[Order]:
        if self.kind == "explicit":
            yield from self._orders
            return
        for length in self._blocks:
            for groups in _sequences(self.tasks, length, self._widest):
                yield Order(groups)

    def __contains__(self, order: object) -> bool:
        if not isinstance(order, Order):
            return False
        if self.kind == "explicit":
            return order in self._listed
        fits = len(order) in self._blocks and all(len(group) <= self._widest for group in order.groups)
        return fits and set(self.tasks).issuperset(order.tasks)

    def index(self, order: Order) -> int:
        """The inverse of `self[i]`. Raises ValueError for an order outside the space."""
        if order not in self:
            raise ValueError(f"order {order} is not in {self!r}")
        if self.kind == "explicit":
            return self._listed[order]
        shorter = sum(count for length, count in self._blocks.items() if length < len(order))
        return shorter + _rank(self.tasks, order.groups, self._widest)

    @property
    def baselines(self) -> int:
        """How many of the first orders are baselines: the empty order and single tasks."""
        return self._baselines

    def _count_baselines(self) -> int:
        if self.kind == "explicit":
            return sum(_is_baseline(order) for order in self._orders)
        return (0 in self._blocks) + (len(self.tasks) if 1 in self._blocks else 0)

    def count_by_length(self) -> dict[int, int]:
        """The number of orders of each length that occurs, in groups."""
        return dict(self._blocks)

    def naive_stages(self) -> int:
        """Training stages if every order were trained by itself: the sum of all lengths."""
        return sum(length * count for length, count in self._blocks.items())

    def distinct_stages(self) -> int:
        """Training stages when orders share their prefixes: the number of distinct nonempty prefixes."""
        if self.kind == "explicit":
            return len({prefix for order in self._orders for prefix in order.prefixes()})
        # Every shorter sequence is a prefix of a longest one or an order itself, in each of the enumerated kinds.
        longest = max(self._blocks)
        return sum(_count(len(self.tasks), length, self._widest) for length in range(1, longest + 1))

    def naive_trained(self, tasks: Collection[str]) -> int:
        """How many of these tasks were trained by the end of a stage, summed over the stages of every order by itself;
        in the enumerated kinds by symmetry, of which `tasks` is no matter."""
        if self.kind == "explicit":
            return sum(_trained(prefix, tasks) for order in self._orders for prefix in order.prefixes())
        found = sum(_summed(len(self.tasks), length, self._widest, True) for length in self._blocks)
        return self._share(found, tasks)

    def distinct_trained(self, tasks: Collection[str]) -> int:
        """The same when orders share their prefixes: summed over the distinct nonempty prefixes."""
        if self.kind == "explicit":
            distinct = {prefix for order in self._orders for prefix in order.prefixes()}
            return sum(_trained(prefix, tasks) for prefix in distinct)
        lengths = range(1, max(self._blocks) + 1)
        return self._share(sum(_summed(len(self.tasks), length, self._widest, False) for length in lengths), tasks)

    def _share(self, trained: int, tasks: Collection[str]) -> int:
        """Every task occurs as often as any other."""
        return trained * len(set(tasks) & set(self.tasks)) // max(1, len(self.tasks))

    def _enumerated_lengths(self, max_length: int | None, *, singles: bool) -> list[int]:
        longest = len(self.tasks)
        if self.kind == "permutations":
            return sorted({0, longest} | ({1} if singles and self.tasks else set()))
        return list(range(min(longest, longest if max_length is None else max_length) + 1))

    def _baseline_rank(self, order: Order) -> tuple[int, int]:
        """Sorts the empty order first, then single tasks as given; a stable sort leaves the others as listed."""
        if not _is_baseline(order):
            return 2, 0
        return (1, self.tasks.index(order.tasks[0])) if order else (0, 0)


def _is_baseline(order: Order) -> bool:
    return len(order.tasks) <= 1


# Messages ------------------------------------------------------------------------------------------------------------


def _fault(groups: Iterable[Collection[str]]) -> str | None:
    """What is wrong with these groups, in words, or None."""
    seen: set[str] = set()
    for group in groups:
        if not group or "" in group:
            return "a group is empty."
        for name in group:
            if name == EMPTY:
                return f"'{EMPTY}' is the empty order and stands alone."
            if _NOT_IN_A_NAME.search(name):
                return f"'{name}' is not a task name: it holds '>', '+' or white space."
            if name in seen:
                return f"task '{name}' is named twice."
            seen.add(name)
    return None


def _check_known(order: Order, known: Collection[str], where: str) -> None:
    for name in order.tasks:
        if name not in known:
            raise Mistake(f"Order '{order}': unknown task '{name}'.", where=where, right=nearest(name, known))


def _check_settings(
    tasks: tuple[str, ...],
    kind: str,
    max_length: int | None,
    max_group: int | None,
    listed: tuple[Order, ...],
    where: str,
) -> None:
    """Raise a `Mistake` for the first setting that is wrong or would have no effect."""
    kinds = get_args(Kind)
    if kind not in kinds:
        raise Mistake(f"Unknown kind of order space '{kind}'.", where=where, right=nearest(kind, kinds))
    fault = _fault((name,) for name in tasks)
    if fault:
        raise Mistake(f"Tasks of the order space: {fault}", where=where, right="a list of different task names")
    if max_length is not None and max_length < 0:
        raise Mistake(f"max_length is {max_length}.", where=where, right="0 or more, or nothing for no limit")
    if max_group is not None and (max_group < 1 or kind != "groups"):
        raise Mistake(
            f"max_group is {max_group} with kind '{kind}'.", where=where, right="1 or more, kind 'groups' only"
        )
    if kind == "permutations" and max_length is not None and max_length < len(tasks):
        what = f"max_length is {max_length}, but a permutation has all {len(tasks)} tasks."
        raise Mistake(what, where=where, right="no max_length, or kind 'subsets'")
    if listed and kind != "explicit":
        raise Mistake(f"Orders are listed, but the kind is '{kind}'.", where=where, right="kind 'explicit'")
    _check_listed(tasks, listed, max_length, where)


def _check_listed(tasks: tuple[str, ...], listed: tuple[Order, ...], max_length: int | None, where: str) -> None:
    seen: set[Order] = set()
    for order in listed:
        _check_known(order, tasks, where)
        if order in seen:
            raise Mistake(f"Order '{order}' is listed twice.", where=where, right="each order once")
        if max_length is not None and len(order) > max_length:
            raise Mistake(
                f"Order '{order}' is longer than max_length {max_length}.", where=where, right="shorter orders"
            )
        seen.add(order)


# Counting, ranking and unranking -------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _count(free: int, length: int, widest: int) -> int:
    """G(free, length): sequences of `length` disjoint groups of at most `widest` out of `free` tasks."""
    if length == 0 or widest == 1:
        return math.perm(free, length)
    sizes = range(1, min(widest, free) + 1)
    return sum(math.comb(free, size) * _count(free - size, length - 1, widest) for size in sizes)


@lru_cache(maxsize=4096)
def _summed(free: int, length: int, widest: int, prefixes: bool) -> int:
    """The tasks of all the sequences that `_count` counts, each sequence's together; those of all its `prefixes`, where
    asked: a first group is in all of them."""
    if length == 0:
        return 0
    times = length if prefixes else 1
    return sum(
        math.comb(free, size)
        * (times * size * _count(free - size, length - 1, widest) + _summed(free - size, length - 1, widest, prefixes))
        for size in range(1, min(widest, free) + 1)
    )


def _trained(order: Order, tasks: Collection[str]) -> int:
    return sum(task in tasks for task in order.tasks)


def _unrank(names: Sequence[str], length: int, widest: int, rank: int) -> Groups:
    """The sequence at `rank` among those of `length` groups."""
    free = list(names)
    groups: list[tuple[str, ...]] = []
    for left in range(length - 1, -1, -1):
        size = 1
        while rank >= (block := math.comb(len(free), size) * _count(len(free) - size, left, widest)):
            rank -= block
            size += 1
        which, rank = divmod(rank, _count(len(free) - size, left, widest))
        positions = _unrank_combination(len(free), size, which)
        groups.append(tuple(free[position] for position in positions))
        for position in reversed(positions):
            del free[position]
    return tuple(groups)


def _rank(names: Sequence[str], groups: Groups, widest: int) -> int:
    """The inverse of `_unrank` among the sequences of as many groups."""
    free, rank = list(names), 0
    for done, group in enumerate(groups, start=1):
        left = len(groups) - done
        for size in range(1, len(group)):
            rank += math.comb(len(free), size) * _count(len(free) - size, left, widest)
        positions = sorted(free.index(name) for name in group)
        rank += _rank_combination(len(free), positions) * _count(len(free) - len(group), left, widest)
        for position in reversed(positions):
            del free[position]
    return rank


def _unrank_combination(total: int, size: int, rank: int) -> list[int]:
    """The `size` positions out of `total` at `rank` in lexicographic order."""
    positions: list[int] = []
    for position in range(total):
        if len(positions) == size:
            break
        starting_here = math.comb(total - position - 1, size - len(positions) - 1)
        if rank < starting_here:
            positions.append(position)
        else:
            rank -= starting_here
    return positions


def _rank_combination(total: int, positions: Sequence[int]) -> int:
    """The inverse of `_unrank_combination`."""
    rank, start = 0, 0
    for done, position in enumerate(positions, start=1):
        rank += sum(math.comb(total - skipped - 1, len(positions) - done) for skipped in range(start, position))
        start = position + 1
    return rank


def _sequences(free: Sequence[str], length: int, widest: int) -> Iterator[Groups]:
    """All sequences of `length` groups, in the order of their ranks; recursion is as deep as an order is long."""
    if length == 0:
        yield ()
        return
    for size in range(1, min(widest, len(free)) + 1):
        if not _count(len(free) - size, length - 1, widest):
            return  # too few tasks would be left for the other groups, and larger groups leave fewer still
        for group in itertools.combinations(free, size):
            rest = [name for name in free if name not in group]
            for tail in _sequences(rest, length - 1, widest):
                yield (group, *tail)
