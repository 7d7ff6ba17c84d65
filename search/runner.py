"""The stage tree on Ray Tune: a searcher that hands out paths, holds at barriers, and a stopper that ends holds.

One trial is a path of stages on one worker. Tune keeps the actors of finished trials only for trials that ask for the
same resources and only while some are waiting, so all trials ask for the same, there are never more of them than slots,
and a worker for which nothing is ready runs a *hold*, which the stopper ends as soon as something is.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cluster import Joined, resources  # sets what Ray reads when it is imported

# isort: split
import ray
from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from search.planner import Planner
from search.pulse import Pulse
from search.slots import asked, fit
from search.tries import Fault
from trainables.store import StoreTrouble
from trainables.trainable import StagePath

if TYPE_CHECKING:
    from search.settings import Settings

WORKER_SECONDS = 60.0
"""How long a path may wait for a worker before a hold makes room: other jobs may have taken what a trial needs."""

START_SECONDS = 30.0
"""How long a worker's process is given to start before others take its trial."""

ROOM_SECONDS = 5.0
"""How often it is counted how many trials have room, while a path waits."""

LOOK_SECONDS = 2.0
"""How often stages that another study is at are looked at."""

STILLBORN = 5
"""How many workers in a row may die before they begin a path until the study is stopped."""


@dataclass
class Trial:
    """A trial's path: what is left of it, its worker once that has told itself, and since when it waits for one."""

    path: list[str]
    waits: float = 0.0
    worker: str = ""


class Runner(Searcher, tune.Stopper):  # type: ignore[misc]
    """Hands paths from the planner to Tune and results from Tune to the planner; `workers` took part."""

    def __init__(self, planner: Planner, place: str, asks: str, tick: Callable[[], None], pulse: Pulse) -> None:
        """`place` is the workplace, `asks` are the resources of every trial, both JSON; `tick` is called after every
        event, for the live view."""
        Searcher.__init__(self)
        self._planner, self._tick, self._pulse = planner, tick, pulse
        self._stop = f"alive/.stop-{secrets.token_hex(8)}"
        self._common = {"workplace": place, "resources": asks, "stop": self._stop}
        self._trials: dict[str, Trial] = {}
        self.room: Callable[[], int] = lambda: len(self._trials)  # how many trials have room now
        self._looked = self._counted = time.monotonic()
        self._crowded = False
        self._stillborn = 0
        self._said = False
        self._alive: set[str] = set()
        self.slots = 0  # trials at once
        self.workers: set[str] = set()
        self.causes: dict[str, str] = {}  # of trials that ended with an error, as Ray tells it

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its configuration for a restore that never comes (the store resumes a study)."""
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Runner:
        """Itself: there is one planner."""
        return self

    # --- Searcher -----------------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration: a path, a hold, or FINISHED (a text, which Tune's own annotation omits)."""
        planner = self._planner
        if planner.idle:
            return Searcher.FINISHED
        path = planner.take()
        self._trials[trial_id] = Trial([stage.key for stage in path], time.monotonic())
        if path:
            planner.running[path[0].key] = ""
        self._tick()
        label = planner.stages[path[-1].key][1] if path else "hold"
        tries = {stage.key: told for stage in path if (told := planner.attempt(stage.key).to_json())}
        return {
            **self._common, "path": json.dumps([stage.to_json() for stage in path]), "label": label,
            "labels": json.dumps([planner.stages[stage.key][1] for stage in path]), "tries": json.dumps(tries),
        }  # fmt: skip

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One stage of a path has ended, and it was not the last."""
        self._guarded(lambda: self._heard(trial_id, result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A path or a hold has ended; with an error the worker is gone, and what it had not done is given back."""
        self._guarded(lambda: self._ended(trial_id, result, error))

    def _guarded(self, act: Callable[[], None]) -> None:
        """A store that cannot be reached for long stops the study: Tune would end in a traceback."""
        try:
            act()
        except StoreTrouble as trouble:
            self._planner.stop(str(trouble))
        self._tick()

    def _heard(self, trial_id: str, result: dict[str, Any]) -> None:
        trial, worker = self._trials.get(trial_id, Trial([])), str(result["worker"])
        self.workers.add(worker)
        self._alive.add(worker)
        trial.worker, path, key = worker, trial.path, result.get("key")
        self._stillborn = 0
        if result["kind"] == "begin":
            self._pulse.watch(worker, str(result["node"]), int(result["pid"]))
        if key is not None and path and path[0] == key:
            path.pop(0)
            self._planner.report(result)
        if path and not self._over(result):
            self._planner.running[path[0]] = worker
        self._look()

    @staticmethod
    def _over(result: dict[str, Any]) -> bool:
        """Whether a result ends its path."""
        return any(name in result for name in ("error", "held", "trouble"))

    def _ended(self, trial_id: str, result: dict[str, Any] | None, error: bool) -> None:
        if result is not None and not error:
            self._heard(trial_id, result)
        trial, cause = self._trials.pop(trial_id, Trial([])), self.causes.pop(trial_id, "")
        self._pulse.forget(trial.worker)
        if error:
            self._alive.discard(trial.worker)
        if error and trial.path and trial.worker:
            fault, reason = _fault(cause)
            # While one is stored and told, the next is made: a stage that is stored is not what the worker died of.
            at = next((key for key in trial.path if not self._planner.store.has(key)), None)
            if at is not None:
                self._planner.lost(at, reason, fault, trial.worker, cause)
        elif error and not trial.worker:
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                self._planner.stop(f"{STILLBORN} workers in a row died before they began: {_last_line(cause)}")
        self._planner.give_back(trial.path)

    def _look(self) -> None:
        if self._planner.held and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._planner.look()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store resumes a study."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""

    # --- Stopper ------------------------------------------------------------------------------------------------------

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial ends: any when the study is stopped, a path after its last stage or a failure, a hold as soon
        as something is ready, nothing is left, or a path waits for its worker.

        Tune gives a worker that has ended its trial to one that waits, and kills the process that was starting for it:
        so while one starts, those that have no more to do hold. Called before the searcher hears of the result.
        """
        if self._over(result):
            return True
        if self._planner.stopped:
            self._say_stop()
            return not result.get("under_way")
        if result["kind"] == "hold":
            if self._planner.finished or self._gives_way():
                return True
            return not self._starting() and self._planner.tree.ready_count() > 0
        return bool(result.get("last")) and not self._starting()

    def _say_stop(self) -> None:
        """Tell the workers to begin nothing more: the next stage of a path is begun before the last one is told of."""
        if not self._said:
            self._said = True
            with suppress(StoreTrouble):
                self._planner.store.hasty().medium.create(self._stop, b"")

    def close(self) -> None:
        """Take away what was said."""
        if self._said:
            with suppress(StoreTrouble):
                self._planner.store.hasty().medium.delete(self._stop)

    def _starting(self) -> bool:
        """Whether the process of some trial is likely to be starting: not all have told themselves yet."""
        if self._crowded or len(self._alive) >= self.slots:
            return False
        now = time.monotonic()
        return any(not trial.worker and now - trial.waits < START_SECONDS for trial in self._trials.values())

    def _gives_way(self) -> bool:
        """Whether a hold ends for a path that waits for a worker: at once where a node was lost, so that not all trials
        have room any more."""
        now = time.monotonic()
        waits = [trial.waits for trial in self._trials.values() if trial.path and not trial.worker]
        waited = now - min(waits, default=now)
        if waited > ROOM_SECONDS and now - self._counted > ROOM_SECONDS:
            self._counted, self._crowded = now, self.room() < len(self._trials)
        return waited > WORKER_SECONDS or (waited > ROOM_SECONDS and self._crowded)

    def stop_all(self) -> bool:
        """Whether everything is done."""
        return False


class Causes(FIFOScheduler):  # type: ignore[misc]
    """First come, first served; notes why trials end with an error, from the text that Tune writes on this machine, and
    lets trials go that have ended."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._runner = runner
        self._ended: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of the runner."""
        return {}

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Called before the searcher hears of the error, which is not told why."""
        with suppress(OSError, TypeError):
            self._runner.causes[trial.trial_id] = Path(trial.error_file).read_text("utf-8", errors="replace")

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Called before this trial is done with; those before it are, and Tune would keep some 70 kB of each."""
        for ended in [one for one in self._ended if one.is_finished()]:
            _let_go(tune_controller, ended)
            self._ended.remove(ended)
        self._ended.append(trial)


class Silence(TrialProgressCallback):  # type: ignore[misc]
    """Takes the place of Tune's own, which prints nothing here and keeps every trial for it."""

    def on_trial_result(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is printed."""

    def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is printed."""

    def on_trial_error(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is printed."""


def _let_go(tune_controller: Any, trial: Any) -> None:
    """Take a trial that has ended out of Tune's books. Nobody asks for it again: results are the planner's."""
    with suppress(AttributeError, ValueError):  # another Tune may keep other books
        tune_controller.get_trials().remove(trial)
        tune_controller._stopped_trials.discard(trial)
        tune_controller._trials_to_cache.discard(trial)
        tune_controller._trial_metadata.pop(trial.trial_id, None)


def _last_line(cause: str) -> str:
    """What a traceback ends with."""
    return next((line.strip() for line in reversed(cause.splitlines()) if line.strip()), "no reason is known")


def _fault(cause: str) -> tuple[Fault, str]:
    """What made a worker die, as far as Ray knows."""
    if "OutOfMemoryError" in cause or "memory pressure" in cause or "running low on memory" in cause:
        return "memory", "its worker was ended because its machine ran out of memory"
    if "node" in cause and any(words in cause for words in ("node has died", "node died", "its node", "node is dead")):
        return "node", "its node was lost"
    return "error", "its worker died"


def _room(settings: Settings) -> int:
    """How many trials the living nodes hold."""
    ask = asked(settings)
    return sum(fit(ask, node["Resources"]) for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call, misc]


def run(settings: Settings, planner: Planner, joined: Joined, tick: Callable[[], None]) -> int:
    """Run everything the planner has on a started Ray; how many worker processes took part."""
    with ExitStack() as stack:
        pulse = stack.enter_context(Pulse(planner.store, settings.stall_timeout))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="order-search-"))
        runner = Runner(planner, joined.place, json.dumps(resources(settings)), tick, pulse)
        stack.callback(runner.close)
        runner.slots = planner.slots = joined.slots
        runner.room = lambda: _room(settings)
        tune.Tuner(
            StagePath,
            tune_config=tune.TuneConfig(
                search_alg=runner, scheduler=Causes(runner), num_samples=-1, max_concurrent_trials=joined.slots,
                reuse_actors=True, trial_name_creator=lambda trial: str(trial.config["label"]),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="trials", storage_path=scratch, stop=runner, verbose=0, callbacks=[Silence()],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip
    return len(runner.workers)
