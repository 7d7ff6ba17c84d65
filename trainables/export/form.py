"""In which form a stage's model is written: whole or as adapters of a named base, with which class and which head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from trainables.decoder import Decoder
from trainables.models import Encoder
from trainables.stage_reader import Ready
from trainables.tasks import UNTRAINED

CLASSES = {
    "classification": "AutoModelForSequenceClassification", "choice": "AutoModelForMultipleChoice",
    "tagging": "AutoModelForTokenClassification", "span": "AutoModelForQuestionAnswering",
}  # fmt: skip
"""The classes of transformers that have a head for each kind of task."""

_TOKENS = {"tagging": {"": "classifier"}, "span": {"": "qa_outputs"}}
_ROBERTA = {
    **_TOKENS,
    "classification": {"dense": "classifier.dense", "out": "classifier.out_proj"},
    "choice": {"dense": "roberta.pooler.dense", "out": "classifier"},
}
_BERT = {
    **_TOKENS,
    **{kind: {"dense": "bert.pooler.dense", "out": "classifier"} for kind in ("classification", "choice")},
}
_DEBERTA = {
    **_TOKENS,
    **{kind: {"dense": "pooler.dense", "out": "classifier"} for kind in ("classification", "choice")},
}

NATIVE: dict[str, dict[str, dict[str, str]]] = {
    **dict.fromkeys(("xlm-roberta", "xlm-roberta-xl", "xmod", "roberta"), _ROBERTA), "bert": _BERT,
    "deberta-v2": _DEBERTA, "distilbert": _TOKENS,
}  # fmt: skip
"""By model type and kind of task: where the layers of a head are in transformers' own head, of those that compute the
same (dense, tanh, dense on the first token; one layer on each token). DistilBERT classifies with a ReLU instead."""

HEAD = "head.safetensors"
"""The file of a head that no class of transformers and adapters has."""

Head = Literal["native", "file", "none"]


@dataclass(frozen=True)
class Form:
    """How a stage's model is written."""

    loader: str
    """The class that reads it."""
    head: Head
    whole: bool
    """Whether all weights are written; else adapters alone, for a base that is named."""
    below: tuple[str, ...] = ()
    """The names of a stack's lower adapters, the lowest first."""


def form_of(ready: Ready) -> Form:
    """The form of a model: whole where its encoder is not the base's any more or nothing was added to it."""
    model, kind = ready.model, ready.task.kind
    whole = ready.changed or not (model.modules_on or model.language)
    if ready.head is None:
        in_text = isinstance(model, Decoder) and kind not in UNTRAINED
        return Form("AutoModelForCausalLM" if in_text else "AutoModel", "none", whole, _below(ready))
    if isinstance(model, Decoder):  # it tags words by their states, as an encoder does
        return Form("AutoModel", "file", whole, _below(ready))
    if whole:
        native = kind in NATIVE.get(model.encoder.config.model_type, {})
        return Form(CLASSES[kind], "native", True) if native else Form("AutoModel", "file", True)
    # An input prompt stands before the first token, which the heads of `adapters` would take for it.
    if model.prompt_rows:
        return Form("AutoModel", "file", False)
    return Form("AutoAdapterModel", "native", False, _below(ready))


def module_name(task: str) -> str:
    """A task's name as one of a module: without dots."""
    return task.replace(".", "_")


def _below(ready: Ready) -> tuple[str, ...]:
    return tuple(f"{module_name(ready.task.name)}-{place}" for place in range(len(ready.model.modules_on) - 1))


def add_pooling(model: Encoder) -> dict[str, bool]:
    """What a model's class is told so that it makes no pooler, where it would: ours have none."""
    lacks = "pooler" in dict(model.encoder.named_children()) or hasattr(model.encoder, "pooler")
    return {"add_pooling_layer": False} if lacks and model.encoder.pooler is None else {}


def linear_layers(head: nn.Module) -> dict[str, nn.Linear]:
    """The layers of a head by name; of one that is a single layer by no name."""
    return {name: layer for name, layer in head.named_modules() if isinstance(layer, nn.Linear)}
