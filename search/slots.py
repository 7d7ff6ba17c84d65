"""What a trial asks of a cluster, and how many trials fit on it at once: counted node by node, never from the sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from trainables.errors import Mistake, nearest

if TYPE_CHECKING:
    from search.settings import Settings

Have = Mapping[str, float]
"""What a node has, by the names of Ray: CPU, GPU, and custom resources."""

SLACK = 1e-6
"""Ray counts in ten thousandths; sums of fractions come out a little off."""

OWN = ("node:", "memory", "object_store_memory", "accelerator_type:", "bundle_")
"""How resources begin that are no user's own."""


def resources(settings: Settings) -> dict[str, float]:
    """What every trial asks Ray for, as `tune.with_resources` takes it."""
    return {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_per_trial, **settings.resources_per_trial}


def asked(settings: Settings) -> dict[str, float]:
    """The same by the names that nodes have."""
    found = {"CPU": settings.cpus_per_trial, "GPU": settings.gpus_per_trial, **settings.resources_per_trial}
    return {name: amount for name, amount in found.items() if amount}


def fit(ask: Have, have: Have) -> int:
    """How many trials fit on one node."""
    return max(0, min((_times(name, amount, have.get(name, 0.0)) for name, amount in ask.items()), default=0))


def _times(name: str, amount: float, there: float) -> int:
    if name != "GPU" or amount >= 1:
        return math.floor(there / amount + SLACK)
    # A fraction of a GPU lies on one GPU: two of them hold two trials of 0.6, not three.
    whole = math.floor(there + SLACK)
    return whole * math.floor(1 / amount + SLACK) + math.floor((there - whole) / amount + SLACK)


def slots(settings: Settings, nodes: Iterable[Have], free: Iterable[Have], more: int = 0) -> int:
    """How many trials are run at once.

    `nodes` is what each living node has, `free` what is free of it now, `more` how many trials fit on nodes that an
    autoscaler may add. Without --max-concurrent it is what is free now, one at least: what other studies hold is not
    waited for, so studies that share a cluster do not stand in each other's way. With it, it is that many, up to what
    fits on all nodes that there are or may be. A Mistake where a trial fits nowhere.
    """
    nodes, ask = list(nodes), asked(settings)
    most = sum(fit(ask, node) for node in nodes) + more
    if not most:
        raise _nowhere(settings, nodes, ask)
    if settings.max_concurrent:
        return min(settings.max_concurrent, most)
    return max(1, sum(fit(ask, node) for node in free))


def check_asked(settings: Settings) -> None:
    """A Mistake where what a trial asks for is no amount that Ray knows."""
    gpus = settings.gpus_per_trial
    if gpus > 1 and gpus != int(gpus):
        what = f"a trial asks for {gpus:g} GPUs, but only a part of one GPU can be shared"
        raise Mistake(what, where="--gpus-per-trial", right="a number below 1, or a whole number")
    for name in settings.resources_per_trial:
        if name.upper() in ("CPU", "GPU") or name.startswith(OWN):
            flags = "--cpus-per-trial and --gpus-per-trial"
            right = f"the name of a custom resource; CPUs and GPUs are asked for by {flags}"
            raise Mistake(f"'{name}' is no custom resource", where="resources_per_trial", right=right)


def _nowhere(settings: Settings, nodes: list[Have], ask: Have) -> Mistake:
    """Why a trial fits on no node."""
    customs = sorted({name for node in nodes for name in node if not name.startswith(OWN)} - {"CPU", "GPU"})
    for name in settings.resources_per_trial:
        if name not in customs:
            where, local = f"resources_per_trial.{name}", settings.address is None
            what = f"no node has the custom resource '{name}'"
            start = "`ray start --resources='{\"NAME\": 4}'` on nodes that have it"
            right = nearest(name, customs) if customs else start
            return Mistake(what, where=where, right="--address: a machine alone has none" if local else right)
    lacking = [
        name for name, amount in ask.items() if not any(_times(name, amount, node.get(name, 0)) for node in nodes)
    ]
    flag = "--gpus-per-trial" if "GPU" in (lacking or ask) else "--cpus-per-trial"
    if lacking and lacking[0] not in ("CPU", "GPU"):
        flag = f"resources_per_trial.{lacking[0]}"
    there = "; ".join(sorted({told(node, ask) for node in nodes})[:4]) or "there is no node"
    who = "this machine has" if settings.address is None else "no node has all of that; there are nodes with"
    return Mistake(f"a trial asks for {told(ask, ask)}, but {who} {there}", where=flag, right="less for each trial")


def told(have: Have, names: Iterable[str]) -> str:
    """Amounts in words: `2 CPUs and 0.5 GPUs`."""
    parts = []
    for name in names:
        amount = have.get(name, 0.0)
        parts.append(f"{amount:g} {name}{'s' if name in ('CPU', 'GPU') and amount != 1 else ''}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
