"""Variance components: unbiased, REML's on balanced designs, with intervals that cover; and what power says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from benchmarks.simulated import (
    Luck,
    blank,
    coverage,
    design_of,
    luck,
    order_effects,
    ordered_subsets,
    p_values,
    set_effects,
)
from search.analysis.comparisons import order_contrasts, task_contrasts
from search.analysis.power import (
    Noise,
    detectable_mean,
    detectable_sd,
    f_power,
    noise_of_orders,
    noise_of_sets,
    reached_level,
    roots_for_mean,
    roots_for_sd,
    t_power,
)
from search.analysis.variance import (
    LEAF,
    ORDER,
    ROOT,
    SAMPLE,
    SEED,
    SET,
    components,
    noncentrality,
    possible_orders,
    share_interval,
    variance,
)
from search.order import Order, OrderSpace

FULL = tuple(OrderSpace("abc", "permutations"))[4:]
"""The six orders of three tasks: a balanced tree of three first stages with two orders each."""


def orders(*texts):
    return tuple(Order.parse(text) for text in texts)


# --- components -------------------------------------------------------------------------------------------------------


def test_components_are_unbiased():
    rng, design = np.random.default_rng(0), blank()
    noise = luck(ordered_subsets(), 0.65, "equal")
    found = []
    for _ in range(300):
        mu = set_effects(rng, design, 1, 0.8)[0]
        mu = mu + order_effects(rng, design, 1, 0.5)[0] * (design.depths > 1)
        found.append(components(design_of(noise.draw(rng, 1, 4)[0] + mu, design.orders)))
    stage = 0.65 / design.depths.mean()
    expected = {ROOT: 4.0, LEAF: 0.35 + stage * (design.depths == 4).mean()}
    expected |= {f"seed: stage {depth}": stage * (design.depths >= depth).mean() for depth in (1, 2, 3)}
    for name, value in expected.items():
        drawn = np.array([one.parts[name] for one in found])
        assert drawn.mean() == pytest.approx(value, abs=3 * drawn.std() / math.sqrt(300))
    assert list(found[0].parts) == [ROOT, "seed: stage 1", "seed: stage 2", "seed: stage 3", LEAF]
    assert np.mean([one.seed for one in found]) == pytest.approx(5, rel=0.15)
    assert np.mean([one.between_orders for one in found]) == pytest.approx(0.25, abs=0.02)
    # a set's mean is over all of its orders, which are half a seed SD apart in 11 of 16 sets
    sizes = np.array([sum(name == one for one in design.sets) for name in dict.fromkeys(design.sets)])
    assert np.mean([one.between_sets for one in found]) == pytest.approx(
        0.64 + 0.25 * np.mean((sizes > 1) / sizes), abs=0.06
    )


def nested(seed, roots=6):
    """Six orders in three first stages, with a draw of each root, first stage, and order."""
    rng = np.random.default_rng(seed)
    stage = np.repeat(rng.normal(size=(roots, 3)), 2, axis=1)
    return 2 * rng.normal(size=(roots, 1)) + 1.5 * stage + rng.normal(size=(roots, 6)) + rng.normal(size=6)


def test_seed_components_are_the_nested_anovas():
    """Mean squares of roots, first stages in roots, orders in first stages, each less the orders' means."""
    values = nested(1)
    parts = components(design_of(values, FULL)).parts
    rest = values - values.mean(axis=0)
    by_root, by_stage = rest.mean(axis=1, keepdims=True), rest.reshape(6, 3, 2).mean(axis=2)
    leaf = ((rest.reshape(6, 3, 2) - by_stage[..., None]) ** 2).sum() / (5 * 3)
    stage = 2 * ((by_stage - by_root) ** 2).sum() / (5 * 2)
    root = 6 * (by_root**2).sum() / 5
    assert parts[LEAF] == pytest.approx(leaf)
    assert parts["seed: stage 1"] == pytest.approx((stage - leaf) / 2)
    assert parts[ROOT] == pytest.approx((root - stage) / 6)


def test_components_are_remls_on_a_balanced_design():
    values = nested(1, roots=8)
    rows = [
        (root, str(FULL[order]), f"{root}{order // 2}", values[root, order])
        for root, order in itertools.product(range(8), range(6))
    ]
    table = pd.DataFrame(rows, columns=["root", "order", "stage", "score"])
    fit = smf.mixedlm("score ~ C(order)", table, groups="root", vc_formula={"stage": "0 + C(stage)"}, re_formula="1")
    reml = fit.fit(reml=True)
    parts = components(design_of(values, FULL)).parts
    assert min(parts.values()) > 0  # REML cuts at 0 otherwise
    assert parts[LEAF] == pytest.approx(reml.scale, rel=1e-3)
    assert parts["seed: stage 1"] == pytest.approx(reml.vcomp[0], rel=1e-2)
    assert parts[ROOT] == pytest.approx(reml.cov_re.iloc[0, 0], rel=1e-2)


def test_the_variance_between_orders_is_remls_too():
    """Orders as random effects, crossed with roots: (mean square of orders − that of the rest) / roots."""
    values = np.random.default_rng(2).normal(size=(5, 6)) + 2 * np.random.default_rng(3).normal(size=6)
    table = pd.DataFrame([(r, o, values[r, o]) for r in range(5) for o in range(6)], columns=["root", "order", "score"])
    reml = smf.mixedlm("score ~ C(root)", table, groups="order", re_formula="1").fit(reml=True)
    assert components(design_of(values, FULL)).between_orders == pytest.approx(reml.cov_re.iloc[0, 0], rel=1e-3)


def test_sets_of_which_some_orders_are_there_hold_a_share_of_the_variance_between_orders():
    """Six of 24 orders a set, no set effect: the set means differ by chance, which is taken off."""
    rng, found = np.random.default_rng(4), []
    for _ in range(200):
        kept, mu = [], []
        for tasks in itertools.combinations("abcde", 4):
            effects = rng.normal(size=24) * 2
            chosen = rng.permutation(24)[:6]
            kept += [tuple(OrderSpace(tasks, "permutations", baselines=False))[1 + i] for i in chosen]
            mu += (effects - effects.mean())[chosen].tolist()
        found.append(components(design_of(np.array(mu) + rng.normal(size=(3, 30)), tuple(kept))).between_sets)
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / math.sqrt(200))
    assert np.std(found) < 1  # without the correction the mean were 4 / 6 · 3 / 4 = 0.5


def test_the_number_of_orders_of_a_set():
    for tasks in range(5):
        names = "abcd"[:tasks]
        for kind, grouped in (("subsets", False), ("groups", True)):
            everything = [order for order in OrderSpace(names, kind) if len(order.tasks) == tasks]
            assert possible_orders(tasks, grouped) == len(everything)


# --- the finding ------------------------------------------------------------------------------------------------------


def test_shares_add_up_and_the_sample_is_one_of_them():
    design = design_of(np.random.default_rng(5).normal(size=(5, 65)), ordered_subsets())
    found = variance(design, sample_variance=3.0).table.set_index("component")
    assert found.share[[SET, ORDER, SEED, SAMPLE]].sum() == pytest.approx(1)
    assert found.variance[SAMPLE] == 3 and found.sd[SAMPLE] == pytest.approx(math.sqrt(3))
    assert SAMPLE not in set(variance(design).table.component)
    assert f"{found.share[SAMPLE]:.0%} sample of items" in variance(design, sample_variance=3.0).sentence


def test_what_is_below_zero_is_shown_as_zero_and_said():
    values = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.5]])
    found = variance(design_of(values, orders("a>b", "b>a")))
    row = found.table.set_index("component").loc[ORDER]
    assert row["variance"] == row.estimate == row.low == 0 < row.high
    assert any(note.startswith("Below 0, so shown as 0: order within a set") for note in found.notes)


def test_reasons_where_there_is_no_share_or_no_interval():
    two = variance(design_of(np.random.default_rng(6).normal(size=(2, 65)), ordered_subsets()))
    row = two.table.set_index("component").loc[ORDER]
    assert row.reason == "2 roots: an interval needs 3" and math.isnan(row.low) and row.estimate >= 0
    one = variance(design_of(np.ones((1, 2)), orders("a>b", "b>a"))).table.set_index("component")
    assert one.reason[ORDER] == "1 root: seed noise needs 2" and one.reason[SET] == "no two sets of tasks are there"
    fixed = variance(design_of(np.tile([1.0, 2.0], (4, 1)), orders("a>b", "b>a"))).table.set_index("component")
    assert fixed.reason[ORDER] == "roots do not differ" and fixed.share[ORDER] == 1


@pytest.mark.parametrize("spread", ["equal", "autoregressive"])
def test_intervals_of_shares_cover(spread):
    found = coverage(luck(ordered_subsets(), 0.65, spread), 5, 2000, seed=3, only=("order share", "set share"))
    assert found["order share"] >= 0.93
    assert found["set share"] >= 0.93


def test_the_interval_of_two_orders_is_that_of_the_noncentral_t():
    """One contrast: F is t², and the interval of the noncentrality is exact."""
    values = np.random.default_rng(7).normal(size=(5, 2)) + np.array([0, 2.0])
    design = design_of(values, orders("a>b", "b>a"))
    low, high = share_interval(design.values, order_contrasts(design), design)
    statistic = stats.ttest_rel(*values.T).statistic ** 2
    for share, p in ((low, 0.975), (high, 0.025)):
        assert stats.ncf.cdf(statistic, 1, 4, 5 * share / (1 - share)) == pytest.approx(p, abs=1e-6)


def test_the_share_against_seed_noise_by_hand():
    values = np.random.default_rng(11).normal(size=(5, 2)) + np.array([0, 3.0])
    design = design_of(values, orders("a>b", "b>a"))
    apart = values[:, 1] - values[:, 0]
    noise = apart.var(ddof=1) / 2
    between = apart.mean() ** 2 / 2 - noise / 5
    found = components(design)
    assert (found.between_orders, found.noise[1]) == pytest.approx((between, noise))
    row = variance(design).table.set_index("component").loc[ORDER]
    assert row.estimate == pytest.approx(between / (between + noise))
    assert row.low < row.estimate < row.high


def test_a_study_whose_orders_happen_to_be_alike_is_not_sure_that_they_are():
    values = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    design = design_of(values, orders("a>b", "b>a"))
    low, high = share_interval(design.values, order_contrasts(design), design)
    assert low == 0
    assert stats.ncf.cdf(1, 1, 4, 5 * high / (1 - high)) == pytest.approx(0.025, abs=1e-6)


def test_noncentrality_inverts_the_distribution():
    statistic, df1, df2 = np.array([2.0, 30.0]), np.array([5.5, 12.0]), np.array([20.0, 48.0])
    found = noncentrality(statistic, df1, df2, 0.3)
    assert stats.ncf.cdf(statistic, df1, df2, found) == pytest.approx([0.3, 0.3])
    assert noncentrality(np.array(0.1), np.array(5.0), np.array(20.0), 0.975) == 0


# --- power ------------------------------------------------------------------------------------------------------------


def test_power_of_one_pair_of_orders():
    """A difference of one seed SD, whose own SD over roots is √2: 0.23, 0.51 and 0.85 at 5, 10 and 20 roots."""
    assert [round(t_power(1 / math.sqrt(2), roots), 2) for roots in (5, 10, 20)] == [0.23, 0.51, 0.85]


@pytest.mark.parametrize("roots", [3, 5, 10])
def test_the_detectable_mean_is_shown_in_four_of_five_studies(roots):
    values = np.random.default_rng(8).normal(size=(20000, roots)) + detectable_mean(roots)
    assert (stats.ttest_1samp(values, 0, axis=1).pvalue <= 0.05).mean() == pytest.approx(0.8, abs=0.01)
    assert roots_for_mean(detectable_mean(roots) * 2.0, 2.0) == roots
    assert roots_for_mean(detectable_mean(roots) * 0.99, 1.0) == roots + 1


def test_effects_that_cannot_be_planned_for():
    assert roots_for_mean(0, 1) is None and roots_for_mean(1e-6, 1) is None and roots_for_mean(1, math.nan) is None
    assert roots_for_mean(1, 0) == 3
    assert math.isnan(detectable_mean(2))


@pytest.mark.parametrize("roots", [3, 5, 6, 8])
@pytest.mark.parametrize("what", ["orders", "sets"])
def test_the_detectable_sd_is_shown_in_about_four_of_five_studies(roots, what):
    """As studies of so many roots give it, in the median. Box's approximation and the sign-flip are near, not exact."""
    rng, design, noise = np.random.default_rng(9), blank(), luck(ordered_subsets(), 0.65, "equal")
    contrasts, draw, against = {
        "orders": (order_contrasts(design), order_effects, noise_of_orders),
        "sets": (task_contrasts(design), set_effects, noise_of_sets),
    }[what]
    told = [
        detectable_sd(roots, against(design_of(values, ordered_subsets()), contrasts))
        for values in noise.draw(rng, 30, roots)
    ]
    values = noise.draw(rng, 1000, roots) + draw(rng, design, 1000, float(np.median(told)))
    found = (p_values(values, contrasts, design) <= 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.1 if roots == 6 else 0.07)


def test_roots_for_an_sd_are_the_fewest_that_reach_the_power():
    noise = noise_of_orders(
        design_of(luck(ordered_subsets(), 0.65, "equal").draw(np.random.default_rng(10), 1, 5)[0], ordered_subsets()),
        order_contrasts(blank()),
    )
    for sd in (0.1, 0.2, 0.3, 1.0):
        roots = roots_for_sd(sd, noise)
        assert f_power(sd, roots, noise) >= 0.8 > (f_power(sd, roots - 1, noise) if roots > 3 else 0)
    assert roots_for_sd(0.0, noise) is None and roots_for_sd(1e-4, noise) is None
    assert detectable_sd(2, noise) != detectable_sd(2, noise)  # nan: no test
    assert detectable_sd(5, noise) < detectable_sd(3, noise)
    rounding = Noise(b=3.9e-14, b2=8.8e-25, g=22.2, g2=55.3, bg=-4.1e-13)
    assert detectable_sd(3, rounding) != detectable_sd(3, rounding)  # nan: no size would do


def test_the_level_that_sign_patterns_reach():
    assert [reached_level(roots) for roots in (5, 6, 7, 13)] == [0.05, 1 / 32, 3 / 64, 0.05]


def test_luck_has_the_share_that_is_asked_for():
    for spread in ("equal", "falling", "autoregressive"):
        noise: Luck = luck(ordered_subsets(), 0.65, spread)
        assert (noise.carried**2).sum(axis=0).mean() == pytest.approx(0.65)
        assert np.diag(noise.covariance).mean() == pytest.approx(1)
