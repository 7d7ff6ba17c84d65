"""Full fine-tuning: every weight of the encoder is trained, but for embeddings and lower layers where that is asked."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.methods.base import Method
from trainables.models import Encoder
from trainables.stage import Scalar


class Full(Method):
    """The encoder itself is carried along an order."""

    name = "full"

    def prepare(self, model: Encoder, settings: Mapping[str, Scalar]) -> None:
        """Train everything that is not to be frozen."""
        model.encoder.requires_grad_(True)
        model.encoder.train()
        if settings.get("freeze_embeddings"):
            model.embeddings.requires_grad_(False)
        for layer in model.layers[: int(settings.get("freeze_layers") or 0)]:
            layer.requires_grad_(False)
