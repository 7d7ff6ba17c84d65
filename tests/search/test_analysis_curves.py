"""Severity and budget curves, forgetting, and distance from English: by hand-made tables and planted values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from scipy import stats

from search.analysis.curves import budget_curves, severity_curves, still_right
from search.analysis.distance import distance, steps_from_english
from search.analysis.forgetting import forgetting
from search.analysis.over_languages import FINDINGS
from search.results import load
from trainables.errors import Mistake

ORDERS = ["none", "mini-nli", "mini-tags", "mini-nli>mini-tags"]
CODES = ["en", "ar", "de", "es", "fi", "hi", "sw", "zh"]


# --- severities -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def severe(tmp_path_factory):
    return load([made_run(tmp_path_factory.mktemp("run"), orders=ORDERS, edits=["keyboard", "deletion"],
                          severities=[1, 3, 5], attacks=["deepwordbug"], controls=True)])  # fmt: skip


def test_a_curve_falls_as_planted(severe):
    table = severity_curves(severe).table
    own = table[(table.family == "all") & (table.who == "mean")].set_index("severity")
    assert own.index.tolist() == [1, 3, 5]
    assert set(own.perturbation) == {"keyboard"}  # what few examples are attackable in is left out, and so are attacks
    assert np.diff(own.estimate).tolist() == pytest.approx([-8, -8], abs=0.3)
    assert (own.changed - own.estimate).tolist() == pytest.approx([2, 2, 2], abs=0.01)
    assert own.clean.to_numpy() == pytest.approx(own.clean.iloc[0], abs=0.1)
    assert ((own.low < own.estimate) & (own.estimate < own.high)).all()


def test_a_point_is_the_mean_over_targets_of_means_over_languages(severe):
    rows = severe.own
    rows = rows[(rows.perturbation == "keyboard") & (rows.severity == 3) & (rows.metric == "robust")]
    rows = rows[(rows.order == "none") & (rows.portion == "test")]
    by_root = rows.groupby(["seed", "target"], observed=True).value.mean().groupby("seed").mean() * 100
    table = severity_curves(severe).table.set_index(["family", "who", "severity"]).sort_index()
    row = table.loc[("all", "empty", 3)]
    half = stats.t.ppf(0.975, 5) * by_root.std() / math.sqrt(6)
    assert row.estimate == pytest.approx(by_root.mean())
    assert row.high - row.estimate == pytest.approx(half)
    german = rows[rows.language.isin(["de", "en"])]
    by_target = german.groupby(["seed", "target"], observed=True).value.mean().groupby("target", observed=True).mean()
    assert table.loc[("Indo-European", "empty", 3)].estimate == pytest.approx(100 * by_target.mean())


# --- budgets ----------------------------------------------------------------------------------------------------------


def attacked(n=60, candidates=1, seed=0):
    """Examples that were right; each is broken with 60 %, after 1 to 40 queries."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "cluster": np.repeat([f"c{i}" for i in range(n)], candidates), "clean": 1.0,
        "score": (rng.random(n * candidates) > 0.6).astype(float), "queries": rng.integers(1, 41, n * candidates),
    })  # fmt: skip


def test_still_right_is_counted_by_queries():
    rows = pd.DataFrame(
        {"cluster": list("abcd"), "clean": 1.0, "score": [0.0, 0.0, 1.0, 0.0], "queries": [3, 9, 2, 30]}
    )
    assert [still_right(rows, q)["estimate"] for q in (2, 3, 9, 29, 30)] == [1.0, 0.75, 0.5, 0.5, 0.25]
    graded = rows.assign(clean=0.8, score=[0.5, 0.3, 0.8, 0.4])
    assert still_right(graded, 50)["estimate"] == 0.75  # 0.3 alone is less than half of 0.8


def test_without_clusters_its_error_is_that_of_a_share():
    found, n = still_right(attacked(), 20), 60
    share = found["estimate"]
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(share * (1 - share) / (n - 1))
    assert found["high"] - share == pytest.approx(half)
    assert found["n"] == n
    assert math.isnan(still_right(attacked(1), 20)["low"])


def test_the_same_example_many_times_is_one_example():
    once = attacked()
    often = pd.concat([once] * 5)
    assert still_right(often, 20) == pytest.approx(still_right(once, 20))


def test_budget_curves_of_a_run(tmp_path):
    run = made_run(tmp_path, orders=ORDERS, targets={"mini-xnli": ["en", "sw"]}, roots=3)
    (run / "predictions").mkdir()
    parts = []
    for candidate in (f"{order} full 0.0007" for order in ORDERS):
        for code, lost in (("en", 0.0), ("sw", 1.0)):
            rows = attacked(30, 1, 1).assign(id=lambda rows: rows.cluster, candidate=candidate, language=code, seed=0)
            rows["score"] = rows.score * (1 - lost)
            parts.append(rows.assign(portion="test", perturbation="attack:deepwordbug", severity=0))
            parts.append(rows.assign(portion="dev", perturbation="attack:deepwordbug", severity=0, score=0.0))
            parts.append(rows.assign(portion="test", perturbation="none", severity=0, clean=np.nan, queries=np.nan))
    wrong = parts[0].assign(clean=0.0, score=0.0, queries=0, cluster="wrong", id="wrong")
    pd.concat([*parts, wrong]).to_parquet(run / "predictions" / "mini-xnli.parquet")
    found = budget_curves(load([run]))
    table = found.table.set_index(["family", "who", "queries"]).sort_index()
    assert set(found.table.family) == {"all", "Indo-European", "Niger-Congo"}
    english = attacked(30, 1, 1)
    assert table.loc[("Niger-Congo", "mean", english.queries.max())].estimate == 0.0
    expected = ((english.score == 1) | (english.queries > 20)).mean()
    assert table.loc[("Indo-European", "best", 20)].estimate == pytest.approx(expected)
    assert table.loc[("all", "mean", 20)].n == 30
    assert (np.diff(table.loc[("all", "mean")].estimate) <= 0).all()
    assert "deepwordbug leaves" in found.sentence


# --- forgetting -------------------------------------------------------------------------------------------------------


def test_three_points_a_stage_are_forgotten(tmp_path):
    results = load([made_run(tmp_path, tasks=("mini-nli", "mini-tags", "mini-topic"), forgetting=True, controls=True)])
    found = forgetting(results)
    table = found.table.set_index(["task", "since"]).sort_index()
    assert table.loc[("all", 1)].low < -3 < table.loc[("all", 1)].high
    assert table.loc[("all", 2)].estimate == pytest.approx(-6, abs=1)
    assert (table.xs(0, level="since").estimate == 0).all()
    assert table.loc[("mini-nli", 0)].prefixes == 5  # alone, after one of two, after two in two ways
    assert table.loc[("mini-nli", 2)].prefixes == 2
    assert table.p_holm.drop("all").dropna().size == 6
    assert not any(task.startswith("sham") for task, _ in table.index)
    assert found.sentence.startswith("One stage after its own a task has changed by -")


def test_a_change_is_from_the_tasks_own_stage_of_the_same_order_and_root(tmp_path):
    results = load([made_run(tmp_path, orders=["none", "mini-nli", "mini-nli>mini-tags"], forgetting=True, roots=3)])
    rows = results.own
    rows = rows[(rows.portion == "forgetting") & (rows.target == "mini-nli")]
    rows = rows.drop_duplicates(["stage", "seed"]).astype({"stage": object})
    values = rows.pivot_table(index="seed", columns="stage", values="value") * 100
    change = values["mini-nli>mini-tags"] - values["mini-nli"]
    row = forgetting(results).table.set_index(["task", "since"]).loc[("mini-nli", 1)]
    assert row.estimate == pytest.approx(change.mean())
    assert row.high - row.estimate == pytest.approx(stats.t.ppf(0.975, 2) * change.std() / math.sqrt(3))
    assert (row.prefixes, row.n) == (1, 3)


# --- distance ---------------------------------------------------------------------------------------------------------


def test_steps_from_english():
    names = ("family", "branch", "script", "steps")
    expected = {"en": (0, 0, 0, 0), "de": (0, 0, 0, 0), "es": (0, 1, 0, 1), "ru": (0, 1, 1, 2), "fi": (1, 1, 0, 2),
                "eu": (1, 1, 0, 2), "zh": (1, 1, 1, 3)}  # fmt: skip
    for code, steps in expected.items():
        assert steps_from_english(code) == dict(zip(names, steps, strict=True))


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """Five points are lost with every step from English."""
    own = {(order, code): 3 - 5 * steps_from_english(code)["steps"] for order in ORDERS for code in CODES}
    return load([made_run(tmp_path_factory.mktemp("run"), orders=ORDERS, targets={"mini-xnli": CODES}, roots=3,
                          language_effects=own, seed=3)])  # fmt: skip


def test_a_planted_distance_is_found(far, tmp_path):
    given = tmp_path / "distances.csv"
    pd.DataFrame({"language": [*CODES, "xx"], "syntactic": [0, 1, 2, 3, 4, 5, 6, 7, 8], "note": "text"}).to_csv(
        given, index=False
    )
    found = distance(far, given)
    table = found.table.set_index("predictor")
    assert set(table.index) == {"family", "branch", "script", "steps", "syntactic"}
    assert (table.n == len(CODES) - 1).all()
    assert table.loc["steps"].estimate > 0.4
    assert table.loc["steps"].slope_low < 5 < table.loc["steps"].slope_high
    assert (table.p_holm >= table.p).all()
    cells = far.own[(far.own.portion == "test") & (far.own.perturbation == "none")]
    means = cells.groupby("language", observed=True).value.mean() * 100
    gap = means["en"] - means.drop("en")
    steps = [steps_from_english(code)["steps"] for code in gap.index]
    assert table.loc["steps"].estimate == pytest.approx(stats.spearmanr(steps, gap).statistic)
    assert table.loc["steps"].slope == pytest.approx(stats.linregress(steps, gap).slope)
    assert "7 languages" in found.sentence


@pytest.mark.parametrize(
    "text", ["language;x\nde;1\n", "code,x\nde,1\n", "language,x\nde,1\nde,2\n", "language,x\nde,far\n"]
)
def test_a_file_of_distances_that_is_none(far, tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(Mistake, match=r"columns|twice"):
        distance(far, path)
    with pytest.raises(Mistake, match="cannot be read"):
        distance(far, tmp_path / "none.csv")


# --- all --------------------------------------------------------------------------------------------------------------


def test_every_finding_is_none_or_whole(severe, far, tmp_path):
    """Names are unique, n and estimates there, sentences end; a study of one order and root brings nothing down."""
    poor = load([made_run(tmp_path, orders=["none"], roots=1, targets={"mini-tatoeba": ["de"]})])
    for results in (severe, far, poor):
        found = [finding for function in FINDINGS if (finding := function(results)) is not None]
        assert len({one.name for one in found}) == len(found)
        for one in found:
            assert {"n", "estimate"} <= set(one.table.columns), one.name
            assert one.sentence.endswith("."), one.name
            assert "nan" not in one.sentence.split(), one.name
            assert len(one.table), one.name
    assert [function.__name__ for function in FINDINGS if function(poor) is not None] == []
