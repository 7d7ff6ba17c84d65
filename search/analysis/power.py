"""What could have been seen: the effect that a test shows in 4 of 5 studies like this one, and the roots it takes.

Noise is the study's own. A power computed from the observed effect says nothing that its p does not say (Hoenig &
Heisey, 2001, The American Statistician 55); the detectable effect and the roots needed are what to plan with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from search.analysis.comparisons import cells, weighted
from search.analysis.covariance import classes, pooled
from search.analysis.design import Array, Design
from search.analysis.order_tests import ALL_PATTERNS, ROOTS_FOR_F, ROOTS_FOR_SIGN_FLIP
from search.means import MIN_ROOTS_FOR_INTERVAL

POWER = 0.8
"""How often an effect must be shown to count as detectable."""

LEVEL = 0.05
"""The p at or below which an effect is shown."""

MOST_ROOTS = 1000
"""More roots than these are not counted."""


_SURE = 15.0
"""A noncentrality of t at which power is 1 to three digits from three roots on; scipy's tails fail far beyond."""


class Noise(NamedTuple):
    """What a test of contrasts works against: traces of B, the covariance of a root's weighted contrasts, and of G,
    that of the contrasts of effects of variance 1 drawn at random: tr B, tr B², tr G, tr G², tr BG. nan: no contrasts.
    """

    b: float
    b2: float
    g: float
    g2: float
    bg: float


# A mean over roots ---------------------------------------------------------------------------------------------------


def t_power(effect: float, roots: int) -> float:
    """How often a two-sided t test over roots at 5 % shows the sign of a mean of `effect` SDs of one root's figure."""
    shift = abs(effect) * math.sqrt(roots)
    if shift > _SURE:
        return 1.0
    return float(stats.nct.sf(stats.t.ppf(1 - LEVEL / 2, roots - 1), roots - 1, shift))


@lru_cache
def detectable_mean(roots: int) -> float:
    """The mean that so many roots show in 4 of 5 studies, in SDs of one root's figure; nan below three roots."""
    if roots < MIN_ROOTS_FOR_INTERVAL:
        return math.nan
    return float(brentq(lambda effect: t_power(effect, roots) - POWER, 0, _SURE / math.sqrt(roots)))


def roots_for_mean(effect: float, sd: float) -> int | None:
    """How many roots show a mean of `effect` in 4 of 5 studies where one root's figure has SD `sd` (same unit).

    None: an effect of 0, an SD that is missing, or more than MOST_ROOTS.
    """
    if not effect or math.isnan(effect) or math.isnan(sd):
        return None
    return _fewest(lambda roots: t_power(effect / sd, roots) if sd else 1.0)


# Orders or sets against one another ----------------------------------------------------------------------------------


def noise_of_orders(design: Design, contrasts: Array) -> Noise:
    """For `order_tests.order_test`: an SD of 1 between orders of a set against the design's noise. Needs two roots."""
    return _noise(design, weighted(contrasts, design), np.eye(design.size))


def noise_of_sets(design: Design, contrasts: Array) -> Noise:
    """For `order_tests.task_test`: what SD 1 between sets (all orders of a set alike) is against the noise."""
    members = np.zeros((design.size, len(cells(design))))
    for column, places in enumerate(cells(design)):
        members[places, column] = 1
    return _noise(design, weighted(contrasts, design), members)


LARGEST = 2.0**40
"""Of SDs that are looked for, in units of the noise."""


def f_power(sd: float, roots: int, noise: Noise) -> float:
    """How often the test that so many roots allow shows effects of SD `sd` drawn at random.

    With them the numerator's covariance is B + R·sd²·G, so F is (1 + R·sd²·tr G / tr B) times an F of Box's degrees of
    freedom of that sum and (R − 1)·h. The sign-flip test is taken as an F test at the level that its patterns reach
    (1/32 at 6 roots), which tells up to 0.1 too much where they are few.
    """
    size, h = roots * sd**2, noise.b**2 / noise.b2
    above = noise.b + size * noise.g
    df1 = above**2 / (noise.b2 + 2 * size * noise.bg + size**2 * noise.g2)
    critical = stats.f.isf(reached_level(roots), h, (roots - 1) * h)
    return float(stats.f.sf(critical * noise.b / above, df1, (roots - 1) * h))


def reached_level(roots: int) -> float:
    """The highest level up to 5 % that the test of so many roots can have."""
    if not ROOTS_FOR_SIGN_FLIP <= roots <= ALL_PATTERNS:
        return LEVEL
    patterns = 1 << (roots - 1)
    return math.floor(LEVEL * patterns) / patterns


def detectable_sd(roots: int, noise: Noise) -> float:
    """The SD of effects that so many roots show in 4 of 5 studies, in points; nan where there is no test, or where
    effects of any size would be shown less often (noise that is rounding alone has next to no degrees of freedom)."""
    if roots < ROOTS_FOR_F or not (noise.b > 0 and noise.g > 0):
        return math.nan
    unit = math.sqrt(noise.b / noise.g)  # where the effects' form is as large as the noise's
    high = 1.0
    while f_power(high * unit, roots, noise) < POWER:
        high *= 2
        if high > LARGEST:
            return math.nan
    found: float = brentq(lambda sd: f_power(sd * unit, roots, noise) - POWER, 0, high)
    return found * unit


def roots_for_sd(sd: float, noise: Noise) -> int | None:
    """How many roots show effects of SD `sd` in 4 of 5 studies; None: an SD of 0 or more than MOST_ROOTS."""
    if not (sd > 0 and noise.b > 0 and noise.g > 0):
        return None
    return _fewest(lambda roots: f_power(sd, roots, noise))


def _noise(design: Design, scaled: Array, effects: Array) -> Noise:
    if not len(scaled):
        return Noise(*[math.nan] * 5)
    b = scaled @ pooled(design.values, classes(design)) @ scaled.T
    g = scaled @ effects @ effects.T @ scaled.T
    return Noise(*(float(trace) for trace in (np.trace(b), (b**2).sum(), np.trace(g), (g**2).sum(), (b * g).sum())))


def _fewest(power: Callable[[int], float]) -> int | None:
    """The fewest roots from which on power is never below POWER: it can fall from 5 to 6, where the test changes, and
    where the level that sign patterns reach steps down; beyond those it grows with the roots."""
    enough = POWER - 1e-9  # a rounding error makes no root more
    few = [roots for roots in range(ROOTS_FOR_F, ALL_PATTERNS + 1) if power(roots) < enough]
    low = few[-1] if few else ROOTS_FOR_F - 1
    if low < ALL_PATTERNS:
        return low + 1
    high = MOST_ROOTS
    if power(high) < enough:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(middle) < enough else (low, middle)
    return high
