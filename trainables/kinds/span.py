"""Span extraction: the words of a context that answer a question, or that there is no answer; exact match and F1.

A context that does not fit is read in windows that each move on by `stride` tokens (BERT's run_squad, arXiv
1810.04805). A window without the answer, and a question without one, are trained to point at `<s>`, whose score is the
null score.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.answers import answer_scores
from trainables.examples import Answer, Example
from trainables.kinds.base import Feature, Kind, PairFrame, Result, token_ids, tokenized
from trainables.metrics import mean_of
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.watch import beat

FIRST = 0
"""The position of `<s>`: where a feature without an answer points."""


class Window(NamedTuple):
    """What a model says of one window: the score of no answer, and its best span (score, start, end characters)."""

    null: float
    best: tuple[float, int, int] | None


class Span(Kind):
    """SQuAD v1.1 and v2.0, XQuAD, MLQA, TyDiQA-GoldP. Stride and lengths are settings of the task (`span`)."""

    name = "span"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """One feature a window; every character of a context stands in one at least."""
        if not examples:
            return []
        frame = PairFrame.of(tokenizer)
        questions = token_ids(tokenizer, [example.text for example in examples], add_special_tokens=False)
        texts = [example.pair or "" for example in examples]
        # Not verbose: a context longer than the model reads is no cause for a warning here, it is read in windows.
        contexts = tokenized(tokenizer, texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        features = []
        for item, (example, context) in enumerate(zip(examples, contexts, strict=True)):
            beat()
            question = questions[item][: min(task.span.question_length, (max_length - frame.size) // 2)]
            before = len(frame.start) + len(question) + len(frame.between)
            room = max_length - frame.size - len(question)
            ids, pieces = context["input_ids"], _spelled(texts[item], context["offset_mapping"])
            for first in _windows(len(ids), room, task.span.stride):
                shown = [(before + place, piece) for place, piece in enumerate(pieces[first : first + room])]
                positions = [place for place, (start, end) in shown if start < end]
                offsets = [(start, end) for _, (start, end) in shown if start < end]
                label = _label(example.answers, positions, offsets)
                row = frame.join(question, ids[first : first + room])
                features.append(Feature(item, row, label, positions, offsets=offsets))
        return features

    def head(self, task: Task, model: Encoder) -> nn.Module:
        """A new linear layer: a start and an end score a token."""
        return nn.Linear(model.width, 2)

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """Mean of the cross-entropies of start and end over a window's context and `<s>`."""
        allowed = _allowed(states, features)
        start, end = head(states).masked_fill(~allowed.unsqueeze(-1), -torch.inf).unbind(-1)
        return (F.cross_entropy(start, labels[:, 0]) + F.cross_entropy(end, labels[:, 1])) / 2

    def terms(self, features: Sequence[Feature]) -> int:
        """The windows, each of which has a start and an end."""
        return len(features)

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[Window]:
        """The best span of each window."""
        if head is None:
            raise ValueError("span extraction needs a head")
        starts, ends = head(states).float().cpu().unbind(-1)
        return [_window(task, feature, s, e) for feature, s, e in zip(features, starts, ends, strict=True)]

    def margin(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[float]:
        """The probability of the gold span's two ends; 0 of a window that the answer is not in."""
        if head is None:
            raise ValueError("span extraction needs a head")
        allowed = _allowed(states, features)
        shares = head(states).float().masked_fill(~allowed.unsqueeze(-1), -torch.inf).softmax(1)
        found = []
        for row, feature in enumerate(features):
            start, end = feature.label if isinstance(feature.label, list) else (FIRST, FIRST)
            there = start != FIRST or task.span.may_be_unanswerable
            found.append(float(shares[row, start, 0] * shares[row, end, 1]) if there else 0.0)
        return found

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """The accepted answers, each once, with ` / ` between them."""
        return [" / ".join(dict.fromkeys(answer.text for answer in example.answers)) for example in examples]

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Window],
        threshold: float | None = None,
    ) -> list[str]:
        """The answer, a piece of the context."""
        return self.answers(task, examples, features, predictions)

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Window],
        threshold: float | None = None,
    ) -> Result:
        """Exact match and F1 of the best span of all windows, as the task's metric counts them.

        The score of a question-answering task is the mean of the two (XTREME), an item's likewise.
        """
        answers = self.answers(task, examples, features, predictions)
        rows = [
            answer_scores(task.metric or "squad", answer, [gold.text for gold in example.answers], example.lang)
            for answer, example in zip(answers, examples, strict=True)
        ]
        both = [(f1 + exact) / 2 for f1, exact in rows]
        f1 = mean_of("f1", [row[0] for row in rows])
        exact = mean_of("exact_match", [row[1] for row in rows])
        return Result([mean_of("f1_em", both), f1, exact], both, graded=[row[0] for row in rows])

    @staticmethod
    def answers(
        task: Task, examples: Sequence[Example], features: Sequence[Feature], predictions: Sequence[Window]
    ) -> list[str]:
        """The answer to each question: a piece of its context, or nothing where the null score wins by the margin.

        The null score of a context is the least of its windows' (BERT's rule for SQuAD v2.0).
        """
        best: list[tuple[float, int, int] | None] = [None] * len(examples)
        null = [torch.inf] * len(examples)
        for feature, window in zip(features, predictions, strict=True):
            null[feature.item] = min(null[feature.item], window.null)
            kept = best[feature.item]
            if window.best and (kept is None or window.best[0] > kept[0]):
                best[feature.item] = window.best
        texts = []
        for example, found, nothing in zip(examples, best, null, strict=True):
            refused = found is None or (task.span.may_be_unanswerable and nothing - found[0] > task.span.null_margin)
            texts.append("" if refused or found is None else (example.pair or "")[found[1] : found[2]])
        return texts


def _windows(length: int, room: int, stride: int) -> Iterator[int]:
    """Where the windows over a context of that many tokens begin: each moves on by `stride`, the last ends the text."""
    first = 0
    yield first
    while first + room < length:
        first += min(stride, room)
        yield first


def _spelled(text: str, pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The characters of each piece: without spaces, with what the tokenizer joins to its last one (e and ´ to é)."""
    spans = []
    followings = [*(start for start, _ in pieces[1:]), len(text)]
    for (start, end), following in zip(pieces, followings, strict=False):  # of an empty text there are none
        while end < following and not text[end].isspace() and not unicodedata.category(text[end]).startswith("C"):
            end += 1
        spans.append(_trimmed(text, start, end))
    return spans


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The characters from start to end without the spaces around them."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _label(answers: Sequence[Answer], positions: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Start and end positions of the first answer where the window holds all of it, else those of `<s>`."""
    if not answers or not offsets:
        return [FIRST, FIRST]
    start, end = _trimmed(answers[0].text, 0, len(answers[0].text))
    start, end = start + answers[0].start, end + answers[0].start
    inside = [place for place, (s, e) in zip(positions, offsets, strict=True) if s < end and start < e]
    if not inside or offsets[0][0] > start or offsets[-1][1] < end:
        return [FIRST, FIRST]
    return [inside[0], inside[-1]]


def _allowed(states: Tensor, features: Sequence[Feature]) -> Tensor:
    """Which tokens a span may begin or end at: `<s>` and the context; rows × length."""
    allowed = torch.zeros(states.shape[:2], dtype=torch.bool)
    allowed[:, FIRST] = True
    for row, feature in enumerate(features):
        allowed[row, feature.positions] = True
    return allowed.to(states.device)


def _window(task: Task, feature: Feature, start: Tensor, end: Tensor) -> Window:
    """The best span of at most `answer_length` tokens."""
    null = float(start[FIRST] + end[FIRST])
    if not feature.positions:
        return Window(null, None)
    s, e = start[feature.positions], end[feature.positions]
    sums = s.unsqueeze(1) + e.unsqueeze(0)
    places = torch.arange(len(s))
    far = places.unsqueeze(0) - places.unsqueeze(1)
    value, index = sums.masked_fill((far < 0) | (far >= task.span.answer_length), -torch.inf).flatten().max(0)
    first, last = divmod(int(index), len(s))
    return Window(null, (float(value), feature.offsets[first][0], feature.offsets[last][1]))
