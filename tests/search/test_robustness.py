"""Robust figures against sums made by hand: what counts, what is n/a, what is missing, and what stands apart."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pandas as pd
import pytest
from scipy import stats

from perturb.edits import EDITS
from search.candidate import Candidate
from search.describe import robust_notes
from search.leaderboard import cells, leaderboard, shown, to_csv, to_json, to_markdown
from search.listing import listing
from search.order import Order
from search.robustness import coverage, keeps_of, robust_score, robustness
from search.scores import mean_score, rows_of, table

ABOUT = {"title": "mini", "notes": []}


def clean(languages=("de", "en", "sw"), target="xnli", value=80, portion="test"):
    """Scores of a stage as it stores them."""
    return [
        {"language": code, "portion": portion, "metric": "accuracy", "main": True, "value": value / 100, "n": 100,
         "stderr": 0.01}
        for code in languages
    ]  # fmt: skip


def edited(edit, values, severity=3, share=1.0, portion="test", **metrics):
    """Scores of an edit in some languages: `values` are percent robust, by language; others as given, in percent."""
    rows = []
    for code, value in values.items():
        about = {"language": code, "portion": portion, "perturbation": edit, "severity": severity, "n": 50,
                 "stderr": 0.02, "attackability": share}  # fmt: skip
        found = {"robust": value, "robust_attackable": value - 4, "drop": 80 - value, "clean_subset": 80, **metrics}
        rows.append({**about, "metric": "accuracy", "main": True, "value": (value + 2) / 100})
        rows += [{**about, "metric": name, "main": False, "value": v / 100} for name, v in found.items()]
    return rows


def attacked(recipe, values, success, queries, share=1.0):
    """Scores of an attack, which are like an edit's of severity 0."""
    rows = edited(f"attack:{recipe}", values, 0, share, attack_success=success, queries=100 * queries)
    return [{**row, "queries": queries} for row in rows]


def long(*runs):
    """The long table from (order, seed, target, scores) or with a mapping of more after these."""
    rows = []
    for order, seed, target, scores, *more in runs:
        rows += rows_of(Candidate(Order.parse(order), "full", 1e-3), seed, target, scores, *more)
    return rows


def board_of(*runs, portion="test"):
    return leaderboard(table(long(*runs)), {}, portion)


def row_of(board, order="none"):
    return board[board.order == order].iloc[0]


KEYBOARD = edited("keyboard", {"de": 60, "en": 70, "sw": 50}, 1) + edited("keyboard", {"de": 40, "en": 66, "sw": 30}, 5)
SPACING = edited("spacing", {"de": 70, "en": 76}, 3)


# --- definitions ------------------------------------------------------------------------------------------------------


def test_a_mean_over_severities_then_edits_then_languages_then_targets():
    """An edit with more severities, a language with more edits and a target with more languages weigh no more."""
    board = board_of(
        ("none", 0, "xnli", clean() + KEYBOARD + SPACING),
        ("none", 0, "udpos", clean(["de"]) + edited("keyboard", {"de": 20})),
    )
    row = row_of(board)
    de, en, sw = (50 + 70) / 2, (68 + 76) / 2, 40
    assert row.robust_score == pytest.approx(((de + en + sw) / 3 + 20) / 2)
    assert row.robust_attackable_score == pytest.approx(row.robust_score - 4)
    assert row.robust_drop == pytest.approx(80 - row.robust_score)
    assert (row.robust_target_xnli, row.robust_target_udpos) == (pytest.approx((de + en + sw) / 3), pytest.approx(20))
    assert (row.robust_language_de, row.robust_language_sw) == (pytest.approx((de + 20) / 2), pytest.approx(sw))
    assert (row.robust_worst_language, row.robust_worst_language_score) == ("de", pytest.approx(40))
    assert row.robust_family_indo_european == pytest.approx(((de + en) / 2 + 20) / 2)
    assert (row.robust_family_niger_congo, row.robust_worst_family) == (pytest.approx(40), "niger_congo")
    assert row.robust_gap_to_english == pytest.approx(en - (de + sw) / 2)
    assert (row.score, row["rank"], row.robust_seeds) == (80, 1, 1)
    at = list(board.columns).index("score")
    assert list(board.columns)[at : at + 4] == ["score", "score_half_width", "robust_score", "robust_half_width"]
    assert math.isnan(row.robust_half_width)


def test_a_language_with_more_edits_looks_no_weaker():
    """The worst over all edits would punish it; the mean over edits does not."""
    more = [row for name in ("spacing", "casing", "deletion") for row in edited(name, {"de": 60})]
    board = board_of(("none", 0, "xnli", clean(["de", "sw"]) + edited("keyboard", {"de": 60, "sw": 60}) + more))
    assert (row_of(board).robust_language_de, row_of(board).robust_language_sw) == (60, 60)


def test_the_interval_is_over_roots_from_three_on():
    values = (40, 50, 66)
    runs = [("none", seed, "xnli", clean() + edited("keyboard", {"de": v, "sw": v})) for seed, v in enumerate(values)]
    row = row_of(board_of(*runs))
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert (row.robust_score, row.robust_half_width) == (pytest.approx(52), pytest.approx(half))
    assert (row.robust_drop, row.robust_drop_half_width) == (pytest.approx(28), pytest.approx(half))
    assert math.isnan(row_of(board_of(*runs[:2])).robust_half_width)


def test_only_its_own_portion_and_languages_count():
    found = clean() + KEYBOARD
    low = edited("keyboard", {"de": 1, "en": 1, "sw": 1}, 1, portion="report")
    apart = edited("keyboard", {"my": 1}, 1)
    plain, more = board_of(("none", 0, "xnli", found)), board_of(("none", 0, "xnli", found + low + apart, ["my"]))
    pd.testing.assert_frame_equal(plain, more)


def test_a_table_without_perturbed_rows_is_as_before():
    found = leaderboard(table(long(("none", 0, "xnli", clean()))), {}, "test")
    assert not any("robust" in column or "attack" in column for column in found.columns)
    assert "robust ↑" not in shown(found)
    assert robust_notes(table(long(("none", 0, "xnli", clean()))), "test") == []
    assert list(found.columns) == [
        c for c in board_of(("none", 0, "xnli", clean() + KEYBOARD)).columns if "robust" not in c and "attack" not in c
    ]


def test_a_target_without_figures_of_examples():
    """Mining has one F1 for the whole collection."""
    mining = [row for row in edited("keyboard", {"de": 30}) if row["metric"] in ("accuracy", "robust")]
    alone = row_of(board_of(("none", 0, "bucc", clean(["de"]) + mining)))
    assert alone.robust_score == pytest.approx(30)
    assert pd.isna([alone.robust_drop, alone.robust_attackable_score]).all()
    runs = [("none", 0, "bucc", clean(["de"]) + mining), ("none", 0, "x", clean(["de"]) + edited("casing", {"de": 50}))]
    row = row_of(board_of(*runs))
    assert (row.robust_score, row.robust_attackable_score, row.robust_drop) == pytest.approx((40, 46, 30))


def test_perturbed_rows_change_no_clean_figure():
    values = [("a", 70), ("b", 90), ("none", 50)]
    runs = [(order, 0, "xnli", clean(value=value)) for order, value in values]
    rough = [(*run[:3], run[3] + edited("keyboard", dict.fromkeys(("de", "en"), 99 - run[3][0]["value"] * 100)))
             for run in runs]  # fmt: skip
    plain, more = board_of(*runs), board_of(*rough)
    pd.testing.assert_frame_equal(plain, more[plain.columns])
    assert more.order.to_list() == ["b", "a", "none"]  # the rank stays by the clean score
    assert more.robust_score.to_list() == pytest.approx([9, 29, 49])
    assert mean_score(long(*rough), "test") == mean_score(long(*runs), "test")


# --- n/a: what cannot be attacked says nothing ------------------------------------------------------------------------


def test_cells_below_half_attackable_are_not_in_the_grid():
    rare = edited("casing", {"de": 79, "sw": 79}, share=0.49) + edited("casing", {"en": 60}, share=0.5)
    row = row_of(board_of(("none", 0, "xnli", clean() + KEYBOARD + rare)))
    assert (row.robust_language_de, row.robust_language_sw) == (50, 40)
    assert row.robust_language_en == pytest.approx((68 + 60) / 2)
    assert row.attackability == pytest.approx((100 + 75 + 100) / 3)


def test_a_cell_is_left_out_for_all_candidates_alike():
    """Whatever their own figure: the mean decides."""
    runs = [
        (order, 0, "xnli", clean() + KEYBOARD + edited("casing", {"de": 10}, share=share))
        for order, share in (("a", 0.6), ("b", 0.3), ("none", 0.5))
    ]
    assert board_of(*runs).robust_language_de.to_list() == [50, 50, 50]
    assert set(robustness(table(long(*runs)), "test").query("perturbation == 'casing'").na) == {True}


def test_a_cell_is_judged_over_its_severities():
    found = edited("casing", {"de": 20}, 1, share=0.4) + edited("casing", {"de": 10}, 5, share=0.6)
    assert row_of(board_of(("none", 0, "xnli", clean(["de"]) + found))).robust_score == pytest.approx(15)


@pytest.mark.parametrize("share", [0.2, None])
def test_nothing_attackable_is_no_hundred_percent(share):
    """Nor is what was not measured."""
    board = board_of(("none", 0, "xnli", clean(["de"]) + edited("keyboard", {"de": 100}, share=share)))
    row = row_of(board)
    assert math.isnan(row.robust_score)
    assert math.isnan(row.attackability)
    assert row.score == 80
    at = shown(board).index("robust ↑")
    (record,) = board.to_dict("records")
    assert cells(record, board)[at : at + 2] == ["", ""]
    (again,) = json.loads(to_json(board, ABOUT))["rows"]
    read = pd.DataFrame([again])
    assert cells(read.to_dict("records")[0], read) == cells(record, board)
    (note,) = [note for note in robust_notes(table(long(("none", 0, "xnli", clean(["de"]) + edited(
        "keyboard", {"de": 100}, share=share)))), "test") if note.startswith("n/a")]  # fmt: skip
    assert "keyboard in de" in note
    assert ("below 50% attackable" if share else "not measured") in note


# --- missing cells: nobody wins by skipping ---------------------------------------------------------------------------


@pytest.mark.parametrize("found", [
    edited("keyboard", {"de": 99, "en": 99, "sw": 99}, 1) + SPACING,  # without a severity
    edited("keyboard", {"de": 99, "en": 99}, 1) + edited("keyboard", {"de": 99, "en": 99}, 5) + SPACING,
    KEYBOARD,  # without an edit
    [],
])  # fmt: skip
def test_a_missing_cell_has_no_robust_score(found):
    whole = ("a", 0, "xnli", clean() + KEYBOARD + SPACING)
    board = board_of(whole, ("b", 0, "xnli", clean() + found))
    assert row_of(board, "a").robust_score == pytest.approx(((50 + 70) / 2 + (68 + 76) / 2 + 40) / 3)
    row = row_of(board, "b")
    assert math.isnan(row.robust_score)
    assert math.isnan(row.robust_target_xnli)
    assert row.robust_worst_language is None or pd.isna(row.robust_worst_language)
    assert row["rank"] == 1  # its clean score is whole
    assert "nan" not in to_csv(board).lower() + to_markdown(board, ABOUT).lower()


def test_what_is_whole_is_shown():
    board = board_of(("a", 0, "xnli", clean() + KEYBOARD), ("b", 0, "xnli", clean() + [
        row for row in KEYBOARD if row["language"] != "sw"]))  # fmt: skip
    row = row_of(board, "b")
    assert (row.robust_language_de, row.robust_family_indo_european) == (50, 59)
    assert math.isnan(row.robust_language_sw)
    assert math.isnan(row.robust_family_niger_congo)


def test_a_missing_root_is_said():
    """Only whole roots count; how many these are stands beside the figure."""
    half = edited("keyboard", {"de": 99, "en": 99, "sw": 99}, 1)
    board = board_of(
        ("a", 0, "xnli", clean() + KEYBOARD), ("a", 1, "xnli", clean() + KEYBOARD),
        ("b", 0, "xnli", clean() + KEYBOARD), ("b", 1, "xnli", clean() + half),
    )  # fmt: skip
    assert board.robust_score.to_list() == pytest.approx([158 / 3, 158 / 3])
    assert board.robust_seeds.to_list() == [2, 1]
    assert board.robust_language_sw.to_list() == [40, 40]
    at = shown(board).index("robust ↑")
    assert [cells(record, board)[at] for record in board.to_dict("records")] == ["52.7", "52.7 (1 of 2 roots)"]


# --- apart: stress, controls, attacks ---------------------------------------------------------------------------------


def test_what_edits_keep():
    assert [keeps_of(name) for name in ("keyboard", "code-mixing", "word-order", "normal-forms", "typos")] == [
        "form", "meaning", "stress", "control", "unknown",
    ]  # fmt: skip
    assert (keeps_of("attack:deepwordbug"), keeps_of("attack:pwws")) == ("form", "meaning")


def test_stress_edits_and_controls_are_not_in_the_robust_score():
    more = [
        *edited("word-order", {"de": 10, "sw": 30}), *edited("dropped-words", {"de": 20}),
        *edited("normal-forms", {"de": 1, "sw": 1}), *edited("gone", {"de": 2}),
    ]  # fmt: skip
    plain = row_of(board_of(("none", 0, "xnli", clean() + KEYBOARD)))
    row = row_of(board_of(("none", 0, "xnli", clean() + KEYBOARD + more)))
    assert row.robust_score == plain.robust_score
    assert row.stress_score == pytest.approx((15 + 30) / 2)
    assert "stress_score" not in plain.index


def test_attacks_have_columns_of_their_own():
    more = [
        *attacked("deepwordbug", {"de": 10, "en": 30}, success=60, queries=40),
        *attacked("pwws", {"de": 70}, success=5, queries=7, share=0.4),
    ]
    board = board_of(("none", 0, "xnli", clean() + KEYBOARD + more))
    row, plain = row_of(board), row_of(board_of(("none", 0, "xnli", clean() + KEYBOARD)))
    assert row.robust_score == plain.robust_score
    assert (row.attacked_deepwordbug, row.attack_success_deepwordbug) == (pytest.approx(20), pytest.approx(60))
    assert row.attack_queries_deepwordbug == pytest.approx(40)
    assert math.isnan(row.attacked_pwws)  # below half attackable
    assert board.columns.is_unique


def test_attacks_alone_make_no_robust_score():
    board = board_of(("none", 0, "xnli", clean() + attacked("textattack:deepwordbug", {"en": 30}, 60, 40)))
    assert row_of(board).attacked_textattack_deepwordbug == pytest.approx(30)
    assert "robust_score" not in board
    assert "robust ↑" not in shown(board)


# --- tables and notes -------------------------------------------------------------------------------------------------

MIXED = [
    *clean(), *KEYBOARD, *edited("casing", {"de": 79}, share=0.1, candidates_per_word=30, undone=20, flips_down=7),
    *edited("word-order", {"de": 10}), *edited("normal-forms", {"de": 80}, share=0.0),
    *attacked("deepwordbug", {"de": 10}, success=60, queries=40),
]  # fmt: skip


def test_the_tidy_table():
    runs = [("none", 0, "xnli", MIXED), ("none", 1, "xnli", MIXED), ("a", 0, "xnli", MIXED)]
    found = robustness(table(long(*runs)), "test")
    assert not found.duplicated(["target", "language", "perturbation", "severity", "candidate"]).any()
    assert len(found) == 2 * (6 + 4)
    key = ["candidate", "perturbation", "severity", "language"]
    rows = found.set_index(key).sort_index()
    row = rows.loc["none full 0.001", "keyboard", 5, "sw"]
    assert (row.changed, row.robust, row.robust_attackable) == pytest.approx((0.32, 0.3, 0.26))
    assert (row["drop"], row.clean_subset, row.attackability, row.roots) == pytest.approx((0.5, 0.8, 1, 2))
    assert (row.keeps, row.na, row.reason) == ("form", False, "")
    row = rows.loc["a full 0.001", "casing", 3, "de"]
    assert (row.na, row.reason, row.roots) == (True, "below 50% attackable", 1)
    assert (row.candidates_per_word, row.undone, row.flips_down) == pytest.approx((0.3, 0.2, 0.07))
    row = rows.loc["none full 0.001", "attack:deepwordbug", 0, "de"]
    assert (row.attack_success, row.queries) == pytest.approx((0.6, 40))
    assert math.isnan(row.consistency)
    assert rows.loc["a full 0.001", "normal-forms", 3, "de"].keeps == "control"


def test_coverage_is_that_of_the_text():
    """Mean over candidates and targets, of edits alone."""
    other = edited("casing", {"de": 79}, share=0.5, candidates_per_word=50)
    runs = [("none", 0, "xnli", MIXED), ("a", 0, "xnli", MIXED), ("none", 0, "udpos", clean() + other)]
    found = coverage(table(long(*runs))).set_index(["perturbation", "language"])
    assert (found.loc["casing", "de"].attackability, found.loc["casing", "de"].candidates_per_word) == pytest.approx(
        (0.3, 0.4)
    )
    assert (found.loc["casing", "de"].targets, found.loc["casing", "de"].keeps) == (2, "form")
    assert len(found) == 3 + 1 + 1 + 1


def test_tables_of_nothing_are_empty():
    rows = table(long(("none", 0, "xnli", clean())))
    assert len(robustness(rows, "test")) == len(coverage(rows)) == 0
    assert list(robustness(rows, "test").columns) == list(robustness(table(long(("a", 0, "x", MIXED))), "test").columns)
    assert list(coverage(rows).columns) == list(coverage(table(long(("a", 0, "x", MIXED)))).columns)


def test_the_order_of_rows_changes_nothing():
    scores = table(long(*[(order, seed, "xnli", MIXED + SPACING) for order in ("none", "a") for seed in range(3)]))
    mixed = scores.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(robustness(scores, "test"), robustness(mixed, "test"))
    pd.testing.assert_frame_equal(coverage(scores), coverage(mixed))
    boards = [leaderboard(part, {}, "test").set_index("order").sort_index() for part in (scores, mixed)]
    robust = [column for column in boards[0].columns if "robust" in column]
    pd.testing.assert_frame_equal(*(board[robust] for board in boards), check_like=True)


def test_what_the_notes_say():
    other = clean() + edited("casing", {"de": 60, "sw": 60}) + edited("spacing", {"sw": 1}, share=0.2)
    notes = robust_notes(table(long(("none", 0, "xnli", MIXED), ("none", 0, "udpos", other))), "test")
    text = "\n".join(notes)
    assert "at most 50 examples of a language" in text
    assert "keyboard at severity 1, 5; casing, spacing at severity 3" in text
    assert "(below 50% attackable): casing in de (xnli); spacing in sw" in text
    assert "stress_score: word-order at severity 3" in text
    assert "normal-forms (0.0% of examples changed)" in text
    assert text.endswith("deepwordbug")


def test_the_table_people_read():
    board = board_of(*[("none", seed, "xnli", clean() + edited("keyboard", {"de": v, "sw": v}, share=0.9))
                       for seed, v in enumerate((40, 50, 60))])  # fmt: skip
    assert shown(board)[2:6] == ["score ↑", "Borda rank", "worst language ↑", "robust ↑"]
    assert shown(board)[6] == "attackable %"
    (record,) = board.to_dict("records")
    assert cells(record, board)[5:7] == [f"50.0 ± {board.robust_half_width[0]:.1f}", "90.0"]
    assert len(cells(record, board)) == len(shown(board))
    assert "| robust ↑ | attackable % |" in to_markdown(board, ABOUT)
    again = pd.DataFrame(json.loads(to_json(board, ABOUT))["rows"])
    assert cells(again.to_dict("records")[0], again) == cells(record, board)


# --- one candidate, and listings --------------------------------------------------------------------------------------


def test_the_goal_is_the_leaderboards_figure():
    found = MIXED + SPACING + edited("keyboard", {"de": 1}, 1, portion="search")
    runs = [("none", seed, target, found) for seed in (0, 1) for target in ("xnli", "udpos")]
    assert robust_score(long(*runs), "test") == pytest.approx(row_of(board_of(*runs)).robust_score / 100)
    assert robust_score(long(*runs), "search") == pytest.approx(0.01)
    assert robust_score(long(*((*run, ["sw"]) for run in runs)), "test") == pytest.approx(
        ((50 + 70) / 2 + 72) / 2 / 100
    )
    assert robust_score(long(*runs), "dev") is None
    assert robust_score(long(("none", 0, "xnli", clean())), "test") is None
    assert robust_score(long(("none", 0, "xnli", clean() + edited("word-order", {"de": 9}))), "test") is None


def test_edits_are_listed():
    rows = {row["name"]: row for row in listing("edits")}
    assert rows.keys() == EDITS.keys()
    assert {"form", "meaning", "stress", "control"} == {row["keeps"] for row in rows.values()}
    assert 0 < rows["kana"]["languages"] < rows["keyboard"]["languages"] <= 40
    assert all(row["description"] for row in rows.values())


@pytest.mark.parametrize("what", ["edits", "perturbations", "attacks"])
def test_listings_load_neither_torch_nor_textattack(what):
    code = (
        f"import sys; from search.listing import listing; listing({what!r}); "
        "sys.exit(' '.join({'torch', 'textattack', 'pandas'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
