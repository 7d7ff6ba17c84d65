"""Edits that keep the meaning, by a lexicon, a wordnet or translations, and masked words: what each offers."""

from __future__ import annotations

import itertools
import random

import pytest

from perturb.align import Aligner
from perturb.edits.base import Text, survives
from perturb.edits.code_mixing import CodeMixing
from perturb.edits.masked_lm import CONTEXT, MaskedLM, fill_by
from perturb.edits.phrases import MOST_WORDS, PhraseMixing
from perturb.edits.synonyms import Synonyms
from perturb.errors import BadInput
from perturb.lexicon import Lexicon, Wordnet
from perturb.protect import fixed_spans
from perturb.segment import graphemes

LEXICON = Lexicon.of(
    [
        ("en", "dog", "de", "Hund"), ("en", "dog", "ru", "собака"), ("en", "dog", "th", "หมา"),
        ("en", "ice", "de", "gefrorenes Wasser"), ("en", "taxi", "de", "Taxi"), ("en", "taxi", "fr", "taxi"),
        ("zh", "喜欢", "en", "like"), ("zh", "猫", "en", "cat"), ("zh", "猫", "ja", "ねこ"),
        ("hi", "किताब", "en", "book"), ("ar", "كتاب", "en", "book"), ("ka", "ძაღლი", "en", "dog"),
        ("ko", "책", "en", "book"), ("th", "แมว", "en", "cat"),
        *(("en", "go", "fi", f"mennä{'n' * times}") for times in range(100)),
    ]
)  # fmt: skip


def offered(edit, text, language="en", **given):
    """What an edit offers, by what stands there now."""
    text = Text(text, language, **given)
    return {text.text[start:end]: list(options) for start, end, options in edit.admissible(text)}


class TestCodeMixing:
    edit = CodeMixing(LEXICON)

    @pytest.mark.parametrize(
        ("text", "language", "options"),
        [
            ("My dog sleeps.", "en", {"dog": ["Hund", "ძაღლი", "собака", "หมา"]}),
            ("DOG!", "eng", {"DOG": ["HUND", "ძაღლი", "СОБАКА", "หมา"]}),
            ("यह किताब है", "hi", {"किताब": ["book"]}),
            ("هذا كِتَاب", "ar", {"كِتَاب": ["book"]}),
            ("ძაღლი აქ არის", "ka", {"ძაღლი": ["dog"]}),
            ("이 책", "ko", {"책": ["book"]}),
            ("dog42 and 42", "en", {}),
            ("A taxi", "en", {}),  # it is the same word there
        ],
    )
    def test_a_word_becomes_what_it_is_elsewhere(self, text, language, options):
        assert offered(self.edit, text, language) == options

    def test_a_language_to_mix_in_may_be_chosen(self):
        edit = CodeMixing(LEXICON, ["deu", "th"])
        assert offered(edit, "My dog") == {"dog": ["Hund", "หมา"]}
        assert edit.exists("en")
        assert not edit.exists("ko")  # it has English words alone
        with pytest.raises(BadInput, match="the lexicon has no words of 'sw'") as told:
            CodeMixing(LEXICON, ["de", "sw"])
        assert "ar, de, en" in told.value.right

    def test_it_exists_where_the_lexicon_has_words(self):
        assert all(self.edit.exists(language) for language in ("en", "eng_Latn", "hi", "zh", "cmn", "de", "ja"))
        assert not any(self.edit.exists(language) for language in ("sw", "zh_Hant", "xx"))
        assert self.edit.admissible(Text("hund", "sv")) == []

    def test_words_run_into_none_where_they_stand_without_spaces(self):
        assert offered(self.edit, "我喜欢猫。", "zh") == {"喜欢": [" like "], "猫": [" cat", "ねこ"]}
        assert offered(self.edit, "แมว แมว", "th") == {"แมว": ["cat"]}
        given = {"spans": ((0, 1), (1, 3), (3, 4))}
        assert offered(self.edit, "我喜欢猫。", "zh", **given) == {"喜欢": ["like"], "猫": ["cat", "ねこ"]}

    def test_a_tagged_word_stays_one_word(self):
        assert offered(self.edit, "ice") == {"ice": ["gefrorenes Wasser"]}
        assert offered(self.edit, "ice", spans=((0, 3),)) == {}

    def test_no_number_comes_of_a_word(self):
        edit = CodeMixing(
            Lexicon.of([("en", "eleven", "th", "๑๑"), ("en", "water", "fi", "H2O"), ("en", "water", "fi", "vesi")])
        )
        assert offered(edit, "eleven glasses of water") == {"water": ["vesi"]}

    def test_what_is_fixed_stays(self):
        assert [site.start for site in self.edit.admissible(Text("dog and dog", "en", fixed=((0, 3),)))] == [8]
        assert offered(self.edit, "dog", fixed=((1, 2),)) == {}

    def test_many_options_are_cut_to_a_fixed_spread(self):
        options = offered(self.edit, "go")["go"]
        assert len(options) == 64
        assert len(set(options)) == 64
        assert max(map(len, options)) > 90  # not the first 64

    def test_on_the_published_lexicons(self, data_dir):
        edit = CodeMixing(Lexicon.read(data_dir / "bli_xling"))
        found = offered(edit, "The old road ends at the river.")
        assert "vieux" in found["old"]
        assert "nehir" in found["river"]


class TestSynonyms:
    wordnet = Wordnet(
        [
            {"eng": ["quick", "rapid"], "cmn": ["快", "迅速"], "ell": ["γρήγορος", "ταχύς"], "heb": ["מָהִיר", "זָרִיז"]},
            {"eng": ["bank", "shore"]}, {"eng": ["bank", "depository"]}, {"pol": ["ładny", "bardzo_ładny"]},
        ]
    )  # fmt: skip
    edit = Synonyms(wordnet)

    @pytest.mark.parametrize(
        ("text", "language", "options"),
        [
            ("A Quick fox at the bank", "en", {"Quick": ["Rapid"]}), ("Ο ταχύς", "el", {"ταχύς": ["γρήγορος"]}),
            ("הוא מהיר", "he", {"מהיר": ["זריז"]}), ("他迅速", "zh", {"迅速": ["快"]}), ("ładny", "pl", {}),
        ],
    )  # fmt: skip
    def test_a_word_becomes_one_of_the_same_sets(self, text, language, options):
        assert offered(self.edit, text, language) == options

    def test_it_exists_where_some_set_has_two_words(self):
        assert self.edit.exists("en")
        assert self.edit.exists("ell")
        assert not self.edit.exists("pl")  # one of its two is of two words
        assert not self.edit.exists("sw")

    def test_on_the_published_wordnet(self, data_dir):
        edit = Synonyms(Wordnet.read(data_dir))
        assert "meurtre" in offered(edit, "L'auteur d'un assassinat", "fr")["assassinat"]
        assert not edit.exists("hi")


NOUNS = [
    ("cat", "Katze", "猫", "बिल्ली"),
    ("cow", "Kuh", "牛", "गाय"),
    ("girl", "Frau", "女孩", "लड़की"),
    ("bee", "Biene", "蜂", "मक्खी"),
]
VERBS = [("sees", "sieht", "看见", "देखती"), ("hears", "hört", "听见", "सुनती"), ("finds", "findet", "找到", "पाती")]
KINDS = [("old", "alte", "老", "बूढ़ी"), ("small", "kleine", "小", "छोटी"), ("clever", "kluge", "聪明", "चतुर")]


def sentences():
    """Items in four languages, two of them with another order of words, one without spaces."""
    for who, kind, does, whom in itertools.product(NOUNS, KINDS, VERBS, NOUNS):
        yield {
            "en": f"The {kind[0]} {who[0]} {does[0]} this {whom[0]}.",
            "de": f"Die {kind[1]} {who[1]} {does[1]} diese {whom[1]}.",
            "zh": f"{kind[2]}{who[2]}{does[2]}{whom[2]}。",
            "hi": f"{kind[3]} {who[3]} {whom[3]} को {does[3]} है।",
        }


def parallel(items):
    return {(language, text): item for item in items for language, text in item.items()}


@pytest.fixture(scope="module")
def mixing():
    return PhraseMixing(parallel(sentences()))


class TestPhraseMixing:
    def test_a_phrase_becomes_what_stands_for_it_in_a_translation(self):
        edit = PhraseMixing(parallel(sentences()), into=["de"])
        text = Text("The old cat sees this bee.", "en")
        options = {text.text[start:end]: list(options) for start, end, options in edit.admissible(text)}
        assert options == {"The old": ["Die alte"], "cat sees this bee": ["Katze sieht diese Biene"]}

    def test_it_finds_phrases_over_another_order_of_words(self):
        edit = PhraseMixing(parallel(sentences()), into=["hi"])
        assert offered(edit, "The old cat sees this bee.") == {
            "old": ["बूढ़ी"], "cat sees this bee": ["बिल्ली मक्खी को देखती"],
        }  # fmt: skip
        back = PhraseMixing(parallel(sentences()), into=["en"])
        assert offered(back, "बूढ़ी बिल्ली मक्खी को देखती है।", "hi") == {
            "बूढ़ी": ["old"], "बिल्ली मक्खी को देखती": ["cat sees this bee"],
        }  # fmt: skip

    def test_sites_are_in_order_and_apart_and_survive(self, mixing):
        for item in itertools.islice(sentences(), 0, None, 10):
            for language, text in item.items():
                sites = mixing.admissible(Text(text, language))
                assert sites
                assert all(one.end <= two.start for one, two in itertools.pairwise(sites))
                assert all(survives(text[s.start : s.end], option) for s in sites for option in s.options)

    def test_the_order_of_the_texts_does_not_matter(self, mixing):
        turned = PhraseMixing(parallel(reversed(list(sentences()))))
        for item in itertools.islice(sentences(), 0, None, 13):
            for language, text in reversed(item.items()):
                assert turned.admissible(Text(text, language)) == mixing.admissible(Text(text, language))

    def test_numbers_and_negations_are_in_no_phrase(self):
        items = [
            {"en": f"You {one} not {two} in 7 boats", "de": f"Du {eins} nicht {zwei} in 7 Booten"}
            for (one, eins), (two, zwei) in itertools.product(
                [("may", "darfst"), ("can", "kannst"), ("must", "musst")], [("go", "gehen"), ("sit", "sitzen")]
            )
        ]
        edit = PhraseMixing(parallel(items))
        for item in items:
            for language, text in item.items():
                kept = [text[start:end] for start, end in fixed_spans(text, language)]
                sites = edit.admissible(Text(text, language))
                assert len(kept) == 2
                assert sites
                for site in sites:
                    assert not set(kept) & set(text[site.start : site.end].split())
                    assert not {"not", "nicht", "7"} & {word for option in site.options for word in option.split()}

    def test_punctuation_parts_phrases(self):
        words_ = itertools.product(KINDS, NOUNS, VERBS)
        items = [{"en": f"{a[0]}, {b[0]} {c[0]}", "de": f"{a[1]}, {b[1]} {c[1]}"} for a, b, c in words_]
        edit = PhraseMixing(parallel(items))
        assert offered(edit, "old, cat sees") == {"old": ["alte"], "cat sees": ["Katze sieht"]}

    def test_what_is_fixed_stays_and_other_phrases_are_taken(self):
        edit = PhraseMixing(parallel(sentences()), into=["de"])
        text = "The old cat sees this bee."
        start = text.index("sees")
        assert offered(edit, text, fixed=((start + 1, start + 2),)) == {
            "The old cat": ["Die alte Katze"], "this bee": ["diese Biene"],
        }  # fmt: skip

    def test_it_is_for_texts_that_have_translations(self, mixing):
        assert mixing.exists("en")
        assert not mixing.exists("fr")
        assert mixing.admissible(Text("The old cat sees no one.", "en")) == []
        assert not PhraseMixing({("en", "Hi"): {"en": "Hi"}}).exists("en")
        assert not PhraseMixing(parallel(sentences()), into=["fr"]).exists("en")

    def test_a_very_long_text_has_no_phrases(self):
        long = {"en": "cat " * (MOST_WORDS + 1), "de": "Katze"}
        edit = PhraseMixing(parallel([long, *itertools.islice(sentences(), 20)]))
        assert edit.admissible(Text(long["en"], "en")) == edit.admissible(Text("Katze", "de")) == []

    def test_words_run_into_none_where_they_stand_without_spaces(self, mixing):
        for site in mixing.admissible(Text("老猫看见牛。", "zh")):
            for option in site.options:
                assert (site.start == 0) != option.startswith(" ") or option.strip() == option == "牛"
                assert (site.end == 5) != option.endswith(" ")

    def test_on_published_translations(self, data_dir):
        import gzip
        import json

        items: dict[int, dict[str, str]] = {}
        with gzip.open(data_dir / "xnli" / "val.jsonl.gz", "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                if row["lang"] in ("en", "de", "th", "zh"):
                    items.setdefault(row["id"], {})[row["lang"]] = row["hypothesis"]
        edit = PhraseMixing(parallel(items.values()))
        for language in ("en", "th"):
            texts = [Text(item[language], language) for item in items.values()][:100]
            assert sum(bool(edit.admissible(text)) for text in texts) >= 90


class TestAligner:
    PAIRS = tuple((item["en"][:-1].lower().split(), item["de"][:-1].lower().split()) for item in sentences())

    def test_words_are_aligned_with_their_translations(self):
        aligner = Aligner(self.PAIRS)
        links = aligner.links(*self.PAIRS[0])
        assert {place: other for place, (other, _) in links.items()} == {place: place for place in range(6)}
        assert all(0 < chance <= 1 for _, chance in links.values())
        back = aligner.reversed().links(["katze", "unbekannt"], ["unknown", "cat"])
        assert {place: other for place, (other, _) in back.items()} == {0: 1}

    def test_equal_words_are_aligned_along_the_diagonal(self):
        aligner = Aligner([(["a", "b"], ["x", "y"]), (["a", "c"], ["x", "z"])])
        links = aligner.links(["a", "b", "a"], ["x", "y", "x"])
        assert {place: other for place, (other, _) in links.items()} == {0: 0, 1: 1, 2: 2}

    def test_phrases_are_consistent(self):
        rng = random.Random(0)
        ones = [rng.sample([f"a{number}" for number in range(12)], 7) for _ in range(80)]
        pairs = [(one, rng.sample([word.replace("a", "b") for word in one], 7)) for one in ones]
        aligner, count = Aligner(pairs), 0
        for one, two in pairs:
            links = {place: other for place, (other, _) in aligner.links(one, two).items()}
            for start, end, first, last, strength in aligner.phrases(one, two, longest=3, strength=0.5):
                count += end - start > 1
                inside = {place for place, other in links.items() if start <= place < end}
                assert inside == {place for place, other in links.items() if first <= other < last}
                assert {start, end - 1} <= inside
                assert {first, last - 1} <= {links[place] for place in inside}
                assert max(end - start, last - first) <= 3
                assert 0.5 <= strength <= 1 + 1e-9
        assert count > 50

    @pytest.mark.parametrize("pairs", [[], [((), ())], [(("a",), ())]])
    def test_nothing_is_learned_of_nothing(self, pairs):
        assert Aligner(pairs).links(["a"], ["b"]) == {}
        assert list(Aligner(pairs).phrases(["a"], ["b"])) == []


class Fill:
    """A model that always has the same words in mind, and remembers what it was asked."""

    def __init__(self, *pieces):
        self.pieces, self.asked = pieces, []

    def __call__(self, texts, most):
        self.asked.append(texts)
        return [list(self.pieces[:most]) for _ in texts]


class TestMaskedLM:
    def test_a_word_becomes_what_is_likely_in_its_place(self):
        fill = Fill(" cat", "s", " dog", " Dog", " 狗", " two words", " x1", " .", " \u0301", "")
        assert offered(MaskedLM(fill, "<mask>"), "My dog (old) ran.") == {
            "My": ["Cat", "Dog"], "dog": ["cat"], "old": ["s"], "ran": ["cat", "dog", "Dog"],
        }  # fmt: skip
        assert fill.asked == [
            ["<mask> dog (old) ran.", "My <mask> (old) ran.", "My dog (<mask>) ran.", "My dog (old) <mask>."]
        ]

    def test_any_script_and_words_without_spaces(self):
        edit = MaskedLM(Fill("狗", " 猫", "dog", "ี", "หมา", "кот", " собака"), "[MASK]")
        assert offered(edit, "我喜欢猫", "zh") == {"我": ["狗", "猫"], "喜欢": ["狗", "猫"], "猫": ["狗"]}
        assert offered(edit, "แมว", "th") == {"แมว": ["หมา"]}
        assert offered(edit, "Тут кот", "ru") == {"Тут": ["Собака"], "кот": ["собака"]}
        assert all(graphemes("แมว" + option) for option in offered(edit, "แมว", "th")["แมว"])

    def test_a_text_is_one_call_and_is_asked_once(self):
        fill = Fill(" cat")
        edit = MaskedLM(fill, "<mask>")
        first = offered(edit, "My dog my dog")
        assert offered(edit, "My dog my dog") == first
        assert len(fill.asked) == 1
        offered(edit, "My dog my fox")
        assert len(fill.asked) == 2
        assert fill.asked[1] == ["<mask> dog my fox", "My <mask> my fox", "My dog <mask> fox"]  # the last is known

    def test_what_is_fixed_or_no_word_of_the_language_is_not_masked(self):
        fill = Fill(" cat")
        assert list(offered(MaskedLM(fill, "<mask>"), "one 12 кот no two", fixed=((11, 13),))) == ["one", "two"]
        assert len(fill.asked[0]) == 2

    def test_the_model_sees_the_words_about_the_mask(self):
        fill = Fill(" cat")
        words_ = [f"{letter}{other}" for letter in "abcdefghij" for other in "klmnopqrst"]
        offered(MaskedLM(fill, "<mask>"), " ".join(words_))
        assert fill.asked[0][50].split() == [*words_[50 - CONTEXT : 50], "<mask>", *words_[51 : 51 + CONTEXT]]
        assert fill.asked[0][0].split() == ["<mask>", *words_[1 : 1 + CONTEXT]]
        assert fill.asked[0][99].split() == [*words_[99 - CONTEXT : 99], "<mask>"]

    def test_the_mask_itself_in_a_text_is_no_trouble(self):
        fill = Fill(" cat")
        assert offered(MaskedLM(fill, "<mask>"), "My <mask> dog") == {}
        assert fill.asked == []

    def test_as_many_words_as_are_wanted(self):
        edit = MaskedLM(Fill(*(f" {letter}at" for letter in "bcfhmprs")), "<mask>", most=3)
        assert offered(edit, "It sat.")["sat"] == ["bat", "cat", "fat"]

    def test_the_shipped_model_fills_in_words(self):
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        from trainables.fingerprint import MICRO

        tokenizer, model = AutoTokenizer.from_pretrained(MICRO), AutoModelForMaskedLM.from_pretrained(MICRO).eval()
        edit = MaskedLM(fill_by(model, tokenizer), tokenizer.mask_token)
        found = offered(edit, "The teacher saw a red book.")
        assert len(found) >= 5
        assert {"big", "green", "small", "new", "old"} & set(found["red"])
        for text, language in (
            ("老师看见一本书。", "zh"),
            ("Мальчик дал девочке книгу.", "ru"),
            ("लड़के ने किताब दी।", "hi"),
        ):
            assert len(offered(edit, text, language)) >= 2
        again = MaskedLM(fill_by(model, tokenizer, batch=1), tokenizer.mask_token)
        assert offered(again, "The teacher saw a red book.") == found

    @pytest.mark.parametrize(
        ("pieces", "written"),
        [
            (["▁cat", "s", "<mask>"], [" cat", "s"]),
            (["cat", "##s", "[MASK]"], [" cat", "s"]),
            (["Ġcat", "s", "<mask>"], [" cat", "s"]),
        ],
    )  # fmt: skip
    def test_pieces_of_every_kind_of_tokenizer_are_told_apart(self, pieces, written):
        import torch
        from transformers import BatchEncoding

        class Tokenizer:
            mask_token_id, all_special_ids = 2, [2]

            def __len__(self):
                return 3

            def __call__(self, texts, **_):
                return BatchEncoding({"input_ids": torch.tensor([[2]] * len(texts))})

            def convert_ids_to_tokens(self, numbers):
                return [pieces[number] for number in numbers]

            def convert_tokens_to_string(self, pieces):
                return "".join(pieces).replace("Ġ", " ")

        class Model:
            device = "cpu"

            def __call__(self, input_ids):
                return type("Output", (), {"logits": torch.tensor([3.0, 2.0, 9.0]).expand(*input_ids.shape, 3)})

        assert fill_by(Model(), Tokenizer())(["<mask>"], 2) == [written]


ODD = ["", "a", "12 34", "😀😀", "\ud800", "\0", "a\ud800b", "dog \0 猫 عربي dog", " ", "…", "e\u0301" * 3]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("language", ["en", "zh", "th", "ar"])
def test_odd_texts_are_no_trouble(text, language):
    edits = [
        CodeMixing(LEXICON), TestSynonyms.edit, MaskedLM(Fill(" cat", "猫", "หมา"), "<mask>"),
        PhraseMixing({(language, text): {"de": text + "x"}, ("de", text + "x"): {language: text}}),
    ]  # fmt: skip
    for edit in edits:
        for start, end, options in edit.admissible(Text(text, language)):
            assert 0 <= start < end <= len(text)
            assert options


def test_a_long_text_is_no_trouble():
    text = "my dog likes ice " * 1250
    assert len(CodeMixing(LEXICON).admissible(Text(text, "en"))) == 2500
    assert len(MaskedLM(Fill(" cat"), "<mask>").admissible(Text(text, "en"))) == 5000


def test_what_they_keep_is_said():
    assert [edit.keeps for edit in (CodeMixing, Synonyms, PhraseMixing, MaskedLM)] == ["meaning"] * 2 + ["stress"] * 2
    assert [edit.one_to_one for edit in (CodeMixing, PhraseMixing, Synonyms, MaskedLM)] == [True, False, True, True]
    assert [edit.leaves_script for edit in (CodeMixing, PhraseMixing, Synonyms, MaskedLM)] == [True, True, False, False]
