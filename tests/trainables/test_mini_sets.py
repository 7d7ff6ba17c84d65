"""The mini suite's harder sets: what is asked has one answer, every label follows, and no word gives it away."""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import cache
from itertools import islice

import pytest
from transformers import AutoTokenizer

from trainables.config import configs_dir
from trainables.fingerprint import MICRO
from trainables.kinds import KINDS
from trainables.mini import commonsense, generate, grammar, meaning, reading
from trainables.mini.grammar import language_codes
from trainables.mini.items import Item, Question, apart, evened, positions
from trainables.mini.meaning import Fact, Saying, relation
from trainables.mini.say import NONE, bio
from trainables.mini.supertags import supertags
from trainables.tasks import load_task

SPLITS = ("train", "dev", "test")
READING = ("squad", "squad2")

every_split = pytest.mark.parametrize("split", SPLITS)
every_language = pytest.mark.parametrize("code", language_codes())


def english(task, *splits):
    return [example for split in splits for example in generate.examples(task, split, "en")]


def facts_of(item):
    return [fact for said in item.said for fact in said.facts]


def words(text):
    return set(re.findall(r"\w+", text.lower()))


# --- paragraphs of premises -------------------------------------------------------------------------------------------


@every_split
def test_anli_labels_follow_from_one_fact(split):
    for item in generate.items("anli", split):
        (hypothesis,) = item.second.facts
        facts = facts_of(item)
        labels = Counter(relation((fact,), hypothesis) for fact in facts)
        assert relation(facts, hypothesis) == item.label
        assert labels["neutral"] == len(facts) - (item.label != "neutral")
        assert len(facts) in (3, 4)
        assert apart(facts)  # so together they say no more than each
        assert hypothesis.kind not in meaning.POSITIVE_ONLY


@every_split
def test_anli_comes_in_threes(split):
    """One hypothesis, the same further facts: only the deciding fact tells the label."""
    items = generate.items("anli", split)
    counts = Counter(item.label for item in items)
    assert max(counts.values()) - min(counts.values()) <= 1
    for at in range(0, len(items) - 2, 3):
        three = items[at : at + 3]
        assert len({item.label for item in three}) == 3
        assert len({item.second.facts for item in three}) == 1
        shared = set.intersection(*(set(facts_of(item)) for item in three))
        assert {len(facts_of(item)) - len(shared) for item in three} == {1}


def test_facts_that_are_apart():
    def taller(one, two):
        return Fact.of("compare", agent=one, other=two, comparative="taller")

    anna, ivan = Fact.of("at", agent="anna", place="park"), Fact.of("at", agent="ivan", place="park")
    assert apart([anna, ivan])
    assert not apart([anna, Fact.of("at", agent="anna", place="hotel")])
    assert not apart([anna, Fact.of("at", agent="anna", place="hotel", negated=True)])
    assert not apart([taller("anna", "ivan"), taller("ivan", "leo")])
    assert apart([taller("anna", "ivan"), taller("ivan", "leo")], most=2)
    assert apart([taller("anna", "ivan"), Fact.of("before", agent="ivan", other="leo")])


# --- questions --------------------------------------------------------------------------------------------------------


def answer_of(fact, question):
    """Whom or what a fact gives as the answer to a question, by what the words say; None where it gives none."""
    unsaid = {question.asked} | ({"attribute"} if question.asked == "object" else set())
    wanted = question.fact.with_roles(**dict.fromkeys(unsaid))
    for told in (fact, reading._converse(fact)):
        if told.kind != wanted.kind or question.asked not in told.roles:
            continue
        roles = {role: told.roles.get(role) for role in wanted.roles}
        general = meaning.group_of().get(roles.get("object", ""))
        if all(roles[role] == concept or (role == "object" and concept == general) for role, concept in wanted.fillers):
            return told.roles[question.asked]
    return None


@every_split
@pytest.mark.parametrize("task", (*READING, "cosmos"))
def test_one_fact_answers_or_none_does(task, split):
    for item in generate.items(task, split):
        facts, question = facts_of(item), item.question
        given = [answer_of(fact, question) for fact in facts]
        assert not any(fact.negated for fact in facts)
        assert apart(facts, most=2)
        if item.answer is None:
            assert set(given) == {None}, (item.first.sentence("en").text, question.sentence("en").text)
            continue
        number, role = item.answer
        assert [place for place, one in enumerate(given) if one] == [number]
        assert facts[number].roles[role] == given[number]
        others = [fact for fact in facts if fact != facts[number]]
        assert not any(reading.answers(fact, question) for fact in others)


@every_split
@pytest.mark.parametrize("task", READING)
def test_no_chain_of_comparisons_answers_too(task, split):
    for item in generate.items(task, split):
        if item.answer is None or item.question.fact.kind != "compare":
            continue
        comparative, standard = (item.question.fact.roles[role] for role in ("comparative", "other"))
        told = [one for fact in facts_of(item) if fact.kind == "compare" for one in (fact, reading._converse(fact))]
        above = {
            (fact.roles["other"], fact.roles["agent"]) for fact in told if fact.roles["comparative"] == comparative
        }
        reached = {standard}
        for _ in told:
            reached |= {high for low, high in above if low in reached}
        assert len(reached) == 2


@pytest.mark.parametrize("task", (*READING, "cosmos"))
def test_questions_of_every_kind(task):
    asked = Counter((item.question.fact.kind, item.question.asked) for item in generate.items(task, "train"))
    assert set(asked) == set(reading.ASKED)
    assert min(asked.values()) > 100


@every_language
@pytest.mark.parametrize("task", READING)
def test_answers_stand_where_they_say(task, code):
    """The words of the role in the sentence that answers, no more: nothing but an attribute stands between them."""
    for split in ("dev", "test") if code != "en" else SPLITS:
        examples = generate.examples(task, split, code)
        for item, example in zip(generate.items(task, split), examples, strict=True):
            assert bool(example.answers) == (item.answer is not None)
            for answer in example.answers:
                number, role = item.answer
                sentences = [said.sentence(code) for said in item.said]
                before = sum(len(sentence.text) for sentence in sentences[:number])
                assert example.pair[answer.start : answer.start + len(answer.text)] == answer.text
                assert before <= answer.start
                assert answer.start + len(answer.text) <= before + number + len(sentences[number].text)
                roles = list(sentences[number].roles)
                inside = roles[roles.index(role) : len(roles) - roles[::-1].index(role)]
                assert set(inside) <= {role, "attribute"}
                spelled = [w for w, r in zip(sentences[number].tokens, roles, strict=True) if r == role]
                assert answer.text.startswith(spelled[0])
                assert answer.text.endswith(spelled[-1])


def test_a_third_of_the_questions_has_no_answer():
    for split in SPLITS:
        unanswered = [item for item in generate.items("squad2", split) if item.answer is None]
        assert len(unanswered) == pytest.approx(generate.SIZES["squad2"][split] / 3, abs=1)
        assert all(item.answer for item in generate.items("squad", split))


def test_questions_without_an_answer_use_the_words_of_the_paragraph():
    items = [item for item in generate.items("squad2", "train") if item.answer is None]
    known = [{concept for fact in facts_of(item) for _, concept in fact.fillers} for item in items]
    new = [set(dict(item.question.fact.fillers).values()) - said for item, said in zip(items, known, strict=True)]
    assert sum(not words for words in new) > 0.5 * len(items)


def test_the_sentence_that_answers_is_not_the_only_one_with_the_questions_words():
    found, even = 0.0, 0.0
    for example in english("squad", "train"):
        sentences = example.pair.split(". ")
        right = example.pair[: example.answers[0].start].count(". ")
        shared = [len(words(example.text) & words(sentence)) for sentence in sentences]
        found += (shared[right] == max(shared)) / shared.count(max(shared))
        even += 1 / len(sentences)
    assert found < 0.87 * generate.SIZES["squad"]["train"]
    assert even < 0.34 * generate.SIZES["squad"]["train"]


def test_a_question_counts_groups_and_converses():
    def sold(agent, thing, **more):
        return Fact.of("event", agent=agent, verb="sell", object=thing, **more)

    who = Question(sold("anna", "fruit", time="monday"), "agent")
    assert reading.answers(sold("ivan", "apple", time="monday"), who)
    assert reading.answers(sold("ivan", "fruit"), who)  # on Monday, for all that is said
    assert not reading.answers(sold("ivan", "apple", time="friday"), who)
    assert not reading.answers(sold("ivan", "hat", time="monday"), who)
    what = Question(sold("anna", "apple", attribute="red"), "object")
    assert reading.answers(sold("anna", "hat", attribute="blue"), what)
    where = Question(sold("anna", "apple", place="park"), "place")
    assert not reading.answers(sold("anna", "apple"), where)
    taller = Question(Fact.of("compare", agent="anna", other="leo", comparative="taller"), "agent")
    assert reading.answers(Fact.of("compare", agent="leo", other="eva", comparative="shorter"), taller)
    assert not reading.answers(Fact.of("compare", agent="leo", other="eva", comparative="taller"), taller)


# --- choices ----------------------------------------------------------------------------------------------------------


@every_split
@pytest.mark.parametrize(("task", "count"), [("swag", 4), ("cosmos", 4), ("csqa", 5)])
def test_right_choices_stand_anywhere(task, count, split):
    places = Counter(item.label for item in generate.items(task, split))
    assert set(places) == {str(place) for place in range(count)}
    assert max(places.values()) - min(places.values()) <= 1
    for example in generate.examples(task, split, "en"):
        assert len(example.choices) == len(set(example.choices)) == count
        assert all(example.choices)


@every_split
@pytest.mark.parametrize("task", ["swag", "csqa"])
def test_one_choice_makes_sense(task, split):
    for item in generate.items(task, split):
        fitting = [fact.roles["object"] in meaning.objects_of(fact.roles["verb"]) for fact in item.choices]
        assert fitting == [str(place) == item.label for place in range(len(fitting))]
        role = "verb" if task == "swag" else "object"
        assert len({fact.with_roles(**{role: None}) for fact in item.choices}) == 1
    if split == "train":  # what makes no sense is said of no test fact in training either
        assert all(meaning.in_split("train", *item.choices) for item in generate.items(task, split))


@every_split
def test_the_things_to_choose_from_are_of_five_groups(split):
    for item in generate.items("csqa", split):
        assert len({meaning.group_of()[fact.roles["object"]] for fact in item.choices}) == 5
        assert not item.said


@every_split
def test_a_continuation_is_about_the_same_person(split):
    for item in generate.items("swag", split):
        (scene,) = facts_of(item)
        assert {fact.roles["agent"] for fact in (scene, *item.choices)} == {scene.roles["agent"]}


@pytest.mark.parametrize(("task", "of", "most"), [("swag", "verb", 0.31), ("csqa", "object", 0.31)])
def test_no_choice_is_right_by_itself(task, of, most):
    """Choosing what was most often right in training, whatever is asked, is hardly better than guessing."""
    right, seen = Counter(), Counter()
    for item in generate.items(task, "train"):
        seen.update(fact.roles[of] for fact in item.choices)
        right[item.choices[int(item.label)].roles[of]] += 1
    items = [*generate.items(task, "dev"), *generate.items(task, "test")]
    hits = 0
    for item in items:
        rates = [right[fact.roles[of]] / max(1, seen[fact.roles[of]]) for fact in item.choices]
        hits += rates.index(max(rates)) == int(item.label)
    assert hits / len(items) < most


@every_split
def test_cosmos_has_one_right_answer(split):
    items = generate.items("cosmos", split)
    nones = [item for item in items if item.choices[int(item.label)] is None]
    assert len(nones) == len(items) / 5
    for item in items:
        assert item.choices.count(None) == 1
        facts, question = facts_of(item), item.question
        answers = {answer_of(fact, question) for fact in facts} - {None}
        offered = [fact.roles[question.asked] if fact else None for fact in item.choices]
        right = [place for place, filler in enumerate(offered) if filler in answers]
        assert right == ([] if item in nones else [int(item.label)])
        if answers and item in nones:  # not under a more general name either
            assert not any(reading._may_be(filler, answer) for filler in offered if filler for answer in answers)


def test_wrong_answers_stand_in_the_paragraph_too():
    inside, right = Counter(), Counter()
    for example in english("cosmos", "train"):
        none = example.choices[int(example.label)] == NONE
        said = words(example.pair) | words(example.text)
        count = sum(words(choice) - {"a", "an", "the"} <= said for choice in example.choices if choice != NONE)
        inside[count] += 1
        right[count] += none
    assert all(0.1 < right[count] / inside[count] < 0.45 for count in inside if inside[count] > 40), (inside, right)


def test_choices_read_as_answers():
    said = {choice for example in english("cosmos", "dev") for choice in example.choices}
    assert {NONE, "Anna.", "The doctor.", "In the park.", "Three."} <= said
    assert any(choice.startswith("An ") for choice in said)
    assert all(choice[0].isupper() and choice.endswith(".") for choice in said)
    assert {example.text.split()[0] for example in english("csqa", "dev")} == {"What"}


def test_places_are_even():
    drawn = list(islice(positions(random.Random(0), 4), 400))
    assert Counter(drawn) == dict.fromkeys(range(4), 100)
    assert len({tuple(drawn[at : at + 4]) for at in range(0, 400, 4)}) > 10


def test_words_are_evened_out():
    rng, items = random.Random(0), {word: Item((), label=word) for word in "abcd"}

    def drawn():
        while True:
            right = rng.choice("aaaaabbc")
            yield right, rng.sample([word for word in "abcd" if word != right], 2), items[right]

    chosen = Counter(item.label for item in islice(evened(drawn(), frozenset("d")), 900))
    plain = Counter(item.label for _, _, item in islice(drawn(), 900))
    assert max(plain.values()) > 2 * min(plain.values())
    assert max(chosen.values()) < 1.5 * min(chosen.values())


def test_verbs_that_take_everything_are_no_choices():
    assert "buy" not in commonsense.VERBS
    assert {"eat", "read", "wash"} <= set(commonsense.VERBS)


# --- supertags --------------------------------------------------------------------------------------------------------


@cache
def parsed(category):
    """`(S[b]\\NP)/NP` as (result, slash, argument); an atom as (name, sort)."""
    depth = 0
    for at in range(len(category) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(category[at], 0)
        if depth == 0 and category[at] in "/\\":
            left, right = (part[1:-1] if part[0] == "(" else part for part in (category[:at], category[at + 1 :]))
            return parsed(left), category[at], parsed(right)
    name, _, sort = category.partition("[")
    return name, sort.rstrip("]")


def matched(wanted, given):
    """The sort that a plain S stands for where one category fits another, None where it does not fit."""
    if len(wanted) != len(given):
        return None
    if len(wanted) == 2:
        fits = wanted == given or (wanted == ("S", "") and given[0] == "S")
        return (given[1] if wanted == ("S", "") else "") if fits else None
    parts = [matched(wanted[0], given[0]), matched(wanted[2], given[2])] if wanted[1] == given[1] else [None]
    return None if None in parts else max(parts)


def sorted_as(category, sort):
    if len(category) == 2:
        return ("S", sort) if category == ("S", "") else category
    return sorted_as(category[0], sort), category[1], sorted_as(category[2], sort)


def joined(left, right):
    """What two categories give: forward and backward application, and a conjunction of two that are alike."""
    if left == ("conj", ""):
        yield "and", right
    if right[0] == "and" and right[1] == left:
        yield left
    for function, slash, argument in ((left, "/", right), (right, "\\", left)):
        if len(function) == 3 and function[1] == slash:
            sort = matched(function[2], argument)
            if sort is not None:
                yield sorted_as(function[0], sort)


def derived(tags):
    """All that a row of supertags can combine to."""
    chart = {(at, at + 1): {parsed(tag)} for at, tag in enumerate(tags)}
    for width in range(2, len(tags) + 1):
        for start in range(len(tags) - width + 1):
            end = start + width
            pairs = ((a, b) for cut in range(start + 1, end) for a in chart[start, cut] for b in chart[cut, end])
            chart[start, end] = {new for a, b in pairs for new in joined(a, b)}
    return chart[0, len(tags)]


def test_the_checker_knows_grammar():
    assert derived([r"NP", r"(S[dcl]\NP)/NP", "NP"]) == {("S", "dcl")}
    assert derived([r"NP", r"S[dcl]\NP", r"(S\NP)\(S\NP)"]) == {("S", "dcl")}
    assert derived([r"NP", r"(S[dcl]\NP)/(S[b]\NP)", r"(S\NP)/(S\NP)", r"S[b]\NP"]) == {("S", "dcl")}
    assert not derived([r"NP", r"(S[dcl]\NP)/(S[b]\NP)", r"(S\NP)/(S\NP)", r"S[pt]\NP"])
    assert not derived(["NP", r"(S[dcl]\NP)/NP"])
    assert not derived(["NP", r"S[dcl]\NP", "NP"])


@every_split
def test_supertags_combine_to_a_sentence(split):
    for item in generate.items("ccg", split)[:400]:
        asked = item.first.joined == "question"
        tags = [tag for tag in supertags(item.first) if tag not in (",", ".")]
        assert derived(tags) == {("S", "q" if asked else "dcl")}, item.first.sentence("en").text


def test_every_construction_has_supertags():
    rng, lang = random.Random("supertags"), grammar.language("en")
    for kind in meaning.KINDS:
        for side in (False, True) if kind in meaning.TWO_WAYS else (False,):
            construction = meaning.TWO_WAYS[kind] if side else kind
            for form in ("pos", "neg", "ask"):
                for variant in range(len(lang.templates[construction].get(form, ()))):
                    for _ in range(12):
                        fact = meaning.draw(rng, kind)
                        fact = fact if fact.negated == (form == "neg") else fact.denied()
                        said = Saying((fact,), (side,), "question" if form == "ask" else "statement", variant)
                        tags = supertags(said)
                        assert len(tags) == len(said.sentence("en").tokens)
                        results = derived([tag for tag in tags if tag != "."])
                        assert results & {("S", "dcl"), ("S", "q")}, (said.sentence("en").text, tags)


# --- names ------------------------------------------------------------------------------------------------------------


@every_language
def test_names_are_tagged(code):
    """In every language as many names as the facts have, and each is a proper noun."""
    for item, example in zip(generate.items("panx", "test"), generate.examples("panx", "test", code), strict=True):
        meant = Counter()
        for fact in item.first.facts:
            for role, concept in fact.fillers:
                if role == "place":
                    meant["LOC"] += concept in grammar.concepts()["cities"]
                    meant["ORG"] += concept in grammar.concepts()["organisations"]
                meant["PER"] += concept in grammar.concepts()["names"]
        assert Counter(tag[2:] for tag in example.tags if tag.startswith("B-")) == +meant, example
        proper = item.first.sentence(code).tags
        assert all(tag == "O" or upos == "PROPN" for tag, upos in zip(example.tags, proper, strict=True))
        for before, tag in zip(("O", *example.tags), example.tags, strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:]


@every_split
def test_every_other_sentence_has_a_city_or_an_organisation(split):
    kinds = Counter(tag for example in generate.examples("panx", split, "en") for tag in example.tags)
    some = [any(tag in ("B-LOC", "B-ORG") for tag in e.tags) for e in generate.examples("panx", split, "en")]
    assert sum(some) >= len(some) / 2
    assert kinds["B-ORG"] > 0.6 * kinds["B-LOC"]
    assert kinds["B-PER"] > kinds["B-LOC"]


def test_two_names_side_by_side_are_two():
    assert bio(("agent", "other", ""), ("per", "per", "")) == ("B-PER", "B-PER", "O")
    assert bio(("place", "place", "time"), ("loc", "loc", "")) == ("B-LOC", "I-LOC", "O")


# --- two sides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_two_sides(split):
    targets = None
    for code in generate.languages("bucc", split):
        examples = generate.examples("bucc", split, code)
        known = {example.id: example for example in examples}
        sides = {label: [e for e in examples if e.label == label] for label in ("source", "target")}
        assert len(known) == len(examples) == sum(map(len, sides.values()))
        assert len(sides["source"]) == generate.SIZES["bucc"][split]
        paired = [e for e in sides["source"] if e.pair]
        assert len(paired) == 0.6 * len(sides["source"])
        assert len(sides["target"]) == 0.8 * len(sides["source"])
        assert all(known[e.pair].pair == e.id for e in examples if e.pair)
        for rows in sides.values():
            assert len({e.text for e in rows}) == len(rows)
        shown = [(e.id, e.text, e.pair) for e in sides["target"]]
        assert shown == (targets or shown)
        targets = shown
        assert {e.id.rpartition("-")[0] for e in sides["source"]} == {f"{split}-s"}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_only_pairs_say_the_same(split):
    def meant(said):
        return frozenset(map(meaning.canonical, said.facts))

    items = generate.items("bucc", split)
    for one in items:
        same = [two for two in items if two.second and meant(two.second) == meant(one.first)]
        assert same == ([one] if one.label == "translation" else [])
        if one.label == "near":
            assert len(meant(one.first) & meant(one.second)) == len(one.first.facts) - 1


# --- text -------------------------------------------------------------------------------------------------------------


def test_text_is_of_the_training_split_in_every_language():
    for code in ("en", "th"):
        examples = generate.examples("text", "train", code)
        assert len({e.text for e in examples}) == len(examples) == 2000
        assert {e.label for e in examples} == {None}
    assert all(meaning.in_split("train", *item.facts) for item in generate.items("text", "train"))


# --- cues -------------------------------------------------------------------------------------------------------------


def guessed(task, label, *, overlap=False):
    """Accuracy on English dev and test of a logistic regression on words, and on how many words the texts share."""
    import numpy
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, held = english(task, "train"), english(task, "dev", "test")
    counter = CountVectorizer(analyzer=re.compile(r"\w+").findall).fit([f"{e.text} {e.pair}".lower() for e in train])

    def features(examples):
        pairs = [(words(e.text), words(e.pair)) for e in examples]
        shared = numpy.array([[len(a - b), len(b - a), len(a & b)] for a, b in pairs], dtype=float)
        texts = [counter.transform([getattr(e, part).lower() for e in examples]) for part in ("text", "pair")]
        return hstack([*texts, csr_matrix(shared)] if overlap else texts).tocsr()

    model = LogisticRegression(max_iter=1000, C=0.3).fit(features(train), [label(e) for e in train])
    return model.score(features(held), [label(e) for e in held])


def test_words_say_little_of_anli():
    assert guessed("anli", lambda example: example.label) < 0.55


def test_words_say_little_of_whether_there_is_an_answer():
    """Two thirds have one; a question's words that the paragraph lacks are a hint, as they are in SQuAD v2.0."""
    assert guessed("squad2", lambda example: bool(example.answers)) < 0.70
    assert guessed("squad2", lambda example: bool(example.answers), overlap=True) < 0.80


# --- tasks ------------------------------------------------------------------------------------------------------------

TASKS = sorted(path.stem for path in (configs_dir() / "tasks").glob("mini-*.yaml"))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(str(MICRO))


@pytest.mark.parametrize("name", TASKS)
def test_tasks_fit_their_sets(name, tokenizer):
    """Every label is listed, every example can be encoded, and nearly none is too long."""
    task = load_task(name, "--targets")
    languages = generate.languages(task.source.mini, "test") or ("en",)
    split = "test" if generate.SIZES[task.source.mini]["test"] else "dev"
    assert set(task.unmixed.languages) <= set(languages)
    longest = []
    for code in languages:
        examples = generate.examples(task.source.mini, split, code)
        used = {tag for e in examples for tag in (e.tags or ([e.label] if task.labels else []))}
        assert used <= set(task.labels)
        features = KINDS[task.kind].encode(task, examples, tokenizer, 512)
        longest += [feature.length for feature in features]
    assert sum(length > task.max_length for length in longest) <= 0.003 * len(longest), max(longest)
