"""How many trials fit on a cluster, which mistakes are told in words, and who can reach a Ray of one machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clusters import ROOT, cluster, environment

from search.address import address_of, refused, resolved
from search.autoscaling import addable
from search.cluster import _check_out
from search.settings import Settings
from search.slots import asked, check_asked, fit, slots
from trainables.errors import Mistake

CPU2, CPU1, GPUS = {"CPU": 2.0}, {"CPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}


def settings(**given: object) -> Settings:
    return Settings.model_validate(given)


# --- what fits --------------------------------------------------------------------------------------------------------


def test_trials_are_counted_node_by_node():
    nodes = [{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 3.0}]
    assert slots(settings(address="auto"), nodes, nodes) == 5
    assert slots(settings(address="auto", cpus_per_trial=2), nodes, nodes) == 1
    with pytest.raises(Mistake, match="asks for 2 CPUs, but no node has all of that"):
        slots(settings(address="auto", cpus_per_trial=2), nodes[:2], nodes[:2])


@pytest.mark.parametrize(
    ("gpus", "have", "count"),
    [
        (0.25, 1.0, 4),
        (0.1, 1.0, 10),
        (0.6, 2.0, 2),
        (0.5, 2.0, 4),
        (1, 2.0, 2),
        (2, 3.0, 1),
        (0.5, 1.5, 3),
        (2, 1.0, 0),
    ],
)
def test_a_part_of_a_gpu_lies_on_one_gpu(gpus, have, count):
    assert fit(asked(settings(gpus_per_trial=gpus)), {"CPU": 64.0, "GPU": have}) == count


def test_custom_resources_choose_nodes():
    some = settings(address="auto", resources_per_trial={"big": 1})
    nodes = [CPU2, {"CPU": 8.0, "big": 3.0}]
    assert slots(some, nodes, nodes) == 3


def test_an_unknown_resource_is_told_with_the_nearest():
    nodes = [{"CPU": 8.0, "high_memory": 1.0, "node:10.0.0.1": 1.0, "memory": 1e9}]
    with pytest.raises(Mistake) as told:
        slots(settings(address="auto", resources_per_trial={"high_memroy": 1}), nodes, nodes)
    assert "no node has the custom resource 'high_memroy'" in str(told.value)
    assert "did you mean 'high_memory'? Known: high_memory" in str(told.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gpus_per_trial": 1.5}, "only a part of one GPU can be shared"),
        ({"resources_per_trial": {"GPU": 1}}, "'GPU' is no custom resource"),
        ({"resources_per_trial": {"memory": 1}}, "'memory' is no custom resource"),
    ],
)
def test_amounts_that_ray_does_not_know_are_mistakes(given, words):
    with pytest.raises(Mistake, match=words):
        check_asked(settings(**given))


def test_what_others_hold_is_not_waited_for():
    nodes, free = [CPU2, CPU2], [CPU1, {}]
    assert slots(settings(address="auto"), nodes, free) == 1
    assert slots(settings(address="auto"), nodes, [{}, {}]) == 1, "a full cluster is waited for with one trial"
    assert slots(settings(address="auto", max_concurrent=3), nodes, free) == 3
    assert slots(settings(address="auto", max_concurrent=9), nodes, free) == 4


def test_an_autoscaler_may_be_asked_for_more():
    head = [{"CPU": 0.0}]
    assert slots(settings(address="auto", max_concurrent=6), head, head, more=10) == 6
    assert slots(settings(address="auto"), head, head, more=10) == 1
    with pytest.raises(Mistake, match="no node has all of that"):
        slots(settings(address="auto"), head, head)


BOOTSTRAP = """
max_workers: 5
head_node_type: head
available_node_types:
  head: {resources: {CPU: 64}, node_config: {}}
  small: {resources: {CPU: 2}, max_workers: 4, node_config: {}}
  large: {resources: {CPU: 8, GPU: 1}, max_workers: 2, node_config: {}}
"""


def test_what_may_be_started_is_read_from_the_launchers_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_USAGE_STATS_KUBERAY_IN_USE", raising=False)
    assert addable(settings()) == 0
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(BOOTSTRAP)
    assert addable(settings(gpus_per_trial=0.5)) == 4
    assert addable(settings(cpus_per_trial=2)) == 2 * 4 + 3 * 1, "of five nodes in all"
    assert addable(settings(cpus_per_trial=64)) == 0
    path.write_text("available_node_types: 3")
    assert addable(settings()) == 0
    monkeypatch.setenv("RAY_USAGE_STATS_KUBERAY_IN_USE", "1")
    assert (addable(settings(max_concurrent=7)), addable(settings())) == (7, 0)


# --- which cluster ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://head:10001", "ray:// is Ray Client, through which a study cannot run"),
        ("http://head:8265", "this is not the address of a Ray cluster"),
        ("head", "this is not the address of a Ray cluster"),
        ("head:port", "this is not the address of a Ray cluster"),
        ("127.0.0.1:1", "nothing answers there"),
    ],
)
def test_an_address_that_cannot_be_is_told_at_once(address, words):
    with pytest.raises(Mistake, match=words):
        resolved(address)


def test_what_is_not_rays_head_is_told(monkeypatch):
    monkeypatch.setattr("search.address.SECONDS", 1.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with pytest.raises(Mistake, match="what answers there is not Ray's head"):
            resolved(f"127.0.0.1:{listening.getsockname()[1]}")


def test_in_a_submitted_job_the_jobs_cluster_is_meant(monkeypatch):
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert address_of(None) is None
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert (address_of(None), address_of("10.0.0.1:6379")) == ("auto", "10.0.0.1:6379")


def test_results_in_the_folder_of_a_job_are_refused(tmp_path):
    folder = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0"
    with pytest.raises(Mistake, match="Ray removes the working directory of a job"):
        _check_out(settings(out=str(folder / "runs")))
    with pytest.raises(Mistake, match="--store"):
        _check_out(settings(out=str(tmp_path), store=str(folder / "store")))
    _check_out(settings(out=str(tmp_path), store="s3://bucket/runtime_resources"))


def test_other_versions_of_ray_or_python_are_told_in_words():
    from ray._private.utils import check_version_info

    with pytest.raises(RuntimeError) as raised:
        check_version_info({"ray_version": "2.9.0", "python_version": "3.9.1"}, "node 10.0.0.1")
    told = str(refused(raised.value, "auto"))
    assert "this process and the cluster differ: the cluster was started with: Ray: 2.9.0 Python: 3.9.1" in told
    assert "right: the same versions of Ray and Python" in told


CONNECT = """
import sys
from search.address import resolved
from trainables.errors import Mistake
try:
    print(resolved(sys.argv[1]))
except Mistake as mistake:
    print(mistake.what)
"""


def test_only_who_has_the_token_is_let_in(tmp_path):
    with cluster(nodes=0) as started:
        home = tmp_path / ".ray"
        home.mkdir()
        (home / "auth_token").write_text(started.env["RAY_AUTH_TOKEN"])
        none = {name: value for name, value in environment(None).items() if name != "RAY_AUTH_MODE"}
        envs = {
            started.address: started.env,
            "the cluster does not take this token": environment("0" * 64),
            "the cluster wants a token, and there is none": {**none, "HOME": str(tmp_path / "nobody")},
            "RAY_AUTH_MODE=token is set, but there is no token": {
                **none, "HOME": str(tmp_path / "nobody"), "RAY_AUTH_MODE": "token",
            },
        }  # fmt: skip

        def connect(env: dict[str, str]) -> str:
            words = [sys.executable, "-c", CONNECT, started.address]
            done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
            return done.stdout.strip() or done.stderr

        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(connect, [*envs.values(), {**none, "HOME": str(tmp_path)}]))
        assert told == [*envs, started.address], "a token in the home folder is used without RAY_AUTH_MODE, too"


# --- a Ray of this machine alone --------------------------------------------------------------------------------------

ALONE = """
import json, os, sys
import psutil
from search.cluster import joined
from search.settings import Settings

with joined(Settings.model_validate({"max_concurrent": 1, "dashboard": True}), json.dumps({"model": "."})) as found:
    import ray
    ray.get(ray.remote(lambda: None).remote())
    me = psutil.Process()
    ours = [me, *me.children(recursive=True)]
    listening = []
    for process in ours:
        try:
            name, connections = process.name(), process.net_connections("tcp")
        except psutil.NoSuchProcess:  # a worker that was started ahead, and is not needed, ends
            continue
        listening += [(name, one.laddr.ip) for one in connections if one.status == psutil.CONN_LISTEN]
    print(json.dumps({"listening": listening, "dashboard": found.dashboard, "slots": found.slots}))
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    """What a Ray of one machine, with its dashboard, listens on; and the home folder of its user."""
    home = tmp_path_factory.mktemp("home")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_A")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        env={**env, "HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads(done.stdout.splitlines()[-1]), "home": home}


def test_nothing_of_it_listens_beyond_the_machine(alone):
    loopback = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert {ip for _, ip in alone["listening"]} <= loopback
    assert len(alone["listening"]) > 8, "Ray's processes were not found"
    assert alone["dashboard"].startswith("http://127.0.0.1:")
    assert alone["slots"] == 1


def test_its_token_is_the_users_alone(alone):
    path: Path = alone["home"] / ".ray" / "auth_token"
    assert len(path.read_text()) >= 32
    assert path.stat().st_mode & 0o077 == 0


def test_a_token_is_made_once(tmp_path, monkeypatch):
    from search.address import own_token

    path = tmp_path / "deep" / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    threads = [threading.Thread(target=own_token) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = path.read_text()
    own_token()
    assert path.read_text() == token
    assert [entry.name for entry in path.parent.iterdir()] == ["token"]
