"""Orders and arms as ordinary parameters and back, for methods that know numbers and choices alone.

A `Domain` says what a parameter may be: UNIT, a number from 0 to 1; a range of whole numbers; a tuple of choices, which
have no order. Decoding is total, and the inverse of encoding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from search.candidate import Arm
from search.order import Order, OrderSpace

if TYPE_CHECKING:
    import numpy as np

Domain = Literal["unit"] | range | tuple[str, ...]
UNIT: Literal["unit"] = "unit"


class OrderCode(ABC):
    """An order as a ranking of all tasks, the absent ones last, `length` and `join`s. Subclasses say how to rank.

    `length` says how many of the first tasks are trained; it is the place in the list of numbers that the space has.
    `join 2` says whether the second and the third of them are trained together. Parameters that can have one value only
    are left out. Where a decoded group is too large, its next task begins another group, and where there are too many
    groups, the last one takes what fits and the rest is left out; in an explicit space what is not listed becomes the
    listed order with the nearest code.
    """

    def __init__(self, space: OrderSpace) -> None:
        self._space, self._tasks = space, space.tasks
        self._longest = max(space.count_by_length(), default=0)
        self._widest = _widest(space)
        self._counts = _counts(space, self._longest * self._widest)
        self.domains: dict[str, Domain] = self._rank_domains()
        if len(self._counts) > 1:
            self.domains["length"] = range(len(self._counts))
        if self._widest > 1:
            self.domains |= {f"join {place}": range(2) for place in range(1, len(self._tasks))}

    def encode(self, order: Order) -> dict[str, Any]:
        """The parameters of an order of the space."""
        ranked = order.tasks
        values = self._rank_values([*ranked, *(task for task in self._tasks if task not in ranked)])
        if len(self._counts) > 1:
            values["length"] = self._counts.index(len(ranked))
        if self._widest > 1:
            joined = [place > 0 for group in order.groups for place in range(len(group))]
            joined += [False] * (len(self._tasks) - len(joined))
            values |= {f"join {place}": int(joined[place]) for place in range(1, len(self._tasks))}
        return values

    def decode(self, values: Mapping[str, Any]) -> Order:
        """The order of these parameters."""
        ranked = self._ranked(values)[: self._counts[values.get("length", 0)]]
        groups: list[list[str]] = []
        for place, task in enumerate(ranked):
            room = bool(groups) and len(groups[-1]) < self._widest
            if room and (values.get(f"join {place}") or len(groups) == self._longest):
                groups[-1].append(task)
            elif len(groups) < self._longest:
                groups.append([task])
        order = Order(tuple(map(tuple, groups)))
        return order if order in self._space else self._nearest(values)

    @abstractmethod
    def _rank_domains(self) -> dict[str, Domain]:
        """The parameters of a ranking of all tasks."""

    @abstractmethod
    def _rank_values(self, ranked: Sequence[str]) -> dict[str, Any]:
        """The parameters of this ranking."""

    @abstractmethod
    def _ranked(self, values: Mapping[str, Any]) -> list[str]:
        """The inverse of `_rank_values`."""

    def _nearest(self, values: Mapping[str, Any]) -> Order:
        import numpy as np

        distances = np.abs(self._listed - self._point(values)).sum(axis=1)
        return self._space[int(distances.argmin())]

    @cached_property
    def _listed(self) -> np.ndarray[Any, Any]:
        """The points of all orders of an explicit space, (orders, parameters)."""
        import numpy as np

        return np.array([self._point(self.encode(order)) for order in self._space])

    def _point(self, values: Mapping[str, Any]) -> list[float]:
        """Parameters scaled to [0, 1]."""
        widths = {name: domain == UNIT or len(domain) - 1 for name, domain in self.domains.items()}
        return [values[name] / width for name, width in widths.items()]


class RandomKeys(OrderCode):
    """A number for each task, which are trained from the lowest to the highest (Bean, ORSA J. Comput. 6(2), 1994)."""

    def _rank_domains(self) -> dict[str, Domain]:
        return {f"key {task}": UNIT for task in self._tasks}

    def _rank_values(self, ranked: Sequence[str]) -> dict[str, Any]:
        return {f"key {task}": (place + 0.5) / len(ranked) for place, task in enumerate(ranked)}

    def _ranked(self, values: Mapping[str, Any]) -> list[str]:
        return sorted(self._tasks, key=lambda task: values[f"key {task}"])


class LehmerCode(OrderCode):
    """For each place which of the tasks that are left is trained there: digit i is below n − i + 1."""

    def _rank_domains(self) -> dict[str, Domain]:
        return {f"digit {place}": range(len(self._tasks) - place + 1) for place in range(1, len(self._tasks))}

    def _rank_values(self, ranked: Sequence[str]) -> dict[str, Any]:
        left, digits = list(self._tasks), []
        for task in ranked:
            digits.append(left.index(task))
            left.remove(task)
        return {f"digit {place}": digit for place, digit in enumerate(digits[:-1], start=1)}

    def _ranked(self, values: Mapping[str, Any]) -> list[str]:
        left = list(self._tasks)
        return [left.pop(values.get(f"digit {place}", 0)) for place in range(1, len(self._tasks) + 1)]


CODES: dict[str, type[OrderCode]] = {"keys": RandomKeys, "lehmer": LehmerCode}
"""Every code of orders by its name."""


class ArmCode:
    """An arm as its method, and the ranks of its learning rate and prompt length among those listed for the method.

    Ranks mean the same for methods whose learning rates lie orders of magnitude apart. What is not listed is decoded as
    the method's arm with the nearest ranks.
    """

    def __init__(self, arms: Sequence[Arm]) -> None:
        self._ranks: dict[Arm, tuple[int, int]] = {}
        methods = tuple(dict.fromkeys(arm.method for arm in arms))
        for method in methods:
            own = [arm for arm in arms if arm.method == method]
            rates = sorted({arm.learning_rate for arm in own})
            lengths = sorted({_length(arm) for arm in own})
            self._ranks |= {arm: (rates.index(arm.learning_rate), lengths.index(_length(arm))) for arm in own}
        rates_and_lengths = zip(*self._ranks.values(), strict=True)
        ranges = [range(max(ranks) + 1) for ranks in rates_and_lengths]
        domains: dict[str, Domain] = {"method": methods, **dict(zip(_RANKED, ranges, strict=True))}
        self.domains = {name: domain for name, domain in domains.items() if len(domain) > 1}

    def encode(self, arm: Arm) -> dict[str, Any]:
        """The parameters of one of the arms."""
        values = {"method": arm.method, **dict(zip(_RANKED, self._ranks[arm], strict=True))}
        return {name: values[name] for name in self.domains}

    def decode(self, values: Mapping[str, Any]) -> Arm:
        """The arm of these parameters."""
        wanted = [values.get(name, 0) for name in _RANKED]
        own = [arm for arm in self._ranks if arm.method == values.get("method", arm.method)]
        return min(own, key=lambda arm: sum(abs(a - b) for a, b in zip(wanted, self._ranks[arm], strict=True)))


_RANKED = ("learning rate", "prompt length")


def _length(arm: Arm) -> int:
    return arm.prompt_length or 0


def _widest(space: OrderSpace) -> int:
    """The number of tasks that may be trained together."""
    if space.kind == "explicit":
        return max((len(group) for order in space for group in order.groups), default=1)
    sizes = range(2, len(space.tasks) + 1)
    return max((size for size in sizes if Order((space.tasks[:size],)) in space), default=1)


def _counts(space: OrderSpace, most: int) -> list[int]:
    """How many tasks an order may have in all, lowest first."""
    if space.kind == "explicit":
        return sorted({len(order.tasks) for order in space})
    if space.kind == "permutations":
        return sorted(space.count_by_length())
    return list(range(min(most, len(space.tasks)) + 1))
