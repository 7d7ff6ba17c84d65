"""The methods' modules against an XLM-R encoder written out in plain PyTorch: no line of a library's in it.

A prefix stands before the keys and values of each layer, is seen by every token and has no query of its own. LoRA is
W + α/r · B A. A Pfeiffer adapter takes what the layer's last LayerNorm gives, with the output of the feed-forward block
before that LayerNorm as its residual, and its output then goes through the same residual of the layer and the same
LayerNorm once more: LN(x + h + up(relu(down(LN(x + h))))), x the block's input and h its output. In a stack the second
one does the same with what the first one gives in place of h. A Houlsby adapter stands after both blocks, before the
LayerNorm, which is used once: LN(x + h + up(swish(down(h)))). (`adapters` 1.3.0, methods/bottleneck.py and
methods/modeling.py, with the configurations SeqBnConfig and DoubleSeqBnConfig.)
"""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModel

from trainables.fingerprint import MICRO
from trainables.methods import put_on
from trainables.methods.settings import MethodSettings, scalars
from trainables.models import Encoder
from trainables.stage import Stage

LENGTH = 5
LORA = {"rank": 4, "alpha": 6, "layers": [1], "matrices": ["q", "k", "v", "intermediate", "output"]}


# --- the reference ----------------------------------------------------------------------------------------------------


class Reference:
    """An XLM-R encoder from its tensors by name. Modules: `prefix` (layers × 2 × heads × vectors × width of a head),
    `prompt` (vectors × width), `update` (what is added to a weight, by its name), `adapters` (by place, those of a
    stack in turn, each down, down's bias, up, up's bias)."""

    def __init__(self, weights, heads, layers, eps):
        self.weights, self.heads, self.layers, self.eps = weights, heads, layers, eps
        self.prefix = self.prompt = None
        self.update, self.adapters, self.houlsby = {}, {}, False

    def linear(self, x, name):
        weight = self.weights[f"{name}.weight"] + self.update.get(f"{name}.weight", 0)
        return x @ weight.T + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / (variance + self.eps).sqrt() * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def states(self, ids, mask):
        """The last layer's states, rows × length × width; padding is the token 1."""
        places = torch.cumsum(mask, 1) * mask + 1
        x = self.weights["embeddings.word_embeddings.weight"][ids]
        x = x + self.weights["embeddings.position_embeddings.weight"][places]
        x = self.norm(x + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        before = 0
        if self.prompt is not None:
            before = len(self.prompt)
            x = torch.cat([self.prompt.expand(len(x), -1, -1), x], 1)
            mask = torch.cat([torch.ones(len(x), before, dtype=mask.dtype), mask], 1)
        for layer in range(self.layers):
            x = self.layer(x, mask, layer)
        return x[:, before:]

    def layer(self, x, mask, number):
        name = f"encoder.layer.{number}"
        attended = self.linear(self.attention(x, mask, number), f"{name}.attention.output.dense")
        x = self.block(x, attended, f"{name}.attention.output")
        inner = self.linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        return self.block(x, self.linear(inner, f"{name}.output.dense"), f"{name}.output")

    def block(self, x, out, name):
        """What a block ends with: adapters, the residual, the LayerNorm."""
        for down, down_bias, up, up_bias in self.adapters.get(name, ()):
            inner = (out if self.houlsby else self.norm(x + out, f"{name}.LayerNorm")) @ down.T + down_bias
            inner = inner * torch.sigmoid(inner) if self.houlsby else inner.clamp(min=0)
            out = out + inner @ up.T + up_bias
        return self.norm(x + out, f"{name}.LayerNorm")

    def attention(self, x, mask, number):
        rows, length, width = x.shape
        query, key, value = (
            self.linear(x, f"encoder.layer.{number}.attention.self.{name}")
            .view(rows, length, self.heads, width // self.heads)
            .transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = mask[:, None, None, :].bool()
        if self.prefix is not None:
            keys, values = self.prefix[number]
            key = torch.cat([keys.expand(rows, -1, -1, -1), key], 2)
            value = torch.cat([values.expand(rows, -1, -1, -1), value], 2)
            seen = torch.cat([torch.ones(rows, 1, 1, keys.shape[1], dtype=torch.bool), seen], 3)
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        weights = torch.softmax(scores.masked_fill(~seen, -torch.inf), -1)
        return (weights @ value).transpose(1, 2).reshape(rows, length, width)


# --- the models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["tiny", "micro"])
def folder(request, tiny_model):
    return tiny_model if request.param == "tiny" else str(MICRO)


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def model(request, folder):
    """The model, loaded with an implementation of attention."""

    class Attending(Encoder):
        def _load(self):
            return AutoModel.from_pretrained(**self._source, attn_implementation=request.param, **self._extra)

    loaded = Attending(folder)
    assert loaded.encoder.config._attn_implementation == request.param
    return loaded


@pytest.fixture(scope="module")
def batch(model):
    """Three texts of different lengths, so that two are padded."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.ones(3, 12, dtype=torch.long)
    for row, length in enumerate((12, 7, 3)):
        drawn = torch.randint(3, model.encoder.config.vocab_size, (length - 2,), generator=generator)
        ids[row, :length] = torch.cat([torch.tensor([0]), drawn, torch.tensor([2])])
    return ids, (ids != 1).long()


def put(model, method, former=0, **fields):
    """Put a method's modules on, with random numbers in them; the tensors by name. `former` are those below it in a
    stack."""
    settings = scalars(MethodSettings.model_validate({method: fields}), method, LENGTH if method == "prompt" else None)
    stage = Stage("train", None, ("t",), ("d",), "m", method, settings, 1, 0)
    put_on(model, stage, {})
    for _ in range(former):
        put_on(model, stage, model.tuned())
    model.eval()
    generator = torch.Generator().manual_seed(1)
    own = {name: p for name, p in model.encoder.named_parameters() if name not in model._base}
    with torch.no_grad():
        for parameter in own.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(parameter.shape[-1] + 16))
    return own


def reference_of(model):
    config = model.encoder.config
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    return Reference(model._base, heads, layers, config.layer_norm_eps)


@torch.no_grad()
def assert_alike(model, reference, batch):
    ids, mask = batch
    found, wanted, plain = model.states(ids, mask), reference.states(ids, mask), reference_of(model).states(ids, mask)
    kept = mask.bool()
    assert found.shape == wanted.shape
    assert torch.allclose(found[kept], wanted[kept], atol=1e-5, rtol=0)
    return float((wanted[kept] - plain[kept]).abs().max())


# --- the comparisons --------------------------------------------------------------------------------------------------


def test_the_model_without_modules(model, batch):
    model.reset()
    model.eval()
    assert assert_alike(model, reference_of(model), batch) == 0


def prefix_of(model, vectors):
    """Vectors × (layers · 2 · width) as layers × 2 × heads × vectors × width of a head."""
    config = model.encoder.config
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    return vectors.view(LENGTH, layers, 2, heads, config.hidden_size // heads).permute(1, 2, 3, 0, 4)


def test_a_prefix(model, batch):
    (vectors,) = put(model, "prompt").values()
    with torch.no_grad():
        vectors.normal_(generator=torch.Generator().manual_seed(2))  # as large as it begins
    reference = reference_of(model)
    reference.prefix = prefix_of(model, vectors.detach())
    assert assert_alike(model, reference, batch) > 0.1


def test_a_reparameterised_prefix(model, batch):
    embedded, down, down_bias, up, up_bias = put(model, "prompt", form="reparameterised", bottleneck=16).values()
    with torch.no_grad():
        embedded.normal_(generator=torch.Generator().manual_seed(2))
        reference = reference_of(model)
        reference.prefix = prefix_of(model, torch.tanh(embedded @ down.T + down_bias) @ up.T + up_bias)
    assert assert_alike(model, reference, batch) > 0.1


def test_a_prompt_before_the_input(model, batch):
    """The prompt's own vectors are tokens like others: they see the text, and none of its padding."""
    (vectors,) = put(model, "prompt", form="input").values()
    reference = reference_of(model)
    reference.prompt = vectors.detach()
    assert assert_alike(model, reference, batch) > 0.1


def test_a_prefix_of_zeros_is_a_prefix(model, batch):
    """It takes its share of the attention, so that it is not the model without one: length 0 is."""
    (vectors,) = put(model, "prompt").values()
    with torch.no_grad():
        vectors.zero_()
    reference = reference_of(model)
    reference.prefix = prefix_of(model, vectors.detach())
    assert assert_alike(model, reference, batch) > 0.01


def test_lora(model, batch):
    own = put(model, "lora", **LORA)
    reference = reference_of(model)
    for name in {name.split(".loras.")[0] for name in own}:
        low, high = own[f"{name}.loras.tuned.lora_A"].detach(), own[f"{name}.loras.tuned.lora_B"].detach()
        reference.update[f"{name}.weight"] = LORA["alpha"] / LORA["rank"] * (high @ low)
    attention = [f"attention.self.{name}" for name in ("query", "key", "value")]
    adapted = [*attention, "intermediate.dense", "output.dense"]
    assert set(reference.update) == {f"encoder.layer.1.{name}.weight" for name in adapted}
    assert assert_alike(model, reference, batch) > 0.1


@pytest.mark.parametrize(("form", "former"), [("pfeiffer", 0), ("houlsby", 0), ("pfeiffer", 1), ("houlsby", 2)])
def test_adapters(model, batch, form, former):
    own = put(model, "adapter", former, form=form, reduction=4, along="stack" if former else "continue")
    reference = reference_of(model)
    reference.houlsby = form == "houlsby"
    parts = ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
    names = [f"tuned{number}" for number in range(former + 1)] if former else ["tuned"]
    for place in dict.fromkeys(name.split(".adapters.")[0] for name in own):
        reference.adapters[place] = [
            [own[f"{place}.adapters.{name}.{part}"].detach() for part in parts] for name in names
        ]
    layers = range(model.encoder.config.num_hidden_layers)
    blocks = ["output"] if form == "pfeiffer" else ["output", "attention.output"]
    assert set(reference.adapters) == {f"encoder.layer.{layer}.{block}" for layer in layers for block in blocks}
    assert own[f"encoder.layer.0.output.adapters.{names[0]}.{parts[0]}"].shape[0] == model.width // 4
    assert assert_alike(model, reference, batch) > 0.1


def test_what_the_reference_takes_for_granted(model):
    config = model.encoder.config
    assert config.model_type == "xlm-roberta"
    assert (config.hidden_act, config.position_embedding_type, config.pad_token_id) == ("gelu", "absolute", 1)
