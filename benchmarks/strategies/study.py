"""Many searches at once: every problem × strategy × seed, one process each, as one long table."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from benchmarks.strategies.baselines import OptunaTPE
from benchmarks.strategies.play import RULES, Asked, By, play
from benchmarks.strategies.problems import Problem, Spec
from search.prices import UnitPrices
from search.strategies import STRATEGIES
from trainables.errors import Mistake, nearest

PLAYERS: dict[str, Any] = {**STRATEGIES, "optuna-tpe": OptunaTPE}


@dataclass(frozen=True)
class Player:
    """A strategy with options, `gp:thrift=0:recommend=incumbent`; `recommend` is the rule that names an order."""

    text: str
    name: str
    options: tuple[tuple[str, Any], ...]
    recommend: str

    @classmethod
    def parse(cls, text: str, recommend: str = "posterior") -> Player:
        """Raises `Mistake` for an unknown strategy, option or rule."""
        name, *parts = text.split(":")
        where = f"--strategies {text}"
        if name not in PLAYERS:
            raise Mistake(f"unknown strategy '{name}'.", where=where, right=nearest(name, PLAYERS))
        options = dict(part.partition("=")[::2] for part in parts)
        rule = options.pop("recommend", "incumbent" if name == "optuna-tpe" else recommend)
        if rule not in RULES:
            raise Mistake(f"unknown rule '{rule}'.", where=where, right=nearest(rule, RULES))
        known = _options(PLAYERS[name])
        for option in options:
            if option not in known:
                raise Mistake(f"{name} has no option '{option}'.", where=where, right=nearest(option, known))
        return cls(text, name, tuple((key, yaml.safe_load(value)) for key, value in options.items()), rule)

    def make(self, problem: Problem, seed: int, candidates: int, leaf: float, **common: Any) -> Asked:
        """The strategy at the start of its search. Of `common` it takes what it knows; its own options come first."""
        known = _options(PLAYERS[self.name])
        options = {**{key: value for key, value in common.items() if key in known}, **dict(self.options)}
        made: Any = PLAYERS[self.name]
        strategy: Asked = made(problem.space, seed=seed, candidates=candidates, prices=UnitPrices(leaf), **options)
        return strategy


@dataclass(frozen=True)
class Job:
    """One search: a player on a problem under a seed, to the last mark; `common` are options for all strategies."""

    spec: Spec
    player: Player
    seed: int
    marks: tuple[float, ...]
    by: By = "evaluations"
    leaf: float = 1.0
    common: tuple[tuple[str, Any], ...] = ()

    def play(self) -> list[dict[str, Any]]:
        """The points of the search as rows of the long table."""
        problem = self.spec.make(self.seed)
        strategy = self.player.make(problem, self.seed, self._most(problem), self.leaf, **dict(self.common))
        rule = RULES[self.player.recommend]
        points = play(strategy, problem, self.marks, by=self.by, recommend=rule, leaf=self.leaf)
        about = {"problem": self.spec.kind, "strategy": self.player.text, "seed": self.seed, "unit": problem.unit}
        return [{**about, **point._asdict()} for point in points]

    def _most(self, problem: Problem) -> int:
        """How many evaluations it can come to at most."""
        if self.by == "evaluations":
            return int(max(self.marks))
        return int(max(self.marks) / self.leaf) if self.leaf else problem.space.size


def play_all(jobs: Sequence[Job], processes: int = 1) -> pd.DataFrame:
    """The rows of all jobs, in their order whatever the number of processes; each has one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes that are started next
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows = [row for found in _shown(pool.imap(Job.play, jobs), len(jobs)) for row in found]
    return pd.DataFrame(rows)


def _shown(found: Iterable[list[dict[str, Any]]], total: int) -> Iterator[list[dict[str, Any]]]:
    for number, rows in enumerate(found, start=1):
        last = rows[-1]
        line = f"{number}/{total} {last['problem']} {last['strategy']} #{last['seed']}: regret {last['regret']:.2f}"
        sys.stderr.write(f"{line} {last['unit']} after {last['evaluations']} evaluations, {last['cost']:g} units\n")
        yield rows


def _options(factory: Any) -> list[str]:
    """The settings of its own that a strategy takes."""
    if hasattr(factory, "Settings"):
        return list(factory.Settings.model_fields)
    shared = {"self", "space", "seed", "candidates", "prices"}
    return [name for name in inspect.signature(factory).parameters if name not in shared]
