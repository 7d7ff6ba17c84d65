"""What a tuning method does: put its modules on the model, and say what of the model is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from trainables.models import Encoder, Weights
from trainables.stage import Scalar

TUNED = "tuned"
"""The name of a method's modules in the model. In a stack each stage has its own: `tuned0`, `tuned1`, …"""


class Method(ABC):
    """One tuning method. Stateless; its settings are a stage's.

    The order is `attach`, new heads, `prepare`, the training, `finish`. What an order means for each method is in
    docs/methods.md.
    """

    name: ClassVar[str]

    def attach(self, model: Encoder, settings: Mapping[str, Scalar], parent: Weights, *, training: bool) -> None:
        """Put the method's modules on the model, the parent's where it has some, and new ones where there are none.

        For scoring (not `training`) the parent's are all there are. ValueError where the parent's have another shape.
        """
        return  # full fine-tuning and the probe have no modules

    @abstractmethod
    def prepare(self, model: Encoder, settings: Mapping[str, Scalar]) -> None:
        """Let exactly the method's own weights and the heads be trained."""

    def finish(self, model: Encoder, settings: Mapping[str, Scalar]) -> None:
        """Whatever is done with the modules when a stage's training ends."""
        return  # for most methods nothing


class ModuleMethod(Method):
    """A method whose modules are all that is trained besides the heads: the encoder is frozen, its dropout is not."""

    def prepare(self, model: Encoder, settings: Mapping[str, Scalar]) -> None:
        """Train the newest modules."""
        model.encoder.requires_grad_(False)
        model.encoder.train()
        newest = f".{model.modules_on[-1]}." if model.modules_on else None
        for name, parameter in model.encoder.named_parameters():
            if newest and newest in f".{name}.":
                parameter.requires_grad_(True)
