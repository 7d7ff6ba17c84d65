"""Hiragana written as katakana and the other way: the same sounds in the other half of the Japanese syllabary."""

from __future__ import annotations

from typing import ClassVar

from perturb.edits.base import Keeps, WordEdit
from perturb.script import scripts

# Unicode has the two halves in the same order, 96 code points apart: ぁ to ゖ and ゝ ゞ.
_HIRAGANA = [*range(0x3041, 0x3097), 0x309D, 0x309E]
_TO_KATAKANA = {code: code + 0x60 for code in _HIRAGANA}
_TO_HIRAGANA = {code + 0x60: code for code in _HIRAGANA}


class Kana(WordEdit):
    """A word's hiragana as katakana, or its katakana as hiragana; Han characters stay."""

    name: ClassVar[str] = "kana"
    description: ClassVar[str] = "hiragana as katakana, katakana as hiragana"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Unicode Standard, blocks Hiragana and Katakana"

    def exists(self, language: str) -> bool:
        """In Japanese."""
        return "Hiragana" in scripts(language)

    def options(self, word: str, language: str) -> list[str]:
        """The word in katakana, then in hiragana: those of the two that differ from it."""
        return [option for option in (word.translate(_TO_KATAKANA), word.translate(_TO_HIRAGANA)) if option != word]
