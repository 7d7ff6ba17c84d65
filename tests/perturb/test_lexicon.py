"""Lexicons and wordnets: what is looked up and how it is written, and what is wrong with a folder."""

from __future__ import annotations

import gzip
import json

import pytest

from perturb.edits.base import spread
from perturb.errors import BadInput
from perturb.lexicon import Lexicon, Wordnet, folded, language_code, restored

ROWS = [
    ("en", "dog", "de", "Hund"), ("en", "dog", "ru", "собака"), ("en", "cat", "de", "Katze"),
    ("en", "cat", "tr", "kedi"), ("en", "light", "tr", "ışık"), ("en", "work", "tr", "iş"),
    ("en", "peace", "he", "שָׁלוֹם"), ("en", "book", "ar", "كِتَاب"), ("en", "water", "hi", "पानी"),
    ("en", "fast", "de", "schnell"), ("en", "fast", "de", "rasch"),
]  # fmt: skip


@pytest.fixture(scope="module")
def lexicon():
    return Lexicon.of(ROWS)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("de", "de"), ("deu", "de"), ("hin_Deva", "hi"), ("zsm", "ms"), ("arb", "ar"), ("cmn", "zh"), ("als", "sq"),
        ("fas", "fa"), ("nob", "no"), ("nno", "nn"), ("qcn", "zh_Hant"), ("zh_Hant", "zh_Hant"), ("zho_Hans", "zh"),
        ("no language", "no language"),
    ],
)  # fmt: skip
def test_one_code_for_a_language_however_it_is_given(language, code):
    assert language_code(language) == code


def test_a_pair_is_read_in_both_directions(lexicon):
    assert lexicon.translations("dog", "en") == {"de": ("Hund",), "ru": ("собака",)}
    assert lexicon.translations("собака", "ru") == {"en": ("dog",)}
    assert lexicon.translations("Hund", "de") == {"en": ("Dog",)}
    assert lexicon.translations("fast", "en") == {"de": ("schnell", "rasch")}
    assert lexicon.languages == ("ar", "de", "en", "he", "hi", "ru", "tr")
    assert lexicon.into("ru") == ("en",)
    assert lexicon.into("en") == ("ar", "de", "he", "hi", "ru", "tr")


def test_languages_are_known_by_any_code(lexicon):
    assert lexicon.translations("पानी", "hin_Deva") == {"en": ("water",)}
    assert lexicon.translations("cat", "eng")["de"] == ("Katze",)
    assert lexicon.translations("dog", "fr") == {}
    assert lexicon.translations("wolf", "en") == {}


@pytest.mark.parametrize(
    ("word", "language", "other", "found"),
    [
        ("CAT", "en", "tr", "KEDİ"), ("Cat", "en", "tr", "Kedi"), ("Work", "en", "tr", "İş"),
        ("IŞIK", "tr", "en", "LIGHT"), ("Işık", "tr", "en", "Light"), ("İŞ", "tr", "en", "WORK"),
        ("katze", "de", "en", "cat"), ("Fast", "en", "de", "Schnell"),
    ],
)  # fmt: skip
def test_case_does_not_matter_and_is_kept(lexicon, word, language, other, found):
    assert lexicon.translations(word, language)[other][0] == found


def test_points_do_not_matter_and_are_written_where_the_word_has_some(lexicon):
    assert lexicon.translations("שלום", "he") == lexicon.translations("שָׁלוֹם", "he") == {"en": ("peace",)}
    assert lexicon.translations("peace", "en")["he"] == ("שלום",)
    assert restored("כֶּלֶב", "חָתוּל", "he") == "כֶּלֶב"
    assert folded("كِتَاب", "ar") == "كتاب"
    assert folded("e\u0301tat", "fr") == folded("État", "fr") == "état"


def test_many_options_are_taken_at_even_distances():
    assert spread([3, 1, 3, 2]) == (3, 1, 2)
    found = spread(range(1000), 10)
    assert found == tuple(range(0, 1000, 100))


def write(path, rows):
    lines = "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())


def pair(lang, src, tgt):
    return {"lang": lang, "src": src, "tgt": tgt}


@pytest.mark.parametrize("inside", ["", "bli_mine"])
def test_a_folder_is_read(tmp_path, inside):
    write(tmp_path / inside / "a.jsonl", [pair("de-fi", "Hund", "koira"), "", pair("de-fi", "Baum", "puu")])
    write(tmp_path / inside / "b.jsonl.gz", [pair("fi-swe", "koira", "hund")])
    write(tmp_path / "other" / "c.jsonl", ["no lexicon, and not read"])
    assert Lexicon.read(tmp_path).translations("koira", "fi") == {"de": ("Hund",), "sv": ("hund",)}


def test_a_folder_without_a_lexicon_is_told(tmp_path):
    for read, kind in ((Lexicon.read, "bilingual lexicon"), (Wordnet.read, "wordnet")):
        for folder in (tmp_path, tmp_path / "missing"):
            with pytest.raises(BadInput, match=f"there is no {kind} here") as told:
                read(folder)
            assert told.value.where == str(folder)
            assert "a row: " in told.value.right


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ({"lang": "de-fi", "src": "Hund"}, "no 'tgt' that is a text"),
        ({"lang": "de-fi", "src": None, "tgt": "koira"}, "no 'src' that is a text"),
        (pair("de-fi", " ", "koira"), "a side is empty"),
        (pair("de-fi", "Hund", ""), "a side is empty"),
        (pair("defi", "Hund", "koira"), "not two languages"),
        (pair("de-fi-sv", "Hund", "koira"), "not two languages"),
        (pair("de-finnish", "Hund", "koira"), "'finnish' is no language code"),
        (pair("de-deu", "Hund", "Hund"), "both sides are of one language"),
        ('{"lang": "de-fi", "src": "Hund", "tgt": "koi\\ud800"}', "half a character"),
        (pair("de-fi", "Hund", "koi\0ra"), "control character"),
        ("Hund koira", "no JSON: Expecting value, column 1"),
        ("[1, 2]", "no JSON object"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_malformed_row_is_told_with_its_file_and_line(tmp_path, row, wrong):
    write(tmp_path / "rows.jsonl", [pair("de-fi", "Baum", "puu"), "", row])
    with pytest.raises(BadInput) as told:
        Lexicon.read(tmp_path)
    first, second = str(told.value).split("\n")
    assert first == "1 malformed row"
    assert second.startswith(f"{tmp_path / 'rows.jsonl'}, line 3: ")
    assert wrong in second


def test_several_malformed_rows_are_told_at_once(tmp_path):
    write(tmp_path / "a.jsonl", [pair("de-fi", "", "x")] * 4)
    write(tmp_path / "b.jsonl.gz", [pair("de-fi", "Baum", "puu"), *[pair("de-fi", "x", "")] * 3])
    with pytest.raises(BadInput) as told:
        Lexicon.read(tmp_path)
    lines = str(told.value).split("\n")
    assert lines[0] == "7 malformed rows"
    assert [line.rsplit("/", 1)[1].split(":")[0] for line in lines[1:-1]] == [
        "a.jsonl, line 1", "a.jsonl, line 2", "a.jsonl, line 3", "a.jsonl, line 4", "b.jsonl.gz, line 2",
    ]  # fmt: skip
    assert lines[-1] == "… and 2 more"


def test_malformed_entries_in_memory_are_told_by_their_number():
    with pytest.raises(BadInput, match="entry 2: a side is empty"):
        Lexicon.of([("de", "Baum", "fi", "puu"), ("de", "Hund", "fi", "")])


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"cut short" * 99)[:-20], gzip.compress(b"\xff\xfe")])
def test_a_file_that_cannot_be_read_is_told(tmp_path, data):
    (tmp_path / "rows.jsonl.gz").write_bytes(data)
    with pytest.raises(BadInput, match="the file cannot be read") as told:
        Lexicon.read(tmp_path)
    assert told.value.where == str(tmp_path / "rows.jsonl.gz")


SYNSETS = [
    {"eng": ["big", "large", "great"], "fra": ["grand"], "cmn": ["大+的", "巨大"]},
    {"eng": ["great", "superb"], "heb": ["גָּדוֹל", "עָצוּם"]},
    {"eng": ["car", "motor_car", "auto", ""], "fra": ["voiture", "auto"]},
]


def test_synonyms_stand_in_exactly_the_same_sets():
    wordnet = Wordnet(SYNSETS)
    assert wordnet.synonyms("big", "en") == ("large",)  # not great, which is superb too
    assert wordnet.synonyms("Large", "eng") == ("Big",)
    assert wordnet.synonyms("great", "en") == ()
    assert wordnet.synonyms("superb", "en") == ()
    assert wordnet.synonyms("CAR", "en") == ("AUTO",)  # not motor car, two words
    assert wordnet.synonyms("大的", "zh") == ()
    assert wordnet.synonyms("大", "zh") == ("巨大",)  # without the particle
    assert wordnet.synonyms("גדול", "he") == ("עצום",)
    assert wordnet.synonyms("house", "en") == wordnet.synonyms("big", "sv") == ()
    assert wordnet.languages == ("en", "fr", "he", "zh")


def test_a_wordnet_is_read_from_its_folder_or_the_one_above(tmp_path):
    write(
        tmp_path / "omw_synsets" / "synsets.jsonl.gz", [{"synset": str(n), "lemmas": s} for n, s in enumerate(SYNSETS)]
    )
    for folder in (tmp_path, tmp_path / "omw_synsets"):
        assert Wordnet.read(folder).synonyms("big", "en") == ("large",)


@pytest.mark.parametrize(
    "row", [{"synset": "1"}, {"lemmas": ["big"]}, {"lemmas": {"eng": "big"}}, {"lemmas": {"eng": [1]}}]
)
def test_a_malformed_synset_is_told(tmp_path, row):
    write(tmp_path / "synsets.jsonl", [{"lemmas": SYNSETS[0]}, row])
    with pytest.raises(BadInput, match=r"synsets\.jsonl, line 2: (no 'lemmas'|the lemmas of 'eng')"):
        Wordnet.read(tmp_path)


def test_the_published_lexicons_are_read(data_dir):
    lexicon = Lexicon.read(data_dir)
    assert {"de", "fi", "ka", "ko", "th", "tr", "he"} <= set(lexicon.languages)
    assert len(lexicon.languages) >= 20
    assert lexicon.translations("Hund", "de")["fi"] == ("Koira",)
    assert {"de", "en", "fi", "fr", "hr", "it", "ru", "ka"} <= set(lexicon.into("tr"))


def test_the_published_wordnet_is_read(data_dir):
    wordnet = Wordnet.read(data_dir)
    assert {"ar", "el", "eu", "fa", "fr", "he", "id", "ms", "pl", "zh", "zh_Hant"} <= set(wordnet.languages)
    assert "meurtre" in wordnet.synonyms("assassinat", "fr")
