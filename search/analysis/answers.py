"""A space's answer to its question: one sentence that claims no more than its interval, and the table behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from search.analysis.best import best_per_target
from search.analysis.contrasts import gain_contrasts, method_contrasts, order_effect, order_gains, target_contrasts
from search.analysis.icl import two_by_two
from search.analysis.interaction import complexity
from search.analysis.intervals import number
from search.analysis.overall import HYPERPARAMETERS
from search.analysis.selection import chosen
from search.analysis.wording import SEEN, estimate_of, figure, verdict
from search.means import PRECISION
from search.order import EMPTY
from trainables.methods import FEW_SHOT

SAME_ROOTS = "chosen on scores of the same roots, so it may look better than it is"
ALL = "all"
"""In a table's column `target`: the mean over targets."""


@dataclass(frozen=True)
class Answer:
    """`sentence` answers `question` from `table`; `n` is the number of units it rests on (roots, or tasks)."""

    question: str
    sentence: str
    table: pd.DataFrame
    n: int


@dataclass(frozen=True)
class _About:
    """What the answers are made from: `answer`'s arguments."""

    scores: pd.DataFrame
    chosen: Sequence[str]
    difficulty: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[str, str] | None = None
    baseline: str = "full"
    report: str = "test"
    portion: str = "dev"


def answer(
    kind: str,
    scores: pd.DataFrame,
    *,
    kept: Sequence[str] | None = None,
    difficulty: Mapping[str, str] | None = None,
    methods: tuple[str, str] | None = None,
    baseline: str = "full",
    report: str = "test",
    portion: str = "dev",
    question: str = "",
) -> Answer:
    """The answer of one kind of `KINDS` to a `question` (default: the kind's own).

    Few-shot methods are left out: what has seen labels in the target languages is ranked apart from what has not.

    `kept` are the candidates that are compared (default: the best setting of each order and method on `portion`, all
    hyperparameters being nuisances). `difficulty`, of intermediate tasks, is for `complexity`; `methods` for it
    (default: adapter, full) and for `icl` (default: icl, full); `baseline` for `methods`. Raises ValueError for an
    unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of answer must be one of {sorted(KINDS)}, but got {kind!r}")
    few_shot = [method for method in FEW_SHOT if (scores.method == method).any()]
    scores = scores[~scores.method.isin(few_shot)]
    compared = chosen(scores, HYPERPARAMETERS, portion) if kept is None else kept
    found = KINDS[kind](_About(scores, compared, difficulty or {}, methods, baseline, report, portion))
    if few_shot:
        said = f"; few-shot methods are left out ({', '.join(few_shot)})."
        found = replace(found, sentence=found.sentence.removesuffix(".") + said)
    return replace(found, question=question or found.question)


def _best(about: _About) -> Answer:
    question = "Which candidate is best for each target?"
    table = best_per_target(about.scores, about.report, about.portion)
    told = [
        f"{row.target}: {row.candidate}, {figure(estimate_of(row, 'score'), number(row.roots, 'root'), signed=False)},"
        f" {_best_of(row.among, row.in_full)} on {row.chosen_by}"
        for row in table.itertuples()
        if isinstance(row.candidate, str)
    ]
    if not told:
        return _too_little(question, f"no candidate has a score on {SEEN[about.portion]}", table)
    return Answer(question, f"{'; '.join(told)} ({SAME_ROOTS}).", table, int(table.roots.max()))


def _best_of(among: int, in_full: int) -> str:
    return f"best of {among}" + (f", {in_full} of them trained in full," if in_full < among else "")


def _methods(about: _About) -> Answer:
    base = about.baseline
    question = f"Do orders gain more, and are scores higher, under other tuning methods than under {base}?"
    given = about.scores, about.chosen, base, about.report
    levels, gains = method_contrasts(*given), gain_contrasts(*given)
    if levels.empty or not levels.roots.any():
        return _too_little(question, f"no other method shares an order and a root with {base}", levels)
    parts = [
        levels.assign(measure="score", target=ALL), gains.assign(measure="gain", target=ALL),
        target_contrasts(*given).assign(measure="score"),
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    more = f"orders gain more than under {base}", f"orders gain less than under {base}", "no difference is shown"
    higher = f"higher than {base}", f"lower than {base}", f"not shown to differ from {base}"
    told = [
        *_contrasted(gains[gains.roots > 0], f"gain over '{EMPTY}', {{method}} − {base}", more),
        *_contrasted(levels, f"{{method}} − {base}", higher),
    ]
    alone = " (each interval holds by itself, not all at once)" if len(told) > 1 else ""
    effects = order_effect(about.scores, about.chosen, about.report)
    same = "".join(f"; {row.method}: {row.sentence}" for row in effects.itertuples() if row.identical)
    return Answer(question, f"{'; '.join(told)}{alone}{same}.", table, int(levels.roots.max()))


def _contrasted(table: pd.DataFrame, name: str, words: tuple[str, str, str]) -> list[str]:
    """Each contrast of a table with its interval; `name` says what it is, of a `{method}`."""
    told = []
    for row in table.itertuples():
        found, units = estimate_of(row, "difference"), f"{number(row.roots, 'root')}, {number(row.orders, 'order')}"
        told.append(f"{name.format(method=row.method)}: {figure(found, units)}, {verdict(found, *words)}")
    return told


def _complexity(about: _About) -> Answer:
    first, second = about.methods or ("adapter", "full")
    question = f"Do hard intermediate tasks act otherwise under {first} than under {second} tuning?"
    table, found = complexity(about.scores, about.chosen, about.difficulty, (first, second), about.report)
    if found.mean is None:
        return _too_little(question, found.reason, table, found.n)
    counts = table.difficulty.value_counts()
    words = (
        f"hard tasks gain more from {first} over {second} than easy ones do",
        f"hard tasks gain less from {first} over {second} than easy ones do",
        "no interaction is shown",
    )
    units = f"over {counts['high']} hard and {number(counts['low'], 'easy task')}"
    sentence = (
        f"({first} − {second}) of hard less that of easy tasks: {figure(found, units)}, {verdict(found, *words)}."
    )
    return Answer(question, sentence, table, found.n)


def _icl(about: _About) -> Answer:
    first, second = methods = about.methods or ("icl", "full")
    question = f"Does intermediate training with {first} beat {second} without it, and which of them does it help?"
    found = two_by_two(about.scores, about.chosen, methods, about.report)
    if found.interaction.mean is None:
        reason = f"no root has both {first} and {second}, each without and after intermediate training"
        return _too_little(question, reason, found.cells)
    effects = [
        (
            f"{first} after intermediate training − {second} without", found.instead,
            (f"{first} is higher", f"{second} is higher", "no difference is shown"),
        ),
        ("intermediate training, mean of both methods", found.training, ("it helps", "it harms", "no effect is shown")),
        (f"{second} − {first}", found.method, (f"{second} is higher", f"{first} is higher", "no difference is shown")),
        (
            f"training's gain under {second} less that under {first}", found.interaction,
            (f"{second} gains more", f"{first} gains more", "no interaction is shown"),
        ),
    ]  # fmt: skip
    told = [f"{name}: {figure(one, number(one.n, 'root'))}, {verdict(one, *words)}" for name, one, words in effects]
    return Answer(question, f"{'; '.join(told)}.", found.cells, found.interaction.n)


def _orders(about: _About) -> Answer:
    question = "Which order of intermediate tasks transfers best?"
    table = order_gains(about.scores, about.chosen, about.report, about.portion)
    if table.empty:
        return _too_little(question, "nothing was scored", table)
    effects = order_effect(about.scores, about.chosen, about.report)
    told = [
        f"{row.method}: {_best_order(table[table.method == row.method], row, about.portion)}"
        for row in effects.itertuples()
    ]
    return Answer(question, f"{'; '.join(told)}.", table, int(table.roots.max()))


def _best_order(gains: pd.DataFrame, effect: Any, portion: str) -> str:
    """The order that is best on what was seen, with its gain; or why none can be named."""
    gains = gains[gains[portion].notna() & gains.score.notna()]
    if effect.identical or effect.orders < 2:
        return str(effect.sentence)
    if gains.empty:
        return f"no order has a score on {SEEN[portion]}; {effect.sentence}"
    best = next(gains.loc[[gains[portion].astype(float).round(PRECISION).idxmax()]].itertuples())
    if best.order == EMPTY:
        return f"of {len(gains)} orders the empty one is best on {SEEN[portion]}; {effect.sentence}"
    found = estimate_of(best, "gain")
    said = verdict(found, "a gain", "a loss", "no gain is shown")
    gain = f"over '{EMPTY}' {figure(found, number(best.roots, 'root'))}, {said}"
    return f"{best.order} is best on {SEEN[portion]} of {len(gains)} orders ({SAME_ROOTS}): {gain}; {effect.sentence}"


def _too_little(question: str, reason: str, table: pd.DataFrame, n: int = 0) -> Answer:
    return Answer(question, f"There is too little to say: {reason}.", table, n)


KINDS: dict[str, Callable[[_About], Answer]] = {
    "best": _best, "methods": _methods, "complexity": _complexity, "icl": _icl, "orders": _orders,
}  # fmt: skip
"""Every kind of answer by its name."""
