"""Items said in a language: the examples of each data set."""

from __future__ import annotations

import random

from trainables.examples import Answer, Example
from trainables.mini import meaning
from trainables.mini.grammar import Sentence, concepts, language
from trainables.mini.items import Item
from trainables.mini.meaning import Fact, Saying
from trainables.mini.supertags import supertags

NONE = "None of the above choices."


def examples_of(task: str, name: str, item: Item, code: str) -> list[Example]:
    """What an item gives in a language: one example, or one on each side that is searched for translations."""
    match task:
        case "bucc":
            return _both_sides(name, item, code)
        case "pos" | "roles" | "panx" | "ccg":
            words, tags = _tagged(task, name, item.first, code)
            return [Example(name, code, words=words, tags=tags)]
        case "translations":
            return [Example(name, code, text=item.first.sentence(code).text, pair=item.first.sentence("en").text)]
        case "squad" | "squad2":
            context = meaning.paragraph(code, item.said)
            return [
                Example(name, code, text=_asked(item, code), pair=context.text, answers=_answers(item, context, code))
            ]
        case "swag" | "cosmos" | "csqa":
            text = meaning.paragraph(code, item.said).text if item.said else _asked(item, code)
            pair = _asked(item, code) if item.said and item.question else None
            return [Example(name, code, text=text, pair=pair, label=item.label, choices=_choices(item, code))]
        case _:
            pair = item.second.sentence(code).text if item.second else None
            return [Example(name, code, text=meaning.paragraph(code, item.said).text, pair=pair, label=item.label)]


def _asked(item: Item, code: str) -> str:
    return item.question.sentence(code).text if item.question else ""


# --- tagging ----------------------------------------------------------------------------------------------------------


def _tagged(task: str, name: str, said: Saying, code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    sentence = said.sentence(code)
    match task:
        case "pos":
            return _shuffled(name, sentence) if name.startswith("train") else (sentence.tokens, sentence.tags)
        case "roles":
            return sentence.tokens, bio(sentence.roles)
        case "panx":
            return sentence.tokens, bio(sentence.roles, _entities(said, sentence, code))
        case _:
            return sentence.tokens, supertags(said)


def _shuffled(name: str, sentence: Sentence) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every other training sentence as a list of its words in any order, in lower case but for names.

    A tagger that learns from English word order alone (the first word is an article or a name) says little of other
    languages; treebanks have headings and lists too.
    """
    rng = random.Random(f"word list {name}")
    if rng.random() < 0.5:
        return sentence.tokens, sentence.tags
    rows = [(w if t == "PROPN" else w.lower(), t) for w, t in zip(sentence.tokens, sentence.tags, strict=True)]
    words, tags = zip(*rng.sample(rows, len(rows)), strict=True)
    if rng.random() < 0.5:
        words = (words[0][0].upper() + words[0][1:], *words[1:])
    return words, tags


def bio(roles: tuple[str, ...], names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Begin and inside tags; words after each other in one role are one span, which has the role's name or another."""
    names = names or roles
    before = zip(("", *roles), ("", *names), strict=True)
    return tuple(
        "O" if not name else f"{'I' if (role, name) == last else 'B'}-{name.upper()}"
        for last, role, name in zip(before, roles, names, strict=False)
    )


def _entities(said: Saying, sentence: Sentence, code: str) -> tuple[str, ...]:
    """The kind of entity each word names. Only proper nouns do: weekdays have another role, professions another tag."""
    places = {word: _KIND[place] for place in _KIND if place in _places(said) for word in _proper(place, code)}
    return tuple(
        "" if tag != "PROPN" or role in ("", "time") else places[word] if role == "place" else "per"
        for word, tag, role in zip(sentence.tokens, sentence.tags, sentence.roles, strict=True)
    )


_KIND = {**dict.fromkeys(concepts()["cities"], "loc"), **dict.fromkeys(concepts()["organisations"], "org")}


def _places(said: Saying) -> set[str]:
    return {concept for fact in said.facts for role, concept in fact.fillers if role == "place"}


def _proper(concept: str, code: str) -> set[str]:
    return language(code).words_tagged(concept, "PROPN")


# --- questions and choices --------------------------------------------------------------------------------------------


def _answers(item: Item, context: Sentence, code: str) -> tuple[Answer, ...]:
    """The words of the answer: from the first to the last with its role in its sentence."""
    if item.answer is None:
        return ()
    number, role = item.answer
    lengths = [len(said.sentence(code).tokens) for said in item.said]
    own = range(sum(lengths[:number]), sum(lengths[: number + 1]))
    places = [place for place in own if context.roles[place] == role]
    spans = context.spans()
    start, end = spans[places[0]][0], spans[places[-1]][1]
    return (Answer(context.text[start:end], start),)


def _choices(item: Item, code: str) -> tuple[str, ...]:
    if item.question is None:
        variant = item.first.variant
        return tuple(Saying((f,), (False,), "statement", variant).sentence(code).text for f in item.choices if f)
    asked = item.question.asked
    return tuple(NONE if fact is None else _phrase(fact, asked, code) for fact in item.choices)


def _phrase(fact: Fact, role: str, code: str) -> str:
    """The words of a role as the fact's clause has them, its article with them, as an answer: "In the park."."""
    tokens = meaning.clause(code, fact)
    places = [place for place, token in enumerate(tokens) if token[2] == role]
    first = places[0] - (places[0] > 0 and tokens[places[0] - 1][1:] == ("DET", ""))
    return language(code).sentence("statement", tokens[first : places[-1] + 1]).text


# --- two sides --------------------------------------------------------------------------------------------------------


def _both_sides(name: str, item: Item, code: str) -> list[Example]:
    """A sentence of the language, and the English one that goes with it: a translation, or something near it."""
    split, number = name.split("-")
    source, target = f"{split}-s-{number}", f"{split}-t-{number}"
    same = item.label == "translation"
    found = [Example(source, code, text=item.first.sentence(code).text, pair=target if same else None, label="source")]
    if item.second:
        text = item.second.sentence("en").text
        found.append(Example(target, code, text=text, pair=source if same else None, label="target"))
    return found
