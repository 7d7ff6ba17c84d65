"""A study's stages: what shares a key, what changes one; counts against enumeration; a plan of a million orders."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from enumerating import enumerated

from search.candidate import Candidate
from search.order import Order
from search.settings import Settings, load_settings
from search.study import Study
from trainables.config import configs_dir

ROOT = Path(__file__).resolve().parents[2]


def study_of(world, **changed):
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    return Study(*load_settings(flags, changed))


def stages_of(study, order, seed=0, method="full", rate=1e-3):
    return study.stages(Candidate(Order.parse(order), method, rate), seed)


def keys(study, order, kind=None, **changed):
    return [stage.key for stage in stages_of(study, order, **changed) if kind in (None, stage.kind)]


# --- stages -----------------------------------------------------------------------------------------------------------


def test_what_a_run_consists_of(world):
    stages = stages_of(study_of(world), "pairs>topics")
    assert [(stage.kind, stage.tasks) for stage in stages] == [
        ("train", ("pairs",)), ("train", ("topics",)), ("train", ("tags",)),
        ("score", ("tags",)), ("score", ("links",)),
    ]  # fmt: skip
    pairs, topics, tags, tags_score, links_score = stages
    assert (pairs.parent, topics.parent, tags.parent) == (None, pairs.key, topics.key)
    assert (tags_score.parent, links_score.parent) == (tags.key, topics.key)
    assert [stage.seed for stage in stages] == [0, 0, 0, None, None]
    assert [stage.steps for stage in stages] == [100, 100, 100, 0, 0]


@pytest.mark.parametrize("order", ["none", "pairs", "topics>pairs", "pairs+topics", "pairs>topics"])
def test_parents_come_first(world, order):
    seen = {None}
    for stage in stages_of(study_of(world), order):
        assert stage.parent in seen
        seen.add(stage.key)
    assert len(seen) == 1 + len(stages_of(study_of(world), order))


def test_shared_prefixes_share_keys(world):
    study = study_of(world)
    assert keys(study, "pairs>topics")[0] == keys(study, "pairs")[0]
    assert not set(keys(study, "pairs>topics")) & set(keys(study, "topics>pairs"))
    assert not set(keys(study, "pairs+topics")) & set(keys(study, "pairs>topics"))


def test_seeds_and_methods_and_rates_differ(world):
    study = study_of(world)
    for other in ({"seed": 1}, {"method": "probe"}, {"rate": 5e-4}):
        assert not set(keys(study, "pairs>topics")) & set(keys(study, "pairs>topics", **other)), other


def test_the_empty_order_scores_untrained_targets_once(world):
    study = study_of(world)
    by_seed = [{stage.tasks[0]: stage.key for stage in stages_of(study, "none", seed)[1:]} for seed in range(3)]
    assert len({found["links"] for found in by_seed}) == 1
    assert len({found["tags"] for found in by_seed}) == 3
    assert study.score_stage(Candidate(Order(), "full", 1e-3), 2, "links").parent is None


def test_two_targets_trained_alike_share_the_training(world):
    world.yaml("tags2", (world.folder / "tags.yaml").read_text().replace("name: tags", "name: tags2") + "train: tags\n")
    study = study_of(world, targets=[world.of("tags"), world.of("tags2")])
    stages = stages_of(study, "pairs")
    assert [(stage.kind, stage.tasks[0]) for stage in stages] == [
        ("train", "pairs"), ("train", "tags"), ("score", "tags"), ("score", "tags2"),
    ]  # fmt: skip
    assert stages[2].parent == stages[3].parent


def test_a_targets_own_training_after_the_same_task(world):
    """Trained twice in a row, as it would be alone, not once: the second is another stage."""
    study = study_of(world, targets=[world.of("pairs")])
    stages = stages_of(study, "topics>pairs")
    assert [stage.tasks[0] for stage in stages] == ["topics", "pairs", "pairs", "pairs"]
    assert keys(study, "topics")[1] == keys(study, "topics>pairs")[1]


# --- what changes a key -----------------------------------------------------------------------------------------------


def changes(before, after, order="pairs>topics"):
    """The stages whose keys differ, as kind and task."""
    both = zip(stages_of(before, order), stages_of(after, order), strict=True)
    return {(old.kind, old.tasks[0]) for old, new in both if old.key != new.key}


TRAIN = {("train", "pairs"), ("train", "topics"), ("train", "tags")}
SCORE = {("score", "tags"), ("score", "links")}


def test_nothing_changes_without_a_change(world):
    assert changes(study_of(world), study_of(world, seeds=5, strategy="random", max_concurrent=1)) == set()


def test_a_language_changes_scores_alone(world):
    assert changes(study_of(world, languages=["de"]), study_of(world, languages=["de", "sw"])) == {("score", "links")}
    assert changes(study_of(world, languages=["de"]), study_of(world)) == SCORE


def test_a_target_more_changes_nothing_else(world):
    assert set(keys(study_of(world, targets=[world.of("links")]), "pairs")) < set(keys(study_of(world), "pairs"))


def test_a_limit_changes_everything(world):
    assert changes(study_of(world), study_of(world, limit=2)) == TRAIN | SCORE


@pytest.mark.parametrize(("train", "changed"), [
    ({"batch_size": 8}, TRAIN | SCORE),
    ({"warmup": 1}, TRAIN | SCORE),
    ({"steps": 50}, TRAIN | SCORE),
    ({"target_steps": 50}, {("train", "tags"), ("score", "tags")}),
])  # fmt: skip
def test_budgets_change_what_they_reach(world, train, changed):
    assert changes(study_of(world), study_of(world, train=train)) == changed


def test_data_change_what_reads_them(world):
    before = study_of(world)
    stages_of(before, "pairs>topics")
    world.rows("topics/train", [{"id": "1", "text": "other", "label": "yes"}])
    assert changes(before, study_of(world)) == {("train", "topics"), ("train", "tags")} | SCORE
    before = study_of(world)
    stages_of(before, "pairs>topics")
    world.rows("tags/test", [{"id": "1", "words": ["other"], "tags": ["N"]}])
    assert changes(before, study_of(world)) == {("score", "tags")}
    before = study_of(world)
    stages_of(before, "pairs>topics")
    world.rows("tags/dev", [{"id": "1", "words": ["other"], "tags": ["N"]}])
    assert changes(before, study_of(world)) == {("score", "tags")}


def test_a_borrowed_dev_set_changes_the_score(world):
    """A target without a dev set of its own is selected by that of the task it is trained on."""
    source = {"folder": {"test": "tags/test"}}
    world.task("tags2", kind="tagging", labels=["N", "V"], train="tags", source=source)
    changed = {"intermediate": [world.of("tags"), world.of("topics")], "targets": [world.of("tags2")]}
    before = study_of(world, **changed)
    stages_of(before, "topics")
    world.rows("tags/dev", [{"id": "1", "words": ["other"], "tags": ["N"]}])
    assert changes(before, study_of(world, **changed), "topics") == {("score", "tags2")}


def test_the_model_changes_everything(world):
    before = study_of(world)
    stages_of(before, "pairs>topics")
    (world.model / "model.safetensors").write_text("\x06\0\0\0\0\0\0\0{    }")
    assert changes(before, study_of(world)) == TRAIN | SCORE


def test_the_precision_changes_everything_and_float32_nothing(world):
    plain, float32, bfloat16 = (
        study_of(world),
        study_of(world, precision="float32"),
        study_of(world, precision="bfloat16"),
    )
    assert changes(plain, float32) == set()
    assert changes(plain, bfloat16) == TRAIN | SCORE
    assert plain.identity == float32.identity != bfloat16.identity
    assert {**plain.numeric, "dtype": "bfloat16"} == bfloat16.numeric
    for dtype, study in {"float32": plain, "bfloat16": bfloat16}.items():
        stages = stages_of(study, "pairs>topics")
        assert {stage.dtype for stage in stages} == {stage.settings["dtype"] for stage in stages} == {dtype}
    assert all("precision" not in stage.settings for stage in stages)


def test_words_for_people_change_nothing(world):
    before = study_of(world)
    stages_of(before, "pairs>topics")
    world.yaml("pairs", (world.folder / "pairs.yaml").read_text() + "licence: CC0\nquestion: does it follow?\n")
    assert changes(before, study_of(world)) == set()


def test_the_workplace_is_json_with_absolute_places(world):
    place = json.loads(study_of(world, data_dir="data").workplace())
    assert place["data_dir"] == str(world.data)
    assert place["store"] == str(world.out / "store")
    assert place["languages"] == {"tags": ["de", "en"], "links": ["de", "sw"]}
    assert set(place["tasks"]) == {"pairs", "topics", "tags", "links"}


# --- counts -----------------------------------------------------------------------------------------------------------


class Counting(Study):
    """A study of tasks a, b, … whose data need not exist."""

    fingerprints = property(lambda self: dict.fromkeys(itertools.product(("train", "score"), "abcdexyz"), "-"))
    model_fingerprint = property(lambda self: "-")
    _check_tasks = lambda self: None  # noqa: E731


def task_files(folder, names, retrieval="z"):
    found = {}
    for name in names:
        kind = {"kind": "retrieval"} if name == retrieval else {"kind": "classification", "labels": ["l"]}
        found[name] = folder / f"{name}.yaml"
        found[name].write_text(yaml.safe_dump({"name": name, **kind, "source": {"mini": "nli"}}))
    return found


@pytest.mark.parametrize("number", [2, 3, 4, 5])
@pytest.mark.parametrize("target_steps", [100, 50])
@pytest.mark.parametrize("targets", ["x", "z", "xz", "az", "abz", "ax"])
def test_counts_of_subsets(tmp_path, number, target_steps, targets):
    files = task_files(tmp_path, "abcdexz")
    longest = {5: (1, 2, 3)}.get(number, range(1, number + 1))
    seeds_and_rates = [(1, [1e-3]), (3, [1e-3, 5e-4])] if number < 5 else [(2, [1e-3])]
    for max_length, (seeds, rates) in itertools.product(longest, seeds_and_rates):
        settings = Settings.model_validate({
            "intermediate": [str(files[name]) for name in "abcde"[:number]],
            "targets": [str(files[name]) for name in targets],
            "orders": {"kind": "subsets", "max_length": max_length}, "seeds": seeds, "learning_rate": rates,
            "train": {"steps": 100, "target_steps": target_steps}, "method": ["full", "probe"][: 1 + (number == 3)],
        })  # fmt: skip
        study = Counting(settings)
        assert study.counts() == enumerated(study)


@pytest.mark.parametrize("orders", [
    {"kind": "permutations"}, {"kind": "groups"}, {"kind": "groups", "max_group": 2, "max_length": 2},
    {"kind": "explicit", "explicit": ["none", "a>b", "a", "b+c>a"]}, {"kind": "explicit", "explicit": ["a>b", "a>c"]},
])  # fmt: skip
@pytest.mark.parametrize("targets", ["x", "az"])
def test_counts_of_other_spaces_are_an_upper_bound(tmp_path, orders, targets):
    files = task_files(tmp_path, "abcxz")
    settings = Settings.model_validate({
        "intermediate": [str(files[name]) for name in "abc"], "targets": [str(files[name]) for name in targets],
        "orders": orders, "train": {"steps": 100, "target_steps": 100},
    })  # fmt: skip
    counts, found = Counting(settings).counts(), enumerated(Counting(settings))
    assert (counts["candidates"], counts["stages_naive"]) == (found["candidates"], found["stages_naive"])
    assert counts["stages_distinct"] >= found["stages_distinct"]
    if "a" not in targets:
        assert counts == found


# --- a plan of a million orders ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_dry_run_of_nine_tasks(world):
    """Ordered subsets: 986,410, neither listed nor held. (`ru_maxrss` would count the test process before the exec.)"""
    content = (configs_dir() / "tasks" / "mini-nli.yaml").read_text("utf-8")
    for number in range(1, 10):
        world.yaml(f"nli-{number}", content.replace("name: mini-nli", f"name: nli-{number}"))
    suite = world.yaml("nine", {
        "name": "nine", "intermediate": [world.of(f"nli-{number}") for number in range(1, 10)],
        "targets": ["mini-xnli", "mini-pos", "mini-tatoeba"],
    })  # fmt: skip
    space = world.yaml("all", "orders: {kind: subsets}\n")
    words = ["--suite", str(suite), "--space", str(space), "--model", str(world.model), "--dry-run"]
    before = world.files()
    code = f"""
import json, sys
from pathlib import Path
sys.argv = ["run.py", *{words!r}]
from search.cli import main
code = main()
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([code, int(peak.split()[1])]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=world.folder, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    code, kibibytes = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert "986,410" in done.stdout
    assert kibibytes < 500 * 1024
    assert world.files() == before
