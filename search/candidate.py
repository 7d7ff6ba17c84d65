"""One point of the search space: an order with its method and hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass

from search.order import Order


@dataclass(frozen=True)
class Candidate:
    """What a strategy proposes and a leaderboard ranks; each is run once for every root seed."""

    order: Order
    method: str
    learning_rate: float

    @property
    def name(self) -> str:
        """A readable name, unique within any space: `mini-nli>mini-tags full 0.001`."""
        return f"{self.order} {self.method} {self.learning_rate!r}"


def run_name(candidate: Candidate, seed: int) -> str:
    """The name of one run of a candidate: `mini-nli>mini-tags full 0.001 #0`."""
    return f"{candidate.name} #{seed}"
