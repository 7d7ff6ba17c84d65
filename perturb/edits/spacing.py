"""Spaces dropped between words, or put inside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar

import regex

from perturb.edits.base import Edit, Keeps, Site, Text
from perturb.script import UNSPACED, known, mostly_in, script_of
from perturb.segment import graphemes

LIMIT = 64
"""Options of a word: in a longer one, as many places at even steps."""

_GAP = regex.compile(r"[^\S\r\n]+")
# Places where a cluster ends and yet nothing may come between: behind a sign that stacks consonants (the Tamil one in
# kṣa and śrī alone), behind vowels of Thai and Lao that stand first, before marks and vowels that stand last, before
# Burmese final consonants.
_HELD = regex.compile(
    r"(?<=[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0c4d\u0ccd\u0d4d\u17d2\u1039\u200d])"
    r"|(?<=க்)(?=ஷ)|(?<=[ஸஶ]்)(?=ர)|(?<=\p{Logical_Order_Exception})"
    r"|(?=[\p{M}ะาๅๆฯະາໆ])|(?=[\u1000-\u1021]\u1037?\u103a)"
)


class Spacing(Edit):
    """Two words joined, or one split; in scripts without spaces, a space between two words or inside one."""

    name: ClassVar[str] = "spacing"
    description: ClassVar[str] = "two words joined, or a word split"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Náplava et al. 2021, Understanding model robustness to user-generated noisy texts"
    one_to_one: ClassVar[bool] = False

    def exists(self, language: str) -> bool:
        """In every language whose script is known."""
        return known(language)

    def sites(self, text: Text) -> Iterator[Site]:
        """Each word that can be split, and each place between two words. What is fixed is joined to nothing."""
        before, before_end = "", 0
        for start, end in text.words:
            word = text.text[start:end]
            if any(c.isdigit() for c in word) or not mostly_in(word, text.language) or text.is_fixed(start, end):
                before = ""
                continue
            gap = text.text[before_end:start]
            if before and not gap:
                yield Site(start, start, [" "])
            elif before and _GAP.fullmatch(gap) and _joins(before, word, text):
                yield Site(before_end, start, [""])
            if options := [split for split in _splits(word) if not _two_words(split, text)]:
                yield Site(start, end, options)
            before, before_end = word, end


def cuts(word: str, limit: int = LIMIT) -> list[int]:
    """The places between two clusters of a word where nothing that belongs together is parted: no stacked consonants,
    no vowel from its consonant. Of more than `limit`, as many at even steps."""
    found, at = [], 0
    for cluster in graphemes(word):
        if at and not _HELD.match(word, at):
            found.append(at)
        at += len(cluster)
    return found if len(found) <= limit else [found[step * len(found) // limit] for step in range(limit)]


@lru_cache(maxsize=1 << 16)
def _splits(word: str) -> tuple[str, ...]:
    return tuple(f"{word[:at]} {word[at:]}" for at in cuts(word))


def _joins(first: str, second: str, text: Text) -> bool:
    """Whether two words may be joined: none of their clusters melt, and no other word of the language comes of it."""
    joined = first + second
    return joined.casefold() not in text.attested and graphemes(joined) == graphemes(first) + graphemes(second)


def _two_words(split: str, text: Text) -> bool:
    """Whether a split makes two words of the language of one; without spaces between words a reader takes no notice."""
    if not text.attested or script_of(split[0]) in UNSPACED:
        return False
    return all(part.casefold() in text.attested for part in split.split(" "))
