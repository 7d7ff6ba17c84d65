"""`ray job submit --working-dir .` to a head with a token: a study from the checkout to a leaderboard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from clusters import ROOT, cluster

RAY = str(Path(sys.executable).parent / "ray")

STUDY = [
    "--languages", "en,de", "--limit", "12", "--seeds", "1", "--targets", "mini-xnli",
    "--set", "intermediate=[mini-nli]", "--set", "train.steps=2", "--set", "train.target_steps=2",
    "--set", "train.batch_size=4",
]  # fmt: skip


@pytest.mark.slow
def test_a_submitted_job_makes_a_leaderboard_and_a_stranger_is_turned_away(tmp_path: Path):
    out = tmp_path / "shared" / "runs"
    job = [sys.executable, "search/run.py", *STUDY, "--out", str(out)]
    with cluster(nodes=0, head={"num_cpus": 1, "include_dashboard": True}) as head:
        submit = [RAY, "job", "submit", "--address", f"http://{head.dashboard}", "--working-dir", ".", "--", *job]
        stranger = {**head.env, "RAY_AUTH_TOKEN": "0" * 64}
        refused = subprocess.run(submit, cwd=ROOT, env=stranger, capture_output=True, text=True, timeout=300)
        assert refused.returncode
        assert "invalid" in (refused.stdout + refused.stderr).lower()
        done = subprocess.run(submit, cwd=ROOT, env=head.env, capture_output=True, text=True, timeout=600)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    assert "Task orders on mini" in said
    assert head.env["RAY_AUTH_TOKEN"] not in said
    (folder,) = out.glob("orders-*")
    board = pd.read_csv(folder / "leaderboard.csv")
    assert sorted(board["order"]) == ["mini-nli", "none"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["slots"]) == ("done", 1)
    assert head.env["RAY_AUTH_TOKEN"] not in (folder / "manifest.json").read_text()
