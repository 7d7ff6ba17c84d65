"""The terminal that commands print to: whatever it is given is shown, never obeyed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from trainables.console import COMMANDS, printable


class Screen(Console):
    """A console that writes control characters of texts out: names from run folders and data may hold any.

    Colours and movements of the cursor are its own: they are no part of a text.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed, each with its control characters written out."""
        for piece in super().render(renderable, options):
            if not piece.control and COMMANDS.search(piece.text):
                yield Segment(printable(piece.text), piece.style)
            else:
                yield piece
