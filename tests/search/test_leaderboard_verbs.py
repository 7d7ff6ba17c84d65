"""The commands leaderboard, show, compare and ls columns, from run folders alone."""

from __future__ import annotations

import csv
import io
import json
import re

import pandas as pd
import pytest
from made_runs import made_run

from search.cli import main
from search.leaderboard.cuts import View
from search.leaderboard.exports import write_all
from search.leaderboard.views import view
from search.listing import described
from search.publish import published
from search.results import load

TASKS = ("mini-nli", "mini-tags", "mini-topic")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = made_run(tmp_path_factory.mktemp("verbs") / "run", tasks=TASKS, max_length=2, roots=3, edits=("keyboard",),
                    attacks=("deepwordbug",))  # fmt: skip
    write_all(path, *published(load([path]))[0])
    return path


@pytest.fixture
def said(capsys):
    """What a command prints; it must be done without a mistake."""

    def run(*words):
        code = main([*map(str, words)])
        printed = capsys.readouterr()
        assert (code, printed.err) == (0, "")
        return printed.out

    return run


@pytest.mark.parametrize("form", ["csv", "md", "json", "html", "tex"])
def test_of_all_of_a_run_it_is_the_file_of_the_run(folder, said, form):
    assert said("leaderboard", folder, "--format", form) == (folder / f"leaderboard.{form}").read_bytes().decode()


def test_the_same_runs_twice_are_one(folder, said):
    assert said("leaderboard", folder, folder, "--format", "csv") == (folder / "leaderboard.csv").read_bytes().decode()


def test_filters_groups_and_lines(folder, said):
    text = said("leaderboard", folder, "--language", "de,sw", "--by", "language", "--top", "3", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["place"] for row in rows] == ["1", "2", "3"]
    assert [name for name in rows[0] if name.startswith("language_")] == ["language_de", "language_sw"]
    title = json.loads(said("leaderboard", folder, "--target", "mini-pos", "--format", "json"))["title"]
    assert title == "Task orders on mini: targets mini-pos"


def test_the_table_of_a_terminal(folder, said):
    text = said("leaderboard", folder, "--perturbation", "keyboard", "--top", "2")
    assert "Task orders on mini: perturbations keyboard" in text
    assert "… and 8 more" in text


@pytest.mark.parametrize("name", ["board.csv", "board.parquet", "board.html"])
def test_the_ending_of_a_file_is_its_format(folder, said, tmp_path, name):
    assert said("leaderboard", folder, "--out", tmp_path / name).strip() == f"written: {tmp_path / name}"
    assert (tmp_path / name).read_bytes() == (folder / f"leaderboard.{name.split('.')[1]}").read_bytes()


def test_a_table_in_a_file(folder, said, tmp_path):
    said("leaderboard", folder, "--out", tmp_path / "board.txt", "--format", "table")
    assert (tmp_path / "board.txt").read_text("utf-8").startswith("Task orders on mini")


def test_show(folder, said):
    text = said("show", folder, "--top", "2")
    assert "… and 8 more" in text
    for file in ("leaderboard.tex", "scores.parquet", "manifest.json"):
        assert file in text.splitlines()[-1]


def test_show_has_a_line_a_finding(folder, said, tmp_path):
    (tmp_path / "leaderboard.json").write_bytes((folder / "leaderboard.json").read_bytes())
    finding = {"name": "order", "title": "Order [bold]", "sentence": "no order effect is shown (p = 0.4)."}
    (tmp_path / "analysis.json").write_text(json.dumps({"findings": [finding]}), "utf-8")
    assert "Order [bold]: no order effect is shown (p = 0.4)." in said("show", tmp_path)


# --- what every column is ---------------------------------------------------------------------------------------------


def documented(table):
    names = [column["name"] for where, column in described() if where == table]
    return {name: re.compile(name.replace("*", ".+")) for name in names}


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A run that has whatever a leaderboard can show: sizes, further languages, stress edits; two runs of it differ."""
    path = tmp_path_factory.mktemp("rich")
    for name in ("one", "two"):
        made_run(path / name, tasks=TASKS, max_length=1, roots=3, edits=("keyboard", "word-order"),
                 attacks=("deepwordbug",), controls=True,
                 model={"name": name, "fingerprint": "0" * 16})  # fmt: skip
        rows = pd.read_parquet(path / name / "scores.parquet")
        plain = rows[(rows.perturbation == "none") & (rows.portion == "test") & (rows.language == "de")]
        sizes = [
            plain.assign(portion="model", metric=metric, main=False, language="", value=value)
            for metric, value in (("tuned_parameters", 5.0), ("tuned_share", 0.1), ("added_parameters", 5.0))
        ]
        apart = plain.assign(language="my", apart=True)
        pd.concat([rows, *sizes, apart]).to_parquet(path / name / "scores.parquet", index=False)
    return path


def test_every_column_is_described(rich):
    both = load([rich / "one", rich / "two"], mix=True)
    seen = {column for by in ("language", "script", "perturbation") for column in view(both, View(by=by)).board}
    patterns = documented("leaderboard")
    for column in seen:
        assert len([name for name, pattern in patterns.items() if pattern.fullmatch(column)]) == 1, column
    for name, pattern in patterns.items():
        assert any(pattern.fullmatch(column) for column in seen), f"{name} is described and nowhere found"


def test_every_column_of_the_long_table_is_described(rich):
    assert list(pd.read_parquet(rich / "one" / "scores.parquet")) == list(documented("scores"))


TYPES = {"integer": "iu", "number": "fiu", "boolean": "b", "string": "OUST"}


@pytest.mark.parametrize("table", ["leaderboard", "scores"])
def test_columns_have_the_types_that_are_told(folder, table):
    frame = pd.read_parquet(folder / f"{table}.parquet")
    patterns = documented(table)
    types = {column["name"]: column["type"] for name, column in described() if name == table}
    for column in frame:
        (name,) = (name for name, pattern in patterns.items() if pattern.fullmatch(column))
        kind = "O" if isinstance(frame[column].dtype, pd.StringDtype) else frame[column].dtype.kind
        assert kind in TYPES[types[name]], (column, frame[column].dtype)


def test_they_are_listed(said):
    rows = json.loads(said("ls", "columns", "--format", "json"))
    assert {row["table"] for row in rows} == {"leaderboard", "scores"}
    assert all(row["meaning"] and row["type"] in TYPES for row in rows)


# --- compare ----------------------------------------------------------------------------------------------------------


def test_compare_prints_every_format(folder, said, tmp_path):
    other = made_run(tmp_path / "other", tasks=TASKS, max_length=2, roots=3, seed=1)
    assert "Two runs compared" in said("compare", folder, other)
    content = json.loads(said("compare", folder, other, "--format", "json"))
    assert (content["first"], content["second"]) == ("run", "other")
    rows = list(csv.DictReader(io.StringIO(said("compare", folder, other, "--format", "csv", "--top", "2"))))
    assert len(rows) == 2 * 4
    assert said("compare", folder, other, "--format", "md").startswith("# Two runs compared")


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, told", [
    (["leaderboard", "RUN", "--language", "dee"], "did you mean 'de'?"),
    (["leaderboard", "RUN", "--languages", "de"], "did you mean '--language'?"),
    (["leaderboard", "RUN", "--by", "langage"], "did you mean 'language'?"),
    (["leaderboard", "RUN", "--language", "de,"], "names separated by commas"),
    (["leaderboard", "RUN", "--format", "parquet"], "--out FILE as well"),
    (["leaderboard", "RUN", "--out", "board.xls"], "'.xls' names no format"),
    (["leaderboard", "RUN", "--top", "0"], "a whole number of 1 or more"),
    (["leaderboard", "nowhere"], "the run cannot be read"),
    (["compare", "RUN", "nowhere"], "the run cannot be read"),
    (["compare", "RUN"], "required"),
])  # fmt: skip
def test_a_mistake_is_told(folder, capsys, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    assert main([str(folder) if word == "RUN" else word for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "mistake" in printed.err
    assert told in " ".join(printed.err.split())
    assert not list(tmp_path.iterdir())
