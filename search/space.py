"""What varies: orders (and control orders) × arms (method, learning rate, prompt length), as a lazy sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace


class Space:
    """All candidates of a study, never listed: an index is enough.

    First come the baselines, each with the first arm, then with the other arms, then all other orders with every arm:
    the order varies slowest, the arms as they are listed.
    """

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
        """The number of candidates that every strategy begins with: an empty order, a single task or a control, with
        the first arm."""
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

    @property
    def _plain(self) -> int:
        """Orders that are empty, a single task or a control."""
        return self.orders.baselines + len(self.controls)

    def _order(self, index: int) -> Order:
        after = index - self.orders.baselines
        if 0 <= after < len(self.controls):
            return self.controls[after]
        return self.orders[index if after < 0 else index - len(self.controls)]

    def __iter__(self) -> Iterator[Candidate]:
        return (self[index] for index in range(self.size))
