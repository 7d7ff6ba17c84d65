"""Which stages a worker is given to train together, and that nothing else changes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from test_planner import Workers, study_of

from search.planner import Planner, _fuses
from trainables.fusable import signature


def planner_of(world, slots=1, **changed):
    study = study_of(world, method=["lora"], **{"fuse": "on", **changed})
    planner = Workers(study).plan()
    planner.slots = slots
    return study, planner


def groups(monkeypatch):
    """The paths that are given out."""
    taken, real = [], Planner.take

    def take(self):
        path = real(self)
        if path:
            taken.append(path)
        return path

    monkeypatch.setattr(Planner, "take", take)
    return taken


def test_alike_stages_are_given_out_together(world, monkeypatch):
    taken = groups(monkeypatch)
    study, planner = planner_of(world)
    Workers(study).run(planner)
    assert planner.finished
    together = [path for path in taken if len(path) > 1 and path[1].parent != path[0].key]
    assert together
    for path in together:
        assert len({signature(stage) for stage in path}) == 1
        assert not {stage.key for stage in path} & {stage.parent for stage in path}
    trained = [stage.key for path in taken for stage in path if stage.kind == "train"]
    assert len(trained) == len(set(trained))


def test_scores_do_not_depend_on_it(world):
    study, planner = planner_of(world)
    apart = study_of(world, method=["lora"], fuse="off", store=str(world.folder / "other"))
    assert Workers(study).run(planner).rows == Workers(apart).run().rows


@pytest.mark.parametrize("slots", [2, 4])
def test_other_workers_are_left_as_many(world, slots):
    _, planner = planner_of(world, slots)
    first = planner.take()
    ready = sum(1 for stage, _ in planner.stages.values() if stage.parent is None and stage.kind == "train")
    assert len(first) <= -(-ready // slots)
    assert planner.take(), "nothing was left for the second worker"


@pytest.mark.parametrize("changed", [{"fuse": "off"}, {"fuse": "auto"}, {"method": ["full"]}])
def test_by_default_on_cpus_and_for_other_methods_it_is_one_path(world, changed, monkeypatch):
    taken = groups(monkeypatch)
    study = study_of(world, **{"method": ["lora"], "fuse": "on", **changed})
    Workers(study).run()
    assert all(second.parent == first.key for path in taken for first, second in pairwise(path))


def test_auto_is_for_gpus(world):
    settings = study_of(world, method=["lora"]).settings
    assert not _fuses(settings)
    assert _fuses(settings.model_copy(update={"gpus_per_trial": 0.5}))
    assert not _fuses(settings.model_copy(update={"gpus_per_trial": 1.0, "fuse": "off"}))


def test_what_failed_is_tried_again_alone(world, monkeypatch):
    taken = groups(monkeypatch)
    failed = []

    def once(stage, attempt):
        if stage.kind == "train" and not failed:
            failed.append(stage.key)
            return {"error": "RuntimeError: of one of them", "trace": "", "fatal": False}
        return None

    study, planner = planner_of(world)
    workers = Workers(study, trouble=once)
    workers.run(planner)
    assert planner.finished
    again = [path for path in taken if failed[0] in {stage.key for stage in path}]
    assert len(again) == 2
    assert len(again[0]) > 1
    assert all(second.parent == first.key for first, second in pairwise(again[1]))
