"""Words and grapheme clusters of a text: as ICU cuts them (UAX #29, with dictionaries for Thai, Lao, Khmer, Burmese,
Chinese and Japanese), each cluster whole; what lies between the words is kept, so nothing is lost."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate

import regex
from icu4py.breakers import WordBreaker

Span = tuple[int, int]
"""Where something begins and where it has ended, in characters (code points)."""

EXTENDING = r"\p{M}\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}"
"""What is one cluster with the character before it, as a set of `regex`: marks, joiners, skin colours."""

_CLUSTER = regex.compile(r"\X")
_WORDLIKE = regex.compile(r"[\p{L}\p{N}\p{M}]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def graphemes(text: str) -> list[str]:
    """The grapheme clusters of a text: what a reader takes for its characters."""
    found: list[str] = _CLUSTER.findall(text)
    return found


@lru_cache(maxsize=1 << 16)
def words(text: str, language: str) -> tuple[Span, ...]:
    """Where the words of a text stand: pieces with a letter, a digit or a mark, none of which cuts a cluster."""
    if not text:
        return ()
    # ICU is given UTF-8: a lone surrogate, which has none, is stood for by a character as long.
    pieces = list(WordBreaker(_SURROGATE.sub("\ufffd", text).replace("\0", "\ufffd"), language))
    whole = {0, *accumulate(map(len, graphemes(text)))}
    spans: list[Span] = []
    start = at = 0
    for piece in pieces:
        at += len(piece)
        if at not in whole:
            continue
        if _WORDLIKE.search(text, start, at):
            spans.append((start, at))
        start = at
    return tuple(spans)
