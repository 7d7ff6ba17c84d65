"""The primary contrast: frozen before the run, the same afterwards, and no more than its interval says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_runs import made_run
from test_run_folder import planned, study_of

from search.analysis.designs import Designs
from search.analysis.order_tests import F_TEST, SIGN_FLIP
from search.analysis.primary import declared, frozen, p_value, primary
from search.order import OrderSpace
from search.primary import OF_ANSWER, contrast_of, outcomes_of
from search.results import load
from search.run_folder import RunFolder
from search.settings import Settings
from trainables.errors import Mistake

TASKS = ("mini-nli", "mini-tags", "mini-topic")
TWO = {"max_length": 2}


def designs_of(tmp_path, **options):
    options = {"tasks": TASKS, "seed": 1, **options}
    return Designs(load([made_run(tmp_path / "run", **options)]))


# --- before the run ---------------------------------------------------------------------------------------------------


def test_it_is_in_the_manifest_before_anything_ran_and_the_same_at_the_end(world):
    study = study_of(world)
    folder = RunFolder(study, ["order-search", "run"])
    before = json.loads((folder.path / "manifest.json").read_text())
    assert before["status"] == "running" and before["cost"]["seconds"] < 60
    assert not list(folder.path.glob("*.parquet")) and not study.settings.store_url.startswith("memory")
    assert before["primary"] | {"when": "", "items": {}} == {
        "outcome": "score", "portion": "test", "contrast": "order", "level": 0.05, "roots": 2, "methods": ["full"],
        "question": "Do orders of the same set of tasks differ?", "items": {}, "when": "",
        "test": "not testable: 2 roots, 3 are needed; at least 6 for the sign-flip",
    }  # fmt: skip
    assert before["primary"]["when"] == f"{before['started']}, before the run"
    items = {f"score {name}": mark for name, mark in before["primary"]["items"].items()}
    assert items == {name: mark for name, mark in before["data"].items() if name.startswith("score ")}
    folder.finish(planned(study), {})
    after = json.loads((folder.path / "manifest.json").read_text())
    assert after["status"] == "done" and after["primary"] == before["primary"]
    found = json.loads((folder.path / "analysis.json").read_text())
    assert found["primary"] == before["primary"] and found["findings"][1]["primary"]


def test_it_changes_nothing_of_what_is_searched(world):
    plain = study_of(world)
    asked = study_of(world, primary={"outcome": "target:tags", "contrast": "tasks"})
    assert asked.identity == plain.identity
    told = frozen(asked, "now")
    assert (told["outcome"], told["contrast"], list(told["items"])) == ("target:tags", "tasks", ["tags"])


@pytest.mark.parametrize(("seeds", "test"), [(2, "not testable: 2 roots"), (3, F_TEST), (5, F_TEST), (6, SIGN_FLIP)])
def test_the_test_is_the_one_that_the_roots_allow(world, seeds, test):
    assert frozen(study_of(world, seeds=seeds), "now")["test"].startswith(test)


def test_without_two_orders_of_one_set_sets_are_the_contrast(world):
    single = frozen(study_of(world, seeds=6, orders={"max_length": 1}), "now")
    assert (single["contrast"], single["test"]) == ("tasks", SIGN_FLIP)
    asked = study_of(world, seeds=6, orders={"max_length": 1}, primary={"contrast": "order"})
    assert frozen(asked, "now")["test"] == "not testable: no set of tasks has two orders"
    alone = study_of(world, seeds=6, orders={"kind": "explicit", "explicit": ["none"]})
    assert frozen(alone, "now")["test"] == "not testable: no set of tasks has two orders"


@pytest.mark.parametrize("answer", sorted(OF_ANSWER))
def test_the_contrast_is_by_default_the_answers(answer):
    settings = Settings.model_validate({"answer": answer})
    assert contrast_of(settings, OrderSpace(TASKS)) == OF_ANSWER[answer]
    asked = settings.model_copy(update={"primary": settings.primary.model_copy(update={"contrast": "tasks"})})
    assert contrast_of(asked, OrderSpace(TASKS)) == "tasks"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"outcome": "scores"}, "did you mean 'score'"),
        ({"outcome": "target:tag"}, "did you mean 'target:tags'"),
        ({"outcome": "language:fr"}, "no outcome 'language:fr'"),
        ({"outcome": "robust_score"}, "--perturbations standard"),
        ({"contrast": "methods"}, "--method full,adapter"),
        ({"contrast": "icl"}, "--method icl,full"),
        ({"contrast": "complexity"}, "compares methods"),
    ],
)
def test_what_the_study_cannot_have_is_told_before_it_begins(world, changed, told):
    with pytest.raises(Mistake) as caught:
        study_of(world, primary=changed).check()
    assert told in str(caught.value) and "primary" in caught.value.where


def test_every_outcome_that_may_be_primary_has_a_table(tmp_path):
    designs = designs_of(tmp_path, tasks=TASKS[:2], roots=2, edits=("keyboard",))
    manifest = designs.results.manifest
    known = outcomes_of(manifest["grid"], manifest["apart"], perturbed=True)
    assert {"score", "robust_score_foreign", "gap_to_english", "language:sw", "family:Niger-Congo", "script:Han"} <= {
        *known
    }
    assert all(len(designs.table(outcome)) == 5 for outcome in known)
    assert "robust_score" not in outcomes_of(manifest["grid"], {}, perturbed=False)
    assert "gap_to_english" not in outcomes_of({"mini-tatoeba": ["de", "sw"]}, {}, perturbed=False)


# --- what it came to --------------------------------------------------------------------------------------------------


def row_of(found):
    return found.table.to_dict("records")[0]


def test_a_true_order_effect_is_claimed_with_its_size(tmp_path):
    found = primary(
        designs_of(
            tmp_path, roots=6, order_sd=4.0, primary={"outcome": "score", "contrast": "order", "test": SIGN_FLIP}
        )
    )
    row = row_of(found)
    assert found.primary and row["frozen"] and not found.notes
    assert found.sentence.startswith(
        "Primary: orders of the same set of tasks differ in the score (p = 0.031, sign-flip"
    )
    assert 1 < row["low"] < row["estimate"] < row["high"] < 6  # the SD of the nine that were drawn
    assert row["in_seed_sd"] == pytest.approx(row["estimate"] / row["seed_sd"])


def test_no_effect_is_not_shown_and_says_what_could_have_been(tmp_path):
    found = primary(designs_of(tmp_path, roots=5, order_sd=0.0))
    row = row_of(found)
    assert row["p"] > 0.05 and row["low"] == 0
    assert "that orders of the same set of tasks differ in the score is not shown (p = " in found.sentence
    assert f"{row['detectable']:.2f} points would be shown in 4 of 5 studies" in found.sentence
    assert "was not frozen" in found.notes[0]


def test_two_roots_claim_nothing(tmp_path):
    found = primary(designs_of(tmp_path, roots=2, order_sd=9.0))
    assert found.sentence.startswith("Primary: there is too little to say whether orders of the same set")
    assert "3 are needed" in found.sentence and f"; {row_of(found)['needed']:.0f} roots would show" in found.sentence


def test_the_outcome_of_the_manifest_counts_not_the_default(tmp_path):
    asked = {"outcome": "language:sw", "contrast": "tasks", "test": F_TEST}
    row = row_of(primary(designs_of(tmp_path, roots=3, primary=asked)))
    assert (row["outcome"], row["contrast"], row["planned_test"]) == ("language:sw", "tasks", F_TEST)


def test_methods_are_a_difference_of_two(tmp_path):
    effects = {"primary": {"outcome": "score", "contrast": "methods", "test": "t over roots"}}
    found = primary(designs_of(tmp_path, roots=4, tasks=TASKS[:2], methods=("full", "adapter"), **effects))
    row = row_of(found)
    assert (row["test"], row["measured"]) == ("t over roots", "difference")
    values = found.table
    designs = designs_of(tmp_path / "again", roots=4, tasks=TASKS[:2], methods=("full", "adapter"))
    arms = designs.arms()
    assert arms.names == ("full", "adapter") and values.estimate[0] == pytest.approx(
        (arms.values[:, 1] - arms.values[:, 0]).mean()
    )


def test_fewer_roots_than_planned_and_reused_stages_are_told(tmp_path):
    cost = {"stages_naive": 9, "stages_distinct": 9, "stages_executed": 2, "stages_reused": 7, "seconds": 1.0}
    asked = {"outcome": "score", "contrast": "order", "test": SIGN_FLIP}
    found = primary(designs_of(tmp_path, roots=5, primary=asked, cost=cost, settings={"strategy": "gp"}))
    told = " ".join(found.notes)
    assert "7 of 9 stages were in the store" in told and f"Planned was: {SIGN_FLIP}" in told
    assert "strategy gp chose what to run" in told


def test_runs_that_were_frozen_for_different_contrasts_have_none(tmp_path):
    results = designs_of(tmp_path, roots=3, primary={"outcome": "score", "contrast": "order"}).results
    other = replace(
        results.runs[0], manifest={**results.manifest, "primary": {"outcome": "score", "contrast": "tasks"}}
    )
    both = replace(results, runs=(*results.runs, other))
    with pytest.raises(ValueError, match="frozen for different"):
        declared(both)
    found = primary(Designs(both))
    assert found.primary and "frozen for different primary contrasts" in found.sentence
    same = replace(results, runs=results.runs * 2)
    assert declared(same)[1] == "2 runs are merged, each frozen for it: the number of roots was not"


def test_small_p_values_are_not_told_more_exactly_than_they_are_known():
    assert (p_value(0.00004), p_value(0.03125), p_value(0.6)) == ("below 0.001", "0.031", "0.6")
