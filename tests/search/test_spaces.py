"""Every shipped space, small and without Ray: from its file to tables and an answer."""

from __future__ import annotations

import itertools
import json
import random

import pandas as pd
import pytest
import yaml
from planted import row
from rayless import played

from search.analysis.representations import MARGIN
from search.describe import describe
from search.publish import published
from search.results import Results, Run
from search.run_folder import RunFolder
from search.settings import load_settings
from search.study import Study
from trainables.config import names
from trainables.fertility import PORTION
from trainables.tasks import load_task

SMALL = {"steps": 2, "target_steps": 2, "batch_size": 4}

REDUCED = {
    "prompts": {"prompt_length": [2, 4], "learning_rate": [1e-3, 1e-2, 5e-2], "halving": {"eta": 2, "rungs": 2}},
    "methods": {"learning_rate_factors": [1]},
    "complexity": {"learning_rate_factors": [1]},
    "joint": {"candidates": 12},
    "icl": {"methods": {"icl": {"shots": 1}}},
}


def run(tmp_path, space, **changed):
    """The study of a space on one bench; the planner, the leaderboard, what it says of itself, and the run's folder."""
    flags = {"space": space, "languages": "en,de", "limit": 8, "seeds": 1, "out": str(tmp_path)}
    flags |= {key: changed.pop(key) for key in list(changed) if key in ("seeds", "targets")}
    settings = {**REDUCED.get(space, {}), **changed}
    study = Study(*load_settings(flags, {**settings, "train": {**SMALL, **settings.get("train", {})}}))
    planner = played(study)
    folder = RunFolder(study, ["order-search"])
    board, about = folder.finish(planner, {})
    assert not planner.failed
    return planner, board, about, folder.path


def test_every_space_is_tried_here():
    assert set(names("spaces")) == {*REDUCED, "orders", "mix"}


@pytest.mark.parametrize("space", names("spaces"))
def test_a_space_runs_to_an_answer(tmp_path, space):
    planner, board, about, path = run(tmp_path, space)
    assert planner.tree.remaining == 0
    assert len(board)
    assert board["rank"].min() == 1
    assert about["answer"]["sentence"].endswith(".")
    assert about["answer"]["question"] == planner.study.settings.question != ""
    written = json.loads((path / "leaderboard.json").read_text("utf-8"))
    assert written["answer"] == about["answer"]
    assert about["answer"]["question"] in (path / "leaderboard.md").read_text("utf-8")
    assert (path / "answer.csv").exists()
    assert (path / "tuning.csv").exists() == (len(planner.study.space.arms) > 1)
    again = yaml.safe_load((path / "config.yaml").read_text("utf-8"))
    assert again["answer"] == planner.study.settings.answer


def test_only_the_best_learning_rate_of_each_order_and_method_is_compared(tmp_path):
    planner, board, about, path = run(
        tmp_path, "methods", method=["full", "probe"], learning_rate_factors=[0.1, 1, 10], targets="mini-xnli",
        orders={"max_length": 1},
    )  # fmt: skip
    assert len(planner.candidates) == 3 * 2 * 3
    assert len(board) == 3 * 2
    assert not board.duplicated(["order", "method"]).any()
    tuning = pd.read_csv(path / "tuning.csv")
    assert len(tuning) == 18
    best = tuning.loc[tuning.groupby(["order", "method"]).dev.idxmax(), ["order", "method", "learning_rate"]]
    kept = tuning.loc[tuning.chosen, ["order", "method", "learning_rate"]]
    assert set(map(tuple, kept.values)) == set(map(tuple, best.values))
    assert set(map(tuple, board[["order", "method", "learning_rate"]].values)) == set(map(tuple, kept.values))
    assert any(
        "learning_rate: for each order and method the best of 3 on English dev alone" in n for n in about["notes"]
    )


def test_the_probe_has_no_effect_of_order(tmp_path):
    """Its orders are bitwise equal, and the analysis says that none is possible."""
    _, board, about, _ = run(tmp_path, "orders", method=["probe"], targets="mini-xnli,mini-pos", seeds=3)
    assert len(board) > 10
    assert board.score.nunique() == 1
    assert set(board["rank"]) == {1}
    assert "no effect possible" in about["answer"]["sentence"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "the best of 2 on"),
        ({"candidates": 12}, "the best of up to 2 on"),
        ({"strategy": "random"}, "the best of up to 2 on"),
        ({"strategy": "halving"}, "the best of up to 2 on"),
    ],
)
def test_where_an_order_may_have_had_fewer_settings_the_leaderboard_says_so(changed, said):
    settings = load_settings({"space": "methods"}, {"learning_rate_factors": [0.3, 1], **changed})
    notes = describe(Study(*settings))["notes"]
    assert any(note.startswith("learning_rate: ") and said in note for note in notes)


def test_halving_spends_a_third_and_says_who_got_what(tmp_path):
    planner, board, _, path = run(tmp_path, "prompts")
    assert board.budget.value_counts().to_dict() == {0.5: 6, 1.0: 3}
    assert board[board.budget < 1]["rank"].isna().all()
    assert set(board[board.budget == 1]["rank"]) <= {1, 2, 3}
    stages = pd.read_csv(path / "stages.csv")
    assert set(stages[stages.kind == "train"].steps) == {1, 2}
    resumed = [
        (planner.store.record(key) or {}).get("resumed") for key, (stage, _) in planner.stages.items()
        if stage.kind == "train" and stage.steps == 2
    ]  # fmt: skip
    assert resumed
    assert all(resumed)


def test_representations_are_measured_after_every_stage(tmp_path):
    planner, board, _, path = run(
        tmp_path, "orders", targets="mini-xnli,mini-tatoeba", representations=["mini-tatoeba"],
        intermediate=["mini-paraphrase", "mini-topic"],
    )  # fmt: skip
    scores = pd.read_parquet(path / "scores.parquet")
    rows = scores[scores.portion == "representations"]
    own = rows[rows.order == "mini-paraphrase>mini-topic"]
    assert set(own.stage) == {
        "none", "mini-paraphrase", "mini-paraphrase>mini-topic", "mini-paraphrase>mini-topic | train mini-nli",
    }  # fmt: skip
    assert {"cosine_layer_0", "cosine_margin_layer_3", "fertility"} <= set(own.metric)
    assert set(own[own.metric == "fertility"].stage) == {"none"}
    base = rows[(rows.stage == "none") & (rows.metric == "cosine_layer_3")]
    assert base.value.nunique() == 1  # one language but English, the same base model for every candidate
    assert not rows.main.any()
    assert board.score.notna().all()
    assert len(planner.study.space.arms) == 1
    assert (path / "representations.csv").exists()
    counts = planner.study.counts()
    assert (counts["stages_naive"], counts["stages_distinct"]) == (planner.tree.naive, planner.tree.distinct)


def test_representations_go_with_the_scores_of_what_is_compared(tmp_path):
    """Of two learning rates and a smaller budget, only the rate that is best on dev enters the correlation."""
    flags = {"space": "orders", "targets": "mini-xnli,mini-tatoeba", "out": str(tmp_path)}
    study = Study(*load_settings(flags, {"representations": ["mini-tatoeba"], "learning_rate": [1e-3, 1e-2]}))
    rng = random.Random(0)
    rows = []
    for rate, budget, dev in ((1e-3, 1.0, 60), (1e-2, 1.0, 50), (1e-2, 0.5, 70)):
        about = {"learning_rate": rate, "budget": budget, "candidate": f"none full {rate} at {budget}"}
        margin = {"portion": PORTION, "metric": f"{MARGIN}2", "main": False, "stage": "none"}
        rows.append(row("none", "full", 0, "mini-xnli", "en", dev, portion="dev", **about))
        for code, more in itertools.product(("ar", "de", "es", "hi", "sw"), ({}, margin)):
            rows.append(row("none", "full", 0, "mini-xnli", code, rng.gauss(50, 9), **about, **more))
    candidates = pd.DataFrame({"candidate": [], "order": [], "stage_cost": [], "price": []})
    grid = {"mini-xnli": ["ar", "de", "es", "hi", "sw"]}
    manifest = {"title": "", "notes": [], "grid": grid, "apart": {}, "tasks": {}, "perturbed": {}, "partial": {}}
    results = Results((Run(tmp_path, manifest, study.settings),), pd.DataFrame(rows), candidates, pd.DataFrame())
    made, tables = published(results)
    assert made.about["answer"]["question"] == study.settings.question
    assert tables["representations"].candidates.tolist() == [1]


def test_models_sizes_are_in_the_scores(tmp_path):
    _, board, _, path = run(
        tmp_path, "methods", targets="mini-xnli", learning_rate_factors=[1], orders={"max_length": 1},
        intermediate=["mini-topic"], methods={"adapter": {"along": "stack"}},
    )  # fmt: skip
    scores = pd.read_parquet(path / "scores.parquet")
    sizes = scores[scores.portion == "model"].set_index(["method", "order", "metric"]).value
    assert sizes["prompt", "none", "tuned_parameters"] == 16 * 2 * 3 * 128
    assert sizes["full", "none", "tuned_share"] == 1
    assert sizes["probe", "none", "tuned_parameters"] == 0
    stacked = sizes["adapter", "mini-topic", "added_parameters"]
    assert (
        stacked == 2 * sizes["adapter", "none", "added_parameters"] == 2 * sizes["adapter", "none", "tuned_parameters"]
    )
    assert {"tuned_parameters", "tuned_share", "added_parameters"} <= set(board.columns)


def test_arms_have_equal_rows(tmp_path):
    study = Study(*load_settings({"space": "complexity"}, {}))
    sizes = {len(study.data.training(task, study.rows)) for task in study.intermediate}
    assert sizes == {3000} == {min(len(study.data.training(task)) for task in study.intermediate)}
    # A target's own training set is left whole, also where it is an intermediate task.
    given = Study(*load_settings({"space": "orders", "targets": "mini-xnli"}, {"train": {"rows": 50}}))
    own, later, _ = given.stages(next(c for c in given.space if str(c.order) == "mini-nli"), 0)
    assert (own.tasks, own.settings["rows"]) == (later.tasks, 50) == (("mini-nli",), 50)
    assert "rows" not in later.settings
    assert len(given.data.training(given.tasks["mini-nli"], 50)) == 50
    both = Study(*load_settings({"space": "orders", "targets": "mini-topic,mini-xnli"}, {"train": {"rows": 50}}))
    both.check()  # one task on both sides
    assert len(given.data.training(load_task("mini-mlm", ""), 130)) == 130  # of thirteen languages together
