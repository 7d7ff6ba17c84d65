"""Measured difficulty: every task alone, on as many rows, beside the majority's score."""

from __future__ import annotations

import json

import pytest

from search.cli import main
from search.difficulty import majority_score
from trainables.data import DataSource
from trainables.examples import Answer, Example
from trainables.tasks import load_task


def measured(tmp_path, model, capsys, *more):
    flags = ["--model", model, "--out", str(tmp_path), "--limit", "48", "--seeds", "1", "--format", "json"]
    assert main(["difficulty", *flags, "--set", "train={steps: 3, batch_size: 4}", *more]) == 0
    return {row["task"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_task_is_measured_alike(tmp_path, tiny_model, capsys):
    tasks = "intermediate=[mini-nli, mini-tags, mini-csqa, mini-squad2]"
    rows = measured(tmp_path, tiny_model, capsys, "--set", tasks)
    assert set(rows) == {"mini-nli", "mini-tags", "mini-csqa", "mini-squad2"}
    assert {(row["rows"], row["steps"]) for row in rows.values()} == {(48, 3)}
    assert {name: row["metric"] for name, row in rows.items()} == {
        "mini-nli": "accuracy", "mini-tags": "token_accuracy", "mini-csqa": "accuracy", "mini-squad2": "f1_em",
    }  # fmt: skip
    assert rows["mini-csqa"]["rating"] == "high"
    for row in rows.values():
        assert row["difficulty"] == pytest.approx((1 - row["score"]) / (1 - row["majority"]), abs=5e-3)
    assert list(rows) == sorted(rows, key=lambda name: (rows[name]["difficulty"], name))
    again = measured(tmp_path, tiny_model, capsys, "--set", tasks)
    assert again == rows  # from the store


def test_tasks_without_labels_are_left_out(tmp_path, tiny_model, capsys):
    rows = measured(tmp_path, tiny_model, capsys, "--set", "intermediate=[mini-topic, mini-mlm]")
    assert set(rows) == {"mini-topic"}


@pytest.mark.parametrize(
    ("task", "examples", "score"),
    [
        ("mini-nli", [Example(str(i), "en", label=label) for i, label in enumerate("aab")], 2 / 3),
        ("mini-csqa", [Example(str(i), "en", label=label) for i, label in enumerate("0012")], 1 / 2),
        ("mini-pos", [Example("1", "en", tags=("A", "B", "A", "A"))], 3 / 4),
        ("mini-squad2", [Example("1", "en"), Example("2", "en", pair="x", answers=(Answer("x", 0),))], 1 / 2),
    ],
)
def test_the_majority(task, examples, score):
    assert majority_score(load_task(task, ""), examples) == pytest.approx(score)


def test_a_majority_of_real_sets_is_below_the_ceiling():
    data = DataSource()
    for name in ("mini-nli", "mini-tags", "mini-csqa", "mini-squad2", "mini-ccg"):
        task = load_task(name, "")
        assert 0 < majority_score(task, data.load(task, "dev")["en"]) < 0.7, name
