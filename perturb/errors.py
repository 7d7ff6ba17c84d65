"""What a user's input can get wrong here; whoever runs a study turns it into one screen."""

from __future__ import annotations


class BadInput(ValueError):
    """A mistake in a suite, a lexicon or a language: what is wrong, where (a file and line, a key), what is right."""

    def __init__(self, what: str, *, where: str = "", right: str = "") -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.what, self.where, self.right = what, where, right
