"""Batches: bucketed by length, drawn from a generator of the stage's own, so the order of arrival changes nothing."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.feature_table import sizes_of
from trainables.kinds.base import Feature, labels_tensor
from trainables.stage import Scalar
from trainables.watch import beat

TOKENS = 4096
"""Padded tokens of a batch that a decoder scores, which has a figure for every word of its vocabulary at each."""

CPU_TOKENS, GPU_TOKENS = 1024, 16384
"""Padded tokens of a batch that is scored: as many as a core's cache holds the states of, or as fill a GPU."""


@dataclass(frozen=True)
class Batch:
    """Features of one task, padded to the longest."""

    task: str
    features: list[Feature]
    ids: Tensor
    mask: Tensor
    labels: Tensor
    host: NDArray[np.int64]
    """The ids, in the host's memory."""

    @property
    def content(self) -> bytes:
        """Equal for batches whose ids are equal."""
        shape = self.host.shape[1].to_bytes(4, "little")
        return hashlib.blake2b(self.host.tobytes(), digest_size=16, salt=shape).digest()


def collate(task: str, features: Sequence[Feature], pad: int, device: torch.device) -> Batch:
    """One padded batch on the device: ids and mask are rows × length, a feature's rows after each other.

    Whatever reads batches makes them here, so each is a sign of life and is counted (`watch.beat`).
    """
    _count(features)
    return padded(task, features, pad, device)


def padded(task: str, features: Sequence[Feature], pad: int, device: torch.device) -> Batch:
    """As `collate`, for batches that are not counted."""
    ids, mask = _filled_up([row for feature in features for row in feature.rows], pad)
    labels = _on(device, labels_tensor(features, ids.shape[1]))
    return Batch(task, list(features), _on(device, torch.from_numpy(ids)), _on(device, mask), labels, ids)


def collate_together(
    batches: Sequence[Sequence[Feature]], pad: int, device: torch.device
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Several batches one below the other: ids and mask, padded to the longest of all, and the labels of each, padded
    as in a batch of its own. Each is counted as one."""
    for features in batches:
        _count(features)
    ids, mask = _filled_up([row for features in batches for feature in features for row in feature.rows], pad)
    labels = [labels_tensor(features, max(feature.length for feature in features)) for features in batches]
    return _on(device, torch.from_numpy(ids)), _on(device, mask), [_on(device, tensor) for tensor in labels]


def _count(features: Sequence[Feature]) -> None:
    beat(examples=len(features), tokens=sum(len(row) for feature in features for row in feature.rows))


def _filled_up(rows: Sequence[Sequence[int]], pad: int) -> tuple[NDArray[np.int64], Tensor]:
    """The ids of rows, rows × length, and where they are no padding."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(int(lengths.max())) < lengths[:, None]
    ids = np.full(mask.shape, pad, dtype=np.int64)
    ids[mask] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    return ids, torch.from_numpy(mask.astype(np.int64))


def _on(device: torch.device, tensor: Tensor) -> Tensor:
    """The tensor on a device. To a GPU it is copied while the host goes on."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


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

    Every task goes through its features epoch by epoch; within a pool of 50 batches features are sorted by length, and
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


def _epochs(features: Sequence[Feature], size: int, rng: random.Random, pool: int = 50) -> Iterator[list[Feature]]:
    lengths = sizes_of(features).lengths
    while True:
        # Places are shuffled, not features: those of a table are built when they are read.
        shuffled = np.array(rng.sample(range(len(features)), len(features)))
        for at in range(0, len(shuffled), size * pool):
            chunk = shuffled[at : at + size * pool]
            places = chunk[np.argsort(lengths[chunk], kind="stable")].tolist()
            batches = [places[start : start + size] for start in range(0, len(places), size)]
            rng.shuffle(batches)
            for batch in batches:
                yield [features[place] for place in batch]


def parts(features: Sequence[Feature], split: int) -> list[list[Feature]]:
    """A batch in `split` parts of about as many features each, in their order; in as many as it has features where
    those are fewer."""
    count = max(1, min(split, len(features)))
    ends = [len(features) * number // count for number in range(count + 1)]
    return [list(features[start:end]) for start, end in pairwise(ends)]


def scored_tokens(device: torch.device) -> int:
    """Padded tokens of a batch that an encoder scores on a device."""
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def scoring_batches(features: Sequence[Feature], tokens: int = TOKENS, split: int = 1) -> Iterator[list[int]]:
    """Indices of all features, sorted by length, in batches of about `tokens` padded tokens, or the `split`-th part of
    that where memory is short."""
    tokens = max(1, tokens // split)
    sizes = sizes_of(features)
    order = np.argsort(sizes.lengths, kind="stable")
    batch: list[int] = []
    rows = 0
    for i, length, own in zip(order.tolist(), *(each[order].tolist() for each in sizes), strict=True):
        rows += own
        if batch and rows * length > tokens:
            yield batch
            batch, rows = [], own
        batch.append(i)
    if batch:
        yield batch
