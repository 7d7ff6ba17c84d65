"""`--dry-run`: the plan and its price, by closed formulas and the store's listing; nothing is started or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.campaign import make_strategy
from search.candidate import Candidate
from search.order import Order
from search.stored import stored, stored_before
from search.study import Study
from search.study_prices import SECONDS_A_LANGUAGE, SECONDS_A_STEP, StudyPrices
from search.study_prices import seconds as priced
from trainables.store import Store

REHEARSED = 1000
"""A strategy is rehearsed up to so many proposals."""


def print_plan(study: Study, store: Store, console: Console) -> None:
    """Candidates, stages naive and shared, what the store has, and an estimate of the time."""
    settings = study.settings
    counts, most = study.counts(), settings.candidates
    have = stored(study, store.keys())
    whole = settings.strategy in ("exhaustive", "random") and (most or counts["candidates"]) >= counts["candidates"]
    cut = False
    more: list[tuple[str, str]] = []
    control = study.seed_control.stages(study) if study.seed_control else {}
    to_control = sum(priced(study, stage) for key, stage in control.items() if key not in have)
    searched = counts["stages_distinct"] - len(control) - len(have - control.keys())
    seconds = _seconds(study, searched) + to_control
    if not whole:
        prices = StudyPrices(study, lambda: stored_before(study, store, remember=False))
        proposed = rehearsed(study, prices)
        cut = len(proposed) >= REHEARSED
        runs = [study.stages(one, seed) for one in proposed for seed in range(settings.seeds)]
        runs += [study.stages(*run) for run in study.control_runs]
        stages = {stage.key: stage for run in runs for stage in run}
        counts |= {"stages_naive": sum(map(len, runs)), "stages_distinct": len(stages)}
        have = stages.keys() & store.keys()
        naive = sum(priced(study, stage) for run in runs for stage in run)
        seconds = sum(priced(study, stage) for key, stage in stages.items() if key not in have)
        budgets = sorted(Counter(one.budget for one in proposed).items())
        more = [
            ("candidates proposed" + (", at least" if cut else ""), f"{len({one.at(1) for one in proposed}):,}"),
            *([("of them at each budget", _listed(budgets))] if len(budgets) > 1 else []),
            ("price of their stages", f"{seconds:,.0f} s of {naive:,.0f} s, each run alone"),
        ]
    title = Text(f"plan: space {settings.space}, suite {settings.suite}, strategy {settings.strategy}")
    grid = Table(title=title, title_justify="left", box=None)
    grid.add_column("what")
    grid.add_column("number", justify="right")
    about = "" if whole else ", about" if settings.strategy not in CERTAIN else ""
    bound = "" if settings.orders.kind == "subsets" or not whole else ", at most"
    rows = [
        ("candidates in the space", f"{counts['candidates']:,}"),
        *more,
        ("root seeds", str(settings.seeds)),
        ("targets", ", ".join(f"{name} ({len(codes)} languages)" for name, codes in study.grid.items())),
        (f"stages, each run alone{about}", f"{counts['stages_naive']:,}"),
        (f"stages, shared{bound}{about}", f"{counts['stages_distinct']:,}"),
        ("already in the store", f"{len(have):,}"),
        ("the stages that are to be run, with the micro encoder on one worker", f"about {seconds / 3600:,.1f} h"),
    ]
    if settings.confidence is not None:
        finals = settings.finals
        rows.append((
            f"then {finals.finalists} finalists on fresh roots", f"{finals.least} to {finals.most} roots each"
        ))  # fmt: skip
    if study.seed_control is not None:
        what = f"of them the seed control's, {settings.seed_control} roots of {study.seed_control.candidate.name}"
        rows.append((what, f"{len(control):,} stages, about {to_control / 3600:,.1f} h"))
    for what, number in rows:
        grid.add_row(what, number)
    console.print(grid)
    if cut:
        console.print(Text(f"· the figures are those of the first {REHEARSED:,} proposals alone", "dim"))
    if about:
        console.print(
            Text("· what a strategy proposes depends on results: the figures are those of a rehearsal on made-up "
                 "values", "dim")
        )  # fmt: skip


CERTAIN = {"exhaustive", "random", "halving"}
"""Strategies whose number of stages no result changes (of halving: where the store is empty)."""


def rehearsed(study: Study, prices: StudyPrices) -> list[Candidate]:
    """What the strategy would propose if candidates were worth a made-up value: a sum over the order's tasks, the later
    the more, and a little noise. Its real proposals differ; how many there are and how far they share does less so."""
    strategy = make_strategy(study.settings, study.space, prices)
    goals = len(study.settings.goals)
    found: list[Candidate] = []
    while len(found) < REHEARSED and (candidate := strategy.ask()) is not None:
        found.append(candidate)
        value = _made_up(candidate)
        strategy.tell(candidate, value if goals == 1 else [value] * goals, study.settings.seeds)
    return found


def _made_up(candidate: Candidate) -> float:
    value = Random(candidate.name).gauss(0, 0.3)
    for distance, task in enumerate(reversed(candidate.order.tasks)):
        value += Random(task).gauss(0, 1) * 0.7**distance
    return value


def _listed(budgets: Iterable[tuple[float, int]]) -> str:
    return ", ".join(f"{count} at {budget:.2g}" for budget, count in budgets)


def _seconds(study: Study, stages: int) -> float:
    """A rough price: the mean stage of the space's own mix, at the micro encoder's speed."""
    orders = study.space.orders
    own = study.stages(Candidate(Order(()), *study.space.arms[0]), 0)  # the targets' stages and scores
    training = orders.distinct_stages() * study.settings.train.steps * SECONDS_A_STEP
    measured = orders.distinct_trained(study.followed)
    total = training + measured * SECONDS_A_LANGUAGE + orders.size * sum(priced(study, stage) for stage in own)
    return stages * total / max(1, orders.distinct_stages() + measured + orders.size * len(own))
