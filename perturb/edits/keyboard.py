"""Keyboard typos: one letter of a word becomes one that lies beside it on the language's own keyboard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from perturb import hangul, keyboards
from perturb.edits.base import WordEdit
from perturb.edits.letters import changed, is_exchangeable, is_one_letter, units


class Keyboard(WordEdit):
    """One letter becomes a neighbour of its key.

    A combining sign becomes another sign of its kind, in its place; of a Hangul syllable one jamo changes. Letters
    without a key of their own (Spanish é, Japanese が) and words of a single letter are left alone.
    """

    name = "keyboard"
    description = "a letter becomes one beside it on the language's own keyboard"
    keeps = "form"
    source = "Belinkov and Bisk 2018 (arXiv 1711.02173), Pruthi et al. 2019 (1905.11268); layouts: data/keyboards.yaml"

    def exists(self, language: str) -> bool:
        """Whether the language has a keyboard here."""
        return bool(keyboards.neighbours(language))

    def options(self, word: str, language: str) -> Iterable[str]:
        """Every slip of one key, or a spread of them."""
        if is_one_letter(word):
            return []
        whole = units(word)
        return changed(whole, [(i, i + 1, (new,)) for i, old in enumerate(whole) for new in _slips(old, language)])


def _slips(unit: str, language: str) -> Iterator[str]:
    near = keyboards.neighbours(language)
    if hangul.is_syllable(unit):
        yield from hangul.exchanged(unit, near)
        return
    for place, old in enumerate(unit):
        if is_exchangeable(unit, place):
            for new in near.get(keyboards.lower(old, language), ()):
                yield unit[:place] + keyboards.cased_like(new, old, language) + unit[place + 1 :]
