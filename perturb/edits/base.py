"""What an edit is: places of a text that it may change, and what each may become.

An edit knows nothing of suites, models or attacks. `Edit.sites` lists where a text may be changed and how; a suite
takes as many of these at random as its severity says (`Edit.replacements`), an attack tries them one after the other.
"""

from __future__ import annotations

import random
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import ClassVar, Literal, NamedTuple, TypeVar

from perturb.script import mostly_in, script_of, scripts
from perturb.segment import Span, words

T = TypeVar("T")

Keeps = Literal["form", "meaning", "stress"]
"""What an edit leaves as it was: the meaning, because only the spelling changes (`form`), or because a lexicon says so
(`meaning`); or nothing is claimed (`stress`)."""

SEVERITIES = (1, 2, 3, 4, 5)

SHARES = (0.1, 0.2, 0.35, 0.55, 0.8)
"""Of the places that an edit may change, the share it changes at severity 1 to 5."""

SPACE = "▁"
"""What SentencePiece writes for a space, and before a text."""

_JAMO = range(0x1160, 0x1200)  # vowels and tails, which syllables are composed of


class Replacement(NamedTuple):
    """The characters from `start` to `end` of a text become `text`."""

    start: int
    end: int
    text: str


class Site(NamedTuple):
    """The characters from `start` to `end` of a text, and what they may become."""

    start: int
    end: int
    options: Sequence[str]


class Graded(NamedTuple):
    """What an edit makes of a text: its replacements at each severity, those of all sites, the text's words, and all
    options it had."""

    replacements: dict[int, list[Replacement]]
    whole: list[Replacement]
    words: int
    candidates: int


@dataclass(frozen=True)
class Text:
    """A text in a language, as edits see it.

    `spans` are its words, where the task gives them (tagging); else ICU's. `fixed` are characters that no edit may
    touch: answers, numbers, negations, entities. `attested` are words of the language, folded: an edit of the form
    makes none of them of another.
    """

    text: str
    language: str
    spans: tuple[Span, ...] | None = None
    fixed: tuple[Span, ...] = ()
    attested: frozenset[str] = field(default=frozenset(), repr=False)

    @cached_property
    def words(self) -> tuple[Span, ...]:
        """Where its words stand."""
        return words(self.text, self.language) if self.spans is None else self.spans

    def is_fixed(self, start: int, end: int) -> bool:
        """Whether some of these characters may not be touched."""
        return any(start < last and first < end for first, last in self.fixed)


class Edit(ABC):
    """One way to change a text. Stateless: what differs by language it looks up."""

    name: ClassVar[str]
    description: ClassVar[str]
    keeps: ClassVar[Keeps]
    source: ClassVar[str] = ""
    """The paper or the table it comes from."""
    one_to_one: ClassVar[bool] = True
    """Whether each word stays one word in its place, so that tags still belong to it."""
    leaves_script: ClassVar[bool] = False
    """Whether what it writes may be in another script: that is then its point."""
    control: ClassVar[bool] = False
    """A negative control: the tokenizer's normaliser undoes it, so it must change nothing."""

    @abstractmethod
    def exists(self, language: str) -> bool:
        """Whether there is such a change in the language."""

    @abstractmethod
    def sites(self, text: Text) -> Iterable[Site]:
        """Where the text may be changed, and how: in order, none over another, none with an empty list of options.

        What is fixed, not admissible or no change is taken out by `admissible`, not here.
        """

    def admissible(self, text: Text) -> list[Site]:
        """The sites that may be used, each with the options that keep what the edit says it keeps."""
        return list(self._admissible(text))

    def _admissible(self, text: Text) -> Iterator[Site]:
        if not self.exists(text.language):
            return
        for site in self.sites(text):
            if text.is_fixed(site.start, site.end):
                continue
            old = text.text[site.start : site.end]
            options = _admitted(self, old, tuple(site.options), text.attested, text.spans is not None)
            if options:
                yield Site(site.start, site.end, list(options))

    def admits(self, old: str, new: str, attested: frozenset[str], tagged: bool) -> bool:
        """Whether a piece of a text may become this; `attested` are words of the language, and in a tagged text each
        piece is one."""
        if new == old:
            return False
        if self.keeps == "form" and not self.control and attested:
            folded = new.casefold()
            if folded in attested and folded != old.casefold():  # a word in capitals is itself
                return False
        if tagged and (not new.strip() or any(c.isspace() for c in new.strip())):
            return False  # a tag stands for one word
        return self.control or survives(old, new)

    def graded(self, text: Text, rng: random.Random, severities: Sequence[int]) -> Graded:
        """What becomes of a text at each severity: a share of its sites, rounded up or down at random, so that it is
        this share in the mean. A text with few sites may stay as it is.

        The places and what they become are drawn once for all severities: what is changed at one is changed alike at
        the next.
        """
        sites = self.admissible(text)
        chosen = rng.sample(range(len(sites)), len(sites))
        drawn = [rng.random() for _ in sites]
        rest = rng.random()
        whole = [
            Replacement(start, end, options[int(draw * len(options))])
            for draw, (start, end, options) in zip(drawn, sites, strict=True)
        ]
        found = {}
        for severity in severities:
            count = int(SHARES[severity - 1] * len(sites) + rest)
            found[severity] = [whole[place] for place in sorted(chosen[:count])]
        return Graded(found, whole, len(text.words), sum(len(site.options) for site in sites))

    def replacements(self, text: Text, rng: random.Random, severity: int) -> list[Replacement]:
        """What becomes of a text at one severity (`graded`)."""
        return self.graded(text, rng, [severity]).replacements[severity]

    def perturb(self, text: Text | str, rng: random.Random, severity: int = 3, language: str = "en") -> str:
        """The changed text, for whoever needs no more than that."""
        text = Text(text, language) if isinstance(text, str) else text
        return apply(text.text, self.replacements(text, rng, severity))


class WordEdit(Edit):
    """An edit that changes single words: it says what a word may become."""

    own_script: ClassVar[bool] = True
    """Whether it is for words in the language's own script alone."""

    @abstractmethod
    def options(self, word: str, language: str) -> Iterable[str]:
        """What a word may become, in a fixed order; nothing where it has no such change."""

    def sites(self, text: Text) -> Iterator[Site]:
        """Every word that has options. Words with digits are left alone."""
        for start, end in text.words:
            if options := _options(self, text.text[start:end], text.language):
                yield Site(start, end, options)


@lru_cache(maxsize=1 << 17)
def _options(edit: WordEdit, word: str, language: str) -> tuple[str, ...]:
    """A word's options, once: most words of a text are among the frequent ones."""
    if any(c.isdigit() for c in word) or (edit.own_script and not mostly_in(word, language)):
        return ()
    found = tuple(dict.fromkeys(edit.options(word, language)))
    if edit.leaves_script:
        return found
    allowed = {*scripts(language), "Common"}
    foreign = {c for c in set().union(*found) if script_of(c) not in allowed}
    return tuple(option for option in found if foreign.isdisjoint(option))


@lru_cache(maxsize=1 << 17)
def _admitted(
    edit: Edit, old: str, options: tuple[str, ...], attested: frozenset[str], tagged: bool
) -> tuple[str, ...]:
    """The options that `Edit.admits`, once a word."""
    return tuple(option for option in options if edit.admits(old, option, attested, tagged))


def spread(options: Iterable[T], most: int = 64) -> tuple[T, ...]:
    """At most so many of the options, each once, at even distances where there are more."""
    found = tuple(dict.fromkeys(options))
    return found if len(found) <= most else tuple(found[place * len(found) // most] for place in range(most))


def apply(text: str, replacements: Sequence[Replacement]) -> str:
    """The text after replacements, which stand in order."""
    pieces, at = [], 0
    for start, end, new in replacements:
        pieces += [text[at:start], new]
        at = end
    return "".join([*pieces, text[at:]])


def moved(position: int, replacements: Sequence[Replacement]) -> int:
    """Where a character that no replacement touches stands afterwards."""
    return position + sum(len(new) - (end - start) for start, end, new in replacements if end <= position)


def survives(old: str, new: str) -> bool:
    """Whether a change is still there after SentencePiece's `nmt_nfkc`, the normaliser of XLM-R and mT5."""
    # Between two other characters: alone, a space that is added or dropped would be stripped.
    return normalised(f"|{old}|") != normalised(f"|{new}|")


@lru_cache(maxsize=1 << 10)
def normalised(text: str) -> str:
    """The text as SentencePiece's `nmt_nfkc` leaves it, with spaces as XLM-R's tokenizer merges them."""
    if all(map(_stays, text)):
        return "".join([f"{SPACE}{word}" for word in text.split()])
    return " ".join(_nmt_nfkc(text).split())


@lru_cache(maxsize=1 << 18)
def _nmt_nfkc(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
    found: str = _normaliser().normalize(clean)
    return found


@cache
def _stays(character: str) -> bool:
    """Whether the normaliser leaves a character as it is wherever it stands: it changes no such character alone, and
    none is reordered or composed with those before it. Most letters are such."""
    if character == " ":
        return True
    twice = f"|{character}{character}|"
    fixed = unicodedata.category(character)[0] in "LMNPS" and not unicodedata.combining(character)
    return fixed and character not in _composed() and _nmt_nfkc(twice) == f"{SPACE}{twice}"


@cache
def _composed() -> frozenset[str]:
    """The characters that may become one with those before them: the second of each canonical decomposition, jamo."""
    parts = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    seconds = {chr(int(found[1], 16)) for found in parts if len(found) == 2 and found[0][0] != "<"}
    return frozenset(seconds.union(map(chr, _JAMO)))


@lru_cache(maxsize=1)
def _normaliser():  # type: ignore[no-untyped-def]  # noqa: ANN202
    from sentencepiece import SentencePieceNormalizer

    return SentencePieceNormalizer(rule_name="nmt_nfkc")
