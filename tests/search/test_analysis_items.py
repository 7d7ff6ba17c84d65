"""Intervals over roots and items: against closed forms, by coverage, and from run folders with planted predictions."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run

from search.analysis.items import both_intervals, item_variances, items, main_variance, sample_variance
from search.analysis.predictions import items_of
from search.results import load
from trainables.examples import in_search_half

TARGETS = {"mini-xnli": ["en", "de", "sw"], "mini-tatoeba": ["de", "sw"]}
ORDERS = ["none", "mini-nli", "mini-tags", "mini-nli>mini-tags"]


def planted(folder: Path, **options) -> Path:
    """A run whose scores are the means of its predictions."""
    made_run(folder, **{"orders": ORDERS, "targets": TARGETS, "items": 60, "roots": 4, **options})
    scores = pd.read_parquet(folder / "scores.parquet")
    for target in TARGETS:
        path = folder / "predictions" / f"{target}.parquet"
        means = pd.read_parquet(path).groupby(["candidate", "seed", "language"]).score.mean()
        own = (scores.target == target) & (scores.portion == "test") & (scores.perturbation == "none")
        keys = pd.MultiIndex.from_frame(scores.loc[own, ["candidate", "seed", "language"]])
        scores.loc[own, "value"] = means.reindex(keys).to_numpy()
    scores.to_parquet(folder / "scores.parquet")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("run"))


@pytest.fixture
def copy(run, tmp_path):
    """The same run, to be changed."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_at_one_root_and_one_item_a_cluster_it_is_the_variance_of_a_mean():
    scores = np.random.default_rng(0).random(40)
    values = (scores - scores.mean()) / 40
    assert main_variance(values[None], np.zeros(40)) == pytest.approx(scores.var(ddof=1) / 40)


def test_the_part_of_the_interaction_is_taken_off():
    """Items that are drawn anew at each root say nothing of items: V_I is 0 on average, not s²/(RN)."""
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (4000, 5, 30))
    values = (values - values.mean(axis=-1, keepdims=True)) / 30
    raw = (values.mean(axis=1) ** 2).sum(axis=-1) * 30 / 29
    rest = raw - main_variance_uncut(values)
    assert raw.mean() == pytest.approx(1 / 150, rel=0.03)
    assert rest.mean() == pytest.approx(raw.mean(), rel=0.03)


def main_variance_uncut(values):
    """The plain estimate by analysis of variance: (mean square of items − that of the interaction) / (R N)."""
    roots, size = values.shape[-2:]
    per_item = values * size
    mean = per_item.mean(axis=-2)
    between = roots * (mean**2).sum(axis=-1) / (size - 1)
    within = ((per_item - mean[:, None]) ** 2).sum(axis=(-2, -1)) / ((roots - 1) * (size - 1))
    return (between - within) / roots / size


def test_it_is_the_analysis_of_variance_of_roots_by_items():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (50, 4, 25)) + 2 * rng.normal(0, 1, (50, 1, 25))
    values = (values - values.mean(axis=-1, keepdims=True)) / 25
    assert main_variance(values, np.zeros(25)) == pytest.approx(np.maximum(main_variance_uncut(values), 0))


def test_strata_add_up_and_a_lone_cluster_has_no_variance():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (3, 20)) + rng.normal(0, 3, 20)
    parts = [main_variance(values[:, own], np.zeros(10)) for own in (slice(0, 10), slice(10, 20))]
    assert main_variance(values, np.repeat([0, 1], 10)) == pytest.approx(sum(parts))
    assert math.isnan(main_variance(values, np.array([0] * 19 + [1])))
    values[:, 19] = 0
    assert not math.isnan(main_variance(values, np.array([0] * 19 + [1])))


def test_a_root_that_is_missing_is_left_out():
    values = np.random.default_rng(4).normal(0, 1, (4, 20))
    holed = np.concatenate([values, np.full((1, 20), np.nan)])
    assert main_variance(holed, np.zeros(20)) == pytest.approx(main_variance(values, np.zeros(20)))


@pytest.mark.parametrize("roots", [3, 6])
@pytest.mark.parametrize("seed_sd", [0.2, 2.0])
def test_both_intervals_cover(roots, seed_sd):
    """Luck of roots, difficulty of clusters and their interaction, over 1,000 studies: 95 % within binomial noise.

    The first interval must miss the second one's estimand where items matter more than roots.
    """
    rng = np.random.default_rng(5)
    studies, clusters, size = 1000, 40, 3
    hard = rng.normal(0, 3, (studies, 1, clusters, 1)) + rng.normal(0, 3, (studies, 1, clusters, size))
    seeds = rng.normal(0, seed_sd, (studies, roots, 1, 1))
    scores = (hard + seeds + rng.normal(0, 3, (studies, roots, clusters, size))).reshape(studies, roots, clusters, size)
    means = scores.mean(axis=(2, 3))
    parts = (scores.sum(axis=3) - size * means[:, :, None]) / clusters / size
    variances = main_variance(parts, np.zeros(clusters))
    rows = pd.DataFrame([both_intervals(m, v, clusters - 1) for m, v in zip(means, variances, strict=True)])
    covered = ((rows.low_items <= 0) & (rows.high_items >= 0)).mean()
    assert 0.93 <= covered <= 0.985
    assert (rows.low_items <= rows.low).all()
    if seed_sd < 1:
        assert ((rows.low <= 0) & (rows.high >= 0)).mean() < 0.85


def test_a_run_folder_gives_what_its_predictions_give(run):
    table = items(load([run])).table.set_index(["measure", "candidate", "target"])
    rows = pd.read_parquet(run / "predictions" / "mini-xnli.parquet")
    name = rows.candidate.unique()[1]
    by_item = rows[rows.candidate == name].groupby(["seed", "cluster"]).score.sum().unstack() * 100
    sizes = rows[rows.candidate == name].groupby(["seed", "cluster"]).score.size().unstack()
    mean = rows[rows.candidate == name].groupby("seed").score.mean() * 100
    parts = ((by_item - sizes.mul(mean, axis=0)) / sizes.sum(axis=1).iloc[0]).to_numpy()
    found = table.loc[("score", name, "mini-xnli")]
    assert (found["items"], found.clusters, found.n) == (180, 20, 4)
    assert found.estimate == pytest.approx(mean.mean())
    assert found.sd_items**2 == pytest.approx(main_variance(parts, np.zeros(20)), rel=1e-4)
    targets = table.xs("score").xs(name).sd_items
    assert targets["all"] ** 2 == pytest.approx((targets["mini-xnli"] ** 2 + targets["mini-tatoeba"] ** 2) / 4)


def test_gains_are_paired_by_item(run):
    """Items are as hard for all candidates: most of a score's variance over items is not a gain's."""
    table = items(load([run])).table
    whole = table[table.target == "all"].groupby("measure").sd_items.median()
    assert whole["gain"] < whole["score"] / 3
    assert (table.candidate[table.measure == "gain"] != "none full 0.0007").all()


def test_languages_that_are_no_translations_are_drawn_apart(copy, run):
    """With clusters of their own languages' variances add up, and are less than those of one draw of parallel items."""
    for file in (copy / "predictions").iterdir():
        rows = pd.read_parquet(file)
        rows.assign(cluster=rows.language + rows.cluster).to_parquet(file)
    both = [items(load([folder])) for folder in (run, copy)]
    wide, narrow = (one.table.query("measure == 'score' and target == 'mini-xnli'").sd_items.mean() for one in both)
    assert narrow == pytest.approx(wide / math.sqrt(3), rel=0.2)
    assert not any("translations" in note for note in both[0].notes)
    assert any("mini-xnli (de, en, sw)" in note for note in both[1].notes)


def test_a_metric_that_is_no_mean_keeps_its_stored_error(copy):
    scores = pd.read_parquet(copy / "scores.parquet")
    own = scores.target == "mini-xnli"
    scores.loc[own, ["value", "stderr"]] = scores.loc[own, ["value"]].assign(stderr=0.02) - [0.1, 0]
    scores.to_parquet(copy / "scores.parquet")
    found = items(load([copy]))
    assert any("mini-xnli" in note and "stored standard error" in note for note in found.notes)
    one = next(one for one in items_of(load([copy])) if one.target == "mini-xnli")
    assert not one.exact
    english = one.values[..., one.language == one.languages.index("en")]
    assert np.sqrt((english**2).sum(axis=-1) * 60 / 59) == pytest.approx(2.0, rel=1e-3)


def test_without_an_error_a_target_counts_as_fixed(copy):
    scores = pd.read_parquet(copy / "scores.parquet")
    own = scores.target == "mini-xnli"
    scores.loc[own, "value"] -= 0.1
    scores.loc[own, "stderr"] = np.nan
    scores.to_parquet(copy / "scores.parquet")
    table = items(load([copy])).table.set_index(["measure", "candidate", "target"])
    whole = table.loc[("score", "mini-nli full 0.0007", "all")]
    assert whole.reason == "items of mini-xnli count as fixed"
    only = table.loc[("score", "mini-nli full 0.0007", "mini-tatoeba")]
    assert whole.sd_items == pytest.approx(only.sd_items / 2)
    assert math.isnan(table.loc[("score", "mini-nli full 0.0007", "mini-xnli")].low_items)


def test_sample_variance_is_the_mean_of_candidates(run):
    results = load([run])
    table = items(results).table.query("measure == 'score' and target == 'all'")
    assert sample_variance(results) == pytest.approx((table.sd_items**2).mean())


def test_without_predictions_there_is_nothing(tmp_path):
    results = load([made_run(tmp_path, orders=ORDERS, roots=3)])
    assert item_variances(results) is None
    assert items(results) is None
    assert sample_variance(results) is None


def test_under_an_oracle_selection_only_the_report_half_counts(tmp_path):
    folder = planted(tmp_path, settings={"objective": "target-dev"})
    scores = pd.read_parquet(folder / "scores.parquet")
    sizes = {}
    for target in TARGETS:
        rows = pd.read_parquet(folder / "predictions" / f"{target}.parquet")
        rows = rows[[not in_search_half(name) for name in rows.id]]
        sizes[target] = rows.id.nunique() * len(TARGETS[target])
        means = rows.groupby(["candidate", "seed", "language"]).score.mean()
        own = scores[(scores.target == target) & (scores.portion == "test")].assign(portion="report")
        keys = pd.MultiIndex.from_frame(own[["candidate", "seed", "language"]])
        scores = pd.concat([scores, own.assign(value=means.reindex(keys).to_numpy())])
    scores.to_parquet(folder / "scores.parquet")
    table = items(load([folder])).table.set_index("target")
    assert not any("stored standard error" in note for note in items(load([folder])).notes)
    assert {target: set(table.loc[target, "items"]) for target in TARGETS} == {t: {n} for t, n in sizes.items()}


def test_runs_that_stand_apart_keep_their_own_items(tmp_path, run):
    first, second = run, planted(tmp_path / "second", seed=1, limited=50)
    both = items(load([first, second], mix=True)).table.set_index(["measure", "candidate", "target"])
    for folder in (first, second):
        alone = items(load([folder])).table.set_index(["measure", "candidate", "target"])
        row = both.loc[("score", f"mini-nli full 0.0007 [{folder.name}]", "mini-xnli")]
        own = alone.loc[("score", "mini-nli full 0.0007", "mini-xnli")]
        assert row.low_items == pytest.approx(own.low_items)
        assert row.high == pytest.approx(own.high)


def test_two_roots_have_estimates_and_no_interval(tmp_path):
    found = items(load([planted(tmp_path, roots=2)]))
    assert found.table.estimate.notna().all()
    assert found.table.low.isna().all()
    assert found.sentence.startswith("Too little to say")
