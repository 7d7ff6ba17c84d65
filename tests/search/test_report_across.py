"""Pictures of what languages have in common: gains, agreement of rankings, distance."""

from __future__ import annotations

import pandas as pd

from search.analysis.finding import Finding
from search.report.across import groups
from search.report.figures import WRITTEN, draw
from search.report.names import Names

NAMES = Names(["mini-nli", "mini-tags"], pd.DataFrame())


def test_gains_are_drawn_by_language_and_family_for_clean_and_robust_scores():
    rows = [
        {"of": of, "kind": kind, "name": name, "estimate": estimate, "low": estimate - 1, "high": estimate + 1,
         "p_holm": 0.01 if estimate > 1 else 0.5}
        for of in ("score", "robust_score")
        for kind, name, estimate in (("language", "sw", 3.0), ("language", "de", 0.5), ("family", "Turkic", 2.0))
    ]  # fmt: skip
    (group,) = groups([Finding("by_language", "Language by language", pd.DataFrame(rows), "It gains.")], NAMES)
    assert [one.choice for one in group.pictures] == [
        "Score by language",
        "Robust score by language",
    ]  # one family only
    shown = group.pictures[0].data["rows"]
    assert [(row["label"], row["estimate"], row["shown"]) for row in shown] == [
        ("Swahili", 3.0, True), ("German", 0.5, False),
    ]  # fmt: skip
    assert group.pictures[0].sentence.startswith("1 of 2 shown. The largest of these: Swahili, +3.00 points")


def test_agreement_is_a_symmetric_matrix_without_means():
    rows = [("en", "de", 0.5), ("en", "sw", 0.1), ("de", "sw", 0.2), ("en", "mean", 0.3)]
    table = pd.DataFrame(rows, columns=["first", "second", "estimate"]).assign(method="full", kind="language")
    (group,) = groups([Finding("agreement", "Alike?", table, "Somewhat.", unit="tau")], NAMES)
    (picture,) = group.pictures
    assert picture.data["rows"] == ["English", "German", "Swahili"]
    assert picture.data["values"] == [[None, 0.5, 0.1], [0.5, None, 0.2], [0.1, 0.2, None]]
    assert "from 0.10 (en and sw) to 0.50 (en and de)" in picture.sentence
    figure = draw(picture)
    assert figure["layout"]["coloraxis"]["cmax"] == 1.0
    assert figure["data"][0]["texttemplate"] == "%{text}"


def test_a_large_matrix_has_no_figures_in_its_cells():
    codes = [f"x{i}" for i in range(WRITTEN + 1)]
    rows = [(a, b, 0.1) for i, a in enumerate(codes) for b in codes[:i]]
    table = pd.DataFrame(rows, columns=["first", "second", "estimate"]).assign(method="full", kind="language")
    (group,) = groups([Finding("agreement", "Alike?", table, "Somewhat.", unit="tau")], NAMES)
    assert "texttemplate" not in draw(group.pictures[0])["data"][0]


def test_correlations_are_not_told_in_points():
    rows = [
        {"predictor": "script", "estimate": 0.6, "low": 0.1, "high": 0.9, "p_holm": 0.04},
        {"predictor": "steps", "estimate": -0.2, "low": -0.6, "high": 0.3, "p_holm": 0.8},
    ]
    (group,) = groups([Finding("distance", "Distance", pd.DataFrame(rows), "Script.", unit="correlation")], NAMES)
    assert group.pictures[0].sentence == "1 of 2 shown. The largest of these: script, +0.60 (95 % +0.10 to +0.90)."
