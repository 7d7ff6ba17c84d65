"""LoRA: low-rank updates of weight matrices of a frozen encoder (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters import LoRAConfig

from trainables.methods.base import TUNED, ModuleMethod
from trainables.models import Encoder, Weights
from trainables.stage import Scalar


class Lora(ModuleMethod):
    """The update is carried along an order and trained on (continue), or merged into the weights after each stage, so
    that the next begins with a new one (merge)."""

    name = "lora"

    def attach(self, model: Encoder, settings: Mapping[str, Scalar], parent: Weights, *, training: bool) -> None:
        """An update of the layers and matrices that the stage names; what was merged is in the weights already."""
        layers, matrices = settings["lora_layers"], str(settings["lora_matrices"]).split(",")
        adapted = set(range(len(model.layers))) if layers == "all" else set(map(int, str(layers).split(",")))
        attention = [name for name in matrices if name in ("q", "k", "v")]
        config = LoRAConfig(
            r=int(settings["lora_rank"] or 1), alpha=float(settings["lora_alpha"] or 1),  # type: ignore[arg-type]
            dropout=float(settings["lora_dropout"] or 0), selfattn_lora=bool(attention),
            attn_matrices=attention, intermediate_lora="intermediate" in matrices, output_lora="output" in matrices,
            leave_out=[layer for layer in range(len(model.layers)) if layer not in adapted],
        )  # fmt: skip
        what = f"LoRA of rank {settings['lora_rank']} in {settings['lora_matrices']} of layers {layers}"
        model.attach({TUNED: config}, parent, what)

    def finish(self, model: Encoder, settings: Mapping[str, Scalar]) -> None:
        """Merge the update, where that is asked for."""
        if settings["along"] == "merge":
            model.merge(TUNED)
