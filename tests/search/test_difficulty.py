"""Measured difficulty: every task alone, on as many rows, beside the majority's score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from search.candidate import Candidate
from search.cli import main
from search.difficulty import majority_score
from search.order import Order
from search.plan import Plan
from search.settings import load_settings
from search.study import Study
from trainables.data import DataSource
from trainables.examples import Answer, Example
from trainables.language_folder import CONFIG, WEIGHTS
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


@pytest.mark.parametrize("method", ["icl", "full"])
def test_a_decoders_tasks_are_measured_in_text_form(tmp_path, method, capsys):
    """Under `icl` nothing is learned from a task: it is trained in full, as an order would be."""
    flags = ["--model", "micro-decoder", "--out", str(tmp_path), "--limit", "6", "--seeds", "1", "--format", "json"]
    own = {"intermediate": "[mini-nli, mini-squad2]", "method": f"[{method}]", "targets": "mini-xnli"}
    own |= {"train": "{steps: 1, batch_size: 2}", "methods.icl.max_new_tokens": "3"}
    sets = [part for key, value in own.items() for part in ("--set", f"{key}={value}")]
    assert main(["difficulty", *flags, *sets]) == 0
    assert {row["metric"] for row in json.loads(capsys.readouterr().out)} == {"accuracy", "f1_em"}


def alone(tmp_path, model, overrides, task="mini-nli"):
    """The stages that train and score the task."""
    flags = {"model": model, "out": str(tmp_path), "limit": 8, "intermediate": task}
    study = Study(*load_settings({**flags, **overrides}, {}))
    candidate = Candidate(Order(((task,),)), *study.space.arms[0])
    return Plan(study, candidate, 0).alone(study.tasks[task])


@pytest.mark.parametrize("tokens", [3, 5])
def test_answers_are_written_up_to_as_many_tokens_as_the_study_says(tmp_path, tokens):
    own = {"targets": "mini-xnli", "methods": {"icl": {"max_new_tokens": tokens}}}
    _, score = alone(tmp_path, "micro-decoder", own, "mini-squad2")
    assert score.settings["icl_max_new_tokens"] == tokens
    assert "templates" in score.settings


def test_the_score_depends_on_the_language_adapter_that_it_is_made_with(tmp_path, tiny_model):
    keys = []
    for weights in ("one", "other"):
        for name in (CONFIG, WEIGHTS):
            (tmp_path / "en").mkdir(exist_ok=True)
            (tmp_path / "en" / name).write_text(weights)
        own = {"method": "adapter", "methods": {"adapter": {"languages": str(tmp_path)}}, "learning_rate": 1e-3}
        train, score = alone(tmp_path, tiny_model, own)
        assert score.settings["language_adapters"] == train.settings["language_adapters"]
        assert score.parent == train.key
        keys.append(score.key)
    assert keys[0] != keys[1]


def test_the_probe_is_measured_on_the_task_itself(tmp_path, tiny_model):
    """Its stages leave an order nothing, so no order has one of them."""
    train, score = alone(tmp_path, tiny_model, {"method": "probe", "learning_rate": 1e-3})
    assert (train.method, train.tasks, train.parent) == ("probe", ("mini-nli",), None)
    assert score.tasks == ("mini-nli",)


REFUSED = {
    "a prompt longer than the positions": ("xlm-roberta", "prompt", "prompt_length=600", "a prompt of length 600"),
    "more frozen layers than there are": ("xlm-roberta", "full", "methods.full.freeze_layers=9", "9 layers cannot"),
    "a family without modules": ("distilbert", "lora", "methods.lora.rank=4", "'lora' does not run on DistilBERT"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_model_cannot_do_is_refused_first(tmp_path, tiny_model, capsys, case):
    family, method, setting, told = REFUSED[case]
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((Path(folder) / "config.json").read_text())
    (Path(folder) / "config.json").write_text(json.dumps(config | {"model_type": family}))
    sets = ["--set", f"method={method}", "--set", "learning_rate=1e-3", "--set", setting]
    assert main(["difficulty", "--model", str(folder), "--out", str(tmp_path / "out"), "--limit", "8", *sets]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
