"""How often the statistics of `search/analysis` are right, over many simulated studies (about 8 minutes).

    python -m benchmarks.statistics [STUDIES]

All ordered subsets of four tasks (65 orders); luck spread over prefixes in several ways, normal and t5. Claims: level
and power of the two tests. Coverage: 95 % intervals. STUDIES (default 2,000) a way: the binomial 95 % interval of 5 %
is then 4.1 to 6.0 %. The tests of the repository do the same with fewer studies and fewer ways.
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np

from benchmarks.results import record
from benchmarks.simulated import (
    SHARES,
    SPREADS,
    UNSTABLE,
    Luck,
    claims,
    coverage,
    design_of,
    luck,
    order_effects,
    ordered_subsets,
)
from search.analysis.order_tests import order_test, task_test
from search.analysis.pairwise import rank_intervals
from search.analysis.precedence import precedence
from search.analysis.variance import variance

TAILS = {"normal": None, "t5": 5.0}


def main(studies: int) -> None:
    """Print and record levels and power, coverage, and seconds."""
    ways = [
        *itertools.product(SPREADS, SHARES, ("normal",)), *itertools.product(SPREADS, (0.65,), ("t5",)),
        (UNSTABLE, 0.65, "normal"),
    ]  # fmt: skip
    for title, judge, all_roots in (
        ("claims at 5 %", claims, (3, 4, 5, 6, 8)),
        ("coverage of 95 %", coverage, (3, 5)),
    ):
        rows = []
        for roots, way in itertools.product(all_roots, ways):
            found = judge(_luck(*way), roots, studies, seed=roots)
            rows.append({"roots": roots, "luck": "unstable task" if way[0] == UNSTABLE else way[2]} | found)
        record(f"statistics: {title}", _table(rows, studies), f"python -m benchmarks.statistics {studies}")
    record("statistics: seconds", list(_seconds()), f"python -m benchmarks.statistics {studies}")


def _luck(spread: str, share: float, tails: str) -> Luck:
    return luck(ordered_subsets(), share, spread, TAILS[tails])


def _table(rows: list[dict[str, float]], studies: int) -> list[str]:
    """The least, the mean and the greatest rate over ways of spreading luck, a row a number of roots and kind."""
    names = [name for name in rows[0] if name not in ("roots", "luck")]
    lines = [
        f"least–mean–greatest over the ways of spreading luck over prefixes, {studies} studies each",
        "",
        f"| roots | luck | ways | {' | '.join(names)} |",
        "| --- " * (len(names) + 3) + "|",
    ]
    for key in dict.fromkeys((row["roots"], row["luck"]) for row in rows):
        own = [row for row in rows if (row["roots"], row["luck"]) == key]
        rates = [[row[name] for row in own] for name in names]
        told = [f"{min(rate):.3f}–{np.mean(rate):.3f}–{max(rate):.3f}" for rate in rates]
        lines.append(f"| {key[0]} | {key[1]} | {len(own)} | {' | '.join(told)} |")
    return lines


def _seconds() -> list[str]:
    lines = []
    rng = np.random.default_rng(0)
    for tasks, roots in ((4, 5), (5, 4), (5, 6), (6, 4)):
        orders = ordered_subsets(tasks)
        values = luck(orders, 0.65, "equal").draw(rng, 1, roots)[0]
        design = design_of(values, orders)
        values += order_effects(rng, design, 1, 0.5)[0]
        told = []
        for analysis in (order_test, task_test, variance, precedence, rank_intervals):
            start = time.perf_counter()
            analysis(design_of(values, orders))
            told.append(f"{analysis.__name__} {time.perf_counter() - start:.2f} s")
        lines.append(f"- {len(orders)} orders, {roots} roots: {', '.join(told)}")
    return lines


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
