"""Token tagging: one tag a word, read from the first piece that spells some of it; no word is dropped."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainables.examples import Example
from trainables.kinds.base import IGNORED, Feature, Kind, Result, TextFrame, labels_tensor, token_ids
from trainables.metrics import mean_of, span_f1
from trainables.models import Encoder
from trainables.tasks import Task
from trainables.watch import beating


class Tagging(Kind):
    """Tagging of words (UD-POS, PAN-X); seqeval's F1 and token accuracy."""

    name = "tagging"

    def encode(
        self, task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[Feature]:
        """One feature a sentence, or several where it has more than `max_length` tokens."""
        number = {label: place for place, label in enumerate(task.labels)}
        frame, unknown = TextFrame.of(tokenizer), _unknown(tokenizer)
        blank = tokenizer.convert_tokens_to_ids("▁")  # where there is no such piece, the unknown token or None
        start, end = len(frame.start), len(frame.end)
        words = [word for example in examples for word in example.words]
        pieces = iter(token_ids(tokenizer, words, add_special_tokens=False))
        features: list[Feature] = []
        for item, example in beating(enumerate(examples)):
            ids, labels = [*frame.start], [IGNORED] * start
            positions: list[int] = []
            for tag in example.tags:
                word = (next(pieces) or [unknown])[: max_length - frame.size]
                if len(ids) + len(word) + end > max_length:
                    features.append(Feature(item, [*ids, *frame.end], labels + [IGNORED] * end, positions))
                    ids, labels, positions = [*frame.start], [IGNORED] * start, []
                # A lone "▁" says no more than that a word begins, and how often it is cut off differs by script.
                first = int(len(word) > 1 and word[0] == blank != unknown)
                positions.append(len(ids) + first)
                ids += word
                labels += [IGNORED] * first + [number.get(tag, IGNORED)] + [IGNORED] * (len(word) - 1 - first)
            features.append(Feature(item, [*ids, *frame.end], labels + [IGNORED] * end, positions))
        return features

    def head(self, task: Task, model: Encoder) -> nn.Module:
        """A new linear layer."""
        return nn.Linear(model.width, len(task.labels))

    def loss(self, head: nn.Module, states: Tensor, labels: Tensor, features: Sequence[Feature]) -> Tensor:
        """Cross-entropy over first pieces, mean over the batch's words."""
        known = labels != IGNORED
        return F.cross_entropy(head(states[known]), labels[known])

    def predict(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[list[str]]:
        """One tag a word of each feature."""
        if head is None:
            raise ValueError("tagging needs a head")
        best = head(states).argmax(-1).tolist()
        return [[task.labels[row[p]] for p in f.positions] for row, f in zip(best, features, strict=True)]

    def margin(
        self, task: Task, head: nn.Module | None, states: Tensor, mask: Tensor, features: Sequence[Feature]
    ) -> list[float]:
        """The mean probability of the gold tags."""
        if head is None:
            raise ValueError("tagging needs a head")
        gold = labels_tensor(features, states.shape[1]).to(states.device)
        known = gold != IGNORED
        shares = head(states).float().softmax(-1).gather(2, gold.clamp(min=0).unsqueeze(2)).squeeze(2)
        sizes = known.sum(1).clamp(min=1)
        found: list[float] = ((shares * known).sum(1) / sizes).tolist()
        return found

    def gold(self, task: Task, examples: Sequence[Example]) -> list[str]:
        """The tags, with spaces between them."""
        return [" ".join(example.tags) for example in examples]

    def said(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[list[str]],
        threshold: float | None = None,
    ) -> list[str]:
        """The tags, one a word."""
        return [" ".join(tags) for tags in _by_example(examples, features, predictions)]

    def figures(
        self, task: Task, examples: Sequence[Example], features: Sequence[Feature], predictions: Sequence[list[str]]
    ) -> list[float]:
        """An example's share of right tags."""
        tags = _by_example(examples, features, predictions)
        pairs = [list(zip(example.tags, own, strict=True)) for example, own in zip(examples, tags, strict=True)]
        return [sum(a == b for a, b in row) / len(row) for row in pairs]

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        features: Sequence[Feature],
        predictions: Sequence[list[str]],
        threshold: float | None = None,
    ) -> Result:
        """Span F1 as seqeval counts it (XTREME's figure) and token accuracy, the task's metric first.

        An item's figure is its share of right tags.
        """
        tags = _by_example(examples, features, predictions)
        gold = [list(example.tags) for example in examples]
        right = [[float(a == b) for a, b in zip(g, p, strict=True)] for g, p in zip(gold, tags, strict=True)]
        shares = [sum(row) / len(row) for row in right]
        token = mean_of("token_accuracy", [value for row in right for value in row])
        figures = [span_f1("f1", gold, tags), token]
        return Result(sorted(figures, key=lambda figure: figure.metric != task.metric), shares)


def _by_example(
    examples: Sequence[Example], features: Sequence[Feature], predictions: Sequence[list[str]]
) -> list[list[str]]:
    """One tag a word of each example, whose features stand in their order."""
    tags: list[list[str]] = [[] for _ in examples]
    for feature, predicted in zip(features, predictions, strict=True):
        tags[feature.item] += predicted
    return tags


def _unknown(tokenizer: PreTrainedTokenizerBase) -> int:
    """What stands for a word that the tokenizer drops: its unknown token, or padding where it spells all in bytes."""
    number = tokenizer.unk_token_id
    return int(tokenizer.pad_token_id if number is None else number)
