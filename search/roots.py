"""Which root seeds are whose: the study's own, the finals' fresh ones, and those of the seed control.

The study's own are 0 … seeds − 1; the finals count on from there; the seed control's are far from both. All three
functions take one seed or a column of seeds.
"""

from __future__ import annotations

from typing import Any

SEED_CONTROL = 1_000_000
"""The first root of the seed control."""

MOST_ROOTS = SEED_CONTROL // 2
"""The study's own and the finals' may be so many each: together they end before the seed control's begin."""


def own(seed: Any, seeds: int) -> Any:
    """Whether a root is one of the study's own, of which there are `seeds`."""
    return seed < seeds


def fresh(seed: Any, seeds: int) -> Any:
    """Whether a root is one of the finals' fresh ones."""
    return (seed >= seeds) & (seed < SEED_CONTROL)


def control(seed: Any) -> Any:
    """Whether a root is one of the seed control's."""
    return seed >= SEED_CONTROL
