"""The languages of XTREME: name, family, script. Family and script decide how results are grouped."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from trainables.config import configs_dir, read_yaml


class LanguageInfo(NamedTuple):
    """A language's English name, its family (`Family` or `Family: branch`) and its script."""

    name: str
    family: str
    script: str


@cache
def _read() -> dict[str, LanguageInfo]:
    rows = read_yaml(configs_dir() / "languages.yaml")
    return {str(code): LanguageInfo(*entry) for code, entry in rows.items()}


LANGUAGES = _read()
"""By ISO 639-1 code."""
