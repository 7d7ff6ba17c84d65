"""Which model families there are, and what each can do; read from a model's config.json, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from trainables.model_files import check_config


class Family(NamedTuple):
    """What a family is called, whether it reads both ways, and whether the library `adapters` serves it."""

    name: str
    kind: Literal["encoder", "decoder"] = "encoder"
    modules: bool = False


FAMILIES = {
    "xlm-roberta": Family("XLM-R", modules=True),
    "xlm-roberta-xl": Family("XLM-R XL"),
    "roberta": Family("RoBERTa", modules=True),
    "bert": Family("BERT", modules=True),
    "deberta-v2": Family("DeBERTa v2 and v3", modules=True),
    "distilbert": Family("DistilBERT"),  # `adapters` 1.3.0 lets its prompts see padding
    "xmod": Family("X-MOD"),
    "xglm": Family("XGLM", "decoder"),
    "bloom": Family("BLOOM", "decoder"),
    "qwen2": Family("Qwen 2", "decoder"),
    "qwen3": Family("Qwen 3", "decoder"),
    "gpt2": Family("GPT-2", "decoder", modules=True),
    "llama": Family("Llama", "decoder", modules=True),
    "mistral": Family("Mistral", "decoder", modules=True),
    "gemma": Family("Gemma", "decoder"),
    "gemma2": Family("Gemma 2", "decoder"),
    "gpt_neox": Family("GPT-NeoX", "decoder"),
    "opt": Family("OPT", "decoder"),
}
"""By `model_type`. Others are encoders, or decoders where their architecture is a causal LM, without modules."""

SHORTEST_TEXT = 32
"""Tokens that a prompt must leave for a text."""


@cache
def model_config(path: str) -> dict[str, Any]:
    """A model's config.json, from its folder or the hub; a Mistake where there is none that could be a model's."""
    file = Path(path) / "config.json"
    if not Path(path).is_dir():
        from trainables.fingerprint import hub_config

        file = hub_config(path)
    return check_config(file, f"--model {path}")


def family_of(config: Mapping[str, Any]) -> Family:
    """A model's family."""
    causal = any("CausalLM" in name or "LMHead" in name for name in config.get("architectures") or ())
    name = str(config.get("model_type", "unknown"))
    return FAMILIES.get(name, Family(name, "decoder" if causal else "encoder"))


def layers_of(config: Mapping[str, Any]) -> int:
    """The number of layers."""
    keys = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
    return int(next(config[key] for key in keys if config.get(key)))


def width_of(config: Mapping[str, Any]) -> int:
    """The width of the hidden states."""
    return int(next(config[key] for key in ("hidden_size", "d_model", "n_embd", "dim") if config.get(key)))


def longest_text(config: Mapping[str, Any]) -> int:
    """Tokens of the longest text: RoBERTa's and XLM-R's positions begin after the padding's; without a limit, 2048."""
    positions = next(
        (config[k] for k in ("max_position_embeddings", "n_positions", "seq_length") if config.get(k)), 2048
    )
    family = str(config.get("model_type"))
    before = int(config.get("pad_token_id") or 0) + 1 if "roberta" in family or family in ("xmod", "camembert") else 0
    return int(positions) - before
