"""Confusable characters of TR39."""

from __future__ import annotations

import socket
import unicodedata

import pytest

from perturb.edits.base import Text, normalised, spread
from perturb.edits.confusables import LIMIT, Confusables, confusable_with
from perturb.errors import BadInput
from perturb.script import script_of
from perturb.segment import graphemes

EDIT = Confusables()

# A word of each script, and one thing it may become.
WORDS = [
    ("en", "cat", "сat"),  # Cyrillic es
    ("ru", "сон", "cон"),  # Latin c
    ("el", "νερό", "vερό"),  # Latin v
    ("hy", "օր", "oր"),  # Latin o
    ("th", "จาน", "ຈาน"),  # Lao
    ("lo", "ບ້ານ", "บ້ານ"),  # Thai
    ("ta", "மணல்", "மണல்"),  # Malayalam
    ("ml", "മഴ", "മழ"),  # Tamil
    ("te", "లత", "ಲత"),  # Kannada
    ("kn", "ಜನ", "జನ"),  # Telugu
    ("fa", "کار", "كار"),  # Arabic kaf
    ("ar", "كتب", "کتب"),  # Persian kaf
    ("zh", "土", "士"),
]


@pytest.mark.parametrize(("language", "word", "option"), WORDS)
def test_a_letter_becomes_one_that_looks_the_same(language, word, option):
    assert EDIT.exists(language)
    assert option in EDIT.options(word, language)


@pytest.mark.parametrize(("language", "word"), [(language, word) for language, word, _ in WORDS])
def test_one_letter_changes_and_survives_in_its_cluster(language, word):
    for option in EDIT.options(word, language):
        (changed,) = [(old, new) for old, new in zip(word, option, strict=True) if old != new]
        assert normalised(changed[1]) != normalised(changed[0])
        assert unicodedata.normalize("NFKC", changed[1]) == changed[1]
        assert unicodedata.category(changed[1])[0] == "L"
        assert script_of(changed[1]) != "Other"
        assert changed[1] <= "\uffff"
        assert [len(cluster) for cluster in graphemes(option)] == [len(cluster) for cluster in graphemes(word)]


@pytest.mark.parametrize("language", ["he", "ka", "my", "bn", "pa", "km", "ko", "ja"])
def test_where_a_script_has_no_such_letters_there_is_no_such_edit(language):
    assert not EDIT.exists(language)


def test_no_code_for_no_language():
    with pytest.raises(BadInput, match="no language code"):
        EDIT.exists("xx-nothing-here")


def test_siblings_under_one_prototype_are_confusable_both_ways():
    assert "α" in confusable_with("а")  # Greek and Cyrillic: TR39 lists both under Latin a
    assert "а" in confusable_with("α")


def test_no_letter_of_the_other_direction():
    assert "ا" not in confusable_with("l")
    assert {"ہ", "ھ"} <= set(confusable_with("ه"))  # the library's table wraps these in direction marks
    assert not set(confusable_with("o")) & {"ه", "ס"}


def test_conjoining_jamo_signs_and_digits_have_none():
    assert confusable_with("\u1100") == confusable_with("ि") == confusable_with("0") == confusable_with("ab") == ()


def test_a_letter_that_would_leave_its_conjunct_stays():
    word = "ജ്ഞാനം"  # ja + virama + nya is one cluster; a Tamil ja would not join
    assert all(graphemes(option)[0][-1] == "ാ" or option[0] == "ജ" for option in EDIT.options(word, "ml"))
    assert all(len(graphemes(option)) == len(graphemes(word)) for option in EDIT.options(word, "ml"))


def test_of_many_options_as_many_are_kept_from_end_to_end():
    word = "pneumonoultramicroscopicsilicovolcanoconiosis"
    options = EDIT.options(word, "en")
    assert len(options) == len(set(options)) == LIMIT
    assert options[0][0] != "p"
    assert options[-1][:-4] == word[:-4]
    assert list(spread(["a", "b"])) == ["a", "b"]
    assert list(spread(list("abcdef"), 3)) == ["a", "c", "e"]


def test_the_same_options_each_time_in_a_text():
    text = Text("A dog came home 3 times, один раз.", "en")
    first, second = EDIT.admissible(text), EDIT.admissible(text)
    assert first == second
    assert [text.text[site.start : site.end] for site in first] == ["A", "dog", "came", "home", "times"]


def test_no_network(monkeypatch):
    def refused(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    from perturb.edits import confusables

    confusables._table.cache_clear()
    assert confusables._table()["а"] == ("a",)
