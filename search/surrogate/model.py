"""A Gaussian process over candidates: fitted to noisy values, it says of every candidate what to expect and how surely.

Values are standardised; their mean has a normal prior and is integrated out; a value that is the mean of r root seeds
has the noise of one root over r. Hyperparameters are those of the highest posterior density (L-BFGS). Everything runs
in double precision on one thread, so that equal data give equal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from botorch.optim.core import scipy_minimize
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from search.surrogate.features import BLOCKS, Features, Floats
from search.surrogate.kernels import CandidateKernel

FIRST_STEPS, STEPS = 60, 12
"""L-BFGS iterations of a first fit, and of one that begins where the last one ended."""

REFERENCE = 400
"""Rows that the mean distances are taken over."""

PIECE = 4096
"""Candidates whose distances are held at once."""


class Surrogate:
    """The process with its hyperparameters; `fit` gives a `Posterior`."""

    def __init__(self, features: Features, reference: Floats, kernels: Sequence[str] = BLOCKS) -> None:
        """`reference`: rows of features of random candidates (or all), which say how far apart candidates are."""
        rows = torch.from_numpy(reference[:REFERENCE])
        scales = [_mean_distance(rows[:, features.blocks[name]]) for name in kernels]
        self.kernel = CandidateKernel(features, scales, kernels).double()
        self.log_noise = torch.nn.Parameter(torch.tensor(math.log(0.2), dtype=torch.float64))
        self._fitted = False

    @property
    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        return {**dict(self.kernel.named_parameters()), "log_noise": self.log_noise}

    def state(self) -> dict[str, list[float]]:
        """The hyperparameters, exactly, for JSON; empty before the first fit."""
        if not self._fitted:
            return {}
        return {name: parameter.detach().reshape(-1).tolist() for name, parameter in self._parameters.items()}

    def restore(self, state: dict[str, list[float]]) -> None:
        """Take a `state()` back."""
        for name, values in state.items():
            parameter = self._parameters[name]
            parameter.data = torch.tensor(values, dtype=torch.float64).reshape(parameter.shape)
        self._fitted = bool(state)

    def fit(self, rows: Floats, values: Sequence[float], roots: Sequence[int]) -> Posterior:
        """Condition on values, at least one, of candidates by their rows, each a mean of so many root seeds."""
        with one_thread():
            x = torch.from_numpy(rows)
            y = torch.tensor(values, dtype=torch.float64)
            centre, width = float(y.mean()), _spread(y)
            y = (y - centre) / width
            share = 1 / torch.tensor(roots, dtype=torch.float64)
            distances = self.kernel.distances(x, x)
            if len(values) > 2:
                self._maximise(distances, y, share)
            with torch.no_grad():
                covariance = 1 + self.kernel.mixed(distances) + torch.diag(share * self.log_noise.exp())
                return Posterior(self, x, y, psd_safe_cholesky(covariance), centre, width)

    def _maximise(self, distances: Tensor, y: Tensor, share: Tensor) -> None:
        parameters: dict[str, Tensor] = {**self._parameters}

        def closure() -> tuple[Tensor, Sequence[Tensor | None]]:
            covariance = 1 + self.kernel.mixed(distances) + torch.diag(share * self.log_noise.exp())
            factor = psd_safe_cholesky(covariance)
            white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
            likelihood = -0.5 * white.square().sum() - factor.diagonal().log().sum()
            prior = self.kernel.log_prior() - 0.5 * (self.log_noise - math.log(0.2)).square()
            loss = -(likelihood + prior)
            return loss, torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)

        steps = STEPS if self._fitted else FIRST_STEPS
        bounds: dict[str, tuple[float | None, float | None]] = dict.fromkeys(parameters, (-7.0, 5.0))
        scipy_minimize(closure, parameters, bounds=bounds, options={"maxiter": steps})
        self._fitted = True


class Posterior:
    """What is expected of candidates, given the data it was fitted to. Values are in the unit that was told."""

    def __init__(self, surrogate: Surrogate, x: Tensor, y: Tensor, factor: Tensor, centre: float, width: float) -> None:
        self.surrogate, self.x, self.factor = surrogate, x, factor
        self.white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)[:, 0]
        self.centre, self.width = centre, width

    @property
    def noise(self) -> float:
        """The variance of one root seed's value."""
        return self.surrogate.log_noise.exp().item() * self.width**2

    def at(self, rows: Floats) -> Belief:
        """The belief over these candidates."""
        with one_thread(), torch.no_grad():
            return Belief(self, torch.from_numpy(rows))


class Belief:
    """Standardised means and variances of a set of candidates, and what further values would do to the variances."""

    def __init__(self, posterior: Posterior, rows: Tensor) -> None:
        """`rows` are the candidates' features."""
        self._posterior, self._rows = posterior, rows
        self._kernel, self._noise = posterior.surrogate.kernel, posterior.surrogate.log_noise.exp()
        # In pieces: the distances to many candidates would take much memory at once.
        solved = [
            torch.linalg.solve_triangular(posterior.factor, self._prior(posterior.x, piece), upper=False)
            for piece in torch.split(rows, PIECE)
        ]
        self._solved = torch.cat(solved, 1)
        self.mean = self._solved.T @ posterior.white
        self.variance = (self._prior_variance() - self._solved.square().sum(0)).clamp_min(1e-10)

    @property
    def means(self) -> Floats:
        """Posterior means in the unit that was told."""
        found: Floats = (self.mean * self._posterior.width + self._posterior.centre).numpy()
        return found

    @property
    def deviations(self) -> Floats:
        """Posterior standard deviations in the unit that was told."""
        found: Floats = (self.variance.sqrt() * self._posterior.width).numpy()
        return found

    def changes(self, places: Sequence[int], roots: int = 1) -> Floats:
        """(places, candidates): standard deviations, with a sign, of what a value of each candidate would do to the
        means at `places`."""
        with one_thread(), torch.no_grad():
            found: Floats = (self._covariance(places) / (self.variance + self._noise / roots).sqrt()).numpy()
            return found

    def believe(self, place: int, roots: int = 1) -> None:
        """Take a candidate as run with the value that is expected: means stay, variances shrink (kriging believer)."""
        with one_thread(), torch.no_grad():
            step = self._covariance([place])[0] / (self.variance[place] + self._noise / roots).sqrt()
            self._solved = torch.cat([self._solved, step[None]])
            self.variance = (self.variance - step.square()).clamp_min(1e-10)

    def _covariance(self, places: Sequence[int]) -> Tensor:
        """(places, candidates): posterior covariances."""
        chosen = torch.tensor(places)
        prior = [self._prior(self._rows[chosen], piece) for piece in torch.split(self._rows, PIECE)]
        return torch.cat(prior, 1) - self._solved[:, chosen].T @ self._solved

    def _prior(self, x1: Tensor, x2: Tensor) -> Tensor:
        prior: Tensor = 1 + self._kernel.mixed(self._kernel.distances(x1, x2))
        return prior

    def _prior_variance(self) -> Tensor:
        variance: Tensor = 1 + self._kernel(self._rows[:1], self._rows[:1], diag=True)
        return variance


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: the last bits of a result do not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _spread(y: Tensor) -> float:
    """The standard deviation; 1 where the values are equal but for rounding."""
    width = float(y.std(correction=0))
    return width if width > 1e-9 * float(y.abs().max()) else 1.0


def _mean_distance(rows: Tensor) -> float:
    """The mean squared distance of two different rows."""
    count = len(rows)
    if count < 2:
        return 1.0
    spread = (rows - rows.mean(0)).square().sum() * 2 / (count - 1)
    return float(spread)
