"""The correlation of representations with transfer: planted, by scipy, and over draws of languages."""

from __future__ import annotations

import math
import random
import statistics

import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from search.analysis.representations import COLUMNS, LEAST, MARGIN, transfer_correlation
from trainables import representations
from trainables.fertility import PORTION

LANGUAGES = ["ar", "de", "es", "fi", "fr", "hi", "id", "ru", "sw", "th"]


def rows_of(candidate, margins, values, *, seed=0, target="xnli", stage="1", layer=2):
    """Rows of a candidate: margins and scores by language."""
    about = {"candidate": candidate, "order": candidate, "method": "full", "seed": seed, "n": 9}
    margin = {"target": "tatoeba", "portion": PORTION, "metric": f"{MARGIN}{layer}", "main": False, "stage": stage}
    score = {"target": target, "portion": "test", "metric": "accuracy", "main": True, "stage": ""}
    return [
        {**about, **what, "language": code, "value": value, "perturbation": "none"}
        for what, found in ((margin, margins), (score, values))
        for code, value in found.items()
    ]


def drawn(rng, slope=1.0, languages=LANGUAGES):
    margins = {code: rng.gauss(0, 1) for code in languages}
    return margins, {code: slope * margin + rng.gauss(0, 1) for code, margin in margins.items()}


def interval(value, variance):
    half = statistics.NormalDist().inv_cdf(0.975) * math.sqrt(variance)
    return [math.tanh(math.atanh(value) + sign * half) for sign in (-1, 1)]


def test_the_names_are_those_of_the_measure():
    assert MARGIN == representations.MARGIN


def test_one_candidate_is_scipys():
    margins, values = drawn(random.Random(0))
    values["de"] = values["es"]  # a tie
    row = transfer_correlation(pd.DataFrame(rows_of("a", margins, values))).iloc[0]
    x, y = ([found[code] for code in LANGUAGES] for found in (margins, values))
    linear, ranked = pearsonr(x, y), spearmanr(x, y).statistic
    assert (row.pearson, row.spearman) == (pytest.approx(linear.statistic), pytest.approx(ranked))
    fisher = linear.confidence_interval(0.95)
    assert (row.pearson_low, row.pearson_high) == pytest.approx((fisher.low, fisher.high), abs=1e-4)
    assert [row.spearman_low, row.spearman_high] == pytest.approx(interval(ranked, 1.06 / 7), abs=1e-4)
    assert list(row[["target", "measured_on", "stage", "layer"]]) == ["xnli", "tatoeba", "1", 2]
    assert (row.candidates, row.languages) == (1, 10)


def test_candidates_are_averaged_and_do_not_narrow_the_interval():
    rng = random.Random(1)
    arms = {name: drawn(rng, slope) for name, slope in (("a", 2.0), ("b", 0.5), ("c", -0.5))}
    frame = pd.DataFrame([row for name, found in arms.items() for row in rows_of(name, *found)])
    row = transfer_correlation(frame).iloc[0]
    coefficients = [pearsonr(list(m.values()), list(v.values())).statistic for m, v in arms.values()]
    mean = statistics.fmean(coefficients)
    assert row.candidates == 3
    assert row.pearson == pytest.approx(mean)
    assert [row.pearson_low, row.pearson_high] == pytest.approx(interval(mean, 1 / 7), abs=1e-4)


def test_roots_are_averaged_first():
    """Two roots whose noise cancels: the mean margin goes with the mean score exactly, though neither root does."""
    margins = {code: float(place) for place, code in enumerate(LANGUAGES)}
    noise = {code: 3.0 * (-1) ** place for place, code in enumerate(LANGUAGES)}
    rows = []
    for seed, sign in ((0, 1), (1, -1)):
        rows += rows_of("a", margins, {code: margins[code] + sign * noise[code] for code in LANGUAGES}, seed=seed)
    lone = rows_of("a", {code: -margin for code, margin in margins.items()}, {}, seed=2)  # a root without scores
    (row,) = transfer_correlation(pd.DataFrame(rows + lone)).to_dict("records")
    assert row["pearson"] == row["pearson_low"] == row["pearson_high"] == pytest.approx(1)
    assert row["spearman"] == pytest.approx(1)


def test_each_target_stage_and_layer_has_its_row():
    rng = random.Random(2)
    rows = []
    for target, stage, layer in [("xnli", "0", 0), ("xnli", "1", 10), ("pos", "1", 2)]:
        rows += rows_of(f"{target}{stage}", *drawn(rng), target=target, stage=stage, layer=layer)
    found = transfer_correlation(pd.DataFrame(rows))
    assert found[["target", "stage", "layer"]].to_records(index=False).tolist() == [
        ("pos", "1", 2), ("xnli", "0", 0), ("xnli", "1", 10),
    ]  # fmt: skip


def test_what_does_not_count():
    """English, other portions, raw cosines, further metrics and perturbed scores change nothing."""
    margins, values = drawn(random.Random(3))
    rows = rows_of("a", margins, values)
    expected = transfer_correlation(pd.DataFrame(rows))
    score = next(row for row in rows if row["main"])
    margin = next(row for row in rows if not row["main"])
    rows += [
        score | {"language": "en", "value": 99.0},
        score | {"portion": "search", "value": 99.0},
        score | {"main": False, "value": 99.0},
        score | {"perturbation": "typo", "value": 99.0},
        margin | {"metric": "cosine_layer_2", "value": 99.0},
        margin | {"metric": "fertility", "value": 99.0},
    ]
    assert transfer_correlation(pd.DataFrame(rows)).equals(expected)
    assert transfer_correlation(pd.DataFrame(rows), "report").empty


def test_candidates_that_have_no_coefficient():
    """Constant scores, too few languages, missing values: such a candidate is left out, not counted as zero."""
    rng = random.Random(4)
    margins, values = drawn(rng)
    few = dict(list(margins.items())[: LEAST - 1])
    flat = rows_of("flat", margins, dict.fromkeys(LANGUAGES, 0.1 + 0.2))
    rest = flat + rows_of("few", few, values)
    assert transfer_correlation(pd.DataFrame(rest)).empty
    poorer = rows_of("poorer", margins, {**values, "de": math.nan})
    row = transfer_correlation(pd.DataFrame(rest + rows_of("a", margins, values) + poorer)).iloc[0]
    assert (row.candidates, row.languages) == (2, 9)
    empty = transfer_correlation(pd.DataFrame(flat).iloc[:0])
    assert list(empty.columns) == COLUMNS
    assert empty.empty


def test_a_score_that_stands_twice_is_refused():
    rows = rows_of("a", *drawn(random.Random(5)))
    with pytest.raises(ValueError, match="twice"):
        transfer_correlation(pd.DataFrame([*rows, rows[-1]]))


def test_the_interval_holds_the_truth():
    """Over draws of ten languages with a true correlation of 0.6, about 95 % of the intervals hold it."""
    rng = random.Random(6)
    draws = [rows_of(f"c{draw}", *drawn(rng, 0.75), stage=f"s{draw}") for draw in range(400)]
    frame = pd.DataFrame([row for rows in draws for row in rows])
    board = transfer_correlation(frame)
    assert len(board) == 400
    held = ((board.pearson_low < 0.6) & (board.pearson_high > 0.6)).mean()
    assert 0.92 < held < 0.98
