"""The kinds of task, by name."""

from __future__ import annotations

from trainables.kinds.base import Feature, Kind, Result
from trainables.kinds.choice import Choice
from trainables.kinds.classification import Classification
from trainables.kinds.masked_lm import MaskedLM
from trainables.kinds.mining import Mining
from trainables.kinds.retrieval import Retrieval
from trainables.kinds.span import Span
from trainables.kinds.tagging import Tagging

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (Classification(), Tagging(), Span(), Choice(), Retrieval(), Mining(), MaskedLM())
}

__all__ = ["KINDS", "Feature", "Kind", "Result"]
