"""Whatever may take long gives signs of life, with true counts; and batches of another size give the same scores."""

from __future__ import annotations

import json

import pytest
from perturbing import LANGUAGES, TASKS, head_of, portions_of, sets_for, settings_of, suites_in, task_of

from perturb.recipes.settings import AttackSettings
from trainables import watch
from trainables.attacked import Attacks
from trainables.data import DataSource
from trainables.evaluate import evaluate, sets_of
from trainables.fingerprint import MICRO
from trainables.kinds import KINDS, base
from trainables.models import Encoder
from trainables.perturbations import Lookup
from trainables.perturbed import evaluate_edited
from trainables.representations import measure
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train
from trainables.watch import Counts, counts, work


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Encoder:
    return Encoder(tiny_model)


def beats(call):
    """How many signs of life a call gives, and what it gives."""
    before = watch._state.beats
    found = call()
    return watch._state.beats - before, found


def sizes(features):
    """How many features there are, and how many tokens."""
    return len(features), sum(len(row) for feature in features for row in feature.rows)


@pytest.mark.parametrize("split", [1, 3])
def test_training_counts_what_it_reads(tiny, split):
    """Two epochs are twice the features, padding aside, whether batches are read whole or in parts."""
    task, (part,) = sets_for(tiny, "classification", limit=12)[0], sets_for(tiny, "classification", limit=12)[1][:1]
    settings = {"learning_rate": 1e-3, "batch_size": 4, "warmup": 1, "weight_decay": 0.0}
    stage = Stage("train", None, (task.name,), ("d",), "tiny", "full", settings, 6, 0)
    with work():
        train(tiny, stage, [task], {task.name: part.features}, split=split)
    examples, tokens = sizes(part.features)
    assert examples == 12
    assert counts() == Counts(2 * examples, 2 * tokens, 0)


@pytest.mark.parametrize("kind", TASKS)
def test_evaluation_counts_what_it_reads_and_split_changes_no_score(tiny, kind):
    task, sets = sets_for(tiny, kind)
    head = head_of(tiny, task)
    features = [feature for part in sets for feature in part.features]
    with work():
        few, whole = beats(lambda: evaluate(tiny, task, head, sets))
        assert counts() == Counts(*sizes(features))
        many, divided = beats(lambda: evaluate(tiny, task, head, sets, split=32))
    assert divided == whole
    assert many > few


def test_perturbed_scores_do_not_depend_on_the_batches(tiny, tmp_path):
    task, sets = sets_for(tiny, "tagging")
    head, suites = head_of(tiny, task), suites_in(tmp_path)
    number, whole = beats(lambda: evaluate_edited(tiny, task, head, sets, suites, task.max_length))
    assert number > 3 * 10 * len(LANGUAGES["tagging"])  # each edit of each item, of which there are 10 a language
    assert evaluate_edited(tiny, task, head, sets, suites, task.max_length, split=16) == whole


@pytest.mark.parametrize("kind", ["classification", "retrieval"])
def test_an_attack_counts_its_queries_and_split_changes_no_score(tiny, kind):
    task = task_of(kind)
    sets = sets_of(task, portions_of(task, LANGUAGES[kind][:1], 8), tiny)
    settings = settings_of(edits=[], attacks=[AttackSettings(recipe="deepwordbug", examples=4)])
    found = []
    for split in (1, 16):
        with work():
            attack = Attacks(settings, Lookup(settings, None))
            found.append(attack.evaluate(tiny, task, head_of(tiny, task), sets, "deepwordbug", task.max_length, split))
            told = counts()
        asked = sum(row["queries"] for row in found[-1][1])
        assert told.queries >= asked > 0
        assert told.tokens > told.examples > 0
    assert found[0] == found[1]


def test_representations_do_not_depend_on_the_batches(tiny):
    task, sets = sets_for(tiny, "retrieval")
    features = [feature for part in sets for feature in part.features]
    with work():
        whole = measure(tiny, task, sets)
        assert counts() == Counts(*sizes(features))
    for one, other in zip(whole, measure(tiny, task, sets, split=32), strict=True):
        assert one == {**other, "value": pytest.approx(other["value"], abs=1e-6), "stderr": one["stderr"]}


@pytest.mark.parametrize("kind", ["classification", "tagging", "span", "choice", "retrieval", "mining"])
def test_texts_are_tokenised_in_chunks_that_change_nothing(tiny, kind, monkeypatch):
    task = task_of(kind)
    examples = portions_of(task, LANGUAGES[kind][:1], 30)["test", LANGUAGES[kind][0]]

    def encode():
        return KINDS[kind].encode(task, examples, tiny.tokenizer, task.max_length)

    whole = encode()
    monkeypatch.setattr(base, "TOKENIZED", 4)
    number, chunked = beats(encode)
    assert chunked == whole
    assert number > len(examples) / 4
    assert KINDS[kind].encode(task, [], tiny.tokenizer, task.max_length) == []


def test_each_guess_of_masked_words_is_a_sign_of_life():
    """Edits ask the model about every word of a text in one call of theirs."""
    from perturb.edits.masked_lm import fill_by

    micro = Encoder(str(MICRO))
    model, mask = micro.masked_lm()
    fill = fill_by(model, micro.tokenizer, batch=1)
    number, _ = beats(lambda: fill([f"{mask} one", f"two {mask}", f"{mask} three"], 4))
    assert number == 3


def test_each_row_of_a_file_is_a_sign_of_life(tmp_path):
    rows = [{"premise": f"one {n}", "hypothesis": "two", "label": "neutral"} for n in range(40)]
    (tmp_path / "mnli").mkdir()
    (tmp_path / "mnli" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    number, found = beats(lambda: DataSource(str(tmp_path)).training(load_task("mnli", "")))
    assert len(found) == 40
    assert number > 40
