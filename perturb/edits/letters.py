"""Letters put in, left out, exchanged and transposed: by grapheme clusters, with the language's own letters.

The four edits of DeepWordBug (Gao et al. 2018, arXiv 1801.04354), Belinkov and Bisk 2018 (1711.02173) and Pruthi et
al. 2019 (1905.11268), which are about Latin letters, for every script.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import regex

from perturb import hangul, keyboards
from perturb.edits.base import WordEdit
from perturb.script import known, script_of
from perturb.segment import graphemes

MOST = 64
"""How many options of a word are listed at most."""

Change = tuple[int, int, tuple[str, ...]]
"""Other units in place of those from the first number to the second."""

_GOLDEN = (5**0.5 - 1) / 2
_NUKTA = regex.compile(r"\p{InSC=Nukta}")
_MARK = regex.compile(r"\p{M}")
# What stacks the next consonant below; Tamil's virama only takes the vowel away.
_STACKS = regex.compile(r"[[\p{InSC=Virama}\p{InSC=Invisible_Stacker}]--\p{Tamil}]", regex.V1)
T = TypeVar("T")


class Insertion(WordEdit):
    """A letter of the language stands between two of a word's; in Hangul, a syllable without a tail gets one."""

    name = "insertion"
    description = "a letter of the language too many, inside the word"
    keeps = "form"
    source = "Gao et al. 2018 (DeepWordBug, arXiv 1801.04354), Pruthi et al. 2019 (1905.11268)"

    def exists(self, language: str) -> bool:
        """Whether the language's letters are known: it has a keyboard."""
        return bool(keyboards.letters(language))

    def options(self, word: str, language: str) -> Iterable[str]:
        """Every letter at every inner place, or a spread of them."""
        whole = units(word)
        model = "A" if word.isupper() else "a"
        changes: list[Change] = [
            (place, place, (letter,))
            for place in range(1, len(whole))
            if (whole[place - 1][0] + whole[place][0]).isalpha()
            for letter in (keyboards.cased_like(c, model, language) for c in _fitting(whole[place - 1][0], language))
            if place == 1 or letter != whole[place - 1]  # or it would be doubled twice, from before and from behind
        ]
        tailed = ((i, i + 1, (new,)) for i, unit in enumerate(whole[:-1]) for new in _with_tail(unit, language))
        return changed(whole, [*changes, *tailed])


class Deletion(WordEdit):
    """An inner letter of a word is missing, with its signs; the first and the last stay, as readers go by them.

    Words of fewer than three letters are left alone in every script: what is left of two is one, and of most Chinese
    words another word.
    """

    name = "deletion"
    description = "a letter too few, inside the word"
    keeps = "form"
    source = "Gao et al. 2018 (DeepWordBug, arXiv 1801.04354), Pruthi et al. 2019 (1905.11268)"

    def exists(self, language: str) -> bool:
        """In every script."""
        return known(language)

    def options(self, word: str, language: str) -> Iterable[str]:
        """The word without each of its inner letters."""
        whole = units(word)
        return changed(whole, [(i, i + 1, ()) for i in range(1, len(whole) - 1) if whole[i][0].isalpha()])


class Substitution(WordEdit):
    """One letter becomes another of the language; its signs stay. Of a Hangul syllable one jamo changes."""

    name = "substitution"
    description = "a letter becomes another letter of the language"
    keeps = "form"
    source = "Gao et al. 2018 (DeepWordBug, arXiv 1801.04354)"

    def exists(self, language: str) -> bool:
        """Whether the language's letters are known: it has a keyboard."""
        return bool(keyboards.letters(language))

    def options(self, word: str, language: str) -> Iterable[str]:
        """Every other letter for every letter, or a spread of them; nothing for a word of a single letter."""
        if is_one_letter(word):
            return []
        whole = units(word)
        return changed(whole, [(i, i + 1, (new,)) for i, old in enumerate(whole) for new in _others(old, language)])


class Transposition(WordEdit):
    """Two neighbouring letters change places, each with its signs: inner ones, or the last two of a word of three."""

    name = "transposition"
    description = "two neighbouring letters change places, inside the word"
    keeps = "form"
    source = "Belinkov and Bisk 2018 (arXiv 1711.02173), Gao et al. 2018 (1801.04354), Pruthi et al. 2019 (1905.11268)"

    def exists(self, language: str) -> bool:
        """In every script."""
        return known(language)

    def options(self, word: str, language: str) -> Iterable[str]:
        """The word with each two that differ in each other's place."""
        whole = units(word)
        last = len(whole) - (2 if len(whole) > 3 else 1)
        pairs = [(i, whole[i], whole[i + 1]) for i in range(1, last)]
        return changed(whole, [(i, i + 2, (b, a)) for i, a, b in pairs if a != b and (a[0] + b[0]).isalpha()])


def units(word: str) -> list[str]:
    """A word's letters with all that belongs to them: its grapheme clusters, with the signs and the stacked consonants
    that Unicode takes for clusters of their own in some scripts (Burmese ာ, Khmer and Kannada conjuncts)."""
    if not _MARK.search(word):  # what stacks is a mark, too
        return graphemes(word)
    found: list[str] = []
    for cluster in graphemes(word):
        if found and (_MARK.match(cluster) or _STACKS.match(found[-1][-1])):
            found[-1] += cluster
        else:
            found.append(cluster)
    return found


def changed(whole: Sequence[str], changes: Sequence[Change]) -> list[str]:
    """The words that a spread of the changes gives, but for those where letters of the word would become one."""
    found = []
    for start, end, new in spread(changes):
        wanted = [*whole[:start], *new, *whole[end:]]
        word = "".join(wanted)
        if units(word) == wanted:
            found.append(word)
    return found


def spread(options: Sequence[T], most: int = MOST) -> Sequence[T]:
    """At most so many of the options, one from each of as many equal stretches of them; where in it goes by the golden
    ratio, so that no period of theirs (a letter at every place) is met."""
    count = len(options)
    if count <= most:
        return options
    bounds = [count * i // most for i in range(most + 1)]
    return [options[low + int(i * _GOLDEN % 1 * (high - low))] for i, (low, high) in enumerate(pairwise(bounds))]


def is_one_letter(word: str) -> bool:
    """Whether a word is a single letter without signs: with another in its place nothing of it is left."""
    return len(word) < 2 and not hangul.is_syllable(word)


def is_exchangeable(unit: str, place: int) -> bool:
    """Whether a character may become another of its kind, and what it belongs to stays well formed.

    Not a letter with case under an accent, nor one with nukta: they are one letter together. Not one of two signs of a
    kind, whose order is fixed.
    """
    old, after = unit[place], unit[place + 1 : place + 2]
    if _MARK.match(old):
        return sum(keyboards.kind(c) == keyboards.kind(old) for c in unit) == 1
    accented = bool(_MARK.match(after)) and old.lower() != old.upper()
    return not accented and not _NUKTA.match(after)


def _fitting(model: str, language: str) -> list[str]:
    """The language's letters in the script of one that may stand anywhere: no vowels where a sign writes those."""
    script = script_of(model)
    kinds = ("letter", "consonant")
    return [c for c in keyboards.letters(language) if script_of(c) == script and keyboards.kind(c) in kinds]


def _with_tail(syllable: str, language: str) -> Iterator[str]:
    """A Hangul syllable without a tail, with each."""
    if hangul.is_syllable(syllable):
        lead, vowel, tail = hangul.jamo(syllable)
        for new in keyboards.letters(language) if not tail else ():
            if found := hangul.compose(lead, vowel, new):
                yield found


def _others(unit: str, language: str) -> Iterator[str]:
    """A unit with another letter of the language for its first; a Hangul syllable with another jamo."""
    if hangul.is_syllable(unit):
        others = {part: keyboards.letters(language) for part in hangul.jamo(unit) if part}
        yield from hangul.exchanged(unit, others)
    elif is_exchangeable(unit, 0):
        old = unit[0]
        kind, script, plain = keyboards.kind(old), script_of(old), keyboards.lower(old, language)
        for letter in keyboards.letters(language):
            if letter != plain and keyboards.kind(letter) == kind and script_of(letter) == script:
                yield keyboards.cased_like(letter, old, language) + unit[1:]
