"""One form for the examples of every task, whatever their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a task in one language.

    `id` is the same in every language for parallel items. Classification uses `text`, `pair` (for sentence pairs) and
    `label`; tagging uses `words` and one of `tags` a word; retrieval `text` and its translation `pair`.
    """

    id: str
    lang: str
    text: str = ""
    pair: str | None = None
    label: str | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


Examples = Sequence[Example]
