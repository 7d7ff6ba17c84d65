"""The tree-structured Parzen estimator on codes of orders: Optuna's sampler behind this project's contract.

Bergstra et al., NeurIPS 2011; the multivariate form of Falkner et al., ICML 2018. The good and the bad candidates told
so far give a density of parameters each, and what is proposed has the highest ratio of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from search.candidate import Candidate
from search.codes import CODES, UNIT, ArmCode, Domain
from search.quiet import quiet_optuna
from search.strategies.adaptive import Adaptive
from search.strategies.settings import AdaptiveSettings

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

DRAWS = 24
"""Of how many draws the estimator takes the best; Optuna's number."""

TRIES = 8
"""How many parameters are drawn for each candidate that is wanted, before random ones fill the batch."""


class TPESettings(AdaptiveSettings):
    """How orders are put to the estimator."""

    code: Literal["keys", "lehmer"] = Field("keys", description="an order as a number for each task, or as digits")


class TPE(Adaptive[TPESettings]):
    """What Optuna's tree-structured Parzen estimator draws.

    Each batch is drawn from a study made anew from the history, so that it depends on nothing else.

    The estimator soon draws what it knows: it takes the best of many draws, of codes that repeat. After such a draw the
    next one is not the best but any of the density of the good. All that was drawn stays in the study as running, which
    the estimator takes for bad (the constant liar), so that the candidates of a batch keep away from one another.

    Failed candidates teach it nothing, nor do controls, for which the code has no parameters.
    """

    Settings = TPESettings

    def _begin(self) -> None:
        super()._begin()
        self._orders, self._arms = CODES[self.settings.code](self.space.orders), ArmCode(self.space.arms)

    def propose(self, count: int) -> list[Candidate]:
        """Up to `count` new candidates, drawn one after the other."""
        with quiet_optuna():
            distributions = {
                name: _distribution(domain) for name, domain in (self._orders.domains | self._arms.domains).items()
            }
            study = self._study(distributions)
            best, any_good = self._sampler(DRAWS), self._sampler(1)
            study.sampler = best
            found: list[Candidate] = []
            for _ in range(TRIES * count):
                values = study.ask(distributions).params
                candidate = Candidate(self._orders.decode(values), *self._arms.decode(values))
                known = candidate in found or not self.is_new(candidate)
                study.sampler = any_good if known else best
                if not known:
                    found.append(candidate)
                if len(found) == count:
                    break
            return found

    def _sampler(self, draws: int) -> optuna.samplers.TPESampler:
        """The best of so many draws; it learns from the first trial on, for `initial` says how many are random."""
        import optuna

        seed = self.generator(f"best of {draws}").getrandbits(32)
        return optuna.samplers.TPESampler(n_startup_trials=1, n_ei_candidates=draws, seed=seed)

    def _study(self, distributions: dict[str, BaseDistribution]) -> optuna.Study:
        """All values that were told."""
        import optuna

        study = optuna.create_study(direction="maximize")
        for told, utility in zip(self.history, self.utilities(), strict=True):
            if utility is None or told.candidate.order not in self.space.orders:
                continue
            values = self._orders.encode(told.candidate.order) | self._arms.encode(told.candidate.arm)
            study.add_trial(optuna.trial.create_trial(value=utility, params=values, distributions=distributions))
        return study


def _distribution(domain: Domain) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if domain == UNIT:
        return FloatDistribution(0, 1)
    return IntDistribution(0, len(domain) - 1) if isinstance(domain, range) else CategoricalDistribution(domain)
