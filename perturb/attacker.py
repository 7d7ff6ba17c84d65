"""Attacks on many examples in lock-step, so that the model is asked in large batches.

TextAttack attacks one example after the other, with some twenty queries a step. Here its own searches, unchanged, run
side by side, each in a greenlet: where one asks the model it stops, and when all have stopped, their questions go to
the model as one batch. Foolbox does so for images (Rauber et al. 2020, 10.21105/joss.02607).

Importing this imports TextAttack.
"""

from __future__ import annotations

import gc
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from greenlet import getcurrent, greenlet

from perturb.attacked_text import AttackedText, ScriptText, ta
from perturb.candidates import CandidateStore, draws, with_memory
from perturb.dice import Dice, throw
from perturb.slots import slot

Example = tuple[str, "str | OrderedDict[str, str] | AttackedText", Any]
"""An example's id, its text or texts, and its label."""


class SearchFailed(Exception):
    """The search on one example broke off: `example` is its id, `__cause__` why."""

    def __init__(self, example: str, cause: BaseException) -> None:
        super().__init__(f"{example}: {type(cause).__name__}: {cause}")
        self.example = example
        self.__cause__ = cause


def attack(
    make: Callable[[], Any],
    examples: Sequence[Example],
    *,
    seed: int = 0,
    slots: int = 64,
    store: CandidateStore | None = None,
    recipe: str = "",
) -> list[Any]:
    """An `AttackResult` of TextAttack's for each example, in order; where a search broke off, a `SearchFailed`.

    `make` builds TextAttack's `Attack`, once. Up to `slots` examples are attacked side by side; each result is what
    `Attack.attack` gives for the example alone, where the model's answer to a text does not depend on the batch.
    Random numbers come from (`seed`, example id). An example whose queries are spent has failed.

    `store` remembers the candidates of these texts under the name `recipe`, which must then tell apart all that the
    candidates depend on (transformations, constraints, their settings).
    """
    if slots < 1:
        raise ValueError(f"`slots` must be at least 1, not {slots}")
    if store is not None and not recipe:
        raise ValueError("a store of candidates needs the recipe's name")
    hub = _Hub(make(), seed, slots, store, recipe)
    with _rare_collection():
        return hub.run(examples)


@contextmanager
def _rare_collection() -> Iterator[None]:
    """Let the garbage collector look at what an attack makes alone, and seldom.

    An attack makes a few objects a query and no cycles among them; looking through all that TextAttack and PyTorch
    have loaded for each few thousand takes longer than making them.
    """
    thresholds, ours = gc.get_threshold(), gc.isenabled() and gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        if ours:
            gc.set_threshold(*thresholds)
            gc.unfreeze()


class _Hub:
    """Runs searches until all have asked, asks the model for all of them, and goes on."""

    def __init__(self, base: Any, seed: int, slots: int, store: CandidateStore | None, recipe: str) -> None:
        self.base, self.seed, self.slots, self.store, self.recipe = base, seed, slots, store, recipe
        self.model = base.goal_function.model
        self.rolls = draws(base)
        self.transformation = with_memory(base.transformation, store or CandidateStore(), recipe)
        self.free: list[Any] = []

    def run(self, examples: Sequence[Example]) -> list[Any]:
        results: list[Any] = [None] * len(examples)
        outside = Dice() if self.rolls else None
        try:
            waiting: list[_Search] = []
            following = iter(enumerate(examples))
            while True:
                while len(waiting) < self.slots and (one := next(following, None)):
                    search = _Search(self, *one)
                    self._go_on(search, results, waiting)
                if not waiting:
                    return results
                asking, waiting = waiting, []
                for search, rows in zip(asking, self._ask(asking), strict=True):
                    self._go_on(search, results, waiting, rows)
        finally:
            if outside:
                outside.restore()

    def _go_on(self, search: _Search, results: list[Any], waiting: list[_Search], rows: Any = None) -> None:
        """Run one search until it asks again, or is done."""
        result = search.resume(rows)
        if result is None:
            waiting.append(search)
        else:
            results[search.place] = result
            self.free.append(search.attack)

    def _ask(self, asking: list[_Search]) -> list[Any]:
        """The model's rows for each search; where it fails for all together, for each alone, with its own error."""
        try:
            rows = self.model([one for search in asking for one in search.inputs])
            found, at = [], 0
            for search in asking:
                found.append(rows[at : at + len(search.inputs)])
                at += len(search.inputs)
        except Exception as error:  # noqa: BLE001 - it is told as that example's
            return [error] if len(asking) == 1 else [self._ask([search])[0] for search in asking]
        else:
            return found

    def slot(self) -> Any:
        """An attack that waits for its answers; one that is free, where there is one."""
        return self.free.pop() if self.free else slot(self.base, self.transformation, _wait)


def _wait(inputs: Sequence[Any]) -> Any:
    """Hand what a search asks to the hub, and go on once it answers."""
    return getcurrent().parent.switch(inputs)


class _Search:
    """The search on one example, which stops wherever it asks the model."""

    def __init__(self, hub: _Hub, place: int, example: Example) -> None:
        self.hub, self.place, (self.id, text, self.label) = hub, place, example
        self.text = ScriptText(text) if isinstance(text, str | OrderedDict) else text
        self.attack = hub.slot()
        search = self.attack.search_method
        search.get_transformations = self.attack.get_transformations
        if hub.store is not None and isinstance(self.text, ScriptText):
            search.get_transformations = hub.store.remembering(self.attack, hub.recipe, self.text)
        self.inputs: Sequence[Any] = ()
        self.run = greenlet(self._run)
        self.dice: Dice | None = None

    def resume(self, rows: Any) -> Any:
        """Go on with the model's rows, or an error of its: a result, or None where it asks again (`inputs`)."""
        if self.hub.rolls:
            self.dice.restore() if self.dice else throw(self.hub.seed, self.id)
        if isinstance(rows, Exception):
            told = self.run.throw(rows)
        else:
            told = self.run.switch() if rows is None else self.run.switch(rows)
        if self.run.dead:
            return told
        if self.hub.rolls:
            self.dice = Dice()
        self.inputs = told
        return None

    def _run(self) -> Any:
        try:
            return self.attack.attack(self.text, self.label)
        except Exception as error:  # noqa: BLE001 - one example's error is not the others'
            result = self._spent(error) or SearchFailed(self.id, error)
            self.attack.clear_cache()  # as TextAttack does after a search
            return result

    def _spent(self, error: Exception) -> Any:
        """A failed attack, where a search broke off for want of an answer because its queries were spent."""
        goal = self.attack.goal_function
        budget = goal.query_budget
        if not isinstance(error, ValueError | IndexError) or math.isinf(budget) or goal.num_queries < budget:
            return None
        goal.query_budget = float("inf")
        try:
            first, _ = goal.get_result(self.text)  # from the goal's memory: no further query
        finally:
            goal.query_budget = budget
        first.num_queries = goal.num_queries = budget
        return ta.attack_results.FailedAttackResult(first)
