"""Studies on several nodes of one machine: the scores are those without Ray, also when a node is lost; folders of
their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from clusters import ROOT, Nodes, apart, can_mount, cluster
from rayless import rayless

from trainables.attempts import Attempts
from trainables.store import Store

STUDY = [
    "--languages", "en,de", "--limit", "24", "--seeds", "1", "--targets", "mini-xnli",
    "--set", "intermediate=[mini-nli,mini-topic]", "--set", "train.steps=20", "--set", "train.target_steps=20",
    "--set", "train.batch_size=8",
]  # fmt: skip
"""Five orders and one target: nine training stages and five scores."""

RESULT = ["candidate", "seed", "target", "language", "portion", "metric", "value", "n", "stderr"]


def start(cwd: Path, *more: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    words = [sys.executable, str(ROOT / "search" / "run.py"), *STUDY, *more]
    return subprocess.Popen(words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], cwd: Path) -> Path:
    """The run folder, once the run has ended well."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out[-3000:] + err[-3000:]
    return max((cwd / "runs").glob("orders-*"))


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "scores.parquet")[RESULT].reset_index(drop=True)


def attempts(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    return list(Attempts.all(Store(str(folder / "runs" / "store"), patience=0)))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study without Ray."""
    return rayless(STUDY, tmp_path_factory.mktemp("alone") / "runs")


@pytest.mark.slow  # the next one loses a node besides, and compares as much
def test_three_nodes_give_the_scores_of_one_process(alone: Path, tmp_path: Path):
    with cluster(nodes=3) as three:
        folder = finish(start(tmp_path, "--address", three.address, env=three.env), tmp_path)
    pd.testing.assert_frame_equal(scores(folder), scores(alone), check_exact=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["slots"] == 3
    assert manifest["cost"]["stages_executed"] == manifest["cost"]["stages_distinct"] == len(attempts(tmp_path))
    assert not (tmp_path / "runs" / "store" / "nodes").exists(), "marks were left in the store"
    text = "".join(path.read_text() for path in (folder / "manifest.json", folder / "config.yaml"))
    assert three.env["RAY_AUTH_TOKEN"] not in text


def test_a_node_lost_in_the_middle_costs_what_ran_there(alone: Path, tmp_path: Path):
    with cluster(nodes=2) as two:
        process = start(tmp_path, "--address", two.address, env=two.env)
        lost = remove_a_working_node(two, process, tmp_path)
        folder = finish(process, tmp_path)
    pd.testing.assert_frame_equal(scores(folder), scores(alone), check_exact=True)
    assert (folder / "leaderboard.csv").read_bytes() == (alone / "leaderboard.csv").read_bytes()
    found = attempts(tmp_path)
    again = {key for key, count in Counter(key for key, _ in found).items() if count > 1}
    there = {key for key, about in found if about["pid"] in lost and about.get("ended") != "stored"}
    assert again == there, "a stage was repeated that did not run on the lost node, or one that did was not"
    assert there, "nothing ran on the node that was lost"
    text = "".join(path.read_text() for path in (folder / "manifest.json", folder / "config.yaml"))
    assert two.env["RAY_AUTH_TOKEN"] not in text


def remove_a_working_node(nodes: Nodes, process: subprocess.Popen[str], folder: Path) -> set[int]:
    """Remove a node while a stage runs there, after some have ended; the processes of its workers."""
    while process.poll() is None:
        begun = attempts(folder) if (folder / "runs" / "store" / "attempts").is_dir() else []
        running = [about["pid"] for _, about in begun if "ended" not in about]
        if len(begun) - len(running) >= 2 and running:
            for number in (1, 2):
                if running[0] in nodes.workers(number):
                    return nodes.remove(number)
        time.sleep(0.05)
    raise AssertionError("the study ended before a node could be removed")


@pytest.mark.slow
def test_two_studies_at_once_on_two_nodes_end_both(alone: Path, tmp_path: Path):
    """Neither says how much it takes: the second has what the first leaves, at least one trial, if it has to wait."""
    folders = [tmp_path / "first", tmp_path / "second"]
    with cluster(nodes=2) as started:
        processes = []
        for folder in folders:
            folder.mkdir()
            processes.append(start(folder, "--address", started.address, env=started.env))
        found = [finish(process, folder) for process, folder in zip(processes, folders, strict=True)]
    for folder in found:
        pd.testing.assert_frame_equal(scores(folder), scores(alone), check_exact=True)


# --- a node that does not see what the driver sees --------------------------------------------------------------------

JOINED = """
import json, sys
from search.cluster import joined
from search.settings import Settings
from trainables.errors import Mistake

def seen(place):
    import os
    from pathlib import Path
    from trainables.shipped import here
    fields = here(json.loads(place))
    folder = Path(fields["data_dir"])
    return str(folder), {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.jsonl")}

address, store, place = sys.argv[1:]
try:
    with joined(Settings.model_validate({"address": address, "store": store}), place) as found:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
        task = ray.remote(num_cpus=0)(seen)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        told = ray.get([task.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(found.place)
                        for node in nodes])
        print(json.dumps({"seen": told, "slots": found.slots}))
except Mistake as mistake:
    print(json.dumps({"mistake": str(mistake)}))
"""


def join(nodes: Nodes, store: Path, place: dict[str, Any]) -> dict[str, Any]:
    """What nodes see of a workplace's data folder, or the Mistake."""
    words = [sys.executable, "-c", JOINED, nodes.address, str(store), json.dumps({"store": str(store), **place})]
    done = subprocess.run(words, cwd=ROOT, env=nodes.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a node with mounts of its own needs the right to mount")
def test_a_node_with_other_disks_gets_the_data_and_a_store_it_lacks_is_refused(tmp_path: Path):
    data, store, temporary = (tmp_path / name for name in ("data", "store", "node"))
    for folder in (data / "own", store, temporary):
        folder.mkdir(parents=True)
    (data / "own" / "train.jsonl").write_text('{"text": "one"}\n')
    (data / "much-else.bin").write_bytes(b"0" * 10_000)
    task = {"name": "own", "kind": "classification", "labels": ["a", "b"], "source": {"folder": {"train": "own/train"}}}
    place = {"model": str(ROOT / "trainables" / "micro"), "tasks": {"own": task}, "data_dir": str(data)}
    with cluster(nodes=1) as started:
        far = {"env_vars": {"TMPDIR": str(temporary)}}
        with apart(started, data, **far):
            told = join(started, store, place)
            folders = dict(told["seen"])
            assert told["slots"] == 2
            assert set(folders) == {
                str(data),
                *(str(path) for path in temporary.glob("order-search-shipped-*/*") if path.is_dir()),
            }
            assert [*folders.values()] == [{"own/train.jsonl": '{"text": "one"}\n'}] * 2
            (archive,) = (store / "shipped").iterdir()
            with tarfile.open(archive) as packed:
                assert packed.getnames() == ["own/train.jsonl"], "more was sent than the task names"
        with apart(started, store, **far):
            mistake = join(started, store, place)["mistake"]
    assert "the store is not the same on every node: node " in mistake
    assert f"({os.uname().nodename}) has another folder there" in mistake
    assert f"where: --store {store}" in mistake
    assert "right: a folder that every node mounts at this path" in mistake
