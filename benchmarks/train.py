"""Training beside transformers' `Trainer`: the same model, data, batch size, precision and optimizer.

    python -m benchmarks.train [--shape micro|base|large] [--task mnli|squad] [--data-dir DIR] [--frozen] [--record]
    python -m benchmarks.train --shape large --device cuda --precision bfloat16 --batch 16 --steps 200 --peak-tflops 989
    python -m benchmarks.train --shape large --device cuda --precision bfloat16 --tokens 8192 --steps 100

Both train on the same examples of real MNLI (or SQuAD), all of them once, alternating, several times. `Trainer` pads
each batch to its longest text (dynamic padding), and once more with `group_by_length`. Both have fused AdamW and clip
gradients. Told are real tokens (no padding) a second of the training loop, the ratio of the medians, and the loss at
the end, which bucketing must not change but for noise. With `--tokens` a batch has as many examples as have so many
real tokens in the mean.

With `--peak-tflops` (dense and in the precision: 989 for bfloat16 on an H200) the FLOP utilisation is told too: real
tokens a second times the floating-point operations that one needs, over that peak. A token of a text of n tokens needs
6 · (parameters of the layers) + 12 · layers · width · n: forth each weight is multiplied and added, and so are queries
with keys and shares of attention with values, width · n times each; back there is twice as much. Padding, embeddings
and heads count for nothing.

No weights are at hand, so they are random, and the vocabulary is made from the data folder's text: `micro` has the
shipped encoder's shape (and like it no dropout), with 7,000 pieces of the task's own text, the others matrices of
250,002 words, of which pieces are found for a part in the folder's languages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments, XLMRobertaConfig, XLMRobertaModel

from benchmarks.results import record
from trainables import train as training
from trainables.batches import collate
from trainables.data import DataSource
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of, load_model
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.precision import PRECISIONS, computed_in
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.tokenizer import train_tokenizer
from trainables.train import train
from trainables.used_rows import only_used_rows
from trainables.watch import counts, work


class Shape(NamedTuple):
    """An encoder's shape: layers, width, inner width, heads, words; its dropout; whether the text of its vocabulary is
    the task's alone."""

    layers: int
    width: int
    inner: int
    heads: int
    words: int
    dropout: float = 0.1
    own_text: bool = False


SHAPES = {
    "micro": Shape(3, 128, 256, 4, 7000, 0.0, True), "base": Shape(12, 768, 3072, 12, 250_002),
    "large": Shape(24, 1024, 4096, 16, 250_002),
}  # fmt: skip

MOST_TEXT = 40_000_000
"""Characters that a vocabulary is made from."""

RATE, DECAY, WARMUP = 2e-5, 0.01, 1

WARM = 8
"""Steps before anything is measured on a GPU; on a CPU one will do."""


class Measured(NamedTuple):
    """One training: real tokens, seconds by the clock and of the processor, losses by step."""

    tokens: int
    seconds: float
    cpu: float
    losses: list[float]

    @property
    def speed(self) -> float:
        """Real tokens a second."""
        return self.tokens / self.seconds


# --- the model and the data -------------------------------------------------------------------------------------------


def made(shape: str, folder: Path, data: Path, task: str) -> str:
    """An encoder of a shape with random weights, and a tokenizer."""
    own = SHAPES[shape]
    tokenizer = train_tokenizer(texts(data, task if own.own_text else "*"), own.words)
    config = XLMRobertaConfig(
        vocab_size=own.words, hidden_size=own.width, num_hidden_layers=own.layers, intermediate_size=own.inner,
        num_attention_heads=own.heads, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, hidden_dropout_prob=own.dropout,
        attention_probs_dropout_prob=own.dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def texts(data: Path, task: str) -> Iterator[str]:
    """Text of the data folder's tasks, for a vocabulary: as much of each file."""
    paths = sorted(data.glob(f"{task}/*.jsonl.gz"))
    for path in paths:
        left = MOST_TEXT // len(paths)
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                for value in json.loads(line).values():
                    if isinstance(value, str) and len(value) > 20 and left > 0:
                        yield value[:2000]
                        left -= len(value)


class Task(NamedTuple):
    """What is trained on."""

    task: Any
    kind: Any
    features: list[Feature]


def loaded(model: Encoder, name: str, data: Path, length: int) -> Task:
    """A task's training features."""
    task = load_task(name, "--task")
    kind = kind_of(task, model)
    examples = DataSource(data_dir=str(data)).training(task)
    longest = min(length, task.max_length)
    return Task(task, kind, list(kind.training(kind.encode(task, examples, model.tokenizer, longest))))


# --- the two sides ----------------------------------------------------------------------------------------------------


def ours(
    model: Encoder, own: Task, steps: int, batch: int, frozen: bool, seed: int, precision: str = "float32"
) -> Measured:
    """The loop of `trainables.train` alone, without what is put on the model before and copied out of it after."""
    settings = {"learning_rate": RATE, "batch_size": batch, "warmup": WARMUP, "weight_decay": DECAY, "dtype": precision}
    more = scalars(MethodSettings.model_validate({"full": {"freeze_embeddings": frozen}}), "full")
    stage = Stage("train", None, (own.task.name,), ("",), "", "full", {**settings, **more}, steps, seed)
    spent: list[float] = []

    @contextmanager
    def timed(*about: Any) -> Iterator[None]:
        synchronise(model)
        begun, cpu = time.monotonic(), time.process_time()
        with only_used_rows(*about):
            yield
        synchronise(model)
        spent[:] = time.monotonic() - begun, time.process_time() - cpu

    with work(), patch.object(training, "only_used_rows", timed), computed_in(model, stage.dtype):
        figures = train(model, stage, [own.task], {own.task.name: own.features}).figures
        tokens = counts().tokens
    return Measured(tokens, *spent, [figures["loss_first"], figures["loss_last"]])


def synchronise(model: Encoder) -> None:
    """Wait for the GPU, where there is one."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


class WithLoss(nn.Module):
    """The same encoder and head as a model of `Trainer`, which gives a loss."""

    def __init__(self, model: Encoder, own: Task) -> None:
        super().__init__()
        model.reset()
        model.add_head(own.task.name, own.kind.head(own.task, model))
        self.model, self.own = model, own

    def forward(self, ids: Tensor, mask: Tensor, labels: Tensor, features: Sequence[Feature]) -> dict[str, Tensor]:
        """The batch's mean loss."""
        head = self.model.head(self.own.task.name)
        assert head is not None
        return {"loss": self.own.kind.loss(head, self.model.states(ids, mask), labels, features)}


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Features as `Trainer` reads a data set."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, place: int) -> dict[str, Any]:
        feature = self._features[place]
        return {"feature": feature, "input_ids": feature.ids}  # by these it groups


class _Clock(TrainerCallback):
    """When the loop begins and ends, apart from what `Trainer` prepares."""

    def __init__(self, model: Encoder) -> None:
        self._model = model

    def on_train_begin(self, *given: Any, **more: Any) -> None:
        synchronise(self._model)
        self.begun, self.cpu = time.monotonic(), time.process_time()

    def on_train_end(self, *given: Any, **more: Any) -> None:
        synchronise(self._model)
        self.seconds, self.used = time.monotonic() - self.begun, time.process_time() - self.cpu


def trainers(
    model: Encoder, own: Task, steps: int, batch: int, frozen: bool, seed: int, grouped: bool, bf16: bool = False
) -> Measured:
    """`Trainer`'s loop alone, without what it prepares before the first step."""
    whole = WithLoss(model, own)
    model.encoder.requires_grad_(True)
    model.embeddings.requires_grad_(not frozen)
    tokens = 0
    pad = int(model.tokenizer.pad_token_id)

    def batched(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        nonlocal tokens
        features = [row["feature"] for row in rows]
        tokens += sum(len(row) for feature in features for row in feature.rows)
        made = collate(own.task.name, features, pad, torch.device("cpu"))
        return {"ids": made.ids, "mask": made.mask, "labels": made.labels, "features": features}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=batch, learning_rate=RATE,
            weight_decay=DECAY, max_grad_norm=1.0, optim="adamw_torch_fused", lr_scheduler_type="constant",
            group_by_length=grouped, seed=seed, report_to=[], save_strategy="no", logging_strategy="steps",
            logging_steps=max(1, steps // 10), disable_tqdm=True, remove_unused_columns=False, bf16=bf16,
            use_cpu=model.device.type == "cpu", dataloader_num_workers=0,
        )  # fmt: skip
        clock = _Clock(model)
        trainer = Trainer(whole, arguments, data_collator=batched, train_dataset=_Rows(own.features), callbacks=[clock])
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return Measured(tokens, clock.seconds, clock.used, losses)


def speed(each: Sequence[Measured]) -> float:
    """The median of some trainings' speeds."""
    return statistics.median(one.speed for one in each)


def operations(model: Encoder, features: Sequence[Feature]) -> float:
    """Floating-point operations that training on a real token of these features needs, in the mean."""
    layers = sum(parameter.numel() for parameter in model.layers.parameters())
    lengths = [len(row) for feature in features for row in feature.rows]
    attended = sum(length**2 for length in lengths) / sum(lengths)
    return 6 * layers + 12 * len(model.layers) * model.width * attended


def main() -> int:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=[*SHAPES], default="micro")
    parser.add_argument("--task", choices=["mnli", "squad"], default="mnli")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=0, help="that all examples are read in; 0: what the shape allows")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=0, help="real tokens of a batch, in the mean; 0: as --batch says")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=[*PRECISIONS], default="float32")
    parser.add_argument("--peak-tflops", type=float, help="of the device in the precision: tells the utilisation")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--frozen", action="store_true", help="the embeddings on both sides")
    parser.add_argument("--record", action="store_true", help="append the figures to RESULTS.md")
    given = parser.parse_args()
    torch.set_num_threads(given.threads or os.cpu_count() or 1)
    steps = given.steps or {"micro": 250, "base": 12, "large": 3}[given.shape]
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(made(given.shape, Path(folder), given.data_dir, given.task), given.device)
        own = loaded(model, given.task, given.data_dir, 384 if given.task == "squad" else 128)
        if given.tokens:
            mean = statistics.mean(sum(map(len, feature.rows)) for feature in own.features)
            given.batch = math.ceil(given.tokens / mean)
        own = own._replace(features=random.Random(0).sample(own.features, min(len(own.features), steps * given.batch)))
        steps = len(own.features) // given.batch
        mine = partial(ours, model, own, batch=given.batch, precision=given.precision)
        theirs = partial(trainers, model, own, batch=given.batch, bf16=given.precision == "bfloat16")
        sides = {
            "ours": partial(mine, frozen=given.frozen),
            "dynamic padding": partial(theirs, frozen=given.frozen, grouped=False),
            "group_by_length": partial(theirs, frozen=given.frozen, grouped=True),
        }
        if given.frozen:
            sides["ours, nothing frozen"] = partial(mine, frozen=False)
            sides["group_by_length, nothing frozen"] = partial(theirs, frozen=False, grouped=True)
        for side in sides.values():  # warm
            side(steps=1 if given.device == "cpu" else min(steps, WARM), seed=0)
        each_needs = operations(model, own.features)
        found: dict[str, list[Measured]] = {name: [] for name in sides}
        for seed in range(1, given.repeats + 1):
            for name, side in sides.items():
                found[name].append(side(steps=steps, seed=seed))
    lines = [f"{len(own.features)} features of {given.task}, batch {given.batch}, {steps} steps, "
             f"{given.repeats} repeats, {torch.get_num_threads()} threads", "",
             "| side | real tokens/s (least to most) | CPU s | loss first → last |", "|---|---|---|---|"]  # fmt: skip
    for name, each in found.items():
        speeds = sorted(one.speed for one in each)
        losses = f"{statistics.mean(one.losses[0] for one in each):.3f} → "
        losses += f"{statistics.mean(one.losses[-1] for one in each):.3f}"
        lines.append(f"| {name} | {statistics.median(speeds):,.0f} ({speeds[0]:,.0f} to {speeds[-1]:,.0f}) | "
                     f"{statistics.median(one.cpu for one in each):.1f} | {losses} |")  # fmt: skip
    lines += ["", *(f"- over {name}: {speed(found['ours']) / speed(found[name]):.2f}×" for name in list(sides)[1:])]
    if given.peak_tflops:
        lines += ["", *(f"- FLOP utilisation, {name}: {speed(each) * each_needs / (given.peak_tflops * 1e12):.1%}"
                        for name, each in found.items())]  # fmt: skip
    frozen = ", frozen embeddings" if given.frozen else ""
    device = "" if given.device == "cpu" else f", {torch.cuda.get_device_name()}"
    precision = "" if given.precision == "float32" else f", {given.precision}"
    title = f"train: {given.task}, {given.shape}{frozen}{device}{precision}"
    command = "python -m benchmarks.train " + " ".join(sys.argv[1:])
    if given.record:
        record(title, lines, command)
    else:
        sys.stdout.write("\n".join([title, *lines]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
