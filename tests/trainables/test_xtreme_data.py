"""The published tasks of the suite xtreme: their files against the manifest's counts, and the hub's form of rows."""

from __future__ import annotations

import datasets
import pytest

from search.settings import load_settings, load_suite
from search.study import Study
from trainables import corpus as corpus_module
from trainables.config import names
from trainables.corpus import FolderCorpus
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.examples import Example
from trainables.languages import LANGUAGES
from trainables.tasks import Task, load_task

TASKS = ["mnli", "qqp", "udpos", "xnli", "tatoeba"]
XTREME = {
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "udpos": "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
    "tatoeba": (
        "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi zh"
    ),
}


@pytest.fixture(scope="module")
def source(data_dir):
    return DataSource(str(data_dir))


def sizes(source, name, split):
    return {code: len(rows) for code, rows in source.load(load_task(name, ""), split).items()}


def study(data_dir, **flags):
    return Study(load_settings({"suite": "xtreme", "data_dir": str(data_dir), "model": "micro", **flags})[0])


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "split", "languages", "total", "fewest", "most"),
    [
        ("mnli", "train", 1, 8_815, 8_815, 8_815),
        ("mnli", "dev", 1, 1_000, 1_000, 1_000),
        ("qqp", "train", 1, 18_845, 18_845, 18_845),
        ("qqp", "dev", 1, 1_000, 1_000, 1_000),
        ("udpos", "train", 1, 19_789, 19_789, 19_789),
        ("udpos", "dev", 28, 7_651, 46, 300),
        ("udpos", "test", 38, 30_336, 47, 1_000),
        ("xnli", "dev", 16, 8_000, 500, 500),
        ("xnli", "test", 16, 15_984, 999, 999),
        ("tatoeba", "test", 112, 88_877, 104, 1_000),
    ],
)
def test_counts_are_the_manifests(source, name, split, languages, total, fewest, most):
    found = sizes(source, name, split)
    counts = found.values()
    assert (len(found), sum(counts), min(counts), max(counts)) == (languages, total, fewest, most)


@pytest.mark.data
@pytest.mark.parametrize("name", TASKS)
def test_every_language_is_known_and_listed_first(source, name):
    task = load_task(name, "")
    for split in ("train", "dev", "test"):
        found = list(source.load(task, split))
        assert set(found) <= set(LANGUAGES)
        first = [code for code in task.languages if code in found]
        assert found[: len(first)] == first
        if split == "test" and found:
            assert first == task.languages


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnli", "qqp", "udpos"])
def test_english_training_sets_hold_every_label(source, name):
    task = load_task(name, "")
    found = source.training(task)
    assert {example.lang for example in found} == {"en"}
    labels = {tag for example in found for tag in example.tags} if task.kind == "tagging" else {e.label for e in found}
    assert labels == set(task.labels)


@pytest.mark.data
@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("limit", [None, 40])
def test_xnli_has_the_same_items_in_every_language(data_dir, split, limit):
    found = DataSource(str(data_dir), limit).load(load_task("xnli", ""), split)
    assert len({tuple((example.id, example.label) for example in rows) for rows in found.values()}) == 1
    assert limit is None or len(found["en"]) == limit


@pytest.mark.data
def test_tatoeba_pairs_a_sentence_with_english(source):
    found = source.load(load_task("tatoeba", ""), "test")
    assert found["af"][0] == Example("0", "af", text="Haar Engels is uitstekend.", pair="Her English is excellent.")
    assert "en" not in found
    assert {"az", "lt", "ms", "pl", "ro", "uk", "gla", "yue"} <= set(found)


@pytest.mark.data
def test_the_grid_is_xtremes_unless_other_languages_are_asked_for(data_dir):
    found = study(data_dir)
    main = {name: sorted(set(codes) - set(found.apart[name])) for name, codes in found.grid.items()}
    assert {name: " ".join(codes) for name, codes in main.items()} == XTREME
    assert [len(codes) for codes in main.values()] == [15, 33, 36]
    assert found.apart == {"xnli": ["my"], "udpos": ["lt", "pl", "ro", "uk", "wo"], "tatoeba": []}
    assert found.partial == {}
    asked = study(data_dir, languages="pl,my,en,gla").grid
    assert asked == {"xnli": ["en", "my"], "udpos": ["en", "pl"], "tatoeba": ["gla", "pl"]}
    with pytest.raises(Mistake, match="no target has test data in language 'xx'"):
        _ = study(data_dir, languages="xx").grid


@pytest.mark.data
def test_the_suite_passes_the_checks_before_a_run(data_dir):
    study(data_dir, limit=50).check()


@pytest.mark.data
def test_pretraining_reads_no_test_file(data_dir, monkeypatch):
    opened = []

    def remember(opener):
        return lambda path, *rest, **named: opened.append(path) or opener(path, *rest, **named)

    monkeypatch.setattr(corpus_module.gzip, "open", remember(corpus_module.gzip.open))
    monkeypatch.setattr(corpus_module, "open", remember(open), raising=False)
    found = FolderCorpus(data_dir)
    assert found.lexicon()
    stems = {str(path.relative_to(data_dir)).split(".")[0] for path in opened}
    assert "xnli/val" in stems
    assert "udpos/train_en" in stems
    assert {stem.split("/")[1] for stem in stems} <= {"train", "train_en", "val"}
    held_out = {stem for name in TASKS for split, stem in load_task(name, "").source.folder.items() if split == "test"}
    assert held_out == {"xnli/test", "udpos/test", "tatoeba/test"}
    assert not stems & held_out


# --- the suite's files ------------------------------------------------------------------------------------------------


def test_the_suite():
    suite, _ = load_suite("xtreme")
    assert set(suite.intermediate) | set(suite.targets) == set(TASKS)
    assert set(TASKS) <= set(names("tasks"))
    settings, _ = load_settings({"suite": "xtreme"})
    assert (settings.model, settings.rates("full")) == ("FacebookAI/xlm-roberta-base", [2e-5])
    assert load_task("xnli", "").labels == load_task("mnli", "").labels
    assert load_task("tatoeba", "").trained_on is None


# --- the hub's form ---------------------------------------------------------------------------------------------------

NLI_NAMES = ["entailment", "neutral", "contradiction"]
TEXT = datasets.Value("string")


@pytest.fixture
def hub(monkeypatch):
    """A hub that holds what a test puts there: (path, configuration, split) → rows or a data set."""
    held, asked = {}, []

    def load_dataset(path, config=None, *, split, revision):
        asked.append((path, config, split, revision))
        found = held[path, config, split]
        return datasets.Dataset.from_list(found) if isinstance(found, list) else found

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    held["asked"] = asked
    return held


@pytest.mark.parametrize("name", TASKS)
def test_hub_revisions_are_whole_hashes(name):
    hub = load_task(name, "").source.hub
    assert len(hub.revision) == 40
    assert hub.splits.keys() == load_task(name, "").source.folder.keys()


def test_a_short_revision_is_a_mistake():
    fields = load_task("mnli", "").model_dump()
    fields["source"]["hub"]["revision"] = "main"
    with pytest.raises(ValueError, match="revision"):
        Task.model_validate(fields)


def test_mnli_from_the_hub(hub):
    rows = {"premise": ["A dog.", "A cat."], "hypothesis": ["An animal.", "A dog."], "label": [0, 2], "idx": [7, 9]}
    kinds = {"premise": TEXT, "hypothesis": TEXT, "label": datasets.ClassLabel(names=NLI_NAMES)}
    features = datasets.Features({**kinds, "idx": datasets.Value("int32")})
    hub["nyu-mll/glue", "mnli", "train"] = datasets.Dataset.from_dict(rows, features)
    task = load_task("mnli", "")
    assert DataSource().training(task) == [
        Example("7", "en", text="A dog.", pair="An animal.", label="entailment"),
        Example("9", "en", text="A cat.", pair="A dog.", label="contradiction"),
    ]
    assert hub["asked"] == [("nyu-mll/glue", "mnli", "train", task.source.hub.revision)]


def test_qqp_from_the_hub(hub):
    rows = {"question1": ["Who?", "Why?"], "question2": ["Who?", "How?"], "label": [1, 0], "idx": [0, 1]}
    label = datasets.ClassLabel(names=["not_duplicate", "duplicate"])
    features = datasets.Features({"question1": TEXT, "question2": TEXT, "label": label, "idx": datasets.Value("int32")})
    hub["nyu-mll/glue", "qqp", "validation"] = datasets.Dataset.from_dict(rows, features)
    found = DataSource().load(load_task("qqp", ""), "dev")["en"]
    assert found[0] == Example("0", "en", text="Who?", pair="Who?", label="duplicate")
    assert found[1].label == "not_duplicate"


def test_a_row_without_a_label_is_a_mistake(hub):
    rows = {"premise": ["A dog."], "hypothesis": ["An animal."], "label": [-1], "idx": [7]}
    kinds = {"premise": TEXT, "hypothesis": TEXT, "label": datasets.ClassLabel(names=NLI_NAMES)}
    features = datasets.Features({**kinds, "idx": datasets.Value("int32")})
    hub["nyu-mll/glue", "mnli", "train"] = datasets.Dataset.from_dict(rows, features)
    with pytest.raises(Mistake, match="unknown label '-1' for task 'mnli'") as caught:
        DataSource().training(load_task("mnli", ""))
    assert "hub nyu-mll/glue@bcdcba7, mnli, row 1" in str(caught.value)


def test_xnli_from_the_hub_is_parallel_by_row(hub):
    hub["google/xtreme", "XNLI", "test"] = [
        {"language": code, "sentence1": f"{code} {n}", "sentence2": "b", "gold_label": NLI_NAMES[n]}
        for code in ("ar", "en", "zh")
        for n in range(3)
    ]
    found = DataSource(limit=2).load(load_task("xnli", ""), "test")
    assert list(found) == ["en", "ar", "zh"]
    assert len({tuple((example.id, example.label) for example in rows) for rows in found.values()}) == 1
    whole = DataSource().load(load_task("xnli", ""), "test")
    assert whole["zh"][2] == Example("3", "zh", text="zh 2", pair="b", label="contradiction")


def test_udpos_from_the_hub_has_a_configuration_a_language(hub):
    task = load_task("udpos", "")
    names = sorted(task.labels)  # the hub's numbers follow its own order, whatever the task's is
    tags = datasets.Sequence(datasets.ClassLabel(names=names))
    features = datasets.Features({"tokens": datasets.Sequence(TEXT), "pos_tags": tags})

    def rows(*words):
        numbers = [names.index("NOUN")] * len(words)
        return datasets.Dataset.from_dict({"tokens": [list(words)], "pos_tags": [numbers]}, features)

    for code, config in task.source.hub.configs.items():
        hub["google/xtreme", config, "test"] = rows(code, "b")
    hub["google/xtreme", "udpos.English", "train"] = rows("trained")
    source = DataSource()
    found = source.load(task, "test")
    assert list(found) == task.languages
    assert found["fa"] == [Example("1", "fa", words=("fa", "b"), tags=("NOUN", "NOUN"))]
    assert [example.words for example in source.training(task)] == [("trained",)]
    assert " ".join(sorted(task.source.hub.configs)) == XTREME["udpos"]


def test_tatoeba_from_the_hub(hub):
    hub["mteb/tatoeba-bitext-mining", None, "test"] = [
        {"sentence1": "Haar Engels is uitstekend.", "sentence2": "Her English is excellent.", "lang": "afr-eng"},
        {"sentence1": "Salve.", "sentence2": "Hello.", "lang": "lat-eng"},
        {"sentence1": "Ek weet.", "sentence2": "I know.", "lang": "afr-eng"},
    ]
    found = DataSource().load(load_task("tatoeba", ""), "test")
    assert list(found) == ["af", "lat"]
    assert [example.text for example in found["af"]] == ["Haar Engels is uitstekend.", "Ek weet."]
    assert found["lat"] == [Example("1", "lat", text="Salve.", pair="Hello.")]


def test_a_hub_out_of_reach_is_a_mistake(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(Mistake, match=r"(?s)no route.*udpos.English.*--data-dir"):
        DataSource().training(load_task("udpos", ""))
