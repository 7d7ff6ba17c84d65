"""Spaces, invisible characters, negative controls, and words that move, go or come twice."""

from __future__ import annotations

import random
import unicodedata

import pytest
from test_marks import HOSTILE, SENTENCES, check_severities, check_sites, edit, options

from perturb.edits.base import Text, apply, normalised
from perturb.edits.controls import DoubleSpaces, FullWidth, NormalForms
from perturb.edits.invisible import PLAIN, SHAPING, Invisible
from perturb.edits.order import DoubledWords, DroppedWords, WordOrder
from perturb.edits.spacing import Spacing, cuts
from perturb.protect import fixed_spans
from perturb.segment import graphemes

CONTROLS = ["normal-forms", "full-width", "double-spaces"]
STRESS = ["word-order", "dropped-words", "doubled-words"]
OURS = ["spacing", "invisible", *CONTROLS, *STRESS]


def once(edit, text, language):
    """The texts that come of one change each."""
    sites = edit.admissible(Text(text, language))
    return [text[:start] + new + text[end:] for start, end, found in sites for new in found]


@pytest.mark.parametrize("name", OURS)
def test_sites_are_well_formed_in_every_script(name):
    for language, sentence in SENTENCES.items():
        if edit(name).exists(language):
            check_sites(edit(name), Text(sentence, language))
            assert edit(name).admissible(Text(sentence, language)) or name in CONTROLS


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_raised_on_hostile_texts(name, text):
    for language in ("fr", "ar", "th", "zh", "hi", "ko", "my"):
        if edit(name).exists(language):
            check_sites(edit(name), Text(text, language))
            edit(name).perturb(text, random.Random(1), 5, language)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("language", ["de", "ko"])
def test_more_changes_with_severity(name, language):
    sentence = SENTENCES[language] + (" ABC" if name == "full-width" else "")
    check_severities(edit(name), Text(" ".join([sentence] * 20), language))


@pytest.mark.parametrize("name", [*OURS[:2], *STRESS])
def test_they_are_for_every_language(name):
    assert all(edit(name).exists(language) for language in SENTENCES)


# ---- spaces


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "an old cat", ["a n old cat", "anold cat", "an o ld cat", "an ol d cat", "an oldcat", "an old c at",
                              "an old ca t"]),
        ("ru", "я тут", ["ятут", "я т ут", "я ту т"]),
        ("hi", "क्षत्रिय गया", ["क्ष त्रिय गया", "क्षत्रि य गया", "क्षत्रियगया", "क्षत्रिय ग या"]),
        ("ta", "தமிழ்", ["த மிழ்", "தமி ழ்"]),
        ("ko", "학교에 간다", ["학 교에 간다", "학교 에 간다", "학교에간다", "학교에 간 다"]),
        ("ar", "قال لي", ["ق ال لي", "قا ل لي", "قاللي", "قال ل ي"]),
        ("zh", "北京大学", ["北 京大学", "北京 大学", "北京大 学"]),
        ("th", "เด็กกินข้าว", ["เด็ กกินข้าว", "เด็ก กินข้าว", "เด็กกิ นข้าว", "เด็กกิน ข้าว", "เด็กกินข้า ว"]),
    ],
)  # fmt: skip
def test_words_are_joined_and_split(language, text, expected):
    assert once(Spacing(), text, language) == expected


def test_what_belongs_together_is_not_parted():
    assert cuts("ಕ್ಷಮೆ") == [3]  # Kannada: the conjunct, two clusters of Unicode's, is one to a reader
    assert cuts("เก่า") == []  # Thai: vowels before and after the consonant
    assert cuts("ကောင်း") == []  # Burmese: a syllable with its final consonant and its tone
    assert cuts("မြန်မာ") == [4]
    assert cuts("அம்மா") == [1, 3] and cuts("பக்ஷி") == [1]  # Tamil: the dot stacks nothing but kṣa
    assert cuts("ක්\u200dරම") == [4]  # Sinhala: a joiner makes the conjunct
    assert cuts("e\u0301te\u0301") == [2, 3]
    assert len(cuts("a" * 500)) == 64 and cuts("a" * 500)[-1] > 450


def test_clusters_do_not_melt_where_words_are_joined():
    assert "अर्थात्कमल" not in once(Spacing(), "अर्थात् कमल", "hi")


def test_numbers_lines_and_fixed_words_are_not_joined():
    assert once(Spacing(), "5 a\na", "en") == []
    text = Text("a b c d", "en", fixed=((2, 3),))
    assert [(site.start, site.end) for site in Spacing().admissible(text)] == [(5, 6)]


def test_no_other_word_comes_of_a_space():
    known = frozenset({"into", "in", "to", "an", "other"})
    assert options(Spacing(), "in to", "en", attested=known) == {"in": ["i n"], "to": ["t o"]}
    assert "an other" not in options(Spacing(), "another", "en", attested=known)["another"]


# ---- invisible characters


def test_invisible_characters_stand_between_clusters():
    assert options(Invisible(), "été", "fr") == {
        "été": [f"{a}{mark}{b}" for a, b in (("é", "té"), ("ét", "é")) for mark in (*PLAIN, *SHAPING)]
    }
    assert options(Invisible(), "가", "ko") == {}
    assert len(options(Invisible(), "a" * 99, "en")["a" * 99]) == 64


@pytest.mark.parametrize("language", ["ar", "fa", "ur", "hi", "bn", "ta", "te", "ml", "gu", "pa", "km", "my"])
def test_no_joiner_where_letters_join(language):
    found = once(Invisible(), SENTENCES[language], language)
    inserted = {c for text in found for c in text} - set(SENTENCES[language])
    assert inserted == set(PLAIN)


def test_what_is_seen_stays():
    for language, sentence in SENTENCES.items():
        for text in once(Invisible(), sentence, language)[::7]:
            assert "".join(c for c in text if c not in {*PLAIN, *SHAPING}) == sentence
            pieces = [c for c in graphemes(text) if c not in PLAIN]  # a joiner or a selector is part of a cluster
            assert [c.rstrip("".join(SHAPING)) for c in pieces] == graphemes(sentence)


def test_zero_width_spaces_are_none_of_them():
    assert not {"\u200b", "\u200c", "\ufeff"} & {*PLAIN, *SHAPING}  # the normaliser makes a space of these


# ---- controls


@pytest.mark.parametrize("name", CONTROLS)
def test_the_normaliser_undoes_controls_in_every_script(name):
    control = edit(name)
    assert control.control and control.keeps == "form"
    changed = 0
    for language, sentence in SENTENCES.items():
        for form in ("NFC", "NFD"):
            text = unicodedata.normalize(form, sentence) + " OK 42 e\u0301\u0323."
            if control.exists(language):
                new = apply(text, control.replacements(Text(text, language), random.Random(2), 5))
                assert normalised(new) == normalised(text)
                changed += new != text
    assert changed >= {"normal-forms": 30, "full-width": 20, "double-spaces": 60}[name]


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("fr", "été", ["e\u0301te\u0301"]),
        ("fr", "e\u0301te\u0301", ["été"]),
        ("fr", "e\u0301\u0323te\u0301", ["e\u0301\u0323té"]),  # marks in no canonical order: it does not reorder
        ("ko", "한", ["\u1112\u1161\u11ab"]),
        ("ja", "が", ["か\u3099"]),
        ("ta", "மொழி", ["ம\u0bc6\u0bbeழி"]),
        ("hi", "\u095c", ["\u0921\u093c"]),  # its nukta never composes, so there is no way back
    ],
)
def test_normal_forms(language, word, expected):
    assert options(NormalForms(), word, language) == {word: expected}


def test_full_width():
    assert options(FullWidth(), "Ab é 42", "fr") == {"Ab": ["Ａｂ"], "42": ["４２"]}
    assert options(FullWidth(), "e\u0301a", "fr") == {"e\u0301a": ["e\u0301ａ"]}  # a letter with a mark stays
    assert FullWidth().exists("ja") and not FullWidth().exists("hi")


def test_double_spaces():
    assert once(DoubleSpaces(), "a b  c\nd ", "en") == ["a  b  c\nd "]
    assert DoubleSpaces().exists("th") and DoubleSpaces().exists("ko") and not DoubleSpaces().exists("zh")


# ---- order


@pytest.mark.parametrize("name", STRESS)
def test_nothing_is_claimed_of_order(name):
    assert (edit(name).keeps, edit(name).one_to_one, edit(name).order_matters) == ("stress", False, True)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "we eat warm bread, now.", ["eat we warm bread, now.", "we eat bread warm, now."]),
        ("th", "เด็กกินข้าว น้ำ", ["กินเด็กข้าว น้ำ", "เด็กกินน้ำ ข้าว"]),
        ("ja", "東京へ行く", ["へ東京行く"]),
        ("ko", "학교에 간다", ["간다 학교에"]),
        ("en", "no no", []),
        ("en", "one\ntwo", []),
    ],
)
def test_neighbours_change_places(language, text, expected):
    assert once(WordOrder(), text, language) == expected


def test_pairs_go_round_what_is_fixed():
    for fixed, pairs in [((0, 1), [(2, 5)]), ((2, 3), [(4, 7)]), ((6, 7), [(0, 3)])]:
        text = Text("a b c d", "en", fixed=(fixed,))
        assert [site[:2] for site in WordOrder().admissible(text)] == pairs


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "we eat bread, now.", ["eat bread, now.", "we bread, now.", "we eat bread,."]),
        ("zh", "北京很冷", ["北京冷", "北京很"]),
        ("ko", "나는 학교에 간다", ["학교에 간다", "나는 학교에"]),
        ("en", "bread", []),
    ],
)
def test_words_are_dropped_with_their_space(language, text, expected):
    assert once(DroppedWords(), text, language) == expected


@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "我们12月30日去北京"), ("zh", "北京12 月30日冷"), ("ja", "12月と30日"), ("en", "about 30 cats, 12 dogs")],
)
def test_no_two_numbers_become_one_when_what_parts_them_is_dropped(language, text):
    fixed = fixed_spans(text, language)
    for seed in range(20):
        found = DroppedWords().perturb(Text(text, language, fixed=fixed), random.Random(seed), 5, language)
        assert found != text and [n for n in found.split() if "1230" in n] == [] and "  " not in found


def test_a_text_does_not_vanish():
    for language, sentence in SENTENCES.items():
        for seed in range(5):
            assert any(c.isalpha() for c in DroppedWords().perturb(sentence, random.Random(seed), 5, language))
    every = [DroppedWords().perturb("of a b c", random.Random(seed), 5) for seed in range(20)]
    assert "of" in every and all("of" in text for text in every)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "we eat.", ["we we eat.", "we eat eat."]),
        ("ko", "간다", ["간다 간다"]),
        ("zh", "北京冷", ["北京北京冷", "北京冷冷"]),
        ("th", "กินข้าว", ["กินกินข้าว", "กินข้าวข้าว"]),
        ("ja", "Radio東京", ["Radio Radio東京", "Radio東京東京"]),
    ],
)
def test_words_stand_twice(language, text, expected):
    assert once(DoubledWords(), text, language) == expected
