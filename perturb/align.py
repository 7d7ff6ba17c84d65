"""Which words of a sentence belong to which of its translation: IBM Model 1 in both directions, on a few sentences.

Brown et al., 1993: The Mathematics of Statistical Machine Translation. Phrase pairs: Och and Ney, 2004.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = Sequence[str]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Place = tuple[int, int]
"""Of a word of a sentence, and of one of its translation."""

LEAST = 0.01
"""Chances below this are forgotten: they are most of a table, and too small to align anything."""

FAINT = 0.1
"""Nothing is aligned that is less likely than this in a direction."""

NULL = ""
"""The word that stands on the giving side for words which nothing gave."""


class PhrasePair(NamedTuple):
    """Words `start` to `end` (past the last) of a sentence, and words `other_start` to `other_end` of its translation.

    `strength` is between 0 and 1: the sum of the probabilities of the words' alignments, over the words of the longer
    side.
    """

    start: int
    end: int
    other_start: int
    other_end: int
    strength: float


class _Model1:
    """How likely a word gives another, as EM finds it: the word on the giving side may be none."""

    def __init__(self, pairs: Sequence[tuple[Words, Words]], iterations: int) -> None:
        given = {word: n for n, word in enumerate(dict.fromkeys([NULL, *(word for one, _ in pairs for word in one)]))}
        other = {word: n for n, word in enumerate(dict.fromkeys(word for _, two in pairs for word in two))}
        cells, slots, at = [], [], 0
        for one, two in pairs:
            rows = np.array([given[word] for word in (NULL, *one)], np.int64)[:, None]
            cells.append((rows * len(other) + np.array([other[word] for word in two], np.int64)).ravel())
            slots.append(np.tile(np.arange(at, at + len(two)), len(one) + 1))
            at += len(two)
        keys, places = np.unique(np.concatenate(cells), return_inverse=True)
        table = _em(places, np.concatenate(slots), keys // len(other), iterations)
        givers, takers = list(given), list(other)
        self._table: dict[str, dict[str, float]] = {}
        for key, chance in zip(keys[table >= LEAST].tolist(), table[table >= LEAST].tolist(), strict=True):
            self._table.setdefault(givers[key // len(other)], {})[takers[key % len(other)]] = chance

    def posterior(self, given: Words, other: Words) -> dict[Place, float]:
        """How likely a word of the given sentence gave one of the other, by their places, where it may have."""
        places: dict[str, list[int]] = {}
        for place, word in enumerate(other):
            places.setdefault(word, []).append(place)
        sums = [self._table.get(NULL, {}).get(word, 0.0) for word in other]
        found: dict[Place, float] = {}
        for giver, word in enumerate(given):
            row = self._table.get(word, {})
            for shared in row.keys() & places.keys():
                for place in places[shared]:
                    found[giver, place] = row[shared]
                    sums[place] += row[shared]
        return {key: chance / sums[key[1]] for key, chance in found.items() if chance >= FAINT * sums[key[1]]}


def _em(places: Ints, slots: Ints, givers: Ints, iterations: int) -> Floats:
    """The chance of each pair of words: `places` says which pair each cell holds, `slots` which word it may explain,
    `givers` which word each pair is given by."""
    table = np.ones(len(givers))
    for _ in range(iterations):
        likely = table[places]
        likely /= np.bincount(slots, likely)[slots]
        counts = np.bincount(places, likely, len(givers))
        table = counts / np.bincount(givers, counts)[givers]
    return table


class Aligner:
    """Word alignments and phrase pairs of two languages, learned from their sentence pairs. Deterministic."""

    def __init__(self, pairs: Sequence[tuple[Words, Words]], iterations: int = 8) -> None:
        """`pairs`: the words of each sentence and of its translation, folded."""
        pairs = [(one, other) for one, other in pairs if one and other]
        self._models: tuple[_Model1, ...] = ()
        if pairs:
            self._models = _Model1(pairs, iterations), _Model1([(other, one) for one, other in pairs], iterations)

    def reversed(self) -> Aligner:
        """The aligner from the other language to the one."""
        other = Aligner(())
        other._models = self._models[::-1]
        return other

    def links(self, words: Words, others: Words) -> dict[int, tuple[int, float]]:
        """The words that are each other's likeliest, by place: the place of the other one, and the root of the product
        of both directions' probabilities. Of equal words the one nearest to the diagonal is taken."""
        if not self._models or not words or not others:
            return {}
        forth = self._models[0].posterior(words, others)
        back = {(place, other): chance for (other, place), chance in self._models[1].posterior(others, words).items()}
        givers, takers = _likeliest(forth, 1, len(words), len(others)), _likeliest(back, 0, len(words), len(others))
        return {
            place: (other, math.sqrt(forth[place, other] * back[place, other]))
            for place, other in sorted(takers.values())
            if givers.get(other) == (place, other)
        }

    def phrases(self, words: Words, others: Words, longest: int = 4, strength: float = 0.6) -> Iterator[PhrasePair]:
        """The consistent phrase pairs up to so many words a side and at least so strong, in order.

        Consistent: no word inside is aligned to one outside. Both sides begin and end with an aligned word.
        """
        links = self.links(words, others)
        back = {other: place for place, (other, _) in links.items()}
        for start in links:
            for end in range(start + 1, min(start + longest, len(words)) + 1):
                if end - 1 not in links:
                    continue
                inside = [links[place] for place in range(start, end) if place in links]
                first, last = min(other for other, _ in inside), max(other for other, _ in inside) + 1
                found = sum(chance for _, chance in inside) / max(end - start, last - first)
                consistent = all(start <= back.get(other, start) < end for other in range(first, last))
                if last - first <= longest and found >= strength and consistent:
                    yield PhrasePair(start, end, first, last, found)


def _likeliest(chances: dict[Place, float], side: int, count: int, others: int) -> dict[int, Place]:
    """The likeliest alignment of each word of a side (0 or 1); of equal ones that nearest to the diagonal."""
    best: dict[int, tuple[float, float, Place]] = {}
    for (place, other), chance in chances.items():
        found = (chance, -abs(place / count - other / others), (-place, -other))
        word = (place, other)[side]
        best[word] = max(best.get(word, found), found)
    return {word: (-place, -other) for word, (_, _, (place, other)) in best.items()}
