"""The modules of several trials in one frozen encoder: the parameters of all, stacked, in batched matrix products.

The library `adapters` puts one trial's modules on, and they stay where they are. What computes with their parameters
computes with several trials' instead, each trial's rows with its own: a few products over the stack in place of as many
as there are trials.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from adapters.methods.lora import LoRA
from adapters.methods.modeling import Adapter
from adapters.methods.prefix_tuning import FlatPrefixTuning, PrefixTuning, PrefixTuningLayer
from adapters.methods.prompt_tuning import PromptTuning
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.models import Weights

_NUMBER = re.compile(r"(?<=\.tuned)\d+(?=\.)")
"""Of a module in a stack."""


class Rows:
    """Which rows of a batch are whose: each trial's after those of the one before."""

    def __init__(self, counts: Sequence[int], device: torch.device) -> None:
        self.counts, self.most = list(counts), max(counts)
        self._whose: Tensor | None = None
        self._padded: Tensor | None = None
        self._kept: Tensor | None = None
        if min(counts) == self.most:
            return
        whose: list[int] = []
        padded: list[int] = []
        kept: list[int] = []
        first = 0
        for place, count in enumerate(counts):
            whose += [place] * count
            # Filled up with rows of the trial's own: those of another one may be no numbers.
            padded += [first + min(row, count - 1) for row in range(self.most)]
            kept += range(place * self.most, place * self.most + count)
            first += count
        self._whose, self._padded, self._kept = (torch.tensor(x, device=device) for x in (whose, padded, kept))

    def apart(self, rows: Tensor) -> Tensor:
        """Rows × length × width as trials × tokens × width. A trial with fewer rows than others is filled up."""
        own = rows if self._padded is None else rows.index_select(0, self._padded)
        return own.reshape(len(self.counts), -1, rows.shape[-1])

    def together(self, tokens: Tensor, length: int) -> Tensor:
        """The inverse of `apart`: rows × length × width."""
        rows = tokens.reshape(-1, length, tokens.shape[-1])
        return rows if self._kept is None else rows.index_select(0, self._kept)

    def each(self, stacked: Tensor) -> Tensor:
        """Each row's own of what is trials × …: rows × …"""
        if self._whose is not None:
            return stacked.index_select(0, self._whose)
        return stacked.unsqueeze(1).expand(-1, self.most, *stacked.shape[1:]).flatten(0, 1)


@dataclass
class Own:
    """The encoder's tensors of one trial: those of modules, trained or not, and by how much weights differ from the
    base model's. `prompt` is the length of its prompt, if it has one, `former` how many modules stand below the one
    that is trained."""

    modules: Weights
    moved: Weights
    prompt: int = 0
    former: int = 0

    def raised(self, former: int) -> Own:
        """The same on so many former modules: the lowest ones are zeros, which change nothing."""
        if former == self.former:
            return self
        up = former - self.former
        modules = {_NUMBER.sub(lambda at: str(int(at[0]) + up), name): t for name, t in self.modules.items()}
        newest = {name: torch.zeros_like(t) for name, t in modules.items() if f".tuned{former}." in name}
        zeros = {_NUMBER.sub(str(number), name): t for number in range(up) for name, t in newest.items()}
        return Own({**modules, **zeros}, self.moved, self.prompt, former)


class Stack:
    """What the modules on the model compute with: the parameters of the trials whose rows are read, trials × shape.

    Where prompts are of different lengths, shorter ones are filled up at their front, and that is hidden from the
    attention.
    """

    def begin(self, trials: Sequence[Own], rows: Rows) -> None:
        """Before a pass over these trials' rows."""
        self.trials, self.rows = trials, rows
        self._prompts = [one.prompt for one in trials if one.prompt]
        self._prefixes: tuple[Tensor, ...] = ()
        self._mask: tuple[Tensor | None] | None = None

    @property
    def longest_prompt(self) -> int:
        """Vectors of the longest prompt."""
        return max(self._prompts, default=0)

    def _of(self, name: str) -> Tensor:
        tensors = [one.modules[name] for one in self.trials]
        longest = max(map(len, tensors))
        if min(map(len, tensors)) < longest:
            sides = (0,) * (2 * tensors[0].dim() - 2)
            tensors = [F.pad(one, (*sides, longest - len(one), 0)) for one in tensors]
        return torch.stack(tensors)

    def _moved(self, name: str) -> Tensor | None:
        """By how much the trials' weights differ from the base model's; None where none does."""
        tensors = [one.moved.get(name) for one in self.trials]
        like = next((one for one in tensors if one is not None), None)
        if like is None:
            return None
        return torch.stack([torch.zeros_like(like) if one is None else one for one in tensors])

    def _linear(self, place: str, tokens: Tensor) -> Tensor:
        """Trials × tokens × width through each trial's own layer."""
        return torch.baddbmm(self._of(f"{place}.bias").unsqueeze(1), tokens, self._of(f"{place}.weight").mT)

    # --- what the modules do instead ----------------------------------------------------------------------------------

    def lora(self, place: str, module: LoRA, states: Tensor | None, given: Tensor) -> tuple[Tensor, None]:
        """What is added to a linear layer's output."""
        down, up = self._of(f"{place}.lora_A"), self._of(f"{place}.lora_B")
        tokens = self.rows.apart(module.lora_dropout(given))
        added = torch.bmm(torch.bmm(tokens, down.mT) * module.scaling, up.mT)
        moved = self._moved(f"{place.split('.loras.')[0]}.weight")
        if moved is not None:
            added = torch.baddbmm(added, self.rows.apart(given), moved.mT)
        return self.rows.together(added, given.shape[1]), None

    def adapter(
        self, place: str, module: Adapter, states: Tensor, residual_input: Tensor, output_gating: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Down, the nonlinearity, up, and the residual."""
        inner = module.non_linearity(self._linear(f"{place}.adapter_down.0", self.rows.apart(states)))
        up = self.rows.together(self._linear(f"{place}.adapter_up", inner), states.shape[1])
        return up + residual_input, inner, up

    def flat_prefix(self, place: str, module: FlatPrefixTuning, rows: int) -> None:
        """A prefix of free keys and values."""
        self._keep_prefix(module, self._of(f"{place}.control_trans"))

    def made_prefix(self, place: str, module: PrefixTuning, rows: int) -> None:
        """A prefix that a small network makes: once a trial, where the library makes it once a row."""
        inner = module.control_trans[1](self._linear(f"{place}.control_trans.0", self._of(f"{place}.wte.weight")))
        self._keep_prefix(module, self._linear(f"{place}.control_trans.2", inner))

    def _keep_prefix(self, module: FlatPrefixTuning | PrefixTuning, vectors: Tensor) -> None:
        """For each layer 2 × (trials, or rows where there is dropout) × heads × length × width."""
        vectors = vectors.view(len(vectors), -1, module.n_layers * 2, module.n_heads, module.n_embd_per_head)
        if module.dropout.p > 0:
            vectors = module.dropout(self.rows.each(vectors))
        self._prefixes = torch.split(vectors.permute(2, 0, 3, 1, 4), 2)

    def before_keys(
        self,
        place: str,
        module: PrefixTuningLayer,
        keys: Tensor,
        values: Tensor,
        given: Tensor,
        mask: Tensor | None = None,
        invert_mask: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values of a layer after their prefixes, and the mask over them; without prefixes the mask alone."""
        if self._prefixes:
            number = next(iter(module.prefixes.values()))
            own = self._prefixes[number].unbind()
            first, second = own if len(own[0]) == len(keys) else (self.rows.each(one) for one in own)
            keys, values = torch.cat([first, keys], 2), torch.cat([second, values], 2)
        if self._prompts:
            self._mask = self._mask or (self._over_prompts(mask, keys),)  # the same for all layers
            (mask,) = self._mask
        return keys, values, mask

    def _over_prompts(self, mask: Tensor | None, keys: Tensor) -> Tensor | None:
        """The mask with prompts in it, of which what was filled up is hidden: rows × 1 × 1 × keys."""
        longest, filled = self.longest_prompt, min(self._prompts) < self.longest_prompt
        if mask is None and not filled:
            return None
        text = keys.new_zeros(len(keys), 1, 1, keys.shape[2] - longest)
        if mask is not None:
            text = mask[:, :, :1, -text.shape[3] :]  # of an encoder: all queries see the same
        before = torch.zeros(len(self._prompts), longest, dtype=text.dtype)
        for trial, length in enumerate(self._prompts):
            before[trial, : longest - length] = torch.finfo(text.dtype).min
        return torch.cat([self.rows.each(before.to(keys.device))[:, None, None], text], 3)

    def prompt(self, place: str, module: PromptTuning, embedded: Tensor) -> tuple[Tensor, int]:
        """Vectors before the embedded text, and how many."""
        vectors = self._of(f"{place}.prompt_embedding.weight")
        return torch.cat([self.rows.each(vectors), embedded], 1), vectors.shape[1]


_INSTEAD: dict[type[nn.Module], Callable[..., Any]] = {
    LoRA: Stack.lora, Adapter: Stack.adapter, FlatPrefixTuning: Stack.flat_prefix, PrefixTuning: Stack.made_prefix,
    PrefixTuningLayer: Stack.before_keys, PromptTuning: Stack.prompt,
}  # fmt: skip


@contextmanager
def in_place(encoder: nn.Module, stack: Stack) -> Iterator[None]:
    """In the block the modules on the encoder compute with the stack's parameters."""
    changed: list[Any] = []
    try:
        for place, module in encoder.named_modules():
            instead = _INSTEAD.get(type(module))
            if instead is not None:
                changed.append(module)
                changed[-1].forward = partial(instead, stack, f"encoder.{place}", module)
        yield
    finally:
        for module in changed:
            del module.forward
