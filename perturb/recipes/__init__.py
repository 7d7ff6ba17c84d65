"""Recipes: searches for the worst of many edits, one a file, each a TextAttack `Attack` for every script.

Listing them imports neither TextAttack nor torch.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from perturb.edits import Resources, make_edit
from perturb.edits.base import Edit, Keeps
from perturb.errors import BadInput
from perturb.recipes.settings import AttackSettings
from perturb.recipes.stock import STOCK, Stock

if TYPE_CHECKING:
    from textattack import Attack

KINDS = ("classification", "tagging", "span", "choice", "retrieval")
"""The kinds of task that a recipe of ours serves. Of a tagged sentence, only by edits that map words one to one."""

NOTHING = Resources()
"""Neither lexicon nor model: what there is for edits that look nothing up."""


@dataclass(frozen=True)
class Recipe:
    """A recipe as it is listed: its file builds it from those of its edits that are there and exist in a language."""

    name: str
    description: str
    paper: str
    keeps: Keeps
    edits: tuple[str, ...]
    kinds: tuple[str, ...] = KINDS

    @property
    def module(self) -> str:
        """The file that builds it."""
        return f"perturb.recipes.{self.name.replace('-', '_')}"

    def of(self, language: str, resources: Resources) -> list[Edit]:
        """Those of its edits that are there and exist in a language."""
        made = [_edit(name, resources) for name in self.edits]
        return [edit for edit in made if edit is not None and edit.exists(language)]

    def exists(self, language: str, resources: Resources | None = None) -> bool:
        """Whether there is anything it can change in a language."""
        return bool(self.of(language, resources or NOTHING))


@lru_cache(maxsize=1024)
def _edit(name: str, resources: Resources) -> Edit | None:
    """An edit, once: it remembers the options of words."""
    return make_edit(name, resources)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "deepwordbug", "the words that matter most, by one letter more, less, other or moved",
            "Gao et al. 2018, arXiv 1801.04354", "form",
            ("insertion", "deletion", "substitution", "transposition"),
        ),
        Recipe(
            "textbugger-characters", "the words that matter most, by spaces, letters less or moved, and look-alikes",
            "Li et al. 2019, arXiv 1812.05271", "form",
            ("spacing", "deletion", "transposition", "keyboard", "confusables"),
        ),
        Recipe(
            "pruthi", "one or two typos, wherever they do the most harm",
            "Pruthi et al. 2019, arXiv 1905.11268", "form",
            ("transposition", "deletion", "insertion", "keyboard"),
        ),
        Recipe(
            "code-mixing", "words from other languages, by beam search",
            "Tan and Joty 2021 (PolyGloss), arXiv 2103.09593", "meaning",
            ("code-mixing",),
        ),
        Recipe(
            "phrase-mixing", "phrases of the text's translations, by beam search",
            "Tan and Joty 2021 (Bumblebee), arXiv 2103.09593", "stress",
            ("phrase-mixing",), tuple(kind for kind in KINDS if kind != "tagging"),
        ),
        Recipe(
            "pwws", "synonyms of a multilingual wordnet, in the order of saliency times harm",
            "Ren et al. 2019, ACL P19-1103", "meaning",
            ("synonyms",),
        ),
        Recipe(
            "masked-lm", "the words that matter most, by what a masked language model puts in their place",
            "Garg and Ramakrishnan 2020, arXiv 2004.01970; Li et al. 2021, arXiv 2009.07502", "stress",
            ("masked-lm",),
        ),
    )
}  # fmt: skip


def recipe(name: str) -> Recipe | Stock:
    """A recipe by its name, ours or TextAttack's own. BadInput where there is none."""
    known: dict[str, Recipe | Stock] = {**RECIPES, **STOCK}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        right = f"did you mean '{close[0]}'? " if close else ""
        raise BadInput(f"there is no recipe '{name}'", right=f"{right}Known: {', '.join(known)}")
    return known[name]


def build_recipe(
    settings: AttackSettings,
    goal_function: Any,
    language: str,
    resources: Resources | None = None,
    *,
    attested: frozenset[str] = frozenset(),
    unknown: str = "[UNK]",
) -> Attack:
    """The attack that the settings name, on a goal function (`perturb.goals`).

    `attested` are words of the language, folded, none of which an edit of the form makes of another. `unknown` stands
    for a word whose weight is measured: the tokenizer's unknown token. BadInput where the recipe does not exist in the
    language, or needs what is not there.
    """
    found = recipe(settings.recipe)
    if isinstance(found, Stock):
        return found.build(settings, goal_function, language)
    edits = found.of(language, resources or NOTHING)
    if not edits:
        lacking = [name for name in found.edits if _edit(name, resources or NOTHING) is None]
        right = f"it uses {', '.join(found.edits)}" + (f"; not at hand: {', '.join(lacking)}" if lacking else "")
        raise BadInput(f"the recipe '{found.name}' changes nothing in '{language}'", where="recipe", right=right)
    from perturb.recipes.building import Parts

    attack: Attack = import_module(found.module).build(Parts(goal_function, tuple(edits), settings, attested, unknown))
    return attack
