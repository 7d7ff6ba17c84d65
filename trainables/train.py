"""Train one stage: a group of tasks, a budget of steps, everything random drawn from the stage's key."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import AdamW

from trainables.batches import collate, parts, training_batches
from trainables.failures import Diverged
from trainables.heads import put_heads
from trainables.kinds.base import Feature, Kind
from trainables.kinds.forms import kind_of
from trainables.lower import FeatureStates
from trainables.methods import method, put_on
from trainables.models import Encoder, Weights
from trainables.precision import forward_pass
from trainables.robust import RobustLoss
from trainables.stage import Stage
from trainables.tasks import Task
from trainables.used_rows import only_used_rows

CHECKED_EVERY = 32
"""Steps after which the losses are looked at: each look waits for the GPU, and what has diverged stays so."""


class Trained(NamedTuple):
    """What a stage's training gives: the weights it stores, its figures, and (of a stage that is `resumable`) the state
    that a longer one goes on from."""

    weights: Weights
    figures: dict[str, float]
    state: Weights


def train(
    model: Encoder,
    stage: Stage,
    tasks: Sequence[Task],
    features: Mapping[str, Sequence[Feature]],
    parent: Weights | None = None,
    carried: Collection[Task] = (),
    begun: Weights | None = None,
    split: int = 1,
) -> Trained:
    """Train the group from the parent's weights, or the base model's.

    Optimizer and schedule are new, and so are heads, but those of the tasks in `carried`: a stage depends on its parent
    through the weights alone. The learning rate rises for `warmup` steps and then stays, so that it does not depend on
    where a budget is cut: with `begun`, the `state` of the same stage at a smaller budget, the training goes on from
    there and gives the same weights. The figures are the mean loss of the first and of the last tenth of the steps, and
    `Encoder.size`.

    Where memory is short, each batch is read in `split` parts whose gradients add up to the whole batch's: the same but
    for rounding and for dropout, whose numbers are drawn part by part. A `split` over 1 is among the figures.

    Forward passes are in the precision that the model is in (`precision.computed_in`).

    Diverged at most `CHECKED_EVERY` steps after the weights have become no numbers.
    """
    settings = stage.settings
    set_up(model, stage, tasks, parent or {}, carried)
    size = model.size()
    robust = RobustLoss(settings, stage.random_seed) if settings.get("robust") else None
    if robust:
        robust.radius(model.encoder.get_input_embeddings())
    with only_used_rows(model, features, _decay(stage)):
        values, state = _steps(model, stage, tasks, features, robust, begun, split)
    method(stage.method).finish(model, settings)
    figures = {**losses(values), **size}
    weights = model.tuned()
    model.hold(weights)
    return Trained(weights, figures | ({"split": split} if split > 1 else {}), state)


def set_up(
    model: Encoder, stage: Stage, tasks: Sequence[Task], parent: Weights, carried: Collection[Task] = ()
) -> None:
    """The model as a stage's training begins: the parent's weights, modules, heads, and what is trained of them."""
    torch.manual_seed(stage.random_seed)
    put_on(model, stage, parent)
    put_heads(model, tasks, parent, carried)
    method(stage.method).prepare(model, stage.settings)
    own = {task.name.replace(".", "_") for task in tasks}
    for name, other in model.heads.items():
        if name not in own:
            other.requires_grad_(False)


def losses(values: Sequence[float]) -> dict[str, float]:
    """The figures of a training's losses: the means of the first and of the last tenth of the steps."""
    tenth = max(1, len(values) // 10)
    return {"loss_first": sum(values[:tenth]) / tenth, "loss_last": sum(values[-tenth:]) / tenth}


def _steps(
    model: Encoder,
    stage: Stage,
    tasks: Sequence[Task],
    features: Mapping[str, Sequence[Feature]],
    robust: RobustLoss | None,
    begun: Weights | None,
    split: int,
) -> tuple[list[float], Weights]:
    """All steps of a stage; their losses, and its state where it is `resumable`."""
    course = Course(stage, [parameter for parameter in model.parameters() if parameter.requires_grad], begun)
    if begun:
        go_on_drawing(begun, model.device)
    if robust and begun:
        robust.restore(begun, model.device)
    kinds = {task.name: kind_of(task, model) for task in tasks}
    with forward_pass(model):
        below = {} if robust else {name: model.lower.of_features(model, own) for name, own in features.items()}
    for task_name, chosen in course.batches(features):
        course.optimizer.zero_grad(set_to_none=True)
        course.step(backward(model, kinds[task_name], task_name, chosen, robust, split, below.get(task_name)))
    values = course.end()
    state = {**course.state(), **drawing(model.device)} if stage.resumable else {}
    return values, state | (robust.state() if robust and stage.resumable else {})


class Course:
    """The course of a stage's training: its optimizer and the losses so far. Where gradients come from is no matter."""

    def __init__(self, stage: Stage, parameters: Sequence[Tensor], begun: Weights | None = None) -> None:
        """With `begun`, the training is taken up where that state was taken; its parameters are those of then."""
        self.stage, self.parameters = stage, parameters
        decay = float(stage.settings["weight_decay"] or 0.0)
        self.optimizer = AdamW(parameters, lr=_rate(stage, 0), weight_decay=decay, fused=True)
        self.losses: list[Tensor] = self._go_on(begun) if begun else []

    def batches(self, features: Mapping[str, Sequence[Feature]]) -> Iterator[tuple[str, list[Feature]]]:
        """The batches that are still to come, each of one task."""
        settings = self.stage.settings
        size, steps, seed = int(settings["batch_size"] or 1), self.stage.steps, self.stage.random_seed
        return islice(training_batches(features, size, steps, seed, settings), len(self.losses), None)

    def step(self, loss: Tensor) -> None:
        """Update the parameters by their gradients, which are those of the loss.

        Diverged at most `CHECKED_EVERY` steps after the weights have become no numbers.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(self.stage, len(self.losses))
        self.losses.append(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        if len(self.losses) % CHECKED_EVERY == 0:
            self._look()

    def end(self) -> list[float]:
        """All losses. Diverged where the last one or the weights are no numbers."""
        values = torch.stack(self.losses).tolist() if self.losses else [math.nan]
        if not math.isfinite(values[-1]) or not _finite(self.parameters):
            raise _diverged(values, self.stage)
        return values

    def state(self) -> Weights:
        """What a longer training needs to go on, besides its random numbers: parameters, moments, losses so far."""
        found = {"losses": torch.stack(self.losses).cpu()}
        for place, parameter in enumerate(self.parameters):
            found[f"{place}.value"] = parameter.detach().to("cpu", copy=True)
            for name, moment in self.optimizer.state[parameter].items():
                found[f"{place}.{name}"] = moment.to("cpu", copy=True)
        return found

    @torch.no_grad()
    def _go_on(self, state: Weights) -> list[Tensor]:
        for place, parameter in enumerate(self.parameters):
            parameter.copy_(state[f"{place}.value"])
            if f"{place}.step" in state:  # a task of the group that was not drawn yet has no moments
                names = ("step", "exp_avg", "exp_avg_sq")
                moments = {name: state[f"{place}.{name}"].to(parameter.device) for name in names}
                self.optimizer.state[parameter] = moments
        return list(state["losses"].to(self.parameters[0].device))

    def _look(self) -> None:
        """Diverged where the weights are no numbers any more; they are looked at where one of the last losses is none.
        A loss alone may be: that of a batch without any label."""
        last = torch.stack(self.losses[-CHECKED_EVERY:])
        if not bool(last.isfinite().all()) and not _finite(self.parameters):
            raise _diverged(torch.stack(self.losses).tolist(), self.stage)


def drawing(device: torch.device) -> Weights:
    """Where the random numbers of this process stand."""
    found = {"rng": torch.get_rng_state()}
    return found | ({"rng_cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def go_on_drawing(state: Weights, device: torch.device) -> None:
    """Draw on from where random numbers stood; what else a `state` holds is passed over."""
    torch.set_rng_state(state["rng"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["rng_cuda"], device)


def _rate(stage: Stage, step: int) -> float:
    """The learning rate of a step: it rises for `warmup` steps and then stays."""
    warmup = max(1, int(stage.settings["warmup"] or 1))
    return float(stage.settings["learning_rate"] or 0.0) * min(1.0, (step + 1) / warmup)


def _decay(stage: Stage) -> float:
    """What weight decay leaves of a weight that never has a gradient, after all steps."""
    share = float(stage.settings["weight_decay"] or 0.0)
    return math.prod(1.0 - _rate(stage, step) * share for step in range(stage.steps))


def backward(
    model: Encoder,
    kind: Kind,
    task: str,
    chosen: Sequence[Feature],
    robust: RobustLoss | None = None,
    split: int = 1,
    below: FeatureStates | None = None,
) -> Tensor:
    """Add the gradients of a batch's loss to the parameters', part by part; the loss.

    Each part's mean loss counts by its share of what the whole batch's mean is over (`Kind.terms`). Layers that `below`
    has the states of are not run. ValueError where the task has no head.
    """
    head = model.head(task)
    if head is None:
        raise ValueError(f"{task} cannot be trained on")
    pad = int(model.tokenizer.pad_token_id)
    divided = parts(chosen, split)
    terms = [kind.terms(part) for part in divided] if len(divided) > 1 else [1]
    if not any(terms):  # the mean over nothing, as it is of the whole batch
        terms = [1, *terms[1:]]
    noise = None
    if robust and len(divided) > 1:
        noise = robust.noise(model, sum(len(one.rows) for one in chosen), max(one.length for one in chosen))
    losses, row = [], 0
    for part, own in zip(divided, terms, strict=True):
        first, row = row, row + sum(len(one.rows) for one in part)
        if not own:
            continue
        batch = collate(task, part, pad, model.device)

        def forward() -> Tensor:
            with forward_pass(model):
                with below.given(batch) if below else nullcontext():  # noqa: B023 - called before the loop goes on
                    states = model.states(batch.ids, batch.mask)  # noqa: B023
                return kind.loss(head, states, batch.labels, batch.features)  # noqa: B023

        moved = None if noise is None else noise[first:row, : batch.ids.shape[1]]
        loss = robust(model, forward, batch.mask, moved) if robust else forward()
        if own != sum(terms):
            loss = loss * (own / sum(terms))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def _finite(parameters: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in parameters)


def _diverged(values: Sequence[float], stage: Stage) -> Diverged:
    """What is said of a stage whose losses end in such as are no numbers."""
    before = next((step for step in range(len(values), 0, -1) if math.isfinite(values[step - 1])), 0)
    rate = f"at learning rate {stage.settings['learning_rate']}"
    if before == len(values):
        return Diverged(f"the weights are no numbers after step {before} of {stage.steps} {rate}; its loss was "
                        f"{values[-1]:.4g}")  # fmt: skip
    told = f"the loss is {values[before]} at step {before + 1} of {stage.steps} {rate}"
    return Diverged(f"{told}; it was {values[before - 1]:.4g} at the step before" if before else told)
