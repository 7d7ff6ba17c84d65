"""The long table: means over it, what a strategy is told, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pandas as pd
import pytest

from search.candidate import Candidate
from search.order import Order
from search.scores import Row, csv_text, mean_score, rows_of, selection_value, table, target_scores

CANDIDATE = Candidate(Order((("a",), ("b",))), "full", 1e-3)


def score(language, value, portion="test", metric="accuracy"):
    return {"language": language, "portion": portion, "metric": metric, "main": metric == "accuracy",
            "value": value, "n": 10, "stderr": None}  # fmt: skip


def rows(target, *scores):
    return rows_of(CANDIDATE, 0, target, [score(*one) for one in scores])


def test_rows_say_whose_they_are():
    (row,) = rows_of(CANDIDATE, 3, "x", [score("de", 0.5)])
    assert row == Row(
        "a>b full 0.001", "a>b", "full", 1e-3, 3, "x", "de", "test", "none", 0, "accuracy", True, 0.5, 10, None
    )


def test_a_score_is_a_mean_of_means():
    found = rows("x", ("de", 0.1), ("en", 0.3)) + rows("y", ("de", 0.8), ("en", 0.9), ("sw", 1.0))
    assert target_scores(found, "test") == {"x": pytest.approx(0.2), "y": pytest.approx(0.9)}
    assert mean_score(found, "test") == pytest.approx(0.55)


def test_only_the_portion_the_primary_metric_and_clean_rows_count():
    found = rows("x", ("de", 0.5), ("de", 0.9, "report"), ("de", 0.1, "test", "exact_match"), ("en", 0.7, "dev"))
    found.append(replace(found[0], perturbation="typos", severity=1, value=0.0))
    assert mean_score(found, "test") == 0.5
    assert mean_score(found, "report") == 0.9


def test_nothing_scored_is_no_number():
    """A handful of test items may leave one of their halves empty."""
    assert math.isnan(mean_score(rows("x", ("de", 0.5)), "report"))


def test_what_a_strategy_is_told():
    found = rows("x", ("en", 0.7, "dev"), ("de", 0.5), ("de", 0.4, "search")) + rows("z", ("de", 0.6, "search"))
    assert selection_value(found, "en-dev") == 0.7
    assert selection_value(found, "target-dev") == 0.5
    assert selection_value(rows("z", ("de", 0.6)), "en-dev") is None


def test_the_table_has_all_columns_even_when_empty():
    columns = list(Row.__dataclass_fields__)
    assert list(table([]).columns) == columns
    assert list(table(rows("x", ("de", 0.5))).columns) == columns
    assert all(name.isidentifier() and name == name.lower() for name in columns)


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1+2", "@SUM(A1)", "\t=x", "\r=x"])
def test_no_cell_is_a_formula(text):
    shown = csv_text(pd.DataFrame({"language": [text], "value": [-0.5]}))
    (row,) = csv.DictReader(io.StringIO(shown))
    assert row["language"] == f"'{text}".replace("\r", " ")
    assert row["value"] == "-0.5"


def test_other_cells_stay_as_they_are():
    frame = pd.DataFrame({"order": ["a>b", "none", 'ไทย, "x"'], "n": [1, 2, 3], "stderr": [None, 0.1, 0.2]})
    again = pd.read_csv(io.StringIO(csv_text(frame)), keep_default_na=False, na_values=[""])
    assert again.to_dict("list")["order"] == frame.to_dict("list")["order"]
    assert again.n.to_list() == [1, 2, 3]
