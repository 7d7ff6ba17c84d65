"""Tuning methods by name: each prepares a model so that what it tunes, and nothing else, is trained."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.models import Encoder

METHODS = {
    "full": "full fine-tuning: every weight is trained",
    "probe": "the new heads alone: the encoder is frozen, so orders cannot differ (negative control)",
}
"""What each method tunes. Known without importing torch, so that planning and listing stay quick."""


def prepare(method: str, model: Encoder) -> None:
    """Set the model up so that the method's weights, and no others, are trained."""
    import_module(f"trainables.methods.{method}").prepare(model)
