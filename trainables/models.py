"""The model of a worker: a base encoder that stays in memory, the heads of a stage, and pooling of states."""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

from trainables.families import longest_text, model_config
from trainables.language_folder import ENGLISH, LANGUAGE, LanguageFolder
from trainables.lower import LowerStates
from trainables.model_files import safely
from trainables.watch import beat

Weights = dict[str, Tensor]

_SAFELY: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
_FULL = torch.ones(1)
_POOLED = ("xlm-roberta", "xlm-roberta-xl", "xmod", "roberta", "bert")


_MODULE = re.compile(r"\.(tuned\d*)\.")


def modules_in(weights: Mapping[str, Tensor]) -> set[str]:
    """The names of the methods' modules that a stage's weights hold."""
    return {found[1] for name in weights if name.startswith("encoder.") and (found := _MODULE.search(name))}


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the states (batch × length × width) over the tokens that are no padding: batch × width."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


class Laid(NamedTuple):
    """What was copied into a weight of the model, and the weight's version then, which torch counts up when it is
    changed in place; `held` where it was not copied into it, but from it."""

    source: ref[Tensor]
    version: int
    held: bool = False

    def is_still(self, source: Tensor, own: Tensor, trained: bool) -> bool:
        """Whether the weight is that, and as it was. A fused optimizer does not count versions: one that is trained may
        have been changed."""
        return self.source() is source and self.version == own._version and (self.held or not trained)


class Encoder(nn.Module):
    """A base encoder with heads. Weights are named `encoder.…` and `heads.TASK.…`."""

    def __init__(self, path: str, device: str = "cpu") -> None:
        """`path` is a folder or `owner/name[@revision]`; weights come from safetensors, never from code of the hub."""
        super().__init__()
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        model_config(path)  # what it asks for besides weights is refused
        where = safely(path)
        config = AutoConfig.from_pretrained(**where)
        extra: dict[str, Any] = {"add_pooling_layer": False} if config.model_type in _POOLED else {}
        self._source: dict[str, Any] = {**where, "config": config, **_SAFELY}
        self._extra = extra
        self.encoder: Any = self._load()
        tokenizer = AutoTokenizer.from_pretrained(**where, use_fast=True)  # type: ignore[no-untyped-call]
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        self.width: int = config.hidden_size
        self.heads = nn.ModuleDict()
        self._opened = False  # by the library `adapters`; without modules the states stay the same, bit for bit
        self.modules_on: list[str] = []
        self.prompt_rows = 0
        self.language_folder: LanguageFolder | None = None
        self.language: str | None = None
        """Whose language adapter is on; None where there is none."""
        self._merged: set[str] = set()
        self._masked_lm_head: list[nn.Module] | None = None  # a list, so that it is no module of this one
        self.device = torch.device(device)
        self.precision = torch.float32
        """Of forward passes (`precision.computed_in`); the weights are float32."""
        self.to(self.device)
        self._places = self._layer_of_each()
        self.lower = LowerStates()
        self.read_ids: dict[int, tuple[Any, set[int]]] = {}
        """By its features' identity, which are kept so that no others have it: what token ids a training set has."""
        self.base_layers = len(self.layers)
        """How many of the lowest layers, with the embeddings below them, are the base model's own."""
        self._base: Weights = {name: tensor.detach().clone() for name, tensor in self.encoder.state_dict().items()}
        self._laid: dict[str, Laid] = {}

    def _load(self) -> nn.Module:
        loaded: nn.Module = AutoModel.from_pretrained(**self._source, **self._extra)
        return loaded

    @property
    def base(self) -> Mapping[str, Tensor]:
        """The base model's weights, by their names in the encoder."""
        return self._base

    @property
    def positions(self) -> int:
        """Tokens of the longest text that the model reads."""
        return longest_text(self.encoder.config.to_dict())

    @property
    def embeddings(self) -> nn.Module:
        """All that is done before the first layer."""
        found: nn.Module = self.encoder.embeddings
        return found

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, the lowest first."""
        return next(module for module in self.encoder.modules() if isinstance(module, nn.ModuleList))

    def _layer_of_each(self) -> dict[str, int]:
        """The layer that each weight is of, from 0; -1 for the embeddings', and for what is of neither."""
        places = {id(module): number for number, module in enumerate(self.layers)}
        found = dict.fromkeys(self.encoder.state_dict(), -1)
        for name, module in self.encoder.named_modules():
            if id(module) in places:
                found.update({f"{name}.{own}": places[id(module)] for own in module.state_dict()})
        return found

    def states(self, ids: Tensor, mask: Tensor, layer: int = -1) -> Tensor:
        """Hidden states of a layer (-1: the last; 0: the embeddings), batch × length × width."""
        if layer == -1:
            last: Tensor = self.encoder(**self._inputs(ids, mask)).last_hidden_state
            return last[:, self.prompt_rows :]
        return self.all_states(ids, mask)[layer]

    def all_states(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of all layers, the embeddings first, each batch × length × width, without a prompt's."""
        every = self.encoder(**self._inputs(ids, mask), output_hidden_states=True).hidden_states
        return tuple(states[:, self.prompt_rows :] for states in every)

    def _inputs(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Where a model has token types (BERT), those of a pair's second text differ: all after the first separator."""
        inputs = {"input_ids": ids, "attention_mask": mask}
        if (getattr(self.encoder.config, "type_vocab_size", None) or 0) > 1:
            ends = (ids == self.tokenizer.sep_token_id).long()
            inputs["token_type_ids"] = (ends.cumsum(1) > ends).long() * mask
        return inputs

    @torch.no_grad()
    def reset(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """The base model again, without heads and modules, then a stage's encoder weights laid over it."""
        self.heads = nn.ModuleDict()
        for name in (*self.modules_on, LANGUAGE) if self._opened else ():  # also what was put on by half; others are
            self.encoder.delete_adapter(name)  # passed over
        self.modules_on, self.language, self.prompt_rows, self._merged = [], None, 0, set()
        self.lay(weights)

    @torch.no_grad()
    def lay(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """The base model's own weights, with a stage's laid over them; modules and heads stay."""
        own, trained = self.encoder.state_dict(), {n for n, p in self.encoder.named_parameters() if p.requires_grad}
        for name, tensor in self._base.items():
            source, before = (weights or {}).get(f"encoder.{name}", tensor), self._laid.get(name)
            if before is None or not before.is_still(source, own[name], name in trained):
                own[name].copy_(source)
                self._laid[name] = Laid(ref(source), own[name]._version)
        laid = (name.removeprefix("encoder.") for name in weights or {} if name.startswith("encoder."))
        lowest = min((self._places.get(name, -1) for name in laid), default=len(self.layers))
        self.base_layers = 0 if self.modules_on else max(0, lowest)

    def hold(self, weights: Mapping[str, Tensor]) -> None:
        """Know these as what is on the model now: a training's result, as `tuned` has copied it. To lay it on again is
        no work then: for the scores and the children of its stage."""
        own = self.encoder.state_dict()
        for name in self._base:
            if (source := weights.get(f"encoder.{name}")) is not None:
                self._laid[name] = Laid(ref(source), own[name]._version, True)

    def attach(self, modules: Mapping[str, Any], weights: Weights, what: str, *, language: bool = False) -> None:
        """Put modules of the library `adapters` into the encoder, the first nearest to it, and a stage's weights into
        those that it has. With `language`, English's language adapter is put below them.

        ValueError, which says `what` was to be put on, where the stage's have another shape.
        """
        import adapters

        if not self._opened:
            logging.getLogger("adapters").setLevel(logging.ERROR)  # it warns between putting modules on and using them
            with torch.random.fork_rng(devices=[]):  # it draws random numbers, and a stage's must not depend on that
                adapters.init(self.encoder)
            self._opened = True
        self.base_layers = 0
        self.modules_on = list(modules)  # before they are, so that what fails half-way is taken off again
        for name, config in modules.items():
            self.encoder.add_adapter(name, config=config)
        if language:
            self._languages.put_on(self.encoder)
        self.encoder.set_active_adapters(adapters.Stack(*([LANGUAGE] if language else []), *modules))
        self.encoder.to(self.device)
        self._load_modules(weights, what)
        if language:
            self.speak(ENGLISH)

    def speak(self, language: str) -> None:
        """Put a language's own adapter in the place of the one that is on: nearest to the encoder, and not trained.

        ValueError where the adapter does not fit the model.
        """
        if language != self.language:
            self._languages.lay(self.encoder, language)
            self.language = language

    @property
    def _languages(self) -> LanguageFolder:
        if self.language_folder is None:
            raise ValueError("the stage asks for language adapters, but the model was given no folder of them")
        return self.language_folder

    @torch.no_grad()
    def _load_modules(self, weights: Weights, what: str) -> None:
        stored = modules_in(weights)
        if unknown := stored - set(self.modules_on):
            raise ValueError(f"the stage has modules that this one lacks: {', '.join(sorted(unknown))}")
        for name, parameter in self.encoder.named_parameters():
            if name in self._base or not any(f".{module}." in f".{name}." for module in stored):
                continue
            kept = weights.get(f"encoder.{name}")
            if kept is None or kept.shape != parameter.shape:
                has = "no such weights" if kept is None else f"weights of shape {tuple(kept.shape)}"
                raise ValueError(f"this stage has {what}, weights of shape {tuple(parameter.shape)} at {name}, but the "
                                 f"stage that it starts from has {has}")  # fmt: skip
            parameter.copy_(kept)

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Add a LoRA module's update to the weights it is for, and take it away."""
        self.encoder.merge_adapter(name)
        for place, module in self.encoder.named_modules():
            if getattr(module, "merged", None) == name:
                module.merged = None  # else its removal would take the update back
                self._merged.add(f"encoder.{place}.weight")
                self._laid.pop(f"{place}.weight", None)
        self.encoder.delete_adapter(name)
        self.modules_on.remove(name)

    def add_head(self, task: str, head: nn.Module | None) -> None:
        """Put a head on for a task (a dot in a task's name is no place in a module's name)."""
        if head is not None:
            self.heads[task.replace(".", "_")] = head.to(self.device)

    def head(self, task: str) -> nn.Module | None:
        """The task's head, None where its kind has none."""
        name = task.replace(".", "_")
        return self.heads[name] if name in self.heads else None  # noqa: SIM401 - a ModuleDict has no get

    def masked_lm_head(self) -> nn.Module:
        """A copy of the base model's masked-LM head (states → a score a token of the vocabulary).

        Its last layer is the word embeddings of this encoder, so it is trained with them and stored with them.
        """
        if self._masked_lm_head is None:
            mlm = AutoModelForMaskedLM.from_pretrained(**self._source)
            mlm.get_output_embeddings().weight = nn.Parameter(torch.empty(0))
            self._masked_lm_head = [mlm.lm_head if hasattr(mlm, "lm_head") else mlm.cls]
        head = copy.deepcopy(self._masked_lm_head[0])
        last = next(module for module in head.modules() if getattr(module, "weight", _FULL).numel() == 0)
        last.weight = self.encoder.get_input_embeddings().weight
        if self._opened:
            last.register_forward_pre_hook(self._out_of_language)
        return head

    def _out_of_language(self, last: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Undo before the output layer what an invertible adapter does after the embeddings; without one nothing."""
        rows = given[0].unsqueeze(0)  # the library takes batch × length × width
        return (self.encoder.invertible_adapters_forward(rows, rev=True).squeeze(0),)

    def masked_lm(self) -> tuple[Any, str]:
        """The base model as a masked language model, apart from this one and never trained; and its mask token."""
        model, about = AutoModelForMaskedLM.from_pretrained(**self._source, output_loading_info=True)
        if about["missing_keys"] or self.tokenizer.mask_token is None:
            raise ValueError("the model has no head of a masked language model, which the edit masked-lm asks")
        model.register_forward_hook(lambda *_: beat())  # edits ask it, hundreds of times a text
        return model.eval().to(self.device), str(self.tokenizer.mask_token)

    def tuned(self) -> Weights:
        """A copy of all that is not the base model's, on the CPU: what a stage stores."""
        return {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in self.named_parameters()
            if parameter.requires_grad or name in self._merged or self._is_own(name)
        }

    def size(self) -> dict[str, float]:
        """The encoder's parameters without heads: tuned ones, their share of the base model's, and those of modules,
        frozen ones (former ones of a stack, language adapters) included."""
        own = list(self.encoder.named_parameters())
        tuned = sum(parameter.numel() for _, parameter in own if parameter.requires_grad)
        added = sum(parameter.numel() for name, parameter in own if name not in self._base)
        base = sum(parameter.numel() for name, parameter in own if name in self._base)
        return {"tuned_parameters": tuned, "tuned_share": tuned / base, "added_parameters": added}

    def _is_own(self, name: str) -> bool:
        return name.startswith("heads.") or any(f".{module}." in name for module in self.modules_on)

    @torch.no_grad()
    def load_head(self, task: str, weights: Mapping[str, Tensor]) -> None:
        """A stage's trained head weights into the task's head."""
        head = self.head(task)
        prefix = f"heads.{task.replace('.', '_')}."
        if head is None:
            return
        own = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
        # What a head shares with the encoder (a masked LM's embeddings) is stored with the encoder, not here.
        lacking = {n.removeprefix(prefix) for n, _ in self.named_parameters() if n.startswith(prefix)} - set(own)
        if lacking:
            raise KeyError(f"the weights of {task}'s head lack {', '.join(sorted(lacking))}")
        head.load_state_dict(own, strict=False)
