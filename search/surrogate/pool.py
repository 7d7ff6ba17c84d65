"""The candidates that an acquisition is maximised over: all of a space, or of a large one those near the best.

Up to `EXACT` candidates are all looked at. Beyond, the pool begins with random candidates and the best told ones, and
grows by the neighbours of its best, round after round (local search).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from search.candidate import Candidate
from search.moves import neighbours
from search.space import Space
from search.strategies.random_orders import draws
from search.surrogate.features import Features, Floats

EXACT = 50_000
"""Up to so many candidates all are looked at."""

RANDOM, EXPANDED, ROUNDS = 2000, 6, 12
"""Of a pool that is searched: random candidates at the start, best ones expanded a round, rounds."""


@dataclass(frozen=True)
class Pool:
    """Candidates and their features, a row each."""

    candidates: Sequence[Candidate]
    rows: Floats


def whole(space: Space, features: Features) -> Pool:
    """Every candidate but the controls, in the space's order."""
    candidates = [one for one in space if one.order in space.orders]
    return Pool(candidates, features.matrix(candidates))


def reference(space: Space, features: Features, count: int) -> Floats:
    """The rows of random candidates (all, if they are no more than `count`), the same for every seed."""
    drawn = (space[index] for _, index in zip(range(count), draws(space.size, 0, 0), strict=False))
    return features.matrix([one for one in drawn if one.order in space.orders])


def searched(
    space: Space,
    features: Features,
    told: Sequence[Candidate],
    value: Callable[[Pool], Floats],
    generator: Random,
) -> Pool:
    """A pool around the best by `value`; `told` are candidates to begin with."""
    chosen: dict[Candidate, None] = dict.fromkeys(told)
    drawn = (space[generator.randrange(space.size)] for _ in range(RANDOM))
    chosen |= dict.fromkeys(one for one in drawn if one.order in space.orders)
    pool = Pool(list(chosen), features.matrix(chosen))
    expanded: set[Candidate] = set()
    for _ in range(ROUNDS):
        ranked = (pool.candidates[place] for place in np.argsort(-value(pool), kind="stable")[: 4 * EXPANDED])
        best = [one for one in ranked if one not in expanded][:EXPANDED]
        expanded.update(best)
        near = dict.fromkeys(one for centre in best for one in _near(centre, space) if one not in chosen)
        if not near:
            break
        chosen |= near
        pool = Pool([*pool.candidates, *near], np.concatenate([pool.rows, features.matrix(near)]))
    return pool


def _near(candidate: Candidate, space: Space) -> Iterable[Candidate]:
    """Neighbouring orders with the same arm, and the same order with the other arms."""
    yield from (Candidate(order, *candidate.arm) for order in neighbours(candidate.order, space.orders))
    yield from (Candidate(candidate.order, *arm) for arm in space.arms if arm != candidate.arm)
