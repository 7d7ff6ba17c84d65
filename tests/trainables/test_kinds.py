"""The contract that every kind of task keeps. A new one is tested by its entry in `KINDS` and a case here."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from torch import nn
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from trainables.batches import collate, scoring_batches
from trainables.evaluate import evaluate, sets_of
from trainables.examples import Answer, Example, in_search_half
from trainables.fingerprint import MICRO
from trainables.kinds import KINDS, Feature
from trainables.kinds.base import IGNORED, TextFrame
from trainables.kinds.span import Window
from trainables.mini import generate
from trainables.models import Encoder
from trainables.tasks import UNTRAINED, Task, load_task

TEXTS = [
    ("en", "The old mill by the river burned down in 1904.", "When did the mill burn down?", "1904"),
    ("de", "Im Winter fährt die Fähre nur zweimal am Tag.", "Wie oft fährt die Fähre?", "zweimal am Tag"),
    ("hi", "मेरी बहन पुणे में रहती है और गणित पढ़ाती है।", "बहन कहाँ रहती है?", "पुणे"),
    ("th", "แมวสีดำนอนอยู่บนหลังคาบ้านทุกเช้า", "แมวนอนที่ไหน", "บนหลังคาบ้าน"),
    ("zh", "北京的秋天很短，可是天空特别蓝。", "什么时候天空特别蓝？", "秋天"),
    ("ar", "وصل القطار إلى المدينة بعد منتصف الليل.", "متى وصل القطار؟", "بعد منتصف الليل"),
    ("el", "Το πλοίο φεύγει κάθε πρωί στις έξι.", "Πότε φεύγει το πλοίο;", "στις έξι"),
    ("en", "Nobody knows who painted the small blue door.", "Who sold the door?", None),
]
"""A sentence in several scripts, a question about it, and the answer if it has one."""


def hand_made(kind, **settings):
    return Task.model_validate({"name": f"by-hand-{kind}", "kind": kind, "source": {"mini": "x"}, **settings})


def shipped(name, code="en"):
    task = load_task(name, "--tasks")
    return task, generate.examples(str(task.source.mini), "test", code)[:40]


def spans():
    """Contexts of one sentence and of all of them, with and without an answer."""
    settings = {"stride": 16, "may_be_unanswerable": True, "answer_length": 40}
    task = hand_made("span", max_length=64, metric="squad_v2", span=settings)
    examples = []
    for number in range(20):
        code, context, question, answer = TEXTS[number % len(TEXTS)]
        if number >= len(TEXTS):
            context = " ".join([*(text for _, text, _, _ in TEXTS[: number % 4]), context])
        answers = (Answer(answer, context.index(answer)),) if answer else ()
        examples.append(Example(f"s{number}", code, question, context, answers=answers))
    return task, examples


def choices():
    """Two to five choices, about a context, about a question, and about a question on a context."""
    examples = []
    for number in range(24):
        code, context, question, _ = TEXTS[number % len(TEXTS)]
        texts = [text for _, text, _, _ in TEXTS][number % 3 :][: 2 + number % 4]
        pair = question if number % 3 == 0 else None
        examples.append(Example(f"c{number}", code, context, pair, str(number % len(texts)), choices=tuple(texts)))
    return hand_made("choice", max_length=96), examples


def sentences():
    """Two collections of sentences, two thirds of which have a translation on the other side."""
    examples = []
    for number in range(24):
        code, text, _, _ = TEXTS[number % len(TEXTS)]
        paired = number % 3 != 2
        source, target = f"m{number}-source", f"m{number}-target"
        other = f"{text[: number % 3 * 9]} {text}"
        examples += [
            Example(source, code, f"{text} {number}", target if paired else None, "source"),
            Example(target, code, other, source if paired else None, "target"),
        ]
    return hand_made("mining"), examples


def plain_texts():
    rows = [(code, f"{text} {number}") for number in range(3) for code, text, _, _ in TEXTS]
    examples = [Example(f"t{number}", code, text) for number, (code, text) in enumerate(rows)]
    return hand_made("masked_lm", max_length=96, masked_lm={"copies": 2}), examples


CASES = {
    "classification": lambda: shipped("mini-nli"),
    "tagging": lambda: shipped("mini-pos"),
    "retrieval": lambda: shipped("mini-tatoeba", "de"),
    "span": spans,
    "choice": choices,
    "mining": sentences,
    "masked_lm": plain_texts,
}
"""A task of each kind with examples, long and short ones. By hand where no data of the mini suite are needed."""


@pytest.fixture(scope="module")
def model(tiny_model):
    return Encoder(tiny_model)


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def case(kind):
    return CASES[kind.name]()


@pytest.fixture
def task(case):
    return case[0]


@pytest.fixture
def examples(case):
    return case[1]


def predicted(model, task, head, features, size=8, layer=-1):
    """Predictions in the order of the features, in batches of that size."""
    found = []
    model.eval()
    with torch.no_grad():
        for at in range(0, len(features), size):
            batch = collate(task.name, features[at : at + size], 1, model.device)
            states = model.states(batch.ids, batch.mask, layer)
            found += KINDS[task.kind].predict(task, head, states, batch.mask, batch.features)
    return found


def head_of(model, kind, task, seed=0):
    torch.manual_seed(seed)
    return kind.head(task, model)


def truths(task, examples, features):
    """The predictions of a model that knows everything."""
    match task.kind:
        case "classification":
            return [examples[f.item].label for f in features]
        case "tagging":
            return [list(examples[f.item].tags) for f in features]
        case "choice":
            return [int(examples[f.item].label) for f in features]
        case "masked_lm":
            return [[f.label[place] for place in f.positions] for f in features]
        case "span":
            return [true_window(examples[f.item], f) for f in features]
    rng = torch.Generator().manual_seed(0)
    units = sorted({KINDS[task.kind].unit(example) for example in examples})
    vectors = dict(zip(units, nn.functional.normalize(torch.randn(len(units), 64, generator=rng)), strict=True))
    return [vectors[KINDS[task.kind].unit(examples[feature.item])] for feature in features]


def true_window(example, feature):
    """The answer, where the window holds it; otherwise a bad span that loses against no answer."""
    wrong = (-9.0, *feature.offsets[0])
    if feature.label == [0, 0]:
        return Window(5.0, wrong)
    (answer,) = example.answers
    return Window(-5.0, (9.0, answer.start, answer.start + len(answer.text)))


def alike(one, two):
    """Equal predictions; numbers in them up to rounding."""
    if isinstance(one, torch.Tensor):
        return torch.allclose(one, two, atol=1e-5)
    if isinstance(one, float):
        return one == pytest.approx(two, abs=1e-4)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(alike, one, two))
    return one == two


def test_every_kind_has_a_case():
    assert set(CASES) == set(KINDS)
    assert all(kind.name == name for name, kind in KINDS.items())
    assert all(make()[0].kind == name for name, make in CASES.items())


def test_round_trip(model, kind, task, examples):
    features = kind.encode(task, examples, model.tokenizer, task.max_length)
    assert {feature.item for feature in features} == set(range(len(examples)))
    for feature in features:
        assert feature.length == max(map(len, feature.rows)) <= task.max_length
        for row in feature.rows:
            assert (row[0], row[-1]) == (model.tokenizer.bos_token_id, model.tokenizer.eos_token_id)
            assert model.tokenizer.unk_token_id not in row
        assert len(feature.offsets) == (len(feature.positions) if task.kind == "span" else 0)
        assert len(feature.rows) == (len(examples[feature.item].choices) or 1)
    predictions = predicted(model, task, head_of(model, kind, task), features)
    assert len(predictions) == len(features)
    result = kind.score(task, examples, features, predictions)
    assert len(result.items) == len(examples)
    assert all(0.0 <= item <= 1.0 for item in result.items)
    assert (result.threshold is not None) == (task.kind == "mining")
    for figure in result.metrics:
        assert 0.0 <= figure.value <= 1.0
        # Mining counts pairs, of which not every sentence has one, and a ratio of sums over pairs has no simple error.
        if task.kind == "mining":
            assert figure.n == 16 or figure.metric == "precision"
        else:
            assert figure.n >= len(examples)
            assert figure.stderr is not None
    main = result.metrics[0]
    if main.metric in ("accuracy", "f1_em") and task.kind != "masked_lm":
        assert main.value == pytest.approx(sum(result.items) / len(examples))


def test_the_truth_scores_one(model, kind, task, examples):
    features = kind.encode(task, examples, model.tokenizer, task.max_length)
    result = kind.score(task, examples, features, truths(task, examples, features))
    assert result.items == [1.0] * len(examples)
    assert [figure.value for figure in result.metrics] == [1.0] * len(result.metrics)


def test_padding_changes_nothing(model, kind, task, examples):
    features = kind.encode(task, examples, model.tokenizer, task.max_length)
    lengths = [feature.length for feature in features]
    assert min(lengths) < max(lengths)
    longest = features[lengths.index(max(lengths))]
    model.eval()
    layer = task.retrieval.layer
    with torch.no_grad():
        for feature in features[:10]:
            alone = collate(task.name, [feature], 1, model.device)
            together = collate(task.name, [feature, longest], 1, model.device)
            assert together.ids.shape == together.mask.shape == (len(feature.rows + longest.rows), longest.length)
            ones, twos = (model.states(batch.ids, batch.mask, layer) for batch in (alone, together))
            for row, ids in enumerate(feature.rows):
                assert together.ids[row, : len(ids)].tolist() == ids
                assert torch.allclose(ones[row, : len(ids)], twos[row, : len(ids)], atol=1e-5)
    head = head_of(model, kind, task)
    single, batched = (predicted(model, task, head, features, size) for size in (1, 16))
    assert alike(single, batched)


def test_gradients_reach_the_head_and_the_encoder(model, kind, task, examples):
    features = kind.encode(task, examples[:8], model.tokenizer, task.max_length)
    model.reset()
    head = head_of(model, kind, task)
    assert (head is None) == (task.kind in UNTRAINED)
    if head is None:
        with pytest.raises(ValueError, match="cannot be trained"):
            kind.loss(nn.Identity(), torch.zeros(1, 1, 1), torch.zeros(1), [])
        return
    model.zero_grad()
    batch = collate(task.name, features, 1, model.device)
    loss = kind.loss(head, model.states(batch.ids, batch.mask), batch.labels, batch.features)
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    for parameter in [*head.parameters(), *model.encoder.parameters()]:
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    # A bias that adds the same to all that a softmax compares has none.
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters() if parameter.dim() > 1)
    model.zero_grad()


def test_a_head_learns(model, kind, task, examples):
    """The loss is the one of what is predicted: trained on a few examples alone, a head comes to know them."""
    few = examples[:4]
    features = kind.encode(task, few, model.tokenizer, task.max_length)
    model.reset()
    head = head_of(model, kind, task)
    if head is None:
        return
    before = kind.score(task, few, features, predicted(model, task, head, features)).metrics[0].value
    parameters = {*head.parameters(), *model.encoder.parameters()}
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    batch = collate(task.name, features, 1, model.device)
    for _ in range(60):
        loss = kind.loss(head, model.states(batch.ids, batch.mask), batch.labels, batch.features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = kind.score(task, few, features, predicted(model, task, head, features)).metrics[0].value
    assert after > max(0.9, before)
    model.reset()


def test_a_head_is_needed(kind, task):
    if task.kind not in UNTRAINED:
        with pytest.raises(ValueError, match="head"):
            kind.predict(task, None, torch.zeros(1, 1, 1), torch.ones(1, 1), [])


def test_one_example(model, kind, task, examples):
    features = kind.encode(task, examples[:1], model.tokenizer, task.max_length)
    result = kind.score(task, examples[:1], features, predicted(model, task, head_of(model, kind, task), features))
    assert len(result.items) == 1
    for figure in result.metrics:
        assert 0.0 <= figure.value <= 1.0 or (figure.n == 0 and figure.value != figure.value)


def test_no_example(model, kind, task):
    assert kind.encode(task, [], model.tokenizer, task.max_length) == []
    result = kind.score(task, [], [], [])
    assert result.items == []
    assert all(figure.n == 0 and figure.stderr is None for figure in result.metrics)


def test_encoding_does_not_depend_on_the_neighbours(model, kind, task, examples):
    together = kind.encode(task, examples, model.tokenizer, task.max_length)
    alone = [f for e in examples for f in kind.encode(task, [e], model.tokenizer, task.max_length)]
    assert [replace(feature, item=0) for feature in together] == alone


@pytest.mark.parametrize("length", [8, 9, 20, 64])
def test_long_texts_are_cut_to_the_length(model, kind, task, examples, length):
    """Down to the least length a task may have."""
    long = [longer(task, example, 8) for example in examples[:3]]
    features = kind.encode(task, long, model.tokenizer, length)
    assert {feature.item for feature in features} == {0, 1, 2}
    assert max(feature.length for feature in features) <= length
    head = head_of(model, kind, task)
    predictions = predicted(model, task, head, features)
    assert len(kind.score(task, long, features, predictions).items) == 3
    if head is not None:
        batch = collate(task.name, features, 1, model.device)
        assert torch.isfinite(kind.loss(head, model.states(batch.ids, batch.mask), batch.labels, batch.features))


def longer(task, example, times):
    pair = example.pair
    if pair is not None and task.kind != "mining":
        pair = " ".join([pair] * times)
    return replace(
        example,
        text=" ".join([example.text] * times),
        pair=pair,
        words=example.words * times,
        tags=example.tags * times,
        choices=tuple(" ".join([choice] * times) for choice in example.choices),
    )


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_evaluation_does_not_depend_on_the_batches(model, kind, task, examples, monkeypatch):
    head = head_of(model, kind, task)
    sets = sets_of(task, {("test", "en"): examples, ("test", "de"): examples[::-1], ("dev", "en"): examples[:7]}, model)
    scores, items = evaluate(model, task, head, sets)
    monkeypatch.setattr("trainables.evaluate.scoring_batches", lambda features, **_: scoring_batches(features, 200))
    assert evaluate(model, task, head, sets) == (scores, items)


def test_halves_add_up(model, kind, task, examples):
    head = head_of(model, kind, task)
    scores, items = evaluate(model, task, head, sets_of(task, {("test", "en"): examples}, model))
    n = {(row["portion"], row["metric"]): row["n"] for row in scores}
    for metric in {row["metric"] for row in scores} - {"precision"}:  # that is over the pairs that a model names
        assert n["search", metric] + n["report", metric] == n["test", metric]
        assert 0 < n["search", metric] < n["test", metric]
    assert [item["id"] for item in items] == [example.id for example in examples]
    assert {row["portion"] for row in scores} == {"test", "search", "report"}


def test_an_empty_set_of_a_language(model, kind, task, examples):
    sets = sets_of(task, {("test", "en"): [], ("test", "de"): examples}, model)
    scores, items = evaluate(model, task, head_of(model, kind, task), sets)
    assert len(items) == len(examples)
    assert {row["n"] for row in scores if row["language"] == "en"} == {0}


def test_the_halves_are_halves():
    kept = sum(in_search_half(f"test-{number}") for number in range(2000))
    assert 900 < kept < 1100


# --- tagging ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pos():
    return load_task("mini-pos", "--tasks")


def test_a_long_sentence_gets_one_tag_a_word(model, pos):
    rng = random.Random(0)
    words = [rng.choice(["dog", "ยาวมาก" * 9, "Haus", "дом", "x" * 60, "."]) for _ in range(137)]
    tags = [rng.choice(pos.labels) for _ in words]
    example = Example("1", "en", words=tuple(words), tags=tuple(tags))
    for length in (8, 9, 20, 96):
        features = KINDS["tagging"].encode(pos, [example, example], model.tokenizer, length)
        assert len(features) > 4
        assert all(len(f.ids) <= length and len(f.ids) == len(f.label) and f.positions for f in features)
        predictions = predicted(model, pos, head_of(model, KINDS["tagging"], pos), features)
        assert sum(len(row) for row in predictions) == 2 * len(words)
        kept = [pos.labels[label] for f in features for label in f.label if label != IGNORED]
        assert kept == tags * 2
        read = [pos.labels[f.label[place]] for f in features for place in f.positions]
        assert read == tags * 2
        truth = [[pos.labels[f.label[place]] for place in f.positions] for f in features]
        assert KINDS["tagging"].score(pos, [example] * 2, features, truth).items == [1.0, 1.0]


EMPTY = ["\u200b", " ", "\ufeff", "\u3000", "\t", "\u200d\u200c", "\u00ad", "\ufe0f"]
"""Words that a tokenizer may spell with nothing at all."""

PICTURES = ["🙂", "👩‍👩‍👧‍👦", "🇫🇮", "👍🏽", "❤️", "\U000e0041", "\u0301", "﷽", "\x92"]


@pytest.mark.parametrize("word", EMPTY + PICTURES)
@pytest.mark.parametrize("spelling", ["tiny", "micro"])
def test_words_without_pieces_keep_their_tag(word, spelling, pos, tiny_tokenizer, micro_tokenizer):
    """A word that the tokenizer drops, or spells in many pieces, must not shift the others' tags."""
    tokenizer = tiny_tokenizer if spelling == "tiny" else micro_tokenizer
    words = (word, "dog", word, word, "runs", word)
    example = Example("1", "en", words=words, tags=("X", "NOUN", "X", "SYM", "VERB", "PUNCT"))
    for length in (8, 96):
        features = KINDS["tagging"].encode(pos, [example], tokenizer, length)
        assert all(len(feature.label) == len(feature.ids) <= length for feature in features)
        predictions = read_off(pos, features)
        assert [tag for row in predictions for tag in row] == list(example.tags)
        assert KINDS["tagging"].score(pos, [example], features, predictions).items == [1.0]


@pytest.fixture(scope="module")
def micro_tokenizer():
    return AutoTokenizer.from_pretrained(MICRO)


def read_off(task, features, size=16):
    """The tags of a model that knows those of the labelled pieces and takes every other piece for another tag."""
    found = []
    for at in range(0, len(features), size):
        batch = collate(task.name, features[at : at + size], 1, torch.device("cpu"))
        wrong = (batch.labels.roll(1, -1).clamp(min=0) + 1) % len(task.labels)
        states = nn.functional.one_hot(batch.labels.where(batch.labels != IGNORED, wrong), len(task.labels)).float()
        found += KINDS["tagging"].predict(task, nn.Identity(), states, batch.mask, batch.features)
    return found


@pytest.mark.parametrize("words", [1, 3000])
def test_a_very_long_sentence(model, pos, words):
    rng = random.Random(1)
    tags = tuple(rng.choice(pos.labels) for _ in range(words))
    texts = tuple(rng.choice(["dog", "разнообразие", "我们", "।", "x", "ไม่"]) for _ in range(words))
    example = Example("1", "en", words=texts, tags=tags)
    features = KINDS["tagging"].encode(pos, [example], model.tokenizer, 128)
    assert (len(features) > 100) == (words > 1)
    assert [tag for row in read_off(pos, features) for tag in row] == list(tags)
    guessed = predicted(model, pos, head_of(model, KINDS["tagging"], pos), features)
    assert sum(map(len, guessed)) == words
    (share,) = KINDS["tagging"].score(pos, [example], features, guessed).items
    right = [a == b for a, b in zip([tag for row in guessed for tag in row], tags, strict=True)]
    assert share == sum(right) / words


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "field", "languages", "length"), [("udpos", "upos", 38, 32), ("panx", "ner_tags", 47, 128)]
)
def test_every_published_word_gets_one_tag(data_dir, micro_tokenizer, name, field, languages, length):
    """A hundred sentences of each language, cut into several features or not."""
    grouped = defaultdict(list)
    with gzip.open(data_dir / name / "test.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            grouped[row["lang"]].append(row)
    assert len(grouped) == languages
    labels = sorted({tag for rows in grouped.values() for row in rows for tag in row[field]})
    task = hand_made("tagging", labels=labels)
    for code, rows in grouped.items():
        examples = [
            Example(str(row["id"]), code, words=tuple(row["tokens"]), tags=tuple(row[field])) for row in rows[:100]
        ]
        features = KINDS["tagging"].encode(task, examples, micro_tokenizer, length)
        assert all(len(feature.ids) <= length for feature in features)
        predictions = read_off(task, features, 256)
        got = [[] for _ in examples]
        for feature, tags in zip(features, predictions, strict=True):
            got[feature.item] += tags
        assert got == [list(example.tags) for example in examples], code
        result = KINDS["tagging"].score(task, examples, features, predictions)
        assert result.items == [1.0] * len(examples)
        assert result.metrics[1].n == sum(len(example.words) for example in examples)


def test_pieces_of_words_are_those_of_the_sentence(model, pos):
    """Words encoded one by one give the ids of the sentence with spaces."""
    example = Example(
        "1", "en", words=("Anna", "bought", "an", "apple", "."), tags=("PROPN", "VERB", "DET", "NOUN", "PUNCT")
    )
    (feature,) = KINDS["tagging"].encode(pos, [example], model.tokenizer, 96)
    assert feature.ids == model.tokenizer("Anna bought an apple .")["input_ids"]


@pytest.mark.parametrize(
    ("metric", "order"),
    [
        (None, ["f1", "token_accuracy"]),
        ("f1", ["f1", "token_accuracy"]),
        ("token_accuracy", ["token_accuracy", "f1"]),
    ],
)
def test_the_metric_of_a_tagging_task_is_its_main_one(metric, order):
    task = hand_made("tagging", labels=["NOUN", "VERB"], metric=metric)
    example = Example("1", "en", words=("x", "y", "z"), tags=("NOUN", "NOUN", "VERB"))
    result = KINDS["tagging"].score(task, [example], [Feature(0, [])], [["NOUN", "VERB", "VERB"]])
    figures = {figure.metric: figure.value for figure in result.metrics}
    assert list(figures) == order
    assert figures == {"f1": 0.0, "token_accuracy": pytest.approx(2 / 3)}


# --- the special tokens round a text ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    """BERT's form of tokenizer: texts stand between [CLS] and [SEP], and there is neither `bos` nor `eos`."""
    file = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    file.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "run", "##s", "-", "a", "."]))
    return BertTokenizerFast(str(file))


@pytest.fixture(scope="module")
def bytelevel():
    """Qwen's form of tokenizer: bytes, no unknown token, nothing put round a text."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([text for _, text, _, _ in TEXTS], vocab_size=300, special_tokens=["<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<end>", pad_token="<end>")  # noqa: S106


def test_tags_stand_in_the_tokenizers_own_frame(pos, wordpiece):
    example = Example("1", "en", words=("a", "dog", "runs", "."), tags=("DET", "NOUN", "VERB", "PUNCT"))
    (feature,) = KINDS["tagging"].encode(pos, [example], wordpiece, 96)
    assert feature.ids == wordpiece("a dog runs .")["input_ids"]
    assert [place for place, label in enumerate(feature.label) if label != IGNORED] == feature.positions == [1, 2, 3, 5]


def test_an_unknown_piece_is_no_blank(pos, wordpiece):
    """A tokenizer without "▁" gives its unknown token for it, and words begin with that one too."""
    example = Example("1", "en", words=("Ω-dog", "runs"), tags=("NOUN", "VERB"))
    (feature,) = KINDS["tagging"].encode(pos, [example], wordpiece, 96)
    assert feature.ids == wordpiece("Ω-dog runs")["input_ids"]
    assert feature.positions == [1, 4]


@pytest.mark.parametrize("length", [8, 96])
def test_no_word_stands_first_where_nothing_is_put_before_a_text(pos, bytelevel, length):
    """Position 0 is where a decoder has the state of the whole sentence: a word there would be read from it."""
    assert bytelevel("dog")["input_ids"] == bytelevel("dog", add_special_tokens=False)["input_ids"]
    end = bytelevel.eos_token_id
    assert TextFrame.of(bytelevel) == ([end], [])
    example = Example("1", "en", words=("", "the", "поезд", "在"), tags=("X", "DET", "NOUN", "ADP"))
    features = KINDS["tagging"].encode(pos, [example], bytelevel, length)
    assert all(f.ids[0] == end and 0 not in f.positions and len(f.ids) == len(f.label) <= length for f in features)
    assert [tag for row in read_off(pos, features) for tag in row] == list(example.tags)


@pytest.mark.parametrize("name", ["wordpiece", "bytelevel", "tiny_tokenizer"])
@pytest.mark.parametrize("case", ["mini-tatoeba", "bucc"])
def test_sentences_stand_in_the_frame_too(name, case, request):
    """Also an empty one; one that is too long loses its end as the tokenizer itself cuts it."""
    tokenizer = request.getfixturevalue(name)
    task = load_task(case, "--tasks")
    texts = ["a dog runs .", "", "a dog " * 50]
    examples = [Example(str(number), "de", text, text, "source") for number, text in enumerate(texts)]
    rows = [feature.ids for feature in KINDS[task.kind].encode(task, examples, tokenizer, 20)]
    rows = rows[:: len(rows) // 3]
    wanted = tokenizer(texts, truncation=True, max_length=20)["input_ids"]
    assert rows == [([0, *row][:20] if name == "bytelevel" else row) for row in wanted]
    batch = collate(task.name, [Feature(0, row) for row in rows], tokenizer.pad_token_id, torch.device("cpu"))
    assert (batch.mask.sum(1) > 0).all()


# --- classification ---------------------------------------------------------------------------------------------------


def test_the_longer_sentence_is_cut_first(model):
    task = load_task("mini-nli", "--tasks")
    example = Example("1", "en", text="a dog " * 50, pair="cat", label="neutral")
    (feature,) = KINDS["classification"].encode(task, [example], model.tokenizer, 20)
    text = model.tokenizer.decode(feature.ids)
    assert len(feature.ids) == 20
    assert "cat" in text


def test_single_sentences(model):
    task = load_task("mini-topic", "--tasks")
    example = Example("1", "en", text="Anna ate an apple.", label="food")
    (feature,) = KINDS["classification"].encode(task, [example], model.tokenizer, 96)
    assert feature.ids == model.tokenizer("Anna ate an apple.")["input_ids"]
    assert feature.label == task.labels.index("food")


# --- retrieval --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_identical_sentences_are_found(model, layer, pooling):
    settings = {"layer": layer, "pooling": pooling}
    shipped = load_task("mini-tatoeba", "--tasks")
    task = Task.model_validate({**shipped.model_dump(), "retrieval": settings})
    texts = sorted({example.pair for example in generate.examples("translations", "test", "de")})
    examples = [Example(str(number), "en", text=text, pair=text) for number, text in enumerate(texts)]
    sets = sets_of(task, {("test", "en"): examples}, model)
    scores, _ = evaluate(model, task, None, sets)
    if (layer, pooling) == (0, "first"):
        return  # the first token's embedding is the same in every sentence
    assert next(row["value"] for row in scores if row["portion"] == "test") == 1.0


def test_either_of_two_equal_english_sentences_is_right(model):
    task = load_task("mini-tatoeba", "--tasks")
    pairs = [("Hallo", "Hello"), ("Guten Tag", "Hello"), ("Ja", "Yes")]
    examples = [Example(str(number), "de", text=a, pair=b) for number, (a, b) in enumerate(pairs)]
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    result = KINDS["retrieval"].score(task, examples, [], [one, one, one, one, two, two])
    assert result.items == [1.0, 1.0, 1.0]
