"""Negative controls: changes that the tokenizer's normaliser undoes. A model must answer as if nothing had happened."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar

import regex

from perturb.edits.base import Edit, Keeps, Site, Text, WordEdit, normalised
from perturb.edits.diacritics import orthography
from perturb.script import known, scripts
from perturb.segment import EXTENDING, graphemes

COMPOSED = {
    "Hangul", "Hiragana", "Katakana", "Greek", "Cyrillic", "Arabic", "Devanagari", "Bengali", "Gurmukhi", "Oriya",
    "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Myanmar",
}  # fmt: skip
"""Scripts, besides Latin with diacritics, that have letters in common use which Unicode can take apart."""

_FULL = {code: code + 0xFEE0 for code in range(0x21, 0x7F) if chr(code).isalnum()}
_SPACE = regex.compile(rf"(?<=\S) (?=[^\s{EXTENDING}])")


class NormalForms(WordEdit):
    """A word in Unicode's decomposed form, or in its composed one. Clusters that the normaliser would not take back
    stay as they are."""

    name: ClassVar[str] = "normal-forms"
    description: ClassVar[str] = "letters and their marks as one character or as several (NFC, NFD)"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Unicode Standard Annex 15"
    control: ClassVar[bool] = True

    def exists(self, language: str) -> bool:
        """Where letters come apart."""
        return orthography(language) is not None or not COMPOSED.isdisjoint(scripts(language))

    def options(self, word: str, language: str) -> Iterator[str]:
        """Decomposed, composed."""
        for form in ("NFD", "NFC"):
            yield "".join(_same(cluster, form) for cluster in graphemes(word))


class FullWidth(Edit):
    """A word's ASCII letters and digits in full width."""

    name: ClassVar[str] = "full-width"
    description: ClassVar[str] = "ASCII letters and digits in full width (ａｂｃ)"
    keeps: ClassVar[Keeps] = "form"
    control: ClassVar[bool] = True

    def exists(self, language: str) -> bool:
        """In Latin script; and where full width is in use, for the words of others."""
        return not {"Latin", "Han", "Hangul"}.isdisjoint(scripts(language))

    def sites(self, text: Text) -> Iterator[Site]:
        """Words with such letters or digits."""
        for start, end in text.words:
            word = text.text[start:end]
            # A letter with a combining mark stays: the normaliser does not compose what was in full width.
            wide = "".join(c.translate(_FULL) if len(c) == 1 else c for c in graphemes(word))
            if wide != word:
                yield Site(start, end, [wide])


class DoubleSpaces(Edit):
    """Two spaces for one."""

    name: ClassVar[str] = "double-spaces"
    description: ClassVar[str] = "two spaces for one"
    keeps: ClassVar[Keeps] = "form"
    control: ClassVar[bool] = True
    one_to_one: ClassVar[bool] = False  # tagged words are handed over one by one: there is no space between

    def exists(self, language: str) -> bool:
        """Where there are spaces between words, or at least (Thai, Burmese) between phrases."""
        return known(language) and scripts(language)[0] not in ("Han", "Hiragana")

    def sites(self, text: Text) -> Iterator[Site]:
        """Single spaces inside the text."""
        for match in _SPACE.finditer(text.text):
            yield Site(match.start(), match.end(), ["  "])


def _same(cluster: str, form: str) -> str:
    other = unicodedata.normalize(form, cluster)  # type: ignore[arg-type]
    return other if normalised(other) == normalised(cluster) else cluster
