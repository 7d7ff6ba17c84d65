"""What a dry run finds in the store: followed along what is stored, and no further."""

from __future__ import annotations

import pytest

from search.candidate import Candidate
from search.dry_run import stored
from search.order import Order
from search.settings import load_settings
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
    assert stored(study, Store(study.settings.store_url)) == set()


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
    assert stored(study, store) == {first.key}
    assert sorted(asked) == ["none", "pairs", "pairs>topics", "topics"]


@pytest.mark.parametrize(
    "orders", [{"kind": "subsets"}, {"kind": "groups"}, {"kind": "permutations", "max_length": None}]
)
def test_a_full_store_has_every_stage(world, orders):
    study = study_of(world, orders=orders)
    store = Store(study.settings.store_url)
    stages = {s.key: s for c in study.space for seed in range(2) for s in study.stages(c, seed)}
    keep(store, stages.values())
    assert stored(study, store) == set(stages)


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
