"""What keeps a text's form or meaning keeps its label: read again after an edit, the mini suite's facts give the same.

An edited word that some language of the suite has says what it says there; what no language has is a misspelling of the
word that stood there. What is read goes back into the facts, and the label is derived from these anew.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, chain, islice

import pytest

from perturb.edits import PLAIN, Resources, edit_class, make_edit
from perturb.edits.base import Edit, Replacement, Site, Text, WordEdit, apply, moved
from perturb.lexicon import Lexicon, folded
from perturb.protect import fixed_spans
from trainables.examples import Example
from trainables.mini import generate, meaning, reading
from trainables.mini.grammar import Sentence, concept_tags, concepts, language, language_codes
from trainables.mini.items import Item, Question
from trainables.mini.lexicon import concepts_of, known_forms, rows
from trainables.mini.meaning import Fact, Saying

TEXTS = ("nli", "anli", "paraphrase", "topic", "squad", "squad2", "swag")
TAGGED = ("pos", "roles", "panx")
EACH, OF = 10, 16
"""Of the first examples of a task so many are drawn, anew for each edit and language: in all 100."""

SEVERITY = 4

every_language = pytest.mark.parametrize("code", language_codes())


# --- what a text tells ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A sentence or several, the facts they tell, from which side each, and the number of the fact of each word."""

    sentence: Sentence
    facts: tuple[Fact, ...]
    sides: tuple[bool, ...]
    places: tuple[int, ...]

    def concept(self, word: int) -> str | None:
        """What a word is there to say."""
        place, role = self.places[word], self.sentence.roles[word]
        return fillers(self.facts[place], self.sides[place]).get(role)

    def with_concepts(self, said: dict[int, str]) -> tuple[Fact, ...]:
        """The facts, where some words say something else."""
        found = list(self.facts)
        for word, concept in said.items():
            place, role = self.places[word], self.sentence.roles[word]
            side = self.sides[place]
            found[place] = untold(found[place], {**fillers(found[place], side), role: concept}, side)
        return tuple(found)


def fillers(fact: Fact, side: bool) -> dict[str, str]:
    """What fills each role as the fact is told: from the other side, who gives is whom one receives from."""
    roles = fact.roles
    if side and fact.kind == "give":
        roles["verb"] = concepts()["converses"].get(roles["verb"], roles["verb"])
    elif side and fact.kind == "before":
        roles["agent"], roles["other"] = roles["other"], roles["agent"]
    return roles


def untold(fact: Fact, roles: dict[str, str], side: bool) -> Fact:
    """The inverse of `fillers`."""
    if side and fact.kind == "give":
        back = {receiving: giving for giving, receiving in concepts()["converses"].items()}
        roles["verb"] = back.get(roles["verb"], roles["verb"])
    elif side and fact.kind == "before":
        roles["agent"], roles["other"] = roles["other"], roles["agent"]
    return fact.with_roles(**roles)


def told(code: str, *sayings: Saying) -> Told:
    facts = [fact for said in sayings for fact in said.facts]
    sides = [side for said in sayings for side in said.sides]
    places: list[int] = []
    for number, said in enumerate(sayings):
        before = sum(len(one.facts) for one in sayings[:number])
        own = said.sentence(code)
        second = own.tags.index("CCONJ") if len(said.facts) > 1 else len(own.tags)
        places += [before + (word > second) for word in range(len(own.tags))]
    return Told(meaning.paragraph(code, sayings), tuple(facts), tuple(sides), tuple(places))


def asked(code: str, question: Question) -> Told:
    sentence = question.sentence(code)
    return Told(sentence, (question.fact,), (False,), (0,) * len(sentence.tokens))


# --- reading it again -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """Someone who reads a text's language; `mixed`: who expects words of all the languages of the suite in it."""

    code: str
    mixed: bool

    def languages(self, word: str) -> tuple[str, ...]:
        """The languages that a word is read in: that of the text, if it has the word, or else all that have it."""
        return _languages(word, self.code, self.mixed)

    def says(self, word: str) -> frozenset[str]:
        """The concepts that a word says."""
        return frozenset(concept for code in self.languages(word) for concept in concepts_of(word, code))

    def denied(self, *words: str) -> bool:
        """Whether one of the words is a verb that says itself that something is not so."""
        return any(folded(word, code) in denied_verbs(code) for word in words for code in self.languages(word))


@cache
def _languages(word: str, code: str, mixed: bool) -> tuple[str, ...]:
    if folded(word, code) in known_forms(code):
        return (code,)
    return tuple(one for one in language_codes() if mixed and folded(word, one) in known_forms(one))


@cache
def denied_verbs(code: str) -> frozenset[str]:
    """Verbs that say themselves that something is not so: forms of denied clauses which have no other word for it."""
    if code not in ("sw", "tr"):
        return frozenset()
    verbs = [*concepts()["actions"], *concepts()["verbs"], *concepts()["converses"], *concepts()["converses"].values()]
    lang = language(code)
    return frozenset(folded(lang.form(verb, "neg").split()[0].partition("_")[0], code) for verb in verbs) - {"satın"}


def edited_words(told: Told, replacements: list[Replacement]) -> dict[range, str]:
    """What became of the words that replacements touch: of several together, where one replacement touches several."""
    text, spans = told.sentence.text, told.sentence.spans()
    groups: list[tuple[range, list[Replacement]]] = []
    for change in (narrowed(text, one) for one in replacements):
        group = touched(spans, change)
        if groups and group[0] <= groups[-1][0][-1]:
            before, changes = groups.pop()
            groups.append((range(before[0], max(before[-1], group[-1]) + 1), [*changes, change]))
        else:
            groups.append((group, [change]))
    found = {}
    for group, changes in groups:
        start, end = min(spans[group[0]][0], changes[0].start), max(spans[group[-1]][1], changes[-1].end)
        found[group] = apply(text[start:end], [Replacement(a - start, b - start, new) for a, b, new in changes]).strip()
    return found


def narrowed(text: str, change: Replacement) -> Replacement:
    """A replacement without what it leaves as it was at both ends."""
    start, end, new = change
    while new and start < end and text[start] == new[0]:
        start, new = start + 1, new[1:]
    while new and start < end and text[end - 1] == new[-1]:
        end, new = end - 1, new[:-1]
    return Replacement(start, end, new)


def touched(spans: list[tuple[int, int]], change: Replacement) -> range:
    """The words that a replacement changes; those about it, where it changes what stands between them."""
    within = [i for i, (start, end) in enumerate(spans) if start < change.end and change.start < end]
    about = [i for i, (start, end) in enumerate(spans) if start <= change.end and change.start <= end]
    found = within or about
    return range(found[0], found[-1] + 1)


def reread(told: Told, reader: Reader, replacements: list[Replacement]) -> tuple[Fact, ...] | None:
    """The facts that an edited text tells; None where a reader cannot tell."""
    said: dict[int, str] = {}
    for group, new in edited_words(told, replacements).items():
        found = heard(told, reader, group, new)
        if found is None:
            return None
        said |= found
    return told.with_concepts(said)


def heard(told: Told, reader: Reader, group: range, new: str) -> dict[int, str] | None:
    """What words say after an edit that did not say so before; None where they do not say what they have to."""
    tokens, lang = told.sentence.tokens, language(reader.code)
    old = [tokens[word] for word in group]
    if not new:
        return {} if is_mark(*old) or set(old) <= set(lang.function_words["piece"]) else None
    pieces = new.split() if reader.mixed and not reader.languages(new) else [new]
    same = folded(new, reader.code) == folded(lang.joiner.join(old), reader.code)
    if same or is_mark(new, *old) or not any(map(reader.languages, pieces)):
        return {}  # the case, the punctuation, or a misspelling
    if reader.denied(*pieces) != reader.denied(*old):
        return None
    said = frozenset().union(*map(reader.says, pieces))
    own = {word: told.concept(word) for word in group if told.concept(word) in reader.says(tokens[word])}
    if not own:  # a small word: no other of the language, and nothing that says more
        return None if said or any(reader.code in reader.languages(piece) for piece in pieces) else {}
    lost = [word for word, concept in own.items() if concept not in said]
    wrong = sorted(said - set(own.values()))
    return dict.fromkeys(lost, wrong[0]) if wrong else None if lost else {}


def is_mark(*words: str) -> bool:
    return not any(c.isalpha() for word in words for c in word)


# --- labels -----------------------------------------------------------------------------------------------------------


def texts_of(item: Item, code: str) -> tuple[Told, ...]:
    """The texts of an example: the first, then the second, the question, the choices."""
    choices = [Saying((fact,), (False,), "statement", item.first.variant) for fact in item.choices]
    more = [told(code, said) for said in (item.second, *choices) if said]
    return (told(code, *item.said), *more, *([asked(code, item.question)] if item.question else []))


def label(task: str, item: Item, facts: list[tuple[Fact, ...]]) -> object:
    """The label that follows from what the texts tell; of a question, the numbers of the facts that answer it."""
    first, *rest = facts
    match task:
        case "nli" | "anli":
            return meaning.relation(first, rest[0][0])
        case "paraphrase":
            one, two = (Counter(map(meaning.canonical, told)) for told in (first, rest[0]))
            return "same" if one == two else "different"
        case "topic":
            things = [fact.roles["object"] for fact in first if "object" in fact.roles]
            topics = {generate.TOPICS.get(meaning.group_of().get(thing, "")) for thing in things}
            return topics.pop() if len(topics) == 1 else None
        case "squad" | "squad2":
            question = replace(item.question, fact=rest[0][0])
            return [number for number, fact in enumerate(first) if reading.answers(fact, question)]
        case _:
            fitting = [fact.roles["object"] in meaning.objects_of(fact.roles["verb"]) for (fact,) in rest]
            return str(fitting.index(True)) if fitting.count(True) == 1 else None


def gold(task: str, item: Item) -> object:
    if task in ("squad", "squad2"):
        return [item.answer[0]] if item.answer else []
    return item.label


@cache
def drawn(task: str, code: str) -> tuple[tuple[Item, tuple[Told, ...], Example], ...]:
    """Examples of a task in a language, with what their texts tell."""
    rows = zip(generate.items(task, "test"), generate.examples(task, "test", code), strict=True)
    return tuple((item, texts_of(item, code), example) for item, example in islice(rows, OF))


def sample(edit: Edit, task: str, code: str, count: int = EACH) -> list[tuple[Item, tuple[Told, ...], Example]]:
    return random.Random(f"{edit.name} {task} {code}").sample(drawn(task, code), count)


def wrong_labels(edit: Edit, task: str, code: str, count: int = EACH) -> tuple[int, list[str]]:
    """How many texts of a task an edit changes, and the examples whose label no longer follows."""
    reader, changed, wrong = Reader(code, mixed=edit.keeps == "meaning"), 0, []
    for item, texts, example in sample(edit, task, code, count):
        facts, shown = [], []
        for place, one in enumerate(texts):
            text, answers = one.sentence.text, example.answers if place == 0 else ()
            fixed = fixed_spans(text, code, strings=[answer.text for answer in answers])
            seen = Text(text, code, fixed=fixed, attested=known_forms(code))
            changes = edit.replacements(seen, random.Random(f"{example.id} {place}"), SEVERITY)
            new, changed = apply(text, changes), changed + bool(changes)
            facts.append(reread(one, reader, changes))
            shown.append(f"{text} → {new}")
            starts = [moved(answer.start, changes) for answer in answers]
            if any(not new.startswith(answer.text, at) for answer, at in zip(answers, starts, strict=True)):
                wrong.append(f"{task}: no answer where it should stand: {shown[-1]}")
        if None in facts or label(task, item, facts) != gold(task, item):
            wrong.append(f"{task}: not {gold(task, item)}: {shown}")
    return changed, wrong


# --- tags -------------------------------------------------------------------------------------------------------------


def wrong_tags(edit: Edit, task: str, code: str, count: int = EACH) -> tuple[int, list[str]]:
    """How many texts of a task an edit changes, and the edited words whose tag is not that of what they say now."""
    reader, changed, wrong = Reader(code, mixed=edit.keeps == "meaning"), 0, []
    for _, (one,), example in sample(edit, task, code, count):
        text, spans = spaced(example.words)
        fixed = fixed_spans(text, code, spans=spans)
        seen = Text(text, code, spans=spans, fixed=fixed, attested=known_forms(code))
        changes = edit.replacements(seen, random.Random(example.id), SEVERITY)
        changed += bool(changes)
        for word, (start, end) in enumerate(spans):
            own = [Replacement(a - start, b - start, new) for a, b, new in changes if start <= a and b <= end]
            new = apply(example.words[word], own)
            if own and not fits(new, word, task, one, example, reader):
                wrong.append(f"{task}: '{example.words[word]}' → '{new}' is no {example.tags[word]}: {text}")
        if any(not any(a <= start and end <= b for a, b in spans) for start, end, _ in changes):
            wrong.append(f"{task}: an edit of no one word: {text} {changes}")
    return changed, wrong


def spaced(words: tuple[str, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Words with spaces between them, and where they stand."""
    starts = [0, *accumulate(len(word) + 1 for word in words)]
    return " ".join(words), tuple((at, at + len(word)) for at, word in zip(starts, words, strict=False))


def fits(new: str, word: int, task: str, told: Told, example: Example, reader: Reader) -> bool:
    """Whether a word put in for another has its tag: a misspelling has, and what says the same sort of thing."""
    old, tag = example.words[word], example.tags[word]
    if not reader.languages(new) or folded(new, reader.code) == folded(old, reader.code):
        return bool(new)
    said = reader.says(new)
    if task == "pos":
        return tag in {tag for code in reader.languages(new) for tag in tags_of(new, code)}
    if not said or told.concept(word) not in reader.says(old):
        return False
    role = told.sentence.roles[word]
    if task == "roles":
        return all(concept in fillers_of(role) for concept in said)
    return {kind_of(concept) for concept in said} == {tag[2:] or "none"}


@cache
def tags_of(word: str, code: str) -> set[str]:
    """The parts of speech of a word that says concepts."""
    lang = language(code)
    return {
        tag
        for concept in concepts_of(word, code)
        for tag in ("ADJ", "ADV", "NOUN", "NUM", "PROPN", "VERB")
        if folded(word, code) in {folded(own, code) for own in lang.words_tagged(concept, tag)}
    }


@cache
def fillers_of(role: str) -> set[str]:
    """The concepts that may fill a role."""
    known = concepts()
    verbs = [*known["verbs"], *known["actions"], *known["converses"], *known["converses"].values()]
    persons = meaning.persons()
    return set(
        {
            "agent": persons, "other": persons, "recipient": persons, "verb": verbs, "object": meaning.things(),
            "attribute": known["attributes"], "comparative": chain(*known["comparatives"]),
            "place": meaning.locations(), "time": known["times"], "number": known["numbers"],
        }[role]
    )  # fmt: skip


def kind_of(concept: str) -> str:
    """The sort of entity that a concept is."""
    known = concepts()
    kinds = {"PER": known["names"], "LOC": known["cities"], "ORG": known["organisations"]}
    return next((kind for kind, members in kinds.items() if concept in members), "none")


# --- tests ------------------------------------------------------------------------------------------------------------


CLAIMING = [name for name in PLAIN if edit_class(name).keeps != "stress"] + ["code-mixing"]
"""Edits that keep form or meaning, and need at most a lexicon: the suite's own."""


@cache
def edit_named(name: str) -> Edit:
    edit = make_edit(name, Resources(lexicon=Lexicon.of(rows())))
    assert edit
    return edit


@every_language
@pytest.mark.parametrize("task", TEXTS)
def test_what_is_not_edited_tells_the_label(task, code):
    """What the texts are taken to tell is what they were made from, and gives the label."""
    for item, texts, example in drawn(task, code):
        assert texts[0].sentence.text == (example.pair if task in ("squad", "squad2") else example.text)
        assert label(task, item, [one.facts for one in texts]) == gold(task, item)
        for one in texts:
            said = {word: concept for word in range(len(one.places)) if (concept := one.concept(word))}
            assert one.with_concepts(said) == one.facts


@pytest.mark.parametrize("name", CLAIMING)
def test_labels_are_kept(name):
    edit = edit_named(name)
    codes = [code for code in language_codes() if edit.exists(code)]
    found = {(code, task): wrong_labels(edit, task, code) for code in codes for task in TEXTS}
    assert {cell: wrong for cell, (_, wrong) in found.items() if wrong} == {}
    assert sum(changed for changed, _ in found.values()) >= 50 * bool(codes)


@pytest.mark.parametrize("name", [name for name in CLAIMING if edit_class(name).one_to_one])
def test_tags_are_kept(name):
    edit = edit_named(name)
    codes = [code for code in language_codes() if edit.exists(code)]
    found = {(code, task): wrong_tags(edit, task, code) for code in codes for task in TAGGED}
    assert {cell: wrong for cell, (_, wrong) in found.items() if wrong} == {}
    assert sum(changed for changed, _ in found.values()) >= 10 * bool(codes)


# --- what these tests catch -------------------------------------------------------------------------------------------


class Exchanged(WordEdit):
    """Not what it says: a word that says another concept, in the text's language."""

    description, keeps = "another colour, another sort of word", "meaning"

    def __init__(self, name: str, old: set[str], new: set[str]) -> None:
        self.name, self._old, self._new = name, old, new

    def exists(self, language: str) -> bool:
        return True

    def options(self, word: str, code: str) -> list[str]:
        said = concepts_of(word, code) & self._old
        tags = concept_tags()
        return [new for one in sorted(self._new - said) for new in language(code).words_tagged(one, tags[one]) if said]


class Careless(Exchanged):
    """An edit that touches what it must not."""

    def admissible(self, text: Text) -> list[Site]:
        return super().admissible(replace(text, fixed=()))

    def options(self, word: str, code: str) -> list[str]:
        return [word[0] + word]


@every_language
def test_another_colour_is_caught(code):
    colours = set(concepts()["colours"])
    edit = Exchanged("another colour", colours, colours)
    assert any(wrong_labels(edit, task, code, OF)[1] for task in ("nli", "anli", "paraphrase"))


@every_language
@pytest.mark.parametrize("task", TAGGED)
def test_another_sort_of_word_is_caught(task, code):
    edit = Exchanged("a city for a thing", set(meaning.things()), set(concepts()["cities"]))
    changed, wrong = wrong_tags(edit, task, code, OF)
    assert changed
    assert wrong


@every_language
def test_a_changed_answer_is_caught(code):
    changed, wrong = wrong_labels(Careless("careless", set(), set()), "squad", code)
    assert changed
    assert any("no answer where it should stand" in found for found in wrong)


SOLD = Fact.of("event", agent="anna", verb="sell", object="dog", attribute="red")
LATER = Fact.of("before", agent="anna", other="ivan")


@pytest.mark.parametrize(
    ("code", "fact", "old", "new", "mixed", "facts"),
    [
        ("en", SOLD, "dog", "dgo", True, SOLD),
        ("en", SOLD, "red", "RED", False, SOLD),
        ("en", SOLD, "dog", "Hund", True, SOLD),  # as German has it
        ("en", SOLD, "dog", "Katze", True, SOLD.with_roles(object="cat")),
        ("en", SOLD, "dog", "Katze", False, SOLD),  # who reads English takes it for a misspelling
        ("en", SOLD, "dog", "cat", False, SOLD.with_roles(object="cat")),
        ("en", SOLD, "red dog", "red", False, None),
        ("en", SOLD, "red dog", "dog rde", True, None),  # the colour is no longer said
        ("en", SOLD, "dog.", "dog…", False, SOLD),
        ("en", SOLD, "red dog", "reddog", False, SOLD),
        ("en", SOLD.denied(), "not ", "", False, None),
        ("en", SOLD.denied(), "not", "nto", False, SOLD.denied()),
        ("tr", SOLD.denied(), "satmadı", "sattı", False, None),
        ("tr", SOLD, "sattı", "aliuza", True, SOLD),
        ("tr", SOLD, "sattı", "hakuuza", True, None),
        ("en", LATER, "before", "after", False, None),
        ("en", LATER, "Anna", "Ivan", False, LATER.with_roles(agent="ivan")),
        ("zh", SOLD, "只", "", False, SOLD),  # a classifier
        ("zh", SOLD, "狗", " köpek ", True, SOLD),
    ],
)
def test_what_a_reader_makes_of_it(code, fact, old, new, mixed, facts):
    one = told(code, Saying((fact,), (False,)))
    at = one.sentence.text.index(old)
    read = reread(one, Reader(code, mixed), [Replacement(at, at + len(old), new)])
    assert read == (facts and (facts,))
