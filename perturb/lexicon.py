"""Words of other languages and words that mean the same: bilingual lexicons and a multilingual wordnet, from a folder.

What is looked up is folded: case, the points of Arabic and Hebrew and the form of Unicode do not matter; what is found
takes the case of the word asked for.
"""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import langcodes
import regex

from perturb.errors import BadInput

SHOWN = 5
"""How many malformed rows are told at once."""

CODES = {"qcn": "zh_Hant", "nb": "no", "ekk": "et", "azj": "az", "npi": "ne"}
"""Codes that CLDR leaves as they are; `qcn` is the Open Multilingual Wordnet's own for Chinese as written in Taiwan."""

_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]")
_UNFIT = re.compile("[\ud800-\udfff\x00-\x1f]")
_LEMMA = regex.compile(r"[\p{L}\p{M}'’·\u200c\u200d-]+")
_PARTICLE = re.compile(r"\+[的地]$")

R = TypeVar("R")
T = TypeVar("T")


class Entry(NamedTuple):
    """A word of one language and what it is in another."""

    language: str
    word: str
    other: str
    translation: str


@cache
def language_code(language: str) -> str:
    """One code for a language, however it is given: `de` for deu, `ms` for zsm, `zh_Hant` where the script is rarer."""
    try:
        tag = langcodes.get(language).prefer_macrolanguage()
    except ValueError:
        return language
    name = str(tag.language)
    if tag.script and tag.script != langcodes.get(name).maximize().script:
        return f"{name}_{tag.script}"
    return CODES.get(name, name)


def folded(word: str, language: str) -> str:
    """A word as it is looked up: composed, without points, in lower case."""
    plain = _POINTS.sub("", unicodedata.normalize("NFC", word))
    if language_code(language) in ("tr", "az"):
        plain = plain.replace("I", "ı").replace("İ", "i")
    return plain.casefold()


def restored(found: str, word: str, language: str) -> str:
    """A word found in a language, written as the word it stands for: its capitals; points only where that has some."""
    if not _POINTS.search(word):
        found = _POINTS.sub("", found)
    if not word[:1].isupper():
        return found
    dotted = found.replace("i", "İ") if language_code(language) in ("tr", "az") else found
    if len(word) > 1 and word.isupper():
        # Georgian has capitals in Unicode, which nobody writes.
        return "".join(letter if "\u10d0" <= letter <= "\u10ff" else letter.upper() for letter in dotted)
    return dotted[:1].title() + found[1:]


class Lexicon:
    """Words of languages and their translations. A pair of languages is read in both directions."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._found: dict[str, dict[str, dict[str, list[str]]]] = {}
        for language, word, other, translation in entries:
            self._add(language, word, other, translation)
            self._add(other, translation, language, word)

    def _add(self, language: str, word: str, other: str, translation: str) -> None:
        of_word = self._found.setdefault(language_code(language), {}).setdefault(folded(word, language), {})
        known = of_word.setdefault(language_code(other), [])
        if translation not in known:
            known.append(translation)

    @classmethod
    def of(cls, entries: Iterable[tuple[str, str, str, str]]) -> Lexicon:
        """A lexicon of rows in memory: language, word, other language, translation. Raises BadInput as `read` does."""
        return cls(_all(((f"entry {number}", entry) for number, entry in enumerate(entries, 1)), _entry))

    @classmethod
    def read(cls, folder: Path | str, beside: bool = True) -> Lexicon:
        """The lexicons of a folder: `*.jsonl[.gz]` in its folders `bli_*` and, unless they are something else there,
        `beside` these; rows of `lang` (`de-fi`, from and to), `src` and `tgt`.

        Raises BadInput where there is none, and for malformed rows, each with its file and line.
        """
        own = ("*.jsonl", "*.jsonl.gz") if beside else ()
        files = _files(Path(folder), *own, "bli_*/*.jsonl", "bli_*/*.jsonl.gz")
        if not files:
            right = 'a folder of .jsonl[.gz] files, a row: {"lang": "de-fi", "src": "Hund", "tgt": "koira"}'
            raise BadInput("there is no bilingual lexicon here", where=str(folder), right=right)
        return cls(_all(_lines(files), _pair))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it has words of."""
        return tuple(sorted(self._found))

    def into(self, language: str) -> tuple[str, ...]:
        """The languages that it has translations of this language's words in."""
        words = self._found.get(language_code(language), {})
        return tuple(sorted({other for of_word in words.values() for other in of_word}))

    def translations(self, word: str, language: str) -> dict[str, tuple[str, ...]]:
        """What a word is in other languages, by language; its case is kept."""
        found = self._found.get(language_code(language), {}).get(folded(word, language), {})
        return {
            other: tuple(dict.fromkeys(restored(translation, word, other) for translation in found[other]))
            for other in sorted(found)
        }


class Wordnet:
    """Words that share their synonym sets, in several languages.

    A word's synonyms are the words that stand in **exactly** the sets it stands in itself: whichever sense is meant
    they mean it too, and they mean nothing else. Only words of one piece are taken.
    """

    def __init__(self, synsets: Iterable[Mapping[str, Sequence[str]]] = ()) -> None:
        self._lemmas: dict[str, list[dict[str, str]]] = {}
        self._places: dict[str, dict[str, list[int]]] = {}
        for synset in synsets:
            for code, lemmas in synset.items():
                self._add(language_code(code), lemmas)

    def _add(self, language: str, lemmas: Sequence[str]) -> None:
        sets = self._lemmas.setdefault(language, [])
        sets.append({folded(lemma, language): lemma for lemma in map(_plain, lemmas) if _LEMMA.fullmatch(lemma)})
        for lemma in sets[-1]:
            self._places.setdefault(language, {}).setdefault(lemma, []).append(len(sets) - 1)

    @classmethod
    def read(cls, folder: Path | str) -> Wordnet:
        """The wordnet of a folder: `synsets.jsonl[.gz]` in it or in its folder `omw_synsets`, rows of `synset` and of
        `lemmas` by language.

        Raises BadInput where there is none, and for malformed rows, each with its file and line.
        """
        inside = ("synsets.jsonl", "synsets.jsonl.gz")
        files = _files(Path(folder), *inside, *(f"omw_synsets/{name}" for name in inside))
        if not files:
            right = 'a synsets.jsonl[.gz], a row: {"synset": "02084071-n", "lemmas": {"eng": ["dog", "hound"]}}'
            raise BadInput("there is no wordnet here", where=str(folder), right=right)
        return cls(_all(_lines(files), _synset))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages in which some set has two words at least."""
        return tuple(sorted(code for code, sets in self._lemmas.items() if any(len(lemmas) > 1 for lemmas in sets)))

    def synonyms(self, word: str, language: str) -> tuple[str, ...]:
        """The words that stand in exactly the sets that a word stands in, in the order of the first of these."""
        code, asked = language_code(language), folded(word, language)
        places = self._places.get(code, {})
        shared = self._lemmas[code][places[asked][0]] if asked in places else {}
        return tuple(
            restored(lemma, word, language)
            for key, lemma in shared.items()
            if key != asked and places[key] == places[asked]
        )


def _plain(lemma: str) -> str:
    """A lemma without what wordnets add to it: underscores for spaces, a particle set off by a plus (Chinese)."""
    return _PARTICLE.sub("", lemma).replace("_", " ").strip()


def _files(folder: Path, *patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _lines(files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """The lines of text files, each with where it stands."""
    for path in files:
        try:
            data = path.read_bytes()
            text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise BadInput(f"the file cannot be read: {error}", where=str(path)) from error
        yield from ((f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _all(rows: Iterable[tuple[str, R]], made: Callable[[R], T]) -> list[T]:
    """What is made of each row. Raises BadInput for the rows of which nothing can be made, several at once."""
    found, wrong = [], []
    for where, row in rows:
        try:
            found.append(made(row))
        except ValueError as error:
            wrong.append(f"{where}: {error}")
    if wrong:
        told = wrong[:SHOWN] + [f"… and {len(wrong) - SHOWN} more"] * (len(wrong) > SHOWN)
        raise BadInput("\n".join([f"{len(wrong)} malformed row{'s' * (len(wrong) > 1)}", *told]))
    return found


def _object(line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("no JSON object")  # noqa: TRY004
    return row


def _pair(line: str) -> Entry:
    row = _object(line)
    for key in ("lang", "src", "tgt"):
        if not isinstance(row.get(key), str):
            raise ValueError(f"no '{key}' that is a text")  # noqa: TRY004
    languages = str(row["lang"]).split("-")
    if len(languages) != 2:
        raise ValueError(f"'lang' is '{row['lang']}', not two languages, such as de-fi")
    return _entry((languages[0], str(row["src"]), languages[1], str(row["tgt"])))


def _entry(entry: tuple[str, str, str, str]) -> Entry:
    language, word, other, translation = entry
    for code in (language, other):
        if not _is_language(code):
            raise ValueError(f"'{code}' is no language code")
    if language_code(language) == language_code(other):
        raise ValueError("both sides are of one language")
    if not word.strip() or not translation.strip():
        raise ValueError("a side is empty")
    if _UNFIT.search(word + translation):
        raise ValueError("a side holds a control character or half a character")
    return Entry(language, word.strip(), other, translation.strip())


@cache
def _is_language(code: str) -> bool:
    return langcodes.tag_is_valid(code)


def _synset(line: str) -> dict[str, list[str]]:
    lemmas = _object(line).get("lemmas")
    if not isinstance(lemmas, dict):
        raise ValueError("no 'lemmas' by language")  # noqa: TRY004
    for code, words in lemmas.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"the lemmas of '{code}' are no list of texts")
    return lemmas
