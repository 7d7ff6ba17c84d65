"""Pretrain a small multilingual decoder: `python -m trainables.pretrain_decoder --suite mini --out DIR`.

XGLM's architecture and files (arXiv 2112.10668), made from `trainables.documents`. It learns to go on with a text, and
beside that, from the layer before the last, what the pretraining of the encoder found to start attention soonest: the
sense of each word, and whether a word of a retelling says something new. With `--embeddings` it begins with the word
embeddings of an encoder. In its tokenizer, of the form of the encoder's, a line break is a token: it ends an answer.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, XGLMForCausalLM

from trainables.console import say
from trainables.corpus import Corpus
from trainables.documents import Document, Documents, documents_of
from trainables.model_files import safely
from trainables.new_decoder import SHAPES, Shape, document_tokenizer, new_decoder, take_embeddings
from trainables.pretrain import SENSE_TEMPERATURE, align_embeddings, build_of, read_arguments, write_record

IGNORED = -100


SHARE = 0.12
"""The share of tokens beside answers that the loss is taken on: the scores of all words cost more than the layers."""


class DecoderPretraining(nn.Module):
    """A causal LM with heads for senses and for new words; only the LM is kept afterwards."""

    def __init__(self, lm: XGLMForCausalLM, senses: int) -> None:
        super().__init__()
        self.lm = lm
        self.senses = nn.Parameter(torch.randn(senses, lm.config.d_model))
        self.changed = nn.Linear(lm.config.d_model, 1)

    def forward(
        self, ids: Tensor, mask: Tensor, chosen: Tensor, answers: Tensor, changed: Tensor, senses: Tensor
    ) -> dict[str, Tensor]:
        """The losses of a step. All arguments are batch × length; `chosen` and `answers` say which tokens to guess."""
        out = self.lm.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        last, middle = out.last_hidden_state, out.hidden_states[-2]
        told, known = changed != IGNORED, senses != IGNORED
        guess = self._logits(last, answers)
        right = ids[answers]
        prototypes = F.normalize(self.senses, dim=-1)
        meant = F.normalize(middle[known], dim=-1) @ prototypes.T / SENSE_TEMPERATURE
        new = self.changed(middle[told]).squeeze(-1)
        return {
            "lm": F.cross_entropy(self._logits(last, chosen), ids[chosen]),
            "answer": F.cross_entropy(guess, right),
            "answer_accuracy": (guess.argmax(-1) == right).float().mean(),
            "sense": F.cross_entropy(meant, senses[known]),
            "changed": F.binary_cross_entropy_with_logits(new, changed[told].float()),
        }

    def _logits(self, states: Tensor, places: Tensor) -> Tensor:
        """Scores of all words at places, read from the states before them."""
        logits: Tensor = self.lm.lm_head(states[:, :-1][places[:, 1:]])
        return logits


class Batches:
    """Endless batches of documents; a function of the seed alone."""

    def __init__(
        self, documents: Documents, tokenizer: PreTrainedTokenizerFast, tokens: int, max_length: int, seed: int
    ) -> None:
        self._documents, self._tokenizer, self._tokens, self._max_length = documents, tokenizer, tokens, max_length
        self._rng = random.Random(f"pretrain decoder {seed}")
        self._torch_rng = torch.Generator().manual_seed(seed)
        self._senses = {sense: number for number, sense in enumerate(documents.corpus.lexicon())}
        self._waiting: list[list[tuple[Document, Any]]] = []

    def next(self) -> dict[str, Tensor]:
        """Keyword arguments of `DecoderPretraining.forward`."""
        if not self._waiting:
            self._waiting = self._draw()
        rows = self._waiting.pop()
        width = max(len(encoding.ids) for _, encoding in rows)
        size = (len(rows), width)
        ids, mask = torch.full(size, int(self._tokenizer.pad_token_id)), torch.zeros(size, dtype=torch.long)
        answers, changed, senses = torch.zeros(size).bool(), torch.full(size, IGNORED), torch.full(size, IGNORED)
        for row, (document, encoding) in enumerate(rows):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = 1
            for place in (token for start, end in document.answers for token in _tokens(encoding, start, end)):
                answers[row, place] = True
            for (start, end), new in document.changed:
                changed[row, _tokens(encoding, start, end)] = int(new)
            for (start, end), sense in document.senses:
                senses[row, _tokens(encoding, start, end)] = self._senses[sense]
        draw = torch.rand(size, generator=self._torch_rng)
        chosen = (draw < SHARE) & (mask == 1)
        chosen[:, 0] = answers[:, 0] = False  # nothing stands before the first token
        chosen[0, 1] = True
        return {"ids": ids, "mask": mask, "chosen": chosen, "answers": answers, "changed": changed, "senses": senses}

    def _draw(self, pool: int = 256) -> list[list[tuple[Document, Any]]]:
        """Several batches at once, each of texts of like length: padding would double the work."""
        documents = [self._documents.draw(self._rng) for _ in range(pool)]
        encoded = self._tokenizer([d.text for d in documents], truncation=True, max_length=self._max_length)
        rows = sorted(zip(documents, encoded.encodings, strict=True), key=lambda row: len(row[1].ids))
        batches: list[list[tuple[Document, Any]]] = [[]]
        for row in rows:
            if batches[-1] and (len(batches[-1]) + 1) * len(row[1].ids) > self._tokens:
                batches.append([])
            batches[-1].append(row)
        self._rng.shuffle(batches)
        return batches


def _tokens(encoding: Any, start: int, end: int) -> list[int]:
    """The tokens that spell something between two characters."""
    first, last = encoding.char_to_token(start), None
    while first is None and start < end:
        start += 1
        first = encoding.char_to_token(start)
    while last is None and end > start:
        end -= 1
        last = encoding.char_to_token(end)
    return [] if first is None or last is None else list(range(first, last + 1))


@torch.no_grad()
def _beginning(
    documents: Documents, shape: Shape, embeddings: Path | None, positions: int, seed: int
) -> tuple[Any, PreTrainedTokenizerFast]:
    """A new decoder and its tokenizer; words that mean the same start alike."""
    tokenizer = document_tokenizer(documents, shape, positions, seed)
    lm = new_decoder(shape, tokenizer, seed)
    align_embeddings(lm.model.embed_tokens.weight, documents.corpus.lexicon(), tokenizer, seed)
    if embeddings:
        take_embeddings(lm.model.embed_tokens.weight, tokenizer, embeddings)
    return lm, tokenizer


def pretrain(
    corpus: Corpus, shape: Shape, out: Path, *, steps: int, tokens: int, max_length: int, seed: int,
    embeddings: Path | None = None, start_from: Path | None = None, save_every: int = 500,
) -> dict[str, Any]:  # fmt: skip
    """Train a causal LM and save it with its tokenizer in `out`, at the end and every so many steps.

    With `start_from` the training goes on from a decoder made before, past what is easy. Weights are stored in half
    precision and read in single precision. Returns the parameters' number and the figures of the run: losses and
    accuracies on unseen documents, seconds.
    """
    documents = documents_of(corpus)
    lm: Any
    if start_from:
        torch.manual_seed(seed)
        tokenizer = AutoTokenizer.from_pretrained(**safely(str(start_from)))  # type: ignore[no-untyped-call]
        lm = AutoModelForCausalLM.from_pretrained(**safely(str(start_from)), use_safetensors=True, dtype=torch.float32)
    else:
        lm, tokenizer = _beginning(documents, shape, embeddings, max_length, seed)
    model = DecoderPretraining(lm, len(corpus.lexicon()))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=shape.learning_rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )
    warmup = max(1, min(200, steps // 10))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.02, (steps - step) / max(1, steps - warmup)))
    )
    batches = Batches(documents, tokenizer, tokens, max_length, seed)
    start = time.monotonic()
    for step in range(1, steps + 1):
        documents.advance(1.0 if start_from else step / steps)
        losses = model(**batches.next())
        optimizer.zero_grad(set_to_none=True)
        total = losses["lm"] + 2 * losses["answer"]
        total = total + sum(losses[name] * by for name, by in (("sense", 0.5), ("changed", 2)) if losses[name] > 0)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            shown = "  ".join(f"{name} {float(value.detach()):.3f}" for name, value in losses.items())
            say(f"step {step} of {steps}  {shown}  {time.monotonic() - start:.0f} s")
        if step % save_every == 0 or step == steps:
            _save(lm, tokenizer, out)
    figures = held_out(model, documents, tokenizer, tokens, max_length)
    parameters = sum(parameter.numel() for parameter in lm.parameters())
    return {"parameters": parameters, **figures, "seconds": round(time.monotonic() - start)}


def _save(lm: Any, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    halves = {name: parameter.half() for name, parameter in lm.named_parameters()}  # what is tied stands here once
    lm.save_pretrained(out, state_dict=halves, safe_serialization=True)
    tokenizer.save_pretrained(out)


@torch.no_grad()
def held_out(
    model: DecoderPretraining, documents: Documents, tokenizer: PreTrainedTokenizerFast, tokens: int, max_length: int
) -> dict[str, float]:
    """Mean losses and accuracies over fresh documents of the same corpus."""
    model.eval()
    batches = Batches(documents, tokenizer, tokens, max_length, seed=10**6)
    rows = [model(**batches.next()) for _ in range(20)]
    return {name: round(float(torch.stack([row[name] for row in rows]).nanmean()), 4) for name in rows[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m trainables.pretrain_decoder", description=__doc__.split("\n\n")[0])
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--embeddings", type=Path, help="an encoder, to begin with its word embeddings")
    begin.add_argument("--start-from", type=Path, help="a decoder made by this tool, to go on from")
    parser.add_argument("--size", choices=SHAPES, default="micro")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step")
    parser.add_argument("--max-length", type=int, default=224, help="tokens a document")
    given, corpus = read_arguments(parser, arguments)
    figures = pretrain(
        corpus, SHAPES[given.size], given.out, steps=given.steps, tokens=given.tokens, max_length=given.max_length,
        seed=given.seed, embeddings=given.embeddings, start_from=given.start_from,
    )  # fmt: skip
    record = {
        "command": f"python -m trainables.pretrain_decoder {'--suite mini' if given.suite else '--data-dir DIR'} "
        f"--size {given.size} --steps {given.steps} --tokens {given.tokens} --max-length {given.max_length} "
        f"--seed {given.seed}"
        + (" --embeddings DIR" if given.embeddings else "")
        + (" --start-from DIR" if given.start_from else ""),
        "shape": asdict(SHAPES[given.size]),
        "languages": list(corpus.languages),
        "embeddings": given.embeddings.name if given.embeddings else None,
        "start_from": build_of(given.start_from) if given.start_from else None,
        "stored": "float16",
        "figures": figures,
        "torch": torch.__version__,
    }
    write_record(given.out, record)


if __name__ == "__main__":
    main()
