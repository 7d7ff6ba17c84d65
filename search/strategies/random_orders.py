"""Random search: the baselines, then candidates drawn uniformly without replacement.

(The file is not called random.py: no module under `search/` may shadow one of the standard library.)
"""

from __future__ import annotations

import random

from search.strategies.base import C, Space, Sweep


class RandomOrders(Sweep[C]):
    """Draws indices by a lazy Fisher–Yates shuffle: exact, O(1) a draw, and only what was drawn is held.

    A state is therefore small too: the draws are made again from the seed when it is restored.
    """

    def __init__(self, space: Space[C], *, seed: int = 0, candidates: int | None = None) -> None:
        super().__init__(space, seed=seed, candidates=candidates)
        self._rewind()

    def _next_index(self) -> int:
        place = self._proposed
        if place < self._space.baselines:
            return place
        # The indices form a list 0, 1, 2, … of which only the places that were swapped are written down.
        chosen = self._generator.randrange(place, self._space.size)
        index = self._moved.pop(chosen, chosen)
        here = self._moved.pop(place, place)
        if chosen != place:
            self._moved[chosen] = here
        return index

    def _rewind(self) -> None:
        self._generator = random.Random(self._seed)
        self._moved: dict[int, int] = {}
