"""Folders that a node does not see: packed once, unpacked once a node, and refused where anything is not as it was."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from clusters import ROOT

from search.nodes import check_code, check_store, look, versions
from search.shipping import code, data_entries, folders_of, marked, prepared, ship
from trainables import shipped
from trainables.errors import Mistake
from trainables.shipped import Apart, Parcel, here, listing, own_folder
from trainables.store_medium import Medium


@pytest.fixture
def node(tmp_path, monkeypatch) -> Path:
    """The temporary folder of a node of its own."""
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    """A data folder."""
    folder = tmp_path / "data"
    for name in ("pairs/train.jsonl", "pairs/test.jsonl", "other/train.jsonl", "tatoeba/de.jsonl", "bli_de/x.jsonl"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * 500)
    return folder


@pytest.fixture
def store(tmp_path) -> Medium:
    """A store in which the driver's mark lies."""
    medium = Medium(str(tmp_path / "store"), 0)
    medium.write("nodes/mark", b"driver")
    return medium


def place(store: Medium, path: Path, parcel: Parcel, **more: object) -> dict:
    """A workplace whose data folder has been shipped, as a worker reads it."""
    about = {"mark": "mark", "root": "/driver/code", "folders": {str(path): asdict(parcel)}}
    fields = {"store": store.root, "data_dir": str(path), "model": "/driver/code/trainables/micro", "shipped": about}
    return json.loads(json.dumps({**fields, **more}))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parcel_of(folder: Path, *entries: str) -> Parcel:
    return Parcel(entries, listing(folder, entries))


def test_a_folder_that_a_node_lacks_is_unpacked_there(node, data, store):
    parcel = ship(store, str(data), parcel_of(data, "other", "pairs"))
    before = {name: own for name, own in contents(data).items() if name.startswith(("other", "pairs"))}
    away = data.rename(data.with_name("elsewhere"))
    fields = here(place(store, data, parcel))
    assert contents(Path(fields["data_dir"])) == before
    assert Path(fields["data_dir"]).is_relative_to(node)
    assert "shipped" not in fields
    assert away.is_dir()


def test_a_folder_that_a_node_sees_is_used_as_it_is(node, data, store):
    parcel = ship(store, str(data), parcel_of(data, "pairs"))
    assert here(place(store, data, parcel))["data_dir"] == str(data)
    assert not any(node.iterdir())


@pytest.mark.parametrize("change", ["longer", "older", "missing"])
def test_another_folder_of_the_same_path_is_not_taken_for_it(node, data, store, change):
    parcel = ship(store, str(data), parcel_of(data, "pairs"))
    file = data / "pairs" / "train.jsonl"
    if change == "longer":
        about = file.stat()
        file.write_text(file.read_text() + "more")
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    elif change == "older":
        os.utime(file, (1e9, 1e9))
    else:
        file.unlink()
    assert here(place(store, data, parcel))["data_dir"] != str(data)


def test_the_code_and_what_comes_with_it_is_the_nodes_own(node, data, store):
    fields = here(place(store, data, ship(store, str(data), parcel_of(data, "pairs"))))
    assert fields["model"] == str(ROOT / "trainables" / "micro")
    assert Path(fields["model"], "config.json").is_file()


def test_folders_of_suites_and_language_adapters_go_too(node, data, store):
    parcel = ship(store, str(data), parcel_of(data, "bli_de"))
    away = data.rename(data.with_name("elsewhere"))
    suites = {"own": {"name": "own", "lexicons": str(data), "edits": ["code-mixing"]}}
    fields = here(place(store, data, parcel, suites=suites, language_adapters=str(data)))
    assert fields["suites"]["own"]["lexicons"] == fields["language_adapters"] == fields["data_dir"] != str(away)
    assert fields["suites"]["own"]["edits"] == ["code-mixing"]


def test_equal_folders_are_packed_once_whoever_owns_them(data, store, tmp_path):
    copy = tmp_path / "copy"
    (copy / "pairs").mkdir(parents=True)
    for name in ("train.jsonl", "test.jsonl"):
        (copy / "pairs" / name).write_bytes((data / "pairs" / name).read_bytes())
        (copy / "pairs" / name).chmod(0o644)
    first = ship(store, str(data), parcel_of(data, "pairs"))
    blobs = store.files("shipped")
    second = ship(store, str(copy), parcel_of(copy, "pairs"))
    assert first.sha256 == second.sha256
    assert store.files("shipped") == blobs
    (name,) = blobs
    content = store.read_all(name)
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (first.sha256, first.bytes)


def test_processes_of_a_node_unpack_a_folder_once(node, data, store):
    parcel = ship(store, str(data), parcel_of(data, "pairs"))
    fields = place(store, data, parcel)
    data.rename(data.with_name("elsewhere"))
    program = "import json, sys; from trainables.shipped import here; print(here(json.loads(sys.argv[1]))['data_dir'])"
    words, env = [sys.executable, "-c", program, json.dumps(fields)], {**os.environ, "TMPDIR": str(node)}
    started = [subprocess.Popen(words, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = {process.communicate(timeout=60)[0] for process in started}
    assert len(told) == 1
    left = [path.name for path in own_folder().iterdir() if not path.name.endswith(".lock")]
    assert left == [parcel.sha256], "parts or a second copy were left"


def test_another_store_is_told_apart(node, data, store, tmp_path):
    parcel = ship(store, str(data), parcel_of(data, "pairs"))
    other = Medium(str(tmp_path / "another"), 0)
    with pytest.raises(Apart, match="is another one on this node"):
        here(place(other, data, parcel))


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone"])
def test_a_damaged_archive_is_refused(node, data, store, damage):
    parcel = ship(store, str(data), parcel_of(data, "pairs"))
    path = Path(store.at(shipped.blob(parcel.sha256)))
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-1] if damage == "truncated" else content[:700] + b"!" + content[701:])
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(Apart, match="any more" if damage == "gone" else "its checksum is another"):
        here(place(store, data, parcel))
    assert [path.name for path in own_folder().iterdir()] == [f"{parcel.sha256}.lock"]


@pytest.mark.parametrize(
    ("name", "kind"), [("../../evil", tarfile.REGTYPE), ("/evil", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_an_archive_that_leads_out_is_refused(node, data, store, name, kind):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        about = tarfile.TarInfo(name)
        about.type, about.linkname, about.size = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else "", 0
        archive.addfile(about, io.BytesIO())
    sha256 = hashlib.sha256(made.getvalue()).hexdigest()
    store.write(shipped.blob(sha256), made.getvalue())
    parcel = replace(parcel_of(data, "pairs"), sha256=sha256, bytes=len(made.getvalue()))
    data.rename(data.with_name("elsewhere"))
    refused = (tarfile.FilterError, Apart)
    if name == "/evil":  # the leading slash is taken off: it lands inside
        assert Path(here(place(store, data, parcel))["data_dir"], "evil").is_file()
        return
    with pytest.raises(refused):
        here(place(store, data, parcel))
    assert not (node.parent / "evil").exists()
    assert not (node / "evil").exists()


def test_a_folder_that_others_may_enter_is_not_used(node):
    (node / f"order-search-shipped-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(Apart, match="not a folder of this user's alone"):
        own_folder()


def test_only_what_the_tasks_name_is_sent(data):
    task = {"name": "own", "kind": "classification", "labels": ["a", "b"]}
    folder = {"train": "pairs/train", "test": "tatoeba/{lang}"}
    fields = {"data_dir": str(data), "tasks": {"own": {**task, "source": {"folder": folder}}}, "suites": {}}
    assert data_entries(fields) == ["pairs", "tatoeba"]
    assert data_entries({**fields, "suites": {"standard": {}}}) == ["bli_de", "pairs", "tatoeba"]
    with_model = {**fields, "model": str(ROOT / "trainables" / "micro")}
    assert folders_of(with_model) == {str(data): ["pairs", "tatoeba"]}, "the shipped model comes with the code"


def test_a_hub_model_is_fetched_by_the_driver_alone(monkeypatch, tmp_path):
    folder = tmp_path / "models--owner--name" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    config = folder / "config.json"
    config.write_text("{}")
    monkeypatch.setattr("trainables.hub_models.hub_config", lambda name: config)
    asked: dict = {}

    def fetched(repository: str, **about: object) -> str:
        asked.update(about, repository=repository)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert json.loads(prepared(json.dumps({"model": "owner/name@main"})))["model"] == str(folder)
    assert (asked["repository"], asked["revision"]) == ("owner/name", "0" * 40)
    (folder / "model.safetensors").unlink()
    with pytest.raises(Mistake, match="no weights as safetensors"):
        prepared(json.dumps({"model": "owner/name"}))


def test_a_node_says_what_it_sees(data, store, tmp_path, monkeypatch):
    monkeypatch.setattr("search.nodes.LOOK_SECONDS", 0.0)
    wanted = {str(data): (["pairs"], listing(data, ["pairs"])), str(tmp_path / "no"): (["a"], "0")}
    seen = {**look(store.root, "mark", "n1", wanted), "ip": "10.0.0.1"}
    assert (seen["wrote"], seen["sees"]) == ("mark-n1", [str(data)])
    check_store(store.root, [seen], store)
    for url, words in ((tmp_path / "none", "has no such folder"), (data, "has another folder there")):
        other = {**look(str(url), "mark", "n2", {}), "ip": "10.0.0.2"}
        with pytest.raises(Mistake) as told:
            check_store(str(url), [seen, other], store)
        assert f"node 10.0.0.2 ({os.uname().nodename}) {words}" in str(told.value)
        assert f"where: --store {url}" in str(told.value)
    assert store.names("nodes") == ["mark"], "a node's mark was left"
    with pytest.raises(Mistake, match="what it writes does not arrive here"):
        check_store(store.root, [seen], store)


def test_the_mark_of_a_running_study_stays_young_and_goes_with_it(store, monkeypatch):
    monkeypatch.setattr("search.shipping.RENEW_SECONDS", 0.02)
    with marked(store) as mark:
        path = Path(store.at(f"nodes/{mark}"))
        os.utime(path, (1e9, 1e9))
        for _ in range(1000):
            if path.stat().st_mtime != 1e9:
                break
            time.sleep(0.01)
        assert path.stat().st_mtime > 1e9, "it was not written again"
    assert store.names("nodes") == ["mark"]


def test_a_node_with_other_versions_or_code_is_refused(store):
    seen = {**look(store.root, "mark", "n1", {}), "ip": "10.0.0.1", "host": "far"}
    check_code([seen])
    older = {**seen, "versions": {**versions(), "torch": "1.0"}}
    with pytest.raises(Mistake, match=r"node 10.0.0.1 \(far\) has torch 1.0 \(here "):
        check_code([seen, older])
    with pytest.raises(Mistake, match="has another version of this program"):
        check_code([{**seen, "code": "0" * 16}])


IMPORTED = """
import sys
import perturb.edits, search.shipping, trainables.config
from trainables.config import names
from trainables.fingerprint import SHIPPED, model_fingerprint
rooms = ("perturb", "search", "trainables")
own = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in rooms]
marks = [model_fingerprint(str(folder)) for folder in SHIPPED.values()]
print(all(path.startswith(sys.argv[1]) for path in own), names("tasks"), marks)
"""


def test_all_that_a_worker_imports_is_sent():
    with code() as brought:
        folder = Path(brought["working_dir"])
        assert not list(folder.rglob("__pycache__"))
        words = [sys.executable, "-B", "-c", IMPORTED, str(folder)]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.stdout.startswith("True ["), done.stdout + done.stderr
        assert "mini-nli" in done.stdout
    assert not folder.exists()
