"""A task in text form on a decoder: its prompts, the loss of the right answer's tokens, labels by their likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.answers import answer_scores
from trainables.decoder import Decoder, Prompt, Texts
from trainables.examples import Example
from trainables.kinds.base import Feature, Kind, Result
from trainables.metrics import mean_of
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.templates import Template
from trainables.watch import beating


class Prompter:
    """Prompts of a task's examples as tokens, at most `longest` of them with their answers."""

    def __init__(self, task: Task, texts: Texts, longest: int) -> None:
        """ValueError where the task has no template (`templates.refusal` says so at planning)."""
        if task.template is None:
            raise ValueError(f"{task.name} has no template")
        self.task, self.texts, self.longest = task, texts, longest
        self.template: Template = task.template
        self._answers: dict[str, list[int]] = {}  # most tasks have the same few answers again and again

    def continuations(self, example: Example) -> list[str]:
        """The texts of the answers."""
        return self.template.continuations(self.task, example, example.lang)

    def prompt(self, example: Example, before: Sequence[str] = (), *, empty: bool = False) -> Prompt:
        """The prompt after the demonstrations `before`, and its answers; `empty`: with nothing said."""
        answers = [self._answer_ids(text)[: self.longest // 2] for text in self.continuations(example)]
        ids, dropped = self._fitted(example, before, self.longest - max(map(len, answers)), empty=empty)
        return Prompt(ids, answers, dropped)

    def with_empty(self, example: Example, before: Sequence[str]) -> tuple[Prompt, Prompt]:
        """The prompt, and the one that says nothing, after the same demonstrations: as many as both have room for."""
        prompt = self.prompt(example, before)
        empty = self.prompt(example, before[prompt.dropped :], empty=True)
        if empty.dropped:  # what says nothing may be longer than a short text
            before = before[prompt.dropped + empty.dropped :]
            prompt, empty = self.prompt(example, before), self.prompt(example, before, empty=True)
        return prompt, empty

    def _answer_ids(self, text: str) -> list[int]:
        if text not in self._answers:
            self._answers[text] = self.texts.continuation(text)
        return self._answers[text]

    def question(self, example: Example, before: Sequence[str], most: int) -> list[int]:
        """The prompt of an answer that is to be generated, of at most `most` tokens."""
        return self._fitted(example, before, self.longest - min(most, self.longest // 2))[0]

    def answer(self, said: str, example: Example) -> str:
        """The answer that was said; empty where that is that there is none."""
        if not self.task.span.may_be_unanswerable:
            return said
        none = self.template.no_answer(example.lang)
        return "" if said.strip(" .").casefold() == none.strip(" .").casefold() else said

    def _fitted(
        self, example: Example, before: Sequence[str], room: int, *, empty: bool = False
    ) -> tuple[list[int], int]:
        """The prompt in `room` tokens, and how many demonstrations were dropped for it: the first ones go, and if that
        is not enough the longest text is cut."""
        prompt = self.template.prompt(example, example.lang, empty=empty)
        for dropped in range(len(before) + 1):
            ids = self.texts.prompt("".join(before[dropped:]) + prompt)
            if len(ids) <= room:
                return ids, dropped
        for _ in range(0 if empty else 2):
            long = "pair" if len(example.pair or "") > len(example.text) else "text"
            example, ids = self._cut(example, long, room)
            if len(ids) <= room:
                return ids, len(before)
        return ids[-room:], len(before)

    def _cut(self, example: Example, part: str, room: int) -> tuple[Example, list[int]]:
        """The example with as much of the beginning of one of its texts as fits, and its prompt."""
        text = str(getattr(example, part) or "")
        least, most = 0, len(text)
        while least < most:
            middle = (least + most + 1) // 2
            if len(self._ids(example, part, text[:middle])) <= room:
                least = middle
            else:
                most = middle - 1
        return _with(example, part, text[:least]), self._ids(example, part, text[:least])

    def _ids(self, example: Example, part: str, text: str) -> list[int]:
        return self.texts.prompt(self.template.prompt(_with(example, part, text), example.lang))


def _with(example: Example, part: str, text: str) -> Example:
    return replace(example, pair=text) if part == "pair" else replace(example, text=text)


def figures(task: Task, example: Example, prediction: Any) -> dict[str, float]:
    """An item's figures, the main metric's first: whether the label or choice is right, or F1 and exact match."""
    if task.kind != "span":
        right = example.label if task.kind == "classification" else int(str(example.label))
        return {"accuracy": float(prediction is not None and prediction == right)}
    gold = [answer.text for answer in example.answers]
    f1, exact = answer_scores(task.metric or "squad", str(prediction), gold, example.lang)
    return {"f1_em": (f1 + exact) / 2, "f1": f1, "exact_match": exact}


class Prompted(Kind):
    """A classification, choice or span task in text form, without demonstrations: how a decoder is fine-tuned on it.

    A feature's rows are the prompt with each of the answers; `positions` holds where the answers begin, `label` which
    is right. Of a question the first answer is the only row.
    """

    name = "prompted"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """One feature an example; demonstrations there are none."""
        prompter = Prompter(task, Texts(tokenizer), max_length)
        features = []
        for item, example in beating(enumerate(examples)):
            prompt = prompter.prompt(example)
            answers = prompt.answers[:1] if task.kind == "span" else prompt.answers
            first, *others = [prompt.ids + answer for answer in answers]
            right = prompter.template.right(task, example)
            features.append(Feature(item, first, right, [len(prompt.ids)], others))
        return features

    def training(self, features: Sequence[Feature]) -> list[Feature]:
        """The features with the right answer's row alone: a loss reads no other."""
        return [replace(f, ids=_right(f), label=0, others=[]) for f in features]

    def head(self, task: Task, model: Encoder) -> nn.Module:
        """The decoder's own output layer. TypeError for a model that is no decoder."""
        if not isinstance(model, Decoder):
            raise TypeError("a task in text form needs a decoder")
        return model.language_head()

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """Mean negative log-likelihood of the right answers' tokens."""
        rows, places, tokens, at = [], [], [], 0
        for feature in features:
            answer = _answer(feature)
            rows += [at + (_number(feature) if feature.others else 0)] * len(answer)
            places += [feature.positions[0] - 1 + k for k in range(len(answer))]
            tokens += answer
            at += len(feature.rows)
        return F.cross_entropy(head(states[rows, places]), torch.tensor(tokens, device=states.device))

    def terms(self, features: Sequence[Feature]) -> int:
        """The tokens of the right answers."""
        return sum(len(_answer(feature)) for feature in features)

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[Any]:
        """ValueError: a text form is scored by `icl.evaluate_icl`, whether a stage was trained before or not."""
        raise ValueError(f"a {task.kind} task in text form is not predicted from states")

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Any],
        threshold: float | None = None,
    ) -> Result:
        """The figures that the kind of the task has on an encoder too, and the main one an example."""
        rows = [figures(task, examples[f.item], p) for f, p in zip(features, predictions, strict=True)]
        names = list(rows[0]) if rows else ["accuracy" if task.kind != "span" else "f1_em"]
        return Result([mean_of(n, [row[n] for row in rows]) for n in names], [row[names[0]] for row in rows])


def _number(feature: Feature) -> int:
    if isinstance(feature.label, list):
        raise TypeError("a feature in text form has one label")
    return feature.label


def _right(feature: Feature) -> list[int]:
    """The row of the right answer."""
    return feature.rows[_number(feature)] if feature.others else feature.ids


def _answer(feature: Feature) -> list[int]:
    """The tokens of the right answer."""
    return _right(feature)[feature.positions[0] :]
