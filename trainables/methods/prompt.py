"""Prompt tuning: a few vectors are trained, the encoder is frozen.

`prefix`: free keys and values before those of every layer (P-tuning v2, arXiv 2110.07602, the form of 2210.12360);
`reparameterised`: the same, made by a small network (Li & Liang, 2101.00190); `input`: vectors before the embedded
text (Lester et al., 2104.08691). The modules are those of the library `adapters`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from adapters import PrefixTuningConfig, PromptTuningConfig
from adapters.utils import prefix_attention_mask
from torch import Tensor

from trainables.methods.base import TUNED, ModuleMethod
from trainables.models import Encoder, Weights
from trainables.stage import Scalar


class Prompt(ModuleMethod):
    """The prompt is carried along an order and trained on; its length stays."""

    name = "prompt"

    def attach(self, model: Encoder, settings: Mapping[str, Scalar], parent: Weights, *, training: bool) -> None:
        """A prompt of the stage's length. A parent's of another length is refused."""
        length = int(settings["prompt_length"] or 0)
        if length < 1:
            raise ValueError(f"a prompt has a length of 1 or more, not {length}: no prompt at all is the method probe")
        dropout = float(settings.get("prompt_dropout") or 0.0)
        if settings["prompt_form"] == "input":
            config = PromptTuningConfig(prompt_length=length)
        else:
            flat = settings["prompt_form"] == "prefix"
            width = int(settings.get("prompt_bottleneck") or 1)
            config = PrefixTuningConfig(flat=flat, prefix_length=length, bottleneck_size=width, dropout=dropout)
        model.attach({TUNED: config}, parent, what=f"a prompt of length {length} ({settings['prompt_form']})")
        if settings["prompt_form"] == "input":
            model.prompt_rows = length
            _mend_masks()


def _mend_masks() -> None:
    """Let a prompt's vectors attend to the text alone: under `adapters` 1.3.0 they see its padding too.

    The library lengthens a mask of queries × keys by rows that hide nothing. A prompt's rows should be as any other
    token's, and in a mask without causality all rows are alike.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("adapters.models.") and getattr(module, "prefix_attention_mask", None):
            module.prefix_attention_mask = _mask_with_prompt  # type: ignore[attr-defined]


def _mask_with_prompt(attention_mask: Tensor | None, dim: int | list[int] = 3, prefix_value: int = 0) -> Tensor | None:
    longer: Tensor | None = prefix_attention_mask(attention_mask, dim, prefix_value)
    if longer is None or attention_mask is None:
        return longer
    new = longer.shape[2] - attention_mask.shape[2]
    if not new:
        return longer
    # With the columns put on first (as DeBERTa's are) the new rows are as wide as all others; the first row is <s>'s.
    return torch.cat([longer[:, :, new : new + 1].expand(-1, -1, new, -1), longer[:, :, new:]], dim=2)
