"""Which tasks, and in which order: levels and power by simulation, and equality where others compute the same."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from benchmarks.simulated import (
    SHARES,
    SPREADS,
    UNSTABLE,
    blank,
    claims,
    design_of,
    luck,
    order_effects,
    ordered_subsets,
    p_values,
    set_effects,
)
from search.analysis.comparisons import order_contrasts, task_contrasts, weighted
from search.analysis.covariance import box, classes, covariance, pooled
from search.analysis.finding import Finding
from search.analysis.inclusion import gains, inclusion
from search.analysis.order_tests import (
    F_TEST,
    SIGN_FLIP,
    Outcome,
    f_test,
    order_test,
    sign_flip,
    sign_patterns,
    spread,
    task_test,
)
from search.analysis.pairwise import pairwise, rank_intervals
from search.analysis.positions import positions
from search.analysis.precedence import neighbours, precedence
from search.analysis.variance import variance
from search.order import Order, OrderSpace

STUDIES = 1000
MOST = 0.064
"""The upper end of the binomial interval of 5 % at 1,000 studies."""


def orders(*texts):
    return tuple(Order.parse(text) for text in texts)


def study(roots, *, tasks=4, seed=0, effect=0.0, sets=0.0):
    """One study of all ordered subsets."""
    rng, space = np.random.default_rng(seed), ordered_subsets(tasks)
    mu = order_effects(rng, blank(tasks), 1, effect) + set_effects(rng, blank(tasks), 1, sets)
    return design_of(luck(space, 0.65, "equal").draw(rng, 1, roots)[0] + mu[0], space)


# --- level and power --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("roots", [3, 5, 6, 8])
@pytest.mark.parametrize("spread_", SPREADS)
def test_no_effect_is_claimed_where_there_is_none_and_shown_where_there_is(roots, spread_):
    for share in SHARES:
        found = claims(luck(ordered_subsets(), share, spread_), roots, STUDIES, seed=roots)
        assert found["order, sets matter"] <= MOST
        assert found["tasks, nothing matters"] <= MOST
        assert found["order, it matters"] >= (0.8 if roots >= 5 else 0.7)
        assert found["tasks, they matter"] >= (0.8 if roots >= 5 else 0.6)


@pytest.mark.parametrize(
    ("roots", "spread_", "most"), [(3, "falling", MOST), (5, "falling", MOST), (5, UNSTABLE, 0.08)]
)
def test_the_level_holds_for_heavy_tails_and_nearly_where_pairs_of_a_class_are_not_alike(roots, spread_, most):
    """A task of nine times the variance is what "model-based" warns of: 6 % of 10,000 studies at 5 roots."""
    found = claims(luck(ordered_subsets(), 0.65, spread_, 5.0), roots, STUDIES, seed=1)
    assert max(found["order, sets matter"], found["tasks, nothing matters"]) <= most
    assert found["order, it matters"] >= 0.7


def test_weights_only_give_power():
    """Without them the level is the same, and an effect is missed far more often."""
    rng, design, contrasts = np.random.default_rng(3), blank(), order_contrasts(blank())
    values = luck(ordered_subsets(), 0.8, "falling").draw(rng, STUDIES, 5)
    effects = values + order_effects(rng, design, STUDIES, 0.5)
    plain = f_test(effects, contrasts, classes(design)).p
    assert (plain <= 0.05).mean() < 0.7 < 0.95 < (p_values(effects, contrasts, design) <= 0.05).mean()


def test_permuting_labels_claims_an_order_effect_where_only_the_set_matters():
    """So labels cannot be permuted; on the same studies the order test claims nothing."""
    rng, design, patterns = np.random.default_rng(4), blank(), 199
    values = luck(ordered_subsets(), 0.65, "equal").draw(rng, 60, 5) + set_effects(rng, design, 60, 3)
    naive = np.array([permuted_p(one, rng, patterns) for one in values])
    assert (naive <= 0.05).mean() >= 0.99
    assert (p_values(values, order_contrasts(design), design) <= 0.05).mean() <= 0.12


def permuted_p(values, rng, patterns):
    """p of the variance of orders' means when labels of orders are permuted within each root: what not to do."""
    drawn = np.stack([rng.permuted(values, axis=1).mean(axis=0).var() for _ in range(patterns)])
    return (1 + (drawn >= values.mean(axis=0).var()).sum()) / (1 + patterns)


def test_a_study_of_326_orders_takes_seconds():
    design = study(4, tasks=5)
    start = time.process_time()
    found = order_test(design), task_test(design)
    assert time.process_time() - start < 10
    assert [outcome.contrasts for outcome in found] == [325 - 31, 31]
    assert [outcome.method for outcome in found] == [F_TEST, F_TEST]


# --- equality with others ---------------------------------------------------------------------------------------------


def anova(values):
    rows = [(root, order, values[root, order]) for root, order in itertools.product(*map(range, values.shape))]
    table = pd.DataFrame(rows, columns=["root", "order", "score"])
    return AnovaRM(table, "score", "root", within=["order"]).fit().anova_table.iloc[0]


@pytest.mark.parametrize("roots", [3, 5])
def test_orders_that_share_nothing_give_the_anova_of_repeated_measures(roots):
    """Single tasks: nothing is shared, so Box's h is the number of contrasts and weights are equal."""
    values = np.random.default_rng(roots).normal(size=(roots, 4)) + np.array([0, 0.5, 1, 1.5])
    found, expected = task_test(design_of(values, orders("a", "b", "c", "d"))), anova(values)
    assert found.statistic == pytest.approx(expected["F Value"])
    assert (found.df1, found.df2) == pytest.approx((expected["Num DF"], expected["Den DF"]))
    assert found.p == pytest.approx(expected["Pr > F"])


def test_the_plain_statistic_is_the_anovas_whatever_is_shared():
    design = design_of(np.random.default_rng(5).normal(size=(4, 6)), tuple(OrderSpace("abc", "permutations"))[4:])
    found = f_test(design.values, order_contrasts(design), classes(design))
    assert found.statistic == pytest.approx(anova(design.values)["F Value"])
    assert found.df1 < 5


def test_two_orders_give_the_paired_t_test():
    values = np.random.default_rng(6).normal(size=(5, 2))
    found = order_test(design_of(values, orders("a>b", "b>a")))
    expected = stats.ttest_rel(*values.T)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic**2, expected.pvalue))


def test_greenhouse_geisser_by_hand():
    """With every pair a class by itself, h is Greenhouse and Geisser's from the sample covariance."""
    values = np.random.default_rng(7).normal(size=(9, 4)) @ np.diag([1, 1, 2, 4])
    centred = np.eye(4) - 1 / 4
    within = centred @ np.cov(values.T) @ centred
    assert box(within) == pytest.approx(np.trace(within) ** 2 / np.trace(within @ within))
    design = design_of(values, orders("a", "a>b", "a>b>c", "a>b>c>d"))
    assert f_test(values, task_contrasts(design), classes(design)).df1 == pytest.approx(box(within))


@pytest.mark.parametrize("roots", [6, 7])
def test_the_sign_flip_by_brute_force(roots):
    design = study(roots, tasks=3, effect=0.4, seed=roots)
    scaled = weighted(order_contrasts(design), design)
    flipped = [
        (((np.array(signs)[:, None] * design.values).mean(axis=0) @ scaled.T) ** 2).sum()
        for signs in itertools.product((1, -1), repeat=roots)
    ]
    expected = np.mean([value >= flipped[0] * (1 - 1e-9) for value in flipped])
    assert order_test(design).p == pytest.approx(expected)
    assert order_test(design).method == SIGN_FLIP


def test_many_roots_use_fixed_random_patterns_with_the_observed_one():
    design = study(20, tasks=3, effect=1.0)
    assert order_test(design).p == order_test(design).p == 1 / 4096
    assert (sign_patterns(20)[0] == 1).all() and sign_patterns(20).shape == (4096, 20)


def test_ties_count():
    """Scores that do not differ between roots: every pattern of signs but the all-alike gives less, and p its least."""
    values = np.tile([0.0, 1.0], (6, 1))
    assert order_test(design_of(values, orders("a>b", "b>a"))).p == 2 / 2**6
    assert sign_flip(np.zeros((6, 2)), np.array([[1.0, -1.0]])) == 1


# --- invariance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("roots", [4, 6])
def test_what_sets_are_worth_and_how_good_a_root_is_change_nothing_of_the_order_test(roots):
    design, rng = study(roots, effect=0.3), np.random.default_rng(8)
    moved = design.values + 10 * rng.normal(size=(roots, 1)) + set_effects(rng, design, 1, 10)[0]
    one, other = order_test(design), order_test(design_of(7 * moved, design.orders))
    assert other.p == pytest.approx(one.p)
    assert (other.sd_raw, other.sd_noise) == pytest.approx((7 * one.sd_raw, 7 * one.sd_noise))


@pytest.mark.parametrize("test", [order_test, task_test])
def test_the_order_of_candidates_changes_nothing(test):
    design = study(5, effect=0.3)
    mixed = design.only(np.random.default_rng(9).permutation(design.size).tolist())
    assert test(mixed).p == pytest.approx(test(design).p)


def test_arms_share_nothing_and_are_not_compared():
    """Orders of a set are compared within an arm: what one arm is better by does not enter."""
    rng, two = np.random.default_rng(10), orders("a>b", "b>a")
    values = rng.normal(size=(5, 4)) + np.array([0, 0, 50, 50])
    design = design_of(values, two * 2, ("full", "full", "lora", "lora"))
    assert order_test(design).contrasts == 2
    assert order_test(design).sd_raw < 5
    assert design.shared.tolist() == np.diag([2, 2, 2, 2]).tolist()
    assert task_test(design).reason == "not testable: no two sets of tasks are there"


def test_contrasts_are_orthonormal_and_within_sets():
    design = study(3)
    rows = order_contrasts(design)
    assert rows @ rows.T == pytest.approx(np.eye(49))
    members = np.array([[name == other for other in dict.fromkeys(design.sets)] for name in design.sets], dtype=float)
    assert rows @ members == pytest.approx(np.zeros((49, 16)), abs=1e-12)
    assert task_contrasts(design).sum(axis=1) == pytest.approx(np.zeros(15), abs=1e-12)


def test_weighted_contrasts_are_white_under_the_working_covariance():
    design = study(3)
    rows = weighted(order_contrasts(design), design, share=0.5)
    working = 0.5 / design.depths.mean() * design.shared + 0.5 * np.eye(65)
    assert rows @ working @ rows.T == pytest.approx(np.eye(49), abs=1e-9)


# --- covariance -------------------------------------------------------------------------------------------------------


def test_pairs_are_pooled_by_depths_and_shared_stages():
    design = design_of(np.random.default_rng(11).normal(size=(3, 6)), orders("none", "a", "b", "a>b", "a>c", "b>c"))
    alike = classes(design).of
    assert alike[1, 3] == alike[3, 1] == alike[1, 4] == alike[2, 5]  # one stage below two, shared
    assert alike[1, 5] == alike[2, 3] == alike[2, 4] != alike[1, 3]  # not shared
    assert alike[3, 4] != alike[3, 5] == alike[4, 5]
    assert alike[0, 0] != alike[1, 1] == alike[2, 2] != alike[1, 2]
    sample, mean = np.cov(design.values.T), pooled(design.values, classes(design))
    assert covariance(design.values) == pytest.approx(sample)
    assert mean[1, 3] == pytest.approx((sample[1, 3] + sample[1, 4] + sample[2, 5]) / 3)


def test_arms_have_classes_of_their_own():
    design = design_of(np.zeros((3, 4)), orders("a", "b") * 2, ("x", "x", "y", "y"))
    alike = classes(design).of
    assert len({alike[0, 0], alike[2, 2], alike[0, 1], alike[2, 3], alike[0, 2]}) == 5
    assert alike[0, 2] == alike[0, 3] == alike[1, 2]


def test_a_candidate_with_itself_is_a_class_apart():
    """Also where two candidates have the same arm and order."""
    alike = classes(design_of(np.zeros((3, 2)), orders("a>b", "a>b"))).of
    assert alike[0, 0] == alike[1, 1] != alike[0, 1]


def test_the_pooled_covariance_is_unbiased():
    noise = luck(ordered_subsets(), 0.65, "autoregressive")
    values = noise.draw(np.random.default_rng(12), 400, 5)
    mean = pooled(values, classes(blank())).mean(axis=0)
    assert mean == pytest.approx(noise.covariance + 4, abs=0.3)  # 4 is the root's
    within = np.eye(65) - 1 / 65
    assert within @ mean @ within == pytest.approx(within @ noise.covariance @ within, abs=0.05)


# --- estimates and reasons --------------------------------------------------------------------------------------------


def test_the_estimated_sd_between_orders_is_unbiased():
    rng, design = np.random.default_rng(13), blank()
    effects = order_effects(rng, design, 400, 0.5)
    values = luck(ordered_subsets(), 0.65, "falling").draw(rng, 400, 3) + effects
    contrasts = order_contrasts(design)
    found = np.array([np.subtract(*spread(one, contrasts)) for one in values])
    truth = ((effects[:, 0] @ contrasts.T) ** 2).mean(axis=1)
    assert (found - truth).mean() == pytest.approx(0, abs=3 * (found - truth).std() / 20)
    assert truth.mean() == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize("roots", [1, 2])
def test_too_few_roots_are_not_tested_but_estimated(roots):
    found = order_test(study(roots, effect=1))
    assert math.isnan(found.p) and not found.method
    plural = "1 root" if roots == 1 else "2 roots"
    assert found.reason == f"not testable: {plural}, 3 are needed; at least 6 for the sign-flip"
    assert found.sd_raw > 0.5
    assert math.isnan(found.sd) == (roots == 1)


def test_designs_without_anything_to_compare_say_so():
    alone = design_of(np.random.default_rng(14).normal(size=(5, 3)), orders("none", "a", "b"))
    assert order_test(alone).reason == "not testable: no set of tasks has two orders"
    assert order_test(alone).contrasts == 0
    same = design_of(np.ones((5, 2)), orders("a>b", "b>a"))
    assert order_test(same).reason == "not testable: all have the same scores"
    fixed = design_of(np.tile([1.0, 2.0], (5, 1)), orders("a>b", "b>a"))
    assert order_test(fixed).reason == "not testable: roots do not differ, so there is no noise to test against"


EMPTY = {
    "no candidates": design_of(np.zeros((3, 0)), ()),
    "no roots": design_of(np.zeros((0, 2)), orders("a>b", "b>a")),
    "neither": design_of(np.zeros((0, 0)), ()),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("design", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize(
    "analysis",
    [order_test, task_test, variance, precedence, neighbours, positions, inclusion, gains, rank_intervals, pairwise],
)
def test_designs_without_scores_are_told_so_by_all(design, analysis):
    found = analysis(design)
    if isinstance(found, Outcome):
        assert found.reason.startswith("not testable: ")
    elif isinstance(found, Finding):
        assert "can be estimated from this design" in found.sentence
    else:
        assert found.reason.str.contains("0 roots").all()
