"""Tuned parameters: formulas from a configuration equal counts on models, built on the meta device without weights."""

from __future__ import annotations

import subprocess
import sys

import adapters
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    DebertaV2Config,
    RobertaConfig,
    XLMRobertaConfig,
    XLMRobertaXLConfig,
)
from transformers.models.auto import AutoModel

from trainables.kinds.classification import ClassificationHead
from trainables.methods import settings as methods
from trainables.parameters import classification_head, count, encoder_parameters, tuned_parameters

LARGE = XLMRobertaConfig(
    vocab_size=250002, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
    max_position_embeddings=514, type_vocab_size=1,
)  # fmt: skip
SMALL = XLMRobertaConfig(
    vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
    max_position_embeddings=20, type_vocab_size=1,
)  # fmt: skip
DEBERTA_V3 = DebertaV2Config(
    vocab_size=251000, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
    relative_attention=True, position_buckets=256, norm_rel_ebd="layer_norm", share_att_key=True,
    pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0, max_position_embeddings=512,
)  # fmt: skip


def built(config) -> nn.Module:
    with torch.device("meta"):
        plain = {} if config.model_type == "deberta-v2" else {"add_pooling_layer": False}
        return AutoModel.from_config(config, **plain)


def with_module(config, module) -> nn.Module:
    """A model whose added module alone is tuned."""
    with torch.device("meta"):
        model = built(config)
        adapters.init(model)
        model.add_adapter("tuned", config=module)
    model.train_adapter("tuned")
    return model


def scalars(method: str, length: int | None = None, **own) -> dict:
    return methods.scalars(methods.MethodSettings.model_validate({method: own}), method, length)


@pytest.mark.parametrize(("length", "expected"), [(16, 786_432), (32, 1_572_864)])
def test_a_prefix_in_xlmr_large(length, expected):
    model = with_module(LARGE, adapters.PrefixTuningConfig(flat=True, prefix_length=length))
    tuned, every = count(model)
    assert tuned == expected
    assert every == expected + encoder_parameters(LARGE.to_dict()) == expected + 558_840_832
    assert all(parameter.is_meta for parameter in model.parameters())
    assert tuned_parameters(LARGE.to_dict(), "prompt", scalars("prompt", length)) == expected


@pytest.mark.parametrize("config", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize(
    ("module", "method", "length", "own"),
    [
        (adapters.PromptTuningConfig(prompt_length=20), "prompt", 20, {"form": "input"}),
        (
            adapters.PrefixTuningConfig(flat=False, prefix_length=8, bottleneck_size=512),
            "prompt", 8, {"form": "reparameterised"},
        ),
        (
            adapters.PrefixTuningConfig(flat=False, prefix_length=8, bottleneck_size=100),
            "prompt", 8, {"form": "reparameterised", "bottleneck": 100},
        ),
        (adapters.SeqBnConfig(reduction_factor=16), "adapter", None, {}),
        (adapters.SeqBnConfig(reduction_factor=1.5), "adapter", None, {"reduction": 1.5}),
        (adapters.SeqBnConfig(reduction_factor=10**6), "adapter", None, {"reduction": 10**6}),
        (adapters.DoubleSeqBnConfig(reduction_factor=8), "adapter", None, {"form": "houlsby", "reduction": 8}),
        (adapters.LoRAConfig(r=8, attn_matrices=["q", "v"]), "lora", None, {}),
        (
            adapters.LoRAConfig(r=3, attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True),
            "lora", None, {"rank": 3, "matrices": ["q", "k", "v", "intermediate", "output"]},
        ),
        (
            adapters.LoRAConfig(r=4, selfattn_lora=False, output_lora=True),
            "lora", None, {"rank": 4, "matrices": ["output"]},
        ),
    ],
)  # fmt: skip
def test_formulas_equal_the_modules(config, module, method, length, own):
    tuned, _ = count(with_module(config, module))
    assert tuned == tuned_parameters(config.to_dict(), method, scalars(method, length, **own)) > 0


def test_lora_in_some_layers():
    module = adapters.LoRAConfig(r=2, attn_matrices=["k"], leave_out=[1])
    own = scalars("lora", rank=2, matrices=["k"], layers=[0, 2])
    assert count(with_module(SMALL, module))[0] == tuned_parameters(SMALL.to_dict(), "lora", own) == 2 * 2 * 48


def test_by_hand():
    """h = 1024, 24 layers: LoRA 24 · 8 · 2 · 2h; Pfeiffer 24 · (2hb + b + h) with b = 64."""
    config = LARGE.to_dict()
    assert tuned_parameters(config, "lora", scalars("lora", rank=8)) == 786_432
    assert tuned_parameters(config, "adapter", scalars("adapter")) == 24 * (2 * 1024 * 64 + 64 + 1024) == 3_171_840
    assert tuned_parameters(config, "adapter", scalars("adapter", form="houlsby")) == 2 * 3_171_840
    assert tuned_parameters(config, "prompt", scalars("prompt", 16, form="input")) == 16 * 1024
    assert tuned_parameters(config, "prompt", scalars("prompt", 0)) == 0
    assert tuned_parameters(config, "probe", {}) == 0


@pytest.mark.parametrize(
    "config",
    [
        LARGE, SMALL, DEBERTA_V3,
        BertConfig(vocab_size=119547),
        RobertaConfig(),
        XLMRobertaXLConfig(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                           intermediate_size=64),
    ],
    ids=["large", "small", "deberta-v3", "mbert", "roberta", "xl"],
)  # fmt: skip
def test_all_parameters_of_a_family(config):
    model = built(config)
    assert count(model) == (encoder_parameters(config.to_dict()),) * 2
    assert tuned_parameters(config.to_dict(), "full", {}) == count(model)[0]
    layers = model.encoder.layer[:2]
    for module in (model.embeddings, *layers):
        module.requires_grad_(False)
    own = scalars("full", freeze_embeddings=True, freeze_layers=len(layers))
    assert tuned_parameters(config.to_dict(), "full", own) == count(model)[0] < count(model)[1]


@pytest.mark.parametrize("labels", [1, 3])
def test_a_classification_head(labels):
    with torch.device("meta"):
        assert count(ClassificationHead(1024, labels))[0] == classification_head(1024, labels)


def test_what_is_shared_counts_once():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 2))
    model[1].weight = model[0].weight
    model[2].requires_grad_(False)
    assert count(model) == (16, 26)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("ia3", {}, "ia3"),
        ("prompt", {"prompt_form": "deep", "prompt_length": 4}, "deep"),
        ("adapter", {"adapter_form": "parallel", "adapter_reduction": 2}, "parallel"),
        ("lora", {"lora_matrices": "q,o", "lora_layers": "all", "lora_rank": 1}, "no such matrix: o"),
        ("lora", {"lora_matrices": "q", "lora_layers": "0,24", "lora_rank": 1}, "no such layer: 24; known: 0 to 23"),
        ("full", {"freeze_layers": 25}, "of 24 layers 25"),
    ],
)
def test_what_has_no_formula(method, settings, said):
    with pytest.raises(ValueError, match=said):
        tuned_parameters(LARGE.to_dict(), method, settings)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "xlm-roberta", "hidden_size": 8}, "vocab_size"),
        ({}, "hidden_size"),
        (LARGE.to_dict() | {"model_type": "t5"}, "t5"),
        (DEBERTA_V3.to_dict() | {"share_att_key": False}, "deberta-v2"),
    ],
)
def test_a_configuration_without_formula(config, said):
    with pytest.raises(ValueError, match=said):
        encoder_parameters(config)


def test_planning_needs_no_torch():
    code = "import sys, trainables.parameters, trainables.fertility; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
