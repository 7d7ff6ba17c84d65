"""How the scores of one root go together: a covariance pooled over candidates that share alike.

Few roots say next to nothing of one pair's covariance, but many pairs are alike: those of the same two arms, of the
same two depths (training stages), with as many stages in common. The mean over such a class is what is used. It serves
degrees of freedom and standard errors; what it assumes is that pairs of one class have about the same covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from search.analysis.design import Array, Design


@dataclass(frozen=True)
class Classes:
    """Which pairs of candidates are alike: `of` is candidates × candidates, the number of each pair's class."""

    of: NDArray[np.int64]

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """How many entries of the matrix each class has (two a pair)."""
        return np.bincount(self.of.ravel())

    @cached_property
    def _means(self) -> Any:
        """Classes × entries, sparse: a product with a flattened matrix is the mean of each class."""
        flat = self.of.ravel()
        return sparse.csr_array(
            (1 / self.pairs[flat], (flat, np.arange(flat.size))), shape=(len(self.pairs), flat.size)
        )

    def means(self, matrices: Array) -> Array:
        """The mean of each class: … × candidates × candidates to … × classes."""
        flat = matrices.reshape(-1, self.of.size)
        return np.asarray((self._means @ flat.T).T).reshape(*matrices.shape[:-2], -1)

    def pool(self, matrices: Array) -> Array:
        """Each entry replaced by the mean of its class."""
        return self.means(matrices)[..., self.of]


def classes(design: Design) -> Classes:
    """Pairs by (arms, depths, shared stages), in either order; a candidate with itself is a class apart."""
    depths, arms = design.depths, np.unique(design.arms, return_inverse=True)[1]
    kinds = np.unique(np.stack([arms, depths], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    low, high = np.minimum.outer(kinds, kinds), np.maximum.outer(kinds, kinds)
    keys = (low * (kinds.max() + 1) + high) * (depths.max() + 2) + design.shared + 1
    keys[np.diag_indices(design.size)] = -1 - kinds
    return Classes(np.unique(keys, return_inverse=True)[1].reshape(keys.shape))


def residuals(values: Array) -> Array:
    """… × roots × candidates, less each candidate's mean over roots."""
    return np.asarray(values - values.mean(axis=-2, keepdims=True))


def covariance(values: Array) -> Array:
    """The sample covariance of candidates over roots, roots − 1 degrees of freedom: … × candidates × candidates.

    Needs two roots at least.
    """
    rest = residuals(values)
    return np.asarray(np.swapaxes(rest, -1, -2) @ rest / (values.shape[-2] - 1))


def pooled(values: Array, alike: Classes) -> Array:
    """The sample covariance, pooled by class. Unbiased where all pairs of a class have the same covariance."""
    return alike.pool(covariance(values))


def box(matrices: Array) -> Array:
    """Box's degrees of freedom h = (tr B)² / tr(B²) of symmetric matrices …, those of c·χ²(h) with the mean and
    variance of a sum of squares z'z, z ~ N(0, B). Nan where B is 0. Box (1954), Annals of Mathematical Statistics 25.
    """
    trace = np.trace(matrices, axis1=-2, axis2=-1)
    squares = (matrices**2).sum(axis=(-2, -1))
    return np.asarray(np.divide(trace**2, squares, out=np.full_like(squares, np.nan), where=squares > 0))
