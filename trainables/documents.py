"""Texts for pretraining a decoder: translations, series of pairs with what they have to do with each other, questions.

A document is a series of items in one format that is drawn anew for each, so that a decoder learns to read from the
first items how the next one goes on (in-context learning). What tells pairs apart is known in every language (`Pair`);
what follows from what, and the answers to questions, are told in English alone, so that answers in other languages stay
unseen. Meanings are those of the training split (docs/mini-suite.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trainables.corpus import Corpus, MiniCorpus, Pair
from trainables.mini import inference, reading
from trainables.mini.say import examples_of

Place = tuple[int, int]
"""Start and end characters."""


@dataclass
class Document:
    """A text; where its answers stand, which words say something new, and the senses of words."""

    text: str = ""
    answers: list[Place] = field(default_factory=list)
    changed: list[tuple[Place, bool]] = field(default_factory=list)
    senses: list[tuple[Place, str]] = field(default_factory=list)

    def add(
        self,
        text: str,
        *,
        answer: bool = False,
        new: Sequence[Place] | None = None,
        senses: Sequence[tuple[int, int, str]] = (),
    ) -> None:
        """Append a text. `new` are the places in it that an earlier text does not say, `senses` those of its words."""
        at = len(self.text)
        self.text += text
        if answer:
            self.answers.append((at, at + len(text)))
        if new is not None:
            self.changed.append(((at, at + len(text)), False))
            self.changed += [((at + start, at + end), True) for start, end in new]
        self.senses += [((at + start, at + end), sense) for start, end, sense in senses]


class Format(NamedTuple):
    """How the items of a series are written: what stands before the first text, the second and the answer, and what
    stands between items."""

    first: str
    second: str
    answer: str
    joiner: str

    @classmethod
    def draw(cls, rng: random.Random, seconds: Sequence[str]) -> Format:
        """Any of some forty formats; `seconds` are names of the second text."""
        sign = rng.choice((":", ":", ":", ":", " -"))
        gap = rng.choice(("\n", "\n", "\n", " "))
        names = rng.choice(_FIRST), rng.choice(seconds), rng.choice(("Answer", "Answer", "So"))
        one, two, three = (f"{name}{sign} " if name else "" for name in names)
        return cls(one, f"{gap}{two}", f"{gap}{three.rstrip()}", rng.choice(("\n\n", "\n\n", "\n")))


_FIRST = ("", "Text", "Known", "Passage", "First")
_ALIKE = (("same", "opposite", "different"), ("equal", "denied", "other"))
_FOLLOWS = (("yes", "maybe", "no"), ("true", "unknown", "false"))
_LABELS = ("entailment", "neutral", "contradiction")

_NAMES = (*_FIRST[1:], "Second", "Claim", "Question", "Answer", "So")
WORDS = tuple(dict.fromkeys((*_NAMES, *(word for row in (*_ALIKE, *_FOLLOWS) for word in row))))
"""The words of formats and answers, each a token of its own."""


class Documents:
    """Documents of any corpus: translations, and series of pairs that are the same, denied or something else."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._most = 5
        self._kinds: list[tuple[Callable[[random.Random], Document], int]] = [
            (self._translations, 1), (self._retold, 8),
        ]  # fmt: skip

    def advance(self, share: float) -> None:
        """Hear how much of the training is done (0 to 1): short series of single clauses come first."""
        self.corpus.advance(share)
        self._most = 2 if share < 0.3 else 3 if share < 0.6 else 5

    def draw(self, rng: random.Random) -> Document:
        """A document, a function of the generator alone."""
        kinds, weights = zip(*self._kinds, strict=True)
        chosen: Callable[[random.Random], Document] = rng.choices(kinds, weights)[0]
        return chosen(rng)

    def _count(self, rng: random.Random) -> int:
        return rng.randint(1, self._most)

    def _translations(self, rng: random.Random) -> Document:
        document = Document()
        sign, joiner = rng.choice((" = ", "\n", " - ")), rng.choice(("\n", "\n\n"))
        for _ in range(self._count(rng)):
            first, second = self.corpus.translation(rng)
            document.add(first + sign)
            document.add(second + joiner, new=())
        return document

    def _retold(self, rng: random.Random) -> Document:
        words = _words(rng, _ALIKE)
        form = Format.draw(rng, ("", "Second", "Claim"))
        document = Document()
        for _ in range(self._count(rng)):
            pair = self.corpus.pair(rng)
            document.add(form.first)
            document.add(pair.first, senses=pair.first_senses)
            document.add(form.second)
            document.add(pair.second, new=pair.changed, senses=pair.second_senses)
            document.add(form.answer)
            document.add(f" {words[_alike(pair)]}", answer=True)
            document.add(form.joiner)
        return document


class MiniDocuments(Documents):
    """Those of the mini suite besides: English claims that follow or do not, and English questions with answers."""

    def __init__(self, corpus: MiniCorpus) -> None:
        super().__init__(corpus)
        self._kinds += [(self._claims, 10), (self._questions, 3)]

    def _claims(self, rng: random.Random) -> Document:
        words = _words(rng, _FOLLOWS)
        form = Format.draw(rng, ("", "Claim", "Claim", "Question"))
        document = Document()
        stream = inference.nli(rng, "train")
        for _ in range(self._count(rng)):
            # Of three items with one claim one is taken, so that the items before do not tell the answer.
            item = rng.choice([next(stream) for _ in range(3)])
            example = examples_of("nli", "", item, "en")[0]
            document.add(form.first + example.text + form.second + (example.pair or "") + form.answer)
            document.add(f" {words[_LABELS.index(example.label or '')]}", answer=True)
            document.add(form.joiner)
        return document

    def _questions(self, rng: random.Random) -> Document:
        form = Format.draw(rng, ("", "Question", "Question"))
        document = Document()
        stream = reading.squad(rng, "train")
        for _ in range(min(4, self._count(rng))):
            example = examples_of("squad", "", next(stream), "en")[0]
            document.add(form.first + (example.pair or "") + form.second + example.text + form.answer)
            document.add(f" {example.answers[0].text}\n", answer=True)
            document.add(form.joiner.removeprefix("\n"))
        return document


def documents_of(corpus: Corpus) -> Documents:
    """The documents that a corpus allows."""
    return MiniDocuments(corpus) if isinstance(corpus, MiniCorpus) else Documents(corpus)


def _alike(pair: Pair) -> int:
    """Whether the second text says the same as the first (0), denies it (1), or says something else (2)."""
    how, _, denied = pair.relation.partition("/")
    return (1 if denied else 0) if how == "same" else 2


def _words(rng: random.Random, usual: Sequence[tuple[str, ...]]) -> Sequence[str]:
    """The answers of a series: mostly the same words, sometimes others in any order, which the series alone tells."""
    draw = rng.random()
    if draw < 0.75:
        return usual[0]
    return usual[1] if draw < 0.9 else rng.sample(usual[1], len(usual[1]))
