"""The stages of one run: what a candidate trains and scores at one root seed, with all that the results depend on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from search.candidate import Arm, Candidate
from search.settings import TargetTraining
from trainables.language_folder import ENGLISH, spoken
from trainables.methods import IN_CONTEXT
from trainables.methods.settings import scalars
from trainables.stage import FORGETTING, Scalar, Stage
from trainables.templates import PLACEHOLDERS

if TYPE_CHECKING:
    from search.study import Study
    from trainables.tasks import Task

UNTRAINED = "none"
"""The method of a score of the base model as it is."""


ALONG = ("representations", FORGETTING)
"""What is measured along an order, after its stages."""


def probes(arm: Arm) -> bool:
    """Whether nothing but heads is trained: under the method `probe`, and with a prompt of length 0."""
    return arm.method == "probe" or arm.prompt_length == 0


def trunk(arm: Arm) -> Arm:
    """The arm as it trains an order: in context nothing is learned, so there the order is trained in full; and no
    prompt is the probe."""
    if probes(arm):
        return Arm("probe", arm.learning_rate)
    return arm._replace(method="full") if arm.method in IN_CONTEXT else arm


class Planned(NamedTuple):
    """A stage of a run with a readable label. `after` is empty for what the run itself trains and scores; of a
    measurement (`representations`, `forgetting`) it says after which of the run's stages."""

    stage: Stage
    label: str
    after: str = ""


class Plan:
    """The stages of one run, as they are asked for: a parent before its children, none twice."""

    def __init__(self, study: Study, candidate: Candidate, seed: int) -> None:
        self._study, self._candidate, self._seed = study, candidate, seed
        arm = trunk(candidate.arm)
        self._method = arm.method
        own = scalars(study.settings.methods, arm.method, arm.prompt_length)
        self._modules = {**own, **self._speaking(())}
        self._found: dict[str, Planned] = {}
        self._trained: dict[str, str] = {}  # the stages of the order's tasks so far

    def stages(self) -> list[Planned]:
        """Those asked for so far."""
        return list(self._found.values())

    def measure(self, task: str, parent: str | None, after: str) -> None:
        """Compare the representations of a parallel task's translations after a stage."""
        data = (self._study.fingerprints["score", task],)
        stage = self._score_stage(task, data, parent)
        stage = replace(stage, settings={**stage.settings, "measure": "representations"})
        self._add(stage, f"{after} | representations {task}", after)

    def train(self, tasks: tuple[str, ...], parent: str | None, label: str, target: str = "") -> str:
        """Train a group from a parent's weights; the stage's key."""
        stage = self._train_stage(tasks, parent, target, self._candidate.budget)
        halving = self._study.settings.halving
        smaller = self._candidate.budget / halving.eta
        if self._study.settings.strategy == "halving":
            stage = replace(stage, resumable=self._candidate.budget < 1)
            if parent is None and smaller * halving.eta**halving.rungs > 1.5:  # below the smallest budget it is about 1
                stage = replace(stage, resumes=self._train_stage(tasks, parent, target, smaller).key)
        key = self._add(stage, label)
        for task in self._study.settings.representations:
            self.measure(task, key, label)
        return key

    def follow(self, group: tuple[str, ...], stage: str, after: str) -> None:
        """Score all tasks of the order so far on their own English dev sets after the stage that trained a group: with
        its encoder and, of each task, the head that the task's own stage trained."""
        marks = self._study.followed
        self._trained |= {task: stage for task in group if task in marks}
        for task, own in self._trained.items():
            score = self._score_stage(task, (marks[task],), stage, [ENGLISH])
            score = replace(score, settings={**score.settings, "measure": FORGETTING, "head_from": own})
            self._add(score, f"{after} | {FORGETTING} {task}", after)

    def score(self, target: Task, last: str | None) -> None:
        """Train a target's own stage, where it has one, and score it."""
        order, study = self._candidate.order, self._study
        if self._candidate.method in IN_CONTEXT:
            stage = self._in_context(target, last)
            self._add(stage, f"{order} | {self._candidate.method} {target.name}")
            self._perturb(stage, target)
            return
        parent = last
        if target.trained_on:
            parent = self.train((target.trained_on,), last, f"{order} | train {target.trained_on}", target.name)
        data = (study.fingerprints["score", target.name],)
        stage = self._score_stage(target.name, data, parent)
        self._add(stage, f"{order} | score {target.name}")
        self._perturb(stage, target)

    def _perturb(self, score: Stage, target: Task) -> None:
        """Score a target as a score stage does, on each suite's edited texts and under its attacks."""
        study, order = self._study, self._candidate.order
        for suite, attack in study.perturbations_of(target):
            mark = study.lookups[suite.name].mark(target)
            if attack is None:
                name, own = suite.name, {"measure": "perturbations", "edited": suite.fingerprint(mark)}
            else:
                edited = suite.attack_fingerprint(attack, mark)
                name, own = attack.recipe, {"measure": "attack", "attack": attack.recipe, "edited": edited}
                if suite.dtype != "float32":
                    own["dtype"] = suite.dtype
            stage = replace(score, settings={**score.settings, "suite": suite.name, **own})
            self._add(stage, f"{order} | {name} {target.name}")

    def alone(self, task: Task) -> tuple[Stage, Stage]:
        """The stages that train an intermediate task from the base model and score it on its own English dev set."""
        train = self._train_stage((task.name,), None, "", 1)
        data = (self._study.data.fingerprint(task, {"dev": ["en"]}),)
        return train, self._score_stage(task.name, data, train.key)

    def _score_stage(
        self, task: str, data: tuple[str, ...], parent: str | None, languages: Sequence[str] | None = None
    ) -> Stage:
        """A score in these languages, where they are given, else in those of the grid."""
        study = self._study
        speaking = self._speaking(map(spoken, languages or study.grid.get(task, [ENGLISH])))
        method, modules = (self._method, self._modules) if parent else (UNTRAINED, {})
        modules = {**modules, **speaking, **study.wording((task,)), **self._answering(task)}
        return Stage("score", parent, (task,), data, study.model_fingerprint, method, {**study.numeric, **modules})

    def _answering(self, task: str) -> dict[str, Scalar]:
        """How a decoder's answers are scored: as in context, so that methods are compared under one rule."""
        kind, rule = self._study.tasks[task].kind, self._study.settings.methods.icl
        if not self._study.decodes or kind not in PLACEHOLDERS:
            return {}
        return {"icl_max_new_tokens": rule.max_new_tokens} if kind == "span" else {"icl_score": rule.score}

    def _speaking(self, languages: Iterable[str]) -> dict[str, Scalar]:
        """The language adapters that a stage depends on: English's, and at test those of its languages."""
        folder = self._study.language_folder
        if folder is None or self._method != "adapter":
            return {}
        return {"language_adapters": folder.fingerprint(languages)}

    def _in_context(self, target: Task, last: str | None) -> Stage:
        """Score a target with demonstrations, which are drawn by the root seed: the same ones for every order."""
        study, method = self._study, self._candidate.method
        demonstrated = (study.fingerprints["train", target.trained_on],) if target.trained_on else ()
        data = (study.fingerprints["score", target.name], *demonstrated)
        own = scalars(study.settings.methods, method)
        settings = {**study.numeric, **own, **study.wording((target.name,))}
        return Stage("score", last, (target.name,), data, study.model_fingerprint, method, settings, seed=self._seed)

    def _train_stage(self, tasks: tuple[str, ...], parent: str | None, target: str, budget: float) -> Stage:
        study = self._study
        data = tuple(study.fingerprints["train", name] for name in tasks)
        steps, settings = self._budget(tasks, target)
        steps = max(1, round(steps * budget))
        return Stage("train", parent, tasks, data, study.model_fingerprint, self._method, settings, steps, self._seed)

    def _add(self, stage: Stage, label: str, after: str = "") -> str:
        arm = self._candidate.arm
        several = len(self._study.space.arms) > 1
        named = f"{label} [{arm.method} {arm.learning_rate:g}{f' p{arm.prompt_length}' if arm.prompt_length else ''}]"
        self._found.setdefault(stage.key, Planned(stage, named if several else label, after))
        return stage.key

    def _budget(self, tasks: tuple[str, ...], target: str) -> tuple[int, dict[str, Scalar]]:
        """Steps and settings of a stage: an intermediate one's, or a target's own, which may have some of its own."""
        study, common = self._study, self._study.settings.train
        own = common.targets.get(target) or TargetTraining.model_validate({})
        batch_size = own.batch_size or common.batch_size
        steps, epochs = common.steps, common.epochs
        if target:
            steps, epochs = common.target_steps, common.target_epochs
        if own.steps or own.epochs:
            steps, epochs = own.steps or 1, own.epochs
        rows = None if target else study.rows
        if epochs:
            examples = sum(len(study.data.training(study.tasks[name], rows)) for name in tasks)
            steps = max(1, math.ceil(epochs * examples / batch_size))
        warmup = common.warmup if own.warmup is None else own.warmup
        rate = own.learning_rate or self._candidate.learning_rate * own.learning_rate_scale.get(self._method, 1)
        return steps, {
            **study.numeric, **self._modules, "learning_rate": rate, "batch_size": batch_size,
            "warmup": round(warmup * steps) if 0 < warmup < 1 else int(warmup),
            "weight_decay": common.weight_decay if own.weight_decay is None else own.weight_decay,
            **(self._sampling() if len(tasks) > 1 else {}), **common.robust.scalars(),
            **({"heads": "carry"} if common.heads == "carry" else {}), **({"rows": rows} if rows else {}),
            **study.wording(tasks),
        }  # fmt: skip

    def _sampling(self) -> Mapping[str, Scalar]:
        """How the tasks of a group are drawn; a stage of one task does not depend on it."""
        budget = self._study.settings.train
        match budget.sampling:
            case "capped":
                return {"sampling": "capped", "cap": budget.cap}
            case "temperature":
                return {"sampling": "temperature", "temperature": budget.temperature}
            case rule:
                return {"sampling": rule}
