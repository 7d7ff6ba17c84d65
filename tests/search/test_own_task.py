"""Tasks of a user's own, which the repository does not know: from files to a leaderboard, by path alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import yaml

from search.cli import main

ROOT = Path(__file__).resolve().parents[2]

TARGETS = ["own-pairs", "own-words", "own-ends"]

WORDS = {
    "en": {
        "who": ["Mia", "Tom", "Ada"], "thing": ["bread", "soup", "rice"], "place": ["kitchen", "garden", "hall"],
        "says": "{who} eats {thing} in the {place} .", "not": "{who} eats no {thing} .",
    },
    "de": {
        "who": ["Mia", "Tom", "Ada"], "thing": ["Brot", "Suppe", "Reis"], "place": ["Küche", "Garten", "Flur"],
        "says": "{who} isst {thing} in {place} .", "not": "{who} isst keine {thing} .",
    },
}  # fmt: skip
"""Two languages of few words; items are parallel by their number."""

TAGS = {"who": "NAME", "thing": "FOOD", "place": "PLACE"}


def facts():
    return list(product(range(3), repeat=3))


def sentence(lang, who, thing, place, form="says"):
    words = WORDS[lang]
    return words[form].format(who=words["who"][who], thing=words["thing"][thing], place=words["place"][place])


def pair(lang, number, fact):
    """Whether the second sentence denies the first."""
    other = sentence(lang, *fact, form=("says", "not")[number % 2])
    return {"one": sentence(lang, *fact), "two": other, "sign": number % 2}


def tagged(lang, number, fact):
    words = sentence(lang, *fact).split()
    known = {form: TAGS[role] for role in TAGS for form in WORDS[lang][role]}
    return {"tokens": words, "tags": [known.get(word, "O") for word in words]}


def ending(lang, number, fact):
    """Which of three things is eaten; the right one stands at place `number % 3`."""
    who, thing, place = fact
    start = sentence(lang, who, thing, place).split()
    wrong = [one for one in WORDS[lang]["thing"] if one != start[2]]
    choices = [*wrong[: number % 3], start[2], *wrong[number % 3 :]]
    return {"about": " ".join(start), "question": {"stem": start[0], "choices": choices}, "key": "ABC"[number % 3]}


MADE = {"own-pairs": pair, "own-words": tagged, "own-ends": ending}

TASKS = {
    "own-pairs": {
        "kind": "classification", "labels": ["same", "denied"], "label_values": {"0": "same", "1": "denied"},
        "fields": {"text": "one", "pair": "two", "label": "sign"},
        "source": {"folder": {"train": "pairs/train", "dev": "pairs/dev", "test": "pairs/test"}},
    },
    "own-words": {
        "kind": "tagging", "labels": ["O", *TAGS.values()], "fields": {"words": "tokens"}, "languages": ["de", "en"],
        "source": {"folder": {"train": "words/train", "dev": "words/dev", "test": "words/{lang}"}},
    },
    "own-ends": {
        "kind": "choice", "label_values": {"A": "0", "B": "1", "C": "2"},
        "fields": {"text": "about", "pair": "question.stem", "choices": "question.choices", "label": "key"},
        "source": {"folder": {"train": "ends/train", "dev": "ends/dev", "test": "ends/test"}},
    },
}  # fmt: skip


def write(folder):
    """The task files, and the data: training and dev in English, test in English and German."""
    data = folder / "data"
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **task}, allow_unicode=True), "utf-8")
        items = list(enumerate(facts()))
        parts = {"train": (items[:18], ["en"]), "dev": (items[18:21], ["en"]), "test": (items[18:], ["en", "de"])}
        for split, (chosen, codes) in parts.items():
            for code in codes:
                rows = [{"id": f"{split}-{n}", "lang": code, **MADE[name](code, n, fact)} for n, fact in chosen]
                stem = task["source"]["folder"][split].replace("{lang}", code)
                path = data / f"{stem}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with (data / "pairs" / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "bad", "one": "Mia eats rice .", "two": " ", "sign": 0}\n')
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("own")
    write(made)
    return made


@pytest.fixture(scope="module")
def finished(folder):
    """One real run of the three tasks, as intermediate tasks and as targets; its output and its folder."""
    beside, whole = [f"./{name}.yaml" for name in TASKS], [f"{folder}/{name}.yaml" for name in TASKS]
    words = [
        "run", "--set", f"intermediate=[{', '.join(beside)}]", "--targets", ",".join(whole),
        "--data-dir", "data", "--on-bad-row", "skip", "--seeds", "1", "--max-concurrent", "1",
        "--set", "orders.kind=explicit", "--set", "orders.max_length=3",
        "--set", "orders.explicit=[none, own-ends>own-words>own-pairs]",
        "--set", "train.steps=3", "--set", "train.target_steps=3", "--set", "train.batch_size=4",
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "search" / "run.py"), *words]
    wide = os.environ | {"COLUMNS": "160"}
    done = subprocess.run(command, cwd=folder, env=wide, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout, next((folder / "runs").glob("orders-*"))


@pytest.mark.parametrize("name", TASKS)
def test_validate(folder, name, monkeypatch, capsys):
    """The bad row is told; everything else is in order, languages and labels included."""
    monkeypatch.chdir(folder)
    code = main(["validate", f"./{name}.yaml", "--data-dir", "data", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (2 if name == "own-pairs" else 0)
    assert [row["what"] for row in report["bad_rows"]] == (
        ["the example has no pair (field 'two')"] if name == "own-pairs" else []
    )
    assert (report["wrong"], report["remarks"]) == ([], [])
    assert {(row["split"], row["language"]): row["examples"] for row in report["splits"]} == {
        ("train", "en"): 18, ("dev", "en"): 3, ("test", "en"): 9, ("test", "de"): 9,
    }  # fmt: skip


def test_the_leaderboard(finished):
    shown, folder = finished
    board = pd.read_csv(folder / "leaderboard.csv")
    columns = [f"target_{name.replace('-', '_')}" for name in TARGETS]
    assert {"rank", "order", "method", "score", "seeds", *columns} <= set(board.columns)
    assert set(board.order) == {"none", "own-ends>own-words>own-pairs"}
    assert board.score.between(0, 100).all()
    assert "own-ends>own-words>own-pairs" in shown


def test_the_scores(finished):
    """Every target in both languages, with its kind's metrics, on all of its items."""
    scores = pd.read_parquet(finished[1] / "scores.parquet")
    test = scores[scores.portion == "test"]
    metrics = {"own-pairs": ["accuracy"], "own-words": ["f1", "token_accuracy"], "own-ends": ["accuracy"]}
    assert set(test[["target", "language", "metric"]].itertuples(index=False, name=None)) == {
        (target, language, metric) for target in TARGETS for language in ("en", "de") for metric in metrics[target]
    }
    assert set(test[test.metric == "accuracy"].n) == {9}
    assert set(scores[scores.portion == "dev"].language) == {"en"}
    assert test.value.between(0, 1).all()
    predictions = pd.read_parquet(finished[1] / "predictions" / "own-ends.parquet")
    assert set(predictions[predictions.portion == "test"].id) == {f"test-{n}" for n in range(18, 27)}


def test_what_was_left_out(finished):
    shown, folder = finished
    assert shown.count("bad row") == 1
    assert f"{folder.parents[1]}/data/pairs/train.jsonl, row 19" in shown
    skipped = json.loads((folder / "manifest.json").read_text())["skipped_rows"]
    assert skipped["count"] == 1
    assert skipped["rows"][0]["what"] == "the example has no pair (field 'two')"


def test_without_the_flag_the_bad_row_ends_the_run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["--targets", "./own-pairs.yaml", "--data-dir", "data", "--dry-run"]) == 2
    assert "row 19" in capsys.readouterr().err
