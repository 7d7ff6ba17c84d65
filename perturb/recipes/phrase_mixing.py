"""Phrase-mixing: phrases of the text's translations in their places, by beam search.

Tan and Joty 2021, "Code-mixing on Sesame Street: dawn of the adversarial polyglots" (arXiv 2103.09593): Bumblebee, with
phrases aligned in parallel text. It exists for texts that have translations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts, ta
from perturb.recipes.code_mixing import BEAM

if TYPE_CHECKING:
    from textattack import Attack


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    return parts.attack(ta.search_methods.BeamSearch(BEAM))
