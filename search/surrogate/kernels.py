"""The kernel of candidates: a mixture of kernels of orders, times kernels of method, learning rate, prompt length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gpytorch
import torch
from torch import Tensor

from search.surrogate.features import BLOCKS, Features


class CandidateKernel(gpytorch.kernels.Kernel):  # type: ignore[misc]
    """k = Σ_b w_b · exp(−d_b / ℓ_b) × exp(−[other method] / ℓ_m) × Matérn-5/2(learning rate, prompt length).

    d_b is the distance of block b (`Features`), scaled so that two random candidates of the space are 1 apart in the
    mean; the weights' prior favours none, and the likelihood says which kernels matter. Inputs are rows of features.
    """

    has_lengthscale = False

    def __init__(self, features: Features, scales: Sequence[float], kernels: Sequence[str] = BLOCKS) -> None:
        """`scales` are the mean squared distances of the blocks named in `kernels`."""
        super().__init__()
        self._blocks = [features.blocks[name] for name in kernels]
        self._scales = [float(scale) or 1.0 for scale in scales]
        self._orders, self._methods, self._width = features.orders, features.methods, features.width
        count = len(self._blocks)
        self.names = tuple(kernels)
        self.register_parameter("log_weight", torch.nn.Parameter(torch.full((count,), -math.log(count))))
        self.register_parameter("log_scale", torch.nn.Parameter(torch.zeros(count)))
        if features.methods:
            self.register_parameter("log_method", torch.nn.Parameter(torch.zeros(1)))
        if features.scalars:
            self.register_parameter("log_arm", torch.nn.Parameter(torch.zeros(features.scalars)))

    def log_prior(self) -> Tensor:
        """Normal densities of the logarithms: weights around an equal share, scales around the mean distance."""
        count = len(self._blocks)
        total: Tensor = -0.5 * ((self.log_weight + math.log(count)) / 1.5).square().sum()
        total = total - 0.5 * ((self.log_scale - 0.5) / 1.0).square().sum()
        for name in ("log_method", "log_arm"):
            if hasattr(self, name):
                total = total - 0.5 * getattr(self, name).square().sum()
        return total

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """(rows of x1, rows of x2), or their diagonal."""
        if diag:
            total: Tensor = self.log_weight.exp().sum().expand(x1.shape[:-1])
            return total
        return self.mixed(self.distances(x1, x2))

    def distances(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        """(rows of x1, rows of x2) of each factor: all that the kernel needs and no parameter changes."""
        found = [_squared(x1[..., b], x2[..., b]) / scale for b, scale in zip(self._blocks, self._scales, strict=True)]
        if self._methods:
            own = slice(self._orders, self._orders + self._methods)
            found.append(_squared(x1[..., own], x2[..., own]) / 2)
        found += [
            (x1[..., column, None] - x2[..., None, :, column]).abs()
            for column in range(self._orders + self._methods, self._width)
        ]
        return tuple(found)

    def mixed(self, distances: Sequence[Tensor]) -> Tensor:
        """The kernel's values from `distances`."""
        count = len(self._blocks)
        scale = self.log_scale.exp()
        total: Tensor = torch.zeros_like(distances[0])
        for block in range(count):
            total = total + torch.exp(self.log_weight[block] - distances[block] / scale[block])
        place = count
        if self._methods:
            total = total * torch.exp(-distances[place] / self.log_method.exp())
            place += 1
        for number, distance in enumerate(distances[place:]):
            near = math.sqrt(5) * distance / self.log_arm[number].exp()
            total = total * (1 + near + near.square() / 3) * torch.exp(-near)
        return total


def _squared(x1: Tensor, x2: Tensor) -> Tensor:
    """Squared Euclidean distances of rows."""
    own, others = x1.square().sum(-1)[..., :, None], x2.square().sum(-1)[..., None, :]
    return (-2 * x1 @ x2.transpose(-1, -2)).add_(own).add_(others).clamp_min_(0)
