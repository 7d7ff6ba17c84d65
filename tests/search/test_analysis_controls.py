"""The controls: the best of m orders against the best of m seeds, and orders against shams of as many stages."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from scipy import stats

from search.analysis.controls import _best_of, _Sides, best_of_normal, expected_maximum, seed_control, shams
from search.analysis.designs import Designs
from search.analysis.multiple import holm
from search.results import load

TASKS = ("mini-nli", "mini-tags", "mini-topic")


def made(tmp_path, **options):
    return load([made_run(tmp_path / "run", **{"tasks": TASKS, "roots": 5, "seed": 4, **options})])


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_both_sides_are_the_mean_over_all_subsets(tmp_path):
    results = made(tmp_path, seed_control=6, controls=True)
    table = seed_control(results).table
    assert table.m.tolist() == [1, 2, 3, 5, 6] and set(table.seeds_n) == {6}
    dev, test = (results.control[results.control.portion == one].groupby(["seed", "target"]).value.mean() * 100
                 for one in ("dev", "test"))  # fmt: skip
    seen, told = dev.groupby("seed").mean().to_numpy(), test.groupby("seed").mean().to_numpy()
    pairs = [told[max(pair, key=lambda i: seen[i])] for pair in itertools.combinations(range(6), 2)]
    row = table[table.m == 2].iloc[0]
    assert row.seeds_observed == pytest.approx(np.mean(pairs))
    whole = results.overall()
    real = whole[~whole.index.str.contains("sham")]
    assert row.orders_gain == pytest.approx(row.orders - real.to_numpy().mean())
    mean = table[table.m == 1].iloc[0]
    assert mean.orders == pytest.approx(real.to_numpy().mean()) and mean.seeds == pytest.approx(told.mean())
    assert row.estimate == pytest.approx(row.orders - row.seeds)


def test_every_m_has_an_interval_from_three_seeds_and_roots_on(tmp_path):
    table = seed_control(made(tmp_path, seed_control=6)).table
    assert table.low.notna().all() and (table.low < table.estimate).all() and (table.reason == "").all()
    few = seed_control(made(tmp_path / "few", seed_control=6, roots=2))
    assert few.table.low.isna().all() and "2 roots: an interval needs 3" in few.sentence
    pair = seed_control(made(tmp_path / "pair", seed_control=2))
    assert pair.table.estimate.isna().all() and "2 seeds: 3 are needed" in pair.sentence


def test_orders_that_differ_much_beat_seeds_and_alike_ones_do_not(tmp_path):
    far = seed_control(made(tmp_path, seed_control=20, order_sd=8.0, set_sd=0.0, roots=6))
    gains = far.table[far.table.m == 10].iloc[0]
    assert gains.orders_gain > 2 * gains.seeds_gain
    alike = seed_control(made(tmp_path / "alike", seed_control=20, order_sd=0.0, set_sd=0.0, roots=6))
    assert "is better than the best of" not in alike.sentence
    assert alike.table.low.iloc[0] < 0


def test_without_further_seeds_it_says_how_to_have_them(tmp_path):
    found = seed_control(made(tmp_path, tasks=TASKS[:1], roots=2))
    assert not len(found.table) and "--seed-control M" in found.sentence


def test_a_control_at_a_setting_that_was_not_chosen_is_compared_with_orders_of_that_setting(tmp_path):
    results = made(tmp_path, seed_control=6)
    better = results.scores.assign(
        candidate=results.scores.candidate.astype(str).str.replace("0.0007", "0.002"), learning_rate=0.002,
        value=results.scores.value + 0.05,
    )  # fmt: skip
    both = pd.concat([results.scores.astype({"candidate": object}), better[better.seed < 100]], ignore_index=True)
    found = seed_control(replace(results, scores=both))
    assert found.table.orders.tolist() == pytest.approx(seed_control(results).table.orders.tolist())


def test_the_best_of_m_normal_seeds_is_that_of_many_draws():
    assert expected_maximum(1) == pytest.approx(0, abs=1e-9) and expected_maximum(2) == pytest.approx(
        1 / np.sqrt(np.pi)
    )
    rng = np.random.default_rng(1)
    told = 50 + rng.normal(size=20_000)
    seen = told + rng.normal(0, 0.5, 20_000)
    mean, variance = best_of_normal(seen, told, 8)
    best = seen.reshape(-1, 8).argmax(axis=1)
    picked = told.reshape(-1, 8)[np.arange(2500), best]
    assert mean == pytest.approx(picked.mean(), abs=4 * picked.std() / 50) and variance < 0.001
    assert best_of_normal(seen[:9], told[:9], 1)[0] == pytest.approx(told[:9].mean())
    assert best_of_normal(np.ones(9), told[:9], 5)[0] == pytest.approx(told[:9].mean())  # chosen blindly


@pytest.mark.parametrize(("seeds", "m"), [(5, 5), (12, 6), (20, 20)])
def test_the_interval_covers_where_orders_are_no_more_than_seeds(seeds, m):
    rng, inside, runs = np.random.default_rng(seeds), 0, 200
    for _ in range(runs):
        orders, one = 50 + rng.normal(size=(30, 5)), 50 + rng.normal(size=seeds)
        seen = orders + rng.normal(0, 0.5, orders.shape), one + rng.normal(0, 0.5, seeds)
        row = _best_of(_Sides("one", seen[0], orders, seen[1], one), m)
        inside += row["low"] < 0 < row["high"]
    assert stats.binom.cdf(inside, runs, 0.95) > 0.001  # 95 % or more


# --- shams ------------------------------------------------------------------------------------------------------------


def test_orders_are_compared_with_shams_of_as_many_stages(tmp_path):
    lifted = {"sham-mini-nli>sham-mini-tags": -9.0}
    results = made(tmp_path, controls=True, effects=lifted, set_sd=0.2, luck_sd=0.3, leaf_sd=0.3, max_length=2)
    found = shams(Designs(results))
    table = found.table
    assert table.stages.tolist() == [1, 2] and table.orders.tolist() == [3, 6]
    whole = results.overall()
    orders = whole.index.str.split(" ").str[0]
    real = whole[(orders.str.count(">") == 1) & ~orders.str.startswith("sham")].mean()
    per_root = real - whole[orders == "sham-mini-nli>sham-mini-tags"].iloc[0]
    assert table.estimate[1] == pytest.approx(per_root.mean())
    assert table.p[1] == pytest.approx(stats.ttest_1samp(per_root, 0).pvalue)
    assert table.p_holm.tolist() == pytest.approx(list(holm(table.p)))
    assert table.low[1] < 9 < table.high[1] and "orders of 2 stages" in found.sentence


def test_methods_have_their_own_shams(tmp_path):
    found = shams(Designs(made(tmp_path, tasks=TASKS[:2], controls=True, methods=("full", "adapter"), roots=3)))
    assert found.table[["method", "stages"]].to_numpy().tolist() == [
        ["full", 1], ["full", 2], ["adapter", 1], ["adapter", 2],
    ]  # fmt: skip


def test_without_shams_it_says_how_to_have_them(tmp_path):
    found = shams(Designs(made(tmp_path, tasks=TASKS[:1], roots=2)))
    assert not len(found.table) and "--set controls=true" in found.sentence
