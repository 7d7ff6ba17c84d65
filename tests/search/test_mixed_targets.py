"""Targets of pairs in two languages in a study: what they share, what they score, where the leaderboard puts them."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from search.leaderboard import leaderboard
from search.scores import rows_of, table
from search.settings import load_settings
from search.study import Study
from search.validate import look, print_report
from trainables.bench import Bench, Workplace
from trainables.errors import Mistake

TRAIN = {"train": {"steps": 2, "target_steps": 2, "batch_size": 4}, "orders": {"max_length": 1}}
BOTH = "mini-xnli,mini-xnli-mixed"


def study_of(**flags):
    return Study(*load_settings({"targets": BOTH, "limit": 24, **flags}, TRAIN))


@pytest.fixture(scope="module")
def scored(tiny_model, tmp_path_factory):
    """The rows of the first candidate's run."""
    study = study_of(model=tiny_model)
    place = json.loads(study.workplace())
    bench = Bench(Workplace(**{**place, "store": str(tmp_path_factory.mktemp("store"))}))
    rows = []
    candidate = study.space[0]
    for stage in study.stages(candidate, 0):
        bench.run(stage)
        if stage.kind == "score":
            rows += rows_of(candidate, 0, stage.tasks[0], bench.store.record(stage.key)["scores"])
    return table(rows)


def test_the_training_stage_is_shared(tiny_model):
    study = study_of(model=tiny_model)
    stages = study.stages(study.space[0], 0)
    assert [(stage.kind, stage.tasks[0]) for stage in stages] == [
        ("train", "mini-nli"), ("score", "mini-xnli"), ("score", "mini-xnli-mixed"),
    ]  # fmt: skip
    assert stages[1].parent == stages[2].parent == stages[0].key
    alone = study_of(model=tiny_model, targets="mini-xnli")
    assert alone.stages(alone.space[0], 0) == stages[:2]


def test_the_grid_has_every_pair(tiny_model):
    study = study_of(model=tiny_model)
    assert len(study.grid["mini-xnli-mixed"]) == 36
    assert study.partial == {}
    assert study.own_training_set(study.space[0].order) == []
    study.check()


def test_pairs_may_be_chosen(tiny_model):
    study = study_of(model=tiny_model, languages="en,en-es,es-en")
    assert study.grid == {"mini-xnli": ["en"], "mini-xnli-mixed": ["en-es", "es-en"]}
    whole = study_of(model=tiny_model)
    assert study.fingerprints["score", "mini-xnli-mixed"] != whole.fingerprints["score", "mini-xnli-mixed"]
    assert study.fingerprints["train", "mini-nli"] == whole.fingerprints["train", "mini-nli"]
    with pytest.raises(Mistake, match="en-xx"):
        _ = study_of(model=tiny_model, languages="en,en-xx").grid


def test_every_pair_is_scored(scored):
    test = scored[(scored.portion == "test") & scored.main]
    mixed = test[test.target == "mini-xnli-mixed"]
    assert mixed.language.nunique() == len(mixed) == 36
    assert set(mixed.n) == {24}
    assert set(scored[scored.portion == "dev"].language) == {"en"}


def test_equal_pairs_score_as_the_language_alone(scored):
    values = scored[scored.main & scored.portion.isin(["test", "search", "report"])]
    values = values.set_index(["target", "language", "portion"])[["value", "n"]]
    for code in ("en", "es", "ru", "hi", "th", "sw"):
        for portion in ("test", "search", "report"):  # the halves hold the same items
            single = values.loc["mini-xnli", code, portion]
            assert (values.loc["mini-xnli-mixed", f"{code}-{code}", portion] == single).all()


def test_a_language_that_the_data_lack_is_told(world):
    world.task(
        "pairs-mixed", kind="classification", labels=["yes", "no"], mixed=["en", "de", "sw"], train=world.of("pairs"),
        source={"folder": {split: f"pairs/{split}" for split in ("dev", "test")}},
    )  # fmt: skip
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    study = Study(*load_settings({**flags, "targets": [world.of("pairs-mixed")]}))
    study.check()
    assert study.partial == {"pairs-mixed": "4 of 9 languages (en-en, en-de, de-en, de-de)"}


# --- the leaderboard --------------------------------------------------------------------------------------------------


def board_of(targets):
    candidate, about = Study(load_settings({})[0]).space[0], {"portion": "test", "metric": "accuracy", "main": True}
    rows = [
        row
        for target, languages in targets.items()
        for code, value in languages.items()
        for row in rows_of(
            candidate, 0, target, [{**about, "language": code, "value": value / 100, "n": 100, "stderr": 0.01}]
        )
    ]
    return leaderboard(table(rows), {}, "test").iloc[0]


MIXED = {"en-en": 80, "en-de": 70, "de-en": 60, "de-de": 72, "en-sw": 50, "sw-en": 40, "de-sw": 44, "sw-de": 42,
         "sw-sw": 58}  # fmt: skip


def test_a_pairs_figures_by_hand():
    row = board_of({"x-mixed": MIXED})
    assert row.score == pytest.approx(sum(MIXED.values()) / 9)
    assert row.family_indo_european == pytest.approx((80 + 70 + 60 + 72) / 4)
    assert row.family_niger_congo == pytest.approx(58)
    assert row.family_mixed == pytest.approx((50 + 40 + 44 + 42) / 4)
    assert (row.worst_language, row.worst_language_score) == ("sw-en", 40)
    assert row.gap_to_english == pytest.approx(80 - (sum(MIXED.values()) - 80) / 8)


def test_single_and_mixed_targets_stand_beside_each_other():
    row = board_of({"x": {"en": 90, "sw": 30}, "x-mixed": MIXED})
    assert row.score == pytest.approx((60 + sum(MIXED.values()) / 9) / 2)
    assert row.family_niger_congo == pytest.approx((30 + 58) / 2)
    assert row.family_mixed == pytest.approx(44)
    assert row.gap_to_english == pytest.approx(((90 - 30) + (80 - (sum(MIXED.values()) - 80) / 8)) / 2)
    assert row.worst_language == "sw"


# --- validate ---------------------------------------------------------------------------------------------------------


def test_validate_finds_nothing_wrong():
    report = look("mini-xnli-mixed", None, "micro", 1)
    assert report.clean
    assert {row["language"] for row in report.figures if row["split"] == "test"} > {"en-en", "sw-th"}
    assert not any("without a known family" in remark for remark in report.remarks)
    console = Console(record=True, width=120, file=io.StringIO())
    print_report(report, console)
    assert "en-es" in console.export_text()
