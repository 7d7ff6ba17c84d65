"""DeepWordBug: the words that matter most, by one letter more, less, other or moved.

Gao, Lanchantin, Soffa and Qi 2018, "Black-box generation of adversarial text sequences to evade deep learning
classifiers" (arXiv 1801.04354). Its four changes on the letters of the language's own keyboard, and its limit of 30
on the edit distance. A word is weighed by putting the unknown token in its place (its replace-1 score); words are
neither stopwords nor not, since few languages have an agreed list: what may not change is marked in the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts, ta

if TYPE_CHECKING:
    from textattack import Attack

DISTANCE = 30
"""Edits of characters a text, at most."""


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    near = ta.constraints.overlap.LevenshteinEditDistance(DISTANCE)
    return parts.attack(parts.by_weight(), near)
