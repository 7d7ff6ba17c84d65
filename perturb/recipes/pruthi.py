"""One or two typos, wherever they do the most harm.

Pruthi, Dhingra and Lipton 2019, "Combating adversarial misspellings with robust word recognition" (arXiv 1905.11268).
Letters moved, dropped, added or mistyped on the language's own keyboard; words of at least four letters (two, where a
character is a syllable or a morpheme); the best change of all is taken, then the best beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts, ta
from perturb.transformation import MinLength

if TYPE_CHECKING:
    from textattack import Attack

TYPOS = 2
"""Words that are changed, at most."""


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    few = ta.constraints.pre_transformation.MaxNumWordsModified(TYPOS)
    return parts.attack(ta.search_methods.GreedySearch(), MinLength(4), few)
