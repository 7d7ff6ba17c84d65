"""The command line: quick to start, the same from anywhere, and every flag of it does something."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.cli import LISTED, VERBS, main, run_parser
from search.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "search" / "run.py"
HEAVY = ("torch", "ray", "pandas", "textattack", "transformers", "datasets", "pyarrow", "scipy", "numpy")

CONTRACT = {
    "--space", "--suite", "--objective", "--model", "--method", "--strategy", "--candidates", "--seeds", "--targets",
    "--languages", "--perturbations", "--data-dir", "--out", "--store", "--address", "--gpus-per-trial",
    "--cpus-per-trial", "--max-concurrent", "--limit", "--set", "--dry-run", "--tracker", "--debug",
    "--preset", "--on-bad-row", "--confidence", "--seed-control", "--dashboard", "--store-budget", "--stall-timeout",
    "--grace",
}  # fmt: skip
"""DESIGN.md's flags, and those that later tasks brought."""

NO_SETTING = {"set", "dry_run", "debug"}
"""Flags that are handled where the command is run."""


def in_python(code, cwd, **environment):
    """What a program that ends with `print(json.dumps(…))` found."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def script(*words, cwd, command=(sys.executable, SCRIPT)):
    return subprocess.run([*map(str, command), *words], capture_output=True, text=True, cwd=cwd, timeout=120)


# --- quick ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["ls"], ["ls", "languages", "--format", "csv"], "dry-run"])
def test_nothing_heavy_is_imported(words, world):
    words = world.study("--dry-run") if words == "dry-run" else words
    code = f"""
import contextlib, io, json, sys
sys.path.insert(0, {str(ROOT)!r})
from search.cli import main
with contextlib.redirect_stdout(io.StringIO()) as shown:
    try:
        code = main({words!r})
    except SystemExit as end:
        code = end.code
print(json.dumps([code or 0, len(shown.getvalue()), [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    code, shown, imported = in_python(code, world.folder)
    assert (code, imported) == (0, [])
    assert shown > 50


# --- from anywhere ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["elsewhere", "search"])
def test_from_any_working_directory(place, tmp_path):
    done = script("ls", "spaces", "--format", "json", cwd=tmp_path if place == "elsewhere" else ROOT / "search")
    assert (done.returncode, done.stderr) == (0, "")
    assert "orders" in [row["name"] for row in json.loads(done.stdout)]


@pytest.mark.parametrize("first", ["search", "trainables"])
def test_with_a_package_folder_first_on_the_path(first, tmp_path):
    """`python search/run.py` and `python -m` within a folder put it there; what libraries import must not change."""
    code = f"""
import json, runpy, sys
sys.path.insert(0, {str(ROOT / first)!r})
sys.argv = ["run.py", "ls", "tasks", "--format", "json"]
try:
    runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
except SystemExit as end:
    print()
    print(json.dumps(end.code))
"""
    assert in_python(code, tmp_path) == 0


def test_as_a_module_of_the_checkout(tmp_path):
    done = script("--help", cwd=ROOT, command=[sys.executable, "-m", "search.run"])
    assert done.returncode == 0
    assert "--space" in done.stdout


def test_no_module_has_a_name_of_the_standard_library():
    for room in ("search", "trainables", "perturb"):
        for path in (ROOT / room).rglob("*.py"):
            names = {path.stem} if path.parent == ROOT / room else {path.stem, path.parent.name}
            # Only what lies directly in a room could be found when the room is first on the path.
            if path.parent == ROOT / room or path.parent.parent == ROOT / room:
                assert not names & (sys.stdlib_module_names - {"__init__", "__main__"}), path


# --- flags ------------------------------------------------------------------------------------------------------------


def flags_of(parser):
    return {option: action for action in parser._actions for option in action.option_strings if option.startswith("--")}


def test_the_flags_are_the_contract():
    assert set(flags_of(run_parser())) - {"--help"} == CONTRACT


def test_every_flag_does_something():
    for option, action in flags_of(run_parser()).items():
        if option == "--help":
            continue
        assert action.dest in Settings.model_fields or action.dest in NO_SETTING, option
        assert action.help
        assert action.default in (None, False, []), f"{option}: defaults stand in settings.py alone"


def test_defaults_in_the_help_are_the_settings():
    told = {option: action.help for option, action in flags_of(run_parser()).items()}
    defaults = Settings.model_validate({}).model_dump()
    for key in ("strategy", "seeds", "objective", "out", "cpus_per_trial", "space", "suite"):
        assert f"({defaults[key]})" in told[f"--{key.replace('_', '-')}"], key
    assert f"({defaults['method'][0]})" in told["--method"]


def test_every_verb_is_in_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)


def test_run_is_the_verb_when_flags_come_first(world, capsys):
    assert main(["run", *world.study("--dry-run")]) == 0
    first = capsys.readouterr().out
    assert main(world.study("--dry-run")) == 0
    assert capsys.readouterr().out == first


# --- listings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", LISTED)
def test_listings_agree_in_every_format(what, world, capsys):
    main(["ls", what, "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    main(["ls", what, "--format", "csv"])
    text = capsys.readouterr().out
    main(["ls", what, "--format", "table"])
    shown = capsys.readouterr().out
    assert [{k: str(v) for k, v in row.items()} for row in rows] == list(csv.DictReader(io.StringIO(text)))
    if what == "runs":
        assert (rows, shown) == ([], "no runs\n")
    else:
        assert rows
        assert all(str(next(iter(row.values())))[:12] in shown for row in rows)


def test_a_run_is_listed(world, capsys):
    (world.out / "orders-1").mkdir(parents=True)
    manifest = {"status": "done", "candidates": 3, "cost": {"seconds": 12.3}}
    (world.out / "orders-1" / "manifest.json").write_text(json.dumps(manifest))
    assert main(["ls", "runs", "--out", str(world.out), "--format", "json"]) == 0
    assert [(row["status"], row["seconds"]) for row in json.loads(capsys.readouterr().out)] == [("done", 12)]


def test_all_listings_at_once(world, capsys):
    assert main(["ls"]) == 0
    shown = capsys.readouterr().out
    assert all(what in shown for what in ("spaces", "suites", "tasks", "methods", "strategies"))


def test_a_pipe_that_closes_is_no_error(tmp_path):
    line = f"{sys.executable} {SCRIPT} ls languages --format csv | head -1"
    shell = ["bash", "-o", "pipefail", "-c", line]
    done = subprocess.run(shell, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("code,")
