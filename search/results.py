"""What a study came to: one or several run folders read as one long table, from which everything else is made.

A run folder's own files are enough (`scores.parquet`, `candidates.parquet`, `stages.parquet`, `manifest.json`,
`config.yaml`), so a leaderboard, an analysis or a report can be made again, elsewhere, without data, models or a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowException

from search.analysis.overall import by_target, candidates, overall
from search.analysis.selection import chosen
from search.roots import control, fresh, own
from search.run_tables import TEXTS, read_scores, read_table
from search.settings import Settings
from trainables.config import build, read_yaml
from trainables.errors import Mistake
from trainables.redaction import without_secrets
from trainables.untrusted import read_json

SCHEMA = 2
"""Of a run folder: raised when its files change so that an older reader would misread them."""

ALIKE = {
    "suite": "suite", "model": "base model", "objective": "objective", "limited": "--limit", "training": "training",
}  # fmt: skip
"""What runs must have in common to be one study, as the manifest calls it and as people do."""

RIGHT = "a run folder of a run that has ended; `order-search ls runs` lists them"


@dataclass(frozen=True)
class Run:
    """One run folder: where it is, what it says of itself, and its settings."""

    path: Path
    manifest: Mapping[str, Any]
    settings: Settings

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


@dataclass(frozen=True)
class Results:
    """One study's runs together.

    `scores` is the long table (`search.scores.Row`) of all roots, `candidates` and `stages` the tables of the same
    names, `finals` that of the finalists (empty where there were none). `differences` says in words what the runs do
    not have in common, where they were mixed all the same; their candidates then bear the run's name.
    """

    runs: tuple[Run, ...]
    scores: pd.DataFrame
    candidates: pd.DataFrame
    stages: pd.DataFrame
    finals: pd.DataFrame = field(default_factory=pd.DataFrame)
    differences: tuple[str, ...] = ()

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The first run's."""
        return self.runs[0].manifest

    @property
    def settings(self) -> Settings:
        """The first run's."""
        return self.runs[0].settings

    @property
    def portion(self) -> str:
        """The portion of the test items that ranks are made from: the half no selection has seen, under target-dev."""
        return "report" if self.settings.objective == "target-dev" else "test"

    @property
    def seen(self) -> str:
        """The portion that hyperparameters are chosen on, as strategies choose candidates."""
        return selected_on(self.settings)

    @property
    def seeds(self) -> int:
        """The number of the study's own root seeds."""
        return max(run.settings.seeds for run in self.runs)

    @cached_property
    def own(self) -> pd.DataFrame:
        """The rows of the study's own roots."""
        return self.scores[own(self.scores.seed, self.seeds)]

    @cached_property
    def fresh(self) -> pd.DataFrame:
        """The rows of the finals' fresh roots."""
        return self.scores[fresh(self.scores.seed, self.seeds)]

    @cached_property
    def control(self) -> pd.DataFrame:
        """The rows of the seed control: further roots of one order."""
        return self.scores[control(self.scores.seed)]

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The own rows of the candidates that a leaderboard compares: of each order and method the best at what is
        tuned, chosen on `seen`."""
        return compared(self.settings, self.own)

    @property
    def grid(self) -> pd.MultiIndex:
        """The planned cells (target, language) that means are made over: the same for all candidates."""
        cells = {
            (target, code): None
            for run in self.runs
            for target, codes in run.manifest["grid"].items()
            for code in codes
            if code not in run.manifest["apart"].get(target, ())
        }
        return pd.MultiIndex.from_tuples(list(cells), names=["target", "language"])

    @property
    def difficulty(self) -> dict[str, str]:
        """The difficulty of intermediate tasks that have one: `high` or `low`."""
        tasks = self.manifest["tasks"]
        found = {name: (tasks.get(name) or {}).get("difficulty") for name in self.settings.intermediate}
        return {name: str(about["rating"]) for name, about in found.items() if about}

    @property
    def order_facts(self) -> dict[str, dict[str, Any]]:
        """What is said of each order besides its scores (`own_training_set`, `difficulty`), by its name."""
        named = [name for name in ("own_training_set", "difficulty") if name in self.candidates]
        rows = self.candidates.drop_duplicates("order").set_index("order")[named]
        return {str(order): dict(row) for order, row in rows.to_dict("index").items()}

    @property
    def stage_cost(self) -> dict[str, int]:
        """Training stages a root that each candidate needs alone, by its name."""
        rows = self.candidates.dropna(subset="stage_cost")
        return dict(zip(rows.candidate, rows.stage_cost.astype(int), strict=True))

    @property
    def prices(self) -> dict[str, float]:
        """Estimated seconds of each candidate's own stages at one root, were nothing shared, by its name."""
        return dict(zip(self.candidates.candidate, self.candidates.price, strict=True))

    def overall(self, portion: str | None = None) -> pd.DataFrame:
        """The compared candidates' scores in percent: candidates × own roots (default: of the portion that ranks are
        made from)."""
        return overall(self.compared, portion or self.portion)

    def by_target(self, portion: str | None = None) -> dict[str, pd.DataFrame]:
        """The same for each target by itself."""
        return by_target(self.compared, portion or self.portion)

    def about(self) -> pd.DataFrame:
        """The compared candidates with order, method, learning_rate and prompt_length."""
        return candidates(self.compared)


def load(paths: Sequence[str | Path], mix: bool = False) -> Results:
    """Read run folders. Several are merged: roots and candidates add up, rows that both have stand once.

    Raises Mistake for a folder that holds no ended run, and where runs differ in what makes scores comparable (suite,
    model, objective, LIMITED, training, fingerprints of the same data), unless `mix`: then each run's candidates bear
    its name. Runs with different objectives are never merged, nor those that give one cell two values.
    """
    parts = [_read(Path(path)) for path in dict.fromkeys(map(str, paths))]
    if not parts:
        raise Mistake("no run is named", right=RIGHT)
    if len(parts) == 1:
        return parts[0]
    differences = tuple(_differences([part.runs[0] for part in parts]))
    names = ", ".join(part.runs[0].name for part in parts)
    if any(told.startswith(ALIKE["objective"]) for told in differences):
        right = "runs with the same objective"
        raise Mistake(f"runs with different objectives cannot be merged: {'; '.join(differences)}", where=names,
                      right=right)  # fmt: skip
    if differences and not mix:
        right = "runs of one study, or --mix: each run's candidates then stand apart, under its name"
        raise Mistake(f"the runs are not of one study: {'; '.join(differences)}", where=names, right=right)
    if differences:
        parts = [_named(part) for part in parts]
    return replace(_merged(parts, names), differences=differences)


def selected_on(settings: Settings) -> str:
    """The portion that hyperparameters are chosen on, as strategies choose candidates."""
    return "dev" if settings.objective == "en-dev" else "search"


def compared(settings: Settings, scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of the candidates that a leaderboard compares: of each order and method the best at what is tuned."""
    if not settings.tuned or not len(scores):
        return scores
    runs = [part for _, part in scores.groupby("run", sort=False)] if "run" in scores else [scores]
    names = [name for part in runs for name in chosen(part, settings.tuned, selected_on(settings))]
    return scores[scores.candidate.isin(names)]


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Results:
    where = str(path)
    try:
        manifest = without_secrets(read_json(path / "manifest.json", finite=True))
        if manifest["schema"] != SCHEMA:
            right = "the same command again: stages are in the store, nothing is trained twice"
            raise Mistake(f"the run folder is of schema {manifest['schema']}, not {SCHEMA}", where=where, right=right)
        config = build(Settings, read_yaml(path / "config.yaml"), str(path / "config.yaml"))
        settings = config.model_copy(update={"space": manifest["space"]})
        finals = path / "finals.parquet"
        found = Results(
            (Run(path, manifest, settings),), read_scores(path / "scores.parquet", settings.objective),
            read_table(path / "candidates.parquet"), read_table(path / "stages.parquet"),
            read_table(finals) if finals.is_file() else pd.DataFrame(),
        )  # fmt: skip
        for name in ("grid", "difficulty", "order_facts", "stage_cost", "prices"):
            getattr(found, name)  # what is missing is told now, not when it is asked for
    except OSError as error:
        what = f"{Path(error.filename or where).name}: {error.strerror or 'cannot be read'}"
        raise Mistake(f"the run cannot be read: {what}", where=where, right=RIGHT) from error
    except (ValueError, LookupError, TypeError, AttributeError, NotImplementedError, ArrowException) as error:
        what = f"{type(error).__name__}: {error}"
        raise Mistake(f"the run cannot be read: {what}", where=where, right=RIGHT) from error
    return found


def _differences(runs: Sequence[Run]) -> list[str]:
    """What runs do not have in common of what makes their scores comparable, in words."""
    told = []
    for key, what in ALIKE.items():
        values = list(dict.fromkeys(str(_trait(run, key)) for run in runs))
        if len(values) > 1:
            shown = "" if key == "training" else f" ({' and '.join(values)})"
            told.append(f"{what} differs{shown}")
    data: dict[str, set[str]] = {}
    for run in runs:
        for name, mark in run.manifest["data"].items():
            data.setdefault(name, set()).add(mark)
    changed = [name for name, marks in data.items() if len(marks) > 1]
    if changed:
        told.append(f"data differ ({', '.join(changed)})")
    return told


def _trait(run: Run, key: str) -> Any:
    match key:
        case "model":
            about = run.manifest["model"]
            return f"{about['name']} {about['fingerprint'][:8]}"
        case "training":
            settings = run.settings
            return settings.train.model_dump_json() + settings.methods.model_dump_json() + str(settings.max_length)
        case "limited":
            return run.manifest["limited"] or "none"
        case _:
            return getattr(run.settings, key)


def _named(part: Results) -> Results:
    """A run whose candidates bear its name."""
    bears = {"candidate": lambda rows: rows.candidate.astype(object).map(lambda name: f"{name} [{part.runs[0].name}]")}
    scores = part.scores.assign(**bears, run=part.runs[0].name)
    finals = part.finals.assign(**bears) if len(part.finals) else part.finals
    return replace(part, scores=scores, candidates=part.candidates.assign(**bears), finals=finals)


def _merged(parts: Sequence[Results], names: str) -> Results:
    key = [
        "candidate", "seed", "target", "language", "portion", "perturbation", "severity", "metric", "stage",
    ]  # fmt: skip
    tables = [part.scores.astype(dict.fromkeys(TEXTS, object)) for part in parts]
    scores = pd.concat(tables, ignore_index=True).drop_duplicates([*key, "value"])
    twice = scores[scores.duplicated(key)]
    if len(twice):
        row = twice.iloc[0]
        what = f"{len(twice)} cells have two values, the first: {row.candidate} at root {row.seed}, {row.target}"
        right = "runs whose stages were made by one version, on one kind of machine"
        raise Mistake(f"{what} in {row.language}", where=names, right=right)
    scores = scores.astype({name: pd.CategoricalDtype(scores[name].unique()) for name in TEXTS})
    candidates_ = pd.concat([part.candidates for part in parts], ignore_index=True)
    stages = pd.concat([part.stages for part in parts], ignore_index=True)
    finals = [part.finals for part in parts if len(part.finals)]
    return Results(
        tuple(run for part in parts for run in part.runs), scores.reset_index(drop=True),
        candidates_.drop_duplicates("candidate", ignore_index=True), stages.drop_duplicates("key", ignore_index=True),
        pd.concat(finals, ignore_index=True) if finals else pd.DataFrame(),
    )  # fmt: skip
