"""Code-mixing: words from other languages, by beam search.

Tan and Joty 2021, "Code-mixing on Sesame Street: dawn of the adversarial polyglots" (arXiv 2103.09593): PolyGloss, with
words from bilingual lexicons. The width of the beam is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts, ta

if TYPE_CHECKING:
    from textattack import Attack

BEAM = 2
"""Texts that are kept from one step to the next."""


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    return parts.attack(ta.search_methods.BeamSearch(BEAM))
