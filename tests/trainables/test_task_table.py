"""Every published task: its data against the manifest's counts, training and scoring on the micro encoder, sources."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import datasets
import pytest

from search.order import Order
from search.settings import load_settings, load_suite
from search.study import Study
from trainables.bench import Bench, Workplace
from trainables.config import configs_dir, names
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.fingerprint import MICRO
from trainables.languages import LANGUAGES
from trainables.rows import file_rows
from trainables.stage import Stage
from trainables.store import Store
from trainables.tasks import Task, load_task

# (split, languages, examples, the fewest and the most of a language), as MANIFEST.md counts them; where a dev set is
# taken out of a training set the two add up to the manifest's number, and a union's splits to those of its parts.
INTERMEDIATE = {
    "anli": [("train", 1, 2_897, 2_897, 2_897), ("dev", 1, 301, 301, 301), ("test", 1, 3_200, 3_200, 3_200)],
    "snli": [("train", 1, 8_842, 8_842, 8_842), ("dev", 1, 1_000, 1_000, 1_000)],
    "mnli": [("train", 1, 8_815, 8_815, 8_815), ("dev", 1, 1_000, 1_000, 1_000)],
    "anli-plus": [("train", 1, 20_554, 20_554, 20_554), ("dev", 1, 2_301, 2_301, 2_301)],
    "qqp": [("train", 1, 18_845, 18_845, 18_845), ("dev", 1, 1_000, 1_000, 1_000)],
    "squad": [("train", 1, 7_273, 7_273, 7_273), ("dev", 1, 800, 800, 800)],
    "hellaswag": [("train", 1, 8_532, 8_532, 8_532), ("dev", 1, 1_000, 1_000, 1_000)],
    "cosmosqa": [("train", 1, 2_485, 2_485, 2_485), ("dev", 1, 500, 500, 500)],
    "commonsenseqa": [("train", 1, 9_741, 9_741, 9_741), ("dev", 1, 1_221, 1_221, 1_221)],
    "codah": [("train", 1, 2_500, 2_500, 2_500), ("dev", 1, 276, 276, 276)],
    "ud-xpos-deprel": [
        ("train", 1, 12_544, 12_544, 12_544), ("dev", 1, 2_001, 2_001, 2_001), ("test", 1, 2_077, 2_077, 2_077),
    ],
}  # fmt: skip
TARGETS = {
    "xnli": [("dev", 16, 8_000, 500, 500), ("test", 16, 15_984, 999, 999)],
    "pawsx": [("train", 1, 2_479, 2_479, 2_479), ("dev", 7, 2_100, 300, 300), ("test", 7, 7_000, 1_000, 1_000)],
    "udpos": [("train", 1, 19_789, 19_789, 19_789), ("dev", 28, 7_651, 46, 300), ("test", 38, 30_336, 47, 1_000)],
    "panx": [("train", 1, 19_824, 19_824, 19_824), ("dev", 47, 11_490, 24, 300), ("test", 47, 37_236, 69, 1_000)],
    "xquad": [("test", 12, 12_000, 1_000, 1_000)],
    "mlqa": [("test", 7, 4_051, 500, 1_000)],
    "tydiqa": [("train", 1, 3_348, 3_348, 3_348), ("dev", 1, 348, 348, 348), ("test", 2, 2_000, 1_000, 1_000)],
    "bucc": [("test", 1, 6_514, 6_514, 6_514)],
    "tatoeba": [("test", 112, 88_877, 104, 1_000)],
}
ABSENT = ("ccg", "mlm", "squad2")
"""Tasks whose data are in no folder of ours: licensed, a user's own, on the hub alone."""

XTREME = {
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "pawsx": "de en es fr ja ko zh",
    "udpos": "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
    "panx": (
        "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl tr "
        "ur vi yo zh"
    ),
    "xquad": "ar de el en es hi ru th tr vi zh",
    "mlqa": "ar de en es hi vi zh",
    "tydiqa": "ar bn en fi id ko ru sw te",
    "bucc": "de fr ru zh",
    "tatoeba": (
        "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi zh"
    ),
}
EXTRA = {"xnli": "my", "udpos": "lt pl ro uk wo", "panx": "az gu lt pa pl qu ro uk", "xquad": "ro"}
PUBLISHED = [*INTERMEDIATE, *TARGETS]


def task_of(name):
    return load_task(name, "--tasks")


def own(**fields):
    """A task of a test's own."""
    return Task.model_validate({"name": "own", **fields})


def write(folder, stem, rows):
    path = folder / f"{stem}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return path


def raw(data_dir, stem):
    with gzip.open(data_dir / f"{stem}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def study(data_dir, **flags):
    found = {"suite": "xtreme-full", "data_dir": str(data_dir), "model": "micro", **flags}
    return Study(load_settings(found)[0])


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_shipped_task_is_in_a_table():
    shipped = {name for name in names("tasks") if not (name.startswith("mini-") or task_of(name).mixed)}
    assert shipped == {*PUBLISHED, *ABSENT}


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_manifests(data_dir, name):
    source, task = DataSource(str(data_dir)), task_of(name)
    for split, *expected in (INTERMEDIATE | TARGETS)[name]:
        counts = [len(rows) for rows in source.load(task, split).values()]
        assert [len(counts), sum(counts), min(counts), max(counts)] == expected, split
    if not task.source.tasks:
        assert task.source.splits == {split for split, *_ in (INTERMEDIATE | TARGETS)[name]}


def test_languages_are_xtremes():
    found = {name: " ".join(sorted(task_of(name).languages)) for name in TARGETS}
    assert found == XTREME
    assert [len(codes.split()) for codes in XTREME.values()] == [15, 7, 33, 40, 11, 7, 9, 4, 36]
    assert {n: " ".join(task_of(n).extra_languages) for n in TARGETS if task_of(n).extra_languages} == EXTRA
    assert {code for codes in (*XTREME.values(), *EXTRA.values()) for code in codes.split()} <= set(LANGUAGES)


@pytest.mark.parametrize("name", [*PUBLISHED, *ABSENT])
def test_what_a_file_says(name):
    task = task_of(name)
    text = (configs_dir() / "tasks" / f"{name}.yaml").read_text("utf-8")
    first = text.split("\nname:")[0].split("\n")
    assert all(line.startswith("# ") for line in first)
    assert any(line.startswith("#   python search/run.py --suite ") and name in line for line in first)
    assert task.name == name
    assert task.question
    assert task.licence
    assert task.citation
    questions = task.kind == "span"
    assert task.max_length == (384 if questions else 256 if name == "cosmosqa" else 128)
    assert not questions or task.span.stride == 128
    assert task.metric == {"squad2": "squad_v2", "mlqa": "mlqa"}.get(name, "squad" if questions else task.metric)
    if task.source.hub and task.source.folder and name != "anli":  # ANLI's dev set is on the hub alone
        held = set(task.source.hub.splits) | ({"dev"} if task.source.carved_dev else set())
        assert held == task.source.splits


def test_intermediate_tasks_are_rated():
    """Masked language modelling has no labels, and so no difficulty in this sense."""
    rated = {name: task_of(name).difficulty for name in (*INTERMEDIATE, "ccg", "squad2", "udpos")}
    assert all(rating is not None and rating.source.startswith("docs/tasks.md, rule ") for rating in rated.values())
    high = {name for name, rating in rated.items() if rating.rating == "high"}
    assert high == {"anli", "anli-plus", "hellaswag", "cosmosqa", "commonsenseqa", "codah"}


def test_the_page_of_tasks_names_them_all():
    page = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text("utf-8")
    for name in (*PUBLISHED, *ABSENT):
        rows = [line for line in page.split("\n") if line.startswith(f"| {name} |")]
        task = task_of(name)
        assert any(task.kind in row for row in rows), name
        if task.difficulty:
            assert any(f"| {task.difficulty.rating} |" in row for row in rows), name


# --- the suite of all tasks -------------------------------------------------------------------------------------------


def test_the_suite_has_all_targets():
    suite, _ = load_suite("xtreme-full")
    assert set(suite.targets) == set(TARGETS)
    assert set(suite.intermediate) <= set(INTERMEDIATE)
    assert len(suite.intermediate) == 8


@pytest.mark.data
def test_partial_targets_and_extra_languages_are_told(data_dir):
    found = study(data_dir)
    said = found.partial
    assert set(said) == {"panx", "tydiqa", "bucc"}
    assert said["panx"].startswith("39 of 40 languages (en, af, ")
    assert " th" not in said["panx"]
    assert said["tydiqa"] == "2 of 9 languages (ko, sw)"
    assert said["bucc"] == "1 of 4 languages (zh)"
    apart = {name: " ".join(codes) for name, codes in found.apart.items() if codes}
    assert apart == EXTRA
    grid = {name: len(codes) for name, codes in found.grid.items()}
    assert grid == {"xnli": 16, "pawsx": 7, "udpos": 38, "panx": 47, "xquad": 12, "mlqa": 7, "tydiqa": 2, "bucc": 1,
                    "tatoeba": 36}  # fmt: skip
    assert study(data_dir, languages="ko,zh,my", targets="xnli,tydiqa,bucc").partial == {}


@pytest.mark.data
def test_the_suite_passes_the_checks_before_a_run(data_dir):
    study(data_dir, limit=50).check()


@pytest.mark.data
@pytest.mark.parametrize(
    ("order", "targets"),
    [("mnli", ["xnli"]), ("anli-plus", ["xnli"]), ("squad", ["xquad", "mlqa"]), ("qqp>hellaswag", []), ("none", [])],
)
def test_training_sets_that_are_a_targets_own_are_told(data_dir, order, targets):
    assert study(data_dir).own_training_set(Order.parse(order)) == targets


# --- training and scoring ---------------------------------------------------------------------------------------------

SETTINGS = {"learning_rate": 5e-4, "batch_size": 4, "warmup": 2, "weight_decay": 0.01}
STEPS, LIMIT = 20, 64
QUICK = ("mnli", "codah", "ud-xpos-deprel", "pawsx", "tydiqa", "bucc")
"""One of each kind; all of them together take a core two minutes."""


def each_of(tasks):
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in tasks]


def stages_of(task):
    train = Stage("train", None, (task.trained_on,), ("0" * 16,), "micro", "full", SETTINGS, STEPS, 0)
    made = [train] if task.trained_on else []
    return [*made, Stage("score", train.key if made else None, (task.name,), ("1" * 16,), "micro", "full")]


def run(tmp_path, data_dir, task, languages, scored):
    """20 steps on at most 64 examples, then scores of at most `scored` examples a language."""
    source = DataSource(str(data_dir))
    tasks = {name: source.resolved(task_of(name)) for name in {task.trained_on or task.name} - {task.name}}
    tasks[task.name] = source.resolved(task)
    place = {
        "store": str(tmp_path / "store"), "model": str(MICRO), "data_dir": str(data_dir),
        "tasks": {name: one.model_dump(mode="json") for name, one in tasks.items()},
        "languages": {task.name: languages},
    }  # fmt: skip
    for stage in stages_of(task):
        Bench(Workplace(**place, limit=LIMIT if stage.kind == "train" else scored)).run(stage)
    store = Store(place["store"])
    return [store.record(stage.key) for stage in stages_of(task)]


@pytest.mark.data
@pytest.mark.parametrize("name", each_of(INTERMEDIATE))
def test_an_intermediate_task_trains(tmp_path, data_dir, name):
    train, scores = run(tmp_path, data_dir, task_of(name), [], 8)
    assert all(math.isfinite(train[figure]) for figure in ("loss_first", "loss_last"))
    main = {row["portion"]: row for row in scores["scores"] if row["main"]}
    assert set(main) == {"dev"}
    assert main["dev"]["n"] >= 8  # sentences, or the words of so many
    assert 0 <= main["dev"]["value"] <= 1


@pytest.mark.data
@pytest.mark.parametrize("name", each_of(TARGETS))
def test_a_target_is_trained_and_scored_in_each_language(tmp_path, data_dir, name):
    task = task_of(name)
    found = DataSource(str(data_dir)).languages(task, "test")
    languages = [code for code in (*task.languages, *task.extra_languages) if code in found]
    # Mining needs sentences that have a translation, and few have one.
    records = run(tmp_path, data_dir, task, languages, 400 if task.kind == "mining" else 8)
    assert all(math.isfinite(record["loss_last"]) for record in records[:-1])
    rows = [row for row in records[-1]["scores"] if row["portion"] in ("dev", "test")]
    assert all(0 <= row["value"] <= 1 for row in rows), rows
    assert [row["language"] for row in rows if row["main"] and row["portion"] == "test"] == languages
    assert [row["language"] for row in rows if row["main"] and row["portion"] == "dev"] == ["en"] * bool(
        task.trained_on
    )
    assert task.kind == "mining" or all(row["n"] == 8 for row in rows if row["main"])


# --- tasks whose data are elsewhere -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ccg", r"(?s)CCGbank's train sections \(02 to 21\) are not there.*ccgbank_1_1/data/AUTO.*LDC2005T13"),
        ("mlm", r"(?s)'mlm' needs the file text/en.jsonl.gz"),
        ("squad2", r"(?s)'squad2' needs the file squad2/train.jsonl.gz"),
    ],
)
def test_what_is_missing_is_said(tmp_path, name, said):
    source = DataSource(str(tmp_path))
    with pytest.raises(Mistake, match=said):
        source.training(source.resolved(task_of(name)))


@pytest.mark.parametrize("name", ["ccg", "cosmosqa", "codah", "ud-xpos-deprel", "mlm", "bucc"])
def test_tasks_that_need_a_folder_say_so(name):
    task = task_of(name)
    with pytest.raises(Mistake, match="in a data folder only"):
        DataSource().load(task, "test" if name == "bucc" else "train")


AUTO = """ID=wsj_{number}.1 PARSER=GOLD NUMPARSE=1
(<T S[dcl] 0 2> (<L NP NNP NNP Ann NP>) (<L S[dcl]\\NP VBZ VBZ sleeps S[dcl]\\NP>) )
"""


def test_ccgbank_is_read(tmp_path):
    for section in ("00", "02", "21"):
        path = tmp_path / "ccgbank_1_1" / "data" / "AUTO" / section / f"wsj_{section}01.auto"
        path.parent.mkdir(parents=True)
        path.write_text(AUTO.replace("{number}", f"{section}01"))
    source = DataSource(str(tmp_path))
    task = source.resolved(task_of("ccg"))
    assert task.labels == ["NP", "S[dcl]\\NP"]
    train = source.training(task)
    assert [(example.id, example.words) for example in train] == [
        ("wsj_0201.1", ("Ann", "sleeps")), ("wsj_2101.1", ("Ann", "sleeps")),
    ]  # fmt: skip
    assert [example.tags for example in source.load(task, "dev")["en"]] == [("NP", "S[dcl]\\NP")]


def test_a_users_text_trains_beside_a_task(tmp_path):
    """Masked language modelling mixed into a stage: `mlm+topics`, text in two languages, labels in English alone."""
    for code, text in {"en": "Ann sleeps .", "de": "Anna schläft ."}.items():
        write(tmp_path, f"text/{code}", [{"text": f"{text} {number}"} for number in range(20)])
    rows = [{"text": f"number {number}", "label": ("odd", "even")[number % 2]} for number in range(20)]
    write(tmp_path, "topics/train", rows)
    topics = own(kind="classification", labels=["odd", "even"], source={"folder": {"train": "topics/train"}})
    found = DataSource(str(tmp_path)).training(task_of("mlm"))
    assert sorted({example.lang for example in found}) == ["de", "en"]
    tasks = {task.name: task.model_dump(mode="json") for task in (task_of("mlm"), topics)}
    place = Workplace(str(tmp_path / "store"), str(MICRO), tasks, {}, str(tmp_path))
    settings = {**SETTINGS, "sampling": "uniform"}
    stage = Stage("train", None, ("mlm", "own"), ("0" * 16,) * 2, "micro", "full", settings, STEPS, 0)
    assert Bench(place).run(stage).made
    assert math.isfinite(Store(place.store).record(stage.key)["loss_last"])


# --- dev sets that are taken out --------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("name", "field", "whole"), [("tydiqa", "pair", 3_696), ("anli", "text", 3_198)])
def test_a_dev_set_shares_no_passage_with_training(data_dir, name, field, whole):
    source = DataSource(str(data_dir))
    train, dev = (source.load(task_of(name), split)["en"] for split in ("train", "dev"))
    assert not {getattr(example, field) for example in train} & {getattr(example, field) for example in dev}
    assert len(train) + len(dev) == whole == len({example.id for example in (*train, *dev)})
    assert 0.05 < len(dev) / whole < 0.15


def test_a_dev_set_needs_a_field_that_rows_fill(tmp_path):
    """TyDiQA's common copies leave titles blank: by them all rows would fall on one side."""
    task = own(
        kind="classification", labels=["a"], source={"folder": {"train": "train"}, "carved_dev": {"by": "title"}}
    )
    write(tmp_path, "train", [{"text": "one", "label": "a", "title": ""}])
    with pytest.raises(Mistake, match=r"the row has no 'title' to take the dev set of 'own' by"):
        DataSource(str(tmp_path)).training(task)


def test_a_dev_set_that_is_there_is_not_taken_out(tmp_path):
    source = {"folder": {"train": "train", "dev": "dev"}, "carved_dev": {"by": "text"}}
    task = own(kind="classification", labels=["a"], source=source)
    for split in ("train", "dev"):
        write(tmp_path, split, [{"text": f"{split} {number}", "label": "a"} for number in range(50)])
    found = DataSource(str(tmp_path))
    assert len(found.training(task)) == len(found.load(task, "dev")["en"]) == 50


# --- unions and joined tags -------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_unions_ids_are_unique(data_dir, split):
    source = DataSource(str(data_dir))
    union = source.load(task_of("anli-plus"), split)["en"]
    parts = {name: source.load(task_of(name), split)["en"] for name in ("anli", "mnli", "snli")}
    assert len({example.id for example in union}) == len(union) == sum(map(len, parts.values()))
    for name, rows in parts.items():
        assert [e.text for e in union if e.id.startswith(f"{name}:")] == [e.text for e in rows]
    assert {example.label for example in union} == {"entailment", "neutral", "contradiction"}


def test_a_union_of_unions_has_all_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kind = "kind: classification\nlabels: [a]\n"
    for name, source in {
        "one": "{folder: {train: one}}", "two": "{folder: {train: two}}",
        "both": "{tasks: [./one.yaml, ./two.yaml]}", "all": "{tasks: [./both.yaml]}",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n{kind}source: {source}\n")
        write(tmp_path, name, [{"id": "1", "text": name, "label": "a"}])
    found = DataSource(str(tmp_path)).training(load_task("./all.yaml", ""))
    assert [(example.id, example.text) for example in found] == [("both:one:1", "one"), ("both:two:1", "two")]


@pytest.mark.data
def test_tags_of_two_fields_are_joined(data_dir):
    source = DataSource(str(data_dir))
    task = source.resolved(task_of("ud-xpos-deprel"))
    first = source.training(task)[0]
    assert first.words == ("Where", "in", "the", "world", "is", "Iguazu", "?")
    assert first.tags == ("WRB|root", "IN|case", "DT|det", "NN|obl", "VBZ|cop", "NNP|nsubj", ".|punct")
    assert len(task.labels) == 632


@pytest.mark.parametrize("deprel", [["case"], "case det", None])
def test_fields_that_cannot_be_joined(tmp_path, deprel):
    write(tmp_path, "ud_ewt/train", [{"id": "1", "tokens": ["in", "the"], "xpos": ["IN", "DT"], "deprel": deprel}])
    with pytest.raises(Mistake, match="joined to tags are not lists of the same length"):
        DataSource(str(tmp_path)).training(task_of("ud-xpos-deprel"))


# --- the hub's form ---------------------------------------------------------------------------------------------------

TEXT = datasets.Value("string")
NLI = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
ANSWERS = datasets.Sequence({"text": TEXT, "answer_start": datasets.Value("int32")})


@pytest.fixture
def hub(monkeypatch):
    """A hub that holds what a test puts there: (path, configuration, split) → rows or a data set."""
    held = {}

    def load_dataset(path, config=None, *, split, revision):
        found = held[path, config, split]
        return datasets.Dataset.from_list(found) if isinstance(found, list) else found

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return held


def as_on_the_hub(row):
    """A row of SQuAD's form as the hub's copies have it: blanks cut off, offsets as they were, a dict of lists."""
    answers = row["answers"]
    return {
        "id": row["id"], "title": row["title"], "context": row["context"].strip(), "question": row["question"],
        "answers": {"text": [a["text"].strip() for a in answers], "answer_start": [a["answer_start"] for a in answers]},
    }  # fmt: skip


def spelled(example):
    """An example without the blanks that the hub cuts off."""
    text, start = example.answers[0].text, example.answers[0].start
    at = start + len(text) - len(text.lstrip()) - (len(example.pair) - len(example.pair.lstrip()))
    return example.id, example.text, example.pair.strip(), text.strip(), at


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "config"), [("squad", None), ("xquad", "xquad.{lang}"), ("mlqa", "MLQA.{lang}.{lang}")]
)
def test_questions_from_the_hub_are_those_of_the_folder(hub, data_dir, name, config):
    task = task_of(name)
    split = "test" if config else "train"
    expected = DataSource(str(data_dir)).load(task, split)
    rows = raw(data_dir, f"{name}/{split}")
    for code in expected:
        held = [as_on_the_hub(row) for row in rows if row["lang"] == code]
        place = (task.source.hub.path, config and config.replace("{lang}", code), task.source.hub.splits[split])
        hub[place] = datasets.Dataset.from_list(held)
    found = DataSource().load(task, split)
    assert list(found) == list(expected)
    for code, examples in found.items():
        assert [spelled(example) for example in examples] == [spelled(example) for example in expected[code]]


def test_tydiqa_from_the_hub(hub):
    """One configuration for all languages, the language in the id; the dev set is taken out of the English rows."""
    task = task_of("tydiqa")

    def row(language, number):
        answers = {"text": ["here"], "answer_start": [10]}
        context = f"it is {number:02d} here"  # the offset counts a blank that the hub's copy lost
        return {
            "id": f"{language}-{number}-0",
            "title": "",
            "context": context,
            "question": "Where?",
            "answers": answers,
        }

    rows = [row(language, number) for number in range(60) for language in ("finnish", "english", "swahili")]
    hub["google/xtreme", "tydiqa", "train"] = rows
    hub["google/xtreme", "tydiqa", "validation"] = rows[:9]
    source = DataSource()
    train, dev = source.training(task), source.load(task, "dev", ["en"])["en"]
    assert len(train) + len(dev) == 60
    assert 1 <= len(dev) <= 15
    assert train[0].id.startswith("english-")
    assert train[0].answers[0].start == 9
    assert {code: len(found) for code, found in source.load(task, "test").items()} == {"en": 3, "fi": 3, "sw": 3}


def test_snli_from_the_hub_leaves_out_what_has_no_label(hub):
    rows = {"premise": ["A dog."] * 3, "hypothesis": ["An animal."] * 3, "label": [0, -1, 2]}
    features = datasets.Features({"premise": TEXT, "hypothesis": TEXT, "label": NLI})
    hub["stanfordnlp/snli", None, "train"] = datasets.Dataset.from_dict(rows, features)
    found = DataSource().training(task_of("snli"))
    assert [(example.id, example.label) for example in found] == [("1", "entailment"), ("3", "contradiction")]


def test_anli_from_the_hub_is_its_three_rounds(hub):
    features = datasets.Features({"uid": TEXT, "premise": TEXT, "hypothesis": TEXT, "label": NLI, "reason": TEXT})
    rows = {"uid": ["a"], "premise": ["P"], "hypothesis": ["H"], "label": [1], "reason": [""]}
    held = datasets.Dataset.from_dict(rows, features)
    hub["facebook/anli", None, "train_r1+train_r2+train_r3"] = held
    hub["facebook/anli", None, "dev_r1+dev_r2+dev_r3"] = held
    source = DataSource()
    assert [example.label for example in source.training(task_of("anli"))] == ["neutral"]
    assert len(source.load(task_of("anli"), "dev")["en"]) == 1  # not taken out of the training set: it is there


def test_choices_from_the_hub(hub):
    choices = {"label": list("ABCDE"), "text": ["one", "two", "three", "four", "five"]}
    hub["tau/commonsense_qa", None, "train"] = [
        {"id": "x", "question": "How many?", "question_concept": "number", "choices": choices, "answerKey": "C"}
    ]
    hub["Rowan/hellaswag", None, "train"] = [
        {
            "ind": 4,
            "activity_label": "a",
            "ctx": "A man",
            "endings": ["sits.", "runs.", "eats.", "flies."],
            "label": "3",
        }
    ]
    (common,), (swag,) = (DataSource().training(task_of(name)) for name in ("commonsenseqa", "hellaswag"))
    assert (common.text, common.pair, common.choices, common.label) == ("How many?", None, tuple(choices["text"]), "2")
    assert (swag.text, swag.choices[3], swag.label) == ("A man", "flies.", "3")


def test_unanswerable_questions_from_the_hub(hub):
    rows = [
        {"id": "1", "title": "t", "context": "Ann sleeps.", "question": "Who?",
         "answers": {"text": ["Ann"], "answer_start": [0]}},
        {"id": "2", "title": "t", "context": "Ann sleeps.", "question": "Why?",
         "answers": {"text": [], "answer_start": []}},
    ]  # fmt: skip
    features = datasets.Features({"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS})
    hub["rajpurkar/squad_v2", None, "train"] = datasets.Dataset.from_list(rows, features)
    assert [len(example.answers) for example in DataSource().training(task_of("squad2"))] == [1, 0]


def test_rows_that_are_skipped_leave_the_others_parallel(hub):
    """PAWS-X has empty sentences on the hub; rows have no id there and are parallel by their number."""
    task = task_of("pawsx")
    for code, config in task.source.hub.configs.items():
        rows = [{"sentence1": f"{code} {n}", "sentence2": "b", "label": str(n % 2)} for n in range(4)]
        rows[1]["sentence2"] = "" if code == "es" else "b"
        hub["google/xtreme", config, "test"] = rows
    source = DataSource(on_bad_row="skip")
    found = source.load(task, "test")
    assert [example.id for example in found["de"]] == ["1", "2", "3", "4"]
    assert [(e.id, e.text) for e in found["es"]] == [("1", "es 0"), ("3", "es 2"), ("4", "es 3")]
    assert [example.label for example in found["es"]] == ["different", "different", "same"]
    assert len(source.skipped) == 1


# --- mining -----------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_bucc_pairs_its_sentences(data_dir):
    found = DataSource(str(data_dir)).load(task_of("bucc"), "test")["zh"]
    sources, targets = ([e for e in found if e.label == side] for side in ("source", "target"))
    assert len(sources) == len(targets) == 3_257
    pairs = {(example.id, example.pair) for example in sources if example.pair}
    assert len(pairs) == 257
    assert pairs == {(example.pair, example.id) for example in targets if example.pair}
    gold = {(str(row["zh"]), str(row["en"])) for _, row in file_rows(data_dir / "bucc2018" / "zh-en.gold.jsonl.gz")}
    assert pairs == gold
    assert {example.lang for example in found} == {"zh"}


def test_gold_files_may_differ_by_split(tmp_path):
    """BUCC's splits use the same ids for other sentences."""
    for split, pair in {"dev": "en-2", "test": "en-1"}.items():
        rows = [
            {"lang": "de", "id": "de-1", "text": "Eins."},
            *({"lang": "en", "id": f"en-{n}", "text": str(n)} for n in (1, 2)),
        ]
        write(tmp_path, f"de-en.{split}.sentences", rows)
        write(tmp_path, f"de-en.{split}.gold", [{"de": "de-1", "en": pair}])
    folder = {split: f"{{lang}}-en.{split}.sentences" for split in ("dev", "test")}
    task = own(kind="mining", languages=["de"], source={"folder": folder, "gold": "{lang}-en.{split}.gold"})
    source = DataSource(str(tmp_path))
    assert {split: source.load(task, split)["de"][0].pair for split in ("dev", "test")} == {
        "dev": "en-2",
        "test": "en-1",
    }
