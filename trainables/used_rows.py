"""Word embeddings that are trained where a stage reads them: a matrix of those rows alone.

A stage of English text reads some of XLM-R's 250,002 words. The other rows never get a gradient: their moments stay 0,
and all that AdamW does to them is to let them decay. So the rows that are read are trained as a smaller parameter, and
the others decay once, when the training has ended. The result is the same up to rounding (the norm of the gradient is
summed in another order, the decay multiplied out), and a step no longer writes and reads a gradient and two moments of
768 MB each for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.feature_table import FeatureTable
from trainables.kinds.base import Feature
from trainables.models import Encoder


class UsedRows(nn.Module):
    """Some rows of word embeddings; reads the same token ids as all of them do, and knows no others."""

    def __init__(self, words: nn.Embedding, rows: Tensor) -> None:
        """`rows` are the ids, sorted, each once; a padding row is among them where there is one."""
        super().__init__()
        self.words, self.rows = [words], rows  # in a list, so that it is no module of this one
        places = torch.full((words.num_embeddings,), -1, device=words.weight.device)
        places[rows] = torch.arange(len(rows), device=rows.device)
        self.places = places
        self.padding = None if words.padding_idx is None else int(places[words.padding_idx])
        self.weight = nn.Parameter(words.weight.detach()[rows])

    def forward(self, ids: Tensor) -> Tensor:
        """The rows of token ids. IndexError for a token that is not among them."""
        return F.embedding(self.places[ids], self.weight, self.padding)

    @torch.no_grad()
    def write_back(self, decay: float) -> None:
        """Into the whole matrix these rows as they are now, and all others times `decay`."""
        (words,) = self.words
        if decay != 1:
            words.weight.mul_(decay)
        words.weight[self.rows] = self.weight


@contextmanager
def only_used_rows(model: Encoder, features: Mapping[str, Sequence[Feature]], decay: float) -> Iterator[None]:
    """In the block the model's word embeddings are the rows that the features read; then they are whole again, the
    other rows times `decay` (what weight decay makes of a weight without gradient in the whole training).

    Nothing is done where word embeddings are not trained, or are used for more than reading tokens: tied to an output
    layer. After an exception they are as they were before.
    """
    words = model.encoder.get_input_embeddings()
    if not _is_lookup_alone(model, words):
        yield
        return
    used = {int(model.tokenizer.pad_token_id)}.union(*(_known(model, own) for own in features.values()))
    used |= set() if words.padding_idx is None else {words.padding_idx}
    rows = UsedRows(words, torch.tensor(sorted(used), device=words.weight.device))
    model.encoder.set_input_embeddings(rows)
    try:
        yield
        rows.write_back(decay)
    finally:
        model.encoder.set_input_embeddings(words)


def _is_lookup_alone(model: Encoder, words: nn.Module) -> bool:
    """Whether these are trained, plain embeddings that nothing else has a part in."""
    if type(words) is not nn.Embedding or not words.weight.requires_grad or words.max_norm is not None:
        return False
    users = [name for name, one in model.named_parameters(remove_duplicate=False) if one is words.weight]
    # The library `adapters` keeps them for prompts that begin as words, once a worker has put any module on.
    return len([name for name in users if not name.endswith(".prompt_tuning.base_model_embeddings.weight")]) == 1


def _known(model: Encoder, features: Sequence[Feature]) -> set[int]:
    """The token ids of a task's features, found once for all stages that train on them."""
    if id(features) not in model.read_ids:
        model.read_ids[id(features)] = features, used_ids(features)
    return model.read_ids[id(features)][1]


def used_ids(features: Sequence[Feature]) -> set[int]:
    """The token ids of features."""
    if isinstance(features, FeatureTable):
        return set(np.unique(features.token_ids).tolist())
    ids = chain.from_iterable(row for feature in features for row in feature.rows)
    return set(np.unique(np.fromiter(ids, dtype=np.int64)).tolist())
