"""What each candidate cost a search, given what was trained before it: rebuilt from orders and the table of stages."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from search.candidate import Arm
from search.order import Order
from search.plan import probes, trunk
from search.results import Results

_LABEL = re.compile(r"^(?P<head>.*?)(?P<rest> \| .*?)?(?: \[(?P<arm>[^\]]*)\])? #\d+$")
"""`a>b | train t [full 0.001] #0`: the order so far, what follows it, the arm where there are several, the root."""


def marginal(results: Results) -> pd.DataFrame:
    """The candidates in the order of proposal with the training `stages` that nobody before them had trained, over all
    of their roots, and the `seconds` of these and of their own scoring (nan where the run did not measure them).

    Stages are counted by the prefixes of orders: an arm's stage after a prefix is trained once a root and budget; a
    target's own stage is each candidate's own, but where the order leaves it nothing (the probe).
    """
    seconds = _seconds(results.stages)
    seen: set[tuple[Any, ...]] = set()
    rows = []
    for row in results.candidates.itertuples():
        order, arm = Order.parse(str(row.order)), arm_of(row)
        carries = not probes(arm) or results.settings.train.heads == "carry"
        prefixes = order.prefixes() if carries else ()
        key = trunk(arm), float(row.budget)
        fresh = [prefix for prefix in prefixes if (*key, prefix) not in seen]
        seen.update((*key, prefix) for prefix in fresh)
        own = 0 if pd.isna(row.stage_cost) else int(row.stage_cost) - len(prefixes)
        repeated = not carries and (*key, "own") in seen
        seen.add((*key, "own"))
        roots = int(row.seeds)
        spent = [_spent(seconds, str(prefix), False, arm) for prefix in fresh]
        spent.append(0.0 if repeated else _spent(seconds, str(order), True, arm))
        rows.append({
            "candidate": row.candidate, "stages": roots * (len(fresh) + (0 if repeated else own)),
            "seconds": roots * sum(spent),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["candidate", "stages", "seconds"])


def arm_of(row: Any) -> Arm:
    """The arm of a row of `candidates.parquet`."""
    length = None if pd.isna(row.prompt_length) else int(row.prompt_length)
    return Arm(str(row.method), float(row.learning_rate), length)


def _text(arm: Arm) -> str:
    """As labels of stages have it."""
    return f"{arm.method} {arm.learning_rate:g}{f' p{arm.prompt_length}' if arm.prompt_length else ''}"


Seconds = dict[tuple[str, bool, str], float]
"""Mean seconds a root, by the order so far, whether it is of what follows it, and the arm ('': any)."""


def _spent(seconds: Seconds, order: str, own: bool, arm: Arm) -> float:
    """Those of the arm, or of another one, whose stage it shares; nan where neither was measured."""
    return seconds.get((order, own, _text(arm)), seconds.get((order, own, ""), math.nan))


def _seconds(stages: pd.DataFrame) -> Seconds:
    known = stages[stages.seconds.notna()] if len(stages) else stages
    if not len(known):
        return {}
    parts = known.label.astype(str).str.extract(_LABEL)
    label = known.assign(head=parts["head"], own=parts["rest"].notna(), rest=parts["rest"].fillna(""),
                         arm=parts["arm"].fillna(""))  # fmt: skip
    by_stage = label.groupby(["head", "own", "rest", "arm"]).seconds.mean()
    found = by_stage.groupby(["head", "own", "arm"]).sum()
    anyone = label.groupby(["head", "own", "rest"]).seconds.mean().groupby(["head", "own"]).sum()
    return {**{(head, own, ""): value for (head, own), value in anyone.items()}, **found.to_dict()}
