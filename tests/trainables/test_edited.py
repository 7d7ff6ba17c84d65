"""Examples as edits see them: which fields may change, what in them may not, and that tags and answers stay right."""

from __future__ import annotations

import pytest

from perturb.edits import PLAIN, Resources, make_edit
from perturb.edits.base import WordEdit
from perturb.suite import prepare
from trainables.edited import WORDS, applies, changed, fields_of, item_of, spelled, vocabulary
from trainables.examples import Answer, Example
from trainables.tasks import load_task

TASKS = {
    "classification": "mini-xnli", "tagging": "mini-pos", "span": "mini-xquad", "choice": "mini-cosmos",
    "retrieval": "mini-tatoeba", "mining": "mini-bucc",
}  # fmt: skip


class Longer(WordEdit):
    """Every word gets a letter more."""

    name, description, keeps = "longer", "a letter more", "form"

    def exists(self, language):
        return True

    def options(self, word, language):
        return [f"{word}q"]


def task_of(kind, **changed):
    return load_task(TASKS[kind], "").model_copy(update=changed)


def all_changes(task, example, which="all", edit=None, attested=None):
    """Every site's first option, by field."""
    edit = edit or Longer()
    texts = item_of(task, example, which, attested or {}).texts
    return {name: [(s.start, s.end, s.options[0]) for s in edit.admissible(text)] for name, text in texts.items()}


def longer(task, example, which="all"):
    return changed(task, example, all_changes(task, example, which))


# --- which fields -----------------------------------------------------------------------------------------------------

PAIR = Example("1", "en", "The dog sleeps.", "Some cat runs.", label="neutral")


@pytest.mark.parametrize(
    ("which", "texts"),
    [
        ("all", ("Theq dogq sleepsq.", "Someq catq runsq.")),
        ("first", ("Theq dogq sleepsq.", "Some cat runs.")),
        ("second", ("The dog sleeps.", "Someq catq runsq.")),
    ],
)
def test_a_pair(which, texts):
    found = longer(task_of("classification"), PAIR, which)
    assert (found.text, found.pair) == texts
    assert (found.id, found.lang, found.label) == ("1", "en", "neutral")


def test_a_single_sentence_has_no_second_text():
    task, example = load_task("mini-topic", ""), Example("1", "en", "The dog sleeps.", label="animals")
    assert fields_of(task, example, "all") == fields_of(task, example, "first") == ["text"]
    assert fields_of(task, example, "second") == []
    assert longer(task, example, "second") == example


def test_a_choice_keeps_its_choices():
    example = Example("1", "en", "Anna reads here.", "What does she do?", "1", choices=("She sleeps.", "She reads."))
    found = longer(task_of("choice"), example)
    assert (found.text, found.pair) == ("Annaq readsq hereq.", "Whatq doesq sheq doq?")
    assert (found.choices, found.label) == (example.choices, "1")


def test_of_retrieval_the_query_alone():
    example = Example("1", "de", "Der Hund rennt.", "The dog runs.")
    found = longer(task_of("retrieval"), example)
    assert (found.text, found.pair) == ("Derq Hundq renntq.", "The dog runs.")


def test_of_mining_the_other_languages_side_alone():
    task = task_of("mining")
    source = Example("1", "de", "Der Hund rennt.", "2", "source")
    target = Example("2", "de", "The dog runs.", "1", "target")
    assert longer(task, source).text == "Derq Hundq renntq."
    assert longer(task, source).pair == "2"
    assert longer(task, target) == target
    assert fields_of(task, target, "all") == []


# --- what may not change ----------------------------------------------------------------------------------------------


def test_numbers_and_negations_stay():
    example = Example("1", "en", "He never paid 3 of the 12th bills.", "Nobody saw it.", label="neutral")
    found = longer(task_of("classification"), example)
    assert (found.text, found.pair) == ("Heq never paidq 3 ofq theq 12th billsq.", "Nobody sawq itq.")


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("number", range(4))
def test_names_and_numerals_of_tagged_words_stay(number, fixed):
    tag = (("PROPN", "NUM", "B-PER", "I-LOC") if fixed else ("NOUN", "O", "I-AGENT", "X"))[number]
    example = Example("1", "en", words=("dogs", "Berlin", "sleep"), tags=("NOUN", tag, "VERB"))
    found = longer(task_of("tagging"), example)
    assert found.words == ("dogsq", "Berlin" if fixed else "Berlinq", "sleepq")
    assert found.tags == example.tags


def test_a_tag_stays_with_its_word():
    """Also of words that have a space in them, or are no words to ICU."""
    words = ("Anh", "học sinh", "ngủ", "…", "nhà")
    example = Example("1", "vi", words=words, tags=("PRON", "NOUN", "VERB", "PUNCT", "NOUN"))
    (text,) = item_of(task_of("tagging"), example, "all", {}).texts.values()
    assert [text.text[start:end] for start, end in text.words] == list(words)
    for name in PLAIN:
        edit = make_edit(name, Resources())
        if edit and edit.one_to_one:
            for severity, (changes,) in _prepared(edit, task_of("tagging"), example).items():
                found = changed(task_of("tagging"), example, changes)
                assert len(found.words) == len(words), (name, severity)
                assert found.tags == example.tags
                assert all(word.strip() for word in found.words), (name, severity)
                assert not any("\n" in word for word in found.words), (name, severity)
    assert longer(task_of("tagging"), example).words[::2] == ("Anhq", "ngủq", "nhàq")


def _prepared(edit, task, example, severities=(1, 3, 5)):
    edited = prepare([edit], [item_of(task, example, "all", {})], severities, 0)
    return {severity: rows for (_, severity), rows in edited.changes.items()}


def test_a_word_with_a_space_in_it_is_left_alone():
    example = Example("1", "vi", words=("học sinh", "ngủ"), tags=("NOUN", "VERB"))
    assert longer(task_of("tagging"), example).words == ("học sinh", "ngủq")


CONTEXT = "The mill by the river has a red door, and the red door is old."
ANSWERS = (Answer("red door", 28), Answer("the red door", 42))
QUESTION = Example("1", "en", "What is old by the red door?", CONTEXT, answers=ANSWERS)


def test_answers_move_with_their_text():
    """Wherever the answer stands it is left as it is, in the question too."""
    for found in (longer(task_of("span"), QUESTION), longer(task_of("span"), QUESTION, "second")):
        assert [found.pair[a.start : a.start + len(a.text)] for a in found.answers] == ["red door", "the red door"]
        assert found.pair == "Theq millq byq theq riverq hasq aq red door, andq the red door isq oldq."
        assert [a.start for a in found.answers] == [35, 50]
    assert longer(task_of("span"), QUESTION).text == "Whatq isq oldq byq the red door?"
    first = longer(task_of("span"), QUESTION, "first")
    assert (first.pair, first.answers) == (CONTEXT, ANSWERS)


def test_every_edit_leaves_gold_answers_where_they_stand():
    """Of a question on an own paragraph, at several severities, in four scripts."""
    task = task_of("span")
    paragraphs = {
        "en": ("Who lives in the old house?", "Anna lives in the old house. In the garden Anna has 3 trees.", "Anna"),
        "ru": ("Кто живёт в старом доме?", "Анна живёт в старом доме. В саду у Анны нет деревьев, Анна спит.", "Анна"),
        "hi": ("पुराने घर में कौन रहता है?", "अन्ना पुराने घर में रहती है। बाग़ में अन्ना के पेड़ हैं।", "अन्ना"),
        "zh": ("谁住在老房子里?", "安娜住在老房子里。花园里安娜有树。", "安娜"),
    }
    for language, (question, context, answer) in paragraphs.items():
        starts = [i for i in range(len(context)) if context.startswith(answer, i)]
        example = Example("1", language, question, context, answers=tuple(Answer(answer, i) for i in starts))
        for name in PLAIN:
            edit = make_edit(name, Resources())
            if not applies(edit, task, language) or getattr(edit, "order_matters", False):
                continue
            for severity, (changes,) in _prepared(edit, task, example).items():
                found = changed(task, example, changes)
                for a in found.answers:
                    assert found.pair[a.start : a.start + len(a.text)] == answer, (language, name, severity)
                assert len({a.start for a in found.answers}) == len(starts)


def test_no_misspelling_is_another_word_of_the_set():
    example = Example("1", "en", "The dog sleeps.", label="neutral")
    task = load_task("xnli", "")
    attested = vocabulary(task, [example, Example("2", "en", "A DOGQ!", "theq mill", label="neutral")])
    assert attested == {"en": frozenset({"the", "dog", "sleeps", "a", "dogq", "theq", "mill"})}
    assert changed(task, example, all_changes(task, example, attested=attested)).text == "The dog sleepsq."


def test_the_vocabulary_of_tagged_words():
    example = Example("1", "vi", words=("Học sinh", "ngủ"), tags=("NOUN", "VERB"))
    assert vocabulary(load_task("udpos", ""), [example])["vi"] == frozenset({"học sinh", "ngủ"})


def test_of_the_mini_suite_all_words_of_its_languages_are_known():
    examples = [Example("1", "de", "Xyz.", label="x"), Example("1", "ru", "Икс.", label="x")]
    found, plain = (vocabulary(load_task(name, ""), examples) for name in ("mini-xnli", "xnli"))
    assert plain == {"de": {"xyz"}, "ru": {"икс"}}
    assert all(found[code] > plain[code] and len(found[code]) > 100 for code in plain)


# --- two languages ----------------------------------------------------------------------------------------------------


def test_a_pair_in_two_languages():
    task = load_task("mini-pawsx-mixed", "")
    example = Example("1", "es-ru", "El perro duerme.", "Собака спит.", label="different")
    texts = item_of(task, example, "all", vocabulary(task, [example])).texts
    assert {name: text.language for name, text in texts.items()} == {"text": "es", "pair": "ru"}
    assert texts["text"].attested >= {"el", "perro", "duerme"}
    assert texts["pair"].attested >= {"собака", "спит"}
    assert "собака" not in texts["text"].attested
    changes = {n: [(s.start, s.end, s.options[0]) for s in Longer().admissible(t)] for n, t in texts.items()}
    assert changes["pair"] == []  # no Latin letter in a Russian word
    assert changed(task, example, changes).text == "Elq perroq duermeq."


class OnlyIn(Longer):
    def __init__(self, *codes):
        self.codes = codes

    def exists(self, language):
        return language in self.codes


def test_an_edit_is_for_a_pair_of_languages_if_for_both():
    task = load_task("mini-pawsx-mixed", "")
    assert applies(OnlyIn("es", "ru"), task, "es-ru")
    assert not applies(OnlyIn("es"), task, "es-ru")
    assert not applies(OnlyIn("ru"), task, "es-ru")
    assert not applies(OnlyIn("es-ru"), task, "es-ru")


def test_edits_of_the_order_are_for_tasks_whose_labels_do_not_hang_on_it():
    order = {name for name in PLAIN if getattr(make_edit(name, Resources()), "order_matters", False)}
    assert order >= {"word-order", "dropped-words", "doubled-words"}
    for name in order:
        edit = make_edit(name, Resources())
        for task in ("mini-pawsx", "mini-paraphrase", "mini-pawsx-mixed", "pawsx", "pawsx-mixed", "mini-pos", "panx"):
            assert not applies(edit, load_task(task, ""), "en"), (name, task)
        assert applies(edit, load_task("mini-xnli", ""), "en")


def test_tagged_words_have_edits_of_single_words_alone():
    task = task_of("tagging")
    for name in PLAIN:
        edit = make_edit(name, Resources())
        assert applies(edit, task, "en") == (edit.one_to_one and edit.exists("en") and not _orders(edit)), name


def _orders(edit):
    return not edit.one_to_one and getattr(edit, "order_matters", False)


# --- spelled: what an attack writes -----------------------------------------------------------------------------------


def test_what_is_spelled_is_what_is_changed():
    for kind, example in (
        ("classification", PAIR), ("span", QUESTION), ("retrieval", Example("1", "de", "Der Hund.", "The dog.")),
        ("tagging", Example("1", "vi", words=("Anh", "học sinh"), tags=("PRON", "NOUN"))),
        ("choice", Example("1", "en", "Anna reads.", None, "0", choices=("Yes.", "No."))),
    ):  # fmt: skip
        task = task_of(kind)
        found = longer(task, example)
        fields = fields_of(task, example, "all")
        texts = ["\n".join(found.words) if name == WORDS else getattr(found, name) for name in fields]
        assert spelled(task, example, fields, texts) == found, kind
        plain = ["\n".join(example.words) if name == WORDS else getattr(example, name) for name in fields]
        assert spelled(task, example, fields, plain) == example, kind


@pytest.mark.parametrize(
    ("context", "answer", "start", "edited", "place"),
    [
        ("red and red and red", "red", 8, "redd andd red andd red", 10),  # one of three became another word
        ("aXaXa b", "aXa", 2, "aXaXa bb", 2),  # it overlaps itself
        ("x aaa aa", "aa", 6, "xx aaa aa", 7),
        ("no. a b", "a", 4, "na. a b", 4),  # an edit made another one before it
        ("b a no", "a", 2, "bb a na", 3),
        ("the mill", "mill", 4, "the mill", 4),
    ],
)
def test_an_answer_is_found_again(context, answer, start, edited, place):
    example = Example("1", "en", "What?", context, answers=(Answer(answer, start),))
    found = spelled(task_of("span"), example, ["text", "pair"], ["Whatt?", edited])
    assert found.answers == (Answer(answer, place),)
