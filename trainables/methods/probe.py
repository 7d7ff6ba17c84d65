"""The probe: the encoder is frozen, only the new heads are trained.

An order cannot change anything under this method, since each stage starts from the same encoder with new heads: it is
the negative control of a study.
"""

from __future__ import annotations

from trainables.models import Encoder


def prepare(model: Encoder) -> None:
    """Freeze the encoder, and its dropout with it."""
    model.encoder.requires_grad_(False)
    model.encoder.eval()
