"""Train one stage: a group of tasks, a budget of steps, everything random drawn from the stage's key."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW

from trainables.batches import collate, training_batches
from trainables.heads import put_heads
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of
from trainables.methods import method, put_on
from trainables.models import Encoder, Weights
from trainables.robust import RobustLoss
from trainables.stage import Stage
from trainables.tasks import Task


class Diverged(Exception):
    """The loss of a stage is no finite number."""


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
) -> Trained:
    """Train the group from the parent's weights, or the base model's.

    Optimizer and schedule are new, and so are heads, but those of the tasks in `carried`: a stage depends on its parent
    through the weights alone. The learning rate rises for `warmup` steps and then stays, so that it does not depend on
    where a budget is cut: with `begun`, the `state` of the same stage at a smaller budget, the training goes on from
    there and gives the same weights. The figures are the mean loss of the first and of the last tenth of the steps, and
    `Encoder.size`.
    """
    settings = stage.settings
    torch.manual_seed(stage.random_seed)
    put_on(model, stage, parent or {})
    put_heads(model, tasks, parent or {}, carried)
    method(stage.method).prepare(model, settings)
    own = {task.name.replace(".", "_") for task in tasks}
    for name, other in model.heads.items():
        if name not in own:
            other.requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = model.size()
    optimizer = AdamW(
        parameters,
        lr=float(settings["learning_rate"] or 0.0),
        weight_decay=float(settings["weight_decay"] or 0.0),
        fused=True,
    )
    robust = RobustLoss(settings, stage.random_seed) if settings.get("robust") else None
    losses = _go_on(model, optimizer, parameters, begun) if begun else []
    if robust and begun:
        robust.restore(begun, model.device)
    warmup = max(1, int(settings["warmup"] or 1))
    pad = int(model.tokenizer.pad_token_id)
    kinds = {task.name: kind_of(task, model) for task in tasks}
    batches = training_batches(features, int(settings["batch_size"] or 1), stage.steps, stage.random_seed, settings)
    for step, (task_name, chosen) in islice(enumerate(batches), len(losses), None):
        for group in optimizer.param_groups:
            group["lr"] = float(settings["learning_rate"] or 0.0) * min(1.0, (step + 1) / warmup)
        batch = collate(task_name, chosen, pad, model.device)
        head = model.head(task_name)
        if head is None:
            raise ValueError(f"{task_name} cannot be trained on")

        def forward() -> Tensor:
            states = model.states(batch.ids, batch.mask)  # noqa: B023 - called before the loop goes on
            return kinds[task_name].loss(head, states, batch.labels, batch.features)  # noqa: B023

        loss = robust(model, forward, batch.mask) if robust else forward()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.detach())
    values = torch.stack(losses).tolist() if losses else [math.nan]
    if not math.isfinite(values[-1]) or not all(bool(torch.isfinite(p).all()) for p in parameters):
        raise Diverged(
            f"the loss is {values[-1]} after {len(values)} steps at learning rate {settings['learning_rate']}"
        )
    state = _state(model, optimizer, parameters, losses) if stage.resumable else {}
    state |= robust.state() if robust and stage.resumable else {}
    method(stage.method).finish(model, settings)
    tenth = max(1, len(values) // 10)
    figures = {"loss_first": sum(values[:tenth]) / tenth, "loss_last": sum(values[-tenth:]) / tenth, **size}
    return Trained(model.tuned(), figures, state)


def _state(model: Encoder, optimizer: AdamW, parameters: Sequence[Parameter], losses: Sequence[Tensor]) -> Weights:
    """All that a longer training needs to go on: parameters, moments, random numbers, and the losses so far."""
    found = {"rng": torch.get_rng_state(), "losses": torch.stack(list(losses)).cpu()}
    if model.device.type == "cuda":
        found["rng_cuda"] = torch.cuda.get_rng_state(model.device)
    for place, parameter in enumerate(parameters):
        found[f"{place}.value"] = parameter.detach().to("cpu", copy=True)
        for name, moment in optimizer.state[parameter].items():
            found[f"{place}.{name}"] = moment.to("cpu", copy=True)
    return found


@torch.no_grad()
def _go_on(model: Encoder, optimizer: AdamW, parameters: Sequence[Parameter], state: Weights) -> list[Tensor]:
    """Take a training up where its state was taken; the losses so far."""
    for place, parameter in enumerate(parameters):
        parameter.copy_(state[f"{place}.value"])
        if f"{place}.step" in state:  # a task of the group that was not drawn yet has no moments
            moments = {name: state[f"{place}.{name}"].to(model.device) for name in ("step", "exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = moments
    torch.set_rng_state(state["rng"])
    if model.device.type == "cuda":
        torch.cuda.set_rng_state(state["rng_cuda"], model.device)
    return list(state["losses"].to(model.device))
