"""A decoder before its pretraining: shapes, tokenizer, and weights that start well."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, processors
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast, XGLMConfig, XGLMForCausalLM, XLMRobertaForMaskedLM

from trainables.documents import WORDS, Documents
from trainables.model_files import safely
from trainables.tokenizer import SPECIAL, train_tokenizer


@dataclass(frozen=True)
class Shape:
    """Shape of a decoder: layers, width, inner (feed-forward) width, heads, vocabulary; its learning rate; and how many
    documents (and as many sentences twice) its tokenizer is trained on."""

    layers: int
    width: int
    inner: int
    heads: int
    vocabulary: int
    learning_rate: float
    documents: int


SHAPES = {
    "tiny": Shape(2, 32, 64, 2, 900, 2e-3, 300),
    "micro": Shape(4, 128, 256, 4, 7000, 2e-3, 15_000),
    "mini": Shape(6, 256, 1024, 4, 16000, 1e-3, 40_000),
}

LIKELY = -6.0
"""The log-probability of a piece that is never spelled by smaller ones."""


def decoder_tokenizer(tokenizer: Any, positions: int = 512) -> PreTrainedTokenizerFast:
    """A tokenizer of `trainables.tokenizer` for a decoder: texts begin with `<s>`; a line break is a token, and so are
    the names of parts and the answers (`documents.WORDS`)."""
    content = json.loads(tokenizer._tokenizer.to_str())
    known = {piece for piece, _ in content["model"]["vocab"]}
    content["model"]["vocab"] += [[f"▁{word}", LIKELY] for word in WORDS if f"▁{word}" not in known]
    backend = type(tokenizer._tokenizer).from_str(json.dumps(content))
    backend.add_tokens([AddedToken("\n", normalized=False)])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    named = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, model_max_length=positions, clean_up_tokenization_spaces=False, **named
    )


def new_decoder(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int) -> Any:
    """A causal LM that has learned nothing; half of its heads begin with looking for what is alike (`match_alike`).

    It reads as many tokens as the tokenizer says: those that it is trained on, since it would go astray beyond them.
    """
    torch.manual_seed(seed)
    config = XGLMConfig(  # type: ignore[no-untyped-call]
        vocab_size=len(tokenizer), d_model=shape.width, ffn_dim=shape.inner, num_layers=shape.layers,
        attention_heads=shape.heads, max_position_embeddings=tokenizer.model_max_length, dropout=0.0,
        attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.0, init_std=shape.width**-0.5,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    lm = XGLMForCausalLM(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for layer in lm.model.layers:
            half = shape.width // 2
            layer.self_attn.k_proj.weight[:half] = layer.self_attn.q_proj.weight[:half]
    return lm


@torch.no_grad()
def take_embeddings(embeddings: Tensor, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Begin with the word embeddings of an encoder, for the pieces that its tokenizer has too.

    They are made as large as new ones, the scale that positions and first logits are made for.
    """
    known = AutoTokenizer.from_pretrained(**safely(str(folder))).get_vocab()  # type: ignore[no-untyped-call]
    encoder = XLMRobertaForMaskedLM.from_pretrained(**safely(str(folder)), use_safetensors=True, dtype=torch.float32)
    weights = encoder.get_input_embeddings().weight
    pairs = [(place, known[piece]) for piece, place in tokenizer.get_vocab().items() if piece in known]
    own, theirs = (list(places) for places in zip(*pairs, strict=True))
    embeddings[own] = weights[theirs] * (embeddings[5:].std() / weights.std())


def document_tokenizer(documents: Documents, shape: Shape, positions: int, seed: int) -> PreTrainedTokenizerFast:
    """A tokenizer trained on sentences and on lines of documents, so that names of parts and answers are words too."""
    rng = random.Random(f"tokenizer {seed}")
    documents.advance(1.0)
    lines = [line for _ in range(shape.documents) for line in documents.draw(rng).text.split("\n")]
    lines += documents.corpus.sentences(rng, shape.documents)
    return decoder_tokenizer(train_tokenizer(lines, shape.vocabulary, positions), positions)
