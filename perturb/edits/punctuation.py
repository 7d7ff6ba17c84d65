"""Punctuation dropped, doubled, or exchanged for another mark of the script."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import ClassVar

import regex

from perturb.edits.base import Edit, Keeps, Site, Text
from perturb.edits.diacritics import code_of, table
from perturb.script import known, scripts
from perturb.segment import EXTENDING

QUESTION = "?？؟⁇⁈⁉‽⸮՞፧\u037e"
"""A sentence that loses one of these says something else: what stands beside them is left alone too (`?!`)."""

_GOES_ON = regex.compile(r"[\p{L}\p{N}_/\\]")


class Punctuation(Edit):
    """A mark, or a run of it, dropped, doubled or made single, or exchanged. Question marks stay, and so does what
    stands inside words and numbers."""

    name: ClassVar[str] = "punctuation"
    description: ClassVar[str] = "a mark dropped, doubled or exchanged (. ! … and , ; but never a question mark)"
    keeps: ClassVar[Keeps] = "form"
    source: ClassVar[str] = "Náplava et al. 2021, Understanding model robustness to user-generated noisy texts"
    one_to_one: ClassVar[bool] = False  # where words are tagged, a mark is one

    def exists(self, language: str) -> bool:
        """In every language whose script is known."""
        return known(language)

    def sites(self, text: Text) -> Iterator[Site]:
        """The marks that stand outside words."""
        alike, runs = _marks(text.language)
        drop = [""] if text.words else []  # or a text of marks alone would vanish
        for match in runs.finditer(text.text):
            mark, (start, end) = match["mark"], match.span()
            if not _inside(mark, text.text[max(0, start - 1) : start], text.text[end : end + 1]):
                yield Site(start, end, [*drop, mark * 2 if end - start == 1 else mark, *alike[mark]])


@cache
def _marks(language: str) -> tuple[dict[str, str], regex.Pattern[str]]:
    """For each mark those that may stand for it; and what finds runs of one mark."""
    rows = table("punctuation")
    groups = rows.get(code_of(language)) or rows.get(scripts(language)[0]) or rows["default"]
    alike = {mark: group.replace(mark, "") for group in groups for mark in group}
    questions = QUESTION + (";" if scripts(language)[0] == "Greek" else "")
    # One that carries a combining mark or a variation selector is a cluster with it.
    pattern = rf"(?<![{questions}])(?P<mark>[{regex.escape(''.join(alike))}])(?P=mark)*+(?![{EXTENDING}{questions}])"
    return alike, regex.compile(pattern)


def _inside(mark: str, before: str, after: str) -> bool:
    """Whether a mark belongs to a number, a time, an address or an abbreviation. Those of ASCII are followed by a space
    where they are punctuation; others need not be."""
    if mark.isascii():
        return bool(_GOES_ON.match(after))
    return before.isdigit() and after.isdigit()
