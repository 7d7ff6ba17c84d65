"""Whole runs whose stages fail, hang and lose their workers: the results are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from rayless import rayless

from benchmarks.faults import put
from trainables.attempts import Attempts
from trainables.store import Store

ROOT = Path(__file__).resolve().parents[2]

STUDY = [
    "--languages", "en,de", "--limit", "16", "--seeds", "1", "--max-concurrent", "2",
    "--set", "intermediate=[mini-nli,mini-topic]", "--set", "targets=[mini-xnli,mini-tatoeba]",
    "--set", "train.steps=3", "--set", "train.target_steps=3", "--set", "train.batch_size=8",
]  # fmt: skip
"""Five orders and two targets."""

STAGES = 17

RESULT = ["candidate", "seed", "target", "language", "portion", "metric", "value", "n", "stderr"]


def begun(cwd: Path, *more: str) -> subprocess.Popen:
    (cwd / "faults").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.faults", str(cwd / "faults"), *STUDY, *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen, seconds: float = 400) -> str:
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        raise AssertionError(out[-4000:]) from None
    return out


def folder(cwd: Path) -> Path:
    return max((cwd / "runs").glob("orders-*"), key=lambda path: (path.stat().st_mtime, path.name))


def scores(cwd: Path) -> pd.DataFrame:
    return pd.read_parquet(folder(cwd) / "scores.parquet")[RESULT].reset_index(drop=True)


def manifest(cwd: Path) -> dict:
    return json.loads((folder(cwd) / "manifest.json").read_text())


def reached(cwd: Path, stages: int, process: subprocess.Popen, store: Store | None = None) -> None:
    """Wait until so many stages are in the store."""
    store = store or Store(str(cwd / "runs" / "store"))
    while len(store.keys()) < stages:
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Where the study was run without Ray, so that nothing could disturb it."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    rayless(STUDY, cwd / "runs")
    return cwd


FAULTS = [("error", "train"), ("memory", "score"), ("lock", "score"), ("kill", None)]
HANG = ("hang", "train")


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(FAULTS, id="all-but-a-hang"),  # a lock that is held hangs as well, and worse
        pytest.param([*FAULTS, HANG], marks=pytest.mark.slow, id="all"),
    ],
)
def test_faults_of_stages_and_workers_change_no_score(undisturbed, tmp_path, faults):
    (tmp_path / "faults").mkdir()
    for number, (fault, kind) in enumerate(faults):
        put(tmp_path / "faults", number, fault, kind)
    process = begun(tmp_path, "--stall-timeout", "12")
    out = ended(process)
    assert process.returncode == 0, out[-3000:]
    assert len(list((tmp_path / "faults").glob("*.taken"))) == len(faults)
    pd.testing.assert_frame_equal(scores(tmp_path), scores(undisturbed), check_exact=True)
    told = manifest(tmp_path)
    assert told["cost"]["failures"] == len(faults), out
    failures = json.loads((folder(tmp_path) / "failures.json").read_text())
    reasons = " ".join(attempt["reason"] for one in failures for attempt in one["attempts"])
    assert "an injected fault" in reasons
    assert HANG not in faults or "no batch for" in reasons
    assert "out of memory" in reasons
    assert not any(one["given_up"] for one in failures)
    splits = pd.read_parquet(folder(tmp_path) / "stages.parquet").split.value_counts()
    assert splits[2] == 1, "the stage that lacked memory was tried with half the batch"
    tried = Counter(key for key, _ in Attempts.all(Store(str(tmp_path / "runs" / "store"))))
    least = told["cost"]["stages_distinct"] + len(faults)
    # A worker that is killed, or whose lock is held, may have been storing a stage besides.
    assert least <= sum(tried.values()) <= least + 2


@pytest.mark.slow
def test_a_loss_that_is_no_number_fails_its_candidates_alone(undisturbed, tmp_path):
    (tmp_path / "faults").mkdir()
    put(tmp_path / "faults", 0, "nan", "train")
    process = begun(tmp_path)
    out = ended(process)
    assert process.returncode == 1, out[-3000:]
    told = manifest(tmp_path)
    assert told["status"] == "done"
    assert len(told["quarantined"]) == 1
    assert all("nan" in reason for reason in told["failed"].values())
    assert 0 < len(told["failed"]) < 5
    assert all(name in out for name in told["failed"])
    whole = scores(undisturbed)
    pd.testing.assert_frame_equal(
        scores(tmp_path), whole[whole.candidate.isin(scores(tmp_path).candidate)].reset_index(drop=True),
        check_exact=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param("SIGINT", marks=pytest.mark.slow), "SIGTERM"])
def test_a_signal_to_the_process_group_ends_the_run_in_good_order(undisturbed, tmp_path, name):
    process = begun(tmp_path, "--grace", "120")
    reached(tmp_path, 3, process)
    os.killpg(process.pid, getattr(signal, name))
    out = ended(process)
    assert process.returncode == 1, out[-3000:]
    told = manifest(tmp_path)
    assert told["status"] == "stopped"
    assert told["stopped"] == f"stopped by {name}"
    store = Store(str(tmp_path / "runs" / "store"))
    tried = list(Attempts.all(store))
    assert len(tried) == len(store.keys()) < STAGES, "a stage that was under way was cut short"
    assert {about["ended"] for _, about in tried} == {"stored"}
    assert (folder(tmp_path) / "report.html").exists()
    assert told["cost"]["failures"] == 0
    rayless(STUDY, tmp_path / "runs")  # goes on with what is stored; on Ray it is what test_run has after a kill
    pd.testing.assert_frame_equal(scores(tmp_path), scores(undisturbed), check_exact=True)
    assert len(list(Attempts.all(store))) == STAGES, "something was trained twice"


@pytest.mark.slow
def test_the_second_signal_ends_it_at_once(tmp_path):
    (tmp_path / "faults").mkdir()
    put(tmp_path / "faults", 0, "hang", None)
    process = begun(tmp_path)
    reached(tmp_path, 2, process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None, "it did not wait for the stage under way"
    os.killpg(process.pid, signal.SIGINT)
    out = ended(process, 30)
    assert process.returncode == 1, out[-3000:]
    assert manifest(tmp_path)["status"] == "stopped"


@pytest.mark.slow
def test_a_study_of_ten_times_the_stores_budget_has_the_same_leaderboard(undisturbed, tmp_path):
    sizes = Store(str(undisturbed / "runs" / "store")).sizes()
    budget = sum(sizes.values()) // 10
    process = begun(tmp_path, "--store-budget", str(budget))
    out = ended(process)
    assert process.returncode == 0, out[-3000:]
    assert "removed to stay within the store's budget" in out
    assert (folder(tmp_path) / "leaderboard.csv").read_bytes() == (folder(undisturbed) / "leaderboard.csv").read_bytes()
    pd.testing.assert_frame_equal(scores(tmp_path), scores(undisturbed), check_exact=True)
    left = Store(str(tmp_path / "runs" / "store")).sizes()
    assert sum(left.values()) <= budget + max(sizes.values())
