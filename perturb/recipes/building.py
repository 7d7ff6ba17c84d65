"""What recipes are put together from. Importing this imports TextAttack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from perturb.edits.base import Edit
from perturb.errors import BadInput
from perturb.offline import textattack
from perturb.recipes.settings import AttackSettings
from perturb.recipes.stock import PROBE, Stock
from perturb.transformation import EditBudget, EditSwap, Fixed, candidates

if TYPE_CHECKING:
    from textattack import Attack
    from textattack.search_methods import SearchMethod

ta = textattack()


class ByWeight(ta.search_methods.GreedyWordSwapWIR):  # type: ignore[name-defined]
    """TextAttack's greedy search by word importance, with indices that stay with their words.

    The order is of the original's words. Where a word was cut in two, TextAttack itself goes on by wrong indices.
    """

    draws = False
    get_transformations: Callable[..., Any]

    def perform_search(self, initial_result: Any) -> Any:
        """The best result that it finds."""
        original, plain = initial_result.attacked_text, self.get_transformations

        def get_transformations(current_text: Any, original_text: Any = None, **asked: Any) -> Any:
            moved = {} if current_text is original else {"shifted_idxs": True}
            return plain(current_text, original_text, **asked, **moved)

        self.get_transformations = get_transformations
        try:
            return super().perform_search(initial_result)
        finally:
            self.get_transformations = plain


@dataclass(frozen=True)
class Parts:
    """What a recipe is given; `attested` and `unknown` as in `build_recipe`."""

    goal_function: Any
    edits: tuple[Edit, ...]
    settings: AttackSettings
    attested: frozenset[str] = frozenset()
    unknown: str = "[UNK]"

    def by_weight(self, method: Literal["unk", "weighted-saliency"] = "unk") -> SearchMethod:
        """A search that goes from word to word, those first whose loss tells the model the most.

        A word's weight is what `unknown` in its place does: left out, it would take a tag with it.
        """
        return ByWeight(method, unk_token=self.unknown)

    def attack(self, search: SearchMethod, *constraints: Any) -> Attack:
        """The attack that tries these edits under the constraints of all attacks and `constraints`."""
        most, seed = self.settings.most, self.settings.seed
        swaps = [EditSwap(edit, most=most, seed=seed, attested=self.attested) for edit in self.edits]
        transformation = swaps[0] if len(swaps) == 1 else ta.transformations.CompositeTransformation(swaps)
        once = ta.constraints.pre_transformation.RepeatModification()
        return ta.Attack(self.goal_function, [once, *_always(self.settings), *constraints], transformation, search)


def stock(recipe: Stock, goal_function: Any, settings: AttackSettings) -> Attack:
    """A recipe of TextAttack's own on this goal; BadInput where it lacks what it needs."""
    try:
        built = getattr(ta.attack_recipes, recipe.recipe).build(goal_function.model)
        constraints = [*built.pre_transformation_constraints, *built.constraints, *_always(settings)]
        attack = ta.Attack(goal_function, constraints, built.transformation, built.search_method)
        candidates(attack, ta.shared.AttackedText(PROBE))
    except Exception as error:
        if not recipe.needs:
            raise
        what = f"'{recipe.name}' needs what is not here: {recipe.needs} ({type(error).__name__})"
        raise BadInput(what, where="recipe", right="these files, or another recipe") from error
    attack.clear_cache()
    return attack


def _always(settings: AttackSettings) -> list[Any]:
    return [Fixed(settings.fields), EditBudget(settings.words, settings.fields)]
