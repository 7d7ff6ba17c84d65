"""The run folder: every file of the contract, made from a planner's state and the store."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from search.describe import describe
from search.leaderboard.terminal import show
from search.planner import Planner
from search.run_folder import RunFolder
from search.settings import load_settings
from search.study import Study
from trainables.clusters import clusters
from trainables.stage import PREDICTIONS, WEIGHTS
from trainables.store import Store

FILES = {
    "manifest.json", "config.yaml", "leaderboard.csv", "leaderboard.md", "leaderboard.json",
    "leaderboard.html", "leaderboard.tex", "leaderboard.parquet",
    "candidates.parquet", "candidates.csv", "stages.parquet", "stages.csv", "scores.parquet", "scores.csv",
    "predictions/tags.parquet", "predictions/links.parquet", "answer.csv", "answer.parquet", "pareto.csv",
    "pareto.parquet", "analysis.json", "analysis.md", "report.html", "report.md", "report.json", "cards/RECOMMENDED.md",
}  # fmt: skip


def study_of(world, **changed):
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    return Study(*load_settings(flags, changed))


def predictions(codes):
    buffer = io.BytesIO()
    rows = [{"portion": "test", "language": code, "id": "1", "score": 1.0} for code in codes]
    pd.DataFrame(rows).to_parquet(buffer, index=False)
    return buffer.getvalue()


def planned(study, broken=""):
    """A planner that is done; the first candidate of the order `broken` has failed."""
    store = Store(study.settings.store_url)
    planner = Planner(study, store)
    while not planner.finished:
        for stage in planner.take():
            about = {"key": stage.key, "made": True, "seconds": 1.0, "worker": "w", "parent": "memory"}
            codes = study.grid.get(stage.tasks[0], [])
            if stage.kind == "score":
                rows = [
                    {"language": code, "portion": portion, "metric": "accuracy",
                     "value": int(stage.key[:4], 16) / 65536, "n": 4, "stderr": 0.1, "main": True}
                    for code in codes for portion in ("test", "dev")
                ]  # fmt: skip
                store.put(stage.key, {"scores": rows}, {PREDICTIONS: predictions(codes)})
            elif planner.stages[stage.key][1] == broken:
                planner.report({"key": stage.key, "error": "Diverged: =nan", "fatal": True})
                break
            else:
                store.put(stage.key, {}, {WEIGHTS: b"weights"})
            planner.report(about)
    return planner


def written(study, **more):
    folder = RunFolder(study, ["order-search", "run", "--space", "a b"])
    planner = planned(study, **more)
    folder.finish(planner, {})
    return folder.path


@pytest.fixture
def study(world):
    return study_of(world)


def test_every_file_is_there(study):
    path = written(study)
    files = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    tables = {name for name in files if name.startswith("analysis/")}
    assert files - tables == FILES
    assert {"analysis/primary.csv", "analysis/order.parquet", "analysis/five_questions.csv"} <= tables


def test_the_manifest(study):
    path = written(study)
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["schema"], manifest["status"], manifest["seeds"]) == (2, "done", [0, 1])
    assert manifest["command"] == "order-search run --space 'a b'"
    assert manifest["grid"] == {"tags": ["de", "en"], "links": ["de", "sw"]}
    assert manifest["cost"]["stages_executed"] == manifest["cost"]["stages_distinct"]
    assert manifest["cost"]["stages_naive"] > manifest["cost"]["stages_distinct"]
    assert set(manifest["data"]) == {"train pairs", "train topics", "train tags", "score tags", "score links"}


def test_a_run_that_has_begun_says_so(study):
    assert json.loads((RunFolder(study, []).path / "manifest.json").read_text())["status"] == "running"


def test_no_run_folder_is_used_twice(study):
    assert len({RunFolder(study, []).path for _ in range(3)}) == 3


def test_tables_hold_the_same_as_csv_and_parquet(study):
    path = written(study)
    for name in ("scores", "stages", "candidates"):
        table, text = (
            pd.read_parquet(path / f"{name}.parquet"),
            pd.read_csv(path / f"{name}.csv", keep_default_na=False),
        )
        assert list(table.columns) == list(text.columns)
        assert len(table) == len(text) > 0
    scores = pd.read_parquet(path / "scores.parquet")
    assert len(scores) == 5 * 2 * 2 * 2 * 2
    assert set(scores.perturbation) == {"none"}


def test_predictions_say_whose_they_are(study):
    found = pd.read_parquet(written(study) / "predictions" / "links.parquet")
    assert set(found.columns) == {
        "portion", "language", "id", "score", "candidate", "seed", "target", "perturbation", "severity", "cluster",
    }  # fmt: skip
    assert len(found) == 5 * 2 * 2
    examples = study.data.load(study.tasks["links"], "test", ["de", "sw"])
    named = {code: own["1"] for code, own in clusters(study.tasks["links"], examples).items()}
    assert (found.cluster == found.language.map(named)).all()


def test_the_leaderboard_ranks_all_candidates_and_is_shown(study):
    path = written(study)
    board = json.loads((path / "leaderboard.json").read_text())
    assert {row["order"] for row in board["rows"]} == {"none", "pairs", "topics", "pairs>topics", "topics>pairs"}
    assert {row["order"]: row["stage_cost"] for row in board["rows"]}["none"] == 1
    console = Console(file=io.StringIO(), width=200)
    show(str(path), console)
    assert "pairs>topics" in console.file.getvalue()


def test_the_same_study_again_is_the_same_leaderboard(study, world):
    first, second = written(study), written(study_of(world))
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.json", "scores.csv", "candidates.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    stages = pd.read_parquet(second / "stages.parquet")
    assert not stages.executed.any()


def test_failed_candidates_are_named(study):
    path = written(study, broken="pairs #0")
    failed = pd.read_csv(path / "candidates.csv", keep_default_na=False).set_index("order").failed
    assert "Diverged: =nan" in failed["pairs"]
    assert "Diverged: =nan" in failed["pairs>topics"]
    assert failed["topics"] == failed["none"] == ""
    rows = {row["order"]: row for row in json.loads((path / "leaderboard.json").read_text())["rows"]}
    assert (rows["pairs"]["rank"], rows["pairs"]["seeds"]) == (None, 1)
    assert rows["topics"]["rank"] is not None


def test_everything_failed(world):
    study = study_of(world, seeds=1, candidates=1)
    path = written(study, broken="none | train tags #0")
    assert json.loads((path / "leaderboard.json").read_text())["rows"] == []
    assert not (path / "predictions").exists()


def test_stamps(world):
    assert "LIMITED" in describe(study_of(world, limit=2))["title"]
    assert "LIMITED to 2 examples" in describe(study_of(world, limit=2))["notes"][0]
    assert "oracle selection" in describe(study_of(world, objective="target-dev"))["notes"][0]
    notes = " ".join(describe(study_of(world, seeds=3))["notes"])
    assert "95 % t interval" in notes
    assert "oracle" not in notes
