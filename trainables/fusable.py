"""Which train stages may be trained together (`fused`). Free of torch: the planner asks it."""

from __future__ import annotations

from collections.abc import Hashable

from trainables.methods import FROZEN
from trainables.stage import Stage

OWN = frozenset(
    ("learning_rate", "batch_size", "warmup", "weight_decay", "prompt_length", "sampling", "cap", "temperature",
     "heads", "rows")
)  # fmt: skip
"""Settings in which stages that are trained together may differ."""


def signature(stage: Stage) -> Hashable | None:
    """Stages with equal signatures may be trained together; one without (None) with no other.

    Model, method and the form of the modules must be equal. Tasks, parents, steps, seeds, what is in `OWN`, and how
    many former adapters a stack has, may differ. Robust training, which reads a batch several times, and language
    adapters are left to `train`.
    """
    settings = stage.settings
    if stage.kind != "train" or stage.method not in FROZEN:
        return None
    if settings.get("robust") or settings.get("language_adapters"):
        return None
    return stage.model, stage.method, tuple(sorted((n, v) for n, v in settings.items() if n not in OWN))
