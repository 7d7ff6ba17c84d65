"""Languages, families, scripts and the gap to English: what was planted is found where it was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run

from search.analysis.gaps import gaps
from search.analysis.languages import best_order, by_language
from search.analysis.outcomes import outcome_table
from search.results import load

PAIRS = ["mini-nli>mini-tags", "mini-tags>mini-nli"]
ORDERS = ["none", "mini-nli", "mini-tags", *PAIRS]
QUIET = {"set_sd": 0.0, "luck_sd": 0.2, "leaf_sd": 0.2}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The best order gains 5 points, but loses 10 in Swahili; only in Arabic does its order matter."""
    only = {(PAIRS[1], code): 5.0 for code in ("en", "de", "zh")} | {(PAIRS[1], "sw"): -10.0, (PAIRS[1], "ar"): -5.0}
    effects = {PAIRS[0]: 5.0}
    own = only | {(PAIRS[0], "sw"): -15.0}
    folder = tmp_path_factory.mktemp("run")
    options = {"edits": ["keyboard"], "controls": True, "items": 40, **QUIET}
    return load([made_run(folder, orders=ORDERS, effects=effects, language_effects=own, **options)])


@pytest.fixture(scope="module")
def table(results):
    return by_language(results).table.set_index(["of", "kind", "name"]).sort_index()


def test_the_best_order_is_chosen_on_dev_and_has_a_task(results):
    assert best_order(results) == f"{PAIRS[0]} full 0.0007"


def test_gains_are_found_where_they_are(table):
    assert table.loc[("score", "language", "de")].low > 4
    assert table.loc[("score", "language", "sw")].high < -9
    assert (table.loc["score"].p_holm < 0.05).all()
    german = table.loc[("score", "language", "de")]
    assert german.estimate == pytest.approx(german.best - german["empty"])


def test_the_order_matters_where_it_does(table):
    tests = table.loc[("score", "language")]
    assert tests.order_p_holm["ar"] < 1e-4
    assert (tests.order_p_holm.drop("ar") > 0.05).all()
    assert tests.order_sd["ar"] == pytest.approx(10 / np.sqrt(2), abs=0.5)
    assert (tests.orders == len(ORDERS)).all()  # shams are no orders


def test_families_and_scripts_are_means_of_their_languages(results, table):
    family = outcome_table(results, "family:Indo-European")
    best, empty = f"{PAIRS[0]} full 0.0007", "none full 0.0007"
    row = table.loc[("score", "family", "Indo-European")]
    assert row.languages == 2
    assert row.estimate == pytest.approx((family.loc[best] - family.loc[empty]).mean())
    assert set(table.loc[("score", "script")].index) == {"Arabic", "Han", "Latin"}
    assert table.loc["robust_score"].shape == table.loc["score"].shape


def test_holm_is_over_one_kind_of_one_score(table):
    part = table.loc[("score", "family")]
    ranked = part.p.sort_values()
    assert part.p_holm[ranked.index[0]] == pytest.approx(min(1, len(part) * ranked.iloc[0]))
    assert (part.p_holm >= part.p).all()


def test_the_sentence_names_what_is_shown(results):
    sentence = by_language(results).sentence
    assert "gains in ar, de, en, zh and loses in sw" in sentence
    assert "the order is shown to matter in ar." in sentence


def test_gaps_are_english_less_the_others(results):
    found = gaps(results).table.set_index(["candidate", "language"])
    cells = results.compared
    cells = cells[(cells.portion == "test") & (cells.perturbation == "none") & cells.main]
    cells = cells.pivot_table(
        index=["candidate", "seed"], columns=["target", "language"], values="value", observed=True
    )
    own = [cells[t]["en"] - cells[t]["sw"] for t in ("mini-xnli", "mini-pos")]
    gap = 100 * (sum(own) / 2).groupby("candidate", observed=True).mean()
    name = f"{PAIRS[0]} full 0.0007"
    assert found.loc[(name, "sw")].estimate == pytest.approx(gap[name])
    assert found.loc[(name, "sw")].targets == 2
    assert found.loc[(name, "sw")].change == pytest.approx(gap[name] - gap["none full 0.0007"])
    assert found.loc[(name, "sw")].change_p_holm < 1e-4
    assert found.loc[(name, "de")].change_p_holm > 0.05
    assert np.isnan(found.loc[("none full 0.0007", "de")].change)
    assert len(found) == 4 * found.index.unique("candidate").size


def test_gaps_over_items_are_wider_and_paired_where_items_are_parallel(results):
    table = gaps(results).table
    assert (table.low_items <= table.low + 1e-9).all()
    assert (table.low_items < table.low - 0.01).any()
    assert (table.paired == 2).all()


def test_unpaired_items_widen_a_gap(tmp_path, results):
    folder = results.runs[0].path
    widths = []
    for name, prefix in (("together", ""), ("apart", "language")):
        copy = tmp_path / name
        copy.mkdir()
        for file in folder.iterdir():
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        (copy / "predictions").mkdir()
        for file in (folder / "predictions").iterdir():
            rows = pd.read_parquet(file)
            rows["cluster"] = rows.language + rows.cluster if prefix else rows.cluster
            rows.to_parquet(copy / "predictions" / file.name)
        table = gaps(load([copy])).table
        widths.append((table.high_items - table.low_items).mean())
        assert (table.paired == (0 if prefix else 2)).all()
    assert widths[1] > 1.3 * widths[0]


def test_the_gap_sentence(results):
    sentence = gaps(results).sentence
    assert "furthest behind English in sw" in sentence
    assert "shown to be larger in sw than" in sentence


def test_without_what_is_needed_there_is_nothing(tmp_path):
    alone = load([made_run(tmp_path / "a", orders=["none", "mini-nli"], targets={"mini-tatoeba": ["de", "sw"]})])
    assert gaps(alone) is None
    assert by_language(alone) is None  # retrieval has no dev score to choose by
    two = by_language(load([made_run(tmp_path / "b", orders=ORDERS, roots=2)]))
    assert two.sentence.startswith("Too little to say")
    assert two.table.p.isna().all()
