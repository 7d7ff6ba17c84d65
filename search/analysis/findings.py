"""The registry of findings: everything that is said of a study's results, in the order in which people read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from search.analysis.controls import seed_control, shams
from search.analysis.design import Design
from search.analysis.designs import Designs
from search.analysis.distance import distance
from search.analysis.finding import Finding
from search.analysis.five_questions import five_questions, holds_for, is_the_primary
from search.analysis.inclusion import gains, inclusion
from search.analysis.intervals import number
from search.analysis.items import sample_variance
from search.analysis.over_languages import FINDINGS as OVER_LANGUAGES
from search.analysis.positions import positions
from search.analysis.precedence import neighbours, precedence
from search.analysis.primary import primary
from search.analysis.published import published
from search.analysis.searching import course, regret, winners_curse
from search.analysis.tested import order_by_family, within
from search.analysis.tested_methods import complexity, icl, methods, prompts
from search.analysis.variance import variance
from search.results import Results

Make = Callable[[Designs], Finding | None]

OUTCOMES = {"score": "", "robust_score": "Robust score: "}
"""What effects of orders are estimated in, and how a sentence about it begins."""


def _of_designs(
    make: Callable[[Design], Finding], outcomes: Sequence[str] = tuple(OUTCOMES)
) -> Callable[[Designs], Finding]:
    """A finding of one design as one of a study: for each method by itself (orders are compared within a method) and
    outcome, in columns `method` and `outcome`."""

    def made(designs: Designs) -> Finding:
        parts: list[tuple[str, str, Finding]] = []
        for outcome in outcomes:
            for method in designs.methods:
                design = designs.of(outcome, method)
                if design is not None:
                    parts.append((outcome, method, make(design)))
        if not parts:
            raise ValueError("no candidate was scored at all roots")
        return _joined(parts, several=len(designs.methods) > 1)

    return made


def _joined(parts: Sequence[tuple[str, str, Finding]], several: bool) -> Finding:
    tables = [found.table.assign(outcome=outcome, method=method) for outcome, method, found in parts]
    table = pd.concat([one for one in tables if len(one)] or tables[:1], ignore_index=True)
    first = ["outcome", "method"]
    told = [
        f"{OUTCOMES[outcome]}{f'{method}: ' if several else ''}{found.sentence}" for outcome, method, found in parts
    ]
    notes = tuple(dict.fromkeys(note for _, _, found in parts for note in found.notes))
    return replace(parts[0][2], table=table[[*first, *table.columns.drop(first)]], sentence=" ".join(told), notes=notes)


def _of_results(make: Callable[[Results], Finding | None]) -> Make:
    return lambda designs: make(designs.results)


def _variance(designs: Designs) -> Finding:
    of_items = sample_variance(designs.results)
    return _of_designs(lambda design: variance(design, of_items), ("score",))(designs)


EXPLORATORY: dict[str, tuple[str, Make]] = {
    "which_tasks": ("Does it matter which tasks are trained?", lambda designs: within("tasks", designs)),
    "order": ("Does the order of the same tasks matter?", lambda designs: within("order", designs)),
    "order_by_family": ("The order, in each language family", order_by_family),
    "variance": ("Order, set, seed and sample", _variance),
    "precedence": ("Which task before which", _of_designs(precedence)),
    "positions": ("Which task at which position", _of_designs(positions)),
    "neighbours": ("Which task immediately before which", _of_designs(neighbours)),
    "inclusion": ("What including a task adds", _of_designs(inclusion)),
    "gains": ("Orders against no intermediate task", _of_designs(gains)),
    "methods": ("Tuning methods", methods),
    "prompts": ("Prompt tuning", prompts),
    "complexity": ("Task difficulty × tuning method", complexity),
    "icl": ("In-context prompts against fine-tuning", icl),
    **{make.__name__: (make.__name__.replace("_", " ").capitalize(), _of_results(make)) for make in OVER_LANGUAGES},
    "sham_controls": ("Orders against sham orders of as many stages", shams),
    "seed_control": ("The best of m orders against the best of m seeds", lambda d: seed_control(d.results)),
    "regret": ("Regret of the choice", regret),
    "course": ("The course of the search", course),
    "winners_curse": ("The winner's luck", winners_curse),
    "published": ("Against published figures", lambda designs: published(designs.results)),
}
"""Every exploratory finding by its name: a heading where it cannot be made, and what makes it of a study's designs;
what gives None is not there in such a study."""


def findings(results: Results, distances: str | None = None) -> list[Finding]:
    """All findings of a study, each made once: the estimand, the primary contrast, the questions, then the exploratory
    ones. None for results that were mixed (`Results.differences`), or that hold no scores. `distances` is a CSV file of
    languages' distances from English (`distance.distance`).

    What cannot be made of odd data stands there as a finding without rows that says why. Each p of an exploratory
    finding has a `q` beside it (`with_q`).
    """
    if results.differences or not len(results.own):
        return []
    designs = Designs(results)
    first = primary(designs)
    about = first.table.to_dict("records")[0]
    makes = dict(EXPLORATORY)
    if distances is not None:
        makes["distance"] = ("Distance", lambda designs: distance(designs.results, distances))
    made = [_made(name, title, make, designs) for name, (title, make) in makes.items()]
    rest = with_q([one for one in made if one is not None], about)
    questions = _made(
        "five_questions", "The questions, answered",
        lambda designs: five_questions(designs, {one.name: one for one in rest}, about), designs,
    )  # fmt: skip
    return [estimand(designs), first, *([] if questions is None else [questions]), *rest]


def _made(name: str, title: str, make: Make, designs: Designs) -> Finding | None:
    """The finding; where the data are such that it cannot be had, one that says so."""
    try:
        return make(designs)
    except (ValueError, np.linalg.LinAlgError) as error:
        return Finding(name, title, pd.DataFrame(), f"It cannot be made of these results: {error}.")


def with_q(found: Sequence[Finding], primary_: Mapping[str, Any]) -> list[Finding]:
    """The findings with a column `q` beside each `p`: Benjamini and Hochberg's (1995) adjusted p over all tests of all
    of them. To take those with q up to 0.05 for true keeps the expected share of false ones among them at 5 %. The
    primary contrast, where a finding repeats it, is no part of them: its q is empty."""
    kept = [
        one.table.p.notna().to_numpy()
        & ~np.array([is_the_primary(row, primary_) for row in one.table.to_dict("records")], dtype=bool)
        if "p" in one.table else np.zeros(len(one.table), dtype=bool)
        for one in found
    ]  # fmt: skip
    p = np.concatenate([one.table.p.to_numpy(dtype=float)[mask] if mask.any() else [] for one, mask in
                        zip(found, kept, strict=True)])  # fmt: skip
    adjusted = iter(stats.false_discovery_control(p) if len(p) else [])
    return [_beside_p(one, mask, adjusted) for one, mask in zip(found, kept, strict=True)]


def _beside_p(found: Finding, mask: Any, adjusted: Any) -> Finding:
    if "p" not in found.table:
        return found
    q = np.full(len(found.table), np.nan)
    q[mask] = [next(adjusted) for _ in range(int(mask.sum()))]
    table = found.table.copy()
    table.insert(int(table.columns.get_indexer(["p"])[0]) + 1, "q", q)
    return replace(found, table=table)


def estimand(designs: Designs) -> Finding:
    """What is estimated: a row a target with its languages, items (of a language, at most) and data fingerprint."""
    results = designs.results
    rows = []
    for target in results.grid.unique("target"):
        codes = [code for name, code in results.grid if name == target]
        own = results.own[(results.own.target == target) & (results.own.portion == results.portion)]
        items = own[own.main.astype(bool) & (own.perturbation == "none")].n.max() if len(own) else None
        rows.append({"target": target, "languages": len(codes), "items": items, "codes": " ".join(codes),
                     "data": results.manifest["data"].get(f"score {target}", "")})  # fmt: skip
    table = pd.DataFrame(rows)
    design = designs.of("score")
    size = "" if design is None else f" {number(design.size, 'candidate')} at {number(design.roots, 'root')} enter."
    sentence = (
        "Estimated is the expectation over root seeds of the score (mean over targets of means over languages, "
        f"{results.portion} portion) of each candidate on these items; intervals and tests are over roots.{size}"
    )
    return Finding("estimand", "What is estimated", table, sentence, unit="percent", notes=(holds_for(results),))
