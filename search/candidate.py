"""One point of the search space: an order with its method and hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from search.order import Order


class Arm(NamedTuple):
    """What a candidate is besides its order."""

    method: str
    learning_rate: float
    prompt_length: int | None = None


@dataclass(frozen=True)
class Candidate:
    """What a strategy proposes and a leaderboard ranks; each is run once for every root seed.

    `prompt_length` is the number of vectors of a prompt, None for methods without one. `budget` is the share of the
    full training that it gets: strategies that halve propose a candidate at a small budget first.
    """

    order: Order
    method: str
    learning_rate: float
    prompt_length: int | None = None
    budget: float = 1.0

    @property
    def name(self) -> str:
        """A readable name, unique within any space: `mini-nli>mini-tags full 0.001`, `none prompt 0.03 p16 at 0.33`."""
        length = "" if self.prompt_length is None else f" p{self.prompt_length}"
        return f"{self.order} {self.method} {self.learning_rate!r}{length}{self._part()}"

    @property
    def arm(self) -> Arm:
        """All but order and budget."""
        return Arm(self.method, self.learning_rate, self.prompt_length)

    def at(self, budget: float) -> Candidate:
        """The same candidate with another share of the full training, above 0 and at most 1."""
        if not 0 < budget <= 1:
            raise ValueError(f"0 < budget <= 1 must hold, but got {budget}")
        return replace(self, budget=budget)

    def _part(self) -> str:
        return "" if self.budget == 1 else f" at {self.budget:.4g}"


def run_name(candidate: Candidate, seed: int) -> str:
    """The name of one run of a candidate: `mini-nli>mini-tags full 0.001 #0`."""
    return f"{candidate.name} #{seed}"
