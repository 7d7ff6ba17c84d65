"""Robustness from figures of the same examples, clean and changed: one in [0, 1] an example each.

A fixed edit may turn a wrong answer right as well as a right one wrong (arXiv 2008.07651), so both flips are counted,
and the robust score takes the worse of the two figures example by example (HELM's worst case, over one edit at a time:
the worst over all edits would make a language with more of them look weaker).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

ATTACKABLE = 0.5
"""Below this share of examples that can be changed at all, a robust score says little and is n/a."""


class Figure(NamedTuple):
    """A metric's value over `n` examples and its standard error (None below two)."""

    metric: str
    value: float
    n: int
    stderr: float | None


def figures(clean: Sequence[float], changed: Sequence[float], attackable: Sequence[bool]) -> list[Figure]:
    """What a change did to the figures of the same examples, in the same order.

    `robust` is the mean of the worse of the two, over all examples; `robust_attackable` over those that could be
    changed, with their clean mean as `clean_attackable`. `drop` is the paired mean difference, clean less changed.
    `flips_down` and `flips_up` are the shares of examples whose figure fell and rose, `consistency` that of the others.
    """
    worse = [min(a, b) for a, b in zip(clean, changed, strict=True)]
    found = [
        mean("robust", worse),
        mean("robust_attackable", [w for w, can in zip(worse, attackable, strict=True) if can]),
        mean("clean_attackable", [c for c, can in zip(clean, attackable, strict=True) if can]),
        mean("clean_subset", clean),
        mean("drop", [a - b for a, b in zip(clean, changed, strict=True)]),
        mean("flips_down", [float(b < a) for a, b in zip(clean, changed, strict=True)]),
        mean("flips_up", [float(b > a) for a, b in zip(clean, changed, strict=True)]),
        mean("consistency", [float(a == b) for a, b in zip(clean, changed, strict=True)]),
    ]
    return [figure for figure in found if figure.n]


def attack_figures(
    clean: Sequence[float],
    attacked: Sequence[float],
    attackable: Sequence[bool],
    queries: Sequence[int],
    changed: Sequence[float],
) -> list[Figure]:
    """What an attack did: `robust` and its kin as for edits, but no flips up, which attacks do not look for.

    `attack_success` is the share of examples it broke among those that were right and could be changed: one whose
    figure fell below half of the clean one. `queries` and `words_changed` are means over the attacked examples (those
    that were right).
    """
    tried = [place for place, figure in enumerate(clean) if figure > 0]
    open_ = [place for place in tried if attackable[place]]
    broken = [float(attacked[place] < clean[place] / 2) for place in open_]
    kept = {"robust", "robust_attackable", "clean_attackable", "clean_subset", "drop"}
    found = [figure for figure in figures(clean, attacked, attackable) if figure.metric in kept]
    found += [
        mean("attack_success", broken),
        mean("queries", [float(queries[place]) for place in tried]),
        mean("words_changed", [changed[place] for place in open_]),
    ]
    return [figure for figure in found if figure.n]


def mean(metric: str, values: Sequence[float]) -> Figure:
    """A mean and its standard error s/√n."""
    n = len(values)
    if not n:
        return Figure(metric, math.nan, 0, None)
    value = math.fsum(values) / n
    if n < 2:
        return Figure(metric, value, n, None)
    variance = math.fsum((one - value) ** 2 for one in values) / (n - 1)
    return Figure(metric, value, n, math.sqrt(variance / n))
