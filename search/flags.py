"""How words of a command are read: a parser whose mistakes are told like all others, and types of values."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from trainables.errors import Mistake, nearest


class Parser(argparse.ArgumentParser):
    """Tells a wrong flag as a Mistake, with the nearest valid one."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage and exiting."""
        place, told = message.removeprefix("argument ").split(": ", 1) if ": " in message else (self.prog, message)
        flags = [option for action in self._actions for option in action.option_strings if option != "-h"]
        unknown = re.match(r"unrecognized arguments: (-[^ =]*)", message)
        choice = re.match(r"invalid choice: '(.*)' \(choose from (.*)\)$", told, re.DOTALL)
        if unknown:
            raise Mistake(f"unknown flag {unknown[1]}", where=self.prog, right=nearest(unknown[1], flags))
        if choice:
            right = nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))
            raise Mistake(f"unknown value '{choice[1]}'", where=f"{self.prog}, {place}", right=right)
        if not message.startswith("argument "):
            place, told = self.prog, message
        raise Mistake(told, where=place, right=f"{self.prog} --help")


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more is needed, but got '{text}'")
    return int(text)


def count_or_none(text: str) -> int:
    """A whole number of 0 or more."""
    return 0 if text == "0" else count(text)


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas, each once."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if "" in found:
        raise argparse.ArgumentTypeError(f"names separated by commas are needed, but got '{text}'")
    return found
