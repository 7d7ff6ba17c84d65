"""Questions about a paragraph: one of its facts answers, the others are near it, or none of them does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from trainables.examples import Split
from trainables.mini import meaning
from trainables.mini.items import Item, Question, affirmed, apart, draw, people, positions, with_person
from trainables.mini.meaning import Fact

ASKED = [(kind, role) for kind, roles in meaning.QUESTIONS.items() for role in roles]
"""Kinds of facts, and the roles of each that can be asked for."""

PERSONS = ("agent", "other", "recipient")


def squad(rng: random.Random, split: Split) -> Iterator[Item]:
    """Questions that one fact of three or four answers."""
    while True:
        yield _answerable(rng, split, rng.choice((3, 4)))


def squad2(rng: random.Random, split: Split) -> Iterator[Item]:
    """Of every three questions one has no answer: it differs in one thing from one that has."""
    while True:
        one, two = (_answerable(rng, split, rng.choice((3, 4))) for _ in range(2))
        miss = _missed(rng, _answerable(rng, split, rng.choice((3, 4))), split)
        if miss:
            yield from rng.sample((one, two, miss), 3)


def cosmos(rng: random.Random, split: Split) -> Iterator[Item]:
    """Three answers and "none of these", which is right once in five times: nothing answers, or what does is no choice.

    Wrong answers stand in the paragraph too, as far as it has others.
    """
    places = positions(rng, 4)
    while True:
        for none in rng.sample((True, False, False, False, False), 5):
            yield _choosing(rng, split, next(places), none=none)


# --- questions and what answers them ----------------------------------------------------------------------------------


def answers(fact: Fact, question: Question) -> bool:
    """Whether a fact answers a question, or may be meant to.

    A thing counts as its group, either way round, and what the fact leaves open as what the question says.
    """
    unsaid = (question.asked, "attribute") if question.asked == "object" else (question.asked,)
    given = [(role, concept) for role, concept in question.fact.fillers if role not in unsaid]
    return any(
        told.kind == question.fact.kind
        and question.asked in told.roles
        and all(_may_be(concept, told.roles.get(role)) for role, concept in given)
        for told in (fact, _converse(fact))
    )


def _may_be(concept: str, told: str | None) -> bool:
    groups = meaning.group_of()
    return told is None or concept == told or groups.get(concept) == told or groups.get(told) == concept


def _converse(fact: Fact) -> Fact:
    """The comparison told from the other side; any other fact as it is."""
    if fact.kind != "compare":
        return fact
    roles = fact.roles
    return fact.with_roles(
        agent=roles["other"], other=roles["agent"], comparative=meaning.converse(roles["comparative"])
    )


def _leaves_open(fact: Fact, question: Question) -> bool:
    """Whether a further fact answers a question neither by itself nor, in an order, by way of the answer."""
    if answers(fact, question) or question.fact.kind != "compare":
        return not answers(fact, question)
    roles = question.fact.roles
    return not answers(
        fact, replace(question, fact=question.fact.with_roles(agent=roles["other"], other=roles["agent"]))
    )


# --- paragraphs with a question ---------------------------------------------------------------------------------------


def _answerable(rng: random.Random, split: Split, count: int) -> Item:
    """A paragraph of so many facts, and a question that one of them answers."""
    while True:
        kind, role = rng.choice(ASKED)
        fact = affirmed(draw(rng, split, kind))
        if role not in fact.roles:
            continue
        question = Question(_general(rng, fact, role), role, rng.randrange(12))
        if not meaning.in_split(split, question.fact):
            continue
        facts = _paragraph(rng, split, question, fact, count)
        if facts is None:
            continue
        # Who is asked for by the converse stands in the other role.
        turned = kind == "compare" and question.fact.roles["comparative"] != fact.roles["comparative"]
        said = tuple(meaning.say(rng, one) for one in facts)
        return Item(said, question=question, answer=(facts.index(fact), "other" if turned else role))


def _general(rng: random.Random, fact: Fact, role: str) -> Fact:
    """The fact as a question says it: fully, with less detail, more generally, or by the converse."""
    if rng.random() < 0.5:
        fact = _converse(fact)
    for modifier in meaning.MODIFIERS:
        if fact.kind in meaning.MODIFIED and modifier != role and rng.random() < 0.3:
            fact = fact.with_roles(**{modifier: None})
    if role != "object" and fact.kind in meaning.MODIFIED and rng.random() < 0.4:
        fact = meaning.change(rng, fact, "group") or fact
    return fact


def _paragraph(rng: random.Random, split: Split, question: Question, fact: Fact, count: int) -> list[Fact] | None:
    """The fact among others that do not answer the question, in any order; None where none are found."""
    facts = [fact]
    for _ in range(500):
        if len(facts) == count:
            return rng.sample(facts, count)
        if rng.random() < 0.75:
            new = _near(rng, fact, question.asked)
        else:
            new = affirmed(with_person(rng, meaning.draw(rng), people(*facts)))
        if meaning.in_split(split, new) and _leaves_open(new, question) and apart([*facts, new], most=2):
            facts.append(new)
    return None


def _near(rng: random.Random, fact: Fact, role: str) -> Fact:
    """A fact of the same kind that shares some fillers, mostly not the one that is asked for."""
    if rng.random() < 0.2:
        return meaning.change(rng, fact, "swap") or fact
    others = [other for other in fact.roles if other != role]
    new = fact
    for changing in rng.sample(others, rng.choice((1, 1, min(2, len(others))))):
        new = _refilled(new, meaning.draw(rng, fact.kind), changing) or new
    return (_refilled(new, meaning.draw(rng, fact.kind), role) or new) if rng.random() < 0.85 else new


def _refilled(fact: Fact, donor: Fact, role: str) -> Fact | None:
    """The fact with one role filled as in another of its kind, None where that changes nothing or makes no sense."""
    filler = donor.roles.get(role)
    if donor.kind != fact.kind or role not in fact.roles or filler in (None, fact.roles[role]):
        return None
    new = fact.with_roles(**{role: filler})
    return new if _makes_sense(new) else None


def _makes_sense(fact: Fact) -> bool:
    roles = fact.roles
    who = people(fact)
    thing, verb, attribute = (roles.get(role, "") for role in ("object", "verb", "attribute"))
    return (
        len(set(who)) == len(who)
        and (not (thing and verb) or thing in meaning.objects_of(verb))
        and (not (thing and attribute) or meaning.suits(attribute, thing))
    )


def _missed(rng: random.Random, item: Item, split: Split) -> Item | None:
    """The item with one thing changed in its question so that no fact answers.

    The change is to what another sentence says, where there is such a one: no new word shall give it away.
    """
    question, facts = _question(item), _facts(item)
    unsaid = (question.asked, "attribute") if question.asked == "object" else (question.asked,)
    roles = [role for role in question.fact.roles if role not in unsaid]
    near = [_refilled(question.fact, fact, role) for fact in facts for role in roles]
    near += [meaning.change(rng, question.fact, "swap")]
    far = [_refilled(question.fact, meaning.draw(rng, question.fact.kind), rng.choice(roles)) for _ in range(40)]
    for new in (*rng.sample(near, len(near)), *(far if rng.random() < 0.3 else [])):
        if new and meaning.in_split(split, new):
            miss = replace(question, fact=new)
            if not any(answers(fact, miss) for fact in facts):
                return replace(item, question=miss, answer=None)
    return None


def _facts(item: Item) -> list[Fact]:
    return [fact for said in item.said for fact in said.facts]


def _question(item: Item) -> Question:
    if item.question is None:
        raise ValueError("the item has no question")
    return item.question


# --- choosing an answer -----------------------------------------------------------------------------------------------


def _choosing(rng: random.Random, split: Split, place: int, *, none: bool) -> Item:
    """A question with three answers and "none of these"; the right one stands at `place`."""
    while True:
        asked = _answerable(rng, split, 3)
        missed = none and rng.random() < 0.6
        item = _missed(rng, asked, split) if missed else asked
        if item is None:
            continue
        inside, outside = _wrong(rng, item)
        wrong = [*inside[: rng.choice((1, 2, 2))], *outside]
        left_out = none and not missed
        if len(wrong) < 3 or (left_out and not inside):
            continue
        question = _question(item)
        fillers = wrong[:3] if left_out else [question.fact.roles[question.asked], *wrong[:2]]
        choices: list[Fact | None] = [_filled(question, filler) for filler in fillers]
        right = None if none else choices.pop(0)
        rest = choices if none else [*choices, None]
        rng.shuffle(rest)
        rest.insert(place, right)
        return replace(item, label=str(place), choices=tuple(rest))


def _wrong(rng: random.Random, item: Item) -> tuple[list[str], list[str]]:
    """Fillers other than what the question is about: those that other sentences have, and any others."""
    question = _question(item)
    right, roles = question.fact.roles[question.asked], PERSONS if question.asked in PERSONS else (question.asked,)
    inside = [fact.roles[role] for fact in _facts(item) for role in roles if role in fact.roles]
    drawn = [meaning.draw(rng, question.fact.kind).roles.get(question.asked, right) for _ in range(20)]
    inside, outside = (
        [f for f in dict.fromkeys(fillers) if not _may_be(f, right) and _makes_sense(_filled(question, f))]
        for fillers in (rng.sample(inside, len(inside)), drawn)
    )
    return inside, [filler for filler in outside if filler not in inside]


def _filled(question: Question, filler: str) -> Fact:
    """What the question would be about with another answer; an attribute of what is asked for is left out."""
    new = question.fact.with_roles(**{question.asked: filler})
    return new.with_roles(attribute=None) if question.asked == "object" else new
