"""How many parameters a method tunes: counted on a model, or by formula from a configuration alone (no weights).

The formulas give the encoder's side; `classification_head` is what a head adds to it. Those of the BERT family hold for
BERT, RoBERTa, XLM-R and XLM-R XL, and with relative positions for DeBERTa v2 and v3; pooling layers are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

BOTTLENECKS = {"pfeiffer": 1, "houlsby": 2}
"""Bottleneck modules a layer, by the adapter's form (arXiv 2005.00247; 1902.00751)."""

PRE_NORM = "xlm-roberta-xl"
BERT_FAMILY = ("bert", "roberta", "xlm-roberta", PRE_NORM)
DEBERTA = ("deberta-v2",)


def count(model: nn.Module) -> tuple[int, int]:
    """Parameters that are tuned, and all; a tensor that two modules share counts once. Works on the meta device too."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, tuned in sizes if tuned), sum(size for size, _ in sizes)


def tuned_parameters(config: Mapping[str, Any], method: str, settings: Mapping[str, Any]) -> int:
    """Parameters that a method tunes in an encoder, its heads not among them.

    `config` has the keys of a Hugging Face config.json; `settings` are those of a stage (`methods.settings.scalars`).
    Of a stack of adapters the newest is tuned. ValueError where the method, its form or a matrix is unknown, a layer is
    not there, or the configuration does not say a size.
    """
    match method:
        case "probe" | "icl":
            return 0
        case "full":
            return _full(config, settings)
        case "prompt":
            return _prompt(config, settings)
        case "adapter":
            return _adapter(config, settings)
        case "lora":
            return _lora(config, settings)
        case other:
            raise ValueError(f"no formula for the method {other!r}")


def classification_head(width: int, labels: int) -> int:
    """Parameters of the head of classification (dense, tanh, dense); a choice's has one label."""
    return _linear(width, width) + _linear(width, labels)


def encoder_parameters(config: Mapping[str, Any]) -> int:
    """All parameters of an encoder without pooling layer and heads."""
    return _embeddings(config) + _size(config, "num_hidden_layers") * _layer(config) + _beside_layers(config)


def _full(config: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """All but embeddings and lower layers where these are frozen."""
    frozen, layers = int(settings.get("freeze_layers") or 0), _size(config, "num_hidden_layers")
    if not 0 <= frozen <= layers:
        raise ValueError(f"of {layers} layers {frozen} cannot be frozen")
    embeddings = _embeddings(config) if settings.get("freeze_embeddings") else 0
    return encoder_parameters(config) - embeddings - frozen * _layer(config)


def _prompt(config: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Keys and values in every layer (P-tuning v2, arXiv 2110.07602), or input embeddings alone (2104.08691)."""
    h, length = _size(config, "hidden_size"), int(settings["prompt_length"] or 0)
    every = 2 * _size(config, "num_hidden_layers") * h
    if not length:
        return 0
    match settings["prompt_form"]:
        case "prefix":
            return length * every
        case "input":
            return length * h
        case "reparameterised":
            middle = int(settings["prompt_bottleneck"])
            return length * h + _linear(h, middle) + _linear(middle, every)
        case other:
            raise ValueError(f"no formula for the prompt form {other!r}")


def _adapter(config: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Down and up again, with biases, once or twice a layer."""
    h, form = _size(config, "hidden_size"), settings["adapter_form"]
    if form not in BOTTLENECKS:
        raise ValueError(f"no formula for the adapter form {form!r}")
    b = max(1, int(h // settings["adapter_reduction"]))
    return _size(config, "num_hidden_layers") * BOTTLENECKS[form] * (_linear(h, b) + _linear(b, h))


def _lora(config: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Two matrices of the rank beside each adapted one, without biases (arXiv 2106.09685)."""
    h, inner, layers = (_size(config, key) for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    sides = {"q": 2 * h, "k": 2 * h, "v": 2 * h, "intermediate": h + inner, "output": inner + h}
    matrices, chosen = set(settings["lora_matrices"].split(",")), settings["lora_layers"]
    adapted = set(range(layers)) if chosen == "all" else set(map(int, str(chosen).split(",")))
    if unknown := matrices - set(sides):
        raise ValueError(f"no such matrix: {', '.join(sorted(unknown))}; known: {', '.join(sides)}")
    if missing := adapted - set(range(layers)):
        raise ValueError(f"no such layer: {', '.join(map(str, sorted(missing)))}; known: 0 to {layers - 1}")
    return len(adapted) * int(settings["lora_rank"]) * sum(sides[matrix] for matrix in matrices)


def _embeddings(config: Mapping[str, Any]) -> int:
    """What is before the first layer; ValueError for a family that has no formula."""
    kind, h = config.get("model_type"), _size(config, "hidden_size")
    rows = _size(config, "vocab_size")
    if kind in BERT_FAMILY:
        rows += _size(config, "max_position_embeddings") + _size(config, "type_vocab_size")
    elif kind not in DEBERTA or not _is_v3(config):
        raise ValueError(f"no formula for all parameters of a model of the type {kind!r} with these settings")
    return rows * h + (_norm(h) if kind != PRE_NORM else 0)


def _beside_layers(config: Mapping[str, Any]) -> int:
    """What is neither embeddings nor layers: relative positions with their norm, or a norm after the last layer."""
    kind, h = config.get("model_type"), _size(config, "hidden_size")
    if kind in DEBERTA:
        return 2 * _size(config, "position_buckets") * h + _norm(h)
    return _norm(h) if kind == PRE_NORM else 0


def _layer(config: Mapping[str, Any]) -> int:
    """Attention's four matrices, the feed-forward block's two, and a norm for each block."""
    h, inner = _size(config, "hidden_size"), _size(config, "intermediate_size")
    return 4 * _linear(h, h) + _linear(h, inner) + _linear(inner, h) + 2 * _norm(h)


def _is_v3(config: Mapping[str, Any]) -> bool:
    """Whether positions are as in DeBERTa v3: relative, in buckets, with attention's own matrices and a norm."""
    return bool(
        config.get("relative_attention")
        and config.get("share_att_key")
        and config.get("norm_rel_ebd") == "layer_norm"
        and not config.get("position_biased_input")
        and not config.get("type_vocab_size")
        and int(config.get("conv_kernel_size", 0)) == 0
    )


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _norm(width: int) -> int:
    return 2 * width


def _size(config: Mapping[str, Any], key: str) -> int:
    if config.get(key) is None:
        raise ValueError(f"the configuration does not say {key}")
    return int(config[key])
