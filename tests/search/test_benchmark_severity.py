"""The benchmark of severities: means over families, trends by item, Holm, edit rates."""

import random

import pandas as pd
import pytest

from benchmarks.severity import (
    Trend,
    chance,
    changed_characters,
    distance,
    holm,
    over_families,
    rate_table,
    rises,
    trend,
    trend_tables,
)
from perturb.edits.base import Replacement
from trainables.examples import Example
from trainables.tasks import load_task

SEVERITIES = range(1, 6)


def rows(fall: float, languages: tuple[str, ...] = ("de", "en", "fi"), items: int = 40) -> pd.DataFrame:
    """Right or wrong answers of two models; the share of right ones falls by so much a severity."""
    rng = random.Random(f"{fall}")
    return pd.DataFrame([
        {"language": language, "id": f"item-{item}", "seed": seed, "severity": severity,
         "score": float(rng.random() < 0.8 - fall * (severity - 1))}
        for language in languages for item in range(items) for seed in (0, 1) for severity in SEVERITIES
    ])  # fmt: skip


def values(found: dict[tuple[str, str], float]) -> pd.Series:
    return pd.Series(found.values(), index=pd.MultiIndex.from_tuples(found, names=["language", "id"]))


def test_families_count_alike_whatever_languages_they_have():
    found = over_families(values({
        ("de", "a"): 0.0, ("de", "b"): 1.0, ("en", "a"): 1.0, ("en", "b"): 1.0, ("fi", "a"): 0.0, ("fi", "b"): 0.0,
    }))  # fmt: skip
    assert found.value == pytest.approx(((0.5 + 1.0) / 2 + 0.0) / 2)
    assert found.clusters == 2


def test_the_error_is_that_of_items_and_not_of_their_translations():
    alone = {("de", str(item)): float(item % 3 == 0) for item in range(30)}
    once = over_families(values(alone))
    spread = pd.Series(alone.values())
    assert once.error == pytest.approx(spread.std(ddof=0) / 29**0.5)
    twice = over_families(values(alone | {("fi", item): figure for (_, item), figure in alone.items()}))
    assert twice.error == pytest.approx(once.error)  # the same items again say nothing new
    other = over_families(values(alone | {("fi", f"{item} of fi"): figure for (_, item), figure in alone.items()}))
    assert other.error < 0.8 * once.error


def test_a_trend_is_found_where_there_is_one():
    falling, flat = trend("t", "e", rows(0.1)), trend("t", "e", rows(0.0))
    assert falling.slope.value == pytest.approx(-0.1, abs=0.02)
    assert falling.figures[0] > falling.figures[4] + 0.3
    assert falling.slope.below_zero < 1e-6 < 0.01 < flat.slope.below_zero
    low, high = flat.slope.interval
    assert low < 0 < high


def test_a_slope_that_does_not_vary_is_told_by_its_sign():
    same = [{"language": "de", "id": str(i), "severity": s, "score": 1.0} for i in range(3) for s in SEVERITIES]
    assert trend("t", "e", pd.DataFrame(same)).slope.below_zero == 1.0


def test_trends_that_are_not_tested_stand_apart():
    falling, flat = trend("t", "keyboard", rows(0.1)), trend("t", "casing", rows(0.0))
    lines = list(trend_tables([falling, flat], [Trend("t", "kana", 1, flat.figures, flat.slope)]))
    told = {
        line.split(" | ")[1]: line.split(" | ")[-1].removesuffix(" |") for line in lines if line.startswith("| t |")
    }
    assert told == {"keyboard": "yes", "casing": "NO", "kana": "not tested"}
    assert lines[-1] == "2 tested, 1 fall; not shown to fall: casing (t)"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("one", "other", "apart"), [("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2), ("x", "x", 0)]
)
def test_distance(one, other, apart):
    assert distance(one, other) == distance(other, one) == apart


def test_edit_rates_are_by_hundred_and_must_rise_in_both():
    assert changed_characters("a word", Replacement(2, 6, "wrd")) == 1
    about = {"target": "t", "language": "de", "words": 50, "length": 200}
    found = pd.DataFrame([
        {**about, "edit": edit, "severity": severity, "edits": edits, "changed": changed}
        for edit, counts in {"up": [(5, 8), (6, 9)], "flat": [(5, 8), (6, 8)]}.items()
        for severity, (edits, changed) in enumerate(counts, 1)
    ])  # fmt: skip
    lines = list(rate_table(found))
    assert lines[-2:] == [
        "| up | 10.0 (4.0) | 12.0 (4.5) | yes | 1 of 1 |",
        "| flat | 10.0 (4.0) | 12.0 (4.0) | NO | 0 of 1 |",
    ]
    assert not rises([1.0, 1.0])


def test_chance():
    assert chance(load_task("xnli", "--task"), []) == pytest.approx(1 / 3)
    tagged = [
        Example("1", "de", words=("a", "b", "c"), tags=("NOUN", "NOUN", "VERB")),
        Example("2", "de", tags=("VERB",)),
    ]
    assert chance(load_task("udpos", "--task"), tagged) == 0.5
    assert chance(load_task("tatoeba", "--task"), tagged) == 0.5
    assert chance(load_task("xquad", "--task"), tagged) == 0.0
