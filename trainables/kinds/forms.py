"""How a model does a task: with a head on an encoder's states, or in text form on a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from trainables.decoder import Decoder, last_first
from trainables.families import family_of, model_config
from trainables.kinds import KINDS
from trainables.kinds.base import Feature, Kind
from trainables.kinds.mining import Mining
from trainables.kinds.prompted import Prompted
from trainables.kinds.retrieval import Retrieval, SentenceVectors
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.templates import PLACEHOLDERS


class LastToken(SentenceVectors):
    """Sentence vectors of a decoder: where pooling takes the first token's state, it is given the last one's."""

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[Any]:
        """As on an encoder."""
        if task.retrieval.pooling == "first":
            states = last_first(states, mask)
        return super().predict(task, head, states, mask, features)


class LastTokenRetrieval(LastToken, Retrieval):
    """Retrieval on a decoder."""


class LastTokenMining(LastToken, Mining):
    """Mining on a decoder."""


ON_DECODER: dict[str, Kind] = {
    **KINDS, **dict.fromkeys(PLACEHOLDERS, Prompted()), "retrieval": LastTokenRetrieval(), "mining": LastTokenMining()
}  # fmt: skip
"""The kinds as a decoder does them: in text form where there is one."""


def load_model(path: str, device: str = "cpu") -> Encoder:
    """The encoder or the decoder of a folder or a hub id, by its family."""
    return (Decoder if family_of(model_config(path)).kind == "decoder" else Encoder)(path, device)


def kind_of(task: Task, model: Encoder) -> Kind:
    """The kind that encodes, trains and scores a task on this model."""
    return (ON_DECODER if isinstance(model, Decoder) else KINDS)[task.kind]
