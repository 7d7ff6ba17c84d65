"""The settings of the tuning methods, and what each adds to a stage's. Without torch, so that planning stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from trainables.config import Config
from trainables.methods import IN_CONTEXT
from trainables.stage import Scalar
from trainables.templates import IclSettings, InContext

MATRICES = ("q", "k", "v", "intermediate", "output")
"""The weight matrices of a layer that LoRA may adapt: of the attention, and the two of the feed-forward block."""


class FullSettings(Config):
    """Partial freezing: the embeddings, and the lower layers up to a number."""

    freeze_embeddings: bool = False
    freeze_layers: int = Field(0, ge=0)


class PromptSettings(Config):
    """A prompt's form: a free prefix of keys and values in every layer (P-tuning v2, arXiv 2110.07602), that prefix
    made by a small network while it is trained (2101.00190), or vectors before the input's (2104.08691)."""

    form: Literal["prefix", "reparameterised", "input"] = "prefix"
    bottleneck: int = Field(512, ge=1, description="width of the network that makes a reparameterised prefix")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the prefix")


class AdapterSettings(Config):
    """Bottleneck adapters: after the feed-forward block (Pfeiffer, arXiv 2005.00247) or after both blocks of a layer
    (Houlsby, 1902.00751).

    `along` an order they are trained on (continue), or a new one is put on the frozen former ones (stack). `languages`
    is a folder of language adapters, one a language (MAD-X, 2005.00052), which are put below and exchanged at test.
    """

    form: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    reduction: float = Field(16, ge=1, description="the model's width divided by the adapter's")
    along: Literal["continue", "stack"] = "continue"
    languages: str | None = None


class LoraSettings(Config):
    """Low-rank updates of weight matrices (arXiv 2106.09685). `along` an order they are trained on (continue), or
    merged into the weights after each stage (merge). `layers` counts from 0."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    layers: Literal["all"] | list[int] = "all"
    matrices: list[str] = Field(default_factory=lambda: ["q", "v"], min_length=1)
    along: Literal["continue", "merge"] = "continue"

    @field_validator("matrices")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in MATRICES:
                raise ValueError(f"'{name}' is none of {', '.join(MATRICES)}")
        return [name for name in MATRICES if name in value]

    @field_validator("layers")
    @classmethod
    def _layers(cls, value: str | list[int]) -> str | list[int]:
        if not value or (isinstance(value, list) and min(value) < 0):
            raise ValueError("layers are counted from 0, and one at least is needed")
        return sorted(set(value)) if isinstance(value, list) else value


class MethodSettings(Config):
    """Settings of each method; those of methods that a study does not use change nothing of it."""

    full: FullSettings = FullSettings.model_validate({})
    prompt: PromptSettings = PromptSettings.model_validate({})
    adapter: AdapterSettings = AdapterSettings.model_validate({})
    lora: LoraSettings = LoraSettings.model_validate({})
    icl: InContext = InContext.model_validate({})


def scalars(settings: MethodSettings, method: str, prompt_length: int | None = None) -> dict[str, Scalar]:
    """What a method adds to the settings of every stage of its candidates: all that its modules depend on."""
    match method:
        case "full":
            own = settings.full
            frozen: Mapping[str, Scalar] = {
                "freeze_embeddings": own.freeze_embeddings, "freeze_layers": own.freeze_layers
            }  # fmt: skip
            return {name: value for name, value in frozen.items() if value}
        case "prompt":
            made_by = {"prompt_bottleneck": settings.prompt.bottleneck}
            return {
                "prompt_form": settings.prompt.form, "prompt_length": prompt_length,
                "prompt_dropout": settings.prompt.dropout,
                **(made_by if settings.prompt.form == "reparameterised" else {}),
            }  # fmt: skip
        case "adapter":
            bottleneck = settings.adapter
            return {
                "adapter_form": bottleneck.form, "adapter_reduction": bottleneck.reduction, "along": bottleneck.along
            }  # fmt: skip
        case "lora":
            low = settings.lora
            return {
                "lora_rank": low.rank, "lora_alpha": low.alpha, "lora_dropout": low.dropout,
                "lora_layers": low.layers if low.layers == "all" else ",".join(map(str, low.layers)),
                "lora_matrices": ",".join(low.matrices), "along": low.along,
            }  # fmt: skip
        case "icl" | "icl-target":
            own_icl = {f"icl_{name}": value for name, value in settings.icl.model_dump().items()}
            return {**own_icl, "icl_demonstrations": IN_CONTEXT[method]}
    return {}


def icl_settings(settings: Mapping[str, Scalar]) -> IclSettings:
    """How a score stage scores in context; of one that does not, without demonstrations."""
    own = {name.removeprefix("icl_"): value for name, value in settings.items() if name.startswith("icl_")}
    return IclSettings.model_validate({"shots": 0, **own})
