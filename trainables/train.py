"""Train one stage: a group of tasks, a budget of steps, everything random drawn from the stage's key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from trainables.batches import collate, training_batches
from trainables.kinds import KINDS
from trainables.kinds.base import Feature
from trainables.methods import prepare
from trainables.models import Encoder, Weights
from trainables.stage import Stage
from trainables.tasks import Task


class Diverged(Exception):
    """The loss of a stage is no finite number."""


def train(
    model: Encoder, stage: Stage, tasks: Sequence[Task], features: Mapping[str, Sequence[Feature]]
) -> tuple[Weights, dict[str, float]]:
    """Train the group from the weights the model holds; the tuned weights and the stage's figures.

    Heads are new, and so are optimizer and schedule: a stage depends on its parent through the weights alone. The
    learning rate rises for `warmup` steps and then stays, so that it does not depend on where a budget is cut. The
    loss is the mean of the first and of the last tenth of the steps.
    """
    settings = stage.settings
    torch.manual_seed(stage.random_seed)
    for task in tasks:
        model.add_head(task.name, KINDS[task.kind].head(task, model))
    prepare(stage.method, model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=float(settings["learning_rate"] or 0.0),
        weight_decay=float(settings["weight_decay"] or 0.0),
        fused=True,
    )
    warmup = max(1, int(settings["warmup"] or 1))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))
    pad = int(model.tokenizer.pad_token_id)
    kinds = {task.name: KINDS[task.kind] for task in tasks}
    losses = []
    for task_name, chosen in training_batches(
        features, int(settings["batch_size"] or 1), stage.steps, stage.random_seed, settings
    ):
        batch = collate(task_name, chosen, pad, model.device)
        head = model.head(task_name)
        if head is None:
            raise ValueError(f"{task_name} cannot be trained on")
        loss = kinds[task_name].loss(head, model.states(batch.ids, batch.mask), batch.labels, batch.features)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    values = torch.stack(losses).tolist() if losses else [math.nan]
    if not math.isfinite(values[-1]) or not all(bool(torch.isfinite(p).all()) for p in parameters):
        raise Diverged(
            f"the loss is {values[-1]} after {len(values)} steps at learning rate {settings['learning_rate']}"
        )
    tenth = max(1, len(values) // 10)
    figures = {"loss_first": sum(values[:tenth]) / tenth, "loss_last": sum(values[-tenth:]) / tenth}
    return model.tuned(), figures
