"""What a further value of a candidate promises: expected improvement, or the knowledge gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erfcx, ndtr

from search.surrogate.features import Floats

if TYPE_CHECKING:
    from search.surrogate.model import Belief

LEADERS = 80
"""How many candidates may become the one to recommend: those of the highest upper confidence bounds."""

POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
ROOT = np.sqrt(2 * np.pi)


def log_expected_improvement(means: Floats, deviations: Floats, best: float) -> Floats:
    """log E[max(0, f − best)] of normal beliefs f, exact far below `best` too (Ament et al., arXiv 2310.20708)."""
    z = (means - best) / deviations
    # E = σ (φ(z) + z Φ(z)) as it stands, or below −1 as σ φ(z) (1 + z Φ(z) / φ(z)), where the bracket goes to 1 / z².
    above, below, tail = np.maximum(z, -1), np.clip(z, -1e4, -1), np.minimum(z, -1e4)
    plain = np.log(np.exp(-0.5 * above**2) / ROOT + above * ndtr(above))
    bracket = 1 + below * np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2))
    scaled = -0.5 * z**2 - np.log(ROOT) + np.where(z > -1e4, np.log(bracket), -2 * np.log(-tail))
    found: Floats = np.log(deviations) + np.where(z > -1, plain, scaled)
    return found


def log_knowledge_gradient(belief: Belief, roots: int) -> Floats:
    """log E[max_j μ'_j − max_j μ_j]: by how much a value, the mean of `roots` root seeds, is expected to better the
    candidate that would be recommended afterwards, of which the posterior mean is highest; the value's own candidate
    need not be it. Exact for correlated normal beliefs but for a quadrature (11 points) and for the candidates that may
    be recommended (`LEADERS`). Frazier, Powell and Dayanik, INFORMS J. Computing 21(4), 2009.
    """
    mean, deviation = belief.mean.numpy(), belief.variance.sqrt().numpy()
    leaders = np.argsort(-(mean + 1.5 * deviation), kind="stable")[:LEADERS]
    change = belief.changes(leaders.tolist(), roots)
    ahead = mean[leaders][:, None]
    gain = sum(weight * (ahead + change * point).max(0) for point, weight in zip(POINTS, WEIGHTS, strict=True))
    found: Floats = np.log(np.maximum(gain - ahead.max(), 1e-300))
    return found
