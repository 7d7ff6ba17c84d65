"""When it says that the named order is the best with 95 %, how often is that so? Whole studies, simulated.

    OMP_NUM_THREADS=1 python -m benchmarks.calibration [--studies 4800] [--dry]

A study: all ordered subsets of four or five tasks, their values those of the transfer model (strategies/transfer.py,
scaled to the regime's spread). Every order is noisy at every root: each
prefix brings luck that all orders share that start with it (half to four fifths of the seed variance), each order luck
of its own, each root luck for all. Two or three roots of 30 random orders are searched, the best means become finalists
(all have equally many roots, so shrinking means would change no rank), and the finals are played to their end.

Asked is the share of right answers among studies that stop with 95 %: named within the tolerance of (a) the best
finalist, which is what the probability is of; (b) the best order that was searched; (c) the best order of all. Beside
it two ways to do without: the same posterior with every finalist on every root, and pairwise t tests of the leader
without any correction, on every root. `--dry` prints without appending to RESULTS.md.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, t

from benchmarks.results import record
from benchmarks.strategies.transfer import transfer
from search.best_arm import Finals, Noise, noise_of, posterior
from search.order import OrderSpace

CONFIDENCE, TOLERANCE, MOST, LEAST = 0.95, 0.005, 20, 3
SEED_SD = 0.02
SEARCHED = 30
DRAWS = 5000
EFFECTS = (0.1, 0.25, 0.5, 2.0)  # SD of all orders' values in seed SDs
TAILS = {"Gaussian": None, "t4": 4}
FINALISTS = (3, 5)
BINS = (0.0, 0.6, 0.7, 0.8, 0.85, 0.9, CONFIDENCE, 1.001)


class Regime(NamedTuple):
    """What studies are alike in."""

    effect: float
    tail: str
    finalists: int


class Subsets:
    """All ordered subsets of some tasks, with their prefixes."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        space = [tuple(int(task) for task in order.tasks) for order in OrderSpace([str(task) for task in range(tasks)])]
        places = {order: place for place, order in enumerate(space)}
        self.size = len(space)
        self.of_length = [
            (np.array(same), np.array([space[place] for place in same], dtype=int).reshape(len(same), length))
            for length in range(tasks + 1)
            if (same := [place for place, order in enumerate(space) if len(order) == length])
        ]
        # Shorter orders are filled up with a place past the end, where there is no luck.
        self.prefixes = np.full((self.size, tasks), self.size)
        for place, order in enumerate(space):
            self.prefixes[place, : len(order)] = [places[order[:end]] for end in range(1, len(order) + 1)]

    def values(self, seed: int) -> np.ndarray:
        """True values of all orders under the transfer model of that seed, SD 1."""
        model, found = transfer(self.tasks, seed), np.empty(self.size)
        for places, orders in self.of_length:
            found[places] = model.values(orders)
        return (found - found.mean()) / found.std()

    def luck(
        self, generator: np.random.Generator, which: np.ndarray, roots: int, share: float, tail: str
    ) -> np.ndarray:
        """Orders × roots: SD about 1 beside the roots' own, of which prefixes have `share`."""

        def drawn(*size: int) -> np.ndarray:
            freedom = TAILS[tail]
            if freedom is None:
                return generator.normal(size=size)
            return generator.standard_t(freedom, size=size) / np.sqrt(freedom / (freedom - 2))

        nodes = np.zeros((self.size + 1, roots))
        nodes[:-1] = drawn(self.size, roots) * np.sqrt(share / self.tasks)
        leaves = drawn(len(which), roots) * np.sqrt(1 - share)
        return nodes[self.prefixes[which]].sum(1) + leaves + generator.normal(size=roots)


class Study(NamedTuple):
    """A study after its search: true values of the finalists, the best of the searched and of all, fresh values."""

    truth: np.ndarray
    best_searched: float
    best: float
    fresh: np.ndarray
    noise: Noise | None
    seed: int


SPACES = {tasks: Subsets(tasks) for tasks in (4, 5)}


def study(regime: Regime, number: int) -> Study:
    """The study of that number: number of tasks, share of prefixes and roots of the search take turns."""
    generator = np.random.default_rng([number, *regime.tail.encode(), int(regime.effect * 100), regime.finalists])
    space, share, roots = SPACES[4 + number % 2], (0.5, 0.65, 0.8)[number // 2 % 3], 2 + number // 6 % 2
    true = regime.effect * SEED_SD * space.values(int(generator.integers(2**31)))
    searched = generator.choice(len(true), SEARCHED, replace=False)
    seen = true[searched, None] + SEED_SD * space.luck(generator, searched, roots, share, regime.tail)
    top = searched[np.argsort(-seen.mean(1), kind="stable")[: regime.finalists]]
    fresh = true[top, None] + SEED_SD * space.luck(generator, top, MOST, share, regime.tail)
    return Study(true[top], float(true[searched].max()), float(true.max()), fresh, noise_of(seen), number)


class End(NamedTuple):
    """How finals ended: who is named, with which probability, after how many runs, and the figure ± of the named."""

    named: int
    probability: float
    runs: int
    mean: float = np.nan
    half_width: float = np.nan


def top_two(one: Study) -> End:
    """The product's rule."""
    finals = Finals(
        range(len(one.fresh)), CONFIDENCE, TOLERANCE, MOST, LEAST, one.seed, noise=one.noise, draws=DRAWS
    )  # fmt: skip
    while runs := finals.next(MOST):
        for finalist, root in runs:
            finals.tell(finalist, root, float(one.fresh[finalist, root]))
    standing = finals.standing()
    first = standing.places[0]
    return End(
        first.finalist, standing.probability, sum(p.roots for p in standing.places), first.mean, first.half_width
    )  # fmt: skip


def uniform(one: Study) -> End:
    """The same posterior, every finalist on every root."""

    def judge(values: np.ndarray) -> tuple[int, float]:
        means, draws = posterior(values, np.random.default_rng(one.seed), DRAWS, one.noise)
        named = int(means.argmax())
        return named, float((draws[:, named] >= draws.max(1) - TOLERANCE).mean())

    return _on_every_root(one, judge)


def pairwise(one: Study) -> End:
    """Every finalist on every root; the least confident of the leader's paired t tests against each other finalist."""

    def judge(values: np.ndarray) -> tuple[int, float]:
        named, roots = int(values.mean(1).argmax()), values.shape[1]
        ahead = values[named] - np.delete(values, named, 0)
        errors = ahead.std(1, ddof=1) / np.sqrt(roots)
        return named, float(t.cdf((ahead.mean(1) + TOLERANCE) / errors, roots - 1).min())

    return _on_every_root(one, judge)


def _on_every_root(one: Study, judge: Callable[[np.ndarray], tuple[int, float]]) -> End:
    for roots in range(LEAST, MOST + 1):
        named, probability = judge(one.fresh[:, :roots])
        if probability >= CONFIDENCE:
            break
    return End(named, probability, roots * len(one.fresh))


RULES = {"top-two": top_two, "uniform": uniform, "pairwise t": pairwise}


class Row(NamedTuple):
    """One study under one rule: the probability and runs at the end, and whether the named one is good enough."""

    probability: float
    runs: float
    finalist: bool
    searched: bool
    every: bool
    covered: bool


def row(one: Study, end: End) -> Row:
    """What became of it, against the truth."""
    true = one.truth[end.named]
    good = [bool(true >= best - TOLERANCE) for best in (one.truth.max(), one.best_searched, one.best)]
    return Row(end.probability, end.runs, *good, bool(abs(end.mean - true) <= end.half_width))


def table(rows: list[Row]) -> np.ndarray:
    """Studies × columns of `Row`."""
    return np.array(rows, dtype=float)


def line(name: str, found: np.ndarray) -> str:
    """Shares of right answers among those that stopped, and the one-sided test of (a) against the confidence."""
    probability, runs, *right = found.T
    stopped = probability >= CONFIDENCE
    total, correct = int(stopped.sum()), int(right[0][stopped].sum())
    if not total:
        return f"- {name}: none of {len(found)} stopped; {runs.mean():.1f} runs"
    below = binomtest(correct, total, CONFIDENCE, "less").pvalue
    shares = ", ".join(f"({letter}) {good[stopped].mean():.3f}" for letter, good in zip("abc", right, strict=False))
    stops = f"{stopped.mean():.0%} of {len(found)} stopped"
    return f"- {name}: {stops}; {shares}; (a) below 0.95: p {below:.3f}; {runs.mean():.1f} runs"


def curve(found: np.ndarray) -> Iterator[str]:
    """The probability at the end, in bins, beside the share within the tolerance of the best finalist."""
    for low, high in itertools.pairwise(BINS):
        part = found[(found[:, 0] >= low) & (found[:, 0] < high)]
        if len(part):
            yield f"- said {part[:, 0].mean():.3f}, true {part[:, 2].mean():.3f} ({len(part)} studies)"


def main(arguments: list[str]) -> None:
    """Print (and record) a line for each regime and rule, all together, the calibration curve and the coverage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4800, help="in all; dealt equally to the regimes")
    parser.add_argument("--dry", action="store_true", help="append nothing to RESULTS.md")
    options = parser.parse_args(arguments)
    regimes = [Regime(*one) for one in itertools.product(EFFECTS, TAILS, FINALISTS)]
    each = max(1, options.studies // len(regimes))
    lines, pooled = [], {name: [] for name in RULES}
    for regime in regimes:
        found: dict[str, list[Row]] = {name: [] for name in RULES}
        for number in range(each):
            one = study(regime, number)
            for name, rule in RULES.items():
                found[name].append(row(one, rule(one)))
        about = f"effect {regime.effect}, {regime.tail}, {regime.finalists} finalists"
        for name, rows in found.items():
            lines.append(line(f"{about}, {name}", table(rows)))
            sys.stdout.write(f"{lines[-1]}\n")
            pooled[name] += rows
    lines += [line(f"all regimes, {name}", table(rows)) for name, rows in pooled.items()]
    ours = table(pooled["top-two"])
    lines += ["- top-two, probability at the end:", *(f"  {one}" for one in curve(ours))]
    lines.append(f"- top-two, 95 % interval of the named one's own figure covers it in {ours[:, 5].mean():.1%}")
    if options.dry:
        sys.stdout.write("\n".join(lines[len(regimes) * len(RULES) :]) + "\n")
    else:
        record(
            "calibration of the final answer", lines, f"python -m benchmarks.calibration --studies {options.studies}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
