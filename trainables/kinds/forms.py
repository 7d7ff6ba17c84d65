"""How a model does a task: with a head on an encoder's states, or in text form on a decoder."""

from __future__ import annotations

from trainables.decoder import Decoder
from trainables.families import family_of, model_config
from trainables.kinds import KINDS
from trainables.kinds.base import Kind
from trainables.kinds.prompted import Prompted
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.templates import PLACEHOLDERS

IN_TEXT = Prompted()


def load_model(path: str, device: str = "cpu") -> Encoder:
    """The encoder or the decoder of a folder or a hub id, by its family."""
    return (Decoder if family_of(model_config(path)).kind == "decoder" else Encoder)(path, device)


def kind_of(task: Task, model: Encoder) -> Kind:
    """The kind that encodes, trains and scores a task on this model."""
    return IN_TEXT if isinstance(model, Decoder) and task.kind in PLACEHOLDERS else KINDS[task.kind]
