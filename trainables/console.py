"""The one place where the packages write to a terminal, and what is done so that no text can command one."""

from __future__ import annotations

import re
import sys

COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing it: control characters but tab and line feed, and overrides of the direction
of writing, which make a text look like another."""


def printable(text: str) -> str:
    """The text with control characters written out (`\\x1b`): names and data of others are shown, never obeyed."""
    return COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """One line to standard output, at once."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()
