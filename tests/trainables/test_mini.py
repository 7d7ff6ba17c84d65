"""The mini suite: complete and unambiguous in each language, labels that follow from the meaning, no leaks, no cues."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.corpus import MiniCorpus
from trainables.mini import generate, grammar, meaning
from trainables.mini.__main__ import main, missing
from trainables.mini.grammar import language_codes
from trainables.mini.meaning import Fact, Saying, relation

UPOS = {
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X",
}  # fmt: skip
SPLITS = ("train", "dev", "test")

every_language = pytest.mark.parametrize("code", language_codes())


@cache
def sayings(count: int = 400) -> tuple[Saying, ...]:
    """Statements and questions of one clause or two, every kind of fact among them."""
    rng = random.Random("sayings")
    drawn = []
    for number in range(count):
        facts = [meaning.draw(rng, meaning.KINDS[number % len(meaning.KINDS)])]
        if number % 3 == 0:
            facts.append(meaning.draw(rng))
        ask = len(facts) == 1 and not facts[0].negated and number % 2 == 0
        drawn.append(meaning.say(rng, *facts, ask=ask))
    return tuple(drawn)


# --- languages --------------------------------------------------------------------------------------------------------


def test_the_languages():
    assert language_codes()[0] == "en"
    assert set(language_codes()) >= {"en", "de", "es", "ru", "hi", "ar", "tr", "fi", "zh", "sw", "id", "th"}


@every_language
def test_a_language_is_complete(code):
    assert missing(code) == []


@every_language
def test_a_language_says_what_it_is(code):
    lang = grammar.language(code)
    assert lang.code == code
    assert lang.name
    assert lang.family
    assert lang.script
    assert lang.direction == ("rtl" if code == "ar" else "ltr")


@every_language
def test_sentences_are_well_formed(code):
    for said in sayings():
        sentence = said.sentence(code)
        assert len(sentence.tokens) == len(sentence.tags) == len(sentence.roles) > 1
        assert set(sentence.tags) <= UPOS - {"X"}, sentence
        assert all(token and token in sentence.text for token in sentence.tokens), sentence
        assert not set("{}[]<>_|") & set(sentence.text), sentence
        assert sentence.text == " ".join(sentence.text.split()), sentence
        roles = {role for fact in said.facts for role, _ in fact.fillers}
        assert set(sentence.roles) - {""} == roles, sentence  # every filled role is said, nothing else is


@every_language
def test_words_stand_where_spans_say(code):
    for said in sayings(60):
        sentence = said.sentence(code)
        spans = sentence.spans()
        assert tuple(sentence.text[start:end] for start, end in spans) == sentence.tokens
        assert spans == sorted(spans)
        assert all(one[1] <= two[0] for one, two in pairwise(spans))


@every_language
def test_all_forms_of_a_template_can_be_said(code):
    """Every construction, form and variant, whatever the fillers' features."""
    lang = grammar.language(code)
    rng = random.Random(0)
    for kind in meaning.KINDS:
        for side in (False, True) if kind in meaning.TWO_WAYS else (False,):
            construction = meaning.TWO_WAYS[kind] if side else kind
            for form, variants in lang.templates[construction].items():
                for variant in range(len(variants)):
                    for _ in range(25):
                        fact = meaning.draw(rng, kind)
                        fact = fact if fact.negated == (form == "neg") else fact.denied()
                        tokens = meaning.clause(code, fact, ask=form == "ask", other_side=side, variant=variant)
                        assert tokens


@every_language
def test_different_facts_are_said_differently(code):
    """Among 3,000 random facts, their denials and their neighbours: one text, one meaning, from whichever side."""
    rng = random.Random(f"different {code}")
    meant: dict[str, set[Fact]] = defaultdict(set)
    for _ in range(3000):
        fact = meaning.draw(rng)
        near = [changed for how in meaning.CHANGES if (changed := meaning.change(rng, fact, how))]
        denied = [] if fact.kind in meaning.POSITIVE_ONLY else [fact.denied()]
        for one in (fact, *denied, *near):
            sides = (False, True) if one.kind in meaning.TWO_WAYS else (False,)
            for side in sides:
                said = Saying((one,), (side,), "statement", rng.randrange(12))
                meant[said.sentence(code).text].add(meaning.canonical(one))
    ambiguous = {text: facts for text, facts in meant.items() if len(facts) > 1}
    assert not ambiguous


@every_language
def test_a_question_is_no_statement(code):
    for said in sayings(60):
        if said.joined == "question":
            asked, told = said.sentence(code), Saying(said.facts, said.sides, "statement", said.variant).sentence(code)
            assert asked.text != told.text


def test_a_language_that_is_not_there():
    for task, code in (("nli", "xx"), ("ccg", "de")):
        with pytest.raises(KeyError):
            generate.examples(task, "test", code)


def test_the_languages_of_the_sets():
    everywhere, others = language_codes(), language_codes()[1:]
    for task in generate.SIZES:
        for split in SPLITS:
            said = {"bucc": others, "translations": others}.get(task, everywhere) if split == "test" else ("en",)
            said = others if (task, split) == ("bucc", "dev") else said
            said = everywhere if (task, split) == ("text", "train") else said
            said = ("en",) if task in generate.ENGLISH_ONLY else said
            said = () if not generate.SIZES[task][split] or (task, split) == ("translations", "dev") else said
            assert generate.languages(task, split) == said, (task, split)


def test_the_check_prints_samples(capsys):
    assert main("de", 1) == 0
    assert "\n    " in capsys.readouterr().out


# --- generated sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", sorted(task for task in generate.SIZES if generate.languages(task, "test")))
def test_translations_share_their_ids(task):
    english = generate.examples(task, "test", "en")
    sources = [example for example in english if not (task == "bucc" and example.label == "target")]
    assert len(sources) == generate.SIZES[task]["test"]
    assert len({example.id for example in english}) == len(english)
    for code in generate.languages(task, "test"):
        own = generate.examples(task, "test", code)
        assert [(example.id, example.label) for example in own] == [(e.id, e.label) for e in english]
        assert {example.lang for example in own} == {code}
        assert all(len(example.words) == len(example.tags) for example in own)


@pytest.mark.parametrize("task", sorted(generate.SIZES))
def test_sets_are_deterministic(task):
    before = generate.items(task, "test")
    generate.items.cache_clear()
    random.seed(7)
    assert generate.items(task, "test") == before
    assert len(before) == generate.SIZES[task]["test"]


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_balanced(split):
    for task, labels in (("nli", 3), ("paraphrase", 2)):
        counts = Counter(item.label for item in generate.items(task, split))
        assert len(counts) == labels
        assert len(set(counts.values())) == 1
    topics = Counter(item.label for item in generate.items("topic", "train"))
    assert set(topics) == set(generate.TOPICS.values())
    assert min(topics.values()) > 100


@pytest.mark.parametrize("split", SPLITS)
def test_nli_labels_follow_from_the_facts(split):
    for item in generate.items("nli", split):
        (hypothesis,) = item.second.facts
        assert relation(item.first.facts, hypothesis) == item.label
        # One fact decides, and no two disagree.
        said = {relation((fact,), hypothesis) for fact in item.first.facts} - {"neutral"}
        assert said == {item.label} - {"neutral"}


@pytest.mark.parametrize("split", SPLITS)
def test_two_premises_together_say_no_more_than_each(split):
    """Arriving and comparing are transitive: no label may rest on a chain that `relation` does not follow."""
    for item in generate.items("nli", split):
        facts, (hypothesis,) = [meaning.canonical(fact) for fact in item.first.facts], item.second.facts
        hypothesis = meaning.canonical(hypothesis)
        if len(facts) == 1 or hypothesis.kind not in ("compare", "before"):
            continue
        if {fact.kind for fact in facts} != {hypothesis.kind} or any(fact.negated for fact in facts):
            continue
        if len({fact.roles.get("comparative") for fact in (*facts, hypothesis)}) > 1:
            continue
        (a, b), (c, d) = ((fact.roles["agent"], fact.roles["other"]) for fact in facts)
        chained = {(a, d)} if b == c else {(c, b)} if d == a else set()
        ends = (hypothesis.roles["agent"], hypothesis.roles["other"])
        assert not {ends, ends[::-1]} & chained, item.first.sentence("en").text


@pytest.mark.parametrize("split", SPLITS)
def test_paraphrase_labels_follow_from_the_facts(split):
    for item in generate.items("paraphrase", split):
        first, second = (Counter(map(meaning.canonical, said.facts)) for said in (item.first, item.second))
        assert item.label == ("same" if first == second else "different")
        assert item.first.sentence("en").text != item.second.sentence("en").text
        assert (item.first.joined == "question") == (item.second.joined == "question")


def test_topics_follow_from_the_things():
    for item in generate.items("topic", "test"):
        things = [fact.roles["object"] for fact in item.first.facts if "object" in fact.roles]
        assert {generate.TOPICS[meaning.group_of()[thing]] for thing in things} == {item.label}


def test_retrieval_has_one_right_answer():
    texts = [item.first.sentence("en").text for item in generate.items("translations", "test")]
    assert len(set(texts)) == len(texts)


def test_tags_are_well_formed_spans():
    for code in language_codes():
        for example in generate.examples("roles", "test", code)[:60]:
            for before, tag in zip(("O", *example.tags), example.tags, strict=False):
                if tag.startswith("I-"):
                    assert before[2:] == tag[2:], (example.words, example.tags)


# --- splits: nothing that is tested was ever said in training ---------------------------------------------------------


def cores(items):
    return {fact.core for item in items for fact in item.facts}


@cache
def test_cores():
    return frozenset().union(*(cores(generate.items(task, "test")) for task in generate.SIZES))


test_cores.__test__ = False


@pytest.mark.parametrize("task", sorted(generate.SIZES))
@pytest.mark.parametrize("split", ["train", "dev"])
def test_no_core_of_a_test_item_is_trained_on(task, split):
    assert not cores(generate.items(task, split)) & test_cores()


def test_no_core_of_a_test_item_is_pretrained_on(monkeypatch):
    """Everything the corpus says, by its pairs and by its translations."""
    said: set[str] = set()

    class Heard(Saying):
        def sentence(self, code):
            said.update(fact.core for fact in self.facts)
            return super().sentence(code)

    monkeypatch.setattr(meaning, "Saying", Heard)
    corpus, rng = MiniCorpus(), random.Random(3)
    relations = Counter(corpus.pair(rng)[2] for _ in range(4000))
    for _ in range(1000):
        corpus.translation(rng)
    assert set(relations) <= set(corpus.relations)
    assert len(said) > 3000
    assert not said & test_cores()
    assert {meaning.split_of(core) for core in said} == {"train"}


def test_no_text_of_a_test_item_is_pretrained_on():
    texts = {
        text
        for code in language_codes()
        for task in ("nli", "paraphrase", "topic", "translations")
        for example in generate.examples(task, "test", code)
        for text in (example.text, example.pair)
    }
    corpus, rng = MiniCorpus(switched=0.0), random.Random(5)
    seen = {text for _ in range(4000) for text in (*corpus.pair(rng)[:2], *corpus.translation(rng))}
    assert len(seen) > 10_000
    assert not seen & texts


def test_a_core_is_the_same_for_all_ways_to_say_it():
    rng = random.Random(0)
    for _ in range(2000):
        fact = meaning.draw(rng)
        assert fact.denied().core == fact.core
        for how in ("converse", "drop", "add", "modifier"):
            changed = meaning.change(rng, fact, how)
            assert changed is None or changed.core == fact.core
        if "other" in fact.roles:
            assert meaning.change(rng, fact, "swap").core == fact.core


def test_the_splits_have_their_shares():
    rng = random.Random(0)
    counts = Counter(meaning.split_of(core) for core in {meaning.draw(rng).core for _ in range(20_000)})
    total = sum(counts.values())
    for split, share in meaning.SPLITS.items():
        assert counts[split] / total == pytest.approx(share, abs=0.02)


# --- cues -------------------------------------------------------------------------------------------------------------


def guessed(task, part):
    """Accuracy on English dev and test of a logistic regression on word counts of the training set."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train = generate.examples(task, "train", "en")
    held = [*generate.examples(task, "dev", "en"), *generate.examples(task, "test", "en")]
    counter = CountVectorizer(analyzer=re.compile(r"\w+").findall).fit([f"{e.text} {e.pair}".lower() for e in train])

    def features(examples):
        second = counter.transform([e.pair.lower() for e in examples])
        first = counter.transform([e.text.lower() for e in examples])
        return second if part == "second" else hstack([first, second]).tocsr()

    model = LogisticRegression(max_iter=300, C=0.3).fit(features(train), [e.label for e in train])
    return model.score(features(held), [e.label for e in held])


@pytest.mark.parametrize(
    ("task", "part", "most"),
    [("nli", "both", 0.65), ("nli", "second", 0.42), ("paraphrase", "both", 0.68), ("paraphrase", "second", 0.60)],
)
def test_words_alone_say_little_of_the_label(task, part, most):
    assert guessed(task, part) < most


# --- what follows from what -------------------------------------------------------------------------------------------


def event(agent="anna", verb="buy", thing="apple", *, no=False, **more):
    return Fact.of("event", negated=no, agent=agent, verb=verb, object=thing, **more)


def taller(agent="anna", other="ivan", comparative="taller", *, no=False):
    return Fact.of("compare", negated=no, agent=agent, comparative=comparative, other=other)


def gave(agent="anna", recipient="ivan", thing="apple", *, no=False, **more):
    return Fact.of("give", negated=no, agent=agent, verb="give", object=thing, recipient=recipient, **more)


def at(agent, place, *, no=False):
    return Fact.of("at", negated=no, agent=agent, place=place)


def is_(thing, attribute, *, no=False):
    return Fact.of("property", negated=no, object=thing, attribute=attribute)


def has(agent, number, thing):
    return Fact.of("has", agent=agent, number=number, object=thing)


def slept(agent="anna", *, no=False, **more):
    return Fact.of("act", negated=no, agent=agent, verb="sleep", **more)


def before(agent, other, *, no=False):
    return Fact.of("before", negated=no, agent=agent, other=other)


E, N, C = "entailment", "neutral", "contradiction"


@pytest.mark.parametrize(
    ("premise", "hypothesis", "label"),
    [
        # hypernyms: up is entailed, down is open; under denial the other way round
        (event(thing="apple"), event(thing="fruit"), E),
        (event(thing="fruit"), event(thing="apple"), N),
        (event(thing="apple", no=True), event(thing="fruit", no=True), N),
        (event(thing="fruit", no=True), event(thing="apple", no=True), E),
        (event(thing="fruit", no=True), event(thing="apple"), C),
        (event(thing="apple", no=True), event(thing="fruit"), N),
        (event(thing="apple"), event(thing="fruit", no=True), C),
        (event(thing="apple"), event(thing="lemon"), N),
        (event(thing="apple"), event(thing="lemon", no=True), N),
        (event(thing="book"), event(thing="letter"), N),
        # modifiers: leaving one out is entailed, putting one in is open
        (event(place="park", time="monday"), event(time="monday"), E),
        (event(time="monday"), event(time="monday", place="park"), N),
        (event(place="park", no=True), event(no=True), N),
        (event(no=True), event(place="park", no=True), E),
        (event(no=True), event(place="park"), C),
        (event(attribute="red"), event(attribute="blue"), N),  # there may be two apples
        (event(attribute="red"), event(thing="fruit"), E),
        (slept(place="park"), slept(), E),
        (slept(place="park"), slept(place="hotel"), N),
        (slept(), slept(no=True), C),
        (slept(no=True), slept("ivan"), N),
        # persons and verbs
        (event(), event(agent="ivan"), N),
        (event(verb="buy"), event(verb="sell"), N),
        # giving
        (gave(time="monday"), gave(), E),
        (gave(thing="apple"), gave(thing="fruit"), E),
        (gave("anna", "ivan"), gave("ivan", "anna"), N),
        (gave(no=True), gave(), C),
        # one place at a time
        (at("anna", "park"), at("anna", "hotel"), C),
        (at("anna", "park"), at("anna", "hotel", no=True), E),
        (at("anna", "park", no=True), at("anna", "hotel"), N),
        (at("anna", "park", no=True), at("anna", "hotel", no=True), N),
        (at("anna", "park"), at("ivan", "hotel"), N),
        # attributes that exclude each other
        (is_("book", "red"), is_("book", "blue"), C),
        (is_("book", "red"), is_("book", "blue", no=True), E),
        (is_("book", "big"), is_("book", "small"), C),
        (is_("book", "big", no=True), is_("book", "small"), N),  # it may be neither
        (is_("book", "big"), is_("book", "red"), N),
        (is_("apple", "red"), is_("fruit", "red"), N),  # "the fruit" is another one
        (is_("book", "red"), is_("table", "blue"), N),
        # comparing: the converse says the same, the other way round is excluded, ties are possible
        (taller("anna", "ivan"), taller("ivan", "anna", "shorter"), E),
        (taller("anna", "ivan"), taller("ivan", "anna"), C),
        (taller("anna", "ivan"), taller("anna", "ivan", "shorter"), C),
        (taller("anna", "ivan"), taller("anna", "ivan", "shorter", no=True), E),
        (taller("anna", "ivan", no=True), taller("ivan", "anna"), N),
        (taller("anna", "ivan", no=True), taller("ivan", "anna", "shorter", no=True), E),
        (taller("anna", "ivan"), taller("anna", "ivan", "older"), N),
        (taller("anna", "ivan"), taller("anna", "leo"), N),
        (before("anna", "ivan"), before("ivan", "anna"), C),
        (before("anna", "ivan"), before("ivan", "anna", no=True), E),
        (before("anna", "ivan", no=True), before("ivan", "anna"), N),
        # numbers
        (has("anna", "three", "apple"), has("anna", "four", "apple"), C),
        (has("anna", "three", "apple"), has("anna", "three", "lemon"), N),
        (has("anna", "three", "apple"), has("anna", "three", "fruit"), N),
        (has("anna", "three", "apple"), has("ivan", "three", "apple"), N),
        (has("anna", "three", "apple"), has("anna", "three", "apple"), E),
        # kinds do not speak of each other
        (slept(place="park"), at("anna", "park"), N),
        (gave(), has("ivan", "three", "apple"), N),
    ],
)
def test_relation(premise, hypothesis, label):
    assert relation((premise,), hypothesis) == label


def test_relation_of_two_premises():
    facts = (at("anna", "park"), event(thing="apple", time="monday"))
    assert relation(facts, event(thing="fruit")) == E
    assert relation(facts, at("anna", "hotel")) == C
    assert relation(facts, event(agent="ivan")) == N
    assert relation(reversed(facts), at("anna", "hotel")) == C


facts = st.integers(0, 2**32).map(lambda seed: meaning.draw(random.Random(seed)))
changes = st.tuples(facts, st.integers(0, 2**32), st.sampled_from(meaning.CHANGES))
many = settings(max_examples=300, deadline=None)


def changed(drawn):
    fact, seed, how = drawn
    return fact, meaning.change(random.Random(seed), fact, how) or fact


@given(facts)
@many
def test_a_fact_entails_itself_and_contradicts_its_denial(fact):
    assert relation((fact,), fact) == E
    assert relation((fact,), fact.denied()) == C
    assert relation((fact.denied(),), fact) == C
    assert fact.denied().denied() == fact


@given(changes.map(changed))
@many
def test_the_same_meaning_is_entailment_both_ways(pair):
    one, two = pair
    both = relation((one,), two) == relation((two,), one) == E
    assert meaning.same_meaning(one, two) == both


@given(changes.map(changed))
@many
def test_contradiction_goes_both_ways(pair):
    one, two = pair
    assert (relation((one,), two) == C) == (relation((two,), one) == C)


@given(changes.map(changed))
@many
def test_entailment_turns_round_under_denial(pair):
    one, two = pair
    assert (relation((one,), two) == E) == (relation((two.denied(),), one.denied()) == E)


@given(changes.map(changed))
@many
def test_what_is_entailed_cannot_be_denied(pair):
    one, two = pair
    label, denied = relation((one,), two), relation((one,), two.denied())
    assert denied == {E: C, C: E, N: N}[label]


@given(facts.filter(lambda fact: not fact.negated), st.integers(0, 2**32))
@many
def test_entailment_is_transitive(fact, seed):
    """Along random losses of detail (modifiers left out, groups for things, converses)."""
    rng, chain = random.Random(seed), [fact]
    for _ in range(5):
        chain.append(meaning.change(rng, chain[-1], rng.choice(("drop", "group", "converse"))) or chain[-1])
    if fact.kind in ("property", "has"):
        return  # these speak of one thing, not of any thing of a group
    for i, one in enumerate(chain):
        for two in chain[i:]:
            assert relation((one,), two) == E
            assert relation((two.denied(),), one.denied()) == E


@given(changes)
@many
def test_a_change_gives_a_fact_that_can_be_said(drawn):
    fact, seed, how = drawn
    new = meaning.change(random.Random(seed), fact, how)
    if new is None:
        return
    assert new.kind == fact.kind
    assert set(new.roles) <= set(meaning.ROLES[fact.kind])
    roles = new.roles
    assert roles.get("agent") not in (roles.get("other"), roles.get("recipient")) or "agent" not in roles
    assert new != fact
    Saying((new,), (False,)).sentence("en")


@given(facts)
@many
def test_converses_are_converses(fact):
    if fact.kind != "compare":
        return
    other = meaning.change(random.Random(0), fact, "converse")
    assert meaning.change(random.Random(0), other, "converse") == fact
    assert meaning.same_meaning(fact, other)
    assert other.roles["agent"] == fact.roles["other"]
