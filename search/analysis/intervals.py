"""A mean with its 95 % t interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from search.means import MIN_ROOTS_FOR_INTERVAL
from search.means import half_width as half_width

NOTHING = 1e-9
"""A figure in percent points this small is a rounding error."""


class Estimate(NamedTuple):
    """A mean, half its 95 % interval (None: there is none, `reason` says why), and from how many units it is."""

    mean: float | None
    half_width: float | None
    n: int
    reason: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and 0 lies outside it."""
        return self.mean is not None and self.half_width is not None and abs(self.mean) > self.half_width + NOTHING


def over_roots(values: Sequence[float]) -> Estimate:
    """The mean over independent root seeds; missing ones (nan) are left out. No interval below three roots."""
    found = [float(value) for value in values if not math.isnan(value)]
    n = len(found)
    if not n:
        return Estimate(None, None, 0, "no root has all that is compared")
    mean = sum(found) / n
    half = half_width(found)
    reason = f"{number(n, 'root')}: an interval needs {MIN_ROOTS_FOR_INTERVAL}" if half is None else ""
    return Estimate(mean, half, n, reason)


def welch(first: Sequence[float], second: Sequence[float], names: tuple[str, str], unit: str) -> Estimate:
    """The difference of two means, first − second, with Welch's interval (variances may differ).

    `names` and `unit` are words for the reason where there is none: below two units in a class.
    """
    n = len(first) + len(second)
    if not first or not second:
        which = f"{names[0 if second else 1]} " if first or second else ""
        return Estimate(None, None, n, f"there is no {which}{unit}")
    mean = sum(first) / len(first) - sum(second) / len(second)
    if len(first) < 2 or len(second) < 2:
        counts = f"{number(len(first), f'{names[0]} {unit}')} and {number(len(second), f'{names[1]} {unit}')}"
        return Estimate(mean, None, n, f"{counts}: an interval needs 2 of each")
    a, b = _variance(first) / len(first), _variance(second) / len(second)
    if a + b == 0:
        return Estimate(mean, 0.0, n)
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    return Estimate(mean, _t(freedom) * math.sqrt(a + b), n)


def number(n: int, what: str) -> str:
    """`1 root`, `3 roots`."""
    return f"{n} {what}" + ("" if n == 1 else "s")


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _t(freedom: float) -> float:
    """The 0.975 quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
