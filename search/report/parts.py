"""What a report is made of: data alone. Pictures, tables and texts are drawn, rendered or written out elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from search.analysis.finding import Finding


@dataclass(frozen=True)
class Picture:
    """A picture's data: `kind` names the drawing (`figures.DRAWINGS`), `data` is what that needs.

    `name` is a file's stem, `sentence` says in words what is to be seen, `table` holds the same figures for those who
    read tables, `caption` how to read it. Where a group shows one picture at a time, `choice` is what is clicked on.
    """

    name: str
    title: str
    kind: str
    sentence: str
    data: Mapping[str, Any]
    table: pd.DataFrame
    caption: str = ""
    choice: str = ""


@dataclass(frozen=True)
class Group:
    """Pictures of which one is shown at a time; `title` is that of all."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Section:
    """A part of the report: pictures, then the names of findings whose sentences belong to it.

    `missing` says, where a study lacks what the section is made of, how it would come by it.
    """

    name: str
    title: str
    lead: str = ""
    groups: tuple[Group, ...] = ()
    findings: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard as people read it. `better` is `high`, `low` or nothing; `part` a group of columns
    that can be hidden; `digits` those after the point of a number, None for text."""

    key: str
    heading: str
    better: str = ""
    part: str = ""
    digits: int | None = 1


@dataclass(frozen=True)
class Key:
    """A figure of the summary: what it is, the figure, and what to know beside it."""

    name: str
    figure: str
    beside: str = ""


@dataclass(frozen=True)
class Head:
    """What a reader sees first. `stamps` are warnings that a figure must not be quoted without."""

    title: str
    stamps: tuple[str, ...]
    date: str
    recommended: str
    why: str
    keys: tuple[Key, ...]
    primary: str
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """All that a report shows."""

    head: Head
    columns: tuple[Column, ...]
    board: pd.DataFrame
    sections: tuple[Section, ...]
    languages: Mapping[str, Any]
    questions: tuple[Mapping[str, Any], ...]
    findings: tuple[Finding, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def pictures(self) -> Iterator[Picture]:
        """All pictures, as they come in the report."""
        for section in self.sections:
            for group in section.groups:
                yield from group.pictures

    def finding(self, name: str) -> Finding | None:
        """The finding of a name."""
        return next((one for one in self.findings if one.name == name), None)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON has them: no nan, numbers as Python's."""
    found: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return found


def columns(table: pd.DataFrame, most: int | None = None) -> dict[str, Any]:
    """A table by columns, which takes less room than by rows; at most so many rows, and how many there are."""
    kept = table if most is None else table.head(most)
    found = json.loads(kept.reset_index(drop=True).to_json(orient="split", double_precision=4, index=False))
    return {"columns": found["columns"], "rows": found["data"], "of": len(table)}


def several(words: Sequence[str], most: int = 6) -> str:
    """`a, b and c`, or the first of many."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
