"""Stored stages read again: the model as a score stage has it, to be exported or asked. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn

from trainables.bench import Bench
from trainables.decoder import Decoder
from trainables.errors import Mistake
from trainables.evaluate import predictions, sets_of
from trainables.examples import Example
from trainables.failures import MissingParent
from trainables.icl import Demonstrations
from trainables.kinds.forms import kind_of
from trainables.methods import put_on
from trainables.methods.settings import icl_settings
from trainables.models import Encoder, modules_in
from trainables.perturbed import Suites
from trainables.stage import Stage
from trainables.tasks import Task
from trainables.templates import PLACEHOLDERS

AGAIN = "the study run again (order-search run --space RUN/config.yaml): what its store lacks is made anew"


class Ready(NamedTuple):
    """A model as a score stage reads its target with it."""

    model: Encoder
    task: Task
    head: nn.Module | None
    """None where the target has none, or is put to a decoder in text form."""
    longest: int
    """Tokens of the target's longest text."""
    room: int
    """Tokens of the longest text that the model reads beside its prompt."""
    changed: bool
    """Whether weights of the base model itself were trained."""


class StageReader(Bench):
    """A bench for stages that are in the store."""

    def ready(self, stage: Stage) -> Ready:
        """The model as a score stage has it, until the next stage is asked for.

        Mistake where the weights that it is scored with are not in the store.
        """
        target, model = self._tasks[stage.tasks[0]], self.model
        try:
            parent, _ = self._weights(stage.parent)
        except MissingParent as error:
            raise gone(f"the weights that '{target.name}' is scored with", self.place.store, str(error)) from error
        put_on(model, stage, parent)
        if stage.parent is None and stage.settings.get("language_adapters"):
            model.attach({}, {}, "language adapters alone", language=True)
        head = None
        if target.trained_on and not self.in_text(target):
            model.add_head(target.trained_on, kind_of(target, model).head(target, model))
            model.load_head(target.trained_on, parent)
            head = model.head(target.trained_on)
        model.eval()
        room = self._text_length(stage)
        modules = modules_in(parent)
        changed = any(
            name.startswith("encoder.") and not any(f".{module}." in name for module in modules) for name in parent
        )
        return Ready(model, target, head, min(target.max_length, room), room, changed)

    def in_text(self, task: Task) -> bool:
        """Whether the task is put to the model in text form."""
        return isinstance(self.model, Decoder) and task.kind in PLACEHOLDERS

    def task(self, stage: Stage) -> Task:
        """What a score stage scores."""
        return self._tasks[stage.tasks[0]]

    def tests(self, task: Task, split: str = "test") -> Mapping[str, Sequence[Example]]:
        """The examples of a target's test set (of mining also of `dev`, gold pairs), by language."""
        return self._data.load(task, "dev" if split == "dev" else "test", self.place.languages[task.name])

    def languages(self, task: Task) -> list[str]:
        """The languages that a target is scored in."""
        return self.place.languages[task.name]

    def suite(self, stage: Stage) -> Suites:
        """The suite that a stage scores on."""
        return self._suite(stage)

    def demonstrations(self, stage: Stage) -> Demonstrations:
        """What a score stage in text form draws demonstrations from."""
        target = self.task(stage)
        training = self._tasks[target.trained_on] if target.trained_on else None
        return Demonstrations.of(self._data, target, training, self.languages(target), icl_settings(stage.settings))

    def thresholds(self, ready: Ready) -> dict[str, float]:
        """Of a mining target the score above which a pair is called a translation, by language; of others nothing."""
        if ready.task.kind != "mining":
            return {}
        gold = {("threshold", code): rows for code, rows in self.tests(ready.task, "dev").items()}
        sets = sets_of(ready.task, gold, ready.model, ready.longest)
        kind = kind_of(ready.task, ready.model)
        told = predictions(ready.model, ready.task, None, sets)
        found = {
            part.language: kind.score(ready.task, part.examples, part.features, own).threshold
            for part, own in zip(sets, told, strict=True)
        }
        return {code: value for code, value in found.items() if value is not None}


def gone(what: str, store: str, why: str) -> Mistake:
    """What is told where the store has something no longer."""
    return Mistake(f"{what} cannot be read: {why}", where=f"--store {store}", right=AGAIN)
