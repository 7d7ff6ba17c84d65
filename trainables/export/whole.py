"""Write a model with all of its weights, as a class of transformers reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig

from trainables.decoder import Decoder
from trainables.export.form import HEAD, NATIVE, Form, add_pooling, linear_layers
from trainables.model_files import safely
from trainables.models import Weights
from trainables.stage_reader import Ready


def write_whole(ready: Ready, form: Form, base: str, about: dict[str, Any], folder: Path) -> None:
    """config.json (with `about` under `order_search`) and model.safetensors, and `head.safetensors` where the head is
    none of transformers'. RuntimeError where the class has weights that the model lacks."""
    config = _config(ready, form, base, about)
    kind, encoder = ready.task.kind, ready.model.encoder
    state: Weights = encoder.state_dict()
    if isinstance(ready.model, Decoder):
        own = transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        own.generation_config = encoder.generation_config
    elif form.head == "native":
        own = getattr(transformers, form.loader).from_config(config)
        state = {f"{own.base_model_prefix}.{name}": tensor for name, tensor in state.items()}
        places = NATIVE[config.model_type][kind]
        layers = linear_layers(ready.head) if ready.head is not None else {}
        for name, layer in layers.items():
            state |= {f"{places[name]}.{part}": tensor for part, tensor in layer.state_dict().items()}
    else:
        own = transformers.AutoModel.from_config(config, **add_pooling(ready.model))  # type: ignore[no-untyped-call]
    missing = own.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise RuntimeError(f"{type(own).__name__} has weights that the model lacks: {', '.join(missing)}")
    own.save_pretrained(folder)
    if form.head == "file" and ready.head is not None:
        write_head(ready.head, folder)


def write_head(head: torch.nn.Module, folder: Path) -> None:
    """A head's own weights by the names of its layers."""
    save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, folder / HEAD)


def _config(ready: Ready, form: Form, base: str, about: dict[str, Any]) -> Any:
    config = AutoConfig.from_pretrained(**safely(base))
    labels = {"choice": ["score"], "span": ["start", "end"]}.get(ready.task.kind, ready.task.labels)
    if form.head == "native":
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
        if config.model_type == "deberta-v2":  # its class pools with GELU where nothing else is said
            config.pooler_hidden_act, config.pooler_hidden_size = "tanh", config.hidden_size
    config.order_search = about
    return config
