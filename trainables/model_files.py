"""What a model's files may say, checked before anything is loaded: whoever made them, they run no code here.

`trust_remote_code=False` is not all of it: a config.json may name an attention kernel (`owner/name`), which
transformers would fetch from the hub and run wherever the package `kernels` is installed, or other weights than those
beside it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainables.errors import Mistake
from trainables.untrusted import parse_json, read_json, regular

WEIGHTS = "model.safetensors"

LONGEST_HEADER = 100 * 2**20
"""Bytes of a safetensors header at most, as the library has it."""

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64), **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6), "F4": 4,
}  # fmt: skip
"""Bits of a number of each type that safetensors knows."""

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
    """A Mistake where a file is no safetensors file: its header is checked, weights are not read."""
    try:
        with regular(file).open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            size = os.fstat(opened.fileno()).st_size - 8 - length
            if size < 0 or length > LONGEST_HEADER:
                raise ValueError("its header would be longer than the file" if size < 0 else "its header is too long")
            _check_tensors(parse_json(opened.read(length)), size)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        what = f"{file.name} is no safetensors file: {error}"
        if _begins_as_pickle(file):
            what = f"{file.name} is a pickle, which may run code of others when it is read"
        raise Mistake(what, where=where, right="weights saved by save_pretrained, fetched whole") from error


def _check_tensors(header: Any, size: int) -> None:
    """ValueError or TypeError where tensors do not fill `size` bytes one after another."""
    if not isinstance(header, dict):
        raise ValueError("its header is no object")  # noqa: TRY004 - a file's fault, not a caller's
    spans = []
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(tensor, dict) or tensor.get("dtype") not in BITS:
            raise ValueError(f"'{name[:80]}' is of no known type")
        (begin, end), shape = tensor["data_offsets"], tensor["shape"]
        if not all(type(one) is int and one >= 0 for one in (begin, end, *shape)):
            raise ValueError(f"'{name[:80]}' has no whole numbers for its shape and place")
        if (end - begin) * 8 != math.prod(shape) * BITS[tensor["dtype"]]:
            raise ValueError(f"'{name[:80]}' is not as long as its shape says")
        spans.append((begin, end))
    filled = 0
    for begin, end in sorted(spans):
        if begin != filled:
            raise ValueError("tensors overlap, or leave a gap")
        filled = end
    if filled != size:
        raise ValueError(f"its tensors have {filled:,} bytes, the file {size:,}")


def _begins_as_pickle(file: Path) -> bool:
    if not file.is_file():
        return False
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
