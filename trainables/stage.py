"""What a stage is, and its key.

A stage is one step of a candidate: *train* one group of tasks from a parent's weights, or *score* one target from a
stage's weights. Its key is a hash of everything its result depends on, so equal keys mean equal results, and a stage
that is in the store is never run again. This file imports neither Ray nor torch: planning is free of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, Self

Scalar = str | int | float | bool | None

RECIPE = 5
"""Raised by hand whenever the training or scoring code changes what a stage computes."""


WEIGHTS, STATE, PREDICTIONS = "weights.safetensors", "state.safetensors", "predictions.parquet"
"""The blobs that stages leave in the store: a train stage its weights and, where a longer one may go on from it, its
state; a score stage its predictions."""


FORGETTING = "forgetting"
"""What a stage measures that scores a task of an order on its English dev set after it or a later one was trained, and
the portion of such scores."""


@dataclass(frozen=True)
class Stage:
    """One node of the stage tree.

    `parent` is the key of the stage whose weights this one starts from, None for the base model. `tasks` is the group
    trained together, or the one target that is scored. `data` holds one fingerprint a task, of exactly the examples the
    stage reads; `model` the base model's. `settings` is every hyperparameter and numeric setting that changes the
    result. `seed` is the root seed of the candidate, None where nothing is random (a score stage).

    A budget may be reached in steps: `resumes` is the key of the same stage with fewer steps, from whose state the
    training goes on where that is stored, and a stage that is `resumable` stores its state. The result is the same
    either way, so neither enters the key, and the random numbers do not depend on where a budget is cut.
    """

    kind: Literal["train", "score"]
    parent: str | None
    tasks: tuple[str, ...]
    data: tuple[str, ...]
    model: str
    method: str
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    steps: int = 0
    seed: int | None = None
    recipe: int = RECIPE
    resumes: str | None = None
    resumable: bool = False

    @property
    def measure(self) -> str:
        """What a score stage measures besides the target's clean score: `representations`, `perturbations`, the
        `attack` of a recipe, or `forgetting`; empty for the score itself."""
        return str(self.settings.get("measure") or "")

    @property
    def dtype(self) -> str:
        """The precision of forward passes, `float32` or `bfloat16`."""
        return str(self.settings.get("dtype") or "float32")

    @property
    def head_from(self) -> str | None:
        """Of a measurement of forgetting the key of the stage that trained the task, whose weights hold its head."""
        key = self.settings.get("head_from")
        return None if key is None else str(key)

    @cached_property
    def key(self) -> str:
        """32 hexadecimal digits: SHA-256 of the canonical JSON of all fields but `resumes` and `resumable`."""
        return self._hash()[:32]

    @cached_property
    def random_seed(self) -> int:
        """The seed of every random number drawn in this stage, from all that is in the key but the steps (63 bits)."""
        return int(replace(self, steps=0)._hash()[:16], 16) >> 1

    def _hash(self) -> str:
        found = {name: value for name, value in self._fields().items() if name not in ("resumes", "resumable")}
        return hashlib.sha256(_canonical(found).encode()).hexdigest()

    def _fields(self) -> dict[str, Any]:
        """All fields by name. They hold nothing that needs copying, and `asdict` takes most of a plan's time."""
        return {name: dict(self.settings) if name == "settings" else getattr(self, name) for name in _NAMES}

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, so that equal stages give equal text."""
        return _canonical(self._fields())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        found: dict[str, Any] = json.loads(text)
        return cls(**{**found, "tasks": tuple(found["tasks"]), "data": tuple(found["data"])})


_NAMES = tuple(one.name for one in fields(Stage))


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
