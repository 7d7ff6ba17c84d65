"""What may never be changed: numbers, negations in every language, answers."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict

import pytest

from perturb.protect import fixed_spans, merged, negations, occurrences

XTREME = [
    "af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu",
    "id", "it", "ja", "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru", "sw", "ta",
    "te", "th", "tl", "tr", "ur", "vi", "yo", "zh",
]  # fmt: skip


def fixed(text, language, **given):
    return [text[start:end] for start, end in fixed_spans(text, language, **given)]


NEGATED = {
    "en": ("She didn’t see nobody.", ["didn’t", "nobody"]),
    "de": ("Er hat KEINE Zeit.", ["KEINE"]),
    "fr": ("Il n'a jamais ri.", ["n'a", "jamais"]),
    "it": ("Nessun'altra viene.", ["Nessun'altra"]),
    "cs": ("Nevidím nejlepší strom.", ["Nevidím"]),
    "fi": ("He eivät tule syömättä.", ["eivät", "syömättä"]),
    "et": ("Ta ei tule.", ["ei"]),
    "hu": ("Senkit sem látok.", ["Senkit", "sem"]),
    "tr": ("Bugün gelmiyor, sessiz.", ["gelmiyor", "sessiz"]),
    "kk": ("Ол маған келмейді.", ["келмейді"]),
    "ka": ("ის არ არის აქ.", ["არ"]),
    "ar": ("هو لَمْ يذهب", ["لَمْ"]),
    "he": ("הוּא לֹא בא", ["לֹא"]),
    "fa": ("او نمی‌داند", ["نمی‌داند"]),
    "ur": ("وہ نہیں آیا", ["نہیں"]),
    "hi": ("वह नहीं आया", ["नहीं"]),
    "mr": ("तो आला नाही", ["नाही"]),
    "bn": ("আপনি যান নি", ["নি"]),
    "ta": ("அவன் வரவில்லை", ["வரவில்லை"]),
    "te": ("అతను రాలేదు", ["రాలేదు"]),
    "ml": ("നല്ല കുട്ടി വന്നില്ല", ["വന്നില്ല"]),
    "id": ("Dia tidak datang.", ["tidak"]),
    "tl": ("Hindi siya dumating.", ["Hindi"]),
    "jv": ("Dheweke ora teka.", ["ora"]),
    "vi": ("Anh ấy kho\u0302ng đến.", ["kho\u0302ng"]),
    "th": ("เขาไม่มา", ["ไม่"]),
    "zh": ("他没有来", ["没有"]),
    "zh_Hant": ("他沒來", ["沒來"]),
    "ko": ("그는 오지 않았다.", ["않았다"]),
    "sw": ("Yeye hakuja na habari.", ["hakuja"]),
    "yo": ("Kò wá", ["Kò"]),
    "eu": ("Ez da etorri.", ["Ez"]),
    "el": ("Δεν ήρθε κανείς.", ["Δεν", "κανείς"]),
    "ru": ("Он никогда не спит.", ["никогда", "не"]),
    "uz": ("U kelmaydi, yoʻq.", ["kelmaydi", "yoʻq"]),
}


@pytest.mark.parametrize("language", NEGATED)
def test_negations_are_fixed(language):
    text, expected = NEGATED[language]
    assert fixed(text, language) == expected


def test_a_japanese_negation_is_fixed_with_the_words_it_stands_in():
    assert "".join(fixed("彼は来ませんでした。", "ja")).startswith("ませ")
    assert "ない" in fixed("食べない", "ja")
    assert fixed("彼は来ました。", "ja") == []


def test_a_burmese_negation_is_fixed():
    assert "ဘူး" in "".join(fixed("သူ မလာဘူး။", "my"))


@pytest.mark.parametrize("language", XTREME)
def test_every_language_of_xtreme_has_negations(language):
    known = negations(language)
    assert known is not None
    assert len(known.words) >= 5
    assert all(word == word.casefold() for word in known.words)


def test_codes_of_three_letters_and_rarer_scripts_are_known():
    assert negations("swh") == negations("sw")
    assert negations("zh_Hant") == negations("zh")
    assert negations("kaz_Cyrl") == negations("kk")


def test_a_language_without_a_table_has_numbers_fixed_alone():
    assert negations("wuu") is None
    assert fixed("no 12", "xh") == ["12"]


@pytest.mark.parametrize(
    ("text", "language", "numbers"),
    [
        ("In 1,000 of 3.5 cases, A4 twelve", "en", ["1,000", "3.5", "A4"]), ("१२ लोग", "hi", ["१२"]),
        ("٣٫٥ كتب", "ar", ["٣٫٥"]), ("Kapitel Ⅷ", "de", ["Ⅷ"]), ("๑๒ คน", "th", ["๑๒"]),
    ],
)  # fmt: skip
def test_words_with_a_digit_are_fixed_and_number_words_are_not(text, language, numbers):
    assert fixed(text, language) == numbers


def test_given_words_are_taken_as_they_are():
    text = "do n't stop"
    assert fixed_spans(text, "en", spans=[(0, 2), (3, 6), (7, 11)]) == ((3, 6),)


def test_given_strings_are_fixed_wherever_they_stand():
    assert occurrences("the cat, the hat", ["the", "hat", "", "dog"]) == ((0, 3), (9, 12), (13, 16))
    assert occurrences("aaaa b", ["aa"]) == ((0, 4),)
    assert fixed("I saw no red car in 1999", "en", strings=["no red", "in 19"]) == ["no red", "in 1999"]


def test_spans_are_merged_where_they_overlap():
    assert merged([(5, 9), (0, 3), (2, 4), (4, 5), (6, 7)]) == ((0, 4), (4, 5), (5, 9))
    assert merged([]) == ()


@pytest.mark.parametrize("text", ["", "a", "12", "😀", "\ud800", "\0", "…", "a\u0301" * 3])
@pytest.mark.parametrize("language", ["en", "th", "ja", "ar", "tr", "xh"])
def test_odd_texts_are_no_trouble(text, language):
    assert all(0 <= start < end <= len(text) for start, end in fixed_spans(text, language))


def test_long_texts_are_no_trouble():
    assert len(fixed_spans("不是 " * 5000, "zh")) == 5000


@pytest.mark.data
def test_negations_are_found_where_the_english_sentence_has_one(data_dir):
    """Of negated sentences at least four in five, of others at most one in seven (Burmese မ is also *she*)."""
    no = re.compile(r"\b(not|never|no|nobody|nothing|none|nowhere|cannot|without)\b|n't\b", re.IGNORECASE)
    served = {negations(language) for language in XTREME}
    found: dict[str, tuple[list[bool], list[bool]]] = defaultdict(lambda: ([], []))
    with gzip.open(data_dir / "tatoeba" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["id"] < 400 and negations(row["lang"]) in served and not re.search(r"\d", row["text"] + row["eng"]):
                negated = bool(no.search(row["eng"]))
                found[row["lang"]][not negated].append(bool(fixed_spans(row["text"], row["lang"])))
    assert len(found) >= 34
    for language, (negated, others) in found.items():
        assert sum(negated) / len(negated) >= 0.8, language
        assert sum(others) / len(others) <= 0.15, language
