"""One form for the examples of every task, whatever their source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a span task: its words as they stand in the context, and where they begin (a character)."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a task in one language.

    `id` is the same in every language for parallel items. What the other fields hold depends on the kind of task:

    - classification: `text`, `pair` (for sentence pairs), `label`
    - tagging: `words`, and one of `tags` a word
    - span: `text` is the question, `pair` the context, `answers` the answers accepted (none: it has no answer);
      `article` the title of what the context is from, where the data say it
    - choice: `text` (a context or a question), `pair` (a question about the context, if any), `choices`, and the index
      of the right one as `label`
    - retrieval: `text` and its translation `pair`
    - mining: `text`; `label` says on which side it stands (`source`, or `target` for English); `pair` is the id of its
      translation, None where it has none
    - masked_lm: `text`
    """

    id: str
    lang: str
    text: str = ""
    pair: str | None = None
    label: str | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    choices: tuple[str, ...] = ()
    article: str = ""


Examples = Sequence[Example]


def in_search_half(unit: str) -> bool:
    """Whether a test item (`Kind.unit`) belongs to the half that an oracle selection may see; the same in every
    language."""
    return hashlib.sha256(f"half {unit}".encode()).digest()[0] < 128
