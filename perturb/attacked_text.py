"""Texts under attack: TextAttack's `AttackedText` with words as ICU cuts them, and edits that cost what they change.

TextAttack cuts every changed text into words anew, five times as long as all else that it does for it. Here a changed
text is its parent's words with some of them replaced. Without a language the words are TextAttack's own, and every
result is the stock class's (tests/perturb/test_attacked_text.py); with one they are `perturb.segment.words`.

Importing this imports TextAttack.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from perturb.edits.base import Replacement, apply, moved
from perturb.offline import textattack
from perturb.segment import Span, words

ta = textattack()
AttackedText = ta.shared.AttackedText

_SPLIT: str = AttackedText.SPLIT_TOKEN

_SEGMENTED_AS_CHINESE = re.compile("[\u4e00-\u9fff]")
_WORDLIKE = re.compile(r"\w")
_PART = re.compile(r"\S+")

Spans = Sequence[Span] | Mapping[str, Sequence[Span]]
"""Spans of a text's one column; of several, by column."""


class Place(NamedTuple):
    """Where a word stands: in which column, and from which character to which of it."""

    column: int
    start: int
    end: int


class Piece(NamedTuple):
    """A word in what replaces another."""

    word: str
    start: int
    end: int


class ScriptText(AttackedText):  # type: ignore[misc, valid-type]
    """One text or several (columns, such as premise and hypothesis) under attack.

    `language` says how words are cut: None as TextAttack does. `spans` are the words, where the task gives them.
    `fixed` are characters that may not be modified. What replaces a word is one word however ICU would cut it, unless
    there is space in it; of a part without a letter or digit, none.
    """

    text: str = ""
    """The columns, with a line break between them."""
    language: str | None = None
    fixed: tuple[tuple[Span, ...], ...]
    """Of each column, the characters that may not be modified."""
    change: tuple[tuple[int, str], ...] | None = None
    """Which words of `previous_attacked_text` became what; None of an original."""
    # A changed text is made some hundred thousand times a minute: it sets only what differs from these.
    _words: list[str] | None = None
    _places: list[Place] | None = None
    _fixed_indices: frozenset[int] | None = None
    _given: tuple[tuple[Span, ...], ...] | None = None
    _spliced: tuple[list[str], list[Place], list[_Splice]] | None = None
    _words_per_input: list[list[str]] | None = None
    _pos_tags = _ner_tags = None
    _regular = True

    def __init__(
        self,
        text_input: str | OrderedDict[str, str],
        attack_attrs: dict[str, Any] | None = None,
        *,
        language: str | None = None,
        fixed: Spans = (),
        spans: Spans | None = None,
    ) -> None:
        columns = OrderedDict(text=text_input) if isinstance(text_input, str) else text_input
        self.language = language
        self.text = "\n".join(columns.values())
        self.fixed = _by_column(fixed, columns)
        if spans is not None:
            self._given = _by_column(spans, columns)
        if not self.by_script and (_SPLIT in self.text or _SEGMENTED_AS_CHINESE.search(self.text)):
            self._regular = False
        super().__init__(text_input, attack_attrs)  # it counts the words

    @property
    def by_script(self) -> bool:
        """Whether words are ours and not TextAttack's."""
        return self.language is not None or self._given is not None

    @property
    def columns(self) -> list[str]:
        """The texts, in order."""
        return list(self._text_input.values())

    @property
    def words(self) -> list[str]:
        """The words of all columns, in order."""
        if self._words is None:
            self._segment()
        return self._words or []

    @property
    def places(self) -> list[Place]:
        """Where each word stands."""
        if self._places is None:
            self._segment()
        return self._places or []

    @property
    def words_per_input(self) -> list[list[str]]:
        """The words of each column."""
        if not self.by_script:
            found: list[list[str]] = super().words_per_input
            return found
        pairs = list(zip(self.places, self.words, strict=True))
        return [[word for place, word in pairs if place.column == i] for i in range(len(self._text_input))]

    @property
    def fixed_indices(self) -> frozenset[int]:
        """The words that may not be modified, because some of their characters may not."""
        if self._fixed_indices is None:
            places = self.places if any(self.fixed) else []
            self._fixed_indices = frozenset(
                i
                for i, (column, start, end) in enumerate(places)
                if any(start < last and first < end for first, last in self.fixed[column])
            )
        return self._fixed_indices

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, AttackedText)
            and self.text == other.text
            and len(self.attack_attrs) == len(other.attack_attrs)
        )

    def __hash__(self) -> int:
        return hash(self.text)

    def replace_word_at_index(self, index: int, new_word: str) -> ScriptText:
        """The text with another word in the place of one; `""` deletes it."""
        old = self.words
        if isinstance(new_word, str) and 0 <= index < len(old) and new_word != old[index] and self._findable():
            pieces = self._pieces(new_word)
            if pieces is not None and len(pieces) == 1:
                return self._replaced(int(index), new_word, pieces)
        return self.replace_words_at_indices([index], [new_word])

    def _replaced(self, index: int, new: str, pieces: tuple[Piece, ...]) -> ScriptText:
        """The text with a word replaced by one: what `_changed` gives, for what is done most."""
        attrs = self.attack_attrs
        index_map = attrs["original_index_map"]
        index_map.flags.writeable = False
        child: ScriptText = object.__new__(ScriptText)
        child.attack_attrs = {
            "newly_modified_indices": {index}, "previous_attacked_text": self,
            "modified_indices": {*attrs["modified_indices"], index}, "original_index_map": index_map,
        }  # fmt: skip
        if "label_names" in attrs:
            child.attack_attrs["label_names"] = attrs["label_names"]
        column, start, end = self.places[index]
        names, texts = list(self._text_input), list(self._text_input.values())
        text = texts[column]
        texts[column] = f"{text[:start]}{new}{text[end:]}"
        child.text = texts[0] if len(texts) == 1 else "\n".join(texts)
        if self.by_script:
            child.language, child._given = self.language, self._given
        elif "<" in child.text and _SPLIT in child.text:
            return self._stock([(index, new)])
        child._text_input = OrderedDict(zip(names, texts, strict=True))
        child.fixed = self.fixed
        if any(self.fixed):
            child.fixed = _moved(self.fixed, column, [Replacement(start, end, new)])
        child.change = ((index, new),)
        splice = _Splice(index, new, pieces)
        splice.start, splice.more = start, len(new) - (end - start)
        child._spliced = (self.words, self.places, [splice])
        return child

    def replace_words_at_indices(self, indices: Sequence[int], new_words: Sequence[str]) -> ScriptText:
        """The text with other words in the places of some. Raises as TextAttack's does."""
        if len(indices) != len(new_words):
            raise ValueError(f"{len(new_words)} words cannot replace those at {len(indices)} indices")
        old, new = self.words, {}
        for index, word in zip(indices, new_words, strict=True):
            if not isinstance(word, str):
                raise TypeError(f"a word is replaced by a str, not a {type(word)}")
            if index < 0 or index > len(old):
                raise ValueError(f"there is no word {index} among {len(old)}")
            new[int(index)] = word
        return self._changed([(i, word) for i, word in sorted(new.items()) if old[i] != word])

    def generate_new_attacked_text(self, new_words: Iterable[str]) -> ScriptText:
        """The text with each word replaced by that of a new list, which may be longer words or none."""
        pairs = enumerate(zip(self.words, new_words, strict=False))
        return self._changed([(i, new) for i, (old, new) in pairs if old != new])

    def _text_index_of_word_index(self, i: int) -> int:
        if not self.by_script:
            found: int = super()._text_index_of_word_index(i)
            return found
        column, start, _ = self.places[i]
        return sum(len(text) + 1 for text in self.columns[:column]) + start

    def _changed(self, changes: list[tuple[int, str]]) -> ScriptText:
        """The text after changes of words, in order of their indices."""
        pieces = [self._pieces(new) for _, new in changes]
        if not self._findable() or None in pieces:
            return self._stock(changes)
        child, splices = self._track([(i, new, found or ()) for (i, new), found in zip(changes, pieces, strict=True)])
        columns = self.columns
        for column in sorted({self.places[splice.index].column for splice in splices}):
            replacements = self._replacements(column, splices)
            columns[column] = apply(columns[column], replacements)
            if any(self.fixed):
                child.fixed = _moved(child.fixed, column, replacements)
        child.text = "\n".join(columns)
        if not self.by_script and _SPLIT in child.text:
            return self._stock(changes)
        child._text_input = OrderedDict(zip(self._text_input, columns, strict=True))
        return child

    def _track(self, changes: list[tuple[int, str, Sequence[Piece]]]) -> tuple[ScriptText, list[_Splice]]:
        """A text still without its text, with what TextAttack keeps of where words came from."""
        attrs = self.attack_attrs
        modified, index_map = set(attrs["modified_indices"]), attrs["original_index_map"]
        newly: set[int] = set()
        shift, splices = 0, []
        for i, new, pieces in changes:
            if more := len(pieces) - 1:
                modified = {m + more if m > i else m for m in modified if m != i}
                index_map = _shifted(index_map, i, more, before=bool(pieces) and self.words[i] != pieces[0].word)
            now = range(i + shift, i + shift + len(pieces))
            modified.update(now)
            newly.update(now)
            splices.append(_Splice(i, new, pieces))
            shift += more
        index_map.flags.writeable = False  # shared with the parent while no word comes or goes
        child: ScriptText = object.__new__(ScriptText)
        child.attack_attrs = {"label_names": attrs["label_names"]} if "label_names" in attrs else {}
        child.attack_attrs |= {
            "newly_modified_indices": newly, "previous_attacked_text": self, "modified_indices": modified,
            "original_index_map": index_map,
        }  # fmt: skip
        child.language, child._given, child.fixed = self.language, self._given, self.fixed
        child.change = tuple((i, new) for i, new, _ in changes)
        child._spliced = (self.words, self.places, splices)
        return child, splices

    def _replacements(self, column: int, splices: list[_Splice]) -> list[Replacement]:
        """What of a column becomes what: a deleted word takes a space with it, as TextAttack does."""
        text, last = self.columns[column], column == len(self._text_input) - 1
        found: list[Replacement] = []
        for splice in splices:
            where, start, end = self.places[splice.index]
            if where != column:
                continue
            if not splice.pieces and not (last and end == len(text)):
                if splice.index == 0:
                    end += text[end : end + 1] == " "
                elif start > (found[-1].end if found else 0):
                    start -= text[start - 1] == " "
            splice.start = start
            found.append(Replacement(start, end, splice.new))
            splice.more = len(splice.new) - (end - start)
        return found

    def _segment(self) -> None:
        """Find the words and their places: those of the parent with the changed ones replaced, or by segmenting."""
        if self._spliced is not None:
            self._words, self._places = _splice(*self._spliced)
            self._spliced = None
        elif self.by_script:
            cut = self._given or [words(text, self.language or "") for text in self.columns]
            self._places = [Place(i, *span) for i, spans in enumerate(cut) for span in spans]
            self._words = [
                text[start:end] for text, spans in zip(self.columns, cut, strict=True) for start, end in spans
            ]
        else:
            self._words = ta.shared.utils.words_from_text(self.text)
            self._places = _found(self._words, self.columns) if self._regular else []

    def _pieces(self, new: str) -> tuple[Piece, ...] | None:
        return _parts(new) if self.by_script else _stock_parts(new)

    def _findable(self) -> bool:
        """Whether TextAttack finds each word where it stands in the columns it joins: where words are Chinese, or a
        third column follows on one without words, it may not."""
        count = len(self._text_input)
        if self.by_script or not self._regular or count < 3:
            return self._regular
        return len({place.column for place in self.places}) == count

    def _stock(self, changes: list[tuple[int, str]]) -> ScriptText:
        """The changed text by TextAttack's own code: for Chinese, where one change may cut all words anew."""
        new = list(self.words)
        for i, word in changes:
            new[i] = word
        made = super().generate_new_attacked_text(new)
        child = ScriptText(made._text_input, made.attack_attrs)
        child.change = tuple(changes)
        return child


class _Splice:
    """A word to be replaced: by what, with which words in it; then where, and by how much its column grows."""

    __slots__ = ("index", "more", "new", "pieces", "start")

    def __init__(self, index: int, new: str, pieces: Sequence[Piece]) -> None:
        self.index, self.new, self.pieces = index, new, pieces
        self.start = self.more = 0


def _splice(old: list[str], places: list[Place], splices: list[_Splice]) -> tuple[list[str], list[Place]]:
    """Words and places after changes."""
    found_words: list[str] = []
    found: list[Place] = []
    at, column, more = 0, 0, 0

    def copy(until: int) -> None:
        nonlocal column, more
        found_words.extend(old[at:until])
        for place in places[at:until]:
            if place.column != column:
                column, more = place.column, 0
            found.append(Place(column, place.start + more, place.end + more) if more else place)

    for splice in splices:
        copy(splice.index)
        if places[splice.index].column != column:
            column, more = places[splice.index].column, 0
        for word, start, end in splice.pieces:
            found_words.append(word)
            found.append(Place(column, splice.start + more + start, splice.start + more + end))
        at, more = splice.index + 1, more + splice.more
    copy(len(old))
    return found_words, found


def _shifted(index_map: np.ndarray, i: int, more: int, *, before: bool) -> np.ndarray:
    """Where the original's words are now, when word `i` has become `more` words more, put `before` it or after."""
    new = index_map.copy()
    if more == -1:
        new[new == i] = -1
    new[new > i] += more
    if more > 0 and before:
        new[new == i] += more
    return new


def _found(found: list[str], columns: list[str]) -> list[Place]:
    """Where words stand, in order, in columns."""
    places, column, at = [], 0, 0
    for word in found:
        while (start := columns[column].find(word, at)) < 0:
            column, at = column + 1, 0
        at = start + len(word)
        places.append(Place(column, start, at))
    return places


@lru_cache(maxsize=1 << 16)
def _stock_parts(new: str) -> tuple[Piece, ...] | None:
    """The words in a replacement as TextAttack cuts them; None where that depends on what stands around it."""
    if _SEGMENTED_AS_CHINESE.search(new):
        return None
    found = ta.shared.utils.words_from_text(new)
    return tuple(Piece(word, start, end) for word, (_, start, end) in zip(found, _found(found, [new]), strict=True))


@lru_cache(maxsize=1 << 16)
def _parts(new: str) -> tuple[Piece, ...]:
    """The words in a replacement: its parts between spaces that have a letter or a digit."""
    return tuple(Piece(m.group(), *m.span()) for m in _PART.finditer(new) if _WORDLIKE.search(m.group()))


def _by_column(spans: Spans, columns: Mapping[str, str]) -> tuple[tuple[Span, ...], ...]:
    if isinstance(spans, Mapping):
        if unknown := sorted(spans.keys() - columns.keys()):
            raise ValueError(f"there is no column {unknown[0]!r} among {list(columns)}")
        return tuple(tuple(sorted(spans.get(name, ()))) for name in columns)
    if spans and len(columns) > 1:
        raise ValueError(f"say of which of the columns {list(columns)} the spans are")
    return (tuple(sorted(spans)), *(() for _ in list(columns)[1:]))


def _moved(
    fixed: tuple[tuple[Span, ...], ...], column: int, replacements: list[Replacement]
) -> tuple[tuple[Span, ...], ...]:
    """Fixed characters after replacements in a column; those that were replaced all the same are no longer."""
    kept = tuple(
        (moved(start, replacements), moved(start, replacements) + end - start)
        for start, end in fixed[column]
        if not any(start < last and first < end for first, last, _ in replacements)
    )
    return (*fixed[:column], kept, *fixed[column + 1 :])
