"""The primary outcome and contrast: the one question that a study is planned to answer, fixed before it has begun.

All else that is found in a study is exploratory. Imports no pandas: it is checked at planning.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from search.means import ENGLISH
from trainables.errors import Mistake, nearest
from trainables.languages import family, script
from trainables.methods import FEW_SHOT

if TYPE_CHECKING:
    from search.order import Order
    from search.settings import Settings
    from search.study import Study

Contrast = Literal["order", "tasks", "methods", "complexity", "icl"]

QUESTIONS: dict[str, str] = {
    "order": "Do orders of the same set of tasks differ?",
    "tasks": "Do sets of tasks differ?",
    "methods": "Do tuning methods differ over the same orders?",
    "complexity": "Do hard intermediate tasks act otherwise than easy ones under one method than under another?",
    "icl": "Does intermediate training with in-context prompts beat fine-tuning without it?",
}
"""What each contrast asks of an outcome."""

OF_ANSWER: dict[str, Contrast] = {
    "orders": "order", "best": "order", "methods": "methods", "complexity": "complexity", "icl": "icl",
}  # fmt: skip
"""The contrast of a study that names none, by its kind of answer."""

FEW = 100_000
"""So many orders of a space are looked at for two of one set; those that have them have them among their first."""


def contrast_of(settings: Settings, orders: Iterable[Order]) -> Contrast:
    """The contrast: the one asked for, else by the space's answer; sets of tasks where no set has two orders.

    `orders` (no iterator: it is gone through twice) may be a space of any size.
    """
    asked = settings.primary.contrast or OF_ANSWER[settings.answer]
    if settings.primary.contrast is None and asked == "order" and not has_two_orders(orders):
        return "tasks" if has_two_sets(orders) else "order"
    return asked


def has_two_orders(orders: Iterable[Order]) -> bool:
    """Whether some set of tasks has two orders."""
    seen: set[frozenset[str]] = set()
    for order in itertools.islice(orders, FEW):
        tasks = frozenset(order.tasks)
        if tasks in seen:
            return True
        seen.add(tasks)
    return False


def has_two_sets(orders: Iterable[Order]) -> bool:
    """Whether there are two sets of tasks (the empty one is one)."""
    return len({frozenset(order.tasks) for order in itertools.islice(orders, FEW)}) > 1


def outcomes_of(grid: Mapping[str, Sequence[str]], apart: Mapping[str, Sequence[str]], perturbed: bool) -> list[str]:
    """All outcomes that a study on this grid (languages by target, less those `apart`) may have as its primary one."""
    cells = [(target, code) for target, codes in grid.items() for code in codes if code not in apart.get(target, ())]
    codes = sorted({code for _, code in cells})
    found = ["score", "worst_language"]
    both = [{code in ENGLISH for name, code in cells if name == target} == {True, False} for target in grid]
    found += ["gap_to_english"] if any(both) else []
    if perturbed:
        found += ["robust_score", *(["robust_score_foreign"] if set(codes) - set(ENGLISH) else [])]
    found += [f"target:{target}" for target in grid] + [f"language:{code}" for code in codes]
    found += sorted({f"family:{family(code)}" for code in codes}) + sorted({f"script:{script(code)}" for code in codes})
    return found


def check_primary(study: Study, place: Callable[[str], str]) -> None:
    """A Mistake where the primary outcome or contrast is none that this study can have; `place` says what set a key."""
    settings = study.settings
    where = place("primary")
    known = outcomes_of(study.grid, study.apart, bool(settings.perturbations))
    outcome, contrast = settings.primary.outcome, settings.primary.contrast
    if outcome not in known:
        lacks = outcome.startswith("robust_score") and not settings.perturbations
        right = "--perturbations standard, or --set primary.outcome=score" if lacks else nearest(outcome, known)
        raise Mistake(f"the study has no outcome '{outcome}' to be its primary one", where=where, right=right)
    methods = [method for method in settings.method if method not in FEW_SHOT]
    wants = {
        "methods": (len(methods) > 1, "--method full,adapter"),
        "icl": ("icl" in methods and len(methods) > 1, "--method icl,full"),
        "complexity": (settings.pair is not None and "icl" not in settings.pair, "--method full,adapter"),
    }
    if contrast in wants and not wants[contrast][0]:
        what = f"the primary contrast '{contrast}' compares methods, but there is {', '.join(methods)}"
        raise Mistake(what, where=where, right=f"{wants[contrast][1]}, or primary.contrast=order")
