"""The words that matter most, by what a masked language model puts in their place.

Garg and Ramakrishnan 2020, "BAE: BERT-based adversarial examples" (arXiv 2004.01970): its replacement. Li et al. 2021,
"Contextualized perturbation for textual adversarial attack" (CLARE, arXiv 2009.07502): a model of the RoBERTa family.
What either keeps of the meaning by an English sentence encoder and tagger is not claimed here; candidates are those in
the script of the language instead of Latin ones alone. The model sees the original text: what it puts in a place is the
same for all models under attack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts

if TYPE_CHECKING:
    from textattack import Attack


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    return parts.attack(parts.by_weight())
