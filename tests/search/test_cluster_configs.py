"""The files of configs/clusters: Ray's own checks of its launcher, field names of KubeRay, and the Slurm script run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from clusters import ROOT

from search.cli import run_parser

FOLDER = ROOT / "configs" / "clusters"

LAUNCHER = ["aws", "gcp", "on-premises"]

PLACEHOLDERS = {"HEAD", "WORKER-1", "WORKER-2", "USER", "BUCKET", "PROFILE", "PROJECT", "FILESTORE", "IMAGE", "SHARED"}

KUBERAY = {  # spec fields of the RayJob CRD (ray.io/v1) that the file uses or might
    "": {"entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
         "submitterPodTemplate", "rayClusterSpec", "runtimeEnvYAML", "activeDeadlineSeconds", "suspend"},
    "rayClusterSpec": {"rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
                       "workerGroupSpecs"},
    "group": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "serviceType"},
    "autoscalerOptions": {"idleTimeoutSeconds", "upscalingMode", "env", "resources", "image"},
}  # fmt: skip


def test_no_file_is_forgotten():
    assert {path.name for path in FOLDER.iterdir()} == {
        *(f"{name}.yaml" for name in LAUNCHER),
        "kuberay.yaml",
        "slurm.sh",
    }


@pytest.mark.parametrize("name", LAUNCHER)
def test_rays_launcher_takes_the_file(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
    validate_config(config)
    assert config["available_node_types"][config["head_node_type"]]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert any("RAY_AUTH_MODE=token ray start" in command for command in commands)
        for command in commands:
            subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("name", LAUNCHER)
def test_flags_of_ray_start_exist(name):
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    text = (FOLDER / f"{name}.yaml").read_text().split("head_start_ray_commands:")[1]
    assert set(re.findall(r"(--[a-z-]+)", text)) <= known


def test_kuberays_job_has_the_fields_of_its_definition():
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec.keys() <= KUBERAY[""]
    assert cluster.keys() <= KUBERAY["rayClusterSpec"]
    assert cluster["autoscalerOptions"].keys() <= KUBERAY["autoscalerOptions"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [spec["submitterPodTemplate"], *(group["template"] for group in groups)]
    for group in groups:
        assert group.keys() <= KUBERAY["group"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "they are texts there"
    for pod in pods:
        env = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        assert "value" not in env["RAY_AUTH_TOKEN"], "the token is a secret"
    import ray

    assert cluster["rayVersion"] == ray.__version__


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_file_says_how_it_is_launched_and_names_nobody(path):
    text = path.read_text()
    head = text.split("\n\n")[0] if path.suffix == ".sh" else text
    assert "search/run.py" in head or "sbatch" in head
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b(?<!127\.0\.0\.1)", text), "an address of a machine"
    assert set(re.findall(r"(?<![\w$-])[A-Z]{4,}(?:-\d)?(?![\w-])", text)) & PLACEHOLDERS or path.suffix == ".sh"
    assert not re.search(r"(?i)(secret_?access|AKIA|hf_[a-z0-9]{8}|[0-9a-f]{32})", text)
    known = {option for action in run_parser()._actions for option in action.option_strings}
    for command in re.findall(r"search/run\.py((?:[^\n\\]|\\\n|\n    --)*)", text.replace("\n#", "\n ")):
        given = set(re.findall(r"(--[a-z-]+)", command)) - {"--min-nodes", "--kill-on-bad-exit"}
        assert given <= known, given - known


# --- Slurm ------------------------------------------------------------------------------------------------------------

SCONTROL = "#!/bin/sh\necho 127.0.0.1\n"

SRUN = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'


FAKE_RAY = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'


def test_the_slurm_script_is_bash():
    subprocess.run(["bash", "-n", FOLDER / "slurm.sh"], check=True)


OWN_PROCESSES = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Gives a process sight of its own alone: symmetric-run starts only where it sees no Ray, and ends all it sees."""


def slurm(tmp_path: Path, search: str, fake: bool = True) -> subprocess.Popen[str]:
    """The script as one node of Slurm would run it, with this text as the search; Slurm's commands are stood in for."""
    bin_, checkout = tmp_path / "bin", tmp_path / "checkout"
    (checkout / "search").mkdir(parents=True)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / "search" / "run.py").write_text(search)
    path = f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    (checkout / ".venv" / "bin" / "activate").write_text(f"export PATH={path}\n")
    bin_.mkdir()
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN), *([("ray", FAKE_RAY)] if fake else [])):
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env["RAY_raylet_start_wait_time_s"] = "120"
    about = {"SLURM_SUBMIT_DIR": str(checkout), "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_ID": str(os.getpid()),
             "SLURM_NNODES": "1", "SLURM_CPUS_PER_TASK": "1"}  # fmt: skip
    words = [*([] if fake else OWN_PROCESSES), "bash", str(FOLDER / "slurm.sh"), "--space", "orders"]
    return subprocess.Popen(words, env={**env, **about}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(("ends", "code"), [("", 0), ("raise SystemExit(1)", 1)])
def test_the_slurm_script_hands_flags_on_and_ends_as_the_search_ends(tmp_path, ends, code):
    process = slurm(tmp_path, f"import os, sys\nprint(sys.argv[1:], len(os.environ['RAY_AUTH_TOKEN']))\n{ends}\n")
    out, _ = process.communicate(timeout=60)
    assert "['--address', 'auto', '--out', 'runs', '--space', 'orders'] 64" in out
    assert process.returncode == code


def test_the_slurm_script_lets_the_search_end_at_a_term(tmp_path):
    search = """
import signal, sys, time
def stop(*_):
    print("writing reports", flush=True); time.sleep(0.5); print("written", flush=True); sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
time.sleep(60)
"""
    process = slurm(tmp_path, search)
    assert process.stdout is not None
    assert any("begun" in line for line in process.stdout)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert "written" in out
    assert process.returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(
    subprocess.run([*OWN_PROCESSES, "true"], capture_output=True).returncode != 0,
    reason="symmetric-run ends every Ray of a machine: this needs the right to a process namespace",
)
def test_the_slurm_script_on_one_node_with_rays_own_symmetric_run(tmp_path):
    search = "import ray\nray.init('auto')\nprint('nodes', len(ray.nodes()), ray.cluster_resources()['CPU'])"
    process = slurm(tmp_path, search, fake=False)
    out, _ = process.communicate(timeout=300)
    assert "nodes 1 1.0" in out, out
    assert process.returncode == 0
