"""The mini suite's own lexicon: its words say one concept each, and mixing them changes nearly every text."""

from __future__ import annotations

import random
from functools import cache
from itertools import combinations

import pytest

from perturb.edits.base import Text
from perturb.edits.code_mixing import CodeMixing
from perturb.lexicon import Lexicon, folded
from trainables.mini import generate, meaning
from trainables.mini.grammar import concept_tags, concepts, language, language_codes
from trainables.mini.lexicon import concepts_of, known_forms, rows
from trainables.mini.meaning import Fact, Saying

every_language = pytest.mark.parametrize("code", language_codes())


@cache
def all_rows():
    return tuple(rows())


@cache
def lexicon():
    return Lexicon.of(all_rows())


def pairs(one, other):
    """What words of one language are in another, by concept."""
    turned = [row if row[0] == one else (*row[2:], *row[:2]) for row in all_rows() if {row[0], row[2]} == {one, other}]
    return {(word, there) for _, word, _, there in turned}


def words_of(code):
    return {word for row in all_rows() for lang, word in (row[:2], row[2:]) if lang == code}


# --- rows -------------------------------------------------------------------------------------------------------------


def test_every_pair_of_languages_has_rows():
    assert len(set(all_rows())) == len(all_rows())
    assert set(lexicon().languages) == set(language_codes())
    assert {(row[0], row[2]) for row in all_rows()} == set(combinations(language_codes(), 2))


def tags_of(word, code):
    (concept,) = concepts_of(word, code)
    tags = {"ADV", *concept_tags().values()}
    return {tag for tag in tags if word in language(code).words_tagged(concept, tag)}


def test_both_sides_say_the_same_concept_with_the_same_tag():
    for one, word, other, there in all_rows():
        assert len(concepts_of(word, one)) == 1
        assert concepts_of(word, one) == concepts_of(there, other)
        assert tags_of(word, one) & tags_of(there, other), (one, word, other, there)


@every_language
def test_a_word_says_the_same_in_whatever_language_it_is_read(code):
    for word in words_of(code):
        read = [concepts_of(word, one) for one in language_codes() if folded(word, one) in known_forms(one)]
        assert read
        assert len(set(map(frozenset, read))) == 1, (word, read)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("en", "hat"), ("en", "lent"), ("tr", "at"), ("es", "Ana"),  # small words or others elsewhere
        ("fr", "grand"), ("tr", "yedi"), ("zh", "大"), ("hi", "दिया"), ("ru", "инструмент"),  # two concepts
        ("en", "piece"), ("en", "more"), ("hi", "में"), ("de", "hat"), ("zh", "在"),  # small words
        ("en", "famous"), ("tr", "satın"), ("sw", "usafiri"), ("ar", "شركة"), ("fi", "otti"),  # one word of several
        ("tr", "satmadı"), ("sw", "hakuuza"), ("fi", "ostiko"), ("id", "dibeli"),  # more than the concept
        ("zh", "马"), ("th", "ยืม"), ("th", "หนังสือ"),  # parts of other words, and found in them
    ],
)  # fmt: skip
def test_left_out(code, word):
    assert word not in words_of(code)
    assert folded(word, code) in known_forms(code)


def test_forms_go_with_forms_of_the_same_features():
    assert {("apple", "Apfel"), ("apples", "Äpfel")} <= pairs("en", "de")
    assert not {("apple", "Äpfel"), ("apples", "Apfel")} & pairs("en", "de")
    assert {("bought", "купил"), ("bought", "купила"), ("buy", "купить")} <= pairs("en", "ru")
    assert ("buy", "купил") not in pairs("en", "ru")
    assert {("große", "большая"), ("großen", "большой")} <= pairs("de", "ru")
    assert ("apples", "elması") in pairs("en", "tr")  # three of her apples
    assert ("buy", "osti") in pairs("en", "fi")  # no infinitive there
    assert ("apple", "omenaa") in pairs("en", "fi")


def test_the_case_of_persons_is_kept():
    assert ("Anna", "Annalle") not in pairs("en", "fi")
    assert {("Annalle", "Anna'ya"), ("Annalle", "Анне"), ("Annalta", "Anna'dan")} <= {
        *pairs("fi", "tr"), *pairs("fi", "ru")
    }  # fmt: skip
    assert ("lääkärille", "Arzt") not in pairs("fi", "de")


@every_language
def test_most_concepts_have_a_word(code):
    said = {concept for word in words_of(code) for concept in concepts_of(word, code)}
    assert said <= set(concept_tags())
    assert len(said) >= 120
    known = concepts()
    for members in (known["colours"], known["cities"], known["names"]):
        assert len(said & set(members)) >= len(members) - 2


def test_code_mixing_needs_no_folder():
    translations = lexicon().translations("apples", "en")
    assert translations["de"] == ("Äpfel",)
    assert set(translations) == set(language_codes()) - {"en"}


@every_language
def test_code_mixing_changes_nearly_every_text(code):
    edit = CodeMixing(lexicon())
    assert edit.exists(code)
    examples = generate.examples("nli", "test", code)
    open_ = [edit.admissible(Text(e.text, code)) for e in examples]
    assert sum(map(bool, open_)) >= 0.9 * len(examples)


# --- words of a language ----------------------------------------------------------------------------------------------


@cache
def sayings():
    rng = random.Random("words")
    facts = [meaning.draw(rng, meaning.KINDS[number % len(meaning.KINDS)]) for number in range(800)]
    return [meaning.say(rng, fact, ask=number % 3 == 0 and not fact.negated) for number, fact in enumerate(facts)]


@every_language
def test_every_word_that_is_said_is_known(code):
    for said in sayings():
        sentence = said.sentence(code)
        for word, tag in zip(sentence.tokens, sentence.tags, strict=True):
            assert tag == "PUNCT" or folded(word, code) in known_forms(code), word
    for kind, roles in meaning.QUESTIONS.items():
        for role in roles:
            asked = meaning.question(code, next(s.facts[0] for s in sayings() if s.facts[0].kind == kind), role)
            for word, tag in zip(asked.tokens, asked.tags, strict=True):
                assert tag == "PUNCT" or folded(word, code) in known_forms(code), word


@every_language
def test_known_forms_are_words_and_folded(code):
    for word in known_forms(code):
        assert any(map(str.isalpha, word))
        assert word in (folded(word, code), word.casefold())


@every_language
def test_each_role_is_said_by_a_word_of_its_concept(code):
    for said in sayings():
        (fact,), (side,) = said.facts, said.sides
        if side and fact.kind in meaning.TWO_WAYS:
            continue
        sentence = said.sentence(code)
        for role, concept in fact.fillers:
            own = [word for word, part in zip(sentence.tokens, sentence.roles, strict=True) if part == role]
            assert any(concept in concepts_of(word, code) for word in own), (role, own)


def test_what_a_word_is_said_for():
    assert concepts_of("Hund", "de") == {"dog"}
    assert concepts_of("KITCHEN", "en") == {"kitchen"}
    assert concepts_of("oyuncak", "tr") == {"toy", "doll"}
    assert concepts_of("İvan'ın", "tr") == concepts_of("ivan'ın", "tr") == {"ivan"}
    assert concepts_of("the", "en") == concepts_of("nothing known", "en") == set()


def test_exchanging_all_words_says_the_same_in_the_other_language():
    fact = Fact.of("event", agent="anna", verb="sell", object="dog", place="berlin")
    words = Saying((fact,), (False,)).sentence("en").tokens
    found = [lexicon().translations(word, "en").get("de", ()) for word in words]
    assert [there for there in found if there] == [("Anna",), ("verkauft",), ("Hund",), ("Berlin",)]
