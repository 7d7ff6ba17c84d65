"""Batches: bucketed by length, drawn from a generator of the stage's own, so the order of arrival changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.kinds.base import Feature, labels_tensor
from trainables.stage import Scalar


@dataclass(frozen=True)
class Batch:
    """Features of one task, padded to the longest."""

    task: str
    features: list[Feature]
    ids: Tensor
    mask: Tensor
    labels: Tensor


def collate(task: str, features: Sequence[Feature], pad: int, device: torch.device) -> Batch:
    """One padded batch on the device: ids and mask are rows × length, a feature's rows after each other."""
    rows = [row for feature in features for row in feature.rows]
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    labels = labels_tensor(features, length)
    return Batch(task, list(features), ids.to(device), mask.to(device), labels.to(device))


def sampling_weights(sizes: Sequence[int], settings: Mapping[str, Scalar]) -> list[float]:
    """How often each task of a group is drawn (proportional to the weights), by the group's `sampling`:

    proportional to its number of examples, to that number up to a `cap`, alike (uniform), or to its 1/T-th power
    (temperature; arXiv 1907.05019).
    """
    match settings.get("sampling") or "proportional":
        case "uniform":
            return [1.0] * len(sizes)
        case "capped":
            return [float(min(size, int(settings["cap"] or size))) for size in sizes]
        case "temperature":
            return [size ** (1 / float(settings["temperature"] or 1)) for size in sizes]
        case "proportional":
            return [float(size) for size in sizes]
        case other:
            raise ValueError(f"unknown sampling {other!r}")


def training_batches(
    group: Mapping[str, Sequence[Feature]],
    size: int,
    steps: int,
    seed: int,
    settings: Mapping[str, Scalar] | None = None,
) -> Iterator[tuple[str, list[Feature]]]:
    """`steps` batches, each of one task of the group, tasks drawn by `sampling_weights`.

    Every task goes through its features epoch by epoch; within a pool of 16 batches features are sorted by length, and
    the pool's batches are shuffled, so that little is padded and every epoch is another one.
    """
    for task, features in group.items():
        if not features:
            raise ValueError(f"{task} has no training features")
    rng = random.Random(seed)
    streams = {task: _epochs(features, size, random.Random(rng.random())) for task, features in group.items()}
    tasks = list(streams)
    weights = sampling_weights([len(group[task]) for task in tasks], settings or {})
    for _ in range(steps):
        task = rng.choices(tasks, weights)[0] if len(tasks) > 1 else tasks[0]
        yield task, next(streams[task])


def _epochs(features: Sequence[Feature], size: int, rng: random.Random, pool: int = 16) -> Iterator[list[Feature]]:
    while True:
        shuffled = rng.sample(features, len(features))
        for at in range(0, len(shuffled), size * pool):
            chunk = sorted(shuffled[at : at + size * pool], key=lambda feature: feature.length)
            batches = [chunk[start : start + size] for start in range(0, len(chunk), size)]
            rng.shuffle(batches)
            yield from batches


def scoring_batches(features: Sequence[Feature], tokens: int = 4096) -> Iterator[list[int]]:
    """Indices of all features, sorted by length, in batches of about `tokens` padded tokens."""
    order = sorted(range(len(features)), key=lambda i: (features[i].length, i))
    batch: list[int] = []
    rows = 0
    for i in order:
        rows += len(features[i].rows)
        if batch and rows * features[i].length > tokens:
            yield batch
            batch, rows = [], len(features[i].rows)
        batch.append(i)
    if batch:
        yield batch
