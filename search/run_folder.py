"""The run folder: every file written whole or not at all, all of it made from the planner's state and the store."""

from __future__ import annotations

import io
import json
import platform
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from search.analysis.finals import finals_sentence, finals_table
from search.analysis.primary import frozen
from search.candidate import run_name
from search.describe import about_order, describe
from search.files import parquet_bytes, write, write_table
from search.prices import Ledger
from search.publish import Published, publish
from search.results import SCHEMA, load
from search.roots import fresh
from search.scores import CLEAN, selection_value, table
from trainables.clusters import clusters
from trainables.console import say
from trainables.errors import Mistake
from trainables.redaction import LEFT_OUT, redacted, without_secrets
from trainables.stage import PREDICTIONS

if TYPE_CHECKING:
    from search.planner import Planner
    from search.study import Study

PACKAGES = ("torch", "transformers", "tokenizers", "ray", "datasets", "numpy", "pandas", "seqeval")


class RunFolder:
    """One run's folder, `OUT/SPACE-DATE-TIME`, never that of an earlier run."""

    def __init__(self, study: Study, command: Sequence[str], started: float | None = None) -> None:
        """Makes the folder and says in its manifest that the run has begun; a Mistake where it cannot be written."""
        out, space = Path(study.settings.out).expanduser(), Path(study.settings.space).stem
        stem = f"{'again' if space == 'config' else space}-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            self.path = next(
                p for p in (out / (stem + s) for s in ("", *(f"-{n}" for n in range(2, 1000)))) if _made(p)
            )
        except OSError as error:
            right = "a folder that this user may write to"
            raise Mistake(f"the run folder cannot be made: {error}", where=f"--out {out}", right=right) from error
        self._study, self._command, self._start = study, list(command), started or time.time()
        self._clock = time.monotonic() - max(0.0, time.time() - self._start)  # the time of day may jump meanwhile
        self._described = describe(study)
        self._primary = frozen(study, self._started)
        if study.data.skipped:
            first = study.data.skipped[0]
            rows = f"{len(study.data.skipped):,} bad row{'s' if len(study.data.skipped) > 1 else ''} left out"
            say(f"{rows}, listed in manifest.json; the first: {first.where}: {first.what}")
        self.manifest("running", {}, {})
        text = f"# This run's settings. Repeat it:\n#   order-search run --space {self.path / 'config.yaml'}\n"
        settings = study.settings.model_dump(mode="json", exclude={"space"})
        kept = without_secrets(settings)
        if kept != settings:
            text += f"# Credentials were left out ({LEFT_OUT}): give them again, by a flag or the environment.\n"
        self.write("config.yaml", text + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))

    @property
    def _started(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._start))

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._clock

    def write(self, name: str, content: str | bytes) -> None:
        """A file of the folder, whole or not at all."""
        write(self.path / name, content)

    def manifest(self, status: str, cost: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        """Write manifest.json: what was run, on what, with what, and what it cost."""
        settings = self._study.settings
        content = {
            "schema": SCHEMA, "status": status, "space": settings.space, **self._described,
            "started": self._started, "primary": self._primary,
            "command": shlex.join(self._command), "commit": _commit(),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "model": {"name": settings.model, "fingerprint": self._study.model_fingerprint},
            "seeds": list(range(settings.seeds)), "objective": settings.objective,
            "seed_control": self._study.seed_control and self._study.seed_control.about(),
            "oracle_selection": settings.objective == "target-dev",
            "data": {f"{kind} {task}": mark for (kind, task), mark in self._study.fingerprints.items()},
            "grid": self._study.grid, "perturbed": self._study.perturbed,
            "suites": {n: s.model_dump(mode="json", exclude_defaults=True) for n, s in self._study.suites.items()},
            "apart": self._study.apart, "partial": self._study.partial,
            "tasks": {n: t.model_dump(mode="json", exclude_defaults=True) for n, t in self._study.tasks.items()},
            "skipped_rows": _skipped(self._study), "limited": settings.limit, "candidates": more.get("candidates", 0),
            "cost": {**cost, "seconds": round(self.seconds, 1)}, **more,
        }  # fmt: skip
        self.write("manifest.json", json.dumps(without_secrets(content), indent=1, ensure_ascii=False) + "\n")

    def finish(self, planner: Planner, facts: Mapping[str, Any]) -> Published:
        """Write the planner's tables, the manifest with further facts, and all that is made of them."""
        finals = self._tables(planner)
        roots = sorted({run.seed for run in planner.runs.values() if fresh(run.seed, self._study.settings.seeds)})
        more = {
            **facts, "fresh_roots": roots, "pruned": sorted(one.name for one in planner.campaign.pruned),
            "finals": finals, "candidates": len(planner.candidates), "failed": planner.failed,
            "stopped": planner.stopped, "quarantined": planner.quarantined,
        }  # fmt: skip
        if planner.tries.failures:
            failures = without_secrets(_failures(planner))
            self.write("failures.json", json.dumps(failures, indent=1, ensure_ascii=False) + "\n")
        self.manifest("done" if planner.finished else "stopped", planner.cost_summary(), more)
        return publish(load([self.path]), self.path)

    def _tables(self, planner: Planner) -> str:
        """Write scores, stages, candidates, predictions and the finalists; who is named of these, in a sentence."""
        scores = table(planner.rows)
        write_table(self.path, "scores", scores)
        write_table(self.path, "stages", _stages(planner))
        write_table(self.path, "candidates", _candidates(planner))
        self._predictions(planner)
        finals = planner.campaign.finals
        if finals is None:
            return ""
        found = finals_table(finals, scores[fresh(scores.seed, self._study.settings.seeds)], planner.portion)
        write_table(self.path, "finals", found)
        return finals_sentence(finals, found)

    def _predictions(self, planner: Planner) -> None:
        by_target: dict[str, list[pd.DataFrame]] = {}
        for run in planner.runs.values():
            keys = [*run.goals.items(), *((task, key) for task, key, after in run.measures if not after)]
            for target, key in keys if run.rows else ():
                rows = pd.read_parquet(io.BytesIO(planner.store.blob(key, PREDICTIONS)))
                about = {"candidate": run.candidate.name, "seed": run.seed, "target": target}
                clean = {} if "perturbation" in rows else {"perturbation": CLEAN, "severity": 0}
                by_target.setdefault(target, []).append(rows.assign(**about, **clean))
        for target, parts in by_target.items():
            rows = self._clustered(target, pd.concat(parts, ignore_index=True))
            self.write(f"predictions/{target}.parquet", parquet_bytes(rows))

    def _clustered(self, target: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Predictions with a column `cluster`: which items stand and fall together."""
        task, data = self._study.tasks[target], self._study.data
        languages = {"test": self._study.grid.get(target, []), "dev": ["en"]}
        found = [
            (portion, code, item, cluster)
            for portion in rows.portion.unique()
            for code, own in clusters(task, data.load(task, portion, languages[portion])).items()
            for item, cluster in own.items()
        ]
        keys = ["portion", "language", "id"]
        return rows.merge(pd.DataFrame(found, columns=[*keys, "cluster"]), how="left", on=keys)


def _skipped(study: Study) -> dict[str, Any]:
    """Rows of data that were malformed and left out (`--on-bad-row skip`): how many, and the first of them."""
    rows = [row._asdict() for row in study.data.skipped]
    return {"count": len(rows), "rows": rows[:100]}


def _failures(planner: Planner) -> list[dict[str, Any]]:
    """Every stage that failed at some time, why each attempt did, and whether it was given up."""
    return [
        {"key": key, "label": planner.stages[key][1], "given_up": key in planner.quarantined,
         "attempts": planner.tries.told(key)}
        for key in planner.tries.failures
    ]  # fmt: skip


def _made(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _stages(planner: Planner) -> pd.DataFrame:
    rows = []
    for key, (stage, label) in planner.stages.items():
        done = planner.done.get(key)
        rows.append({
            "key": key, "label": label, "kind": stage.kind, "tasks": "+".join(stage.tasks), "parent": stage.parent,
            "method": stage.method, "steps": stage.steps, "seed": stage.seed, "executed": bool(done and done.made),
            "seconds": done.seconds if done else None, "worker": done.worker if done else None,
            "parent_from": done.parent_from if done else None, "split": done.split if done else None,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _candidates(planner: Planner) -> pd.DataFrame:
    study, ledger = planner.study, Ledger(planner.prices)
    objective, rows = study.settings.objective, []
    for candidate in planner.candidates:
        names = [run_name(candidate, seed) for seed in range(study.settings.seeds)]
        names = [name for name in names if name in planner.runs]
        failed = [f"{name}: {planner.failed[name]}" for name in names if name in planner.failed]
        scored = [row for name in names for row in planner.runs[name].rows]
        rows.append({
            "candidate": candidate.name, "order": str(candidate.order), "method": candidate.method,
            "learning_rate": candidate.learning_rate, "prompt_length": candidate.prompt_length,
            "budget": candidate.budget, "seeds": sum(bool(planner.runs[name].rows) for name in names),
            "objective": objective, "value": selection_value(scored, objective) if scored else None,
            "pruned": candidate in planner.campaign.pruned, "failed": redacted("; ".join(failed)) or None,
            "stage_cost": sum(stage.kind == "train" for stage in study.stages(candidate, 0)),
            "price": ledger.naive([candidate]), **about_order(study, candidate.order),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _commit() -> str:
    """The checkout's commit, with + where it has changes; empty outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        told = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],  # noqa: S607
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()
