"""All edits by name. A module is imported when one of its edits is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from perturb.edits.base import Edit
from perturb.errors import BadInput

if TYPE_CHECKING:
    from perturb.edits.masked_lm import Fill
    from perturb.edits.phrases import Parallel
    from perturb.lexicon import Lexicon, Wordnet

PLAIN = {
    "keyboard": "keyboard.Keyboard",
    "insertion": "letters.Insertion",
    "deletion": "letters.Deletion",
    "substitution": "letters.Substitution",
    "transposition": "letters.Transposition",
    "diacritics": "diacritics.Diacritics",
    "diacritics-exchange": "diacritics.DiacriticsExchange",
    "confusables": "confusables.Confusables",
    "lookalikes": "lookalikes.LookAlikes",
    "kana": "kana.Kana",
    "romanisation": "romanisation.Romanisation",
    "casing": "casing.Casing",
    "punctuation": "punctuation.Punctuation",
    "spacing": "spacing.Spacing",
    "invisible": "invisible.Invisible",
    "homophones": "homophones.Homophones",
    "tones": "tones.Tones",
    "word-order": "order.WordOrder",
    "dropped-words": "order.DroppedWords",
    "doubled-words": "order.DoubledWords",
    "normal-forms": "controls.NormalForms",
    "full-width": "controls.FullWidth",
    "double-spaces": "controls.DoubleSpaces",
}
"""Edits that need nothing besides the text."""

RESOURCEFUL = {
    "code-mixing": "code_mixing.CodeMixing",
    "phrase-mixing": "phrases.PhraseMixing",
    "synonyms": "synonyms.Synonyms",
    "masked-lm": "masked_lm.MaskedLM",
}
"""Edits that need a lexicon, a wordnet, parallel text, or a masked language model."""

EDITS = {**PLAIN, **RESOURCEFUL}


@dataclass(frozen=True, eq=False)
class Resources:
    """What some edits look up; without it they exist in no language."""

    lexicon: Lexicon | None = None
    mix_into: tuple[str, ...] = ()
    wordnet: Wordnet | None = None
    parallel: Parallel | None = None
    masked: tuple[Fill, str] | None = None
    """A masked language model, and its mask token."""


def edit_class(name: str) -> type[Edit]:
    """The class of an edit; BadInput for an unknown name."""
    if name not in EDITS:
        near = difflib.get_close_matches(name, EDITS, 1)
        right = f"did you mean '{near[0]}'? " if near else ""
        raise BadInput(f"unknown edit '{name}'", right=f"{right}Known: {', '.join(sorted(EDITS))}")
    module, _, found = EDITS[name].partition(".")
    cls: type[Edit] = getattr(import_module(f"perturb.edits.{module}"), found)
    return cls


def make_edit(name: str, resources: Resources) -> Edit | None:
    """An edit; None where what it needs is not at hand."""
    cls: Any = edit_class(name)
    match name:
        case "code-mixing":
            return cls(resources.lexicon, resources.mix_into or None) if resources.lexicon else None
        case "phrase-mixing":
            return cls(resources.parallel, resources.mix_into or None) if resources.parallel else None
        case "synonyms":
            return cls(resources.wordnet) if resources.wordnet else None
        case "masked-lm":
            return cls(*resources.masked) if resources.masked else None
        case _:
            edit: Edit = cls()
            return edit


def edit_classes() -> Iterator[type[Edit]]:
    """All edits' classes, for listings and tests."""
    yield from map(edit_class, EDITS)
