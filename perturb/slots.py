"""What an attack in lock-step runs on: copies of an attack's moving parts, each of which can wait for the model.

The search is TextAttack's own. Its goal of classes and its filter of candidates are made to give the same results with
less work a query: both are called for each of them.

Importing this imports TextAttack.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from perturb.attacked_text import ta

Untargeted = ta.goal_functions.UntargetedClassification

_UNBROKEN = 1 << 30
"""As many texts in a batch as a search asks about at once: it is the victim that cuts batches."""


def slot(base: Any, transformation: Any, ask: Callable[[Sequence[Any]], Any]) -> Any:
    """An attack of its own: goal, search and caches are copies; the transformation, constraints and models are shared.

    The goal asks `ask` instead of the model.
    """
    goal = copy.copy(base.goal_function)
    goal.model, goal.batch_size = _Asking(goal.model, ask), _UNBROKEN
    if type(goal) is Untargeted and not goal.target_max_score:
        goal.__class__ = _QuickUntargeted
    return _QuickAttack(
        goal, [*base.pre_transformation_constraints, *base.constraints], transformation, copy.copy(base.search_method),
        transformation_cache_size=base.transformation_cache_size, constraint_cache_size=base.constraint_cache_size,
    )  # fmt: skip


class _Asking:
    """Stands for the model."""

    def __init__(self, model: Any, ask: Callable[[Sequence[Any]], Any]) -> None:
        self._model, self._ask = model, ask

    def __call__(self, inputs: Sequence[Any]) -> Any:
        return self._ask(inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class _QuickAttack(ta.Attack):  # type: ignore[misc, name-defined]
    """TextAttack's, whose memory of what the constraints said goes by the texts' strings: hashes of these are kept."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._admitted: dict[tuple[str, int], dict[tuple[str, int], bool]] = {}
        super().__init__(*args, **kwargs)

    def clear_cache(self, recursive: bool = True) -> None:
        self._admitted.clear()
        super().clear_cache(recursive)

    def filter_transformations(self, transformed_texts: list[Any], current_text: Any, original_text: Any = None) -> Any:
        """The candidates that the constraints admit, sorted by text."""
        memory = self._admitted.setdefault(_named(current_text), {})
        new, found = [], []
        for text in transformed_texts:
            if text.text != current_text.text:
                admitted = memory.get(_named(text))
                if admitted is None:
                    new.append(text)
                elif admitted:
                    found.append(text)
        left = new
        for constraint in self.constraints if new else ():
            reference = original_text if constraint.compare_against_original else current_text
            if reference is None:
                raise ValueError(f"{type(constraint).__name__} compares with the original text, which was not given")
            left = constraint.call_many(left, reference) if left else left
        memory.update((_named(text), False) for text in new)
        memory.update((_named(text), True) for text in left)
        return sorted([*found, *left], key=lambda text: text.text)


def _named(text: Any) -> tuple[str, int]:
    """What TextAttack compares texts by."""
    return text.text, len(text.attack_attrs)


class _Row(NamedTuple):
    """A model's answer to one text: a probability a class, the likeliest class, and 1 − each probability."""

    probabilities: np.ndarray
    output: int
    rest: list[float]


class _QuickUntargeted(Untargeted):  # type: ignore[misc, valid-type]
    """TextAttack's goal of another class than the gold one, worked out for a batch at once instead of text by text."""

    def _process_model_outputs(self, inputs: Sequence[Any], scores: Any) -> Any:
        found: Tensor = super()._process_model_outputs(inputs, scores)
        if found.shape[1] == 1:
            raise ValueError("the model gave one number a text, which is no choice between classes")
        return [_Row(*row) for row in zip(found.numpy(), found.argmax(1).tolist(), (1 - found).tolist(), strict=True)]

    def _get_displayed_output(self, raw_output: _Row) -> int:
        return raw_output.output

    def _is_goal_complete(self, model_output: _Row, _: Any) -> bool:
        return bool(model_output.output != self.ground_truth_output)

    def _get_score(self, model_output: _Row, _: Any) -> float:
        return model_output.rest[self.ground_truth_output]

    def _goal_function_result_type(self) -> Callable[..., Any]:
        kind: Callable[..., Any] = super()._goal_function_result_type()
        return lambda text, row, *others: kind(text, row.probabilities, *others)
