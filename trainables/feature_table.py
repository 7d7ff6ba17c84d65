"""Features as a table of Arrow: a tenth of the memory of lists, and none where the table is a file that is mapped.

A table is read as a sequence. Features are built when they are asked for; their sizes, by which batches are made, are
known without building any.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, chain
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.kinds.base import Feature

_NUMBERS = pa.list_(pa.int32())

SCHEMA = pa.schema([
    ("item", pa.int32()), ("ids", _NUMBERS), ("label", _NUMBERS), ("labels", pa.int8()), ("positions", _NUMBERS),
    ("others", pa.list_(_NUMBERS)), ("offsets", pa.list_(pa.list_(pa.int32(), 2))),
])  # fmt: skip
"""A label that is one number is a list of it, where `labels` is 0."""


class Sizes(NamedTuple):
    """How large each feature of a sequence is: tokens of its longest row, and how many rows it has."""

    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]


def sizes_of(features: Sequence[Feature]) -> Sizes:
    """The sizes of features; of those in a table without building them."""
    if isinstance(features, FeatureTable):
        return features.sizes
    if isinstance(features, Joined):
        parts = [Sizes(*np.zeros((2, 0), np.int64)), *map(sizes_of, features.parts)]
        return Sizes(*(np.concatenate(sizes) for sizes in zip(*parts, strict=True)))
    lengths = np.fromiter((feature.length for feature in features), np.int64, len(features))
    return Sizes(lengths, np.fromiter((1 + len(feature.others) for feature in features), np.int64, len(features)))


def tokens_of(features: Sequence[Feature]) -> int:
    """The tokens of all rows of all features."""
    if isinstance(features, FeatureTable):
        return features.tokens
    return sum(len(row) for feature in features for row in feature.rows)


class Lists(NamedTuple):
    """A column of lists: the values of all, and where in them each list begins and the last ends."""

    values: memoryview
    ends: memoryview

    @classmethod
    def of(cls, column: Any) -> Lists:
        """Views of a column's memory."""
        return cls(_numbers(column.values), _numbers(column.offsets))

    def at(self, place: int) -> list[int]:
        """One of the lists."""
        return self.values[self.ends[place] : self.ends[place + 1]].tolist() if self.values else []

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How long each list is."""
        return np.diff(np.asarray(self.ends)).astype(np.int64)


class _Built(Sequence[Feature]):
    """A sequence whose features are built when they are asked for."""

    @abstractmethod
    def _built(self, place: int) -> Feature:
        """The feature of a place from 0."""

    @overload
    def __getitem__(self, place: int) -> Feature: ...
    @overload
    def __getitem__(self, place: slice) -> list[Feature]: ...
    def __getitem__(self, place: int | slice) -> Feature | list[Feature]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._built(place % len(self))


class FeatureTable(_Built):
    """Features in a record batch of `SCHEMA`."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        """ValueError where the batch is another, or is not what Arrow says it should be."""
        if batch.schema != SCHEMA or not all(map(_is_whole, batch.columns)):
            raise ValueError("no table of features")
        batch.validate(full=True)
        column = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._count = int(batch.num_rows)
        self._item, self._labels = _numbers(column["item"]), _numbers(column["labels"])
        self._ids, self._label = Lists.of(column["ids"]), Lists.of(column["label"])
        self._positions = Lists.of(column["positions"])
        others, offsets = column["others"], column["offsets"]
        self._others, self._other = _numbers(others.offsets), Lists.of(others.values)
        characters, ends = _numbers(offsets.values.values), _numbers(offsets.offsets)
        self._starts, self._stops = Lists(characters[0::2], ends), Lists(characters[1::2], ends)
        if (self._label.lengths[np.asarray(self._labels) == 0] != 1).any():
            raise ValueError("a label of one number has another length")

    @classmethod
    def read(cls, content: pa.Buffer) -> FeatureTable:
        """The table that an Arrow file is, without copying it. ValueError where it is none."""
        with pa.ipc.open_file(content) as file:
            if file.num_record_batches != 1:
                raise ValueError("no table of features")
            return cls(file.get_batch(0))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Feature]:
        return map(self._built, range(self._count))

    def _built(self, place: int) -> Feature:
        label = self._label.at(place)
        return Feature(
            self._item[place],
            self._ids.at(place),
            label if self._labels[place] else label[0],
            self._positions.at(place),
            [self._other.at(one) for one in range(self._others[place], self._others[place + 1])],
            [*zip(self._starts.at(place), self._stops.at(place), strict=True)],
            place,
        )

    @cached_property
    def sizes(self) -> Sizes:
        """How large each feature is."""
        lengths, ends = self._ids.lengths, np.asarray(self._others)
        rows = np.diff(ends).astype(np.int64)
        some = rows > 0
        if some.any():
            lengths[some] = np.maximum(lengths[some], np.maximum.reduceat(self._other.lengths, ends[:-1][some]))
        return Sizes(lengths, rows + 1)

    @property
    def tokens(self) -> int:
        """How many tokens all rows of all features have."""
        return len(self._ids.values) + len(self._other.values)

    @property
    def token_ids(self) -> NDArray[np.int32]:
        """The tokens of all rows of all features, in no order that would mean anything."""
        return np.concatenate([np.asarray(self._ids.values), np.asarray(self._other.values)])


def arrow_file(features: Sequence[Feature]) -> pa.Buffer:
    """Features as an Arrow file. pa.ArrowException or OverflowError where they do not fit into one."""
    columns: list[list[Any]] = [
        [feature.item for feature in features],
        [feature.ids for feature in features],
        [feature.label if isinstance(feature.label, list) else [feature.label] for feature in features],
        [int(isinstance(feature.label, list)) for feature in features],
        [feature.positions for feature in features],
        [feature.others for feature in features],
        [feature.offsets for feature in features],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA) as file:
        file.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    return sink.getvalue()


class Joined(_Built):
    """The features of several sets, one set after the other, none of them copied or built."""

    def __init__(self, parts: Sequence[Sequence[Feature]]) -> None:
        self.parts = parts
        self._ends = [0, *accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self._ends[-1]

    def _built(self, place: int) -> Feature:
        part = bisect_right(self._ends, place) - 1
        return self.parts[part][place - self._ends[part]]

    def __iter__(self) -> Iterator[Feature]:
        return chain.from_iterable(self.parts)


def _is_whole(column: Any) -> bool:
    """Whether nothing is missing in a column, nor in the lists that it is of."""
    return column.null_count == 0 and (not hasattr(column, "values") or _is_whole(column.values))


def _numbers(column: Any) -> memoryview:
    """A view of a column of numbers: one of them is had from it sooner than from an array of numpy."""
    return memoryview(column.to_numpy(zero_copy_only=True))
