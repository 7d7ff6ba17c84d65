"""An attempt at a stage: what the planner tells a worker of it. Free of torch and of Ray."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """`number` counts from 1. Each batch is worked on in `split` parts, whose gradients are added up. `over` is the
    worker of an earlier attempt of which is known that it will not end."""

    number: int = 1
    split: int = 1
    over: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what is not as at first."""
        return {name: value for name, value in asdict(self).items() if value != getattr(FIRST, name)}


FIRST = Attempt()
