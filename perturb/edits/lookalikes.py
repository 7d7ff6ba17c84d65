"""Look-alikes and sound-alikes: letters of one script that its writers mistake for one another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import langcodes
import regex
import yaml

from perturb.edits.base import Keeps, WordEdit, spread
from perturb.script import scripts

T = TypeVar("T")

_BARE = regex.compile(r"\Z|\p{M}")

DATA = Path(__file__).parents[1] / "data" / "lookalikes.yaml"

DOTLESS = {"tr", "az"}
"""Languages in which the capital of i is İ, and I the capital of ı."""


class LookAlikes(WordEdit):
    """One unit of a word (a letter, a vowel sign, a few letters for one sound) by another of its confusion group."""

    name: ClassVar[str] = "lookalikes"
    description: ClassVar[str] = "a letter by one that looks or sounds alike, of the same script"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "common misspellings, perturb/data/lookalikes.yaml"

    def exists(self, language: str) -> bool:
        """Where the language or one of its scripts has confusion groups."""
        rules = _rules(language)
        return bool(rules.others or rules.doubles)

    def options(self, word: str, language: str) -> list[str]:
        """The word with one unit exchanged, then with one consonant doubled or written once."""
        rules = _rules(language)
        plain = unicodedata.normalize(_form(scripts(language)), word)
        lower = _lower(plain, language)
        found = [
            _exchanged(plain, match.start(), match.end(), other, language)
            for match in rules.pattern.finditer(lower)
            for other in rules.others[(match.lastindex or 1) - 1]
        ]
        found += [_exchanged(plain, start, end, new, language) for start, end, new in _doubles(lower, rules)]
        # ICU cuts a strange name where it likes: a word may be what only stands at the end of others.
        return list(spread(option for option in found if option != word and not _BARE.match(option)))


class Rules(NamedTuple):
    """A language's table: group i of `pattern` is a unit of a word, which may become any of `others[i]`."""

    pattern: re.Pattern[str]
    others: tuple[tuple[str, ...], ...]
    doubles: str
    vowels: str


def _exchanged(word: str, start: int, end: int, new: str, language: str) -> str:
    """The word with other characters from `start` to `end`, in its case."""
    option = word[:start] + new + word[end:]
    if len(word) > 1 and word.isupper():
        option = _upper(option, language)
    elif word[start].isupper():
        option = option[:start] + _upper(option[start : start + 1], language) + option[start + 1 :]
    return unicodedata.normalize("NFC", option)


def _doubles(lower: str, rules: Rules) -> Iterator[tuple[int, int, str]]:
    """Where a doubled consonant may be written once, and where one between vowels may be doubled."""
    if not rules.doubles:
        return
    vowel = [unicodedata.normalize("NFD", character)[0] in rules.vowels for character in lower]
    for at, letter in enumerate(lower[:-1]):
        if letter not in rules.doubles or at == 0:
            continue
        if lower[at + 1] == letter:
            yield at, at + 2, letter
        elif vowel[at - 1] and vowel[at + 1]:
            yield at, at + 1, letter * 2


def _lower(word: str, language: str) -> str:
    """The word in small letters, each in its place."""
    if _code(language) in DOTLESS:
        word = word.replace("I", "ı").replace("İ", "i")
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in word)


def _upper(text: str, language: str) -> str:
    return (text.replace("i", "İ") if _code(language) in DOTLESS else text).upper()


@cache
def _rules(language: str) -> Rules:
    """The rules of a language, and of the scripts it is written in. Raises BadInput for an unknown language."""
    tables, systems = _tables(), scripts(language)
    form = _form(systems)
    others: dict[str, dict[str, None]] = {}
    for line in chain(_of(tables["languages"], language) or (), *(tables["scripts"].get(s, ()) for s in systems)):
        for group in line.split(","):
            left, arrow, right = unicodedata.normalize(form, group.replace("◌", "")).partition("→")
            for unit in left.split():
                new = right.split() if arrow else [other for other in left.split() if other != unit]
                others.setdefault(unit, {}).update(dict.fromkeys(new))
    # The longest first, and of the same length the one that is bound to a place.
    units = sorted(others, key=lambda unit: (-len(unit.strip("^$")), -len(unit), unit))
    doubles = _of(tables["doubles"], language)
    if doubles is None:
        doubles = "".join(tables["doubles"].get(system, "") for system in systems)
    return Rules(
        pattern=re.compile("|".join(f"({_bound(unit)})" for unit in units) or "(?!)"),
        others=tuple(tuple(other.strip("^$∅") for other in others[unit]) for unit in units),
        doubles=doubles,
        vowels="".join(tables["vowels"].get(system, "") for system in systems),
    )


def _form(systems: tuple[str, ...]) -> Literal["NFC", "NFD"]:
    """The normal form to compare in: Hangul by jamo, all else by whole letters, so that no й is taken for an и."""
    return "NFD" if "Hangul" in systems else "NFC"


def _bound(unit: str) -> str:
    start, end = r"\A" if unit.startswith("^") else "", r"\Z" if unit.endswith("$") else ""
    return start + re.escape(unit.strip("^$")) + end


@cache
def _code(language: str) -> str:
    return langcodes.get(language).language or ""


def _of(table: dict[str, T], language: str) -> T | None:
    """What a table says of a language, or else of its macrolanguage."""
    macro = langcodes.get(language).prefer_macrolanguage().language or ""
    return table.get(_code(language), table.get(macro))


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return tables
