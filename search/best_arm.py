"""Which of a few finalists is the best, how sure that is, and who is run next: best-arm identification.

Finalists are run on fresh roots, which the search never used, so nobody keeps the luck that made it a finalist. All of
them meet the same roots in the same order: the differences of one root are paired, and its luck cancels. The posterior
over the finalists' means says who is named and how likely it is within a tolerance of the best. The next runs go to the
named finalist and a challenger, drawn as often as a posterior draw makes it the best by more than the tolerance:
top-two sampling (Russo, arXiv 1602.08448) with the leader by posterior mean and a resampled challenger (Jourdan et al.,
Top Two Algorithms Revisited, NeurIPS 2022).

A round is proposed from all the rounds before it, when all of them are told: what is proposed depends on the seed and
on values, never on who asks for how many or on which run is done first. To go on after an interruption, tell it again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Hashable)
Array = NDArray[np.float64]

DRAWS = 20_000
"""Draws from the posterior: a probability near 0.95 is then right to 0.003."""

_SPREAD = 0.3
"""About the spread of finalists' means, in SDs of the error: the best of a search are close to one another."""

_SPREADS = 24
"""How many spreads are averaged over."""

_TRUST = 15
"""At most so many degrees of freedom are believed of the noise seen in the search: finalists may be noisier."""

_NOTHING = 1e-18
"""A sum of squares this small is a rounding error."""


class Noise(NamedTuple):
    """The SD of a value's error, beyond the means of its order and of its root, and the degrees of freedom it has."""

    sd: float
    freedom: int


def noise_of(values: Array) -> Noise | None:
    """The noise in a table of candidates × roots, of those rows that miss no root (nan); None where there is none."""
    whole = values[~np.isnan(values).any(1)]
    freedom = (whole.shape[0] - 1) * (whole.shape[1] - 1)
    if freedom < 1:
        return None
    residuals = whole - whole.mean(0) - whole.mean(1, keepdims=True) + whole.mean()
    return Noise(math.sqrt(float((residuals**2).sum()) / freedom), freedom)


class Posterior(NamedTuple):
    """What is known of the finalists' means less their average: expectations (K) and draws (N × K)."""

    means: Array
    draws: Array


def posterior(
    values: Array, generator: np.random.Generator, draws: int = DRAWS, noise: Noise | None = None
) -> Posterior:
    """The posterior of the means of K >= 2 finalists from a table of finalists × roots, nan where there is no value.

    value = mean of the finalist + luck of the root + error. Nothing is assumed of a root's luck, so only differences
    within roots count. Errors have one unknown variance σ² (prior: `noise`, else 1/σ²). Means are normal about a common
    one with SD λσ, and 1/λ² is exponential with expectation 1/_SPREAD²: the heavy tail lets one finalist be far ahead,
    and that λ near 0 is implausible keeps too few roots from calling all the same. λ is averaged over a grid of equal
    prior weights, the rest is in closed form. Some root must have two values.
    """
    seen = ~np.isnan(values)
    count = np.maximum(seen.sum(0), 1)
    filled = np.where(seen, values, 0.0)
    centred = np.where(seen, filled - filled.sum(0) / count, 0.0)
    freedom, squares = float((count - 1).sum()), float((centred**2).sum())
    if noise is not None:
        trusted = min(noise.freedom, _TRUST)
        freedom, squares = freedom + trusted, squares + trusted * noise.sd**2
    finalists = len(values)
    level = np.full((finalists, finalists), 1 / finalists)  # any precision will do: the level is taken off again
    information = np.diag(seen.sum(1)) - (seen / count) @ seen.T
    spreads = _SPREAD / np.sqrt(-np.log((np.arange(_SPREADS) + 0.5) / _SPREADS))
    precisions = information + (np.eye(finalists) - level) / spreads[:, None, None] ** 2 + level
    total = centred.sum(1)
    means = np.linalg.solve(precisions, total[:, None])[:, :, 0]
    left = np.maximum(squares - means @ total, _NOTHING)
    fit = -np.linalg.slogdet(precisions)[1] / 2 - (finalists - 1) * np.log(spreads) - freedom / 2 * np.log(left)
    weights = np.exp(fit - fit.max())
    weights /= weights.sum()

    steps = np.round(np.concatenate([[0.0], np.cumsum(weights[:-1]), [1.0]]) * draws).astype(int)
    which = np.repeat(np.arange(_SPREADS), np.diff(steps))
    sd = np.sqrt(left[which] / generator.chisquare(freedom, draws))
    normal = generator.standard_normal((draws, finalists))
    roots = np.linalg.cholesky(np.linalg.inv(precisions))
    drawn = means[which] + sd[:, None] * np.einsum("nij,nj->ni", roots[which], normal)
    return Posterior(weights @ means, drawn - drawn.mean(1, keepdims=True))


@dataclass(frozen=True)
class Place(Generic[F]):
    """A finalist's figures: mean of its own roots ± half the 95 % t interval, and the model's comparison by roots.

    `behind` is how far the named one is expected to be ahead; `chance` the probability of being the very best. nan
    where they cannot be had.
    """

    finalist: F
    roots: int
    mean: float
    half_width: float
    behind: float
    chance: float


@dataclass(frozen=True)
class Standing(Generic[F]):
    """Who is named, the probability of being within the tolerance of the best, and all that did not fail, best first.

    Until the first round is told nobody is named and the probability is nan.
    """

    named: F | None
    probability: float
    places: tuple[Place[F], ...]


class Finals(Generic[F]):
    """Says which finalist gets which fresh root (0, 1, ...), who is named and when it is enough.

    Every finalist gets the first `least` roots; then rounds of about `batch` runs follow until the named one is within
    `tolerance` of the best with probability `confidence`, or those that could still change it have `most` roots each.
    """

    def __init__(
        self,
        finalists: Sequence[F],
        confidence: float = 0.95,
        tolerance: float = 0.005,
        most: int = 20,
        least: int = 3,
        seed: int = 0,
        *,
        noise: Noise | None = None,
        batch: int = 4,
        draws: int = DRAWS,
    ) -> None:
        """`noise` is what the search saw of it, on the same score. Raises ValueError for what makes no sense."""
        if not finalists or len(set(finalists)) < len(finalists):
            raise ValueError(f"there must be finalists, all different, but got {list(finalists)}")
        if not 0 < confidence < 1 or tolerance < 0:
            raise ValueError(f"0 < confidence < 1, tolerance >= 0 must hold, but got {confidence} and {tolerance}")
        if not 2 <= least <= most or batch < 1:
            raise ValueError(f"2 <= least <= most, batch >= 1 must hold, but got {least}, {most} and {batch}")
        self.confidence, self.tolerance, self.most, self.least = confidence, tolerance, most, least
        self._seed, self._noise, self._batch, self._draws = seed, noise, batch, draws
        self._left = list(finalists)  # those that have not failed
        self._values: dict[F, dict[int, float]] = {finalist: {} for finalist in finalists}  # by root
        self._waiting: list[tuple[F, int]] = []  # of the round, not handed out
        self._running: set[tuple[F, int]] = set()
        self._rounds = 0
        self._known: Posterior | None = None  # of all that is told

    @property
    def done(self) -> bool:
        """Whether `next` will hand out nothing more and all that it handed out is told."""
        return not self._waiting and not self._running and self._rounds > 0 and self._enough()

    def next(self, count: int = 1) -> list[tuple[F, int]]:
        """Up to `count` runs (finalist, fresh root); none while a round's results are awaited, or when done."""
        if not self._waiting and not self._running and not self.done:
            self._waiting = self._round()
            self._rounds += 1
        handed, self._waiting = self._waiting[:count], self._waiting[count:]
        self._running.update(handed)
        return handed

    def tell(self, finalist: F, root: int, value: float | None) -> None:
        """Take note of a value; higher is better, None or nan means failed, and the finalist drops out.

        Raises ValueError if this run was not handed out, or told before.
        """
        if (finalist, root) not in self._running:
            raise ValueError(f"finalist {finalist} on root {root} was not handed out, or was told before")
        self._running.remove((finalist, root))
        self._known = None
        if value is not None and not math.isnan(value):
            self._values[finalist][root] = value
        elif finalist in self._left:
            self._left.remove(finalist)
            self._waiting = [run for run in self._waiting if run[0] != finalist]

    def standing(self) -> Standing[F]:
        """What can be said of all that is told."""
        if not self._left or any(len(self._values[finalist]) < self.least for finalist in self._left):
            return Standing(None, math.nan, tuple(self._place(one, math.nan, math.nan) for one in self._left))
        means, draws = self._posterior()
        chances = np.bincount(draws.argmax(1), minlength=len(means)) / len(draws)
        ranked = np.argsort(-means, kind="stable")
        behind = means[ranked[0]] - means
        places = tuple(self._place(self._left[i], float(behind[i]), float(chances[i])) for i in ranked)
        return Standing(places[0].finalist, 1 - float(self._doubts().sum()), places)

    def _place(self, finalist: F, behind: float, chance: float) -> Place[F]:
        from search.leaderboard import half_width  # here, because it brings pandas and torch along

        values = [value for _, value in sorted(self._values[finalist].items())]
        mean = sum(values) / len(values) if values else math.nan
        half = half_width(values)
        return Place(finalist, len(values), mean, math.nan if half is None else half, behind, chance)

    # --- the rule -----------------------------------------------------------------------------------------------------

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(random.Random(f"{self._seed} finals {self._rounds} {purpose}").getrandbits(63))

    def _posterior(self) -> Posterior:
        if self._known is None:
            if len(self._left) == 1:
                return Posterior(np.zeros(1), np.zeros((1, 1)))
            table = np.array([[self._values[one].get(root, np.nan) for root in range(self.most)] for one in self._left])
            self._known = posterior(table, self._generator("posterior"), self._draws, self._noise)
        return self._known

    def _doubts(self) -> Array:
        """For each that is left, the probability that it is the best and beats the named one by over the tolerance."""
        means, draws = self._posterior()
        named, every = int(means.argmax()), np.arange(len(draws))
        best = draws.argmax(1)
        beaten = draws[every, best] > draws[:, named] + self.tolerance
        return np.bincount(best[beaten], minlength=len(means)) / len(draws)

    def _comparable(self, roots: Sequence[int]) -> NDArray[np.bool_]:
        """For each, whether it or the named one has a fresh root left that would make one more pair."""
        named = int(self._posterior().means.argmax())
        return np.array([min(own, roots[named]) < self.most for own in roots])

    def _enough(self) -> bool:
        """Whether the named one is sure enough, or who cannot be compared further alone leaves too much doubt."""
        if len(self._left) < 2:
            return True
        doubts = self._doubts()
        stuck = doubts[~self._comparable([len(self._values[one]) for one in self._left])]
        return float(doubts.sum()) <= 1 - self.confidence or float(stuck.sum()) > 1 - self.confidence

    def _round(self) -> list[tuple[F, int]]:
        """The first roots for all; later the named one and a drawn challenger on the root that either lacks, and on."""
        if self._rounds == 0:
            return [(finalist, root) for root in range(self.least) for finalist in self._left]
        roots = [len(self._values[finalist]) for finalist in self._left]
        named, doubts = int(self._posterior().means.argmax()), self._doubts()
        generator = self._generator("challengers")
        runs: list[tuple[F, int]] = []
        while len(runs) < self._batch and (open_ := doubts * self._comparable(roots)).any():
            challenger = int(generator.choice(len(roots), p=open_ / open_.sum()))
            root = min(roots[named], roots[challenger])
            for one in (named, challenger):
                if roots[one] == root:
                    runs.append((self._left[one], root))
                    roots[one] += 1
        return runs
