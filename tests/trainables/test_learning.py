"""Learning really happens: English dev rises over epochs for every kind, and zero-shot beats the majority abroad."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from statistics import mean

import pytest

from trainables.answers import answer_scores
from trainables.bench import Bench, Workplace
from trainables.config import configs_dir, read_yaml
from trainables.data import DataSource
from trainables.fingerprint import MICRO
from trainables.mini.grammar import language_codes
from trainables.stage import Stage
from trainables.tasks import load_task

SUITE = read_yaml(configs_dir() / "suites" / "mini-full.yaml")["settings"]
ROWS, BATCH = 480, 16

KINDS = {  # a task of each kind, and the learning rate it is trained with
    "classification": ("mini-topic", 7e-4), "tagging": ("mini-tags", 7e-4), "span": ("mini-squad", 1e-3),
    "choice": ("mini-csqa", 7e-4), "masked_lm": ("mini-mlm", 3e-3),
}  # fmt: skip


def bench_of(folder, names, limit=None, model=MICRO):
    tasks = {name: load_task(name, "").model_copy(update={"train_languages": ["en"]}) for name in names}
    languages = {name: list(language_codes()) if name in SUITE_TARGETS else [] for name in names}
    return Bench(Workplace(
        str(folder), str(model), {name: task.model_dump(mode="json") for name, task in tasks.items()}, languages,
        limit=limit,
    ))  # fmt: skip


SUITE_TARGETS = read_yaml(configs_dir() / "suites" / "mini-full.yaml")["targets"]


def training(task, steps, learning_rate):
    """A stage of so many steps from the base model."""
    settings = {"learning_rate": learning_rate, "weight_decay": 0.01, "warmup": 10, "batch_size": BATCH}
    return Stage("train", None, (task,), ("d",), "m", "full", settings, steps, 0)


def scores(bench, target, trained):
    """The main figure of English dev (`dev`) and of each language's test set, after this stage or none."""
    if trained:
        bench.run(trained)
    score = Stage("score", trained and trained.key, (target,), ("d",), "m", "full")
    bench.run(score)
    rows = [row for row in bench.store.record(score.key)["scores"] if row["main"]]
    return {
        "dev" if r["portion"] == "dev" else r["language"]: r["value"] for r in rows if r["portion"] in ("dev", "test")
    }


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_english_dev_rises_over_three_epochs(kind, tmp_path, tiny_model):
    name, rate = KINDS[kind]
    # The shipped encoder has learned all it can of such text: only a new one learns more of it, and more slowly.
    model, rows = (tiny_model, 6 * ROWS) if kind == "masked_lm" else (MICRO, ROWS)
    bench = bench_of(tmp_path, [name], rows, model)
    epoch = rows // BATCH
    first, second, third = (training(name, steps, rate) for steps in (1, epoch, 3 * epoch))
    stages = (  # each goes on from the one before, as the budgets of a halving do
        replace(first, resumable=True),
        replace(second, resumable=True, resumes=first.key),
        replace(third, resumes=second.key),
    )
    after = [scores(bench, name, stage)["dev"] for stage in stages]
    assert after[0] < after[1] and (after[1] < after[2] or after[1] == 1), after


def majority(task, examples):
    """What always saying the same gives in a language: the most frequent label or tag, the whole passage, a guess."""
    match task.kind:
        case "classification":
            return Counter(e.label for e in examples).most_common(1)[0][1] / len(examples)
        case "tagging":
            return 0.0 if "O" in task.labels else _most_frequent_tag(examples)
        case "span":
            both = [answer_scores("squad", e.pair, [a.text for a in e.answers], e.lang) for e in examples]
            return mean((f1 + exact) / 2 for f1, exact in both)
        case _:
            return 1 / len(examples)


def _most_frequent_tag(examples):
    from trainables.metrics import span_f1

    tag = Counter(tag for e in examples for tag in e.tags).most_common(1)[0][0]
    gold = [list(e.tags) for e in examples]
    return span_f1("f1", gold, [[tag] * len(row) for row in gold]).value


@pytest.mark.parametrize("target", SUITE_TARGETS)
def test_zero_shot_beats_the_majority(target, tmp_path):
    task = load_task(target, "")
    own = SUITE["train"]["targets"].get(target, {})
    bench = bench_of(tmp_path, {target, task.trained_on or target})
    steps = own.get("steps", SUITE["train"]["target_steps"]) if task.trained_on else 0
    trained = training(task.trained_on, steps, SUITE["learning_rate"]["full"]) if steps else None
    found = scores(bench, target, trained)
    test = DataSource().load(task, "test")
    better = [code for code, rows in test.items() if code != "en" and found[code] > majority(task, rows)]
    assert len(better) >= 10, {code: (found[code], majority(task, rows)) for code, rows in test.items()}
