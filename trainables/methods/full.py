"""Full fine-tuning: every weight of the encoder is trained."""

from __future__ import annotations

from trainables.models import Encoder


def prepare(model: Encoder) -> None:
    """Train everything."""
    model.encoder.requires_grad_(True)
    model.encoder.train()
