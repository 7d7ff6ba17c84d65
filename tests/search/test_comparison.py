"""Two runs compared: differences by hand, pairs where the data are the same, Welch where not, and what else differs."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from scipy import stats

from search.comparison import ALL, compare, sheet_of, to_csv, to_json
from search.results import load
from trainables.errors import Mistake

ORDERS = ["none", "mini-nli", "mini-tags", "mini-nli>mini-tags"]
TARGETS = {"mini-xnli": ["en", "de"], "mini-pos": ["en", "sw"]}


def run(folder, name, seed=0, **more):
    return made_run(folder / name, **{"orders": ORDERS, "targets": TARGETS, "roots": 4, "seed": seed, **more})


def values(path, candidate, target=None):
    """A candidate's score at each root, in percent."""
    rows = pd.read_parquet(path / "scores.parquet")
    rows = rows[(rows.portion == "test") & (rows.perturbation == "none") & (rows.candidate == candidate)]
    rows = rows if target is None else rows[rows.target == target]
    return rows.groupby(["seed", "target"]).value.mean().groupby("seed").mean() * 100


@pytest.fixture
def pair(tmp_path):
    return run(tmp_path, "a"), run(tmp_path, "b", 1)


def both(paths):
    return compare(*(load([path]) for path in paths))


def test_roots_are_paired_where_the_data_are_the_same(pair):
    found = both(pair)
    for target in (ALL, "mini-xnli", "mini-pos"):
        row = found.table[(found.table.order == "mini-tags") & (found.table.target == target)].iloc[0]
        a, b = (values(path, row.candidate, None if target == ALL else target) for path in pair)
        interval = stats.ttest_rel(b, a).confidence_interval(0.95)
        assert (row["first"], row["second"]) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
        assert row.difference == pytest.approx((b - a).mean())
        assert row.difference - row.half_width == pytest.approx(interval.low)
        assert (row.n, row.paired, row.reason) == (4, True, "")


def test_other_data_are_no_pairs(tmp_path):
    """Of one target; and so of the mean over both."""
    data = {"score mini-xnli": "other data", "score mini-pos": "data of mini-pos"}
    paths = run(tmp_path, "a"), run(tmp_path, "b", 1, data=data, roots=5)
    found = both(paths).table
    assert dict(zip(found.target, found.paired, strict=True)) == {ALL: False, "mini-xnli": False, "mini-pos": True}
    row = found[(found.order == "none") & (found.target == "mini-xnli")].iloc[0]
    a, b = (values(path, row.candidate, "mini-xnli") for path in paths)
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert row.difference - row.half_width == pytest.approx(interval.low)
    assert row.n == 9


def test_two_roots_have_no_interval(tmp_path):
    found = both((run(tmp_path, "a", roots=2), run(tmp_path, "b", 1, roots=2))).table
    assert found.half_width.isna().all()
    assert found.reason.str.contains("an interval needs 3").all()


def test_only_what_both_have_counts(tmp_path):
    """Candidates, and cells: the mean over languages is over those that both have."""
    paths = run(tmp_path, "a"), run(tmp_path, "b", 1, orders=ORDERS[:2], targets={"mini-xnli": ["en", "de", "zh"]})
    found = both(paths)
    assert set(found.table.order) == {"none", "mini-nli"}
    assert set(found.table.target) == {ALL, "mini-xnli"}
    rows = pd.read_parquet(paths[1] / "scores.parquet")
    rows = rows[(rows.portion == "test") & (rows.order == "none") & rows.language.isin(["en", "de"])]
    second = found.table[(found.table.order == "none") & (found.table.target == "mini-xnli")].iloc[0].second
    assert second == pytest.approx(rows.value.mean() * 100)
    assert found.notes[0] == "2 candidates in both, on the 2 cells (target, language) that both have"


def test_a_missing_root_is_no_pair(pair):
    rows = pd.read_parquet(pair[0] / "scores.parquet")
    lost = (rows.order == "none") & (rows.seed == 3) & (rows.language == "sw") & (rows.portion == "test")
    rows[~lost].to_parquet(pair[0] / "scores.parquet", index=False)
    found = both(pair).table
    assert found[(found.order == "none") & (found.target == ALL)].n.to_list() == [3]


def test_nothing_in_common(tmp_path):
    first = run(tmp_path, "a")
    with pytest.raises(Mistake, match="no candidate in common"):
        both((first, run(tmp_path, "b", orders=["mini-topic"])))
    with pytest.raises(Mistake, match="no target and language in common"):
        both((first, run(tmp_path, "c", targets={"mini-tatoeba": ["zh"]})))


def test_rankings_agree_as_kendall_says(pair):
    found = both(pair)
    table = found.table[found.table.target == "mini-pos"]
    (row,) = found.agreement[found.agreement.target == "mini-pos"].itertuples()
    assert row.tau == pytest.approx(stats.kendalltau(table["first"], table["second"]).statistic)
    assert row.n == 4


def test_a_run_and_itself(pair):
    found = compare(load([pair[0]]), load([pair[0]]))
    assert (found.table.difference == 0).all()
    assert found.agreement.tau.to_list() == pytest.approx([1, 1, 1])
    assert found.differences.empty
    assert "nothing else differs" in sheet_of(found).notes


def test_what_else_differs(tmp_path):
    paths = run(tmp_path, "a"), run(
        tmp_path, "b", versions={"python": "3.12.1"}, model={"name": "other", "fingerprint": "f" * 16},
        settings={"train": {"steps": 7}},
    )  # fmt: skip
    told = both(paths).differences.set_index("what")
    assert tuple(told.loc["version of python"]) == ("3.11.7", "3.12.1")
    assert told.loc["model", "second"] == "other ffffffff"
    assert told.loc["setting train.steps", "second"] == "7"
    assert set(told.index) == {"version of python", "model", "setting train.steps"}


def test_what_is_read_back(pair):
    found = both(pair)
    content = json.loads(to_json(found))
    assert len(content["rows"]) == len(found.table) == 12
    assert content["rows"][0]["difference"] == round(found.table.difference[0], 2)
    assert to_csv(found).splitlines()[0].split(",") == list(found.table.columns)
    page = sheet_of(found)
    assert {len(row) for row in page.rows} == {len(page.headings)}
    first = found.table["first"][found.table.target == ALL].to_list()
    assert first == sorted(first, reverse=True)
    assert not any(math.isnan(value) for value in first)
    assert np.isfinite(found.table.half_width.astype(float)).all()
