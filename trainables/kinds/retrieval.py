"""Retrieval: for each sentence the nearest among the English ones (cosine of pooled states); accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.kinds.base import Feature, Kind, Result, text_rows
from trainables.metrics import mean_of
from trainables.models import Encoder, mean_pool
from trainables.tasks import Task


class SentenceVectors(Kind):
    """What retrieval and mining share: a sentence becomes a vector, and nothing is trained."""

    def head(self, task: Task, model: Encoder) -> nn.Module | None:
        """None: the encoder's states are all there is."""
        return None

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """There is no training set."""
        raise ValueError(f"a {self.name} task cannot be trained on")

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[Tensor]:
        """One unit vector a sentence, pooled as the task says."""
        states = states.float()  # bfloat16 cannot even count a long text's tokens
        pooled = mean_pool(states, mask) if task.retrieval.pooling == "mean" else states[:, 0]
        return list(F.normalize(pooled, dim=-1).cpu())


class Retrieval(SentenceVectors):
    """Tatoeba's nearest-neighbour search; no head, no training. Layer and pooling are settings of the task."""

    name = "retrieval"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """Two features an example: the sentence, then its English translation."""
        texts = [text for example in examples for text in (example.text, example.pair or "")]
        return [Feature(place // 2, row) for place, row in enumerate(text_rows(tokenizer, texts, max_length))]

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """The English sentence."""
        return [str(example.pair) for example in examples]

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Tensor],
        threshold: float | None = None,
    ) -> list[str]:
        """The nearest English sentence."""
        vectors = torch.stack(list(predictions))
        return [str(examples[place].pair) for place in (vectors[0::2] @ vectors[1::2].T).argmax(-1).tolist()]

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Tensor],
        threshold: float | None = None,
    ) -> Result:
        """The share of sentences whose nearest English sentence is their own translation."""
        if not examples:
            return Result([mean_of("accuracy", [])], [])
        vectors = torch.stack(list(predictions))
        queries, candidates = vectors[0::2], vectors[1::2]
        # Two items may have the very same English sentence: finding either is right.
        same = {text: place for place, text in reversed(list(enumerate(example.pair for example in examples)))}
        own = torch.tensor([same[example.pair] for example in examples])
        right = (own[(queries @ candidates.T).argmax(-1)] == own).float().tolist()
        return Result([mean_of("accuracy", right)], right)
