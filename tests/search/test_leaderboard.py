"""The leaderboard: its figures by hand, ranks, missing cells, and exports that are safe to open."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re

import pandas as pd
import pytest
from boards import ABOUT, HOSTILE, TWO, board_of, row_of, scores
from rich.console import Console
from scipy import stats

from search.leaderboard import cells, leaderboard, shown, to_csv, to_json, to_markdown
from search.leaderboard.terminal import print_board, show

# --- figures ----------------------------------------------------------------------------------------------------------


def test_the_figures_by_hand():
    board = board_of(TWO, {"none full 0.001": 1, "a full 0.001": 2, "a>b full 0.001": 3})
    assert board.order.to_list() == ["a", "a>b", "none"]
    assert board["rank"].to_list() == [1, 2, 3]
    row = row_of(board, "a")
    assert row.score == pytest.approx(((60 + 40) / 2 + (70 + 50) / 2) / 2)
    assert (row.target_xnli, row.target_tatoeba) == (pytest.approx(65), pytest.approx(45))
    assert row.worst_language == "sw"
    assert row.worst_language_score == pytest.approx((55 + 35) / 2)  # the mean over targets of the mean over roots
    assert row.gap_to_english == pytest.approx(75 - (65 + 55) / 2)  # targets that have English alone
    assert row.family_indo_european == pytest.approx(((75 + 65) / 2 + 55) / 2)  # English and German, then German
    assert row.family_niger_congo == pytest.approx((55 + 35) / 2)
    assert (row.stage_cost, row.seeds, row.method, row.learning_rate) == (2, 2, "full", 1e-3)


def test_two_roots_have_no_interval():
    assert board_of(TWO).score_half_width.isna().all()


@pytest.mark.parametrize("values", [[50, 60, 70], [50.5, 51, 49, 52], [40, 40, 40]])
def test_the_half_width_is_scipys(values):
    board = board_of({"a": [{"x": {"de": value}} for value in values]})
    low, high = stats.t.interval(0.95, len(values) - 1, loc=board.score[0], scale=stats.sem(values) or 1e-300)
    assert board.score_half_width[0] == pytest.approx((high - low) / 2)


def test_ties_share_a_rank():
    values = {"a": [{"x": {"de": 50}}], "b": [{"x": {"de": 70}}], "c": [{"x": {"de": 70}}], "d": [{"x": {"de": 60}}]}
    board = board_of(values)
    assert list(zip(board.order, board["rank"], strict=True)) == [("b", 1), ("c", 1), ("d", 3), ("a", 4)]


def test_ties_in_other_orders_of_adding():
    orders = list(itertools.permutations([11.1, 22.3, 33.7, 44.9, 55.3, 66.1]))[::7]
    codes = ("de", "en", "fr", "sw", "th", "zh")
    board = board_of({str(n): [{"x": dict(zip(codes, values, strict=True))}] for n, values in enumerate(orders)})
    assert board.score.nunique() > 1  # the sums do differ in their last bits
    assert set(board["rank"]) == {1}
    assert board.order.to_list() == [str(number) for number in range(len(orders))]  # as they were proposed


def test_the_worst_language_of_a_tie_is_the_first():
    assert board_of({"a": [{"x": {"sw": 50, "de": 50, "en": 60}}]}).worst_language[0] == "de"


def test_no_gap_without_english_or_without_others():
    assert board_of({"a": [{"x": {"de": 50, "sw": 40}}]}).gap_to_english.isna().all()
    assert board_of({"a": [{"x": {"en": 50}}]}).gap_to_english.isna().all()


def test_only_the_portion_the_primary_metric_and_clean_rows_count():
    main = scores(TWO)
    other = [scores(TWO, **changed).assign(value=0.0) for changed in (
        {"portion": "dev"}, {"metric": "exact_match", "main": False}, {"perturbation": "typos"},
    )]  # fmt: skip
    pd.testing.assert_frame_equal(leaderboard(pd.concat([main, *other]), {}, "test"), leaderboard(main, {}, "test"))


def test_further_languages_stand_apart():
    main, apart = scores(TWO), scores({"a": [{"xnli": {"my": 30}}, {"xnli": {"my": 40}}]}, apart=True)
    board = leaderboard(pd.concat([main, apart]), {}, "test")
    pd.testing.assert_frame_equal(board.drop(columns="extra_xnli"), leaderboard(main, {}, "test"))
    assert row_of(board, "a").extra_xnli == pytest.approx(35)
    assert math.isnan(row_of(board, "none").extra_xnli)


def test_what_is_said_of_orders():
    said = {"a": {"own_training_set": "xnli"}, "none": {"own_training_set": ""}, "a>b": {"own_training_set": "xnli"}}
    board = leaderboard(scores(TWO), {}, "test", said)
    at = shown(board).index("xnli ↑")
    marked = {record["order"]: cells(record, board)[at] for record in board.to_dict("records")}
    assert marked == {"a": "65.0 ‡", "a>b": "66.0 ‡", "none": "50.0"}
    assert all("‡" not in cells(record, board)[at + 1] for record in board.to_dict("records"))


def test_a_language_of_no_known_family():
    assert "family_unknown" in board_of({"a": [{"x": {"qqq": 50}}]}).columns


def test_columns_are_snake_case():
    board = board_of({"a": [{"mini-xnli": {"en": 50, "sw": 40}, "ud.pos_2": {"th": 30}}]})
    assert all(re.fullmatch(r"[a-z0-9_]+", column) for column in board.columns)
    assert {"target_mini_xnli", "target_ud_pos_2"} < set(board.columns)
    assert list(board.columns)[:14] == [
        "rank", "rank_low", "rank_high", "place", "borda_rank", "borda", "order", "method", "learning_rate",
        "prompt_length", "budget", "seeds", "score", "score_half_width",
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["score", "rank", "order", "family_x", "seeds", "stage_cost"])
def test_a_target_named_like_a_column(target):
    board = board_of({"a": [{target: {"de": 50}}], "b": [{target: {"de": 60}}]})
    assert board.columns.is_unique
    assert board.order.to_list() == ["b", "a"]
    assert board[f"target_{target}"].to_list() == pytest.approx([60, 50])


def test_nothing_scored():
    assert len(leaderboard(scores(TWO, portion="dev"), {}, "test")) == 0
    assert to_csv(pd.DataFrame()) == "\n"
    assert json.loads(to_json(pd.DataFrame(), ABOUT))["rows"] == []
    assert "Task orders" in to_markdown(pd.DataFrame(), ABOUT)


# --- missing cells: nobody wins by skipping ---------------------------------------------------------------------------


def missing(**changed):
    values = {**TWO, **changed}
    return board_of(values)


@pytest.mark.parametrize("without", [
    {"xnli": {"en": 99, "de": 99, "sw": 99}},
    {"xnli": {"en": 99, "de": 99}, "tatoeba": {"de": 99, "sw": 99}},
])  # fmt: skip
def test_a_missing_target_or_language_has_no_mean(without):
    board = missing(c=[without] * 2)
    assert board.order.to_list() == ["a", "a>b", "none", "c"]
    row = row_of(board, "c")
    assert pd.isna(row["rank"])
    assert pd.isna(row.score)
    assert pd.isna(row.worst_language_score)
    assert row.worst_language is None or pd.isna(row.worst_language)
    assert board["rank"].to_list()[:3] == [1, 2, 3]


def test_what_is_whole_is_shown():
    row = row_of(missing(c=[{"xnli": {"en": 99, "de": 98, "sw": 97}, "tatoeba": {"de": 90}}] * 2), "c")
    assert row.target_xnli == pytest.approx(98)
    assert row.gap_to_english == pytest.approx(99 - 97.5)
    assert pd.isna(row.target_tatoeba)
    assert row.family_indo_european == pytest.approx(((99 + 98) / 2 + 90) / 2)
    assert pd.isna(row.family_niger_congo)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_missing_root_has_no_rank(lost):
    """It may be the root that went badly; what it has is shown, below all that have every root."""
    high = {"xnli": {"en": 99, "de": 99, "sw": 99}, "tatoeba": {"de": 99, "sw": 99}}
    board = missing(c=[None, high] if lost == 0 else [high, None])
    assert board.order.to_list() == ["a", "a>b", "none", "c"]
    row = row_of(board, "c")
    assert pd.isna(row["rank"])
    assert (row.seeds, row.score) == (1, pytest.approx(99))


def test_other_roots_missing_for_each():
    board = board_of({"a": [{"x": {"de": 50}}, None], "b": [None, {"x": {"de": 60}}]})
    assert board["rank"].isna().all()
    assert board.order.to_list() == ["b", "a"]


def test_a_root_that_is_only_half_there_is_left_out():
    whole = {"x": {"de": 50, "sw": 40}}
    board = board_of({"a": [whole, whole], "b": [whole, {"x": {"de": 99}}]})
    row = row_of(board, "b")
    assert pd.isna(row["rank"])
    assert (row.seeds, row.score) == (1, pytest.approx(45))


def test_missing_figures_are_empty_everywhere(tmp_path):
    board = missing(c=[{"xnli": {"en": 99, "de": 99, "sw": 99}}] * 2)
    last = list(csv.DictReader(io.StringIO(to_csv(board))))[-1]
    assert (last["order"], last["rank"], last["score"], last["target_tatoeba"]) == ("c", "", "", "")
    last = json.loads(to_json(board, ABOUT))["rows"][-1]
    assert (last["rank"], last["score"], last["worst_language"]) == (None, None, None)
    line = to_markdown(board, ABOUT).splitlines()[7]
    assert line == "|  | c |  |  |  | 0.0 | 99.0 |  |  |"
    assert "nan" not in to_csv(board).lower() + to_json(board, ABOUT).lower() + to_markdown(board, ABOUT).lower()


# --- methods, budgets, sizes ------------------------------------------------------------------------------------------


def test_what_got_less_than_the_full_budget_has_no_rank():
    """Successive halving leaves candidates behind; what they score there is shown below, the furthest first."""
    part = {"b": [{"xnli": {"en": 99, "de": 99}}] * 3}
    whole = {"a": [{"xnli": {"en": 50, "de": 40}}] * 3}
    table = pd.concat([
        scores(part, candidate="b at 0.11", budget=0.11), scores(part, candidate="b at 0.33", budget=0.33),
        scores(whole),
    ])  # fmt: skip
    board = leaderboard(table, {}, "test")
    assert list(board["rank"].astype(object).where(board["rank"].notna(), None)) == [1, None, None]
    assert list(board.budget) == [1.0, 0.33, 0.11]
    assert "budget" in shown(board)


def test_few_shot_candidates_are_ranked_apart():
    """However well they score."""
    good, fair, low = ({"none": [{"xnli": {"en": value, "de": value}}] * 3} for value in (90, 60, 50))
    table = pd.concat([
        scores(good, method="icl-target", candidate="none icl-target"),
        scores(fair, method="icl", candidate="none icl"), scores(low, method="full"),
    ])  # fmt: skip
    board = leaderboard(table, {}, "test")
    assert list(board.method) == ["icl", "full", "icl-target"]
    assert list(board["rank"]) == [1, 2, 1]
    assert [cells(record, board)[0] for record in board.to_dict("records")] == ["1 (1–1)", "2 (2–2)", "1 few-shot"]


def test_tuned_parameters_stand_beside_the_scores():
    one = {"none": [{"xnli": {"en": 60, "de": 50}}]}
    table = pd.concat([scores(one), scores(one, method="lora", candidate="none lora")])
    sizes = [
        {**row, "language": "", "portion": "model", "main": False, "metric": metric, "value": value}
        for row in table.drop_duplicates("candidate").to_dict("records")
        for metric, value in (("tuned_parameters", 100 if row["method"] == "full" else 5),
                              ("tuned_share", 1.0 if row["method"] == "full" else 0.05))
    ]  # fmt: skip
    board = leaderboard(pd.concat([table, pd.DataFrame(sizes)]), {}, "test").set_index("method")
    assert board.tuned_parameters.to_dict() == {"full": 100, "lora": 5}
    assert board.tuned_share.to_dict() == {"full": 1.0, "lora": 0.05}
    board = board.reset_index()
    assert "tuned %" in shown(board)
    assert {cells(record, board)[3] for record in board.to_dict("records")} == {"100.00", "5.00"}
    assert "tuned %" not in shown(leaderboard(table, {}, "test"))


# --- exports ----------------------------------------------------------------------------------------------------------


def hostile_board():
    return board_of({HOSTILE: [{"x": {"en": 50, "de": 40}}], "none": [{"x": {"en": 40, "de": 30}}]})


def test_csv_holds_no_formula():
    rows = list(csv.DictReader(io.StringIO(to_csv(hostile_board()))))
    assert rows[0]["order"] == f"'{HOSTILE}"
    assert rows[0]["score"] == "45.0"
    language = board_of({"a": [{"x": {"=1+1": 50}}]})
    assert next(csv.DictReader(io.StringIO(to_csv(language))))["worst_language"] == "'=1+1"


def test_markdown_shows_names_as_they_are():
    about = {"title": "on <b>mini</b>", "notes": ["| a |", "<img src=x onerror=alert(1)>"]}
    text = to_markdown(hostile_board(), about)
    assert "<" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table}) == 1  # as many cells in each line
    cell = table[2].split(" | ")[1]
    for unescaped in (r"(?<!\\)\*", r"(?<!\\)\[", r"(?<!\\)`"):
        assert not re.search(unescaped, cell)


def test_json_can_be_read_back():
    board = board_of(TWO, {"a full 0.001": 2})
    content = json.loads(to_json(board, ABOUT))
    assert (content["title"], content["notes"]) == (ABOUT["title"], ABOUT["notes"])
    again = pd.DataFrame(content["rows"])
    assert list(again.columns) == list(board.columns)
    assert again.score.to_list() == pytest.approx([round(score, 2) for score in board.score])
    assert [cells(a, again) for a in again.to_dict("records")] == [cells(b, board) for b in board.to_dict("records")]


def test_learning_rates_are_not_rounded():
    board = leaderboard(scores(TWO, learning_rate=3e-5), {}, "test")
    assert json.loads(to_json(board, ABOUT))["rows"][0]["learning_rate"] == 3e-5
    assert "3e-05" in to_csv(board)


def test_bytes_do_not_depend_on_the_order_of_rows():
    """Runs end in any order; the table lists them by candidate and root, but rows of one run may come in any order."""
    table = scores(TWO)
    mixed = table.sample(frac=1, random_state=0).sort_values(["candidate"], key=lambda c: c.map({
        f"{order} full 0.001": place for place, order in enumerate(TWO)
    }), kind="stable")  # fmt: skip
    first, second = (leaderboard(part, {}, "test") for part in (table, mixed))
    figures = [column for column in first.columns if not column.startswith("target_")]
    assert to_csv(first[figures]) == to_csv(second[figures])
    assert to_csv(leaderboard(table, {}, "test")) == to_csv(first)


def test_headings_name_what_varies():
    one = board_of(TWO)
    assert "method" not in shown(one)
    assert "learning_rate" not in shown(one)
    both = pd.concat([scores(TWO), scores({"a": TWO["a"]}, method="probe", candidate="a probe 0.001")])
    assert "method" in shown(leaderboard(both, {}, "test"))
    for record in one.to_dict("records"):
        assert len(cells(record, one)) == len(shown(one))


# --- on the terminal --------------------------------------------------------------------------------------------------


def printed(call):
    console = Console(file=io.StringIO(), width=200)
    call(console)
    return console.file.getvalue()


def test_print_board_shows_names_as_they_are():
    board = board_of({"[red]a": [{"x": {"de": 50}}], "b": [{"x": {"de": 40}}]})
    text = printed(lambda console: print_board(board, {"title": "[bold]t", "notes": ["[dim]n"]}, console, most=1))
    for expected in ("[red]a", "[bold]t", "[dim]n", "and 1 more"):
        assert expected in text


def test_show_prints_what_was_written(tmp_path):
    board = missing(c=[{"xnli": {"en": 99, "de": 99, "sw": 99}}] * 2)
    (tmp_path / "leaderboard.json").write_text(to_json(board, ABOUT), "utf-8")
    text = printed(lambda console: show(str(tmp_path), console))
    assert text.startswith(printed(lambda console: print_board(board, ABOUT, console)))
    assert "nan" not in text


def test_an_empty_leaderboard_is_shown(tmp_path):
    (tmp_path / "leaderboard.json").write_text(to_json(pd.DataFrame(), ABOUT), "utf-8")
    assert "Task orders on mini" in printed(lambda console: show(str(tmp_path), console))


def test_intervals_are_shown_from_three_roots_on():
    board = board_of({"a": [{"x": {"de": value}} for value in (50, 60, 70)]})
    half = stats.t.ppf(0.975, 2) * 10 / math.sqrt(3)
    assert f"60.0 ± {half:.1f}" in cells(board.to_dict("records")[0], board)


# --- the planned grid -------------------------------------------------------------------------------------------------


def test_a_planned_cell_that_nobody_has_leaves_means_empty():
    """What happens to occur is no grid: else a language that failed for all would be forgotten."""
    cells = [*scores(TWO)[["target", "language"]].drop_duplicates().itertuples(index=False, name=None), ("xnli", "th")]
    grid = pd.MultiIndex.from_tuples(cells, names=["target", "language"])
    board = leaderboard(scores(TWO), {}, "test", grid=grid)
    assert board[["rank", "place", "score", "target_xnli", "worst_language", "borda"]].isna().all(axis=None)
    assert (board.seeds == 0).all()
    assert row_of(board, "a").target_tatoeba == pytest.approx(45)
    assert set(board.rank_reason) == {"0 of 2 roots: the others may have been bad ones"}


def test_cells_beyond_the_planned_grid_do_not_count():
    grid = pd.MultiIndex.from_tuples([("xnli", "de"), ("xnli", "sw")], names=["target", "language"])
    board = leaderboard(scores(TWO), {}, "test", grid=grid)
    assert row_of(board, "a").score == pytest.approx((65 + 55) / 2)
    assert "target_tatoeba" not in board
