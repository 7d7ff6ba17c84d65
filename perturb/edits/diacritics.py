"""Diacritics dropped, or exchanged for others of the same language."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import langcodes
import yaml

from perturb.edits.base import Keeps, WordEdit
from perturb.script import script_of, scripts
from perturb.segment import graphemes

MARKS = {
    "acute": "\u0301", "breve": "\u0306", "caron": "\u030c", "cedilla": "\u0327", "circumflex": "\u0302",
    "comma_below": "\u0326", "diaeresis": "\u0308", "dot_above": "\u0307", "dot_below": "\u0323",
    "double_acute": "\u030b", "grave": "\u0300", "horn": "\u031b", "macron": "\u0304", "ogonek": "\u0328",
    "ring": "\u030a", "tilde": "\u0303",
}  # fmt: skip
"""Unicode's combining characters by the names of diacritics.yaml."""

POINTS = {
    "Arabic": "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0670",
    "Hebrew": "".join(map(chr, [*range(0x05B0, 0x05BD), 0x05BF, 0x05C1, 0x05C2, 0x05C7])),
}
"""Vowel points (harakat, niqqud) by script: on any letter, and left out in most texts."""


@dataclass(frozen=True)
class Orthography:
    """A language's diacritics: the marks that each plain letter may carry, those that any may, and what is written
    instead of whole letters."""

    marks: Mapping[str, str] = field(default_factory=dict)
    anywhere: str = ""
    letters: Mapping[str, str] = field(default_factory=dict)
    habits: Mapping[str, str] = field(default_factory=dict)

    def of(self, letter: str) -> str:
        """The marks that a plain letter may carry."""
        return self.marks.get(letter.lower(), "") + self.anywhere


class Diacritics(WordEdit):
    """Diacritics dropped, each alone and all of a word at once."""

    name: ClassVar[str] = "diacritics"
    description: ClassVar[str] = "diacritics dropped (é becomes e; ä becomes a or ae)"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Náplava et al. 2021, Understanding model robustness to user-generated noisy texts"

    def exists(self, language: str) -> bool:
        """Where the orthography has diacritics."""
        return orthography(language) is not None

    def options(self, word: str, language: str) -> Iterator[str]:
        """All dropped, first as bare letters and then as habits have it; then one by one."""
        own = orthography(language)
        if own is None:
            return
        clusters = graphemes(word)
        for instead in (_bare, _habit):
            yield "".join(instead(cluster, own, word) for cluster in clusters)
        for at, cluster in enumerate(clusters):
            for instead in (_bare, _habit):
                yield "".join([*clusters[:at], instead(cluster, own, word), *clusters[at + 1 :]])


class DiacriticsExchange(WordEdit):
    """A wrong diacritic on a letter that takes several. Not of vowel points: those would spell another word."""

    name: ClassVar[str] = "diacritics-exchange"
    description: ClassVar[str] = "a wrong diacritic of the same language (é becomes è)"
    keeps: ClassVar[Keeps] = "form"

    def exists(self, language: str) -> bool:
        """Where some letter takes several marks."""
        own = orthography(language)
        return own is not None and any(len(marks) > 1 for marks in own.marks.values())

    def options(self, word: str, language: str) -> Iterator[str]:
        """Each mark of each letter by the letter's others."""
        own = orthography(language)
        if own is None:
            return
        clusters = graphemes(word)
        for at, cluster in enumerate(clusters):
            for other in _exchanged(cluster, own):
                yield "".join([*clusters[:at], other, *clusters[at + 1 :]])


def _bare(cluster: str, own: Orthography, word: str) -> str:
    letter = unicodedata.normalize("NFC", cluster)
    if letter.lower() in own.letters:
        return _cased(own.letters[letter.lower()], letter, word)
    plain, *marks = list(unicodedata.normalize("NFD", cluster))
    kept = [mark for mark in marks if mark not in own.of(plain)]
    return cluster if len(kept) == len(marks) else unicodedata.normalize("NFC", plain + "".join(kept))


def _habit(cluster: str, own: Orthography, word: str) -> str:
    letter = unicodedata.normalize("NFC", cluster)
    habit = own.habits.get(letter.lower())
    return _bare(cluster, own, word) if habit is None else _cased(habit, letter, word)


def _cased(new: str, old: str, word: str) -> str:
    """The letters in the case of the one that they stand for: Ä in Ärger becomes Ae, in ÄRGER it becomes AE."""
    if old.islower():
        return new
    return new.upper() if word.isupper() and len(word) > 1 else new.capitalize()


def _exchanged(cluster: str, own: Orthography) -> Iterator[str]:
    plain, *marks = list(unicodedata.normalize("NFD", cluster))
    possible = own.marks.get(plain.lower(), "")
    for at, mark in enumerate(marks):
        for other in possible if mark in possible else "":
            if other not in marks:
                # The new mark last, in canonical order among those of its class: only so do letter and marks compose.
                swapped = _ordered([*marks[:at], other, *marks[at + 1 :]], possible)
                yield unicodedata.normalize("NFC", plain + swapped)


def _ordered(marks: list[str], first: str) -> str:
    return "".join(sorted(marks, key=lambda mark: mark not in first))


@cache
def orthography(language: str) -> Orthography | None:
    """A language's diacritics; None where it has none."""
    points = "".join(POINTS.get(script, "") for script in scripts(language))
    row = table("diacritics").get(code_of(language))
    if row is None or not _written_in(row, language):
        return Orthography(anywhere=points) if points else None
    marks: dict[str, str] = {}
    for name, letters in row.items():
        for letter in letters if name in MARKS else "":
            marks[letter] = marks.get(letter, "") + MARKS[name]
    return Orthography(marks, points, row.get("letters", {}), row.get("habits", {}))


def _written_in(row: Mapping[str, Any], language: str) -> bool:
    """Whether a row is for the script that the language is written in here: Serbian's is not for `sr_Cyrl`."""
    letters = {letter for marked in row.values() for letter in marked}
    return any(script_of(letter) in scripts(language) for letter in letters)


@cache
def table(name: str) -> dict[str, Any]:
    """One of our tables, of perturb/data."""
    content: dict[str, Any] = yaml.safe_load((files("perturb") / "data" / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


@cache
def code_of(language: str) -> str:
    """The code under which tables have a language: `hi` for hin_Deva, `lv` for lvs."""
    return str(langcodes.get(language).prefer_macrolanguage().language)
