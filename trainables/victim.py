"""A stage's model as an attack's victim: every waiting search's texts in one length-bucketed stream, cached by text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from trainables.batches import collate, scored_tokens, scoring_batches
from trainables.edited import spelled
from trainables.evaluate import EvaluationSet, predictions
from trainables.examples import Example
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.precision import forward_pass
from trainables.tasks import UNTRAINED, Task
from trainables.watch import beat, beating

CACHED = 1 << 16
"""Texts whose figures are remembered."""

Asked = tuple[int | str, str | tuple[str, ...]]
"""An example's number, and the text or texts that stand in its fields."""


class Victim:
    """Answers `perturb.goals.FigureFalls`: for each text how much of its answer is right, and how sure the model is of
    the gold one, both in [0, 1]."""

    def __init__(
        self, model: Encoder, task: Task, head: nn.Module | None, part: EvaluationSet, fields: Sequence[str],
        longest: int, split: int = 1,
    ) -> None:  # fmt: skip
        """Attacks change `fields` of the set's examples. Numbers are places in the set. Batches are the `split`-th part
        of the usual size."""
        self.model, self._task, self._head, self._part = model, task, head, part
        self._fields, self._longest = fields, longest
        self._kind, self._split = kind_of(task, model), split
        self._known: OrderedDict[Asked, tuple[float, float]] = OrderedDict()
        self._pool = self._english() if task.kind in UNTRAINED else None
        self.seen = 0
        """Texts that the model has read."""

    def __call__(self, asked: Sequence[Asked]) -> Tensor:
        """Rows of (right, margin): n × 2."""
        beat(queries=len(asked))
        new = [one for one in dict.fromkeys(asked) if one not in self._known]
        fresh = dict(zip(new, self._judged(new), strict=True))
        rows = [fresh[one] if one in fresh else self._known[one] for one in asked]
        self._known |= fresh
        while len(self._known) > CACHED:
            self._known.popitem(last=False)
        self.seen += len(new)
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)

    @torch.no_grad()
    def _judged(self, asked: Sequence[Asked]) -> list[tuple[float, float]]:
        examples = [self._spelled(place, text) for place, text in asked]
        features = self._kind.encode(self._task, examples, self.model.tokenizer, self._longest)
        if self._pool is not None:
            return self._ranked([int(place) for place, _ in asked], features)
        found, margins = self._read(features)
        rights = self._kind.figures(self._task, examples, features, found)
        best = [0.0] * len(examples)
        sizes = [0] * len(examples)
        for feature, margin in zip(features, margins, strict=True):
            # A long context is read in windows, of which one will do; of a long sentence every part counts.
            whole = self._task.kind == "tagging"
            size = max(1, len(feature.positions)) if whole else 1
            best[feature.item] = best[feature.item] + margin * size if whole else max(best[feature.item], margin)
            sizes[feature.item] += size if whole else 0
        return [(right, total / (size or 1)) for right, total, size in zip(rights, best, sizes, strict=True)]

    def _spelled(self, place: int | str, text: str | tuple[str, ...]) -> Example:
        texts = (text,) if isinstance(text, str) else text
        return spelled(self._task, self._part.examples[int(place)], self._fields, texts)

    def _read(self, features: Sequence[Feature]) -> tuple[list[object], list[float]]:
        """Predictions and margins, in batches of about the same length."""
        self.model.eval()
        if self.model.language is not None:
            self.model.speak(self._part.language)
        pad = int(self.model.tokenizer.pad_token_id)
        found: list[object] = [None] * len(features)
        margins = [0.0] * len(features)
        for chosen in scoring_batches(features, scored_tokens(self.model.device), self._split):
            batch = collate(self._task.name, [features[i] for i in chosen], pad, self.model.device)
            with forward_pass(self.model):
                states = self.model.states(batch.ids, batch.mask)
                told = self._kind.predict(self._task, self._head, states, batch.mask, batch.features)
                sure = self._kind.margin(self._task, self._head, states, batch.mask, batch.features)
            for i, prediction, margin in zip(chosen, told, sure, strict=True):
                found[i], margins[i] = prediction, margin
        return found, margins

    # --- retrieval: only the query is attacked ------------------------------------------------------------------------

    def _vectors(self, features: Sequence[Feature]) -> Tensor:
        part = replace(self._part, features=features)
        return torch.stack(predictions(self.model, self._task, None, [part], distinct=True, split=self._split)[0])

    def _english(self) -> Tensor:
        """The vectors of the English sentences that are searched: items × width."""
        return self._vectors(self._part.features)[1::2]

    def _ranked(self, places: Sequence[int], features: Sequence[Feature]) -> list[tuple[float, float]]:
        """1 where the translation is nearest; and by how much it is nearer than the nearest other sentence."""
        if not places:
            return []
        pool = self._pool if self._pool is not None else self._english()
        cosines = self._vectors(features)[0::2] @ pool.T
        said = [example.pair for example in self._part.examples]
        found = []
        for row, place in beating(zip(cosines, places, strict=True)):
            other = torch.tensor([text != said[place] for text in said])
            own, rival = float(row[~other].max()), float(row[other].max()) if bool(other.any()) else -1.0
            found.append((float(own >= rival), (own - rival + 2) / 4))
        return found
