"""What the mini suite's sentences mean, and what follows from what.

A *fact* says that something holds (or does not) of the fillers of some roles. Labels are computed from facts, never
from words: `relation` decides entailment, contradiction or neutral for a premise of one or two facts and a hypothesis.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Literal

from trainables.mini.grammar import Sentence, Token, concepts, language, pick

Label = Literal["entailment", "neutral", "contradiction"]

ROLES = {
    "event": ("agent", "verb", "object", "attribute", "place", "time"),
    "act": ("agent", "verb", "place", "time"),
    "give": ("agent", "verb", "object", "attribute", "recipient", "time"),
    "property": ("object", "attribute"),
    "at": ("agent", "place"),
    "compare": ("agent", "comparative", "other"),
    "before": ("agent", "other"),
    "has": ("agent", "number", "object"),
}
"""The roles of each kind of fact. Attributes, places and times of events are modifiers and may be left open."""

MODIFIERS = ("attribute", "place", "time")
KINDS = tuple(ROLES)
MODIFIED = ("event", "act", "give")
POSITIVE_ONLY = ("has",)


@dataclass(frozen=True)
class Fact:
    """A fact: kind, the concept in each role (sorted pairs), and whether it is denied."""

    kind: str
    fillers: tuple[tuple[str, str], ...]
    negated: bool = False

    @classmethod
    def of(cls, kind: str, *, negated: bool = False, **fillers: str | None) -> Fact:
        """A fact from keyword fillers; None leaves a role open."""
        return cls(kind, tuple(sorted((role, concept) for role, concept in fillers.items() if concept)), negated)

    @property
    def roles(self) -> dict[str, str]:
        """The concept of each role that is filled."""
        return dict(self.fillers)

    def with_roles(self, **changed: str | None) -> Fact:
        """The same fact with some roles filled otherwise, or left open (None)."""
        return Fact.of(self.kind, negated=self.negated, **{**self.roles, **changed})

    def denied(self) -> Fact:
        """The fact's negation."""
        return replace(self, negated=not self.negated)

    @property
    def core(self) -> str:
        """What the splits are made by: the fact without modifiers and denial, the same for both sides of a converse."""
        roles = {r: c for r, c in self.fillers if not (self.kind in MODIFIED and r in MODIFIERS)}
        if "other" in roles:
            first, second = sorted((roles.pop("agent"), roles.pop("other")))
            roles |= {"pair": f"{first} {second}", "comparative": dimension(roles.get("comparative", ""))}
        return f"{self.kind} {sorted(roles.items())}"


# --- what there is ----------------------------------------------------------------------------------------------------


@cache
def persons() -> list[str]:
    """Names and professions: whoever can act."""
    return [*concepts()["names"], *concepts()["professions"]]


@cache
def locations() -> list[str]:
    """Where something can happen. Only `places` exclude each other: who is in Cairo may well be in a kitchen."""
    return [*concepts()["places"], *concepts()["cities"], *concepts()["organisations"]]


@cache
def group_of() -> dict[str, str]:
    """The group of each thing; a group with a word of its own is its own group."""
    things = concepts()["things"]
    named = {group: group for group in things if group != "reading"}
    return {thing: group for group, members in things.items() for thing in members} | named


@cache
def things(allowed: tuple[str, ...] = ()) -> list[str]:
    """Things and named groups, all or those of the allowed groups."""
    return [thing for thing, group in group_of().items() if not allowed or group in allowed]


@cache
def dimension(comparative: str) -> str:
    """The name both directions of a comparative share."""
    return next((pair[0] for pair in concepts()["comparatives"] if comparative in pair), "")


@cache
def converse(comparative: str) -> str:
    """The comparative that says the same with the two persons exchanged."""
    pair = next(pair for pair in concepts()["comparatives"] if comparative in pair)
    return str(pair[1] if comparative == pair[0] else pair[0])


def exclude_each_other(first: str, second: str) -> bool:
    """Whether nothing can have both attributes."""
    known = concepts()
    both = {first, second}
    return first != second and (both <= set(known["colours"]) or any(both == set(pair) for pair in known["antonyms"]))


@cache
def objects_of(verb: str) -> list[str]:
    """What can be the object of a verb; of a converse verb, anything that is no piece of furniture or vehicle."""
    allowed = concepts()["verbs"].get(verb)
    if allowed is None:
        return [thing for thing, group in group_of().items() if group not in ("furniture", "vehicle", "animal")]
    return things(() if allowed == "all" else tuple(allowed))


def suits(attribute: str, thing: str) -> bool:
    """Whether the attribute may be said of the thing."""
    allowed = concepts()["attributes"][attribute]
    return allowed == "all" or group_of()[thing] in allowed


@cache
def attributes_of(thing: str) -> list[str]:
    """The attributes that may be said of the thing."""
    return [attribute for attribute in concepts()["attributes"] if suits(attribute, thing)]


# --- what follows from what -------------------------------------------------------------------------------------------


def canonical(fact: Fact) -> Fact:
    """One of the two ways to state a comparison: always the first comparative of its pair."""
    if fact.kind != "compare" or fact.roles["comparative"] == dimension(fact.roles["comparative"]):
        return fact
    roles = fact.roles
    return fact.with_roles(agent=roles["other"], other=roles["agent"], comparative=dimension(roles["comparative"]))


def _covers(general: str, special: str) -> bool:
    return general == special or group_of().get(special) == general


def follows(special: Fact, general: Fact) -> bool:
    """Whether `general` holds wherever `special` does, both read as affirmed."""
    special, general = canonical(special), canonical(general)
    if special.kind != general.kind:
        return False
    have = special.roles
    if special.kind in ("property", "has"):
        return have == general.roles
    return all(role in have and _covers(concept, have[role]) for role, concept in general.fillers)


def incompatible(first: Fact, second: Fact) -> bool:
    """Whether the two cannot both hold, both read as affirmed: one place at a time, one colour, one winner."""
    first, second = canonical(first), canonical(second)
    if first.kind != second.kind:
        return False
    a, b = first.roles, second.roles
    match first.kind:
        case "at":
            return a["agent"] == b["agent"] and a["place"] != b["place"]
        case "property":
            return a["object"] == b["object"] and exclude_each_other(a["attribute"], b["attribute"])
        case "compare" | "before":
            same = a.get("comparative") == b.get("comparative")
            return same and (a["agent"], a["other"]) == (b["other"], b["agent"])
        case "has":
            return (a["agent"], a["object"]) == (b["agent"], b["object"]) and a["number"] != b["number"]
        case _:
            return False


def relation(premise: Iterable[Fact], hypothesis: Fact) -> Label:
    """What the premise (all its facts hold) says of the hypothesis."""
    labels = {_relation(fact, hypothesis) for fact in premise}
    for label in ("contradiction", "entailment"):
        if label in labels:
            return label  # type: ignore[return-value]
    return "neutral"


def _relation(fact: Fact, hypothesis: Fact) -> Label:
    if not fact.negated and not hypothesis.negated:
        if follows(fact, hypothesis):
            return "entailment"
        return "contradiction" if incompatible(fact, hypothesis) else "neutral"
    if not fact.negated:
        if follows(fact, hypothesis):
            return "contradiction"
        return "entailment" if incompatible(fact, hypothesis) else "neutral"
    if follows(hypothesis, fact):
        return "entailment" if hypothesis.negated else "contradiction"
    return "neutral"


def same_meaning(first: Fact, second: Fact) -> bool:
    """Whether the two facts say the same."""
    return canonical(first) == canonical(second)


# --- drawing facts and changing them ----------------------------------------------------------------------------------


def draw(rng: random.Random, kind: str | None = None) -> Fact:
    """A fact at random, affirmed three times in four."""
    kind = kind or rng.choice(KINDS)
    who = rng.sample(persons(), 2)
    maybe = {"time": pick(rng, concepts()["times"]) if rng.random() < 0.35 else None}
    match kind:
        case "event" | "give":
            verb = pick(rng, list(concepts()["verbs" if kind == "event" else "converses"]))
            thing = pick(rng, objects_of(verb))
            extra = {"recipient": who[1]} if kind == "give" else {"place": _sometimes(rng, locations(), 0.4)}
            attribute = pick(rng, attributes_of(thing)) if rng.random() < 0.5 else None
            fillers = {"agent": who[0], "verb": verb, "object": thing, "attribute": attribute, **extra, **maybe}
            fact = Fact.of(kind, negated=False, **fillers)
        case "act":
            place = _sometimes(rng, locations(), 0.6)
            verb = pick(rng, concepts()["actions"])
            fact = Fact.of(kind, negated=False, agent=who[0], verb=verb, place=place, **maybe)
        case "property":
            thing = pick(rng, things())
            fact = Fact.of(kind, object=thing, attribute=pick(rng, attributes_of(thing)))
        case "at":
            fact = Fact.of(kind, agent=who[0], place=pick(rng, concepts()["places"]))
        case "compare":
            comparative = rng.choice(rng.choice(concepts()["comparatives"]))
            fact = Fact.of(kind, agent=who[0], other=who[1], comparative=comparative)
        case "before":
            fact = Fact.of(kind, agent=who[0], other=who[1])
        case _:
            fact = Fact.of(kind, agent=who[0], number=pick(rng, concepts()["numbers"]), object=pick(rng, things()))
    return fact.denied() if kind not in POSITIVE_ONLY and rng.random() < 0.25 else fact


def _sometimes(rng: random.Random, options: list[str], probability: float) -> str | None:
    return pick(rng, options) if rng.random() < probability else None


CHANGES = (
    "drop", "add", "group", "member", "sibling", "agent", "swap", "verb", "modifier", "converse", "exclude", "number",
)  # fmt: skip


def change(rng: random.Random, fact: Fact, how: str, people: Sequence[str] = ()) -> Fact | None:
    """The fact with one thing changed, None where this change does not apply to it.

    `people` are persons mentioned nearby: exchanging the agent for one of them leaves no new word as a cue.
    """
    roles = fact.roles
    open_roles = [r for r in ROLES[fact.kind] if r in MODIFIERS and r not in roles and fact.kind in MODIFIED]
    filled = [r for r in MODIFIERS if r in roles and fact.kind in MODIFIED]
    thing = roles.get("object", "")
    group = group_of().get(thing, "")
    match how:
        case "drop" if filled:
            return fact.with_roles(**{rng.choice(filled): None})
        case "add" if open_roles:
            role = rng.choice(open_roles)
            return fact.with_roles(**{role: _modifier(rng, role, fact)})
        case "modifier" if filled:
            role = rng.choice(filled)
            return fact.with_roles(**{role: _modifier(rng, role, fact)})
        case "group" if thing and group not in ("reading", thing):
            return fact.with_roles(object=group)
        case "member" if thing and group == thing:
            return fact.with_roles(object=pick(rng, concepts()["things"][group]))
        case "sibling" if thing and group != thing:
            return fact.with_roles(object=pick(rng, concepts()["things"][group], but=(thing,)))
        case "agent" if "agent" in roles:
            taken = (roles["agent"], roles.get("other"), roles.get("recipient"))
            near = [person for person in people if person not in taken]
            return fact.with_roles(agent=pick(rng, near or persons(), but=taken))
        case "swap" if "other" in roles or "recipient" in roles:
            second = "other" if "other" in roles else "recipient"
            return fact.with_roles(**{"agent": roles[second], second: roles["agent"]})
        case "verb" if "verb" in roles:
            return _other_verb(rng, fact)
        case "converse" if fact.kind == "compare":
            comparative = converse(roles["comparative"])
            return fact.with_roles(agent=roles["other"], other=roles["agent"], comparative=comparative)
        case "exclude" if fact.kind in ("property", "at", "compare"):
            return _excluded(rng, fact)
        case "number" if "number" in roles:
            return fact.with_roles(number=pick(rng, concepts()["numbers"], but=(roles["number"],)))
    return None


def _modifier(rng: random.Random, role: str, fact: Fact) -> str:
    match role:
        case "attribute":
            options = attributes_of(fact.roles["object"])
        case "place":
            options = locations()
        case _:
            options = concepts()["times"]
    return pick(rng, options, but=(fact.roles.get(role),))


def _other_verb(rng: random.Random, fact: Fact) -> Fact | None:
    roles = fact.roles
    if fact.kind == "act":
        return fact.with_roles(verb=pick(rng, concepts()["actions"], but=(roles["verb"],)))
    verbs = concepts()["verbs" if fact.kind == "event" else "converses"]
    fitting = [verb for verb in verbs if verb != roles["verb"] and roles["object"] in objects_of(verb)]
    return fact.with_roles(verb=rng.choice(fitting)) if fitting else None


def _excluded(rng: random.Random, fact: Fact) -> Fact | None:
    roles = fact.roles
    if fact.kind == "at":
        return fact.with_roles(place=pick(rng, concepts()["places"], but=(roles["place"],)))
    if fact.kind == "compare":
        return fact.with_roles(comparative=converse(roles["comparative"]))
    rivals = [a for a in attributes_of(roles["object"]) if exclude_each_other(a, roles["attribute"])]
    return fact.with_roles(attribute=rng.choice(rivals)) if rivals else None


# --- saying it --------------------------------------------------------------------------------------------------------

TWO_WAYS = {"give": "receive", "before": "after"}
"""Facts that can be told from either side: the second template has the roles exchanged."""


def clause(code: str, fact: Fact, *, ask: bool = False, other_side: bool = False, variant: int = 0) -> list[Token]:
    """The words of a fact in a language, as a statement or a yes/no question, told from either side."""
    construction, fillers = fact.kind, fact.roles
    if other_side and construction in TWO_WAYS:
        construction = TWO_WAYS[construction]
        if construction == "receive":
            fillers["verb"] = concepts()["converses"][fillers["verb"]]
        else:
            fillers["agent"], fillers["other"] = fillers["other"], fillers["agent"]
    form = "ask" if ask else "neg" if fact.negated else "pos"
    return language(code).clause(construction, form, fillers, variant)


QUESTIONS = {
    "event": {"agent": "who", "object": "what", "place": "where"},
    "act": {"agent": "who", "place": "where"},
    "give": {"agent": "who", "object": "what", "recipient": "whom"},
    "at": {"agent": "who", "place": "where"},
    "compare": {"agent": "who"},
    "has": {"agent": "who", "number": "many"},
}
"""For each kind of fact the roles that can be asked for, and the form of the template that does."""


def question(code: str, fact: Fact, asked: str, variant: int = 0) -> Sentence:
    """The question in a language that asks for one role of a fact: who, what, where …"""
    fillers = {role: concept for role, concept in fact.fillers if role != asked}
    if asked == "object":
        fillers.pop("attribute", None)
    form = QUESTIONS[fact.kind][asked]
    return language(code).sentence("asking", language(code).clause(fact.kind, form, fillers, variant))


@dataclass(frozen=True)
class Saying:
    """What is said: one fact or two, how they are joined, from which side each is told, and whether it is asked."""

    facts: tuple[Fact, ...]
    sides: tuple[bool, ...]
    joined: str = "statement"
    variant: int = 0

    def sentence(self, code: str) -> Sentence:
        """The sentence in the language with that code; translations of each other share the Saying."""
        clauses = [
            clause(code, fact, ask=self.joined == "question", other_side=side, variant=self.variant)
            for fact, side in zip(self.facts, self.sides, strict=True)
        ]
        return language(code).sentence(self.joined, *clauses)


def say(rng: random.Random, *facts: Fact, ask: bool = False) -> Saying:
    """A way to say one or two facts, drawn at random."""
    joined = rng.choice(("and", "but")) if len(facts) > 1 else "question" if ask else "statement"
    return Saying(facts, tuple(rng.random() < 0.5 for _ in facts), joined, rng.randrange(12))


def paragraph(code: str, sayings: Sequence[Saying]) -> Sentence:
    """Sentences after each other as one text."""
    sentences = [said.sentence(code) for said in sayings]
    lang = language(code)
    # Thai has no full stop: a space ends the sentence.
    between = lang.joiner if sentences[0].tags[-1] == "PUNCT" else " "
    words, tags, roles = (
        tuple(chain.from_iterable(part)) for part in zip(*((s.tokens, s.tags, s.roles) for s in sentences), strict=True)
    )
    return Sentence(words, tags, roles, between.join(sentence.text for sentence in sentences))


# --- splits -----------------------------------------------------------------------------------------------------------

SPLITS = {"train": 0.70, "dev": 0.10, "test": 0.20}


@cache
def split_of(core: str) -> str:
    """The split a fact belongs to, by a hash of its core: what is tested was never said in training."""
    place = int.from_bytes(hashlib.sha256(core.encode()).digest()[:4], "big") / 2**32
    for split, share in SPLITS.items():
        place -= share
        if place < 0:
            return split
    return "test"


def in_split(split: str, *facts: Fact) -> bool:
    """Whether all of the facts belong to the split."""
    return all(split_of(fact.core) == split for fact in facts)
