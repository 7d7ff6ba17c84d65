"""Effects of precedence, neighbours, positions, inclusion and gains: planted ones found, and intervals that cover."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmarks.simulated import SPREADS, TASKS, blank, coverage, design_of, luck, order_effects, ordered_subsets
from search.analysis.inclusion import gains, inclusion, without
from search.analysis.intervals import over_roots
from search.analysis.linear import difference, estimates, t_over_roots
from search.analysis.multiple import holm
from search.analysis.positions import positions
from search.analysis.precedence import neighbours, precedence, precedence_weights, raw_before
from search.order import Order, OrderSpace

PAIRS = list(itertools.combinations(TASKS[:4], 2))
GROUPED = tuple(OrderSpace("abc", "groups"))


def orders(*texts):
    return tuple(Order.parse(text) for text in texts)


def noisy(space=None, roots=5, seed=0, scale=1.0, mu=0.0, arms=None):
    space = space or ordered_subsets()
    values = luck(space, 0.65, "equal").draw(np.random.default_rng(seed), 1, roots)[0] * scale + mu
    return design_of(values, space, arms)


def before(order, first, second):
    at = {task: stage for stage, group in enumerate(order.groups) for task in group}
    return np.sign(at[second] - at[first]) / 2 if first in at and second in at else 0.0


def row_of(finding, **about):
    table = finding.table
    for name, value in about.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


# --- t over roots -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("roots", [3, 5, 12])
def test_a_contrast_is_scipys_t_test_over_roots(roots):
    design = noisy(roots=roots)
    weights = np.zeros((1, 65))
    weights[0, [7, 20]] = 1, -1
    row = estimates(weights, design).iloc[0]
    expected = stats.ttest_rel(design.values[:, 7], design.values[:, 20])
    assert row.p == pytest.approx(expected.pvalue)
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval()))
    estimate = difference(design, 7, 20)
    assert (estimate.mean, estimate.half_width) == pytest.approx((row.estimate, row.high - row.estimate))
    assert row.n == estimate.n == roots


def test_many_contrasts_at_once_are_each_over_roots():
    per_root = np.random.default_rng(1).normal(size=(6, 5))
    mean, half, p = t_over_roots(per_root)
    for i, values in enumerate(per_root):
        assert over_roots(values)[:2] == pytest.approx((mean[i], half[i]))
        assert p[i] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_nothing_differs_where_scores_are_the_same():
    row = gains(design_of(np.ones((4, 2)), orders("none", "a"))).table.iloc[0]
    assert (row.estimate, row.low, row.high, row.p) == (0, 0, 0, 1)
    sure = gains(design_of(np.tile([1.0, 2.0], (4, 1)), orders("none", "a"))).table.iloc[0]
    assert (sure.estimate, sure.low, sure.high, sure.p) == (1, 1, 1, 0)


@pytest.mark.parametrize("roots", [1, 2])
def test_few_roots_give_estimates_and_the_reason_why_no_more(roots):
    found = precedence(noisy(roots=roots))
    assert found.table.estimate.notna().all() and found.table[["low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert found.table.reason.str.endswith("an interval needs 3").all()
    assert found.sentence.startswith(f"No test of precedence effects ({roots} root")


def test_holm_is_statsmodels_and_leaves_out_what_was_not_tested():
    p = np.random.default_rng(2).uniform(size=20) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    some = holm([0.01, np.nan, 0.04, 0.03])
    assert some[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.06]) and np.isnan(some[1])
    assert holm([]).shape == (0,)


# --- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", SPREADS)
def test_intervals_of_differences_and_of_precedence_cover(spread):
    found = coverage(luck(ordered_subsets(), 0.65, spread), 5, 2000, seed=1, only=("difference", "precedence"))
    assert 0.93 <= found["difference"] <= 0.97
    assert 0.93 <= found["precedence"] <= 0.97


def test_a_bootstrap_over_roots_covers_too_little():
    """Percentile intervals of resampled roots hold the truth in about 83 % of studies of five roots."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2000, 5))
    means = values[:, rng.integers(0, 5, size=(1000, 5))].mean(axis=-1)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert 0.80 <= ((low <= 0) & (high >= 0)).mean() <= 0.86
    mean, half, _ = t_over_roots(values)
    assert 0.93 <= (np.abs(mean) <= half).mean() <= 0.97


# --- precedence -------------------------------------------------------------------------------------------------------


def test_precedence_is_least_squares_with_set_effects_on_means_and_in_each_root():
    design = noisy()
    x = np.array([[before(order, *pair) for pair in PAIRS] for order in design.orders])
    dummies = np.array([[name == one for one in dict.fromkeys(design.sets)] for name in design.sets], dtype=float)
    fit = sm.OLS(design.means, np.hstack([x, dummies])).fit()
    assert precedence(design).table.estimate.to_numpy() == pytest.approx(fit.params[:6])
    each = precedence_weights(design) @ design.values[2]
    assert each == pytest.approx(sm.OLS(design.values[2], np.hstack([x, dummies])).fit().params[:6])


def test_a_planted_matrix_is_found_at_five_tasks_and_five_roots():
    space, rng = ordered_subsets(5), np.random.default_rng(4)
    x = np.array([[before(order, *pair) for pair in itertools.combinations("abcde", 2)] for order in space])
    weights, noise, found = precedence_weights(blank(5)), luck(space, 0.65, "equal"), []
    for _ in range(60):
        planted = rng.normal(size=10) * 0.5
        means = (noise.draw(rng, 1, 5)[0] + x @ planted).mean(axis=0)
        found.append(np.corrcoef(weights @ means, planted)[0, 1])
    assert np.median(found) >= 0.9


def test_precedence_is_exact_without_noise_where_raw_means_are_confounded_with_the_set():
    """Tasks a and b are worth 10 points each wherever they stand; a before b adds 1."""
    space = ordered_subsets()
    worth = np.array([10.0 * len({"a", "b"} & set(order.tasks)) + before(order, "a", "b") for order in space])
    design = noisy(mu=worth, scale=0)
    row = row_of(precedence(design), first="a", second="b")
    assert (row.estimate, row.low, row.high) == pytest.approx((1, 1, 1))
    assert row_of(precedence(design), first="c", second="d").estimate == pytest.approx(0)
    assert raw_before(design, "a", "b") > 5
    assert row.orders == sum({"a", "b"} <= set(order.tasks) for order in space)


def test_a_shift_of_sets_and_arms_changes_no_precedence():
    design = noisy(space=orders("a>b", "b>a", "a>b>c", "c>b>a") * 2, arms=("x",) * 4 + ("y",) * 4)
    moved = design.values + np.array([0, 0, 50, 50, 90, 90, 20, 20])
    other = design_of(moved, design.orders, design.arms)
    assert precedence(other).table.estimate.tolist() == pytest.approx(
        precedence(design).table.estimate.tolist(), nan_ok=True
    )


def test_tasks_trained_together_have_no_precedence_but_others_do():
    mu = np.array([3 * before(order, "a", "c") + 5 * (len(order) == 1) for order in GROUPED])
    found = precedence(noisy(space=GROUPED, mu=mu, scale=0))
    assert row_of(found, first="a", second="c").estimate == pytest.approx(3)
    assert row_of(found, first="a", second="b").estimate == pytest.approx(0, abs=1e-9)


def test_one_stage_is_not_compared_with_two():
    """Together or one after the other is no precedence: only b before a could tell what a before b is worth."""
    row = row_of(precedence(noisy(space=orders("a+b", "a>b"))), first="a", second="b")
    assert np.isnan(row.estimate) and row.orders == 0


def test_pairs_that_no_set_has_in_both_ways_are_empty_with_the_reason():
    found = precedence(noisy(space=orders("none", "a", "a>b", "b>a", "a>c", "b>a>c")))
    row = row_of(found, first="a", second="c")
    assert np.isnan([row.estimate, row.low, row.p, row.p_holm]).all() and (row.n, row.orders) == (0, 0)
    assert row.reason.startswith("no set of tasks has orders with both")
    assert row_of(found, first="a", second="b").p_holm == row_of(found, first="a", second="b").p


def test_pairs_that_cannot_be_told_apart_are_empty_too():
    """In these two orders b and c pass a together."""
    found = precedence(noisy(space=orders("a>b>c", "b>c>a"))).table.set_index(["first", "second"]).reason
    assert found["a", "b"] == found["a", "c"] == "cannot be told apart from other effects in these orders"
    assert found["b", "c"].startswith("no set of tasks")


# --- neighbours -------------------------------------------------------------------------------------------------------


def test_neighbours_beyond_precedence_are_found_against_their_mean():
    space = ordered_subsets()
    mu = [
        2.0 * any(one + two == ("a", "b") for one, two in itertools.pairwise(order.groups))
        + 4 * before(order, "c", "a")
        for order in space
    ]
    found = neighbours(noisy(mu=np.array(mu), scale=0)).table
    planted = (found["first"] == "a") & (found.second == "b")
    assert found.estimate[planted].item() == pytest.approx(2 - 2 / 12)
    assert found.estimate[~planted].tolist() == pytest.approx([-2 / 12] * 11)


def test_neighbours_of_two_tasks_are_precedence_and_cannot_be_told_apart():
    found = neighbours(noisy(space=orders("a>b", "b>a"))).table
    assert (
        found.estimate.isna().all()
        and (found.reason == "cannot be told apart from other effects in these orders").all()
    )


# --- positions --------------------------------------------------------------------------------------------------------


def test_positions_by_hand():
    values = np.array([[1.0, 4.0, 10.0, 20.0]] * 3)
    found = positions(design_of(values, orders("a>b", "b>a", "a>c", "c>a")))
    last = row_of(found, task="a", counted_from="end", position=1)
    assert (last.estimate, last.orders) == (pytest.approx((1.5 + 5) / 2), 2)
    assert row_of(found, task="b", counted_from="start", position=2).estimate == pytest.approx(-1.5)


def test_a_task_that_is_best_last_is_shown_to_be():
    mu = np.array([2.0 * (order.groups[-1:] == (("c",),)) for order in ordered_subsets()])
    found = positions(noisy(mu=mu, scale=0.1))
    assert found.sentence.split(". The largest of them: ")[1].startswith("c last, +1.")
    assert row_of(found, task="c", counted_from="end", position=1).p_holm < 0.01


def test_a_task_that_cannot_move_and_orders_alone_in_their_set_have_no_position():
    found = positions(noisy(space=orders("none", "a", "b>a", "a>b>c", "b>a>c"))).table
    assert set(found.task) == {"a", "b"}
    assert found.orders.tolist() == [1] * len(found)
    assert positions(noisy(space=orders("none", "a", "b"))).table.empty


def test_positions_compare_orders_of_as_many_stages():
    """Trained together, in one stage, is not compared with one after the other."""
    mu = np.array([7.0 * (len(order) == 1) for order in GROUPED])
    assert positions(noisy(space=GROUPED, mu=mu, scale=0)).table.estimate.abs().max() < 1e-9


# --- inclusion and gains ----------------------------------------------------------------------------------------------


def test_inclusion_is_the_mean_over_orders_of_what_the_task_adds():
    worth = {"a": 3.0, "b": -1.0, "c": 0.5, "d": 0.0}
    mu = np.array([sum(worth[task] for task in order.tasks) for order in ordered_subsets()])
    table = inclusion(noisy(mu=mu, scale=0)).table
    assert table.estimate.tolist() == pytest.approx([3, -1, 0.5, 0], abs=1e-9)
    assert table.orders.tolist() == [49] * 4


def test_inclusion_pairs_an_order_with_the_same_without_the_task():
    assert without(Order.parse("a>b+c>d"), "c") == Order.parse("a>b>d")
    assert without(Order.parse("a>b>d"), "b") == Order.parse("a>d")
    design = design_of(np.array([[1.0, 5.0, 2.0]] * 3), orders("a>d", "a>b+c>d", "a>b>d"))
    table = inclusion(design).table.set_index("task")
    assert table.estimate["c"] == pytest.approx(3) and table.estimate["b"] == pytest.approx(1)
    assert table.reason["a"] == "no order is there both with and without it"


def test_inclusion_and_gains_stay_within_an_arm():
    design = design_of(np.array([[0.0, 1.0, 10.0, 15.0]] * 3), orders("none", "a") * 2, ("x", "x", "y", "y"))
    assert inclusion(design).table.estimate.tolist() == pytest.approx([3])
    assert gains(design).table.estimate.tolist() == pytest.approx([1, 5])


def test_gains_are_paired_with_the_empty_order():
    design = noisy()
    row = gains(design).table.iloc[9]
    expected = stats.ttest_rel(design.values[:, 10], design.values[:, 0])
    assert (row.candidate, row.p) == (design.names[10], pytest.approx(expected.pvalue))
    lacking = gains(noisy(space=orders("a", "b")))
    assert lacking.table.reason.tolist() == ["the empty order was not scored"] * 2
    assert lacking.sentence == "No gains over the empty order can be estimated from this design."


@pytest.mark.parametrize("analysis", [precedence, neighbours, positions, inclusion, gains])
def test_an_empty_order_alone_is_a_finding_without_rows(analysis):
    found = analysis(noisy(space=orders("none")))
    assert found.table.empty and {"n", "estimate", "low", "high", "p", "reason"} <= set(found.table.columns)
    assert found.sentence.endswith("can be estimated from this design.")


@pytest.mark.parametrize("analysis", [precedence, neighbours, positions, inclusion, gains])
def test_the_sentence_claims_what_holds_after_holm(analysis):
    rng = np.random.default_rng(5)
    mu = order_effects(rng, blank(), 1, 3.0)[0]
    for design in (noisy(seed=6), noisy(seed=6, scale=0.1, mu=mu)):
        found = analysis(design)
        table = found.table[found.table.counted_from == "end"] if analysis is positions else found.table
        shown = (table.p_holm <= 0.05).sum()
        assert (f" {shown} are shown" if shown else "none is shown") in found.sentence
