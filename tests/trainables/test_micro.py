"""The shipped encoder: its size, its spelling, and that zero-shot transfer is real."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
import torch

from trainables.bench import Bench, Workplace
from trainables.config import configs_dir, read_yaml
from trainables.fingerprint import MICRO
from trainables.methods.settings import MethodSettings, scalars
from trainables.mini.grammar import language_codes
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task

TASKS = ("mini-nli", "mini-xnli", "mini-pos", "mini-tatoeba")
SUITE = read_yaml(configs_dir() / "suites" / "mini.yaml")["settings"]
SETTINGS = {
    "learning_rate": SUITE["learning_rate"]["full"],
    **scalars(MethodSettings.model_validate(SUITE["methods"]), "full"),
    **{k: SUITE["train"][k] for k in ("weight_decay", "warmup", "batch_size")},
}
STEPS = SUITE["train"]["target_steps"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    tasks = {name: load_task(name, "").model_dump(mode="json") for name in TASKS}
    store = str(tmp_path_factory.mktemp("store"))
    return Bench(Workplace(store, str(MICRO), tasks, {name: list(language_codes()) for name in TASKS}))


def accuracy(bench: Bench, target: str, trained_on: str | None) -> tuple[float | None, dict[str, float]]:
    """English dev and test by language of a target at the default budget."""
    parent = None
    if trained_on:
        train = Stage("train", None, (trained_on,), ("d",), "m", "full", SETTINGS, STEPS, 0)
        bench.run(train)
        parent = train.key
    score = Stage("score", parent, (target,), ("d",), "m", "full")
    bench.run(score)
    rows = (bench.store.record(score.key) or {})["scores"]
    first = rows[0]["metric"]
    dev = next((row["value"] for row in rows if row["portion"] == "dev" and row["metric"] == first), None)
    return dev, {r["language"]: r["value"] for r in rows if r["portion"] == "test" and r["metric"] == first}


def test_inference_transfers(bench: Bench) -> None:
    dev, test = accuracy(bench, "mini-xnli", "mini-nli")
    others = {code: value for code, value in test.items() if code != "en"}
    assert dev is not None and dev >= 0.75
    assert mean(others.values()) >= 0.65
    assert min(others.values()) >= 0.50, others


def test_tagging_transfers(bench: Bench) -> None:
    _, test = accuracy(bench, "mini-pos", "mini-pos")
    assert mean(test.values()) >= 0.80


def test_retrieval_works_untrained(bench: Bench) -> None:
    _, test = accuracy(bench, "mini-tatoeba", None)
    assert mean(test.values()) >= 0.70


def test_it_is_small() -> None:
    assert (MICRO / "model.safetensors").stat().st_size <= 8_000_000
    assert not [path for path in Path(MICRO).iterdir() if path.suffix in (".bin", ".pkl", ".pt")]


def test_it_spells_any_text() -> None:
    tokenizer = Encoder(str(MICRO)).tokenizer
    for text in ("Ａnnaaa did nto buyy", "ผู้ซื้อ", "नमस्तेे", "\U0001f600 ꙮ ⴰⵎⴰⵣⵉⵖ", "Ελληνικά", "한국어 日本語 ქართული"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids, text
    assert torch.tensor(ids).max() < len(tokenizer)
