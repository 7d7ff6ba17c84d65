"""The stage tree on Ray Tune: a searcher that hands out paths, holds at barriers, and a stopper that ends holds.

One trial is a path of stages on one worker. Tune keeps the actors of finished trials only for trials that ask for the
same resources and only while some are waiting, so all trials ask for the same, there are never more of them than slots,
and a worker for which nothing is ready runs a *hold*, which the stopper ends as soon as something is.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import search.cluster  # noqa: F401 - sets what Ray reads when it is imported

# isort: split
from ray import tune
from ray.tune.search import Searcher

from search.planner import Planner
from trainables.trainable import StagePath

if TYPE_CHECKING:
    from search.study import Study

WORKER_SECONDS = 60.0
"""How long a path may wait for a worker before a hold makes room: other jobs may have taken what a trial needs."""


class Runner(Searcher, tune.Stopper):  # type: ignore[misc]
    """Hands paths from the planner to Tune and results from Tune to the planner; `starts` counts worker processes."""

    def __init__(self, planner: Planner, place: str, tick: Callable[[], None]) -> None:
        """`place` is the workplace's JSON; `tick` is called after every event, for the live view."""
        Searcher.__init__(self)
        self._planner, self._place, self._tick = planner, place, tick
        self._paths: dict[str, list[str]] = {}
        self._unbegun: dict[str, float] = {}
        self.workers: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its configuration for a restore that never comes (the store resumes a study)."""
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Runner:
        """Itself: there is one planner."""
        return self

    # --- Searcher -----------------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration: a path, a hold, or FINISHED (a text, which Tune's own annotation omits)."""
        if self._planner.finished:
            return Searcher.FINISHED
        path = self._planner.take()
        self._paths[trial_id] = [stage.key for stage in path]
        if path:
            self._unbegun[trial_id] = time.monotonic()
            self._planner.running[path[0].key] = ""
        self._tick()
        label = self._planner.stages[path[-1].key][1] if path else "hold"
        return {"workplace": self._place, "path": json.dumps([stage.to_json() for stage in path]), "label": label}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One stage of a path has ended, and it was not the last."""
        self._heard(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A path or a hold has ended; with an error the worker is gone, and what it had not done is given back."""
        if result is not None and not error:
            self._heard(trial_id, result)
        self._unbegun.pop(trial_id, None)
        rest = self._paths.pop(trial_id, [])
        if error and rest:
            self._planner.lost(rest[0], "its worker died")
        self._planner.give_back(rest)
        self._tick()

    def _heard(self, trial_id: str, result: dict[str, Any]) -> None:
        self.workers.add(str(result["worker"]))
        self._unbegun.pop(trial_id, None)
        path = self._paths.get(trial_id, [])
        if result["kind"] in ("train", "score") and path and path[0] == result["key"]:
            path.pop(0)
            self._planner.report(result)
        if path and "error" not in result:
            self._planner.running[path[0]] = str(result["worker"])
        self._tick()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store resumes a study."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""

    # --- Stopper ------------------------------------------------------------------------------------------------------

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """End a hold as soon as something is ready or nothing is left, or where a path has long waited for a worker."""
        if result["kind"] != "hold":
            return False
        if self._unbegun and time.monotonic() - min(self._unbegun.values()) > WORKER_SECONDS:
            return True
        return self._planner.finished or self._planner.tree.ready_count() > 0

    def stop_all(self) -> bool:
        """Whether everything is done."""
        return False


def run(study: Study, planner: Planner, slots: int, tick: Callable[[], None]) -> int:
    """Run everything the planner has on a started cluster; how many worker processes took part."""
    settings = study.settings
    runner = Runner(planner, study.workplace(), tick)
    resources = {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_per_trial}
    with tempfile.TemporaryDirectory(prefix="order-search-") as scratch:
        tune.Tuner(
            tune.with_resources(StagePath, resources),
            tune_config=tune.TuneConfig(
                search_alg=runner, num_samples=-1, max_concurrent_trials=slots, reuse_actors=True,
                trial_name_creator=lambda trial: str(trial.config["label"]),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="trials", storage_path=scratch, stop=runner, verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip
    return len(runner.workers)
