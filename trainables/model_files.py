"""What a model's files may say, checked before anything is loaded: whoever made them, they run no code here.

`trust_remote_code=False` is not all of it: a config.json may name an attention kernel (`owner/name`), which
transformers would fetch from the hub and run wherever the package `kernels` is installed, or other weights than those
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainables.errors import Mistake
from trainables.untrusted import read_json, regular

WEIGHTS = "model.safetensors"

KNOWN = "a model of a type that transformers knows, with its weights as safetensors"

MOST = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size"), 2**16),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers"), 2**10),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads", "num_key_value_heads"), 2**12),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "type_vocab_size"), 2**20),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "seq_length", "vocab_size"), 2**24),
}  # fmt: skip
"""The largest sizes of a config.json; those of models there are lie well below. Larger ones would fill any memory."""


def safely(path: str) -> dict[str, Any]:
    """The first arguments of every `from_pretrained`: which folder, or which `owner/name[@revision]` of the hub;
    without code of its own, and from the hub only where no folder is named."""
    local = Path(path).is_dir()
    name, _, revision = (path, "", "") if local else path.partition("@")
    return {
        "pretrained_model_name_or_path": name, "revision": revision or None, "trust_remote_code": False,
        "local_files_only": local,
    }  # fmt: skip


def check_folder(folder: Path, where: str) -> None:
    """A Mistake where a model's folder holds what cannot be a model, or would run something when it is loaded."""
    check_config(folder / "config.json", where)
    if (folder / "adapter_config.json").exists():
        what = "the model's folder holds an adapter_config.json, with which libraries load another model than its own"
        raise Mistake(what, where=where, right="the model's files alone")
    check_weights(folder / WEIGHTS, where)
    try:
        read_json(folder / "tokenizer.json")
    except (OSError, ValueError) as error:
        raise Mistake(f"the model's tokenizer.json cannot be read: {error}", where=where) from error


def check_config(file: Path, where: str) -> dict[str, Any]:
    """A config.json's content. Mistake where it is none, asks for code, or names sizes that no model has."""
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise Mistake(f"the model cannot be read: {error}", where=where) from error
    if not isinstance(config, dict):
        raise Mistake("the model cannot be read: its config.json holds no object", where=where)
    for section in _sections(config):
        _check_section(section, where)
    _check_code(config, where)
    return config


def check_weights(file: Path, where: str) -> None:
    """A Mistake where a file is no safetensors file: its header is checked, no weights are read."""
    from safetensors import SafetensorError, safe_open

    try:
        regular(file)
        with safe_open(file, framework="numpy") as opened:
            opened.keys()
    except (SafetensorError, OSError, ValueError) as error:
        what = f"{file.name} is no safetensors file: {error}"
        if _begins_as_pickle(file):
            what = f"{file.name} is a pickle, which may run code of others when it is read"
        raise Mistake(what, where=where, right="weights saved by save_pretrained, fetched whole") from error


def _begins_as_pickle(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _sections(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The configuration and those within it (of a model of several parts)."""
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from _sections(value)


def _check_section(section: Mapping[str, Any], where: str) -> None:
    for key, value in section.items():
        if ("attn_implementation" in key or "kernel" in key) and "/" in str(value):
            what = f"config.json names a kernel of the hub ('{key}'), whose code would run when the model is loaded"
            raise Mistake(what, where=where, right="the same model without this key")
        if key in MOST and value is not None and not (type(value) is int and 0 <= value <= MOST[key]):
            what = f"config.json: '{key}' is {str(value)[:40]}, which is no size of a model"
            raise Mistake(what, where=where, right=f"a whole number up to {MOST[key]:,}")


def _check_code(config: Mapping[str, Any], where: str) -> None:
    from trainables.families import FAMILIES

    if "transformers_weights" in config:
        what = f"config.json names other weights than {WEIGHTS} ('transformers_weights')"
        raise Mistake(what, where=where, right="the same model without this key")
    kind = config.get("model_type")
    if config.get("auto_map") and kind not in FAMILIES:
        what = f"the model brings code of its own ('auto_map', type {kind}), which is never run"
        raise Mistake(what, where=where, right=KNOWN)
