"""Items of the generated data sets, before they are said in a language, and what all streams draw them with."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from trainables.examples import Split
from trainables.mini import meaning
from trainables.mini.grammar import Sentence
from trainables.mini.meaning import Fact, Saying


@dataclass(frozen=True)
class Question:
    """A question for one role of a fact; the fact has that role filled with what the answer is or would be."""

    fact: Fact
    asked: str
    variant: int = 0

    def sentence(self, code: str) -> Sentence:
        """The question in the language with that code."""
        return meaning.question(code, self.fact, self.asked, self.variant)


@dataclass(frozen=True)
class Item:
    """One example without a language: what is said and asked, and the label that follows from it.

    `said` are the sentences of the text, `second` is the other sentence of a pair. `answer` says where a question's
    answer stands: the number of the sentence and the role there. `choices` are facts, None for "none of these".
    """

    said: tuple[Saying, ...]
    second: Saying | None = None
    label: str | None = None
    question: Question | None = None
    answer: tuple[int, str] | None = None
    choices: tuple[Fact | None, ...] = ()

    @property
    def first(self) -> Saying:
        """The first sentence."""
        return self.said[0]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All that is said, asked for or rightly chosen: what the splits keep apart. Wrong choices are no facts."""
        sayings = (*self.said, *([self.second] if self.second else []))
        asked = [self.question.fact] if self.question else []
        chosen = [fact for place, fact in enumerate(self.choices) if fact and str(place) == self.label]
        return (*(fact for saying in sayings for fact in saying.facts), *asked, *chosen)


def draw(rng: random.Random, split: Split, kind: str | None = None) -> Fact:
    """A fact of the split at random."""
    while True:
        fact = meaning.draw(rng, kind)
        if meaning.in_split(split, fact):
            return fact


def affirmed(fact: Fact) -> Fact:
    """The fact without its denial; its core, and so its split, stays the same."""
    return fact.denied() if fact.negated else fact


def people(*facts: Fact) -> list[str]:
    """The persons that the facts speak of."""
    return [concept for fact in facts for role, concept in fact.fillers if role in ("agent", "other", "recipient")]


MEANINGFUL = ("swap", "agent", "exclude", "verb", "modifier", "sibling", "number")
"""Changes that make a fact say something else."""


def changed(rng: random.Random, facts: tuple[Fact, ...], split: Split) -> tuple[Fact, ...] | None:
    """The facts with one of them changed, or their persons exchanged, so that they mean something else."""
    for _ in range(30):
        at = rng.randrange(len(facts))
        new = meaning.change(rng, facts[at], rng.choice(MEANINGFUL), people(*facts))
        if new and not meaning.same_meaning(new, facts[at]) and meaning.in_split(split, new):
            return (*facts[:at], new, *facts[at + 1 :])
    return None


def with_person(rng: random.Random, fact: Fact, near: Sequence[str]) -> Fact:
    """The fact about one of the persons nearby, where it has an agent and none of them plays another part in it."""
    fitting = [person for person in near if person not in people(fact)]
    return fact.with_roles(agent=rng.choice(fitting)) if fitting and "agent" in fact.roles else fact


def apart(facts: Sequence[Fact], most: int = 1) -> bool:
    """Whether the facts neither imply nor exclude each other, at most so many of them about the same order.

    Comparing and arriving alone are transitive: one fact of each order says no more beside others than by itself, and
    two that do not exclude each other go in no circle.
    """
    orders = Counter((f.kind, meaning.dimension(f.roles.get("comparative", ""))) for f in facts if "other" in f.roles)
    return max(orders.values(), default=0) <= most and all(
        meaning.relation((one,), two) == "neutral" for one in facts for two in facts if one is not two
    )


def positions(rng: random.Random, count: int) -> Iterator[int]:
    """Places for the right choice: in every `count` items each place once, in any order."""
    while True:
        yield from rng.sample(range(count), count)


Weighed = tuple[str, list[str], Item]
"""The word that is right, those that are wrong, and the item they belong to."""


def evened(drawn: Iterator[Weighed], fixed: frozenset[str] = frozenset()) -> Iterator[Item]:
    """Of every few items the one that best evens out how often each word is right and wrong among the choices.

    So a word alone does not tell whether a choice is right. Words that are `fixed` can only ever be wrong.
    """
    tilt: Counter[str] = Counter()
    while True:
        weighed = []
        for place, (right, wrong, item) in enumerate(islice(drawn, 5)):
            steps = Counter({right: len(wrong), **{word: -1 for word in wrong if word not in fixed}})
            weighed.append((sum((tilt[w] + s) ** 2 - tilt[w] ** 2 for w, s in steps.items()), place, steps, item))
        _, _, steps, item = min(weighed, key=lambda one: one[:2])
        tilt.update(steps)
        yield item
