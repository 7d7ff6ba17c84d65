"""A study: settings resolved into tasks, data, candidates and stages; all that a run needs to know beforehand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from perturb.edits import edit_class
from perturb.errors import BadInput
from search.candidate import Arm, Candidate
from search.capabilities import attack_refusals, language_refusals, refusals
from search.counting import counts
from search.order import Order, OrderSpace
from search.plan import Plan, Planned, probes
from search.primary import check_primary
from search.seed_control import seed_control
from search.settings import Settings
from search.space import Space
from trainables.config import names, place_of
from trainables.data import DataSource
from trainables.errors import Mistake, Mistakes, nearest
from trainables.families import family_of, model_config
from trainables.fingerprint import model_fingerprint, model_path
from trainables.language_folder import LanguageFolder, spoken
from trainables.languages import sides
from trainables.perturbations import ATTACK, Lookup, load_suites, told
from trainables.stage import Scalar, Stage
from trainables.tasks import UNTRAINED, Task, load_task, sham

if TYPE_CHECKING:
    from perturb.recipes.settings import AttackSettings
    from perturb.suite import SuiteSettings
    from trainables.examples import Split


PLACES = {
    "space", "question", "data_dir", "out", "store", "address", "max_concurrent", "on_bad_row", "model", "answer",
    "candidates", "confidence", "finals", "forgetting", "primary", "seed_control", "seed_control_order",
    "resources_per_trial", "store_budget", "node_cache", "stall_timeout", "grace", "dashboard", "tracker",
}  # fmt: skip
"""Settings that say where a study runs, what it is called, when it ends, and what is measured besides."""


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
        self.suites = load_suites(settings.perturbations, self._place("perturbations"), settings.perturbed_examples)
        self._check_tasks()
        chain = [Order(tuple((task.name,) for task in self.shams[: end + 1])) for end in range(len(self.shams))]
        self.space = Space(orders, settings.arms, chain, self._first(orders))
        self.seed_control = seed_control(settings, orders, self._place)
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

    def _first(self, orders: OrderSpace) -> list[Order]:
        """The orders that strategies begin with: those asked for that are not baselines."""
        where = self._place("first")
        found = [Order.parse(text, known=orders.tasks, where=where) for text in self.settings.first]
        for order in found:
            if order not in orders:
                right = "an order of the space (orders.kind, orders.max_length)"
                raise Mistake(f"order '{order}' is not in the space", where=where, right=right)
        return [order for order in dict.fromkeys(found) if orders.index(order) >= orders.baselines]

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
        for target in self.targets:
            if target.mixed and not grid[target.name]:  # single languages stand for all of their pairs
                grid[target.name] = [c for c in found[target.name] if set(sides(c) or "?") <= set(wanted)]
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
    def perturbed(self) -> dict[str, dict[str, dict[str, list[str]]]]:
        """The grid of perturbations by suite, target and language: the edits and attacks that exist there."""
        found: dict[str, dict[str, dict[str, list[str]]]] = {}
        for name, lookup in self.lookups.items():
            found[name] = {}
            for target in self.targets:
                languages = self.grid[target.name]
                shown = self.data.load(target, "test", languages) if "phrase-mixing" in lookup.edits else {}
                examples = [example for own in shown.values() for example in own]
                found[name][target.name] = lookup.grid(target, languages, examples)
        return found

    def perturbations_of(self, target: Task) -> Iterator[tuple[SuiteSettings, AttackSettings | None]]:
        """What a target is scored on besides its clean texts: a suite's edits (None), or one of its attacks."""
        for name, suite in self.suites.items():
            there = {cell for cells in self.perturbed[name][target.name].values() for cell in cells}
            if not there.isdisjoint(suite.edits):
                yield suite, None
            yield from ((suite, attack) for attack in suite.attacks if f"{ATTACK}{attack.recipe}" in there)

    @cached_property
    def lookups(self) -> dict[str, Lookup]:
        """What each suite's edits look up."""
        folder = self.settings.data_dir and str(self.data.folder)
        masked = None if self.decodes else _unasked
        mark = self.model_fingerprint
        return {name: Lookup(suite, folder, masked, mark) for name, suite in self.suites.items()}

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
    def followed(self) -> dict[str, str]:
        """Fingerprints, by task, of the English dev sets that learning and forgetting are measured on, where they are:
        of all tasks of orders that have one."""
        tasks = (*self.intermediate, *self.shams) if self.settings.forgetting else ()
        there = [task for task in tasks if "dev" in self.splits(task) and self.data.load(task, "dev", ["en"]).get("en")]
        return {task.name: self.data.fingerprint(task, {"dev": ["en"]}) for task in there}

    @cached_property
    def identity(self) -> str:
        """A hash of all that the study's candidates and their values depend on; where it runs is left out."""
        about = self.settings.model_dump(mode="json", exclude={*PLACES, "precision"})  # that is among the numeric ones
        marks = [[*key, value] for key, value in self.fingerprints.items()]
        suites = [suite.model_dump(mode="json") for suite in self.suites.values()]  # their files may change
        text = json.dumps([about, marks, self.model_fingerprint, dict(self.numeric), suites], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @cached_property
    def rows(self) -> int | None:
        """How many training examples an intermediate task has at most; None for all."""
        rows = self.settings.train.rows
        if rows == "equal":
            return min((len(self.data.training(task)) for task in self.intermediate), default=None)
        return rows if isinstance(rows, int) else None

    @cached_property
    def model_fingerprint(self) -> str:
        """Of the base model's files."""
        return model_fingerprint(self.model)

    @property
    def decodes(self) -> bool:
        """Whether the model is a decoder, which does tasks in text form."""
        return family_of(model_config(self.model)).kind == "decoder"

    def wording(self, tasks: Sequence[str]) -> dict[str, Scalar]:
        """What a decoder's stage depends on besides: how tasks are put into words."""
        templates = [self.tasks[name].template for name in tasks]
        if not self.decodes or not any(templates):
            return {}
        text = json.dumps([template and template.model_dump() for template in templates], sort_keys=True)
        return {"templates": hashlib.sha256(text.encode()).hexdigest()[:16]}

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
        self._check_followed()
        self._check_perturbed()
        check_primary(self, self._place)
        config = model_config(self.model)
        refused = list(refusals(self.settings, self.intermediate, self.targets, config, self._place))
        refused += attack_refusals(self.suites, self.targets, config, self._place)
        if self.language_folder:
            languages = [spoken(code) for codes in self.grid.values() for code in codes]
            refused += language_refusals(self.language_folder, self._trained(), languages, config, self._place)
        if refused:
            raise Mistakes(refused)

    def _check_followed(self) -> None:
        """A Mistake where forgetting is to be measured and cannot be."""
        where = self._place("forgetting")
        if not self.settings.forgetting:
            return
        if self.decodes:
            what = "forgetting is measured with the heads of an encoder's tasks, but the model is a decoder"
            raise Mistake(what, where=where, right="an encoder (--model micro), or no forgetting")
        if not any(self.carries(arm) for arm in self.settings.arms):
            what = "nothing can be forgotten: under the probe no stage leaves the next one anything"
            raise Mistake(what, where=where, right="another method, or train.heads=carry")
        if not self.followed:
            what = "forgetting is measured on English dev sets, but no intermediate task has one"
            raise Mistake(what, where=where, right="a task with a dev set, or no forgetting")

    def _check_perturbed(self) -> None:
        """A Mistake for what suites look up that is not there, and for one that changes nothing of this study."""
        for name, lookup in self.lookups.items():
            where = f"{self._place('perturbations')}, suite {name}"
            lookup.check(where)
            try:
                cells = [cell for grid in self.perturbed[name].values() for there in grid.values() for cell in there]
            except BadInput as error:
                raise told(error, where) from None
            if not cells:
                what = "none of its edits and attacks exists for these targets and languages"
                raise Mistake(what, where=where, right="order-search ls edits, and docs/perturbations.md")
        if "robustness" in self.settings.goals and not self._told_of_robustness():
            seen = "English dev" if self.settings.objective == "en-dev" else "the test sets"
            what = f"the goal robustness has no figure: no edit of the suites that keeps form or meaning changes {seen}"
            raise Mistake(what, where=self._place("goals"), right="--perturbations standard, or other goals")

    def _told_of_robustness(self) -> bool:
        """Whether some edit that enters a robust score exists in what the search is told of."""
        for lookup in self.lookups.values():
            for target in self.targets:
                english = ["en"] if target.trained_on else []
                codes = english if self.settings.objective == "en-dev" else self.grid[target.name]
                cells = (cell for there in lookup.grid(target, codes).values() for cell in there)
                edits = [edit_class(cell) for cell in cells if not cell.startswith(ATTACK)]
                if any(edit.keeps != "stress" and not edit.control for edit in edits):
                    return True
        return False

    @cached_property
    def language_folder(self) -> LanguageFolder | None:
        """The language adapters of the method `adapter`, where it has some."""
        path = self.settings.methods.adapter.languages
        if not path or "adapter" not in self.settings.method:
            return None
        return LanguageFolder(path, self._place("methods.adapter.languages"))

    def stages(self, candidate: Candidate, seed: int) -> list[Stage]:
        """One run's stages, parents before children: the candidate's order, then each target's own and score."""
        return [planned.stage for planned in self.planned(candidate, seed)]

    def planned(self, candidate: Candidate, seed: int) -> list[Planned]:
        """One run's stages, each with a label: the order up to it, or the order and what follows it."""
        plan = Plan(self, candidate, seed)
        last: str | None = None
        if self.carries(candidate.arm):
            for group, prefix in zip(candidate.order.groups, candidate.order.prefixes(), strict=True):
                last = plan.train(group, last, str(prefix))
                plan.follow(group, last, str(prefix))
        for target in self.targets:
            plan.score(target, last)
        for task in self.settings.representations:
            plan.measure(task, None, str(Order(())))
        return plan.stages()

    @property
    def control_runs(self) -> list[tuple[Candidate, int]]:
        """The seed control's runs: a candidate at roots that neither search nor finals have."""
        return self.seed_control.runs if self.seed_control else []

    def carries(self, arm: Arm) -> bool:
        """Whether a stage leaves the next one anything: the probe does so only where heads are carried."""
        return not probes(arm) or self.settings.train.heads == "carry"

    def score_stage(self, candidate: Candidate, seed: int, target: str) -> Stage:
        """The stage that scores a target for one run of a candidate."""
        own = (one.stage for one in self.planned(candidate, seed) if not one.stage.measure)
        return next(stage for stage in own if stage.kind == "score" and stage.tasks == (target,))

    def counts(self) -> dict[str, int]:
        """Candidates, and the stages of all of them and all seeds: naive and distinct (`counting.counts`)."""
        return counts(self)

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
            "language_adapters": self.language_folder and str(self.language_folder.path),
            "suites": {n: s.model_dump(mode="json", exclude_unset=True) for n, s in self.suites.items()},
            "node_cache": int(self.settings.node_cache),
            "stall_timeout": self.settings.stall_timeout,
        }
        return json.dumps(place, sort_keys=True)

    @cached_property
    def numeric(self) -> Mapping[str, Scalar]:
        """Settings that change the last bits of a result."""
        return {
            "threads": self.settings.cpus_per_trial,
            "device": self.device,
            "dtype": self.settings.precision,
            "torch": version("torch"),
        }

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
        for name in self.settings.representations:
            if name not in [target.name for target in self.targets if target.kind == "retrieval"]:
                what = f"the representations of '{name}' cannot be compared: it is no retrieval target of this study"
                right = ", ".join(t.name for t in self.targets if t.kind == "retrieval") or "a target such as tatoeba"
                mistakes.append(Mistake(what, where=self._place("representations"), right=right))
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


def _unasked() -> tuple[Any, str]:
    """Stands for a masked language model at planning, when none is asked anything."""
    return lambda texts, most: [[] for _ in texts], "<mask>"


def _sources(task: Task) -> set[str]:
    """What a task's training examples are: its parts, each by the data they are read from. A sham is no source."""
    if task.sham:
        return set()
    source = task.source
    if source.tasks:
        return {one for name in source.tasks for one in _sources(load_task(name, f"task {task.name}"))}
    return {f"mini {source.mini}" if source.mini else source.folder.get("train") or source.ccgbank or task.name}
