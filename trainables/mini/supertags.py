"""Supertags in the manner of combinatory categorial grammar, for English: what each word still needs for a sentence.

They follow from the part of speech, the role, the kind of fact and how it is said. Categories combine by application
alone: `X/Y` takes a Y to its right, `X\\Y` one to its left. `S` in a modifier stands for a sentence of any sort, and
the result is of that sort. Arguments of verbs, comparatives and adverbs after a preposition are PP.
"""

from __future__ import annotations

from trainables.mini import meaning
from trainables.mini.grammar import Token
from trainables.mini.meaning import Fact, Saying

MODIFIER = r"(S\NP)\(S\NP)"
_SORTS = {"did": "b", "does": "b", "had": "pt", "was": "pss", "is": "adj"}
"""The sort of phrase that an auxiliary takes: bare, with a past participle, passive, an adjective."""


def supertags(said: Saying) -> tuple[str, ...]:
    """One supertag for each word of the English sentence."""
    asked = said.joined == "question"
    tags = [
        tag
        for fact, side in zip(said.facts, said.sides, strict=True)
        for tag in _clause(
            fact, meaning.clause("en", fact, ask=asked, other_side=side, variant=said.variant), asked=asked
        )
    ]
    inner = iter(tags)
    sentence = said.sentence("en")
    return tuple(
        _punctuation(word) if tag == "PUNCT" else "conj" if tag == "CCONJ" else next(inner)
        for word, tag in zip(sentence.tokens, sentence.tags, strict=True)
    )


def _punctuation(word: str) -> str:
    return "," if word == "," else "."


def _clause(fact: Fact, tokens: list[Token], *, asked: bool) -> list[str]:
    """The supertags of a clause's words. An auxiliary decides the sort of the verb that follows it."""
    tags, sort = [], "dcl"
    for place, token in enumerate(tokens):
        word, pos, _ = token
        if pos == "AUX":
            tags.append(_auxiliary(fact, word, expletive=tokens[1][0] == "it", inverted=asked and place == 0))
            sort = _SORTS.get(word, sort)
        elif pos == "SCONJ":
            tags.append("S[em]/S[dcl]")
            sort = "dcl"
        elif pos == "VERB":
            tags.append(_verb(fact, sort))
        else:
            tags.append(_other(fact, token))
    return tags


def _auxiliary(fact: Fact, word: str, *, expletive: bool, inverted: bool) -> str:
    needs = "PP" if word == "is" and fact.kind == "at" and not expletive else rf"(S[{_SORTS[word]}]\NP)"
    return f"(S[q]/{needs})/NP" if inverted else rf"(S[dcl]\NP)/{needs}"


def _verb(fact: Fact, sort: str) -> str:
    phrase = rf"S[{sort}]\NP"
    match fact.kind:
        case "give":
            return f"(({phrase})/PP)/NP"
        case "event" | "has":
            return phrase if sort == "pss" else f"({phrase})/NP"
        case _:
            return phrase


def _other(fact: Fact, token: Token) -> str:
    word, pos, role = token
    match pos:
        case "DET" | "NUM":
            return "NP/N"
        case "NOUN":
            return "N"
        case "PROPN" | "PRON":
            return "NP"
        case "PART":
            return "PP/PP" if fact.kind == "at" else r"(S\NP)/(S\NP)"
        case "ADP":
            return _preposition(fact, word, role)
        case "ADJ":
            return _adjective(fact, word, role)
        case "ADV" if role == "comparative":
            return r"((S[adj]\NP)/PP)/((S[adj]\NP)/PP)"
        case "ADV":
            return MODIFIER if role else f"({MODIFIER})/PP"
    raise ValueError(f"no supertag for {word}_{pos}")


def _preposition(fact: Fact, word: str, role: str) -> str:
    if word == "of":
        return r"(N\N)/N"
    argument = word in ("to", "from", "than") or (role == "place" and fact.kind == "at")
    return "PP/NP" if argument else f"({MODIFIER})/NP"


def _adjective(fact: Fact, word: str, role: str) -> str:
    if role == "comparative":
        return r"(S[adj]\NP)/PP"
    if role == "attribute":
        return r"S[adj]\NP" if fact.kind == "property" else "N/N"
    return r"(S[adj]\NP)/S[em]"
