"""A user's mistake, told so that it can be mended: what is wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from trainables.console import printable
from trainables.redaction import redacted


class Mistake(Exception):
    """A mistake of the user's, shown on one screen without a traceback; the command line then exits with code 2.

    `what` says what is wrong, `where` names the flag or the file and key, `right` says what would be right. Credentials
    are left out of them, and control characters written out: they repeat what files of others say.
    """

    LONGEST = 1000
    """Characters of each that are shown: a name of thousands fills more than a screen."""

    def __init__(self, what: str, *, where: str = "", right: str = "") -> None:
        self.what, self.where, self.right = (self._shown(text) for text in (what, where, right))
        super().__init__(self.what)

    def _shown(self, text: str) -> str:
        cut = text if len(text) <= self.LONGEST else f"{text[: self.LONGEST]}…"
        return printable(redacted(cut))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.right:
            lines.append(f"  right: {self.right}")
        return "\n".join(lines)


SHOWN = 7
"""How many mistakes are told at once, three lines each: one screen."""


class Mistakes(Mistake):
    """Several mistakes found at once (all errors of a file are shown together)."""

    LONGEST = 30_000

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        told = [str(mistake) for mistake in self.mistakes[:SHOWN]]
        left = len(self.mistakes) - len(told)
        super().__init__("\n".join([*told, *([f"… and {left} more"] if left else [])]))


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest valid one first, then all of them."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known) if len(known) <= 24 else f"{', '.join(known[:24])}, … ({len(known)} in all)"
    return f"did you mean '{close[0]}'? Known: {listed}" if close else f"one of: {listed}"
