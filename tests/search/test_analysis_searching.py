"""Regret, cost and the winner's luck: against counting by hand, and in closed form against all subsets."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run

from search.analysis.costs import marginal
from search.analysis.designs import Designs
from search.analysis.finite import best_weights, expected_best, steps
from search.analysis.searching import course, regret, searched, winners_curse
from search.results import load

TASKS = ("mini-nli", "mini-tags", "mini-topic")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    return load([made_run(folder, tasks=TASKS, roots=4, controls=True, order_sd=2.0, seed=3)])


def told(results, seen, report):
    """The results with these scores in percent (candidates × roots): on English dev, and on all test cells."""
    names = list(results.candidates.candidate)
    scores = results.scores.copy()
    place = scores.candidate.map({name: i for i, name in enumerate(names)}).to_numpy()
    root = scores.seed.to_numpy()
    dev = (scores.portion == "dev").to_numpy()
    values = np.where(dev, np.array(seen)[place, root], np.array(report)[place, root]) / 100
    table = results.candidates.assign(value=np.array(seen).mean(axis=1) / 100)
    return replace(results, scores=scores.assign(value=values), candidates=table)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Four candidates at three roots whose scores are known."""
    folder = tmp_path_factory.mktemp("small") / "run"
    orders = ["none", "mini-nli", "mini-nli>mini-tags", "mini-tags>mini-nli"]
    made = load([made_run(folder, orders=orders, tasks=TASKS[:2], roots=3)])
    seen = [[50, 50, 50], [60, 61, 40], [55, 55, 55], [54, 54, 70]]
    report = [[30, 30, 30], [35, 35, 35], [40, 40, 40], [38, 38, 44]]
    return told(made, seen, report)


# --- the best of k ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_the_best_of_k_is_the_mean_over_all_subsets(k):
    rng = np.random.default_rng(k)
    seen, values = rng.normal(size=6).round(1), rng.normal(size=6)
    seen[4] = seen[1]  # equal ones share evenly
    best = []
    for subset in itertools.combinations(range(6), k):
        top = max(seen[i] for i in subset)
        best.append(np.mean([values[i] for i in subset if seen[i] == top]))
    assert expected_best(seen, values, k) == pytest.approx(np.mean(best))
    assert best_weights(seen, k).sum() == pytest.approx(1)


def test_the_best_of_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="1 <= k <= 3 must hold, but got 4"):
        best_weights([1, 2, 3], 4)
    assert np.isfinite(best_weights(np.arange(20_000), 10_000)).all()  # no factorial overflows
    assert (steps(7), steps(1), steps(326)[-3:]) == ([1, 2, 3, 5, 7], [1], [200, 300, 326])


# --- regret -----------------------------------------------------------------------------------------------------------


def test_regret_is_counted_by_hand(small):
    table = regret(Designs(small)).table
    # At roots 0 and 1 dev chooses mini-nli (35 of 40), at root 2 mini-tags>mini-nli, which is the best (44).
    assert table.k.tolist() == [1, 2, 3, 4]
    assert table.estimate[0] == pytest.approx((5 + 5 + 0) / 3) and table.estimate[1] == 0
    assert table.relative[0] == pytest.approx(100 * (5 / 40 + 5 / 40) / 3)
    means = [np.mean([30, 35, 40, 38]), np.mean([30, 35, 40, 44])]
    assert table.chance[0] == pytest.approx((2 * (40 - means[0]) + (44 - means[1])) / 3)
    assert table.low[0] == 0 and table.high[0] > table.estimate[0]
    assert "is itself lucky" in regret(Designs(small)).notes[0]


def test_of_one_candidate_there_is_no_regret(tmp_path):
    one = load([made_run(tmp_path / "run", orders=["none"], tasks=TASKS[:1], roots=2)])
    for make in (regret, course, winners_curse):
        found = make(Designs(one))
        assert not len(found.table) and found.sentence.startswith("There is too little to say")


def test_controls_are_not_what_a_search_chooses_among(results):
    seen, report = searched(results)
    assert len(report) == 16 and not report.index.str.contains("sham").any() and seen.shape == report.shape
    assert list(report.index) == [name for name in results.candidates.candidate if "sham" not in name]


# --- cost -------------------------------------------------------------------------------------------------------------


def test_a_stage_is_paid_for_once(results):
    spent = marginal(results)
    orders = [str(order) for order in results.candidates.order]
    prefixes = {prefix for order in orders if order != "none" for prefix in itertools.accumulate(
        order.split(">"), lambda a, b: f"{a}>{b}")}  # fmt: skip
    own = 2  # each candidate's own stages: two targets are trained
    assert spent.stages.sum() == 4 * (len(prefixes) + own * len(orders))
    by_order = dict(zip(orders, spent.stages, strict=True))
    assert by_order["none"] == 4 * own
    assert by_order["mini-nli>mini-tags>mini-topic"] == 4 * (1 + own)  # mini-nli>mini-tags was trained before


def test_another_arm_shares_nothing_and_a_probe_trains_an_order_only_once(results):
    about = results.candidates
    both = pd.concat([about, about.assign(method="adapter", candidate=about.candidate.str.replace("full", "adapter"))])
    assert marginal(replace(results, candidates=both)).stages.sum() == 2 * marginal(results).stages.sum()
    probes = about.assign(method="probe", stage_cost=2)
    assert marginal(replace(results, candidates=probes)).stages.tolist() == [8] + [0] * (len(about) - 1)


def test_seconds_are_those_of_the_stages_that_were_trained(small):
    labels = {
        "none | train t": 1.0, "none | score t": 0.5, "mini-nli": 10.0, "mini-nli | train t": 2.0,
        "mini-nli>mini-tags": 20.0, "mini-nli>mini-tags | train t": 3.0, "mini-tags": 40.0,
        "mini-tags>mini-nli": None, "mini-tags>mini-nli | train t": 4.0,
    }  # fmt: skip
    stages = pd.DataFrame([{"label": f"{label} #{root}", "seconds": seconds and seconds + root}
                           for label, seconds in labels.items() for root in range(3)])  # fmt: skip
    spent = marginal(replace(small, stages=stages))
    assert spent.seconds[:3].tolist() == pytest.approx([3 * (1 + 0.5 + 2), 3 * (11 + 3), 3 * (21 + 4)])
    assert np.isnan(spent.seconds[3])
    table = course(Designs(replace(small, stages=stages))).table
    assert table.seconds[2] == pytest.approx(10.5 + 42 + 75) and np.isnan(table.seconds[3])
    arms = stages.assign(label=stages.label.str.replace(" #", " [full 0.0007] #"))
    assert marginal(replace(small, stages=arms)).seconds[:3].tolist() == spent.seconds[:3].tolist()


def test_the_course_follows_the_incumbent(small):
    found = course(Designs(small))
    table = found.table
    names = list(small.candidates.candidate)
    assert table.incumbent.tolist() == [names[0], names[1], names[2], names[3]]
    assert table.incumbent_score.tolist() == pytest.approx([30, 35, 40, 40])
    assert table.estimate.tolist() == pytest.approx([10, 5, 0, 0])
    assert "as number 4 of 4" in found.sentence and (table.stages.diff().dropna() > 0).all()


# --- the winner's luck ------------------------------------------------------------------------------------------------


def test_the_winners_lead_is_counted_by_hand(small):
    table = winners_curse(Designs(small)).table.set_index("told_by")
    report, held = table.loc["report portion"], table.loc["held-out root"]
    # mini-tags>mini-nli has the highest mean on dev (59.33); all have a mean of 54.92 there, 36.17 on test.
    assert report.seen == pytest.approx(178 / 3 - np.mean([50, 161 / 3, 55, 178 / 3]))
    assert report.estimate == pytest.approx(40 - np.mean([30, 35, 40, 40]))
    # Without root 2 mini-nli is chosen (60.5), without root 0 or 1 mini-tags>mini-nli.
    leads = [38 - 35.75, 38 - 35.75, 35 - np.mean([30, 35, 40, 44])]
    assert held.estimate == pytest.approx(np.mean(leads)) and held.n == 3
    assert held.lost == pytest.approx(held.seen - held.estimate)


def test_where_all_is_luck_nothing_of_the_lead_is_left_at_another_root(tmp_path):
    made = load([made_run(tmp_path / "run", orders=["none", "mini-nli", "mini-tags", "mini-nli>mini-tags"],
                          tasks=TASKS[:2], roots=12, seed=1)])  # fmt: skip
    rng, held, report = np.random.default_rng(0), [], []
    for _ in range(15):
        luck = 50 + rng.normal(0, 3, (4, 12))
        table = winners_curse(Designs(told(made, luck, luck))).table.set_index("told_by")
        held.append(table.loc["held-out root"])
        report.append(table.loc["report portion"])
    assert np.mean([row.seen for row in held]) > 0.5
    assert abs(np.mean([row.estimate for row in held])) < 0.6  # three standard errors
    assert sum(row.low < 0 < row.high for row in held) >= 12
    assert [row.lost for row in report] == pytest.approx([0] * 15)  # chosen and told on the same luck


def test_finalists_are_compared_with_their_own_roots(small):
    name = small.candidates.candidate[3]
    finals = pd.DataFrame([{"candidate": name, "selection": 55.0, "selection_half_width": 2.0, "roots": 5}])
    row = winners_curse(Designs(replace(small, finals=finals))).table.set_index("told_by").loc["fresh roots"]
    assert (row.seen, row.estimate, row.low, row.high) == pytest.approx((178 / 3, 55, 53, 57))
    assert row.lost == pytest.approx(178 / 3 - 55)
