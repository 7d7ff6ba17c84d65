"""The Ray Tune Trainable: a path of stages on one worker, one stage a `step()`. The only file here that imports Ray."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

from ray import tune

from trainables.bench import Bench, MissingParent, Workplace
from trainables.stage import Stage
from trainables.train import Diverged

HOLD_SECONDS = 0.1

_benches: dict[str, Bench] = {}
"""This process's bench, by the workplace's JSON: it outlives every trial, and with it the model and its data."""


class StagePath(tune.Trainable):  # type: ignore[misc]
    """One trial: a path of stages, or a hold that keeps the worker alive while nothing is ready.

    The configuration holds JSON texts, not objects, because Tune copies it again and again: `workplace`, and `path` (a
    list of stages, empty for a hold). What goes wrong in a stage is returned as a result, so the worker lives on.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take up the trial's path; the bench is made once a process."""
        place = str(config["workplace"])
        if place not in _benches:
            _benches.clear()
            _benches[place] = Bench(Workplace(**json.loads(place)))
        self._bench = _benches[place]
        self._path = [Stage.from_json(text) for text in json.loads(config["path"])]
        self._begun = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run the path's next stage; its outcome, or `error` and `fatal` (no use in trying again)."""
        if not self._path:
            time.sleep(HOLD_SECONDS)
            return {"kind": "hold", "worker": self._bench.worker}
        if not self._begun:  # tells at once which worker has the path
            self._begun = True
            return {"kind": "begin", "worker": self._bench.worker}
        stage = self._path.pop(0)
        about: dict[str, Any] = {"key": stage.key, "kind": stage.kind, "worker": self._bench.worker}
        try:
            result = {**about, **asdict(self._bench.run(stage))}
        except MissingParent as error:
            result = {**about, "error": str(error), "missing": error.key, "fatal": False}
        except Diverged as error:
            result = {**about, "error": str(error), "fatal": True}
        except Exception as error:  # noqa: BLE001 - the worker must live on; the planner counts attempts and tells
            result = {**about, "error": f"{type(error).__name__}: {error}", "fatal": False}
        return {**result, "done": "error" in result or not self._path}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the store holds all there is."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing, likewise."""
