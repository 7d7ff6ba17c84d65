"""The bench: stages through the store equal stages kept in memory, and nothing is made twice."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load

from trainables import bench as bench_module
from trainables.attempts import Attempts
from trainables.bench import PREDICTIONS, WEIGHTS, Bench, Workplace
from trainables.data import DataSource
from trainables.examples import in_search_half
from trainables.failures import Diverged, MissingParent
from trainables.stage import STATE, Stage
from trainables.store import Store
from trainables.tasks import load_task

TASKS = ("mini-nli", "mini-pos", "mini-topic", "mini-xnli", "mini-tatoeba")
LANGUAGES = ["en", "de", "ru"]
SETTINGS = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01}
LIMIT = 40


def workplace(folder, model):
    return Workplace(
        store=str(folder / "store"),
        model=model,
        tasks={name: load_task(name, "--tasks").model_dump(mode="json") for name in TASKS},
        languages=dict.fromkeys(TASKS, LANGUAGES),
        limit=LIMIT,
    )


@pytest.fixture
def place(tmp_path, tiny_model):
    return workplace(tmp_path, tiny_model)


def stage(kind, task, parent=None, method="full", seed=0, **settings):
    changed = {**SETTINGS, **settings} if kind == "train" else {}
    tasks = tuple(task.split("+"))
    steps = 4 if kind == "train" else 0
    key = parent.key if parent else None
    return Stage(kind, key, tasks, ("0" * 16,) * len(tasks), "tiny", method, changed, steps, seed if changed else None)


def chain(method="full"):
    """Three stages of training, each from the one before: topic, then two tasks together, then the target's own."""
    first = stage("train", "mini-topic", method=method)
    second = stage("train", "mini-nli+mini-pos", first, method)
    return [first, second, stage("train", "mini-nli", second, method)]


def weights(place, one):
    return load(Store(place.store).blob(one.key, WEIGHTS))


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def run_all(place, stages, **settings):
    bench = Bench(place, **settings)
    return [bench.run(one) for one in stages]


@pytest.mark.parametrize("method", ["full", "probe"])
def test_a_chain_in_one_bench_equals_three_benches(place, tmp_path, method):
    stages = chain(method)
    together = run_all(place, stages)
    apart = replace(place, store=str(tmp_path / "apart"))
    alone = [Bench(apart).run(one) for one in stages]
    assert [outcome.parent for outcome in together] == ["base", "memory", "memory"]
    assert [outcome.parent for outcome in alone] == ["base", "store", "store"]
    for one in stages:
        assert same(weights(place, one), weights(apart, one))
        # Byte for byte: the checksums in the two records are equal.
        first, second = (Store(p.store).record(one.key)["blobs"][WEIGHTS]["sha256"] for p in (place, apart))
        assert first == second


def test_a_chain_with_others_between_is_the_same(place, tmp_path):
    stages = chain()
    run_all(place, stages)
    mixed = replace(place, store=str(tmp_path / "mixed"))
    bench = Bench(mixed, resident_bytes=0)
    for seed, one in enumerate(stages):
        other = stage("train", "mini-pos", seed=seed)
        bench.run(other)
        bench.run(one)
        bench.run(stage("score", "mini-pos", other))
    assert all(same(weights(place, one), weights(mixed, one)) for one in stages)


def test_a_larger_budget_goes_on_from_the_stored_smaller_one(place, tmp_path):
    """And gives what it gives alone, byte for byte; without the smaller one's state it is trained from the start."""
    whole = replace(stage("train", "mini-topic"), steps=9)
    part = replace(whole, steps=3, resumable=True)
    places = {name: replace(place, store=str(tmp_path / name)) for name in ("alone", "stepwise", "stateless")}
    run_all(places["alone"], [whole])
    run_all(places["stepwise"], [part, replace(whole, resumes=part.key)])
    run_all(places["stateless"], [replace(part, resumable=False), replace(whole, resumes=part.key)])
    records = {name: Store(one.store).record(whole.key) for name, one in places.items()}
    assert {name: record["resumed"] for name, record in records.items()} == {
        "alone": False, "stepwise": True, "stateless": False,
    }  # fmt: skip
    assert len({record["blobs"][WEIGHTS]["sha256"] for record in records.values()}) == 1
    assert len({record["loss_first"] for record in records.values()}) == 1
    assert STATE in Store(places["stepwise"].store).record(part.key)["blobs"]
    assert STATE not in records["stepwise"]["blobs"]


FRESH = """
import json, sys
from trainables.bench import Bench, Workplace
from trainables.stage import Stage
place, stages = json.loads(sys.stdin.read())
bench = Bench(Workplace(**place))
for text in stages:
    bench.run(Stage.from_json(text))
assert "ray" not in sys.modules
"""


def test_a_fresh_process_gives_the_same(place, tmp_path):
    stages = [*chain(), stage("score", "mini-xnli", chain()[-1])]
    run_all(place, stages)
    fresh = replace(place, store=str(tmp_path / "fresh"))
    text = json.dumps([asdict(fresh), [one.to_json() for one in stages]])
    root = Path(bench_module.__file__).parents[1]
    subprocess.run([sys.executable, "-c", FRESH], input=text, text=True, check=True, cwd=root, timeout=120)
    assert all(same(weights(place, one), weights(fresh, one)) for one in stages[:3])
    scores = [Store(p.store).record(stages[-1].key)["scores"] for p in (place, fresh)]
    assert scores[0] == scores[1]
    predictions = [Store(p.store).record(stages[-1].key)["blobs"][PREDICTIONS]["sha256"] for p in (place, fresh)]
    assert predictions[0] == predictions[1]


def test_a_stored_stage_is_not_made_again(place, monkeypatch):
    stages = [*chain(), stage("score", "mini-xnli", chain()[-1])]
    assert [outcome.made for outcome in run_all(place, stages)] == [True] * 4
    files = sorted(path for path in Path(place.store).rglob("*") if path.is_file())
    monkeypatch.setattr(bench_module, "train", None)
    monkeypatch.setattr(bench_module, "evaluate", None)
    bench = Bench(place)
    outcomes = [bench.run(one) for one in stages]
    assert [outcome.made for outcome in outcomes] == [False] * 4
    assert [outcome.key for outcome in outcomes] == [one.key for one in stages]
    assert sorted(path for path in Path(place.store).rglob("*") if path.is_file()) == files
    assert "model" not in vars(bench)  # not even the model is loaded


def test_every_attempt_is_noted(place):
    first = stage("train", "mini-topic", learning_rate=1e38)
    bench = Bench(place)
    for _ in range(2):
        with pytest.raises(Diverged):
            bench.run(first)
    assert [key for key, _ in Attempts.all(bench.store)] == [first.key] * 2
    assert not bench.store.has(first.key)


def test_after_divergence_others_run_as_ever(place, tmp_path):
    run_all(place, chain())
    other = replace(place, store=str(tmp_path / "other"))
    bench = Bench(other)
    with pytest.raises(Diverged):
        bench.run(stage("train", "mini-topic", learning_rate=1e38))
    for one in chain():
        bench.run(one)
        assert same(weights(place, one), weights(other, one))


def test_what_a_record_holds(place):
    first = chain()[0]
    bench = Bench(place)
    outcome = bench.run(first)
    record = bench.store.record(first.key)
    assert Stage.from_json(json.dumps(record["stage"])).key == first.key == record["key"]
    assert record["seconds"] == outcome.seconds > 0
    assert record["loss_first"] > 0
    assert record["parent_from"] == "base"
    assert record["torch"] == torch.__version__
    json.dumps(asdict(outcome))


# --- scoring ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory, tiny_model):
    """The scores and predictions of three targets after one chain."""
    trained = chain()[:1]
    pos, nli = stage("train", "mini-pos", trained[0]), stage("train", "mini-nli", trained[0])
    targets = [stage("score", "mini-pos", pos), stage("score", "mini-xnli", nli), stage("score", "mini-tatoeba", nli)]
    bench = Bench(workplace(tmp_path_factory.mktemp("scored"), tiny_model))
    for one in [*trained, pos, nli, *targets]:
        bench.run(one)
    return {
        one.tasks[0]: (
            bench.store.record(one.key)["scores"],
            pd.read_parquet(io.BytesIO(bench.store.blob(one.key, PREDICTIONS))),
        )
        for one in targets
    }


def test_a_row_for_each_language_and_portion(scored):
    for name, (rows, _) in scored.items():
        languages = [code for code in LANGUAGES if not (name == "mini-tatoeba" and code == "en")]
        expected = {(code, portion) for code in languages for portion in ("test", "search", "report")}
        if name != "mini-tatoeba":
            expected.add(("en", "dev"))
        metrics = {"mini-pos": ["f1", "token_accuracy"]}.get(name, ["accuracy"])
        assert sorted((row["language"], row["portion"], row["metric"]) for row in rows) == sorted(
            (*one, metric) for one in expected for metric in metrics
        )
        assert all(0 <= row["value"] <= 1 and row["n"] > 0 for row in rows)


def test_the_halves_add_up_to_the_whole(scored):
    for name, (rows, _) in scored.items():
        found = {(row["language"], row["metric"], row["portion"]): (row["n"], row["value"]) for row in rows}
        for language, metric in {(row["language"], row["metric"]) for row in rows}:
            (n, value), *halves = (found[language, metric, portion] for portion in ("test", "search", "report"))
            assert sum(half[0] for half in halves) == n
            if name != "mini-tatoeba" and metric != "f1":  # those are no means over independent items
                assert sum(half[0] * half[1] for half in halves) == pytest.approx(n * value)


def _value(rows, language, metric, portion):
    return next(
        row["value"] for row in rows
        if (row["language"], row["metric"], row["portion"]) == (language, metric, portion)
    )  # fmt: skip


@pytest.mark.parametrize("target", ["mini-xnli", "mini-tatoeba"])
def test_scores_equal_those_of_the_stored_predictions(scored, target):
    rows, items = scored[target]
    whole = items[items.portion == "test"]
    for row in rows:
        own = items[(items.portion == "dev") & (items.language == row["language"])]
        if row["portion"] != "dev":
            own = whole[whole.language == row["language"]]
        if row["portion"] in ("search", "report") and target == "mini-tatoeba":
            continue  # a half is searched among its own sentences alone
        if row["portion"] in ("search", "report"):
            own = own[own.id.map(in_search_half) == (row["portion"] == "search")]
        assert row["n"] == len(own)
        assert row["value"] == pytest.approx(own.score.mean(), abs=1e-12)
        assert row["stderr"] == pytest.approx(own.score.sem(), abs=1e-12)


def test_token_accuracy_equals_the_stored_shares(scored):
    rows, items = scored["mini-pos"]
    source, task = DataSource(limit=LIMIT), load_task("mini-pos", "--tasks")
    for code, examples in source.load(task, "test", LANGUAGES).items():
        own = items[(items.portion == "test") & (items.language == code)].set_index("id").score
        words = {example.id: len(example.words) for example in examples}
        right = sum(own[name] * count for name, count in words.items())
        assert _value(rows, code, "token_accuracy", "test") == pytest.approx(right / sum(words.values()))


def test_predictions_of_the_same_items_in_every_language(scored):
    for _, items in scored.values():
        ids = [tuple(own.id) for _, own in items[items.portion == "test"].groupby("language")]
        assert len(ids) >= 2
        assert len(set(ids)) == 1


def test_scoring_the_base_model(place):
    """A retrieval target needs no training: the empty order's stage has no parent."""
    outcome = Bench(place).run(stage("score", "mini-tatoeba"))
    assert outcome.parent == "base"


def test_scores_do_not_depend_on_what_was_scored_before(place, tmp_path, scored):
    other = replace(place, store=str(tmp_path / "other"))
    trained = chain()[0]
    nli = stage("train", "mini-nli", trained)
    target = stage("score", "mini-xnli", nli)
    for one in (trained, nli, target):
        Bench(other).run(one)
    assert Store(other.store).record(target.key)["scores"] == scored["mini-xnli"][0]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def damage(place, one):
    path = next(Path(place.store).rglob(f"{one.key}/{WEIGHTS}-*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_damaged_weights_of_a_parent(place):
    stages = chain()
    run_all(place, stages[:1])
    damage(place, stages[0])
    with pytest.raises(MissingParent, match="checksum"):
        Bench(place).run(stages[1])
    bench = Bench(place)
    bench.store.discard(stages[0].key)
    assert [bench.run(one).made for one in stages] == [True] * 3


def test_a_parent_that_is_nowhere(place):
    with pytest.raises(MissingParent, match="has no weights"):
        Bench(place).run(chain()[1])


def test_a_parent_taken_away_while_it_is_in_memory(place):
    """The child is made from memory: the weights are the same."""
    bench = Bench(place)
    first, second, _ = chain()
    bench.run(first)
    bench.store.discard(first.key)
    assert bench.run(second).parent == "memory"


def test_memory_is_bounded(place):
    bench = Bench(place, resident_bytes=0)
    for seed in range(4):
        bench.run(stage("train", "mini-topic", seed=seed))
    assert len(bench._resident) == 1


def test_a_second_writer_goes_on(place, monkeypatch):
    """Two workers make the same stage at once: the second discards its own and both have an outcome."""
    first = chain()[0]
    slow = Bench(place)
    monkeypatch.setattr(slow.store, "has", lambda key: False)
    Bench(place).run(first)
    assert slow.run(first).made
    assert len(list(Path(place.store).glob(f"??/{first.key}/*"))) == 2
