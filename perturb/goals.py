"""What an attack is after, for every kind of task: that an example's own figure falls.

The victim gives two numbers in [0, 1] a text: `right`, how much of the answer is right (1 or 0 for a class, a choice or
a first rank; the share of right tags; F1 of a span), and `margin`, a soft figure that is higher the surer the model is
of the gold answer. TextAttack has goals for classes alone (its issues 548 and 704).

Importing this imports TextAttack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from perturb.offline import textattack
from perturb.recipes.settings import AttackSettings

ta = textattack()

BROKEN = 0.5
"""An attack has succeeded where the figure is below this share of its value on the clean text."""

ROUNDING = 1e-6
"""How far a sum of probabilities may lie outside [0, 1]."""

Asked = tuple[int | str, str | tuple[str, ...]]
"""What the victim of `FigureFalls` is asked: which example (the label given to `Attack.attack`), and its text or
texts."""


class FigureResult(ta.goal_function_results.GoalFunctionResult):  # type: ignore[name-defined]
    """How a text did: `right` and `margin`; `output` is the former."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, goal_function_result_type="Figure")

    @property
    def right(self) -> float:
        """How much of the answer is right, in [0, 1]."""
        return float(self.raw_output[0])

    @property
    def margin(self) -> float:
        """How sure the model is of the gold answer, in [0, 1]."""
        return float(self.raw_output[1])

    def get_text_color_input(self) -> str:
        """The colour of what the attack changed, in the clean text."""
        return "green"

    def get_text_color_perturbed(self) -> str:
        """The colour of what the attack changed, in the changed text."""
        return "red"

    def get_colored_output(self, color_method: str | None = None) -> str:
        """The figure in per cent, green where at least half is right."""
        color = "green" if self.right >= BROKEN else "red"
        colored: str = ta.shared.utils.color_text(f"{self.right:.0%} right", color, color_method)
        return colored


class FigureFalls(ta.goal_functions.GoalFunction):  # type: ignore[name-defined]
    """Reached when `right` falls below half its value on the clean text: for figures of 0 and 1, when it is wrong.

    An example whose clean figure is 0 is skipped. What a search climbs is 1 − margin. The model is called with a list
    of `Asked` and returns rows of (right, margin): n × 2 numbers in [0, 1], else ValueError.
    """

    clean: float
    """The figure of the example under attack on its clean text."""

    def __init__(self, model: Any, *, query_budget: float = float("inf"), **others: Any) -> None:
        super().__init__(model, query_budget=query_budget, **others)

    def init_attack_example(self, attacked_text: Any, ground_truth_output: int | str) -> Any:
        """Begin an example. TextAttack keeps what it cached for one that it skipped: figures of another answer."""
        self.clear_cache()
        return super().init_attack_example(attacked_text, ground_truth_output)

    def _call_model_uncached(self, texts: Sequence[Any]) -> Tensor | list[Tensor]:
        if not texts:
            return []
        rows = self.model([(self.ground_truth_output, text.tokenizer_input) for text in texts])
        return self._process_model_outputs(texts, rows)

    def _process_model_outputs(self, inputs: Sequence[Any], outputs: Any) -> Tensor:
        rows = torch.as_tensor(outputs, dtype=torch.float64, device="cpu")
        if rows.shape != (len(inputs), 2):
            raise ValueError(f"the victim gave a shape of {tuple(rows.shape)} for {len(inputs)} texts, not n × 2")
        if not bool(((rows > -ROUNDING) & (rows < 1 + ROUNDING)).all()):
            raise ValueError("the victim gave figures outside [0, 1]")
        return rows.clamp(0, 1)

    def _should_skip(self, model_output: Tensor, attacked_text: Any) -> bool:
        self.clean = float(model_output[0])  # asked once an example, of its clean text
        return self.clean == 0

    def _is_goal_complete(self, model_output: Tensor, attacked_text: Any) -> bool:
        return float(model_output[0]) < BROKEN * self.clean

    def _get_score(self, model_output: Tensor, attacked_text: Any) -> float:
        return 1.0 - float(model_output[1])

    def _get_displayed_output(self, raw_output: Tensor) -> float:
        return float(raw_output[0])

    def _goal_function_result_type(self) -> type[FigureResult]:
        return FigureResult


def figure_falls(model: Any, settings: AttackSettings) -> FigureFalls:
    """The goal for any kind of task, within the settings' query budget."""
    return FigureFalls(model, query_budget=settings.budget)


def untargeted(model: Any, settings: AttackSettings) -> Any:
    """TextAttack's own goal for classes: another class than the gold one. `model` gives logits (n × classes)."""
    return ta.goal_functions.UntargetedClassification(model, query_budget=settings.budget)
