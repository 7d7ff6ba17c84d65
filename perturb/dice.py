"""The states of the generators that TextAttack draws from: Python's, NumPy's and PyTorch's global ones."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


class Dice:
    """Where the three generators stand."""

    __slots__ = ("_numpy", "_python", "_torch")

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._torch = torch.get_rng_state()

    def restore(self) -> None:
        """Put the generators back where they stood."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dice):
            return NotImplemented
        numpy = zip(self._numpy, other._numpy, strict=True)
        same = self._python == other._python and all(np.array_equal(one, two) for one, two in numpy)
        return same and torch.equal(self._torch, other._torch)

    __hash__ = None  # type: ignore[assignment]


def throw(seed: int, example: str) -> None:
    """Seed the three generators by a seed and an example's id."""
    number = int.from_bytes(hashlib.sha256(f"{seed}\0{example}".encode()).digest()[:8], "big")
    random.seed(number)
    np.random.seed([number >> 32, number & 0xFFFFFFFF])
    torch.default_generator.manual_seed(number)
