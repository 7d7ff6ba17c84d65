"""Trouble of the medium a store lies on: what counts as trouble, and trying again for a while."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from trainables import watch
from trainables.redaction import redacted

Given = ParamSpec("Given")
Made = TypeVar("Made")

PATIENCE = 90.0
"""Seconds for which an operation is tried again: longer than a file server needs to come back."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between tries; each pause is twice the last, and up to half of it is left to chance."""

BUGS = (TypeError, AttributeError, NameError, LookupError, AssertionError)
"""What a program does wrong is no trouble of the medium."""

ANSWERS = (FileNotFoundError, FileExistsError)
"""A file that is missing or there already is an answer, no trouble."""

_log = logging.getLogger("order_search.store")


class StoreTrouble(Exception):
    """The store did not answer, or could not be written to, for as long as was tried; it may later."""


class Patience:
    """Tries an operation until it succeeds or `seconds` are over, by a clock that no one sets."""

    def __init__(self, where: str, seconds: float, remote: bool) -> None:
        """`where` names the store in messages; of a `remote` one any error of its library's is trouble."""
        self.where, self.seconds = redacted(where), seconds
        self._remote = remote

    def does(self, answers: tuple[type[Exception], ...], do: Callable[Given, Made],
             *args: Given.args, **kwargs: Given.kwargs) -> Made:  # fmt: skip
        """What `do` returns. Its `answers` and bugs go through at once; StoreTrouble where it goes on failing."""
        begun, pause = None, FIRST_PAUSE
        while True:
            try:
                return do(*args, **kwargs)
            except answers:
                raise
            except Exception as error:
                if not self._is_trouble(error):
                    raise
                now = time.monotonic()
                if begun is None and self.seconds:
                    _log.warning("the store %s: %s; trying again for up to %g s", self.where, told(error), self.seconds)
                begun = now if begun is None else begun
                if now - begun >= self.seconds:
                    raise StoreTrouble(self._words(error)) from error
                watch.beat()  # a worker that waits for its store does not stand still
                time.sleep(min(pause * random.uniform(0.5, 1), self.seconds - (now - begun)))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _is_trouble(self, error: Exception) -> bool:
        # Libraries of object stores have errors of their own (botocore's, aiohttp's), which are no OSError.
        return isinstance(error, OSError) or (self._remote and not isinstance(error, (*BUGS, ValueError)))

    def _words(self, error: Exception) -> str:
        tried = f" (tried for {self.seconds:g} s)" if self.seconds else ""
        return f"the store {self.where} does not do what it is asked: {told(error)}{tried}"


def told(error: Exception) -> str:
    """An error in one line, without secrets: its kind, where it has no words of its own."""
    return redacted(" ".join(str(error).split())) or type(error).__name__
