"""Settings that all strategies share which learn from what they are told."""

from __future__ import annotations

from pydantic import Field

from trainables.config import Config


class AdaptiveSettings(Config):
    """How much is proposed before anything is learned, and at a time."""

    batch: int = Field(4, ge=1, description="candidates that are proposed together, from all batches before")
    initial: int = Field(6, ge=0, description="random candidates after the baselines, before the first batch")
