"""Pairs in two languages: the right sentences beside each other, the right items, and what cannot be mixed is told."""

from __future__ import annotations

import json

import datasets
import pytest

from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.languages import LANGUAGES, family, sides
from trainables.tasks import Task, load_task

SHIPPED = ("xnli-mixed", "pawsx-mixed", "mini-xnli-mixed", "mini-pawsx-mixed")
SIX = ["en", "es", "ru", "hi", "th", "sw"]
ALL_SIX = [f"{first}-{second}" for first in SIX for second in SIX]


def own(**fields):
    """A task of a test's own, in English and German."""
    given = {"name": "own", "kind": "classification", "labels": ["yes", "no"], "mixed": ["en", "de"]}
    return Task.model_validate({**given, "source": {"folder": {"dev": "dev", "test": "test"}}, **fields})


def row(number, code, **changed):
    label = ("yes", "no")[number % 2]
    return {
        "id": number,
        "lang": code,
        "text": f"{code} {number}",
        "pair": f"{code} {number}!",
        "label": label,
    } | changed


@pytest.fixture
def write(tmp_path):
    """Write the rows of a split; a source that reads them."""

    def write(rows, stem="test", **source):
        (tmp_path / f"{stem}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
        return DataSource(str(tmp_path), **source)

    return write


def rows(codes=("en", "de"), numbers=range(6)):
    return [row(number, code) for code in codes for number in numbers]


# --- the task ---------------------------------------------------------------------------------------------------------


def test_all_ordered_pairs_are_its_languages():
    assert own().languages == ["en-en", "en-de", "de-en", "de-de"]
    assert own(languages=["en-de"], extra_languages=["de-de"]).languages == ["en-de"]


def test_a_task_goes_through_json_unchanged():
    for task in (own(), own(languages=["de-en"]), load_task("xnli-mixed", "")):
        assert Task.model_validate(json.loads(task.model_dump_json())) == task


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mixed": ["en"]}, "two languages at least"), ({"mixed": ["en", "de", "en"]}, "each named once"),
        ({"mixed": ["en", "zh-Hant"]}, "has no '-'"), ({"mixed": ["en", ""]}, "has no '-'"), ({"mixed": "en"}, "list"),
        ({"mixed": [1, 2]}, "string"), ({"kind": "span"}, "not span"), ({"kind": "retrieval"}, "not retrieval"),
        ({"languages": ["en", "en-de"]}, "no pair of those in `mixed`: en;"), ({"extra_languages": ["en-fr"]}, "en-fr"),
    ],
)  # fmt: skip
def test_what_cannot_be_mixed_is_told(fields, said):
    with pytest.raises(ValueError, match=said):
        own(**fields)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_tasks_train_as_their_targets_in_one_language(name):
    mixed, single = load_task(name, ""), load_task(name.removesuffix("-mixed"), "")
    assert mixed.trained_on == single.trained_on
    assert (mixed.kind, mixed.labels, mixed.max_length) == (single.kind, single.labels, single.max_length)
    assert set(mixed.mixed) <= set(single.languages)
    assert mixed.mixed[0] == "en"


# --- families ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("en", "Indo-European"), ("sw", "Niger-Congo"), ("xx", "unknown"), ("en-hi", "Indo-European"),
        ("hi-en", "Indo-European"), ("en-en", "Indo-European"), ("en-sw", "mixed"), ("sw-en", "mixed"),
        ("sw-sw", "Niger-Congo"), ("eu-eu", "isolate"), ("en-xx", "unknown"), ("zh-Hant", "unknown"), ("", "unknown"),
    ],
)  # fmt: skip
def test_a_pairs_family_is_that_of_both(code, expected):
    assert family(code) == expected


def test_what_is_no_family_relates_nobody():
    constructed = [code for code, info in LANGUAGES.items() if info.family == "constructed"][:2]
    assert family("-".join(constructed)) == "mixed"
    assert family(f"{constructed[0]}-{constructed[0]}") == "constructed"


def test_a_language_alone_has_no_sides():
    assert (sides("en"), sides("en-ru"), sides("en-ru-sw")) == (None, ("en", "ru"), None)


# --- the mini suite ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mini-xnli", "mini-pawsx"])
def test_sentences_come_from_their_languages(name):
    source = DataSource(limit=25)
    single = source.load(load_task(name, ""), "test")
    task = load_task(f"{name}-mixed", "")
    mixed = source.load(task, "test")
    assert list(mixed) == source.languages(task, "test") == task.languages == ALL_SIX
    for code, examples in mixed.items():
        first, second = code.split("-")
        assert [e.text for e in examples] == [e.text for e in single[first]]
        assert [e.pair for e in examples] == [e.pair for e in single[second]]
        assert [(e.id, e.label, e.lang) for e in examples] == [(e.id, e.label, code) for e in single["en"]]
    assert mixed["es-ru"][0].text != mixed["ru-es"][0].text


def test_dev_and_training_stay_english():
    source = DataSource(limit=10)
    task, single = load_task("mini-xnli-mixed", ""), load_task("mini-xnli", "")
    assert source.languages(task, "dev") == ["en"]
    assert source.load(task, "dev") == source.load(single, "dev")
    assert source.load(task, "train") == source.load(single, "train")


def test_languages_are_known_without_generating(monkeypatch):
    from trainables.mini import generate

    monkeypatch.setattr(generate, "examples", None)
    assert DataSource().languages(load_task("mini-xnli-mixed", ""), "test") == ALL_SIX


def test_a_language_that_the_suite_lacks_has_no_pairs():
    task = load_task("mini-xnli-mixed", "").model_copy(update={"mixed": ["en", "eu", "es"]})
    source = DataSource(limit=5)
    assert source.languages(task, "test") == list(source.load(task, "test")) == ["en-en", "en-es", "es-en", "es-es"]


def test_some_pairs_alone_are_given():
    found = DataSource(limit=5).load(load_task("mini-xnli-mixed", ""), "test", ["ru-es", "en-en", "en"])
    assert list(found) == ["en-en", "ru-es"]


# --- a folder and the hub ---------------------------------------------------------------------------------------------


def test_items_are_joined_by_their_ids(write):
    shuffled = [row(number, "de") for number in (3, 1, 2)]
    found = write([*rows(("en",), (1, 2, 3)), *shuffled]).load(own(), "test")
    pairs = {code: [(e.id, e.text, e.pair) for e in examples] for code, examples in found.items()}
    assert pairs["en-de"] == [("1", "en 1", "de 1!"), ("2", "en 2", "de 2!"), ("3", "en 3", "de 3!")]
    assert pairs["de-en"] == [("3", "de 3", "en 3!"), ("1", "de 1", "en 1!"), ("2", "de 2", "en 2!")]
    assert pairs["de-de"] == [("3", "de 3", "de 3!"), ("1", "de 1", "de 1!"), ("2", "de 2", "de 2!")]


def test_an_item_that_one_language_lacks_is_in_no_pair_with_it(write):
    found = write([*rows(("en",), range(4)), *rows(("de",), (0, 3))]).load(own(), "test")
    assert {code: [e.id for e in examples] for code, examples in found.items()} == {
        "en-en": ["0", "1", "2", "3"], "en-de": ["0", "3"], "de-en": ["0", "3"], "de-de": ["0", "3"],
    }  # fmt: skip


def test_each_language_may_have_its_own_file(write):
    for code in ("en", "de"):
        source = write(rows((code,)), stem=f"test-{code}")
    task = own(source={"folder": {"test": "test-{lang}"}}, train="none")
    assert list(source.load(task, "test")) == ["en-en", "en-de", "de-en", "de-de"]
    before = source.fingerprint(task, {"test": ["en-de"]})
    changed = write([row(0, "de", text="other")], stem="test-de")
    assert changed.fingerprint(task, {"test": ["en-de"]}) != before


def test_limit_keeps_the_same_items_in_each_pair(write):
    found = write(rows(numbers=range(40)), limit=7).load(own(), "test")
    assert len({tuple(e.id for e in examples) for examples in found.values()}) == 1
    assert all(len(examples) == 7 for examples in found.values())


def test_two_labels_of_an_item_are_told(write):
    wrong = [*rows(), row(9, "en", label="yes"), row(9, "de", label="no")]
    with pytest.raises(Mistake, match=r"(?s)two labels: 'yes' and 'no'.*task own, languages en-de, the example '9'"):
        write(wrong).load(own(), "test")
    source = write(wrong, on_bad_row="skip")
    found = source.load(own(), "test")
    assert [len(examples) for examples in found.values()] == [7, 6, 6, 7]
    assert [skipped.where.split(", ")[1] for skipped in source.skipped] == ["languages en-de", "languages de-en"]


def test_sets_that_are_not_parallel_are_told(write):
    with pytest.raises(Mistake, match=r"(?s)no item in common.*languages en-de.*the same `id`"):
        write([*rows(("en",), (1, 2)), *rows(("de",), (3, 4))]).load(own(), "test")


def test_texts_without_a_second_sentence_are_told(write):
    alone = [{key: value for key, value in one.items() if key != "pair"} for one in rows()]
    with pytest.raises(Mistake, match=r"(?s)no second sentence.*language en.*pair: FIELD"):
        write(alone).load(own(), "test")


def test_the_fingerprint_is_of_the_pairs_that_are_read(write):
    source = write(rows(("en", "de", "fr")))
    wide = own(mixed=["en", "de", "fr"])
    assert source.fingerprint(own(), {"test": ["en-de"]}) == source.fingerprint(wide, {"test": ["en-de"]})
    assert source.fingerprint(own(), {"test": ["en-de"]}) != source.fingerprint(own(), {"test": ["de-en"]})


def test_from_the_hub(monkeypatch):
    asked = []

    def load_dataset(path, config=None, *, split, revision):
        asked.append((config, split))
        code = str(config).rpartition(".")[2]
        texts = [f"{code} {number}" for number in range(3)]
        rows = [{"sentence1": text, "sentence2": f"{text}!", "label": str(n % 2)} for n, text in enumerate(texts)]
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task = load_task("pawsx-mixed", "")
    found = DataSource().load(task, "test")
    assert len(found) == 49
    assert asked == [(f"PAWS-X.{code}", "test") for code in ("de", "en", "es", "fr", "ja", "ko", "zh")]
    assert [(e.text, e.pair, e.label) for e in found["ko-es"]][1] == ("ko 1", "es 1!", "same")
    assert list(DataSource().load(task, "dev")) == ["en"]


# --- published data ---------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("name", "pairs", "items"), [("xnli", 36, 999), ("pawsx", 49, 1000)])
def test_published_sets_are_parallel(data_dir, name, pairs, items):
    source = DataSource(str(data_dir))
    single, task = source.load(load_task(name, ""), "test"), load_task(f"{name}-mixed", "")
    mixed = source.load(task, "test")
    assert list(mixed) == task.languages
    assert [len(examples) for examples in mixed.values()] == [items] * pairs
    assert [(e.text, e.pair, e.label) for e in mixed["en-en"]] == [(e.text, e.pair, e.label) for e in single["en"]]
    spanish = {e.id: e.pair for e in single["es"]}
    assert all(e.pair == spanish[e.id] for e in mixed["en-es"])
    dev = (source.load(one, "dev", ["en"]) for one in (task, load_task(name, "")))
    assert len({json.dumps([(e.id, e.text) for e in found["en"]]) for found in dev}) == 1
