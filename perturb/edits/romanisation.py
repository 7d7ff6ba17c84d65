"""Romanisation: a word in Latin letters, as people write it who have no keyboard of their script at hand."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any, ClassVar

import langcodes

from perturb.edits.base import Keeps, WordEdit
from perturb.edits.homophones import MANDARIN
from perturb.script import script_of, scripts, scripts_in

_LONG = re.compile(r"([aeiou])\1+", re.IGNORECASE)
_O_LONG = re.compile("ou", re.IGNORECASE)


class Romanisation(WordEdit):
    """A word by its Latin transcription: uroman's, or pinyin; and without the signs of long vowels."""

    name: ClassVar[str] = "romanisation"
    description: ClassVar[str] = "a word in Latin letters"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "uroman (Hermjakob et al., 2018); pypinyin"
    leaves_script: ClassVar[bool] = True

    def exists(self, language: str) -> bool:
        """In languages of other scripts than Latin; of those in Han alone, in Mandarin."""
        systems = scripts(language)
        return systems != ("Latin",) and (systems != ("Han",) or langcodes.get(language).language in MANDARIN)

    def options(self, word: str, language: str) -> list[str]:
        """Its transcription, and a shorter one where that has long vowels; none where a part of it stays as it was."""
        latin = _pinyin(word) if langcodes.get(language).language in MANDARIN else _uroman_of(word, language)
        found = dict.fromkeys((latin, _short(latin, language)))
        return [option for option in found if option != word and _is_latin(option)]


def _short(latin: str, language: str) -> str:
    """Each vowel once; a Japanese ou, which is a long o, as o."""
    if langcodes.get(language).language == "ja":
        latin = _O_LONG.sub(lambda match: match[0][0], latin)
    return _LONG.sub(lambda match: match[0][0], latin)


def _is_latin(text: str) -> bool:
    return scripts_in(text) == {"Latin"} and not any(c.isnumeric() or c.isspace() for c in text)


def _pinyin(word: str) -> str:
    """Pinyin without tones, ü as v, as it is typed."""
    from pypinyin import lazy_pinyin

    return "".join(lazy_pinyin(word))


def _uroman_of(word: str, language: str) -> str:
    if any(script_of(c) == "Han" for c in word):
        return ""  # uroman reads Han as Chinese, whatever the language
    latin: str = _uroman().romanize_string(unicodedata.normalize("NFC", word), lcode=_alpha3(language))
    return latin.strip("·")  # its sign for the dot after a Tibetan syllable


@cache
def _alpha3(language: str) -> str:
    """The language as ISO 639-3, which uroman knows."""
    return langcodes.get(language).to_alpha3()


@cache
def _uroman() -> Any:
    """uroman's tables, read once: that takes two seconds."""
    from uroman import Uroman  # type: ignore[import-untyped]

    return Uroman()
