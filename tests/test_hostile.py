"""Malformed and hostile inputs: each is refused in words or counts as absent; nothing is run, lost or overwritten.

What would be executed makes a file, the canary. The inputs lie in `tests/hostile/`; here is what all must withstand.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import tarfile
import tempfile
from pathlib import Path

import pytest
from hostile import checkpoints, data, names, runs, settings, stores
from hostile.arena import Arena, contents

from search.cli import main
from trainables.errors import Mistake

CASES = {
    f"{room.__name__.rpartition('.')[2]}: {name}": case
    for room in (checkpoints, data, names, runs, settings)
    for name, case in room.CASES.items()
}
SCREEN = 24


@pytest.fixture
def arena(tmp_path, monkeypatch) -> Arena:
    made = Arena(tmp_path / "world")
    made.monkeypatch = monkeypatch
    monkeypatch.chdir(made.folder)
    return made


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused(name, arena, capsys):
    case = CASES[name]
    words = [str(word) for word in case.make(arena)]
    before = contents(arena.folder)
    code = main(words)
    shown = capsys.readouterr()
    assert code == 2, shown
    assert shown.err.startswith("mistake "), shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) <= SCREEN and len(shown.err) < 4000, shown.err
    assert not any(sign in shown.err + shown.out for sign in "\x1b\x00\x07\x9b\u202e")
    for fragment in case.told:
        assert fragment in shown.err
    assert not arena.canary.exists(), "something was executed"
    assert contents(arena.folder) == before, "something was changed"


@pytest.mark.parametrize("name", stores.CASES)
def test_a_stage_of_a_hostile_store_is_as_good_as_absent(name, arena):
    stores.CASES[name](arena)
    assert not arena.canary.exists()


def test_there_are_enough():
    assert len(CASES) + len(stores.CASES) >= 50


def test_the_arena_itself_is_in_order(arena, capsys):
    assert main([str(word) for word in arena.study()]) == 0, capsys.readouterr().err
    assert main(["show", str(arena.run)]) == 0, capsys.readouterr().err
    assert not arena.canary.exists()


def test_the_pickles_would_run(arena):
    import pickle

    pickle.loads(arena.pickle)  # noqa: S301 - its own
    assert arena.canary.exists()


def test_a_mistake_is_one():
    with pytest.raises(Mistake, match=r"\\x1b\[2J"):
        raise Mistake("\x1b[2J")


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "{", '{"en": NaN}'])
def test_examples_beside_a_report_are_refused(content, tmp_path):
    from search.report.weights import kept_examples

    (tmp_path / "examples.json").write_text(content)
    with pytest.raises(Mistake, match="the examples cannot be read"):
        kept_examples(tmp_path)


@pytest.mark.parametrize("name", ["../../evil", "/etc/cron.d/evil", "a\0b", "..", "x" * 5000, ".bashrc"])
def test_a_picture_is_no_file_elsewhere(name):
    from search.report.images import file_name

    found = file_name(f"agreement-order-{name}"), file_name(name)
    assert all(one and "/" not in one and "\0" not in one and one[0] != "." and len(one) < 200 for one in found)


def _member(name, kind=tarfile.REGTYPE, link=""):
    about = tarfile.TarInfo(name)
    about.type, about.linkname, about.size = kind, link, 0
    return about


ARCHIVES = {
    "a path above": [_member("../../evil")], "a whole path": [_member("/root/order-search-evil")],
    "a link out": [_member("link", tarfile.SYMTYPE, "/etc"), _member("link/evil")],
    "a hard link out": [_member("link", tarfile.LNKTYPE, "../../../secret")],
    "a device": [_member("device", tarfile.CHRTYPE)], "a pipe": [_member("pipe", tarfile.FIFOTYPE)],
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_leads_nowhere(name, arena, monkeypatch):
    from trainables import shipped

    archive = arena.at("archive.tar")
    with tarfile.open(archive, "w") as made:
        for member in ARCHIVES[name]:
            made.addfile(member)
    content = Path(archive).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    arena.put(f"store/{shipped.blob(sha256)}", content)
    arena.put("secret", "secret")
    (arena.folder / "node").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", arena.at("node"))
    parcel = shipped.Parcel(("x",), "", sha256, len(content))
    before = {path: mark for path, mark in contents(arena.folder).items() if "/node" not in path}
    with contextlib.suppress(tarfile.TarError, shipped.Apart):
        shipped.folder(arena.at("store"), parcel)
    assert {path: mark for path, mark in contents(arena.folder).items() if "/node" not in path} == before
    assert not any(Path(arena.at("node")).rglob("evil")) and not Path("/root/order-search-evil").exists()
    kinds = [path for path in Path(arena.at("node")).rglob("*") if path.is_symlink() or path.is_fifo()]
    assert not [path for path in kinds if path.exists() or path.is_symlink()]


# --- the code ---------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[1]

FORBIDDEN = {
    "pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib", "webbrowser", "requests", "urllib",
    "http", "ftplib", "telnetlib", "smtplib", "code", "pty", "imp", "runpy", "zipimport", "jsonpickle",
}  # fmt: skip
"""Modules that unpickle, run what they are given, or fetch over the network past the libraries' own clients."""

CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load",
    "yaml.full_load", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle", "os.system", "os.popen",
    "os.execv", "os.execvp", "os.spawnl", "torch.hub.load", "torch.jit.load", "pd.read_hdf", "pd.read_html",
    "os.startfile", "tempfile.mktemp",
}  # fmt: skip

IMPORTS_BY_NAME = {
    "perturb/edits/__init__.py", "perturb/recipes/__init__.py", "perturb/recipes/stock.py", "perturb/offline.py",
    "trainables/methods/__init__.py",
}  # fmt: skip
"""Files that import a module by a name: each looks it up in a table of its own, never in a setting."""


def _sources():
    for room in ("search", "trainables", "perturb"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def _dotted(node):
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _keyword(call, name):
    return next((one.value for one in call.keywords if one.arg == name), None)


def _true(node):
    return isinstance(node, ast.Constant) and node.value is True


def _faults(name, tree):
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"imports {one.name}" for one in names if one.name.split(".")[0] in FORBIDDEN)
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in FORBIDDEN:
                yield f"imports {module}"
            case ast.Attribute(attr="errors") if "result" in _dotted(node.value).lower() or "fit" in ast.dump(node):
                yield "reads errors of Tune's results, which unpickles them"
            case ast.Call():
                yield from _call_faults(name, node)


def _call_faults(name, call):
    called = _dotted(call.func)
    if called in CALLS or called.endswith((".read_pickle", ".to_pickle")):
        yield f"calls {called}"
    if called.endswith((".query", ".eval")) and call.args and not isinstance(call.args[0], ast.Constant):
        yield f"calls {called} with what is no constant"
    if called.endswith("import_module") and name not in IMPORTS_BY_NAME:
        yield "imports a module by a name"
    for flag in ("shell", "allow_pickle", "trust_remote_code", "weights_only_false"):
        if _true(_keyword(call, flag)):
            yield f"{flag}=True"
    if called.endswith(".from_pretrained") and not _is_safe(call):
        yield f"calls {called} without safely(…)"
    weights = called.endswith(".from_pretrained") and not called.endswith(("Tokenizer.from_pretrained",
                                                                           "Config.from_pretrained"))  # fmt: skip
    if weights and not (_true(_keyword(call, "use_safetensors")) or _starred(call) & {"self._source", "about"}):
        yield f"calls {called} without use_safetensors=True"
    if called.endswith(".extractall") and not isinstance(_keyword(call, "filter"), ast.Constant):
        yield "unpacks an archive without a filter"
    if called.endswith("subprocess.run") and not isinstance(call.args[0], ast.List):
        yield "runs a program that is no list of words"


def _starred(call):
    return {_dotted(one.value) for one in call.keywords if one.arg is None}


def _is_safe(call):
    """Its arguments are made by `safely`: there, or in the two dictionaries of models.py that are made of it."""
    made = {_dotted(one.value.func) for one in call.keywords if one.arg is None and isinstance(one.value, ast.Call)}
    return "safely" in made or bool(_starred(call) & {"where", "self._source"})


def test_nothing_in_the_code_could_run_what_it_reads():
    found = {(name, fault) for name, tree in _sources() for fault in _faults(name, tree)}
    assert sorted(found) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from urllib.request import urlopen", "torch.load(x)", "eval(x)", "yaml.load(x, Loader=y)",
        "np.load(x, allow_pickle=True)", "run(x, shell=True)", "AutoModel.from_pretrained(x)", "results.errors",
        "AutoModel.from_pretrained(**safely(x))", "f(trust_remote_code=True)", "import_module(x)",
        "archive.extractall(x)", "subprocess.run(text)", "pd.read_pickle(x)",
    ],
)  # fmt: skip
def test_the_search_for_such_code_finds_it(code):
    assert list(_faults("x.py", ast.parse(code)))


def test_what_every_from_pretrained_is_given():
    from trainables.model_files import safely

    local, hub = safely(str(ROOT)), safely("owner/name@rev")
    assert local["trust_remote_code"] is False is hub["trust_remote_code"]
    assert local["local_files_only"] and not hub["local_files_only"]
    assert (hub["pretrained_model_name_or_path"], hub["revision"]) == ("owner/name", "rev")
