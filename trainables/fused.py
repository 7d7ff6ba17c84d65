"""Train several stages of one frozen encoder together: one pass over the batches of all, everything else each its own.

Under `prompt`, `lora` and `adapter` the encoder is the same for all candidates, and a small batch leaves most of a
processor idle. Here the batches of several trials are read one below the other, and each trial keeps its modules,
heads, order of data, learning rate, clipping, optimizer and random numbers. What comes out is what `train` gives but
for rounding, whoever is trained with whom. Batches are padded to the longest of a step, and prompts to the longest of
the trials; `fused_cost.pays` measures whether that is worth it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainables.batches import collate_together
from trainables.decoder import Decoder
from trainables.failures import Diverged
from trainables.fusable import signature
from trainables.fused_dropout import OwnDropout, Stream, drops
from trainables.fused_modules import Own, Rows, Stack, in_place
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of
from trainables.methods import method
from trainables.models import Encoder, Weights, modules_in
from trainables.precision import forward_pass
from trainables.stage import Stage
from trainables.tasks import Task
from trainables.train import Course, Trained, drawing, losses, set_up

FAMILIES = ("xlm-roberta", "roberta", "bert")
"""Encoders, by `model_type`, that trials may share."""

TOKENS = 1024
"""Padded tokens that are read in one pass: about what the caches of a processor hold the states of."""


@dataclass(frozen=True)
class Job:
    """What `train.train` is given of one stage."""

    stage: Stage
    tasks: Sequence[Task]
    features: Mapping[str, Sequence[Feature]]
    parent: Weights = field(default_factory=dict)
    carried: Collection[Task] = ()
    begun: Weights | None = None


def fits(model: Encoder) -> bool:
    """Whether trials may share this model. A decoder draws in its layers even where it drops nothing."""
    return not isinstance(model, Decoder) and model.encoder.config.model_type in FAMILIES


@dataclass
class Drawn:
    """A trial's batch of a step."""

    trial: Trial
    task: str
    features: list[Feature]

    def __post_init__(self) -> None:
        self.rows = sum(len(feature.rows) for feature in self.features)
        self.length = max(feature.length for feature in self.features)


class Trial:
    """A stage while it is trained with others."""

    def __init__(self, model: Encoder, job: Job) -> None:
        """Set up as it is alone; then all of the model that is the trial's own is taken along."""
        stage = job.stage
        set_up(model, stage, job.tasks, job.parent, job.carried)
        self.job, self.heads, self.size = job, model.heads, model.size()
        self.stream = Stream(drawing(model.device), model.device)
        self.kinds = {task.name: kind_of(task, model) for task in job.tasks}
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        own = {n: p.detach().clone().requires_grad_() for n, p in parameters.items() if n.startswith("encoder.")}
        self.parameters = {**parameters, **own}
        prompt = int(stage.settings.get("prompt_length") or 0) if stage.method == "prompt" else 0
        modules = {**_former(model), **own}
        self.own = Own(modules, _moved(model, job.parent), prompt, max(0, len(model.modules_on) - 1))
        self.course = Course(stage, list(self.parameters.values()), job.begun)
        if job.begun:
            self.stream.state = {name: t for name, t in job.begun.items() if name in self.stream.state}
        self.batches = self.course.batches(job.features)
        self.diverged: Diverged | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing more to train."""
        return self.diverged is not None or len(self.course.losses) >= self.job.stage.steps

    def loss(self, drawn: Drawn, states: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch. ValueError where the task has no head."""
        place = drawn.task.replace(".", "_")
        if place not in self.heads:
            raise ValueError(f"{drawn.task} cannot be trained on")
        own = states[:, : drawn.length] if drawn.length < states.shape[1] else states
        return self.kinds[drawn.task].loss(self.heads[place], own, labels, drawn.features)

    def step(self, loss: Tensor) -> None:
        """Update the parameters, which have their gradients."""
        try:
            self.course.step(loss)
        except Diverged as error:
            self.diverged = error

    def result(self, model: Encoder) -> Trained | Diverged:
        """What `train` gives. The model is set up again for it, so that what is stored is called what it always is."""
        stage = self.job.stage
        try:
            if self.diverged:
                raise self.diverged
            values = self.course.end()
        except Diverged as error:
            return error
        state = {**self.course.state(), **self.stream.state} if stage.resumable else {}
        set_up(model, stage, self.job.tasks, self.job.parent, self.job.carried)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self.parameters:
                    parameter.copy_(self.parameters[name])
        method(stage.method).finish(model, stage.settings)
        return Trained(model.tuned(), {**losses(values), **self.size}, state)


def train_together(model: Encoder, jobs: Sequence[Job], tokens: int = TOKENS) -> list[Trained | Diverged]:
    """What `train` gives of each job, equal but for rounding; in the place of one that diverged its exception.

    A pass reads at most so many padded `tokens`: of a step's batches those of similar length together.

    ValueError for jobs that may not be trained together.
    """
    if not jobs:
        return []
    if not fits(model) or len({signature(job.stage) for job in jobs}) > 1 or signature(jobs[0].stage) is None:
        raise ValueError(f"these stages cannot be trained together: {', '.join(job.stage.key for job in jobs)}")
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        trials = set_up_all(model, jobs)
        run_steps(model, trials, tokens)
        return [trial.result(model) for trial in trials]


def set_up_all(model: Encoder, jobs: Sequence[Job]) -> list[Trial]:
    """The trials of the jobs. On the model stay the base model's weights, and the modules of the trial with most."""
    order = sorted(range(len(jobs)), key=lambda place: len(modules_in(jobs[place].parent)))
    made = {place: Trial(model, jobs[place]) for place in order}
    model.lay()
    model.encoder.requires_grad_(False)
    for trial in made.values():
        trial.own = trial.own.raised(made[order[-1]].own.former)
    return [made[place] for place in range(len(jobs))]


def run_steps(model: Encoder, trials: Sequence[Trial], tokens: int, most: int | None = None) -> None:
    """All steps of all trials, or so many; a trial that is over leaves the others."""
    stack, dropping = Stack(), drops(model.encoder)
    with in_place(model.encoder, stack):
        while (left := [trial for trial in trials if not trial.over]) and most != 0:
            drawn = [Drawn(trial, *next(trial.batches)) for trial in left]
            for together in passes(drawn, tokens):
                _pass(model, together, stack, dropping)
            most = None if most is None else most - 1


def passes(drawn: Sequence[Drawn], tokens: int) -> list[list[Drawn]]:
    """The batches of a step in passes of at most so many padded tokens, those of similar length together. One that is
    longer is read alone."""
    found: list[list[Drawn]] = []
    rows = 0
    for one in sorted(drawn, key=lambda one: -one.length):
        rows += one.rows
        if not found or rows * found[-1][0].length > tokens:
            found.append([])
            rows = one.rows
        found[-1].append(one)
    return found


def _pass(model: Encoder, drawn: Sequence[Drawn], stack: Stack, dropping: bool) -> None:
    """A step of some trials: one pass over their batches."""
    trials, batches = [one.trial for one in drawn], [one.features for one in drawn]
    ids, mask, labels = collate_together(batches, int(model.tokenizer.pad_token_id), model.device)
    counts = [one.rows for one in drawn]
    stack.begin([trial.own for trial in trials], Rows(counts, model.device))
    model.prompt_rows = stack.longest_prompt if model.prompt_rows else 0
    streams, prompts = [trial.stream for trial in trials], [trial.own.prompt for trial in trials]
    found = []
    with forward_pass(model):
        with OwnDropout(streams, batches, prompts) if dropping else nullcontext():
            states = model.states(ids, mask)
        for one, own, labelled in zip(drawn, torch.split(states, counts), labels, strict=True):
            one.trial.course.optimizer.zero_grad(set_to_none=True)
            found.append(one.trial.loss(one, own, labelled))
    torch.autograd.backward(found)
    for trial, loss in zip(trials, found, strict=True):
        trial.step(loss.detach())


def _former(model: Encoder) -> Weights:
    """The modules on the model that are not trained."""
    return {
        f"encoder.{name}": parameter.detach().clone()
        for name, parameter in model.encoder.named_parameters()
        if not parameter.requires_grad and name not in model.base
    }


def _moved(model: Encoder, parent: Weights) -> Weights:
    """By how much the parent's encoder differs from the base model: updates that were merged into its weights.

    ValueError where it does so in a weight that has no update now.
    """
    own = {name.removeprefix("encoder."): tensor for name, tensor in parent.items()}
    moved = {n: own[n].to(t.device) - t for n, t in model.base.items() if n in own}
    adapted = {name.split(".loras.")[0] for name, _ in model.encoder.named_parameters() if ".loras." in name}
    if lacking := {name.removesuffix(".weight") for name in moved} - adapted:
        raise ValueError(f"trained together must be what was changed before, but was not: {', '.join(sorted(lacking))}")
    return {f"encoder.{name}": tensor for name, tensor in moved.items()}
