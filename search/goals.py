"""What a strategy is told of a candidate: one number for each goal of the study, higher is better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from search.candidate import Candidate
from search.prices import Ledger, Prices
from search.scores import CLEAN, Row, selection_value

Goal = Literal["score", "worst_language", "robustness", "cost"]
"""The mean over targets and languages; the least of the languages' means over targets; the robust score of what is
perturbed; minus the price of the candidate's own stages, were nothing shared."""


def told(
    goals: Sequence[Goal], rows: Sequence[Row], objective: str, candidate: Candidate, prices: Prices
) -> float | list[float] | None:
    """A number for one goal, a list for several; None where something was not scored."""
    values = [_GOALS[goal](rows, objective, candidate, prices) for goal in goals]
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return None
    return found[0] if len(found) == 1 else found


def worst_language(rows: Iterable[Row], portion: str) -> float | None:
    """The least, over languages, of the mean over the targets that have the language."""
    by_language: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.portion == portion and row.main and not row.apart and row.perturbation == CLEAN:
            by_language.setdefault(row.language, {}).setdefault(row.target, []).append(row.value)
    means = [
        sum(sum(found) / len(found) for found in targets.values()) / len(targets) for targets in by_language.values()
    ]
    return min(means, default=None)


def _score(rows: Sequence[Row], objective: str, candidate: Candidate, prices: Prices) -> float | None:
    return selection_value(rows, objective)


def _worst(rows: Sequence[Row], objective: str, candidate: Candidate, prices: Prices) -> float | None:
    return worst_language(rows, _seen(objective))


def _robust(rows: Sequence[Row], objective: str, candidate: Candidate, prices: Prices) -> float | None:
    from search.robustness import robust_score  # here, because it brings pandas along

    return robust_score(rows, _seen(objective))


def _seen(objective: str) -> str:
    return "dev" if objective == "en-dev" else "search"


def _cost(rows: Sequence[Row], objective: str, candidate: Candidate, prices: Prices) -> float | None:
    return -Ledger(prices).naive([candidate])


_GOALS: dict[Goal, Callable[[Sequence[Row], str, Candidate, Prices], float | None]] = {
    "score": _score, "worst_language": _worst, "robustness": _robust, "cost": _cost,
}  # fmt: skip
