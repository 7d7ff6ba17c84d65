"""Dropout of several trials in one batch: each trial's is drawn as if the trial were trained alone.

Whatever draws in the encoder is called once a trial, on the trial's own rows and tokens, with the random numbers where
that trial's stand. So a trial drops what it drops alone, with any kernel, whoever is beside it. That holds for the
dropout within `scaled_dot_product_attention` too: the attention is then computed trial by trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from trainables.kinds.base import Feature
from trainables.models import Weights
from trainables.train import drawing, go_on_drawing


@dataclass
class Stream:
    """Where the random numbers of a trial stand."""

    state: Weights
    device: torch.device

    @contextmanager
    def drawn_from(self) -> Iterator[None]:
        """In the block the process draws this trial's numbers."""
        go_on_drawing(self.state, self.device)
        yield
        self.state = drawing(self.device)


def drops(encoder: nn.Module) -> bool:
    """Whether anything is drawn in a training step of the encoder."""
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in encoder.modules())


class OwnDropout(TorchFunctionMode):
    """In the block each trial has its own dropout. `prompts` are the lengths of their prompts, 0 without one: shorter
    ones are filled up at their front, and batches with shorter texts at their end."""

    def __init__(self, streams: Sequence[Stream], batches: Sequence[Sequence[Feature]], prompts: Sequence[int]) -> None:
        super().__init__()
        self._streams, self._prompts = streams, prompts
        lengths = [[len(row) for feature in batch for row in feature.rows] for batch in batches]
        self._rows = [slice(*ends) for ends in pairwise(accumulate(map(len, lengths), initial=0))]
        self._lengths = [max(own) for own in lengths]
        self._padded = [min(own) < max(own) for own in lengths]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """What draws is called once a trial, all else once."""
        named = kwargs or {}
        if func is F.dropout:
            return self._dropout(*args, **named)
        if func is F.scaled_dot_product_attention and named.get("dropout_p"):
            return self._attention(*args, **named)
        return func(*args, **named)

    def _dropout(self, given: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """Of rows × tokens × width, of rows × heads × queries × keys (attention's), or of rows × length × … (prefixes
        by layer and head)."""
        if not training or p == 0:
            return given
        dims = (2, 3) if given.dim() == 4 else (1,)
        found = []
        for trial, stream in enumerate(self._streams):
            part = self._cut(given, dims, trial).contiguous()
            with stream.drawn_from():
                part = F.dropout(part, p)
            found.append(self._filled(part, given, dims, trial))
        return torch.cat(found)

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **more: Any
    ) -> Tensor:
        """Of queries, keys and values, each rows × heads × tokens × width. A batch without padding has no mask."""
        found = []
        for trial, stream in enumerate(self._streams):
            q, k, v = (self._cut(tensor, (2,), trial) for tensor in (query, key, value))
            hidden = None
            if attn_mask is not None and self._padded[trial]:
                hidden = self._cut(attn_mask, (3,) if attn_mask.shape[2] == 1 else (2, 3), trial)
            with stream.drawn_from():
                part = F.scaled_dot_product_attention(q, k, v, hidden, **more)
            found.append(self._filled(part, query, (2,), trial))
        return torch.cat(found)

    def _cut(self, given: Tensor, dims: Sequence[int], trial: int) -> Tensor:
        """A trial's own rows, and of these dimensions its own places."""
        part = given[self._rows[trial]]
        for dim in dims:
            first, last = self._place(given, dim, trial)
            part = part.narrow(dim, first, last - first)
        return part

    def _filled(self, part: Tensor, like: Tensor, dims: Sequence[int], trial: int) -> Tensor:
        """The part with zeros where `_cut` left something out."""
        sides = [0] * (2 * like.dim())
        for dim in dims:
            first, last = self._place(like, dim, trial)
            at = 2 * (like.dim() - 1 - dim)  # the last dimension's come first
            sides[at : at + 2] = first, like.shape[dim] - last
        return F.pad(part, sides)

    def _place(self, given: Tensor, dim: int, trial: int) -> tuple[int, int]:
        """Where a trial's own tokens begin and end: all, of a text, of a prompt, or of a prompt and a text."""
        text = 0 if given.dim() == 5 else max(self._lengths)  # prefixes alone have five dimensions
        before = given.shape[dim] - text
        return before - (self._prompts[trial] if before else 0), before + (self._lengths[trial] if text else 0)
