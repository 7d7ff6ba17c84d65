"""Edits as an attack tries them: a TextAttack transformation, and what every attack here may not do.

Importing this imports TextAttack.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from perturb.attacked_text import ScriptText, ta
from perturb.edits.base import Edit, Replacement, Site, Text, WordEdit, apply
from perturb.script import DENSE, scripts_in
from perturb.segment import Span, graphemes
from perturb.suite import Fields

if TYPE_CHECKING:
    from textattack import Attack


class EditSwap(ta.transformations.WordSwap):  # type: ignore[name-defined]
    """Any edit as a transformation of `ScriptText`s that have a language.

    For a word it tries what the edit may make of it: of a site over several words (a phrase, the space between two)
    their first word. All of it, or with `random_one` as many options as `most`, drawn by (seed, example, word) and so
    the same in whatever order words and examples come. A sentence whose words the task gives is changed only by edits
    that map words one to one. `attested` are words of the language, folded, as in `Text`.
    """

    draws = False
    """From the generators that all share: not even with `random_one`."""

    def __init__(
        self,
        edit: Edit,
        *,
        random_one: bool = True,
        most: int = 8,
        seed: int = 0,
        attested: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.edit, self.random_one, self.most, self.seed, self.attested = edit, random_one, most, seed, attested

    def __call__(self, current_text: ScriptText, *args: Any, return_indices: bool = False, **kwargs: Any) -> Any:
        """As TextAttack's; the indices it may modify are those of words that have candidates."""
        found = super().__call__(current_text, *args, return_indices=return_indices, **kwargs)
        return {index for index in found if self.sites(current_text, int(index))} if return_indices else found

    def _get_transformations(self, current_text: ScriptText, indices_to_modify: Iterable[int]) -> list[ScriptText]:
        found = []
        for index in sorted(map(int, indices_to_modify)):
            options = [(site, option) for site in self.sites(current_text, index) for option in site.options]
            for site, option in self._tried(options, current_text, index):
                changed = _replaced(current_text, index, site, option)
                if changed is not None:
                    found.append(changed)
        return found

    def sites(self, text: ScriptText, index: int) -> Sequence[Site]:
        """What the edit may change at a word, in the column the word stands in.

        An edit that reads more than the word is asked about the original text alone, as long as what it would change
        there still stands: its candidates are then the same throughout a search, and for every model.
        """
        if text.language is None:
            raise ValueError("an edit needs a text whose language is known")
        if isinstance(self.edit, WordEdit):
            column, start, end = text.places[index]
            return _sites(self.edit, self._view(text, column, ((start, end),))).get((start, end), ())
        root, place = _root(text), _original(text, index)
        if place is None or (_tokens_given(root) and not self.edit.one_to_one):
            return ()
        column, start, end = root.places[place]
        whole = tuple((one.start, one.end) for one in root.places if one.column == column)
        found = _sites(self.edit, self._view(root, column, whole)).get((start, end), ())
        return [site for one in found if (site := _moved(one, root, place, text, index))]

    def _view(self, text: ScriptText, column: int, chosen: tuple[Span, ...]) -> _View:
        spans = chosen if _tokens_given(text) else None
        return _View(text.columns[column], text.language or "", spans, text.fixed[column], self.attested, chosen)

    def _tried(self, options: list[tuple[Site, str]], text: ScriptText, index: int) -> list[tuple[Site, str]]:
        if not self.random_one or len(options) <= self.most:
            return options
        rng = random.Random(f"{self.seed} {self.edit.name} {_example(text)} {_original(text, index)}")
        return [options[place] for place in sorted(rng.sample(range(len(options)), self.most))]

    def extra_repr_keys(self) -> list[str]:
        """What tells one from another in print."""
        return ["edit", "random_one", "most", "seed"]


class Fixed(ta.constraints.PreTransformationConstraint):  # type: ignore[name-defined]
    """Words that may not be changed: what a `ScriptText` marks as fixed, and the columns that are not under attack."""

    def __init__(self, fields: Fields = "all") -> None:
        self.fields = fields

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        return modifiable(current_text, self.fields)

    def extra_repr_keys(self) -> list[str]:
        """What tells one from another in print."""
        return ["fields"]


class MinLength(ta.constraints.PreTransformationConstraint):  # type: ignore[name-defined]
    """Words of fewer grapheme clusters are left alone; of half as many where each is a syllable or a morpheme."""

    def __init__(self, length: int) -> None:
        self.length = length

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        return {i for i, word in enumerate(current_text.words) if len(graphemes(word)) >= self._least(word)}

    def _least(self, word: str) -> int:
        return self.length // 2 if scripts_in(word) & DENSE else self.length

    def extra_repr_keys(self) -> list[str]:
        """What tells one from another in print."""
        return ["length"]


class EditBudget(ta.constraints.Constraint):  # type: ignore[name-defined]
    """At most a share of the words that may be changed is, rounded up: one at least.

    What counts are the original's words: one cut in two counts once, a phrase as many as it had.
    """

    def __init__(self, share: float, fields: Fields = "all") -> None:
        super().__init__(compare_against_original=True)
        self.share, self.fields = share, fields

    def _check_constraint_many(self, transformed_texts: Sequence[Any], reference_text: Any) -> list[Any]:
        allowed = max(1, math.ceil(self.share * len(modifiable(reference_text, self.fields))))
        return [text for text in transformed_texts if words_changed(text) <= allowed]

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        return bool(self._check_constraint_many([transformed_text], reference_text))

    def extra_repr_keys(self) -> list[str]:
        """What tells one from another in print."""
        return ["share", "fields"]


def modifiable(text: Any, fields: Fields = "all") -> set[int]:
    """The indices of an attacked text's words that may be changed: not fixed, and in the fields under attack."""
    own = range(text.num_words)
    if fields != "all":
        first = len(text.words_per_input[0])
        own = own[:first] if fields == "first" else own[first:]
    return set(own) - getattr(text, "fixed_indices", frozenset())


def words_changed(text: Any) -> int:
    """How many words of the original an attacked text no longer has as they were."""
    modified, now = text.attack_attrs["modified_indices"], text.attack_attrs["original_index_map"]
    return sum(1 for index in now.tolist() if index < 0 or index in modified)


def candidates(attack: Attack, text: Any) -> list[int]:
    """For each word of a text, the candidates that an attack has for it under its constraints.

    A word without any cannot be attacked: a text of such words says nothing about a model's robustness.
    """
    return list(_candidates(attack, text))


def attackable(attack: Attack, text: Any) -> bool:
    """Whether an attack has a candidate for any word of a text."""
    return any(_candidates(attack, text))


def _candidates(attack: Attack, text: Any) -> Iterator[int]:
    for index in range(text.num_words):
        yield len(attack.get_transformations(text, original_text=text, indices_to_modify=[index]))


@dataclass(frozen=True)
class _View(Text):
    """A text of which an edit is shown some words, or all as the attack has cut them."""

    chosen: tuple[Span, ...] = ()

    @cached_property
    def words(self) -> tuple[Span, ...]:
        """Where the words stand that are to be changed."""
        return self.chosen


@lru_cache(maxsize=1 << 13)
def _sites(edit: Edit, text: _View) -> dict[Span, list[Site]]:
    """Where an edit may change a text, by the first word of each place."""
    found: dict[Span, list[Site]] = {}
    starts = [start for start, _ in text.chosen]
    for site in edit.admissible(text):
        before = max(0, bisect_right(starts, site.start) - 1)
        after = min(before + 1, len(starts) - 1)
        own = before if text.chosen[before][1] > site.start or text.chosen[after][0] >= site.end else after
        found.setdefault(text.chosen[own], []).append(site)
    return found


def _replaced(text: ScriptText, index: int, site: Site, option: str) -> ScriptText | None:
    """The text after a change that begins at a word; None where it touches what is no word, or another that may not be
    changed (again).

    All of it is put in one word's place, and further words that it is in the place of are deleted.
    """
    column, start, end = text.places[index]
    if (start, end) == (site.start, site.end):
        return text.replace_word_at_index(index, option)
    last = index
    while last + 1 < len(text.places) and text.places[last + 1].column == column:
        following = text.places[last + 1].start
        if following >= site.end and not (site.start >= end and site.start < following == site.end):
            break  # neither in the site, nor at the end of one that is the space before it
        last += 1
    whole = text.columns[column]
    end = text.places[last].end
    new = whole[start : site.start] + option + whole[site.end : end]
    said = apply(whole, [Replacement(site.start, site.end, option)])
    covered = range(index, last + 1)
    if not (text.fixed_indices | text.attack_attrs["modified_indices"]).isdisjoint(covered[1:]):
        return None
    for stays in dict.fromkeys((index, last)):  # a deleted word takes a space with it, but not at a text's end
        changed = text.replace_words_at_indices(covered, [new if i == stays else "" for i in covered])
        if changed.columns[column] == said:
            return changed
    return None


def _moved(site: Site, root: ScriptText, place: int, text: ScriptText, index: int) -> Site | None:
    """A site of the original at its word's place in a changed text; None where not all of it stands there still."""
    if text is root:
        return site
    column, start, end = root.places[place]
    by = text.places[index].start - start
    until = max(end, site.end)
    if root.columns[column][start:until] != text.columns[column][start + by : until + by]:
        return None
    return Site(site.start + by, site.end + by, site.options)


def _root(text: ScriptText) -> ScriptText:
    """The text that an attack began with."""
    while "previous_attacked_text" in text.attack_attrs:
        text = text.attack_attrs["previous_attacked_text"]
    return text


def _example(text: ScriptText) -> str:
    """The example that a text comes from: its id, where the original has one, else its text."""
    root = _root(text)
    return str(root.attack_attrs.get("example", root.text))


def _original(text: ScriptText, index: int) -> int | None:
    """Where a word stood in the original; None for one that it did not have."""
    found = np.flatnonzero(text.attack_attrs["original_index_map"] == index)
    return int(found[0]) if len(found) else None


def _tokens_given(text: ScriptText) -> bool:
    """Whether a text's words are the task's tokens, of which each has its tag."""
    return text._given is not None
