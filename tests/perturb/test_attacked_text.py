"""Texts under attack: TextAttack's own results, found faster, and words as ICU cuts them."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from perturb.attacked_text import AttackedText, Place, ScriptText
from perturb.segment import words

LETTERS = "abcISPLTöéßİıñ9Ωжн" + "'-_*@`O×" + " \n\t\u00a0" + ",.()[]<>!\u200b"
texts = st.text(LETTERS, max_size=40)
sentences = st.lists(st.text("abISPT'-9é", min_size=1, max_size=5), max_size=8).map(" ".join)
inputs = st.one_of(
    texts,
    sentences,
    st.tuples(texts, sentences),
    st.tuples(sentences, sentences),
    st.tuples(sentences, texts, sentences),
)
replacements = st.one_of(
    st.sampled_from(
        ["", "[UNK]", "...", "--", "two words", "' quoted", "three, more words", "<SPLIT>", "SPLIT", "我们"]
    ),
    st.text(LETTERS, max_size=8),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["replace", "delete", "after", "before", "several", "all"]), st.integers(0, 30), replacements
    ),
    max_size=6,
)


def columns(texts):
    return (
        texts if isinstance(texts, str) else OrderedDict(zip(("premise", "hypothesis", "third"), texts, strict=False))
    )


def step(text, kind, place, new):
    """The same change of a text, ours or TextAttack's."""
    count = text.num_words
    i = place % count
    if kind == "replace":
        return text.replace_word_at_index(i, new)
    if kind == "delete":
        return text.delete_word_at_index(i)
    if kind == "after":
        return text.insert_text_after_word_index(i, new)
    if kind == "before":
        return text.insert_text_before_word_index(i, new)
    if kind == "several":
        several = sorted({i, (i + 2) % count, (i + 5) % count})
        return text.replace_words_at_indices(several, [new, *text.words[: len(several) - 1]])
    return text.generate_new_attacked_text([w.upper() if n % 3 else w for n, w in enumerate(text.words)])


def same(ours, stock):
    assert ours.text == stock.text
    assert ours.tokenizer_input == stock.tokenizer_input and ours.column_labels == stock.column_labels
    assert ours.words == stock.words and ours.num_words == stock.num_words
    assert ours.words_per_input == stock.words_per_input
    assert ours.attack_attrs.keys() == stock.attack_attrs.keys()
    for name in ("modified_indices", "newly_modified_indices"):
        assert ours.attack_attrs.get(name) == stock.attack_attrs.get(name)
    assert np.array_equal(ours.attack_attrs["original_index_map"], stock.attack_attrs["original_index_map"])
    assert hash(ours) == hash(stock) and ours == stock and stock == ours
    for i in range(stock.num_words):
        assert ours.text_until_word_index(i) == stock.text_until_word_index(i)
        assert ours.text_after_word_index(i) == stock.text_after_word_index(i)
        assert ours.text_window_around_index(i, 3) == stock.text_window_around_index(i, 3)


@settings(max_examples=400)
@given(inputs, steps)
@example(("(I) SPLIT", "I T", "PLIT"), [("replace", 0, "T"), ("delete", 1, "")])
@example(("a", "...", "I"), [("replace", 1, "T")])
@example("the <SPLXIT> of it", [("replace", 1, "SPLIT")])
@example("a b c d", [("several", 0, ""), ("delete", 0, "")])
@example("我们 walk on", [("replace", 1, "ran")])
def test_random_changes_are_those_of_textattack(texts, steps):
    ours, stock = ScriptText(columns(texts)), AttackedText(columns(texts))
    same(ours, stock)
    for kind, place, new in steps:
        assume(stock.num_words > 0)
        before = copy.deepcopy(ours.attack_attrs["original_index_map"]), set(ours.attack_attrs["modified_indices"])
        parent = ours
        try:
            stock = step(stock, kind, place, new)
        except (ValueError, IndexError):  # of a word that it does not find again, or a space that is not there
            return
        ours = step(ours, kind, place, new)
        same(ours, stock)
        assert np.array_equal(parent.attack_attrs["original_index_map"], before[0])
        assert parent.attack_attrs["modified_indices"] == before[1]
        assert ours.attack_attrs["previous_attacked_text"] is parent


def test_an_index_map_that_is_shared_cannot_be_written():
    child = ScriptText("a b c").replace_word_at_index(1, "x")
    with pytest.raises(ValueError, match="read-only"):
        child.attack_attrs["original_index_map"][0] = 2


@pytest.mark.parametrize(("index", "word", "error"), [(5, "x", IndexError), (-1, "x", ValueError), (0, 3, TypeError)])
def test_what_textattack_refuses_is_refused(index, word, error):
    for kind in (AttackedText, ScriptText):
        with pytest.raises(error):
            kind("one two three four five").replace_word_at_index(index, word)


def test_nothing_is_segmented_again_for_a_changed_text(monkeypatch):
    """So that the figures of benchmarks/attack.py are the segmentation's, not luck."""
    text = ScriptText("the quick brown fox")
    assert text.words
    monkeypatch.setattr(ScriptText, "_pieces", lambda self, new: ())
    monkeypatch.setattr("perturb.attacked_text.ta.shared.utils.words_from_text", None)
    assert text.delete_word_at_index(1).delete_word_at_index(0).words == ["brown", "fox"]


REAL = {
    "hi": ("मुझे यह किताब बहुत पसंद है।", 6),
    "th": ("ฉันชอบอ่านหนังสือ", 4),
    "ja": ("私は本を読みます。", 6),
    "zh": ("我喜欢看书。", 4),
    "ta": ("எனக்கு இந்தப் புத்தகம் பிடிக்கும்", 4),
    "ar": ("كَتَبَ الوَلَدُ رِسَالَةً", 3),
    "my": ("ကျွန်တော် စာဖတ်သည်", 3),
    "en": ("I don't like (old) books, do you?", 7),
}


@pytest.mark.parametrize("language", REAL)
def test_words_are_those_of_icu_and_nothing_is_lost(language):
    sentence, count = REAL[language]
    text = ScriptText(OrderedDict(first=sentence, second=sentence), language=language)
    assert text.words == [sentence[s:e] for s, e in words(sentence, language)] * 2
    assert text.num_words >= count
    assert text.columns == [sentence, sentence]
    for i, (column, start, end) in enumerate(text.places):
        assert text.columns[column][start:end] == text.words[i]
        assert text.text_until_word_index(i) + text.words[i] + text.text_after_word_index(i) == text.text
    assert text.words_per_input[0] == text.words_per_input[1] == text.words[: text.num_words // 2]
    unchanged = text.generate_new_attacked_text(text.words)
    assert unchanged.text == text.text and unchanged.words == text.words


@settings(max_examples=150)
@given(st.sampled_from(sorted(REAL)), steps, st.booleans())
def test_words_keep_their_places_in_every_script(language, steps, twice):
    sentence, _ = REAL[language]
    text = ScriptText(OrderedDict(a=sentence, b=sentence) if twice else sentence, language=language)
    for kind, place, new in steps:
        assume(text.num_words > 0)
        parent, text = text, step(text, kind, place, new)
        if kind == "replace" and new != parent.words[place % parent.num_words]:
            i = place % parent.num_words
            parts = [part for part in new.split() if any(c.isalnum() or c == "_" for c in part)]
            assert text.words == [*parent.words[:i], *parts, *parent.words[i + 1 :]]
        for word, (column, start, end) in zip(text.words, text.places, strict=True):
            assert text.columns[column][start:end] == word
        index_map = text.attack_attrs["original_index_map"]
        assert all(i >= -1 for i in index_map) and len(text.attack_attrs["modified_indices"]) <= text.num_words


def test_a_replacement_is_one_word_however_icu_would_cut_it():
    text = ScriptText("我喜欢看书。", language="zh")
    assert text.words == ["我", "喜欢", "看书"] or len(text.words) >= 3
    changed = text.replace_word_at_index(1, "西欢")
    assert len(changed.words) == len(text.words) and changed.words[1] == "西欢"
    assert len(text.replace_word_at_index(1, "喜 欢").words) == len(text.words) + 1


def test_words_that_are_given_stay_the_words():
    spans = [(0, 3), (4, 7), (8, 9)]
    text = ScriptText("don 't. .", language="en", spans=spans)
    assert text.words == ["don", "'t.", "."]
    assert text.places == [Place(0, *span) for span in spans]
    assert text.replace_word_at_index(0, "dno").words == ["dno", "'t.", "."]


def test_fixed_words_are_followed_through_changes():
    text = ScriptText(OrderedDict(q="who saw it", p="Ann saw it there"), language="en", fixed={"p": [(0, 3), (11, 16)]})
    assert text.fixed_indices == {3, 6}
    changed = text.replace_word_at_index(4, "really saw").delete_word_at_index(0).replace_word_at_index(0, "heard of")
    assert changed.columns == ["heard of it", "Ann really saw it there"]
    assert [changed.words[i] for i in sorted(changed.fixed_indices)] == ["Ann", "there"]
    assert [changed.columns[1][s:e] for s, e in changed.fixed[1]] == ["Ann", "there"]
    assert ScriptText("a b", fixed=[(0, 1)]).fixed_indices == {0}


@pytest.mark.parametrize("fixed", [{"x": [(0, 1)]}, [(0, 1)]])
def test_spans_must_say_of_which_column_they_are(fixed):
    with pytest.raises(ValueError, match="column"):
        ScriptText(OrderedDict(a="a b", b="c"), fixed=fixed)


@pytest.mark.parametrize("sentence", ["", " ", "a", "😀 😀", "12 34", "\ud800 a", "\0", "אבג abc 123 דה"])
def test_odd_texts_are_texts(sentence):
    for language in (None, "en", "he"):
        text = ScriptText(sentence, language=language)
        assert text.text == sentence and len(text.words) == len(text.places)
        for i in range(text.num_words):
            assert text.delete_word_at_index(i).num_words == text.num_words - 1


def test_it_can_be_sent_to_another_process():
    changed = ScriptText("one two three", language="en").replace_word_at_index(1, "tow")
    again = pickle.loads(pickle.dumps(changed))  # noqa: S301
    assert again == changed and again.words == ["one", "tow", "three"] and again.places == changed.places
