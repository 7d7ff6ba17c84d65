"""What candidates, orders and tasks are called in pictures and tables: short, and no two alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from search.analysis.overall import SETTINGS
from search.order import EMPTY
from trainables.tasks import SHAM

THEN = " › "
"""Stands between two stages of an order."""


class Names:
    """Short names of a study's tasks, orders and candidates.

    What all tasks' names begin with up to a hyphen (`mini-`) is left out. A candidate is called by its order, and by
    those of its settings in which candidates of one order differ.
    """

    def __init__(self, tasks: Iterable[str], about: pd.DataFrame) -> None:
        """`about` has candidates as its index and the columns of `overall.SETTINGS`."""
        self.tasks = tuple(dict.fromkeys(tasks))
        self.prefix = common(self.tasks)
        several = [name for name in SETTINGS[1:] if about[name].nunique(dropna=False) > 1] if len(about) else []
        plain = {str(row.Index): self._called(row, several) for row in about.itertuples()}
        twice = Counter(plain.values())
        self._candidates = {name: text if twice[text] == 1 else f"{text} ({name})" for name, text in plain.items()}
        self.order_of = {str(row.Index): str(row.order) for row in about.itertuples()}

    def task(self, name: str) -> str:
        """`nli` of `mini-nli`, where all tasks' names begin with `mini-`; `sham-nli` of `sham-mini-nli`."""
        sham = SHAM if name.startswith(SHAM) else ""
        return sham + name.removeprefix(sham).removeprefix(self.prefix)

    def group(self, tasks: Sequence[str]) -> str:
        """Tasks that are trained together."""
        return "+".join(map(self.task, tasks))

    def order(self, text: str) -> str:
        """`nli › tags` of `mini-nli>mini-tags`; what is no order is left as it is."""
        return text if text == EMPTY else THEN.join("+".join(map(self.task, g.split("+"))) for g in text.split(">"))

    def candidate(self, name: str) -> str:
        """What a candidate is called; one that is not known by its whole name."""
        return self._candidates.get(name, name)

    def _called(self, row: object, several: Sequence[str]) -> str:
        values = [(name, getattr(row, name)) for name in several]
        words = [_setting(name, value) for name, value in values if not pd.isna(value)]
        return ", ".join([self.order(str(row.order)), *words])  # type: ignore[attr-defined]


def groups_of(text: str) -> list[list[str]]:
    """The stages of an order, in notation, each with its tasks."""
    return [] if text == EMPTY else [group.split("+") for group in text.split(">")]


def common(names: Sequence[str]) -> str:
    """What all names begin with, up to a hyphen; nothing where one would be left without a name."""
    first = names[0].rpartition("-")[0] + "-" if len(names) > 1 and "-" in names[0] else ""
    while first and not all(name.startswith(first) and name != first for name in names):
        first = (first[:-1].rpartition("-")[0] + "-") if "-" in first[:-1] else ""
    return first


def _setting(name: str, value: object) -> str:
    match name:
        case "learning_rate":
            return f"lr {value:g}"
        case "prompt_length":
            return f"prompt {value}"
    return str(value)
