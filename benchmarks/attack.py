"""How fast are attacks in lock-step, against TextAttack's own `Attacker`? Both in one call, on the same examples.

    OMP_NUM_THREADS=1 python -m benchmarks.attack [--examples 40] [--device cuda] [--only a,b,c,d] [--record]

The recipe is TextAttack's own deterministic parts: homoglyphs, neighbouring letters, QWERTY and deletion, words ranked
by `unk`, RepeatModification, StopwordModification, Levenshtein distance; the examples are the mini suite's English
NLI, premise and hypothesis.

a. Python time a query outside the victim, with a cheap victim (ridge regression on character n-grams).
b. End to end with the micro encoder fine-tuned on the mini suite's English NLI: the first model, and the second, whose
   candidates are stored. Results are compared with the stock ones.
c. The same against stock with its own HuggingFaceModelWrapper, which pads to 512 tokens.
d. A victim of the shape of XLM-R base: a random trunk and a head fitted on its states (so that it gives in).

On a CPU times are the process's CPU time on one thread, else wall time; with `--device cuda` also TextAttack's own
parallel mode (`--workers` processes), and `--bf16` for mixed precision.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import random
import sys
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaForSequenceClassification
from transformers.utils import logging as transformers_logging

from benchmarks.results import record
from perturb.attacker import attack
from perturb.candidates import CandidateStore
from perturb.offline import environment, textattack
from perturb.victim import Victim
from trainables.mini.generate import examples as generated

ta = textattack()

MICRO = Path(__file__).parents[1] / "trainables" / "micro"
LABELS = ("entailment", "neutral", "contradiction")
GRAMS = 2048
HELD_OUT = 1000
"""Training examples that are kept for attacks, where more are asked for than the test set has."""


class Timed:
    """A victim and the seconds spent in it."""

    def __init__(self, victim: Any, clock: Callable[[], float]) -> None:
        self.victim, self.clock, self.model = victim, clock, victim.model
        self.seconds, self.calls, self.queries = 0.0, 0, 0

    def __call__(self, inputs: Sequence[Any]) -> Any:
        began = self.clock()
        rows = self.victim(inputs)
        self.seconds += self.clock() - began
        self.calls, self.queries = self.calls + 1, self.queries + len(inputs)
        return rows


class Run(NamedTuple):
    """One side: what became of the examples, and what it took."""

    results: list[Any]
    seconds: float
    inside: float
    calls: int
    queries: int

    @property
    def python(self) -> float:
        """Seconds a query outside the victim."""
        return (self.seconds - self.inside) / self.queries

    @property
    def each(self) -> float:
        """Seconds a query in all."""
        return self.seconds / self.queries


class Grams:
    """Ridge regression of the label on hashed character n-grams, text by text."""

    def __init__(self, rows: list[Any]) -> None:
        self.model = self
        known = np.stack([self._features((row.text, row.pair)) for row in rows])
        gold = np.eye(3)[[LABELS.index(row.label) for row in rows]]
        self._weights = np.linalg.solve(known.T @ known + 10 * np.eye(GRAMS), known.T @ gold)

    def __call__(self, inputs: Sequence[Any]) -> torch.Tensor:
        return torch.from_numpy(np.stack([8 * (self._features(one) @ self._weights) for one in inputs]))

    def _features(self, texts: tuple[str, ...]) -> np.ndarray:
        found = np.zeros(GRAMS)
        for side, text in enumerate(texts):
            for n in (3, 4):
                for i in range(len(text) - n + 1):
                    found[zlib.crc32(f"{side}{text[i : i + n]}".encode()) % GRAMS] = 1
        return found


class Classifier:
    """A Hugging Face model as our victim takes it; a class, so that TextAttack's workers can be sent it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    def encode(self, inputs: list[Any]) -> list[list[int]]:
        """Token ids of pairs."""
        found: list[list[int]] = self.tokenizer(inputs, truncation=True, max_length=512)["input_ids"]
        return found

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return logits

    def victim(self, device: str, bf16: bool = False) -> Victim:
        """A victim that remembers nothing yet."""
        self.model.to(device)
        dtype = torch.bfloat16 if bf16 else None
        return Victim(self.encode, self.forward, device=device, dtype=dtype)


def build(victim: Any, budget: float = float("inf")) -> Any:
    """The recipe, for stock and for ours."""
    names = "HomoglyphSwap", "NeighboringCharacterSwap", "QWERTY", "RandomCharacterDeletion"
    swaps = [getattr(ta.transformations, f"WordSwap{name}")(random_one=False) for name in names]
    before = ta.constraints.pre_transformation
    constraints = [before.RepeatModification(), before.StopwordModification()]
    constraints.append(ta.constraints.overlap.LevenshteinEditDistance(30))
    goal = ta.goal_functions.UntargetedClassification(victim, query_budget=budget)
    search = ta.search_methods.GreedyWordSwapWIR(wir_method="unk")
    return ta.Attack(goal, constraints, ta.transformations.CompositeTransformation(swaps), search)


def texts_of(rows: list[Any]) -> list[tuple[str, OrderedDict[str, str], int]]:
    """Examples as attacks take them."""
    return [(row.id, OrderedDict(premise=row.text, hypothesis=row.pair), LABELS.index(str(row.label))) for row in rows]


class Bench:
    """Runs either side on a victim."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.clock = time.process_time if device == "cpu" else time.perf_counter

    def stock(self, victim: Any, rows: list[Any], budget: float = float("inf"), **arguments: Any) -> Run:
        """TextAttack's `Attacker`, silent. Its parallel mode times no victim."""
        timed = Timed(victim, self.clock)
        parallel = bool(arguments.get("parallel"))
        made = build(victim if parallel else timed, budget)
        pairs = [(tuple(text.values()), label) for _, text, label in texts_of(rows)]
        data = ta.datasets.Dataset(pairs, input_columns=["premise", "hypothesis"])
        settings = ta.AttackArgs(num_examples=-1, silent=True, disable_stdout=True, **arguments)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            began = self.clock()
            results = ta.Attacker(made, data, settings).attack_dataset()
            seconds = self.clock() - began
        ta.shared.logger.setLevel(logging.ERROR)  # `Attacker` leaves it at INFO
        return Run(list(results), seconds, timed.seconds, timed.calls, sum(one.num_queries for one in results))

    def ours(
        self, victim: Any, rows: list[Any], store: CandidateStore | None = None, budget: float = float("inf")
    ) -> Run:
        """Ours."""
        timed = Timed(victim, self.clock)
        began = self.clock()
        results = attack(lambda: build(timed, budget), texts_of(rows), store=store, recipe="bench")
        seconds = self.clock() - began
        return Run(results, seconds, timed.seconds, timed.calls, sum(one.num_queries for one in results))


def differences(ours: Run, stock: Run) -> str:
    """How many examples ended otherwise, and how far apart their scores are at most."""
    pairs = list(zip(ours.results, stock.results, strict=True))
    apart = [abs(one.perturbed_result.score - two.perturbed_result.score) for one, two in pairs]
    other = [far for far, (one, two) in zip(apart, pairs, strict=True) if _told(one) != _told(two)]
    kinds = [type(two).__name__ for _, two in pairs]
    won, tried = kinds.count("SuccessfulAttackResult"), len(kinds) - kinds.count("SkippedAttackResult")
    return (
        f"{len(other)} of {len(pairs)} examples end otherwise than stock (scores up to {max(other, default=0.0):.1e} "
        f"apart, of all {max(apart, default=0.0):.1e}); {won} of {tried} attacked ones give in"
    )


def _told(result: Any) -> tuple[Any, ...]:
    return result.perturbed_text(), result.num_queries, type(result)


def trained(rows: list[Any], steps: int) -> Classifier:
    """The micro encoder, fine-tuned on English NLI."""
    torch.manual_seed(0)
    model = XLMRobertaForSequenceClassification.from_pretrained(MICRO, num_labels=3, dtype=torch.float32)
    found, rng = Classifier(model, AutoTokenizer.from_pretrained(MICRO)), random.Random("train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    model.train()
    for step in range(steps):
        batch = rng.sample(rows, 32)
        inputs = found.tokenizer([(row.text, row.pair) for row in batch], padding=True, return_tensors="pt")
        labels = torch.tensor([LABELS.index(row.label) for row in batch])
        for group in optimizer.param_groups:
            group["lr"] = 5e-4 * min(1, (step + 1) / 20) * (1 - step / steps)
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    return found


def base_shaped(rows: list[Any], device: str) -> Classifier:
    """XLM-R base's shape with random weights, and a head fitted (ridge) on its first token's states."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=514, type_vocab_size=1, num_labels=3, bos_token_id=0,
        pad_token_id=1, eos_token_id=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    found = Classifier(XLMRobertaForSequenceClassification(config), tokenizer)
    trunk, head = found.model.roberta, found.model.classifier

    def states(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.tanh(head.dense(trunk(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]))

    found.model.to(device)
    seen = Victim(found.encode, states, device=device)([(row.text, row.pair) for row in rows]).double()
    middle, spread = seen.mean(0), seen.std(0) + 1e-9
    scaled = (seen - middle) / spread
    gold = torch.eye(3, dtype=torch.float64)[[LABELS.index(row.label) for row in rows]] - 1 / 3
    weights = torch.linalg.solve(scaled.T @ scaled + 10 * torch.eye(scaled.shape[1]), scaled.T @ gold).T / spread
    with torch.no_grad():
        head.out_proj.weight.copy_(8 * weights)
        head.out_proj.bias.copy_(-8 * weights @ middle)
    return found


def part_a(bench: Bench, train: list[Any], test: list[Any], _: argparse.Namespace) -> list[str]:
    """Python time outside a cheap victim."""
    victim, store = Grams(train[:1500]), CandidateStore()
    stock = bench.stock(victim, test)
    first, second = bench.ours(victim, test, store), bench.ours(victim, test, store)
    return [
        f"- a. Python time a query outside the victim, {stock.queries:,} queries: stock {1e3 * stock.python:.3f} ms, "
        f"ours {1e3 * first.python:.3f} ms ({first.python / stock.python:.2f} of it), with stored candidates "
        f"{1e3 * second.python:.3f} ms ({second.python / stock.python:.2f})",
        f"    {differences(first, stock)}; second model: {differences(second, stock).split(' (')[0]}",
    ]


def part_b(bench: Bench, train: list[Any], test: list[Any], flags: argparse.Namespace) -> list[str]:
    """The micro encoder, end to end."""
    model, store = flags.micro(), CandidateStore()
    fresh = partial(model.victim, bench.device, flags.bf16)
    stock = bench.stock(fresh(), test)
    first, second = bench.ours(fresh(), test, store), bench.ours(fresh(), test, store)
    lines = [
        f"- b. micro encoder, {stock.queries:,} queries: stock {stock.seconds:.1f} s ({stock.inside:.1f} in the "
        f"victim, {stock.queries / stock.calls:.0f} texts a call), ours {first.seconds:.1f} s ({first.inside:.1f}, "
        f"{first.queries / first.calls:.0f}): {stock.seconds / first.seconds:.2f}×; second model "
        f"{second.seconds:.1f} s: {stock.seconds / second.seconds:.2f}×",
        f"    {differences(first, stock)}",
    ]
    return lines + _parallel(bench, fresh, test, first, flags)


def part_c(bench: Bench, train: list[Any], test: list[Any], flags: argparse.Namespace) -> list[str]:
    """Stock with its own wrapper."""
    model, few = flags.micro(), test[: max(2, len(test) // 10)]
    model.model.to(bench.device)
    stock = bench.stock(ta.models.wrappers.HuggingFaceModelWrapper(model.model, model.tokenizer), few)
    ours = bench.ours(model.victim(bench.device, flags.bf16), few)
    return [
        f"- c. stock with HuggingFaceModelWrapper, {len(few)} examples, {stock.queries:,} queries: "
        f"{1e3 * stock.each:.2f} ms a query; ours {1e3 * ours.each:.2f} ms: {stock.each / ours.each:.1f}×",
        f"    {differences(ours, stock)}",
    ]


def part_d(bench: Bench, train: list[Any], test: list[Any], flags: argparse.Namespace) -> list[str]:
    """XLM-R base's shape."""
    gpu = bench.device != "cpu"
    rows, budget = (test, float("inf")) if gpu else (test[: flags.base_examples], 60)
    model = base_shaped(train[: 1500 if gpu else 160], bench.device)
    fresh = partial(model.victim, bench.device, flags.bf16)
    if gpu:
        bench.ours(fresh(), rows[:2])  # warm up
    ours, stock = bench.ours(fresh(), rows, None, budget), bench.stock(fresh(), rows, budget)
    lines = [
        f"- d. XLM-R base's shape, {len(rows)} examples, budget {budget}, {stock.queries:,} queries: stock "
        f"{1e3 * stock.each:.1f} ms a query ({stock.inside / stock.seconds:.0%} in the victim, "
        f"{stock.queries / stock.calls:.0f} texts a call), ours {1e3 * ours.each:.1f} ms "
        f"({ours.inside / ours.seconds:.0%}, {ours.queries / ours.calls:.0f}): {stock.each / ours.each:.2f}×",
        f"    {differences(ours, stock)}",
    ]
    return lines + _parallel(bench, fresh, rows, ours, flags)


def _parallel(
    bench: Bench, fresh: Callable[[], Victim], rows: list[Any], ours: Run, flags: argparse.Namespace
) -> list[str]:
    """TextAttack's own parallel mode, which it has on GPUs alone; its workers' start is counted, as it would be."""
    if bench.device == "cpu":
        return []
    with mock.patch.dict(os.environ, environment()):
        stock = bench.stock(fresh(), rows, parallel=True, num_workers_per_device=flags.workers)
    return [f"    stock with {flags.workers} workers {stock.seconds:.1f} s: ours {stock.seconds / ours.seconds:.2f}×"]


PARTS = {"a": part_a, "b": part_b, "c": part_c, "d": part_d}


def main(arguments: list[str]) -> None:
    """Print, and record where asked, the figures of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--examples", type=int, default=100, help="attacked in parts a and b, and on a GPU in d")
    parser.add_argument("--base-examples", type=int, default=10, help="attacked in part d on a CPU")
    parser.add_argument("--steps", type=int, default=250, help="of fine-tuning the micro encoder")
    parser.add_argument("--workers", type=int, default=4, help="of TextAttack's parallel mode")
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    parser.add_argument("--only", default="a,b,c,d", help="parts, with commas")
    parser.add_argument("--record", action="store_true", help="append to RESULTS.md")
    flags = parser.parse_args(arguments)
    if unknown := set(flags.only.split(",")) - PARTS.keys():
        parser.error(f"--only: there is no part {', '.join(sorted(unknown))}")
    if flags.device == "cpu":
        torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    train = generated("nli", "train", "en")
    held_out = [*generated("nli", "test", "en"), *generated("nli", "dev", "en"), *train[-HELD_OUT:]]
    train, test = train[:-HELD_OUT], held_out[: flags.examples]
    models: list[Classifier] = []

    def micro() -> Classifier:
        if not models:
            models.append(trained(train, flags.steps))
        return models[0]

    flags.micro = micro
    lines = []
    for part in flags.only.split(","):
        told = PARTS[part](Bench(flags.device), train, test, flags)
        sys.stdout.write("\n".join(told) + "\n")
        sys.stdout.flush()
        lines += told
    if flags.record:
        record("attacks in lock-step", lines, f"python -m benchmarks.attack {' '.join(arguments)}".strip())


if __name__ == "__main__":
    main(sys.argv[1:])
