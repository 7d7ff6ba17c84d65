"""Characters that nobody sees, put inside words. Only those that a tokenizer's normaliser leaves there: a zero-width
space becomes a space, and so is an edit of spacing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from perturb.edits.base import Keeps, WordEdit
from perturb.edits.spacing import LIMIT, cuts
from perturb.script import known, script_of

PLAIN = ("\u2060", "\u00ad")
"""Word joiner and soft hyphen: letters beside them keep their shapes."""

SHAPING = ("\u200d", "\ufe0f")
"""Zero-width joiner and a variation selector: invisible only where letters do not join."""

STIFF = {
    "Latin", "Greek", "Cyrillic", "Armenian", "Georgian", "Hebrew", "Ethiopic", "Hangul", "Han", "Hiragana", "Katakana",
    "Thai", "Lao", "Tifinagh", "Ol_Chiki",
}  # fmt: skip
"""Scripts whose letters have one shape each, whatever stands beside them."""


class Invisible(WordEdit):
    """One invisible character between two clusters of a word."""

    name: ClassVar[str] = "invisible"
    description: ClassVar[str] = "an invisible character inside a word (word joiner, soft hyphen, zero-width joiner)"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Boucher et al. 2022, Bad characters: imperceptible NLP attacks"

    def exists(self, language: str) -> bool:
        """In every language whose script is known."""
        return known(language)

    def options(self, word: str, language: str) -> Iterator[str]:
        """Each place with each character."""
        stiff = all(script_of(character) in STIFF for character in word if script_of(character) != "Common")
        characters = (*PLAIN, *SHAPING) if stiff else PLAIN
        for at in cuts(word, LIMIT // len(characters)):
            for character in characters:
                yield word[:at] + character + word[at:]
