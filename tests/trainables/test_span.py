"""Answers in a context: windows lose no character, labels and predictions spell what stands there."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections import defaultdict
from functools import cache

import pytest
import torch
from torch import nn
from transformers import AutoTokenizer

from trainables.batches import collate
from trainables.examples import Answer, Example
from trainables.fingerprint import MICRO
from trainables.kinds import KINDS
from trainables.kinds.span import FIRST, Window
from trainables.tasks import Task

SPAN = KINDS["span"]
LANGUAGES = ["ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"]
LENGTH, STRIDE = 96, 24


def task_of(metric=None, **settings):
    return Task.model_validate({
        "name": "by-hand", "kind": "span", "source": {"mini": "x"}, "metric": metric, "span": settings,
    })  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MICRO)


@pytest.fixture(scope="module")
def questions(data_dir):
    """200 published questions of each language: the same in all of them."""
    found = defaultdict(list)
    with gzip.open(data_dir / "xquad" / "test.jsonl.gz", "rt") as lines:
        for number, row in enumerate(map(json.loads, lines)):
            if number % 5 == 0:
                answers = tuple(Answer(answer["text"], answer["answer_start"]) for answer in row["answers"])
                found[row["lang"]].append(
                    Example(row["id"], row["lang"], row["question"], row["context"], answers=answers)
                )
    return found


def windows_of(task, features, logits, size=64):
    """What the kind makes of logits (one tensor a feature, tokens × 2), in padded batches."""
    found = []
    for at in range(0, len(features), size):
        chosen = features[at : at + size]
        batch = collate(task.name, chosen, 1, torch.device("cpu"))
        states = torch.full((*batch.ids.shape, 2), 50.0)  # padding must never be pointed at
        for row, values in enumerate(logits[at : at + size]):
            states[row, : len(values)] = values
        found += SPAN.predict(task, nn.Identity(), states, batch.mask, chosen)
    return found


def pointing(feature, start, end, score=10.0):
    """Logits of a model that is sure of these two positions."""
    values = torch.zeros(len(feature.ids), 2)
    values[start, 0] = values[end, 1] = score
    return values


def offset_of(feature, place):
    """Where the characters of a token position of the context begin and end."""
    return feature.offsets[feature.positions.index(place)]


# --- published questions ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoded(questions, tokenizer):
    """The windows of the questions of a language: many, short ones."""
    task = task_of(stride=STRIDE)
    return cache(lambda code: (questions[code], SPAN.encode(task, questions[code], tokenizer, LENGTH)))


@pytest.mark.data
@pytest.mark.parametrize("code", LANGUAGES)
def test_windows_of_published_contexts(encoded, tokenizer, code):
    """They lose no character, and their offsets are those of the pieces."""
    examples, features = encoded(code)
    assert len(examples) == 200
    assert len(features) > 10 * len(examples)
    seen = [set() for _ in examples]
    for feature in features:
        assert len(feature.ids) <= LENGTH
        assert feature.positions == sorted(set(feature.positions))
        assert [start for start, _ in feature.offsets] == sorted(start for start, _ in feature.offsets)
        pieces = [feature.ids[place] for place in feature.positions]
        seen[feature.item].update(zip(pieces, feature.offsets, strict=True))
    for example, found in zip(examples, seen, strict=True):
        for number, (start, end) in found:
            text, piece = example.pair[start:end], tokenizer.convert_ids_to_tokens(number)
            assert text == text.strip() != ""
            # Bytes spell a part of a character, or of several that no piece has; a lone "▁" stands before the text.
            if not piece.startswith("<0x") and piece != "▁":
                assert piece.strip("▁") in unicodedata.normalize("NFKC", text)
                assert min(len(text), len(unicodedata.normalize("NFC", text))) <= len(piece.strip("▁"))
        covered = {place for _, (start, end) in found for place in range(start, end)}
        assert covered == {place for place, sign in enumerate(example.pair) if not sign.isspace()}


@pytest.mark.data
@pytest.mark.parametrize("code", LANGUAGES)
def test_labels_of_published_answers(encoded, code):
    """A label is decoded to its answer, and to no more than the pieces that the answer's ends are part of."""
    examples, features = encoded(code)
    ends = [example.answers[0].start + len(example.answers[0].text) for example in examples]
    labelled = [feature for feature in features if feature.label != [FIRST, FIRST]]
    for feature in features:
        # No window that holds the whole answer is left without it.
        whole = (
            feature.offsets[0][0]
            <= examples[feature.item].answers[0].start
            <= ends[feature.item]
            <= feature.offsets[-1][1]
        )
        assert (feature.label != [FIRST, FIRST]) == whole
    task = task_of(answer_length=LENGTH)
    found = windows_of(task, labelled, [pointing(feature, *feature.label) for feature in labelled])
    exact = set()
    for feature, window in zip(labelled, found, strict=True):
        example = examples[feature.item]
        (answer,) = example.answers
        score, first, last = window.best
        assert score == 20 > window.null
        assert first <= answer.start < ends[feature.item] <= last
        assert offset_of(feature, feature.label[0])[1] > answer.start
        assert offset_of(feature, feature.label[1])[0] < ends[feature.item]
        if example.pair[first:last] == answer.text:
            exact.add(feature.item)
    # Answers longer than what two windows share may be in none. A run of Chinese characters that no piece has is one
    # run of bytes, each of which spells all of it, so that more answers come out wider there.
    count = len({feature.item for feature in labelled})
    assert count >= 160
    assert len(exact) >= (0.85 if code == "zh" else 0.95) * count
    answers = SPAN.answers(task, examples, labelled, found)
    assert all(answers[item] == examples[item].answers[0].text for item in exact)
    items = SPAN.score(task, examples, labelled, found).items
    assert all(items[item] == 1.0 for item in exact if any(sign.isalnum() for sign in answers[item]))
    assert sum(items) >= 0.85 * count


@pytest.mark.data
@pytest.mark.parametrize("code", LANGUAGES)
def test_any_logits_give_a_piece_of_the_context(encoded, code):
    examples, features = encoded(code)
    features = [feature for feature in features if feature.item < 10]
    task = task_of(answer_length=7)
    rng = torch.Generator().manual_seed(0)
    logits = [torch.randn(len(feature.ids), 2, generator=rng) for feature in features]
    found = windows_of(task, features, logits)
    for feature, window, values in zip(features, found, logits, strict=True):
        assert window.null == pytest.approx(float(values[FIRST].sum()), abs=1e-5)
        expected = max(every_span(feature, values, 7))
        assert window.best[0] == pytest.approx(expected[0], abs=1e-5)
        assert window.best[1:] == tuple(expected[1:])
    answers = SPAN.answers(task, examples[:10], features, found)
    for example, answer in zip(examples, answers, strict=False):
        assert answer == answer.strip() != ""
        assert answer in example.pair
    assert len(set(answers)) > 8
    assert len(SPAN.score(task, examples[:10], features, found).items) == 10


def every_span(feature, values, longest):
    """All spans of at most so many tokens of the context with their scores, one by one."""
    starts, ends = values[feature.positions].T.tolist()
    return [
        (
            starts[i] + ends[j],
            feature.offsets[i][0],
            feature.offsets[j][1],
        )
        for i in range(len(feature.positions))
        for j in range(i, min(i + longest, len(feature.positions)))
    ]


# --- by hand ----------------------------------------------------------------------------------------------------------

CONTEXTS = {
    "Latin": ("The ferry to Uusikaupunki sailed twice a day, in 1904 as in 1950.", "twice a day"),
    "spaces": ("  Two  spaces,\ta tab\nand  a line. ", "a tab"),
    "Devanagari": ("मेरी बहन पुणे में रहती है और गणित पढ़ाती है।", "पुणे"),
    "Thai": ("แมวสีดำนอนอยู่บนหลังคาบ้านทุกเช้า", "บนหลังคาบ้าน"),
    "Chinese": ("北京的秋天很短，可是天空特别蓝。", "秋天"),
    "Arabic": ("وصل القطار إلى المدينة بعد منتصف الليل.", "منتصف الليل"),
    "mixed": ("Die „Straße“ heißt 大街 (улица) – ﬁne ① ½ 🙂 são\u0303.", "улица"),
    "composed": ("Cafe\u0301 é\u200b na\u00efve", "na\u00efve"),
    "no spaces": ("x" * 200, "x" * 3),
}


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("length", [8, 12, 40, 512])
@pytest.mark.parametrize("spelling", ["tiny", "micro"])
def test_every_character_is_in_a_window(name, length, spelling, tiny_tokenizer, tokenizer):
    context, answer = CONTEXTS[name]
    example = Example("1", "en", "Where?", context, answers=(Answer(answer, context.index(answer)),))
    task = task_of(stride=2)
    features = SPAN.encode(task, [example], tiny_tokenizer if spelling == "tiny" else tokenizer, length)
    assert all(len(feature.ids) <= length for feature in features)
    seen = {place for feature in features for start, end in feature.offsets for place in range(start, end)}
    assert seen == {place for place, sign in enumerate(context) if not sign.isspace()}
    if length == 512:
        (feature,) = features
        start, end = (offset_of(feature, place) for place in feature.label)
        assert answer in context[start[0] : end[1]]


@pytest.mark.parametrize("stride", [1, 3, 100])
def test_windows_move_by_the_stride(tokenizer, stride):
    """Less than a window, or by a whole one where the stride is longer: nothing is left out between two."""
    example = Example("1", "en", "Where is it?", " ".join(f"{number}" for number in range(60)))
    features = SPAN.encode(task_of(stride=stride), [example], tokenizer, 40)
    question = tokenizer("Where is it?", add_special_tokens=False)["input_ids"]
    context = tokenizer(example.pair, add_special_tokens=False)["input_ids"]
    room = 40 - len(question) - 4
    begin, middle = [tokenizer.bos_token_id, *question], [tokenizer.eos_token_id] * 2
    firsts = [0]
    while firsts[-1] + room < len(context):
        firsts.append(firsts[-1] + min(stride, room))
    assert [feature.ids for feature in features] == [
        [*begin, *middle, *context[first : first + room], tokenizer.eos_token_id] for first in firsts
    ]


def test_a_pair_is_spelled_as_the_tokenizer_does(tokenizer):
    example = Example("1", "en", "Where is it?", "It is here, of course.")
    (feature,) = SPAN.encode(task_of(), [example], tokenizer, 96)
    assert feature.ids == tokenizer(example.text, example.pair)["input_ids"]


def test_a_long_question_is_cut(tokenizer):
    example = Example("1", "en", "why " * 100, "It is here.", answers=(Answer("here", 6),))
    why = tokenizer(example.text, add_special_tokens=False)["input_ids"]
    context = tokenizer(example.pair, add_special_tokens=False)["input_ids"]
    (feature,) = SPAN.encode(task_of(question_length=5), [example], tokenizer, 96)
    assert feature.ids == [0, *why[:5], 2, 2, *context, 2]
    start, end = (offset_of(feature, place) for place in feature.label)
    assert example.pair[start[0] : end[1]].startswith("here")
    # And where it leaves too little room: to half of what the special tokens leave.
    features = SPAN.encode(task_of(question_length=64), [example], tokenizer, 16)
    assert all(feature.ids[:8] == [0, *why[:6], 2] for feature in features)
    assert len(features) == 1 or len(features[0].ids) == 16


@pytest.mark.parametrize("context", ["", " ", "\n\t", "\u3000"])
def test_an_empty_context_has_no_answer(tokenizer, context):
    task = task_of("squad_v2", may_be_unanswerable=True)
    example = Example("1", "en", "Where is it?", context)
    features = SPAN.encode(task, [example], tokenizer, 96)
    assert [(feature.positions, feature.offsets, feature.label) for feature in features] == [([], [], [FIRST, FIRST])]
    logits = [torch.full((len(feature.ids), 2), 3.0) for feature in features]
    found = windows_of(task, features, logits)
    assert found == [Window(6.0, None)]
    assert SPAN.score(task, [example], features, found).items == [1.0]
    batch = collate(task.name, features, 1, torch.device("cpu"))
    states = torch.randn(*batch.ids.shape, 2)
    assert SPAN.loss(nn.Identity(), states, batch.labels, features) == 0  # there is nowhere else to point at


def test_an_answer_may_have_spaces_round_it(tokenizer):
    """Some published ones have: TyDiQA."""
    context = "It is here"
    plain, spaced = (
        Example("1", "en", "Where?", context, answers=(answer,)) for answer in (Answer("here", 6), Answer(" here ", 5))
    )
    one, two = SPAN.encode(task_of(), [plain, spaced], tokenizer, 96)
    assert one.label == two.label != [FIRST, FIRST]


@pytest.mark.parametrize("longest", [1, 2, 3, 30])
def test_answers_have_at_most_so_many_tokens(tokenizer, longest):
    example = Example("1", "en", "Which?", "a b c d e f g")
    task = task_of(answer_length=longest)
    (feature,) = SPAN.encode(task, [example], tokenizer, 96)
    count = len(feature.positions)
    values = pointing(feature, feature.positions[0], feature.positions[-1])
    (window,) = windows_of(task, [feature], [values])
    assert window.best[1:] in {(s, e) for _, s, e in every_span(feature, values, longest)}
    assert window.best[0] == (20 if longest >= count else 10)


def test_an_end_does_not_come_before_its_start(tokenizer):
    example = Example("1", "en", "Which?", "a b c d e f g")
    task = task_of()
    (feature,) = SPAN.encode(task, [example], tokenizer, 96)
    values = pointing(feature, feature.positions[4], feature.positions[1])
    (window,) = windows_of(task, [feature], [values])
    score, start, end = window.best
    assert score == 10
    assert start < end


@pytest.mark.parametrize(
    ("may", "margin", "windows", "answer"),
    [
        (True, 0.0, [Window(1.0, (2.0, 0, 2))], "It"),
        (True, 0.0, [Window(3.0, (2.0, 0, 2))], ""),
        (True, 0.0, [Window(2.0, (2.0, 0, 2))], "It"),  # the null score has to be higher
        (True, 1.5, [Window(3.0, (2.0, 0, 2))], "It"),
        (True, 1.5, [Window(4.0, (2.0, 0, 2))], ""),
        (True, -1.5, [Window(1.0, (2.0, 0, 2))], ""),
        (False, 0.0, [Window(9.0, (2.0, 0, 2))], "It"),  # where every question has an answer there is always one
        (True, 0.0, [Window(9.0, (2.0, 0, 2)), Window(1.0, (1.5, 3, 5))], "It"),  # the least null score counts
        (True, 0.0, [Window(9.0, (2.0, 0, 2)), Window(3.0, (1.5, 3, 5))], ""),
        (True, 0.0, [Window(1.0, (2.0, 0, 2)), Window(9.0, (5.0, 3, 5))], "is"),  # and the best span of all windows
        (True, 0.0, [Window(-5.0, None), Window(1.0, (2.0, 0, 2))], "It"),
        (True, 0.0, [Window(-5.0, None)], ""),
        (False, 0.0, [Window(-5.0, None)], ""),
    ],
)
def test_no_answer(tokenizer, may, margin, windows, answer):
    task = task_of("squad_v2", may_be_unanswerable=may, null_margin=margin)
    example = Example("1", "en", "What?", "It is here.")
    (feature,) = SPAN.encode(task, [example], tokenizer, 96)
    features = [feature] * len(windows)
    assert SPAN.answers(task, [example], features, windows) == [answer]
    result = SPAN.score(task, [example], features, windows)
    assert result.items == [float(answer == "")]


def test_items_keep_their_own_windows(tokenizer):
    """Windows of several questions, in any order."""
    examples = [Example(str(number), "en", "What?", f"It is number {number}.") for number in range(3)]
    task = task_of()
    features = SPAN.encode(task, examples, tokenizer, 96)
    windows = [Window(0.0, (1.0, 6, len(example.pair))) for example in examples]
    order = [2, 0, 1, 0]
    found = SPAN.answers(task, examples, [features[i] for i in order], [windows[i] for i in order])
    assert found == ["number 0.", "number 1.", "number 2."]


@pytest.mark.parametrize(
    ("metric", "f1", "exact"), [(None, 0.8, 0.0), ("squad", 0.8, 0.0), ("squad_v2", 0.8, 0.0), ("mlqa", 1.0, 1.0)]
)
def test_the_tasks_metric_counts(tokenizer, metric, f1, exact):
    """German articles are none for SQuAD's script; the task's figure is the mean of F1 and exact match."""
    example = Example("1", "de", "Wer?", "Der alte Hund bellt.", answers=(Answer("alte Hund", 4),))
    task = task_of(metric)
    (feature,) = SPAN.encode(task, [example], tokenizer, 96)
    result = SPAN.score(task, [example], [feature], [Window(0.0, (1.0, 0, 13))])
    assert [figure.metric for figure in result.metrics] == ["f1_em", "f1", "exact_match"]
    assert [figure.value for figure in result.metrics] == pytest.approx([(f1 + exact) / 2, f1, exact])
    assert result.items == pytest.approx([(f1 + exact) / 2])


def test_the_loss_is_over_the_context_and_the_first_token(tokenizer):
    """Logits of the question, of special tokens and of padding enter no loss."""
    answers = (Answer("here", 6),)
    examples = [
        Example("1", "en", "Where is it?", "It is here.", answers=answers),
        Example("2", "en", "Where?", "Far away from here, behind the house, it is."),
    ]
    features = SPAN.encode(task_of(), examples, tokenizer, 96)
    batch = collate("x", features, 1, torch.device("cpu"))
    assert batch.labels[:, :2].tolist() == [feature.label for feature in features]
    assert features[1].label == [FIRST, FIRST] != features[0].label
    states = torch.randn(*batch.ids.shape, 2, generator=torch.Generator().manual_seed(0))
    loss = SPAN.loss(nn.Identity(), states, batch.labels, features)
    losses = []
    for row, feature in enumerate(features):
        places = [FIRST, *feature.positions]
        for side in (0, 1):
            logits = states[row, places, side]
            losses.append(logits.logsumexp(0) - logits[places.index(feature.label[side])])
    assert loss == pytest.approx(float(sum(losses) / 4), abs=1e-5)
