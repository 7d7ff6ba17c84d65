"""Model families: each loads, trains, stores and scores with every method that it allows; what its parts are called."""

from __future__ import annotations

import random

import pytest
import torch
from safetensors.torch import load, save
from tokenizers import BertWordPieceTokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaXLConfig,
    XLMRobertaXLForMaskedLM,
)

from trainables.batches import collate
from trainables.corpus import MiniCorpus
from trainables.data import DataSource
from trainables.families import family_of, layers_of, longest_text, model_config, width_of
from trainables.heads import put_heads
from trainables.kinds import KINDS
from trainables.methods import put_on
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder, modules_in
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train

COMMON = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "initializer_range": 0.18, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MADE = {
    "bert": (BertConfig, BertForMaskedLM, {"max_position_embeddings": 128, "type_vocab_size": 2, "pad_token_id": 0}),
    "deberta-v2": (DebertaV2Config, DebertaV2ForMaskedLM, {
        "max_position_embeddings": 128, "type_vocab_size": 0, "relative_attention": True, "position_buckets": 16,
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False, "max_relative_positions": -1,
    }),
    "distilbert": (DistilBertConfig, DistilBertForMaskedLM, {
        "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 128,
        "pad_token_id": 0,
    }),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaForMaskedLM, {"max_position_embeddings": 130, "type_vocab_size": 1}),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLForMaskedLM, {
        "max_position_embeddings": 130, "type_vocab_size": 1,
    }),
}  # fmt: skip
METHODS = {
    "full": ("full", {}),
    "full, partly frozen": ("full", {"full": {"freeze_embeddings": True, "freeze_layers": 1}}),
    "probe": ("probe", {}),
    "prompt": ("prompt", {}),
    "prompt, reparameterised": ("prompt", {"prompt": {"form": "reparameterised", "bottleneck": 16}}),
    "prompt, input": ("prompt", {"prompt": {"form": "input"}}),
    "adapter": ("adapter", {}),
    "adapter, houlsby": ("adapter", {"adapter": {"form": "houlsby"}}),
    "adapter, stack": ("adapter", {"adapter": {"along": "stack"}}),
    "lora": ("lora", {"lora": {"matrices": ["q", "k", "v", "intermediate", "output"]}}),
    "lora, merge": ("lora", {"lora": {"along": "merge"}}),
}
WORDPIECE = ["bert", "distilbert"]
"""Families with tokenizers of BERT's own form, which name no beginning and no end of a text."""

WITHOUT_MODULES = ["full", "full, partly frozen", "probe"]
WITH_MODULES = ["bert", "deberta-v2", "xlm-roberta"]
TASKS = {"classification": "mini-nli", "tagging": "mini-tags", "span": "mini-squad2"}
ALLOWED = [
    (family, variant) for family in MADE for variant in METHODS if variant in WITHOUT_MODULES or family in WITH_MODULES
]
LENGTH = 3


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    """BERT's tokenizer with a vocabulary of its own, without a beginning (`bos`) and an end (`eos`) of text."""
    trained = BertWordPieceTokenizer(lowercase=False)
    trained.train_from_iterator(MiniCorpus().sentences(random.Random(0), 150), vocab_size=600, show_progress=False)
    folder = tmp_path_factory.mktemp("wordpiece")
    trained.save_model(str(folder))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False)
    assert tokenizer.bos_token_id is tokenizer.eos_token_id is None
    return tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_tokenizer, wordpiece):
    """A folder of a tiny random model of each family, with its masked-LM head."""
    found = {}
    for name, (config, model, own) in MADE.items():
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        tokenizer = wordpiece if name in WORDPIECE else tiny_tokenizer
        model(config(**{**COMMON, "vocab_size": len(tokenizer), **own})).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found[name] = str(folder)
    return found


@pytest.fixture(scope="module")
def models(folders):
    return {name: Encoder(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def tasks():
    return {kind: load_task(name, "") for kind, name in TASKS.items()}


@pytest.fixture(scope="module")
def encoded(models, tasks):
    """Features by family and kind, each by the family's own tokenizer."""
    source = DataSource(limit=12)
    return {
        name: {k: KINDS[k].encode(t, source.training(t), model.tokenizer, 48)[:12] for k, t in tasks.items()}
        for name, model in models.items()
    }


@pytest.fixture
def features(encoded, family):
    return encoded[family]


def collated(model, task, chosen):
    return collate(task.name, chosen, model.tokenizer.pad_token_id, model.device)


def stage_of(variant, kind, parent=None):
    name, fields = METHODS[variant]
    own = scalars(MethodSettings.model_validate(fields), name, LENGTH if name == "prompt" else None)
    training = {"learning_rate": 1e-2, "batch_size": 4, "warmup": 1, "weight_decay": 0.0}
    return Stage("train", parent, (TASKS[kind],), ("d",), "tiny", name, {**training, **own}, 2, 0)


def ready(model, variant, kind, task, weights):
    """The model as it scores the task from a stage's weights."""
    stage = stage_of(variant, kind)
    put_on(model, Stage("score", "p", stage.tasks, ("d",), "tiny", stage.method, stage.settings), weights)
    put_heads(model, [task], weights, [task])
    return model.eval()


@torch.no_grad()
def logits_of(model, variant, kind, task, weights, chosen):
    batch = collated(model, task, chosen)
    return ready(model, variant, kind, task, weights).head(task.name)(model.states(batch.ids, batch.mask))


@pytest.mark.parametrize(("family", "variant"), ALLOWED)
def test_a_stage_is_trained_stored_and_read_again(models, folders, tasks, features, family, variant):
    """Two stages, each scored by the model that trained it and, from its stored bytes, by a fresh one: bit for bit."""
    model, fresh = models[family], Encoder(folders[family])
    parent = None
    for kind, task in tasks.items():
        given = {task.name: features[kind]}
        weights = train(model, stage_of(variant, kind, "p" if parent else None), [task], given, parent).weights
        scored = [
            logits_of(one, variant, kind, task, kept, features[kind][:5])
            for one, kept in ((model, weights), (fresh, load(save(weights))))
        ]
        assert torch.equal(*scored)
        untrained = logits_of(model, variant, kind, task, {n: t for n, t in weights.items() if "heads." in n},
                              features[kind][:5]) if variant == "probe" else None  # fmt: skip
        if untrained is not None:
            assert torch.equal(untrained, scored[0])
        parent = weights


@pytest.mark.parametrize(("family", "variant"), ALLOWED)
def test_what_is_stored(models, tasks, features, family, variant):
    """The method's own weights and the head, nothing that takes no part (a pooler)."""
    model, task = models[family], tasks["tagging"]
    weights = train(model, stage_of(variant, "tagging"), [task], {task.name: features["tagging"]}).weights
    own = {name.removeprefix("encoder.") for name in weights if name.startswith("encoder.")}
    base = own & set(model._base)
    assert any(name.startswith("heads.") for name in weights)
    assert not any("pooler" in name for name in model._base)
    match variant:
        case "full":
            assert base == own == set(model._base)
        case "full, partly frozen":
            frozen = {*map(id, model.embeddings.parameters()), *map(id, model.layers[0].parameters())}
            assert base == own == {n for n, p in model.encoder.named_parameters() if id(p) not in frozen}
            assert base < set(model._base)
        case "lora, merge":
            assert base == own
            assert len(base) == 4  # query and value of two layers
        case "probe":
            assert not own
        case _:
            assert not base
            assert modules_in(weights) == {"tuned0" if "stack" in variant else "tuned"}
    unmoved = [name for name in base if torch.equal(weights[f"encoder.{name}"], model._base[name])]
    # Position and token-type embeddings of places that no text here reaches, and a key's bias (softmax ignores it).
    assert not [name for name in unmoved if "position" not in name and not name.endswith(("key.bias", "k_lin.bias"))]


@pytest.mark.parametrize(("family", "variant"), ALLOWED)
def test_padding_changes_nothing(models, tasks, features, family, variant):
    model, task = models[family], tasks["tagging"]
    weights = train(model, stage_of(variant, "tagging"), [task], {task.name: features["tagging"]}).weights
    ready(model, variant, "tagging", task, weights)
    short, long = sorted(features["tagging"], key=lambda feature: feature.length)[:: len(features["tagging"]) - 1]
    assert short.length < long.length
    with torch.no_grad():
        alone, padded = (
            model.states(batch.ids, batch.mask)
            for batch in (collated(model, task, chosen) for chosen in ([short], [short, long]))
        )
    assert torch.allclose(alone[0], padded[0, : short.length], atol=1e-5)


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", MADE)
def test_parts_of_the_model(models, folders, family):
    model = models[family]
    config = model_config(folders[family])
    assert len(model.layers) == layers_of(config) == 2
    assert model.width == width_of(config) == 32
    words = model.encoder.get_input_embeddings().weight
    assert any(parameter is words for parameter in model.embeddings.parameters())
    above = {id(parameter) for layer in model.layers for parameter in layer.parameters()}
    assert above
    assert not above & {id(parameter) for parameter in model.embeddings.parameters()}
    assert family_of(config).modules == (family in WITH_MODULES)


@pytest.mark.parametrize("family", MADE)
def test_the_longest_text_is_read_and_no_longer_one(models, folders, family):
    """DeBERTa's positions are relative: it would read more than it was pretrained with."""
    model = models[family]
    assert model.positions == longest_text(model_config(folders[family])) == 128
    model.reset()
    model.eval()
    with torch.no_grad():
        ids = torch.full((1, 129), 7)
        assert model.states(ids[:, :128], torch.ones(1, 128, dtype=torch.long)).shape == (1, 128, 32)
        if family != "deberta-v2":
            with pytest.raises((IndexError, RuntimeError)):
                model.states(ids, torch.ones_like(ids))


@pytest.mark.parametrize("family", WITH_MODULES)
def test_the_longest_text_beside_a_prompt(models, family):
    """A text of as many tokens fewer as the prompt has vectors, in each form."""
    model = models[family]
    ids = torch.full((1, 128 - LENGTH), 7)
    for variant in ("prompt", "prompt, input"):
        put_on(model, stage_of(variant, "tagging"), {})
        model.eval()
        with torch.no_grad():
            assert model.states(ids, torch.ones_like(ids)).shape == (1, 128 - LENGTH, 32)


@pytest.mark.parametrize("family", MADE)
def test_states_of_all_layers(models, tasks, features, family):
    model = models[family]
    model.reset()
    model.eval()
    batch = collated(model, tasks["tagging"], features["tagging"][:3])
    with torch.no_grad():
        every = model.all_states(batch.ids, batch.mask)
        assert len(every) == 3
        assert torch.equal(model.states(batch.ids, batch.mask, 1), every[1])


def test_the_second_text_of_a_pair_has_types_of_its_own(models):
    """Where the model was pretrained with token types (BERT): 0 to the first separator, 1 after it."""
    model = models["bert"]
    model.reset()
    model.eval()
    start, end, pad = (getattr(model.tokenizer, f"{name}_token_id") for name in ("cls", "sep", "pad"))
    rows = [
        ([start, 11, 12, end, 13, 14, end], [0, 0, 0, 0, 1, 1, 1]), ([start, 11, end, 13, end], [0, 0, 0, 1, 1]),
        ([start, 9, end], [0, 0, 0]),
    ]  # fmt: skip
    padded = torch.tensor([ids + [pad] * (7 - len(ids)) for ids, _ in rows])
    with torch.no_grad():
        found = model.states(padded, (padded != pad).long())
        for states, (ids, types) in zip(found, rows, strict=True):
            wanted, untyped = (
                model.encoder(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([one])).last_hidden_state[0]
                for one in (types, [0] * len(ids))
            )
            assert torch.allclose(states[: len(ids)], wanted, atol=1e-5)
            assert torch.allclose(wanted, untyped, atol=1e-2) == (1 not in types)
    assert set(models["xlm-roberta"]._inputs(padded, padded)) == {"input_ids", "attention_mask"}


def test_token_types_are_those_of_berts_own_tokenizer(models, tmp_path, monkeypatch):
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "a", "dog", "runs", "it"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    given = tokenizer(["a dog runs", "it"], ["it runs", "runs"], padding=True, return_tensors="pt")
    monkeypatch.setattr(models["bert"], "tokenizer", tokenizer)
    found = models["bert"]._inputs(given["input_ids"], given["attention_mask"])
    assert torch.equal(found["token_type_ids"], given["token_type_ids"])


# --- masked language modelling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [name for name in MADE if name != "distilbert"])
def test_the_masked_lm_head_is_the_checkpoints_own(models, folders, tasks, features, family):
    """It scores as the whole model does, and its last layer is the encoder's word embeddings."""
    model = models[family]
    model.reset()
    model.eval()
    head = model.masked_lm_head().eval()
    whole = MADE[family][1].from_pretrained(folders[family]).eval()
    batch = collated(model, tasks["tagging"], features["tagging"][:4])
    with torch.no_grad():
        inputs = model._inputs(batch.ids, batch.mask)
        wanted = whole(**inputs).logits
        found = head(model.states(batch.ids, batch.mask))
    assert torch.allclose(found, wanted, atol=1e-5)
    assert any(parameter is model.encoder.get_input_embeddings().weight for parameter in head.parameters())
