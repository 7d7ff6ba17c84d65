"""Bottleneck adapters in a frozen encoder: Pfeiffer's (arXiv 2005.00247) or Houlsby's form (1902.00751)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters import DoubleSeqBnConfig, SeqBnConfig

from trainables.methods.base import TUNED, ModuleMethod
from trainables.models import Encoder, Weights, modules_in
from trainables.stage import Scalar


class Adapter(ModuleMethod):
    """One adapter is carried along an order and trained on (continue), or each stage puts a new one on the frozen
    former ones (stack). With language adapters (MAD-X, 2005.00052) English's is below them, frozen and not stored; at
    test each language's own takes its place."""

    name = "adapter"

    def attach(self, model: Encoder, settings: Mapping[str, Scalar], parent: Weights, *, training: bool) -> None:
        """The parent's adapters and, for a stage of a stack, one more."""
        config = SeqBnConfig if settings["adapter_form"] == "pfeiffer" else DoubleSeqBnConfig
        names = [TUNED]
        if settings["along"] == "stack":
            former = modules_in(parent)
            names = [f"{TUNED}{place}" for place in range(len(former) + training)]
        reduction = float(settings["adapter_reduction"] or 1)
        modules = {name: config(reduction_factor=reduction) for name in names}
        what = f"an adapter ({settings['adapter_form']}, reduction {reduction:g})"
        model.attach(modules, parent, what, language=bool(settings.get("language_adapters")))
