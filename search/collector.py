"""The store's budget: weights that nothing waits for are removed when all of a study's weights are over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.tree import StageTree
    from trainables.store import Store

ENOUGH = 0.9
"""Down to this share of the budget weights are removed at once, so that it is not done after every stage."""


class Collector:
    """Keeps account of the store's bytes; removes weights of train stages, their records' figures stay.

    Only weights of this study's own stages are removed, and none that a stage still to be run starts from. Where those
    alone are over the budget, it is exceeded: `pressed` then has the tree finish what frees weights first.
    """

    def __init__(
        self, store: Store, tree: StageTree, budget: int | None, sizes: Callable[[], Mapping[str, int]]
    ) -> None:
        """`sizes` gives the bytes of all stages in the store by key; it is asked once, if there is a budget."""
        self._store, self._tree, self._budget = store, tree, budget
        self._sizes = dict(sizes()) if budget is not None else {}
        self.bytes = sum(self._sizes.values())
        self.most = self.bytes
        self.collected = 0

    @property
    def pressed(self) -> bool:
        """Whether the budget is nearly spent."""
        return self._budget is not None and self.bytes > ENOUGH * self._budget

    def made(self, key: str, size: int) -> None:
        """A stage of so many bytes was stored."""
        self.bytes += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        self.most = max(self.most, self.bytes)

    def collect(self) -> dict[str, int]:
        """Remove what may go if the budget is exceeded; the bytes freed by key."""
        freed: dict[str, int] = {}
        if self._budget is None or self.bytes <= self._budget:
            return freed
        for key in self._tree.spare():
            if self.bytes <= ENOUGH * self._budget:
                break
            freed[key] = self._store.collect(key)
            self.collected += 1
            self._tree.forget(key)
            self.bytes -= freed[key]
            self._sizes[key] = max(0, self._sizes.get(key, 0) - freed[key])
        return freed
