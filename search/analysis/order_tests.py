"""Do task sets differ, and do orders of the same set: two tests that respect what orders of one root share.

Labels of orders cannot be permuted: sets differ, and orders that share a prefix share its luck. What is independent are
roots. From six roots on, the sign of whole roots is flipped: exact for any covariance, symmetric luck supposed. Below,
there are too few sign patterns for 5 %, so an F test takes its degrees of freedom from the covariance pooled by shared
depth; numerator and denominator have the same mean under any covariance, only the degrees of freedom need the model.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from search.analysis.comparisons import order_contrasts, task_contrasts, weighted
from search.analysis.covariance import Classes, box, classes, pooled, residuals
from search.analysis.design import Array, Design
from search.analysis.intervals import NOTHING, number

ROOTS_FOR_F = 3
"""The fewest roots that a test is made of."""

ROOTS_FOR_SIGN_FLIP = 6
"""The fewest roots whose sign patterns (2 / 2^6 = 0.03) can reach 5 %."""

ALL_PATTERNS = 12
"""Up to so many roots all sign patterns are looked at; beyond, a fixed random 2^12 of them."""

SIGN_FLIP = "sign-flip of whole roots"
F_TEST = "F, covariance pooled by shared depth (model-based)"

ORDER, TASKS = "order", "which tasks"


class FTest(NamedTuple):
    """Statistic, degrees of freedom above and below, p: arrays of the leading shape of the values."""

    statistic: Array
    df1: Array
    df2: Array
    p: Array


@dataclass(frozen=True)
class Outcome:
    """One test's outcome; nan where there is none, and `reason` says why.

    `contrasts` is how many independent comparisons are tested at once. `sd` is the SD between what is compared (orders
    of a set; means of sets) with noise taken off, 0 where noise alone would spread them as far; `sd_raw` that of the
    observed means, and `sd_noise` what noise alone would give. In points, over `roots`.
    """

    question: str
    statistic: float
    df1: float
    df2: float
    p: float
    method: str
    roots: int
    contrasts: int
    sd: float
    sd_raw: float
    sd_noise: float
    reason: str = ""


def order_test(design: Design) -> Outcome:
    """Do orders of the same set of tasks differ?"""
    return contrast_test(ORDER, order_contrasts(design), design, "no set of tasks has two orders")


def task_test(design: Design) -> Outcome:
    """Do the sets of tasks differ, each by the mean of its orders in the design?"""
    return contrast_test(TASKS, task_contrasts(design), design, "no two sets of tasks are there")


def sign_flip(values: Array, contrasts: Array) -> Array:
    """p of z'z, z the mean over roots of the contrasts: the share of sign patterns that give as much or more.

    `values` … × roots × candidates, `contrasts` contrasts × candidates; p has the leading shape. Ties count.
    """
    found = values @ contrasts.T
    gram = found @ np.swapaxes(found, -1, -2)
    signs = sign_patterns(values.shape[-2])
    statistics = ((signs @ gram) * signs).sum(axis=-1)
    return np.asarray((statistics >= statistics[..., :1] - 1e-9 * np.abs(statistics[..., :1])).mean(axis=-1))


@lru_cache
def sign_patterns(roots: int) -> Array:
    """Patterns × roots of 1 and −1, the first all 1. Opposite patterns give the same: the first root keeps 1."""
    if roots <= ALL_PATTERNS:
        return np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=roots - 1)])
    drawn = np.random.default_rng(roots).choice((1.0, -1.0), size=(2**ALL_PATTERNS, roots))
    drawn[0] = 1
    return drawn


def f_test(values: Array, contrasts: Array, alike: Classes) -> FTest:
    """F of z'z, z the mean of the contrasts, against the same form in the residuals of roots.

    R·z'z and the mean over R − 1 degrees of freedom of the residual form have the same mean under "no contrast differs"
    whatever the covariance. Box's h of the pooled covariance gives F its degrees of freedom, h and (R − 1)·h: the
    Greenhouse–Geisser correction (1959) with a structured covariance. `values` are … × roots × candidates.
    """
    roots = values.shape[-2]
    above = roots * ((values.mean(axis=-2) @ contrasts.T) ** 2).sum(axis=-1)
    below = ((residuals(values) @ contrasts.T) ** 2).sum(axis=(-2, -1)) / (roots - 1)
    h = box(contrasts @ pooled(values, alike) @ contrasts.T)
    statistic = above / below
    return FTest(statistic, h, (roots - 1) * h, stats.f.sf(statistic, h, (roots - 1) * h))


def spread(values: Array, contrasts: Array) -> tuple[float, float]:
    """Between what the contrasts compare: the observed mean square, and the part of it that noise gives.

    Their difference is an unbiased estimate of the true mean square. Noise is nan below two roots, both without any.
    `contrasts` are orthonormal, as `order_contrasts` and (among sets) `task_contrasts` give them.
    """
    roots, rank = len(values), len(contrasts)
    if not roots:
        return math.nan, math.nan
    raw = float(((values.mean(axis=0) @ contrasts.T) ** 2).sum() / rank)
    if roots < 2:
        return raw, math.nan
    return raw, float(((residuals(values) @ contrasts.T) ** 2).sum() / (roots - 1) / roots / rank)


def untestable(roots: int) -> str:
    """Why so few roots make no test."""
    needed = f"{ROOTS_FOR_F} are needed; at least {ROOTS_FOR_SIGN_FLIP} for the sign-flip"
    return f"not testable: {number(roots, 'root')}, {needed}"


def contrast_test(question: str, contrasts: Array, design: Design, nothing: str) -> Outcome:
    """The test of any contrasts among candidates; `nothing` says why there are none."""
    nan, values, roots = math.nan, design.values, design.roots
    if not len(contrasts):
        return Outcome(question, nan, nan, nan, nan, "", roots, 0, nan, nan, nan, f"not testable: {nothing}")
    raw, noise = spread(values, contrasts)
    sds = math.sqrt(max(raw - noise, 0)) if roots > 1 else nan, math.sqrt(raw), math.sqrt(noise)
    flat = math.sqrt(noise) < NOTHING
    if roots < ROOTS_FOR_F or (flat and math.sqrt(raw) < NOTHING):
        reason = untestable(roots) if roots < ROOTS_FOR_F else "not testable: all have the same scores"
        return Outcome(question, nan, nan, nan, nan, "", roots, len(contrasts), *sds, reason)
    scaled = weighted(contrasts, design)
    if roots >= ROOTS_FOR_SIGN_FLIP:
        z = values.mean(axis=0) @ scaled.T
        p = float(sign_flip(values, scaled))
        return Outcome(question, float(roots * z @ z), nan, nan, p, SIGN_FLIP, roots, len(contrasts), *sds)
    if flat:
        reason = "not testable: roots do not differ, so there is no noise to test against"
        return Outcome(question, nan, nan, nan, nan, "", roots, len(contrasts), *sds, reason)
    statistic, above, below, p = map(float, f_test(values, scaled, classes(design)))
    return Outcome(question, statistic, above, below, p, F_TEST, roots, len(contrasts), *sds)
