"""A study: settings resolved into tasks, data, candidates and stages; all that a run needs to know beforehand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

from search.candidate import Candidate
from search.order import Order, OrderSpace
from search.settings import Settings, TargetTraining
from search.space import Space
from trainables.config import names, place_of
from trainables.data import DataSource
from trainables.errors import Mistake, Mistakes, nearest
from trainables.fingerprint import model_fingerprint, model_path
from trainables.stage import Scalar, Stage
from trainables.tasks import UNTRAINED, Task, load_task, sham

if TYPE_CHECKING:
    from trainables.examples import Split


class Study:
    """The resolved study. Making one reads and checks all data; it starts nothing and writes nothing."""

    def __init__(self, settings: Settings, places: Mapping[str, str] | None = None) -> None:
        """`places` says which flag or file set each key. Raises Mistake for whatever is asked that cannot be."""
        self.settings = settings
        self._places = places or {}
        self.data = DataSource(settings.data_dir, settings.limit, settings.on_bad_row)
        self.intermediate = [self._task(name, "intermediate") for name in settings.intermediate]
        self._borrowed: dict[str, Task] = {}
        self.targets = [self._by_name(self._task(name, "targets")) for name in settings.targets]
        orders = self._orders()
        self.shams = self._shams(orders)
        self._check_tasks()
        chain = [Order(tuple((task.name,) for task in self.shams[: end + 1])) for end in range(len(self.shams))]
        self.space = Space(orders, settings.method, settings.learning_rate, chain)
        self.model = model_path(settings.model)

    def _task(self, name: str, key: str) -> Task:
        task = self.data.resolved(load_task(name, self._place(key)))
        length = self.settings.max_length.get(task.name)
        return task.model_copy(update={"max_length": length}) if length else task

    def _orders(self) -> OrderSpace:
        chosen = self.settings.orders
        tasks = [task.name for task in self.intermediate]
        where = self._place("orders.explicit")
        listed = [Order.parse(text, known=tasks, where=where) for text in chosen.explicit]
        if chosen.kind == "joint":
            singles = [Order(((name,),)) for name in tasks] if len(tasks) > 1 else []
            listed = [Order(()), *singles, Order((tuple(tasks),))]
        return OrderSpace(
            tasks, "explicit" if chosen.kind == "joint" else chosen.kind, max_length=chosen.max_length,
            max_group=chosen.max_group, orders=listed, where=self._place("orders"),
        )  # fmt: skip

    def _shams(self, orders: OrderSpace) -> list[Task]:
        """Tasks with shuffled labels, one for each stage of the longest order: what longer training alone does."""
        if not self.settings.controls:
            return []
        where = self._place("controls")
        longest = max(orders.count_by_length())
        if any(task.sham for task in self.intermediate):
            right = "controls=true alone: it adds the shams itself"
            raise Mistake("sham tasks are intermediate tasks and controls are asked for too", where=where, right=right)
        known = [task for task in self.intermediate if task.kind != "masked_lm"]
        if len(known) < longest:
            what = (
                f"an order of {longest} stages needs as many tasks with labels to make shams of, but has {len(known)}"
            )
            raise Mistake(what, where=where, right="shorter orders (orders.max_length), or more tasks with labels")
        return [sham(task, where) for task in known[:longest]]

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
        named = {task.name: task for task in (*self.intermediate, *self.shams, *self.targets)}
        for target in self.targets:
            if target.trained_on and target.trained_on not in named:
                borrowed = self._borrowed.get(target.trained_on)
                task = borrowed or load_task(target.trained_on, f"task {target.name}, key 'train'")
                lengths = self.settings.max_length
                length = lengths.get(task.name, lengths.get(target.name, task.max_length))
                named[target.trained_on] = self.data.resolved(task.model_copy(update={"max_length": length}))
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
        listed = {t.name: wanted or [*t.languages, *t.extra_languages] or found[t.name] for t in self.targets}
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
    def apart(self) -> dict[str, list[str]]:
        """Languages of each target that are scored beyond those it is averaged over."""
        if self.settings.languages:
            return {}
        return {t.name: [code for code in self.grid[t.name] if code in t.extra_languages] for t in self.targets}

    @property
    def partial(self) -> dict[str, str]:
        """What is said of targets whose data have not all of their languages: `2 of 9 languages (ko, sw)`."""
        said = {}
        for target in self.targets:
            have = [code for code in self.grid[target.name] if code in target.languages]
            if len(have) < len(target.languages) and not self.settings.languages:
                said[target.name] = f"{len(have)} of {len(target.languages)} languages ({', '.join(have)})"
        return said

    def own_training_set(self, order: Order) -> list[str]:
        """Targets whose own training set is among the order's tasks: for those it is no transfer."""
        sources = {source for name in order.tasks for source in _sources(self.tasks[name])}
        return [
            target.name
            for target in self.targets
            if target.trained_on and sources & _sources(self.tasks[target.trained_on])
        ]

    @cached_property
    def fingerprints(self) -> dict[tuple[str, str], str]:
        """Of the data of each (kind of stage, task): what it reads, in which languages, cut to which limit."""
        found = {
            ("train", task.name): self.data.fingerprint(task, {"train": task.train_languages})
            for task in self._trained()
        }
        for target in self.targets:
            splits: dict[Split, list[str]] = {"test": self.grid[target.name]}
            if "dev" in self.splits(target):
                splits["dev"] = self.grid[target.name] if target.kind == "mining" else ["en"]
            own = self.data.fingerprint(target, splits)
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
        found: list[Stage] = []
        last: str | None = None

        def train(tasks: tuple[str, ...], parent: str | None, target: str = "") -> str:
            data = tuple(self.fingerprints["train", name] for name in tasks)
            steps, settings = self._budget(candidate, tasks, target)
            stage = Stage("train", parent, tasks, data, self.model_fingerprint, candidate.method, settings, steps, seed)
            found.append(stage)
            return stage.key

        for group in candidate.order.groups:
            last = train(group, last)
        for target in self.targets:
            parent = train((target.trained_on,), last, target.name) if target.trained_on else last
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
        controls = self.space.controls
        leaves = (orders.size + len(controls)) * (len(trained) + len(self.targets))
        naive = each * (orders.naive_stages() + sum(map(len, controls)) + leaves)
        distinct = each * (orders.distinct_stages() + max(map(len, controls), default=0) + leaves)
        if orders.size and not orders[0].groups:
            untrained = sum(not target.trained_on for target in self.targets)
            distinct -= (each - len(settings.method)) * untrained
        names = [task.name for task in self.intermediate]
        budget = settings.train
        alike = budget.steps == budget.target_steps and budget.epochs == budget.target_epochs and not budget.targets
        if orders.kind == "subsets" and alike:
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
            "on_bad_row": self.settings.on_bad_row,
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

    @property
    def _sampling(self) -> dict[str, Scalar]:
        """How the tasks of a group are drawn; a stage of one task does not depend on it."""
        budget = self.settings.train
        match budget.sampling:
            case "capped":
                return {"sampling": "capped", "cap": budget.cap}
            case "temperature":
                return {"sampling": "temperature", "temperature": budget.temperature}
            case rule:
                return {"sampling": rule}

    def _budget(self, candidate: Candidate, tasks: tuple[str, ...], target: str = "") -> tuple[int, dict[str, Scalar]]:
        """Steps and settings of a stage: an intermediate one's, or a target's own, which may have some of its own."""
        common = self.settings.train
        own = common.targets.get(target) or TargetTraining.model_validate({})
        batch_size = own.batch_size or common.batch_size
        steps, epochs = common.steps, common.epochs
        if target:
            steps, epochs = common.target_steps, common.target_epochs
        if own.steps or own.epochs:
            steps, epochs = own.steps or 1, own.epochs
        if epochs:
            examples = sum(len(self.data.training(self.tasks[name])) for name in tasks)
            steps = max(1, math.ceil(epochs * examples / batch_size))
        warmup = common.warmup if own.warmup is None else own.warmup
        return steps, {
            **self._numeric, "learning_rate": own.learning_rate or candidate.learning_rate, "batch_size": batch_size,
            "warmup": round(warmup * steps) if 0 < warmup < 1 else int(warmup),
            "weight_decay": common.weight_decay if own.weight_decay is None else own.weight_decay,
            **(self._sampling if len(tasks) > 1 else {}),
        }  # fmt: skip

    def _trained(self) -> list[Task]:
        """Tasks that some stage trains on."""
        names = [task.name for task in (*self.intermediate, *self.shams)]
        names += [target.trained_on for target in self.targets if target.trained_on]
        return [self.tasks[name] for name in dict.fromkeys(names)]

    @staticmethod
    def splits(task: Task) -> set[Split]:
        """The splits that a task has."""
        source = task.source
        return {"train", "dev", "test"} if source.mini or source.tasks or source.ccgbank else source.splits

    def _check_tasks(self) -> None:
        mistakes = []
        for task in self.intermediate:
            if task.kind in UNTRAINED:
                right = f"a task with training examples; {task.kind} tasks are targets"
                where = self._place("intermediate")
                mistakes.append(Mistake(f"'{task.name}' cannot be an intermediate task", where=where, right=right))
        targets = [target.name for target in self.targets]
        for task in (*self.intermediate, *self.targets):
            if self.tasks[task.name] != task or targets.count(task.name) > 1:
                where, right = self._place("targets"), "a name of its own for each task, in its file"
                mistakes.append(Mistake(f"two tasks are named '{task.name}'", where=where, right=right))
        for target in self.targets:
            if target.kind == "masked_lm":
                what = f"'{target.name}' cannot be a target: masked language modelling has no test labels"
                mistakes.append(Mistake(what, where=self._place("targets"), right="an intermediate task"))
            trained = self.tasks[target.trained_on or target.name]
            if (trained.kind, trained.labels) != (target.kind, target.labels):
                where = f"task {target.name}, key 'train'"
                what = f"'{target.name}' cannot be trained on '{trained.name}': its kind or its labels are others"
                mistakes.append(Mistake(what, where=where, right="a task of the same kind with the same labels"))
        mistakes += self._check_named()
        if not self.targets:
            mistakes.append(Mistake("there is no target task", where=self._place("targets"), right="one task at least"))
        if mistakes:
            raise Mistakes(mistakes)

    def _check_named(self) -> list[Mistake]:
        """Tasks that settings name: a preset may name tasks that this study lacks, but none that nobody knows."""
        mistakes = []
        known = {*names("tasks"), *self.tasks}
        for key, named in (("max_length", self.settings.max_length), ("train.targets", self.settings.train.targets)):
            for name in named:
                if name not in known:
                    where = self._place(f"{key}.{name}")
                    mistakes.append(Mistake(f"no task is named '{name}'", where=where, right=nearest(name, known)))
        for target in self.targets:
            if not target.trained_on and target.name in self.settings.train.targets:
                what = f"the target '{target.name}' has no stage of its own to give settings to"
                mistakes.append(Mistake(what, where=self._place("train.targets")))
        return mistakes

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


def _sources(task: Task) -> set[str]:
    """What a task's training examples are: its parts, each by the data they are read from. A sham is no source."""
    if task.sham:
        return set()
    source = task.source
    if source.tasks:
        return {one for name in source.tasks for one in _sources(load_task(name, f"task {task.name}"))}
    return {f"mini {source.mini}" if source.mini else source.folder.get("train") or source.ccgbank or task.name}
