"""Whole runs on Ray: the same results whatever the workers, after kills, and with the store already full."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rayless import rayless

from search.cli import main
from trainables.attempts import Attempts
from trainables.store import Store

ROOT = Path(__file__).resolve().parents[2]

STUDY = [
    "--languages", "en,de,zh", "--limit", "24", "--seeds", "1",
    "--set", "intermediate=[mini-nli,mini-topic]", "--set", "train.steps=4", "--set", "train.target_steps=4",
    "--set", "train.batch_size=8",
]  # fmt: skip
"""Five orders, three targets, a few steps: 10 training stages and 15 scores."""

RESULT = ["candidate", "seed", "target", "language", "portion", "metric", "value", "n", "stderr"]


def command(*more: str) -> list[str]:
    return [sys.executable, str(ROOT / "search" / "run.py"), *STUDY, *more]


def finish(cwd: Path, *more: str) -> Path:
    """Run to the end; the newest run folder."""
    done = subprocess.run(command(*more), cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return max((cwd / "runs").glob("orders-*"), key=lambda path: (path.stat().st_mtime, path.name))


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "scores.parquet")[RESULT].reset_index(drop=True)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One undisturbed run on two workers."""
    return finish(tmp_path_factory.mktemp("undisturbed"), "--max-concurrent", "2")


def test_every_distinct_stage_is_run_once(finished: Path) -> None:
    cost = manifest(finished)["cost"]
    store = Store(str(finished.parent / "store"))
    assert cost["stages_executed"] == cost["stages_distinct"] == len(store.keys()) == len(list(Attempts.all(store)))
    assert cost["stages_naive"] > cost["stages_distinct"]


def test_workers_start_once(finished: Path) -> None:
    told = manifest(finished)
    assert told["slots"] == 2
    assert 1 <= told["worker_starts"] <= told["slots"]


def test_the_folder_holds_what_is_promised(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {
        "manifest.json", "config.yaml", "scores.parquet", "scores.csv", "stages.parquet", "candidates.parquet",
        "leaderboard.csv", "leaderboard.md", "leaderboard.json", "predictions", "tensorboard",
    } <= names  # fmt: skip
    found = scores(finished)
    cells = found[(found.portion == "test") & found.metric.isin(["accuracy", "f1"])]
    grid = sum(map(len, manifest(finished)["grid"].values()))
    assert len(cells) == 5 * grid
    assert not [name for name in names if name.startswith(".")]


def test_predictions_give_the_scores(finished: Path) -> None:
    rows = pd.read_parquet(finished / "predictions" / "mini-xnli.parquet")
    means = rows[rows.portion == "test"].groupby(["candidate", "language"]).score.mean()
    found = scores(finished)
    xnli = found[(found.target == "mini-xnli") & (found.portion == "test")].set_index(["candidate", "language"])
    assert (means - xnli.value).abs().max() < 1e-12


def test_a_run_in_mixed_precision(tmp_path: Path) -> None:
    """Every stage of it; and its configuration repeats it."""
    few = ["--targets", "mini-xnli,mini-tatoeba", "--set", "intermediate=[mini-nli]", "--set", "precision=bfloat16"]
    folder = rayless([*STUDY, *few], tmp_path / "runs")
    store = Store(str(tmp_path / "runs" / "store"))
    stages = [record["stage"] for record in map(store.record, store.keys())]
    assert {stage["settings"]["dtype"] for stage in stages} == {"bfloat16"}
    assert {stage["kind"] for stage in stages} == {"train", "score"}
    assert scores(folder).value.map(math.isfinite).all()
    assert yaml.safe_load((folder / "config.yaml").read_text())["precision"] == "bfloat16"


@pytest.fixture(scope="module")
def again(finished: Path) -> tuple[Path, str]:
    """The same command again: the run folder, and which libraries that only workers need the driver had imported."""
    code = f"""
import sys
sys.argv[0] = "run"
sys.path.insert(0, {str(ROOT)!r})
import search.runner  # what a run with stages to train needs besides
from search.cli import main
code = main({["run", *STUDY]!r})
print("imported:", *({{"torch", "transformers", "adapters", "textattack"}} & set(sys.modules)))
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=finished.parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = max(finished.parent.glob("orders-*"), key=lambda path: (path.stat().st_mtime, path.name))
    return folder, done.stdout.splitlines()[-1]


def test_the_same_command_again_trains_nothing(finished: Path, again: tuple[Path, str]) -> None:
    folder, _ = again
    assert folder != finished
    told = manifest(folder)
    assert told["cost"]["stages_executed"] == 0
    assert told["slots"] == told["worker_starts"] == 0, "Ray was started although nothing was left to run"
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.json", "scores.csv"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name


def test_the_driver_imports_nothing_that_workers_alone_need(again: tuple[Path, str]) -> None:
    assert again[1] == "imported:"


def test_the_run_folder_repeats_the_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.parent.parent)
    assert main(["--space", str(finished / "config.yaml")]) == 0
    (repeated,) = finished.parent.glob("again-*")
    assert (repeated / "leaderboard.csv").read_bytes() == (finished / "leaderboard.csv").read_bytes()


def check_same_bits(first: Path, second: Path) -> None:
    """The scores and the weights of two runs that each had a store of its own."""
    pd.testing.assert_frame_equal(scores(first), scores(second), check_exact=True)
    stores = [Store(str(folder.parent / "store")) for folder in (first, second)]
    assert stores[0].keys() == stores[1].keys()
    weights = 0
    for key in sorted(stores[0].keys()):
        blobs = [store.record(key)["blobs"] for store in stores]
        for name in blobs[0]:
            if name.startswith("weights"):
                weights += 1
                assert blobs[0][name]["sha256"] == blobs[1][name]["sha256"]
    assert weights


def test_two_workers_give_the_same_bits_as_no_ray(finished: Path, tmp_path: Path) -> None:
    check_same_bits(finished, rayless(STUDY, tmp_path / "runs"))


@pytest.mark.slow
def test_one_worker_gives_the_same_bits(finished: Path, tmp_path: Path) -> None:
    check_same_bits(finished, finish(tmp_path, "--max-concurrent", "1"))


def test_a_candidate_alone_equals_itself_in_the_tree(finished: Path, tmp_path: Path) -> None:
    only = ["--set", "orders.kind=explicit", "--set", "orders.explicit=[mini-topic>mini-nli]"]
    alone = rayless([*STUDY, *only], tmp_path / "runs")
    tree = scores(finished)
    own = scores(alone)
    shared = tree[tree.candidate.isin(own.candidate.unique())].reset_index(drop=True)
    assert len(own)
    pd.testing.assert_frame_equal(own, shared, check_exact=True)
    first, second = Store(str(finished.parent / "store")), Store(str(tmp_path / "runs" / "store"))
    trained = [key for key in sorted(second.keys()) if second.record(key)["stage"]["kind"] == "train"]
    assert len(trained) == 4
    for key in trained:
        assert first.blob(key, "weights.safetensors") == second.blob(key, "weights.safetensors")


def begun(cwd: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command("--max-concurrent", "2"), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def killed_runs(cwd: Path, kills: int, seed: int, longest: float) -> tuple[Path, int]:
    """Kill the driver at random moments, start again at once each time, then run to the end; kills that hit."""
    rng, hits = random.Random(seed), 0
    for _ in range(kills):
        process = begun(cwd)
        time.sleep(rng.uniform(2.0, longest))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            hits += 1
        process.wait()
    return finish(cwd, "--max-concurrent", "2"), hits


def check_after_kills(folder: Path, undisturbed: Path, hits: int) -> None:
    pd.testing.assert_frame_equal(scores(folder), scores(undisturbed), check_exact=True)
    assert (folder / "leaderboard.csv").read_bytes() == (undisturbed / "leaderboard.csv").read_bytes()
    store = Store(str(folder.parent / "store"))
    distinct = sum(store.record(key)["stage"]["kind"] == "train" for key in sorted(store.keys()))
    trainings = sum(about["kind"] == "train" for _, about in Attempts.all(store))
    assert distinct <= trainings <= distinct + 2 * hits


def test_killed_once_the_result_is_the_same(finished: Path, tmp_path: Path) -> None:
    """In the middle of it, and then run to the end by one worker."""
    process, store = begun(tmp_path), Store(str(tmp_path / "runs" / "store"))
    while len(store.keys()) < 6:
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    folder = finish(tmp_path, "--max-concurrent", "1")
    cost = manifest(folder)["cost"]
    assert 0 < cost["stages_executed"] <= cost["stages_distinct"] - 6
    check_after_kills(folder, finished, hits=1)


@pytest.mark.slow
def test_killed_ten_times_the_result_is_the_same(finished: Path, tmp_path: Path) -> None:
    folder, hits = killed_runs(tmp_path, kills=10, seed=11, longest=30.0)
    assert hits
    check_after_kills(folder, finished, hits)
