"""What varies: orders (and control orders) × arms (method, learning rate, prompt length), as a lazy sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace


class Space:
    """All candidates of a study, never listed: an index is enough. The baselines' candidates come first."""

    def __init__(self, orders: OrderSpace, arms: Sequence[Arm], controls: Sequence[Order] = ()) -> None:
        self.orders = orders
        self.controls = tuple(controls)
        self.arms = tuple(arms)

    @property
    def size(self) -> int:
        """The number of candidates."""
        return (self.orders.size + len(self.controls)) * len(self.arms)

    @property
    def baselines(self) -> int:
        """The number of candidates whose order is empty, a single task or a control: the first of the sequence."""
        return (self.orders.baselines + len(self.controls)) * len(self.arms)

    def __getitem__(self, index: int) -> Candidate:
        """The candidate at an index: the order varies slowest, the arms as they are listed."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        order, arm = divmod(index, len(self.arms))
        return Candidate(self._order(order), *self.arms[arm])

    def _order(self, index: int) -> Order:
        after = index - self.orders.baselines
        if 0 <= after < len(self.controls):
            return self.controls[after]
        return self.orders[index if after < 0 else index - len(self.controls)]

    def __iter__(self) -> Iterator[Candidate]:
        return (self[index] for index in range(self.size))
