"""What is wrong or odd in a text, a language, a lexicon or a suite: n/a or a clear error, never a silent 100 %."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
import yaml
from keeping import broken_clusters, unseen, wrong_script
from test_real_text import echo

from perturb.edits import PLAIN, Resources, make_edit
from perturb.edits.base import Text, apply
from perturb.errors import BadInput
from perturb.lexicon import Lexicon
from perturb.protect import fixed_spans
from perturb.recipes import RECIPES, build_recipe
from perturb.recipes.settings import AttackSettings
from perturb.suite import Item, SuiteSettings, prepare
from search.candidate import Candidate
from search.cli import main
from search.order import Order
from search.robustness import coverage, robust_columns, robustness
from search.scores import rows_of, table
from trainables.attacked import Attacks
from trainables.evaluate import sets_of
from trainables.examples import Example
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.perturbations import Lookup
from trainables.perturbed import Suites, evaluate_edited
from trainables.store import Store
from trainables.tasks import load_task

LEXICON = Lexicon.of([("en", "boat", "fi", "vene"), ("ar", "كتب", "en", "wrote"), ("hi", "नाव", "en", "boat")])
RESOURCES = Resources(lexicon=LEXICON, masked=(echo, "<mask>"))
NAMES = [*PLAIN, "code-mixing", "masked-lm"]

LANGUAGES = ["en", "tr", "el", "ru", "ar", "he", "hi", "ta", "th", "my", "km", "ko", "ja", "zh", "ka", "bo", "vi", "fr"]

WORDLESS = ["🙂🙃 👩‍👩‍👧‍👦 🇩🇪🇫🇷", "12 345,6 ٣٤ ४५", "", " ", "?"]

ODD = [
    *WORDLESS,
    # Lone surrogates, NUL, line breaks and other separators, a byte order mark, tags.
    "\ud800 abc \udfff", "ab\ud83d\ude00 cd", "a\0b c\0", "\0", "ab\r\ncd", "a\u2028b", "\ufeffab", "\U000e0041a",
    # Mixed direction.
    "كتب Ali رسالة إلى Sara في London", "שלום world אני here", "\u202eabc\u202c def", "नाव boat كتب",
    # What joins with the character before it, at odd places; letters in pieces; words that are the end of others.
    "e\u0301\u0302\u0303 a\u0301", " \u200c\u200cab cd ef", "a \U0001f3fb b c", "abc  \ufe0fde fg", "မ်", "\u093f क",
    "क\u094d", "ก\u0e33", "ๆ เ", "\u0e40\u0e40\u0e01", "한\u1100\u1161", "\u1100\u1161\u11a8 가", "a\u200bb c",
    # Letters of several cases, widths and characters.
    "ﷺ ﷲ", "𝒜𝒷𝒸 𝟙𝟚", "\u3164 a", "ϐ ς Σ", "ß ẞ", "İ ı i I", "ǅ ﬁ ﬀ", "1️⃣ a", "...!!!", "「」",
    "été\0thé \u200cfée", "ひらがな\0テレビ", "妈妈\ud800马上 \U0001f3fb好", "đường \u200cphố\ufe0f",
]  # fmt: skip


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_odd_texts_are_edited_whole_or_left_alone(name):
    edit = make_edit(name, RESOURCES)
    changed = 0
    for language in filter(edit.exists, LANGUAGES):
        for written in ODD:
            for given in (False, True):  # words as the task gives them, or ICU's
                plain = Text(written, language)
                spans = plain.words if given else None
                text = replace(plain, spans=spans, fixed=fixed_spans(written, language, spans))
                if given and not edit.one_to_one:
                    continue
                found = edit.replacements(text, random.Random(1), 5)
                new = apply(written, found)
                told = [*broken_clusters(text, new, found), *wrong_script(edit, text, found)]
                if found and not any("\ud800" <= c <= "\udfff" for c in written):  # tokenizers take none of those
                    told += unseen(edit, text, new)
                assert not told, f"{name} {language} {written!a} became {new!a}: {told}"
                assert new.strip() or not written.strip(), f"{name} {language}: nothing is left of {written!a}"
                assert [c for c in new if c.isnumeric()] == [c for c in written if c.isnumeric()]
                changed += bool(found)
    assert changed


def test_a_text_in_two_directions_is_changed_in_the_languages_own_words_alone():
    written = "كتب Ali رسالة إلى Sara في London"
    for name in ("keyboard", "deletion", "transposition", "lookalikes", "code-mixing", "romanisation"):
        edit = make_edit(name, RESOURCES)
        changed = 0
        for seed in range(10):
            text = Text(written, "ar", fixed=fixed_spans(written, "ar"))
            found = edit.replacements(text, random.Random(seed), 5)
            new = apply(written, found)
            changed += bool(found)
            assert all(latin in new for latin in ("Ali", "Sara", "London")), new
            places = [new.index(word) for word in ("Ali", "Sara", "London")]
            assert places == sorted(places)
        assert changed > 5


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_candidate_is_counted_as_not_attackable(name):
    edit = make_edit(name, RESOURCES)
    items = [Item(str(n), {"text": Text(text, "en", fixed=fixed_spans(text, "en"))}) for n, text in enumerate(WORDLESS)]
    cover = prepare([edit], items, [1, 5], seed=0).coverage[name]
    free = {"double-spaces": 2, "punctuation": 1}.get(name, 0)  # spaces, and a decimal comma of no script's own
    assert cover.attackable <= free, cover


# --- languages --------------------------------------------------------------------------------------------------------

UNKNOWN = ["", "klingon", "hin_Zzzz", "dv", "iu", "x y", "hi\0"]
"""No codes of languages, and languages in scripts that are not served here."""


@pytest.mark.parametrize("language", UNKNOWN)
def test_an_unknown_language_is_na_or_told(language):
    for name in NAMES:
        edit = make_edit(name, RESOURCES)
        for ask in (edit.exists, lambda code: edit.admissible(Text("abc def, ghi", code))):  # noqa: B023
            try:
                assert not ask(language), name
            except BadInput as error:
                assert error.what and error.right, name
    for name, recipe in RECIPES.items():
        try:
            assert not recipe.exists(language, RESOURCES)
        except BadInput as error:
            assert error.what, name
        with pytest.raises(BadInput):
            build_recipe(AttackSettings(recipe=name), None, language, RESOURCES)


@pytest.mark.parametrize("language", ["klingon", "dv", "qqq"])
def test_an_unknown_language_has_no_cells_and_others_keep_theirs(language):
    suite = SuiteSettings(
        name="s", edits=["keyboard", "diacritics", "lookalikes", "romanisation", "casing"],
        attacks=[AttackSettings(recipe=name) for name in ("pruthi", "textbugger-characters")],
    )  # fmt: skip
    grid = Lookup(suite, None).grid(load_task("xnli", ""), ["fr", language])
    assert set(grid["fr"]) >= {"keyboard", "diacritics", "lookalikes", "casing", "attack:pruthi"}
    if language != "qqq":  # for private use; taken to be in Latin letters
        assert grid[language] == []


def test_letters_of_another_script_than_the_languages_are_no_candidates():
    for language in ("qqq", "en", "zxx"):
        for name in ("keyboard", "deletion", "transposition", "lookalikes", "casing", "confusables", "spacing"):
            edit = make_edit(name, RESOURCES)
            assert not edit.exists(language) or not edit.admissible(Text("नाव में बैठो", language)), (language, name)


def test_a_language_that_the_lexicon_lacks_has_no_code_mixing():
    mixing = make_edit("code-mixing", RESOURCES)
    assert not mixing.exists("sw")
    assert mixing.admissible(Text("boat", "sw")) == []
    assert not RECIPES["code-mixing"].exists("sw", RESOURCES)
    with pytest.raises(BadInput, match="changes nothing in 'sw'"):
        build_recipe(AttackSettings(recipe="code-mixing"), None, "sw", RESOURCES)
    with pytest.raises(BadInput, match="the lexicon has no words of 'sw'") as told:
        make_edit("code-mixing", replace(RESOURCES, mix_into=("sw",)))
    assert told.value.right == "one of: ar, en, fi, hi"


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return Encoder(tiny_model)


def scored(tiny, folder, texts, *, queries=None):
    """Rows of a suite of two edits and an attack on pairs of these texts in English, of each label in turn."""
    import torch

    task = load_task("xnli", "")
    examples = [
        Example(f"{n}-{label}", "en", text, text, label) for n, text in enumerate(texts) for label in task.labels
    ]
    attack = AttackSettings(recipe="deepwordbug", queries=queries)
    settings = SuiteSettings(name="s", edits=["keyboard", "transposition"], attacks=[attack])
    torch.manual_seed(0)
    head = kind_of(task, tiny).head(task, tiny)
    sets = sets_of(task, {("test", "en"): examples}, tiny)
    lookup = Lookup(settings, None)
    scores, _ = evaluate_edited(tiny, task, head, sets, Suites(settings, lookup, Store(str(folder))), 64)
    attacked, items = Attacks(settings, lookup).evaluate(tiny, task, head, sets, "deepwordbug", 64)
    return [*scores, *attacked], items


def long_table(scores):
    clean = {"language": "en", "portion": "test", "metric": "accuracy", "main": True, "value": 0.4, "n": 9, "stderr": 0}
    return table(rows_of(Candidate(Order.parse("direct"), "full", 1e-3), 0, "xnli", [clean, *scores]))


def test_texts_without_candidates_are_na_and_no_100_percent(tiny, tmp_path):
    scores, items = scored(tiny, tmp_path, ["🙂🙃 👩‍👩‍👧‍👦", "12 345 ٣٤", "\0"])
    assert {row["attackability"] for row in scores} == {0.0}
    metrics = {row["metric"] for row in scores}
    assert metrics.isdisjoint({"attack_success", "robust_attackable", "clean_attackable", "undone", "words_changed"})
    assert not any(row["attackable"] for row in items)
    found = long_table(scores)
    rows = robustness(found, "test")
    assert len(rows) == 3
    assert set(rows.reason) == {"below 50% attackable"}
    assert set(coverage(found, "test").attackability) == {0.0}
    columns = robust_columns(found, "test")
    for name in ("robust_score", "robust_attackable_score", "attacked_deepwordbug", "attack_success_deepwordbug"):
        value = columns[name].iloc[0] if name in columns else None
        assert value is None or math.isnan(value), (name, value)


def test_texts_with_candidates_are_counted(tiny, tmp_path):
    scores, _ = scored(tiny, tmp_path, ["the little boat crosses rivers", "nobody wants another kitchen"])
    assert {row["attackability"] for row in scores} == {1.0}
    assert not any(robustness(long_table(scores), "test").reason)


@pytest.mark.parametrize("queries", [2, 7])
def test_an_attack_that_has_spent_its_queries_has_failed_and_says_how_many(tiny, tmp_path, queries):
    texts = ["the little boat crosses rivers", "nobody wants another kitchen", "painters love colourful gardens"]
    scores, items = scored(tiny, tmp_path, texts, queries=queries)
    tried = [row for row in items if row["clean"] > 0]
    assert len(items) == 9 and tried
    assert all(row["queries"] <= queries for row in tried)
    assert any(row["queries"] == queries for row in tried)
    told = next(row for row in scores if row["metric"] == "queries")
    assert told["value"] == sum(row["queries"] for row in tried) / len(tried) <= queries
    assert {row["queries"] for row in scores if row["perturbation"] == "attack:deepwordbug"} == {told["value"]}


# --- suites, as a user runs them --------------------------------------------------------------------------------------

PAIR = {"lang": "de-fi", "src": "Hund", "tgt": "koira"}

MISTAKES = {
    "an unknown edit": ({"edits": ["keybord"]}, ["unknown edit 'keybord'", "key 'edits'", "did you mean 'keyboard'?"]),
    "an unknown recipe": (
        {"attacks": [{"recipe": "deepwordbag"}]},
        ["there is no recipe 'deepwordbag'", "key 'attacks'", "did you mean 'deepwordbug'?"],
    ),
    "an unknown key": ({"edit": ["keyboard"]}, ["unknown key 'edit'", "did you mean 'edits'?"]),
    "no edits": ({}, ["neither edits nor attacks"]),
    "a severity of 7": ({"edits": ["keyboard"], "severities": [7]}, ["severities are distinct numbers from 1 to 5"]),
    "one query": ({"attacks": [{"recipe": "pruthi", "queries": 1}]}, ["attacks.0.queries", "greater than or equal"]),
    "more words than there are": ({"attacks": [{"recipe": "pruthi", "words": 1.5}]}, ["attacks.0.words"]),
    "no lexicon there": ({"edits": ["code-mixing"], "lexicons": "FOLDER/none"}, ["no bilingual lexicon here", "none"]),
    "no lexicon for the attack": (
        {"attacks": [{"recipe": "code-mixing"}], "lexicons": "FOLDER/none"}, ["there is no bilingual lexicon here"]
    ),
    "an empty lexicon": ({"edits": ["code-mixing"], "lexicons": "FOLDER/empty"}, ["no bilingual lexicon here"]),
    "malformed rows": (
        {"edits": ["code-mixing"], "lexicons": "FOLDER/bad"},
        ["2 malformed rows", "rows.jsonl, line 2: no 'tgt' that is a text", "rows.jsonl, line 3: no JSON"],
    ),
    "no wordnet there": ({"edits": ["synonyms"], "wordnet": "FOLDER/none"}, ["there is no wordnet here"]),
    "a language that the lexicon lacks": (
        {"edits": ["code-mixing"], "mix_into": ["xh"]}, ["the lexicon has no words of 'xh'", "one of: ar, de, en"]
    ),
    "no language to mix in": ({"edits": ["code-mixing"], "mix_into": ["x y"]}, ["the lexicon has no words of 'x y'"]),
    "edits of other languages": ({"edits": ["kana"]}, ["none of its edits and attacks exists for these"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_suite_is_told_before_anything_starts(name, tmp_path, capsys):
    for folder in ("empty", "bad"):
        (tmp_path / folder).mkdir()
    bad = [json.dumps(PAIR), json.dumps({"lang": "de-fi", "src": "Hund"}), "Hund koira"]
    (tmp_path / "bad" / "rows.jsonl").write_text("\n".join(bad), encoding="utf-8")
    content, told = MISTAKES[name]
    assert planned(tmp_path, content) == 2
    shown = capsys.readouterr().err
    assert all(part in shown for part in told), shown
    assert len(shown.splitlines()) <= 8
    assert not (tmp_path / "runs").exists()


def planned(folder, content):
    written = yaml.safe_dump({"name": "mine", **content}).replace("FOLDER", str(folder))
    (folder / "mine.yaml").write_text(written, encoding="utf-8")
    return main([
        "run", "--space", "orders", "--targets", "mini-xnli", "--languages", "en,de,hi", "--seeds", "1", "--set",
        "orders.max_length=1", "--perturbations", str(folder / "mine.yaml"), "--out", str(folder / "runs"), "--dry-run",
    ])  # fmt: skip


def test_a_suite_without_a_mistake_is_planned(tmp_path):
    assert planned(tmp_path, {"edits": ["keyboard", "code-mixing"], "attacks": [{"recipe": "deepwordbug"}]}) == 0


def test_an_unknown_suite_is_told_with_those_there_are(capsys):
    assert main(["run", "--space", "orders", "--perturbations", "standart", "--dry-run"]) == 2
    assert "did you mean 'standard'?" in capsys.readouterr().err
