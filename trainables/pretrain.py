"""Pretrain a small multilingual encoder: `python -m trainables.pretrain --suite mini --size micro --out DIR`.

XLM-R's architecture and files, made from text at hand. Each step learns from sentence pairs in two languages:

- masked words of both (translation language modelling, arXiv 1901.07291);
- which words of the second say something else than the first (as translation replaced token detection, 2106.16138);
- the sense of each word, which its translations share;
- from `<s>` the relation of the two: a retelling, or what was changed.

Every few steps translations apart from each other are brought together against all others of the batch (InfoNCE on
mean-pooled states). Word embeddings start aligned through a bilingual lexicon.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase, XLMRobertaConfig, XLMRobertaForMaskedLM

from trainables.console import say
from trainables.corpus import Corpus, FolderCorpus, MiniCorpus, Pair
from trainables.errors import Mistake
from trainables.model_files import safely
from trainables.models import mean_pool
from trainables.tokenizer import train_tokenizer


@dataclass(frozen=True)
class Size:
    """Shape of an encoder: layers, width, inner (feed-forward) width, heads, vocabulary; and its learning rate."""

    layers: int
    width: int
    inner: int
    heads: int
    vocabulary: int
    learning_rate: float


SIZES = {
    "micro": Size(3, 128, 256, 4, 7000, 1e-3),
    "mini": Size(4, 256, 1024, 4, 16000, 5e-4),
    "small": Size(6, 384, 1536, 6, 32000, 4e-4),
}


TRANSLATIONS_EVERY = 4
"""Steps between two that learn from translations apart from each other: that is learned soonest."""


SENSE_TEMPERATURE = 0.1
"""The lower, the closer together words of one sense have to lie."""


class Pretraining(nn.Module):
    """A masked LM with a head that names the relation of a sentence pair; only the masked LM is kept afterwards."""

    def __init__(self, mlm: XLMRobertaForMaskedLM, relations: int, senses: int) -> None:
        super().__init__()
        config = mlm.config
        self.mlm = mlm
        self.senses = nn.Parameter(torch.randn(senses, config.hidden_size))
        self.changed = nn.Linear(config.hidden_size, 1)
        self.relation = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size), nn.Tanh(), nn.Linear(config.hidden_size, relations)
        )

    def forward(
        self,
        pairs: BatchEncoding,
        labels: Tensor,
        relations: Tensor,
        changed: Tensor,
        senses: Tensor,
        texts: BatchEncoding | None = None,
    ) -> dict[str, Tensor]:
        """The losses of a step; `texts`, if any, holds the first sides of all translations, then the second sides."""
        states = self.mlm.roberta(**pairs).last_hidden_state
        masked = labels != -100
        guess = self.relation(states[:, 0])
        told = changed != -100
        logits = self.changed(states[told]).squeeze(-1)
        losses = {
            "mlm": F.cross_entropy(self.mlm.lm_head(states[masked]), labels[masked]),
            "relation": F.cross_entropy(guess, relations),
            "sense": F.cross_entropy(self._sense(states[senses != -100]), senses[senses != -100]),
            "changed": F.binary_cross_entropy_with_logits(logits, changed[told].float()),
            "relation_accuracy": (guess.argmax(-1) == relations).float().mean(),
        }
        return losses if texts is None else {**losses, **self._translation(texts)}

    def _sense(self, states: Tensor) -> Tensor:
        """Scores of the senses by the cosine of a state to each: words of one sense then come to lie together.

        A linear layer would be content where their states are on the same side of a plane, and a tagger that is trained
        on English cuts such a half-space elsewhere.
        """
        return F.normalize(states, dim=-1) @ F.normalize(self.senses, dim=-1).T / SENSE_TEMPERATURE

    def _translation(self, texts: BatchEncoding) -> dict[str, Tensor]:
        sides = mean_pool(self.mlm.roberta(**texts).last_hidden_state, texts["attention_mask"]).chunk(2)
        first, second = (F.normalize(side, dim=-1) for side in sides)
        similarity = first @ second.T / 0.05
        target = torch.arange(len(first))
        return {
            "translation": (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2,
            "translation_accuracy": (similarity.argmax(-1) == target).float().mean(),
        }


class Batches:
    """Endless batches of a corpus; a function of the seed alone."""

    def __init__(
        self, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, size: int, max_length: int, seed: int
    ) -> None:
        self._corpus, self._tokenizer, self._size, self._max_length = corpus, tokenizer, size, max_length
        self._rng = random.Random(f"pretrain {seed}")
        self._torch_rng = torch.Generator().manual_seed(seed)
        self._count = 0
        self._senses = {sense: number for number, sense in enumerate(corpus.lexicon())}
        self._waiting: list[tuple[list[Pair], list[tuple[str, str]]]] = []

    def next(self) -> dict[str, Any]:
        """Keyword arguments of `Pretraining.forward`."""
        if not self._waiting:
            self._waiting = self._draw()
        pairs, translations = self._waiting.pop()
        encoded = self._encode([pair.first for pair in pairs], [pair.second for pair in pairs])
        changed, senses = self._word_labels(encoded, pairs)
        labels = self._mask(encoded["input_ids"])
        relations = torch.tensor([self._corpus.relations.index(pair.relation) for pair in pairs])
        batch = {"pairs": encoded, "labels": labels, "relations": relations, "changed": changed, "senses": senses}
        self._count += 1
        if self._count % TRANSLATIONS_EVERY == 0:
            batch["texts"] = self._encode([t[0] for t in translations] + [t[1] for t in translations])
        return batch

    def _draw(self, pool: int = 8) -> list[tuple[list[Pair], list[tuple[str, str]]]]:
        """Several batches at once, each of texts of like length: padding would double the work."""
        corpus, rng, count = self._corpus, self._rng, pool * self._size
        pairs = sorted((corpus.pair(rng) for _ in range(count)), key=lambda pair: len(pair.first) + len(pair.second))
        translations = sorted((corpus.translation(rng) for _ in range(count)), key=lambda t: max(map(len, t)))
        cuts = [slice(at, at + self._size) for at in range(0, count, self._size)]
        batches = [(pairs[cut], translations[cut]) for cut in cuts]
        rng.shuffle(batches)
        return batches

    def _encode(self, first: Sequence[str], second: Sequence[str] | None = None) -> BatchEncoding:
        encoded: BatchEncoding = self._tokenizer(
            list(first), list(second) if second else None, padding=True, truncation="longest_first",
            max_length=self._max_length, return_tensors="pt", return_offsets_mapping=bool(second),
        )  # fmt: skip
        return encoded

    def _word_labels(self, encoded: BatchEncoding, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        """For each token: whether it says something else than the first text (1, 0; -100 outside the second), and the
        number of its word's sense (-100 where it is not known)."""
        offsets = encoded.pop("offset_mapping").tolist()
        changed, senses = torch.full(encoded["input_ids"].shape, -100), torch.full(encoded["input_ids"].shape, -100)
        for number, pair in enumerate(pairs):
            for place, side in enumerate(encoded.sequence_ids(number)):
                if side is None:
                    continue
                start, end = offsets[number][place]
                if side == 1:
                    changed[number, place] = int(any(start < e and s < end for s, e in pair.changed))
                for s, e, sense in pair.second_senses if side else pair.first_senses:
                    if start < e and s < end:
                        senses[number, place] = self._senses[sense]
        return changed, senses

    def _mask(self, ids: Tensor, share: float = 0.12) -> Tensor:
        """Mask a share of the tokens in place (80 % `<mask>`, 10 % another, 10 % kept); the labels, -100 elsewhere."""
        tokenizer = self._tokenizer
        special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
        draw = torch.rand(ids.shape, generator=self._torch_rng)
        chosen = (draw < share) & ~special
        chosen[0, 1] = True  # at least one token, so that the loss is a number
        labels = torch.where(chosen, ids, -100)
        how = torch.rand(ids.shape, generator=self._torch_rng)
        ids[chosen & (how < 0.8)] = tokenizer.mask_token_id
        other = torch.randint(5, len(tokenizer) - 1, ids.shape, generator=self._torch_rng)
        swapped = chosen & (how >= 0.8) & (how < 0.9)
        ids[swapped] = other[swapped]
        return labels


def align_embeddings(
    embeddings: Tensor, lexicon: dict[str, list[str]], tokenizer: PreTrainedTokenizerBase, seed: int
) -> None:
    """Start the pieces of words that mean the same from one shared vector each (mean over the words they occur in)."""
    generator = torch.Generator().manual_seed(seed)
    scale = float(embeddings[5:].std())
    total, count = torch.zeros_like(embeddings), torch.zeros(len(embeddings), 1)
    for words in lexicon.values():
        shared = torch.randn(embeddings.shape[1], generator=generator) * scale
        for word in words:
            pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
            # A piece of a long word says little of its meaning; a whole word says it all.
            total[pieces] += shared / len(pieces)
            count[pieces] += 1 / len(pieces)
    known = count.squeeze(1) > 0
    mixed = total[known] / count[known].clamp(min=1)
    embeddings[known] = 0.85 * mixed + 0.5 * embeddings[known]


def match_alike(model: XLMRobertaForMaskedLM) -> None:
    """Start half of the heads with equal query and key projections, so that words that are alike attend to each other.

    With embeddings that start aligned, a word thus finds its translation from the first step; attention that starts
    uniform stays so for thousands of steps at this width.
    """
    layers: Any = model.roberta.encoder.layer
    for layer in layers:
        attention = layer.attention.self
        half = attention.all_head_size // 2
        attention.key.weight[:half] = attention.query.weight[:half]


def new_encoder(size: Size, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, seed: int) -> XLMRobertaForMaskedLM:
    """A masked LM that has learned nothing but starts well: see `align_embeddings` and `match_alike`."""
    config = XLMRobertaConfig(  # type: ignore[no-untyped-call]
        vocab_size=len(tokenizer), hidden_size=size.width, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, intermediate_size=size.inner, max_position_embeddings=514,
        type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5,
        initializer_range=size.width**-0.5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    mlm = XLMRobertaForMaskedLM(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        align_embeddings(mlm.roberta.embeddings.word_embeddings.weight, corpus.lexicon(), tokenizer, seed)
        match_alike(mlm)
    return mlm


def pretrain(
    corpus: Corpus, size: Size, out: Path, *, steps: int, batch: int, max_length: int, seed: int,
    start_from: Path | None = None, save_every: int = 2000,
) -> dict[str, Any]:  # fmt: skip
    """Train a masked LM with its tokenizer and save both in `out`, at the end and every so many steps.

    With `start_from` the training goes on from an encoder made before, with its tokenizer and past what is easy.
    Returns the parameters' number and the figures of the run: losses and accuracies on unseen pairs, seconds.
    """
    torch.manual_seed(seed)
    if start_from:
        tokenizer = AutoTokenizer.from_pretrained(**safely(str(start_from)))  # type: ignore[no-untyped-call]
        mlm = XLMRobertaForMaskedLM.from_pretrained(
            **safely(str(start_from)), use_safetensors=True, dtype=torch.float32
        )
    else:
        tokenizer = train_tokenizer(corpus.sentences(random.Random(f"tokenizer {seed}"), 30_000), size.vocabulary)
        mlm = new_encoder(size, corpus, tokenizer, seed)
    model = Pretraining(mlm, len(corpus.relations), len(corpus.lexicon()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.learning_rate, weight_decay=0.01, fused=True)
    warmup = max(1, min(500, steps // 10))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.02, (steps - step) / max(1, steps - warmup)))
    )
    batches = Batches(corpus, tokenizer, batch, max_length, seed)
    start = time.monotonic()
    for step in range(1, steps + 1):
        corpus.advance(1.0 if start_from else step / steps)
        losses = model(**batches.next())
        optimizer.zero_grad(set_to_none=True)
        total = losses["mlm"] + losses["sense"] + 2 * losses["relation"] + 4 * losses["changed"]
        total = total + losses.get("translation", 0.0)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps:
            shown = "  ".join(f"{name} {float(value.detach()):.3f}" for name, value in losses.items())
            say(f"step {step} of {steps}  {shown}  {time.monotonic() - start:.0f} s")
        if step % save_every == 0 or step == steps:
            model.mlm.save_pretrained(out, safe_serialization=True)
            tokenizer.save_pretrained(out)
    figures = held_out(model, corpus, tokenizer, batch, max_length)
    parameters = sum(parameter.numel() for parameter in model.mlm.parameters())
    return {"parameters": parameters, **figures, "seconds": round(time.monotonic() - start)}


@torch.no_grad()
def held_out(
    model: Pretraining, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, batch: int, max_length: int
) -> dict[str, float]:
    """Mean losses and accuracies over fresh pairs of the same corpus."""
    model.eval()
    batches = Batches(corpus, tokenizer, batch, max_length, seed=10**6)
    rows = [model(**batches.next()) for _ in range(20)]
    return {name: round(float(torch.stack([row[name] for row in rows if name in row]).mean()), 4) for name in rows[-1]}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m trainables.pretrain", description=__doc__.split("\n\n")[0])
    parser.add_argument("--start-from", type=Path, help="an encoder made by this tool, to go on from")
    parser.add_argument("--size", choices=SIZES, default="micro")
    parser.add_argument("--steps", type=int, default=16000)
    parser.add_argument("--batch", type=int, default=64, help="sentence pairs a step")
    parser.add_argument("--max-length", type=int, default=96, help="tokens a pair")
    given, corpus = read_arguments(parser, arguments)
    figures = pretrain(
        corpus, SIZES[given.size], given.out,
        steps=given.steps, batch=given.batch, max_length=given.max_length, seed=given.seed,
        start_from=given.start_from,
    )  # fmt: skip
    record = {
        "command": f"python -m trainables.pretrain {'--suite mini' if given.suite else '--data-dir DIR'} --size "
        f"{given.size} --steps {given.steps} --batch {given.batch} --max-length {given.max_length} --seed {given.seed}"
        + (" --start-from DIR" if given.start_from else ""),
        "size": asdict(SIZES[given.size]),
        "languages": list(corpus.languages),
        "start_from": build_of(given.start_from) if given.start_from else None,
        "figures": figures,
        "torch": torch.__version__,
    }
    write_record(given.out, record)


def read_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, Corpus]:
    """The arguments of a pretraining tool, those that all have among them, and the corpus that they name."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--suite", choices=["mini"], help="pretrain on the embedded suite's own text")
    source.add_argument("--data-dir", type=Path, help="pretrain on a data folder's training and validation text")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's own)")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        corpus: Corpus = MiniCorpus() if given.suite else FolderCorpus(given.data_dir)
    except Mistake as mistake:
        parser.exit(2, f"{mistake}\n")
    say(f"{len(corpus.languages)} languages: {' '.join(corpus.languages)}")
    return given, corpus


def write_record(out: Path, record: dict[str, Any]) -> None:
    """How a model was made, beside it."""
    (out / "build.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    say(json.dumps(record["figures"]))


def build_of(folder: Path) -> Any:
    """How an earlier model was made, as far as it is known."""
    file = folder / "build.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else folder.name


if __name__ == "__main__":
    main()
