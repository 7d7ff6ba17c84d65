"""The best of k drawn without replacement from a finite population, in expectation and in closed form.

Of N values in ascending order the i-th is the highest of a random k of them with probability C(i − 1, k − 1) / C(N, k):
no draws are needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from search.analysis.design import Array
from search.means import PRECISION


def best_weights(selection: ArrayLike, k: int) -> Array:
    """How often each of N is the one of the highest `selection` among a random k of them; sums to 1.

    Equal ones share evenly. ValueError unless 1 <= k <= N.
    """
    values = np.asarray(selection, dtype=float).round(PRECISION)
    n = len(values)
    if not 1 <= k <= n:
        raise ValueError(f"1 <= k <= {n} must hold, but got {k}")
    places = np.arange(1, n + 1)
    with np.errstate(invalid="ignore"):
        logs = gammaln(places) - gammaln(k) - gammaln(places - k + 1) - gammaln(n + 1) + gammaln(k + 1)
        logs += gammaln(n - k + 1)
    weights = np.where(places >= k, np.exp(np.where(places >= k, logs, -np.inf)), 0.0)
    order = np.argsort(values, kind="stable")
    _, tied, counts = np.unique(values[order], return_inverse=True, return_counts=True)
    found = np.empty(n)
    found[order] = (np.bincount(tied, weights) / counts)[tied]
    return found


def expected_best(selection: ArrayLike, told: ArrayLike, k: int) -> float:
    """The mean, over all k of N, of what is `told` of the one with the highest `selection`."""
    return float(best_weights(selection, k) @ np.asarray(told, dtype=float))


def steps(most: int) -> list[int]:
    """1, 2, 3, 5, 10, 20, 30, 50, 100 … up to `most`, which is the last."""
    scale = [step * 10**power for power in range(len(str(max(most, 1)))) for step in (1, 2, 3, 5)]
    return sorted({k for k in scale if k < most} | ({most} if most else set()))
