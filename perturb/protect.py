"""What of a text may never be changed, or its label would no longer be right: numbers, negations, given strings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, takewhile
from pathlib import Path

import yaml

from perturb.lexicon import folded, language_code
from perturb.segment import Span, words

_TABLE = Path(__file__).with_name("data") / "negations.yaml"
_APOSTROPHE = re.compile("[‘’ʻʼ]")


@dataclass(frozen=True)
class Negations:
    """How a language says no: words, what negated words begin or end with, and what marks one wherever it stands."""

    words: frozenset[str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    contains: re.Pattern[str] | None
    plain: frozenset[str]
    plain_stems: tuple[str, ...]

    def negated(self, word: str, marked: bool = False) -> bool:
        """Whether a folded word is a negation: one of the words, marked as one, or with an ending of one and longer."""
        if word in self.words:
            return True
        if word in self.plain or word.startswith(self.plain_stems):
            return False
        begins = word.startswith(self.prefixes) and word not in self.prefixes
        return marked or begins or (word.endswith(self.suffixes) and word not in self.suffixes)


@cache
def negations(language: str) -> Negations | None:
    """The negations of a language; None where they are not known."""
    code = language_code(language)
    row = _rows().get(code) or _rows().get(code.partition("_")[0])
    if row is None:
        return None
    lists = {key: row.get(key, "").split() for key in ("words", "prefixes", "suffixes", "contains", "except")}
    folds = {key: tuple(_fold(word, language) for word in found) for key, found in lists.items()}
    return Negations(
        words=frozenset(folds["words"]),
        prefixes=folds["prefixes"],
        suffixes=folds["suffixes"],
        contains=re.compile("|".join(map(re.escape, lists["contains"])), re.IGNORECASE) if lists["contains"] else None,
        plain=frozenset(folds["except"]),
        plain_stems=tuple(word.removesuffix("*") for word in folds["except"] if word.endswith("*")),
    )


def fixed_spans(
    text: str, language: str, spans: Sequence[Span] | None = None, strings: Iterable[str] = ()
) -> tuple[Span, ...]:
    """The characters of a text that no edit may touch: words with a digit, negated words, and the given strings.

    `spans`: the words, where the task gives them; else ICU's. `strings`: answers, entities. What is found is in order,
    none over another.
    """
    known = negations(language)
    places = words(text, language) if spans is None else spans
    marks = [match.span() for match in known.contains.finditer(text)] if known and known.contains else []
    marked = _words_at(places, marks)
    found = list(occurrences(text, strings))
    for place in places:
        word = text[slice(*place)]
        if _is_number(word) or (known and known.negated(_fold(word, language), place in marked)):
            found.append(place)
    return merged(found)


def occurrences(text: str, strings: Iterable[str]) -> tuple[Span, ...]:
    """Where given strings stand in a text, each wherever it does, overlapping ones as one."""
    found = []
    for string in set(strings) - {""}:
        at = text.find(string)
        while at >= 0:
            found.append((at, at + len(string)))
            at = text.find(string, at + 1)
    return merged(found)


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order, those that overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def _words_at(places: Sequence[Span], marks: Sequence[Span]) -> set[Span]:
    """The words that marked characters stand in. Both are in order."""
    found: set[Span] = set()
    at = 0
    for first, last in marks:
        while at < len(places) and places[at][1] <= first:
            at += 1
        found.update(takewhile(lambda place: place[0] < last, islice(places, at, None)))  # noqa: B023
    return found


def _is_number(word: str) -> bool:
    return any(unicodedata.category(character)[0] == "N" for character in word)


def _fold(word: str, language: str) -> str:
    return _APOSTROPHE.sub("'", folded(word, language))


@cache
def _rows() -> dict[str, dict[str, str]]:
    rows = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return {language_code(str(code)): row for code, row in rows.items()}
