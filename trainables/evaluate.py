"""Score a target from a stage's weights: every language in one length-sorted stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from trainables.batches import collate, scoring_batches
from trainables.examples import Example
from trainables.kinds import KINDS
from trainables.kinds.base import Feature, Result
from trainables.models import Encoder
from trainables.tasks import UNTRAINED, Task

Portion = str
"""`dev` (English), `test`, and the test's two halves: `search` (what an oracle selection may see) and `report`; besides
`threshold`: gold pairs of a mining task's language, which give its threshold and no score."""


@dataclass(frozen=True)
class EvaluationSet:
    """One portion of a target in one language, encoded."""

    portion: Portion
    language: str
    examples: Sequence[Example]
    features: Sequence[Feature]


@torch.no_grad()
def evaluate(
    model: Encoder, task: Task, head: nn.Module | None, sets: Sequence[EvaluationSet]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of scores and rows of predictions (`portion, language, id, score`) of a target, for all the sets."""
    model.eval()
    kind = KINDS[task.kind]
    pad, layer = int(model.tokenizer.pad_token_id), task.retrieval.layer if task.kind in UNTRAINED else -1
    stream = [(number, feature) for number, part in enumerate(sets) for feature in part.features]
    predictions: list[Any] = [None] * len(stream)
    for chosen in scoring_batches([feature for _, feature in stream]):
        batch = collate(task.name, [stream[i][1] for i in chosen], pad, model.device)
        found = kind.predict(task, head, model.states(batch.ids, batch.mask, layer), batch.mask, batch.features)
        for i, prediction in zip(chosen, found, strict=True):
            predictions[i] = prediction
    scores: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    thresholds: dict[str, float | None] = {}
    at = 0
    for part in sets:
        own = predictions[at : at + len(part.features)]
        at += len(part.features)
        if part.portion == "threshold":
            thresholds[part.language] = kind.score(task, part.examples, part.features, own).threshold
            continue
        for portion, result in _portions(task, part, own, thresholds.get(part.language)):
            for place, figure in enumerate(result.metrics):
                scores.append({
                    "language": part.language, "portion": portion, "metric": figure.metric, "main": place == 0,
                    "value": figure.value, "n": figure.n, "stderr": figure.stderr,
                })  # fmt: skip
            if portion in ("dev", "test"):
                items += [
                    {"portion": portion, "language": part.language, "id": example.id, "score": score}
                    for example, score in zip(part.examples, result.items, strict=True)
                ]
    return scores, items


def in_search_half(unit: str) -> bool:
    """Whether a test item (`Kind.unit`) belongs to the half that an oracle selection may see; the same in every
    language."""
    return hashlib.sha256(f"half {unit}".encode()).digest()[0] < 128


def _portions(
    task: Task, part: EvaluationSet, predictions: Sequence[Any], threshold: float | None
) -> Iterator[tuple[Portion, Result]]:
    kind = KINDS[task.kind]
    yield part.portion, kind.score(task, part.examples, part.features, predictions, threshold)
    if part.portion != "test":
        return
    for portion, wanted in (("search", True), ("report", False)):
        keep = [i for i, example in enumerate(part.examples) if in_search_half(kind.unit(example)) == wanted]
        place = {item: new for new, item in enumerate(keep)}
        rows = [(f, p) for f, p in zip(part.features, predictions, strict=True) if f.item in place]
        features = [replace(f, item=place[f.item]) for f, _ in rows]
        if features:
            examples = [part.examples[i] for i in keep]
            yield portion, kind.score(task, examples, features, [p for _, p in rows], threshold)


def sets_of(
    task: Task, examples: Mapping[tuple[Portion, str], Sequence[Example]], model: Encoder
) -> list[EvaluationSet]:
    """Encode a target's portions and languages."""
    kind = KINDS[task.kind]
    return [
        EvaluationSet(portion, language, rows, kind.encode(task, rows, model.tokenizer, task.max_length))
        for (portion, language), rows in examples.items()
    ]
