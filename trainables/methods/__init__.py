"""Tuning methods by name: each prepares a model so that what it tunes, and nothing else, is trained."""

from __future__ import annotations

from collections.abc import Callable

from trainables.methods import full, probe
from trainables.models import Encoder

METHODS: dict[str, Callable[[Encoder], None]] = {"full": full.prepare, "probe": probe.prepare}
