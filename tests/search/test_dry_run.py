"""What a dry run finds in the store: followed along what is stored, and no further."""

from __future__ import annotations

import pytest
from rich.console import Console

from search.candidate import Candidate
from search.dry_run import print_plan
from search.order import Order
from search.settings import load_settings
from search.stored import stored
from search.study import Study
from trainables.store import Store


def study_of(world, **changed):
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    return Study(*load_settings(flags, changed))


def keep(store, stages):
    for stage in stages:
        store.put(stage.key, {"scores": []}, {})


def test_an_empty_store_has_nothing(world):
    study = study_of(world)
    assert stored(study, Store(study.settings.store_url).keys()) == set()


def test_only_what_is_stored_is_followed(world, monkeypatch):
    study = study_of(world, seeds=1)
    store = Store(study.settings.store_url)
    first = study.stages(Candidate(Order.parse("pairs"), "full", 1e-3), 0)[0]
    keep(store, [first])
    asked = []
    stages = study.stages
    monkeypatch.setattr(
        study, "stages", lambda candidate, seed: asked.append(str(candidate.order)) or stages(candidate, seed)
    )
    assert stored(study, store.keys()) == {first.key}
    assert sorted(asked) == ["none", "pairs", "pairs>topics", "topics"]


@pytest.mark.parametrize(
    "orders", [{"kind": "subsets"}, {"kind": "groups"}, {"kind": "permutations", "max_length": None}]
)
def test_a_full_store_has_every_stage(world, orders):
    study = study_of(world, orders=orders)
    store = Store(study.settings.store_url)
    stages = {s.key: s for c in study.space for seed in range(2) for s in study.stages(c, seed)}
    keep(store, stages.values())
    assert stored(study, store.keys()) == set(stages)


def test_an_unlisted_language_trains_nothing_anew(world):
    """Which languages a task's file lists says nothing of what is trained on."""
    before = study_of(world)
    fields = {"kind": "tagging", "labels": ["N", "V"], "languages": ["de"]}
    world.task("tags", **fields, source={"folder": {split: f"tags/{split}" for split in ("train", "dev", "test")}})
    after = study_of(world)
    none = Candidate(Order.parse("none"), "full", 1e-3)
    first, second = ([s.key for s in study.stages(none, 0)] for study in (before, after))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_halving_is_counted_as_it_will_run(world, capsys):
    """Its stages at smaller budgets are counted and looked up too."""
    study = study_of(
        world, seeds=1, strategy="halving", halving={"eta": 2, "rungs": 2}, learning_rate=[1e-3, 1e-4],
        orders={"kind": "explicit", "explicit": ["none", "pairs"]},
    )  # fmt: skip
    store = Store(study.settings.store_url)
    small = study.stages(Candidate(Order(()), "full", 1e-3, budget=0.5), 0)
    keep(store, [stage for stage in small if stage.kind == "train"])
    console = Console(width=120)
    print_plan(study, store, console)
    told = capsys.readouterr().out
    assert "4 at 0.5, 2 at 1" in told
    numbers = {line.rsplit(None, 1)[0].strip(): line.split()[-1] for line in told.splitlines() if line.strip()}
    # The empty order has three stages, `pairs` four; both rates at the half budget; what is made up promotes the first.
    assert numbers["stages, each run alone"] == str(2 * (3 + 4) + 3 + 3)
    assert numbers["already in the store"] == "1"
