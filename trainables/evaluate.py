"""Score a target from a stage's weights: every language in one length-sorted stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from trainables.batches import collate, scored_tokens, scoring_batches
from trainables.encoded import Encodings
from trainables.examples import Example, in_search_half
from trainables.feature_table import Joined
from trainables.kinds.base import Feature, Kind, Result
from trainables.kinds.forms import kind_of
from trainables.language_folder import ENGLISH, spoken
from trainables.models import Encoder
from trainables.precision import forward_pass
from trainables.tasks import UNTRAINED, Task
from trainables.watch import beating

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
    model: Encoder, task: Task, head: nn.Module | None, sets: Sequence[EvaluationSet], split: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of scores and rows of predictions (`portion, language, id, score`) of a target, for all the sets.

    Where memory is short, the model reads batches of the `split`-th part of the usual size.
    """
    kind = kind_of(task, model)
    scores: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    told = list(zip(sets, predictions(model, task, head, sets, split=split), strict=True))
    thresholds = {
        part.language: kind.score(task, part.examples, part.features, own).threshold
        for part, own in told
        if part.portion == "threshold"
    }
    for part, own in beating(told):
        if part.portion == "threshold":
            continue
        threshold = thresholds.get(part.language)
        for portion, keep in portions_of(kind, part):
            result = scored(kind, task, part.examples, part.features, own, keep, threshold)
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


@torch.no_grad()
def predictions(
    model: Encoder, task: Task, head: nn.Module | None, sets: Sequence[EvaluationSet], distinct: bool = False,
    split: int = 1,
) -> list[list[Any]]:  # fmt: skip
    """Predictions of all the sets' features, set by set; where asked, equal features are read by the model once.

    Batches are the `split`-th part of the usual size.
    """
    model.eval()
    kind = kind_of(task, model)
    pad, layer = int(model.tokenizer.pad_token_id), task.retrieval.layer if task.kind in UNTRAINED else -1
    stream: Sequence[Feature] = Joined([part.features for part in sets])
    first, tokens = list(range(len(stream))), scored_tokens(model.device)
    if distinct and model.language is None:  # with language adapters the same text may be read in two languages
        stream = list(stream)  # all are looked at now, and again in batches
        places: dict[Any, int] = {}
        first = [places.setdefault(feature.content, place) for place, feature in enumerate(stream)]
        kept = sorted(places.values())
        batches: Iterator[list[int]] = (
            [kept[i] for i in b] for b in scoring_batches([stream[p] for p in kept], tokens, split)
        )
    else:
        batches = spoken_batches(model, task, sets, split)
    found: list[Any] = [None] * len(stream)
    for chosen in batches:
        batch = collate(task.name, [stream[i] for i in chosen], pad, model.device)
        with forward_pass(model):
            with model.lower.of(model, batch):
                states = model.states(batch.ids, batch.mask, layer)
            told = kind.predict(task, head, states, batch.mask, batch.features)
        for i, prediction in zip(chosen, told, strict=True):
            found[i] = prediction
    rest = iter(found[place] for place in first)
    return [[next(rest) for _ in part.features] for part in sets]


def spoken_batches(model: Encoder, task: Task, sets: Sequence[EvaluationSet], split: int = 1) -> Iterator[list[int]]:
    """Indices of all the sets' features, one set after the other, in batches by length.

    Where language adapters are on, no batch mixes languages, and the model speaks the one of the batch (MAD-X, arXiv
    2005.00052).
    """
    stream, tokens = Joined([part.features for part in sets]), scored_tokens(model.device)
    if model.language is None:
        yield from scoring_batches(stream, tokens, split)
        return
    of: dict[str, list[int]] = {}
    languages = (language_of(task, part, place) for part in sets for place in range(len(part.features)))
    for place, language in enumerate(languages):
        of.setdefault(language, []).append(place)
    for language, places in of.items():
        model.speak(language)
        for chosen in scoring_batches([stream[place] for place in places], tokens, split):
            yield [places[i] for i in chosen]


def language_of(task: Task, part: EvaluationSet, place: int) -> str:
    """The language of a set's feature: English of the English side of retrieval and mining; of a pair of texts in two
    languages the first one's."""
    if task.kind == "retrieval" and place % 2:
        return ENGLISH
    if task.kind == "mining" and part.examples[part.features[place].item].label == "target":
        return ENGLISH
    return spoken(part.language)


def portions_of(kind: Kind, part: EvaluationSet) -> Iterator[tuple[Portion, list[int]]]:
    """The set itself and, of a test set, its two halves where they are not empty: which examples each has."""
    every = list(range(len(part.examples)))
    yield part.portion, every
    if part.portion == "test":
        half = [in_search_half(kind.unit(example)) for example in part.examples]
        for portion, wanted in (("search", True), ("report", False)):
            if keep := [place for place in every if half[place] == wanted]:
                yield portion, keep


def scored(
    kind: Kind,
    task: Task,
    examples: Sequence[Example],
    features: Sequence[Feature],
    predicted: Sequence[Any],
    keep: Sequence[int],
    threshold: float | None,
) -> Result:
    """The figures of some of the examples, as if there were no others."""
    if len(keep) == len(examples):
        return kind.score(task, examples, features, predicted, threshold)
    place = {item: new for new, item in enumerate(keep)}
    rows = [(f, p) for f, p in zip(features, predicted, strict=True) if f.item in place]
    own = [replace(f, item=place[f.item]) for f, _ in rows]
    return kind.score(task, [examples[i] for i in keep], own, [p for _, p in rows], threshold)


def sets_of(
    task: Task,
    examples: Mapping[tuple[Portion, str], Sequence[Example]],
    model: Encoder,
    longest: int | None = None,
    encodings: Encodings | None = None,
) -> list[EvaluationSet]:
    """Encode a target's portions and languages, texts of at most `longest` tokens (the task's own `max_length`), or
    take them from what the node has."""
    kind, encodings = kind_of(task, model), encodings or Encodings(None, model.tokenizer)
    return [
        EvaluationSet(portion, code, rows, encodings.scoring(task, kind, longest or task.max_length, rows))
        for (portion, code), rows in examples.items()
    ]
