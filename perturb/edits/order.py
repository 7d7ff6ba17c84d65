"""Whole words moved, dropped or said twice. Nothing is claimed about what is left of the meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import regex

from perturb.edits.base import Edit, Keeps, Site, Text
from perturb.script import UNSPACED, known, script_of, spaced
from perturb.segment import EXTENDING, Span

_GAP = regex.compile(r"[^\S\r\n]*")
_SPACES = regex.compile(rf"(?:\s(?![{EXTENDING}]))*")


class _Words(Edit):
    """What the three have in common."""

    keeps: ClassVar[Keeps] = "stress"
    one_to_one: ClassVar[bool] = False
    order_matters: ClassVar[bool] = True
    """Not for pairs that differ in their words' order alone (PAWS-X): it may turn one label into the other."""

    def exists(self, language: str) -> bool:
        """In every language whose script is known."""
        return known(language)


class WordOrder(_Words):
    """Two neighbouring words change places; each word is in one pair at most."""

    name: ClassVar[str] = "word-order"
    description: ClassVar[str] = "neighbouring words change places"
    source: ClassVar[str] = "Sinha et al. 2021, UnNatural language inference"

    def sites(self, text: Text) -> Iterator[Site]:
        """Pairs of words with nothing but space between them, from the left."""
        first: Span | None = None
        for start, end in text.words:
            if text.is_fixed(start, end):
                first = None
                continue
            if first is not None and _GAP.fullmatch(text.text, first[1], start):
                one, gap, two = text.text[first[0] : first[1]], text.text[first[1] : start], text.text[start:end]
                yield Site(first[0], end, [two + gap + one])
                first = None
            else:
                first = (start, end)


class DroppedWords(_Words):
    """A word is left out, with a space; the longest stays, or a text could vanish."""

    name: ClassVar[str] = "dropped-words"
    description: ClassVar[str] = "a word is left out"
    source: ClassVar[str] = "Wei and Zou 2019, EDA"

    def sites(self, text: Text) -> Iterator[Site]:
        """Every word but the longest: those before it with the space after them, those behind with the one before."""
        stays = max(text.words, key=lambda span: span[1] - span[0], default=(0, 0))
        before = 0
        for start, end in text.words:
            if start < stays[0]:
                yield _left_out(text, start, _after_spaces(text.text, end))
            elif start > stays[0]:
                yield _left_out(text, before + len(text.text[before:start].rstrip()), end)
            before = end


class DoubledWords(_Words):
    """A word stands twice."""

    name: ClassVar[str] = "doubled-words"
    description: ClassVar[str] = "a word stands twice"
    source: ClassVar[str] = "Ribeiro et al. 2020, Beyond accuracy: behavioral testing of NLP models with CheckList"

    def sites(self, text: Text) -> Iterator[Site]:
        """Every word; with a space between the two where its script has spaces."""
        for start, end in text.words:
            word = text.text[start:end]
            space = "" if script_of(word[0]) in UNSPACED else " "
            yield Site(start, end, [word + space + word])


def _left_out(text: Text, start: int, end: int) -> Site:
    """Nothing for what is left out; a space where that might make one number of two."""
    parted = text.text[end : end + 1].isdigit() and not (spaced(text.language) and text.text[start - 1].isspace())
    return Site(start, end, [" " if parted and start else ""])


def _after_spaces(text: str, at: int) -> int:
    spaces = _SPACES.match(text, at)
    return spaces.end() if spaces else at
