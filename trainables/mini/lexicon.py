"""The mini suite's own bilingual lexicon: which single words of its languages say the same concept.

It is what `perturb.lexicon.Lexicon.of` takes, so that code-mixing works on the mini suite without any folder. Labels
must stand after any such exchange, so a word is in it only where it says one concept, no more and no less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import NamedTuple

from perturb.lexicon import folded
from trainables.mini import meaning
from trainables.mini.grammar import concept_tags, language, language_codes
from trainables.mini.meaning import Fact

Row = tuple[str, str, str, str]
"""A language, a word of it, another language, and that word there."""

GRAMMAR = ("ADP", "DET", "PUNCT")
"""Parts of speech of what may stand beside a concept's own word: prepositions, articles, quotation marks."""

BESIDE = {"NOUN": ("VERB",), "PROPN": ("VERB", "NOUN")}
"""The same for nouns and names alone: being in a place (Chinese), the city of, the company of."""

FEATURES = {
    "few": "plural", "many": "plural", "poss": "plural", "part": "past", "all": "dat", "obl": "acc", "gen": "acc",
}  # fmt: skip
"""Features that languages name differently, by the name that most have: a Turkish noun after a numeral is a possessive,
participles stand for the past, a Finnish object in the genitive is an accusative."""

MORE = ("ask", "di")
"""Forms that say more than the concept: a Finnish verb that asks, an Indonesian one in the passive."""


class Form(NamedTuple):
    """A word that says a concept, its part of speech, and the features it is for (of the base form: none)."""

    word: str
    tag: str
    features: frozenset[str]


def rows() -> Iterator[Row]:
    """Words that say the same concept, for all pairs of languages; a word of several forms goes with several.

    A form goes with the one of the other language that has most of its features, and the same part of speech: tags
    still hold. Of persons it has all of them: their case may tell who does what to whom. Left out are words that say
    several concepts in a language, that are small words in any, or say another concept in any: whoever reads them, in a
    sentence of whatever language, takes them for one thing.
    """
    found: dict[Row, None] = {}
    for one, other in combinations(language_codes(), 2):
        for concept in concept_tags():
            here, there, strict = _usable(one, concept), _usable(other, concept), concept in meaning.persons()
            for form in here:
                found.update({(one, form.word, other, near.word): None for near in _nearest(form, there, strict)})
            for form in there:
                found.update({(one, near.word, other, form.word): None for near in _nearest(form, here, strict)})
    yield from found


@cache
def known_forms(code: str) -> frozenset[str]:
    """Every word of a language, folded: of its concepts, its templates and its small words."""
    return frozenset(_senses(code)) | _small(code)


def concepts_of(form: str, code: str) -> set[str]:
    """The concepts that a word is said for in a language, by itself or among several words."""
    return set(_senses(code).get(folded(form, code), ()))


# --- the words of a language ------------------------------------------------------------------------------------------


def _nearest(form: Form, forms: Iterable[Form], strict: bool) -> list[Form]:
    """Of a concept's forms in another language, the one that shares most features and has the fewest of its own."""
    alike = [one for one in forms if one.tag == form.tag and (one.features == form.features or not strict)]
    nearness = [(len(one.features & form.features), -len(one.features)) for one in alike]
    return [alike[nearness.index(max(nearness))]] if alike else []


@cache
def _usable(code: str, concept: str) -> tuple[Form, ...]:
    """The forms of a concept that may go with those of other languages: all of one word and one part of speech.

    A word that is several forms counts as the first of them.
    """
    forms = [(name, _content(code, concept, name)) for name in _names(code, concept)]
    if any(len(words) > 1 for _, words in forms) or len({tag for _, words in forms for _, tag in words}) > 1:
        return ()
    more = {*MORE, *(["neg"] if _denies(code) else [])}
    found: dict[str, Form] = {}
    for name, words in forms:
        for word, tag in words:
            if more.isdisjoint(name.split("_")) and _says_one_thing(word, code):
                found.setdefault(word, Form(word, tag, _features(name)))
    return tuple(found.values())


def _features(name: str) -> frozenset[str]:
    return frozenset(FEATURES.get(part, part) for part in name.split("_")) - {"w", ""}


@cache
def _denies(code: str) -> bool:
    """Whether the verb itself says that something is not so, and no other word does (Turkish, Swahili)."""
    fact = Fact.of("act", agent="anna", verb="sleep")
    clauses = (meaning.clause(code, one) for one in (fact, fact.denied()))
    affirmed, denied = ({word for word, _, role in clause if not role} for clause in clauses)
    return affirmed == denied


def _says_one_thing(word: str, code: str) -> bool:
    """Whether a word is no small word in any language, and for one concept alone in all that have it.

    Where words stand without spaces it is no part of another either: it would be found in that.
    """
    spelled = folded(word, code)
    concepts = {concept for one in language_codes() for concept in _senses(one).get(spelled, ())}
    if len(concepts) > 1 or any(spelled in _small(one) for one in language_codes()):
        return False
    return bool(language(code).joiner) or not any(word in longer != word for longer in known_forms(code))


@cache
def _senses(code: str) -> Mapping[str, frozenset[str]]:
    """The concepts that each word is said for, folded."""
    found: dict[str, set[str]] = defaultdict(set)
    for concept in concept_tags():
        for name in _names(code, concept):
            for word, _ in _content(code, concept, name):
                for spelled in _spellings(word, code):
                    found[spelled].add(concept)
    return {word: frozenset(said) for word, said in found.items()}


@cache
def _small(code: str) -> frozenset[str]:
    """Words of templates, small words, and what stands beside the concepts' own words, folded."""
    lang = language(code)
    words = {word for words in lang.function_words.values() for word in words} | lang.literals()
    for concept in concept_tags():
        for name in _names(code, concept):
            own = _content(code, concept, name)
            words |= {token[0] for token in _tokens(code, concept, name) if token not in own}
    return frozenset(spelled for word in words for spelled in _spellings(word, code) if any(map(str.isalpha, spelled)))


def _content(code: str, concept: str, name: str) -> list[tuple[str, str]]:
    """The words of a form, with their parts of speech, but for those that only stand beside the concept's own."""
    beside = {*GRAMMAR, *BESIDE.get(concept_tags()[concept], ())}
    return [(word, tag) for word, tag in _tokens(code, concept, name) if tag not in beside]


@cache
def _tokens(code: str, concept: str, name: str) -> tuple[tuple[str, str], ...]:
    pairs = (item.rpartition("_") for item in language(code).form(concept, name).split())
    return tuple((word, tag) if word else (tag, concept_tags()[concept]) for word, _, tag in pairs)


@cache
def _names(code: str, concept: str) -> tuple[str, ...]:
    """The names of a concept's forms, in the order of its file: the base form first, where it has one."""
    lang = language(code)
    return tuple(name for name in lang._forms[concept] if name not in lang._features)


def _spellings(word: str, code: str) -> set[str]:
    """A word folded as lexicons look it up, and as edits do (they differ by Turkish capitals, and points)."""
    return {folded(word, code), word.casefold()}
