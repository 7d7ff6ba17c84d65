"""Han homophones: a character by another of the same pinyin, as an input method offers them."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import langcodes

from perturb.edits.base import Keeps, WordEdit, spread
from perturb.edits.confusables import LIMIT
from perturb.script import script_of, scripts

MANDARIN = {"zh", "cmn"}
"""Languages that are read in pinyin. Cantonese (yue) and the others written in Han are not."""

FREQUENT = {"simplified": ("gb2312", range(0xB0, 0xD8)), "traditional": ("big5", range(0xA4, 0xC7))}
"""Where the frequent characters stand: the first levels of GB 2312 (3,755) and of Big5 (5,401), by lead byte."""


class Homophones(WordEdit):
    """One character of a word by a frequent one that is read the same, with its tone or without."""

    name: ClassVar[str] = "homophones"
    description: ClassVar[str] = "a Chinese character by another of the same pinyin"
    keeps: ClassVar[Keeps] = "stress"
    source: ClassVar[str] = "pypinyin; GB 2312 level 1, Big5 level 1"

    def exists(self, language: str) -> bool:
        """In Mandarin."""
        return scripts(language) == ("Han",) and langcodes.get(language).language in MANDARIN

    def options(self, word: str, language: str) -> list[str]:
        """The word with one character exchanged: first those of the same tone, then those of another."""
        writing = "traditional" if langcodes.get(language).maximize().script == "Hant" else "simplified"
        readings = _readings(word)
        if len(readings) != len(word):  # a reading for each character, or it is not known which is whose
            return []
        toned, toneless = [], []
        for at, (character, reading) in enumerate(zip(word, readings, strict=True)):
            if script_of(character) != "Han":
                continue
            same = _read_as(reading, writing)
            other = [c for c in _read_as(reading.rstrip("12345"), writing) if c not in same]
            toned += [word[:at] + c + word[at + 1 :] for c in same if c != character]
            toneless += [word[:at] + c + word[at + 1 :] for c in other if c != character]
        first = spread(toned, max(LIMIT // 2, LIMIT - len(toneless)))
        return [*first, *spread(toneless, LIMIT - len(first))]


def _readings(text: str) -> list[str]:
    """The pinyin of each character in its word, with the tone as a digit (5: neutral)."""
    from pypinyin import Style, lazy_pinyin

    return lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True)


def _read_as(reading: str, writing: str) -> tuple[str, ...]:
    return _index(writing).get(reading, ())


@cache
def _index(writing: str) -> dict[str, tuple[str, ...]]:
    """The frequent characters by their usual reading, with tone and without, each in the order of its standard."""
    codec, leads = FREQUENT[writing]
    cells = (bytes((lead, trail)) for lead in leads for trail in range(0x40, 0xFF))
    characters = [c for c in (cell.decode(codec, "ignore") for cell in cells) if len(c) == 1 and script_of(c) == "Han"]
    found: dict[str, list[str]] = {}
    for character in characters:
        (reading,) = _readings(character)
        for key in (reading, reading.rstrip("12345")):
            found.setdefault(key, []).append(character)
    return {key: tuple(those) for key, those in found.items()}
