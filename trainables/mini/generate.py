"""The mini suite's data sets, generated: the same items in every language, labels from the meaning.

Every set is a fixed function of the language files, this code and a name: no random seed of a study reaches it. Items
are drawn without a language first (`items.Item`), then said in one (`say`); an item has the same id in all languages.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle

from trainables.examples import Example, Split
from trainables.mini import commonsense, inference, meaning, reading
from trainables.mini.grammar import concepts, language_codes
from trainables.mini.items import Item, changed, draw
from trainables.mini.meaning import Fact, Saying
from trainables.mini.say import examples_of

SIZES: dict[str, dict[Split, int]] = {
    "nli": {"train": 6000, "dev": 300, "test": 150},
    "anli": {"train": 4000, "dev": 300, "test": 150},
    "paraphrase": {"train": 4000, "dev": 300, "test": 150},
    "squad": {"train": 4000, "dev": 300, "test": 150},
    "squad2": {"train": 4000, "dev": 300, "test": 150},
    "swag": {"train": 4000, "dev": 300, "test": 150},
    "cosmos": {"train": 4000, "dev": 300, "test": 150},
    "csqa": {"train": 3000, "dev": 300, "test": 150},
    "roles": {"train": 3000, "dev": 200, "test": 150},
    "topic": {"train": 3000, "dev": 200, "test": 150},
    "pos": {"train": 3000, "dev": 200, "test": 150},
    "panx": {"train": 3000, "dev": 200, "test": 150},
    "ccg": {"train": 3000, "dev": 200, "test": 150},
    "translations": {"train": 0, "dev": 200, "test": 200},
    "bucc": {"train": 0, "dev": 60, "test": 150},
    "text": {"train": 2000, "dev": 200, "test": 0},
}
"""Items a set and split. For which languages there are which, `languages` says."""

ENGLISH_ONLY = ("cosmos", "csqa", "ccg")
"""Intermediate tasks that are never a target, so nothing of them is said in other languages."""

AGAINST_ENGLISH = ("translations", "bucc")
"""Sets that look for English sentences, so English itself is no language of theirs."""

TOPICS = {
    "fruit": "food", "animal": "animals", "vehicle": "transport", "garment": "fashion", "instrument": "music",
    "furniture": "home", "tool": "technology", "device": "technology", "toy": "play", "flower": "nature",
    "reading": "reading",
}  # fmt: skip


def languages(task: str, split: Split) -> tuple[str, ...]:
    """The languages of a split: English for training and dev sets, all for tests.

    Unlabelled text to train on is there in all languages; so is the dev set that a mining threshold is fitted on.
    """
    if not SIZES[task][split]:
        return ()
    everywhere = split == "test" or (task, split) in (("bucc", "dev"), ("text", "train"))
    codes = language_codes() if everywhere and task not in ENGLISH_ONLY else ("en",)
    return tuple(code for code in codes if not (code == "en" and task in AGAINST_ENGLISH))


@cache
def items(task: str, split: Split) -> tuple[Item, ...]:
    """The items of a set and split, always the same ones."""
    rng = random.Random(f"mini {task} {split}")
    stream = _STREAMS[task](rng, split)
    return tuple(next(stream) for _ in range(SIZES[task][split]))


def examples(task: str, split: Split, code: str) -> list[Example]:
    """The set in one language."""
    if code not in language_codes() or (task in ENGLISH_ONLY and code != "en"):
        raise KeyError(code)
    named = ((f"{split}-{number}", item) for number, item in enumerate(items(task, split)))
    return [example for name, item in named for example in examples_of(task, name, item, code)]


# --- single sentences -------------------------------------------------------------------------------------------------


def _topic(rng: random.Random, split: Split) -> Iterator[Item]:
    """One sentence about one kind of thing; a second clause, where there is one, is about persons."""
    while True:
        fact = draw(rng, split, rng.choice(("event", "give", "property", "has")))
        label = TOPICS[meaning.group_of()[fact.roles["object"]]]
        facts = [fact]
        if rng.random() < 0.4:
            facts.insert(rng.randrange(2), draw(rng, split, rng.choice(("act", "at", "compare", "before"))))
        said = meaning.say(rng, *facts, ask=len(facts) == 1 and not fact.negated and rng.random() < 0.2)
        yield Item((said,), label=label)


def _sentences(rng: random.Random, split: Split) -> Iterator[Item]:
    """Statements and questions of one clause or two, no two the same."""
    seen: set[tuple[Fact, ...]] = set()
    while True:
        facts = [draw(rng, split)]
        if rng.random() < 0.4:
            facts.append(draw(rng, split))
        if tuple(facts) in seen:
            continue
        seen.add(tuple(facts))
        asked = len(facts) == 1 and not facts[0].negated and rng.random() < 0.25
        yield Item((meaning.say(rng, *facts, ask=asked),))


def _entities(rng: random.Random, split: Split) -> Iterator[Item]:
    """Sentences of which every other one speaks of a city or an organisation, as often of the one as of the other."""
    plain = _sentences(rng, split)
    for kind in cycle(("cities", "", "organisations", "")):
        item = next(plain)
        if kind:
            event = draw(rng, split, rng.choice(("event", "act")))
            facts = [event.with_roles(place=rng.choice(concepts()[kind]))]
            if rng.random() < 0.3:
                facts.insert(rng.randrange(2), draw(rng, split))
            asked = len(facts) == 1 and not facts[0].negated and rng.random() < 0.25
            item = Item((meaning.say(rng, *facts, ask=asked),))
        yield item


# --- sentences to look for --------------------------------------------------------------------------------------------


def _neighbours(rng: random.Random, split: Split) -> Iterator[Item]:
    """Sentences in twos that differ in one thing alone: whoever looks for a translation has to read closely."""
    seen: set[tuple[Fact, ...]] = set()
    while True:
        fact, rest = draw(rng, split), [draw(rng, split)] if rng.random() < 0.3 else []
        others = changed(rng, (fact,), split)
        if others is None or {(fact, *rest), (*others, *rest)} & seen:
            continue
        said = meaning.say(rng, fact, *rest, ask=not rest and not fact.negated and rng.random() < 0.2)
        for facts in ((fact, *rest), (*others, *rest)):
            seen.add(facts)
            yield Item((Saying(facts, said.sides, said.joined, said.variant),))


def _two_sides(rng: random.Random, split: Split) -> Iterator[Item]:
    """Of five sentences three have a translation on the other side, one something near it there, one nothing.

    No two sentences of all say the same, so no other pair of them translates each other.
    """
    seen: set[frozenset[Fact]] = set()
    while True:
        for label in rng.sample(("translation",) * 3 + ("near", "none"), 5):
            said, near = _one_and_near(rng, split, seen)
            second = {"translation": said, "near": near}.get(label)
            seen.update(_meant(one) for one in (said, near))
            yield Item((said,), second, label)


def _one_and_near(rng: random.Random, split: Split, seen: set[frozenset[Fact]]) -> tuple[Saying, Saying]:
    """A sentence that was not said yet, and one that differs in one thing."""
    while True:
        facts = tuple(draw(rng, split) for _ in range(2 if rng.random() < 0.3 else 1))
        others = changed(rng, facts, split)
        said = meaning.say(rng, *facts)
        near = Saying(others or (), said.sides, said.joined, said.variant)
        if others and not {_meant(said), _meant(near)} & seen:
            return said, near


def _meant(said: Saying) -> frozenset[Fact]:
    """What is said, from whichever side and in whichever order."""
    return frozenset(meaning.canonical(fact) for fact in said.facts)


_STREAMS: dict[str, Callable[[random.Random, Split], Iterator[Item]]] = {
    "nli": inference.nli,
    "anli": inference.anli,
    "paraphrase": inference.paraphrase,
    "squad": reading.squad,
    "squad2": reading.squad2,
    "swag": commonsense.swag,
    "cosmos": reading.cosmos,
    "csqa": commonsense.csqa,
    "roles": _sentences,
    "topic": _topic,
    "pos": _sentences,
    "panx": _entities,
    "ccg": _sentences,
    "translations": _neighbours,
    "bucc": _two_sides,
    "text": _sentences,
}
