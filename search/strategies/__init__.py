"""Who proposes candidates: one file a strategy, one contract (`base.Strategy`), all made alike (`base.Factory`)."""

from __future__ import annotations

from search.strategies.base import Factory, Space, Strategy
from search.strategies.evolution import Evolution
from search.strategies.exhaustive import Exhaustive
from search.strategies.gp import GP
from search.strategies.halving import Halving
from search.strategies.plackett_luce import PlackettLuce
from search.strategies.random_orders import RandomOrders
from search.strategies.tpe import TPE

STRATEGIES: dict[str, Factory] = {
    "exhaustive": Exhaustive, "random": RandomOrders, "evolution": Evolution, "tpe": TPE,
    "plackett-luce": PlackettLuce, "gp": GP, "halving": Halving,
}  # fmt: skip
"""Every strategy by the name that `--strategy` takes."""

__all__ = ["STRATEGIES", "Factory", "Halving", "Space", "Strategy"]
