"""Clean against robust: correlations, gains for nothing and the order test, where they were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run

from search.analysis.outcomes import outcome_table
from search.analysis.tradeoff import pearson, robust_gains, robust_order, tradeoff
from search.results import load

PAIRS = ["mini-nli>mini-tags", "mini-tags>mini-nli", "mini-nli>mini-topic", "mini-topic>mini-nli"]
ORDERS = ["none", "mini-nli", "mini-tags", "mini-topic", *PAIRS]
EFFECTS = dict(zip(ORDERS, (0.0, 3.0, -3.0, 6.0, 4.0, -2.0, 2.0, -4.0), strict=True))


def shifted(folder, more):
    """The run with `more` (points by order) added to the robust figures alone, and taken off the falls."""
    scores = pd.read_parquet(folder / "scores.parquet")
    points = scores.order.map(more).fillna(0.0) / 100
    edited = scores.perturbation != "none"
    scores["value"] += points * (edited & scores.metric.isin(["robust", "robust_attackable"]))
    scores["value"] -= points * (edited & (scores.metric == "drop"))
    scores.to_parquet(folder / "scores.parquet")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Orders lose twice as much robustness as they gain clean: a trade-off that is planted."""
    run = made_run(
        tmp_path_factory.mktemp("run"), orders=ORDERS, edits=["keyboard"], effects=EFFECTS, set_sd=0.0, luck_sd=0.3,
        leaf_sd=0.3, controls=True,
    )  # fmt: skip
    return shifted(run, {order: -2 * value for order, value in EFFECTS.items()})


@pytest.fixture(scope="module")
def results(folder):
    return load([folder])


def test_pearson_is_numpys():
    one, two = np.random.default_rng(0).normal(size=(2, 3, 9))
    found = pearson(one, two)
    assert found[1, 2] == pytest.approx(np.corrcoef(one[1], two[2])[0, 1])
    assert np.isnan(pearson(np.ones((1, 4)), two[:, :4])).all()


def test_a_planted_tradeoff_is_found_and_told(results):
    found = tradeoff(results)
    table = found.table.set_index(["of", "scope"])
    assert table.loc[("robust", "all orders")].high < -0.9
    assert table.loc[("robust", "within sets")].high < -0.9
    assert table.loc[("robust", "within sets")].n == len(PAIRS)
    assert table.loc[("robust", "all orders")].n == len(ORDERS)
    assert table.loc[("drop", "all orders")].low > 0.9
    assert table.estimate.between(-1, 1).all()
    assert "against each other" in found.sentence


def test_luck_alone_is_no_relation(tmp_path):
    """Clean and robust scores of the same models share their luck: only on the same roots do they go together."""
    luck = {"set_sd": 0.0, "leaf_sd": 1.0, "luck_sd": 1.0}
    found = tradeoff(
        load([made_run(tmp_path, tasks=("mini-nli", "mini-tags", "mini-topic"), edits=["keyboard"], **luck)])
    )
    row = found.table.set_index(["of", "scope"]).loc[("robust", "all orders")]
    assert row.same > 0.95
    assert row.low < 0 < row.high


def test_gains_in_robustness_and_what_they_cost(results):
    found = robust_gains(results)
    table = found.table.set_index("order")
    assert not any(order.startswith("sham") for order in table.index)
    robust = outcome_table(results, "robust_score")
    name = f"{PAIRS[3]} full 0.0007"
    gain = robust.loc[name] - robust.loc["none full 0.0007"]
    assert table.loc[PAIRS[3]].estimate == pytest.approx(gain.mean()) == pytest.approx(4, abs=0.6)
    assert table.loc[PAIRS[3]].clean == pytest.approx(-4, abs=0.6)
    assert table.loc[PAIRS[3]].p_holm < 0.01
    # On the planted line every order is on the front: none has both higher.
    assert table.front.all()
    assert not table.free.any() or table[table.free].clean.iloc[0] >= 0
    # All that gain robustness lose clean points, so the freest one gains none.
    assert table[table.free].estimate.max() < 0.5
    assert "without a clean loss" in found.sentence


def test_the_order_that_costs_nothing_is_named(tmp_path, folder):
    copy = tmp_path / "run"
    copy.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    found = robust_gains(load([shifted(copy, {"mini-topic": 20.0})]))
    assert found.table[found.table.free].order.tolist() == ["mini-topic"]
    assert found.table[found.table.front].order.tolist() == ["mini-topic"]
    assert found.sentence.startswith("Of orders without a clean loss mini-topic full 0.0007 gains most robustness")


def test_the_order_test_on_robust_figures(results):
    table = robust_order(results).table.set_index(["of", "languages"])
    assert set(table.index) == {
        (of, where) for of in ("robust", "robust_attackable", "drop") for where in ("all", "foreign")
    }
    assert table.loc[("robust", "foreign")].p <= 0.05
    assert table.loc[("drop", "foreign")].p <= 0.05
    # Orders of a set lie 6 clean points apart and −12 more robust ones: SDs of 6 / √2, and 12 / √2 of falls.
    sd = np.sqrt(np.mean([6**2, 6**2]) / 2)
    assert table.loc[("robust", "all")].estimate == pytest.approx(sd, abs=0.4)
    assert table.loc[("drop", "all")].estimate == pytest.approx(2 * sd, abs=0.5)


def test_only_other_languages_than_english_are_foreign(tmp_path):
    only = {(PAIRS[0], "en"): 10.0, (PAIRS[1], "en"): -10.0}
    run = made_run(tmp_path, orders=ORDERS[:6], edits=["keyboard"], language_effects=only, set_sd=0.0, luck_sd=0.3,
                   leaf_sd=0.3)  # fmt: skip
    table = robust_order(load([run])).table.set_index(["of", "languages"])
    assert table.loc[("robust", "all")].p <= 0.05
    assert table.loc[("robust", "foreign")].p > 0.05


def test_without_edits_there_is_nothing(tmp_path):
    results = load([made_run(tmp_path / "a", orders=ORDERS, roots=3)])
    assert tradeoff(results) is robust_gains(results) is robust_order(results) is None


def test_with_two_roots_nothing_is_claimed(tmp_path):
    results = load([made_run(tmp_path, orders=ORDERS, roots=2, edits=["keyboard"])])
    assert tradeoff(results).sentence.startswith("Too little to say")
    assert robust_order(results).sentence.startswith("Too little to say")
    assert robust_gains(results).table.low.isna().all()
