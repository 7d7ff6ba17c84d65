"""The model under attack, asked in large batches of texts of like length, and never twice about the same text.

TextAttack's own wrapper of Hugging Face models pads every text to 512 tokens and takes 32 at a time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

Input = Hashable
"""A text, a tuple of texts, or whatever else `encode` knows."""

Encode = Callable[[list[Any]], Sequence[Sequence[int]]]
"""Token ids of each input."""

Forward = Callable[[Tensor, Tensor], Tensor]
"""Token ids (batch × length) and a mask of those that are no padding → one row of numbers an input (batch × …)."""


CPU_TOKENS = 1 << 9
"""Tokens a batch on a CPU: with more, what a layer passes to the next no longer stays in the cache."""

GPU_TOKENS = 1 << 16


class Victim:
    """What TextAttack calls a model wrapper: `victim(inputs)` gives a row of numbers an input, on the CPU.

    Inputs that were asked about before are answered from a memory of the last `remembered`. The others are sorted by
    length and cut into batches of at most `tokens` tokens, padding included (by default what suits the device).
    `dtype` (torch.bfloat16, say) is that of mixed precision on `device`; rows are then given in single precision.

    Counts `queries` (inputs asked about), `forwarded` (those that the model itself saw), `batches`, and `seconds` in
    all, encoding included.
    """

    def __init__(
        self,
        encode: Encode,
        forward: Forward,
        *,
        pad: int = 1,
        tokens: int | None = None,
        remembered: int = 1 << 17,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        tokens = (CPU_TOKENS if torch.device(device).type == "cpu" else GPU_TOKENS) if tokens is None else tokens
        if tokens < 1 or remembered < 0:
            raise ValueError(f"`tokens` must be at least 1 and `remembered` at least 0, not {tokens} and {remembered}")
        self.model = forward
        """Where TextAttack looks for the model, to see whether it suits the goal."""
        self._encode, self._forward = encode, forward
        self._pad, self._tokens, self._remembered = pad, tokens, remembered
        self._device, self._dtype = torch.device(device), dtype
        self._rows: OrderedDict[Input, Tensor] = OrderedDict()
        self.queries = self.forwarded = self.batches = 0
        self.seconds = 0.0

    def __call__(self, inputs: Sequence[Input]) -> Tensor:
        """One row an input, in order. Rows must be of one shape; of no inputs there is none: ValueError."""
        if not inputs:
            raise ValueError("a victim is asked about at least one text")
        began = time.perf_counter()
        self.queries += len(inputs)
        asked = list(dict.fromkeys(inputs))
        rows = {one: self._rows[one] for one in asked if one in self._rows}
        if new := [one for one in asked if one not in rows]:
            rows.update(zip(new, self._ask(new), strict=True))
        self._remember(rows)
        found = torch.stack([rows[one] for one in inputs])
        self.seconds += time.perf_counter() - began
        return found

    def clear(self) -> None:
        """Forget all answers: for when the model's weights change."""
        self._rows.clear()

    @torch.no_grad()
    def _ask(self, inputs: list[Input]) -> list[Tensor]:
        ids = self._encode(inputs)
        rows: list[Tensor | None] = [None] * len(inputs)
        for chosen in self._batches([len(one) for one in ids]):
            width = max(1, len(ids[chosen[0]]))  # the longest stands first
            padded = torch.full((len(chosen), width), self._pad, dtype=torch.long)
            mask = torch.zeros((len(chosen), width), dtype=torch.long)
            for row, i in enumerate(chosen):
                padded[row, : len(ids[i])] = torch.as_tensor(ids[i], dtype=torch.long)
                mask[row, : len(ids[i])] = 1
            with self._precision():
                found = self._forward(padded.to(self._device), mask.to(self._device))
            if found.shape[0] != len(chosen):
                raise ValueError(f"the model gave {found.shape[0]} rows for {len(chosen)} texts")
            if self._dtype is not None:
                found = found.float()
            for i, one in zip(chosen, found.cpu(), strict=True):
                rows[i] = one
        self.forwarded += len(inputs)
        return [row for row in rows if row is not None]

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """Indices of inputs of like length, the longest first; as many as fit into the tokens, at least one.

        A batch that is a quarter full ends before inputs that would be padded by more than an eighth.
        """
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        while order:
            longest = max(1, lengths[order[0]])
            most = max(1, self._tokens // longest)
            least = max(1, self._tokens // (4 * longest))
            count = next((n for n in range(least, len(order[:most])) if lengths[order[n]] < longest * 7 / 8), most)
            self.batches += 1
            yield order[:count]
            order = order[count:]

    def _precision(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._dtype is None else torch.autocast(self._device.type, dtype=self._dtype)

    def _remember(self, rows: dict[Input, Tensor]) -> None:
        for one, row in rows.items():
            self._rows[one] = row
            self._rows.move_to_end(one)
        while len(self._rows) > self._remembered:
            self._rows.popitem(last=False)
