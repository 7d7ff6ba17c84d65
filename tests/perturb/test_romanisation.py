"""Romanisation, and homophones by pinyin."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from perturb.edits.base import Text, survives
from perturb.edits.homophones import Homophones
from perturb.edits.romanisation import Romanisation
from perturb.errors import BadInput
from perturb.script import script_of, scripts_in

EDIT = Romanisation()
HOMOPHONES = Homophones()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """All of it runs without a network, the reading of the libraries' tables too."""

    def refused(*_args, **_kwargs):
        raise OSError("the network was touched")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


WORDS = [
    ("hi", "किताब", ["kitaab", "kitab"]),
    ("mr", "पाणी", None),
    ("bn", "বাংলা", ["baanglaa", "bangla"]),
    ("ta", "தமிழ்", ["tamil"]),
    ("te", "విద్య", ["vidya"]),
    ("ml", "മല", None),
    ("gu", "પાણી", None),
    ("pa", "ਪਾਣੀ", None),
    ("ar", "سلام", ["slam"]),
    ("fa", "کتاب", ["ktab"]),
    ("ur", "کتاب", None),
    ("he", "שלום", ["shlvm"]),
    ("ko", "나라", ["nara"]),
    ("th", "ไทย", None),
    ("my", "မြန်မာ", None),
    ("ka", "თბილისი", None),
    ("hy", "Երևան", ["Yerevan"]),
    ("ru", "Привет", ["Privet"]),
    ("bg", "град", ["grad"]),
    ("uk", "Київ", ["Kyiv"]),
    ("kk", "қала", ["qala"]),
    ("el", "Ελλάδα", ["Ellada"]),
    ("am", "ሰላም", None),
    ("bo", "བོད་", ["bod"]),
    ("ja", "とうきょう", ["toukyou", "tokyo"]),
    ("ja", "ラーメン", ["raamen", "ramen"]),
    ("zh", "银行", ["yinhang"]),
    ("zh", "绿色", ["lvse"]),
]


@pytest.mark.parametrize(("language", "word", "options"), WORDS)
def test_a_word_in_latin_letters(language, word, options):
    assert EDIT.exists(language)
    found = list(EDIT.options(word, language))
    assert options is None or found == options
    assert found == list(EDIT.options(word, language))
    assert 1 <= len(found) == len(set(found)) <= 2
    for option in found:
        assert option.isalpha()
        assert scripts_in(option) == {"Latin"}
        assert survives(word, option)


def test_latin_languages_and_han_that_is_not_mandarin_have_none():
    assert [language for language in ("en", "vi", "tr", "sw", "yo", "jv", "yue", "wuu") if EDIT.exists(language)] == []
    assert EDIT.exists("sr")
    assert EDIT.exists("hin_Deva")
    assert EDIT.options("Beograd", "sr") == []


@pytest.mark.parametrize(("language", "word"), [("ja", "東京"), ("ja", "食べる"), ("ko", "三國")])
def test_han_is_not_read_as_chinese_elsewhere(language, word):
    assert EDIT.options(word, language) == []


def test_what_has_no_letters_has_none():
    assert EDIT.options("ьъ", "ru") == []
    assert EDIT.options("三百", "ko") == []


def test_in_a_text_a_tag_stays_with_its_word():
    text = Text("Мама дома 5 Google", "ru", spans=((0, 4), (5, 9), (10, 11), (12, 18)))
    assert [(site.start, site.options) for site in EDIT.admissible(text)] == [(0, ["Mama"]), (5, ["doma"])]


@pytest.mark.parametrize(
    ("language", "word", "toned", "toneless"),
    [
        ("zh", "银行", "银航", "印行"),  # yin2 hang2: hang by the word, not xing
        ("cmn", "政府", "正府", "政父"),
        ("zh_Hant", "政府", "證府", "政夫"),
    ],
)
def test_homophones_with_the_tone_before_those_without(language, word, toned, toneless):
    options = HOMOPHONES.options(word, language)
    assert options.index(toned) < options.index(toneless)
    assert len(options) == len(set(options)) <= 64
    for option in options:
        assert sum(old != new for old, new in zip(word, option, strict=True)) == 1
        assert {script_of(c) for c in option} == {"Han"}
        assert survives(word, option)


def test_homophones_are_read_in_their_word():
    assert "重青" in HOMOPHONES.options("重庆", "zh")
    assert "虫庆" in HOMOPHONES.options("重庆", "zh")  # chong2, not zhong4
    assert "众庆" not in HOMOPHONES.options("重庆", "zh")


def test_homophones_are_written_as_the_language_is():
    simplified = "".join(HOMOPHONES.options("政", "zh"))
    traditional = "".join(HOMOPHONES.options("政", "zho_Hant"))
    assert "证" in simplified
    assert "證" not in simplified
    assert "證" in traditional
    assert "证" not in traditional


def test_homophones_are_for_mandarin():
    assert [language for language in ("zh", "cmn", "zho_Hans") if not HOMOPHONES.exists(language)] == []
    assert [language for language in ("yue", "wuu", "ja", "ko", "en") if HOMOPHONES.exists(language)] == []
    assert HOMOPHONES.keeps == "stress"


def test_no_code_for_no_language():
    for edit in (EDIT, HOMOPHONES):
        with pytest.raises(BadInput, match="no language code"):
            edit.exists("not a language")


def test_what_lists_edits_does_not_load_the_tables():
    code = (
        "import sys, perturb.edits.romanisation as r, perturb.edits.homophones, perturb.edits.confusables;"
        "r.Romanisation().exists('ru');"
        "sys.exit(bool({'uroman', 'pypinyin', 'confusable_homoglyphs', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
