"""Scripts and writing directions: of languages (CLDR's likely subtags, by `langcodes`) and of characters (Unicode)."""

from __future__ import annotations

from functools import cache
from typing import Literal

import langcodes
import regex

from perturb.errors import BadInput

OF_CODE = {
    "Arab": ("Arabic",), "Armn": ("Armenian",), "Beng": ("Bengali",), "Cyrl": ("Cyrillic",), "Deva": ("Devanagari",),
    "Ethi": ("Ethiopic",), "Geor": ("Georgian",), "Grek": ("Greek",), "Gujr": ("Gujarati",), "Guru": ("Gurmukhi",),
    "Hans": ("Han",), "Hant": ("Han",), "Hebr": ("Hebrew",), "Jpan": ("Hiragana", "Katakana", "Han"),
    "Khmr": ("Khmer",), "Knda": ("Kannada",), "Kore": ("Hangul", "Han"), "Laoo": ("Lao",), "Latn": ("Latin",),
    "Mlym": ("Malayalam",), "Mymr": ("Myanmar",), "Nkoo": ("Nko",), "Olck": ("Ol_Chiki",), "Orya": ("Oriya",),
    "Sinh": ("Sinhala",), "Taml": ("Tamil",), "Telu": ("Telugu",), "Tfng": ("Tifinagh",), "Thai": ("Thai",),
    "Tibt": ("Tibetan",),
}  # fmt: skip
"""Scripts a language is written in, as Unicode names them, by the code CLDR gives its writing system (ISO 15924)."""

OF_LANGUAGE = {
    "ber": ("Latin", "Tifinagh"), "orv": ("Cyrillic",), "sr": ("Latin", "Cyrillic"), "uz": ("Latin", "Cyrillic"),
}  # fmt: skip
"""Languages whose data come in more scripts than CLDR's likely one."""

RIGHT_TO_LEFT = {"Arabic", "Hebrew", "Nko", "Syriac", "Thaana"}

UNSPACED = {"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"}
"""Scripts that do not put spaces between words."""

DENSE = {"Han", "Hiragana", "Katakana", "Hangul"}
"""Scripts in which a character is a syllable or a morpheme."""

_SCRIPTS = sorted({name for names in OF_CODE.values() for name in names} | RIGHT_TO_LEFT)
_PATTERNS = {name: regex.compile(rf"\p{{Script={name}}}") for name in _SCRIPTS}
_COMMON = regex.compile(r"\p{Script=Common}|\p{Script=Inherited}")


@cache
def scripts(language: str) -> tuple[str, ...]:
    """The scripts of a language (ISO 639-1 or 639-3, also with a script: `ace_Arab`), as Unicode names them.

    Raises BadInput for what is no language, or one whose script is not known here.
    """
    try:
        tag = langcodes.get(language)
        code = tag.maximize().script
    except ValueError:  # LanguageTagError is one
        tag, code = None, None
    if tag is None or not tag.is_valid():
        raise BadInput(f"'{language}' is no language code", right="an ISO 639 code, such as hi, or hi_Deva")
    if not tag.script and tag.language in OF_LANGUAGE:
        return OF_LANGUAGE[tag.language]
    if code not in OF_CODE:
        raise BadInput(f"the script of '{language}' is not known", right="a code with its script, such as hi_Deva")
    return OF_CODE[code]


def known(language: str) -> bool:
    """Whether the language's script is known, so that it can be edited."""
    try:
        return bool(scripts(language))
    except BadInput:
        return False


def direction(language: str) -> Literal["ltr", "rtl"]:
    """The direction in which a language is written."""
    return "rtl" if scripts(language)[0] in RIGHT_TO_LEFT else "ltr"


def spaced(language: str) -> bool:
    """Whether the language puts spaces between its words."""
    return scripts(language)[0] not in UNSPACED  # Korean, which has some Han, does


@cache
def script_of(character: str) -> str:
    """The script of a character; `Common` of digits, punctuation and marks that all scripts share, else `Other`."""
    if _COMMON.match(character):
        return "Common"
    return next((name for name, pattern in _PATTERNS.items() if pattern.match(character)), "Other")


def scripts_in(text: str) -> set[str]:
    """The scripts that a text is written in, without what all of them share."""
    return {script_of(character) for character in set(text)} - {"Common"}


def mostly_in(word: str, language: str) -> bool:
    """Whether a word is written in the language's own script, and so may be edited in it."""
    found = scripts_in(word)
    return bool(found) and found <= set(scripts(language))
