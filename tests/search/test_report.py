"""The report's data, before anything is drawn: who is recommended, and that pictures hold the planted figures."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run

from search.analysis.finding import Finding
from search.analysis.findings import findings
from search.analysis.pareto import pareto
from search.order import Order
from search.publish import published
from search.report import budgets, tradeoff
from search.report.head import recommended
from search.report.landscape import features, plane
from search.report.names import Names, common
from search.report.parts import several
from search.report.stages import nodes
from search.report.summary import summarize
from search.report.write import write_report
from search.results import load

BEST = "mini-tags>mini-nli"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of 17 orders with an order that is far the best, edits, and dev scores along the orders."""
    folder = made_run(
        tmp_path_factory.mktemp("report") / "run", max_length=2, roots=4, edits=["deletion", "keyboard"],
        severities=[1, 3], forgetting=True, effects={BEST: 8.0}, luck_sd=0.4, leaf_sd=0.4,
        language_effects={(BEST, "sw"): -5.0},
    )  # fmt: skip
    results = load([folder])
    made = published(results)[0]
    found = findings(results)
    return SimpleNamespace(
        folder=folder, results=results, board=made.board, about=made.about, findings=found,
        summary=summarize(results, made.board, found, answer=made.about["answer"]),
    )  # fmt: skip


def picture(summary, name):
    return next(one for one in summary.pictures() if one.name == name)


def test_the_recommended_order_is_the_best_on_english_dev(study):
    head = study.summary.head
    assert head.recommended == f"{BEST} full 0.0007"
    assert head.why == "the best of 17 on English dev, on which candidates are chosen"
    keys = {key.name: key for key in head.keys}
    row = study.board[study.board.candidate == head.recommended].iloc[0]
    assert keys["zero-shot score"].figure == f"{row.score:.1f}"
    assert keys["zero-shot score"].beside == f"± {row.score_half_width:.1f}, 95 %, 4 roots"
    assert keys["worst language"].beside == "Swahili"
    none = study.board[study.board.order == "none"].iloc[0]
    assert keys["gain over none"].figure == f"{row.score - none.score:+.1f}"
    assert keys["rank on test"].beside.startswith(f"{row.rank_low} to {row.rank_high}")


def test_what_is_best_on_test_alone_is_not_recommended(tmp_path):
    """The planted dev scores prefer one order, the test scores another."""
    folder = made_run(tmp_path / "run", max_length=1, roots=3, effects={"mini-nli": 9.0})
    scores = pd.read_parquet(folder / "scores.parquet")
    dev = scores.portion == "dev"
    scores.loc[dev & (scores.order == "mini-topic"), "value"] += 0.15
    scores.to_parquet(folder / "scores.parquet")
    results = load([folder])
    board = published(results)[0].board
    assert board.order.iloc[0] == "mini-nli"
    assert recommended(results, board).candidate == "mini-topic full 0.0007"


def test_it_is_said_where_the_recommended_order_is_worse_than_none(tmp_path, study):
    folder = made_run(tmp_path / "run", max_length=1, roots=5, effects={"none": 9.0}, luck_sd=0.3, leaf_sd=0.3)
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.loc[(scores.portion == "dev") & (scores.order == "mini-topic"), "value"] += 0.15
    scores.to_parquet(folder / "scores.parquet")
    results = load([folder])
    told = summarize(results, published(results)[0].board, []).about["alike"]
    assert told.startswith("On test it is shown to be worse than no intermediate task")
    assert "worse" not in study.summary.about["alike"]


def test_finals_name_the_recommended_order_and_its_score(study):
    finals = pd.DataFrame({
        "candidate": ["mini-nli full 0.0007", "none full 0.0007"], "named": [True, False], "score": [77.7, 60.0],
        "score_half_width": [0.4, 1.0], "roots": [9, 9],
    })  # fmt: skip
    from dataclasses import replace

    head = summarize(replace(study.results, finals=finals), study.board, []).head
    assert head.recommended == "mini-nli full 0.0007"
    assert head.keys[0].figure == "77.7"
    assert head.keys[0].beside == "± 0.4, 95 %, 9 fresh roots"


def test_stamps_say_what_a_figure_must_not_be_quoted_without(tmp_path):
    folder = made_run(tmp_path / "run", max_length=1, roots=2, limited=20, status="stopped", failed={"a #0": "bad"})
    results = load([folder])
    stamps = summarize(results, published(results)[0].board, []).head.stamps
    assert [stamp.split()[0] for stamp in stamps] == ["LIMITED:", "The", "1"]


def test_heat_maps_hold_the_means_over_roots_and_targets(study):
    heat = picture(study.summary, "languages-clean")
    assert heat.data["columns"][0] == "en"
    assert [heat.data["groups"][0], heat.data["groups"][1]] == ["Indo-European"] * 2
    row = heat.data["rows"].index("tags › nli")
    assert row == 0
    scores = study.results.own
    own = scores[
        (scores.candidate == f"{BEST} full 0.0007") & (scores.language == "sw") & (scores.portion == "test")
        & (scores.perturbation == "none") & scores.main
    ]  # fmt: skip
    expected = 100 * own.groupby("target", observed=True).value.mean().mean()
    assert heat.data["values"][row][heat.data["columns"].index("sw")] == pytest.approx(expected, abs=0.051)
    gap = picture(study.summary, "languages-gap")
    assert "en" not in gap.data["columns"]
    assert picture(study.summary, "languages-robust").data["values"][0][0] < heat.data["values"][0][0]


def test_severity_curves_begin_at_the_unchanged_examples_and_fall_as_planted(study):
    curve = picture(study.summary, "severity-by-edit")
    one = next(series for series in curve.data["series"] if series["name"] == "keyboard")
    assert one["x"] == [0, 1, 3]
    assert one["y"][0] > one["y"][1] > one["y"][2]
    assert one["y"][1] - one["y"][2] == pytest.approx(8.0, abs=1.0)  # planted: 4 points a step of severity
    assert all(half is not None for half in one["half"])
    assert "deletion" not in [series["name"] for series in curve.data["series"]]  # planted below one half attackable


def test_forgetting_follows_each_task_from_the_stage_that_trains_it(study):
    along = picture(study.summary, "forgetting-1")
    assert along.choice == "tags › nli"
    tags, nli = along.data["series"]
    assert (tags["name"], tags["x"]) == ("tags", [0, 1])
    assert (nli["name"], nli["x"]) == ("nli", [1])
    assert tags["y"][0] - tags["y"][1] == pytest.approx(3.0, abs=1.5)  # planted


def test_precedence_is_antisymmetric_and_marks_what_is_shown(study):
    matrix = picture(study.summary, "precedence")
    values = np.array(matrix.data["values"], dtype=float)
    both = ~np.isnan(values)
    assert np.allclose(values[both], -values.T[both])
    rows = matrix.data["rows"]
    tags, nli = rows.index("tags"), rows.index("nli")
    assert values[tags][nli] > 4
    assert matrix.data["marks"][tags][nli]
    assert "tags before nli" in matrix.sentence


def test_the_stage_tree_counts_who_shares_a_stage(study):
    found = nodes(study.results)
    assert found["mini-nli",]["orders"] == 4  # itself, and three orders that begin with it
    assert found["mini-nli", "mini-tags"]["orders"] == 1
    assert len(found) == 16
    tree = picture(study.summary, "stages").data["nodes"]
    assert tree[0]["orders"] == 17
    assert all(one["parent"] in {node["id"] for node in tree} for one in tree[1:])


def test_seconds_of_the_tree_are_those_of_the_path_of_tasks(study):
    """Stages are found by their parents, not by their labels, which say who asked for a stage first."""
    stages = pd.DataFrame([
        {"key": "a", "kind": "train", "tasks": "x", "parent": None, "seconds": 2.0},
        {"key": "b", "kind": "train", "tasks": "y", "parent": "a", "seconds": 3.0},
        {"key": "c", "kind": "train", "tasks": "y", "parent": None, "seconds": 5.0},
        {"key": "d", "kind": "score", "tasks": "y", "parent": "b", "seconds": 7.0},
    ])  # fmt: skip
    results = SimpleNamespace(candidates=pd.DataFrame({"order": ["x>y", "y", "none"]}), stages=stages)
    seconds = {path: node["seconds"] for path, node in nodes(results).items()}
    assert seconds == {("x",): 2.0, ("x", "y"): 3.0, ("y",): 5.0}


def test_the_distance_of_the_landscape_is_kendalls_on_permutations():
    orders = ["a>b>c", "a>c>b", "c>b>a"]
    rows = features(orders)
    squares = ((rows[:, None] - rows[None, :]) ** 2).sum(axis=-1)
    assert squares.tolist() == [[0, 4, 12], [4, 0, 8], [12, 8, 0]]  # 4 × the discordant pairs
    alone = features(["a", "a>b"])
    assert ((alone[0] - alone[1]) ** 2).sum() == 2  # one task more, one pair more


def test_the_map_keeps_distances_that_a_plane_can_hold_and_is_deterministic():
    square = np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0], [3, 4, 0]])
    points, stress = plane(square)
    assert stress < 0.01
    assert math.dist(points[0], points[3]) == pytest.approx(5, abs=0.1)
    assert np.array_equal(points, plane(square)[0])


def test_orders_in_one_place_of_the_classical_plane_are_parted():
    orders = [str(Order(tuple((name,) for name in word))) for word in ("abc", "acb", "bac", "bca", "cab", "cba")]
    points, _ = plane(features(orders))
    assert min(math.dist(a, b) for i, a in enumerate(points) for b in points[:i]) > 0.3


def test_pareto_pictures_name_the_front(study):
    table = pareto(study.results.own, study.board, study.results.prices)
    names = Names(study.results.settings.intermediate, study.results.about())
    shown = [one for group in tradeoff.section(table, names).groups for one in group.pictures]
    assert {point["label"] for point in shown[0].data["points"] if point["front"]} == {
        names.candidate(name) for name in table[table.front].candidate
    }


def test_a_finding_of_budgets_becomes_curves():
    table = pd.DataFrame({
        "attack": "pruthi", "target": ["a", "a", "b", "b", "a"], "family": ["all"] * 4 + ["Turkic"], "who": "best",
        "queries": [20, 10, 10, 20, 10], "estimate": [0.4, 0.5, 0.6, 0.55, 0.1], "low": 0.1, "high": 0.7,
    })  # fmt: skip
    section = budgets.section([Finding("budget_curves", "Budgets", table, "It falls.")], Names([], pd.DataFrame()))
    first, second = section.groups[0].pictures
    series = first.data["series"][0]
    assert (series["name"], series["x"], series["y"]) == ("the best order", [10, 20], [50.0, 40.0])
    assert series["half"] == [30.0, 30.0]
    assert (first.choice, second.choice) == ("a", "b")


def test_names_are_short_and_no_two_alike():
    assert common(["mini-nli", "mini-tags"]) == "mini-"
    assert common(["xnli", "mini-tags"]) == ""
    assert common(["mini-nli"]) == ""
    about = pd.DataFrame(
        {"order": ["a", "a"], "method": ["full", "full"], "learning_rate": [0.1, 0.1], "prompt_length": [None, None]},
        index=["a full 0.1 [one]", "a full 0.1 [two]"],
    )
    names = Names(["a"], about)
    assert len({names.candidate(name) for name in about.index}) == 2
    assert several([]) == ""
    assert several(["a", "b", "c"]) == "a, b and c"


def test_a_study_without_scores_or_findings_still_has_a_report(tmp_path):
    folder = made_run(tmp_path / "run", max_length=1, roots=1)
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.head(0).to_parquet(folder / "scores.parquet")
    results = load([folder])
    made = published(results)[0]
    summary = write_report(results, folder, made.board, findings(results), made.about)
    assert summary.head.recommended == ""
    assert "No candidate has a score yet" in (folder / "report.html").read_text("utf-8")
    assert not (folder / "cards").exists()


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_report(study.results, folder, study.board, study.findings, study.about)
    return folder


def test_json_and_markdown_say_the_same_as_the_summary(study, written):
    content = json.loads((written / "report.json").read_text("utf-8"))
    assert content["head"]["recommended"] == study.summary.head.recommended
    assert len(content["leaderboard"]["rows"]) == 17
    text = (written / "report.md").read_text("utf-8")
    for part in (study.summary.head.primary, "## Leaderboard", "## The questions, answered", "## How it was made"):
        assert part.replace("_", r"\_") in text or part in text
    assert {one["name"] for section in content["sections"] for one in section["pictures"]} == {
        one.name for one in study.summary.pictures()
    }


def test_the_same_results_make_the_same_bytes(study, written, tmp_path):
    write_report(load([study.folder]), tmp_path, study.board, study.findings, study.about)
    for file in ("report.html", "report.md", "report.json", "cards/RECOMMENDED.md"):
        assert (tmp_path / file).read_bytes() == (written / file).read_bytes()
