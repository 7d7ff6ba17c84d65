"""Features as a table of Arrow: a tenth of the memory of lists, and none where the table is a file that is mapped.

A table is read as a sequence. Features are built when they are asked for; their sizes, by which batches are made, are
known without building any.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, chain, pairwise
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

BUILT = 32
"""Features that are built at once for who goes through all: more of them are slower, for Python then looks through
their many lists for garbage."""


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
        return len(features.token_ids)
    return sum(len(row) for feature in features for row in feature.rows)


class Lists(NamedTuple):
    """A column of lists: the values of all, and where in them each list begins and the last ends."""

    values: NDArray[np.int32]
    ends: NDArray[np.int32]

    @classmethod
    def of(cls, column: Any) -> Lists:
        """Views of a column's memory."""
        return cls(_numbers(column.values), _numbers(column.offsets))

    def between(self, first: int, last: int) -> list[Any]:
        """The lists from one place to another."""
        if not len(self.values):  # most kinds of task have no use for some column
            return [[] for _ in range(last - first)]
        ends = self.ends[first : last + 1].tolist()
        begin = ends[0]
        values = self.values[begin : ends[-1]].tolist()
        return [values[one - begin : other - begin] for one, other in pairwise(ends)]


class FeatureTable(Sequence[Feature]):
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
        self._other = Lists.of(others.values)
        self._others = _numbers(others.offsets)
        characters, ends = _numbers(offsets.values.values), _numbers(offsets.offsets)
        self._starts, self._stops = Lists(characters[0::2], ends), Lists(characters[1::2], ends)
        if (np.diff(self._label.ends)[self._labels == 0] != 1).any():
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

    @overload
    def __getitem__(self, place: int) -> Feature: ...
    @overload
    def __getitem__(self, place: slice) -> list[Feature]: ...
    def __getitem__(self, place: int | slice) -> Feature | list[Feature]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        place %= self._count
        return self._built(place, place + 1)[0]

    def __iter__(self) -> Iterator[Feature]:
        for first in range(0, self._count, BUILT):
            yield from self._built(first, min(first + BUILT, self._count))

    def _built(self, first: int, last: int) -> list[Feature]:
        ends = self._others[first : last + 1].tolist()
        others = self._other.between(ends[0], ends[-1])
        columns = zip(
            self._item[first:last].tolist(),
            self._ids.between(first, last),
            self._label.between(first, last),
            self._labels[first:last].tolist(),
            self._positions.between(first, last),
            (others[one - ends[0] : other - ends[0]] for one, other in pairwise(ends)),
            self._starts.between(first, last),
            self._stops.between(first, last),
            range(first, last),
            strict=True,
        )
        return [
            Feature(item, ids, label if labels else label[0], positions, rows, [*zip(a, b, strict=True)], place)
            for item, ids, label, labels, positions, rows, a, b, place in columns
        ]

    @cached_property
    def sizes(self) -> Sizes:
        """How large each feature is."""
        lengths, rows = np.diff(self._ids.ends).astype(np.int64), np.diff(self._others).astype(np.int64)
        some = rows > 0
        if some.any():
            others = np.maximum.reduceat(np.diff(self._other.ends), self._others[:-1][some])
            lengths[some] = np.maximum(lengths[some], others)
        return Sizes(lengths, rows + 1)

    @property
    def token_ids(self) -> NDArray[np.int32]:
        """The tokens of all rows of all features, in no order that would mean anything."""
        return np.concatenate([self._ids.values, self._other.values]) if len(self._other.values) else self._ids.values


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


class Joined(Sequence[Feature]):
    """The features of several sets, one set after the other, none of them copied or built."""

    def __init__(self, parts: Sequence[Sequence[Feature]]) -> None:
        self.parts = parts
        self._ends = [0, *accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, place: int) -> Feature: ...
    @overload
    def __getitem__(self, place: slice) -> list[Feature]: ...
    def __getitem__(self, place: int | slice) -> Feature | list[Feature]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        part = bisect_right(self._ends, place) - 1
        return self.parts[part][place - self._ends[part]]

    def __iter__(self) -> Iterator[Feature]:
        return chain.from_iterable(self.parts)


def _is_whole(column: Any) -> bool:
    """Whether nothing is missing in a column, nor in the lists that it is of."""
    return column.null_count == 0 and (not hasattr(column, "values") or _is_whole(column.values))


def _numbers(column: Any) -> NDArray[Any]:
    """A view of a column of numbers."""
    found: NDArray[Any] = column.to_numpy(zero_copy_only=True)
    return found
