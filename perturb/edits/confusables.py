"""Confusable characters: a letter becomes one that looks the same, mostly of another script (Unicode TR39)."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import ClassVar

from perturb.edits.base import Keeps, WordEdit, spread, survives
from perturb.script import script_of, scripts
from perturb.segment import graphemes

LIMIT = 64
"""Options of a word: of more, as many are taken at even steps, so that every part of it keeps some."""

FEWEST = 5
"""Letters of a script that must have a confusable one, or the edit does not exist there."""

# Conjoining jamo, phonetic, historic and rare letters: no text has them, most fonts and tokenizers neither.
_RARE = re.compile("[\u08a0-\u08ff\u1100-\u11ff\u1d00-\u1dbf\u2c60-\u2dff\ua490-\uabff\ud7b0-\ud7ff]")

_MARK = "\u200e"


class Confusables(WordEdit):
    """One letter of a word by another that TR39 lists as confusable with it."""

    name: ClassVar[str] = "confusables"
    description: ClassVar[str] = "a letter by one that looks the same, of any script"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Unicode Technical Standard 39, confusables"
    leaves_script: ClassVar[bool] = True

    def exists(self, language: str) -> bool:
        """Where enough letters of the language's main script have a confusable one."""
        return _letters_with_any(scripts(language)[0]) >= FEWEST

    def options(self, word: str, language: str) -> list[str]:
        """The word with one letter exchanged, from its first letter to its last."""
        found = [
            word[:at] + other + word[at + 1 :] for at, letter in enumerate(word) for other in confusable_with(letter)
        ]
        borders = _borders(word)
        if any(length > 1 for length in borders):  # a letter of another script may not join the signs around it
            found = [option for option in found if _borders(option) == borders]
        return list(spread(found))


@cache
def confusable_with(letter: str) -> tuple[str, ...]:
    """The letters that may be taken for this one: of its direction, in use, and not undone by NFKC; by code point."""
    if not _usable(letter):
        return ()
    table = _table()
    # TR39 gives each character its prototype; two are confusable if they share it, so they are two steps apart.
    near = {letter, *table.get(letter, ())}
    near |= {other for one in near for other in table.get(one, ())}
    return tuple(sorted(other for other in near - {letter} if _may_replace(letter, other)))


def _may_replace(letter: str, other: str) -> bool:
    # A letter of the other direction would turn the order of the letters around it.
    return _usable(other) and _rightward(letter) == _rightward(other) and survives(letter, other)


@cache
def _usable(character: str) -> bool:
    """Whether a character is a single letter of a script in use that NFKC leaves as it is."""
    if len(character) != 1 or character > "\uffff" or _RARE.match(character):
        return False
    known = script_of(character) != "Other" and unicodedata.category(character).startswith("L")
    return known and unicodedata.normalize("NFKC", character) == character


def _rightward(letter: str) -> bool:
    return unicodedata.bidirectional(letter) in ("R", "AL")


def _borders(word: str) -> list[int]:
    """The lengths of a word's grapheme clusters."""
    return [len(cluster) for cluster in graphemes(word)]


@cache
def _letters_with_any(script: str) -> int:
    return sum(1 for letter in _table() if _usable(letter) and script_of(letter) == script and confusable_with(letter))


@cache
def _table() -> dict[str, tuple[str, ...]]:
    """What TR39 joins directly: a character and its prototype, both ways."""
    from confusable_homoglyphs.confusables import confusables_data  # type: ignore[import-untyped]

    joined: dict[str, set[str]] = {}
    for character, entries in confusables_data.items():
        # The library leaves the left-to-right marks that the table's comments put around letters of Hebrew and Arabic.
        joined.setdefault(character.strip(_MARK), set()).update(entry["c"].strip(_MARK) for entry in entries)
    return {character: tuple(sorted(others)) for character, others in joined.items()}
