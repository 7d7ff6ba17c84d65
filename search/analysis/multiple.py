"""Several tests at once: p values adjusted so that few false claims are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from search.analysis.design import Array


def holm(p: ArrayLike) -> Array:
    """Holm's (1979) step-down adjusted p values, in the order given: claims at 0.05 hold all together.

    Missing ones (nan) are no tests: they stay missing and do not count.
    """
    given = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(given))
    ranked = tested[np.argsort(given[tested], kind="stable")]
    found = np.full(given.shape, np.nan)
    steps = given[ranked] * np.arange(len(ranked), 0, -1)
    found[ranked] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(ranked) else steps
    return found
