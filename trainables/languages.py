"""The languages of XTREME: name, family, script. Family and script decide how results are grouped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from trainables.config import configs_dir, read_yaml


class LanguageInfo(NamedTuple):
    """A language's English name, its family (`Family` or `Family: branch`) and its script."""

    name: str
    family: str
    script: str


@cache
def _read() -> dict[str, LanguageInfo]:
    rows = read_yaml(configs_dir() / "languages.yaml")
    return {str(code): LanguageInfo(*entry) for code, entry in rows.items()}


LANGUAGES = _read()
"""By ISO 639-1 code."""

MIXED_FAMILY = "mixed"
"""The family of a pair of languages from two families."""

MIXED_SCRIPT = "mixed"
"""The script of a pair of languages in two scripts."""

NO_FAMILIES = ("isolate", "constructed", "creole")
"""What stands for a family and is none: two languages of them are not related."""


def pair_code(first: str, second: str) -> str:
    """`es-ru`: what a pair of texts is in, the first in Spanish, the second in Russian."""
    return f"{first}-{second}"


def pairs_of(codes: Sequence[str]) -> list[str]:
    """Every ordered pair of languages, equal ones included."""
    return [pair_code(first, second) for first in codes for second in codes]


def sides(code: str) -> tuple[str, str] | None:
    """The two languages of a pair, None where the code is that of one language."""
    first, _, second = code.partition("-")
    return (first, second) if first in LANGUAGES and second in LANGUAGES else None


def family(code: str) -> str:
    """A language's family without its branch; of a pair of languages the family of both, else `mixed`."""
    if code in LANGUAGES:
        return LANGUAGES[code].family.split(":")[0]
    pair = sides(code)
    if pair is None:
        return "unknown"
    first, second = map(family, pair)
    related = pair[0] == pair[1] or (first == second and first not in NO_FAMILIES)
    return first if related else MIXED_FAMILY


def script(code: str) -> str:
    """A language's script; of a pair of languages that of both, else `mixed`."""
    if code in LANGUAGES:
        return LANGUAGES[code].script
    pair = sides(code)
    if pair is None:
        return "unknown"
    first, second = map(script, pair)
    return first if first == second else MIXED_SCRIPT
