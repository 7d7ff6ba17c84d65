"""Base models: where they come from, what they are, and pooling of their states."""

from __future__ import annotations

from torch import Tensor


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the states (batch × length × width) over the tokens that are no padding: batch × width."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
