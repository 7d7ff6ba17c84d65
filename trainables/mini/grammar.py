"""From a meaning to a sentence: each language is a data file of words and templates, read here and filled in.

A template is a line of tokens and slots. `did_AUX` is a word with its part of speech (Universal POS). `{verb.past}` is
the form `past` of whatever fills the role `verb`; `{object}` its form `w`. A form may follow a feature of another slot:
`{attribute.acc_[object.g]}` takes the attribute's form `acc_m` where the object has `g: m`. A form that an entry does
not have is sought under shorter names (`acc_m`, `acc`, `w`), so a word that never changes needs only one. `<object>`
stands for a phrase of the same file. The slot of a role that a meaning leaves open gives nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

Token = tuple[str, str, str]
"""A word, its Universal POS tag, and the role it plays in the meaning ('' for none)."""

_SLOT = re.compile(r"\{(\w+)(?:\.([^}]+))?\}")
_REFERENCE = re.compile(r"\[(\w+)\.(\w+)\]")
_PHRASE = re.compile(r"<(\w+)>")
_OPENING = "¿¡«"


@dataclass(frozen=True)
class Sentence:
    """Words with one Universal POS tag and one role ('' for none) each, and the text a reader sees."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    roles: tuple[str, ...]
    text: str

    def spans(self, text: str | None = None) -> list[tuple[int, int]]:
        """Where each word stands in the text (or in another that has the same words): start and end characters."""
        found, at = [], 0
        for token in self.tokens:
            start = (text or self.text).index(token, at)
            at = start + len(token)
            found.append((start, at))
        return found


class Language:
    """One language of the mini suite: its data file, and the sentences it can make."""

    def __init__(self, data: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """`data` is a language file's content, `tags` the Universal POS of each concept's words."""
        self.code: str = data["language"]
        self.name: str = data["name"]
        self.family: str = data["family"]
        self.script: str = data["script"]
        self.direction: str = data["direction"]
        self.joiner: str = data["joiner"]
        self._capitalise: bool = data["capitalise"]
        self._proclitics: list[str] = data.get("proclitics", [])
        self._uppercase: Mapping[str, str] = data.get("uppercase", {})
        self._elisions = [(e["word"], re.compile(e["before"]), e["becomes"]) for e in data.get("elisions", [])]
        self._contractions = {tuple(c["words"]): _word(c["becomes"], "X") for c in data.get("contractions", [])}
        entries = {**data["words"], **data["lexicon"]}
        self._forms = {key: {"w": entry} if isinstance(entry, str) else entry for key, entry in entries.items()}
        self._grammar_words = tuple(data["words"])
        self._features = {match[2] for match in _REFERENCE.finditer(str(data["templates"]) + str(data["phrases"]))}
        self.function_words: Mapping[str, list[str]] = data["function_words"]
        self._tags = tags
        self._phrases: Mapping[str, str] = data["phrases"]
        self.frames = {name: self._compile(text) for name, text in data["frames"].items()}
        self.templates = {
            construction: {
                form: [self._compile(text) for text in ([texts] if isinstance(texts, str) else texts)]
                for form, texts in forms.items()
            }
            for construction, forms in data["templates"].items()
        }

    def clause(self, construction: str, form: str, fillers: Mapping[str, str], variant: int = 0) -> list[Token]:
        """The words of one clause; `form` is pos, neg or ask; `fillers` gives the concept of each role."""
        variants = self.templates[construction][form]
        tokens: list[Token] = []
        for item in variants[variant % len(variants)]:
            tokens.extend(self._fill(item, fillers))
        return tokens

    def sentence(self, frame: str, *clauses: list[Token]) -> Sentence:
        """One or two clauses in a frame (statement, question, and, but), spelled as the language writes it."""
        holes = dict(zip(("s", "t"), clauses, strict=False))
        tokens: list[Token] = []
        for item in self.frames[frame]:
            match = _SLOT.fullmatch(item)
            tokens.extend(holes[match[1]] if match else [(*_word(item, "X"), "")])
        tokens = self._spell(tokens)
        words, tags, roles = zip(*tokens, strict=True)
        return Sentence(words, tags, roles, self.detokenise(words, tags))

    def detokenise(self, words: tuple[str, ...], tags: tuple[str, ...]) -> str:
        """The text of a list of words: joined as the language joins them, punctuation without a space before it."""
        text, last = "", ""
        for word, tag in zip(words, tags, strict=True):
            together = not text or last in _OPENING or last in self._proclitics
            text += word if together or (tag == "PUNCT" and word not in _OPENING) else self.joiner + word
            last = word
        return text

    def forms(self, concept: str) -> set[str]:
        """All the spellings of a concept (each a word or several), the base of a bilingual lexicon."""
        entry = {name: str(text) for name, text in self._forms[concept].items() if name not in self._features}
        spelled = {" ".join(word for word, _, _ in _tokens(text, "X", "")) for text in entry.values()}
        return {text for text in spelled if text}

    def words_tagged(self, concept: str, tag: str) -> set[str]:
        """The words of a concept, in any of its forms, that have this part of speech."""
        texts = [str(text) for name, text in self._forms[concept].items() if name not in self._features]
        tokens = (token for text in texts for token in _tokens(text, self._tags.get(concept, "X"), ""))
        return {word for word, own, _ in tokens if own == tag}

    def literals(self) -> set[str]:
        """The words, in lower case, that stand in templates, frames and grammar words themselves."""
        variants = [items for forms in self.templates.values() for texts in forms.values() for items in texts]
        items = [item for items in [*variants, *self.frames.values()] for item in items if not _SLOT.fullmatch(item)]
        texts = [
            text
            for word in self._grammar_words
            for name, text in self._forms[word].items()
            if name not in self._features
        ]
        items += [item for text in texts for item in str(text).split()]
        return (
            {_word(item, "X")[0].lower() for item in items}
            | {e[2].lower() for e in self._elisions}
            | {w.lower() for w, _ in self._contractions.values()}
        )

    def _compile(self, text: str) -> list[str]:
        while _PHRASE.search(text):
            text = _PHRASE.sub(lambda match: self._phrases[match[1]], text)
        return text.split()

    def _fill(self, item: str, fillers: Mapping[str, str]) -> Iterator[Token]:
        match = _SLOT.fullmatch(item)
        if match is None:
            yield (*_word(item, "X"), "")
            return
        role, form = match[1], match[2] or "w"
        concept = fillers.get(role, role if role in self._forms else None)
        if concept is None:
            return
        form = _REFERENCE.sub(lambda ref: self._feature(fillers.get(ref[1]), ref[2]), form)
        yield from _tokens(self.form(concept, form), self._tags.get(concept, "X"), role if role in fillers else "")

    def _feature(self, concept: str | None, feature: str) -> str:
        return str(self._forms[concept].get(feature, "")) if concept else ""

    def form(self, concept: str, form: str) -> str:
        """The entry's text for a form, sought under ever shorter names; KeyError names what is missing."""
        entry = self._forms[concept]
        parts = form.split("_")
        for end in range(len(parts), 0, -1):
            name = "_".join(parts[:end])
            if name in entry:
                return str(entry[name])
        if "w" in entry:
            return str(entry["w"])
        raise KeyError(f"{self.code}: {concept} has no form {form}")

    def _spell(self, tokens: list[Token]) -> list[Token]:
        spelled: list[Token] = []
        for token in tokens:
            merged = self._contractions.get((spelled[-1][0], token[0])) if spelled else None
            if merged:
                spelled[-1] = (*merged, spelled[-1][2])
            else:
                spelled.append(token)
        for i, (word, tag, role) in enumerate(spelled[:-1]):
            for before, following, becomes in self._elisions:
                if word == before and following.match(spelled[i + 1][0]):
                    spelled[i] = (becomes, tag, role)
        if self._capitalise:
            first = next(i for i, token in enumerate(spelled) if token[1] != "PUNCT")
            word, tag, role = spelled[first]
            spelled[first] = (self._uppercase.get(word[0], word[0].upper()) + word[1:], tag, role)
        return spelled


def _word(item: str, tag: str) -> tuple[str, str]:
    word, _, own = item.rpartition("_")
    return (word, own) if word else (item, tag)


def _tokens(text: str, tag: str, role: str) -> Iterator[Token]:
    for item in text.split():
        yield (*_word(item, tag), role)


@cache
def concepts() -> dict[str, Any]:
    """The content of concepts.yaml."""
    return _read("concepts.yaml")


@cache
def language_codes() -> tuple[str, ...]:
    """The languages of the mini suite, English first, then by code."""
    files = resources.files("trainables.mini").joinpath("languages").iterdir()
    codes = sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))
    return ("en", *(code for code in codes if code != "en"))


@cache
def language(code: str) -> Language:
    """The language with that code, read from its file."""
    return Language(_read(f"languages/{code}.yaml"), concept_tags())


@cache
def concept_tags() -> dict[str, str]:
    """The Universal POS tag of each concept's words, where its file does not say another."""
    known = concepts()
    groups = [group for group in known["things"] if group != "reading"]
    things = [*groups, *(thing for members in known["things"].values() for thing in members)]
    by_tag = {
        "PROPN": [*known["names"], *known["cities"], *known["organisations"]],
        "NOUN": [*known["professions"], *things, *known["places"], *known["times"]],
        "VERB": [*known["verbs"], *known["actions"], *known["converses"], *known["converses"].values()],
        "ADJ": [*known["attributes"], *(side for pair in known["comparatives"] for side in pair)],
        "NUM": known["numbers"],
    }
    return {concept: tag for tag, members in by_tag.items() for concept in members}


def data_files() -> list[tuple[str, bytes]]:
    """Name and content of every file the generated data depend on, for the fingerprint."""
    root = resources.files("trainables.mini")
    own = [f for f in root.iterdir() if f.name.endswith((".py", ".yaml")) and f.name != "lexicon.py"]  # it reads data
    languages = [file for file in root.joinpath("languages").iterdir() if file.name.endswith(".yaml")]
    return sorted((file.name, file.read_bytes()) for file in [*own, *languages])


def pick(rng: random.Random, options: list[str], *, but: tuple[str | None, ...] = ()) -> str:
    """One of the options at random, other than those in `but`."""
    return rng.choice([option for option in options if option not in but])


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(resources.files("trainables.mini").joinpath(name).read_text("utf-8"))
    return content
