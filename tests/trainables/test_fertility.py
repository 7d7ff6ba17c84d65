"""Tokens a word: words of every script, a tokenizer's tokens without special ones, figures by hand."""

from __future__ import annotations

import gzip
import json
import random
import statistics
from types import SimpleNamespace

import pytest

from trainables.examples import Example
from trainables.fertility import by_script, measure, words
from trainables.languages import LANGUAGES


class ByCharacter:
    """A tokenizer with a token a character, and two special ones where these are wanted."""

    def __call__(self, texts, add_special_tokens=True, verbose=True):
        return {"input_ids": [[1] * (len(text) + 2 * add_special_tokens) for text in texts]}


def part(language, texts, portion="test"):
    examples = [Example(str(i), language, text, "English words") for i, text in enumerate(texts)]
    return SimpleNamespace(portion=portion, language=language, examples=examples, features=[])


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "I don't know – it's 3.5 kg!", ["I", "don't", "know", "it's", "3.5", "kg"]),
        ("de", "Straßenbahn-Haltestelle, z. B.", ["Straßenbahn", "Haltestelle", "z", "B"]),
        ("hi", "मुझे यह किताब पसंद है।", ["मुझे", "यह", "किताब", "पसंद", "है"]),
        ("ar", "ذهبت إلى المدرسة.", ["ذهبت", "إلى", "المدرسة"]),
        ("ta", "நான் வீட்டிற்கு", ["நான்", "வீட்டிற்கு"]),
        ("th", "ฉันกินข้าว", ["ฉัน", "กิน", "ข้าว"]),
        ("zh", "我们喜欢图书馆。", ["我们", "喜欢", "图书馆"]),
        ("xx", "😀 … \U0001f600!", []),
        ("not a language", "one two", ["one", "two"]),
        ("en", "", []),
    ],
)
def test_words(language, text, expected):
    found = words(text, language)
    if language == "zh":  # which compounds are one word is the dictionary's business; that they are cut is ours
        assert "".join(found) == text.rstrip("。")
        assert 3 <= len(found) <= 5
    else:
        assert found == expected


def test_by_hand():
    (row,) = measure(ByCharacter(), [part("de", ["ab cd", "efg!", "h i j k"])])
    tokens, sizes = [5, 4, 7], [2, 1, 4]
    value = 16 / 7
    rest = [t - value * w for t, w in zip(tokens, sizes, strict=True)]
    assert row == {
        "language": "de", "portion": "representations", "metric": "fertility", "main": False,
        "value": pytest.approx(value), "n": 7,
        "stderr": pytest.approx((sum(r * r for r in rest) / 2 / 3) ** 0.5 / (7 / 3)),
    }  # fmt: skip


def test_the_error_is_that_of_new_sentences():
    """Over draws of other sentences the figure spreads as its standard error says."""
    rng = random.Random(0)
    found = []
    for _ in range(300):
        texts = [" ".join("x" * rng.randint(1, 9) for _ in range(rng.randint(2, 12))) for _ in range(40)]
        found += measure(ByCharacter(), [part("fi", texts)])
    spread = statistics.stdev(row["value"] for row in found)
    claimed = statistics.fmean(row["stderr"] ** 2 for row in found) ** 0.5
    assert claimed == pytest.approx(spread, rel=0.12)


def test_what_has_no_row():
    sets = [part("en", ["a b"]), part("fi", ["a"], "dev"), part("sw", []), part("tr", ["…", "!"]), part("de", ["a"])]
    rows = measure(ByCharacter(), sets)
    assert [(row["language"], row["stderr"]) for row in rows] == [("de", None)]


def test_by_script():
    rows = [
        {"language": code, "metric": metric, "value": value, "n": n}
        for code, metric, value, n in [
            ("de", "fertility", 1.0, 10), ("sw", "fertility", 2.0, 30), ("ru", "fertility", 3.0, 5),
            ("ru", "cosine_layer_0", 0.5, 5), ("qq", "fertility", 4.0, 1),
        ]
    ]  # fmt: skip
    assert by_script(rows) == [
        {"script": "Cyrillic", "languages": ["ru"], "metric": "fertility", "value": 3.0, "n": 5},
        {"script": "Latin", "languages": ["de", "sw"], "metric": "fertility", "value": 1.5, "n": 40},
        {"script": "unknown", "languages": ["qq"], "metric": "fertility", "value": 4.0, "n": 1},
    ]
    assert by_script([]) == []


def test_a_real_tokenizer(tiny_tokenizer):
    """Special tokens do not count, long texts are not cut, and what was never seen is spelled in many pieces."""
    text = " ".join(["the"] * 2000)
    (seen,) = measure(tiny_tokenizer, [part("de", [text])])
    assert seen["n"] == 2000
    assert seen["value"] == len(tiny_tokenizer.tokenize(text)) / 2000
    (unseen,) = measure(tiny_tokenizer, [part("ka", ["საქართველო ლამაზია"])])
    assert unseen["n"] == 2
    assert unseen["value"] > 5


@pytest.mark.data
def test_published_sentences(data_dir):
    """Tatoeba: words are of a sensible length in scripts with and without spaces, beside English's words."""
    from transformers import AutoTokenizer

    from trainables.fingerprint import MICRO

    wanted = {"deu": "de", "cmn": "zh", "tha": "th", "jpn": "ja", "hin": "hi", "tam": "ta", "kor": "ko"}
    texts = {code: ([], []) for code in wanted.values()}
    with gzip.open(data_dir / "tatoeba" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["lang"] in wanted:
                for side, text in zip(texts[wanted[row["lang"]]], (row["text"], row["eng"]), strict=True):
                    side.append(text)
    for code, (own, english) in texts.items():
        share = sum(len(words(text, code)) for text in own) / sum(len(words(text, "en")) for text in english)
        assert 0.45 < share < 1.5, (code, share)
    rows = measure(AutoTokenizer.from_pretrained(MICRO), [part(code, own[:300]) for code, (own, _) in texts.items()])
    assert {row["language"] for row in rows} == set(wanted.values())
    assert all(row["value"] >= 1 for row in rows)
    scripts = {row["script"] for row in by_script(rows)}
    assert scripts == {LANGUAGES[code].script for code in wanted.values()}
