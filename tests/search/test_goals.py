"""What a strategy is told, against sums made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.candidate import Arm, Candidate
from search.goals import told, worst_language
from search.order import Order
from search.prices import UnitPrices
from search.scores import rows_of

CANDIDATE = Candidate(Order.parse("a>b+c"), *Arm("full", 1e-3))
VALUES = {
    ("xnli", 0): {"de": 0.8, "sw": 0.5, "ur": 0.6},
    ("xnli", 1): {"de": 0.6, "sw": 0.7, "ur": 0.6},
    ("tatoeba", 0): {"de": 0.9, "sw": 0.2},
    ("tatoeba", 1): {"de": 0.9, "sw": 0.4},
}


def scores(values, portion):
    about = {"portion": portion, "metric": "accuracy", "main": True, "n": 10, "stderr": None}
    return [{"language": code, "value": value, **about} for code, value in values.items()]


def rows(portion="search"):
    return [
        row for (target, seed), values in VALUES.items()
        for row in rows_of(CANDIDATE, seed, target, scores(values, portion))
    ]  # fmt: skip


def others():
    """Rows that count for nothing: another portion, metric, perturbation, and a language beyond the target's."""
    low = [replace(row, value=0.0) for row in rows()]
    changes = ({"portion": "test"}, {"main": False}, {"perturbation": "typos"}, {"apart": True, "language": "my"})
    return [replace(row, **change) for change in changes for row in low]


def heard(*goals, found=None, objective="target-dev"):
    return told(goals, rows() + others() if found is None else found, objective, CANDIDATE, UnitPrices(leaf=2))


def test_the_worst_language_is_the_least_of_means_over_targets():
    # de: (0.7 + 0.9) / 2; sw: (0.6 + 0.3) / 2; ur has one target: 0.6.
    assert worst_language(rows() + others(), "search") == pytest.approx(0.45)
    assert heard("worst_language") == pytest.approx(0.45)


def test_targets_weigh_the_same_whatever_their_roots():
    twice = rows() + [row for row in rows() if row.target == "xnli"]
    assert worst_language(twice, "search") == pytest.approx(0.45)


def test_one_goal_is_a_number_and_several_a_list():
    score = ((0.7 + 0.6 + 0.6) / 3 + (0.9 + 0.3) / 2) / 2
    assert heard("score") == pytest.approx(score)
    assert heard("cost") == -(2 + 2)  # two stages and the leaf
    assert heard("cost", "score", "worst_language") == pytest.approx([-4, score, 0.45])


def test_the_price_is_that_of_the_candidate_alone():
    """What is stored or bought by others makes no candidate better."""
    prices = UnitPrices(leaf=2)
    prices.stored = lambda: [(CANDIDATE.arm, CANDIDATE.order.groups)]
    assert told(["cost"], [], "target-dev", CANDIDATE, prices) == -4


def test_the_objective_says_what_is_seen():
    dev = rows_of(CANDIDATE, 0, "xnli", scores({"en": 0.9}, "dev"))
    assert heard("score", found=rows() + dev, objective="en-dev") == 0.9
    assert heard("score", found=dev) is None


def test_what_is_missing_makes_all_of_it_missing():
    assert heard("score", found=[]) is None
    assert heard("worst_language", found=[]) is None
    assert heard("cost", "score", found=[]) is None
    assert heard("worst_language", "cost", found=others()) is None
    assert heard("score", "cost", objective="en-dev") is None


def robust(values, portion, edit="keyboard", share=1.0):
    """Scores of an edit by language; its main metric is another figure than its robust score."""
    about = {"portion": portion, "perturbation": edit, "severity": 3, "n": 10, "stderr": None, "attackability": share}
    return [
        {"language": code, "value": figure, "metric": metric, "main": metric == "accuracy", **about}
        for code, value in values.items() for metric, figure in (("accuracy", 1.0), ("robust", value))
    ]  # fmt: skip


def test_the_goal_robustness_is_the_mean_robust_score_that_the_objective_sees():
    found = rows() + rows_of(CANDIDATE, 0, "xnli", [
        *robust({"de": 0.3, "sw": 0.5}, "search"), *robust({"de": 0.9}, "search", share=0.3),
        *robust({"de": 0.1}, "search", "word-order"), *robust({"en": 0.7}, "dev"), *robust({"de": 0.2}, "report"),
        *robust({"sw": 0.0}, "search", "attack:deepwordbug"),
    ])  # fmt: skip
    found = [row for row in found if row.seed == 0]
    clean = [row for row in found if row.perturbation == "none"]
    assert heard("robustness", found=[row for row in found if row.attackability != 0.3]) == pytest.approx(0.4)
    assert heard("robustness", found=found, objective="en-dev") == pytest.approx(0.7)
    assert heard("robustness", found=clean) is None
    assert heard("score", "robustness", found=clean) is None
    # What is perturbed changes no other goal.
    assert heard("score", "worst_language", found=found) == heard("score", "worst_language", found=clean)
    # A cell below half attackable counts for nothing.
    assert (
        heard("robustness", found=clean + rows_of(CANDIDATE, 0, "xnli", robust({"de": 1.0}, "search", share=0.3)))
        is None
    )
