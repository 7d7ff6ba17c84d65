"""The figures of single items, from run folders' `predictions/TARGET.parquet`, and which of them go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from scipy import sparse

from search.analysis.design import Array
from search.analysis.outcomes import clean_cells
from search.results import Results, Run
from search.scores import CLEAN

Codes = NDArray[np.int64]

TEXTS = ["portion", "perturbation", "candidate", "language", "id", "cluster"]

AGREE = 1e-4
"""In points: how far the mean of items' figures may lie from a score that is this mean."""


@dataclass(frozen=True)
class Items:
    """A target's items: `values` is what each adds to the score of its language, in points: candidates × roots × items.

    Over the items of a language (`language`: its place in `languages`) they add up to 0; nan where a candidate was not
    scored. `cluster` is the number of an item's cluster, `stratum` that of a cluster's stratum, within which clusters
    are drawn: a language that shares no cluster with another is one, all others together are one. `exact` says whether
    scores are means of their items' figures, `clustered` whether the files say which items stand and fall together.
    """

    target: str
    candidates: tuple[str, ...]
    seeds: tuple[int, ...]
    languages: tuple[str, ...]
    values: NDArray[np.float32]
    language: Codes
    cluster: Codes
    stratum: Codes
    exact: bool
    clustered: bool

    @property
    def alone(self) -> list[str]:
        """The languages whose clusters no other language has."""
        return [code for place, code in enumerate(self.languages) if place in self.stratum]

    def summed(self, weights: Sequence[float]) -> Array:
        """What each cluster adds to Σ weight × score over languages: candidates × roots × clusters."""
        own = np.asarray(weights, dtype=float)[self.language]
        kept = np.flatnonzero(own)
        places = np.arange(len(kept)), self.cluster[kept]
        sums = sparse.csr_array((own[kept], places), shape=(len(kept), len(self.stratum)))
        flat = self.values[:, :, kept].reshape(-1, len(kept))
        return np.asarray((sums.T @ flat.T).T).reshape(*self.values.shape[:2], -1)


def items_of(results: Results) -> Iterator[Items]:
    """The compared candidates' items on the clean test sets, target by target.

    Where a score is no mean of its items' figures (F1 over spans), these are stretched until a cell has the variance of
    its stored standard error, so that only how items go together is theirs. Targets that have no such error either
    (mining) are left out, as are those without predictions.
    """
    cells = clean_cells(results)
    rows = results.compared
    rows = rows[(rows.portion == results.portion) & (rows.perturbation == CLEAN) & rows.main.astype(bool)]
    for target in cells.index.unique("target"):
        own = cells.xs(target, level="target")
        found = _read(results, str(target), own)
        errors = rows[rows.target == target].set_index(["language", "candidate", "seed"]).stderr
        kept = None if found is None else _scaled(found, own, errors)
        if kept is not None:
            yield kept


def _read(results: Results, target: str, cells: pd.DataFrame) -> Items | None:
    """Raw figures of the items that a target's cells are made of; None where no run folder has them."""
    names, seeds = list(cells.columns.unique("candidate")), sorted(cells.columns.unique("seed"))
    codes = list(cells.index)
    table = _Table(len(names), seeds, codes, results.portion != "test")
    clustered = True
    for run in results.runs:
        path = run.path / "predictions" / f"{target}.parquet"
        if path.is_file():
            clustered = table.read(path, _Numbers(_names_in(results, run, names))) and clustered
    if not table.size:
        return None
    language, cluster = table.language[: table.size], table.cluster[: table.size]
    cluster, stratum = _strata(language, cluster)
    return Items(target, tuple(map(str, names)), tuple(map(int, seeds)), tuple(map(str, codes)),
                 table.values[:, :, : table.size], language, cluster, stratum, True, clustered)  # fmt: skip


def _names_in(results: Results, run: Run, names: Sequence[str]) -> dict[str, int]:
    """The candidates by the names that a run's own files have for them."""
    more = f" [{run.name}]" if results.differences else ""
    return {name.removesuffix(more): place for place, name in enumerate(names) if name.endswith(more)}


class _Numbers:
    """Numbers of texts: those of the known ones (others are −1), or, without any, as texts are met."""

    def __init__(self, known: Iterable[str] | Mapping[str, int] | None = None) -> None:
        self.grows = known is None
        pairs = known.items() if isinstance(known, Mapping) else ((name, i) for i, name in enumerate(known or ()))
        self.of: dict[str | None, int] = dict(pairs)

    def __len__(self) -> int:
        return len(self.of)

    def __call__(self, column: Any) -> Codes:
        """The numbers of a column of dictionary-encoded text; those of a missing one are as of a text of its own."""
        names = [*column.dictionary.to_pylist(), None]
        if self.grows:
            found = np.array([self.of.setdefault(name, len(self.of)) for name in names], dtype=np.int64)
        else:
            found = np.array([self.of.get(name, -1) for name in names], dtype=np.int64)
        return np.asarray(found[column.indices.fill_null(len(names) - 1).to_numpy()])


class _Table:
    """Figures of candidates × roots × items, which grows as items are met; a figure that is nowhere is nan."""

    def __init__(self, names: int, seeds: Sequence[int], codes: Sequence[str], halved: bool) -> None:
        self.values = np.full((names, len(seeds), 0), np.nan, dtype=np.float32)
        self.language, self.cluster = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.size = 0
        self._seeds, self._codes = pd.Index(seeds), _Numbers(codes)
        self._ids, self._clusters = _Numbers(), _Numbers()
        self._number = np.full((len(codes), 0), -1, dtype=np.int64)
        self._halved = halved

    def read(self, path: Path, candidates: _Numbers) -> bool:
        """Take in the clean test rows of a file; says whether it names clusters (else each id is one)."""
        there = parquet.read_schema(path).names
        columns = [name for name in TEXTS if name in there]
        file, held, clean = parquet.ParquetFile(path, read_dictionary=columns), _Numbers(["test"]), _Numbers([CLEAN])
        for batch in file.iter_batches(1 << 18, columns=[*columns, "seed", "score"]):
            text = {name: batch.column(name) for name in columns}
            candidate, language, item = (
                candidates(text["candidate"]),
                self._codes(text["language"]),
                self._ids(text["id"]),
            )
            cluster = self._clusters(text.get("cluster", text["id"]))
            root = self._seeds.get_indexer(pd.Index(batch.column("seed").to_numpy()))
            kept = (held(text["portion"]) == 0) & (clean(text["perturbation"]) == 0)
            kept &= (candidate >= 0) & (language >= 0) & (root >= 0)
            if self._halved:
                kept &= _in_report_half(self._ids)[item]
            place = self._placed(language[kept], item[kept], cluster[kept])
            score = batch.column("score").to_numpy(zero_copy_only=False)
            self.values[candidate[kept], root[kept], place] = score[kept]
        return "cluster" in there

    def _placed(self, language: Codes, item: Codes, cluster: Codes) -> Codes:
        """The numbers of items, new ones among them."""
        if len(self._ids) > self._number.shape[1]:
            more = len(self._ids) - self._number.shape[1]
            self._number = np.pad(self._number, ((0, 0), (0, more)), constant_values=-1)
        new = self._number[language, item] < 0
        if new.any():
            pairs, first = np.unique(np.stack([language[new], item[new]]), axis=1, return_index=True)
            after = self.size + pairs.shape[1]
            self._number[pairs[0], pairs[1]] = np.arange(self.size, after)
            self._grow(after)
            self.language[self.size : after], self.cluster[self.size : after] = pairs[0], cluster[new][first]
            self.size = after
        return np.asarray(self._number[language, item])

    def _grow(self, needed: int) -> None:
        more = needed - len(self.language)
        if more > 0:
            more = max(more, len(self.language))
            self.values = np.pad(self.values, ((0, 0), (0, 0), (0, more)), constant_values=np.nan)
            self.language, self.cluster = np.pad(self.language, (0, more)), np.pad(self.cluster, (0, more))


def _in_report_half(ids: _Numbers) -> NDArray[np.bool_]:
    """Whether each id is of the half of the test items that no selection has seen."""
    from trainables.examples import in_search_half

    return np.array([not in_search_half(str(name)) for name in ids.of], dtype=bool)


def _strata(language: Codes, cluster: Codes) -> tuple[Codes, Codes]:
    """Clusters numbered from 0 by item, and the stratum of each: the language that alone has it, or −1."""
    found = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    size = int(found.max(initial=-1)) + 1
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(first, found, language)
    np.maximum.at(last, found, language)
    shared = np.unique(language[(first != last)[found]])
    return found, np.where(np.isin(first, shared), -1, first)


def _scaled(items: Items, cells: pd.DataFrame, errors: pd.Series) -> Items | None:
    """Figures as what they add to scores; None where nothing says how sure the scores are."""
    sizes = np.bincount(items.language, minlength=len(items.languages))
    shape = len(items.language), len(items.languages)
    average = sparse.csr_array((1 / sizes[items.language], (np.arange(shape[0]), items.language)), shape=shape)
    flat = items.values.reshape(-1, shape[0])
    means = np.asarray((average.T @ flat.T).T).reshape(*items.values.shape[:2], -1)
    columns = pd.MultiIndex.from_product([items.candidates, items.seeds])
    asked = cells.reindex(index=list(items.languages), columns=columns).to_numpy(float).T.reshape(means.shape)
    apart = np.abs(means * 100 - asked)
    values = (items.values - means[:, :, items.language].astype(np.float32)) * 100
    exact = bool(np.nanmax(apart, initial=0.0) <= AGREE)
    if not exact:
        index = pd.MultiIndex.from_product([items.languages, items.candidates, items.seeds])
        stored = errors.reindex(index).to_numpy(float).reshape(len(items.languages), *means.shape[:2])
        if np.isnan(stored).all():
            return None
        flat = (values**2).reshape(-1, shape[0])
        own = np.sqrt(np.asarray((average.T @ flat.T).T).reshape(means.shape) / np.maximum(sizes - 1, 1))
        wanted = np.moveaxis(stored, 0, -1) * 100
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(own > 0, wanted / own, 0.0)
        values *= scale[:, :, items.language].astype(np.float32)
    values /= sizes[items.language].astype(np.float32)
    return replace(items, values=values, exact=exact)
