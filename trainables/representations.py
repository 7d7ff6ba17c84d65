"""How alike translations are inside a model: cosine of a sentence and its English translation, layer by layer.

The states of contextual models lie in a narrow cone, so that the cosine of any two sentences is high (arXiv
1909.00512). The margin, the cosine of translations less that of sentences which are none, says what is due to meaning.
Measured before and after every stage, it shows what training does to the languages' common space (arXiv 2210.12360).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.batches import collate
from trainables.evaluate import EvaluationSet, spoken_batches
from trainables.fertility import PORTION
from trainables.metrics import Measured, mean_of
from trainables.models import Encoder, mean_pool
from trainables.precision import forward_pass
from trainables.tasks import Task
from trainables.watch import beating

COSINE, MARGIN = "cosine_layer_", "cosine_margin_layer_"
"""What the metrics are called, before the layer's number: 0 is the embeddings, 1 the first layer's output."""


@torch.no_grad()
def measure(model: Encoder, task: Task, sets: Sequence[EvaluationSet], split: int = 1) -> list[dict[str, Any]]:
    """Rows of scores of a retrieval target's languages: cosine and margin of each layer's mean-pooled states.

    Of the sets those of the portion `test` are read; English and empty ones have no rows. ValueError for a task of
    another kind, whose examples are no translations. Batches are the `split`-th part of the usual size.
    """
    if task.kind != "retrieval":
        raise ValueError(f"{task.name} is a {task.kind} task: translations are examples of retrieval")
    model.eval()
    rows: list[dict[str, Any]] = []
    for part in sets:
        if part.portion != "test" or part.language == "en" or not part.examples:
            continue
        english = [example.pair or "" for example in part.examples]
        for layer, vectors in beating(enumerate(sentence_vectors(model, task, part, split))):
            for figure in _figures(layer, vectors[0::2], vectors[1::2], english):
                rows.append({
                    "language": part.language, "portion": PORTION, "metric": figure.metric, "main": False,
                    "value": figure.value, "n": figure.n, "stderr": figure.stderr,
                })  # fmt: skip
    return rows


def sentence_vectors(model: Encoder, task: Task, part: EvaluationSet, split: int = 1) -> Tensor:
    """Unit vectors of a set's sentences and their translations, alternately: layers × 2 items × width, on the CPU."""
    features = part.features
    vectors: list[Tensor] = [torch.empty(0)] * len(features)
    for chosen in spoken_batches(model, task, [part], split):
        batch = collate(task.name, [features[i] for i in chosen], int(model.tokenizer.pad_token_id), model.device)
        with forward_pass(model):
            layers = model.all_states(batch.ids, batch.mask)
        pooled = torch.stack([mean_pool(states.float(), batch.mask) for states in layers])
        for i, vector in zip(chosen, F.normalize(pooled, dim=-1).cpu().unbind(1), strict=True):
            vectors[i] = vector
    return torch.stack(vectors, dim=1)


def _figures(layer: int, x: Tensor, y: Tensor, english: Sequence[str]) -> Iterator[Measured]:
    """The figures of one layer and language; `x` and `y` are unit vectors of the items' two sides, items × width."""
    x, y = x.double(), y.double()
    cosine = (x * y).sum(-1)
    yield mean_of(f"{COSINE}{layer}", cosine.tolist())
    numbers = {text: place for place, text in enumerate(dict.fromkeys(english))}
    group = torch.tensor([numbers[text] for text in english])
    if len(numbers) == 1:  # nothing to compare with
        return
    forth, back = _to_others(x, y, group), _to_others(y, x, group)
    # The mean over all pairs of items is a U-statistic: an item bears on it from both of its sides (Hoeffding 1948).
    spread = mean_of("", (cosine - forth - back).tolist()).stderr
    value = math.fsum((cosine - forth).tolist()) / len(english)
    yield Measured(f"{MARGIN}{layer}", value, len(english), spread)


def _to_others(x: Tensor, y: Tensor, group: Tensor) -> Tensor:
    """Each item's mean cosine with the other side of all items that are no translation of it.

    Items of one group have the very same English sentence and count as translations of each other.
    """
    size = torch.bincount(group)
    same = torch.zeros(len(size), y.shape[1], dtype=y.dtype).index_add_(0, group, y)
    others = y.sum(0) - same[group]
    return (x * others).sum(-1) / (len(group) - size[group])
