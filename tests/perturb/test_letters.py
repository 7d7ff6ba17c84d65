"""Letters put in, left out, exchanged and transposed, in every script."""

import random
import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from perturb.edits.base import Text, apply, survives
from perturb.edits.letters import (
    MOST,
    Deletion,
    Insertion,
    Substitution,
    Transposition,
    changed,
    is_exchangeable,
    spread,
    units,
)
from perturb.keyboards import kind, letters
from perturb.script import scripts_in

EDITS = [Insertion(), Deletion(), Substitution(), Transposition()]

SENTENCES = {
    "en": "The careful Teacher reads seventeen old letters tonight.",
    "tr": "İyi öğretmen ışıkta kırmızı kitaplar okuyor.",
    "vi": "Người phụ nữ đọc những quyển sách cũ.",
    "yo": "Olùkọ́ náà ń ka ìwé àtijọ́ púpọ̀.",
    "ru": "Внимательный учитель читает старые письма.",
    "uk": "Уважна вчителька їздить поїздом щодня.",
    "sr": "Учитељ чита. Učitelj čita knjige.",
    "el": "Ο προσεκτικός δάσκαλος διαβάζει παλιά γράμματα.",
    "hy": "Ուսուցիչը կարդում է հին նամակներ։",
    "ka": "ყურადღებიანი მასწავლებელი კითხულობს წერილებს.",
    "he": "המורה הזהיר קורא מכתבים ישנים.",
    "ar": "يَقرأ المعلم رسائل قديمة كل مساء.",
    "fa": "آموزگار نامه‌های قدیمی را می‌خواند.",
    "ur": "استاد پرانے خطوط پڑھتا ہے۔",
    "hi": "सावधान विद्यार्थी पुराने पत्र पढ़ता रहता है।",
    "mr": "काळजीपूर्वक शिक्षक जुनी पत्रे वाचतात.",
    "bn": "সাবধানী শিক্ষক পুরোনো চিঠিগুলি পড়েন।",
    "pa": "ਅਧਿਆਪਕ ਪੁਰਾਣੀਆਂ ਚਿੱਠੀਆਂ ਪੜ੍ਹਦਾ ਹੈ।",
    "gu": "શિક્ષક જૂના પત્રો વાંચે છે.",
    "ta": "ஆசிரியர் பழைய கடிதங்களைப் படிக்கிறார்.",
    "te": "ఉపాధ్యాయుడు పాత ఉత్తరాలు చదువుతున్నాడు.",
    "kn": "ಶಿಕ್ಷಕರು ಹಳೆಯ ಪತ್ರಗಳನ್ನು ಓದುತ್ತಾರೆ.",
    "ml": "അധ്യാപകൻ പഴയ കത്തുകൾ വായിക്കുന്നു.",
    "th": "ครูอ่านจดหมายเก่าทุกเย็น",
    "lo": "ຄູອ່ານຈົດໝາຍເກົ່າທຸກແລງ",
    "km": "គ្រូអានសំបុត្រចាស់រាល់ល្ងាច",
    "my": "ဆရာမသည် စာဟောင်းများကို ဖတ်သည်။",
    "ko": "선생님이 오래된 편지를 읽습니다.",
    "ja": "せんせいはテレビで東京電力をしらべる。",
    "zh": "他为什么马马虎虎？罗马尼亚一帆风顺。",
}


def _options(language):
    for edit in EDITS:
        for start, end, options in edit.admissible(Text(SENTENCES[language], language)):
            for option in options:
                yield edit, SENTENCES[language][start:end], option


@pytest.mark.parametrize("language", SENTENCES)
def test_letters_stay_whole_and_in_their_script(language):
    seen = set()
    for edit, word, option in _options(language):
        seen.add(edit.name)
        old, new = units(word), units(option)
        assert scripts_in(option) <= scripts_in(word), (edit.name, word, option)
        assert not unicodedata.category(option[0]).startswith("M")
        assert survives(word, option)
        match edit.name:
            case "deletion":
                assert new in [old[:i] + old[i + 1 :] for i in range(1, len(old) - 1)]
            case "transposition":
                assert sorted(new) == sorted(old)
                [first, second] = [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
                assert second == first + 1
            case "substitution":
                assert sum(a != b for a, b in zip(old, new, strict=True)) == 1
            case "insertion" if len(new) == len(old):  # Hangul: a tail
                assert language == "ko"
                assert sum(a != b for a, b in zip(old, new, strict=True)) == 1
            case _:
                assert any(old == new[:i] + new[i + 1 :] for i in range(1, len(new) - 1)), (word, option)
    assert seen == ({"deletion", "transposition"} if language == "zh" else {edit.name for edit in EDITS})


@pytest.mark.parametrize("language", SENTENCES)
def test_new_letters_are_the_languages_own(language):
    own = set(letters(language))
    for edit, word, option in _options(language):
        if edit.name in ("insertion", "substitution") and language not in ("ko", "tr"):
            assert {c.lower() for c in option} - {c.lower() for c in word} <= own, (edit.name, word, option)


@pytest.mark.parametrize(
    ("edit", "word", "language", "expected"),
    [
        (Deletion(), "the", "en", ["te"]),
        (Deletion(), "no", "en", []),
        (Deletion(), "hello", "en", ["hllo", "helo", "helo"]),
        (Deletion(), "don't", "en", ["dn't", "do't"]),
        (Deletion(), "विद्यालय", "hi", ["विलय", "विद्याय"]),
        (Deletion(), "मकान", "hi", ["मन"]),
        (Deletion(), "မြန်မာ", "my", ["မြမာ"]),
        (Deletion(), "ភាសាខ្មែរ", "km", ["ភាខ្មែរ", "ភាសារ"]),
        (Deletion(), "선생님", "ko", ["선님"]),
        (Deletion(), "图书馆", "zh", ["图馆"]),
        (Deletion(), "自行", "zh", []),
        (Transposition(), "the", "en", ["teh"]),
        (Transposition(), "all", "en", []),
        (Transposition(), "word", "en", ["wrod"]),
        (Transposition(), "Anna", "en", []),
        (Transposition(), "it's", "en", []),
        (Transposition(), "पढ़कर", "hi", ["पकढ़र"]),
        (Transposition(), "книга", "ru", ["кинга", "кнгиа"]),
        (Transposition(), "மரம்", "ta", ["மம்ர"]),
        (Transposition(), "자전거", "ko", ["자거전"]),
        (Transposition(), "自行车", "zh", ["自车行"]),
    ],
)
def test_words_and_what_becomes_of_them(edit, word, language, expected):
    assert list(edit.options(word, language)) == expected


def test_letters_put_in_and_exchanged():
    assert len(Insertion().options("ab", "en")) == 26
    assert Insertion().options("ab", "en")[:3] == ["aab", "abb", "acb"]
    assert Insertion().options("AB", "en")[:3] == ["AAB", "ABB", "ACB"]
    assert "Aib" in Insertion().options("Ab", "tr")
    assert "AİB" in Insertion().options("AB", "tr")
    assert list(Insertion().options("a", "en")) == []
    assert "나문" not in Insertion().options("나무", "ko"), "the last syllable has its end"
    assert "난무" in Insertion().options("나무", "ko")
    assert len(Substitution().options("ab", "en")) == 50
    assert "Zb" in Substitution().options("Ab", "en")
    assert list(Substitution().options("a", "en")) == []
    assert "की" in Substitution().options("पी", "hi"), "the sign stays"
    assert {word[1:] for word in Substitution().options("पी", "hi")} == {"ी"}
    assert {"녁", "각", "낚"} <= set(Substitution().options("낙", "ko"))
    assert {c for word in Substitution().options("テレ", "ja") for c in word} <= set(letters("ja")) - set("あいう")


def test_a_letter_and_what_belongs_to_it_are_one():
    assert units("မာ") == ["မာ"]
    assert units("ខ្មែរ") == ["ខ្មែ", "រ"]
    assert units("ಕನ್ನಡ") == ["ಕ", "ನ್ನ", "ಡ"]
    assert units("பள்ளி") == ["ப", "ள்", "ளி"], "Tamil's virama stacks nothing"
    assert units("e\u0301t") == ["e\u0301", "t"]
    assert units("") == []


def test_signs_are_exchanged_where_they_stand_alone():
    assert is_exchangeable("कि", 0)
    assert is_exchangeable("कि", 1)
    assert not is_exchangeable("ज़", 0)
    assert not is_exchangeable("e\u0301", 0)
    assert is_exchangeable("مَ", 0)
    assert not is_exchangeable("ပို", 1), "two vowel signs stand in a fixed order"


def test_changes_that_join_letters_are_left_out():
    assert changed(["a", "b"], [(1, 1, ("\u0301",)), (1, 1, ("c",))]) == ["acb"]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_where_the_edits_exist(edit):
    everywhere = edit.name in ("deletion", "transposition")
    assert edit.exists("en")
    assert edit.exists("hin_Deva")
    assert edit.exists("zh") == everywhere
    assert edit.exists("amh") == everywhere
    assert not edit.exists("nonsense")
    assert edit.keeps == "form"
    assert edit.description
    assert edit.source


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
@pytest.mark.parametrize(
    "text", ["", "a", " ", "2024 17", "😀👍🏽 👨‍👩‍👧", "\ud800", "\0", "a\0b \udfff", "é", "।", "שלום abc مرحبا"]
)
@pytest.mark.parametrize("language", ["en", "hi", "ar", "ko", "ja", "zh", "th"])
def test_odd_texts_are_taken(edit, text, language):
    for start, end, options in edit.admissible(Text(text, language)):
        assert text[start:end]
        assert options


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
@pytest.mark.parametrize("language", ["en", "ru", "hi", "ar", "ko", "th"])
def test_more_is_changed_at_a_higher_severity_and_always_the_same(edit, language):
    text = Text(" ".join([SENTENCES[language]] * 6), language)
    drawn = [edit.replacements(text, random.Random("7"), severity) for severity in (1, 2, 3, 4, 5)]
    assert all(set(less) < set(more) for less, more in pairwise(drawn))
    assert drawn[2] == edit.replacements(text, random.Random("7"), 3)
    assert apply(text.text, drawn[4]) != text.text


def test_what_is_fixed_and_what_is_a_word_already_is_left():
    text = Text("the word", "en", fixed=((0, 3),), attested=frozenset({"wrod"}))
    assert Transposition().admissible(text) == []
    assert Deletion().admissible(text) == [(4, 8, ["wrd", "wod"])]


def test_given_tokens_stay_tokens():
    text = Text("New York", "en", spans=((0, 3), (4, 8)))
    for edit in EDITS:
        assert [(site.start, site.end) for site in edit.admissible(text)] == [(0, 3), (4, 8)]


@given(st.integers(0, 700), st.integers(1, 80))
def test_a_spread_is_even(count, most):
    found = spread(range(count), most)
    assert len(found) == min(count, most)
    assert list(found) == sorted(set(found))
    if count > most > 3:
        gaps = [b - a for a, b in pairwise(found)]
        assert max(gaps) <= 2 * count / most + 1


def test_no_word_has_too_many_options_and_each_place_keeps_some():
    word = "incomprehensibilities"
    for edit in (Insertion(), Substitution()):
        options = list(edit.options(word, "en"))
        assert len(options) == len(set(options)) == MOST
        places = {next(i for i, (a, b) in enumerate(zip(word, new, strict=False)) if a != b) for new in options}
        assert len(places) >= len(word) - 4
    inserted = {regex.sub(f"[{''.join(set(word))}]", "", new) for new in Insertion().options(word, "en")}
    assert len(inserted) > 10, "a spread over the letters as well"
    assert all(kind(letter) == "letter" for letter in letters("en"))
