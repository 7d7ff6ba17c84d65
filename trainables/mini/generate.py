"""The mini suite's data sets, generated: the same items in every language, labels from the meaning.

Every set is a fixed function of the language files, this code and a name: no random seed of a study reaches it. Items
are drawn without a language first (`Item`), then said in one; an item has the same id in all languages.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from trainables.examples import Example, Split
from trainables.mini import meaning
from trainables.mini.grammar import Sentence, language_codes
from trainables.mini.meaning import Fact, Saying

SIZES: dict[str, dict[Split, int]] = {
    "nli": {"train": 6000, "dev": 300, "test": 150},
    "paraphrase": {"train": 4000, "dev": 300, "test": 150},
    "roles": {"train": 3000, "dev": 200, "test": 150},
    "topic": {"train": 3000, "dev": 200, "test": 150},
    "pos": {"train": 3000, "dev": 200, "test": 150},
    "translations": {"train": 0, "dev": 200, "test": 200},
}
"""Items a set and split; `dev` is English alone, `test` is in every language."""

TOPICS = {
    "fruit": "food", "animal": "animals", "vehicle": "transport", "garment": "fashion", "instrument": "music",
    "furniture": "home", "tool": "technology", "device": "technology", "toy": "play", "flower": "nature",
    "reading": "reading",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One example without a language: what is said, and the label that follows from it."""

    first: Saying
    second: Saying | None = None
    label: str | None = None


@cache
def items(task: str, split: Split) -> tuple[Item, ...]:
    """The items of a set and split, always the same ones."""
    rng = random.Random(f"mini {task} {split}")
    stream = _STREAMS[task](rng, split)
    return tuple(next(stream) for _ in range(SIZES[task][split]))


def examples(task: str, split: Split, code: str) -> list[Example]:
    """The set in one language."""
    if code not in language_codes():
        raise KeyError(code)
    return [_say(task, f"{split}-{number}", item, code) for number, item in enumerate(items(task, split))]


def _say(task: str, name: str, item: Item, code: str) -> Example:
    first = item.first.sentence(code)
    match task:
        case "pos":
            words, tags = _shuffled(name, first) if name.startswith("train") else (first.tokens, first.tags)
            return Example(name, code, words=words, tags=tags)
        case "roles":
            return Example(name, code, words=first.tokens, tags=_bio(first.roles))
        case "translations":
            return Example(name, code, text=first.text, pair=item.first.sentence("en").text)
        case _:
            pair = item.second.sentence(code).text if item.second else None
            return Example(name, code, text=first.text, pair=pair, label=item.label)


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


def _bio(roles: tuple[str, ...]) -> tuple[str, ...]:
    before = ("", *roles)
    return tuple(
        "O" if not role else f"{'I' if role == last else 'B'}-{role.upper()}"
        for last, role in zip(before, roles, strict=False)
    )


# --- natural language inference ---------------------------------------------------------------------------------------


def _nli(rng: random.Random, split: Split) -> Iterator[Item]:
    """Triples with one hypothesis and a premise for each label, so the hypothesis alone says nothing of the label."""
    while True:
        hypothesis = _draw(rng, split)
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
            yield Item(meaning.say(rng, *premises[label]), meaning.say(rng, hypothesis), label)


def _premise(rng: random.Random, hypothesis: Fact, split: Split) -> tuple[Fact, ...] | None:
    """One or two facts near the hypothesis: changed once or twice, denied or not, in any place of two."""
    two = rng.random() < 0.5
    other = _draw(rng, split) if two else None
    people = [c for role, c in other.fillers if role in ("agent", "other", "recipient")] if other else []
    fact = hypothesis
    for _ in range(rng.choice((1, 1, 2) if not two else (0, 1, 1, 2))):
        fact = meaning.change(rng, fact, rng.choice(meaning.CHANGES), people) or fact
    if fact.kind not in meaning.POSITIVE_ONLY and rng.random() < 0.5:
        fact = fact.denied()
    if (fact == hypothesis and not two) or not meaning.in_split(split, fact):
        return None
    if not other:
        return (fact,)
    if other.kind == fact.kind and meaning.relation((other,), hypothesis) != "neutral":
        return None  # one clause decides, the other is there to be told apart from it
    return (fact, other) if rng.random() < 0.5 else (other, fact)


# --- paraphrase -------------------------------------------------------------------------------------------------------


def _paraphrase(rng: random.Random, split: Split) -> Iterator[Item]:
    """Pairs that come in twos with the same first sentence: one says the same, one does not."""
    while True:
        fact = _draw(rng, split)
        if rng.random() < 0.5:
            facts: tuple[Fact, ...] = (fact, _draw(rng, split))
        elif fact.kind in ("give", "before", "compare"):
            facts = (fact,)
        else:
            continue
        asked = len(facts) == 1 and rng.random() < 0.5
        facts = tuple(f if not (asked and f.negated) else f.denied() for f in facts)
        first = meaning.say(rng, *facts, ask=asked)
        changed = _changed(rng, facts, split)
        if changed is None:
            continue
        pairs = [
            Item(first, _retold(rng, first, facts), "same"),
            Item(first, _retold(rng, first, changed), "different"),
        ]
        yield from rng.sample(pairs, 2)


def _changed(rng: random.Random, facts: tuple[Fact, ...], split: Split) -> tuple[Fact, ...] | None:
    """The facts with one of them changed, or their persons exchanged, so that they mean something else."""
    for _ in range(30):
        at = rng.randrange(len(facts))
        people = [c for fact in facts for role, c in fact.fillers if role in ("agent", "other", "recipient")]
        new = meaning.change(rng, facts[at], rng.choice(("swap", "agent", "exclude", "verb", "modifier")), people)
        if new and not meaning.same_meaning(new, facts[at]) and meaning.in_split(split, new):
            return (*facts[:at], new, *facts[at + 1 :])
    return None


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


# --- single sentences -------------------------------------------------------------------------------------------------


def _topic(rng: random.Random, split: Split) -> Iterator[Item]:
    """One sentence about one kind of thing; a second clause, where there is one, is about persons."""
    while True:
        fact = _draw(rng, split, rng.choice(("event", "give", "property", "has")))
        label = TOPICS[meaning.group_of()[fact.roles["object"]]]
        facts = [fact]
        if rng.random() < 0.4:
            facts.insert(rng.randrange(2), _draw(rng, split, rng.choice(("act", "at", "compare", "before"))))
        yield Item(
            meaning.say(rng, *facts, ask=len(facts) == 1 and not fact.negated and rng.random() < 0.2), None, label
        )


def _sentences(rng: random.Random, split: Split) -> Iterator[Item]:
    """Statements and questions of one clause or two, no two the same."""
    seen: set[tuple[Fact, ...]] = set()
    while True:
        facts = [_draw(rng, split)]
        if rng.random() < 0.4:
            facts.append(_draw(rng, split))
        if tuple(facts) in seen:
            continue
        seen.add(tuple(facts))
        asked = len(facts) == 1 and not facts[0].negated and rng.random() < 0.25
        yield Item(meaning.say(rng, *facts, ask=asked))


def _draw(rng: random.Random, split: Split, kind: str | None = None) -> Fact:
    """A fact of the split at random."""
    while True:
        fact = meaning.draw(rng, kind)
        if meaning.in_split(split, fact):
            return fact


_STREAMS: dict[str, Callable[[random.Random, Split], Iterator[Item]]] = {
    "nli": _nli,
    "paraphrase": _paraphrase,
    "roles": _sentences,
    "topic": _topic,
    "pos": _sentences,
    "translations": _sentences,
}
