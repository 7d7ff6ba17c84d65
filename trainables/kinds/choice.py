"""Multiple choice: one of two to five continuations or answers, each read with its context; accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.kinds.base import Feature, Kind, PairFrame, Result, labels_tensor, token_ids
from trainables.kinds.classification import ClassificationHead
from trainables.metrics import mean_of
from trainables.models import Encoder
from trainables.tasks import Task


class Choice(Kind):
    """HellaSwag, Cosmos QA, CommonsenseQA, CODAH: every choice is scored alone, the softmax is over an item's choices.

    The first sequence is the context (or, without one, the question), the second the question, if there is a context
    too, and the choice: the input of RoBERTa and jiant. Where that is too long, the context loses its end.
    """

    name = "choice"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """One feature an example, with one row a choice."""
        firsts = [example.text for example in examples for _ in example.choices]
        seconds = [f"{e.pair} {choice}" if e.pair else choice for e in examples for choice in e.choices]
        ids = iter(_encode_pairs(tokenizer, firsts, seconds, max_length))
        features = []
        for item, example in enumerate(examples):
            rows = [next(ids) for _ in example.choices]
            features.append(Feature(item, rows[0], int(str(example.label)), others=rows[1:]))
        return features

    def head(self, task: Task, model: Encoder) -> nn.Module:
        """A new head that gives each choice a score."""
        return ClassificationHead(model.width, 1)

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """Cross-entropy over each item's choices."""
        return F.cross_entropy(_by_item(head(states).squeeze(-1), features), labels)

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[int]:
        """The index of the best choice."""
        if head is None:
            raise ValueError("choice needs a head")
        best: list[int] = _by_item(head(states).squeeze(-1), features).argmax(-1).tolist()
        return best

    def margin(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[float]:
        """The probability of the right choice."""
        if head is None:
            raise ValueError("choice needs a head")
        gold = labels_tensor(features, 0).to(states.device)
        shares = _by_item(head(states).float().squeeze(-1), features).softmax(-1)
        found: list[float] = shares.gather(1, gold.unsqueeze(1)).squeeze(1).tolist()
        return found

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """The right choice's text."""
        return [example.choices[int(str(example.label))] for example in examples]

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[int],
        threshold: float | None = None,
    ) -> list[str]:
        """The text of the choice."""
        found = {feature.item: place for feature, place in zip(features, predictions, strict=True)}
        return [example.choices[found[item]] for item, example in enumerate(examples)]

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[int],
        threshold: float | None = None,
    ) -> Result:
        """Accuracy, and 1 or 0 an example."""
        right = [0.0] * len(examples)
        for feature, prediction in zip(features, predictions, strict=True):
            right[feature.item] = float(prediction == feature.label)
        return Result([mean_of("accuracy", right)], right)


def _encode_pairs(
    tokenizer: PreTrainedTokenizerBase, firsts: list[str], seconds: list[str], max_length: int
) -> list[list[int]]:
    """Token ids of the pairs; where one is too long the first loses its end, then the second its beginning."""
    if not firsts:
        return []
    ones = token_ids(tokenizer, firsts, add_special_tokens=False)
    twos = token_ids(tokenizer, seconds, add_special_tokens=False)
    frame = PairFrame.of(tokenizer)
    room = max_length - frame.size
    # What tells choices apart may stand at their end: the context loses tokens first.
    cut = [two[-(room - 1) :] for two in twos]
    return [frame.join(one[: room - len(two)], two) for one, two in zip(ones, cut, strict=True)]


def _by_item(scores: Tensor, features: Sequence[Feature]) -> Tensor:
    """Scores of rows as items × choices; an item with fewer choices than others is filled up with -inf."""
    parts = torch.split(scores, [len(feature.rows) for feature in features])
    return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=-torch.inf)
