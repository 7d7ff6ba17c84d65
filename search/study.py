"""A study: settings resolved into tasks, data, candidates and stages; all that a run needs to know beforehand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

from search.candidate import Candidate
from search.order import Order, OrderSpace
from search.settings import Settings
from search.space import Space
from trainables.config import place_of
from trainables.data import DataSource
from trainables.errors import Mistake, Mistakes, nearest
from trainables.fingerprint import model_fingerprint, model_path
from trainables.stage import Scalar, Stage
from trainables.tasks import Task, load_task

if TYPE_CHECKING:
    from trainables.examples import Split


class Study:
    """The resolved study. Making one reads and checks all data; it starts nothing and writes nothing."""

    def __init__(self, settings: Settings, places: Mapping[str, str] | None = None) -> None:
        """`places` says which flag or file set each key. Raises Mistake for whatever is asked that cannot be."""
        self.settings = settings
        self._places = places or {}
        self.intermediate = [load_task(name, self._place("intermediate")) for name in settings.intermediate]
        self._borrowed: dict[str, Task] = {}
        self.targets = [self._by_name(load_task(name, self._place("targets"))) for name in settings.targets]
        self._check_tasks()
        names = [task.name for task in self.intermediate]
        where = self._place("orders.explicit")
        orders = [Order.parse(text, known=names, where=where) for text in settings.orders.explicit]
        self.space = Space(
            OrderSpace(
                names, settings.orders.kind, max_length=settings.orders.max_length,
                max_group=settings.orders.max_group, orders=orders, where=self._place("orders"),
            ),
            settings.method,
            settings.learning_rate,
        )  # fmt: skip
        self.data = DataSource(settings.data_dir, settings.limit)
        self.model = model_path(settings.model)

    def _by_name(self, target: Task) -> Task:
        """The target with its training task named, where its file gives that by path."""
        if not target.train or "/" not in target.train:
            return target
        borrowed = load_task(target.train, f"task {target.name}, key 'train'")
        self._borrowed[borrowed.name] = borrowed
        return target.model_copy(update={"train": borrowed.name})

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Every task by name: intermediate tasks, targets, and the tasks whose training sets targets use."""
        named = {task.name: task for task in (*self.intermediate, *self.targets)}
        for target in self.targets:
            if target.trained_on and target.trained_on not in named:
                borrowed = self._borrowed.get(target.trained_on)
                named[target.trained_on] = borrowed or load_task(target.trained_on, f"task {target.name}, key 'train'")
        return named

    @cached_property
    def grid(self) -> dict[str, list[str]]:
        """The languages each target is scored in, of those its test data have: as asked for, else as its task lists."""
        wanted = self.settings.languages
        found = {target.name: self.data.languages(target, "test") for target in self.targets}
        known = sorted({code for codes in found.values() for code in codes})
        for code in wanted:
            if code not in known:
                raise Mistake(
                    f"no target has test data in language '{code}'",
                    where=self._place("languages"),
                    right=nearest(code, known),
                )
        listed = {target.name: wanted or target.languages or found[target.name] for target in self.targets}
        grid = {name: [code for code in codes if code in listed[name]] for name, codes in found.items()}
        for name, codes in grid.items():
            if not codes:
                right = f"its languages: {', '.join(found[name])}" if found[name] else "test data for it"
                raise Mistake(
                    f"target '{name}' has no test data in the languages asked for",
                    where=self._place("languages"),
                    right=right,
                )
        return grid

    @cached_property
    def fingerprints(self) -> dict[tuple[str, str], str]:
        """Of the data of each (kind of stage, task): what it reads, in which languages, cut to which limit."""
        found = {("train", task.name): self.data.fingerprint(task, {"train": ["en"]}) for task in self._trained()}
        for target in self.targets:
            splits: dict[Split, list[str]] = {"test": self.grid[target.name]}
            own = self.data.fingerprint(target, {**splits, "dev": ["en"]} if "dev" in self._splits(target) else splits)
            borrowed = (
                ""
                if target.trained_on in (None, target.name)
                else self.data.fingerprint(self.tasks[str(target.trained_on)], {"dev": ["en"]})
            )
            found["score", target.name] = own + borrowed
        return found

    @cached_property
    def model_fingerprint(self) -> str:
        """Of the base model's files."""
        return model_fingerprint(self.model)

    @property
    def device(self) -> str:
        """Where stages run: `cuda` when trials ask for a GPU."""
        return "cuda" if self.settings.gpus_per_trial else "cpu"

    def check(self) -> None:
        """Read all the data once, so that what is wrong with them is told before anything starts."""
        for task in self._trained():
            self.data.check(task, ("train",))
        for target in self.targets:
            self.data.check(target, ("dev", "test"))
            if target.trained_on:
                self.data.check(self.tasks[target.trained_on], ("dev",))
        if self.grid and self.fingerprints and self.model_fingerprint:
            self._check_objective()

    def stages(self, candidate: Candidate, seed: int) -> list[Stage]:
        """One run's stages, parents before children: the candidate's order, then each target's own and score."""
        budget = self.settings.train
        found: list[Stage] = []
        last: str | None = None

        def train(tasks: tuple[str, ...], parent: str | None, steps: int) -> str:
            data = tuple(self.fingerprints["train", name] for name in tasks)
            stage = Stage(
                "train", parent, tasks, data, self.model_fingerprint, candidate.method,
                self._training_settings(candidate), steps, seed,
            )  # fmt: skip
            found.append(stage)
            return stage.key

        for group in candidate.order.groups:
            last = train(group, last, budget.steps)
        for target in self.targets:
            parent = train((target.trained_on,), last, budget.target_steps) if target.trained_on else last
            data = (self.fingerprints["score", target.name],)
            found.append(
                Stage("score", parent, (target.name,), data, self.model_fingerprint, candidate.method, self._numeric)
            )
        return list({stage.key: stage for stage in found}.values())

    def score_stage(self, candidate: Candidate, seed: int, target: str) -> Stage:
        """The stage that scores a target for one run of a candidate."""
        return next(s for s in self.stages(candidate, seed) if s.kind == "score" and s.tasks == (target,))

    def counts(self) -> dict[str, int]:
        """Stages of all candidates and seeds, without listing a large space: naive (each run alone) and distinct.

        Two things coincide beyond common prefixes: the empty order's untrained targets are scored once for all seeds,
        since nothing there is random; and a target's own stage is the intermediate stage of its training task where
        their budgets agree. The latter is counted for ordered subsets, and left in (an upper bound) for other spaces.
        """
        orders, settings = self.space.orders, self.settings
        each = len(settings.method) * len(settings.learning_rate) * settings.seeds
        trained = {target.trained_on for target in self.targets if target.trained_on}
        naive = each * (orders.naive_stages() + orders.size * (len(trained) + len(self.targets)))
        distinct = each * (orders.distinct_stages() + orders.size * (len(trained) + len(self.targets)))
        if orders.size and not orders[0].groups:
            untrained = sum(not target.trained_on for target in self.targets)
            distinct -= (each - len(settings.method)) * untrained
        names = [task.name for task in self.intermediate]
        if orders.kind == "subsets" and settings.train.steps == settings.train.target_steps:
            distinct -= each * len(trained & set(names)) * orders.distinct_stages() // max(1, len(names))
        return {"candidates": self.space.size, "stages_naive": naive, "stages_distinct": distinct}

    def workplace(self) -> str:
        """JSON of what every worker needs (trainables.bench.Workplace)."""
        place = {
            "store": self.settings.store_url,
            "model": self.model,
            "tasks": {name: task.model_dump(mode="json") for name, task in self.tasks.items()},
            "languages": self.grid,
            "data_dir": self.settings.data_dir and str(self.data.folder),
            "limit": self.settings.limit,
            "threads": self.settings.cpus_per_trial,
            "device": self.device,
        }
        return json.dumps(place, sort_keys=True)

    @cached_property
    def _numeric(self) -> Mapping[str, Scalar]:
        """Settings that change the last bits of a result."""
        return {
            "threads": self.settings.cpus_per_trial,
            "device": self.device,
            "dtype": "float32",
            "torch": version("torch"),
        }

    def _training_settings(self, candidate: Candidate) -> Mapping[str, Scalar]:
        budget = self.settings.train
        return {
            **self._numeric, "learning_rate": candidate.learning_rate, "batch_size": budget.batch_size,
            "warmup": budget.warmup, "weight_decay": budget.weight_decay,
        }  # fmt: skip

    def _trained(self) -> list[Task]:
        """Tasks that some stage trains on."""
        names = [task.name for task in self.intermediate] + [t.trained_on for t in self.targets if t.trained_on]
        return [self.tasks[name] for name in dict.fromkeys(names)]

    @staticmethod
    def _splits(task: Task) -> set[str]:
        hub = set(task.source.hub.splits) if task.source.hub else set()
        return {"train", "dev", "test"} if task.source.mini else {*task.source.folder, *hub}

    def _check_tasks(self) -> None:
        mistakes = []
        for task in self.intermediate:
            if task.kind == "retrieval":
                right = "a task with training examples; retrieval tasks are targets"
                where = self._place("intermediate")
                mistakes.append(Mistake(f"'{task.name}' cannot be an intermediate task", where=where, right=right))
        names = [target.name for target in self.targets]
        for task in (*self.intermediate, *self.targets):
            if self.tasks[task.name] != task or names.count(task.name) > 1:
                where, right = self._place("targets"), "a name of its own for each task, in its file"
                mistakes.append(Mistake(f"two tasks are named '{task.name}'", where=where, right=right))
        for target in self.targets:
            trained = self.tasks[target.trained_on or target.name]
            if (trained.kind, trained.labels) != (target.kind, target.labels):
                where = f"task {target.name}, key 'train'"
                what = f"'{target.name}' cannot be trained on '{trained.name}': its kind or its labels are others"
                mistakes.append(Mistake(what, where=where, right="a task of the same kind with the same labels"))
        if not self.targets:
            mistakes.append(Mistake("there is no target task", where=self._place("targets"), right="one task at least"))
        if mistakes:
            raise Mistakes(mistakes)

    def _place(self, key: str) -> str:
        """The flag, or the file and key, that set a key (for messages)."""
        source = self._places.get(key) or self._places.get(key.split(".")[0], "")
        return place_of(source, key) if source else key

    def _check_objective(self) -> None:
        if self.settings.objective == "en-dev" and not any(target.trained_on for target in self.targets):
            raise Mistake(
                "retrieval has no English dev set to select on",
                where=self._place("objective"),
                right="a trained target beside it, or --objective target-dev (stamped as oracle selection)",
            )
