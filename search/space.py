"""What varies: orders (and control orders) × arms (method, learning rate, prompt length), as a lazy sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace


class Space:
    """All candidates of a study, never listed: an index is enough.

    First come the baselines and the orders named to come first, each with the first arm, then with the other arms, then
    all other orders with every arm: the order varies slowest, the arms as they are listed.
    """

    def __init__(
        self, orders: OrderSpace, arms: Sequence[Arm], controls: Sequence[Order] = (), first: Sequence[Order] = ()
    ) -> None:
        """`first`: orders of `orders`, no baselines, each once."""
        self._first = tuple(first)
        self._moved = sorted(orders.index(order) + len(controls) for order in first)  # where they would stand
        self.orders = orders
        self.controls = tuple(controls)
        self.arms = tuple(arms)
        self._arm_index = {arm: index for index, arm in enumerate(self.arms)}

    @property
    def size(self) -> int:
        """The number of candidates."""
        return (self.orders.size + len(self.controls)) * len(self.arms)

    @property
    def baselines(self) -> int:
        """The number of candidates that every strategy begins with: an empty order, a single task, a control or what is
        named to come first, with the first arm."""
        return self._plain if self.arms else 0

    def __getitem__(self, index: int) -> Candidate:
        """The candidate at an index. IndexError outside of 0 … size − 1."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        arms, others = len(self.arms), len(self.arms) - 1
        if index < self._plain:
            order, arm = index, 0
        elif index < self._plain * arms:
            order, arm = divmod(index - self._plain, others)
            arm += 1
        else:
            order, arm = divmod(index, arms)
        return Candidate(self._order(order), *self.arms[arm])

    def index(self, candidate: Candidate) -> int:
        """The inverse of `self[i]`, at whatever budget. Raises ValueError for a candidate outside the space."""
        arms, others = len(self.arms), len(self.arms) - 1
        arm = self._arm_index.get(candidate.arm)
        if arm is None:
            raise ValueError(f"candidate {candidate.name} is not in the space")
        order = self._order_index(candidate.order)
        if order >= self._plain:
            return order * arms + arm
        return order if arm == 0 else self._plain + order * others + arm - 1

    def __contains__(self, candidate: object) -> bool:
        if not isinstance(candidate, Candidate) or candidate.arm not in self._arm_index:
            return False
        return candidate.order in self.orders or candidate.order in self.controls

    @property
    def _plain(self) -> int:
        """Orders that come first."""
        return self.orders.baselines + len(self.controls) + len(self._first)

    def _order(self, index: int) -> Order:
        begin = self.orders.baselines
        after = index - begin
        if 0 <= after < len(self.controls):
            return self.controls[after]
        if after < 0:
            return self.orders[index]
        if index < self._plain:
            return self._first[after - len(self.controls)]
        index -= len(self._first)
        for moved in self._moved:
            index += moved <= index
        return self.orders[index - len(self.controls)]

    def _order_index(self, order: Order) -> int:
        """The inverse of `_order`."""
        if order in self.controls:
            return self.orders.baselines + self.controls.index(order)
        if order in self._first:
            return self._plain - len(self._first) + self._first.index(order)
        index = self.orders.index(order)
        if index < self.orders.baselines:
            return index
        index += len(self.controls)
        return index + len(self._first) - sum(moved < index for moved in self._moved)

    def __iter__(self) -> Iterator[Candidate]:
        return (self[index] for index in range(self.size))
