"""All pairs of candidates at once: intervals of their differences, and what these say of ranks.

The standard error of a difference is pooled over pairs that are alike (arms, depths, shared stages), so that a few
roots suffice; its degrees of freedom are Satterthwaite's, from the pooled covariance of all of these differences, which
are far from independent. Bonferroni over all pairs: each pair's interval has its own quantile, so a class of few
degrees of freedom (the empty order's) widens no other's. A candidate's rank lies between 1 + those shown to be better
and the number of candidates less those shown to be worse: Mohamad, Goeman & van Zwet (2022), Statistica Neerlandica.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from search.analysis.covariance import Classes, classes, covariance
from search.analysis.design import Array, Design
from search.analysis.intervals import NOTHING, number
from search.means import MIN_ROOTS_FOR_INTERVAL

MOST = 4000
"""Up to so many candidates all pairs are compared: time and memory grow with the square, and more."""

MOST_LISTED = 100
"""Up to so many candidates pairs are listed, one a row."""


class Noise(NamedTuple):
    """The standard error of a difference of means and its degrees of freedom, one a class of pairs."""

    alike: Classes
    error: Array
    freedom: Array


def rank_intervals(design: Design, level: float = 0.95) -> pd.DataFrame:
    """A row a candidate (index: names): `better` and `worse` are how many are shown to be so, all pairs at once.

    `rank` is better + 1, so ties are shared where no difference is shown; the true ranks of all candidates lie in
    `rank_low` to `rank_high` together with probability `level`. Where that cannot be had, all are empty and `reason`
    says why.
    """
    columns = ["better", "worse", "rank", "rank_low", "rank_high"]
    reason = _untold(design)
    if reason or not design.size:
        empty = pd.DataFrame(pd.NA, index=list(design.names), columns=columns, dtype="Int64")
        return empty.assign(reason=reason)
    above = shown_above(design.values, classes(design), level)
    better, worse = above.sum(axis=0), above.sum(axis=1)
    found = np.stack([better, worse, better + 1, better + 1, design.size - worse], axis=1)
    return pd.DataFrame(found, index=list(design.names), columns=columns).astype("Int64").assign(reason="")


def pairwise(design: Design, level: float = 0.95) -> pd.DataFrame:
    """A row a pair: `first`, `second`, `n` (roots), `estimate` (first − second), `low` and `high` (all pairs at once),
    `p` and `p_adjusted` (Bonferroni), `reason`. In points. No rows for more than MOST_LISTED candidates."""
    if design.size > MOST_LISTED:
        return pd.DataFrame(columns=["first", "second", "n", "estimate", "low", "high", "p", "p_adjusted", "reason"])
    first, second = np.triu_indices(design.size, 1)
    names, means = np.array(design.names, dtype=object), design.means
    table = pd.DataFrame({"first": names[first], "second": names[second], "n": design.roots})
    table["estimate"] = means[first] - means[second]
    reason = _untold(design)
    if reason or not len(table):
        return table.assign(low=np.nan, high=np.nan, p=np.nan, p_adjusted=np.nan, reason=reason)
    noise = difference_noise(design.values, classes(design))
    of = noise.alike.of[first, second]
    half = _half_widths(noise, design.size, level)[of]
    table["low"], table["high"] = table.estimate - half, table.estimate + half
    size, error = np.abs(table.estimate.to_numpy()), noise.error[of]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(size > NOTHING, 2 * stats.t.sf(size / error, noise.freedom[of]), 1.0)
    return table.assign(p=p, p_adjusted=np.minimum(p * len(table), 1), reason="")


def difference_noise(values: Array, alike: Classes) -> Noise:
    """Standard errors of differences of two means over roots, by class; … × roots × candidates, three roots or more.

    The variance of class k is v = Σ over its pairs of the sample variance of (first − second) / pairs: a quadratic form
    with matrix B. Its degrees of freedom are (R − 1)·tr(BΣ)² / tr((BΣ)²), Σ the pooled covariance.
    """
    sample, roots = covariance(values), values.shape[-2]
    variances = np.diagonal(sample, axis1=-2, axis2=-1)
    squares = alike.means(variances[..., :, None] + variances[..., None, :] - 2 * sample)
    return Noise(alike, np.sqrt(np.maximum(squares, 0) / roots), (roots - 1) * _freedoms(alike, alike.pool(sample)))


def _freedoms(alike: Classes, sigma: Array) -> Array:
    """tr(BΣ)² / tr((BΣ)²) of each class; 1 where nothing varies. The work is on the candidates of the class alone."""
    found = []
    for k in range(len(alike.pairs)):
        touched = np.flatnonzero((alike.of == k).any(axis=0))
        pairs = alike.of[np.ix_(touched, touched)] == k
        laplacian = np.diag(pairs.sum(axis=1).astype(float)) - pairs
        product = laplacian @ sigma[..., touched[:, None], touched]
        squares = (product * np.swapaxes(product, -1, -2)).sum(axis=(-2, -1))
        trace = np.trace(product, axis1=-2, axis2=-1)
        found.append(np.divide(trace**2, squares, out=np.ones_like(trace), where=squares > NOTHING**2))
    return np.stack(found, axis=-1)


def shown_above(values: Array, alike: Classes, level: float) -> NDArray[np.bool_]:
    """… × candidates × candidates: whether the first is shown to be better than the second, all pairs at once."""
    half = _half_widths(difference_noise(values, alike), values.shape[-1], level)
    means = values.mean(axis=-2)
    return np.asarray(means[..., :, None] - means[..., None, :] > half[..., alike.of] + NOTHING)


def _half_widths(noise: Noise, size: int, level: float) -> Array:
    """Half an interval by class, Bonferroni over all pairs of `size` candidates."""
    pairs = max(size * (size - 1) / 2, 1)
    return np.asarray(stats.t.isf((1 - level) / 2 / pairs, noise.freedom) * noise.error)


def _untold(design: Design) -> str:
    if design.roots < MIN_ROOTS_FOR_INTERVAL:
        return f"{number(design.roots, 'root')}: an interval needs {MIN_ROOTS_FOR_INTERVAL}"
    if design.size > MOST:
        return f"{number(design.size, 'candidate')}: all pairs of at most {MOST} are compared"
    return ""
