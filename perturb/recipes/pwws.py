"""PWWS: synonyms of a multilingual wordnet, in the order of saliency times harm.

Ren, Deng, He and Che 2019, "Generating natural language adversarial examples through probability weighted word
saliency" (ACL P19-1103). Named entities are not exchanged, as the paper does: they are fixed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts

if TYPE_CHECKING:
    from textattack import Attack


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    return parts.attack(parts.by_weight("weighted-saliency"))
