"""Pairs of texts: natural language inference, with one premise or a paragraph of them, and paraphrase."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from trainables.examples import Split
from trainables.mini import meaning
from trainables.mini.items import Item, affirmed, apart, changed, draw, people, with_person
from trainables.mini.meaning import Fact, Saying


def nli(rng: random.Random, split: Split) -> Iterator[Item]:
    """Triples with one hypothesis and a premise for each label, so the hypothesis alone says nothing of the label."""
    while True:
        hypothesis = draw(rng, split)
        premises: dict[str, tuple[Fact, ...]] = {}
        for _ in range(200):
            premise = _premise(rng, hypothesis, split)
            if premise:
                premises.setdefault(meaning.relation(premise, hypothesis), premise)
            if len(premises) == 3:
                break
        else:
            continue
        for label in rng.sample(sorted(premises), 3):
            yield Item((meaning.say(rng, *premises[label]),), meaning.say(rng, hypothesis), label)


def _premise(rng: random.Random, hypothesis: Fact, split: Split) -> tuple[Fact, ...] | None:
    """One or two facts near the hypothesis: changed once or twice, denied or not, in any place of two."""
    two = rng.random() < 0.5
    other = draw(rng, split) if two else None
    near = people(other) if other else []
    fact = hypothesis
    for _ in range(rng.choice((1, 1, 2) if not two else (0, 1, 1, 2))):
        fact = meaning.change(rng, fact, rng.choice(meaning.CHANGES), near) or fact
    if fact.kind not in meaning.POSITIVE_ONLY and rng.random() < 0.5:
        fact = fact.denied()
    if (fact == hypothesis and not two) or not meaning.in_split(split, fact):
        return None
    if not other:
        return (fact,)
    if other.kind == fact.kind and meaning.relation((other,), hypothesis) != "neutral":
        return None  # one clause decides, the other is there to be told apart from it
    return (fact, other) if rng.random() < 0.5 else (other, fact)


# --- a paragraph of premises ------------------------------------------------------------------------------------------

_DECIDABLE = tuple(kind for kind in meaning.KINDS if kind not in meaning.POSITIVE_ONLY)
"""Kinds of hypotheses: what is never denied follows from nothing but itself."""

_CHANGES = (*meaning.CHANGES, *("add", "drop", "group", "member", "converse") * 2)
"""Changes that keep what is said, or part of it, are drawn more often: an entailment needs two of them."""


def anli(rng: random.Random, split: Split) -> Iterator[Item]:
    """Triples as in `nli`, of paragraphs: a fact two changes away decides, two or three with the same persons do not.

    The three paragraphs share those others, so they do not tell the label either.
    """
    while True:
        hypothesis = draw(rng, split, rng.choice(_DECIDABLE))
        if not hypothesis.negated and hypothesis.kind in ("property", "at", "before"):
            continue  # nothing but itself implies it
        others = _distractors(rng, hypothesis, rng.choice((2, 3)), split)
        deciding: dict[meaning.Label, Fact] = {}
        for _ in range(60):
            fact = _two_changes(rng, hypothesis, others)
            label = meaning.relation((fact,), hypothesis)
            if label not in deciding and _is_other(fact, hypothesis) and meaning.in_split(split, fact):
                deciding |= {label: fact} if apart((fact, *others)) else {}
            if len(deciding) == 3:
                break
        else:
            continue
        for label in rng.sample(sorted(deciding), 3):
            facts = rng.sample((deciding[label], *others), len(others) + 1)
            yield Item(tuple(meaning.say(rng, fact) for fact in facts), meaning.say(rng, hypothesis), label)


def _distractors(rng: random.Random, hypothesis: Fact, count: int, split: Split) -> tuple[Fact, ...]:
    """Facts that say nothing of the hypothesis: near it, or of any kind with one of its persons."""
    found: list[Fact] = []
    while len(found) < count:
        if rng.random() < 0.5:
            fact = _two_changes(rng, hypothesis, found)
        else:
            fact = with_person(rng, meaning.draw(rng), people(hypothesis))
        if not meaning.in_split(split, fact) or not _is_other(fact, hypothesis):
            continue
        if meaning.relation((fact,), hypothesis) == "neutral" and apart((*found, fact)):
            found.append(fact)
    return tuple(found)


def _two_changes(rng: random.Random, fact: Fact, others: Sequence[Fact]) -> Fact:
    """The fact two changes away, a denial among them or not; persons come from the other facts where they can."""
    near, denied = people(*others), rng.random() < 0.5
    for _ in range(2):
        fact = meaning.change(rng, fact, rng.choice(_CHANGES), near) or fact
    return fact.denied() if denied and fact.kind not in meaning.POSITIVE_ONLY else fact


def _is_other(fact: Fact, hypothesis: Fact) -> bool:
    """Whether the two differ in more than a denial; of what has neither modifiers nor a converse, in a denial."""
    if hypothesis.kind in (*meaning.MODIFIED, "compare"):
        return affirmed(fact) != affirmed(hypothesis)
    return fact != hypothesis


# --- paraphrase -------------------------------------------------------------------------------------------------------


def paraphrase(rng: random.Random, split: Split) -> Iterator[Item]:
    """Pairs that come in twos with the same first sentence: one says the same, one does not."""
    while True:
        fact = draw(rng, split)
        if rng.random() < 0.5:
            facts: tuple[Fact, ...] = (fact, draw(rng, split))
        elif fact.kind in ("give", "before", "compare"):
            facts = (fact,)
        else:
            continue
        asked = len(facts) == 1 and rng.random() < 0.5
        facts = tuple(f if not (asked and f.negated) else f.denied() for f in facts)
        first = meaning.say(rng, *facts, ask=asked)
        others = changed(rng, facts, split)
        if others is None:
            continue
        pairs = [
            Item((first,), _retold(rng, first, facts), "same"),
            Item((first,), _retold(rng, first, others), "different"),
        ]
        yield from rng.sample(pairs, 2)


def _retold(rng: random.Random, first: Saying, facts: tuple[Fact, ...]) -> Saying:
    """The facts told another way: from the other side, by the converse, or in the other order."""
    told = [
        fact if fact.kind != "compare" or rng.random() < 0.3 else (meaning.change(rng, fact, "converse") or fact)
        for fact in facts
    ]
    sides = [not side for side in first.sides]
    if len(facts) > 1:
        told.reverse()
        sides.reverse()
        return Saying(tuple(told), tuple(sides), rng.choice(("and", "but")), first.variant)
    if told[0].kind == "compare" and told[0] == first.facts[0]:
        told = [meaning.change(rng, told[0], "converse") or told[0]]
    return Saying(tuple(told), tuple(sides), first.joined, first.variant)
