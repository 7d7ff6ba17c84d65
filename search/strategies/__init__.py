"""Who proposes candidates: one file a strategy, one contract (`base.Strategy`), all made alike (`base.Factory`)."""

from __future__ import annotations

from search.strategies.base import Factory, Space, Strategy
from search.strategies.exhaustive import Exhaustive
from search.strategies.halving import Halving
from search.strategies.random_orders import RandomOrders

STRATEGIES: dict[str, Factory] = {"exhaustive": Exhaustive, "random": RandomOrders, "halving": Halving}
"""Every strategy by the name that `--strategy` takes."""

__all__ = ["STRATEGIES", "Factory", "Halving", "Space", "Strategy"]
