"""Phrases of a text in other languages, by its translations: code-mixing, phrase by phrase.

Tan and Joty, 2021: Code-Mixing on Sesame Street, arXiv 2103.09593 (Bumblebee).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from perturb.edits.base import Edit, Site, Text, spread
from perturb.edits.code_mixing import set_apart
from perturb.lexicon import folded, restored
from perturb.protect import fixed_spans
from perturb.segment import Span, words

if TYPE_CHECKING:
    from perturb.align import Aligner

Parallel = Mapping[tuple[str, str], Mapping[str, str]]
"""Translations, by language, of texts: (language, text)."""

MOST_PAIRS = 2000
MOST_WORDS = 256
"""A pair of languages is learned of so many sentence pairs at most; longer texts have no phrases."""

LONGEST = 4
STRENGTH = 0.6
"""Words a phrase, and how sure its alignment must be (see `PhrasePair.strength`)."""

Phrases = dict[Span, dict[str, None]]
"""What the words from one to another (past the last) are in other languages."""


class PhraseMixing(Edit):
    """A phrase by what stands for it in the text's translation: so it is for texts alone that have translations.

    Words are aligned by a model learned from all the translations, a pair of languages once, when it is first needed.
    No phrase holds a number or a negation, on either side. An aligner errs where a lexicon does not (on the mini suite
    one phrase in eight changed a label), so the meaning is not claimed.
    """

    name = "phrase-mixing"
    description = "a phrase in another language, by the text's translations"
    keeps = "stress"
    source = "Tan and Joty 2021, arXiv 2103.09593 (Bumblebee)"
    one_to_one = False
    leaves_script = True

    def __init__(self, parallel: Parallel, into: Sequence[str] | None = None) -> None:
        """`into`: the languages to take phrases of; all that a text has, unless some are given."""
        self._parallel = parallel
        self._into = into
        self._languages = {language for (language, text) in parallel if self._others(language, text)}
        self._aligners: dict[tuple[str, str], Aligner] = {}
        self._known: dict[tuple[str, str], Phrases] = {}

    def exists(self, language: str) -> bool:
        """Whether there are texts of the language with translations."""
        return language in self._languages

    def sites(self, text: Text) -> Iterator[Site]:
        """Phrases that do not overlap: those that together offer the most, long ones before short."""
        key = (text.language, text.text)
        if key not in self._known:
            self._known[key] = self._phrases(text)
        places = words(text.text, text.language)
        free = {
            span: options
            for span, options in self._known[key].items()
            if not text.is_fixed(places[span[0]][0], places[span[1] - 1][1])
        }
        for first, past in _most(free, len(places)):
            site = Site(places[first][0], places[past - 1][1], spread(free[first, past]))
            yield set_apart(site, text)

    def _others(self, language: str, text: str) -> dict[str, str]:
        translations = self._parallel.get((language, text), {})
        return {
            other: translations[other]
            for other in sorted(translations)
            if other != language and (self._into is None or other in self._into)
        }

    def _phrases(self, text: Text) -> Phrases:
        found: Phrases = {}
        own = _sentence(text.text, text.language)
        for language, translation in self._others(text.language, text.text).items():
            other = _sentence(translation, language)
            if max(len(own.words), len(other.words)) > MOST_WORDS:
                continue
            for pair in self._aligner(text.language, language).phrases(own.words, other.words, LONGEST, STRENGTH):
                phrase, option = own.phrase(pair.start, pair.end), other.phrase(pair.other_start, pair.other_end)
                if phrase and option and phrase.casefold() != option.casefold():
                    options = found.setdefault((pair.start, pair.end), {})
                    options[restored(option, phrase, language)] = None
        return found

    def _aligner(self, language: str, other: str) -> Aligner:
        from perturb.align import Aligner  # here, because it brings numpy along

        if (language, other) not in self._aligners:
            one, two = sorted((language, other))
            aligner = Aligner(self._pairs(one, two))
            self._aligners[one, two], self._aligners[two, one] = aligner, aligner.reversed()
        return self._aligners[language, other]

    def _pairs(self, one: str, two: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        there = {(text, found[two]) for (code, text), found in self._parallel.items() if code == one and two in found}
        back = {(found[one], text) for (code, text), found in self._parallel.items() if code == two and one in found}
        texts = spread(sorted(there | back), MOST_PAIRS)
        pairs = [(_sentence(text, one).words, _sentence(translation, two).words) for text, translation in texts]
        return [pair for pair in pairs if max(map(len, pair)) <= MOST_WORDS]


@dataclass(frozen=True)
class _Sentence:
    """A text's words: where they stand, folded, and how far from each a phrase may reach (past its last word)."""

    text: str
    spans: tuple[Span, ...]
    words: tuple[str, ...]
    reach: tuple[int, ...]

    def phrase(self, first: int, past: int) -> str:
        """The words from one to another as they stand; nothing where punctuation parts them or one is fixed."""
        return self.text[self.spans[first][0] : self.spans[past - 1][1]] if past <= self.reach[first] else ""


@lru_cache(maxsize=1 << 15)
def _sentence(text: str, language: str) -> _Sentence:
    spans = words(text, language)
    fixed = Text(text, language, fixed=fixed_spans(text, language, spans))
    reach = list(range(1, len(spans) + 1))
    for place in reversed(range(len(spans))):
        if fixed.is_fixed(*spans[place]):
            reach[place] = place
        elif place + 1 < len(spans) and not text[spans[place][1] : spans[place + 1][0]].strip():
            reach[place] = max(reach[place], reach[place + 1])
    return _Sentence(text, spans, tuple(folded(text[start:end], language) for start, end in spans), tuple(reach))


def _most(phrases: Phrases, count: int) -> list[Span]:
    """Spans that do not overlap, with the greatest sum of words² times options; of equals the fewer, longer ones."""
    best, cut = [(0, 0)], [-1]
    for past in range(1, count + 1):
        found, start = best[-1], -1
        for first in range(max(0, past - LONGEST), past):
            worth, spans = best[first]
            worth += (past - first) ** 2 * len(phrases.get((first, past), ()))
            if (first, past) in phrases and (worth, spans - 1) > found:
                found, start = (worth, spans - 1), first
        best.append(found)
        cut.append(start)
    spans_taken: list[Span] = []
    past = count
    while past > 0:
        if cut[past] >= 0:
            spans_taken.append((cut[past], past))
        past = cut[past] if cut[past] >= 0 else past - 1
    return spans_taken[::-1]
