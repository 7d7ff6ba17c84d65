"""Ray clusters of several nodes on this machine, for tests: nodes come and go, with a token or without.

A cluster is kept by a process of its own, which ends with the test that started it: Ray reads its settings once a
process, and tests of one process want clusters of several kinds.

    with cluster(nodes=3) as started:
        subprocess.run([*command, "--address", started.address], env=started.env)
        started.remove(2)
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

SEPARATE = ("unshare", "--mount", "--propagation", "private")
"""What gives a process mounts of its own."""


class Nodes:
    """A started cluster: its address, what a driver's environment must have, and its nodes, the head first."""

    def __init__(self, process: subprocess.Popen[str], env: dict[str, str]) -> None:
        self._process, self.env = process, env
        told = self._answer()
        self.address, self.dashboard = str(told["address"]), str(told["dashboard"])

    def add(self, **node: Any) -> int:
        """One node more (`num_cpus`, `resources`, `env_vars`, …); its number."""
        return int(self._ask("add", **node)["number"])

    def remove(self, number: int, graceful: bool = False) -> set[int]:
        """End a node and all that runs on it, by SIGKILL unless `graceful`; the processes of its workers."""
        return set(self._ask("remove", number=number, graceful=graceful)["pids"])

    def workers(self, number: int) -> set[int]:
        """The processes of a node's workers."""
        return set(self._ask("workers", number=number)["pids"])

    def _ask(self, act: str, **about: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"act": act, **about}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("> "):
                return dict(json.loads(line[2:]))
        raise AssertionError("the cluster's process has ended")


@contextmanager
def cluster(
    nodes: int | Sequence[Mapping[str, Any]] = 3, token: str | None = "", head: Mapping[str, Any] | None = None
) -> Iterator[Nodes]:
    """A cluster of so many nodes, of one CPU each, or of nodes as they are described; a head without CPUs besides.

    `token` is the cluster's; without one given it is drawn, and with None the cluster lets everybody in. `head` says
    how the head is started (`{"num_cpus": 1, "include_dashboard": True}`).
    """
    env = environment(secrets.token_hex(32) if token == "" else token)
    described = [{}] * nodes if isinstance(nodes, int) else list(nodes)
    about = {"head": {"num_cpus": 0, **(head or {})}, "nodes": [{"num_cpus": 1, **node} for node in described]}
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(about)], env=env, cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield Nodes(process, env)
    finally:
        _end(process)


@contextmanager
def apart(started: Nodes, hidden: Path, **node: Any) -> Iterator[None]:
    """A node more that does not see a folder: there it has an empty one of its own, by a mount that only it has.

    Needs the right to mount (root, or user namespaces): `can_mount` says whether there is.
    """
    inner = f"mount -t tmpfs none {hidden} && exec {sys.executable} {__file__} join"
    about = json.dumps({"address": started.address, "node": {"num_cpus": 1, **node}})
    process = subprocess.Popen(
        [*SEPARATE, "sh", "-c", f'{inner} "$0"', about], env=started.env, cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert any(line.startswith("> ") for line in process.stdout), "the node did not start"
        yield
    finally:
        _end(process)


def can_mount() -> bool:
    """Whether this process may have mounts of its own."""
    done = subprocess.run([*SEPARATE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return done.returncode == 0


def environment(token: str | None) -> dict[str, str]:
    """This process's environment for a cluster with this token, or with none."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_A")}
    auth = {"RAY_AUTH_MODE": "disabled"} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return {**env, **auth}


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()  # it ends its nodes and then itself
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tell(**about: Any) -> None:
    sys.stdout.write("> " + json.dumps(about) + "\n")
    sys.stdout.flush()


def _keep(about: Mapping[str, Any]) -> None:
    """Start a cluster and do what is asked, a line of JSON each, until the input ends."""
    from ray.cluster_utils import Cluster

    head = {"include_dashboard": False, "dashboard_port": 0, "dashboard_agent_listen_port": _free(), **about["head"]}
    kept = Cluster(initialize_head=True, head_node_args=head)
    nodes = [kept.head_node]
    try:
        nodes += [kept.add_node(**node) for node in about["nodes"]]
        _tell(address=kept.address, dashboard=kept.head_node.webui_url or "")
        for line in sys.stdin:
            asked = json.loads(line)
            act, pids = asked.pop("act"), []
            if act == "add":
                nodes.append(kept.add_node(**asked))
            else:
                pids = _workers(nodes[asked["number"]])
            if act == "remove":
                kept.remove_node(nodes[asked["number"]], allow_graceful=asked["graceful"])
            _tell(number=len(nodes) - 1, pids=pids)
    finally:
        kept.shutdown()


def _free() -> int:
    """A port that nobody has: Ray's own choice is the same for every cluster of a machine."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _workers(node: Any) -> list[int]:
    import psutil

    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child.pid for child in raylet.children() if child.name().startswith("ray::")]


def _join(about: Mapping[str, Any]) -> None:
    """Start one node of a cluster that others keep, until the input ends."""
    import ray._private.node
    import ray._private.parameter
    import ray._private.services

    params = ray._private.parameter.RayParams(gcs_address=about["address"], include_log_monitor=False, **about["node"])
    params.update_if_absent(
        num_gpus=0, object_store_memory=150 * 2**20, min_worker_port=0, max_worker_port=0, node_manager_port=0
    )
    params.dashboard_agent_listen_port = None
    node = ray._private.node.Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True)
    try:
        ray._private.services.wait_for_node(node.gcs_address, node.plasma_store_socket_name, 30)
        _tell(number=0)
        sys.stdin.read()
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


if __name__ == "__main__":
    if sys.argv[1] == "join":
        _join(json.loads(sys.argv[2]))
    else:
        _keep(json.loads(sys.argv[1]))
