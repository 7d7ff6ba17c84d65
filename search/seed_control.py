"""The seed control: one order at many further root seeds, beside the search.

The best of M orders looks good even where no order matters, because it is the best of M draws of a seed. So it is to be
compared with the best of M seeds of one order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.candidate import Candidate
from search.order import Order, OrderSpace
from search.roots import SEED_CONTROL
from search.settings import Settings
from trainables.errors import Mistake

if TYPE_CHECKING:
    from search.study import Study
    from trainables.stage import Stage


@dataclass(frozen=True)
class SeedControl:
    """A candidate of the space and how many further roots it is run at: `roots.SEED_CONTROL` and on."""

    candidate: Candidate
    count: int

    @property
    def runs(self) -> list[tuple[Candidate, int]]:
        """The candidate at each of its roots."""
        return [(self.candidate, SEED_CONTROL + number) for number in range(self.count)]

    def stages(self, study: Study) -> dict[str, Stage]:
        """The stages of its runs, by key, but for those that the candidate has at the study's own roots too (nothing is
        random in a score of the base model)."""
        own = {stage.key for stage in study.stages(self.candidate, 0)}
        found = {stage.key: stage for run in self.runs for stage in study.stages(*run)}
        return {key: stage for key, stage in found.items() if key not in own}

    def about(self) -> dict[str, Any]:
        """What a manifest says of it."""
        roots = [root for _, root in self.runs]
        return {"candidate": self.candidate.name, "order": str(self.candidate.order), "seeds": roots}


def seed_control(settings: Settings, orders: OrderSpace, place: Callable[[str], str]) -> SeedControl | None:
    """The seed control that the settings ask for, with the first arm; None where they ask for none.

    Raises Mistake for an order that is not in the space; `place` says which flag or file set a key.
    """
    text, where = settings.seed_control_order, place("seed_control_order")
    if settings.seed_control is None:
        if text is not None:
            what = "an order of the seed control is named, but no seed control is asked for"
            raise Mistake(what, where=where, right="--seed-control M beside it, M being the number of root seeds")
        return None
    if text is None:
        where = place("seed_control")
        order = Order(tuple((name,) for name in orders.tasks[: max(orders.count_by_length())]))
    else:
        order = Order.parse(text, known=orders.tasks, where=where)
    if order not in orders:
        right = "--set seed_control_order=ORDER, an order of the space"
        raise Mistake(f"the seed control's order '{order}' is not in the space", where=where, right=right)
    return SeedControl(Candidate(order, *settings.arms[0]), settings.seed_control)
