"""The findings over languages, items, robustness and forgetting, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable

from search.analysis.agreement import agreement
from search.analysis.curves import budget_curves, severity_curves
from search.analysis.distance import distance
from search.analysis.finding import Finding
from search.analysis.forgetting import forgetting
from search.analysis.gaps import gaps
from search.analysis.items import items
from search.analysis.languages import by_language
from search.analysis.tradeoff import robust_gains, robust_order, tradeoff
from search.results import Results

FINDINGS: tuple[Callable[[Results], Finding | None], ...] = (
    items, by_language, gaps, agreement, distance, robust_order, tradeoff, robust_gains, severity_curves,
    budget_curves, forgetting,
)  # fmt: skip
"""Each gives None where the study lacks what it is made of."""
