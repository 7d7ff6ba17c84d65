"""Upper and lower case, as each language has them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar

from perturb.edits.base import Keeps, WordEdit
from perturb.edits.diacritics import code_of
from perturb.script import scripts

CASED = {"Latin", "Greek", "Cyrillic", "Armenian"}
"""Scripts in whose texts words have capitals. Georgian has capitals in Unicode, but sentences do not."""

DOTTED = {"tr", "az"}
"""Languages in which i and ı are two letters, each with its capital."""

_HIATUS = re.compile("([αεο]\u0301)([ιυ])(?!\u0308)")
_SIGMA_INSIDE = re.compile(r"ς(?=\w)")
_SIGMA_LAST = re.compile(r"(?<=\w)σ$")


class Casing(WordEdit):
    """A word in capitals, in small letters, with a capital first, or with each letter's case swapped."""

    name: ClassVar[str] = "casing"
    description: ClassVar[str] = "a word in upper, lower, title or swapped case"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Náplava et al. 2021, Understanding model robustness to user-generated noisy texts"

    def exists(self, language: str) -> bool:
        """Where the script has case."""
        return not CASED.isdisjoint(scripts(language))

    def options(self, word: str, language: str) -> Iterator[str]:
        """Upper, lower, title, swapped; those that the word is not already."""
        code = code_of(language)
        yield upper(word, code)
        yield lower(word, code)
        yield titled(word, code)
        yield swapped(word, code)


def upper(word: str, code: str) -> str:
    """A word in capitals. Greek ones have no tonos (but ή, "or", keeps it), ß becomes SS, Armenian և ԵՎ."""
    if code in DOTTED:
        word = word.replace("i", "İ")
    if code == "hy":
        word = word.replace("և", "եվ")
    if code == "el" and word != "ή":
        word = _HIATUS.sub("\\1\\2\u0308", unicodedata.normalize("NFD", word)).replace("\u0301", "")
    return unicodedata.normalize("NFC", word.upper()) if code == "el" else word.upper()


def lower(word: str, code: str) -> str:
    """A word in small letters; a sigma at its end is ς."""
    if code in DOTTED:
        word = word.replace("İ", "i").replace("I", "ı")
    return word.lower()


def titled(word: str, code: str) -> str:
    """A word with a capital first: two in Dutch words that begin with ij."""
    small = lower(word, code)
    if code == "hy" and small.startswith("և"):
        return "Եվ" + small[1:]
    if code == "nl" and small.startswith("ij"):
        return "IJ" + small[2:]
    return ("İ" if code in DOTTED and small[:1] == "i" else small[:1].title()) + small[1:]


def swapped(word: str, code: str) -> str:
    """Small letters as capitals, capitals as small letters."""
    runs = ((small, "".join(run)) for small, run in groupby(word, str.islower))
    mixed = "".join(upper(run, code) if small else lower(run, code) for small, run in runs)
    return _SIGMA_LAST.sub("ς", _SIGMA_INSIDE.sub("σ", mixed))
