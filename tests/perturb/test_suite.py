"""Suites: what is made of a language's examples hangs on nothing but the seed, the edit, the id and the text."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from perturb.edits import EDITS, PLAIN, Resources, edit_classes, make_edit
from perturb.edits.base import Replacement, Site, Text, WordEdit, apply, moved, survives
from perturb.errors import BadInput
from perturb.suite import Edited, Item, SuiteSettings, prepare

SENTENCES = [
    "The old lamp in the kitchen is brighter than the new one.",
    "Seven small boats crossed the wide river before noon.",
    "Nobody has seen the grey cat that sleeps under the table.",
    "A young doctor lent her neighbour two heavy dictionaries.",
]


class Capitals(WordEdit):
    """A word in capitals, or backwards."""

    name, description, keeps = "capitals", "for tests", "form"

    def exists(self, language):
        return language == "en"

    def options(self, word, language):
        return [word.upper(), word[::-1]]


def items(language="en", **more):
    return [Item(f"test-{n}", {"text": Text(text, language, **more)}) for n, text in enumerate(SENTENCES)]


def spelled(edited, cell, texts):
    return [apply(text, changes.get("text", ())) for text, changes in zip(texts, edited.changes[cell], strict=True)]


def test_the_order_of_examples_changes_nothing():
    edits = [Capitals(), make_edit("keyboard", Resources())]
    whole, turned = prepare(edits, items(), [1, 3], 7), prepare(edits, items()[::-1], [1, 3], 7)
    for cell, changes in whole.changes.items():
        assert changes == turned.changes[cell][::-1]
    assert prepare(edits, items()[:1], [1, 3], 7).changes["capitals", 3] == whole.changes["capitals", 3][:1]


def test_another_seed_makes_another_suite_and_the_edits_do_not_meet():
    edits = [Capitals(), make_edit("keyboard", Resources())]
    one, other = (prepare(edits, items(), [3], seed) for seed in (0, 1))
    assert one.changes["capitals", 3] != other.changes["capitals", 3]
    assert prepare(edits[:1], items(), [3], 0).changes["capitals", 3] == one.changes["capitals", 3]


def test_what_one_severity_changes_the_next_changes_alike():
    edited = prepare([Capitals()], items(), [1, 2, 3, 4, 5], 0)
    sizes = []
    for severity in (1, 2, 3, 4, 5):
        rows = [set(changes["text"]) for changes in edited.changes["capitals", severity]]
        sizes.append(sum(map(len, rows)))
        if severity > 1:
            below = [set(changes["text"]) for changes in edited.changes["capitals", severity - 1]]
            assert all(less <= more for less, more in zip(below, rows, strict=True))
    assert sizes == sorted(set(sizes))


def test_coverage_counts_words_candidates_and_texts_that_can_be_changed():
    texts = [Item("1", {"text": Text("one two 33", "en")}), Item("2", {"text": Text("44 55", "en")}),
             Item("3", {"text": Text("eins", "de")})]  # fmt: skip
    cover = prepare([Capitals()], texts, [3], 0).coverage["capitals"]
    assert (cover.examples, cover.attackable, cover.words, cover.candidates) == (3, 1, 6, 4)
    assert cover.attackability == pytest.approx(1 / 3)


def test_bytes_hold_all_of_it_and_are_the_same_each_time():
    edited = prepare([Capitals(), make_edit("spacing", Resources())], items(), [1, 5], 0)
    assert Edited.from_bytes(edited.to_bytes()) == edited
    assert edited.to_bytes() == prepare([Capitals(), make_edit("spacing", Resources())], items(), [1, 5], 0).to_bytes()


def test_fixed_characters_stand():
    fixed = prepare([Capitals()], items(fixed=((0, 20),)), [5], 0)
    for text, old in zip(spelled(fixed, ("capitals", 5), SENTENCES), SENTENCES, strict=True):
        assert text[:20] == old[:20] and text != old


def test_no_misspelling_is_another_word_but_the_case_of_a_word_may_change():
    (free,) = Capitals().admissible(Text("lamp", "en"))
    (known,) = Capitals().admissible(Text("lamp", "en", attested=frozenset({"lamp", "pmal"})))
    assert [*free.options] == ["LAMP", "pmal"]
    assert [*known.options] == ["LAMP"]


def test_the_fingerprint_is_of_what_the_texts_hang_on():
    one = SuiteSettings(name="a", edits=["keyboard"])
    assert one.fingerprint() == SuiteSettings(name="b", question="?", edits=["keyboard"]).fingerprint()
    for changed in ({"seed": 1}, {"severities": [4]}, {"edits": ["casing"]}, {"examples": 10}, {"fields": "first"}):
        assert one.model_copy(update=changed).fingerprint() != one.fingerprint()
    assert one.fingerprint("lexicon") != one.fingerprint()


@pytest.mark.parametrize(
    "wrong", [{"severities": [0]}, {"severities": [6]}, {"severities": [3, 3]}, {"severities": []},
              {"edits": ["keyboard", "keyboard"]}, {"edit": ["keyboard"]}, {"examples": 0}, {"name": "A b"},
              {"attacks": [{"recipe": "pruthi"}, {"recipe": "pruthi", "words": 0.1}]}],
)  # fmt: skip
def test_wrong_settings_are_told(wrong):
    with pytest.raises(ValidationError):
        SuiteSettings.model_validate({"name": "a", **wrong})


def test_every_edit_says_what_it_is():
    for cls in edit_classes():
        assert EDITS[cls.name].endswith(cls.__name__)
        assert cls.description
        assert cls.keeps in ("form", "meaning", "stress")
        assert not (cls.control and cls.name not in ("normal-forms", "full-width", "double-spaces"))
    with pytest.raises(BadInput) as told:
        make_edit("keybord", Resources())
    assert "keyboard" in told.value.right


@pytest.mark.parametrize("name", PLAIN)
def test_without_a_site_nothing_changes(name):
    edit = make_edit(name, Resources())
    for text in ("", " ", "7", "😀😀", "\0", "\ud800", "..."):
        found = edit.perturb(Text(text, "en", fixed=((0, len(text)),)), random.Random(0), 5)
        assert found == text


def test_positions_move_with_what_stands_before_them():
    replacements = [Replacement(0, 3, "A"), Replacement(5, 5, "--"), Replacement(9, 12, "")]
    text = "one two three"
    assert apply(text, replacements) == "A t--wo te"
    for place in (4, 8, 12):
        assert apply(text, replacements)[moved(place, replacements)] == text[place]


def test_what_the_normaliser_undoes_does_not_survive():
    assert not survives("fi", "ﬁ")
    assert not survives("a b", "a  b")
    assert survives("ab", "a b")
    assert survives("cat", "сat")
    assert list(Capitals().sites(Text("ab 1", "en"))) == [Site(0, 2, ("AB", "ba"))]
