"""Features as a table: the same features, in the same batches, for the same weights."""

from __future__ import annotations

import gc
import random

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from trainables.batches import scoring_batches, training_batches
from trainables.data import DataSource
from trainables.evaluate import EvaluationSet, evaluate, predictions
from trainables.feature_table import SCHEMA, FeatureTable, Joined, arrow_file, sizes_of, tokens_of
from trainables.fingerprint import MICRO_DECODER
from trainables.kinds import KINDS
from trainables.kinds.base import IGNORED, Feature
from trainables.kinds.prompted import Prompted
from trainables.methods.settings import MethodSettings, scalars
from trainables.model_files import safely
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train
from trainables.used_rows import used_ids

OF_EACH_KIND = (
    "mini-nli", "mini-topic", "mini-pos", "mini-squad2", "mini-swag", "mini-mlm", "mini-tatoeba", "mini-bucc",
)  # fmt: skip


def table_of(features):
    return FeatureTable.read(arrow_file(features))


def encoded(tokenizer, name, kind=None, limit=60, longest=40):
    task = load_task(name, "--tasks")
    source = DataSource(limit=limit)
    splits = ("train", "dev", "test") if task.trained_on else ("test",)
    examples = [e for split in splits for rows in source.load(task, split).values() for e in rows]
    return task, (kind or KINDS[task.kind]).encode(task, examples[: 3 * limit], tokenizer, longest)


@pytest.fixture(scope="module")
def model(tiny_model):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return Encoder(tiny_model)


def exactly(features):
    """All that features are, with the types of it: True and 1 are equal."""
    return [repr((f.item, f.ids, f.label, f.positions, f.others, f.offsets)) for f in features]


# --- the same features ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_nothing_of_a_kind_of_task_is_lost(tiny_tokenizer, name):
    task, features = encoded(tiny_tokenizer, name)
    assert features
    table = table_of(features)
    assert [*table] == features == [table[place] for place in range(len(table))]
    assert exactly(table) == exactly(features)
    trained = KINDS[task.kind].training(features)
    assert exactly(table_of(trained)) == exactly(trained)


@pytest.mark.parametrize("name", ["mini-nli", "mini-swag", "mini-squad2"])
def test_nothing_of_a_text_form_is_lost(name):
    tokenizer = AutoTokenizer.from_pretrained(**safely(str(MICRO_DECODER)))
    _, features = encoded(tokenizer, name, Prompted(), longest=200)
    assert exactly(table_of(features)) == exactly(features)
    trained = Prompted().training(features)
    assert exactly(table_of(trained)) == exactly(trained)


def test_the_kinds_together_have_all_fields(tiny_tokenizer):
    features = [feature for name in OF_EACH_KIND for feature in encoded(tiny_tokenizer, name)[1]]
    assert {type(feature.label) for feature in features} == {int, list}
    assert all(any(getattr(feature, name) for feature in features) for name in ("positions", "others", "offsets"))


NUMBERS = st.integers(-(2**31), 2**31 - 1)
LISTS = st.lists(NUMBERS, max_size=5)
FEATURES = st.lists(
    st.builds(
        Feature, NUMBERS, LISTS, NUMBERS | LISTS, LISTS, st.lists(LISTS, max_size=3),
        st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3),
    ),
    max_size=80,
)  # fmt: skip


@given(FEATURES, st.integers(-90, 90), st.slices(80))
def test_it_is_a_sequence_of_what_it_was_made_of(features, place, part):
    table = table_of(features)
    assert len(table) == len(features)
    assert exactly(table) == exactly(features)
    assert exactly(table[part]) == exactly(features[part])
    if -len(features) <= place < len(features):
        assert exactly([table[place]]) == exactly([features[place]])
        assert table[place].place == place % len(features)
    else:
        with pytest.raises(IndexError):
            table[place]
    assert [feature.place for feature in table] == [*range(len(features))]


@given(st.lists(FEATURES, max_size=3))
def test_sizes_are_known_without_building(parts):
    flat = [feature for part in parts for feature in part]
    tables = [table_of(part) for part in parts]
    joined = Joined(tables)
    lengths, rows = [feature.length for feature in flat], [len(feature.rows) for feature in flat]
    for features in (flat, joined, Joined([*parts])):
        sizes = sizes_of(features)
        assert (sizes.lengths.tolist(), sizes.rows.tolist()) == (lengths, rows)
    for table, part in zip(tables, parts, strict=True):
        assert tokens_of(table) == tokens_of(part) == sum(len(row) for feature in part for row in feature.rows)
        assert used_ids(table) == used_ids(part)
    assert exactly(joined) == exactly(flat) == exactly([joined[place] for place in range(len(flat))])
    assert exactly(joined[1::2]) == exactly(flat[1::2])


def test_what_does_not_fit_is_refused():
    for features in ([Feature(0, [2**31])], [Feature(0, [1], -(2**31) - 1)], [Feature(0, ["a"])]):
        with pytest.raises((pa.ArrowException, OverflowError)):
            arrow_file(features)


def batch(**changed):
    one = {"item": 0, "ids": [1], "label": [0], "labels": 0, "positions": [], "others": [], "offsets": []} | changed
    return pa.RecordBatch.from_pylist([one, one], SCHEMA)


def file_of(*batches, schema=SCHEMA):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as file:
        for one in batches:
            file.write_batch(one)
    return sink.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pa.py_buffer(b""),
        pa.py_buffer(b"ARROW1\0\0" + b"\xff" * 100),
        file_of(),
        file_of(batch(), batch()),
        file_of(batch(ids=None)),
        file_of(batch(ids=[None])),
        file_of(batch(others=[[1], None])),
        file_of(batch(offsets=[None])),
        file_of(batch(label=[])),
        file_of(batch(label=[1, 2])),
        file_of(pa.record_batch({"item": pa.array([1])}), schema=pa.schema([("item", pa.int64())])),
    ],
)  # fmt: skip
def test_what_is_no_table_of_features_is_refused(content):
    assert len(FeatureTable.read(file_of(batch()))) == 2
    with pytest.raises((ValueError, pa.ArrowException)):
        FeatureTable.read(content)


def test_a_table_does_not_grow(tiny_tokenizer):
    table = table_of(encoded(tiny_tokenizer, "mini-nli")[1])
    list(table), table.sizes, table[0]
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(3):
        assert len([*table, *table[::2]]) > len(table)
    gc.collect()
    assert len(gc.get_objects()) <= before + 5


# --- the same batches -------------------------------------------------------------------------------------------------


def epochs_of_lists(features, size, rng, pool=50):
    """As batches were made of features themselves."""
    while True:
        shuffled = rng.sample(features, len(features))
        for at in range(0, len(shuffled), size * pool):
            chunk = sorted(shuffled[at : at + size * pool], key=lambda feature: feature.length)
            batches = [chunk[start : start + size] for start in range(0, len(chunk), size)]
            rng.shuffle(batches)
            yield from batches


def some(number, seed=0):
    rng = random.Random(seed)
    return [Feature(i, [5] * rng.randint(1, 9), others=[[6] * rng.randint(1, 9)] * rng.randint(0, 2))
            for i in range(number)]  # fmt: skip


@pytest.mark.parametrize(("count", "size", "pool"), [(1, 4, 50), (7, 8, 50), (203, 4, 3), (900, 8, 50)])
def test_batches_are_those_of_lists(monkeypatch, count, size, pool):
    from trainables import batches

    features = some(count)
    for made in (features, table_of(features), Joined([features[:3], table_of(features[3:])])):
        old, new = random.Random(5), random.Random(5)
        expected, found = epochs_of_lists(features, size, old, pool), batches._epochs(made, size, new, pool)
        for _ in range(3 * count // size + 3):
            assert exactly(next(found)) == exactly(next(expected))
            assert old.getstate() == new.getstate()


def test_batches_of_several_tasks_are_those_of_lists():
    lists = {"a": some(300, 1), "b": some(40, 2)}
    tables = {name: table_of(features) for name, features in lists.items()}
    assert list(training_batches(tables, 8, 200, 3)) == list(training_batches(lists, 8, 200, 3))


def batches_of_lists(features, tokens):
    """As indices were found by looking at features themselves."""
    found, rows = [[]], 0
    for i in sorted(range(len(features)), key=lambda i: (features[i].length, i)):
        rows += len(features[i].rows)
        if found[-1] and rows * features[i].length > tokens:
            found.append([])
            rows = len(features[i].rows)
        found[-1].append(i)
    return found if features else []


@pytest.mark.parametrize("tokens", [1, 60, 10**6])
def test_scored_batches_are_those_of_lists(tokens):
    features = some(300)
    expected = batches_of_lists(features, tokens)
    assert [*scoring_batches(features, tokens)] == [*scoring_batches(table_of(features), tokens)] == expected
    assert all(type(place) is int for chosen in scoring_batches(table_of(features), tokens) for place in chosen)


def test_batches_are_made_without_building(monkeypatch):
    table = table_of(some(500))
    monkeypatch.setattr(FeatureTable, "_built", None)
    assert sum(map(len, scoring_batches(Joined([table, table]), 64))) == 1000
    with pytest.raises(TypeError, match="not callable"):  # the first batch's features alone
        next(training_batches({"a": table}, 8, 1, 0))


# --- the same results -------------------------------------------------------------------------------------------------

SETTINGS = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01}


def trained(model, tasks, features, method="full", **settings):
    own = SETTINGS | scalars(MethodSettings(), method, 4 if method == "prompt" else None) | settings
    names = tuple(task.name for task in tasks)
    stage = Stage("train", None, names, ("0" * 16,) * len(names), "tiny", method, own, 12, 0)
    return train(model, stage, tasks, features)


@pytest.mark.parametrize(
    ("names", "method", "settings"),
    [
        (("mini-nli",), "full", {}), (("mini-pos", "mini-swag"), "full", {}), (("mini-squad2",), "lora", {}),
        (("mini-nli",), "probe", {}), (("mini-swag",), "probe", {}),
    ],
)  # fmt: skip
def test_weights_are_the_same_to_the_bit(model, names, method, settings):
    made = [encoded(model.tokenizer, name) for name in names]
    tasks, lists = [task for task, _ in made], {task.name: features for task, features in made}
    first = trained(model, tasks, lists, method, **settings)
    tables = {name: table_of(features) for name, features in lists.items()}
    for features in (tables, {name: [*table] for name, table in tables.items()}):  # and a list made of a table
        again = trained(model, tasks, features, method, **settings)
        assert again.figures == first.figures
        assert again.weights.keys() == first.weights.keys()
        assert all(torch.equal(tensor, again.weights[name]) for name, tensor in first.weights.items())


def test_kept_states_are_found_by_place(model):
    task, features = encoded(model.tokenizer, "mini-nli")
    table = table_of(features)
    trained(model, [task], {task.name: table}, "probe")
    (states,) = [one for one in model.lower._trained.values() if one.features is table]
    before = states.bytes, len(states._of)
    assert set(states._of) == set(range(len(table)))
    trained(model, [task], {task.name: table}, "probe")
    assert (states.bytes, len(states._of)) == before, "features that are built again are the same features"


@pytest.mark.parametrize("name", ["mini-xnli", "mini-tatoeba", "mini-xquad"])
def test_scores_are_the_same(model, name):
    task, source = load_task(name, "--tasks"), DataSource(limit=20)
    rows = source.load(task, "test", ["en", "de"])
    kind = KINDS[task.kind]
    lists = [
        EvaluationSet("test", code, own, kind.encode(task, own, model.tokenizer, 60)) for code, own in rows.items()
    ]
    tables = [EvaluationSet(one.portion, one.language, one.examples, table_of(one.features)) for one in lists]
    model.reset()
    torch.manual_seed(0)
    head = kind.head(task, model)
    assert evaluate(model, task, head, tables) == evaluate(model, task, head, lists)
    told = [predictions(model, task, head, sets, distinct=True) for sets in (tables, lists)]
    assert str(told[0]) == str(told[1])


def test_the_label_of_nothing_is_kept():
    assert [feature.label for feature in table_of([Feature(0, [1]), Feature(1, [1], [])])] == [IGNORED, []]
