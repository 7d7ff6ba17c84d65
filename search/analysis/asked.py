"""One contrast asked of one outcome: the effect with its interval in points and in seed noise, p, and what it takes.

Every answer has the same columns, whatever is compared:

| column | what it is |
| --- | --- |
| `contrast`, `outcome`, `portion` | what is compared, in what, on which items |
| `n`, `unit` | how many units the test rests on, and what they are (`roots`, `tasks`) |
| `measured` | what the effect is: `SD` (between what is compared, noise taken off) or `difference` |
| `estimate`, `low`, `high` | the effect and its 95 % interval, in points |
| `p`, `test` | of the test that there is no effect |
| `seed_sd` | the SD that luck alone gives the same comparison at one root (of tasks: their SD), in points |
| `in_seed_sd`, `in_seed_sd_low`, `in_seed_sd_high` | the effect in these SDs |
| `detectable` | the effect that this study would have shown in 4 of 5 such studies, in points |
| `needed` | how many units would show an effect as large as the estimate as often; empty: it is 0 or out of reach |
| `reason` | why something is lacking |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from scipy import stats
from scipy.linalg import helmert
from scipy.optimize import brentq

from search.analysis.comparisons import order_contrasts, task_contrasts
from search.analysis.design import Array, Design
from search.analysis.designs import Designs
from search.analysis.icl import two_by_two_of
from search.analysis.interaction import complexity_of
from search.analysis.intervals import NOTHING, Estimate, over_roots
from search.analysis.order_tests import ROOTS_FOR_F, Outcome, contrast_test, order_test, task_test
from search.analysis.power import (
    LEVEL,
    POWER,
    detectable_mean,
    detectable_sd,
    noise_of_orders,
    noise_of_sets,
    roots_for_mean,
    roots_for_sd,
)
from search.analysis.variance import share_interval

COLUMNS = (
    "contrast", "outcome", "portion", "n", "unit", "measured", "estimate", "low", "high", "p", "test", "seed_sd",
    "in_seed_sd", "in_seed_sd_low", "in_seed_sd_high", "detectable", "needed", "reason",
)  # fmt: skip

SD, DIFFERENCE = "SD", "difference"

T_TEST, WELCH = "t over roots", "Welch's t over tasks"

MOST_TASKS = 1000
"""More tasks of a kind than these are not counted."""

Row = dict[str, Any]


def ask(designs: Designs, contrast: str, outcome: str = "score", method: str | None = None) -> Row:
    """A contrast (`search.primary.Contrast`) of an outcome; `order` and `tasks` within a method, where it is named."""
    found = KINDS[contrast](designs, outcome, method)
    about = {"contrast": contrast, "outcome": outcome, "portion": designs.results.portion}
    return {name: {**about, **found}.get(name, math.nan) for name in COLUMNS}


def nothing(reason: str, unit: str = "roots") -> Row:
    """What is said where there is no effect to give."""
    return {"n": 0, "unit": unit, "measured": DIFFERENCE, "test": "", "needed": None, "reason": reason}


# --- between orders, sets and methods: an SD --------------------------------------------------------------------------


def _order(designs: Designs, outcome: str, method: str | None) -> Row:
    design = designs.of(outcome, method)
    if design is None:
        return nothing(_lacking(outcome))
    contrasts = order_contrasts(design)
    return _between(order_test(design), design, contrasts, noise_of_orders)


def _tasks(designs: Designs, outcome: str, method: str | None) -> Row:
    design = designs.of(outcome, method)
    if design is None:
        return nothing(_lacking(outcome))
    return _between(task_test(design), design, task_contrasts(design), noise_of_sets)


def _methods(designs: Designs, outcome: str, method: str | None) -> Row:
    """All methods over the orders that they share: a difference of two, an SD between more."""
    design = designs.arms(outcome)
    return nothing("no two methods share an order and a root") if design is None else between_arms(design)


def between_arms(design: Design) -> Row:
    """Of two arms (`Designs.arms`) the difference, less `full` or else the second; of more the SD between them."""
    if design.size == 2:
        base = next((place for place, name in enumerate(design.names) if name.split()[0] == "full"), 1)
        return of_estimate(over_roots((design.values[:, 1 - base] - design.values[:, base]).tolist()))
    contrasts = helmert(design.size)
    return _between(contrast_test("methods", contrasts, design, ""), design, contrasts, noise_of_orders)


def _between(test: Outcome, design: Design, contrasts: Array, noise_of: Callable[[Design, Array], Any]) -> Row:
    """The SD between what contrasts compare, with its interval."""
    roots, sd_noise = test.roots, test.sd_noise * math.sqrt(test.roots)
    ratio = test.sd / sd_noise if sd_noise > NOTHING else math.nan
    low, high = math.nan, math.nan
    if roots >= ROOTS_FOR_F and sd_noise > NOTHING:
        low, high = (_ratio(float(share)) for share in share_interval(design.values, contrasts, design))
    noise = noise_of(design, contrasts) if roots > 1 and len(contrasts) else None
    return {
        "n": roots, "unit": "roots", "measured": SD, "estimate": test.sd, "low": low * sd_noise,
        "high": high * sd_noise, "p": test.p, "test": test.method,
        "seed_sd": sd_noise, "in_seed_sd": ratio, "in_seed_sd_low": low, "in_seed_sd_high": high,
        "detectable": math.nan if noise is None else detectable_sd(roots, noise),
        "needed": None if noise is None else roots_for_sd(test.sd, noise), "reason": test.reason,
    }  # fmt: skip


def _ratio(share: float) -> float:
    """SD over seed SD, from the variance's share."""
    return math.sqrt(share / (1 - share)) if share < 1 else math.inf


# --- means: a difference ----------------------------------------------------------------------------------------------


def of_estimate(found: Estimate) -> Row:
    """A mean over roots as a row."""
    if found.mean is None:
        return nothing(found.reason)
    if found.half_width is None:
        return nothing(found.reason) | {"n": found.n, "estimate": found.mean}
    sd = found.half_width * math.sqrt(found.n) / float(stats.t.ppf(0.975, found.n - 1))
    return {
        "n": found.n, "unit": "roots", "measured": DIFFERENCE, "test": T_TEST, "needed": roots_for_mean(found.mean, sd),
        "p": p_of_t(found.mean, sd / math.sqrt(found.n), found.n - 1), "detectable": detectable_mean(found.n) * sd,
        **_effect(found.mean, found.half_width, sd), "reason": "",
    }  # fmt: skip


def p_of_t(mean: float, error: float, freedom: float) -> float:
    """Two-sided p of mean / error; a mean without any error is no chance, and one of 0 no effect."""
    if abs(mean) <= NOTHING:
        return 1.0
    return float(2 * stats.t.sf(abs(mean) / error, freedom)) if error > NOTHING else 0.0


def _effect(mean: float, half: float, sd: float) -> Row:
    """An effect with its interval, in points and in SDs."""
    ends = {"estimate": mean, "low": mean - half, "high": mean + half}
    names = ("in_seed_sd", "in_seed_sd_low", "in_seed_sd_high")
    ratios = [end / sd if sd > NOTHING else math.nan for end in ends.values()]
    return {**ends, "seed_sd": sd, **dict(zip(names, ratios, strict=True))}


def _icl(designs: Designs, outcome: str, method: str | None) -> Row:
    pair = icl_pair(designs)
    if pair is None:
        return nothing("the study has no in-context method beside a trained one")
    found = two_by_two_of(designs.by_order(outcome), pair).instead
    if found.mean is None:
        return nothing(f"no root has both {pair[0]} and {pair[1]}, each without and after intermediate training")
    return of_estimate(found)


def icl_pair(designs: Designs) -> tuple[str, str] | None:
    """The in-context method and the fine-tuned one that it is compared with."""
    trained = [method for method in designs.methods if method != "icl"]
    trained.sort(key=lambda method: method == "full")
    return ("icl", trained[-1]) if trained and "icl" in designs.methods else None


# --- easy and hard tasks: over tasks ----------------------------------------------------------------------------------


def trained_pair(designs: Designs) -> tuple[str, str] | None:
    """The two trained methods that are compared, the baseline second."""
    trained = [method for method in designs.methods if method != "icl"]
    trained.sort(key=lambda method: method == "full")
    return (trained[0], trained[-1]) if len(trained) > 1 else None


def _complexity(designs: Designs, outcome: str, method: str | None) -> Row:
    pair = trained_pair(designs)
    if pair is None:
        return nothing("the study has one trained method", "tasks")
    tasks, found = complexity_of(designs.by_order(outcome), designs.results.difficulty, pair)
    if found.mean is None or found.half_width is None:
        reason = found.reason if len(tasks) else "no task alone was scored under both methods beside the empty order"
        some = {} if found.mean is None else {"estimate": found.mean}
        return nothing(reason, "tasks") | {"n": found.n, **some}
    parts = [tasks.difference[tasks.difficulty == rating].to_numpy(dtype=float) for rating in ("high", "low")]
    sd = math.sqrt(sum(part.var(ddof=1) * (len(part) - 1) for part in parts) / (sum(map(len, parts)) - 2))
    return {
        "n": found.n, "unit": "tasks", "measured": DIFFERENCE, "test": WELCH, "p": _welch_p(parts, found.mean),
        **_effect(found.mean, found.half_width, sd), "detectable": detectable_of_two(list(map(len, parts))) * sd,
        "needed": tasks_for(found.mean, sd), "reason": "",
    }  # fmt: skip


def _welch_p(parts: Sequence[Array], mean: float) -> float:
    if all(part.var() <= NOTHING**2 for part in parts):
        return p_of_t(mean, 0.0, 1)
    return float(stats.ttest_ind(*parts, equal_var=False).pvalue)


def _power_of_two(effect: float, first: int, second: int) -> float:
    """How often Student's t test of two groups shows a difference of `effect` SDs."""
    freedom, shift = first + second - 2, abs(effect) / math.sqrt(1 / first + 1 / second)
    return 1.0 if shift > 15 else float(stats.nct.sf(stats.t.ppf(1 - LEVEL / 2, freedom), freedom, shift))


def detectable_of_two(counts: Sequence[int]) -> float:
    """The difference that two groups of so many show in 4 of 5 studies, in SDs within a group."""
    found: float = brentq(lambda effect: _power_of_two(effect, *counts) - POWER, 1e-6, 200)
    return found


@lru_cache
def tasks_for(effect: float, sd: float) -> int | None:
    """How many tasks of each kind show a difference of `effect` in 4 of 5 studies; None: it is 0, or too many."""
    if not effect or sd <= NOTHING:
        return None
    return next((n for n in range(2, MOST_TASKS) if _power_of_two(effect / sd, n, n) >= POWER), None)


def _lacking(outcome: str) -> str:
    return f"the study has no {outcome}: nothing was perturbed" if outcome.startswith("robust") else f"no {outcome}"


KINDS: dict[str, Callable[[Designs, str, str | None], Row]] = {
    "order": _order, "tasks": _tasks, "methods": _methods, "complexity": _complexity, "icl": _icl,
}  # fmt: skip
"""What asks each contrast."""
