"""`--dry-run`: the plan and its price, by closed formulas and the store's listing; nothing is started or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.candidate import Candidate
from search.order import Order
from search.planner import make_strategy
from search.study import Study
from trainables.store import Store

SECONDS_A_STEP, SECONDS_A_LANGUAGE = 0.03, 0.1
"""The micro encoder's on one core: a guess for all others."""


def print_plan(study: Study, store: Store, console: Console) -> None:
    """Candidates, stages naive and shared, what the store has, and an estimate of the time."""
    counts = study.counts()
    most = study.settings.candidates
    have = stored(study, store)
    budgets = ""
    if study.settings.strategy == "halving":
        proposed = _halved(study)
        runs = [study.stages(one, seed) for one in proposed for seed in range(study.settings.seeds)]
        keys = {stage.key for stages in runs for stage in stages}
        counts |= {"stages_naive": sum(map(len, runs)), "stages_distinct": len(keys)}
        have = keys & store.keys()
        each = sorted(Counter(one.budget for one in proposed).items())
        budgets = ", ".join(f"{count} at {budget:.2g}" for budget, count in each)
    seconds = _seconds(study, counts["stages_distinct"] - len(have))
    title = Text(f"plan: space {study.settings.space}, suite {study.settings.suite}")
    grid = Table(title=title, title_justify="left", box=None)
    grid.add_column("what")
    grid.add_column("number", justify="right")
    rows = [
        ("candidates in the space", f"{counts['candidates']:,}"),
        *([("candidates at most", f"{most:,}")] if most else []),
        *([("of them at each budget", budgets)] if budgets else []),
        ("root seeds", str(study.settings.seeds)),
        ("targets", ", ".join(f"{name} ({len(codes)} languages)" for name, codes in study.grid.items())),
        ("stages, each run alone", f"{counts['stages_naive']:,}"),
        (
            "stages, shared" if study.settings.orders.kind == "subsets" else "stages, shared, at most",
            f"{counts['stages_distinct']:,}",
        ),
        ("already in the store", f"{len(have):,}"),
        ("the whole space with the micro encoder on one worker", f"about {seconds / 3600:,.1f} h"),
    ]
    for what, number in rows:
        grid.add_row(what, number)
    console.print(grid)


def _halved(study: Study) -> list[Candidate]:
    """What halving would propose if all scored alike: how many at each budget does not depend on scores."""
    strategy = make_strategy(study.settings, study.space)
    found = []
    while (candidate := strategy.ask()) is not None:
        found.append(candidate)
        strategy.tell(candidate, 0.0)
    return found


def stored(study: Study, store: Store) -> set[str]:
    """The study's stages that are in the store: orders are followed only as far as their prefixes are stored."""
    keys = store.keys()
    found: set[str] = set()
    if not keys:
        return found
    for arm in study.space.arms:
        for seed in range(study.settings.seeds):
            waiting = [Order(())]
            while waiting:
                order = waiting.pop()
                stages = study.stages(Candidate(order, *arm), seed)
                depth = len(order.groups) if study.carries(arm) else 0
                trunk = [stage.key for stage in stages if stage.kind == "train"][:depth]
                if trunk and trunk[-1] not in keys:
                    continue
                found |= keys & set([stage.key for stage in stages] if order in study.space.orders else trunk)
                waiting += _extensions(study, order) if study.carries(arm) else ()
    return found


def _extensions(study: Study, order: Order) -> Iterable[Order]:
    """The orders with one more group of tasks, as large as the space allows."""
    most = study.settings.orders.max_length or len(study.intermediate)
    if len(order.groups) >= most:
        return
    rest = [task.name for task in study.intermediate if task.name not in order.tasks]
    single = study.settings.orders.kind in ("subsets", "permutations")
    largest = 1 if single else study.settings.orders.max_group or len(rest)
    for size in range(1, largest + 1):
        for group in combinations(rest, size):
            yield Order((*order.groups, group))


def _seconds(study: Study, stages: int) -> float:
    """A rough price: the mean stage of the space's own mix, at the micro encoder's speed."""
    orders, train = study.space.orders, study.settings.train
    targets = len(study.grid)
    trained = len({target.trained_on for target in study.targets if target.trained_on})
    training = orders.distinct_stages() * train.steps + orders.size * trained * train.target_steps
    scoring = orders.size * sum(map(len, study.grid.values()))
    total = training * SECONDS_A_STEP + scoring * SECONDS_A_LANGUAGE
    return stages * total / max(1, orders.distinct_stages() + orders.size * (trained + targets))
