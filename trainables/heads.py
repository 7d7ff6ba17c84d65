"""Heads along an order: made anew for each stage, or carried where kind and labels agree."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn

from trainables.kinds.forms import kind_of
from trainables.models import Encoder, Weights
from trainables.tasks import Task


def put_heads(model: Encoder, group: Sequence[Task], parent: Weights, carried: Collection[Task] = ()) -> None:
    """New heads for a group. Of the tasks in `carried` the parent's weights may hold heads: one of the same kind with
    the same labels goes on as the group's, the others are kept, frozen, for later stages."""
    former = held(parent, carried)
    for task in group:
        model.add_head(task.name, kind_of(task, model).head(task, model))
        same = [one for one in former if alike(one, task)]
        if same:
            source = next((one for one in same if one.name == task.name), same[0])
            model.load_head(task.name, _renamed(parent, source.name, task.name))
    for task in former:
        if not any(alike(task, one) for one in group):
            head = kind_of(task, model).head(task, model)
            model.add_head(task.name, head)
            model.load_head(task.name, parent)
            _let_go(head, model.encoder)


def heads_in(weights: Weights) -> Weights:
    """The part of a stage's weights that is heads."""
    return {name: tensor for name, tensor in weights.items() if name.startswith("heads.")}


def held(weights: Weights, tasks: Collection[Task]) -> list[Task]:
    """Those of the tasks whose heads a stage's weights hold, by name."""
    places = {name.split(".")[1] for name in weights if name.startswith("heads.")}
    return sorted((task for task in tasks if _place(task.name) in places), key=lambda task: task.name)


def alike(one: Task, other: Task) -> bool:
    """Whether the head of one task may go on as the other's."""
    return (one.kind, one.labels) == (other.kind, other.labels)


def _let_go(head: nn.Module | None, encoder: nn.Module) -> None:
    """Take the encoder's own weights (the embeddings of a masked LM's last layer) out of a head that is only kept: they
    are not frozen with it."""
    shared = {id(parameter) for parameter in encoder.parameters()}
    for module in head.modules() if head is not None else ():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in shared:
                module.register_parameter(name, None)


def _renamed(weights: Weights, old: str, new: str) -> Weights:
    prefix = f"heads.{_place(old)}."
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {f"heads.{_place(new)}.{name}": tensor for name, tensor in own.items()}


def _place(task: str) -> str:
    return task.replace(".", "_")
