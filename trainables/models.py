"""The model of a worker: a base encoder that stays in memory, the heads of a stage, and pooling of states."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

Weights = dict[str, Tensor]

_SAFELY: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
_FULL = torch.ones(1)


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the states (batch × length × width) over the tokens that are no padding: batch × width."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


class Encoder(nn.Module):
    """A base encoder with heads. Weights are named `encoder.…` and `heads.TASK.…`."""

    def __init__(self, path: str, device: str = "cpu") -> None:
        """`path` is a folder or `owner/name[@revision]`; weights come from safetensors, never from code of the hub."""
        super().__init__()
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        name, _, revision = path.partition("@")
        where: dict[str, Any] = {"revision": revision or None, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(name, **where)
        extra: dict[str, Any] = (
            {"add_pooling_layer": False} if config.model_type in ("xlm-roberta", "roberta", "bert") else {}
        )
        self._source: dict[str, Any] = {"pretrained_model_name_or_path": name, **where, "config": config, **_SAFELY}
        self.encoder = AutoModel.from_pretrained(**self._source, **extra)
        tokenizer = AutoTokenizer.from_pretrained(name, **where, use_fast=True)  # type: ignore[no-untyped-call]
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        self.width: int = config.hidden_size
        self.heads = nn.ModuleDict()
        self._masked_lm_head: list[nn.Module] | None = None  # a list, so that it is no module of this one
        self.device = torch.device(device)
        self.to(self.device)
        self._base: Weights = {name: tensor.detach().clone() for name, tensor in self.encoder.state_dict().items()}

    def states(self, ids: Tensor, mask: Tensor, layer: int = -1) -> Tensor:
        """Hidden states of a layer (-1: the last; 0: the embeddings), batch × length × width."""
        if layer == -1:
            last: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            return last
        every = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        chosen: Tensor = every[layer]
        return chosen

    @torch.no_grad()
    def reset(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """The base model again, without heads, then a stage's encoder weights laid over it."""
        self.heads = nn.ModuleDict()
        own = self.encoder.state_dict()
        for name, tensor in own.items():
            tensor.copy_((weights or {}).get(f"encoder.{name}", self._base[name]))

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
        return head

    def tuned(self) -> Weights:
        """A copy of every weight that is trained, on the CPU: what a stage stores."""
        return {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }

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
