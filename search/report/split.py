"""Findings that are made for several outcomes and methods, taken apart: a picture each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from search.analysis.finding import Finding
from search.report.names import Names

OUTCOMES = {"score": "Score", "robust_score": "Robust score"}
"""What outcomes are called where one of several is chosen."""

KEYS = ("outcome", "method")


@dataclass(frozen=True)
class Part:
    """A finding's rows of one outcome and method; `choice` is what tells it from the others, empty of the only one."""

    table: pd.DataFrame
    choice: str
    number: int

    def stem(self, name: str) -> str:
        """A file's stem, of its own for each part."""
        return name if not self.number else f"{name}-{self.number + 1}"

    def told(self, names: Names) -> pd.DataFrame:
        """The table with short names of tasks and orders."""
        called = {"task": names.task, "first": names.task, "second": names.task, "order": names.order,
                  "candidate": names.candidate}  # fmt: skip
        found = self.table.copy()
        for column, name in called.items():
            if column in found:
                found[column] = [name(str(value)) for value in found[column]]
        return found


def parts_of(found: Finding) -> Iterator[Part]:
    """The parts as they first occur; the whole finding where it has no such columns."""
    keys = [key for key in KEYS if key in found.table and found.table[key].nunique() > 1]
    if not keys:
        yield Part(found.table, "", 0)
        return
    for number, (values, rows) in enumerate(found.table.groupby(keys, sort=False)):
        words = [OUTCOMES.get(str(value), str(value).replace("_", " ")) for value in values]
        yield Part(rows, ", ".join(words), number)
