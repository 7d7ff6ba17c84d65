"""Models and language adapters: folders that are none, lie about themselves, or would run something."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from typing import Any

from hostile.arena import Arena, Case, registered

CASES: dict[str, Case] = {}


def refused(*told: str) -> Any:
    """Registers a case of this file."""
    return registered(CASES, *told)


def _weights(header: object, content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def _tensor(begin: int, end: int, **changed: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end], **changed}


def _model(arena: Arena, weights: bytes) -> list[Any]:
    arena.put("model/model.safetensors", weights)
    return arena.study()


def _config(arena: Arena, **keys: Any) -> list[Any]:
    arena.put("model/config.json", json.dumps({"model_type": "xlm-roberta", **keys}))
    return arena.study()


@refused("is a pickle", "--model")
def _a_pickle_as_weights(arena):
    return _model(arena, arena.pickle)


@refused("is a pickle")
def _a_zip_with_a_pickle_as_torch_saves_it(arena):
    with zipfile.ZipFile(arena.at("model/model.safetensors"), "w") as archive:
        archive.writestr("archive/data.pkl", arena.pickle)
    return arena.study()


@refused("lacks model.safetensors")
def _a_pickle_alone(arena):
    (arena.model / "model.safetensors").unlink()
    arena.put("model/pytorch_model.bin", arena.pickle)
    return arena.study()


@refused("no safetensors file")
def _empty_weights(arena):
    return _model(arena, b"")


@refused("longer than the file")
def _truncated_weights(arena):
    return _model(arena, _weights({"a": _tensor(0, 8)}, b"\0" * 8)[:30])


@refused("its tensors have 8 bytes, the file 4")
def _weights_cut_at_their_end(arena):
    return _model(arena, _weights({"a": _tensor(0, 8)}, b"\0" * 4))


@refused("no safetensors file")
def _a_header_of_exabytes(arena):
    return _model(arena, _weights({}, length=2**63))


@refused("overlap")
def _tensors_that_overlap(arena):
    return _model(arena, _weights({"a": _tensor(0, 8), "b": _tensor(4, 12)}, b"\0" * 12))


@refused("whole numbers")
def _tensors_before_the_beginning(arena):
    return _model(arena, _weights({"a": _tensor(-8, 0)}))


@refused("not as long as its shape says")
def _a_shape_of_terabytes(arena):
    return _model(arena, _weights({"a": _tensor(0, 8, shape=[2**40])}, b"\0" * 8))


@refused("no known type")
def _an_unknown_type(arena):
    return _model(arena, _weights({"a": _tensor(0, 8, dtype="O")}, b"\0" * 8))


@refused("nested too deeply")
def _a_header_nested_too_deeply(arena):
    return _model(arena, _weights(b"[" * 100_000))


@refused("lacks model.safetensors")
def _a_pipe_as_weights(arena):
    (arena.model / "model.safetensors").unlink()
    os.mkfifo(arena.model / "model.safetensors")
    return arena.study()


@refused("has no weights")
def _a_pipe_as_a_language_adapter(arena):
    folder = _adapters(arena)
    for code in ("en", "de"):
        os.mkfifo(arena.folder / "adapters" / code / "adapter.safetensors")
    return _with_adapters(arena, folder)


@refused("kernel of the hub")
def _a_kernel_of_the_hub(arena):
    return _config(arena, _attn_implementation_internal="evil/kernel:run")


@refused("kernel of the hub")
def _a_kernel_of_the_hub_in_a_part(arena):
    return _config(arena, text_config={"attn_implementation": {"": "evil/kernel"}})


@refused("code of its own")
def _code_of_the_hub(arena):
    arena.put("model/modeling.py", f"open({str(arena.canary)!r}, 'w')")
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "modeling.Evil")
    return _config(arena, model_type="evil", auto_map=auto)


@refused("other weights")
def _weights_elsewhere(arena):
    return _config(arena, transformers_weights="../../secret.safetensors")


@refused("'hidden_size' is 1000000000000")
def _a_width_of_terabytes(arena):
    return _config(arena, hidden_size=10**12)


@refused("'num_hidden_layers' is 1e+300")
def _layers_that_are_no_number(arena):
    return _config(arena, num_hidden_layers=1e300)


@refused("'vocab_size' is NaN".lower())
def _a_vocabulary_of_nan(arena):
    return _config(arena, vocab_size=float("nan"))


@refused("holds no object")
def _a_config_that_is_a_list(arena):
    arena.put("model/config.json", "[]")
    return arena.study()


@refused("nested too deeply")
def _a_config_nested_too_deeply(arena):
    arena.put("model/config.json", '{"a":' * 100_000)
    return arena.study()


@refused("adapter_config.json")
def _a_model_that_names_another_one(arena):
    arena.put("model/adapter_config.json", json.dumps({"base_model_name_or_path": "evil/model"}))
    return arena.study()


@refused("tokenizer.json cannot be read")
def _a_malformed_tokenizer(arena):
    arena.put("model/tokenizer.json", b"\xff\xfe{")
    return arena.study()


@refused("there is no model")
def _a_model_of_a_name_too_long(arena):
    return arena.study("--model", "m" * 5000)


@refused("there is no model")
def _a_model_in_the_home_of_nobody(arena):
    return arena.study("--model", "~nosuchuser/model")


def _adapters(arena: Arena, weights: bytes | None = None, about: Any = None) -> str:
    own = {"config": {"reduction_factor": 2}, "model_type": "xlm-roberta", "hidden_size": 96, "name": "en"}
    for code in ("en", "de"):
        text = about if isinstance(about, str) else json.dumps(about or own)
        arena.put(f"adapters/{code}/adapter_config.json", text)
        if weights is not None:
            arena.put(f"adapters/{code}/adapter.safetensors", weights)
    return arena.at("adapters")


def _with_adapters(arena: Arena, folder: str) -> list[Any]:
    arena.put("model/config.json", json.dumps({"model_type": "xlm-roberta", "hidden_size": 96}))
    return arena.study("--method", "adapter", "--set", f"methods.adapter.languages={folder}")


@refused("adapter.safetensors is a pickle")
def _a_pickle_as_a_language_adapter(arena):
    return _with_adapters(arena, _adapters(arena, arena.pickle))


@refused("is a pickle (pytorch_adapter.bin)")
def _a_language_adapter_that_is_a_pickle(arena):
    folder = _adapters(arena)
    for code in ("en", "de"):
        arena.put(f"adapters/{code}/pytorch_adapter.bin", arena.pickle)
    return _with_adapters(arena, folder)


@refused("no bottleneck adapter")
def _a_language_adapter_of_another_kind(arena):
    return _with_adapters(arena, _adapters(arena, _weights({}), {"config": "https://evil.example/config.json"}))


@refused("nested too deeply")
def _a_language_adapter_nested_too_deeply(arena):
    return _with_adapters(arena, _adapters(arena, _weights({}), "[" * 50_000))
