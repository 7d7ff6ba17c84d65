"""Examples to be looked at: the same items in every language, and what is said of them is what was scored."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pandas as pd
import pytest
from exporting import TARGETS, decoder_folders, read_once, shaken, workplace

from trainables import evaluate as evaluate_module
from trainables.bench import Bench
from trainables.errors import Mistake
from trainables.shown import shown_examples
from trainables.shown_answers import Asking
from trainables.stage import PREDICTIONS
from trainables.stage_reader import StageReader
from trainables.store import Store

SUITES = {
    "first": {"name": "first", "edits": ["keyboard", "casing"], "severities": [2, 5], "examples": 12},
    "second": {
        "name": "second", "edits": ["deletion"], "severities": [4], "examples": 9,
        "attacks": [{"recipe": "deepwordbug", "queries": 24, "most": 3, "examples": 4}],
    },
}  # fmt: skip
COUNT = 3
ATTACKED = ("classification", "tagging", "retrieval")


def measures_of(stage, attack=True):
    """The stages that score the suites beside a clean one."""
    own = [("first", {"measure": "perturbations"}), ("second", {"measure": "perturbations"})]
    own += [("second", {"measure": "attack", "attack": "deepwordbug"})] if attack else []
    return [replace(stage, settings={**stage.settings, "suite": suite, **more}) for suite, more in own]


@pytest.fixture(autouse=True, scope="module")
def data_once():
    with read_once():
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_model):
    """A run of all kinds, its stages in the store; the place, and by kind the stages."""
    place = workplace(tmp_path_factory.mktemp("shown"), tiny_model, suites=SUITES)
    foreign = ("mini-tatoeba", "mini-bucc")
    place = replace(place, languages={name: ["de", "ru"] if name in foreign else ["en", "de"] for name in place.tasks})
    bench = Bench(place)
    stages = {}
    for kind, score in zip(TARGETS, shaken(bench, "full"), strict=True):
        stages[kind] = [score, *measures_of(score, attack=kind in ATTACKED)]
        for stage in stages[kind]:
            bench.run(stage)
    return place, stages


@pytest.fixture(scope="module")
def rows(world):
    place, stages = world
    return shown_examples(place, [stage for own in stages.values() for stage in own], COUNT)


def stored(place, stage):
    """A score stage's predictions of the test set, by what tells them apart."""
    table = pd.read_parquet(io.BytesIO(Store(place.store).blob(stage.key, PREDICTIONS)))
    return {
        (row["language"], row.get("perturbation", "none"), int(row.get("severity", 0)), row["id"]): row
        for row in table.to_dict("records") if row["portion"] == "test"
    }  # fmt: skip


def of_kind(rows, kind):
    return [row for row in rows if row["target"] == TARGETS[kind]]


def place_of(row):
    return row["language"], row["perturbation"], row["severity"], row["id"]


@pytest.mark.parametrize("kind", TARGETS)
def test_what_is_said_is_what_was_scored(world, rows, kind):
    """Figure by figure: clean, edited, and under the attack."""
    place, stages = world
    own = of_kind(rows, kind)
    assert own
    scored = {}
    for stage in stages[kind]:
        scored |= stored(place, stage)
    for row in own:
        before = scored[place_of(row)]
        if kind == "span" and row["perturbation"] == "none":
            continue  # there the figure is the mean of F1 and exact match; F1 is beside every edit
        if kind == "mining" and row["perturbation"] != "none":
            continue  # the others stay clean here
        if row["perturbation"].startswith("attack:"):
            assert min(row["right"], before["clean"]) == pytest.approx(before["score"], abs=1e-6)
        else:
            assert row["right"] == pytest.approx(before["score"], abs=1e-6), row
    if kind == "span":
        clean = {(row["language"], row["id"]): row["right"] for row in own if row["perturbation"] == "none"}
        edited = [row for row in own if row["perturbation"] == "keyboard"]
        assert edited
        for row in edited:
            assert clean[row["language"], row["id"]] == pytest.approx(scored[place_of(row)]["clean"])


@pytest.mark.parametrize("kind", TARGETS)
def test_words_and_figures_agree(rows, kind):
    """Where a figure is all or nothing, it says whether the words are the gold ones."""
    for row in of_kind(rows, kind):
        if kind == "tagging":
            gold, said = row["gold"].split(), row["predicted"].split()
            words = len(row["texts"]["words"].split())
            assert len(gold) == len(said) == words
            assert row["right"] == pytest.approx(sum(a == b for a, b in zip(gold, said, strict=True)) / words)
        elif kind == "span":
            assert row["predicted"] in row["texts"]["context"] or not row["changed"]
            assert (row["right"] == 1.0) or row["predicted"] not in row["gold"].split(" / ")
        else:
            assert row["right"] == float(row["gold"] == row["predicted"]), row


def test_items_are_the_same_everywhere(rows):
    """In every language, and under every perturbation."""
    for kind in TARGETS:
        own = of_kind(rows, kind)
        by_language = {}
        for row in own:
            by_language.setdefault(row["language"], {}).setdefault(row["id"], []).append(row)
        assert len(by_language) == 2
        assert len({frozenset(items) for items in by_language.values()}) == 1
        for items in by_language.values():
            assert len(items) == COUNT
            cells = [[(row["suite"], row["perturbation"], row["severity"]) for row in of] for of in items.values()]
            assert all(found == cells[0] for found in cells)
            assert cells[0][0] == ("", "none", 0)
            assert len(set(cells[0])) == len(cells[0])
            names = {name for _, name, _ in cells[0]}
            assert {"keyboard", "casing"} & names
            assert ("attack:deepwordbug" in names) == (kind in ATTACKED)


def test_texts_are_read_as_they_were_scored(world, rows):
    """What changed is said, gold answers stay in the contexts, and an attack's text is the stored one."""
    place, stages = world
    assert {row["changed"] for row in rows} == {True, False}
    for row in rows:
        if row["perturbation"] == "none":
            assert not row["changed"]
    for row in of_kind(rows, "span"):
        assert list(row["texts"]) == ["question", "context"]
        assert not row["gold"] or all(gold in row["texts"]["context"] for gold in row["gold"].split(" / "))
    for row in of_kind(rows, "choice"):
        texts = list(row["texts"].values())
        assert row["gold"] in texts[1:]
        assert row["predicted"] in texts[1:]
    attacked = [row for row in rows if row["perturbation"] == "attack:deepwordbug"]
    assert any(row["changed"] for row in attacked)
    texts = {kind: stored(place, stages[kind][-1]) for kind in ("classification", "retrieval")}
    for kind, found in texts.items():
        for row in attacked:
            if row["target"] == TARGETS[kind]:
                assert "\n".join(row["texts"].values()) == found[place_of(row)]["text"]


def test_rows_are_plain_and_the_same_again(world, rows):
    place, stages = world
    again = shown_examples(place, [stage for own in stages.values() for stage in own], COUNT)
    assert json.dumps(again, ensure_ascii=False) == json.dumps(rows, ensure_ascii=False)


def test_fewer_items_are_some_of_the_same(world, rows):
    place, stages = world
    fewer = shown_examples(place, stages["classification"], COUNT - 1, languages=["de"])
    assert {row["language"] for row in fewer} == {"de"}
    assert len({row["id"] for row in fewer}) == COUNT - 1
    assert all(row in rows for row in fewer)


def test_only_the_items_are_encoded(world, monkeypatch):
    """Of a set of 24 the model reads 3; of retrieval what is searched besides."""
    place, stages = world
    seen = []
    monkeypatch.setattr(Asking, "_encoded", _counting(Asking._encoded, seen))
    monkeypatch.setattr(evaluate_module, "sets_of", None)
    shown_examples(place, stages["span"][:1], COUNT)
    assert seen == [COUNT, COUNT]


def _counting(encode, seen):
    def counted(self, examples, asked):
        seen.append(len(examples))
        return encode(self, examples, asked)

    return counted


def test_other_measures_are_passed_over(world):
    place, stages = world
    clean = stages["retrieval"][0]
    other = replace(clean, settings={**clean.settings, "measure": "representations"})
    assert shown_examples(place, [other], COUNT) == []
    assert {row["perturbation"] for row in shown_examples(place, [clean, other], COUNT)} == {"none"}


def test_what_the_store_lacks_is_told(world, tmp_path):
    """An attack that was not run, or whose texts are gone; and weights that are gone."""
    place, stages = world
    clean, attack = stages["classification"][0], stages["classification"][-1]
    unknown = replace(attack, settings={**attack.settings, "edited": "other"})
    with pytest.raises(Mistake, match="the texts of the attack deepwordbug on 'mini-xnli' cannot be read") as told:
        shown_examples(place, [clean, unknown], COUNT)
    assert "order-search run" in told.value.right
    empty = replace(place, store=str(tmp_path))
    with pytest.raises(Mistake, match="the weights that 'mini-xnli' is scored with cannot be read") as told:
        shown_examples(empty, [clean], COUNT)
    assert str(tmp_path) in told.value.where


def test_a_decoder_is_asked_as_it_was_scored(tmp_path, tmp_path_factory, tiny_tokenizer):
    """In text form: labels by their likelihood, answers as they are generated; in context after the first draw."""
    kinds = ("classification", "span", "choice")
    path = decoder_folders(tmp_path_factory, tiny_tokenizer)["xglm"]
    place = workplace(tmp_path, path, kinds, suites=SUITES)
    place = replace(place, languages={name: ["de"] for name in place.tasks})
    bench = Bench(place)
    rule = {"icl_score": "token", "icl_max_new_tokens": 4}
    for score in shaken(bench, "full", kinds, strength=0.1):
        clean = replace(score, settings={**score.settings, **rule})
        stages = [clean, *measures_of(clean, attack=False)]
        scored = {}
        for stage in stages:
            bench.run(stage)
            scored |= stored(place, stage)
        rows = shown_examples(place, stages, COUNT)
        assert len({row["id"] for row in rows}) == COUNT
        for row in rows:
            if row["target"] != TARGETS["span"] or row["perturbation"] != "none":
                assert row["right"] == scored[place_of(row)]["score"]
            if row["target"] == TARGETS["classification"]:
                assert row["right"] == float(row["gold"] == row["predicted"])
        if clean.tasks != (TARGETS["classification"],):
            continue
        shots = {"icl_shots": 2, "icl_draws": 3, "icl_demonstrations": "target"}
        few = shown_examples(place, [replace(clean, method="icl-target", settings={**clean.settings, **shots})], 8)
        held = StageReader(place).demonstrations(replace(clean, settings={**clean.settings, **shots})).held_out
        assert few
        assert held
        assert not held & {row["id"] for row in few}
