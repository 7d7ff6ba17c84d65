"""Tokens a word: words of every script, a tokenizer's tokens without special ones, figures by hand."""

from __future__ import annotations

import gzip
import json
import random
import statistics
from types import SimpleNamespace

import pytest

from search.analysis.representations import transfer_correlation
from search.candidate import Candidate
from search.leaderboard import leaderboard
from search.order import Order
from search.scores import SCORE_KEYS, rows_of, table
from trainables.bench import Bench, Workplace
from trainables.examples import Example
from trainables.fertility import by_script, measure, words
from trainables.languages import LANGUAGES
from trainables.stage import Stage
from trainables.tasks import load_task


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
        {"language": code, "metric": metric, "value": value, "n": n, "stderr": stderr}
        for code, metric, value, n, stderr in [
            ("de", "fertility", 1.0, 10, 0.3), ("sw", "fertility", 2.0, 30, 0.4), ("ru", "fertility", 3.0, 5, 0.1),
            ("ru", "cosine_layer_0", 0.5, 5, 0.1), ("qq", "fertility", 4.0, 1, None), ("qx", "fertility", 4.0, 1, 0.1),
        ]
    ]  # fmt: skip
    same = {"portion": "representations", "metric": "fertility", "main": False}
    assert by_script(rows) == [
        {"language": "script:Cyrillic", "value": 3.0, "n": 5, "stderr": pytest.approx(0.1), **same},
        {"language": "script:Latin", "value": 1.5, "n": 40, "stderr": pytest.approx(0.25), **same},
        {"language": "script:unknown", "value": 4.0, "n": 2, "stderr": None, **same},
    ]
    assert by_script([]) == []


def test_scripts_stand_in_the_scores_and_count_as_no_languages(tmp_path, tiny_model):
    """Of the base model, beside its languages; neither the leaderboard nor the correlation with transfer sees them."""
    codes = ["de", "fi", "sw", "ru"]
    tasks = {"mini-tatoeba": load_task("mini-tatoeba", "").model_dump(mode="json")}
    bench = Bench(Workplace(str(tmp_path), tiny_model, tasks, {"mini-tatoeba": codes}, limit=8))
    stage = Stage("score", None, ("mini-tatoeba",), ("d",), "tiny", "none", {"measure": "representations"})
    bench.run(stage)
    found = bench.store.record(stage.key)["scores"]
    cut = {row["language"]: row["value"] for row in found if row["metric"] == "fertility"}
    assert set(cut) == {*codes, "script:Cyrillic", "script:Latin"}
    assert cut["script:Latin"] == pytest.approx(sum(cut[code] for code in codes[:3]) / 3)
    assert all(set(row) >= SCORE_KEYS for row in found)

    one = Candidate(Order((("mini-nli",),)), "full", 1e-3)
    scores = [
        {"language": code, "portion": "test", "metric": "accuracy", "main": True, "value": place / 9, "n": 9,
         "stderr": 0.1} for place, code in enumerate(codes)
    ]  # fmt: skip
    own = rows_of(one, 0, "mini-xnli", scores)
    rows = [own + rows_of(one, 0, "mini-tatoeba", kept, stage="none")
            for kept in (found, [row for row in found if row["language"] in codes])]  # fmt: skip
    with_scripts, without = map(table, rows)
    assert len(with_scripts) == len(without) + 2
    correlations = transfer_correlation(with_scripts)
    assert set(correlations.languages) == {4}
    assert correlations.equals(transfer_correlation(without))
    board = leaderboard(with_scripts, {}, "test")
    assert board.equals(leaderboard(without, {}, "test"))


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
    scripts = {row["language"] for row in by_script(rows)}
    assert scripts == {f"script:{LANGUAGES[code].script}" for code in wanted.values()}
