"""Train language adapters on unlabelled text: `python -m trainables.language_adapters --suite mini --out DIR`.

MAD-X (Pfeiffer et al., arXiv 2005.00052): a bottleneck adapter in every layer, and an invertible one around the word
embeddings, learn to guess masked words of one language. The encoder and its masked-LM head are frozen. Each language is
a folder in the format of the library `adapters`, which docs/language-adapters.md says how to use.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from adapters import SeqBnInvConfig
from torch.optim import AdamW

from trainables.batches import collate
from trainables.console import say
from trainables.corpus import FolderCorpus, Senses
from trainables.data import DataSource
from trainables.errors import Mistake, nearest
from trainables.evaluate import EvaluationSet, evaluate
from trainables.examples import Example
from trainables.families import FAMILIES, family_of, model_config
from trainables.fingerprint import model_path
from trainables.kinds.masked_lm import MaskedLM
from trainables.language_folder import LANGUAGE
from trainables.methods import method
from trainables.models import Encoder
from trainables.tasks import Task, load_task

Texts = Mapping[str, Sequence[str]]
"""Unlabelled text by language."""

HELD_OUT = 10
"""One text in so many is never trained on."""

MOST_HELD_OUT = 200
"""Texts that the accuracy is measured on at most."""


@dataclass(frozen=True)
class Training:
    """How an adapter is trained: texts a step (`batch`), tokens a text, the encoder's width by the adapter's."""

    steps: int = 300
    batch: int = 32
    learning_rate: float = 2e-3
    reduction: float = 2
    max_length: int = 96
    seed: int = 0


class FolderText(FolderCorpus):
    """The text of a data folder by language. Senses of words, which take time, are not looked for."""

    def _senses(self) -> Senses:
        return {}

    @property
    def texts(self) -> Texts:
        """Of training and validation files; none of a test set."""
        return {code: list(dict.fromkeys(self._plain[code])) for code in self.languages}


def mini_texts() -> Texts:
    """The mini suite's sentences of the training split."""
    source, task = DataSource(), load_task("mini-mlm", "--suite")
    found = source.load(task, "train", task.train_languages)
    return {code: [example.text for example in examples] for code, examples in found.items()}


def divided(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts to train on and texts held out, by a hash of the text: the same ones whatever else there is."""
    sides: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        sides[hashlib.sha256(f"held out {text}".encode()).digest()[0] % HELD_OUT == 0].append(text)
    return sides[0], sides[1][:MOST_HELD_OUT]


def make_adapter(
    model: Encoder, language: str, texts: Sequence[str], training: Training, where: str = "--languages"
) -> dict[str, Any]:
    """Train a language's adapter, which is on the model afterwards, and say how much better masked words of held-out
    texts are guessed with it than without. Mistake where there is too little text."""
    seen, held = divided(texts)
    if not seen or not held:
        raise Mistake(f"'{language}' has {len(texts)} texts: too few to train on and hold out", where=where)
    start = time.monotonic()
    kind, task = MaskedLM(), load_task("mini-mlm", "").model_copy(update={"max_length": training.max_length})
    examples = [Example(f"held out {place}", language, text=text) for place, text in enumerate(held)]
    features = kind.encode(task, examples, model.tokenizer, training.max_length)
    unseen = EvaluationSet("dev", language, examples, features)
    model.reset()
    before = _accuracy(model, task, unseen)
    # Each language's adapter depends on the seed and the language alone, not on those made before it.
    digest = hashlib.sha256(f"language adapter {training.seed} {language}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:4], "big"))
    model.attach({LANGUAGE: SeqBnInvConfig(reduction_factor=training.reduction)}, {}, "a language adapter")
    losses = _train(model, kind, task, language, seen, training)
    tenth = max(1, len(losses) // 10)
    return {
        "texts": len(seen), "held_out": len(held), "accuracy_before": before,
        "accuracy_after": _accuracy(model, task, unseen), "loss_first": round(sum(losses[:tenth]) / tenth, 4),
        "loss_last": round(sum(losses[-tenth:]) / tenth, 4), "seconds": round(time.monotonic() - start),
    }  # fmt: skip


def _train(
    model: Encoder, kind: MaskedLM, task: Task, language: str, texts: Sequence[str], training: Training
) -> list[float]:
    """The adapter's training; the loss of each step. The learning rate rises for a tenth of the steps, then falls."""
    head = kind.head(task, model)
    model.add_head(task.name, head)
    method("adapter").prepare(model, {})
    head.requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(parameters, lr=training.learning_rate, weight_decay=0.0)
    once = task.model_copy(update={"masked_lm": task.masked_lm.model_copy(update={"copies": 1})})
    pad, warmup = int(model.tokenizer.pad_token_id), max(1, training.steps // 10)
    stream = _stream(texts, random.Random(f"language text {training.seed} {language}"))
    losses = []
    for step in range(training.steps):
        for group in optimizer.param_groups:
            left = (training.steps - step) / max(1, training.steps - warmup)
            group["lr"] = training.learning_rate * min(1.0, (step + 1) / warmup, left)
        # Which words are masked is drawn from the example's id: other ones in every epoch.
        examples = [
            Example(f"{training.seed} {step} {place}", language, text=next(stream)) for place in range(training.batch)
        ]
        features = kind.encode(once, examples, model.tokenizer, training.max_length)
        batch = collate(task.name, features, pad, model.device)
        loss = kind.loss(head, model.states(batch.ids, batch.mask), batch.labels, features)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def _stream(texts: Sequence[str], rng: random.Random) -> Iterator[str]:
    while True:
        yield from rng.sample(texts, len(texts))


def _accuracy(model: Encoder, task: Task, part: EvaluationSet) -> float:
    """The share of masked words that are guessed with the base model's own head."""
    head = MaskedLM().head(task, model).to(model.device)
    rows, _ = evaluate(model, task, head, [part])
    return round(float(rows[0]["value"]), 4)


def save(model: Encoder, folder: Path, name: str) -> None:
    """Write the adapter that is on the model, in the library's format, its weights as safetensors.

    `name` is what the file calls the model, which else is a path on this machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.encoder.config.name_or_path = name
    model.encoder.save_adapter(str(folder), LANGUAGE, use_safetensors=True)


def _model(name: str, device: str) -> Encoder:
    path = model_path(name)
    config = model_config(path)
    family = family_of(config)
    if not family.modules or family.kind == "decoder":
        known = ", ".join(one.name for one in FAMILIES.values() if one.modules and one.kind == "encoder")
        what = f"{family.name} takes no language adapters: they need the library `adapters` and masked words"
        raise Mistake(what, where=f"--model {name}", right=f"a model of {known}")
    return Encoder(path, device)


def _chosen(texts: Texts, asked: str | None) -> list[str]:
    codes = [code.strip() for code in asked.split(",")] if asked else list(texts)
    for code in codes:
        if code not in texts:
            raise Mistake(f"there is no text in '{code}'", where="--languages", right=nearest(code, texts))
    return codes


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m trainables.language_adapters", description=__doc__.split("\n\n")[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--suite", choices=["mini"], help="train on the embedded suite's own text")
    source.add_argument("--data-dir", type=Path, help="train on a data folder's training and validation text")
    parser.add_argument("--model", default="micro", help="micro, a folder, or a hub id")
    parser.add_argument("--languages", help="codes with commas between (default: all that there is text in)")
    parser.add_argument("--out", type=Path, required=True, help="folder for one folder a language")
    usual = Training()
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--batch", type=int, default=usual.batch, help="texts a step")
    parser.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    parser.add_argument("--reduction", type=float, default=usual.reduction, help="the model's width by the adapter's")
    parser.add_argument("--max-length", type=int, default=usual.max_length, help="tokens a text")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's own)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    training = Training(
        given.steps, given.batch, given.learning_rate, given.reduction, given.max_length, given.seed
    )  # fmt: skip
    try:
        _make_all(given, training)
    except Mistake as mistake:
        parser.exit(2, f"{mistake}\n")


def _make_all(given: argparse.Namespace, training: Training) -> None:
    model = _model(given.model, given.device)
    if not 1 <= training.reduction <= model.width:
        right = f"1 to {model.width}, the model's width"
        raise Mistake(
            f"an adapter of reduction {training.reduction:g} has no width left", where="--reduction", right=right
        )
    texts = mini_texts() if given.suite else FolderText(given.data_dir).texts
    name = given.model if not Path(given.model).exists() else Path(given.model).name
    for language in _chosen(texts, given.languages):
        figures = make_adapter(model, language, texts[language], training)
        save(model, given.out / language, name)
        made = {**figures, **asdict(training), "model": name, "torch": torch.__version__}
        _record(given.out / "build.json", language, made)
        say(f"{language}  masked words guessed: {figures['accuracy_before']} → {figures['accuracy_after']}")


def _record(file: Path, language: str, made: Mapping[str, Any]) -> None:
    """How each adapter of the folder was made; those made before stay in it."""
    former = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**former, language: made}, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
