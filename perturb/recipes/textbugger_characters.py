"""TextBugger's character part: the words that matter most, by spaces, letters less or moved, and look-alikes.

Li, Ji, Du, Li and Wang 2019, "TextBugger: generating adversarial text against real-world applications" (arXiv
1812.05271). Its fifth change, near words of an English embedding, and its sentence encoder are left out. Look-alikes
are those of Unicode TR39 and neighbours on the language's own keyboard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perturb.recipes.building import Parts

if TYPE_CHECKING:
    from textattack import Attack


def build(parts: Parts) -> Attack:
    """The attack of these parts."""
    return parts.attack(parts.by_weight())
