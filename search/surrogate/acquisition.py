"""What a further value of a candidate promises: expected improvement, or the knowledge gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr

from search.surrogate.features import Floats

if TYPE_CHECKING:
    from search.surrogate.model import Belief

LEADERS = 80
"""How many candidates may become the one to recommend: those of the highest upper confidence bounds."""

POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def log_expected_improvement(means: Floats, deviations: Floats, best: float) -> Floats:
    """log E[max(0, f − best)] of normal beliefs f, exact far below `best` too (Ament et al., arXiv 2310.20708)."""
    z = (means - best) / deviations
    density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    # log(φ(z) + z Φ(z)) = log φ(z) + log1p(z Φ(z) / φ(z)); for z << 0 the bracket goes to 1 / z².
    ratio = np.exp(np.minimum(log_ndtr(z) - density, 700))
    inner = np.log1p(np.maximum(z * ratio, -1 + 1e-12))
    tail = -2 * np.log(np.maximum(-z, 1.0))
    found: Floats = np.log(deviations) + density + np.where(z > -20, inner, tail)
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
