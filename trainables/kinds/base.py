"""What a kind of task does: encode its examples, put a head on the encoder, a loss, predictions, and their scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.metrics import Measured
from trainables.tasks import Task

IGNORED = -100
"""The label of positions that enter no loss."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What the model sees of an example, or of a part of a long one.

    `item` is the example's index; `label` its class, or one class a token (IGNORED where there is none); `positions`
    are the token positions a prediction is read from (tagging: the first piece of each word).
    """

    item: int
    ids: list[int]
    label: int | list[int] = IGNORED
    positions: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """Scores of one task in one language: the metrics, and one figure an example for paired comparisons."""

    metrics: list[Measured]
    items: list[float]


class Kind(ABC):
    """One kind of task. Stateless; everything about a task is in its `Task`."""

    name: ClassVar[str]

    @abstractmethod
    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """The features of the examples, at most `max_length` tokens each."""

    @abstractmethod
    def head(self, task: Task, width: int) -> nn.Module | None:
        """A new head for the task on states of that width, None for kinds that have none."""

    @abstractmethod
    def loss(self, head: nn.Module, states: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch; `states` is batch × length × width."""

    @abstractmethod
    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[Any]:
        """One prediction a feature of the batch."""

    @abstractmethod
    def score(
        self, task: Task, examples: Sequence[Example], features: Sequence[Feature], predictions: Sequence[Any]
    ) -> Result:
        """The figures of one language; `predictions` are in the order of `features`."""


def labels_tensor(features: Sequence[Feature], length: int) -> Tensor:
    """The labels of a batch: one an example, or batch × length padded with IGNORED."""
    if features and isinstance(features[0].label, list):
        rows = [f.label + [IGNORED] * (length - len(f.label)) for f in features if isinstance(f.label, list)]
        return torch.tensor(rows)
    return torch.tensor([f.label for f in features])
