"""The prices of a study's stages: seconds estimated from budgets, the same on every machine and in every run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from functools import cache
from typing import TYPE_CHECKING

from search.candidate import Arm, Candidate
from search.order import Groups, Order
from search.plan import trunk
from trainables.perturbations import ATTACK
from trainables.stage import FORGETTING

if TYPE_CHECKING:
    from search.study import Study
    from trainables.stage import Stage

SECONDS_A_STEP, SECONDS_A_LANGUAGE, SECONDS_A_TEXT = 0.03, 0.1, 0.0005
"""The micro encoder's on one core: for other models the ratio is what counts."""

EXAMPLES, QUERIES = 200, 100
"""Examples of a language, and queries of an attack on one, where a suite has no limit."""


def seconds(study: Study, stage: Stage) -> float:
    """What a stage takes, by its steps or by the languages that it scores."""
    if stage.kind == "train":
        return stage.steps * SECONDS_A_STEP
    if stage.measure in ("perturbations", "attack"):
        return texts(study, stage) * SECONDS_A_TEXT
    if stage.measure == FORGETTING:
        return SECONDS_A_LANGUAGE
    return SECONDS_A_LANGUAGE * len(study.grid[stage.tasks[0]])


def texts(study: Study, stage: Stage) -> int:
    """How many changed texts a stage has a model read, at most, of a suite or under an attack."""
    suite = study.suites[str(stage.settings["suite"])]
    cells = study.perturbed[suite.name][stage.tasks[0]].values()
    if stage.measure == "attack":
        attack = next(one for one in suite.attacks if one.recipe == stage.settings["attack"])
        there = sum(f"{ATTACK}{attack.recipe}" in names for names in cells)
        return there * (attack.examples or suite.examples or EXAMPLES) * min(attack.queries or QUERIES, QUERIES)
    edits = sum(name in suite.edits for names in cells for name in names)
    return edits * len(suite.severities) * (suite.examples or EXAMPLES)


class StudyPrices:
    """`prices.Prices` of a study. What is measured of forgetting is not in them: strategies are told prices, and are to
    propose the same whether it is measured or not."""

    def __init__(self, study: Study, stored: Callable[[], Collection[tuple[Hashable, Groups]]] = lambda: ()) -> None:
        """`stored` says which prefixes were there before the study; it is asked where a strategy needs to know."""
        self._study, self._stored = study, stored
        self.train = cache(self._train)
        self.leaf = cache(self._leaf)

    def trunk(self, arm: Arm) -> Hashable:
        """What trains an order; None where an order trains nothing."""
        return trunk(arm) if self._study.carries(arm) else None

    def stored(self) -> Iterable[tuple[Hashable, Groups]]:
        """The prefixes that were there before."""
        return self._stored()

    def _train(self, group: tuple[str, ...], arm: Arm) -> float:
        """The stage itself, and what is measured after it."""
        with_it, without = (self._price(Order(groups), arm) for groups in ((group,), ()))
        return with_it - without

    def _leaf(self, arm: Arm) -> float:
        return self._price(Order(()), arm)

    def _price(self, order: Order, arm: Arm) -> float:
        stages = self._study.stages(Candidate(order, *arm), 0)
        return sum(seconds(self._study, stage) for stage in stages if stage.measure != FORGETTING)
