"""The states below a stage's own weights, computed once.

Where embeddings and lower layers are frozen they are the base model's in every stage. Every stage scores the same
batches of a target: what the lower layers make of a batch is kept in memory, and is the same bits as without this, for
it was computed by the same layers from the same batch. Every stage trains on a task's features in batches of its own:
so the lower layers' states are kept feature by feature, computed in batches that depend on the task alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainables.watch import beating

if TYPE_CHECKING:
    from trainables.batches import Batch
    from trainables.kinds.base import Feature
    from trainables.models import Encoder

KEPT_BYTES = 512 * 2**20
"""Of states of batches, a process; and as much of states of features. What came first stays: the least recently used
would always go just before it is used again."""

FLOAT_BYTES = 4


class LowerStates:
    """What the lowest layers of one base model gave, by batch and by training feature."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._trained: dict[tuple[Any, ...], FeatureStates] = {}

    def of_features(self, model: Encoder, features: Sequence[Feature]) -> FeatureStates | None:
        """The states of all a task's features, for a training that leaves the lowest layers as they are; None where
        there are no such layers, where they have dropout, or where the states are too many to be kept.

        Which of these it is depends on nothing but the model, the features and what is trained: a stage's result must
        not hang on what a worker has done before.
        """
        from trainables.feature_table import tokens_of

        depth = _frozen(model)
        if not depth:
            return None
        key = id(features), depth, _precision(model)
        if key not in self._trained:
            if tokens_of(features) * model.width * FLOAT_BYTES > self._limit:
                return None
            found = FeatureStates(model, features, depth)
            while self._trained and found.bytes + sum(one.bytes for one in self._trained.values()) > self._limit:
                del self._trained[next(iter(self._trained))]
            self._trained[key] = found
        return self._trained[key] if self._trained[key].usable else None

    @contextmanager
    def of(self, model: Encoder, batch: Batch) -> Iterator[None]:
        """In the block the model reads this batch alone: its lower layers are run, or what they gave before is taken.

        Nothing is taken or kept of a model that is being trained, or in which modules of a method are.
        """
        depth = model.base_layers
        if not depth or model.training or torch.is_grad_enabled():
            yield
            return
        key = depth, _precision(model), batch.content
        lower = list(model.layers[:depth])
        if key in self._kept:
            with _passed(model.embeddings, lower, self._kept[key]):
                yield
            return
        given: list[Any] = []
        handle = lower[-1].register_forward_hook(lambda module, inputs, output: given.append(output))
        try:
            yield
        finally:
            handle.remove()
        if len(given) == 1:  # a layer that stands for several is run more often
            self._keep(key, given[0])

    def _keep(self, key: tuple[Any, ...], output: Any) -> None:
        states = _states_of(output)
        if states is None:
            return
        size = states.numel() * states.element_size()
        if self._bytes + size <= self._limit:
            self._kept[key] = output
            self._bytes += size


class FeatureStates:
    """The lower layers' states of features: rows × length × width of each, without padding."""

    def __init__(self, model: Encoder, features: Sequence[Feature], depth: int) -> None:
        self.features = features  # kept, so that no others come to have their ids
        self._model, self._lower = model, list(model.layers[:depth])
        self._of: dict[int, list[Tensor]] = {}
        self._tuple = 0
        self.bytes = 0
        self.usable = True
        """Whether these layers give states and nothing else."""
        from trainables.batches import padded, scored_tokens, scoring_batches

        pad = int(model.tokenizer.pad_token_id)
        with torch.no_grad():
            for chosen in beating(scoring_batches(features, scored_tokens(model.device))):
                self._add(padded("", [features[place] for place in chosen], pad, model.device))

    def _add(self, batch: Batch) -> None:
        output = _run(self._model, self._lower, batch)
        states = _states_of(output)
        if states is None:
            self.usable = False
            return
        self._tuple = len(output) if isinstance(output, tuple) else 0
        rows = iter(states)
        for feature in batch.features:
            own = [next(rows)[: len(ids)].clone() for ids in feature.rows]
            self._of[_identity(feature)] = own
            self.bytes += sum(one.numel() * one.element_size() for one in own)

    @contextmanager
    def given(self, batch: Batch) -> Iterator[None]:
        """In the block the model reads a batch of these features, and its lower layers are not run. What they would
        make of padding is 0: no token attends to it."""
        rows = [row for feature in batch.features for row in self._of[_identity(feature)]]
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        output = (states, *[None] * (self._tuple - 1)) if self._tuple else states
        with _passed(self._model.embeddings, self._lower, output):
            yield


def _identity(feature: Feature) -> int:
    """Which of a task's features it is. One of a table is another object each time it is read, at the same place."""
    return id(feature) if feature.place is None else feature.place


class _Enough(Exception):
    """The layers that were asked for have been run."""


def _run(model: Encoder, lower: Sequence[nn.Module], batch: Batch) -> Any:
    """What the last of the lower layers gives of a batch; those above are not run."""
    given: list[Any] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        given.append(output)
        raise _Enough

    handle = lower[-1].register_forward_hook(keep)
    try:
        model.states(batch.ids, batch.mask)
    except _Enough:
        pass
    finally:
        handle.remove()
    return given[0]


def _frozen(model: Encoder) -> int:
    """How many of the lowest layers are the base model's, are not trained now, and have no dropout now."""
    below = [model.embeddings, *model.layers[: model.base_layers]]
    depth = 0
    for number, part in enumerate(below):
        if any(parameter.requires_grad for parameter in part.parameters()) or _drops(part):
            break
        depth = number
    return depth


def _precision(model: Encoder) -> torch.dtype | None:
    """What autocast makes of the states, if it is on."""
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def _drops(part: nn.Module) -> bool:
    """Whether it draws random numbers."""
    rates = (getattr(one, "p", getattr(one, "drop_prob", 0.0)) for one in part.modules() if "Dropout" in str(type(one)))
    return part.training and any(float(rate) > 0 for rate in rates)


def _states_of(output: Any) -> Tensor | None:
    """The states in a layer's output, None where it gives more than states."""
    states, *rest = output if isinstance(output, tuple) else (output,)
    return states if isinstance(states, Tensor) and all(one is None for one in rest) else None


@contextmanager
def _passed(embeddings: nn.Module, lower: list[nn.Module], output: Any) -> Iterator[None]:
    """Layers that are not run: each gives the output of the last of them."""
    states = output[0] if isinstance(output, tuple) else output
    embeddings.forward = lambda *given, **named: states
    for layer in lower:
        layer.forward = lambda *given, **named: output
    try:
        yield
    finally:
        for module in (embeddings, *lower):
            with suppress(AttributeError):
                del module.forward  # the class's own comes to light again
