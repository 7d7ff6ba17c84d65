"""Look-alikes and sound-alikes of one script, and kana."""

from __future__ import annotations

import unicodedata

import langcodes
import pytest
import yaml

from perturb.edits.base import Text, survives
from perturb.edits.kana import Kana
from perturb.edits.lookalikes import DATA, LookAlikes
from perturb.errors import BadInput
from perturb.script import OF_CODE, script_of, scripts, scripts_in
from perturb.segment import graphemes

EDIT = LookAlikes()
TABLES = yaml.safe_load(DATA.read_text(encoding="utf-8"))

# A word, and what it may become among others.
WORDS = [
    ("hi", "किताब", ["कीताब", "किताव"]),
    ("hi", "ज़मीन", ["जमीन", "ज़मिन"]),
    ("hi", "सड़क", ["सडक", "शड़क"]),
    ("mr", "शाळा", ["शाला", "षाळा"]),
    ("bn", "নদী", ["ণদী", "নদি"]),
    ("gu", "પાણી", ["પાની", "પાણિ"]),
    ("pa", "ਸ਼ਹਿਰ", ["ਸਹਿਰ", "ਸ਼ਹੀਰ"]),
    ("or", "ଜଳ", ["ଯଳ", "ଜଲ"]),
    ("ta", "வணக்கம்", ["வனக்கம்", "வநக்கம்"]),
    ("ta", "மழை", ["மளை", "மலை"]),
    ("te", "నీళ్ళు", ["నిళ్ళు", "ణీళ్ళు"]),
    ("kn", "ಶಾಲೆ", ["ಷಾಲೆ", "ಶಾಳೆ"]),
    ("ml", "മഴ", ["മല", "മള"]),
    ("si", "ගුණ", ["ගුන", "ගූණ"]),
    ("ar", "أمة", ["امة", "أمه"]),
    ("arz", "مدرسة", ["مدرسه"]),
    ("fa", "کتابی", ["كتابی", "کطابی"]),
    ("ur", "ہاتھ", ["ھاتھ", "ہاتہ"]),
    ("he", "כלב", ["קלב", "חלב", "כלו"]),
    ("ko", "개", ["게", "깨", "캐"]),
    ("ko", "꽃", ["꼳", "곷"]),
    ("ko", "왜", ["외", "웨"]),
    ("th", "ศาลา", ["สาลา", "ษาลา"]),
    ("th", "ใจ", ["ไจ"]),
    ("lo", "ໃຈ", ["ໄຈ"]),
    ("my", "ကျ", ["ကြ"]),
    ("my", "တိ", ["တီ"]),
    ("km", "នារី", ["ណារី", "នារិ"]),
    ("am", "ሰላም", ["ሠላም"]),
    ("hy", "օր", ["որ", "օռ"]),
    ("ka", "ხილი", ["ჰილი"]),
    ("ru", "ещё", ["еще", "ешё"]),
    ("ru", "Анна", ["Ана", "Онна"]),
    ("uk", "ґанок", ["ганок"]),
    ("kk", "қала", ["кала"]),
    ("el", "εκείνος", ["εκίνος", "εκείνως"]),
    ("en", "Friend", ["Freind"]),
    ("en", "KNIFE", ["NIFE"]),
    ("en", "happy", ["hapy"]),
    ("de", "Straße", ["Strasse"]),
    ("es", "Hola", ["Ola"]),
    ("es", "vaca", ["baca"]),
    ("fr", "été", ["èté", "étai", "éter"]),
    ("tr", "ISSIZ", ["İSSIZ", "ISIZ"]),
    ("tr", "ılık", ["ilık", "ılik"]),
    ("vi", "sữa", ["xữa", "sửa"]),
    ("pl", "morze", ["może"]),
    ("id", "aktif", ["aktip"]),
    ("zsm", "izin", ["ijin"]),
    ("ja", "シーツ", ["ツーツ", "シツ", "シーシ"]),
    ("ja", "わたしは", ["わたしわ"]),
]


@pytest.mark.parametrize(("language", "word", "some"), WORDS)
def test_the_confusions_of_a_script(language, word, some):
    assert EDIT.exists(language)
    options = EDIT.options(word, language)
    assert [o for o in some if unicodedata.normalize("NFC", o) not in options] == []
    assert len(options) == len(set(options)) <= 64
    assert options == EDIT.options(word, language)


@pytest.mark.parametrize(("language", "word"), [(language, word) for language, word, _ in WORDS])
def test_options_keep_script_clusters_and_case_and_survive(language, word):
    for option in EDIT.options(word, language):
        assert option
        assert scripts_in(option) <= set(scripts(language))
        assert survives(word, option)
        assert not any(unicodedata.category(cluster[0]).startswith("M") for cluster in graphemes(option))
        assert not any("\u1100" <= c <= "\u11ff" for c in option)  # no loose jamo
        assert option[0].isupper() == word[0].isupper()
        assert option.isupper() == word.isupper()


def test_longer_units_are_not_taken_apart():
    assert "υ" not in "".join(EDIT.options("του", "el")).replace("του", "")  # ου is one sound
    assert EDIT.options("ου", "el") == []
    assert "иод" in EDIT.options("йод", "ru")
    assert {option[0] for option in EDIT.options("йод", "ru")} == {"й", "и"}  # not е or ы with its mark
    assert "ज़़" not in "".join(EDIT.options("ज़मीन", "hi"))


def test_an_arrow_goes_one_way():
    assert "nife" in EDIT.options("knife", "en")
    assert "knight" not in EDIT.options("night", "en")
    assert "abari" in EDIT.options("habari", "sw")


def test_places_are_heeded():
    assert "Rat" in EDIT.options("Rad", "de")
    assert "Tach" not in EDIT.options("Dach", "de")
    assert "مدرسه" in EDIT.options("مدرسة", "ar")
    assert EDIT.options("ةب", "ar") == ["ةت", "ةث", "ةپ"]


def test_doubled_consonants():
    assert {"abbitare", "abittare"} <= set(EDIT.options("abitare", "it"))
    assert "aabitare" not in EDIT.options("abitare", "it")
    assert "rosa" in EDIT.options("rossa", "it")
    assert EDIT.options("baba", "sw") == []  # Swahili writes none
    assert "Ελάδα" in EDIT.options("Ελλάδα", "el")
    assert "bbaba" not in EDIT.options("baba", "nds")  # not at the start: between vowels alone
    assert "babba" in EDIT.options("baba", "nds")


def test_decomposed_words_are_read_as_composed_ones():
    decomposed = unicodedata.normalize("NFD", "개")
    assert EDIT.options(decomposed, "ko") == EDIT.options("개", "ko")
    assert EDIT.options(unicodedata.normalize("NFD", "йод"), "ru") == EDIT.options("йод", "ru")


def test_no_code_for_no_language():
    for edit in (EDIT, Kana()):
        with pytest.raises(BadInput, match="no language code"):
            edit.exists("not a language")


def test_han_alone_has_none():
    assert [language for language in ("zh", "yue", "wuu") if EDIT.exists(language)] == []
    assert EDIT.options("銀行", "zh") == []


def test_a_text_keeps_what_is_fixed_attested_and_numbered():
    text = Text("Friend believe 3rd niece", "en", fixed=((7, 14),), attested=frozenset(EDIT.options("niece", "en")))
    assert [text.text[site.start : site.end] for site in EDIT.admissible(text)] == ["Friend"]


def _units(line: str) -> list[str]:
    return [unit.strip("^$") for unit in line.replace("◌", "").replace("→", " ").replace(",", " ").split()]


def test_every_table_is_for_a_known_language_or_script_and_written_in_it():
    known = {name for names in OF_CODE.values() for name in names}
    assert set(TABLES["scripts"]) <= known
    assert {key for key in TABLES["doubles"] if key[0].isupper()} == set(TABLES["vowels"])
    for script, lines in TABLES["scripts"].items():
        for line in lines:
            found = {script_of(c) for unit in _units(line) for c in unit if unit != "∅"} - {"Common"}
            assert found == {script}, (script, line)
    for key in [*TABLES["languages"], *(key for key in TABLES["doubles"] if key[0].islower())]:
        assert langcodes.get(key).language == key
        assert langcodes.get(key).is_valid(), key


def test_every_group_of_the_table_gives_options():
    for language, lines in TABLES["languages"].items():
        for line in lines:
            for group in line.split(","):
                left, _, right = group.partition("→")
                assert left.split(), (language, line)
                assert not right or right.split(), (language, line)
                assert len(set(group.split())) == len(group.split()), (language, group)
                assert right or "∅" not in left, (language, group)


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("ひらがな", ["ヒラガナ"]),
        ("カタカナ", ["かたかな"]),
        ("食べる", ["食ベル"]),
        ("サボる", ["サボル", "さぼる"]),
        ("東京", []),
        ("コーヒー", ["こーひー"]),
    ],
)
def test_kana(word, options):
    assert Kana().options(word, "ja") == options
    assert all(len(graphemes(option)) == len(graphemes(word)) for option in options)


def test_kana_is_for_japanese():
    assert Kana().exists("ja")
    assert Kana().exists("jpn")
    assert not Kana().exists("zh")
    text = Text("ねこがすき。", "ja")
    assert Kana().admissible(text)
    assert all(survives(text.text[s.start : s.end], o) for s in Kana().admissible(text) for o in s.options)
