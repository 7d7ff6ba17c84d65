"""Which of a study's stages are in the store: orders are followed only as far as their prefixes are stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from search.candidate import Arm, Candidate
from search.order import Groups, Order
from search.plan import ALONG, trunk

if TYPE_CHECKING:
    from search.study import Study
    from trainables.stage import Stage
    from trainables.store import Store


def stored(study: Study, keys: Collection[str]) -> set[str]:
    """The study's stages that are in a store with these keys, those of its seed control too."""
    found: set[str] = set()
    if not keys:
        return found
    for arm in study.space.arms:
        for seed in range(study.settings.seeds):
            for order, trained, rest in _followed(study, keys, arm, seed):
                if Candidate(order, *arm) not in study.space:  # but some order of the space begins with it
                    above = {None, *(stage.key for stage in trained)}
                    rest = [stage for stage in rest if stage.measure in ALONG and stage.parent in above]
                found.update(stage.key for stage in (*trained, *rest) if stage.key in keys)
    control = study.seed_control.stages(study) if study.seed_control else ()
    return found.union(key for key in control if key in keys)


def stored_prefixes(study: Study, keys: Collection[str]) -> set[tuple[Arm, Groups]]:
    """The trunks and prefixes whose weights are in a store with these keys, of all root seeds (`prices.Prices`)."""
    found: set[tuple[Arm, Groups]] = set()
    if not keys:
        return found
    for own in {trunk(arm): arm for arm in study.space.arms if study.carries(arm)}.values():
        by_seed = [
            {order.groups for order, trained, _ in _followed(study, keys, own, seed) if trained}
            for seed in range(study.settings.seeds)
        ]
        found |= {(trunk(own), groups) for groups in set.intersection(*by_seed)}
    return found


def stored_before(study: Study, store: Store, remember: bool = True) -> set[tuple[Arm, Groups]]:
    """`stored_prefixes` as they were when the study was first begun, which the store remembers.

    So a study that is broken off and run again is told the same prices, and proposes the same candidates. Without
    `remember` nothing is written.
    """
    name = f"studies/{study.identity}.json"
    known = store.document(name)
    if known is None:
        found = stored_prefixes(study, store.keys())
        listed = sorted(([*arm], [[*group] for group in groups]) for arm, groups in found)
        known = {"stored": listed}
        if remember and not store.put_document(name, known):
            known = store.document(name)  # another driver of the same study was first
    return {(Arm(*arm), tuple(tuple(group) for group in groups)) for arm, groups in known["stored"]}


def _followed(
    study: Study, keys: Collection[str], arm: Arm, seed: int
) -> Iterator[tuple[Order, list[Stage], list[Stage]]]:
    """Orders whose training stages are stored, each with these and with what follows them."""
    waiting = [Order(())]
    while waiting:
        order = waiting.pop()
        stages = study.stages(Candidate(order, *arm), seed)
        depth = len(order.groups) if study.carries(arm) else 0
        trained = [stage for stage in stages if stage.kind == "train"][:depth]
        if trained and trained[-1].key not in keys:
            continue
        yield order, trained, [stage for stage in stages if stage not in trained]
        waiting += _extensions(study, order) if study.carries(arm) else ()


def _extensions(study: Study, order: Order) -> Iterable[Order]:
    """With one more group each, those that some order of the space begins with; and the next control."""
    yield from (control for control in study.space.controls if control.groups[:-1] == order.groups)
    depth = len(order.groups)
    if study.space.orders.kind == "explicit":
        longer = {one.groups[: depth + 1] for one in study.space.orders if len(one) > depth}
        yield from (Order(groups) for groups in sorted(longer) if groups[:-1] == order.groups)
        return
    most = study.settings.orders.max_length or len(study.intermediate)
    if depth >= most or order in study.space.controls:
        return
    rest = [task.name for task in study.intermediate if task.name not in order.tasks]
    single = study.settings.orders.kind in ("subsets", "permutations")
    largest = 1 if single else study.settings.orders.max_group or len(rest)
    for size in range(1, largest + 1):
        for group in combinations(rest, size):
            yield Order((*order.groups, group))
