"""Which candidates to recommend: those of the highest posterior mean, whichever strategy proposed what was told.

The best noisy observation is the winner of a lottery as much as the best; a posterior mean has learned from all that is
like it, and may name a candidate that was never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from search.space import Space
from search.surrogate.features import Features
from search.surrogate.model import Surrogate
from search.surrogate.pool import EXACT, Pool, reference, searched, whole

if TYPE_CHECKING:
    from search.candidate import Candidate
    from search.strategies.adaptive import Told
    from search.surrogate.features import Floats


@dataclass(frozen=True)
class Recommended:
    """A candidate with its posterior mean and standard deviation, in the unit of the values told."""

    candidate: Candidate
    mean: float
    deviation: float


def recommended(space: Space, history: Sequence[Told], count: int = 1, exact: int = EXACT) -> list[Recommended]:
    """The best by posterior mean, best first; by mean of what was told while fewer than three are, none without any.

    Of a space of at most `exact` candidates all are considered, of a larger one those told and those near the best.
    Values of several objectives are no numbers to rank by: give one each. Controls are left out.
    """
    told = [one for one in history if one.values is not None and one.candidate.order in space.orders]
    values = [one.values[0] for one in told if one.values is not None]
    if len(told) < 3:
        ranked = sorted(range(len(told)), key=lambda place: -values[place])[:count]
        return [Recommended(told[place].candidate, values[place], float("nan")) for place in ranked]
    features = Features(space.orders.tasks, space.arms)
    surrogate = Surrogate(features, reference(space, features, 400))
    candidates = [one.candidate for one in told]
    posterior = surrogate.fit(features.matrix(candidates), values, [one.roots for one in told])

    def mean(pool: Pool) -> Floats:
        return posterior.at(pool.rows).means

    if space.size <= exact:
        pool = whole(space, features)
    else:
        pool = searched(space, features, candidates, mean, Random("recommend"))
    belief = posterior.at(pool.rows)
    places = np.argsort(-belief.means, kind="stable")[:count]
    return [
        Recommended(pool.candidates[place], float(belief.means[place]), float(belief.deviations[place]))
        for place in places.tolist()
    ]


def recommend(space: Space, history: Sequence[Told]) -> Candidate:
    """The best by posterior mean. Raises ValueError where nothing was told that has a value."""
    best = recommended(space, history)
    if not best:
        raise ValueError("nothing was told that has a value")
    return best[0].candidate
