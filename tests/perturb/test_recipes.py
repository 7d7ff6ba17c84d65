"""Recipes: each changes something in many scripts, within its budgets, and never what is fixed."""

from __future__ import annotations

import math
import subprocess
import sys
import zlib
from collections import OrderedDict
from types import MappingProxyType

import pytest
import torch
from pydantic import ValidationError

from perturb.edits import Resources
from perturb.errors import BadInput
from perturb.lexicon import Lexicon, Wordnet
from perturb.recipes import KINDS, RECIPES, build_recipe, recipe
from perturb.recipes.settings import AttackSettings
from perturb.recipes.stock import STOCK

# Words, of which the third stays as it is.
SENTENCES = MappingProxyType({
    "en": "yesterday small children found beautiful flowers behind wooden houses",
    "ru": "вчера маленькие дети нашли красивые цветы возле деревянного дома",
    "el": "χθες μικρά παιδιά βρήκαν όμορφα λουλούδια κοντά στον σταθμό",
    "hi": "परिवारवाले बगीचे पुराने मकान देखकर बहुत प्रसन्न होकर मुसकुराए",
    "ta": "சிறுவர்கள் நேற்று அழகான மலர்களை பார்த்து மிகவும் மகிழ்ந்தார்கள்",
    "ar": "وجدت البنات الصغيرات ازهارا جميلة خلف المنازل القديمة",
    "he": "הילדים מצאו אתמול פרחים יפים מאחורי הבתים הישנים",
    "th": "เด็กนักเรียนพบดอกไม้สวยงามข้างโรงเรียนเก่า",
})  # fmt: skip
STAYS = 2


class Ngrams:
    """A model of hashed character n-grams; every clean text is right, and it does give in."""

    model = None

    def __init__(self, scale=4.0):
        self.scale, self.clean, self.asked = scale, {}, 0

    def score(self, text):
        text = f" {text} "
        grams = [text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1)]
        return sum(zlib.crc32(gram.encode()) % 2001 / 1000 - 1 for gram in grams) / math.sqrt(len(grams))

    def __call__(self, asked):
        self.asked += len(asked)
        rows = []
        for example, texts in asked:
            score = self.score(texts if isinstance(texts, str) else "\n".join(texts))
            sign, least = self.clean.setdefault(example, (1 if score > 0 else -1, abs(score) / 2))
            margin = 1 / (1 + math.exp(-self.scale * (sign * score - least)))
            rows.append((float(margin > 0.5), margin))
        return torch.tensor(rows, dtype=torch.float64)


def words_of(language):
    from perturb.segment import words

    text = SENTENCES[language]
    return [text[start:end] for start, end in words(text, language)]


def fill(masked, most):
    """What a language model would say that knows the sentences' words."""
    language = next(code for code, text in SENTENCES.items() if set(masked[0].replace("<mask>", "").split()) & {
        *text.split(), *words_of(code)
    } or masked[0][:2] == text[:2] or masked[0][-2:] == text[-2:])  # fmt: skip
    return [[f" {word}" if language != "th" else word for word in words_of(language)][:most]] * len(masked)


FINNISH = [
    "kala",
    "talo",
    "puu",
    "koira",
    "kissa",
    "lintu",
    "meri",
    "vuori",
    "joki",
    "silta",
    "katu",
    "tie",
    "ranta",
    "pilvi",
]


def translated(language):
    """Sentences of up to three neighbouring words, and the whole one, with what stands for them word by word."""
    own, gap = words_of(language), "" if language == "th" else " "
    for count in (1, 2, 3, len(own)):
        for start in range(len(own) - count + 1):
            chosen = range(start, start + count)
            yield (language, gap.join(own[i] for i in chosen)), {"fi": " ".join(FINNISH[i] for i in chosen)}


@pytest.fixture(scope="module")
def resources():
    pairs = [(code, word, "fi", FINNISH[i]) for code in SENTENCES for i, word in enumerate(words_of(code))]
    lemmas = [{code: list(two)} for code in SENTENCES for two in zip(words_of(code), words_of(code)[::-1], strict=True)]
    parallel = dict(pair for code in SENTENCES for pair in translated(code))
    return Resources(lexicon=Lexicon.of(pairs), wordnet=Wordnet(lemmas), parallel=parallel, masked=(fill, "<mask>"))


def source(language, *, tokens=False):
    from perturb.attacked_text import ScriptText

    text = SENTENCES[language]
    plain = ScriptText(text, language=language)
    spans = [(place.start, place.end) for place in plain.places]
    return ScriptText(text, language=language, fixed=[spans[STAYS]], spans=spans if tokens else None)


def made(settings, language, resources, victim=None, **others):
    from perturb.goals import figure_falls

    victim = victim or Ngrams()
    return build_recipe(settings, figure_falls(victim, settings), language, resources, **others)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("language", SENTENCES)
def test_it_changes_something_in_every_script_within_its_budgets(name, language, resources):
    from perturb.transformation import words_changed

    text, victim = source(language), Ngrams(scale=0.5)
    attack = made(AttackSettings(recipe=name, queries=400, words=0.6), language, resources, victim)
    result = attack.attack(text, "one")
    found = result.perturbed_result.attacked_text
    assert found.text != text.text
    assert text.words[STAYS] in found.words
    # ICU cuts one Thai word after the other, so what is fixed stays where it is.
    kept = found.columns[0][found.fixed[0][0][0] : found.fixed[0][0][1]]
    assert kept == text.words[STAYS]
    assert 1 <= words_changed(found) <= math.ceil(0.6 * (text.num_words - 1))
    assert result.num_queries <= 400 and victim.asked <= 400


@pytest.mark.parametrize("name", RECIPES)
def test_it_finds_what_makes_the_model_wrong(name, resources):
    from perturb.attacked_text import ta

    settings = AttackSettings(recipe=name, words=1.0)
    results = [made(settings, code, resources).attack(source(code), code) for code in SENTENCES]
    broken = [one for one in results if isinstance(one, ta.attack_results.SuccessfulAttackResult)]
    assert broken and all(one.perturbed_result.right == 0 for one in broken)
    assert all(one.perturbed_result.score >= one.original_result.score for one in results)


@pytest.mark.parametrize("name", [one.name for one in RECIPES.values() if "tagging" in one.kinds])
def test_of_given_tokens_each_stays_one(name, resources):
    attack = made(AttackSettings(recipe=name, queries=300, words=1.0), "en", resources, Ngrams(scale=0.5))
    found = attack.attack(source("en", tokens=True), "one").perturbed_result.attacked_text
    assert found.text != SENTENCES["en"]
    assert len(found.text.split(" ")) == found.num_words == len(SENTENCES["en"].split())


@pytest.mark.parametrize("name", RECIPES)
def test_a_small_query_budget_ends_it(name, resources):
    for queries in (2, 3, 11, 30):
        victim = Ngrams(scale=0.01)
        result = made(AttackSettings(recipe=name, queries=queries), "en", resources, victim).attack(source("en"), "one")
        assert result.num_queries <= queries and victim.asked <= queries


@pytest.mark.parametrize("name", RECIPES)
def test_side_by_side_it_finds_what_it_finds_alone(name, resources):
    from perturb.attacker import attack
    from perturb.candidates import CandidateStore, draws

    settings = AttackSettings(recipe=name, queries=120, words=0.5)
    victim = Ngrams()
    one = made(settings, "en", resources, victim)
    assert not draws(one)
    examples = [("a", source("en"), "a"), ("b", source("en").replace_word_at_index(0, "tomorrow"), "b")]
    examples = [(key, source_again(text), label) for key, text, label in examples]
    alone = [told(one.attack(source_again(text), label)) for _, text, label in examples]
    store = CandidateStore()
    for slots in (1, 2, 2):
        made_again = attack(lambda: one, examples, slots=slots, store=store, recipe=name)
        assert [told(result) for result in made_again] == alone
    assert store.hits > 0


def source_again(text):
    from perturb.attacked_text import ScriptText

    return ScriptText(text.text, language="en", fixed=text.fixed[0])


def told(result):
    found = result.perturbed_result
    return type(result), found.attacked_text.text, found.score, result.num_queries


def test_without_candidates_a_text_is_not_attackable(resources):
    from perturb.attacked_text import ScriptText
    from perturb.transformation import attackable, candidates

    attack = made(AttackSettings(recipe="deepwordbug", most=3), "en", resources)
    text = source("en")
    found = candidates(attack, text)
    assert len(found) == text.num_words and found[STAYS] == 0
    assert all(count >= 6 for i, count in enumerate(found) if i != STAYS)
    assert attackable(attack, text)
    for none in ("2024 17", "😀 😀", "", "…", "маленькие дети"):
        assert candidates(attack, ScriptText(none, language="en")) == [0] * ScriptText(none, language="en").num_words
        assert not attackable(attack, ScriptText(none, language="en"))
    assert not attackable(attack, ScriptText("small", language="en", fixed=[(0, 5)]))


@pytest.mark.parametrize(("fields", "changed"), [("first", {0}), ("second", {1}), ("all", {0, 1})])
def test_the_fields_under_attack(fields, changed, resources):
    from perturb.attacked_text import ScriptText

    pair = ScriptText(OrderedDict(text=SENTENCES["en"], pair="children gather yellow flowers"), language="en")
    attack = made(AttackSettings(recipe="deepwordbug", words=1.0, fields=fields), "en", resources, Ngrams(scale=0.01))
    found = attack.attack(pair, "one").perturbed_result.attacked_text
    assert {i for i, (old, new) in enumerate(zip(pair.columns, found.columns, strict=True)) if old != new} <= changed
    assert {place.column for i, place in enumerate(pair.places) if attack_has(attack, pair, i)} == changed


def attack_has(attack, text, index):
    return bool(attack.get_transformations(text, original_text=text, indices_to_modify=[index]))


def test_an_attested_word_is_made_of_no_other(resources):
    from perturb.attacked_text import ScriptText

    text = ScriptText("there", language="en")
    settings = AttackSettings(recipe="deepwordbug", most=64)
    for attested, said in ((frozenset(), True), (frozenset({"thee", "tree", "three"}), False)):
        attack = made(settings, "en", resources, attested=attested)
        found = {one.text for one in attack.get_transformations(text, original_text=text)}
        assert found and bool(found & {"thee", "tree", "three"}) is said


def test_the_seed_is_all_that_draws(resources):
    def tried(seed):
        attack = made(AttackSettings(recipe="deepwordbug", most=2, seed=seed), "en", resources)
        return [one.text for one in attack.get_transformations(source("en"), original_text=source("en"))]

    assert tried(0) == tried(0) != tried(1)


class Lengths(Ngrams):
    """A model that is always right, and the less sure the longer a text is."""

    def __call__(self, asked):
        return torch.tensor([(1.0, 1 / (1 + len(text))) for _, text in asked])


def test_the_order_of_words_holds_after_one_was_cut_in_two(resources):
    """TextAttack's own search goes on by indices of the original, and so past the second word."""
    from perturb.attacked_text import ScriptText

    attack = made(AttackSettings(recipe="textbugger-characters", words=1.0), "en", resources, Lengths())
    found = attack.attack(ScriptText("gather children", language="en"), "one").perturbed_result.attacked_text
    assert found.text.replace(" ", "") == "gatherchildren" and found.num_words == 4
    assert len(found.text.split()) == 4


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("words", [0.1, 0.3, 0.6])
def test_the_edit_budget_is_used_and_kept(name, words, resources):
    from perturb.transformation import candidates, words_changed

    attack = made(AttackSettings(recipe=name, words=words), "en", resources, Lengths())
    text = source("en")
    found = attack.attack(text, "one").perturbed_result.attacked_text
    changeable = 99 if name == "phrase-mixing" else sum(count > 0 for count in candidates(attack, text))
    most = min(math.ceil(words * (text.num_words - 1)), changeable, 2 if name == "pruthi" else 99)
    if name in ("pwws", "masked-lm", "phrase-mixing"):  # not every word has a longer one, a phrase is all or nothing
        assert int(name != "phrase-mixing" or words > 0.5) <= words_changed(found) <= most
    else:
        assert words_changed(found) == most


@pytest.mark.parametrize("name", RECIPES)
def test_no_word_is_changed_twice(name, resources):
    attack = made(AttackSettings(recipe=name, words=1.0), "en", resources)
    text = source("en")
    for one in attack.get_transformations(text, original_text=text)[::7]:
        done = one.attack_attrs["modified_indices"]
        for two in attack.get_transformations(one, original_text=text):
            assert all(one.words[i] in two.words for i in done)


def test_papers_own_limits(resources):
    import editdistance

    from perturb.attacked_text import ScriptText

    long = ScriptText(" ".join([SENTENCES["en"]] * 6), language="en")
    attack = made(AttackSettings(recipe="deepwordbug", words=1.0, most=4), "en", resources, Lengths())
    assert editdistance.eval(long.text, attack.attack(long, "one").perturbed_result.attacked_text.text) == 30
    typos = made(AttackSettings(recipe="pruthi", words=1.0), "en", resources)
    text = ScriptText("the boy eats bread", language="en")
    assert {i for i in range(4) if attack_has(typos, text, i)} == {2, 3}
    assert made(AttackSettings(recipe="pwws"), "en", resources).search_method.wir_method == "weighted-saliency"


def test_unknown_stands_for_the_word_that_is_weighed(resources):
    class Listening(Ngrams):
        def __init__(self):
            super().__init__()
            self.texts = []

        def __call__(self, asked):
            self.texts += [texts for _, texts in asked]
            return super().__call__(asked)

    victim = Listening()
    made(AttackSettings(recipe="deepwordbug"), "hi", resources, victim, unknown="<unk>").attack(source("hi"), "one")
    assert victim.texts[1].count("<unk>") == 1 and victim.texts[1].startswith("<unk>")
    assert sum("<unk>" in text for text in victim.texts) == source("hi").num_words - 1


def test_a_recipe_without_its_resources_exists_nowhere():
    needed = {"code-mixing": "lexicon", "phrase-mixing": "parallel", "pwws": "wordnet", "masked-lm": "masked"}
    for name, kept in needed.items():
        assert not RECIPES[name].exists("en")
        assert getattr(Resources(), kept) is None
        with pytest.raises(BadInput, match="changes nothing in 'en'") as told:
            build_recipe(AttackSettings(recipe=name), None, "en")
        assert "not at hand" in told.value.right
    assert RECIPES["deepwordbug"].exists("hi") and RECIPES["pruthi"].exists("ta")


def test_every_recipe_says_what_it_is(resources):
    for one in [*RECIPES.values(), *STOCK.values()]:
        assert one.description and one.paper and one.keeps in ("form", "meaning", "stress")
        assert set(one.kinds) <= set(KINDS) and one.kinds
    for one in RECIPES.values():
        edits = one.of("en", resources)
        assert [edit.name for edit in edits] == list(one.edits)
        assert {edit.keeps for edit in edits} == {one.keeps}


def test_an_unknown_recipe_is_told_with_the_nearest():
    with pytest.raises(BadInput, match="no recipe 'deepwordbag'") as told:
        recipe("deepwordbag")
    assert "did you mean 'deepwordbug'?" in told.value.right


@pytest.mark.parametrize(
    "wrong", [{"words": 0}, {"words": 1.5}, {"queries": 1}, {"most": 0}, {"fields": "third"}, {"query": 3}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError):
        AttackSettings(recipe="pruthi", **wrong)


class Logits:
    """Two classes by the n-grams of a text."""

    model = None

    def __call__(self, texts):
        score = Ngrams().score
        return torch.tensor([[score(text), -score(text)] for text in texts], dtype=torch.float64)


@pytest.mark.parametrize("name", ["textattack:deepwordbug", "textattack:pruthi"])
def test_stock_recipes_run_on_english(name):
    from perturb.attacked_text import ScriptText
    from perturb.goals import untargeted

    settings = AttackSettings(recipe=name, queries=150, words=0.5)
    attack = build_recipe(settings, untargeted(Logits(), settings), "en")
    text = ScriptText(SENTENCES["en"], language="en", fixed=[(10, 15)])
    result = attack.attack(text, int(Ngrams().score(text.text) < 0))
    found = result.perturbed_result.attacked_text
    assert found.text != text.text and "small" in found.words and result.num_queries <= 150


@pytest.mark.parametrize("name", ["textattack:textfooler", "textattack:pwws", "textattack:pso"])
def test_a_stock_recipe_says_what_it_lacks(name, monkeypatch, tmp_path):
    import socket

    import nltk

    from perturb.goals import untargeted

    monkeypatch.setattr(nltk.data, "path", [path for path in nltk.data.path if "order-search" in path])
    monkeypatch.setenv("TA_CACHE_DIR", str(tmp_path))

    def closed(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", closed)
    settings = AttackSettings(recipe=name)
    with pytest.raises(BadInput, match="needs what is not here: ") as told:
        build_recipe(settings, untargeted(Logits(), settings), "en")
    assert STOCK[name].needs in told.value.what


def test_stock_recipes_that_cannot_serve_say_why():
    for name, language, what in (
        ("textattack:deepwordbug", "hi", "is for English, not for 'hi'"),
        ("textattack:hotflip", "en", "needs the victim's gradients"),
        ("textattack:morpheus", "en", "another goal"),
        ("textattack:bad-characters", "en", "lacks the table"),
    ):
        assert not STOCK[name].exists(language)
        with pytest.raises(BadInput, match=what):
            build_recipe(AttackSettings(recipe=name), None, language)
    with pytest.raises(BadInput, match="its own number of candidates"):
        build_recipe(AttackSettings(recipe="textattack:pruthi", most=3), None, "en")
    assert STOCK["textattack:pruthi"].exists("en")


def test_listing_imports_neither_textattack_nor_torch():
    code = (
        "import sys; from perturb.recipes import RECIPES, STOCK;"
        "assert RECIPES['deepwordbug'].exists('hi') and STOCK['textattack:pruthi'].exists('en');"
        "print(sorted({'textattack', 'torch', 'transformers', 'nltk'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
