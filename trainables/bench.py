"""A worker's bench: the model in memory, encoded data at hand, and the running of one stage after another.

Free of Ray: `trainable.py` puts it on a Ray worker, tests and benchmarks run it directly.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load, save

from trainables.data import DataSource
from trainables.evaluate import EvaluationSet, evaluate, sets_of
from trainables.examples import Example
from trainables.kinds import KINDS
from trainables.kinds.base import Feature
from trainables.models import Encoder, Weights
from trainables.reading import OnBadRow
from trainables.stage import PREDICTIONS, WEIGHTS, Stage
from trainables.store import Corrupt, Store
from trainables.tasks import Task
from trainables.train import train


@dataclass(frozen=True)
class Workplace:
    """What every stage of a study shares and no result depends on beyond the stages' keys. JSON in, JSON out."""

    store: str
    model: str
    tasks: dict[str, dict[str, Any]]
    languages: dict[str, list[str]]
    data_dir: str | None = None
    limit: int | None = None
    on_bad_row: OnBadRow = "error"
    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: `made` here, or `found` in the store."""

    key: str
    kind: str
    made: bool
    seconds: float
    parent: str
    """Where the parent's weights came from: `base`, `memory` or `store`."""
    worker: str


class MissingParent(Exception):
    """The parent's weights are not in the store, or not as they were written."""


class Bench:
    """Runs stages. One process keeps one bench, so the model is loaded once and a child finds its parent in memory."""

    def __init__(self, place: Workplace, resident_bytes: int = 2 * 10**9) -> None:
        """Weights of recent stages are kept in memory up to `resident_bytes`, the last stage's always."""
        torch.set_num_threads(place.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.place = place
        self.store = Store(place.store)
        self._data = DataSource(place.data_dir, place.limit, place.on_bad_row)
        self._tasks = {name: Task.model_validate(fields) for name, fields in place.tasks.items()}
        self._features: dict[str, list[Feature]] = {}
        self._sets: dict[str, list[EvaluationSet]] = {}
        self._resident: dict[str, Weights] = {}
        self._resident_bytes = resident_bytes
        self.worker = f"{socket.gethostname()}:{os.getpid()}"

    @cached_property
    def model(self) -> Encoder:
        """The base model, loaded when first needed."""
        return Encoder(self.place.model, self.place.device)

    def run(self, stage: Stage) -> Outcome:
        """Make a stage and store it, unless it is stored; MissingParent or train.Diverged where that cannot be done."""
        start = time.monotonic()
        if self.store.has(stage.key):
            return Outcome(stage.key, stage.kind, False, time.monotonic() - start, "", self.worker)
        self.store.attempt(stage.key, {"kind": stage.kind, "tasks": stage.tasks, "worker": self.worker})
        parent, source = self._weights(stage.parent)
        figures: dict[str, Any]
        if stage.kind == "train":
            weights, figures = self._train(stage, parent)
            blobs = {WEIGHTS: save(weights)}
            self._keep(stage.key, weights)
        else:
            rows, items = self._score(stage, parent)
            figures = {"scores": rows}
            blobs = {PREDICTIONS: _parquet(items)}
        seconds = time.monotonic() - start
        about = {"worker": self.worker, "seconds": seconds, "parent_from": source, "torch": torch.__version__}
        self.store.put(stage.key, {"stage": asdict(stage), **figures, **about}, blobs)
        return Outcome(stage.key, stage.kind, True, seconds, source, self.worker)

    def _train(self, stage: Stage, parent: Weights) -> tuple[Weights, dict[str, Any]]:
        self.model.reset(parent)
        tasks = [self._tasks[name] for name in stage.tasks]
        return train(self.model, stage, tasks, {task.name: self._training_features(task) for task in tasks})

    def _score(self, stage: Stage, parent: Weights) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        target = self._tasks[stage.tasks[0]]
        self.model.reset(parent)
        # A target may be trained on another task's set (XNLI on MNLI): its head was trained under that name.
        if target.trained_on:
            self.model.add_head(target.trained_on, KINDS[target.kind].head(target, self.model))
            self.model.load_head(target.trained_on, parent)
        head = self.model.head(target.trained_on) if target.trained_on else None
        return evaluate(self.model, target, head, self._evaluation_sets(target))

    def _training_features(self, task: Task) -> list[Feature]:
        if task.name not in self._features:
            examples = self._data.training(task)
            self._features[task.name] = KINDS[task.kind].encode(task, examples, self.model.tokenizer, task.max_length)
        return self._features[task.name]

    def _evaluation_sets(self, task: Task) -> list[EvaluationSet]:
        if task.name not in self._sets:
            portions: dict[tuple[str, str], Sequence[Example]] = {}
            if task.trained_on:
                dev = self._data.load(task, "dev", ["en"]) or self._data.load(
                    self._tasks[task.trained_on], "dev", ["en"]
                )
                portions |= {("dev", code): rows for code, rows in dev.items()}
            elif task.kind == "mining":
                gold = self._data.load(task, "dev", self.place.languages[task.name])
                portions |= {("threshold", code): rows for code, rows in gold.items()}
            languages = self.place.languages[task.name]
            test = self._data.load(task, "test", languages) if languages else {}
            portions |= {("test", code): rows for code, rows in test.items()}
            self._sets[task.name] = sets_of(task, portions, self.model)
        return self._sets[task.name]

    def _weights(self, key: str | None) -> tuple[Weights, str]:
        if key is None:
            return {}, "base"
        if key in self._resident:
            return self._resident[key], "memory"
        try:
            weights: Weights = load(self.store.blob(key, WEIGHTS))
        except Corrupt as error:
            raise MissingParent(str(error)) from error
        self._keep(key, weights)
        return weights, "store"

    def _keep(self, key: str, weights: Weights) -> None:
        self._resident[key] = weights
        while len(self._resident) > 1 and sum(map(_bytes, self._resident.values())) > self._resident_bytes:
            del self._resident[next(iter(self._resident))]


def _bytes(weights: Weights) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in weights.values())


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
