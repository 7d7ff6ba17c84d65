"""Tuning methods by name, each with what it tunes. Known without importing torch; `method` imports the method."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.methods.base import Method
    from trainables.models import Encoder, Weights
    from trainables.stage import Stage

METHODS = {
    "full": "full fine-tuning: every weight is trained (lower layers and embeddings may be frozen)",
    "prompt": "a prefix in every layer, or before the input; the encoder is frozen (arXiv 2210.12360)",
    "adapter": "bottleneck adapters, Pfeiffer's or Houlsby's; the encoder is frozen",
    "lora": "low-rank updates of weight matrices; the encoder is frozen",
    "icl": "nothing of a target: English demonstrations in the context of a decoder",
    "icl-target": "the same with demonstrations in the target's language: few-shot, ranked apart",
    "probe": "the new heads alone: the encoder is frozen, so orders cannot differ (negative control)",
}

IN_CONTEXT = {"icl": "en", "icl-target": "target"}
"""Methods that train nothing on a target, and the language of their demonstrations: English, or the target's own."""

FEW_SHOT = ("icl-target",)
"""Methods that see labels in the target languages: what they score is ranked apart."""

FROZEN = ("prompt", "adapter", "lora")
"""Methods that train modules of the library `adapters` in a frozen encoder."""


def method(name: str) -> Method:
    """A method that trains something. KeyError for a name that is none of `METHODS`, and for those in context."""
    if name not in METHODS or name in IN_CONTEXT:
        raise KeyError(f"unknown method {name!r}")
    found: Method = getattr(import_module(f"trainables.methods.{name}"), name.capitalize())()
    return found


def put_on(model: Encoder, stage: Stage, parent: Weights) -> None:
    """Lay a parent's weights over the base model and put the stage's modules on: all but the heads.

    A score stage has the modules that its parent stored and makes no new ones.
    """
    from trainables.models import modules_in

    model.reset(parent)
    training = stage.kind == "train"
    if training or modules_in(parent):
        method(stage.method).attach(model, stage.settings, parent, training=training)
