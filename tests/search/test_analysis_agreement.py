"""Agreement of rankings: against scipy, and what shared luck does to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_runs import made_run
from scipy import stats

from search.analysis.agreement import agreement, apart, jackknife, splits, tau_b
from search.results import load

PAIRS = np.triu_indices(4, 1)


def studies(count, sd, own=0.3, roots=4, orders=16, seed=0):
    """Roots × languages × orders: an order's worth, its worth in a language, a root's luck in all languages, noise."""
    rng = np.random.default_rng(seed)
    worth = rng.normal(0, sd, orders) + (own if sd else 0) * rng.normal(0, 1, (4, orders))
    for _ in range(count):
        luck = rng.normal(0, 1, (roots, 1, orders))
        yield worth + luck + rng.normal(0, 0.5, (roots, 4, orders))


def test_tau_b_is_scipys():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 6, (3, 12)).astype(float), rng.integers(0, 6, (2, 12)).astype(float)
    one[2] = 1.0
    found = tau_b(one, two)
    for a in range(2):
        for b in range(2):
            assert found[a, b] == pytest.approx(stats.kendalltau(one[a], two[b]).statistic, abs=1e-6)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize(("roots", "count"), [(2, 1), (3, 3), (4, 3), (5, 10), (6, 10), (9, 12)])
def test_halves_of_the_roots(roots, count):
    found = splits(roots)
    assert len(found) == len(set(found)) == count
    for half, rest in found:
        assert sorted((*half, *rest)) == list(range(roots))
        assert len(half) == roots // 2


def test_shared_luck_alone_makes_no_agreement():
    """Where no order is better than another, rankings of the same roots agree all the same."""
    values = list(studies(60, 0.0))
    same = np.mean([tau_b(x.mean(axis=0), x.mean(axis=0))[PAIRS].mean() for x in values])
    halves = np.mean([apart(x)[PAIRS].mean() for x in values])
    assert same > 0.4
    assert abs(halves) < 0.06


@pytest.mark.parametrize("roots", [3, 5])
def test_thejackknife_covers(roots):
    found, half = [], []
    for x in studies(150, 1.0, roots=roots):
        found.append(apart(x)[PAIRS].mean())
        half.append(jackknife(np.array([apart(np.delete(x, root, axis=0))[PAIRS].mean() for root in range(roots)])))
    covered = np.mean(np.abs(np.array(found) - np.mean(found)) <= half)
    assert 0.90 <= covered <= 1.0
    assert np.median(half) < 0.6


def test_a_study_with_planted_orders(tmp_path):
    """Orders that differ everywhere alike, but the other way round in Swahili."""
    orders = ["none", "mini-nli", "mini-tags", "mini-topic", "mini-nli>mini-tags", "mini-tags>mini-nli"]
    worth = {order: 4.0 * place for place, order in enumerate(orders)}
    turned = {(order, "sw"): -2.0 * value for order, value in worth.items()}
    run = made_run(
        tmp_path, orders=orders, set_sd=0.0, luck_sd=0.5, leaf_sd=0.5, effects=worth, language_effects=turned
    )
    found = agreement(load([run]))
    table = found.table.set_index(["kind", "first", "second"]).sort_index()
    assert table.loc[("language", "ar", "de")].estimate > 0.9
    assert table.loc[("language", "de", "sw")].estimate < -0.9
    assert table.loc[("language", "de", "sw")].high < 0
    assert table.loc[("language", "de", "sw")].ceiling > 0.9
    pairs = table.loc["language"].drop("mean", level="second")
    assert table.loc[("language", "mean", "mean")].estimate == pytest.approx(pairs.estimate.mean())
    with_english = pairs[[("en" in pair) for pair in pairs.index]]
    assert table.loc[("language", "en", "mean")].estimate == pytest.approx(with_english.estimate.mean())
    assert table.loc[("portion", "dev", "test")].estimate > 0.7
    assert (table.n == 6).all()
    assert "tau between languages" in found.sentence
    assert "between targets" in found.sentence
    assert "of dev with test" in found.sentence


def test_with_few_roots_or_orders_less_is_said(tmp_path):
    two = agreement(load([made_run(tmp_path / "two", roots=2, max_length=1)]))
    assert two.table.estimate.notna().all()
    assert two.table.low.isna().all()
    one = agreement(load([made_run(tmp_path / "one", roots=1, max_length=1)]))
    assert one.table.estimate.isna().all()
    assert one.table.same.notna().all()
    assert one.sentence.startswith("Too little to say")
    targets = {"mini-xnli": ["en", "de"]}
    pair = agreement(load([made_run(tmp_path / "pair", roots=3, max_length=1, targets=targets)]))
    assert pair.table[["kind", "first", "second"]].to_numpy().tolist() == [
        ["language", "de", "en"], ["portion", "dev", "test"],
    ]  # fmt: skip
    assert "between languages" in pair.sentence
    assert agreement(load([made_run(tmp_path / "few", orders=["none", "mini-nli"])])) is None
    assert math.isnan(one.table.ceiling.iloc[0])
