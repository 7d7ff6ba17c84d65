"""What large studies must not lose: work and memory that grow with the stages alone, and schedules near the bound.

The real study, campaign and planner; workers are played in simulated time (`benchmarks.noop`), so nothing here depends
on how fast a machine is.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import tracemalloc
from collections import Counter
from types import SimpleNamespace

import pytest

from benchmarks.makespan import HOURS, tree
from benchmarks.noop import Fabricated, Played, Work, bound_of, planner_of, simulate, study

TARGETS = ["mini-pos", "mini-tatoeba"]
STAGES = 4  # of one candidate more


def study_of(folder, candidates, **changed):
    return study(str(folder), HOURS, targets=TARGETS, changed={"seeds": 1, "candidates": candidates, **changed})


def played(folder, candidates, workers=2):
    """A planner that has run a study of so many candidates, what that took, and what was called how often."""
    made = study_of(folder, candidates)
    made.planned(made.space[0], 0)  # reads the data
    profile = cProfile.Profile()
    profile.enable()
    planner = planner_of(made)
    simulate(planner, workers, HOURS.seconds)
    profile.disable()
    return planner, pstats.Stats(profile)


def calls(stats, name):
    """How often functions of this name were called."""
    return sum(count for (_, _, own), (_, count, *_) in stats.stats.items() if own == name)


@pytest.mark.parametrize("workers", [2, 64])
def test_work_grows_with_the_stages_and_no_faster(tmp_path, workers):
    found = {}
    for candidates in (300, 600):
        planner, stats = played(tmp_path, candidates, workers)
        stages = len(planner.done)
        assert stages == STAGES * candidates - 1
        found[candidates] = stats.total_calls / stages
        assert calls(stats, "cost") < 6 * stages  # when needed, twice anew, and for each run that is complete
        assert calls(stats, "<built-in method _heapq.heappush>") < 4 * stages
        assert planner.store.requests <= 2.5 * stages
    assert found[600] < 1.2 * found[300]  # calls of anything, a stage


@pytest.mark.parametrize("roots", [2, 3])
def test_sixty_four_workers_come_near_the_bound(tmp_path, roots):
    planner = planner_of(tree(str(tmp_path), HOURS, 5, roots))
    result = simulate(planner, 64, HOURS.seconds)
    assert len(planner.done) == 1303 * roots - (roots - 1)  # the base model's retrieval is the same for every root
    assert result.longest < result.work / 64
    assert result.makespan < 1.15 * result.bound(64)


def test_a_driver_of_some_speed_feeds_sixty_four_workers(tmp_path):
    planner = planner_of(tree(str(tmp_path), HOURS, 5, 2))
    result = simulate(planner, 64, HOURS.seconds, dispatch=0.05, step=0.01)
    assert result.makespan < 1.15 * result.bound(64)


def test_workers_played_are_as_fast_as_one_can_check_by_hand(tmp_path):
    made = study(str(tmp_path), Work(), targets=["mini-tatoeba"], changed={"seeds": 1, "candidates": 3})
    seconds = {"train": 10.0, "score": 1.0}
    for workers, makespan in ((1, 23.0), (2, 12.0), (3, 11.0)):  # none | a>score | b>score
        result = simulate(planner_of(made), workers, lambda stage: seconds[stage.kind])
        assert result == Played(makespan, 23.0, 11.0)
    assert simulate(planner_of(made), 3, lambda stage: 1.0, dispatch=0.5, step=0.25).makespan == pytest.approx(3.75)


def test_rounds_end_soon_after_their_bound(tmp_path):
    """A cohort runs root after root: nothing of a root is given out before all of the one before is done."""
    made = study_of(tmp_path, 9, seeds=7, pruning={"pruner": "median", "candidates": 9})
    planner = planner_of(made)
    result = simulate(planner, 16, lambda stage: 1.0)
    assert len(planner.runs) == 9 * 7
    bound = bound_of(planner, lambda stage: 1.0, 16, rounds=7)
    assert bound > result.bound(16)
    assert bound <= result.makespan <= 1.1 * bound


def test_a_planner_is_small(tmp_path):
    made = study_of(tmp_path, 150)
    made.planned(made.space[0], 0)
    gc.collect()
    tracemalloc.start()
    planner = planner_of(made)
    simulate(planner, 2, HOURS.seconds)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / len(planner.done) < 7_000  # bytes; 4,300 of a large study


def test_rows_of_a_study_share_their_texts(tmp_path):
    planner = planner_of(study_of(tmp_path, 20))
    simulate(planner, 2, HOURS.seconds)
    rows = planner.rows
    assert len(rows) > 400
    for name, copies in (("language", 1), ("portion", 1), ("metric", 1), ("candidate", 4), ("order", 4)):
        texts = [getattr(row, name) for row in rows]
        assert len(set(map(id, texts))) <= copies * len(set(texts))


def test_nothing_is_asked_of_a_store_twice(tmp_path):
    made = study_of(tmp_path, 20)
    asked = Counter()

    class Counting(Fabricated):
        def record(self, key):
            asked[key] += 1
            return super().record(key)

    store = Counting(made)
    planner = planner_of(made, store)
    store.stages = planner.stages
    simulate(planner, 2, HOURS.seconds)
    assert set(asked.values()) == {1}


def test_tune_keeps_no_trials_that_have_ended(monkeypatch):
    pytest.importorskip("ray")
    from search.runner import Causes

    class Trial:
        def __init__(self, number):
            self.trial_id, self.ended = str(number), False

        def is_finished(self):
            return self.ended

    trials = [Trial(number) for number in range(5)]
    books = SimpleNamespace(
        get_trials=lambda: books.trials, trials=list(trials), _stopped_trials=set(trials), _trials_to_cache=set(trials),
        _trial_metadata={trial.trial_id: "{}" for trial in trials},
    )  # fmt: skip
    scheduler = Causes(SimpleNamespace(causes={}))
    for trial in trials:
        scheduler.on_trial_complete(books, trial, {})
        assert trial in books.trials  # Tune is still at it
        trial.ended = trial is not trials[1]
    assert books.trials == [trials[1], trials[4]]
    trials[1].ended = True
    scheduler.on_trial_complete(books, Trial(5), {})
    assert not books.trials
    assert not books._stopped_trials
    assert not books._trials_to_cache
    assert not books._trial_metadata


def test_trials_ask_for_one_and_the_same_object():
    """Tune compares what trials ask for many times a trial, and unpickles their class as often."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    from trainables.trainable import StagePath

    asks = '{"cpu": 2, "gpu": 0.5, "fast": 1}'
    first = StagePath.default_resource_request({"resources": asks, "label": "a"})
    assert first is StagePath.default_resource_request({"resources": asks, "label": "b"})
    assert first.required_resources == {"CPU": 2, "GPU": 0.5, "fast": 1}
    assert len(cloudpickle.dumps(StagePath)) < 200  # by name
