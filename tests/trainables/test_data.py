"""Data: folder files in every form, maps, limits, fingerprints; and bad data told by file and row."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from trainables.config import names
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.examples import Example
from trainables.tasks import Task, load_task

NLI = {
    "name": "nli",
    "kind": "classification",
    "source": {"folder": {"train": "nli/train", "test": "nli/test"}},
    "labels": ["entailment", "neutral", "contradiction"],
    "label_values": {"0": "entailment", "1": "neutral", "2": "contradiction"},
    "fields": {"text": "premise", "pair": "hypothesis", "id": "uid"},
    "language_codes": {"zho": "zh", "eng": "en"},
    "languages": ["en", "zh", "de"],
}
POS = {
    "name": "pos",
    "kind": "tagging",
    "source": {"folder": {"train": "pos/train"}},
    "labels": ["NOUN", "VERB"],
    "fields": {"words": "tokens", "tags": "upos"},
}


def row(**changed):
    fields = {"uid": "1", "lang": "en", "premise": "A dog.", "hypothesis": "An animal.", "label": "entailment"}
    return {name: value for name, value in {**fields, **changed}.items() if value is not ...}


def tagged(**changed):
    return {"id": "1", "lang": "en", "tokens": ["dogs", "run"], "upos": ["NOUN", "VERB"], **changed}


def write(folder, stem, rows, form=".jsonl"):
    path = folder / f"{stem}{form}"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in rows).encode()
    if form == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_bytes(gzip.compress(lines) if form == ".jsonl.gz" else lines)
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def nli():
    return Task.model_validate(NLI)


@pytest.fixture
def pos():
    return Task.model_validate(POS)


forms = pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz", ".parquet"])


# --- reading ----------------------------------------------------------------------------------------------------------


@forms
def test_classification_rows(folder, nli, form):
    rows = [
        row(uid="a", label="neutral", premise="Ein Hund — ไทย"),
        row(uid="b", lang="zho", label="2"),
        row(uid="a", lang="de", label="0"),
        row(uid="c", lang="eng"),
    ]
    write(folder, "nli/test", rows, form)
    found = DataSource(str(folder)).load(nli, "test")
    assert list(found) == ["en", "zh", "de"]  # the task's order
    assert found["en"] == [
        Example("a", "en", text="Ein Hund — ไทย", pair="An animal.", label="neutral"),
        Example("c", "en", text="A dog.", pair="An animal.", label="entailment"),
    ]
    assert found["zh"][0].label == "contradiction"
    assert found["de"][0].label == "entailment"
    assert list(DataSource(str(folder)).load(nli, "test", ["de", "en", "fr"])) == ["en", "de"]


@forms
def test_labels_that_are_numbers(folder, nli, form):
    write(folder, "nli/train", [row(label=number, uid=number) for number in (0, 1, 2)], form)
    found = DataSource(str(folder)).training(nli)
    assert [example.label for example in found] == ["entailment", "neutral", "contradiction"]
    assert [example.id for example in found] == ["0", "1", "2"]


@forms
def test_tagging_rows(folder, pos, form):
    write(folder, "pos/train", [tagged(), tagged(id="2", tokens=["run"], upos=["VERB"])], form)
    assert DataSource(str(folder)).training(pos) == [
        Example("1", "en", words=("dogs", "run"), tags=("NOUN", "VERB")),
        Example("2", "en", words=("run",), tags=("VERB",)),
    ]


@forms
def test_tags_that_are_numbers(folder, form):
    task = Task.model_validate({**POS, "label_values": {"0": "NOUN", "1": "VERB"}})
    write(folder, "pos/train", [tagged(upos=[0, 1])], form)
    assert DataSource(str(folder)).training(task)[0].tags == ("NOUN", "VERB")


@forms
def test_retrieval_rows(folder, form):
    task = Task.model_validate({
        "name": "tatoeba", "kind": "retrieval", "source": {"folder": {"test": "test"}}, "fields": {"pair": "en"},
    })  # fmt: skip
    write(folder, "test", [{"id": 3, "lang": "de", "text": "Hallo", "en": "Hello"}], form)
    assert DataSource(str(folder)).load(task, "test") == {"de": [Example("3", "de", text="Hallo", pair="Hello")]}


@forms
def test_rows_without_id_and_language(folder, nli, form):
    """The number of a row is its id, wherever the folder is; English is the language."""
    write(folder, "nli/train", [row(uid=..., lang=...)] * 3, form)
    assert [(e.id, e.lang) for e in DataSource(str(folder)).training(nli)] == [("1", "en"), ("2", "en"), ("3", "en")]


def test_single_sentences_have_no_pair(folder):
    task = Task.model_validate({**NLI, "fields": {"text": "premise"}})
    write(folder, "nli/train", [row(hypothesis=...)])
    assert DataSource(str(folder)).training(task)[0].pair is None


def test_a_split_that_a_task_does_not_have_is_empty(folder, nli):
    folder.mkdir()
    assert DataSource(str(folder)).load(nli, "dev") == {}


@pytest.mark.parametrize("name", names("tasks"))
def test_the_shipped_mini_tasks(name):
    task = load_task(name, "--tasks")
    if not task.source.mini:
        pytest.skip("not of the mini suite")
    source = DataSource(limit=20)
    assert task.trained_on is None or len(source.training(task)) == 20 * len(task.train_languages)
    test = source.load(task, "test")
    if task.kind == "masked_lm":
        assert test == {}
        return
    assert set(test) >= set(task.languages)  # those that it names are there
    if task.kind == "mining":  # 20 source sentences with their translations, and so many that have none
        assert all(sum(example.label == "source" for example in rows) <= 20 for rows in test.values())
        return
    assert len({tuple(example.id for example in rows) for rows in test.values()}) == 1
    assert all(len(rows) == 20 for rows in test.values())


# --- limit ------------------------------------------------------------------------------------------------------------


def parallel(count, languages=("en", "de", "zho"), keep=lambda number, code: True):
    return [
        row(uid=f"item {number}", lang=code, premise=f"{code} {number}")
        for code in languages
        for number in range(count)
        if keep(number, code)
    ]


def test_limit_keeps_the_same_items_in_every_language(folder, nli):
    rows = parallel(50)
    write(folder, "nli/test", rows[:50] + rows[149:99:-1] + rows[50:100])
    found = DataSource(str(folder), limit=10).load(nli, "test")
    kept = [{example.id for example in examples} for examples in found.values()]
    assert len(kept) == 3
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) == 10
    whole = DataSource(str(folder)).load(nli, "test")
    assert [e for e in whole["zh"] if e.id in kept[0]] == found["zh"]  # in the file's order
    assert DataSource(str(folder), limit=50).load(nli, "test") == whole
    smaller = DataSource(str(folder), limit=5).load(nli, "test")
    assert {example.id for example in smaller["de"]} < kept[0]


def test_limit_holds_for_training_too(folder, nli):
    write(folder, "nli/train", parallel(50, ["en"]))
    assert len(DataSource(str(folder), limit=7).training(nli)) == 7


def test_limit_does_not_depend_on_where_the_folder_is(folder, tmp_path, nli):
    rows = [row(uid=..., premise=f"{number}") for number in range(50)]
    write(folder, "nli/train", rows)
    write(tmp_path / "elsewhere", "nli/train", rows)
    first, second = (DataSource(str(place), limit=9).training(nli) for place in (folder, tmp_path / "elsewhere"))
    assert first == second


# --- fingerprints -----------------------------------------------------------------------------------------------------


def fingerprint(folder, task, limit=None, splits=None):
    return DataSource(str(folder), limit).fingerprint(task, splits or {"test": ["en", "de"]})


def changed_task(**fields):
    return Task.model_validate({**NLI, **fields})


def test_a_fingerprint_changes_with_what_the_examples_depend_on(folder, nli):
    write(folder, "nli/test", parallel(9))
    write(folder, "nli/train", parallel(9))
    prints = {
        "as it is": fingerprint(folder, nli),
        "limit": fingerprint(folder, nli, limit=3),
        "another limit": fingerprint(folder, nli, limit=4),
        "one language": fingerprint(folder, nli, splits={"test": ["en"]}),
        "another language": fingerprint(folder, nli, splits={"test": ["en", "zh"]}),
        "another split": fingerprint(folder, nli, splits={"train": ["en", "de"]}),
        "two splits": fingerprint(folder, nli, splits={"train": ["en", "de"], "test": ["en", "de"]}),
        "labels": fingerprint(folder, changed_task(labels=["neutral", "entailment", "contradiction"])),
        "label values": fingerprint(folder, changed_task(label_values={})),
        "fields": fingerprint(folder, changed_task(fields={"text": "hypothesis", "pair": "premise", "id": "uid"})),
        "codes": fingerprint(folder, changed_task(language_codes={})),
        "length": fingerprint(folder, changed_task(max_length=64)),
    }
    write(folder, "nli/test", parallel(8))
    prints["content"] = fingerprint(folder, nli)
    rows = parallel(8)
    rows[0]["premise"] += "!"
    write(folder, "nli/test", rows)
    prints["one letter"] = fingerprint(folder, nli)
    assert len(set(prints.values())) == len(prints), prints


def test_a_fingerprint_does_not_change_with_path_time_or_prose(folder, tmp_path, nli):
    path = write(folder, "nli/test", parallel(9))
    before = fingerprint(folder, nli)
    os.utime(path, (1, 1))
    assert fingerprint(folder, nli) == before
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert fingerprint(tmp_path / "elsewhere", nli) == before
    prose = changed_task(question="What?", licence="CC0", citation="Me")
    assert fingerprint(folder, prose) == before
    assert fingerprint(folder, nli, splits={"test": ["de", "en"]}) == before


def test_a_fingerprint_reads_no_rows(folder, nli):
    """A broken row is found when rows are read; the fingerprint alone is quick."""
    write(folder, "nli/test", []).write_bytes(b"no json")
    assert len(fingerprint(folder, nli)) == 16


def test_fingerprints_of_the_mini_suite(monkeypatch, tmp_path):
    from trainables import data
    from trainables.mini import grammar

    task = load_task("mini-nli", "--tasks")
    source = DataSource()
    before = source.fingerprint(task, {"train": ["en"]})
    assert DataSource(str(tmp_path)).fingerprint(task, {"train": ["en"]}) == before
    files = grammar.data_files()
    monkeypatch.setattr(grammar, "data_files", lambda: [*files[:-1], (files[-1][0], files[-1][1] + b"\n")])
    data._mini_digest.cache_clear()
    assert source.fingerprint(task, {"train": ["en"]}) != before
    monkeypatch.undo()
    data._mini_digest.cache_clear()
    assert source.fingerprint(task, {"train": ["en"]}) == before


# --- bad data ---------------------------------------------------------------------------------------------------------


def broken(folder, task, split="train"):
    """The mistake that reading gives, and its text."""
    with pytest.raises(Mistake) as caught:
        source = DataSource(str(folder))
        source.training(task) if split == "train" else source.load(task, split)
    return str(caught.value)


@forms
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row(label=..., uid="2"), "has no label (field 'label')"),
        (row(label="", uid="2"), "has no label"),
        (row(label=None, uid="2"), "has no label"),
        (row(label="entailed", uid="2"), "unknown label 'entailed' for task 'nli'"),
        (row(premise=..., uid="2"), "has no text (field 'premise')"),
        (row(hypothesis=..., uid="2"), "has no pair (field 'hypothesis')"),
        (row(), "the id '1' occurs twice in language en"),
        (row(lang="eng"), "the id '1' occurs twice in language en"),
    ],
)
def test_a_bad_row(folder, nli, form, bad, said):
    path = write(folder, "nli/train", [row(), bad], form)
    text = broken(folder, nli)
    assert said in text
    assert f"where: {path}, row 2" in text


def test_a_hint_for_an_unknown_label(folder, nli):
    write(folder, "nli/train", [row(label="entailed")])
    assert "did you mean 'entailment'?" in broken(folder, nli)


def test_the_same_id_in_two_languages_is_right(folder, nli):
    write(folder, "nli/test", parallel(3))
    assert set(DataSource(str(folder)).load(nli, "test")) == {"en", "de", "zh"}


@forms
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"upos": ["NOUN"]}, "not two lists of the same length"),
        ({"upos": ["NOUN", "VERB", "VERB"]}, "not two lists of the same length"),
        ({"upos": ["NOUN", "VRB"]}, "unknown label 'VRB'"),
        ({"upos": None}, "has no tags (field 'upos')"),
        ({"tokens": [], "upos": []}, "has no words (field 'tokens')"),
    ],
)
def test_a_bad_row_of_tags(folder, pos, form, bad, said):
    path = write(folder, "pos/train", [tagged(), tagged(id="2", **bad)], form)
    text = broken(folder, pos)
    assert said in text
    assert f"where: {path}, row 2" in text


def test_words_that_are_a_text(folder, pos):
    write(folder, "pos/train", [tagged(tokens="dogs run")])
    assert "not two lists" in broken(folder, pos)


def test_a_missing_file(folder, nli):
    folder.mkdir()
    text = broken(folder, nli)
    assert "task 'nli' needs the file nli/train.jsonl.gz" in text
    assert f"--data-dir {folder}" in text
    with pytest.raises(Mistake, match="needs the file"):
        fingerprint(folder, nli)


def test_no_folder_at_all(nli):
    with pytest.raises(Mistake, match="in a data folder only"):
        DataSource().load(nli, "train")


def test_an_unreadable_file(folder, nli):
    path = folder / "nli" / "train.jsonl"
    path.mkdir(parents=True)  # tests may run as root, who may read every file, but no directory
    assert f"where: {path}" in broken(folder, nli)
    with pytest.raises(Mistake, match="cannot be read"):
        fingerprint(folder, nli, splits={"train": ["en"]})


@pytest.mark.parametrize("what", ["file", "folder"])
def test_no_permission(nli, what):
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to become somebody else")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder, "nli/train", [row()])
        folder.chmod(0o755)
        (path if what == "file" else path.parent).chmod(0o700)
        path.chmod(0o600)
        os.seteuid(65534)
        try:
            text = broken(folder, nli)
        finally:
            os.seteuid(0)
        assert "cannot be read" in text
        assert str(folder) in text


def varied(count):
    """Rows that hardly compress."""
    rng = random.Random(0)
    return [row(uid=number, premise=rng.randbytes(30).hex()) for number in range(count)]


def test_a_truncated_gzip_file(folder, nli):
    path = write(folder, "nli/train", varied(500), ".jsonl.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    text = broken(folder, nli)
    assert "truncated" in text
    number = int(text.split(f"where: {path}, after row ")[1].split()[0])
    assert 300 < number < 500


@pytest.mark.parametrize("at", [40, 2000, -6])
def test_a_damaged_gzip_file(folder, nli, at):
    path = write(folder, "nli/train", varied(99), ".jsonl.gz")
    content = bytearray(path.read_bytes())
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert f"where: {path}" in broken(folder, nli)


@pytest.mark.parametrize("form", [".jsonl.gz", ".parquet"])
def test_a_file_that_is_of_another_form(folder, nli, form):
    path = write(folder, "nli/train", [row()])
    path = path.rename(path.parent / f"train{form}")
    text = broken(folder, nli)
    assert "the file cannot be read" in text
    assert f"where: {path}" in text
    assert f"no {form.split('.')[-1].replace('gz', 'gzip')} file" in text


def test_a_truncated_parquet_file(folder, nli):
    path = write(folder, "nli/train", [row()], ".parquet")
    path.write_bytes(path.read_bytes()[:-10])
    assert f"where: {path}" in broken(folder, nli)


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"premise": "half', "the row is no JSON"),
        (b"", "the row is no JSON"),
        (b"[1, 2]", "the row is no JSON object"),
        (b'"text"', "the row is no JSON object"),
        (b'{"premise": "\xff\xfe"}', "the row is no UTF-8 text"),
    ],
)
def test_a_broken_line(folder, nli, form, line, said):
    whole = json.dumps(row()).encode()
    lines = [whole.replace(b'"1"', str(number).encode()) for number in range(300)]
    lines[150] = line
    path = write(folder, "nli/train", [], form)
    content = b"\n".join(lines)
    path.write_bytes(gzip.compress(content) if form == ".jsonl.gz" else content)
    text = broken(folder, nli)
    assert said in text
    assert f"where: {path}, row 151" in text


def test_no_english_training_rows(folder, nli):
    path = write(folder, "nli/train", [row(lang="de")])
    text = broken(folder, nli)
    assert "task 'nli' has no English training examples" in text
    assert f"where: {path}" in text


def test_an_empty_file_has_no_english_training_rows(folder, nli):
    write(folder, "nli/train", [])
    assert "no English training examples" in broken(folder, nli)


def test_an_unknown_mini_set():
    task = Task.model_validate({**NLI, "source": {"mini": "nly"}})
    with pytest.raises(Mistake, match="no set 'nly'") as caught:
        DataSource().load(task, "train")
    assert "did you mean 'nli'?" in str(caught.value)


# --- published data ---------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_published_data(data_dir):
    """XNLI's validation set: the same items in each language."""
    task = Task.model_validate({
        "name": "xnli", "kind": "classification", "source": {"folder": {"dev": "xnli/val"}},
        "labels": ["entailment", "neutral", "contradiction"], "fields": {"text": "premise", "pair": "hypothesis"},
    })  # fmt: skip
    found = DataSource(str(data_dir), limit=40).load(task, "dev")
    assert len(found) >= 15
    assert len({tuple(sorted(example.id for example in rows)) for rows in found.values()}) == 1


# --- unions -----------------------------------------------------------------------------------------------------------


def test_a_union_depends_on_its_parts(folder, tmp_path):
    """Another field or another map of labels in a part is another training set, though no file has changed."""
    write(folder, "nli/train", [row(), row(uid="2", label="neutral")])
    labels = ["entailment", "neutral", "contradiction"]

    def part(**changed):
        fields = {"id": "uid", "text": "premise", "pair": "hypothesis"} | changed
        content = {"name": "part", "kind": "classification", "labels": labels, "fields": fields,
                   "source": {"folder": {"train": "nli/train"}}}  # fmt: skip
        path = tmp_path / "part.yaml"
        path.write_text(json.dumps(content), "utf-8")
        return Task.model_validate({
            "name": "both", "kind": "classification", "labels": labels, "source": {"tasks": [str(path)]},
        })  # fmt: skip

    plain = DataSource(str(folder)).fingerprint(part(), {"train": ["en"]})
    assert DataSource(str(folder)).fingerprint(part(), {"train": ["en"]}) == plain
    turned = part(text="hypothesis", pair="premise")
    assert DataSource(str(folder)).fingerprint(turned, {"train": ["en"]}) != plain
    assert [e.id for e in DataSource(str(folder)).training(turned)] == ["part:1", "part:2"]


@pytest.mark.parametrize(("name", "changes"), [("mini-nli", False), ("mini-squad", True)])
def test_settings_of_another_kind_change_no_fingerprint(name, changes):
    task = load_task(name, "")
    other = task.model_copy(update={"span": task.span.model_copy(update={"stride": 7})})
    one, two = (DataSource().fingerprint(t, {"train": ["en"]}) for t in (task, other))
    assert (one != two) == changes
