"""Every candidate of the space, in the space's order: the baselines come first because the space has them first."""

from __future__ import annotations

from search.strategies.base import C, Sweep


class Exhaustive(Sweep[C]):
    """The whole space, in its order.

    Nothing is random; `seed` is there because all strategies are made alike.
    """

    def _next_index(self) -> int:
        return self._proposed

    def _rewind(self) -> None:
        pass  # the number of proposals is all there is
