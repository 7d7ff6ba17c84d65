"""The kinds of task, by name."""

from __future__ import annotations

from trainables.kinds.base import Feature, Kind, Result
from trainables.kinds.classification import Classification
from trainables.kinds.retrieval import Retrieval
from trainables.kinds.tagging import Tagging

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(), Tagging(), Retrieval())}

__all__ = ["KINDS", "Feature", "Kind", "Result"]
