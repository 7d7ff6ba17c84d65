"""Cosine of translations, layer by layer: equal to a plain loop, corrected for anisotropy, with honest errors."""

from __future__ import annotations

import itertools
import math
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from trainables.data import DataSource
from trainables.evaluate import EvaluationSet, sets_of
from trainables.examples import Example
from trainables.fingerprint import MICRO
from trainables.kinds.base import Feature
from trainables.mini.grammar import language_codes
from trainables.models import Encoder
from trainables.representations import _figures, measure, sentence_vectors
from trainables.tasks import load_task

TASK = load_task("mini-tatoeba", "")


def tatoeba(languages, count):
    found = DataSource(None, None, "error").load(TASK, "test", languages)
    return {("test", code): rows[:count] for code, rows in found.items()}


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Encoder:
    return Encoder(tiny_model)


def by_key(rows):
    return {(row["language"], row["metric"]): row for row in rows}


def vectors_by_hand(model, texts):
    """Unit vectors of each text alone, without padding: layers × texts × width."""
    found = []
    for text in texts:
        encoded = model.tokenizer(text, truncation=True, max_length=TASK.max_length, return_tensors="pt")
        with torch.no_grad():
            every = model.encoder(**encoded, output_hidden_states=True).hidden_states
        found.append(np.stack([states[0].double().mean(0).numpy() for states in every]))
    stacked = np.stack(found, axis=1)
    return stacked / np.linalg.norm(stacked, axis=-1, keepdims=True)


def test_equal_to_a_plain_loop(tiny):
    portions = tatoeba(["de", "zh"], 25)
    rows = by_key(measure(tiny, TASK, sets_of(TASK, portions, tiny)))
    assert len(rows) == 2 * 3 * 2
    for (_, code), examples in portions.items():
        english = [example.pair for example in examples]
        x, y = (vectors_by_hand(tiny, texts) for texts in ([e.text for e in examples], english))
        for layer in range(3):
            cosines = x[layer] @ y[layer].T
            own = [cosines[i, i] for i in range(25)]
            margins = [
                cosines[i, i] - statistics.fmean(cosines[i, j] for j in range(25) if english[j] != english[i])
                for i in range(25)
            ]
            cosine, margin = rows[code, f"cosine_layer_{layer}"], rows[code, f"cosine_margin_layer_{layer}"]
            assert cosine["value"] == pytest.approx(statistics.fmean(own), abs=1e-5)
            assert cosine["stderr"] == pytest.approx(statistics.stdev(own) / 5, abs=1e-5)
            assert margin["value"] == pytest.approx(statistics.fmean(margins), abs=1e-5)
            for row in (cosine, margin):
                assert (row["portion"], row["main"], row["n"]) == ("representations", False, 25)


def test_batches_change_nothing(tiny, monkeypatch):
    """One sentence a batch, or many of several lengths: the same vectors."""
    (part,) = sets_of(TASK, tatoeba(["fi"], 30), tiny)
    together = sentence_vectors(tiny, TASK, part)
    monkeypatch.setattr("trainables.evaluate.scoring_batches", lambda features, *_: ([i] for i in range(len(features))))
    alone = sentence_vectors(tiny, TASK, part)
    assert together.shape == (3, 60, 32)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=-1), torch.ones(3, 60), atol=1e-5)


def test_dropout_is_off_and_nothing_is_trained(tiny):
    tiny.train()
    sets = sets_of(TASK, tatoeba(["de"], 5), tiny)
    assert measure(tiny, TASK, sets) == measure(tiny, TASK, sets)
    assert all(parameter.grad is None for parameter in tiny.parameters())


def test_what_has_no_rows(tiny):
    sets = sets_of(TASK, tatoeba(["de"], 6), tiny)
    others = [
        EvaluationSet("test", "en", sets[0].examples, sets[0].features),
        EvaluationSet("dev", "fi", sets[0].examples, sets[0].features),
        EvaluationSet("test", "sw", [], []),
    ]
    assert {row["language"] for row in measure(tiny, TASK, [*others, *sets])} == {"de"}
    assert measure(tiny, TASK, others) == []
    with pytest.raises(ValueError, match="mini-nli is a classification task"):
        measure(tiny, load_task("mini-nli", ""), sets)


def test_the_shipped_encoder_knows_translations():
    """Real weights: any two sentences are a little alike, translations more so in every language above layer 0."""
    model = Encoder(str(MICRO))
    codes = [code for code in language_codes() if code != "en"]
    rows = by_key(measure(model, TASK, sets_of(TASK, tatoeba(codes, 40), model)))
    layers = model.encoder.config.num_hidden_layers
    assert len(rows) == 2 * (layers + 1) * len(codes)
    for code, layer in itertools.product(codes, range(layers + 1)):
        raw, corrected = rows[code, f"cosine_layer_{layer}"], rows[code, f"cosine_margin_layer_{layer}"]
        assert raw["value"] > corrected["value"]
        if layer:
            assert corrected["value"] > 4 * corrected["stderr"] > 0


# --- planted vectors --------------------------------------------------------------------------------------------------


class Planted:
    """A model whose one layer gives each token the vector planted for it."""

    language = None

    def __init__(self, vectors):
        self.vectors, self.device, self.tokenizer = vectors, torch.device("cpu"), SimpleNamespace(pad_token_id=0)
        self.precision = torch.float32

    def eval(self):
        return self

    def all_states(self, ids, mask):
        return (self.vectors[ids],)


def planted(x, y):
    """The rows for items whose two sides have these vectors; token 0 is padding."""
    n = len(x)
    both = torch.stack([x, y], dim=1).flatten(0, 1)
    examples = [Example(str(i), "xx", f"s{i}", f"t{i}") for i in range(n)]
    # Every other sequence has its token twice, so that there is padding.
    features = [Feature(place // 2, [place + 1] * (1 + place % 2)) for place in range(2 * n)]
    model = Planted(torch.cat([torch.full((1, x.shape[1]), 1e4), both]))
    rows = measure(model, TASK, [EvaluationSet("test", "xx", examples, features)])
    return {row["metric"]: row for row in rows}


def test_equal_and_orthogonal():
    rows = planted(torch.eye(6), 3 * torch.eye(6))
    assert rows["cosine_layer_0"]["value"] == pytest.approx(1)
    assert rows["cosine_margin_layer_0"]["value"] == pytest.approx(1)


def test_anisotropy_is_taken_out():
    """A component common to all sentences makes the cosine high and tells nothing: unrelated sides have no margin."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(200, 16, generator=generator) + 5 for _ in range(2))
    rows = planted(x, y)
    assert rows["cosine_layer_0"]["value"] > 0.9
    margin = rows["cosine_margin_layer_0"]
    assert abs(margin["value"]) < 3 * margin["stderr"] < 0.02
    meaning = torch.randn(200, 16, generator=generator)
    related = planted(x + meaning, y + meaning)["cosine_margin_layer_0"]
    assert related["value"] > 5 * related["stderr"]


def test_the_margins_error_is_that_of_new_items():
    """Over draws of other items the margin spreads as its standard error says."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(300):
        meaning = torch.randn(40, 8, generator=generator)
        x, y = (F.normalize(meaning + torch.randn(40, 8, generator=generator) + 1, dim=-1) for _ in range(2))
        found.append(list(_figures(0, x, y, [str(i) for i in range(40)]))[1])
    spread = statistics.stdev(figure.value for figure in found)
    claimed = math.sqrt(statistics.fmean(figure.stderr**2 for figure in found))
    assert claimed == pytest.approx(spread, rel=0.12)


def test_equal_english_sentences_are_translations_of_both():
    generator = torch.Generator().manual_seed(2)
    x, y = (F.normalize(torch.randn(5, 4, generator=generator), dim=-1) for _ in range(2))
    english = ["a", "b", "a", "c", "b"]
    cosine, margin = _figures(3, x, y, english)
    cosines = (x @ y.T).tolist()
    expected = [
        cosines[i][i] - statistics.fmean(cosines[i][j] for j in range(5) if english[j] != english[i]) for i in range(5)
    ]
    assert (cosine.metric, margin.metric) == ("cosine_layer_3", "cosine_margin_layer_3")
    assert margin.value == pytest.approx(statistics.fmean(expected), abs=1e-6)


@pytest.mark.parametrize("english", [["a"], ["a", "a", "a"]])
def test_without_non_translations_there_is_no_margin(english):
    x = F.normalize(torch.ones(len(english), 3), dim=-1)
    (only,) = _figures(0, x, x, english)
    assert only.value == pytest.approx(1)
    assert (only.stderr is None) == (len(english) == 1)
