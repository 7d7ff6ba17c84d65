"""The Ray Tune Trainable: a path of stages on one worker, one stage a `step()`. The only file here that imports Ray.

The driver imports it too, so what only workers need (torch, models: ten seconds of a core) is imported in them alone.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.execution.placement_groups import resource_dict_to_pg_factory

from trainables.attempt import Attempt
from trainables.attempts import Held
from trainables.failures import Diverged, MissingParent
from trainables.shipped import here
from trainables.stage import Stage
from trainables.store import StoreTrouble
from trainables.threads import OwnThread, known

if TYPE_CHECKING:
    from trainables.bench import Bench
    from trainables.storing import Outcome

    Made = dict[str, Any] | Future[Outcome]
    """A stage's outcome to come, or why it was not made."""

HOLD_SECONDS = 0.1

BROKEN = 71
"""The exit code of a process whose CUDA can no longer be used."""

TRACE = 20_000
"""Characters of a traceback that are told at most."""

_benches: dict[str, Bench] = {}
"""This process's bench, by the workplace's JSON: it outlives every trial, and with it the model and its data."""

_log = logging.getLogger("order_search.worker")


@cache
def _thread() -> OwnThread:
    """What stages are made on, and what a bench is made on: torch's number of threads is a thread's own. Ray's thread
    waits for what is stored."""
    return OwnThread("stages")


@cache
def _request(resources: str) -> Any:
    return resource_dict_to_pg_factory(json.loads(resources))


class StagePath(tune.Trainable):  # type: ignore[misc]
    """One trial: a path of stages, or a hold that keeps the worker alive while nothing is ready.

    The configuration holds JSON texts, not objects, because Tune copies it again and again: `workplace`, `resources`,
    `path` (a list of stages, empty for a hold), their `labels`, in `tries` the attempts at those that are not tried for
    the first time, and in `stop` the file of the store that is there once nothing more is to be begun. What goes wrong
    in a stage is returned as a result, so the worker lives on.
    """

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this worker: the name that it has in the live view and in every table."""
        return f"order-search worker {socket.gethostname()}:{os.getpid()}"

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Any:
        """What the trial asks for: `resources` of its configuration, as `tune.with_resources` takes it. Tune compares
        requests again and again, a fifth of its time, unless equal ones are one object."""
        return _request(str(config["resources"]))

    def setup(self, config: dict[str, Any]) -> None:
        """Take up the trial's path; the bench is made once a process."""
        place = str(config["workplace"])
        if place not in _benches:
            _log_to_stdout()
            while _benches:
                _benches.popitem()[1].stop()
            _benches[place] = _thread().submit(partial(_new_bench, place)).result()
        self._bench = _benches[place]
        self._path = [Stage.from_json(text) for text in json.loads(config["path"])]
        self._labels = dict(zip((stage.key for stage in self._path), json.loads(config["labels"]), strict=True))
        self._tries, self._stop = json.loads(config["tries"]), str(config["stop"])
        self._begun = False
        # A path of several where the second is no child of the first is of stages to be trained together.
        self._together = len(self._path) > 1 and self._path[1].parent != self._path[0].key
        self._made: queue.SimpleQueue[tuple[Made, bool]] = queue.SimpleQueue()
        self._making: Future[None] | None = None
        self._left = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial in the same process; one whose CUDA is broken ends, and Tune starts another."""
        self._left = True
        if self._making:
            wait([self._making])
        if self._bench.broken:
            os._exit(BROKEN)
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run the path's next stage: its outcome, or what came between.

        That is `held` (the worker of another study that is at it), `trouble` (the store could not be reached), or
        `error`, its `trace`, and with it `missing` (the stage whose weights are not there), `oom`, or `fatal` (no use
        in trying again). `under_way` is whether the path's next stage was begun. After the `last` stage, or what went
        wrong, it holds until the trial is ended.
        """
        if not self._path:
            time.sleep(HOLD_SECONDS)
            return {"kind": "hold", "worker": self._bench.worker}
        if not self._begun:  # tells at once which worker has the path
            self._begun = True
            node = ray.get_runtime_context().get_node_id()
            return {"kind": "begin", "worker": self._bench.worker, "node": node, "pid": os.getpid()}
        self._making = self._making or _thread().submit(partial(self._make, list(self._path)))
        stage = self._path.pop(0)
        try:
            made, more = self._made.get()
            told = self._stored(stage, made)
        except BaseException as error:  # the process is to end: others may begin what it was at
            self._bench.leave(error)
            raise
        about = {"key": stage.key, "kind": stage.kind, "worker": self._bench.worker}
        return {**about, **told, "under_way": more, "last": not self._path}

    def _make(self, path: Sequence[Stage]) -> None:
        """Make the stages of a path until one fails, or no more are to be begun. While one is stored and told, the next
        is made."""
        for place, stage in enumerate(path):
            made = self._outcome(stage, path if self._together and place == 0 else [])
            more = not isinstance(made, dict) and place + 1 < len(path) and not self._is_over()
            self._made.put((made, more))
            if not more:
                break
        self._bench.settle()

    def _is_over(self) -> bool:
        """Whether the trial was left, or its study stopped."""
        with suppress(StoreTrouble):  # which is told by whoever meets it
            return self._left or self._bench.store.hasty().medium.exists(self._stop)
        return self._left

    def _outcome(self, stage: Stage, together: Sequence[Stage] = ()) -> Made:
        """Make a stage; with some of the path, all of those together first."""
        label, attempt = self._labels[stage.key], Attempt(**self._tries.get(stage.key, {}))
        _log.info("begin %s (attempt %d)", label, attempt.number)
        # Till the stage has ended; `ray stop` looks for "ray::".
        ray._raylet.setproctitle(f"ray::order-search {label}")  # type: ignore[attr-defined]
        try:
            if together:
                self._bench.run_ahead(together)
            return self._bench.begin(stage, attempt)
        except (Held, StoreTrouble) as error:
            return self._failure(label, error)
        except Exception as error:  # noqa: BLE001 - the worker must live on; the planner counts attempts and tells
            told = self._failure(label, error)
            self._bench.recover(error)
            return told
        except BaseException as error:  # noqa: BLE001 - raised where it ends the process
            return known(error)

    def _stored(self, stage: Stage, made: Made) -> dict[str, Any]:
        """What is told of a stage once it is stored, or why it is not."""
        label = self._labels[stage.key]
        try:
            outcome = made if isinstance(made, dict) else asdict(made.result())
        except Exception as error:  # noqa: BLE001 - as of one that could not be made
            return self._failure(label, error)
        if "made" in outcome:
            found = "" if outcome["made"] else ", from the store"
            _log.info("end %s after %.2f s%s", label, outcome["seconds"], found)
        return outcome

    def _failure(self, label: str, error: Exception) -> dict[str, Any]:
        """What is told of what came between."""
        from trainables import oom

        if isinstance(error, Held):
            _log.info("%s is held by %s", label, error.holder)
            return {"held": error.holder}
        if isinstance(error, StoreTrouble):
            return {"trouble": str(error)}
        trace = "".join(traceback.format_exception(error))[-TRACE:]
        _log.error("%s failed\n%s", label, trace)
        told: dict[str, Any] = {"error": f"{type(error).__name__}: {error}", "trace": trace}
        if isinstance(error, MissingParent):
            told |= {"error": str(error), "missing": error.key}
        elif isinstance(error, Diverged):
            told |= {"error": str(error), "fatal": True}
        elif oom.out_of_memory(error):
            told |= {"oom": True}
        return told

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the store holds all there is."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing, likewise."""


def _new_bench(place: str) -> Bench:
    """A worker's bench for a workplace (JSON), at work."""
    from trainables.bench import Bench, Workplace

    return Bench(Workplace(**here(json.loads(place)))).start()


def _log_to_stdout() -> None:
    """Ray keeps a worker's output in its log files, where its dashboard shows it."""
    if not _log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False
