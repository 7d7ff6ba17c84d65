"""Play strategies on problems over paired seeds; a table, curves as CSV, and a plot.

python -m benchmarks.strategies --problem lop,tsp,qap,transfer --strategies gp,optuna-tpe --evaluations 120 --seeds 20
python -m benchmarks.strategies --problem subsets --strategies gp,gp:thrift=0,random --cost 150 --seeds 20
python -m benchmarks.strategies --problem recorded --strategies gp,random --cost 160 --seeds 20

Options of a strategy follow its name (`gp:thrift=0:recommend=incumbent`, `'gp:kernels=[kendall,position]'`). Seeds and
noise are paired across strategies. Cost is in units of one stage, counted marginally; what follows every order costs
`--leaf` units.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.results import record
from benchmarks.strategies import compare, plot
from benchmarks.strategies.play import RULES
from benchmarks.strategies.problems import KINDS, LISTED, Spec
from benchmarks.strategies.recorded import TOLD
from benchmarks.strategies.study import Job, Player, play_all
from trainables.errors import Mistake

CHECKPOINTS = (30, 60, 120)
WIDTH = 150
CURVE = 24
"""How many marks a curve has."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--problem", default="lop,tsp,qap,transfer", help=f"of {', '.join(KINDS)}; several with commas")
    add("--strategies", default="random,optuna-tpe", help="names, with options after colons; several with commas")
    add("--seeds", type=int, default=20, help="how many paired seeds")
    add("--first-seed", type=int, default=0, help="of seeds that nothing was chosen on")
    add("--evaluations", type=int, default=120, help="how many each strategy makes")
    add("--cost", type=float, help="stop at this stage cost instead")
    add("--at", help="checkpoints of the table (default 30,60,120, or thirds of the cost)")
    add("--against", help="the strategy that differences are from (default: the last)")
    add("--recommend", choices=list(RULES), default="posterior", help="how an order is named; optuna-tpe: incumbent")
    add("--size", type=int, help="items or tasks (7; of subsets 6)")
    add("--noise", type=float, default=0.3, help="SD of the noise, in σ")
    add("--leaf", type=float, default=1.0, help="the price of what follows every order")
    add("--batch", type=int, default=1, help="of strategies that propose in batches")
    add("--initial", type=int, help="their random candidates after the baselines")
    add("--instance", help="a file of LOLIB, TSPLIB, QAPLIB or Taillard (FILE#3 is its third) for the one problem")
    add("--best", type=float, help="the best known objective of that instance, as published")
    add("--table", help="a recorded study (default: the mini suite's)")
    add("--told", choices=TOLD, default="en_dev", help="what a recorded study tells and is judged by")
    add("--roots", type=int, default=1, help="root seeds a recorded candidate is told the mean of")
    add("--processes", type=int, default=1, help="searches at a time, one thread each")
    add("--out", type=Path, help="a folder for curves.csv, summary.csv, ratios.csv and curves.html")
    add("--record", action="store_true", help="append the table to RESULTS.md")
    return parser


def main(words: list[str]) -> None:
    """Play, and show."""
    asked = arguments().parse_args(words)
    last = asked.cost or asked.evaluations
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    checkpoints = _checkpoints(asked.at, last, by_cost=bool(asked.cost))
    curve = CURVE if asked.out or asked.cost else 0  # a name at each mark is a fit of the process
    marks = tuple(sorted({*checkpoints, *(last * step / CURVE for step in range(1, curve + 1))}))
    players = [Player.parse(text, asked.recommend) for text in named(asked.strategies)]
    against = asked.against or players[-1].text
    if against not in [player.text for player in players]:
        raise Mistake(
            f"'{against}' does not play.", where="--against", right=", ".join(player.text for player in players)
        )
    common = {"batch": asked.batch, **({} if asked.initial is None else {"initial": asked.initial})}
    rows = play_all(
        [
            Job(spec, player, seed, marks, "cost" if asked.cost else "evaluations", asked.leaf, tuple(common.items()))
            for spec in specs(asked) for player in players for seed in seeds
        ],
        asked.processes,
    )  # fmt: skip
    tables = {"curves": rows, "summary": compare.summary(rows, checkpoints, against)}
    if asked.cost:
        tables["ratios"] = compare.ratios(rows)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for grid in shown(tables, against, rows.unit.iloc[0]):
        console.print(grid)
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            table.to_csv(asked.out / f"{name}.csv", index=False)
        plot.write(rows, asked.out / "curves.html")
    if asked.record:
        plain = Console(width=WIDTH, file=io.StringIO())
        with plain.capture() as captured:
            for grid in shown(tables, against, rows.unit.iloc[0]):
                plain.print(grid)
        lines = ["```", *(line.rstrip() for line in captured.get().splitlines()), "```"]
        record("strategies", lines, f"python -m benchmarks.strategies {shlex.join(words)}")


def named(text: str) -> list[str]:
    """The strategies of a list with commas; a comma inside brackets belongs to an option."""
    return re.split(r",(?![^\[]*\])", text)


def specs(asked: argparse.Namespace) -> list[Spec]:
    """The problems asked for. Those of a file that is too large to list get their best value once, here."""
    kinds = asked.problem.split(",")
    if asked.instance and len(kinds) != 1:
        raise Mistake("a file is one problem's.", where="--instance", right="one --problem")
    found = []
    for kind in kinds:
        spec = Spec(kind, asked.size, asked.noise, asked.instance, None, asked.table, asked.told, asked.roots)
        if asked.instance:
            # LOP is maximised; the others are costs, which problems hold negated.
            known = asked.best if asked.best is None or kind == "lop" else -asked.best
            instance = replace(spec, best=known).read()
            if instance.size > LISTED:
                spec = replace(spec, best=instance.best)
                how = "best known" if known is not None or kind == "pfsp" else "best found by local search"
                sys.stderr.write(f"{asked.instance}: {instance.size} items; regret is from the {how}, "
                                 f"{abs(instance.best or 0):g}\n")  # fmt: skip
        found.append(spec)
    return found


def _checkpoints(asked: str | None, last: float, *, by_cost: bool) -> list[float]:
    if asked:
        return sorted(float(one) for one in asked.split(","))
    return [last / 3, 2 * last / 3, last] if by_cost else sorted({*(one for one in CHECKPOINTS if one < last), last})


def shown(tables: dict[str, pd.DataFrame], against: str, unit: str) -> list[Table]:
    """The tables of a study as they are printed: regret at checkpoints, and ratios of cost where there are any."""
    grid = Table(title=f"regret in {unit}, 95 % intervals; differences are paired, negative is better", box=box.SIMPLE)
    for heading in ("problem", "strategy"):
        grid.add_column(heading)
    for heading in ("at", "regret", "median", f"less {against}", f"less {against} at its end", "cost", "of naive"):
        grid.add_column(heading, justify="right")
    for row in tables["summary"].to_dict("records"):
        grid.add_row(
            row["problem"], row["strategy"], f"{row['at']:g}", _interval(row, "regret"), f"{row['median']:.2f}",
            _interval(row, "difference"), _interval(row, "from_end"), f"{row['cost']:.0f}", f"{row['share']:.1%}",
        )  # fmt: skip
    return [grid, _ratio_table(tables["ratios"])] if "ratios" in tables else [grid]


def _ratio_table(ratios: pd.DataFrame) -> Table:
    title = "share of the whole cost at which the row's mean regret is the column's at its end (bootstrap over seeds)"
    others = list(dict.fromkeys(ratios.reaches))
    grid = Table("problem", "strategy", *others, title=title, box=box.SIMPLE)
    for (problem, strategy), rows in ratios.groupby(["problem", "strategy"], sort=False):
        found = {row["reaches"]: _interval(row, "ratio") for row in rows.to_dict("records")}
        grid.add_row(str(problem), str(strategy), *(found[other] for other in others))
    return grid


def _interval(row: dict[str, Any], name: str) -> str:
    mean, low, high = (_number(row[f"{name}{part}"]) for part in ("", "_low", "_high"))
    return f"{mean} [{low}, {high}]"


def _number(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.2f}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        sys.exit(2)
