"""The finals' table and what is said of it, on planted fresh roots."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import t

from search.analysis.finals import COLUMNS, finals_sentence, finals_table
from search.campaign import Finals
from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace
from search.prices import UnitPrices
from search.scores import rows_of, table
from search.settings import Settings
from search.space import Space
from search.strategies.adaptive import Told

ARM = Arm("full", 1e-3)
SPACE = Space(OrderSpace("ab", "explicit", orders=[Order.parse(text) for text in ("none", "a", "b", "a>b")]), [ARM])
WORTH = dict(zip(SPACE, (0.50, 0.55, 0.53, 0.60), strict=True))
BEST = SPACE[3]


def rows(candidate, seed, noise=0.002):
    """English dev, which the search is told, and test scores 10 points lower in two languages."""
    value = WORTH[candidate] + random.Random(f"{candidate.name} {seed}").gauss(0, noise)
    about = {"metric": "accuracy", "main": True, "n": 100, "stderr": None}
    scores = [
        {"language": "en", "portion": "dev", "value": value, **about},
        {"language": "de", "portion": "test", "value": value - 0.08, **about},
        {"language": "sw", "portion": "test", "value": value - 0.12, **about},
    ]
    return rows_of(candidate, seed, "xnli", scores)


def held(broken=(), steps=10_000, rounds=100, **changed):
    """Finals that were played, and the table of their fresh roots' scores; runs in `broken` fail.

    They are broken off after so many rounds, or after so many steps of the first.
    """
    finals = {"finalists": 3, "most": 8, "tolerance": 0.001, **changed.pop("finals", {})}
    settings = Settings.model_validate({"seeds": 2, "confidence": 0.95, "finals": finals, **changed})
    first = {one: {seed: rows(one, seed) for seed in range(2)} for one in SPACE}
    found = Finals(settings, SPACE, UnitPrices(), [Told(one, (WORTH[one],), 2) for one in SPACE], first)
    fresh = []
    for _ in range(rounds):
        runs = found.round()
        for candidate, seed in runs[:steps]:
            whole = None if (candidate, seed) in broken else rows(candidate, seed)
            found.tell(candidate, seed, whole)
            fresh += whole or []
    return found, table(fresh)


def test_the_best_is_named_with_its_figures_on_fresh_roots():
    finals, scores = held(finals={"least": 5})
    found = finals_table(finals, scores, "test")
    assert tuple(found.columns) == COLUMNS
    assert len(found) == 3
    assert found.named.tolist() == [True, False, False]
    one = found.iloc[0]
    assert one.candidate == BEST.name
    assert one.probability >= 0.95
    assert found.probability[1:].isna().all()
    seeds = sorted(scores[scores.candidate == BEST.name].seed.unique())
    assert seeds == list(range(2, 2 + one.roots))  # fresh, numbered on
    values = [100 * rows(BEST, seed)[0].value for seed in seeds]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = t.ppf(0.975, len(values) - 1) * deviation / math.sqrt(len(values))
    assert (one.selection, one.selection_half_width) == pytest.approx((mean, half))
    assert (one.score, one.score_half_width) == pytest.approx((mean - 10, half))
    assert one.expected == pytest.approx(60, abs=1.5)
    assert one.behind == 0
    assert found.behind[1:].between(3, 8).all()
    assert found.behind.is_monotonic_increasing
    assert found.chance.sum() == pytest.approx(1)


def test_the_sentence_says_who_how_surely_and_what():
    finals, scores = held()
    found = finals_table(finals, scores, "test")
    one = found.iloc[0]
    assert one.probability > 0.99
    assert finals_sentence(finals, found) == (
        f"{BEST.name} is named: with probability over 0.99 it is within 0.1 points of the best of "
        f"3 finalists on the selection score. Its zero-shot score at {one.roots} fresh roots: "
        f"{one.score:.1f} ± {one.score_half_width:.1f}."
    )


def test_too_few_roots_are_said_to_be_too_few(monkeypatch):
    """Equal finalists are never told apart: the fresh roots are gone first."""
    monkeypatch.setattr("test_finals.WORTH", dict.fromkeys(SPACE, 0.5))
    finals, scores = held(finals={"most": 3, "tolerance": 0.0})
    found = finals_table(finals, scores, "test")
    assert found.roots.tolist() == [3, 3, 3]
    assert found.probability[0] < 0.95
    assert "(asked for: 0.95; the fresh roots are gone)" in finals_sentence(finals, found)


def test_two_roots_have_no_interval():
    finals, scores = held(finals={"least": 2, "most": 2})
    found = finals_table(finals, scores, "test")
    assert found.roots.tolist() == [2, 2, 2]
    assert found.selection_half_width.isna().all()
    assert found.score_half_width.isna().all()
    said = finals_sentence(finals, found)
    assert "at 2 fresh roots" in said
    assert "±" not in said


def test_a_finalist_that_fails_is_no_row():
    finals, scores = held({(BEST, 3)})
    found = finals_table(finals, scores, "test")
    assert BEST.name not in set(found.candidate)
    assert found.candidate[0] == SPACE[1].name
    assert "of the best of 2 finalists" in finals_sentence(finals, found)


def test_a_finalist_alone():
    finals, scores = held({(SPACE[1], 2), (SPACE[2], 2)})
    found = finals_table(finals, scores, "test")
    assert found.candidate.tolist() == [BEST.name]
    assert found.roots[0] == 3
    said = finals_sentence(finals, found)
    assert said.startswith(f"{BEST.name} is named: it is the only finalist")
    assert "probability" not in said
    assert f"at 3 fresh roots: {found.score[0]:.1f} ±" in said


def test_all_finalists_fail():
    finals, scores = held({(one, 2) for one in SPACE})
    found = finals_table(finals, scores, "test")
    assert len(found) == 0
    assert tuple(found.columns) == COLUMNS
    assert finals_sentence(finals, found) == "No finalist can be named: none has scores at enough fresh roots."


def test_broken_off_in_the_first_round():
    finals, scores = held(steps=4)
    found = finals_table(finals, scores, "test")
    assert not found.named.any()
    assert sorted(found.roots) == [1, 1, 2]
    said = finals_sentence(finals, found)
    assert said == "No finalist can be named: the finals were broken off before all had scores at enough fresh roots."


def test_broken_off_before_it_was_sure(monkeypatch):
    monkeypatch.setattr("test_finals.WORTH", dict.fromkeys(SPACE, 0.5))
    finals, scores = held(rounds=1, finals={"tolerance": 0.0})
    found = finals_table(finals, scores, "test")
    assert found.roots.tolist() == [3, 3, 3]
    assert "(asked for: 0.95; the finals were broken off)" in finals_sentence(finals, found)


def test_nothing_was_recommended():
    failed = [Told(one, None, 2) for one in SPACE]
    finals = Finals(
        Settings.model_validate({}), SPACE, UnitPrices(), failed, {one: {0: None, 1: None} for one in SPACE}
    )
    assert finals.done
    assert finals.round() == []
    found = finals_table(finals, table([]), "test")
    assert tuple(found.columns) == COLUMNS
    assert finals_sentence(finals, found) == "No finalist can be named: none has scores at enough fresh roots."


def test_a_finalist_may_be_one_that_never_ran():
    """The posterior names it; its figures are of fresh roots alone."""
    told = [one for one in SPACE if one != SPACE[1]]
    settings = Settings.model_validate({"seeds": 1, "finals": {"finalists": 4}})
    history, first = [Told(one, (WORTH[one],)) for one in told], {one: {0: rows(one, 0)} for one in told}
    finals = Finals(settings, SPACE, UnitPrices(), history, first)
    assert {one.candidate for one in finals.recommended} == set(SPACE)
    assert Candidate(Order.parse("a"), *ARM) in {candidate for candidate, _ in finals.round()}


def test_an_arm_that_trains_no_order_sends_one_finalist():
    """All of its candidates have the same stages: on the same root they would score the same."""
    prices = UnitPrices()
    prices.trunk = lambda arm: None
    first = {one: {seed: rows(one, seed) for seed in range(2)} for one in SPACE}
    history = [Told(one, (WORTH[one],), 2) for one in SPACE]
    finals = Finals(Settings.model_validate({"seeds": 2}), SPACE, prices, history, first)
    assert len(finals.recommended) == 1


def test_without_full_budgets_the_largest_send_their_best():
    """Halving that was given too few candidates, or whose last ones failed."""
    history = [Told(one.at(budget), (WORTH[one],), 2) for budget in (1 / 9, 1 / 3) for one in list(SPACE)[:3]]
    history = [one for one in history if one.candidate.budget < 0.3 or one.candidate.order != SPACE[1].order]
    first = {one.candidate: {seed: rows(one.candidate.at(1), seed) for seed in range(2)} for one in history}
    finals = Finals(Settings.model_validate({"seeds": 2}), SPACE, UnitPrices(), history, first)
    assert [one.candidate for one in finals.recommended] == [SPACE[2], SPACE[0], SPACE[1]]
