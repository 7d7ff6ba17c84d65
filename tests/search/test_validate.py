"""`order-search validate`: figures, examples and everything that is wrong with a task and its data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from search import validate as room
from search.cli import main
from search.run_folder import RunFolder
from search.settings import load_settings
from search.study import Study
from search.validate import spread
from trainables.data import DataSource
from trainables.examples import Example
from trainables.forms import example_of
from trainables.tasks import Task

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "ray", "pandas", "transformers", "datasets", "pyarrow", "numpy")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def told(world, capsys):
    """What the command says of a task of the world: its exit code, and the report as JSON or as a text."""

    def tell(task, *more, form="json"):
        words = ["validate", world.of(task), "--data-dir", world.data, "--format", form, *more]
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        assert shown.err == ""
        return code, json.loads(shown.out) if form == "json" else shown.out

    return tell


def pairs(count, lang="en", **changed):
    labels = ("yes", "no")
    return [
        {"id": str(i), "lang": lang, "text": f"{lang} text {i}", "pair": f"pair {i}", "label": labels[i % 2], **changed}
        for i in range(count)
    ]


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_task_without_mistakes(told):
    code, report = told("topics")
    assert (code, report["clean"], report["wrong"], report["bad_rows"]) == (0, True, [], [])
    assert [(row["split"], row["language"], row["examples"]) for row in report["splits"]] == [
        ("train", "en", 4), ("dev", "en", 4), ("test", "de", 4), ("test", "en", 4),
    ]  # fmt: skip
    assert all(row["labels"] == {"yes": 2, "no": 2} for row in report["splits"])


def test_the_same_as_a_table(told):
    code, shown = told("topics", form="table")
    assert code == 0
    assert shown.startswith("topics: classification\n")
    assert re.search(r"test +de +4 +yes: 2 · no: 2", shown)
    assert re.search(r"train +en +0 +text 0 .* yes +\d+\n", shown)
    assert shown.endswith("nothing is wrong\n")


def test_tokens(told, world):
    """As the model's own tokenizer counts them."""
    from transformers import AutoTokenizer

    from trainables.fingerprint import MICRO

    tokenizer = AutoTokenizer.from_pretrained(str(MICRO))
    rows = pairs(9)
    rows[3]["text"] = "a long story " * 100
    rows[4]["text"] = "ꙮꙮꙮ"  # no piece of the vocabulary: spelled in bytes
    world.rows("pairs/train", rows)
    _, report = told("pairs", "--examples", "9")
    tokens = report["splits"][0]["tokens"]
    lengths = [len(tokenizer(row["text"], row["pair"])["input_ids"]) for row in rows]
    assert (tokens["of"], tokens["median"], tokens["longest"]) == (9, sorted(lengths)[4], max(lengths))
    assert (tokens["longer"], tokens["longer_are"]) == (1, "cut, the longer text first")
    assert 0.01 < tokens["unknown"] < 0.2
    shown = [row["tokens"] for row in report["examples"] if row["split"] == "train"]
    assert shown == [min(length, 128) for length in lengths]


def test_examples_are_spread_and_counted(told, world):
    world.rows("pairs/train", pairs(40))
    _, report = told("pairs", "--examples", "4")
    shown = [row for row in report["examples"] if row["split"] == "train"]
    assert [row["id"] for row in shown] == ["0", "10", "20", "30"]
    assert shown[1] == {
        "split": "train", "language": "en", "id": "10", "text": "en text 10", "pair": "pair 10", "label": "yes",
        "tokens": shown[1]["tokens"], "parts": 1,
    }  # fmt: skip
    _, report = told("pairs", "--examples", "0")
    assert report["examples"] == []
    assert report["splits"][0]["tokens"]["of"] == 40


@pytest.mark.parametrize(("of", "count", "found"), [(10, 3, [0, 3, 6]), (2, 5, [0, 1]), (0, 5, []), (5, 0, [])])
def test_spread(of, count, found):
    assert [example.id for example in spread([Example(str(n), "en") for n in range(of)], count)] == list(
        map(str, found)
    )


def test_a_long_text_is_cut_to_the_terminal(told, world, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    world.rows("pairs/train", pairs(3, text="a story\n\x1b[31m and \t so on " * 50, lang="en"))
    _, shown = told("pairs", form="table")
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "a story �[31m" in shown or "a sto…" in shown or "a story…" in shown


KINDS = {
    "tags": ({"kind": "tagging", "labels": ["N", "V"]}, {"words": ["dogs", "run"], "tags": ["N", "V"]}),
    "asks": (
        {"kind": "span", "span": {"may_be_unanswerable": True}, "metric": "squad_v2"},
        {"text": "Where?", "pair": "Anna is in the house.", "answers": [{"text": "in the house", "answer_start": 8}]},
    ),
    "ends": ({"kind": "choice"}, {"text": "She eats", "choices": ["an apple", "a car"], "label": 0}),
    "plain": ({"kind": "masked_lm"}, {"text": "Dogs run."}),
    "links": ({"kind": "retrieval"}, {"text": "Hunde rennen.", "pair": "Dogs run.", "lang": "de"}),
    "many": ({"kind": "classification", "labels_from_train": True}, {"text": "Dogs run.", "label": "dogs"}),
}


def write_kind(world, name):
    task, row = KINDS[name]
    split = "test" if name == "links" else "train"
    world.task(name, **task, source={"folder": {split: f"{name}/rows"}})
    world.rows(f"{name}/rows", [{"id": n, "lang": "en", **row} for n in range(3)])


@pytest.mark.parametrize(
    ("kind", "figures", "line"),
    [
        ("tags", {"labels": {"N": 3, "V": 3}}, "dogs/N run/V"),
        ("asks", {"answered": 3, "answers": 3, "answer_characters": 12}, "3 answers, 12 characters long (median)"),
        ("ends", {"labels": {"0": 3}, "choices": {"2": 3}}, "0 an apple | 1 a car"),
        ("plain", {"labels": {}}, "plain text: the task can be trained on"),
        ("links", {"examples": 3}, "Hunde rennen. "),
        ("many", {"labels": {"dogs": 3}}, "dogs: 3"),
    ],
)
def test_every_kind(told, world, kind, figures, line):
    write_kind(world, kind)
    code, report = told(kind)
    assert (code, report["wrong"], report["bad_rows"]) == (0, [], [])
    (row,) = report["splits"]
    assert row | figures == row
    assert row["tokens"]["of"] == len(report["examples"]) == 3
    code, shown = told(kind, form="table")
    assert code == 0
    assert line in shown


def test_a_question_without_an_answer(told, world):
    write_kind(world, "asks")
    world.rows("asks/rows", [{"text": "Why?", "pair": "Anna is in the house.", "answers": []}])
    code, shown = told("asks", form="table")
    assert code == 0
    assert "0 answers, 1 questions without" in shown


def test_mining(told, world):
    source = {"folder": {"test": "mine/{lang}"}, "gold": "mine/{lang}.gold"}
    world.task("mine", kind="mining", languages=["de"], source=source)
    sides = [{"id": f"{code}{n}", "lang": code, "text": f"text {n}"} for code in ("de", "en") for n in range(3)]
    world.rows("mine/de", sides)
    world.rows("mine/de.gold", [{"de": "de0", "en": "en1"}])
    code, report = told("mine")
    assert code == 0
    (row,) = report["splits"]
    assert (row["labels"], row["pairs"]) == ({"source": 3, "target": 3}, 1)


def test_a_shipped_task_by_name(capsys):
    assert main(["validate", "mini-tatoeba", "--examples", "1", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["kind"] == "retrieval"
    assert {row["split"] for row in report["splits"]} == {"test"}


# --- what is wrong ----------------------------------------------------------------------------------------------------


def test_bad_rows_are_listed(told, world):
    rows = pairs(90)
    for number in range(0, 90, 3):
        rows[number]["label"] = "perhaps"
    path = world.rows("pairs/train", rows)
    code, report = told("pairs")
    assert (code, report["clean"], len(report["bad_rows"])) == (2, False, 30)
    assert report["splits"][0]["examples"] == 60
    first = {"task": "pairs", "split": "train", "where": f"{path}, row 1"}
    assert report["bad_rows"][0] == {**first, "what": "unknown label 'perhaps' for task 'pairs'"}
    code, shown = told("pairs", form="table")
    assert code == 2
    listed = [line for line in shown.splitlines() if line.startswith("bad row ")]
    assert len(listed) == 20
    assert listed[1].startswith(f"bad row {path}, row 4: unknown label 'perhaps'")
    assert "and 10 more bad rows" in shown
    assert shown.endswith("30 things are wrong\n")


def test_all_that_is_wrong_is_told_at_once(told, world):
    """A split that cannot be read hinders none of the others."""
    (world.data / "pairs" / "dev.jsonl").write_text("")
    (world.data / "pairs" / "test.jsonl").unlink()
    world.rows("pairs/train", [*pairs(3), "{"])
    code, report = told("pairs")
    assert code == 2
    assert [row["split"] for row in report["splits"]] == ["train"]
    whats = [one["what"] for one in report["wrong"]]
    assert len(whats) == 2
    assert "the file is empty" in whats[0]
    assert "needs the file pairs/test" in whats[1]
    assert len(report["bad_rows"]) == 1
    assert report["remarks"] == []
    code, shown = told("pairs", form="table")
    assert code == 2
    assert shown.count("wrong the") + shown.count("wrong task") == 2
    assert shown.endswith("3 things are wrong\n")


def test_no_training_examples(told, world):
    world.rows("pairs/train", pairs(3, lang="de"))
    code, report = told("pairs")
    assert code == 2
    assert "no English training examples" in report["wrong"][0]["what"]
    assert "train: languages that are not trained on: de" in report["remarks"]


@pytest.mark.parametrize(
    ("changed", "what", "right"),
    [
        ({"fields": {"txt": "text"}}, "unknown role 'txt'", "did you mean 'text'?"),
        ({"fields": {"text": ["text", "pair"]}}, "the text is one field", "one name"),
        ({"label_values": {"1": "ye"}}, "unknown label 'ye'", "did you mean 'yes'?"),
        ({"labels": ["yes", "no", "yes"]}, "named twice: yes", "each once"),
        ({"languages": ["de"], "extra_languages": ["de"]}, "named twice: de", "each once"),
    ],
)
def test_what_a_task_cannot_mean(told, world, changed, what, right):
    content = yaml.safe_load(Path(world.of("topics")).read_text())
    world.yaml("topics", {**content, **changed})
    code, report = told("topics")
    assert code == 2
    assert what in report["wrong"][0]["what"]
    assert right in report["wrong"][0]["right"]


def test_a_target_that_is_trained_on_another_task(told, world):
    content = {**yaml.safe_load(Path(world.of("topics")).read_text()), "train": world.of("pairs")}
    world.yaml("topics", content)
    code, report = told("topics")
    assert (code, report["wrong"]) == (0, [])
    world.yaml("topics", {**content, "train": world.of("tags")})
    code, report = told("topics")
    assert code == 2
    assert "cannot be trained on 'tags'" in report["wrong"][0]["what"]
    world.yaml("topics", {**content, "train": "mini-nly"})
    code, report = told("topics")
    assert code == 2
    assert "did you mean 'mini-nli'?" in report["wrong"][0]["right"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.yaml"], "there is no file nowhere.yaml"),
        (["mini-nly"], "did you mean 'mini-nli'?"),
        (["mini-nli", "--data-dir", "nowhere"], "there is no folder nowhere"),
        (["mini-nli", "--examples", "-1"], "whole number"),
        (["mini-nli", "--format", "jsn"], "did you mean 'json'?"),
        (["mini-nli", "--modle", "micro"], "did you mean '--model'?"),
        ([], "required"),
    ],
)
def test_mistakes_of_the_command(world, capsys, words, said):
    assert main(["validate", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


def test_a_model_without_a_tokenizer(told, world):
    """All else is told even then."""
    code, report = told("topics", "--model", world.model)
    assert code == 2
    assert "the tokenizer cannot be loaded" in report["wrong"][0]["what"]
    assert len(report["splits"]) == 4
    code, shown = told("topics", "--model", world.model, form="table")
    assert code == 2
    assert re.search(r"test +de +4 +yes: 2 · no: 2", shown)


# --- remarks ----------------------------------------------------------------------------------------------------------


def test_languages(told, world):
    content = yaml.safe_load(Path(world.of("topics")).read_text())
    world.yaml("topics", {**content, "languages": ["en", "sw"], "extra_languages": ["fr"]})
    rows = [{**row, "lang": code} for code in ("en", "de", "qq") for row in pairs(2)]
    world.rows("topics/test", [{key: value for key, value in row.items() if key != "pair"} for row in rows])
    code, report = told("topics")
    assert code == 0
    remarks = "\n".join(report["remarks"])
    assert "the task lists and the data lack: sw, fr" in remarks
    assert "the task does not list (only --languages scores them): de, qq" in remarks
    assert "family and script (see `order-search ls languages`): qq" in remarks


def test_labels_never_seen_in_training(told, world):
    world.rows("topics/train", [{"text": f"text {n}", "pair": "x", "label": "yes"} for n in range(3)])
    code, report = told("topics")
    assert code == 0
    assert "labels never seen in training (times in dev and test): no (6)" in report["remarks"]


def test_texts_of_training_and_test(told, world):
    world.rows("pairs/train", pairs(5))
    world.rows("pairs/test", [*pairs(3, id="same"), *pairs(3, "de")][2:])
    _, report = told("pairs")
    assert "test: texts that the training set has too, word for word: 1 of 1 in en" in report["remarks"]


def test_what_splits_lack(told, world):
    world.task("topics", kind="classification", labels=["yes", "no"], source={"folder": {"train": "topics/train"}})
    code, report = told("topics")
    assert code == 0
    assert len(report["remarks"]) == 2
    assert "is no target" in report["remarks"][0]
    assert "cannot be selected on" in report["remarks"][1]


# --- quick ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["validate", "--help"], ["--help"]])
def test_help_imports_nothing_heavy(words, tmp_path):
    code = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from search.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert "validate" in done.stdout
    assert time.monotonic() - start < (2 if "CI" not in os.environ and os.getloadavg()[0] < 1 else 20)


# --- rows that a run leaves out ---------------------------------------------------------------------------------------


def test_a_run_lists_the_rows_it_leaves_out(world, capsys):
    path = world.rows("pairs/train", [*pairs(4), {"id": "5", "text": "x", "pair": "y", "label": "perhaps"}])
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    study = Study(*load_settings({**flags, "on_bad_row": "skip"}, {}))
    study.check()
    folder = RunFolder(study, ["order-search"])
    said = capsys.readouterr().out
    assert said.startswith("1 bad row left out, listed in manifest.json")
    assert f"{path}, row 5" in said
    assert len(said.splitlines()) == 1
    listed = json.loads((folder.path / "manifest.json").read_text())["skipped_rows"]
    row = {"task": "pairs", "split": "train", "where": f"{path}, row 5"}
    assert listed == {"count": 1, "rows": [{**row, "what": "unknown label 'perhaps' for task 'pairs'"}]}


def test_on_bad_row_is_a_flag(world, capsys):
    world.rows("pairs/train", [*pairs(4), "{"])
    assert main(world.study("--dry-run", "--on-bad-row", "skip")) == 0
    assert main(world.study("--dry-run", "--on-bad-row", "error")) == 2
    assert "row 5" in capsys.readouterr().err
    assert main(world.study("--dry-run", "--on-bad-row", "skp")) == 2
    said = capsys.readouterr().err
    assert "--on-bad-row" in said
    assert "did you mean 'skip'?" in said


# --- the guide --------------------------------------------------------------------------------------------------------


def guide():
    """The task files and the rows that docs/add-a-task.md shows, in pairs."""
    text = (ROOT / "docs" / "add-a-task.md").read_text("utf-8")
    blocks = re.findall(r"```(yaml|json)\n(.*?)```", text, re.DOTALL)
    found, task = [], None
    for form, content in blocks:
        if form == "yaml":
            task = yaml.safe_load(content)
        elif task:
            found.append((task, [json.loads(line) for line in content.splitlines()]))
            task = None
    return found


@pytest.mark.parametrize("place", range(len(guide())))
def test_the_guides_tasks_and_rows(place):
    content, rows = guide()[place]
    task = Task.model_validate(content)
    examples = [example_of(task, row, "en", number, "the guide") for number, row in enumerate(rows, 1)]
    assert None not in examples


def test_the_guide_shows_every_kind():
    assert {content["kind"] for content, _ in guide()} == set(room.TOO_LONG)


def test_the_guides_mining(tmp_path):
    content, rows = next((content, rows) for content, rows in guide() if content["kind"] == "mining")
    task = Task.model_validate(content)
    stem = tmp_path / task.source.folder["test"].replace("{lang}", "de")
    stem.parent.mkdir()
    stem.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    gold = tmp_path / f"{task.source.gold.replace('{lang}', 'de')}.jsonl"
    gold.write_text('{"de": "de-1", "en": "en-7"}\n')
    assert len(DataSource(str(tmp_path)).load(task, "test")["de"]) == 2
