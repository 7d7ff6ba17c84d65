"""Giving a candidate up before all its root seeds have run, because what it has scored so far is too low.

A rule of thumb that saves cost and never a claim: the scores of one root in several languages are not independent (the
same weights, often the same items translated), and the test is repeated after each root, so that the p-value is too
small. What was pruned is not shown to be worse.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from search.quiet import quiet_optuna
from trainables.config import Config

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner

Cell = tuple[str, str]
"""A target and a language."""


class PruningSettings(Config):
    """When a candidate's other root seeds are not run any more."""

    pruner: Literal["none", "wilcoxon", "median"] = Field("none", description="how low scores are recognised")
    p_threshold: float = Field(0.1, gt=0, lt=1, description="of the Wilcoxon test against the best candidate so far")
    roots: int = Field(1, ge=1, description="root seeds that every candidate is given")
    candidates: int = Field(5, ge=1, description="candidates that run to their end before any is pruned")


def _none(settings: PruningSettings) -> BasePruner:
    from optuna.pruners import NopPruner

    return NopPruner()


def _wilcoxon(settings: PruningSettings) -> BasePruner:
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner(p_threshold=settings.p_threshold)


def _median(settings: PruningSettings) -> BasePruner:
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=0)  # `Pruner` says from when on


PRUNERS: dict[str, Callable[[PruningSettings], BasePruner]] = {"none": _none, "wilcoxon": _wilcoxon, "median": _median}
"""`wilcoxon` compares with the best finished candidate, pair by pair of equal root, target and language (signed ranks;
Optuna's WilcoxonPruner); `median` compares its best mean so far with the median of the finished after as many roots
(its MedianPruner)."""


class Pruner:
    """Optuna's pruners on candidates that run root after root.

    What it says depends on these calls in their order alone. Where it must not depend on which worker is done first,
    the candidates of a batch are finished together, in the order of proposal.
    """

    def __init__(self, settings: PruningSettings) -> None:
        self._settings, self._finished = settings, 0
        self._trials: dict[Hashable, optuna.Trial] = {}
        self._means: dict[Hashable, list[float]] = {}  # one a root
        self._steps: dict[tuple[int, Cell], int] = {}  # numbers of the instances, as they are first seen
        import optuna

        with quiet_optuna():
            self._study = optuna.create_study(direction="maximize", pruner=PRUNERS[settings.pruner](settings))

    def report(self, candidate: Hashable, seed: int, scores: Mapping[Cell, float]) -> None:
        """What a candidate scored at one root, higher is better. Raises ValueError for no scores."""
        if not scores:
            raise ValueError(f"candidate {candidate} has no scores at root {seed}")
        with quiet_optuna():
            trial = self._trials.get(candidate) or self._trials.setdefault(candidate, self._study.ask())
            means = self._means.setdefault(candidate, [])
            means.append(sum(scores.values()) / len(scores))
            if self._settings.pruner == "median":
                trial.report(sum(means) / len(means), step=len(means))
                return
            for cell in sorted(scores):
                step = self._steps.setdefault((seed, cell), len(self._steps))
                trial.report(scores[cell], step)

    def should_prune(self, candidate: Hashable) -> bool:
        """Whether the candidate's other roots are not worth running. Raises KeyError for one that was not reported."""
        with quiet_optuna():
            pruned = self._trials[candidate].should_prune()
        early = self._finished < self._settings.candidates or len(self._means[candidate]) < self._settings.roots
        return pruned and not early

    def finish(self, candidate: Hashable, value: float | None) -> None:
        """A candidate is through with its mean over all roots, or without one: it failed or was pruned."""
        import optuna

        trial = self._trials.pop(candidate, None)
        if trial is None:
            return
        with quiet_optuna():
            if value is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._finished += 1
                self._study.tell(trial, value)
