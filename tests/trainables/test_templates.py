"""Tasks in text form: templates as data, their mistakes, and what has no text form."""

from __future__ import annotations

import pytest

from trainables.config import build, names
from trainables.errors import Mistake
from trainables.examples import Answer, Example
from trainables.tasks import Task, load_task
from trainables.templates import PLACEHOLDERS, IclSettings, Template, refusal

NLI = {"name": "t", "kind": "classification", "source": {"mini": "nli"}, "labels": ["entailment", "contradiction"]}
PAIR = Example("1", "en", text="Anna reads {pair}.", pair="Anna sleeps.", label="contradiction")


def task(**fields) -> Task:
    return build(Task, {**NLI, **fields}, "my.yaml")


def test_a_prompt_fills_each_placeholder_once_and_reads_none_in_the_texts():
    template = Template(text="Known: {text}\nClaim: {pair}\nAnswer:")
    assert template.prompt(PAIR, "en") == "Known: Anna reads {pair}.\nClaim: Anna sleeps.\nAnswer:"
    assert template.prompt(PAIR, "en", empty=True) == "Known: N/A\nClaim: N/A\nAnswer:"


def test_continuations_of_labels_are_listed_or_the_labels_themselves():
    own = task(template={"text": "{text} {pair}", "answers": {"entailment": " yes"}})
    assert own.template.continuations(own, PAIR, "en") == [" yes", " contradiction"]
    assert own.template.demonstration(own, PAIR) == "Anna reads {pair}. Anna sleeps. contradiction\n\n"


def test_a_language_has_its_own_wording_and_english_for_the_rest():
    german = {"text": "Bekannt: {text} Also: {pair}", "answers": {"contradiction": " nein"}}
    own = task(template={"text": "{text}", "answers": {"entailment": " yes"}, "languages": {"de": german}})
    assert own.template.prompt(PAIR, "de").startswith("Bekannt: Anna")
    assert own.template.continuations(own, PAIR, "de") == [" yes", " nein"]
    assert own.template.continuations(own, PAIR, "fr") == [" yes", " contradiction"]


def test_choices_are_continued_by_text_or_letter():
    item = Example("1", "en", text="She sits and", choices=("eats.", "flies."), label="1")
    fields = {"name": "c", "kind": "choice", "source": {"mini": "swag"}, "labels": []}
    plain = build(Task, {**fields, "template": {"text": "{text}"}}, "my.yaml")
    assert plain.template.continuations(plain, item, "en") == [" eats.", " flies."]
    assert plain.template.right(plain, item) == 1
    lettered = build(Task, {**fields, "template": {"text": "{text}\n{choices}\n=", "choices": "letter"}}, "my.yaml")
    assert lettered.template.prompt(item, "en") == "She sits and\nA. eats.\nB. flies.\n="
    assert lettered.template.continuations(lettered, item, "en") == [" A", " B"]


def test_an_answer_ends_with_a_line_break_and_none_has_a_word():
    squad = load_task("mini-squad2", "test")
    asked = Example("1", "en", text="Where?", pair="In Rome.", answers=(Answer("In Rome", 0),))
    assert squad.template.continuations(squad, asked, "en") == [" In Rome\n"]
    assert squad.template.demonstration(squad, asked).endswith("Answer: In Rome\n\n")
    nothing = Example("2", "en", text="When?", pair="In Rome.")
    assert squad.template.continuations(squad, nothing, "en") == [" unanswerable\n"]


@pytest.mark.parametrize(
    ("template", "key", "said"),
    [
        ({"text": "{text} {premise}"}, "template.text", "unknown placeholder {premise}"),
        ({"text": "say something"}, "template.text", "no placeholder"),
        ({"text": "{text}", "languages": {"de": {"text": "{oops}"}}}, "template.languages.de.text", "{oops}"),
        ({"text": "{text}", "joyner": "-"}, "template.joyner", "unknown key"),
        ({"text": "{text} {choices}"}, "", "template.text: {choices} is no part of a classification task"),
        ({"text": "{text}", "answers": {"neutral": " maybe"}}, "", "'neutral' is no label of the task"),
        ({"text": "{text}", "answers": {"entailment": " a", "contradiction": " a"}}, "", "the same answer"),
        ({"text": "{text}", "languages": {"de": {"answers": {"x": " y"}}}}, "", "template.languages.de.answers: 'x'"),
        ({"text": "{text}", "choices": "letter"}, "", "must list {choices}"),
    ],
)
def test_mistakes_in_templates_name_file_and_key(template, key, said):
    with pytest.raises(Mistake) as caught:
        task(template=template)
    assert said in str(caught.value)
    assert "my.yaml" in str(caught.value) and key in str(caught.value)


def test_kinds_without_a_text_form_take_no_template_and_are_refused():
    with pytest.raises(Mistake, match="a tagging task has no text form"):
        task(kind="tagging", template={"text": "{text}"})
    assert "no text form" in str(refusal(load_task("mini-pos", "test")))
    assert "no `template`" in str(refusal(task()))
    assert refusal(load_task("mini-xnli", "test")) is None


def test_every_shipped_task_that_has_a_text_form_has_a_template():
    for name in names("tasks"):
        shipped = load_task(name, "test")
        assert (refusal(shipped) is None) == (shipped.kind in PLACEHOLDERS), name


def test_targets_and_their_training_tasks_are_worded_alike():
    for name in names("tasks"):
        target = load_task(name, "test")
        if target.template and target.trained_on != name:
            assert target.template == load_task(str(target.trained_on), "test").template, name


@pytest.mark.parametrize("wrong", [{"draws": 2}, {"shots": -1}, {"score": "best"}, {"demonstrations": "de"}])
def test_bad_settings_are_refused_with_their_key(wrong):
    with pytest.raises(Mistake, match=next(iter(wrong))):
        build(IclSettings, wrong, "--set")
