"""Tone marks dropped, or exchanged for others: another syllable, so often another word."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar

from perturb.edits.base import Keeps, WordEdit
from perturb.edits.diacritics import code_of, table
from perturb.script import known


class Tones(WordEdit):
    """Each tone mark of a word dropped or exchanged; and all of them dropped."""

    name: ClassVar[str] = "tones"
    description: ClassVar[str] = "tone marks dropped or exchanged (Vietnamese, Thai, Lao, Burmese, Yoruba, Igbo)"
    keeps: ClassVar[Keeps] = "stress"

    def exists(self, language: str) -> bool:
        """Where tones are written by marks of their own."""
        return known(language) and bool(_marks(language))

    def options(self, word: str, language: str) -> Iterator[str]:
        """All dropped; then, mark by mark, dropped and exchanged."""
        marks = _marks(language)
        letters = unicodedata.normalize("NFD", word)
        yield _composed("".join(letter for letter in letters if letter not in marks))
        for at, letter in enumerate(letters):
            if letter in marks:
                yield _composed(letters[:at] + letters[at + 1 :])
                for other in marks.replace(letter, ""):
                    yield _composed(_exchanged(letters, at, other))


def _marks(language: str) -> str:
    return str(table("tones").get(code_of(language), ""))


def _composed(letters: str) -> str:
    return unicodedata.normalize("NFC", letters)


def _exchanged(letters: str, at: int, mark: str) -> str:
    """The letters with another mark for the one at a place: after the marks that follow it, or they compose wrongly."""
    end = at + 1
    while end < len(letters) and unicodedata.combining(letters[end]):
        end += 1
    return letters[:at] + letters[at + 1 : end] + mark + letters[end:]
