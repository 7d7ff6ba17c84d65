"""Mixed precision: forward passes in bfloat16 where a stage asks for it; all that is kept is float32.

In `bfloat16` matrix products and attention are computed with half as many bits, for which GPUs since Ampere are made.
Weights, gradients, the optimizer's moments, losses, scores and whatever is stored are float32 as ever, and so is what
is computed outside of forward passes: backward passes begin from the loss, gradients are clipped, LoRA is merged,
cosines of sentences are taken, texts are edited.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from trainables.models import Encoder

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@contextmanager
def computed_in(model: Encoder, dtype: str) -> Iterator[None]:
    """In the block the model's forward passes are in a precision, which is a stage's `dtype`.

    RuntimeError on a GPU that would only imitate bfloat16.
    """
    precision = PRECISIONS[dtype]
    if precision is torch.bfloat16 and model.device.type == "cuda":
        _check(model.device)
    before, model.precision = model.precision, precision
    try:
        yield
    finally:
        model.precision = before


def forward_pass(model: Encoder) -> AbstractContextManager[Any]:
    """Around a forward pass, up to the loss or the predictions and not beyond.

    Entered for each pass: autocast keeps what it has cast of the weights to its end, which would outlive their update.
    """
    if model.precision is torch.float32:
        return nullcontext()
    return torch.autocast(model.device.type, model.precision)


def _check(device: torch.device) -> None:
    with torch.cuda.device(device):
        there = torch.cuda.is_bf16_supported(including_emulation=False)
    if not there:
        name = torch.cuda.get_device_name(device)
        right = "precision: float32, or nodes with others (resources_per_trial)"
        raise RuntimeError(f"{name} does not compute in bfloat16, as GPUs do since Ampere; right: {right}")
