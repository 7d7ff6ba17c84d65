"""Batches: bucketed by length, drawn from a generator of the stage's own, so the order of arrival changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.kinds.base import Feature, labels_tensor


@dataclass(frozen=True)
class Batch:
    """Features of one task, padded to the longest."""

    task: str
    features: list[Feature]
    ids: Tensor
    mask: Tensor
    labels: Tensor


def collate(task: str, features: Sequence[Feature], pad: int, device: torch.device) -> Batch:
    """One padded batch on the device: ids and mask are batch × length."""
    length = max(len(feature.ids) for feature in features)
    ids = torch.full((len(features), length), pad)
    for row, feature in enumerate(features):
        ids[row, : len(feature.ids)] = torch.tensor(feature.ids)
    mask = torch.tensor([[1] * len(f.ids) + [0] * (length - len(f.ids)) for f in features])
    labels = labels_tensor(features, length)
    return Batch(task, list(features), ids.to(device), mask.to(device), labels.to(device))


def training_batches(
    group: Mapping[str, Sequence[Feature]], size: int, steps: int, seed: int
) -> Iterator[tuple[str, list[Feature]]]:
    """`steps` batches, each of one task of the group, tasks drawn in proportion to their size.

    Every task goes through its features epoch by epoch; within a pool of 16 batches features are sorted by length, and
    the pool's batches are shuffled, so that little is padded and every epoch is another one.
    """
    for task, features in group.items():
        if not features:
            raise ValueError(f"{task} has no training features")
    rng = random.Random(seed)
    streams = {task: _epochs(features, size, random.Random(rng.random())) for task, features in group.items()}
    tasks = list(streams)
    weights = [len(group[task]) for task in tasks]
    for _ in range(steps):
        task = rng.choices(tasks, weights)[0] if len(tasks) > 1 else tasks[0]
        yield task, next(streams[task])


def _epochs(features: Sequence[Feature], size: int, rng: random.Random, pool: int = 16) -> Iterator[list[Feature]]:
    while True:
        shuffled = rng.sample(features, len(features))
        for at in range(0, len(shuffled), size * pool):
            chunk = sorted(shuffled[at : at + size * pool], key=lambda feature: len(feature.ids))
            batches = [chunk[start : start + size] for start in range(0, len(chunk), size)]
            rng.shuffle(batches)
            yield from batches


def scoring_batches(features: Sequence[Feature], tokens: int = 4096) -> Iterator[list[int]]:
    """Indices of all features, sorted by length, in batches of about `tokens` padded tokens."""
    order = sorted(range(len(features)), key=lambda i: (len(features[i].ids), i))
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(features[i].ids) > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
