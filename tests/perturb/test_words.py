"""Words as ICU cuts them, beside TextAttack's own; and texts under attack, which lose nothing."""

from __future__ import annotations

import pytest

from perturb.segment import graphemes, words
from trainables.data import DataSource
from trainables.tasks import load_task

# Sentences with their words between bars: what is after the last word is punctuation.
SENTENCES = {
    "hi": "मेरी |छोटी |बहन |रोज़ |विद्यालय |जाती |है|।",
    "ta": "குழந்தைகள் |தோட்டத்தில் |பூக்களைப் |பறிக்கிறார்கள்|.",
    "te": "పిల్లలు |తోటలో |పువ్వులు |కోస్తున్నారు|.",
    "th": "พี่|สาว|ของ|ฉัน|ชอบ|ดื่ม|น้ำส้ม|ทุก|เช้า",
    "ja": "妹|は|毎朝|パン|を|食|べ|て|から|学校|へ|行き|ます|。",
    "zh": "妹妹|每天|早上|坐|火车|去|学校|。",
    "my": "ညီမ|လေး|က |မနက်|တိုင်း |ကျောင်း|သွား|တယ်|။",
    "ar": "تَذْهَبُ |أُخْتِي |إِلَى |الْمَدْرَسَةِ |كُلَّ |صَبَاحٍ|.",
    "km": "ប្អូនស្រី|ខ្ញុំ|ទៅ|សាលារៀន|រាល់|ព្រឹក|។",
    "lo": "ນ້ອງສາວ|ຂອງ|ຂ້ອຍ|ໄປ|ໂຮງຮຽນ|ທຸກ|ເຊົ້າ",
    "de": "Meine |Schwester |fährt |jeden |Morgen |zur |Schule|.",
}
CUT_BY_TEXTATTACK = ("hi", "ta", "te", "th", "my", "ar", "km", "lo")


def text_of(language: str) -> str:
    return SENTENCES[language].replace("|", "")


@pytest.fixture(scope="module")
def segmentation():
    from benchmarks import segmentation

    return segmentation


@pytest.mark.parametrize("language", SENTENCES)
def test_words_are_the_languages_own(language):
    text = text_of(language)
    expected = [part.strip() for part in SENTENCES[language].split("|") if any(c.isalpha() for c in part)]
    assert [text[start:end] for start, end in words(text, language)] == expected


@pytest.mark.parametrize("language", SENTENCES)
def test_no_word_cuts_a_cluster_and_nothing_is_lost(language, segmentation):
    text = text_of(language)
    spans = words(text, language)
    assert segmentation.cut(text, spans) == set()
    gaps = [text[a:b] for (_, a), (b, _) in zip([(0, 0), *spans], [*spans, (len(text), 0)], strict=True)]
    assert "".join(gap + text[slice(*span)] for gap, span in zip(gaps, [*spans, (0, 0)], strict=True)) == text
    assert not any(c.isalpha() for gap in gaps for c in gap)


@pytest.mark.parametrize("language", SENTENCES)
def test_textattack_cuts_clusters_where_signs_are_marks(language, segmentation):
    found = segmentation.compared([text_of(language)], language)
    assert found.cut == 0 and found.words == len(words(text_of(language), language))
    if language in CUT_BY_TEXTATTACK:
        assert found.stock_cut >= len(graphemes(text_of(language))) / 10
        assert found.foreign > 0
    else:
        assert found.stock_cut == 0


def test_what_textattack_makes_of_words_breaks_their_clusters_or_is_of_another_script(segmentation):
    for language in CUT_BY_TEXTATTACK:
        found = segmentation.compared([text_of(language)], language)
        assert found.foreign >= found.stock_candidates / 4, language
        assert found.broken >= found.stock_candidates / 2 or language == "hi", language
    german = segmentation.compared([text_of("de")], "de")
    assert (german.foreign, german.broken, german.stock_cut) == (0, 0, 0), "in Latin letters nothing is wrong with it"


def test_cut_clusters_and_broken_ones_are_told(segmentation):
    text = "की है"
    assert segmentation.cut(text, [(0, 2), (3, 5)]) == set()
    assert segmentation.cut(text, [(0, 1), (3, 4)]) == {0, 3}
    assert segmentation.is_broken(text, (0, 1), "ख") and not segmentation.is_broken(text, (0, 2), "खी")
    assert segmentation.is_broken("a b", (2, 3), "\u0301b")
    assert segmentation.is_foreign(text, (0, 2), "qी", "hi") and not segmentation.is_foreign(text, (0, 2), "ख", "hi")


def test_a_line_of_the_table_is_means_a_text(segmentation):
    line = segmentation.Compared(4, 20, 40, 0, 6, 100, 50, 25, 10).row("Own")
    assert line == "| Own | 4 | 5.0 | 10.0 | 0.0 | 1.5 | 25.0 | 12.5 | 50% | 20% |"
    assert segmentation.HEAD.count("|") == 2 * (line.count("|"))


@pytest.mark.data
def test_the_table_of_published_texts(data_dir, segmentation):
    source = DataSource(str(data_dir))
    for code, name in segmentation.LANGUAGES.items():
        texts = segmentation.texts_of(source, code, 12)
        assert len(texts) == 12, name
        found = segmentation.compared(texts, code)
        assert found.cut == 0 and (found.candidates > 0 or code == "zh"), (name, found)
        assert found.stock_cut > (12 if code in CUT_BY_TEXTATTACK else -1), (name, found)


@pytest.mark.data
def test_texts_under_attack_lose_nothing(data_dir):
    from perturb.attacked_text import ScriptText

    task = load_task("tatoeba", "this test")
    for language, examples in DataSource(str(data_dir)).load(task, "test", task.languages).items():
        for example in examples[:: len(examples) // 10]:
            text = ScriptText(example.text, language=language)
            where = (language, example.id)
            assert text.text == example.text and text.words == [example.text[a:b] for _, a, b in text.places], where
            for index, word in enumerate(text.words):
                assert text.replace_word_at_index(index, word).text == example.text, where
                there = text.replace_word_at_index(index, "x")
                start, end = text.places[index][1:]
                assert there.text == example.text[:start] + "x" + example.text[end:], where
