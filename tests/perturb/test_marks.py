"""Diacritics, tones, case and punctuation: what each word or mark may become, language by language."""

from __future__ import annotations

import random
import unicodedata
from itertools import pairwise

import pytest

from perturb.edits import Resources, make_edit
from perturb.edits.base import SEVERITIES, Text, apply, survives
from perturb.edits.casing import Casing
from perturb.edits.diacritics import MARKS, Diacritics, DiacriticsExchange, code_of, orthography, table
from perturb.edits.punctuation import Punctuation
from perturb.edits.tones import Tones
from perturb.script import scripts, scripts_in
from perturb.segment import graphemes

SENTENCES = {
    "am": "ዛሬ ጠዋት ወደ ገበያ ሄድኩ፣ ዳቦም ገዛሁ።",
    "ar": "ذَهَبَ الوَلَدُ إلى السوق، واشترى خُبزًا.",
    "bg": "Моят брат чете нов роман, а аз пия чай.",
    "bn": "আজ সকালে আমি বাজারে গিয়েছিলাম, মাছ কিনলাম।",
    "de": "Über den Dächern übt ein Mädchen Flöte, und alle hören zu!",
    "el": "Σήμερα το πρωί ήπια καφέ, και μετά έφυγα.",
    "en": "The old baker sells warm bread, and we buy some.",
    "es": "¡Mañana volverá el pingüino, según el niño!",
    "fa": "امروز صبح به بازار رفتم، نان تازه خریدم.",
    "fr": "L'élève préfère la forêt à l'été, c'est sûr.",
    "gu": "આજે સવારે હું બજાર ગયો, અને ફળ લાવ્યો.",
    "he": "הַיֶּלֶד הָלַךְ אל השוק, וקנה לחם.",
    "hi": "बच्चा सुबह बाज़ार गया, फिर घर लौटा।",
    "hu": "Az öreg kutya lassan fölébredt, és éhes volt.",
    "hy": "Այսօր առավոտյան գնացի շուկա, հաց գնեցի։",
    "ja": "今朝は市場でパンを買って、家に帰りました。",
    "ka": "დღეს დილით ბაზარში წავედი, პური ვიყიდე.",
    "kk": "Бүгін таңертең базарға бардым, нан алдым.",
    "km": "ព្រឹកនេះ ខ្ញុំទៅផ្សារ ហើយទិញនំប៉័ង។",
    "ko": "오늘 아침에 시장에 가서 빵을 샀다.",
    "lo": "ມື້ນີ້ຂ້ອຍໄປຕະຫຼາດ ແລະ ຊື້ເຂົ້າ.",
    "ml": "ഇന്ന് രാവിലെ ഞാൻ ചന്തയിൽ പോയി, മീൻ വാങ്ങി.",
    "my": "ဒီမနက် ကျွန်တော် ဈေးသို့ သွားပြီး ပေါင်မုန့် ဝယ်ခဲ့သည်။",
    "pa": "ਅੱਜ ਸਵੇਰੇ ਮੈਂ ਬਾਜ਼ਾਰ ਗਿਆ, ਫਲ ਲਿਆਇਆ।",
    "pl": "Żółta łódź płynie wzdłuż brzegu, późną jesienią.",
    "ru": "Ёжик идёт домой, а чайник ещё тёплый.",
    "ta": "இன்று காலை நான் சந்தைக்கு சென்றேன், மீன் வாங்கினேன்.",
    "te": "ఈ ఉదయం నేను బజారుకు వెళ్ళాను, పండ్లు కొన్నాను.",
    "th": "เมื่อเช้านี้ฉันไปตลาด แล้วซื้อข้าวกับน้ำส้ม.",
    "tr": "Işıklı sokakta küçük bir kız şarkı söylüyor, ağaç sallanıyor.",
    "ur": "آج صبح میں بازار گیا، تازہ روٹی خریدی۔",
    "vi": "Sáng nay tôi đi chợ, mua một ổ bánh mì nóng.",
    "yo": "Ọmọ náà ń kọ́ ẹ̀kọ́ nílé, ó sì dára.",
    "zh": "今天早上我去市场，买了新鲜的面包。",
}
"""A sentence of our own in each of many scripts."""

HOSTILE = [
    "", "a", "é", "ก", "2024", "3.14, 10:30", "😀🎉👨‍👩‍👧", "\ud800", "a\udfffb ç\ud800", "\0", "é\0è, ok.", "...",
    "\u0301a", "a \u0301b", " \t\r\n",
]  # fmt: skip

OURS = ["diacritics", "diacritics-exchange", "tones", "casing", "punctuation"]


def edit(name):
    return make_edit(name, Resources())


def options(edit, text, language, **more):
    """The options of a text's sites by what stands there."""
    return {text[a:b]: list(found) for a, b, found in edit.admissible(Text(text, language, **more))}


def composed(word):
    return unicodedata.normalize("NFC", word)


def existing(edit):
    return " ".join(language for language in SENTENCES if edit.exists(language))


def check_sites(edit, text):
    """Sites in order, clusters whole at their borders, script kept, each option once, all changes that last."""
    at = 0
    for start, end, found in edit.admissible(text):
        assert at <= start <= end
        assert len(set(found)) == len(found) <= 64
        before, old, after = text.text[:start], text.text[start:end], text.text[end:]
        assert graphemes(before) + graphemes(old) + graphemes(after) == graphemes(text.text)
        for new in found:
            assert graphemes(before) + graphemes(new) + graphemes(after) == graphemes(before + new + after)
            assert scripts_in(new) <= scripts_in(old) | set(scripts(text.language))
            assert edit.control or survives(old, new)
        at = end


def check_severities(edit, text, seed=0):
    """More is changed at each severity than at the one before; what is changed at one is changed alike at the next."""
    changes = [edit.replacements(text, random.Random(seed), severity) for severity in SEVERITIES]
    assert all(set(few) <= set(many) for few, many in pairwise(changes))
    counts = [len(change) for change in changes]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize("name", OURS)
def test_sites_are_well_formed_in_every_script(name):
    with_sites = 0
    for language, sentence in SENTENCES.items():
        if edit(name).exists(language):
            check_sites(edit(name), Text(sentence, language))
            with_sites += bool(edit(name).admissible(Text(sentence, language)))
    assert with_sites >= {"tones": 5, "diacritics-exchange": 7, "diacritics": 13, "casing": 13, "punctuation": 33}[name]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_raised_on_hostile_texts(name, text):
    for language in ("fr", "tr", "el", "ar", "vi", "th", "zh", "hi"):
        if edit(name).exists(language):
            check_sites(edit(name), Text(text, language))
            edit(name).perturb(text, random.Random(1), 5, language)


@pytest.mark.parametrize(
    ("name", "language"),
    [("diacritics", "fr"), ("diacritics-exchange", "fr"), ("tones", "vi"), ("casing", "ru"), ("punctuation", "zh")],
)
def test_more_changes_with_severity(name, language):
    check_severities(edit(name), Text(" ".join([SENTENCES[language]] * 20), language))


# ---- diacritics


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("fr", "élève", ["eleve", "elève", "éleve"]),
        ("fr", "cœur", ["coeur"]),
        ("de", "Ärger", ["Arger", "Aerger"]),
        ("de", "ÄRGER", ["ARGER", "AERGER"]),
        ("es", "niño", ["nino"]),
        ("pt", "ação", ["acao", "acão", "açao"]),
        ("tr", "ışık", ["isik", "işık", "ısık", "ışik"]),
        ("tr", "İzmir", ["Izmir"]),
        ("az", "gəldi", ["geldi"]),
        ("hu", "őrült", ["orult", "orült", "őrult"]),
        ("ro", "știu", ["stiu"]),
        ("pl", "łódź", ["lodz", "lódź", "łodź", "łódz"]),
        ("cs", "kůň", ["kun", "kuň", "kůn"]),
        ("lv", "ģimene", ["gimene"]),
        ("lvs", "ģimene", ["gimene"]),  # ISO 639-3
        ("nob", "blåbær", ["blabaer", "blaabaer", "blabær", "blaabær", "blåbaer"]),
        ("eo", "ŝi", ["si", "sxi"]),
        ("vi", "đường", ["duòng", "dường", "đuờng", "đưòng"]),  # the tone stays
        ("yo", "ẹ̀kọ́", ["èkó", "èkọ́", "ẹ̀kó"]),  # likewise
        ("el", "άνθρωπος", ["ανθρωπος"]),
        ("el", "ταΐζω", ["ταιζω"]),
        ("ru", "ёлка", ["елка"]),
        ("uk", "їжак", ["іжак"]),
        ("mk", "ќе", ["ке"]),
        ("ar", "كَتَبَ", ["كتب", "كتَبَ", "كَتبَ", "كَتَب"]),
        ("ar", "أَب", ["أب"]),  # the hamza is part of the letter
        ("he", "שָׁלוֹם", ["שלום", "שלוֹם", "שָׁלום"]),
    ],
)
def test_diacritics_are_dropped_all_and_one_by_one(language, word, expected):
    assert options(Diacritics(), word, language) == {word: expected}
    apart = unicodedata.normalize("NFD", word)
    assert {composed(x) for x in options(Diacritics(), apart, language)[apart]} == {composed(x) for x in expected}


def test_no_letter_is_given_a_mark_twice():
    assert options(DiacriticsExchange(), "ΐ", "el") == {}


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("fr", "pré", ["prè", "prê", "prë"]),
        ("fr", "À", ["Â"]),
        ("it", "perché", ["perchè"]),
        ("pt", "avô", ["avó", "avõ"]),
        ("hu", "őz", ["óz", "öz"]),
        ("pl", "żal", ["źal"]),
        ("ro", "ș", ["ş"]),  # the cedilla of old code pages
        ("et", "õ", ["ö"]),
        ("vi", "ấm", ["ắm"]),  # under its tone
        ("vi", "ộ", ["ợ"]),
        ("el", "ϊ", ["ί"]),
    ],
)
def test_a_diacritic_becomes_another_that_the_letter_takes(language, word, expected):
    assert sorted(options(DiacriticsExchange(), word, language)[word]) == sorted(expected)


def test_diacritics_exist_where_the_orthography_has_them():
    assert existing(Diacritics()) == "ar bg de el es fa fr he hu kk pl ru tr ur vi yo"
    assert existing(DiacriticsExchange()) == "bg el es fr hu pl tr vi"
    assert Diacritics().exists("sr") and Diacritics().exists("srp") and not Diacritics().exists("sr_Cyrl")
    assert Diacritics().exists("ary")  # a dialect, by its script


def test_vowel_signs_are_no_diacritics():
    for language in ("hi", "bn", "ta", "te", "ml", "gu", "pa", "th", "lo", "km", "my", "ko", "ja"):
        assert orthography(language) is None


def test_every_row_of_the_table_is_letters():
    for language, row in table("diacritics").items():
        assert set(row) <= {*MARKS, "letters", "habits"}, language
        assert code_of(language) == language  # or nobody would find it
        assert orthography(language) is not None, language
        for name, letters in row.items():
            values = letters if name in MARKS else {*letters.keys(), *letters.values()}
            assert all(isinstance(value, str) and value.lower() == value for value in values), (language, name)
        marked = [letter + MARKS[name] for name in row if name in MARKS for letter in row[name]]
        lone = {x for x in marked if len(unicodedata.normalize("NFC", x)) > 1}
        assert lone <= {"g" + MARKS["tilde"]}, language  # every other is a character of its own


def test_no_other_word_of_the_language_comes_of_it():
    assert options(Diacritics(), "pêche", "fr", attested=frozenset({"peche"})) == {}
    assert options(Diacritics(), "été", "fr", attested=frozenset({"ete"})) == {"été": ["eté", "éte"]}


# ---- tones


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("vi", "tiếng", ["tiêng", "tiềng", "tiễng", "tiểng", "tiệng"]),
        ("vi", "ộ", ["ô", "ồ", "ố", "ỗ", "ổ"]),
        ("th", "น้ำ", ["นำ", "น่ำ", "น๊ำ", "น๋ำ"]),
        ("lo", "ບ້ານ", ["ບານ", "ບ່ານ", "ບ໊ານ", "ບ໋ານ"]),
        ("my", "ကောင်း", ["ကောင်", "ကောင့်"]),
        ("my", "န့်", ["န်", "န်း"]),  # the dot stands before the asat, the visarga after it
        ("yo", "ẹ̀kọ́", ["ẹkọ", "ẹkọ́", "ẹ́kọ́", "ẹ̄kọ́", "ẹ̀kọ", "ẹ̀kọ̀", "ẹ̀kọ̄"]),
    ],
)
def test_tones_are_dropped_and_exchanged(language, word, expected):
    assert options(Tones(), word, language) == {word: [composed(x) for x in expected]}


def test_tones_exist_where_they_are_written():
    assert existing(Tones()) == "lo my th vi yo"
    assert Tones().keeps == "stress"
    assert options(Tones(), "đi ma", "vi") == {}


# ---- case


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("en", "Bread", ["BREAD", "bread", "bREAD"]),
        ("en", "don't", ["DON'T", "Don't"]),
        ("ru", "Дом", ["ДОМ", "дом", "дОМ"]),
        ("tr", "istanbul", ["İSTANBUL", "İstanbul"]),
        ("tr", "KIZ", ["kız", "Kız"]),
        ("el", "Λόγος", ["ΛΟΓΟΣ", "λόγος", "λΟΓΟΣ"]),
        ("el", "ΛΟΓΟΣ", ["λογος", "Λογος"]),
        ("el", "ΛόγοΣ", ["ΛΟΓΟΣ", "λόγος", "Λόγος", "λΟΓΟς"]),
        ("el", "πΟΣα", ["ΠΟΣΑ", "ποσα", "Ποσα", "ΠοσΑ"]),
        ("el", "μάιος", ["ΜΑΪΟΣ", "Μάιος"]),
        ("el", "άλλος", ["ΑΛΛΟΣ", "Άλλος"]),
        ("el", "ή", ["Ή"]),  # "or": without the tonos it would be an article
        ("de", "Straße", ["STRASSE", "straße", "sTRASSE"]),
        ("nl", "ijsland", ["IJSLAND", "IJsland"]),
        ("hy", "և", ["ԵՎ", "Եվ"]),
        ("fr", "École", ["ÉCOLE", "école", "éCOLE"]),
    ],
)
def test_case_by_the_languages_rules(language, word, expected):
    assert options(Casing(), word, language) == {word: expected}


def test_case_exists_in_scripts_that_use_it():
    assert existing(Casing()) == "bg de el en es fr hu hy kk pl ru tr vi yo"


def test_a_word_in_capitals_is_still_that_word():
    assert options(Casing(), "bread", "en", attested=frozenset({"bread"})) == {"bread": ["BREAD", "Bread"]}


# ---- punctuation


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Yes, it is.", {",": ["", ",,", ";"], ".": ["", "..", "!", "…"]}),
        ("en", "Well...", {"...": ["", ".", "!"]}),
        ("es", "¡Hola!", {"¡": ["", "¡¡"], "!": ["", "!!", ".", "…"]}),
        ("ar", "نعم، لا.", {"،": ["", "،،", "؛", ","], ".": ["", "..", "!", "…"]}),
        ("ur", "جی ہاں۔", {"۔": ["", "۔۔", ".", "!", "…"]}),
        ("hi", "यह ठीक है।", {"।": ["", "।।", ".", "!", "…"]}),
        ("zh", "你好，世界。", {"，": ["", "，，", "、", "；", ";"], "。": ["", "。。", "．", ".", "！", "!", "…"]}),
        ("am", "ሰላም።", {"።": ["", "።።", ".", "!"]}),
        ("hy", "Այո։", {"։": ["", "։։", ":", "."]}),
    ],
)
def test_marks_are_dropped_doubled_and_exchanged(language, text, expected):
    assert options(Punctuation(), text, language) == expected


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Really? Really?! What!?"),
        ("zh", "真的？真的？！"),
        ("ar", "هل؟"),
        ("el", "Τι; Ναι;!"),
        ("am", "ሰላም፧"),
        ("en", "It's 3.5 or 10:30"),
        ("en", "see http://a.example/b or a.b@c.example"),
        ("fa", "۳،۵"),
        ("en", '\'tis "so" (or not) – well-known'),
        ("en", "!\ufe0f"),  # drawn as an emoji
    ],
)
def test_marks_that_carry_meaning_or_stand_inside_words_stay(language, text):
    assert options(Punctuation(), text, language) == {}


def test_a_text_of_marks_alone_does_not_vanish():
    assert options(Punctuation(), "...", "en") == {"...": [".", "!"]}


def test_questions_stay_questions():
    for language, mark in [("en", "?"), ("el", ";"), ("ar", "؟"), ("zh", "？"), ("hi", "?"), ("am", "፧")]:
        text = Text(f"abc{mark} " * 3, language)
        for start, end, found in Punctuation().admissible(text):
            assert mark not in text.text[start:end] and mark not in "".join(found)


def test_words_and_tags_are_not_touched_by_punctuation():
    assert not Punctuation().one_to_one
    for language, sentence in SENTENCES.items():
        text = Text(sentence, language)
        changed = apply(sentence, Punctuation().replacements(text, random.Random(3), 5))
        words = [sentence[a:b] for a, b in text.words]
        if language != "zh":  # without its comma ICU may cut elsewhere
            assert [changed[a:b] for a, b in Text(changed, language).words] == words
