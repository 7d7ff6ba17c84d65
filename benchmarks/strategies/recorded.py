"""Recorded studies: the results of a finished exhaustive run as a small table, replayed as a lookup.

    python -m benchmarks.strategies.recorded RUN benchmarks/strategies/recorded/NAME.csv.gz

A row an order and root seed: `en_dev` (mean over the targets that have English dev), `score` (mean over all targets on
their tests), both shares in [0, 1], and `seconds` of all that this order alone would have run at this root.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from search.candidate import Arm
from search.order import Order, OrderSpace
from search.space import Space
from trainables.errors import Mistake

TABLES = Path(__file__).with_name("recorded")
COLUMNS = ["order", "seed", "en_dev", "score", "seconds"]
TOLD = ("en_dev", "score")
"""What a strategy may be told, and is then judged by."""


def make(run: Path) -> pd.DataFrame:
    """The table of a finished run of one method at one setting. Raises `Mistake` for another run."""
    try:
        scores, stages = (pd.read_parquet(run / f"{name}.parquet") for name in ("scores", "stages"))
    except OSError as error:
        raise Mistake(f"{error}", where=str(run), right="the folder of a finished run") from error
    if scores.candidate.nunique() != scores.order.nunique():
        raise Mistake("the run has several settings of an order.", where=str(run), right="a run of orders alone")
    main = scores[scores.main & ~scores.apart & (scores.perturbation == "none")]
    by_target = main.groupby(["portion", "order", "seed", "target"]).value.mean()
    means = by_target.groupby(["portion", "order", "seed"]).mean().unstack("portion")
    table = means.rename(columns={"dev": "en_dev", "test": "score"})[["en_dev", "score"]].round(6)
    table = table.join(_seconds(stages)).reset_index()
    # The orders as the run's space had them: baselines first.
    ranks = {order: rank for rank, order in enumerate(dict.fromkeys(scores.order))}
    table = table.sort_values(["order", "seed"], key=lambda column: column.map(lambda one: ranks.get(one, one)))
    return table[COLUMNS].reset_index(drop=True)


def _seconds(stages: pd.DataFrame) -> pd.Series:
    """Seconds of each order and root alone: of its score stages, and of all stages that these come from.

    A stage that was taken from the store has the median of its kind and tasks.
    """
    typical = stages[stages.executed].groupby(["kind", "tasks"]).seconds.median()
    usual = stages.merge(typical.rename("usual"), how="left", on=["kind", "tasks"]).usual.to_numpy()
    seconds = pd.Series(stages.seconds.where(stages.executed, usual).to_numpy(), stages.key).to_dict()
    parents = stages.set_index("key").parent.to_dict()
    needed: dict[tuple[str, int], set[str]] = {}
    for stage in stages[stages.kind == "score"].itertuples():
        order, root = stage.label.split(" | ")[0], int(stage.label.rpartition("#")[2])  # a score stage has no seed
        found, key = needed.setdefault((order, root), set()), stage.key
        while isinstance(key, str) and key:
            found.add(key)
            key = parents[key]
    total = {key: round(sum(seconds[stage] for stage in found), 2) for key, found in needed.items()}
    return pd.Series(total, name="seconds").rename_axis(["order", "seed"])


def recorded(
    table: str | None, told: str, roots: int, seed: int, arm: Arm
) -> tuple[Space, Callable[[Order, int], float], Callable[[Order], float]]:
    """The space of the recorded orders, what is told of one, and its regret in points (hundredths).

    Told is the column `told`, the mean of `roots` of the recorded root seeds. They are drawn by (seed, first group,
    visit): orders that begin alike and share stages are of the same roots, as in a study, and with five tasks there are
    hundreds of draws, where one root for all orders would leave three. Regret is on the same column, of means of all
    roots, those told among them. Raises `Mistake` for a table that is not one.
    """
    rows = _read(table)
    if told not in TOLD:
        raise Mistake(f"'{told}' is not recorded.", where="--told", right=f"one of: {', '.join(TOLD)}")
    values = {Order.parse(name): 100 * group[told].to_numpy() for name, group in rows.groupby("order", sort=False)}
    least = min(map(len, values.values()))
    if not 1 <= roots <= least:
        raise Mistake(f"{roots} roots are asked for.", where="--roots", right=f"1 to {least}, as many as are recorded")
    means = {order: float(found.mean()) for order, found in values.items()}
    best = max(means.values())

    def draw(order: Order, visit: int) -> float:
        found = values[order]
        chosen = random.Random(f"root {seed} {order.groups[:1]} {visit}").sample(range(len(found)), roots)
        return float(found[chosen].mean())

    return Space(_orders(list(values)), [arm]), draw, lambda order: best - means[order]


def _orders(found: list[Order]) -> OrderSpace:
    """The recorded orders; as ordered subsets where they are all of them."""
    tasks = list(dict.fromkeys(task for order in found for task in order.tasks))
    every = OrderSpace(tasks)
    whole = every.size == len(found) and all(order in every for order in found)
    return every if whole else OrderSpace(tasks, "explicit", orders=found)


def _read(table: str | None) -> pd.DataFrame:
    path = Path(table) if table else TABLES / "mini5.csv.gz"
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise Mistake(f"the recorded study cannot be read: {error}", where=str(path), right="--table FILE") from error
    if list(rows.columns) != COLUMNS or rows[list(TOLD)].isna().to_numpy().any() or not len(rows):
        right = f"a row an order and root with {', '.join(COLUMNS)}"
        raise Mistake("this is not the table of a recorded study.", where=str(path), right=right)
    return rows


if __name__ == "__main__":
    make(Path(sys.argv[1])).to_csv(sys.argv[2], index=False)
