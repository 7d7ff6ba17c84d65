"""Classification of a sentence or a pair of sentences, from the first token's state; accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.kinds.base import Feature, Kind, Result, labels_tensor, token_ids
from trainables.metrics import mean_of
from trainables.models import Encoder
from trainables.tasks import Task


class ClassificationHead(nn.Module):
    """Dense, tanh, dense on the first token: the head RoBERTa and XLM-R are fine-tuned with."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, labels)

    def forward(self, states: Tensor) -> Tensor:
        """Logits, batch × labels, from states, batch × length × width."""
        logits: Tensor = self.out(self.dense(states[:, 0]).tanh())
        return logits


class Classification(Kind):
    """Sentence or sentence-pair classification (MNLI, QQP, XNLI, PAWS-X)."""

    name = "classification"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """One feature an example, the longer sentence cut first."""
        if not examples:
            return []
        pairs = [example.pair or "" for example in examples] if examples[0].pair is not None else None
        texts = [example.text for example in examples]
        ids = token_ids(tokenizer, texts, pairs, truncation="longest_first", max_length=max_length)
        number = {label: place for place, label in enumerate(task.labels)}
        return [Feature(i, row, number[str(examples[i].label)]) for i, row in enumerate(ids)]

    def head(self, task: Task, model: Encoder) -> nn.Module:
        """A new classification head."""
        return ClassificationHead(model.width, len(task.labels))

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(head(states), labels)

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[str]:
        """The most probable label."""
        if head is None:
            raise ValueError("classification needs a head")
        return [task.labels[best] for best in head(states).argmax(-1).tolist()]

    def margin(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[float]:
        """The probability of the gold label."""
        if head is None:
            raise ValueError("classification needs a head")
        gold = labels_tensor(features, 0).to(states.device)
        found: list[float] = head(states).float().softmax(-1).gather(1, gold.unsqueeze(1)).squeeze(1).tolist()
        return found

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """Its label."""
        return [str(example.label) for example in examples]

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[str],
        threshold: float | None = None,
    ) -> list[str]:
        """The label."""
        found = {feature.item: label for feature, label in zip(features, predictions, strict=True)}
        return [found[item] for item in range(len(examples))]

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[str],
        threshold: float | None = None,
    ) -> Result:
        """Accuracy, and 1 or 0 an example."""
        right = [0.0] * len(examples)
        for feature, prediction in zip(features, predictions, strict=True):
            right[feature.item] = float(prediction == examples[feature.item].label)
        return Result([mean_of("accuracy", right)], right)
