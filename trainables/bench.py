"""A worker's bench: the model in memory, encoded data at hand, and the running of one stage after another.

Free of Ray: `trainable.py` puts it on a Ray worker, tests and benchmarks run it directly.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import pandas as pd
import torch
from safetensors.torch import load, save

from perturb.edits.masked_lm import Fill, fill_by
from perturb.suite import SuiteSettings
from trainables import fertility, oom, representations, watch
from trainables.attacked import Attacks
from trainables.attempt import FIRST, Attempt
from trainables.attempts import Beat, Held, Lease
from trainables.data import DataSource
from trainables.decoder import Decoder
from trainables.encoded import Encodings
from trainables.evaluate import EvaluationSet, evaluate, sets_of
from trainables.examples import Example
from trainables.failures import Diverged, MissingParent
from trainables.fingerprint import model_fingerprint
from trainables.fused import Job, train_together
from trainables.fused_cost import ALONE, pass_tokens
from trainables.heads import heads_in
from trainables.icl import Demonstrations, evaluate_icl
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of, load_model
from trainables.language_folder import LanguageFolder
from trainables.methods import put_on
from trainables.methods.settings import icl_settings
from trainables.models import Encoder, Weights
from trainables.node_cache import NodeCache
from trainables.perturbations import Lookup
from trainables.perturbed import Suites, evaluate_edited
from trainables.perturbed_prompts import evaluate_edited_prompts
from trainables.precision import computed_in
from trainables.reading import OnBadRow
from trainables.stage import FORGETTING, PREDICTIONS, STATE, WEIGHTS, Stage
from trainables.store import Corrupt, Store
from trainables.storing import Made, Outcome, Storing
from trainables.tasks import Task
from trainables.templates import PLACEHOLDERS
from trainables.threads import known
from trainables.train import Trained, train

HEADS_KEPT = 64
"""Of so many stages the heads are kept in memory, so that weights need not be read for a head again and again."""


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
    language_adapters: str | None = None
    """The folder of language adapters, where the method `adapter` has some."""
    suites: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Perturbation suites by name."""
    node_cache: int = 0
    """Bytes of recent weights that the workers of a node keep for one another, and encoded texts beside them."""
    stall_timeout: float = 1800.0
    """Seconds without a batch after which the process is ended."""


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
        self._features: dict[tuple[str, int, int | None], Sequence[Feature]] = {}  # by task, longest text, rows
        self._sets: dict[tuple[str, int], list[EvaluationSet]] = {}
        self._dev_sets: dict[tuple[str, int], list[EvaluationSet]] = {}  # of the orders' tasks, in English
        self._suites: dict[str, Suites] = {}
        self._attacking: dict[str, Attacks] = {}
        self._resident: dict[str, Weights] = {}
        self._heads: dict[str, Weights] = {}
        self._resident_bytes = resident_bytes
        self.worker = f"{socket.gethostname()}:{os.getpid()}"
        self._cache = NodeCache.here(place.node_cache) if place.node_cache else None
        self.storing = Storing(self.store, self.worker, self._cache)
        self._ahead: dict[str, Future[Outcome]] = {}  # of stages that were trained together
        self.broken = False
        self._beat = Beat(self.store, self.worker)
        self._watch = watch.Watch(place.stall_timeout, self.storing.give_up)

    def start(self) -> Self:
        """Begin to give signs of life, and to end this process where there are none: for workers alone."""
        self._beat.start()
        self._watch.start()
        return self

    def stop(self) -> None:
        """The opposite of `start`."""
        self._watch.stop()
        self._beat.stop()

    def leave(self, error: BaseException) -> None:
        """Leave what is under way to others: the process is to end."""
        self.storing.give_up(f"{type(error).__name__}: {error}")

    def recover(self, error: BaseException) -> None:
        """Go on after a stage that failed: let its memory go, or note that this process is of no more use."""
        self.broken = self.broken or oom.cuda_is_broken(error)
        if not self.broken:
            oom.release(self.__dict__.get("model"), error)

    @cached_property
    def model(self) -> Encoder:
        """The base model, loaded when first needed."""
        model = load_model(self.place.model, self.place.device)
        if self.place.language_adapters:
            model.language_folder = LanguageFolder(self.place.language_adapters)
        return model

    @cached_property
    def _encodings(self) -> Encodings:
        """What this node has encoded."""
        return Encodings.beside(self._cache, self.model.tokenizer)

    def run(self, stage: Stage, attempt: Attempt = FIRST) -> Outcome:
        """Make a stage and store it, unless it is stored.

        Raises attempts.Held where another worker is at it, MissingParent or Diverged where it cannot be made, and
        StoreTrouble where it cannot be stored.
        """
        return self.begin(stage, attempt).result()

    def begin(self, stage: Stage, attempt: Attempt = FIRST) -> Future[Outcome]:
        """As `run`, but only until the stage is made: its outcome comes when it is stored, and its child may be made
        meanwhile, from weights that are in memory.

        Raises what the making raises, and what the storing of the parent did; the future raises what the storing does.
        """
        if (ahead := self._ahead.pop(stage.key, None)) is not None:
            return ahead
        start = time.monotonic()
        if self.store.has(stage.key):
            return known(Outcome(stage.key, stage.kind, False, time.monotonic() - start, "", self.worker))
        lease = self.storing.begin(stage, attempt)
        with self.storing.held([lease]), watch.work(), computed_in(self.model, stage.dtype):
            return self.storing.put(self._made(stage, attempt, start), lease)

    def settle(self) -> None:
        """Wait until what was made is stored, or could not be."""
        with watch.work():
            self.storing.settle()

    def run_ahead(self, stages: Sequence[Stage]) -> None:
        """Train several stages together, where that is faster than one after the other: `begin` then gives each its
        outcome, or raises what became of it. Stages that are stored, or that another worker is at, are left to it.
        """
        start = time.monotonic()
        with watch.work(), computed_in(self.model, stages[0].dtype):
            made = [self._job(stage) for stage in stages if not self.store.has(stage.key)]
            jobs, sources = [job for job, _ in made], {job.stage.key: source for job, source in made}
            tokens = pass_tokens(self.model, jobs)
        if tokens == ALONE:
            return
        leases: dict[str, Lease] = {}
        with self.storing.held(leases.values()), watch.work(), computed_in(self.model, stages[0].dtype):
            for job in jobs:
                with suppress(Held):
                    leases[job.stage.key] = self.storing.begin(job.stage, FIRST, together=len(jobs))
            jobs = [job for job in jobs if job.stage.key in leases]
            found = train_together(self.model, jobs, tokens)
            share = (time.monotonic() - start) / max(1, len(jobs))
            counts = watch.Counts(*(count // max(1, len(jobs)) for count in watch.counts()))
            for job, trained in zip(jobs, found, strict=True):
                key = job.stage.key
                if isinstance(trained, Diverged):
                    self.storing.end(leases[key], f"Diverged: {trained}")
                    self._ahead[key] = known(trained)
                    continue
                self._keep(key, trained.weights)
                figures = {**trained.figures, "resumed": job.begun is not None, "together": len(jobs)}
                own = Made(job.stage, FIRST, figures, _content(trained), sources[key], share, counts)
                self._ahead[key] = self.storing.put(own, leases[key])

    def _job(self, stage: Stage) -> tuple[Job, str]:
        """What a stage is trained from, and where its parent's weights came from."""
        parent, source = self._weights(stage.parent)
        return Job(stage, *self._training(stage), parent, self._carried(stage), self._begun(stage)), source

    def _made(self, stage: Stage, attempt: Attempt, start: float) -> Made:
        parent, source = self._weights(stage.parent)
        figures: dict[str, Any]
        if stage.kind == "train":
            begun = self._begun(stage)
            trained = train(
                self.model, stage, *self._training(stage), parent, self._carried(stage), begun, attempt.split
            )
            self._keep(stage.key, trained.weights)
            figures, content = {**trained.figures, "resumed": begun is not None}, _content(trained)
        else:
            rows, items = self._score(stage, parent, attempt.split)
            figures, content = {"scores": rows}, lambda: {PREDICTIONS: _parquet(items)}
        return Made(stage, attempt, figures, content, source, time.monotonic() - start, watch.counts())

    def _training(self, stage: Stage) -> tuple[list[Task], dict[str, Sequence[Feature]]]:
        """The group of a stage, and its features."""
        group = [self._tasks[name] for name in stage.tasks]
        longest = self._text_length(stage)
        rows = int(stage.settings.get("rows") or 0) or None
        return group, {t.name: self._training_features(t, min(t.max_length, longest), rows) for t in group}

    def _carried(self, stage: Stage) -> Collection[Task]:
        """The tasks whose heads a stage takes from its parent."""
        return self._tasks.values() if stage.settings.get("heads") == "carry" else ()

    def _begun(self, stage: Stage) -> Weights | None:
        """The state of the same stage at a smaller budget, where the store has it."""
        if stage.resumes is None or not self.store.has(stage.resumes):
            return None
        try:
            return load(self.store.blob(stage.resumes, STATE))
        except (Corrupt, KeyError, OSError):
            return None

    def _text_length(self, stage: Stage) -> int:
        """Tokens that a text may have under the stage's method: a prompt takes its length of the model's positions."""
        return self.model.positions - int(stage.settings.get("prompt_length") or 0)

    def _score(self, stage: Stage, parent: Weights, split: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        target = self._tasks[stage.tasks[0]]
        put_on(self.model, stage, parent)
        if stage.parent is None and stage.settings.get("language_adapters"):
            # What an order adds is measured against the base model that speaks each language, too.
            self.model.attach({}, {}, "language adapters alone", language=True)
        if stage.measure == "representations":
            return self._representations(stage, target, split), []
        if stage.measure == FORGETTING:
            return self._remembered(stage, target, split), []
        longest = min(target.max_length, self._text_length(stage))
        if isinstance(self.model, Decoder) and target.kind in PLACEHOLDERS:
            return self._in_text(self.model, stage, target, longest, split)
        # A target may be trained on another task's set (XNLI on MNLI): its head was trained under that name.
        if target.trained_on:
            self.model.add_head(target.trained_on, kind_of(target, self.model).head(target, self.model))
            self.model.load_head(target.trained_on, parent)
        head = self.model.head(target.trained_on) if target.trained_on else None
        sets = self._evaluation_sets(target, longest)
        if stage.measure == "perturbations":
            return evaluate_edited(self.model, target, head, sets, self._suite(stage), longest, split)
        if stage.measure == "attack":
            recipe = str(stage.settings["attack"])
            return self._attacks(stage).evaluate(self.model, target, head, sets, recipe, longest, split)
        return evaluate(self.model, target, head, sets, split)

    def _suite(self, stage: Stage) -> Suites:
        """The suite that a stage scores on."""
        name = str(stage.settings["suite"])
        if name not in self._suites:
            self._suites[name] = Suites(*self._settings(name), self.store)
        return self._suites[name]

    def _attacks(self, stage: Stage) -> Attacks:
        """The attacks of the suite that a stage's is of."""
        name = str(stage.settings["suite"])
        if name not in self._attacking:
            self._attacking[name] = Attacks(*self._settings(name))
        return self._attacking[name]

    def _settings(self, name: str) -> tuple[SuiteSettings, Lookup]:
        settings = SuiteSettings.model_validate(self.place.suites[name])
        guesses = None if isinstance(self.model, Decoder) else self._guesses
        return settings, Lookup(settings, self.place.data_dir, guesses, model_fingerprint(self.place.model))

    @cached_property
    def _masked_lm(self) -> tuple[Fill, str]:
        model, mask = self.model.masked_lm()
        return fill_by(model, self.model.tokenizer), mask

    def _guesses(self) -> tuple[Fill, str]:
        """What the base model puts in the place of masked words."""
        return self._masked_lm

    def _in_text(
        self, model: Decoder, stage: Stage, target: Task, longest: int, split: int
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Score in context or, where the target was trained on, by the same rule without demonstrations.

        ValueError for an attack, which `search.capabilities` refuses.
        """
        settings = icl_settings(stage.settings)
        training = self._tasks[target.trained_on] if target.trained_on else None
        languages = self.place.languages[target.name]
        shown = Demonstrations.of(self._data, target, training, languages, settings)
        sets, seed = self._evaluation_sets(target, longest), stage.seed or 0
        room = self._text_length(stage)
        if stage.measure == "attack":
            raise ValueError(f"{target.name} cannot be attacked in text form")
        if stage.measure == "perturbations":
            graded = "f1" if target.kind == "span" else None

            def ask(parts: Sequence[EvaluationSet]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
                return evaluate_icl(model, target, parts, shown, settings, seed, room, graded, split)

            return evaluate_edited_prompts(model, target, sets, self._suite(stage), longest, ask)
        return evaluate_icl(model, target, sets, shown, settings, seed, room, split=split)

    def _representations(self, stage: Stage, task: Task, split: int) -> list[dict[str, Any]]:
        """How alike translations are to the model; of the base model also into how many tokens it cuts words."""
        self.model.eval()
        sets = self._evaluation_sets(task, min(task.max_length, self._text_length(stage)))
        rows = representations.measure(self.model, task, sets, split)
        if stage.parent:
            return rows
        cut = fertility.measure(self.model.tokenizer, sets)
        return [*rows, *cut, *fertility.by_script(cut)]

    def _remembered(self, stage: Stage, task: Task, split: int) -> list[dict[str, Any]]:
        """How well the stage's encoder still does a task of its order, in English, with the head that the task's own
        stage trained."""
        self.model.add_head(task.name, kind_of(task, self.model).head(task, self.model))
        self.model.load_head(task.name, self._heads_of(str(stage.head_from)))
        longest = min(task.max_length, self._text_length(stage))
        if (task.name, longest) not in self._dev_sets:
            dev = {("dev", code): rows for code, rows in self._data.load(task, "dev", ["en"]).items()}
            self._dev_sets[task.name, longest] = sets_of(task, dev, self.model, longest, self._encodings)
        rows, _ = evaluate(self.model, task, self.model.head(task.name), self._dev_sets[task.name, longest], split)
        return [{**row, "portion": FORGETTING} for row in rows]

    def _training_features(self, task: Task, longest: int, rows: int | None) -> Sequence[Feature]:
        def read() -> list[Example]:
            return self._data.training(task, rows)

        def origin() -> list[Any]:
            return [self._data.fingerprint(task, {"train": task.train_languages}), self.place.on_bad_row, rows]

        key = task.name, longest, rows
        if key not in self._features:
            kind = kind_of(task, self.model)
            self._features[key] = self._encodings.training(task, kind, longest, read, origin)
        return self._features[key]

    def _evaluation_sets(self, task: Task, longest: int) -> list[EvaluationSet]:
        if (task.name, longest) not in self._sets:
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
            if isinstance(self.model, Decoder) and task.kind in PLACEHOLDERS:  # prompts are made when they are scored
                sets = [EvaluationSet(*place, rows, []) for place, rows in portions.items()]
            else:
                sets = sets_of(task, portions, self.model, longest, self._encodings)
            self._sets[task.name, longest] = sets
        return self._sets[task.name, longest]

    def _heads_of(self, key: str) -> Weights:
        """The heads that a stage's weights hold. They are small: those of recent stages are kept beside the weights."""
        if key not in self._heads:
            self._heads[key] = heads_in(self._weights(key)[0])
            while len(self._heads) > HEADS_KEPT:
                del self._heads[next(iter(self._heads))]
        return self._heads[key]

    def _weights(self, key: str | None) -> tuple[Weights, str]:
        if key is None:
            return {}, "base"
        if key in self._resident:
            return self._resident[key], "memory"
        self.storing.settle(key)
        try:
            content, source = self.store.fetched(key, WEIGHTS, self._cache)
        except Corrupt as error:
            raise MissingParent(key, str(error)) from error
        weights: Weights = load(content)
        self._keep(key, weights)
        return weights, source

    def _keep(self, key: str, weights: Weights) -> None:
        self._resident[key] = weights
        while len(self._resident) > 1 and sum(map(_bytes, self._resident.values())) > self._resident_bytes:
            del self._resident[next(iter(self._resident))]


def _content(trained: Trained) -> Callable[[], dict[str, bytes]]:
    """What is stored of a trained stage. The weights are a copy, which nobody changes."""
    return lambda: {WEIGHTS: save(trained.weights)} | ({STATE: save(trained.state)} if trained.state else {})


def _bytes(weights: Weights) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in weights.values())


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
