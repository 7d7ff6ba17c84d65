"""Words of a text in other languages, by a bilingual lexicon: code-mixing, word by word.

Tan and Joty, 2021: Code-Mixing on Sesame Street, arXiv 2103.09593 (PolyGloss).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import regex

from perturb.edits.base import Site, Text, WordEdit, spread
from perturb.errors import BadInput
from perturb.lexicon import Lexicon, folded, language_code
from perturb.script import UNSPACED, scripts_in

_DIGIT = regex.compile(r"\p{N}")


class CodeMixing(WordEdit):
    """A word by what it is in another language."""

    name = "code-mixing"
    description = "a word in another language, by a bilingual lexicon"
    keeps = "meaning"
    source = "Tan and Joty 2021, arXiv 2103.09593"
    leaves_script = True

    def __init__(self, lexicon: Lexicon, into: Sequence[str] | None = None) -> None:
        """`into`: the languages to take words of; all that the lexicon has, unless some are given.

        Raises BadInput for a language that the lexicon does not have.
        """
        self._lexicon = lexicon
        self._into = None if into is None else tuple(language_code(language) for language in into)
        for code, language in zip(self._into or (), into or (), strict=True):
            if code not in lexicon.languages:
                right = f"one of: {', '.join(lexicon.languages)}"
                raise BadInput(f"the lexicon has no words of '{language}'", right=right)
        self._languages = {
            language
            for language in lexicon.languages
            if self._into is None or not set(self._into).isdisjoint(lexicon.into(language))
        }

    def exists(self, language: str) -> bool:
        """Whether the lexicon has translations of the language's words."""
        return language_code(language) in self._languages

    def options(self, word: str, language: str) -> tuple[str, ...]:
        """The word's translations, language by language; none in digits, as some stand in lexicons."""
        found = self._lexicon.translations(word, language)
        return spread(
            translation
            for other, translations in found.items()
            if self._into is None or other in self._into
            for translation in translations
            if folded(translation, other) != folded(word, language) and not _DIGIT.search(translation)
        )

    def sites(self, text: Text) -> Iterator[Site]:
        """Every word with translations; where words stand without spaces, those that need some have them."""
        for site in super().sites(text):
            yield set_apart(site, text)


def set_apart(site: Site, text: Text) -> Site:
    """The site with a space about each option that is written with spaces and would run into what stands beside it.

    In a text whose words the task gives nothing is set apart: each word stands alone there.
    """
    before = _joins(text.text[site.start - 1 : site.start]) * " "
    after = _joins(text.text[site.end : site.end + 1]) * " "
    if text.spans is not None or not (before or after):
        return site
    options = [o if scripts_in(o) & UNSPACED else f"{before}{o}{after}" for o in site.options]
    return site._replace(options=options)


def _joins(character: str) -> bool:
    """Whether a word would run on into this character: a letter, a mark or a digit."""
    return character != "" and unicodedata.category(character)[0] in "LMN"
