"""Write what a method added to a frozen model, in the format of the library `adapters`; and what it was added to."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers

from trainables.export.form import Form, add_pooling, linear_layers, module_name
from trainables.export.whole import write_head
from trainables.fingerprint import hub_config
from trainables.language_folder import CONFIG, WEIGHTS
from trainables.model_files import safely
from trainables.stage_reader import Ready

BASE, LANGUAGES = "base", "languages"
"""The folders, beside the targets', of a base that is not on the hub, and of language adapters."""

_OF_A_MODEL = ("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json",
               "tokenizer*", "special_tokens_map.json", "added_tokens.json", "*.model", "vocab*", "merges.txt",
               "LICENSE*")  # fmt: skip


def named_base(path: str) -> dict[str, str]:
    """Where the base model is: its name and commit on the hub, or, from a target's folder, that of its copy."""
    name = path.partition("@")[0]
    if Path(name).is_dir():
        return {"path": f"../{BASE}"}
    return {"path": name, "revision": hub_config(path).parent.name}


def copy_base(path: str, folder: Path) -> None:
    """The files of a local model: a base that nobody could fetch."""
    folder.mkdir()
    for pattern in _OF_A_MODEL:
        for file in sorted(Path(path).glob(pattern)):
            shutil.copyfile(file, folder / file.name)


def copy_languages(source: Path, languages: Iterable[str], folder: Path) -> None:
    """The language adapters of these languages, as they are."""
    for code in languages:
        (folder / code).mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(source / code / name, folder / code / name)


def write_modules(ready: Ready, form: Form, base: str, folder: Path) -> None:
    """The adapter (of a stack the last one here, the lower ones in `below/NUMBER`), with its head."""
    model = ready.model
    if not model.modules_on:
        return
    name = module_name(ready.task.name)
    own = _opened(ready, form, base)
    for module, new in zip(model.modules_on, (*form.below, name), strict=True):
        own.add_adapter(new, config=model.encoder.adapters_config.get(module))
        _copy(model.encoder, module, own, new)
    own.apply_to_adapter_layers(lambda _, layer: _unlink(layer))
    for place, new in enumerate(form.below):
        _save(own, new, folder / "below" / str(place), base)
    if form.head == "native":
        _add_head(own, name, ready)
    _save(own, name, folder, base)
    if form.head == "file" and ready.head is not None:
        write_head(ready.head, folder)


def _opened(ready: Ready, form: Form, base: str) -> Any:
    """The base model, opened by the library."""
    import adapters

    logging.getLogger("adapters").setLevel(logging.ERROR)
    about: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
    if form.loader == "AutoAdapterModel":
        return adapters.AutoAdapterModel.from_pretrained(**safely(base), **about)
    about |= add_pooling(ready.model) if form.loader == "AutoModel" else {}
    own = getattr(transformers, form.loader).from_pretrained(**safely(base), **about)
    adapters.init(own)
    return own


@torch.no_grad()
def _copy(encoder: Any, module: str, own: Any, new: str) -> None:
    """A module's weights from our model to one that may have the encoder below a prefix, and a new name for it."""
    theirs = {_bare(name, own): parameter for name, parameter in own.named_parameters() if f".{new}." in f".{name}."}
    ours = {
        _bare(f".{name}.".replace(f".{module}.", f".{new}.").strip("."), encoder): parameter
        for name, parameter in encoder.named_parameters()
        if f".{module}." in f".{name}."
    }
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"the library puts an adapter elsewhere: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    for name, parameter in ours.items():
        theirs[name].copy_(parameter)


def _bare(name: str, model: Any) -> str:
    return name.removeprefix(f"{model.base_model_prefix}.")


@torch.no_grad()
def _add_head(own: Any, name: str, ready: Ready) -> None:
    """Our head as one of the library's, which are built of the same layers."""
    labels = dict(enumerate(ready.task.labels))
    match ready.task.kind:
        case "classification":
            own.add_classification_head(name, num_labels=len(labels), layers=2, id2label=labels)
        case "choice":  # one score a choice, since examples differ in how many they have
            own.add_multiple_choice_head(name, num_choices=1, layers=2)
        case "tagging":
            own.add_tagging_head(name, num_labels=len(labels), layers=1, id2label=labels)
        case _:
            own.add_qa_head(name, num_labels=2, layers=1)
    layers = linear_layers(own.heads[name]).values()
    ours = linear_layers(ready.head) if ready.head is not None else {}
    for theirs, layer in zip(layers, ours.values(), strict=True):
        theirs.load_state_dict(layer.state_dict())


def _save(own: Any, name: str, folder: Path, base: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    own.save_adapter(str(folder), name, use_safetensors=True)
    for file in folder.glob("*_config.json"):  # the library notes from where the base was read
        content = json.loads(file.read_text("utf-8"))
        content["model_name"] = named_base(base)["path"]
        file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def _unlink(layer: Any) -> None:
    """Take a prefix's second names away, one in each layer: weights with several names are not written."""
    from adapters.methods.prefix_tuning import PrefixTuningLayer

    if isinstance(layer, PrefixTuningLayer):
        layer.set_pool(None)
