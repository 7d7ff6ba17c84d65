"""Suites' files and what their edits look up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import yaml

from perturb.errors import BadInput
from perturb.suite import SuiteSettings
from trainables.config import names
from trainables.data import DataSource
from trainables.errors import Mistake, Mistakes
from trainables.examples import Example
from trainables.perturbations import ATTACK, Lookup, attacks, load_suites, translations
from trainables.tasks import load_task

SHIPPED = names("perturbations")


def lookup_of(data_dir=None, masked=None, model="", **changed):
    settings = SuiteSettings(**{"name": "s", "edits": ["keyboard"], **changed})
    return Lookup(settings, data_dir and str(data_dir), masked, model)


def fill(texts, most):
    return [[] for _ in texts]


# --- files ------------------------------------------------------------------------------------------------------------


def test_every_shipped_suite_is_whole():
    assert {"standard", "severity", "stress", "controls", "attacks"} <= set(SHIPPED)
    for name in SHIPPED:
        (suite,) = load_suites([name], "--perturbations").values()
        assert suite.name == name
        assert suite.question


def test_suites_that_share_a_cell_are_not_taken_together():
    assert list(load_suites(["standard", "attacks", "stress", "controls"], "--perturbations"))
    with pytest.raises(Mistake) as mistake:
        load_suites(["standard", "severity"], "--perturbations")
    assert "could not be told apart" in str(mistake.value)
    assert "at severity 3" in str(mistake.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_suite_has_cells_on_the_mini_suite(name):
    (suite,) = load_suites([name], "").values()
    lookup = Lookup(suite, None, lambda: (fill, "<mask>"))
    for task in ("mini-xnli", "mini-tatoeba", "mini-xquad"):
        task = load_task(task, "")
        grid = lookup.grid(task, ["de", "hi"])
        assert all(cells for cells in grid.values()), task.name


def test_examples_are_cut(tmp_path):
    content = {"name": "s", "edits": ["casing"], "examples": None,
               "attacks": [{"recipe": "pruthi"}, {"recipe": "deepwordbug", "examples": 9},
                           {"recipe": "textbugger-characters", "examples": 2}]}  # fmt: skip
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    (whole,) = load_suites([str(tmp_path / "s.yaml")], "").values()
    (cut,) = load_suites([str(tmp_path / "s.yaml")], "", 4).values()
    assert whole.examples is None
    assert cut.examples == 4
    assert [attack.examples for attack in cut.attacks] == [None, 4, 2]  # the first has as many as its suite
    assert load_suites([str(tmp_path / "s.yaml")], "", 400)["s"].attacks[1].examples == 9


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    content = {"name": "s", "edits": ["casing", "keybord", "x"], "attacks": [{"recipe": "pruthy"}]}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(Mistakes) as told:
        load_suites([str(tmp_path / "s.yaml")], "--perturbations")
    said = str(told.value)
    assert all(text in said for text in ("'keybord'", "'x'", "'pruthy'", "s.yaml"))


def test_a_worker_reads_the_same_settings():
    for suite in (suite for name in SHIPPED for suite in load_suites([name], "").values()):
        again = SuiteSettings.model_validate(json.loads(json.dumps(suite.model_dump(mode="json"))))
        assert again == suite
        assert again.fingerprint("x") == suite.fingerprint("x")


# --- what is looked up ------------------------------------------------------------------------------------------------


def test_nothing_is_read_before_it_is_needed(tmp_path, monkeypatch):
    """Nor is a model asked for, where no edit wants its guesses."""
    lookup = lookup_of(tmp_path / "nowhere", lambda: pytest.fail("asked"), lexicons=str(tmp_path / "none"))
    resources = lookup.of(load_task("xnli", ""))
    assert (resources.lexicon, resources.wordnet, resources.parallel, resources.masked) == (None, None, None, None)
    assert lookup.mark(load_task("xnli", "")) == lookup.mark(load_task("mini-xnli", "")) == ""
    lookup.check("here")


def test_the_mini_suite_has_its_own_lexicon(tmp_path):
    """Whatever folder there is."""
    lookup = lookup_of(edits=["code-mixing"], lexicons=str(tmp_path / "none"))
    assert lookup.of(load_task("mini-xnli", "")).lexicon is not None
    with pytest.raises(BadInput):
        lookup.of(load_task("xnli", ""))
    assert lookup_of(edits=["code-mixing"]).of(load_task("xnli", "")).lexicon is None


def lexicon_in(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


ROW = {"src_lang": "en", "src": "dog", "tgt_lang": "de", "tgt": "Hund"}


def test_a_lexicon_of_the_data_folder(data_dir):
    task = load_task("xnli", "")
    lookup = lookup_of(data_dir, edits=["code-mixing"])
    lookup.check("--perturbations")
    grid = lookup.grid(task, ["de", "sw", "en"])
    assert grid["de"] == grid["en"] == ["code-mixing"]
    assert len(lookup.mark(task)) == 16
    assert lookup.mark(load_task("mini-xnli", "")) == ""
    assert lookup_of(data_dir).mark(task) == ""
    assert lookup_of(data_dir, edits=["synonyms"]).mark(task) not in ("", lookup.mark(task))


def test_a_missing_folder_is_told(tmp_path):
    for edit, key in (("code-mixing", "lexicons"), ("synonyms", "wordnet")):
        with pytest.raises(Mistake) as told:
            lookup_of(edits=[edit], **{key: str(tmp_path / "none")}).check("--perturbations, suite s")
        assert "none" in str(told.value)
    with pytest.raises(Mistake):  # an attack that uses it
        lookup_of(edits=[], attacks=[{"recipe": "code-mixing"}], lexicons=str(tmp_path / "none")).check("")


def test_the_mark_is_of_what_the_files_hold(tmp_path):
    task, marks = load_task("xnli", ""), []
    for rows in ([ROW], [ROW], [{**ROW, "tgt": "Köter"}]):
        lexicon_in(tmp_path / "words", rows)
        marks.append(lookup_of(edits=["code-mixing"], lexicons=str(tmp_path / "words")).mark(task))
    assert marks[0] == marks[1] != marks[2]


def test_the_model_that_guesses_is_in_the_mark():
    task = load_task("mini-xnli", "")
    marks = [lookup_of(edits=["masked-lm"], model=model).mark(task) for model in ("a", "a", "b")]
    assert marks[0] == marks[1] != marks[2]
    assert lookup_of(edits=["casing"], model="a").mark(task) == lookup_of(edits=["casing"], model="b").mark(task) == ""
    attacked = [lookup_of(edits=[], attacks=[{"recipe": "masked-lm"}], model=model).mark(task) for model in "ab"]
    assert attacked[0] != attacked[1]


def test_files_are_read_once(tmp_path, monkeypatch):
    lexicon_in(tmp_path / "words", [ROW])
    lookup, task = lookup_of(edits=["code-mixing"], lexicons=str(tmp_path / "words")), load_task("xnli", "")
    before = lookup.mark(task)
    (tmp_path / "words" / "words.jsonl").unlink()
    assert lookup.mark(task) == before


def test_masked_words_are_guessed_where_there_is_a_model():
    task = load_task("mini-xnli", "")
    assert lookup_of(edits=["masked-lm", "casing"]).grid(task, ["de"]) == {"de": ["casing"]}
    with_model = lookup_of(masked=lambda: (fill, "<mask>"), edits=["masked-lm", "casing"])
    assert with_model.grid(task, ["de"]) == {"de": ["masked-lm", "casing"]}


# --- the grid ---------------------------------------------------------------------------------------------------------


def test_the_grid_names_what_exists_in_each_language():
    lookup = lookup_of(edits=["casing", "keyboard", "kana", "word-order"], attacks=[{"recipe": "deepwordbug"},
                       {"recipe": "textattack:deepwordbug"}, {"recipe": "masked-lm"}])  # fmt: skip
    grid = lookup.grid(load_task("mini-xnli", ""), ["en", "th", "zh"])
    assert grid["en"] == ["casing", "keyboard", "word-order", f"{ATTACK}deepwordbug", f"{ATTACK}textattack:deepwordbug"]
    assert grid["th"] == ["keyboard", "word-order", f"{ATTACK}deepwordbug"]
    assert "casing" not in grid["zh"]
    assert lookup.grid(load_task("mini-pos", ""), ["en"])["en"] == ["casing", "keyboard", f"{ATTACK}deepwordbug"]
    assert "word-order" not in lookup.grid(load_task("mini-pawsx", ""), ["en"])["en"]


def test_mining_and_pairs_of_languages_have_no_attacks():
    lookup = lookup_of(attacks=[{"recipe": "deepwordbug"}])
    assert lookup.grid(load_task("mini-bucc", ""), ["de"]) == {"de": ["keyboard"]}
    assert lookup.grid(load_task("mini-pawsx-mixed", ""), ["es-ru"]) == {"es-ru": ["keyboard"]}
    resources = lookup.of(load_task("mini-bucc", ""))
    assert not attacks("deepwordbug", load_task("mini-bucc", ""), "de", resources)
    assert attacks("deepwordbug", load_task("mini-xnli", ""), "de", resources)


def test_phrases_are_mixed_where_items_are_parallel():
    """Of the mini suite's tests all are; of one language alone there are no translations."""
    task = load_task("mini-xnli", "")
    rows = DataSource(None, 6, "error").load(task, "test", ["de", "ru"])
    lookup = lookup_of(edits=["phrase-mixing"])
    assert lookup.grid(task, ["de"], rows["de"]) == {"de": []}
    both = [*rows["de"], *rows["ru"]]
    assert lookup.grid(task, ["de", "ru"], both) == {"de": ["phrase-mixing"], "ru": ["phrase-mixing"]}


def test_translations():
    examples = [
        Example("1", "en", "A dog.", "It runs."), Example("1", "de", "Ein Hund.", "Er rennt."),
        Example("2", "en", "A cat.", "It runs."), Example("3", "de", "Ein Baum."), Example("1", "ru", "Собака.", None),
    ]  # fmt: skip
    found = translations(examples)
    assert found["en", "A dog."] == {"de": "Ein Hund.", "ru": "Собака."}
    assert found["de", "Er rennt."] == {"en": "It runs."}
    assert ("de", "Ein Baum.") not in found
    assert ("en", "A cat.") not in found


def test_a_lookup_of_no_known_recipe_has_the_suites_edits():
    settings = SimpleNamespace(edits=["casing"], attacks=[SimpleNamespace(recipe="textattack:pruthi")])
    assert Lookup(settings, None).edits == ["casing"]
