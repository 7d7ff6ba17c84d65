"""Outcomes: what tables of candidates × roots are made of."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from search.analysis.outcomes import groups, reduced

CELLS = {("xnli", "en"): 90, ("xnli", "de"): 80, ("xnli", "fi"): 60, ("pos", "de"): 50, ("pos", "fi"): 40,
         ("pos", "ru"): 30}  # fmt: skip


def cells():
    """Two candidates at two roots; the second scores 1 point more everywhere, the second root 10 more."""
    columns = pd.MultiIndex.from_product([["b", "a"], [0, 1]], names=["candidate", "seed"])
    index = pd.MultiIndex.from_tuples(list(CELLS), names=["target", "language"])
    rows = [[value + 10 * seed + (name == "a") for name, seed in columns] for value in CELLS.values()]
    return pd.DataFrame(rows, index=index, columns=columns, dtype=float)


@pytest.mark.parametrize(
    ("outcome", "value"),
    [
        ("score", (230 / 3 + 40) / 2),
        ("robust_score", (230 / 3 + 40) / 2),
        ("robust_score_foreign", (70 + 40) / 2),
        ("target:pos", 40),
        ("language:de", 65),
        ("language:ru", 30),
        ("family:Uralic", 50),
        ("family:Indo-European", (85 + 40) / 2),  # of xnli en and de, of pos de and ru
        ("script:Cyrillic", 30),
        ("gap_to_english", 90 - 70),  # pos has no English
        ("worst_language", 30),
    ],
)
def test_an_outcome_is_a_mean_over_targets_of_means_over_their_languages(outcome, value):
    found = reduced(cells(), outcome)
    assert list(found.index) == ["b", "a"]
    assert list(found.columns) == [0, 1]
    both = 0 if outcome == "gap_to_english" else 1
    assert found.loc["b", 0] == pytest.approx(value)
    assert found.loc["a", 1] == pytest.approx(value + 11 * both)


@pytest.mark.parametrize(
    ("outcome", "missing"),
    [("score", True), ("language:de", True), ("target:pos", False), ("gap_to_english", True), ("worst_language", True)],
)
def test_a_missing_cell_makes_only_what_holds_it_missing(outcome, missing):
    table = cells()
    table.loc[("xnli", "de"), ("b", 1)] = math.nan
    found = reduced(table, outcome)
    assert math.isnan(found.loc["b", 1]) is missing
    assert not math.isnan(found.loc["b", 0])
    assert not math.isnan(found.loc["a", 1])


def test_what_a_study_lacks_gives_an_empty_table():
    assert reduced(cells(), "language:zh").empty
    assert reduced(cells().loc[["pos"]], "gap_to_english").empty


def test_the_groups_of_cells_are_sorted():
    assert groups(cells(), "language") == ["de", "en", "fi", "ru"]
    assert groups(cells(), "family") == ["Indo-European", "Uralic"]
    assert groups(cells(), "script") == ["Cyrillic", "Latin"]
