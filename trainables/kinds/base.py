"""What a kind of task does: encode its examples, put a head on the encoder, a loss, predictions, and their scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.metrics import Measured
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.watch import beat

IGNORED = -100
"""The label of positions that enter no loss."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What the model sees of an example, or of a part of a long one.

    `item` is the example's index; `ids` its tokens; `others` the further sequences of an example that has several (one
    a choice), encoded beside `ids`. `label` is a class, or one class a token (IGNORED where there is none), or start
    and end positions of a span. `positions` are the token positions a prediction is read from: the first piece of each
    word, or the pieces of a context; `offsets` then says which characters each of these spells. `place` is where it
    stands in a table of features (`FeatureTable`), which builds it anew each time; it says nothing of what it is.
    """

    item: int
    ids: list[int]
    label: int | list[int] = IGNORED
    positions: list[int] = field(default_factory=list)
    others: list[list[int]] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    place: int | None = field(default=None, compare=False)

    @property
    def rows(self) -> list[list[int]]:
        """All its sequences."""
        return [self.ids, *self.others]

    @property
    def content(self) -> tuple[Any, ...]:
        """All that a prediction hangs on: features with equal contents have equal predictions."""
        return tuple(self.ids), tuple(map(tuple, self.others)), tuple(self.positions), tuple(self.offsets)

    @property
    def length(self) -> int:
        """Tokens of its longest sequence."""
        return max(map(len, self.rows)) if self.others else len(self.ids)


@dataclass(frozen=True)
class Result:
    """Scores of one task in one language: the metrics, the main one first, and one figure an example for paired
    comparisons. `threshold` is what a kind that has one (mining) found best on these very examples. `graded` are the
    figures that robustness is measured on, where those are others (of spans F1)."""

    metrics: list[Measured]
    items: list[float]
    threshold: float | None = None
    graded: list[float] | None = None

    @property
    def figures(self) -> list[float]:
        """One figure an example that falls as a perturbation does harm."""
        return self.items if self.graded is None else self.graded


class Kind(ABC):
    """One kind of task. Stateless; everything about a task is in its `Task`."""

    name: ClassVar[str]

    @abstractmethod
    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """The features of the examples, at most `max_length` tokens each."""

    def training(self, features: Sequence[Feature]) -> Sequence[Feature]:
        """The features as they are trained on, where a loss reads less than a prediction does."""
        return features

    @abstractmethod
    def head(self, task: Task, model: Encoder) -> nn.Module | None:
        """A new head for the task on the model's states, None for kinds that have none."""

    @abstractmethod
    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """The mean loss of a batch; `states` is rows × length × width, the features' rows after each other."""

    def terms(self, features: Sequence[Feature]) -> int:
        """How many terms the mean of `loss` is over: the features or, where they have a label a token, the labels."""
        labels = (f.label if isinstance(f.label, list) else [f.label] for f in features)
        return sum(label != IGNORED for row in labels for label in row)

    @abstractmethod
    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[Any]:
        """One prediction a feature of the batch."""

    @abstractmethod
    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Any],
        threshold: float | None = None,
    ) -> Result:
        """The figures of one language; `predictions` are in the order of `features`.

        `threshold` is what the same model's Result on the language's dev set holds, if there is one.
        """

    def figures(
        self, task: Task, examples: Sequence[Example], features: Sequence[Feature], predictions: Sequence[Any]
    ) -> list[float]:
        """One figure in [0, 1] an example, as robustness is measured on (`Result.figures`)."""
        return self.score(task, examples, features, predictions).figures

    def margin(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[float]:
        """How sure the model is of the gold answer, in [0, 1], a feature: what an attack brings down."""
        raise ValueError(f"a {self.name} task cannot be attacked")

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """The right answer to each example, in words; empty where that there is none is right."""
        raise ValueError(f"the answers of a {self.name} task have no words")

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[Any],
        threshold: float | None = None,
    ) -> list[str]:
        """What was predicted of each example, in words as `gold` has them; the arguments are those of `score`."""
        raise ValueError(f"the answers of a {self.name} task have no words")

    def unit(self, example: Example) -> str:
        """What stays together when items are split in halves: parallel items, pairs of translations."""
        return example.id


def labels_tensor(features: Sequence[Feature], length: int) -> Tensor:
    """The labels of a batch: one an example, or batch × length padded with IGNORED."""
    if features and isinstance(features[0].label, list):
        rows = [f.label + [IGNORED] * (length - len(f.label)) for f in features if isinstance(f.label, list)]
        return torch.tensor(rows)
    return torch.tensor([f.label for f in features])


class TextFrame(NamedTuple):
    """The special tokens around a text."""

    start: list[int]
    end: list[int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> TextFrame:
        """Those the tokenizer itself puts round a text (BERT's `[CLS]` and `[SEP]`, XLM-R's `<s>` and `</s>`).

        Where it puts nothing before one (BLOOM, GPT-2, Qwen), the text begins with the token that begins texts or, as
        in pretraining, ends the one before: the first state of a causal model has seen nothing, and is no word's.
        """
        encoded = tokenizer("a")
        ids, sides = encoded["input_ids"], encoded.sequence_ids(0)
        own = [at for at, side in enumerate(sides) if side == 0]
        before = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        first = [number for number in before if number is not None][:1]
        return cls(ids[: own[0]] or first, ids[own[-1] + 1 :])

    @property
    def size(self) -> int:
        """Special tokens a text takes."""
        return len(self.start) + len(self.end)


TOKENIZED = 1024
"""Texts that the tokenizer is given at once."""


def tokenized(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], pairs: Sequence[str] | None = None, **options: Any
) -> Iterator[dict[str, Any]]:
    """What the tokenizer makes of each text, or pair of texts, field by field (`input_ids`, …), with a sign of life for
    every few: the training set of a large task takes minutes."""
    for start in range(0, len(texts), TOKENIZED):
        beat()
        rows = slice(start, start + TOKENIZED)
        made = tokenizer(list(texts[rows]), None if pairs is None else list(pairs[rows]), **options)
        fields = list(made.keys())
        for values in zip(*(made[name] for name in fields), strict=True):
            yield dict(zip(fields, values, strict=True))
    beat()


def token_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], pairs: Sequence[str] | None = None, **options: Any
) -> list[list[int]]:
    """The token ids of each text or pair, as `tokenized` makes them."""
    return [made["input_ids"] for made in tokenized(tokenizer, texts, pairs, **options)]


def text_rows(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of single texts in their frame, at most `max_length` each; a text that is too long loses its end."""
    if not texts:
        return []
    frame = TextFrame.of(tokenizer)
    rows = token_ids(tokenizer, texts, add_special_tokens=False, verbose=False)
    return [[*frame.start, *row[: max_length - frame.size], *frame.end] for row in rows]


class PairFrame(NamedTuple):
    """The special tokens around and between two sequences of a pair."""

    start: list[int]
    between: list[int]
    end: list[int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> PairFrame:
        """Those the tokenizer itself puts round a pair."""
        encoded = tokenizer("a", "b")
        ids, sides = encoded["input_ids"], encoded.sequence_ids(0)
        ones, twos = ([at for at, side in enumerate(sides) if side == which] for which in (0, 1))
        return cls(ids[: ones[0]], ids[ones[-1] + 1 : twos[0]], ids[twos[-1] + 1 :])

    @property
    def size(self) -> int:
        """Special tokens a pair takes."""
        return len(self.start) + len(self.between) + len(self.end)

    def join(self, one: list[int], two: list[int]) -> list[int]:
        """The ids of a pair."""
        return [*self.start, *one, *self.between, *two, *self.end]
