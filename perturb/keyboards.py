"""Keyboards of languages: which letters lie beside one another, and which letters a language is typed with.

The boards stand in `data/keyboards.yaml`; here is how far apart their keys are, and what a slip may put for what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import langcodes
import regex
import yaml

from perturb.script import known, script_of, scripts

ROWS = {"E": 0.0, "D": 1.5, "C": 1.75, "B": 1.25}
"""The rows of an ISO board from top to bottom, and how far to the right each begins, in widths of a key."""

LEVELS = ("plain", "second")
"""What a key gives by itself, and with Shift or AltGr."""

REACH = 1.3
"""How far a finger slips, in widths of a key: to the six keys around one, but not to the next but one."""

NO_LETTER = "_"

_KINDS = {
    "jamo consonant": r"[ㄱ-ㅎ]",
    "jamo vowel": r"[ㅏ-ㅣ]",
    "consonant": r"\p{InSC=Consonant}",
    "independent vowel": r"\p{InSC=Vowel_Independent}",
    "leading vowel": r"[\p{InSC=Vowel_Dependent}&&\p{InPC=Visual_Order_Left}]",
    "spacing vowel": r"[\p{InSC=Vowel_Dependent}&&\p{L}]",
    "vowel sign": r"[\p{InSC=Vowel_Dependent}&&\p{M}]",
    "tone mark": r"\p{InSC=Tone_Mark}",
    "final sign": r"\p{InSC=Bindu}|\p{InSC=Visarga}",
    "point": r"[\p{InSC=Other}&&\p{M}]",
    "letter": r"[\p{InSC=Other}&&\p{L}]",
}
_PATTERNS = {kind: regex.compile(pattern, regex.V1) for kind, pattern in _KINDS.items()}
_ALONE = {"letter", "consonant", "independent vowel", "jamo consonant", "jamo vowel"}


class Key(NamedTuple):
    """Where a letter lies: in widths of a key from the upper left corner, and at which level."""

    x: float
    y: int
    level: int


@dataclass(frozen=True)
class Board:
    """A keyboard: the languages that are typed on it, and where each of its letters lies."""

    name: str
    languages: frozenset[str]
    keys: Mapping[str, Key]


def distance(one: Key, other: Key) -> float:
    """How far apart two keys are, in widths of a key."""
    return math.hypot(one.x - other.x, one.y - other.y)


@cache
def kind(character: str) -> str | None:
    """What a letter or a sign is in its script's spelling (Unicode's Indic syllabic category); None for what is
    neither exchanged nor put in, such as virama and nukta. A slip puts no other kind, so clusters stay well formed."""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.match(character)), None)


@cache
def all_boards() -> tuple[Board, ...]:
    """Every board there is."""
    path = Path(__file__).parent / "data" / "keyboards.yaml"
    return tuple(_board(name, entry) for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items())


@cache
def boards(language: str) -> tuple[Board, ...]:
    """The boards that a language is typed on in its own script; none where it has none here, or is not known."""
    if not known(language):
        return ()
    own, code = {*scripts(language), "Common"}, _code(language)
    return tuple(
        board for board in all_boards() if code in board.languages and own.issuperset(map(script_of, board.keys))
    )


@cache
def neighbours(language: str) -> Mapping[str, tuple[str, ...]]:
    """For each lower-case letter or sign, those of its kind that a slip puts there, the nearest first: what the keys
    around it give at its level, then what its own key gives at the other (Shift or AltGr missed)."""
    near = {
        letter: tuple(sorted(found, key=lambda other: (*_slip(board, letter, other), other)))
        for board in boards(language)
        for letter in board.keys
        if (found := [other for other in board.keys if _beside(board, letter, other)])
    }
    return MappingProxyType(near)


@cache
def letters(language: str) -> tuple[str, ...]:
    """The lower-case letters that a language is typed with, without its signs, in Unicode's order; none where it has
    no board. Korean's are jamo."""
    return tuple(sorted({c for board in boards(language) for c in board.keys if kind(c) in _ALONE}))


def lower(character: str, language: str) -> str:
    """The lower-case letter of a letter, by the language's rules (Turkish and Azerbaijani ı and i)."""
    dotless = {"I": "ı", "İ": "i"} if _code(language) in ("tr", "az") else {}
    return dotless.get(character) or character.lower()


def cased_like(letter: str, model: str, language: str) -> str:
    """A lower-case letter in the case of another; as it is where its capital is not one letter (ß)."""
    if lower(model, language) == model:
        return letter
    dotted = {"ı": "I", "i": "İ"} if _code(language) in ("tr", "az") else {}
    capital = dotted.get(letter) or letter.upper()
    return capital if len(capital) == 1 else letter


def _slip(board: Board, letter: str, other: str) -> tuple[bool, float]:
    one, two = board.keys[letter], board.keys[other]
    return one.level != two.level, distance(one, two)


def _beside(board: Board, letter: str, other: str) -> bool:
    if other == letter or kind(letter) is None or kind(other) != kind(letter):
        return False
    other_level, apart = _slip(board, letter, other)
    return apart == 0 if other_level else apart <= REACH


def _board(name: str, entry: dict[str, Any]) -> Board:
    if unknown := set(entry) - {"languages", *LEVELS}:
        raise ValueError(f"keyboards.yaml: {name}: no such key: {', '.join(sorted(unknown))}")
    keys: dict[str, Key] = {}
    for level, rows in enumerate(entry.get(name_of_level, {}) for name_of_level in LEVELS):
        for row, text in rows.items():
            if row not in ROWS:
                raise ValueError(f"keyboards.yaml: {name}: no such row: {row}")
            for column, letter in enumerate(text.split()):
                if letter == NO_LETTER:
                    continue
                if len(letter) != 1 or letter in keys or not regex.match(r"[\p{L}\p{M}]", letter):
                    raise ValueError(f"keyboards.yaml: {name}: {letter!r} is not one letter, or stands twice")
                keys[letter] = Key(ROWS[row] + column, list(ROWS).index(row), level)
    return Board(name, frozenset(_code(language) for language in entry["languages"]), MappingProxyType(keys))


@cache
def _code(language: str) -> str:
    """The language without its script, of its macrolanguage: `ms` for `zsm`, `hi` for `hin_Deva`."""
    return langcodes.get(language).prefer_macrolanguage().language or language
