"""Choices that only what goes with what decides: one verb can take the object, or one thing is what can be eaten.

Wrong choices are no facts. In training they keep to the training split all the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from trainables.examples import Split
from trainables.mini import meaning
from trainables.mini.grammar import concepts, pick
from trainables.mini.items import Item, Question, Weighed, affirmed, evened, positions, with_person
from trainables.mini.meaning import Fact

VERBS = tuple(verb for verb, allowed in concepts()["verbs"].items() if allowed != "all")
"""Verbs that do not take every object. The others could only ever be right."""

WRONG_VERBS, WRONG_THINGS = 3, 4


def swag(rng: random.Random, split: Split) -> Iterator[Item]:
    """What a person does next, four times the same but for the verb, of which one goes with the object."""
    places, seen = positions(rng, WRONG_VERBS + 1), set()
    for item in evened(_continuations(rng, split)):
        fact = item.facts[0]
        scene = _scene(rng, split, fact)
        if scene and (scene, fact) not in seen:
            seen.add((scene, fact))
            yield _placed(replace(item, said=(meaning.say(rng, scene),)), next(places))


def csqa(rng: random.Random, split: Split) -> Iterator[Item]:
    """What somebody ate or repaired, to be chosen from things of five groups."""
    places = positions(rng, WRONG_THINGS + 1)
    for item in evened(_questions(rng, split), _never_right()):
        yield _placed(item, next(places))


def _placed(item: Item, place: int) -> Item:
    """The item with the right choice, which is drawn first, at a place."""
    right, *rest = item.choices
    return replace(item, label=str(place), choices=(*rest[:place], right, *rest[place:]))


def _events(rng: random.Random, split: Split, verbs: Sequence[str]) -> Iterator[Fact]:
    """Affirmed events of the split, with each of the verbs as often as with any other."""
    while True:
        fact, verb = affirmed(meaning.draw(rng, "event")), rng.choice(verbs)
        fact = fact.with_roles(verb=verb, object=rng.choice(meaning.objects_of(verb)))
        attribute, thing = fact.roles.get("attribute"), fact.roles["object"]
        if meaning.in_split(split, fact):
            yield fact if not attribute or meaning.suits(attribute, thing) else fact.with_roles(attribute=None)


def _may_say(split: Split, wrong: Fact) -> bool:
    return split != "train" or meaning.in_split(split, wrong)


# --- which verb -------------------------------------------------------------------------------------------------------


def _continuations(rng: random.Random, split: Split) -> Iterator[Weighed]:
    for fact in _events(rng, split, VERBS):
        unfit = [verb for verb in VERBS if fact.roles["object"] not in meaning.objects_of(verb)]
        unfit = [verb for verb in unfit if _may_say(split, fact.with_roles(verb=verb))]
        if len(unfit) >= WRONG_VERBS:
            verbs = rng.sample(unfit, WRONG_VERBS)
            wrong = [fact.with_roles(verb=verb) for verb in verbs]
            yield fact.roles["verb"], verbs, Item((), label="0", choices=(fact, *wrong))


def _scene(rng: random.Random, split: Split, fact: Fact) -> Fact | None:
    """What else is said of the person: where they are or what they do, or what happened to the object before."""
    who, thing = fact.roles["agent"], fact.roles["object"]
    for _ in range(100):
        scene = affirmed(with_person(rng, meaning.draw(rng, rng.choice(("event", "event", "act", "at"))), [who]))
        if scene.kind == "event":
            verb = pick(rng, [verb for verb in concepts()["verbs"] if verb not in VERBS])
            scene = scene.with_roles(verb=verb, object=thing, attribute=fact.roles.get("attribute"))
        if scene.roles["agent"] == who and meaning.in_split(split, scene):
            return scene
    return None


# --- which thing ------------------------------------------------------------------------------------------------------


@cache
def _groups(verb: str) -> set[str]:
    """The groups that a verb's objects come from."""
    return {meaning.group_of()[thing] for thing in meaning.objects_of(verb)}


@cache
def _asked_verbs() -> list[str]:
    """Verbs that enough groups do not go with."""
    return [verb for verb in VERBS if len(set(concepts()["things"]) - _groups(verb)) >= WRONG_THINGS]


def _never_right() -> frozenset[str]:
    return frozenset(concepts()["things"]).difference(*map(_groups, _asked_verbs()))


def _questions(rng: random.Random, split: Split) -> Iterator[Weighed]:
    seen: set[tuple[Fact, ...]] = set()
    for event in _events(rng, split, _asked_verbs()):
        fact = event.with_roles(attribute=None)
        groups = rng.sample(sorted(set(concepts()["things"]) - _groups(fact.roles["verb"])), WRONG_THINGS)
        wrong = [_wrong(rng, split, fact, group) for group in groups]
        said = (fact, *(one for one in wrong if one))
        if len(said) == WRONG_THINGS + 1 and said not in seen:
            seen.add(said)
            right = meaning.group_of()[fact.roles["object"]]
            question = Question(fact, "object", rng.randrange(12))
            yield right, groups, Item((), label="0", question=question, choices=said)


def _wrong(rng: random.Random, split: Split, fact: Fact, group: str) -> Fact | None:
    """The event with something of another group, which its verb does not take."""
    options = [fact.with_roles(object=thing) for thing in meaning.things((group,))]
    options = [option for option in options if _may_say(split, option)]
    return rng.choice(options) if options else None
