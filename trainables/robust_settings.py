"""Settings of robust training (arXiv 2104.08645). Free of torch: planning reads them too."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.config import Config
from trainables.stage import Scalar


class Robust(Config):
    """Whether and how a stage trains on perturbed word embeddings; `trainables.robust.RobustLoss` does it."""

    kind: Literal["none", "adversarial", "smoothing"] = Field(
        "none", description="adversarial: the worst perturbation found; smoothing: a random one"
    )
    epsilon: float = Field(
        0.1, gt=0, le=10, description="radius of a token's ball, in mean norms of the word-embedding rows"
    )
    steps: int = Field(1, ge=1, le=100, description="projected gradient steps (kind: adversarial)")
    share: float = Field(1.0, gt=0, le=1, description="weight of the perturbed loss; the clean one has the rest")

    @model_validator(mode="after")
    def _used(self) -> Self:
        read = {"none": set(), "smoothing": {"epsilon", "share"}, "adversarial": {"epsilon", "steps", "share"}}
        for name in ("epsilon", "steps", "share"):
            if name not in read[self.kind] and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` changes nothing under kind: {self.kind}")
        return self

    def scalars(self) -> dict[str, Scalar]:
        """The stage's settings that say so; none where nothing is perturbed, so that such stages keep their keys."""
        if self.kind == "none":
            return {}
        steps: dict[str, Scalar] = {"robust_steps": self.steps} if self.kind == "adversarial" else {}
        return {"robust": self.kind, "robust_epsilon": self.epsilon, **steps, "robust_share": self.share}
