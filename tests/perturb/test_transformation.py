"""Edits as transformations, and what attacks may not do."""

from __future__ import annotations

import copy
import random
from collections import OrderedDict

import pytest

from perturb.attacked_text import ScriptText, ta
from perturb.edits.base import Edit, Site, WordEdit
from perturb.transformation import EditBudget, EditSwap, Fixed, MinLength, modifiable, words_changed


class Numbered(WordEdit):
    """A word, with some marks after it."""

    name, description, keeps = "numbered", "", "stress"

    def __init__(self, count=20):
        self.count = count

    def exists(self, language):
        return True

    def options(self, word, language):
        return [word + chr(ord("a") + number) for number in range(self.count)]


class Places(Edit):
    """Given sites."""

    name, description, keeps, one_to_one = "places", "", "stress", False

    def __init__(self, *sites):
        self.given = sites

    def exists(self, language):
        return True

    def sites(self, text):
        return self.given


def english(text, **others):
    return ScriptText(text, language="en", **others)


def texts(found):
    return [one.text for one in found]


def test_all_options_of_the_words_asked_for():
    swap = EditSwap(Numbered(3), random_one=False)
    assert texts(swap(english("one two"), indices_to_modify=[1])) == ["one twoa", "one twob", "one twoc"]
    assert len(swap(english("one two"))) == 6


def test_draws_hang_on_seed_example_and_word_alone():
    one, two = english("same words same words"), english("other words same words")
    swap = EditSwap(Numbered(), most=5)
    drawn = [texts(swap(one, indices_to_modify=[i])) for i in range(4)]
    assert all(len(found) == 5 for found in drawn)
    random.seed(1)
    assert [texts(copy.copy(swap)(one, indices_to_modify=[i])) for i in (3, 2, 1, 0)] == drawn[::-1]
    state = random.getstate()
    assert texts(EditSwap(Numbered(), most=5, seed=1)(one, indices_to_modify=[0])) != drawn[0]
    assert random.getstate() == state
    endings = [[text[-1] for text in texts(swap(source, indices_to_modify=[3]))] for source in (one, two)]
    assert endings[0] != endings[1]
    assert sum(texts(swap(one)) == [t for found in drawn for t in found] for _ in range(3)) == 3


def test_a_word_keeps_its_draws_when_words_before_it_are_cut_in_two():
    swap = EditSwap(Numbered(), most=5)
    text = english("first second third")
    before = [one.words[2] for one in swap(text, indices_to_modify=[2])]
    cut = text.replace_word_at_index(0, "fi rst")
    assert [one.words[3] for one in swap(cut, indices_to_modify=[3])] == before


def test_a_stated_example_stands_for_its_text():
    swap = EditSwap(Numbered(), most=5)
    drawn = [texts(swap(ScriptText("word", {"example": name}, language="en"))) for name in ("a", "b", "a")]
    assert drawn[0] == drawn[2] != drawn[1]


@pytest.mark.parametrize(
    ("text", "site", "index", "expected"),
    [
        ("a big old house", Site(2, 9, ["ein altes"]), 1, "a ein altes house"),  # a phrase, at its first word
        ("a big old house", Site(2, 15, ["x"]), 1, "a x"),
        ("a big, old house", Site(2, 10, ["x"]), 1, "a x house"),
        ("a big house", Site(5, 6, [""]), 1, "a bighouse"),  # the space between two, at the one before
        ("a big old one", Site(5, 6, [""]), 1, "a bigold one"),
        ("big old", Site(3, 4, [""]), 0, "bigold"),
        ("a bighouse", Site(5, 5, [" "]), 1, "a big house"),
        ("a big house", Site(0, 1, ["the one"]), 0, "the one big house"),
    ],
)
def test_sites_belong_to_their_first_word(text, site, index, expected):
    swap = EditSwap(Places(site), random_one=False)
    source = english(text)
    assert modified(swap, source) == ({index} if "," not in text else set())
    found = [one.text for one in swap(source, indices_to_modify=[index])]
    assert found == ([expected] if "," not in text else [])  # a comma inside is no word's: left alone


def modified(swap, source):
    return {i for i in range(source.num_words) if swap(source, indices_to_modify=[i])}


def test_an_edit_that_reads_on_is_asked_about_the_original():
    swap = EditSwap(Places(Site(0, 3, ["x y"]), Site(8, 13, ["three"])), random_one=False)
    source = english("one two other four")
    first = swap(source, indices_to_modify=[0])[0]
    assert first.text == "x y two other four"
    assert texts(swap(first, indices_to_modify=[3])) == ["x y two three four"]
    assert not swap(first.replace_word_at_index(3, "another"), indices_to_modify=[3])
    assert not swap(first, indices_to_modify=[0]), "the original has no such word"


def test_given_tokens_are_changed_one_to_one():
    source = ScriptText("do n't go", language="en", spans=[(0, 2), (3, 6), (7, 9)])
    assert not EditSwap(Places(Site(0, 6, ["x"])))(source)
    found = EditSwap(Numbered(2), random_one=False)(source)
    assert texts(found) == ["doa n't go", "dob n't go", "do n'ta go", "do n'tb go", "do n't goa", "do n't gob"]
    assert all(one.num_words == 3 for one in found)


def test_words_without_candidates_are_not_to_be_ordered():
    swap = EditSwap(Numbered(2))
    assert swap(english("one 2 three"), return_indices=True) == {0, 2}


def test_a_text_needs_a_language():
    with pytest.raises(ValueError, match="language"):
        EditSwap(Numbered())(ScriptText("one two"))


def test_what_is_fixed_stays():
    source = english("one two three", fixed=[(4, 7)])
    for swap in (EditSwap(Numbered(2)), EditSwap(Places(Site(0, 7, ["x"]), Site(4, 13, ["y"])))):
        assert all("two" in one.words for one in swap(source))
    assert modifiable(source) == {0, 2}
    found = EditSwap(Numbered(2))(source, pre_transformation_constraints=[Fixed()])
    assert {i for one in found for i in one.attack_attrs["modified_indices"]} == {0, 2}


def test_nothing_is_joined_to_a_word_that_may_not_change():
    swap = EditSwap(Places(Site(3, 4, [""])))
    assert texts(swap(english("one two three"))) == ["onetwo three"]
    assert not swap(english("one two three", fixed=[(4, 7)]))
    assert not swap(english("one two three").replace_word_at_index(1, "too"))


def test_fields_under_attack():
    source = ScriptText(OrderedDict(one="a b", two="c d e"), language="en", fixed={"two": [(0, 1)]})
    assert modifiable(source) == {0, 1, 3, 4}
    assert modifiable(source, "first") == {0, 1}
    assert modifiable(source, "second") == {3, 4}
    assert modifiable(english("a b"), "first") == {0, 1} and modifiable(english("a b"), "second") == set()
    assert modifiable(ta.shared.AttackedText(OrderedDict(one="a b", two="c")), "second") == {2}


def test_words_that_are_too_short():
    text = ScriptText("four six 犬 나라 मैंने नमस्कार", language="en")
    short = {text.words[i] for i in range(6)} - {text.words[i] for i in MinLength(4)(text, None)}
    assert short == {"six", "犬", "मैंने"}


def changed(text, *changes):
    for index, new in changes:
        text = text.replace_word_at_index(index, new)
    return text


def test_changed_words_are_counted_in_the_original():
    source = english("one two three four five")
    assert words_changed(source) == 0
    assert words_changed(changed(source, (0, "x"), (0, "y"))) == 1
    assert words_changed(changed(source, (0, "x y"), (2, "z"))) == 2
    assert words_changed(changed(source, (1, ""), (1, "x"))) == 2
    assert words_changed(EditSwap(Places(Site(0, 13, ["x"])))(source)[0]) == 3


@pytest.mark.parametrize(("share", "allowed"), [(0.01, 1), (0.2, 1), (0.21, 2), (1.0, 5)])
def test_the_edit_budget_is_a_share_of_the_words_that_may_change(share, allowed):
    source = english("one two three four five", fixed=[])
    steps = [source]
    for i in range(5):
        steps.append(EditSwap(Numbered(1))(steps[-1], indices_to_modify=[i])[0])
    kept = EditBudget(share).call_many(steps[1:], source)
    assert len(kept) == allowed


def test_the_edit_budget_leaves_fixed_words_out():
    source = english("one two three four five", fixed=[(0, 13)])
    two = changed(source, (3, "x"), (4, "y"))
    two.attack_attrs["last_transformation"] = EditSwap(Numbered(1))
    assert EditBudget(0.5).call_many([two], source) == [] and EditBudget(0.51)(two, source)


def test_parts_say_in_print_what_they_are():
    assert "most)" in repr(EditSwap(Numbered())) and "share):  0.5" in repr(EditBudget(0.5))
    assert "fields):  first" in repr(Fixed("first")) and "length):  4" in repr(MinLength(4))
