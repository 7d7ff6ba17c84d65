"""What the pretraining tool reads: sentence pairs in two languages with what tells them apart, and a lexicon.

A corpus gives pairs (first text, second text, relation): the second retells the first, or part of it, with nothing or
one thing changed, in any two languages. The relation is known from how the pair was made; no task label is read.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from trainables.alignment import best_translations
from trainables.errors import Mistake
from trainables.mini import meaning
from trainables.mini.grammar import Sentence, concept_tags, language, language_codes


class Pair(NamedTuple):
    """Two texts, their relation, and where the second says something else than the first (start and end characters)."""

    first: str
    second: str
    relation: str
    changed: tuple[tuple[int, int], ...]
    first_senses: tuple[tuple[int, int, str], ...] = ()
    second_senses: tuple[tuple[int, int, str], ...] = ()
    """Where in the two texts words stand whose sense is known (start and end characters, sense)."""


Senses = dict[str, dict[str, tuple[str, ...]]]
"""For each language the senses of each word (in lower case), the usual one first: words that share a sense translate
each other."""


_WORD = re.compile(r"\w+")

_SIGNS = {"。": ".", "।": ".", "？": "?", "؟": "?", "，": ",", "،": ","}
"""Punctuation marks and the English ones they stand for."""

_EXCHANGED = {"agent": "other", "other": "agent"}
"""Roles of a comparison told from the other side."""


class Corpus(ABC):
    """A source of pretraining text. Streams are endless and a function of the generator they are given."""

    languages: tuple[str, ...]
    relations: tuple[str, ...]
    senses: Senses

    @abstractmethod
    def pair(self, rng: random.Random) -> Pair:
        """Two sentences, mostly of two languages, and their relation (one of `relations`)."""

    @abstractmethod
    def translation(self, rng: random.Random) -> tuple[str, str]:
        """A sentence and its translation."""

    def lexicon(self) -> dict[str, list[str]]:
        """The words of each sense in all languages, capitalised too, as they may begin a sentence."""
        words: dict[str, list[str]] = defaultdict(list)
        for code in self.languages:
            for word, senses in self.senses.get(code, {}).items():
                for sense in senses:
                    words[sense] += list(dict.fromkeys((word, word[0].upper() + word[1:])))
        return dict(sorted(words.items()))

    def advance(self, share: float) -> None:  # noqa: B027 - most corpora have nothing to change
        """Hear how much of the training is done (0 to 1), for corpora that begin with what is easy."""

    def sentences(self, rng: random.Random, count: int) -> Iterator[str]:
        """Sentences of all languages, for training a tokenizer."""
        for _ in range(count):
            yield from self.translation(rng)


class MiniCorpus(Corpus):
    """The mini suite's own corpus: facts of its training split alone, said in every language."""

    KINDS_OF_CHANGE = ("same", *(how for how in meaning.CHANGES if how != "converse"), "other")

    def __init__(self, switched: float = 0.15) -> None:
        """`switched` is the share of pairs whose first sentence mixes two languages, word by word."""
        self.languages = language_codes()
        self.relations = tuple(f"{how}{sign}" for how in self.KINDS_OF_CHANGE for sign in ("", "/denied"))
        self._switched = switched
        self._clauses: tuple[int, ...] = (1, 1, 2)
        self._words = self._dictionary()
        self.senses = {code: self._senses(code) for code in self.languages}

    def advance(self, share: float) -> None:
        """Single clauses first: they are shorter and teach the comparison soonest. Paragraphs last."""
        self._clauses = (1,) if share < 0.35 else (1, 1, 1, 2, 2) if share < 0.6 else (1, 1, 1, 1, 2, 2, 2, 3, 3, 4)

    def pair(self, rng: random.Random) -> Pair:
        fact = self._fact(rng)
        facts = [self._fact(rng) for _ in range(rng.choice(self._clauses) - 1)]
        facts.insert(rng.randrange(len(facts) + 1), fact)
        how, told = self._change(rng, fact, facts)
        changed = {role for role, concept in told.fillers if fact.roles.get(role) != concept or how == "other"}
        flipped = rng.random() < 0.4 and told.kind not in meaning.POSITIVE_ONLY
        told = told.denied() if flipped else told
        if told.kind == "compare" and rng.random() < 0.5:
            told = meaning.change(rng, told, "converse") or told
            changed = {_EXCHANGED.get(role, role) for role in changed}
        first, second = self._two_languages(rng)
        asked = len(facts) == 1 and not fact.negated and not told.negated and rng.random() < 0.15
        premise = self._saying(rng, facts, ask=asked)
        one = meaning.paragraph(first, premise)
        open_roles = (
            [] if asked or told.negated else [r for r in meaning.QUESTIONS.get(told.kind, ()) if r in told.roles]
        )
        if open_roles and rng.random() < 0.25:
            asking = rng.choice(open_roles), rng.randrange(12)
            two, two_en = (meaning.question(code, told, *asking) for code in (second, "en"))
        else:
            saying = meaning.say(rng, told, ask=asked)
            two, two_en = saying.sentence(second), saying.sentence("en")
            if told.kind == "before" and saying.sides[0]:
                changed = {_EXCHANGED.get(role, role) for role in changed}
        switched = rng.random() < self._switched
        # Some sentences come word by word, as treebanks give them: that is how taggers will see them.
        text = self._switch(rng, one.text, first) if switched else self._written(rng, one)
        again = self._written(rng, two)
        spans = tuple(span for span, role in zip(two.spans(again), two.roles, strict=True) if role in changed)
        senses = () if switched else self._known(one, first, text, facts, meaning.paragraph("en", premise))
        retold = self._known(two, second, again, [told], two_en)
        return Pair(text, again, how + ("/denied" if flipped else ""), spans, senses, retold)

    @staticmethod
    def _saying(rng: random.Random, facts: list[meaning.Fact], *, ask: bool) -> list[meaning.Saying]:
        """One or two facts in one sentence, more of them in one sentence each."""
        parts = [facts] if len(facts) < 3 else [[fact] for fact in facts]
        return [meaning.say(rng, *part, ask=ask) for part in parts]

    @staticmethod
    def _written(rng: random.Random, sentence: Sentence) -> str:
        return " ".join(sentence.tokens) if rng.random() < 0.25 else sentence.text

    def _two_languages(self, rng: random.Random) -> tuple[str, str]:
        first, second, draw = rng.choice(self.languages), rng.choice(self.languages), rng.random()
        if draw < 0.5:
            return second, second
        return ("en", second) if draw < 0.6 else (first, second)

    def translation(self, rng: random.Random) -> tuple[str, str]:
        facts = [self._fact(rng) for _ in range(1 if rng.random() < 0.6 else 2)]
        first, second = rng.choice(self.languages), rng.choice(self.languages if rng.random() < 0.7 else ("en",))
        fact = facts[0]
        roles = (
            []
            if fact.negated or len(facts) > 1
            else [r for r in meaning.QUESTIONS.get(fact.kind, ()) if r in fact.roles]
        )
        if roles and rng.random() < 0.15:
            role = rng.choice(roles)
            return meaning.question(first, fact, role).text, meaning.question(second, fact, role).text
        said = meaning.say(rng, *facts, ask=len(facts) == 1 and not fact.negated and rng.random() < 0.25)
        again = meaning.Saying(said.facts, said.sides, said.joined, rng.randrange(12))
        return said.sentence(first).text, again.sentence(second).text

    def _fact(self, rng: random.Random) -> meaning.Fact:
        while True:
            fact = meaning.draw(rng)
            if meaning.in_split("train", fact):
                return fact

    def _change(self, rng: random.Random, fact: meaning.Fact, facts: list[meaning.Fact]) -> tuple[str, meaning.Fact]:
        people = [c for f in facts for role, c in f.fillers if role in ("agent", "other", "recipient")]
        if rng.random() < 0.3:
            return "same", fact
        for _ in range(12):
            how = rng.choice(self.KINDS_OF_CHANGE[1:])
            told = self._fact(rng) if how == "other" else meaning.change(rng, fact, how, people)
            if told and not meaning.same_meaning(told, fact) and meaning.in_split("train", told):
                return how, told
        return "same", fact

    def _dictionary(self) -> dict[str, dict[str, str]]:
        """For each language: the concept of a word (only words that are written with spaces, of one meaning)."""
        words: dict[str, dict[str, str]] = {code: {} for code in self.languages}
        for code in self.languages:
            for concept in concept_tags():
                for form in language(code).forms(concept):
                    words[code].setdefault(form.lower(), concept)
        return words

    @staticmethod
    def _senses(code: str) -> dict[str, tuple[str, ...]]:
        """Small words by the English ones they are listed under, all others by the concepts they belong to.

        A small word that English has no counterpart for is a sense of its own.
        """
        lang = language(code)
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for sense, words in lang.function_words.items():
            for word in words:
                found[word.lower()][f"en {sense}"] = None
        small = frozenset(found)
        for concept in concept_tags():
            for word in {word for form in lang.forms(concept) for word in form.lower().split()} - small:
                found[word][concept] = None
        for word in lang.literals() - set(found):
            shared = any(map(str.isalpha, word))
            found[word][f"{code} {word}" if shared else _SIGNS.get(word, word)] = None
        return {word: tuple(senses) for word, senses in found.items()}

    def _known(
        self, sentence: Sentence, code: str, text: str, facts: list[meaning.Fact], english: Sentence
    ) -> tuple[tuple[int, int, str], ...]:
        """The senses of a sentence's words; where a word has several, what is meant and how English says it decide."""
        known, meant = self.senses[code], {concept for fact in facts for _, concept in fact.fillers}
        said = {sense for word in english.tokens for sense in self.senses["en"].get(word.lower(), ())} | meant
        words = zip(sentence.spans(text), sentence.tokens, strict=True)
        return tuple(
            (*span, next((sense for sense in senses if sense in said), senses[0]))
            for span, word in words
            if (senses := known.get(word.lower()))
        )

    def _switch(self, rng: random.Random, text: str, code: str) -> str:
        other, known = language(rng.choice(self.languages)), self._words[code]

        def translate(match: re.Match[str]) -> str:
            concept = known.get(match[0].lower())
            return min(other.forms(concept), key=len) if concept and rng.random() < 0.5 else match[0]

        return re.sub(r"[^\s.,?!¿،؟।]+", translate, text)


class FolderCorpus(Corpus):
    """Training and validation text of a data folder: parallel rows where it has them. Test text is never read.

    Rows are parallel when files of one task give the same `id` in several languages (XNLI, PAWS-X). A pair's relation
    is `same` (a translation or the sentence itself), `edited` (one word replaced by another of the same language) or
    `other` (another sentence).
    """

    relations = ("same", "edited", "other")
    PARALLEL: ClassVar = {"xnli/val": ("premise", "hypothesis"), "pawsx/val": ("sentence1", "sentence2")}
    PLAIN: ClassVar = {
        "mnli/train": ("premise", "hypothesis"), "qqp/train": ("question1", "question2"),
        "udpos/train_en": ("tokens",), "udpos/val": ("tokens",), "panx/val": ("tokens",),
    }  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._groups: list[dict[str, str]] = []
        self._plain: dict[str, list[str]] = defaultdict(list)
        self._folder = folder
        fields: tuple[str, ...]
        for name, fields in self.PARALLEL.items():
            grouped: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
            for row in self._rows(name):
                for field in fields:
                    grouped[(str(row["id"]), field)][row["lang"]] = row[field]
                    self._plain[row["lang"]].append(row[field])
            self._groups += [group for group in grouped.values() if len(group) > 1]
        for name, fields in self.PLAIN.items():
            for row in self._rows(name):
                for field in fields:
                    text = row[field]
                    self._plain[row["lang"]].append(" ".join(text) if isinstance(text, list) else text)
        if not self._groups or not self._plain:
            raise Mistake(
                "no text to pretrain on was found in the data folder",
                where=f"--data-dir {folder}",
                right=f"files such as {', '.join([*self.PARALLEL, *self.PLAIN])} (.jsonl or .jsonl.gz)",
            )
        self.languages = tuple(sorted(self._plain))
        self.senses = self._senses()
        self._words = {code: sorted({w for text in texts for w in text.split()}) for code, texts in self._plain.items()}

    def pair(self, rng: random.Random) -> Pair:
        if rng.random() < 0.6:
            group = rng.choice(self._groups)
            first, second = rng.choice(sorted(group)), rng.choice(sorted(group))
            one, two = group[first], group[second]
        else:
            first = second = rng.choice(self.languages)
            one = two = rng.choice(self._plain[second])
        draw = rng.random()
        if draw < 0.4:
            return Pair(one, two, "same", (), self._known(one, first), self._known(two, second))
        if draw < 0.7:
            edited, span = self._edit(rng, two, second)
            return Pair(one, edited, "edited", (span,), self._known(one, first), self._known(edited, second))
        other = rng.choice(self._plain[second])
        return Pair(one, other, "other", ((0, len(other)),), self._known(one, first), self._known(other, second))

    def translation(self, rng: random.Random) -> tuple[str, str]:
        if rng.random() < 0.6:
            group = rng.choice(self._groups)
            first, second = rng.sample(sorted(group), 2)
            return group[first], group[second]
        text = rng.choice(self._plain[rng.choice(self.languages)])
        return text, text

    def _senses(self) -> Senses:
        """English words are senses of their own; others take that of the word they align to, or of their dictionary."""
        groups = [group for group in self._groups if "en" in group]
        senses: Senses = {"en": {word: (word,) for group in groups for word in _split(group["en"])}}
        for row in self._rows("bli_xling/train"):
            source, target = row["lang"].split("-")
            if source == "en" and target in self.languages:
                senses["en"].setdefault(row["src"].lower(), (row["src"].lower(),))
                senses.setdefault(target, {}).setdefault(row["tgt"].lower(), (row["src"].lower(),))
        for code in self.languages:
            pairs = [(_split(group["en"]), _split(group[code])) for group in groups if code in group and code != "en"]
            known = senses.setdefault(code, {})
            known |= {w: (e,) for w, e in sorted(best_translations(pairs, least=0.4).items()) if w not in known}
        return senses

    def _known(self, text: str, code: str) -> tuple[tuple[int, int, str], ...]:
        known = self.senses.get(code, {})
        words = ((match.start(), match.end(), match[0].lower()) for match in _WORD.finditer(text))
        return tuple((start, end, known[word][0]) for start, end, word in words if word in known)

    def _edit(self, rng: random.Random, text: str, code: str) -> tuple[str, tuple[int, int]]:
        words = text.split()
        at = rng.randrange(len(words))
        words[at] = rng.choice(self._words[code])
        start = len(" ".join(words[:at])) + (at > 0)
        return " ".join(words), (start, start + len(words[at]))

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        for suffix, opener in ((".jsonl.gz", gzip.open), (".jsonl", open)):
            path = self._folder / f"{name}{suffix}"
            if path.exists():
                with opener(path, "rt", encoding="utf-8") as lines:
                    yield from map(json.loads, lines)
                return


def _split(text: str) -> list[str]:
    return [match[0].lower() for match in _WORD.finditer(text)]
