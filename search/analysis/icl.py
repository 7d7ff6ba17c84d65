"""In-context learning against fine-tuning on one decoder, before and after intermediate training: a 2 × 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from search.analysis.intervals import Estimate, over_roots
from search.analysis.overall import by_order, overall, paired
from search.order import EMPTY

AFTER = "after"
"""The row of the 2 × 2 that is the mean over intermediate orders."""


class TwoByTwo(NamedTuple):
    """`cells`: one row an order class (`none`, `after`) and method, in percent; `orders`: how many
    intermediate orders `after` is the mean of. The effects are in percent points.

    `training`: after less before, mean of both methods. `method`: the second method less the first, mean of both order
    classes. `interaction`: what training adds under the second method less what it adds under the first. `instead`: the
    first method after training less the second without, which is training on other tasks instead of on the target.
    """

    cells: pd.DataFrame
    orders: int
    training: Estimate
    method: Estimate
    interaction: Estimate
    instead: Estimate


def two_by_two(
    scores: pd.DataFrame, chosen: Sequence[str], methods: tuple[str, str] = ("icl", "full"), report: str = "test"
) -> TwoByTwo:
    """Cell means, both main effects, the interaction and the diagonal with 95 % t intervals over roots, paired.

    Only roots with all four cells count, and in a root only the intermediate orders that both methods have there.
    Scores that stand apart (demonstrations in the target language) are not among them.
    """
    return two_by_two_of(by_order(overall(scores, report), scores, chosen), methods)


def two_by_two_of(values: pd.DataFrame, methods: tuple[str, str] = ("icl", "full")) -> TwoByTwo:
    """`two_by_two` of any outcome: `values` are (method, order) × roots, as `by_order` gives them."""
    both = paired(values, *methods)
    after = [order for order in both[0].index if order != EMPTY]
    cells = pd.DataFrame({
        (name, method): own.reindex(orders).mean()
        for name, orders in ((EMPTY, [EMPTY]), (AFTER, after))
        for method, own in zip(methods, both, strict=True)
    }).dropna()  # fmt: skip
    training = [cells[AFTER, method] - cells[EMPTY, method] for method in methods]
    method = [cells[name, methods[1]] - cells[name, methods[0]] for name in (EMPTY, AFTER)]
    instead = cells[AFTER, methods[0]] - cells[EMPTY, methods[1]]
    effects = ((training[0] + training[1]) / 2, (method[0] + method[1]) / 2, training[1] - training[0], instead)
    means = cells.mean().rename_axis(["order", "method"]).rename("score").reset_index()
    return TwoByTwo(means, len(after), *(over_roots(effect.tolist()) for effect in effects))
