"""Masked language modelling on plain text: guess the words that were masked (BERT, arXiv 1810.04805).

As a stage it keeps an encoder in touch with other languages while it learns English tasks (2005.13013). Unlike other
heads, this one is the base model's own: the layer that it was pretrained with, tied to the word embeddings.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.kinds.base import IGNORED, Feature, Kind, Result, token_ids
from trainables.metrics import mean_of
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.watch import beating


class MaskedLM(Kind):
    """Text of any language; the share of masked tokens is a setting of the task (`masked_lm`)."""

    name = "masked_lm"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """`copies` features an example, each with other words masked; which ones is drawn from the example's id."""
        texts = [example.text for example in examples]
        rows = token_ids(tokenizer, texts, truncation=True, max_length=max_length)
        special, mask = set(tokenizer.all_special_ids), int(tokenizer.mask_token_id)
        words = [number for number in range(len(tokenizer)) if number not in special]
        features = []
        for item, (example, row) in beating(enumerate(zip(examples, rows, strict=True))):
            seed = hashlib.sha256(f"mask {example.lang} {example.id}".encode()).digest()
            rng = random.Random(seed)
            for _ in range(task.masked_lm.copies):
                ids, labels = _masked(rng, row, special, words, mask, task.masked_lm.share)
                positions = [place for place, label in enumerate(labels) if label != IGNORED]
                features.append(Feature(item, ids, labels, positions))
        return features

    def head(self, task: Task, model: Encoder) -> nn.Module:
        """The base model's own masked-LM head."""
        # A checkpoint without this head gets a random one: always the same, and no draw of the stage's is used up.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return model.masked_lm_head()

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """Cross-entropy over the masked words."""
        known = labels != IGNORED
        return F.cross_entropy(head(states[known]), labels[known])

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[list[int]]:
        """The guessed words' numbers at the masked positions of each feature."""
        if head is None:
            raise ValueError("masked language modelling needs its head")
        return [head(row[feature.positions]).argmax(-1).tolist() for row, feature in zip(states, features, strict=True)]

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[list[int]],
        threshold: float | None = None,
    ) -> Result:
        """The share of masked words that are guessed; each text's own share (of all its copies)."""
        right: list[list[float]] = [[] for _ in examples]
        for feature, guesses in zip(features, predictions, strict=True):
            labels = feature.label if isinstance(feature.label, list) else []
            wanted = [labels[place] for place in feature.positions]
            right[feature.item] += [float(a == b) for a, b in zip(wanted, guesses, strict=True)]
        return Result([mean_of("accuracy", [one for row in right for one in row])], [sum(r) / len(r) for r in right])


def _masked(
    rng: random.Random, row: list[int], special: set[int], words: list[int], mask: int, share: float
) -> tuple[list[int], list[int]]:
    """A row with a share of its words (one at least) masked: 80 % by `<mask>`, 10 % by another word, 10 % kept."""
    places = [place for place, number in enumerate(row) if number not in special]
    chosen = rng.sample(places, max(1, round(share * len(places)))) if places else [0]
    ids, labels = list(row), [IGNORED] * len(row)
    for place in chosen:
        labels[place] = row[place]
        draw = rng.random()
        if draw < 0.9:
            ids[place] = mask if draw < 0.8 else rng.choice(words)
    return ids, labels
