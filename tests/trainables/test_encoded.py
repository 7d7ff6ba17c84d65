"""Features that a node keeps encoded: made once, verified, and never in the way."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import signal
import subprocess
import time
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load

from trainables import bench as bench_module
from trainables import encoded
from trainables.bench import WEIGHTS, Bench, Workplace
from trainables.data import DataSource
from trainables.encoded import SHARE, Encodings
from trainables.evaluate import sets_of
from trainables.feature_table import FeatureTable, arrow_file
from trainables.kinds import KINDS
from trainables.kinds.base import Feature
from trainables.model_files import safely
from trainables.node_cache import NodeCache
from trainables.stage import Stage
from trainables.store import Store
from trainables.tasks import load_task

TASK = load_task("mini-nli", "--tasks")
KIND = KINDS[TASK.kind]
LONGEST = 40


@pytest.fixture(autouse=True)
def none_is_small(monkeypatch):
    monkeypatch.setattr(encoded, "SMALL", 1)


@pytest.fixture
def files(tmp_path):
    return NodeCache(tmp_path / "node", 10**6)


@pytest.fixture(scope="module")
def examples():
    return DataSource(limit=50).training(TASK)


@pytest.fixture(scope="module")
def plain(examples, tiny_tokenizer):
    return KIND.encode(TASK, examples, tiny_tokenizer, LONGEST)


class Worker:
    """One that asks for the features of a training set, and counts how often it reads examples."""

    def __init__(self, files, tokenizer, examples):
        self.own, self.examples, self.reads = Encodings(files, tokenizer), examples, 0

    def read(self):
        self.reads += 1
        return self.examples

    def features(self, task=TASK, longest=LONGEST, origin="data"):
        return self.own.training(task, KINDS[task.kind], longest, self.read, lambda: origin)


@pytest.fixture
def worker(files, tiny_tokenizer, examples):
    return lambda files=files, tokenizer=tiny_tokenizer: Worker(files, tokenizer, examples)


def held(files):
    return sorted(path.name for path in files.folder.iterdir())


def the_file(files):
    (name,) = held(files)
    return files.folder / name


def test_what_one_worker_encoded_another_maps(worker, files, plain):
    first, second = worker(), worker()
    found = first.features()
    assert isinstance(found, FeatureTable)
    assert first.reads == 1
    assert [*found] == plain
    again = second.features()
    assert second.reads == 0
    assert isinstance(again, FeatureTable)
    assert [*again] == plain
    content = the_file(files).read_bytes()
    assert the_file(files).name.endswith(hashlib.sha256(content).hexdigest())
    assert the_file(files).stat().st_mode & 0o777 == 0o600
    assert files.folder.stat().st_mode & 0o777 == 0o700
    with pa.ipc.open_file(the_file(files)) as table:  # a plain file of Arrow
        assert table.read_all().num_rows == len(plain)


def test_a_mapped_file_may_be_taken_away(worker, files, plain):
    found = worker().features()
    the_file(files).unlink()
    assert [*found] == plain


def test_few_features_are_a_list(worker, files, plain, monkeypatch):
    monkeypatch.setattr(encoded, "SMALL", len(plain) + 1)
    assert worker().features() == plain
    second = worker()
    assert second.features() == plain
    assert second.reads == 0
    monkeypatch.setattr(encoded, "SMALL", len(plain))
    assert isinstance(worker().features(), FeatureTable)


# --- what a name says -------------------------------------------------------------------------------------------------


def test_all_that_features_depend_on_is_in_the_name(worker, files, tiny_tokenizer, examples, tiny_model, monkeypatch):
    worker().features()
    told = "entailment"
    others = {
        "longest": {"longest": LONGEST - 1},
        "examples": {"origin": "other data"},
        "task": {"task": TASK.model_copy(update={"labels": [told, *sorted(set(TASK.labels) - {told})][::-1]})},
    }
    for number, (what, changed) in enumerate(others.items(), 2):
        one = worker()
        one.features(**changed)
        assert (what, one.reads, len(held(files))) == (what, 1, number)
    scoring = Encodings(files, tiny_tokenizer).scoring(TASK, KIND, LONGEST, examples)
    assert len(held(files)) == 5
    fewer = Encodings(files, tiny_tokenizer).scoring(TASK, KIND, LONGEST, examples[:-1])
    assert (len(scoring), len(fewer), len(held(files))) == (len(examples), len(examples) - 1, 6)
    changed = replace(examples[0], text=examples[0].text + " not")
    assert Encodings(files, tiny_tokenizer).scoring(TASK, KIND, LONGEST, [changed, *examples[1:]]) != scoring
    assert len(held(files)) == 7


def test_another_tokenizer_has_other_features(worker, files, tiny_model):
    from transformers import AutoTokenizer

    def again():
        return AutoTokenizer.from_pretrained(**safely(tiny_model))

    worker().features()
    same = worker(tokenizer=again())
    same.features()
    assert same.reads == 0
    larger, other, left = again(), again(), again()
    left.truncation_side = "left"
    larger.add_tokens(["zzz"])
    other.add_special_tokens({"additional_special_tokens": ["<x>"]})
    for number, tokenizer in enumerate((larger, other, left), 2):
        one = worker(tokenizer=tokenizer)
        one.features()
        assert (one.reads, len(held(files))) == (1, number)


def test_how_a_text_was_cut_before_is_not_in_the_name(worker, tiny_tokenizer):
    worker().features()
    tiny_tokenizer("a b c", truncation=True, max_length=3, padding="max_length")
    again = worker()
    again.features()
    assert again.reads == 0


def test_other_code_has_other_features(worker, files, monkeypatch):
    worker().features()
    monkeypatch.setattr(encoded, "_code", lambda: "as it will be")
    again = worker()
    again.features()
    assert again.reads == 1
    assert len(held(files)) == 2


# --- files that are not as they should be -----------------------------------------------------------------------------


def put(files, name, content):
    (files.folder / f"{name}-{hashlib.sha256(content).hexdigest()}").write_bytes(content)


def foreign(files, content):
    """A file of the right name and checksum that is another."""

    def damage(path):
        path.unlink()
        put(files, path.name.partition("-")[0], content)

    return damage


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def no_file(path, make):
    path.unlink()
    make(path)


DAMAGE = {
    "a flipped bit of the data": lambda path, files: flip(path, path.stat().st_size // 2),
    "a flipped bit of the footer": lambda path, files: flip(path, -20),
    "cut short": lambda path, files: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path, files: os.truncate(path, 0),
    "longer": lambda path, files: path.write_bytes(path.read_bytes() + b"x"),
    "no Arrow": lambda path, files: foreign(files, b"nothing")(path),
    "nothing": lambda path, files: foreign(files, b"")(path),
    "another table": lambda path, files: foreign(
        files, pa.ipc.serialize_pandas(pa.table({"a": [1]}).to_pandas()).to_pybytes()
    )(path),
    "a pipe": lambda path, files: no_file(path, os.mkfifo),
    "a folder": lambda path, files: no_file(path, lambda path: path.mkdir()),
    "a link": lambda path, files: no_file(path, lambda path: path.symlink_to("/etc/hostname")),
    "gone": lambda path, files: path.unlink(),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_file_that_is_not_as_it_was_is_made_again(worker, files, plain, what):
    worker().features()
    DAMAGE[what](the_file(files), files)
    second, third = worker(), worker()
    assert [*second.features()] == plain
    assert second.reads == 1
    assert [*third.features()] == plain
    if what not in ("a pipe", "a folder", "a link"):  # they stand where the file would
        assert third.reads == 0
        assert len(held(files)) == 1


def test_a_link_elsewhere_is_not_followed(worker, files, tmp_path, plain):
    """Though what it leads to is the very file."""
    worker().features()
    path = the_file(files)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    second = worker()
    assert [*second.features()] == plain
    assert second.reads == 1


# --- where nothing can be kept ----------------------------------------------------------------------------------------


def test_without_a_cache_all_is_as_it_was(worker, plain):
    one = worker(files=None)
    for number in (1, 2):
        assert [*one.features()] == plain
        assert one.reads == number
    assert Encodings.beside(None, one.own._tokenizer)._files is None


def test_a_folder_of_someone_elses_is_not_used(worker, tmp_path, plain):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    one = worker(files=NodeCache(folder, 10**6))
    assert [*one.features()] == plain
    assert one.reads == 1
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize("how", ["full", "read-only", "gone"])
def test_a_disk_that_keeps_nothing_is_no_hindrance(worker, tmp_path, plain, how):
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    if how == "gone":
        one = worker(files=NodeCache(folder, 10**6))
        folder.rmdir()
        assert [*one.features()] == plain
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        if how == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        files = NodeCache(folder, 10**6)
        assert files.usable
        one = worker(files=files)
        found = one.features()
        assert [*found] == plain
        assert isinstance(found, FeatureTable)
        assert held(files) == [], "nothing half-written is left"
    finally:
        subprocess.run(["umount", folder], check=True)


def test_the_least_recently_used_go_first(worker, files, plain):
    size = arrow_file(plain).size
    files.limit = int(2.5 * size)
    for second, origin in enumerate("abc"):
        worker().features(origin=origin)
        for name in held(files):
            if (files.folder / name).stat().st_mtime > 10**6:
                os.utime(files.folder / name, (second, second))
        if origin == "b":
            worker().features(origin="a")  # is now the most recently used
    assert len(held(files)) == 2
    reads = {}
    for origin in "acb":
        one = worker()
        one.features(origin=origin)
        reads[origin] = one.reads
    assert reads == {"a": 0, "c": 0, "b": 1}


def test_what_is_larger_than_the_cache_stays_in_memory(worker, files, plain):
    files.limit = 1000
    found = worker().features()
    assert held(files) == []
    assert isinstance(found, FeatureTable)
    assert [*found] == plain


def test_what_does_not_fit_into_a_table_is_a_list(files, tiny_tokenizer, monkeypatch):
    large = [Feature(0, [2**40])]
    monkeypatch.setattr(type(KIND), "encode", lambda *_: large)
    for one in (files, None):
        assert Encodings(one, tiny_tokenizer).scoring(TASK, KIND, LONGEST, []) == large
    assert held(files) == []


def test_no_features_are_no_trouble(files, tiny_tokenizer):
    for _ in range(2):
        assert Encodings(files, tiny_tokenizer).scoring(TASK, KIND, LONGEST, []) == []
    (part,) = sets_of(TASK, {("test", "en"): []}, _Model(tiny_tokenizer), encodings=Encodings(files, tiny_tokenizer))
    assert part.features == []


class _Model:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer


def test_the_folder_lies_beside_that_of_weights(tmp_path, tiny_tokenizer):
    weights = NodeCache(tmp_path / "order-search-7", 1000)
    own = Encodings.beside(weights, tiny_tokenizer)._files
    assert own.folder == tmp_path / "order-search-7-encoded"
    assert own.limit == 1000 // SHARE
    content = b"w" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    weights.put(sha256, content)
    assert weights.get(sha256, 1000) == content, "one does not stand in the other's way"


# --- several workers at once ------------------------------------------------------------------------------------------

CONTEXT = multiprocessing.get_context("fork")


def _ask(make, log, done):
    one = make()
    before = one.read

    def read():
        log.put(os.getpid())
        time.sleep(0.3)
        return before()

    one.read = read
    done.put(hashlib.sha256(repr([*one.features()]).encode()).hexdigest())


def test_workers_that_start_together_encode_once(worker, plain):
    log, done = CONTEXT.Queue(), CONTEXT.Queue()
    workers = [CONTEXT.Process(target=_ask, args=(worker, log, done)) for _ in range(4)]
    for one in workers:
        one.start()
    told = {done.get(timeout=60) for _ in workers}
    for one in workers:
        one.join(30)
    assert told == {hashlib.sha256(repr([*worker().features()]).encode()).hexdigest()}
    log.get(timeout=5)
    assert log.empty()


def _hold(path, ready):
    with encoded._turn(path):
        ready.put(1)
        time.sleep(600)


@pytest.fixture
def holder(worker, files):
    """A process that says it encodes, and does not."""
    worker().features()
    name = the_file(files).name.partition("-")[0]
    the_file(files).unlink()
    ready = CONTEXT.Queue()
    one = CONTEXT.Process(target=_hold, args=(files.folder / f".{name}", ready))
    one.start()
    ready.get(timeout=30)
    yield one
    one.kill()
    one.join(30)


def test_one_that_dies_while_it_encodes_is_not_waited_for(worker, holder, plain, monkeypatch):
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            os.kill(holder.pid, signal.SIGKILL)
            holder.join(30)

    monkeypatch.setattr(encoded.time, "sleep", sleep)
    one = worker()
    assert [*one.features()] == plain
    assert one.reads == 1
    assert len(waited) == 3


def test_one_that_hangs_is_waited_for_a_while(worker, files, holder, plain, monkeypatch):
    monkeypatch.setattr(encoded, "LONGEST_WAIT", 0.2)
    beats = []
    monkeypatch.setattr(encoded, "beat", lambda: beats.append(1))
    one = worker()
    start = time.monotonic()
    assert [*one.features()] == plain
    assert 0.2 <= time.monotonic() - start < 30
    assert len(beats) >= 2, "who waits is alive"
    assert holder.is_alive()


def test_where_there_are_no_locks_nobody_waits(worker, plain, monkeypatch):
    def none(file, how):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(encoded.fcntl, "flock", none)
    monkeypatch.setattr(encoded.time, "sleep", None)
    one = worker()
    assert [*one.features()] == plain
    assert one.reads == 1


def test_an_error_while_encoding_lets_others_in(worker, files, plain):
    one, other = worker(), worker()
    one.read = None
    with pytest.raises(TypeError):
        one.features()
    start = time.monotonic()
    assert [*other.features()] == plain
    assert time.monotonic() - start < 30
    assert len(held(files)) == 1, "no lock is left"


# --- a bench ----------------------------------------------------------------------------------------------------------

TASKS = ("mini-nli", "mini-pos", "mini-xnli", "mini-tatoeba")


@pytest.fixture
def place(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(bench_module.NodeCache, "here", lambda limit: NodeCache(tmp_path / "here", limit))
    return Workplace(
        store=str(tmp_path / "store"), model=tiny_model, limit=40, languages={name: ["en", "de"] for name in TASKS},
        tasks={name: load_task(name, "--tasks").model_dump(mode="json") for name in TASKS}, node_cache=10**8,
    )  # fmt: skip


def stages():
    settings = {"learning_rate": 1e-3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01}
    first = Stage("train", None, ("mini-nli", "mini-pos"), ("0" * 16,) * 2, "tiny", "full", settings, 6, 0)
    return [first, *(Stage("score", first.key, (name,), ("0" * 16,), "tiny", "full") for name in TASKS[2:])]


def results(place):
    store = Store(place.store)
    return load(store.blob(stages()[0].key, WEIGHTS)), [store.record(one.key)["scores"] for one in stages()[1:]]


def test_a_bench_gives_the_same_with_the_cache_and_without(place, tmp_path, monkeypatch):
    encoders = []
    for kind in {type(KINDS[load_task(name, "").kind]) for name in TASKS}:
        real = kind.encode
        monkeypatch.setattr(kind, "encode", lambda *given, real=real: encoders.append(real) or real(*given))
    for own in (place, replace(place, store=str(tmp_path / "second")),
                replace(place, store=str(tmp_path / "without"), node_cache=0)):  # fmt: skip
        before, bench = len(encoders), Bench(own)
        outcomes = [bench.run(one) for one in stages()]
        assert all(one.made for one in outcomes)
        kinds = {type(bench._features[key]) for key in bench._features}
        assert kinds == {FeatureTable}
        read = {name for name, split in bench._data._cache if split == "train"}
        if own is place:
            assert len(encoders) == 6
        elif own.node_cache:
            assert len(encoders) == before, "the second worker encodes nothing"
            assert read == set(), "nor does it read what was encoded"
        else:
            assert len(encoders) == before + 6
        weights, scores = results(own)
        first, figures = results(place)
        assert weights.keys() == first.keys()
        assert all(torch.equal(tensor, first[name]) for name, tensor in weights.items())
        assert scores == figures
    monkeypatch.setattr(encoded, "SMALL", 10**6)  # as lists, as it was before there were tables
    lists = replace(place, store=str(tmp_path / "lists"), node_cache=0)
    bench = Bench(lists)
    for one in stages():
        bench.run(one)
    assert {type(features) for features in bench._features.values()} == {list}
    weights, scores = results(lists)
    assert all(torch.equal(tensor, first[name]) for name, tensor in weights.items())
    assert scores == figures


def test_other_data_are_encoded_anew(place, tmp_path):
    for number, changed in enumerate(({}, {"limit": 30}, {"on_bad_row": "skip"}), 1):
        bench = Bench(replace(place, **changed))
        bench._training_features(TASK, 40, None)
        files = held(bench._encodings._files)
        assert len(files) == number, files
    bench._training_features(TASK, 40, 10)
    assert len(held(bench._encodings._files)) == 4
    assert len(bench._training_features(TASK, 40, 10)) == 10
