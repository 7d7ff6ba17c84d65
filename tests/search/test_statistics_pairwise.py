"""Rank intervals from all pairs at once: they hold the truth, and say no more than that."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.simulated import blank, coverage, design_of, luck, order_effects, ordered_subsets
from search.analysis import pairwise as module
from search.analysis.covariance import classes
from search.analysis.pairwise import difference_noise, pairwise, rank_intervals
from search.order import Order

COLUMNS = ["better", "worse", "rank", "rank_low", "rank_high"]


def orders(*texts):
    return tuple(Order.parse(text) for text in texts)


def noisy(roots=5, effect=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = luck(ordered_subsets(), 0.65, "equal").draw(rng, 1, roots)[0]
    return design_of(values + order_effects(rng, blank(), 1, effect)[0], ordered_subsets())


@pytest.mark.parametrize(("roots", "spread", "tails"), [(5, "equal", None), (5, "falling", 5.0), (3, "equal", None)])
def test_ranks_of_all_orders_are_covered_together(roots, spread, tails):
    noise = luck(ordered_subsets(), 0.65, spread, tails)
    found = coverage(noise, roots, 1000, seed=2, only=("ranks", "tied ranks"))
    assert found["ranks"] >= 0.93
    assert found["tied ranks"] >= 0.93


def test_ranks_are_counts_of_who_is_shown_to_be_better():
    design = noisy(effect=3)
    ranks, pairs = rank_intervals(design), pairwise(design)
    assert list(ranks.index) == list(design.names)
    shown = pairs[(pairs.low > 0) | (pairs.high < 0)]
    winners = np.where(shown.estimate > 0, shown["first"], shown.second)
    losers = np.where(shown.estimate > 0, shown.second, shown["first"])
    assert ranks.better.tolist() == [(losers == name).sum() for name in design.names]
    assert ranks.worse.tolist() == [(winners == name).sum() for name in design.names]
    assert (ranks["rank"] == ranks.better + 1).all() and (ranks.rank_low == ranks["rank"]).all()
    assert (ranks.rank_high == 65 - ranks.worse).all()
    assert ((pairs.p_adjusted <= 0.05) == ((pairs.low > 0) | (pairs.high < 0))).all()
    assert ranks.rank_low.nunique() > 10


def test_where_nothing_is_shown_all_share_the_first_rank():
    ranks = rank_intervals(noisy())
    assert ranks[["rank", "rank_low", "rank_high"]].drop_duplicates().to_numpy().tolist() == [[1, 1, 65]]


def test_one_pair_is_the_paired_t_test():
    values = np.random.default_rng(1).normal(size=(4, 2))
    row = pairwise(design_of(values, orders("a>b", "c"))).iloc[0]
    expected = stats.ttest_rel(*values.T)
    assert (row.estimate, row.p, row.p_adjusted) == pytest.approx(
        (np.mean(values[:, 0] - values[:, 1]), *[expected.pvalue] * 2)
    )
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_pairs_of_a_class_share_the_mean_variance_and_each_has_its_quantile():
    values = np.random.default_rng(2).normal(size=(5, 3))
    found = pairwise(design_of(values, orders("none", "a", "b"))).set_index(["first", "second"])
    variances = {pair: np.var(values[:, pair[0]] - values[:, pair[1]], ddof=1) for pair in ((0, 1), (0, 2), (1, 2))}
    half = (found.high - found.low) / 2
    own = stats.t.isf(0.05 / 2 / 3, 4) * np.sqrt(variances[1, 2] / 5)  # a class of one pair: 4 degrees of freedom
    assert half["a", "b"] == pytest.approx(own)
    with_empty = np.sqrt((variances[0, 1] + variances[0, 2]) / 2 / 5)
    assert half["none", "a"] == half["none", "b"]
    assert stats.t.isf(0.05 / 6, 8) * with_empty < half["none", "a"] < stats.t.isf(0.05 / 6, 4) * with_empty


def test_degrees_of_freedom_of_independent_pairs_add_up():
    """Four disjoint pairs a>b, a of tasks that share nothing else: as many times the degrees of freedom of one."""
    rng, space = np.random.default_rng(3), orders("a", "a>b", "c", "c>d", "e", "e>f", "g", "g>h")
    design = design_of(rng.normal(size=(4000, 8)), space)
    noise = difference_noise(design.values, classes(design))
    assert noise.freedom[noise.alike.of[0, 1]] / 3999 == pytest.approx(4, rel=0.02)


def test_the_empty_orders_few_degrees_of_freedom_widen_no_other_interval():
    """Without it the others' intervals are as wide, but for Bonferroni's count."""
    design = noisy(roots=3)
    kept = design.only(range(1, 65))
    one, other = (pairwise(d).set_index(["first", "second"]) for d in (design, kept))
    width = (one.high - one.low)[("a>b>c>d", "d>c>b>a")] / (other.high - other.low)[("a>b>c>d", "d>c>b>a")]
    assert 1 < width < 1.01


def test_a_higher_level_is_wider():
    design = noisy(effect=1)
    assert (rank_intervals(design, 0.5).better >= rank_intervals(design, 0.99).better).all()
    assert rank_intervals(design, 0.5).better.sum() > rank_intervals(design, 0.99).better.sum()


@pytest.mark.parametrize("roots", [1, 2])
def test_few_roots_give_no_ranks_and_the_reason(roots):
    ranks, pairs = rank_intervals(noisy(roots)), pairwise(noisy(roots))
    assert ranks[COLUMNS].isna().all(axis=None) and (ranks.dtypes[COLUMNS] == "Int64").all()
    assert ranks.reason.unique().tolist() == pairs.reason.unique().tolist()
    assert ranks.reason.iloc[0].endswith("an interval needs 3")
    assert pairs.estimate.notna().all() and pairs[["low", "high", "p"]].isna().all(axis=None)


def test_too_many_candidates_say_so(monkeypatch):
    monkeypatch.setattr(module, "MOST", 64)
    monkeypatch.setattr(module, "MOST_LISTED", 64)
    assert rank_intervals(noisy()).reason.unique().tolist() == ["65 candidates: all pairs of at most 64 are compared"]
    assert pairwise(noisy()).empty


def test_one_candidate_and_scores_that_do_not_vary():
    assert rank_intervals(design_of(np.ones((4, 1)), orders("a"))).iloc[0].tolist()[:5] == [0, 0, 1, 1, 1]
    fixed = rank_intervals(design_of(np.tile([1.0, 3.0, 3.0], (4, 1)), orders("a", "b", "c")))
    assert fixed["rank"].tolist() == [3, 1, 1] and fixed.rank_high.tolist() == [3, 2, 2]


def test_arms_are_ranked_together_with_noise_of_their_own():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(6, 6)) * [1, 1, 1, 9, 9, 9]
    found = pairwise(design_of(values, orders("a", "b", "c") * 2, ("full",) * 3 + ("lora",) * 3))
    width = (found.high - found.low).to_numpy()
    assert width[found.index[(found["first"] == "a") & (found.second == "b")][0]] < width.max() / 3
