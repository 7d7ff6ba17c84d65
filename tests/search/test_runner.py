"""The searcher and stopper that Tune is given, without Ray: who waits for whom."""

from __future__ import annotations

import json

import pytest
from test_planner import Workers, study_of

from search import runner as runner_module
from search.runner import STILLBORN, Runner, _fault


class NoPulse:
    def watch(self, worker, node, pid):
        pass

    def forget(self, worker):
        pass


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(runner_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def workers(world):
    return Workers(study_of(world))


@pytest.fixture
def runner(workers, clock):
    return Runner(workers.plan(), "{}", "{}", lambda: None, NoPulse())


def begin(runner, trial, worker):
    runner.on_trial_result(trial, {"kind": "begin", "worker": worker, "node": "n", "pid": 1})


HOLD = {"kind": "hold", "worker": "w2"}


def two_trials(runner):
    """A path that waits for its worker, and a hold."""
    path = json.loads(runner.suggest("path")["path"])
    runner._planner.take = lambda: []
    runner._planner.tree.ready_count = lambda: 0
    assert json.loads(runner.suggest("hold")["path"]) == []
    assert path


def test_a_hold_stays_while_a_worker_starts(runner, clock):
    two_trials(runner)
    clock[0] = 30.0
    assert not runner("hold", HOLD)


def test_a_hold_gives_way_to_a_path_that_waits_for_long(runner, clock):
    two_trials(runner)
    clock[0] = 61.0
    assert runner("hold", HOLD)


def test_a_hold_gives_way_soon_where_a_node_was_lost(runner, clock):
    two_trials(runner)
    asked = []
    runner.room = lambda: asked.append(clock[0]) or 1
    clock[0] = 4.0
    assert not runner("hold", HOLD)
    clock[0] = 6.0
    assert runner("hold", HOLD)
    clock[0] = 7.0
    assert runner("hold", HOLD)
    assert asked == [6.0], "nodes are counted again and again"


LAST = {"kind": "train", "worker": "w2", "last": True}


def test_a_path_that_has_ended_holds_while_another_process_starts(runner, clock):
    """Its worker would be given the other's trial, and the process that starts for it be killed, again and again."""
    two_trials(runner)
    runner.slots = 2
    runner._trials["hold"].path = ["key"]
    begin(runner, "hold", "w2")
    runner._planner.tree.ready_count = lambda: 1
    assert not runner("hold", LAST)
    runner._trials["hold"].path = []
    clock[0] = 20.0
    assert not runner("hold", HOLD)
    clock[0] = 31.0
    assert runner("hold", HOLD), "it waits for ever for a worker that does not come"


def test_once_every_slot_has_its_worker_paths_end_at_once(runner, clock):
    two_trials(runner)
    runner.slots = 2
    begin(runner, "path", "w1")
    begin(runner, "hold", "w2")
    runner._planner.tree.ready_count = lambda: 1
    assert runner("hold", LAST)
    assert runner("hold", HOLD)
    assert not runner("path", {"kind": "train", "worker": "w1", "last": False})


def test_a_worker_that_died_is_waited_for_anew(runner, clock):
    two_trials(runner)
    runner.slots = 2
    begin(runner, "path", "w1")
    begin(runner, "hold", "w2")
    runner.on_trial_complete("path", error=True)
    runner.suggest("new")
    assert not runner("hold", LAST)


def test_nobody_waits_when_all_is_done(runner):
    two_trials(runner)
    runner.slots = 2
    begin(runner, "hold", "w2")
    runner._planner._open.clear()
    runner._planner.campaign = type("Over", (), {"finished": True})()
    assert runner("hold", HOLD)


def test_a_failure_ends_its_path(runner):
    runner.suggest("path")
    begin(runner, "path", "w1")
    for wrong in ({"error": "boom"}, {"held": "other:1"}, {"trouble": "disk full"}):
        assert runner("path", {"kind": "train", "worker": "w1", "last": False, **wrong})


def test_a_hold_stays_when_no_path_waits(runner, clock):
    two_trials(runner)
    runner.room = lambda: 0
    begin(runner, "path", "w1")
    clock[0] = 500.0
    assert not runner("hold", HOLD)


def test_everything_ends_when_the_study_is_stopped(runner):
    two_trials(runner)
    begin(runner, "path", "w1")
    runner._planner.stop("by hand")
    assert runner("hold", HOLD)
    assert runner("path", {"kind": "train", "worker": "w1"})
    assert runner.suggest("more") == Runner.FINISHED


def test_a_worker_that_dies_before_it_begins_costs_its_stage_nothing(runner, workers):
    runner.suggest("one")
    runner.on_trial_complete("one", error=True)
    planner = runner._planner
    assert not planner.tries.failures
    assert not planner.stopped
    for number in range(STILLBORN):
        runner.suggest(f"more {number}")
        runner.causes[f"more {number}"] = "Traceback\n  line\nImportError: no torch\n\n"
        runner.on_trial_complete(f"more {number}", error=True)
    assert "ImportError: no torch" in planner.stopped
    assert not planner.tries.failures


def test_one_that_begins_in_between_is_a_sign_that_all_is_well(runner):
    for number in range(3 * STILLBORN):
        runner.suggest(f"t{number}")
        if number % 3 == 0:
            begin(runner, f"t{number}", f"w{number}")
        runner.on_trial_complete(f"t{number}", error=True)
    assert not runner._planner.stopped


def test_a_worker_that_dies_at_a_stage_is_its_failure(runner):
    key = json.loads(json.loads(runner.suggest("one")["path"])[0])["tasks"] and runner._trials["one"].path[0]
    begin(runner, "one", "w1")
    runner.on_trial_complete("one", error=True)
    assert [one.worker for one in runner._planner.tries.failures[key]] == ["w1"]
    assert runner._planner.attempt(key).over == "w1"


def test_what_a_worker_has_stored_is_not_what_it_died_of(runner, workers):
    """Told of is a stage when it is stored, and then the next one is under way."""
    runner.suggest("one")
    first, second, *_ = runner._trials["one"].path
    begin(runner, "one", "w1")
    runner._planner.store.put(first, {}, {})
    runner.on_trial_complete("one", error=True)
    assert list(runner._planner.tries.failures) == [second]


def test_a_stopped_study_hears_of_what_is_under_way_and_begins_no_more(runner):
    runner.suggest("one")
    begin(runner, "one", "w1")
    planner, key = runner._planner, runner._trials["one"].path[0]
    told = {"kind": "train", "key": key, "worker": "w1", "made": True, "seconds": 1.0, "parent": "base", "last": False}
    assert not runner("one", {**told, "under_way": True})
    assert not planner.store.medium.files("alive")
    planner.stop("enough")
    assert not runner("one", {**told, "under_way": True})
    assert planner.store.medium.exists(runner._common["stop"])
    assert runner("one", {**told, "under_way": False})
    runner.close()
    assert not planner.store.medium.files("alive")


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", "memory"),
        ("The actor died because its node has died. Node Id: 12", "node"),
        ("The actor is dead because its worker process has died. SYSTEM_ERROR", "error"),
        ("", "error"),
    ],
)
def test_why_a_worker_died(cause, fault):
    assert _fault(cause)[0] == fault
