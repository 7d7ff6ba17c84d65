"""What part of a study a leaderboard is of: some languages, families, scripts, targets, methods, or what is left under
edits and attacks. The part is cut out before means and ranks are made, the same for all candidates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, get_args

import pandas as pd

from search.results import Results
from search.robustness import CELL
from search.scores import CLEAN
from trainables.errors import Mistake, nearest
from trainables.languages import family, script

By = Literal["language", "family", "script", "target", "method", "perturbation"]
BY: tuple[By, ...] = get_args(By)

FLAGS = {
    "languages": "--language", "families": "--family", "scripts": "--script", "targets": "--target",
    "methods": "--method", "perturbations": "--perturbation",
}  # fmt: skip
"""The flag that names each kind of part."""


@dataclass(frozen=True)
class View:
    """What part of a study a leaderboard is of; where nothing is named, all of it.

    `by` adds a column a group, or, of methods, makes a block a group.
    """

    languages: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    perturbations: tuple[str, ...] = ()
    by: By | None = None

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """What is named of each kind, without kinds of which nothing is."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "by"}
        return {kind: names for kind, names in found.items() if names}

    @property
    def flags(self) -> str:
        """The flags that name parts."""
        return ", ".join(FLAGS[kind] for kind in self.parts)


class Cut:
    """The part of results that a view asks for. Raises Mistake for a name that the results do not have, and where no
    cell is left."""

    def __init__(self, results: Results, asked: View) -> None:
        self.results, self.asked = results, asked
        self._rows: dict[tuple[str, ...], pd.DataFrame] = {}
        grid, rows = results.grid, results.compared
        codes = grid.unique("language")
        known: dict[str, Iterable[str]] = {
            "languages": codes, "families": {family(code) for code in codes},
            "scripts": {name for code in codes for name in scripts(code)}, "targets": grid.unique("target"),
            "methods": rows.method.unique(), "perturbations": {CLEAN, *self._measured, *self._planned.unique(CELL[-1])},
        }  # fmt: skip
        for kind, names in asked.parts.items():
            _check(names, set(known[kind]), FLAGS[kind])
        self.targets = set(asked.targets or grid.unique("target"))
        self.grid = grid[[target in self.targets and self.has(code) for target, code in grid]]
        if not len(self.grid):
            raise Mistake("no cell of the grid is left", where=asked.flags, right="fewer of these at once")
        self.methods = list(asked.methods or rows.method.unique().astype(object))
        if CLEAN in asked.perturbations and len(asked.perturbations) > 1:
            raise Mistake(f"'{CLEAN}' stands alone", where=FLAGS["perturbations"], right="one of these, or the others")

    @property
    def changed(self) -> tuple[str, ...]:
        """The edits and attacks under which candidates are compared; none where they are on clean texts."""
        return tuple(name for name in self.asked.perturbations if name != CLEAN)

    @property
    def edits(self) -> pd.MultiIndex:
        """The planned cells (target, language, perturbation) of this part."""
        cells = self._planned.droplevel("perturbation")
        return self._planned[cells.isin(self.grid)]

    @property
    def grouped(self) -> tuple[str, ...]:
        """The edits and attacks that have a column each."""
        return self.changed or tuple(self._measured) if self.asked.by == "perturbation" else ()

    def has(self, code: str) -> bool:
        """Whether a language is part of it."""
        asked = self.asked
        return (
            (not asked.languages or code in asked.languages)
            and (not asked.families or family(code) in asked.families)
            and (not asked.scripts or not set(asked.scripts).isdisjoint(scripts(code)))
        )

    def rows(self, methods: Collection[str]) -> pd.DataFrame:
        """The rows that a leaderboard of some methods is made from."""
        asked = tuple(methods)
        if asked not in self._rows:
            self._rows[asked] = self._cut(asked)
        return self._rows[asked]

    def _cut(self, methods: Collection[str]) -> pd.DataFrame:
        rows = self.results.compared
        rows = rows[rows.portion.isin([self.results.portion, "model"])]
        codes = [code for code in rows.language.unique() if not code or self.has(code)]
        kept = rows.method.isin(list(methods)) & rows.target.isin(list(self.targets)) & rows.language.isin(codes)
        return rows[kept & (rows.perturbation == CLEAN)] if CLEAN in self.asked.perturbations else rows[kept]

    @cached_property
    def _planned(self) -> pd.MultiIndex:
        grid = set(self.results.grid)
        cells = {
            (target, code, name): None
            for run in self.results.runs
            for suite in run.manifest["perturbed"].values()
            for target, codes in suite.items()
            for code, names in codes.items()
            if (target, code) in grid
            for name in names
        }
        return pd.MultiIndex.from_frame(pd.DataFrame(list(cells), columns=CELL, dtype=object))

    @property
    def _measured(self) -> list[str]:
        return [name for name in self.results.compared.perturbation.unique() if name != CLEAN]


def scripts(code: str) -> list[str]:
    """The scripts of a language, of which Japanese has two."""
    return script(code).split(", ")


def _check(names: Sequence[str], known: Collection[str], flag: str) -> None:
    for name in names:
        if name not in known:
            raise Mistake(f"the results have no '{name}'", where=flag, right=nearest(name, known))
