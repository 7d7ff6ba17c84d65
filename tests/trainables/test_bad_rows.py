"""Malformed rows, data files and task files: each a Mistake that says where, never another exception.

With `on_bad_row="skip"` a row is counted and listed, and the rest loads; that a whole file is wrong is told anyway.
"""

from __future__ import annotations

import gzip
import json
import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.examples import Example
from trainables.forms import example_of
from trainables.tasks import Task, load_task

SCREEN = 24

CONTEXT = "Anna bought a red apple at the market."

TASKS = {
    "pairs": {"kind": "classification", "labels": ["yes", "no"], "fields": {"pair": "pair"}},
    "topics": {"kind": "classification", "labels": ["yes", "no"]},
    "read": {"kind": "classification", "labels_from_train": True},
    "tags": {"kind": "tagging", "labels": ["N", "V"]},
    "joined": {"kind": "tagging", "labels": ["N|a", "V|b"], "fields": {"tags": ["one", "two"]}},
    "asks": {"kind": "span", "fields": {"text": "question", "pair": "context"}},
    "maybe": {
        "kind": "span",
        "fields": {"text": "question", "pair": "context"},
        "span": {"may_be_unanswerable": True},
        "metric": "squad_v2",
    },
    "ends": {"kind": "choice"},
    "stems": {"kind": "choice", "fields": {"text": "q.stem", "choices": "q.choices"}, "label_values": {"A": "0"}},
    "links": {"kind": "retrieval"},
    "plain": {"kind": "masked_lm"},
    "groups": {"kind": "classification", "labels": ["yes"], "carved": "book"},
}

GOOD = {
    "pairs": {"text": "A dog.", "pair": "An animal.", "label": "yes"},
    "topics": {"text": "A dog.", "label": "yes"},
    "read": {"text": "A dog.", "label": "yes"},
    "tags": {"words": ["dogs", "run"], "tags": ["N", "V"]},
    "joined": {"words": ["dogs", "run"], "one": ["N", "V"], "two": ["a", "b"]},
    "asks": {"question": "What?", "context": CONTEXT, "answers": [{"text": "apple", "answer_start": 18}]},
    "maybe": {"question": "What?", "context": CONTEXT, "answers": []},
    "ends": {"text": "She eats", "choices": ["an apple", "a car"], "label": 0},
    "stems": {"q": {"stem": "What?", "choices": [{"text": "a"}, {"text": "b"}]}, "label": "A"},
    "links": {"text": "Ein Hund.", "pair": "A dog."},
    "plain": {"text": "A dog."},
    "groups": {"text": "A dog.", "label": "yes", "book": "emma"},
}


def task_of(name, **more):
    fields = {**TASKS[name], **more}
    carved = {"carved_dev": {"by": fields.pop("carved")}} if "carved" in fields else {}
    split = "test" if fields["kind"] == "retrieval" else "train"
    return Task.model_validate({"name": name, "source": {"folder": {split: f"{name}/rows"}, **carved}, **fields})


def split_of(task):
    return next(iter(task.source.folder))


def good(name, number, **changed):
    row = {"id": str(number), "lang": "en", **GOOD[name], **changed}
    return {key: value for key, value in row.items() if value is not ...}


def write(folder, name, rows, form=".jsonl"):
    """A file of rows; a row that is bytes is written as it is."""
    path = folder / name / f"rows{form}"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
    path.write_bytes(gzip.compress(lines) if form == ".jsonl.gz" else lines)
    return path


def check_told(mistake, *said):
    """One screen, and everything that is to be said."""
    text = str(mistake)
    assert len(text.splitlines()) <= SCREEN
    assert max(map(len, text.splitlines())) <= 1000
    for fragment in said:
        assert fragment in text
    text.encode("utf-8", "strict")


# --- rows -------------------------------------------------------------------------------------------------------------

HALF = "half a surrogate pair \ud83d"
LONG = "word " * 210_000
"""A text of a megabyte."""


def answers(*found):
    return {"answers": list(found)}


BAD_ROWS = {
    # text
    "no text": ("topics", {"text": ...}, "no text (field 'text')"),
    "null text": ("topics", {"text": None}, "no text (field 'text')"),
    "empty text": ("topics", {"text": ""}, "no text (field 'text')"),
    "text of spaces": ("topics", {"text": " \t\u3000\n"}, "no text (field 'text')"),
    "text that is a list": ("topics", {"text": ["A", "dog."]}, "the text is no text but a list"),
    "text that is an object": ("topics", {"text": {"en": "A dog."}}, "the text is no text but an object"),
    "text that is true": ("topics", {"text": True}, "the text is no text but true or false"),
    "text that is no number": ("topics", {"text": float("nan")}, "no text (field 'text')"),
    "escaped NUL": ("topics", {"text": "A\0dog."}, "NUL character"),
    "half a character": ("topics", {"text": HALF}, "half a character"),
    "a megabyte": ("topics", {"text": LONG}, "1,050,000 characters, more than 200,000"),
    "no pair": ("pairs", {"pair": ...}, "no pair (field 'pair')"),
    "pair of spaces": ("pairs", {"pair": "  "}, "no pair (field 'pair')"),
    "pair that is a list": ("pairs", {"pair": ["An animal."]}, "the pair is no text but a list"),
    "pair where others have none": ("topics", {"pair": "An animal."}, "some examples are pairs"),
    "half a character in a translation": ("links", {"pair": HALF}, "half a character"),
    "no translation": ("links", {"pair": None}, "no pair (field 'pair')"),
    "plain text that is an object": ("plain", {"text": {"a": 1}}, "the text is no text but an object"),
    # label
    "no label": ("topics", {"label": ...}, "no label (field 'label')"),
    "null label": ("topics", {"label": None}, "no label (field 'label')"),
    "label of spaces": ("topics", {"label": " "}, "no label (field 'label')"),
    "unknown label": ("topics", {"label": "yess"}, "unknown label 'yess'", "did you mean 'yes'?"),
    "label that is a number": ("topics", {"label": 3}, "unknown label '3'"),
    "label that is true": ("topics", {"label": True}, "unknown label 'True'"),
    "label that is a list": ("topics", {"label": ["yes"]}, "the label is no text but a list"),
    "label that is an object": ("topics", {"label": {"yes": 1}}, "the label is no text but an object"),
    "label of a megabyte": ("topics", {"label": LONG}, "unknown label 'word word", "(1,050,000 characters)"),
    "label that a terminal would obey": ("topics", {"label": "\x1b[2J"}, "unknown label '\\x1b[2J'"),
    "half a character in a label": ("read", {"label": HALF}, "half a character"),
    "label read from training of a wrong type": ("read", {"label": {"a": 1}}, "the label is no text but an object"),
    # words and tags
    "a tag too few": ("tags", {"tags": ["N"]}, "not two lists of the same length (2 and 1)"),
    "a tag too many": ("tags", {"tags": ["N", "V", "V"]}, "not two lists of the same length (2 and 3)"),
    "no tags": ("tags", {"tags": ...}, "no tags (field 'tags')"),
    "no words": ("tags", {"words": [], "tags": []}, "no words (field 'words')"),
    "words that are a text": ("tags", {"words": "dogs run"}, "not two lists"),
    "tags that are an object": ("tags", {"tags": {"0": "N"}}, "not two lists"),
    "unknown tag": ("tags", {"tags": ["N", "VB"]}, "unknown label 'VB'"),
    "null tag": ("tags", {"tags": ["N", None]}, "tag 2 is no text but null"),
    "null word": ("tags", {"words": ["dogs", None]}, "word 2 is no text but null"),
    "word that is a list": ("tags", {"words": [["dogs"], "run"]}, "word 1 is no text but a list"),
    "half a character in a word": ("tags", {"words": ["dogs", HALF]}, "half a character"),
    "joined tags of two lengths": ("joined", {"two": ["a"]}, "joined to tags"),
    "joined tags, one missing": ("joined", {"one": ...}, "joined to tags"),
    "joined tags, one null": ("joined", {"two": ["a", None]}, "a part of a tag is no text but null"),
    # questions
    "offset outside": ("asks", answers({"text": "apple", "answer_start": 180}), "offset 180 lies outside", "at 18"),
    "offset below zero": ("asks", answers({"text": "apple", "answer_start": -1}), "offset -1 lies outside"),
    "offset past every number": ("asks", answers({"text": "apple", "answer_start": 10**40}), "more than 18 figures"),
    "offset of another word": ("asks", answers({"text": "apple", "answer_start": 14}), "says 'red a', not the answer"),
    "answer that is not there": ("asks", answers({"text": "pear", "answer_start": 18}), "says 'appl', not the answer"),
    "answer that is a text": ("asks", answers("apple"), "an answer is no object"),
    "answer without an offset": ("asks", answers({"text": "apple"}), "an answer is no object"),
    "answer with an offset in words": ("asks", answers({"text": "apple", "answer_start": "18"}), "no object"),
    "answer with half an offset": ("asks", answers({"text": "apple", "answer_start": 18.5}), "no object"),
    "answer of spaces": ("asks", answers({"text": " ", "answer_start": 4}), "an answer is no object"),
    "answer that is a list": ("asks", answers({"text": ["apple"], "answer_start": 18}), "an answer is no object"),
    "answers that are a text": ("asks", {"answers": "apple"}, "the answers are no list but of the type str"),
    "answers that are one object": (
        "asks",
        {"answers": {"text": "apple", "answer_start": 18}},
        "the answers are no list",
    ),
    "answers of two lengths": ("asks", {"answers": {"text": ["apple"], "answer_start": []}}, "the answers are no list"),
    "no answer": ("asks", {"answers": []}, "the question has no answer", "may_be_unanswerable"),
    "null answers": ("asks", {"answers": None}, "the question has no answer"),
    "no field of answers": ("maybe", {"answers": ...}, "no answers (field 'answers')"),
    "no context": ("asks", {"context": " "}, "no pair (field 'context')"),
    "context that is a list": ("asks", {"context": [CONTEXT]}, "the pair is no text but a list"),
    "question that is a number of no value": ("asks", {"question": float("nan")}, "no text (field 'question')"),
    # choices
    "index out of range": ("ends", {"label": 2}, "the right choice is '2', of 2 choices", "0 to 1"),
    "index below zero": ("ends", {"label": -1}, "the right choice is '-1'"),
    "index that is a letter": ("ends", {"label": "B"}, "the right choice is 'B'"),
    "index that is half": ("ends", {"label": 0.5}, "the right choice is '0.5'"),
    "index that is true": ("ends", {"label": True}, "the right choice is 'True'"),
    "index of thousands of figures": ("ends", {"label": "1" * 5000}, "(5,000 characters)"),
    "one choice": ("ends", {"choices": ["an apple"]}, "no list of two to five texts (there are 1)"),
    "six choices": ("ends", {"choices": list("abcdef")}, "no list of two to five texts (there are 6)"),
    "no choices": ("ends", {"choices": []}, "no choices"),
    "empty choice": ("ends", {"choices": ["an apple", ""]}, "no list of two to five texts"),
    "choices that are a text": ("ends", {"choices": "apple or car"}, "no list of two to five texts"),
    "choice that is a list": ("ends", {"choices": [["an apple"], "a car"]}, "choice 0 is no text but a list"),
    "choice without a text": ("stems", {"q": {"stem": "What?", "choices": [{"text": "a"}, {}]}}, "no list of two"),
    "stem that is missing": ("stems", {"q": {"choices": [{"text": "a"}, {"text": "b"}]}}, "no text (field 'q.stem')"),
    "outer field that is a text": ("stems", {"q": "What?"}, "no text (field 'q.stem')"),
    # identity, language, group
    "duplicate id": ("topics", {"id": "1"}, "the id '1' occurs twice in language en"),
    "id that is a list": ("topics", {"id": ["2"]}, "the id is no text but a list"),
    "id that is empty": ("topics", {"id": ""}, "the id is empty"),
    "half a character in an id": ("topics", {"id": HALF}, "half a character"),
    "language that is a number": ("topics", {"lang": 7}, "the language is no code but of the type int"),
    "language that is a list": ("topics", {"lang": ["en"]}, "the language is no code but of the type list"),
    "language that is false": ("topics", {"lang": False}, "the language is no code but of the type bool"),
    "language with spaces": ("topics", {"lang": " en "}, "the language is no code but ' en '"),
    "language of a megabyte": ("topics", {"lang": LONG}, "the language is no code but 'word"),
    "no group to carve by": ("groups", {"book": ...}, "the row has no 'book'"),
    "group that is a list": ("groups", {"book": ["emma"]}, "the row has no 'book'"),
    # lines
    "row that is a list": ("topics", b'["A dog.", "yes"]', "no JSON object"),
    "row that is a text": ("topics", b'"A dog."', "no JSON object"),
    "row that is null": ("topics", b"null", "no JSON object"),
    "empty line": ("topics", b"", "the row is no JSON"),
    "half a row": ("topics", b'{"id": "2", "text": "A d', "the row is no JSON", "column"),
    "two rows in a line": ("topics", b'{"id": "2"} {"id": "3"}', "the row is no JSON: Extra data"),
    "single quotes": ("topics", b"{'id': '2'}", "the row is no JSON"),
    "Latin-1": ("topics", '{"id": "2", "text": "Käse", "label": "yes"}'.encode("latin-1"), "no UTF-8", "0xe4"),
    "raw NUL": ("topics", b'{"id": "2", "text": "A\0dog.", "label": "yes"}', "the row is no JSON"),
    "nothing but NUL": ("topics", b"\0" * 4096, "the row is no JSON"),
    "a megabyte of no JSON": ("topics", b"x" * 1_000_000, "the row is no JSON"),
    "nested deeply": ("topics", b'{"id": "2", "text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "number of thousands of figures": ("topics", b'{"id": ' + b"9" * 5000 + b"}", "thousands of figures"),
    "a second byte order mark": ("topics", "\ufeff{}".encode(), "the row is no JSON"),
    "a thousand fields": ("topics", json.dumps({f"f{i}": i for i in range(1000)}).encode(), "no text", "and 980 more"),
    "field names of a megabyte": ("topics", json.dumps({LONG: 1}).encode(), "no text", "(1,050,000 characters)"),
}


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row(tmp_path, case, form):
    name, bad, *said = BAD_ROWS[case]
    task = task_of(name)
    split = split_of(task)
    bad = bad if isinstance(bad, bytes) else good(name, 2, **bad)
    path = write(tmp_path, name, [good(name, 1), bad, good(name, 3)], form)
    with pytest.raises(Mistake) as caught:
        DataSource(str(tmp_path)).load(task, split)
    check_told(caught.value, f"where: {path}, row 2", *said)

    source = DataSource(str(tmp_path), on_bad_row="skip")
    splits = [split, "dev"] if task.source.carved_dev else [split]
    kept = sorted(e.id for each in splits for rows in source.load(task, each).values() for e in rows)
    assert kept == ["1", "3"]
    (skipped,) = source.skipped
    assert (skipped.task, skipped.split, skipped.where) == (name, split, f"{path}, row 2")
    assert said[0].split(" (")[0] in skipped.what
    assert source.load(task, split)  # told once, however often it is read
    assert len(source.skipped) == 1


def test_good_rows_are_good(tmp_path):
    """The rows that the bad ones are made of."""
    for name in TASKS:
        task = task_of(name)
        write(tmp_path, name, [good(name, number) for number in (1, 2)])
        source = DataSource(str(tmp_path))
        splits = [split_of(task), *(["dev"] if task.source.carved_dev else [])]
        found = [rows for split in splits for rows in source.load(task, split).values()]
        assert sum(map(len, found)) == 2, name


def test_there_are_cases_enough():
    assert len(BAD_ROWS) + len(BAD_TASKS) + len(BAD_FILES) >= 30


def test_every_bad_row_is_listed(tmp_path):
    path = write(tmp_path, "topics", [good("topics", n, label="yes" if n % 2 else "what") for n in range(300)])
    source = DataSource(str(tmp_path), on_bad_row="skip")
    assert len(source.load(task_of("topics"), "train")["en"]) == 150
    assert [row.where for row in source.skipped] == [f"{path}, row {n + 1}" for n in range(0, 300, 2)]


def test_rows_stay_parallel_where_one_is_skipped(tmp_path):
    """Rows without ids are parallel by their number, in the other languages too."""
    rows = [good("topics", 0, id=..., lang=code, text=f"{code} {n}") for code in ("en", "de") for n in range(4)]
    rows[5]["label"] = "what"
    write(tmp_path, "topics", rows)
    found = DataSource(str(tmp_path), on_bad_row="skip").load(task_of("topics"), "train")
    assert [(example.id, example.text) for example in found["de"]] == [("1", "de 0"), ("3", "de 2"), ("4", "de 3")]


def test_nothing_is_left(tmp_path):
    write(tmp_path, "topics", [b"{", b"}"])
    source = DataSource(str(tmp_path), on_bad_row="skip")
    with pytest.raises(Mistake, match="no English training examples"):
        source.training(task_of("topics"))
    assert len(source.skipped) == 2


WEIRD = [
    None, True, False, 0, -1, 10**30, 0.5, float("nan"), float("inf"), "", " ", "\0", HALF, "x", "yes", "1" * 5000, [],
    [None], [[]], ["a", "b"], {}, {"text": None}, {"text": ["a"]}, {"text": "a", "answer_start": 0}, [{}], ["N", "V"],
    b"bytes",
]  # fmt: skip


def mutated(rng, value):
    """A value with something in it replaced, taken away or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.7:
        key = rng.choice(list(value))
        return {k: mutated(rng, v) if k == key else v for k, v in value.items() if k != key or rng.random() < 0.9}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        changed = mutated(rng, value[at])
        return rng.choice([[*value[:at], changed, *value[at + 1 :]], value[:at], [*value, changed]])
    return rng.choice(WEIRD)


@pytest.mark.parametrize("name", TASKS)
def test_whatever_a_row_holds_it_is_an_example_or_a_mistake(name):
    rng, task, told = random.Random(name), task_of(name), 0
    for _ in range(3000):
        row = mutated(rng, good(name, 1))
        if not isinstance(row, dict):
            continue
        try:
            example = example_of(task, row, "en", 1, "row 1")
        except Mistake as mistake:
            check_told(mistake, "row 1")
            told += 1
            continue
        assert isinstance(example, Example)
        texts = [example.id, example.text, example.pair, example.label, *example.words, *example.tags, *example.choices]
        assert all(text is None or isinstance(text, str) for text in texts)
        " ".join(text for text in texts if text).encode()
        assert len(example.words) == len(example.tags)
        assert all((example.pair or "")[a.start :].startswith(a.text) for a in example.answers)
    assert told > 300


# --- forms of files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz"])
def test_a_byte_order_mark_is_accepted(tmp_path, form):
    first = b"\xef\xbb\xbf" + json.dumps(good("topics", 1)).encode()
    write(tmp_path, "topics", [first, good("topics", 2)], form)
    assert [example.id for example in DataSource(str(tmp_path)).training(task_of("topics"))] == ["1", "2"]


def test_windows_line_ends_are_accepted(tmp_path):
    path = write(tmp_path, "topics", [good("topics", 1), good("topics", 2)])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(DataSource(str(tmp_path)).training(task_of("topics"))) == 2


def test_a_row_of_a_languages_own_file_is_in_its_language(tmp_path):
    """Also where the field has another name, or is there and empty."""
    source = {"folder": {"test": "own/{lang}"}}
    for fields in ({}, {"lang": "language"}):
        task = Task.model_validate({
            "name": "own", "kind": "classification", "labels": ["yes"], "languages": ["de"], "source": source,
            "fields": fields,
        })  # fmt: skip
        (tmp_path / "own").mkdir(exist_ok=True)
        rows = [good("topics", 1, lang=...), good("topics", 2, lang=None), good("topics", 3, lang=..., language="")]
        (tmp_path / "own" / "de.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert [e.id for e in DataSource(str(tmp_path)).load(task, "test")["de"]] == ["1", "2", "3"]


def parquet(folder, name, **columns):
    path = folder / name / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_text_that_is_no_utf8(tmp_path):
    raw = pa.array([b"A dog.", b"K\xe4se", b"A cat."], pa.binary()).view(pa.string())
    path = parquet(tmp_path, "topics", id=["1", "2", "3"], text=raw, label=["yes", "yes", "no"])
    with pytest.raises(Mistake) as caught:
        DataSource(str(tmp_path)).training(task_of("topics"))
    check_told(caught.value, f"where: {path}, row 2", "cannot be read")
    source = DataSource(str(tmp_path), on_bad_row="skip")
    assert [example.id for example in source.training(task_of("topics"))] == ["1", "3"]
    assert [row.where for row in source.skipped] == [f"{path}, row 2"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": [b"A dog."], "label": ["yes"]}, "the text is no text but of the type bytes"),
        ({"text": [pd.Timestamp("2026-01-31")], "label": ["yes"]}, "the text is no text but of the type"),
        ({"text": ["A dog."], "label": [None]}, "no label"),
        ({"text": ["A dog."], "label": [float("nan")]}, "no label"),
        ({"text": ["A dog."], "label": ["yes"], "id": [[1]]}, "the id is no text but a list"),
    ],
)
def test_parquet_rows(tmp_path, columns, said):
    path = parquet(tmp_path, "topics", **columns)
    with pytest.raises(Mistake) as caught:
        DataSource(str(tmp_path)).training(task_of("topics"))
    check_told(caught.value, f"where: {path}, row 1", said)


# --- whole files ------------------------------------------------------------------------------------------------------

BAD_FILES = {}


def bad_file(*said):
    def register(function):
        BAD_FILES[function.__name__.strip("_").replace("_", " ")] = (function, said)
        return function

    return register


def lines(count=300):
    """Rows that hardly compress."""
    rng = random.Random(0)
    return [good("topics", number, text=rng.randbytes(30).hex()) for number in range(count)]


@bad_file("the file is empty", "no English training examples")
def _empty(folder):
    return write(folder, "topics", [])


@bad_file("the file is empty", "no English training examples")
def _empty_gzip(folder):
    return write(folder, "topics", [], ".jsonl.gz")


@bad_file("the file is empty", "no English training examples")
def _gzip_of_no_bytes(folder):
    path = write(folder, "topics", [], ".jsonl.gz")
    path.write_bytes(b"")
    return path


@bad_file("the file is empty", "no English training examples")
def _empty_parquet(folder):
    return parquet(folder, "topics", text=pa.array([], pa.string()), label=pa.array([], pa.string()))


@bad_file("UTF-16", "saved as UTF-8")
def _utf_16(folder):
    path = write(folder, "topics", lines(3))
    path.write_text(path.read_text("utf-8"), "utf-16")
    return path


@bad_file("UTF-16 or UTF-32", "saved as UTF-8")
def _utf_32(folder):
    path = write(folder, "topics", lines(3))
    path.write_bytes(b"\x00\x00\xfe\xff" + path.read_text("utf-8").encode("utf-32-be"))
    return path


@bad_file("cannot be read", "truncated")
def _truncated_gzip(folder):
    path = write(folder, "topics", lines(), ".jsonl.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    return path


@bad_file()  # what is read before the damage is found may be a bad row or the end
def _damaged_gzip(folder):
    path = write(folder, "topics", lines(), ".jsonl.gz")
    content = bytearray(path.read_bytes())
    content[4000:4040] = b"\xff" * 40
    path.write_bytes(content)
    return path


@bad_file("cannot be read", "no gzip file")
def _plain_text_named_gzip(folder):
    path = write(folder, "topics", lines(3))
    return path.rename(path.with_suffix(".jsonl.gz"))


@bad_file("cannot be read", "truncated or no parquet file")
def _truncated_parquet(folder):
    path = parquet(folder, "topics", text=[row["text"] for row in lines()], label=["yes"] * 300)
    path.write_bytes(path.read_bytes()[:-100])
    return path


@bad_file("cannot be read", "parquet")
def _damaged_parquet(folder):
    path = parquet(folder, "topics", text=[row["text"] for row in lines()], label=["yes"] * 300)
    content = bytearray(path.read_bytes())
    content[4:600] = b"\xff" * 596
    path.write_bytes(content)
    return path


@bad_file("cannot be read")
def _folder_in_place_of_a_file(folder):
    path = folder / "topics" / "rows.jsonl"
    path.mkdir(parents=True)
    return path


@bad_file("needs the file topics/rows.jsonl.gz", "--data-dir")
def _no_file(folder):
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("how", ["error", "skip"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file(tmp_path, case, how):
    """That a whole file cannot be read is told whatever becomes of rows."""
    function, said = BAD_FILES[case]
    path = function(tmp_path)
    with pytest.raises(Mistake) as caught:
        DataSource(str(tmp_path), on_bad_row=how).training(task_of("topics"))
    check_told(caught.value, str(path), *said)


def test_an_empty_test_file(tmp_path):
    path = write(tmp_path, "links", [])
    with pytest.raises(Mistake, match="the file is empty: task 'links' has no test examples") as caught:
        DataSource(str(tmp_path)).load(task_of("links"), "test")
    check_told(caught.value, str(path))


def test_a_dev_set_without_english(tmp_path):
    """A study selects on English dev: that there is none is told before anything is trained."""
    folder = {"train": "topics/rows", "dev": "topics/dev"}
    task = Task.model_validate({"name": "topics", "source": {"folder": folder}, **TASKS["topics"]})
    path = tmp_path / "topics" / "dev.jsonl"
    write(tmp_path, "topics", [good("topics", 1)])
    path.write_text(json.dumps(good("topics", 1, lang="de")))
    with pytest.raises(Mistake, match="no English dev examples") as caught:
        DataSource(str(tmp_path)).check(task, ["train", "dev"])
    check_told(caught.value, str(path))


def test_a_label_of_the_test_set_that_training_lacks(tmp_path):
    """Where labels are read from training, no model has an output for others."""
    folder = {"train": "read/rows", "test": "read/test"}
    task = Task.model_validate({"name": "read", "source": {"folder": folder}, **TASKS["read"]})
    write(tmp_path, "read", [good("read", 1), good("read", 2, label="no")])
    rows = [good("read", 1), good("read", 2, label="perhaps"), good("read", 3, label="no")]
    (tmp_path / "read" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = DataSource(str(tmp_path))
    with pytest.raises(Mistake, match="'perhaps' does not occur in the training set") as caught:
        source.load(source.resolved(task), "test")
    check_told(caught.value, "task read, test, language en, the example '2'")
    source = DataSource(str(tmp_path), on_bad_row="skip")
    assert [example.id for example in source.load(source.resolved(task), "test")["en"]] == ["1", "3"]
    assert len(source.skipped) == 1


# --- mining -----------------------------------------------------------------------------------------------------------


def mining(place, gold, sentences=None, source=None):
    """A mining task of three sentences a side, and its gold pairs."""
    (place / "mine").mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"{code}-{n}", "lang": code, "text": f"{code} {n}"} for code in ("de", "en") for n in range(3)]
    for name, content in (("de", rows if sentences is None else sentences), ("de.gold", gold)):
        if content is not None:
            (place / "mine" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    source = {"folder": {"test": "mine/{lang}"}, "gold": "mine/{lang}.gold", **(source or {})}
    task = {"name": "mine", "kind": "mining", "languages": ["de"], "source": source}
    return Task.model_validate(task), DataSource(str(place))


PAIR = {"de": "de-0", "en": "en-2"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"de": "de-9", "en": "en-1"}, "no sentence 'de-9' in language 'de'"),
        ({"de": "de-1", "en": "de-1"}, "no sentence 'de-1' in language 'en'"),
        ({"de": "de-1"}, "no pair of ids"),
        ({"de": "de-1", "en": None}, "no pair of ids"),
        ({"de": "de-1", "en": ["en-1"]}, "no pair of ids"),
        ({"de": "de-1", "en": LONG}, "no sentence 'word"),
        (["de-1", "en-1"], "no JSON object"),
    ],
)
def test_a_bad_gold_pair(tmp_path, bad, said):
    task, source = mining(tmp_path, [PAIR, bad])
    with pytest.raises(Mistake) as caught:
        source.load(task, "test")
    path = tmp_path / "mine" / "de.gold.jsonl"
    check_told(caught.value, f"{path}, row 2", said)
    source = DataSource(str(tmp_path), on_bad_row="skip")
    found = source.load(task, "test")["de"]
    assert {(e.id, e.pair) for e in found if e.label == "source" and e.pair} == {("de-0", "en-2")}
    assert len(found) == 6
    assert [row.where for row in source.skipped] == [f"{path}, row 2"]


def test_gold_ids_that_are_numbers(tmp_path):
    rows = [{"id": n, "lang": code, "text": f"{code} {n}"} for code in ("de", "en") for n in range(2)]
    task, source = mining(tmp_path, [{"de": 0, "en": 0}], rows)
    assert [(e.id, e.label, e.pair) for e in source.load(task, "test")["de"] if e.pair] == [
        ("0", "source", "0"), ("0", "target", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gold", "sentences", "source", "said"),
    [
        (None, None, {}, "needs the file mine/de.gold"),
        ([], None, {}, "the file is empty"),
        ([PAIR], [], {}, "the file is empty"),
        ([PAIR], [{"id": "de-0", "lang": "de", "text": "x"}], {}, "no sentences in language 'en'"),
        ([PAIR], None, {"gold": None}, "a mining task needs a file of sentences and one of gold pairs"),
        ([PAIR], None, {"folder": {"test": "mine/de"}, "gold": "mine/de.gold"}, "a mining task needs a file"),
    ],
)
def test_files_of_mining(tmp_path, gold, sentences, source, said):
    task, data = mining(tmp_path, gold, sentences, source)
    with pytest.raises(Mistake) as caught:
        data.load(task, "test")
    check_told(caught.value, said)


# --- task files -------------------------------------------------------------------------------------------------------

FILE = {"name": "own", "kind": "classification", "labels": ["a", "b"], "source": {"folder": {"train": "own/train"}}}
HUB = {"path": "owner/set", "revision": "0" * 40, "splits": {"train": "train"}}


def changed(**fields):
    return {key: value for key, value in {**FILE, **fields}.items() if value is not ...}


BAD_TASKS = {
    "unknown key": (changed(lables=["a"]), "unknown key 'lables'", "did you mean 'labels'?"),
    "unknown inner key": (changed(span={"strid": 3}), "unknown key 'span.strid'", "did you mean 'stride'?"),
    "inner key outside its section": (changed(stride=3), "unknown key 'stride'", "did you mean 'span.stride'?"),
    "no name": (changed(name=...), "the key 'name' is missing"),
    "name with a space": (changed(name="my task"), "key 'name'", "'my task'"),
    "name that is a number": (changed(name=7), "key 'name'", "string"),
    "name that leaves the folder": (changed(name="../own"), "key 'name'"),
    "no kind": (changed(kind=...), "the key 'kind' is missing"),
    "wrong kind": (changed(kind="clasification"), "key 'kind'", "did you mean 'classification'?"),
    "wrong metric": (changed(metric="f1"), "a classification task has accuracy (given: f1)"),
    "no labels": (changed(labels=...), "needs its labels"),
    "labels that are no list": (changed(labels="a"), "key 'labels'"),
    "labels that YAML reads as truth": ("{name: own, kind: classification, labels: [yes, no], source: {mini: nli}}",
                                        "key 'labels.0'", "(given: True)"),
    "languages that YAML reads as truth": (changed(languages=[False]), "key 'languages.0'", "(given: False)"),
    "languages that are numbers": (changed(languages=[7]), "key 'languages.0'"),
    "language codes of a wrong type": (changed(language_codes={"deu": 7}), "key 'language_codes.deu'"),
    "language codes that are a list": (changed(language_codes=["deu"]), "key 'language_codes'"),
    "other training languages": (changed(train_languages=["en", "de"]), "train_languages", "translated: true"),
    "retrieval with a training set": (changed(kind="retrieval", train="mnli"), "a retrieval task has no training set"),
    "mining with a training set": (changed(kind="mining", train="mnli"), "a mining task has no training set"),
    "negative stride": (changed(kind="span", span={"stride": -1}), "key 'span.stride'", "greater than or equal to 1"),
    "no source": (changed(source=...), "the key 'source' is missing"),
    "empty source": (changed(source={}), "one of mini, folder, hub, tasks, ccgbank is needed"),
    "unknown split": (changed(source={"folder": {"tran": "x"}}), "source.folder.tran", "did you mean 'train'?"),
    "revision that is a branch": (changed(source={"hub": {**HUB, "revision": "main"}}), "hub.revision", "'main'"),
    "hub without splits": (changed(source={"hub": {"path": "a/b", "revision": "0" * 40}}), "'source.hub.splits'"),
    "share of a dev set": (changed(source={"folder": {"train": "x"}, "carved_dev": {"by": "id", "share": 1.5}}),
                           "source.carved_dev.share"),
    "length of thousands": (changed(max_length=100_000), "key 'max_length'"),
    "length in words": (changed(max_length="long"), "key 'max_length'", "'long'"),
    "unknown pooling": (changed(retrieval={"pooling": "meen"}), "retrieval.pooling", "did you mean 'mean'?"),
    "section that is a number": (changed(span=5), "key 'span'"),
    "section that is null": (changed(source=None), "key 'source'"),
    "file that is a list": (["name", "own"], "no keys and values"),
    "empty file": ("", "no keys and values"),
    "broken YAML": ("name: [own\nkind: x", "no valid YAML", "line 2"),
    "tabs": ("name: own\n\tkind: x", "no valid YAML", "line 2"),
    "NUL": ("name: own\0", "no valid YAML"),
    "Python objects": ("name: !!python/object/apply:os.system ['true']", "no valid YAML"),
    "Latin-1": ("question: Käse".encode("latin-1"), "no UTF-8 text"),
    "UTF-16": ("name: own".encode("utf-16"), "no UTF-8 text"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TASKS)
def test_a_bad_task_file(tmp_path, case):
    content, *said = BAD_TASKS[case]
    path = tmp_path / "own.yaml"
    text = content if isinstance(content, str | bytes) else yaml.safe_dump(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Mistake) as caught:
        load_task(str(path), "--targets")
    check_told(caught.value, str(path), *said)


def test_all_that_is_wrong_with_a_task_file_is_told(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(changed(lables=[], kind="x", max_length=0, languages=[True], name="A")))
    with pytest.raises(Mistake) as caught:
        load_task(str(path), "--targets")
    check_told(caught.value, "lables", "kind", "max_length", "languages.0", "name")


def test_a_task_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(FILE), "utf-8-sig")
    assert load_task(str(path), "--targets").labels == ["a", "b"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_files_by_language_of_a_task_that_lists_none(tmp_path, split):
    source = {"folder": {split: "own/{lang}"}}
    task = Task.model_validate(changed(source=source, kind="masked_lm", train_languages=[]))
    with pytest.raises(Mistake, match="lists no languages") as caught:
        DataSource(str(tmp_path)).load(task, split)
    check_told(caught.value, "task own, key")
