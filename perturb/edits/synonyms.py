"""Words by others of the same meaning, by a wordnet.

Ren et al., 2019: Generating Natural Language Adversarial Examples through Probability Weighted Word Saliency (PWWS).
The Open Multilingual Wordnet: Bond and Foster, 2013.
"""

from __future__ import annotations

from perturb.edits.base import WordEdit, spread
from perturb.lexicon import Wordnet, language_code
from perturb.script import DENSE, scripts_in
from perturb.segment import graphemes

SHORTEST = 4
"""Grapheme clusters of a word, at least, in scripts whose characters are letters."""


class Synonyms(WordEdit):
    """A word by a synonym, as `Wordnet.synonyms` has them: a word as the wordnet has it, not an inflected one."""

    name = "synonyms"
    description = "a word by a synonym, by a wordnet"
    keeps = "meaning"
    source = "Ren et al. 2019 (PWWS); Open Multilingual Wordnet"

    def __init__(self, wordnet: Wordnet) -> None:
        self._wordnet = wordnet
        self._languages = frozenset(wordnet.languages)

    def exists(self, language: str) -> bool:
        """Whether the wordnet has synonyms in the language."""
        return language_code(language) in self._languages

    def options(self, word: str, language: str) -> tuple[str, ...]:
        """The word's synonyms. Short words of an alphabet have none: wordnets made by machines have articles and
        prepositions among their nouns."""
        short = len(graphemes(word)) < SHORTEST and not scripts_in(word) & DENSE
        return () if short else spread(self._wordnet.synonyms(word, language))
