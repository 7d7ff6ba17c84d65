"""The probe: the encoder is frozen, only the new heads are trained.

An order cannot change anything under this method, since each stage starts from the same encoder with new heads: it is
the negative control of a study.
"""

from __future__ import annotations

from collections.abc import Mapping

from trainables.methods.base import Method
from trainables.models import Encoder
from trainables.stage import Scalar


class Probe(Method):
    """Nothing is carried along an order (but for heads, where those are)."""

    name = "probe"

    def prepare(self, model: Encoder, settings: Mapping[str, Scalar]) -> None:
        """Freeze the encoder, and its dropout with it."""
        model.encoder.requires_grad_(False)
        model.encoder.eval()
