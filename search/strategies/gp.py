"""Bayesian optimisation over orders: a Gaussian process says what to expect, prices say what it costs to find out.

The process has a mixture of permutation kernels (`surrogate.kernels`; Deshwal et al., AAAI 2022, arXiv 2112.01049).
What is proposed promises most for its price: log acquisition − thrift · log price, where the price is that of the
stages nobody has bought yet. Candidates of a batch are chosen one after another, each as if the former were run with
the value expected of them and their stages paid for: so the batch shares stages too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field

from search.candidate import Candidate
from search.prices import PriceTable
from search.strategies.adaptive import Adaptive
from search.strategies.settings import AdaptiveSettings

if TYPE_CHECKING:
    from search.surrogate.features import Floats
    from search.surrogate.model import Belief, Posterior
    from search.surrogate.pool import Pool

Kernel = Literal["kendall", "position", "spearman", "adjacency"]
Acquisition = Literal["kg", "ei"]

LEAST = 1e-9
"""A price below this counts as this: among candidates that cost nothing, the promise still decides."""


class GPSettings(AdaptiveSettings):
    """Of the Gaussian process and of how its proposals are chosen."""

    initial: int = Field(0, ge=0, description="random candidates after the baselines, before the first batch")
    kernels: list[Kernel] = Field(
        default_factory=lambda: list(get_args(Kernel)), min_length=1,
        description="kernels of orders that are mixed by likelihood",
    )  # fmt: skip
    acquisition: Acquisition = Field("kg", description="knowledge gradient or expected improvement")
    thrift: float = Field(1.0, ge=0, le=4, description="power of the price: 0 is blind to it, above 1 greedy for cheap")


class GP(Adaptive[GPSettings]):
    """What promises most for its price under a Gaussian process over orders.

    It is fitted to all that was told before each batch. Candidates that failed are not proposed again.
    """

    Settings = GPSettings

    def _begin(self) -> None:
        super()._begin()
        self._surrogate: Any = None
        self._memories: Any = None
        self._whole: Pool | None = None
        self._table: PriceTable | None = None

    def propose(self, count: int) -> list[Candidate]:
        """The batch; nothing (so random candidates) before three candidates have values."""
        told = [(one.candidate, value, one.roots) for one, value in zip(self.history, self.utilities(), strict=True)
                if value is not None and one.candidate.order in self.space.orders]  # fmt: skip
        if len(told) < 3:
            return []
        from search.surrogate.features import Features
        from search.surrogate.model import Surrogate
        from search.surrogate.pool import EXACT, reference, searched, whole

        if self._surrogate is None:
            self._features = Features(self.space.orders.tasks, self.space.arms)
            self._surrogate = Surrogate(
                self._features, reference(self.space, self._features, 400), self.settings.kernels
            )
            self._surrogate.restore(self._memories or {})
            if self.space.size <= EXACT:
                self._whole = whole(self.space, self._features)
                self._table = PriceTable(self.ledger, self._whole.candidates)
        told_candidates, values, roots = zip(*told, strict=True)
        posterior = self._surrogate.fit(self._features.matrix(told_candidates), values, roots)
        self._memories = self._surrogate.state()
        best = float(posterior.at(self._features.matrix(told_candidates)).means.max())
        if self._whole is not None and self._table is not None:
            return self._batch_of(posterior, self._whole, self._table, best, max(roots), count)

        def value(pool: Pool) -> Floats:
            table = PriceTable(self.ledger, pool.candidates)
            return self._worth(posterior.at(pool.rows), table.marginal(), best, max(roots))

        pool = searched(self.space, self._features, told_candidates, value, self.generator("pool"))
        return self._batch_of(posterior, pool, PriceTable(self.ledger, pool.candidates), best, max(roots), count)

    def _batch_of(
        self, posterior: Posterior, pool: Pool, table: PriceTable, best: float, roots: int, count: int
    ) -> list[Candidate]:
        belief = posterior.at(pool.rows)
        import numpy as np

        free = np.array([self.is_new(candidate) for candidate in pool.candidates])
        chosen: list[Candidate] = []
        while len(chosen) < count and free.any():
            worth = np.where(free, self._worth(belief, table.marginal(chosen), best, roots), -np.inf)
            place = int(worth.argmax())
            free[place] = False
            chosen.append(pool.candidates[place])
            belief.believe(place, roots)
        return chosen

    def _worth(self, belief: Belief, prices: Floats, best: float, roots: int) -> Floats:
        import numpy as np

        from search.surrogate.acquisition import log_expected_improvement, log_knowledge_gradient

        if self.settings.acquisition == "kg":
            promise = log_knowledge_gradient(belief, roots)
        else:
            promise = log_expected_improvement(belief.means, belief.deviations, best)
        return promise - self.settings.thrift * np.log(np.maximum(prices, LEAST))

    def _memory(self) -> Any:
        return self._memories

    def _remember(self, memory: Any) -> None:
        self._memories = memory
