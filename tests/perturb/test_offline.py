"""TextAttack is imported late, offline, and leaves the process as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALONE = """
import os, socket, sys

def refuse(*_, **__):
    raise AssertionError("the network was touched")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
before = dict(os.environ)
from perturb.offline import imported, textattack
assert not imported() and "torch" not in sys.modules and "nltk" not in sys.modules
module = textattack()
assert imported() and module is textattack() and module.__name__ == "textattack"
moved = {k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}
assert not moved & {"HF_HOME", "XDG_CACHE_HOME", "TA_CACHE_DIR", "MPLCONFIGDIR", "TOKENIZERS_PARALLELISM"}, moved
import huggingface_hub.constants
assert huggingface_hub.constants.HF_HOME == os.environ["EXPECTED"], huggingface_hub.constants.HF_HOME
words = module.constraints.pre_transformation.StopwordModification().stopwords
sys.stdout.write(" ".join(sorted(words)))
"""


def alone(home: Path, scratch: Path, **environment: str) -> subprocess.Popen[str]:
    """A process of its own, with an empty home folder and a fresh folder for temporary files."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH")}
    base = {"HOME": str(home), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    expected = environment.get("HF_HOME", str(home / ".cache" / "huggingface"))
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", ALONE],
        env={**kept, **base, "EXPECTED": expected, **environment}, cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> tuple[Path, list[tuple[int, str, str]]]:
    """Two processes that import it at the same moment; the second has stopwords and a cache of its own."""
    home, scratch, own = (tmp_path_factory.mktemp(name) for name in ("home", "scratch", "own"))
    (own / "corpora" / "stopwords").mkdir(parents=True)
    (own / "corpora" / "stopwords" / "english").write_text("zebra\n")
    running = [alone(home, scratch), alone(home, scratch, NLTK_DATA=str(own), HF_HOME=str(own / "hf"))]
    told = [process.communicate() for process in running]
    return home, [(process.returncode, *said) for process, said in zip(running, told, strict=True)]


def test_two_processes_import_it_at_once_without_a_network(twice):
    _, ran = twice
    assert [code for code, *_ in ran] == [0, 0], ran


def test_nothing_is_said_and_nothing_written_at_home(twice):
    home, ran = twice
    assert [err for *_, err in ran] == ["", ""]
    assert list(home.rglob("*")) == []


def test_stopwords_are_ours_unless_the_user_has_some(twice):
    _, ((_, ours, _), (_, theirs, _)) = twice
    assert {"the", "not", "don't"} <= set(ours.split()) and "zebra" not in ours
    assert theirs == "zebra"


def test_a_folder_of_another_user_is_not_trusted(tmp_path, monkeypatch):
    from perturb import offline

    monkeypatch.setattr(offline.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(offline.tempfile, "tempdir", str(tmp_path))
    ours = offline._folder()
    assert ours == offline._folder() and ours.stat().st_mode & 0o077 == 0
    ours.rmdir()
    (tmp_path / "elsewhere").mkdir()
    ours.symlink_to(tmp_path / "elsewhere")
    assert offline._folder() != ours
