"""What a candidate costs given what is already trained: the marginal price of its stages in the tree.

Prices are estimates made before anything runs, from budgets alone: measured seconds would let a machine's load decide
what a strategy proposes. A stage that exists, is under way or was proposed before costs nothing more.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from search.candidate import Arm, Candidate
from search.order import Groups, Order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Prices(Protocol):
    """What stages cost, in any unit, for one root seed."""

    def trunk(self, arm: Arm) -> Hashable:
        """What two arms must have in common for their orders' stages to be the same; None where nothing is trained."""

    def train(self, group: tuple[str, ...], arm: Arm) -> float:
        """An intermediate stage that trains this group."""

    def leaf(self, arm: Arm) -> float:
        """What follows every order: the targets' own training and scoring."""

    def stored(self) -> Iterable[tuple[Hashable, Groups]]:
        """The prefixes, each with its trunk, whose stages were there before the study."""


class UnitPrices:
    """Every stage costs one unit, what follows an order `leaf` units; nothing is stored."""

    def __init__(self, leaf: float = 1.0) -> None:
        self._leaf = leaf

    def trunk(self, arm: Arm) -> Hashable:
        """All arms differ."""
        return arm

    def train(self, group: tuple[str, ...], arm: Arm) -> float:
        """One unit."""
        return 1.0

    def leaf(self, arm: Arm) -> float:
        """The same for all."""
        return self._leaf

    def stored(self) -> Iterable[tuple[Hashable, Groups]]:
        """Nothing is."""
        return ()


class Ledger:
    """What has been bought: the prefixes that exist or are under way, and the candidates paid for."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self.spent = 0.0
        self._candidates: set[tuple[Arm, Order]] = set()

    @cached_property
    def prefixes(self) -> set[tuple[Hashable, Groups]]:
        """Prefixes that need not be paid for, each with its trunk; those stored are asked for at first need."""
        return set(self.prices.stored())

    def marginal(self, candidate: Candidate) -> float:
        """The price of what the candidate needs and nobody has bought; what a bought prefix hangs on is not needed."""
        arm, groups = candidate.arm, candidate.order.groups
        if (arm, candidate.order) in self._candidates:
            return 0.0
        trunk, total = self.prices.trunk(arm), self.prices.leaf(arm)
        for length in range(len(groups), 0, -1):
            if trunk is None or (trunk, groups[:length]) in self.prefixes:
                break
            total += self.prices.train(groups[length - 1], arm)
        return total

    def buy(self, candidate: Candidate) -> float:
        """Add a candidate's stages; their marginal price."""
        price, arm, groups = self.marginal(candidate), candidate.arm, candidate.order.groups
        trunk = self.prices.trunk(arm)
        if trunk is not None:
            self.prefixes.update((trunk, groups[:length]) for length in range(1, len(groups) + 1))
        self._candidates.add((arm, candidate.order))
        self.spent += price
        return price

    def naive(self, candidates: Iterable[Candidate]) -> float:
        """What these would cost if each trained all of its own stages."""
        return sum(
            self.prices.leaf(one.arm) + sum(self.prices.train(group, one.arm) for group in one.order.groups)
            for one in candidates
        )


class PriceTable:
    """The marginal prices of many candidates at once, kept up with a ledger; O(prefixes) a look."""

    def __init__(self, ledger: Ledger, candidates: Sequence[Candidate]) -> None:
        self._ledger, prices = ledger, ledger.prices
        self._nodes: dict[tuple[Hashable, Groups], int] = {}
        parents, costs, depths = [-1], [0.0], [0]  # node 0: nothing is trained
        ends = []
        for candidate in candidates:
            arm, groups, node = candidate.arm, candidate.order.groups, 0
            trunk = prices.trunk(arm)
            for length in range(1, len(groups) + 1 if trunk is not None else 0):
                key = (trunk, groups[:length])
                if key not in self._nodes:
                    self._nodes[key] = len(parents)
                    parents.append(node)
                    costs.append(prices.train(groups[length - 1], arm))
                    depths.append(length)
                node = self._nodes[key]
            ends.append(node)
        import numpy as np

        self._parents, self._costs, self._ends = np.array(parents), np.array(costs), np.array(ends)
        self._levels = [np.flatnonzero(np.array(depths) == depth) for depth in range(1, max(depths) + 1)]
        self._leaves = np.array([prices.leaf(candidate.arm) for candidate in candidates])

    def marginal(self, besides: Iterable[Candidate] = ()) -> NDArray[np.float64]:
        """(candidates,): prices now, or after buying some `besides`. Candidates that were bought are priced as if only
        their orders' stages had been."""
        import numpy as np

        have = np.zeros(len(self._parents), dtype=bool)
        have[[self._nodes[key] for key in self._ledger.prefixes if key in self._nodes]] = True
        for candidate in besides:
            trunk, groups = self._ledger.prices.trunk(candidate.arm), candidate.order.groups
            keys = ((trunk, groups[:length]) for length in range(1, len(groups) + 1))
            have[[self._nodes[key] for key in keys if key in self._nodes]] = True
        total = np.zeros(len(self._parents))
        for level in self._levels:
            total[level] = np.where(have[level], 0.0, self._costs[level] + total[self._parents[level]])
        found: NDArray[np.float64] = total[self._ends] + self._leaves
        return found
