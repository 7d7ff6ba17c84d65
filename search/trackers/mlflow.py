"""Candidates as MLflow runs under one run a study: in the run folder's `mlruns`, or where MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.trackers import Tracked

EXPERIMENT = "order-search"
STUDY, CANDIDATE = "order_search.study", "order_search.candidate"
"""Tags that a study's run and a candidate's are found by when they are there already."""

PARENT = "mlflow.parentRunId"
ENDS = {"done": "FINISHED", "complete": "FINISHED", "pruned": "KILLED", "stopped": "KILLED", "failed": "FAILED"}

_LONGEST = 5000  # of a parameter's or tag's value: servers refuse more


class MlflowWriter:
    """Writes through MLflow's client, which keeps no state of the process's."""

    def __init__(self) -> None:
        self._client: Any = None
        self._experiment = self._parent = ""
        self._there: set[str] = set()

    def open(self, folder: Path) -> None:
        """The experiment (MLFLOW_EXPERIMENT_NAME, else `order-search`) and the study's run, made where they are not."""
        # Nothing leaves the machine unless a server is named, and nothing is printed.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        named = os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(tracking_uri=named or _database(folder / "mlruns"))
        own = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(own)
        artifacts = None if named else (folder / "mlruns" / "artifacts").resolve().as_uri()
        self._experiment = found.experiment_id if found else self._client.create_experiment(own, artifacts)
        self._parent = self._study(folder.name)

    def write(self, tracked: Tracked) -> None:
        """A run under the study's."""
        if tracked.name in self._there:
            return
        from mlflow.entities import Metric, Param

        tags = {"mlflow.runName": tracked.name, PARENT: self._parent, CANDIDATE: tracked.name, **tracked.tags}
        tags = {key: value[:_LONGEST] for key, value in tags.items()}
        run = self._client.create_run(self._experiment, tags=tags).info.run_id
        now = int(1000 * time.time())
        metrics = [Metric(_name(key), value, now, 0) for key, value in tracked.metrics.items()]
        params = [Param(key, str(value)[:_LONGEST]) for key, value in tracked.params.items()]
        self._client.log_batch(run, metrics=metrics, params=params)
        self._client.set_terminated(run, ENDS[tracked.status])
        self._there.add(tracked.name)

    def close(self, status: str) -> None:
        """The study's run ends too."""
        self._client.set_tag(self._parent, "status", status)
        self._client.set_terminated(self._parent, ENDS[status])

    def _study(self, study: str) -> str:
        """The id of the study's run; what is under it already is remembered."""
        study = study.replace("'", "_")  # it stands between such in a query
        runs = self._search(f"tags.`{STUDY}` = '{study}'")
        if not runs:
            tags = {"mlflow.runName": study, STUDY: study}
            return str(self._client.create_run(self._experiment, tags=tags).info.run_id)
        parent = str(runs[0].info.run_id)
        self._client.update_run(parent, status="RUNNING")
        self._there = {run.data.tags.get(CANDIDATE, "") for run in self._search(f"tags.`{PARENT}` = '{parent}'")}
        return parent

    def _search(self, query: str) -> list[Any]:
        runs, token = [], None
        while True:
            page = self._client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs


def _database(folder: Path) -> str:
    """The address of an SQLite file: MLflow's newer versions write to no plain folder."""
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{folder.resolve() / 'mlflow.db'}"


def _name(metric: str) -> str:
    """As MLflow allows it."""
    return re.sub(r"[^\w\-. :/]", "_", metric)
