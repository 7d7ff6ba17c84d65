"""Random search: the baselines, then candidates drawn uniformly without replacement.

(The file is not called random.py: no module under `search/` may shadow one of the standard library.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from search.prices import Prices
from search.strategies.base import C, Space, Sweep


def draws(size: int, baselines: int, seed: int) -> Iterator[int]:
    """The numbers below `size`: the first `baselines` in turn, then the others drawn uniformly without replacement.

    A lazy Fisher–Yates shuffle: exact, O(1) a draw, and only what was drawn is held.
    """
    generator = random.Random(seed)
    # The numbers form a list 0, 1, 2, … of which only the places that were swapped are written down.
    moved: dict[int, int] = {}
    for place in range(size):
        if place < baselines:
            yield place
            continue
        chosen = generator.randrange(place, size)
        index = moved.pop(chosen, chosen)
        here = moved.pop(place, place)
        if chosen != place:
            moved[chosen] = here
        yield index


class RandomOrders(Sweep[C]):
    """Candidates drawn uniformly without replacement.

    A state is small: the draws are made again when it is restored.
    """

    def __init__(
        self, space: Space[C], *, seed: int = 0, candidates: int | None = None, prices: Prices | None = None
    ) -> None:
        super().__init__(space, seed=seed, candidates=candidates, prices=prices)
        self._rewind()

    def _next_index(self) -> int:
        return next(self._draws)

    def _rewind(self) -> None:
        self._draws = draws(self._space.size, self._space.baselines, self._seed)
