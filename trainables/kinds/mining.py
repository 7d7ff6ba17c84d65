"""Bitext mining: which sentences of two collections translate each other; precision, recall, F1 of the pairs found.

Candidates are each sentence's nearest neighbour, in both directions, the best first and each sentence once (Artetxe and
Schwenk 2019, arXiv 1811.01136; XTREME's BUCC script). What scores above a threshold is called a translation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.kinds.base import Feature, Result, text_rows
from trainables.kinds.retrieval import SentenceVectors
from trainables.metrics import Measured, ratio_f1
from trainables.tasks import Task
from trainables.watch import beating

CHUNK = 1024
"""Sentences compared with all of the other side at once: bounds memory, not the result."""


class Found(NamedTuple):
    """A candidate pair: its score, and the indices of the two examples."""

    score: float
    source: int
    target: int


class Mining(SentenceVectors):
    """BUCC 2018. Pooling, layer, the score of a pair (margin or cosine) and neighbours are settings of the task."""

    name = "mining"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """One feature a sentence."""
        texts = [example.text for example in examples]
        return [Feature(place, row) for place, row in enumerate(text_rows(tokenizer, texts, max_length))]

    def unit(self, example: Example) -> str:
        """The source sentence's id: the two sides of a pair stay together."""
        return example.pair if example.label == "target" and example.pair else example.id

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Tensor],
        threshold: float | None = None,
    ) -> Result:
        """F1 with the threshold fitted on other gold pairs; `f1_oracle` with one fitted on those that are scored.

        `threshold` is that of a dev set. Without one each half of the sentences is scored with the threshold fitted on
        the other half (cross-fitting). An item's figure is 1 where what is said of a sentence is right.
        """
        gold = _paired(examples)
        candidates, hits, kept = self._judged(task, examples, predictions, threshold)
        own = fit_threshold(candidates, hits, len(gold))
        figures = [
            ratio_f1("f1", hits, kept, len(gold)),
            ratio_f1("f1_oracle", hits, [c.score >= own for c in candidates], len(gold)),
            *_precision_and_recall(hits, kept, len(gold)),
        ]
        right = [float(example.pair is None) for example in examples]
        for candidate, hit, keep in zip(candidates, hits, kept, strict=True):
            if keep:
                right[candidate.source] = right[candidate.target] = float(hit)
        return Result(figures, right, own)

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """The text of the translation."""
        texts = {(example.label == "source", example.id): example.text for example in examples}
        return [texts.get((example.label != "source", example.pair or ""), "") for example in examples]

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Tensor],
        threshold: float | None = None,
    ) -> list[str]:
        """The text of what is called the translation."""
        found = [""] * len(examples)
        candidates, _, kept = self._judged(task, examples, predictions, threshold)
        for candidate, keep in zip(candidates, kept, strict=True):
            if keep:
                found[candidate.source] = examples[candidate.target].text
                found[candidate.target] = examples[candidate.source].text
        return found

    def _judged(
        self, task: Task, examples: Sequence[Example], vectors: Sequence[Tensor], threshold: float | None
    ) -> tuple[list[Found], list[bool], list[bool]]:
        """The candidate pairs, which of them are translations, and which are called so."""
        candidates, gold = find_pairs(task, examples, vectors), _paired(examples)
        hits = [(examples[c.source].id, examples[c.target].id) in gold for c in candidates]
        if threshold is None:
            return candidates, hits, self._cross_fitted(examples, candidates, hits)
        return candidates, hits, [c.score >= threshold for c in candidates]

    def _cross_fitted(
        self, examples: Sequence[Example], candidates: Sequence[Found], hits: Sequence[bool]
    ) -> list[bool]:
        fold = [_fold(self.unit(example)) for example in examples]
        paired = [e.label == "source" and e.pair is not None for e in examples]
        thresholds = []
        for side in (0, 1):
            other = [place for place, c in enumerate(candidates) if fold[c.source] != side]
            gold = sum(there for there, of in zip(paired, fold, strict=True) if of != side)
            thresholds.append(fit_threshold([candidates[p] for p in other], [hits[p] for p in other], gold))
        return [c.score >= thresholds[fold[c.source]] for c in candidates]


def _paired(examples: Sequence[Example]) -> set[tuple[str, str]]:
    """The ids of sentences that translate each other."""
    return {(example.id, example.pair) for example in examples if example.label == "source" and example.pair}


def find_pairs(task: Task, examples: Sequence[Example], vectors: Sequence[Tensor]) -> list[Found]:
    """Candidate pairs, the best first, each sentence in one at most."""
    sources = [place for place, example in enumerate(examples) if example.label == "source"]
    targets = [place for place, example in enumerate(examples) if example.label == "target"]
    if not sources or not targets:
        return []
    x, y = torch.stack([vectors[i] for i in sources]), torch.stack([vectors[i] for i in targets])
    near = min(task.mining.neighbours, len(sources), len(targets))
    forward, backward = _neighbours(x, y, near), _neighbours(y, x, near)
    mean_x, mean_y = forward[0].mean(1), backward[0].mean(1)
    pairs: dict[tuple[int, int], float] = {}
    for turned, (cosines, places) in ((False, forward), (True, backward)):
        for row in beating(range(len(places))):
            at = places[row]
            if task.mining.score == "margin":
                values = cosines[row] / ((mean_y if turned else mean_x)[row] + (mean_x if turned else mean_y)[at]) * 2
            else:
                values = cosines[row]
            best = int(values.argmax())
            one, two = (int(at[best]), row) if turned else (row, int(at[best]))
            pairs[one, two] = max(pairs.get((one, two), -torch.inf), float(values[best]))
    found: list[Found] = []
    seen: tuple[set[int], set[int]] = (set(), set())
    for (one, two), value in sorted(pairs.items(), key=lambda entry: (-entry[1], entry[0])):
        if one not in seen[0] and two not in seen[1]:
            seen[0].add(one)
            seen[1].add(two)
            found.append(Found(value, sources[one], targets[two]))
    return found


def fit_threshold(candidates: Sequence[Found], hits: Sequence[bool], gold: int) -> float:
    """The threshold with the best F1 on these candidates (the best first), half way to the next lower score."""
    best, threshold, right = -1.0, float("inf"), 0
    for place, hit in enumerate(hits):
        right += hit
        last = place + 1 == len(candidates)
        if not last and candidates[place + 1].score == candidates[place].score:
            continue
        f1 = 2 * right / (place + 1 + gold) if gold else 0.0
        if f1 > best:
            below = candidates[place].score if last else candidates[place + 1].score
            best, threshold = f1, (candidates[place].score + below) / 2
    return threshold


def _neighbours(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cosines and indices of the k nearest rows of y for each row of x."""
    parts = [(chunk @ y.T).topk(k) for chunk in beating(torch.split(x, CHUNK))]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def _fold(unit: str) -> int:
    """0 or 1, the half of the gold pairs a sentence belongs to."""
    return hashlib.sha256(f"fold {unit}".encode()).digest()[0] % 2


def _precision_and_recall(hits: Sequence[bool], kept: Sequence[bool], gold: int) -> list[Measured]:
    right = sum(hit and keep for hit, keep in zip(hits, kept, strict=True))
    named = sum(kept)
    return [
        Measured("precision", right / named if named else 0.0, named, None),
        Measured("recall", right / gold if gold else 0.0, gold, None),
    ]
