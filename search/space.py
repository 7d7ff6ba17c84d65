"""What varies: orders (and control orders) × methods × learning rates, as a lazy sequence of candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.candidate import Candidate
from search.order import Order, OrderSpace


class Space:
    """All candidates of a study, never listed: an index is enough. The baselines' candidates come first."""

    def __init__(
        self,
        orders: OrderSpace,
        methods: Sequence[str],
        learning_rates: Sequence[float],
        controls: Sequence[Order] = (),
    ) -> None:
        self.orders = orders
        self.controls = tuple(controls)
        self.methods = tuple(methods)
        self.learning_rates = tuple(learning_rates)
        self._each = len(self.methods) * len(self.learning_rates)

    @property
    def size(self) -> int:
        """The number of candidates."""
        return (self.orders.size + len(self.controls)) * self._each

    @property
    def baselines(self) -> int:
        """The number of candidates whose order is empty, a single task or a control: the first of the sequence."""
        return (self.orders.baselines + len(self.controls)) * self._each

    def __getitem__(self, index: int) -> Candidate:
        """The candidate at an index: the order varies slowest, the learning rate fastest."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        order, rest = divmod(index, self._each)
        method, rate = divmod(rest, len(self.learning_rates))
        return Candidate(self._order(order), self.methods[method], self.learning_rates[rate])

    def _order(self, index: int) -> Order:
        after = index - self.orders.baselines
        if 0 <= after < len(self.controls):
            return self.controls[after]
        return self.orders[index if after < 0 else index - len(self.controls)]

    def __iter__(self) -> Iterator[Candidate]:
        return (self[index] for index in range(self.size))
