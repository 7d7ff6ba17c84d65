"""Mistakes of a user: one screen, exit code 2, what is wrong and where, the nearest valid name; nothing is written."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.cli import main

ROOT = Path(__file__).resolve().parents[2]
SCREEN = 24

CASES = {}


def case(*told):
    """A mistake: the function gives the command's words, `told` what the message must hold."""

    def register(function):
        CASES[function.__name__.strip("_")] = (function, told)
        return function

    return register


# --- names ------------------------------------------------------------------------------------------------------------


@case("unknown space 'ordrs'", "--space", "did you mean 'orders'?")
def _space(world):
    return ["--space", "ordrs"]


@case("unknown space ''", "--space", "orders")
def _no_space(world):
    return ["--space", ""]


@case("there is no file ./spaec.yaml", "--space", "orders")
def _space_file(world):
    return ["--space", "./spaec.yaml"]


@case("unknown suite 'mnii'", "--suite", "did you mean 'mini'?")
def _suite(world):
    return ["--suite", "mnii"]


@case("unknown suite 'mnii'", "space.yaml, key 'suite'", "did you mean 'mini'?")
def _suite_in_a_space_file(world):
    return ["--space", world.yaml("space", {"suite": "mnii"})]


@case("unknown task 'mini-nly'", "--set intermediate", "did you mean 'mini-nli'?")
def _intermediate_task(world):
    return world.study("--set", "intermediate=mini-nly")


@case("unknown task 'mini-nly'", "suite.yaml, key 'intermediate'", "did you mean 'mini-nli'?")
def _intermediate_task_of_a_suite(world):
    return ["--suite", world.yaml("suite", {"name": "s", "intermediate": ["mini-nly"], "targets": ["mini-pos"]})]


@case("unknown task 'mini-xnly'", "--targets", "did you mean 'mini-xnli'?")
def _target_task(world):
    return world.study("--targets", "mini-xnly")


@case("language 'dee'", "--languages", "did you mean 'de'?")
def _language(world):
    return world.study("--languages", "en,dee")


@case("target", "links", "--languages", "its languages: de, sw")
def _language_that_one_target_lacks(world):
    return world.study("--languages", "en")


@case("unknown method 'ful'", "--method", "did you mean 'full'?")
def _method(world):
    return world.study("--method", "ful")


@case("unknown method 'ful'", "space.yaml, key 'method'", "did you mean 'full'?")
def _method_in_a_space_file(world):
    return world.study("--space", world.yaml("space", {"method": "ful"}))


@case("unknown strategy 'exaustive'", "--strategy", "did you mean 'exhaustive'?")
def _strategy(world):
    return world.study("--strategy", "exaustive")


@case("the goal worst_language needs scores of other languages", "--set goals", "--objective target-dev")
def _goal_without_scores(world):
    return world.study("--set", "goals=[score,worst_language]")


@case("halving promotes by one figure", "several goals", "--set goals", "--strategy gp")
def _goals_of_halving(world):
    return world.study("--strategy", "halving", "--set", "goals=[score,cost]")


@case("halving promotes by one figure", "pruner besides", "--set pruning.pruner")
def _pruner_of_halving(world):
    return world.study("--strategy", "halving", "--set", "pruning.pruner=median")


@case("a pruner spares the roots after the first 2", "--set pruning", "more root seeds")
def _pruner_of_too_few_roots(world):
    return world.study("--set", "pruning.pruner=wilcoxon", "--set", "pruning.roots=2")


@case("Order 'topics>pairs>topic': unknown task 'topic'", "--set first")
def _first_unknown(world):
    return world.study("--set", "first=[topics>pairs>topic]")


@case("confidence: input should be less than 1", "--confidence")
def _confidence(world):
    return world.study("--confidence", "95")


@case("least <= most must hold", "--set finals")
def _finals(world):
    return world.study("--set", "finals.most=2")


@case("no model 'mcro'", "--model", "micro")
def _model(world):
    return world.study("--model", "mcro")


@case("objective", "'target-dve'", "--objective", "did you mean 'target-dev'?")
def _objective(world):
    return world.study("--objective", "target-dve")


@case("unknown command 'rnu'", "did you mean 'run'?")
def _verb(world):
    return ["rnu", "--space", "orders"]


@case("unknown flag --taregts", "order-search run", "did you mean '--targets'?")
def _flag(world):
    return world.study("--taregts=links")


@case("unknown flag --dry-rnu", "did you mean '--dry-run'?")
def _flag_without_a_value(world):
    return world.study("--dry-rnu")


@case("unknown value 'taskz'", "order-search ls", "did you mean 'tasks'?")
def _listing(world):
    return ["ls", "taskz"]


@case("unknown value 'jsn'", "--format", "did you mean 'json'?")
def _format(world):
    return ["ls", "tasks", "--format", "jsn"]


@case("leaderboard.json", "runs/never", "a run folder")
def _run(world):
    return ["show", "runs/never"]


@case("leaderboard.json", "cut")
def _run_cut_short(world):
    (world.folder / "cut").mkdir()
    (world.folder / "cut" / "leaderboard.json").write_text('{"title": "x", "notes": [], "rows": [{"rank": 1}]}')
    return ["show", "cut"]


@case("manifest", "runs/torn/manifest.json")
def _run_without_a_manifest(world):
    (world.folder / "runs" / "torn").mkdir(parents=True)
    (world.folder / "runs" / "torn" / "manifest.json").write_text("{}")
    return ["ls", "runs"]


# --- keys -------------------------------------------------------------------------------------------------------------


@case("unknown key 'learning_rat'", "space.yaml, key 'learning_rat'", "did you mean 'learning_rate'?")
def _key_of_a_space_file(world):
    return world.study("--space", world.yaml("space", {"learning_rat": 1e-3}))


@case("unknown key 'train.stepps'", "space.yaml, key 'train.stepps'", "did you mean 'steps'?")
def _inner_key_of_a_space_file(world):
    return world.study("--space", world.yaml("space", {"train": {"stepps": 5}}))


@case("unknown key 'lables'", "pairs.yaml, key 'lables'", "did you mean 'labels'?")
def _key_of_a_task_file(world):
    world.task("pairs", kind="classification", lables=["a"], source={"folder": {"train": "pairs/train"}})
    return world.study()


@case("'trian'", "pairs.yaml, key 'source.folder.trian'", "did you mean 'train'?")
def _split_of_a_task_file(world):
    world.task("pairs", kind="classification", labels=["a"], source={"folder": {"trian": "pairs/train"}})
    return world.study()


@case("unknown key 'intermediates'", "suite.yaml, key 'intermediates'", "did you mean 'intermediate'?")
def _key_of_a_suite_file(world):
    suite = world.yaml("suite", {"name": "s", "intermediate": [], "intermediates": [], "targets": []})
    return ["--suite", suite]


@case("unknown key 'train.stepps'", "--set train.stepps", "did you mean 'steps'?")
def _key_of_set(world):
    return world.study("--set", "train.stepps=5")


@case("unknown key 'steps'", "--set steps", "did you mean 'train.steps'?")
def _key_of_set_without_its_section(world):
    return world.study("--set", "steps=5")


@case("'train.steps' is no", "--set", "KEY=VALUE")
def _set_without_a_value(world):
    return world.study("--set", "train.steps")


@case("no valid YAML", "--set orders", "[")
def _set_no_yaml(world):
    return world.study("--set", "orders=[")


@case("'train.steps.x'", "train.steps", "--set")
def _set_below_a_value(world):
    return world.study("--set", "train.steps=3", "--set", "train.steps.x=1")


@case("space", "--set space", "--space")
def _set_space(world):
    return world.study("--set", "space=orders")


@case("… and 33 more", "unknown key 'key", "space.yaml")
def _forty_keys(world):
    return world.study("--space", world.yaml("space", {f"key{number}": 1 for number in range(40)}))


# --- values -----------------------------------------------------------------------------------------------------------


@case("train.steps", "integer", "'many'", "space.yaml, key 'train.steps'")
def _steps_in_words(world):
    return world.study("--space", world.yaml("space", {"train": {"steps": "many"}}), "--set", "train.warmup=1")


@case("train", "(given: 5)", "--set train")
def _section_that_is_a_number(world):
    return world.study("--set", "train=5")


@case("whole number", "'x'", "--seeds")
def _seeds_in_words(world):
    return world.study("--seeds", "x")


@case("seeds", "integer", "'x'", "space.yaml, key 'seeds'")
def _seeds_in_words_in_a_space_file(world):
    return world.study("--space", world.yaml("space", {"seeds": "x"}))


@case("1 or more", "'0'", "--seeds")
def _no_seeds(world):
    return world.study("--seeds", "0")


@case("seeds", "greater than or equal to 1", "-2", "--set seeds")
def _fewer_than_no_seeds(world):
    return world.study("--set", "seeds=-2")


@case("1 or more", "'-1'", "--limit")
def _negative_limit(world):
    return world.study("--limit", "-1")


@case("1 or more", "'0'", "--candidates")
def _no_candidates(world):
    return world.study("--candidates", "0")


@case("train.steps", "greater than or equal to 1", "--set train.steps")
def _no_steps(world):
    return world.study("--set", "train.steps=0")


@case("learning rate", "between 0 and 1", "0", "--set learning_rate")
def _no_learning_rate(world):
    return world.study("--set", "learning_rate=0")


@case("learning_rate", "number", "'quick'", "--set learning_rate")
def _learning_rate_in_words(world):
    return world.study("--set", "learning_rate=[1e-3, quick]")


@case("greater than or equal to 0", "--gpus-per-trial")
def _negative_gpus(world):
    return world.study("--gpus-per-trial", "-1")


@case("languages", "string", "False", "space.yaml, key 'languages")
def _norway(world):
    return world.study("--space", world.yaml("space", "languages: [en, no]"))


@case("'full' is named twice", "--method")
def _method_twice(world):
    return world.study("--method", "full,full")


@case("is named twice", "links", "--targets")
def _task_twice(world):
    return world.study("--targets", f"{world.of('links')},{world.of('links')}")


@case("two tasks are named 'links'", "--targets")
def _two_tasks_of_one_name(world):
    world.yaml("other", (world.folder / "links.yaml").read_text() + "max_length: 64\n")
    return world.study("--targets", f"{world.of('links')},{world.of('other')}")


@case("no target task", "--targets")
def _no_targets(world):
    return world.study("--targets", "")


@case("'links' cannot be an intermediate task", "--set intermediate", "retrieval")
def _retrieval_as_intermediate_task(world):
    return world.study("--set", f"intermediate={world.of('links')}")


@case("retrieval", "--objective", "target-dev")
def _nothing_to_select_on(world):
    return world.study("--targets", world.of("links"), "--objective", "en-dev")


@case("'tags' cannot be trained on 'pairs'", "key 'train'")
def _target_trained_on_another_kind(world):
    world.yaml("tags", (world.folder / "tags.yaml").read_text() + "train: pairs\n")
    return world.study()


# --- orders -----------------------------------------------------------------------------------------------------------


@case("task 'pairs' is named twice", "space.yaml, key 'orders.explicit'")
def _order_that_names_a_task_twice(world):
    orders = {"kind": "explicit", "explicit": ["none", "pairs>topics>pairs"]}
    return world.study("--space", world.yaml("space", {"orders": orders}))


@case("unknown task 'topic'", "space.yaml, key 'orders.explicit'", "did you mean 'topics'?")
def _order_of_an_unknown_task(world):
    orders = {"kind": "explicit", "explicit": ["pairs>topic"]}
    return world.study("--space", world.yaml("space", {"orders": orders}))


@case("unknown value 'subset'", "--set orders.kind", "did you mean 'subsets'?")
def _kind_of_orders(world):
    return world.study("--set", "orders.kind=subset")


@case("explicit", "--set orders")
def _explicit_orders_without_any(world):
    return world.study("--set", "orders.kind=explicit")


@case("max_group is 2 with kind 'subsets'", "--set orders")
def _groups_where_there_are_none(world):
    return world.study("--set", "orders.max_group=2")


# --- files of settings ------------------------------------------------------------------------------------------------


@case("no valid YAML", "space.yaml, line 3")
def _corrupt_space_file(world):
    return world.study("--space", world.yaml("space", "seeds: 2\norders: {kind: [subsets\nmodel: x: y\n"))


@case("no keys and values", "space.yaml")
def _space_file_that_is_a_list(world):
    return world.study("--space", world.yaml("space", ["seeds", "orders"]))


@case("no keys and values", "space.yaml")
def _empty_space_file(world):
    return world.study("--space", world.yaml("space", ""))


@case("UTF-8", "space.yaml")
def _space_file_that_is_no_text(world):
    (world.folder / "space.yaml").write_bytes(b"seeds: \xff\xfe\n")
    return world.study("--space", "./space.yaml")


@case("'1'", "space.yaml")
def _key_that_is_a_number(world):
    return world.study("--space", world.yaml("space", "1: 2\n"))


@case("no valid YAML", "pairs.yaml, line 2")
def _corrupt_task_file(world):
    world.yaml("pairs", "name: [pairs\n")
    return world.study()


@case("needs its labels", "pairs.yaml")
def _task_without_labels(world):
    world.task("pairs", kind="classification", source={"folder": {"train": "pairs/train"}})
    return world.study()


@case("no set 'nly'", "pairs", "did you mean 'nli'?")
def _unknown_set_of_the_mini_suite(world):
    world.task("pairs", kind="classification", labels=["a"], source={"mini": "nly"})
    return world.study()


@case("unknown label 'entailment'", "task pairs", "entails")
def _labels_that_the_mini_suite_has_not(world):
    world.task("pairs", kind="classification", labels=["entails", "other"], source={"mini": "nli"})
    return world.study()


@case("no tagging task", "task pairs", "words")
def _kind_that_the_mini_suite_has_not(world):
    world.task("pairs", kind="tagging", labels=["entailment"], source={"mini": "nli"})
    return world.study()


# --- data -------------------------------------------------------------------------------------------------------------


@case("no folder", "nowhere", "--data-dir")
def _no_data_folder(world):
    return world.study("--data-dir", world.folder / "nowhere")


@case("in a data folder only", "'pairs'", "--data-dir")
def _data_folder_not_given(world):
    return ["--suite", world.suite, "--model", world.model, "--out", world.out]


@case("'pairs'", "pairs/train.jsonl", "--data-dir")
def _missing_data_file(world):
    (world.data / "pairs" / "train.jsonl").unlink()
    return world.study()


@case("cannot be read", "pairs/train.jsonl")
def _folder_in_place_of_a_data_file(world):
    (world.data / "pairs" / "train.jsonl").unlink()
    (world.data / "pairs" / "train.jsonl").mkdir()
    return world.study()


@case("cannot be read", "pairs/train.jsonl")
def _unreadable_data_file(world):
    (world.data / "pairs" / "train.jsonl").unlink()
    (world.data / "pairs" / "train.jsonl").symlink_to("/proc/self/mem")  # a file that even root cannot read
    return world.study()


@case("cannot be read", "tags/test.jsonl.gz", "truncated")
def _truncated_data_file(world):
    plain = world.data / "tags" / "test.jsonl"
    plain.with_suffix(".jsonl.gz").write_bytes(gzip.compress(plain.read_bytes())[:-9])
    return world.study()


@case("no JSON", "pairs/train.jsonl, row 2")
def _broken_row(world):
    rows = ['{"id": "1", "text": "a", "pair": "b", "label": "yes"}', '{"id": "2", "text": ']
    world.rows("pairs/train", rows)
    return world.study()


@case("no label", "pairs/train.jsonl, row 2", "fields: ")
def _example_without_a_label(world):
    rows = [{"id": "1", "text": "a", "pair": "b", "label": "yes"}, {"id": "2", "text": "a", "pair": "b"}]
    world.rows("pairs/train", rows)
    return world.study()


@case("unknown label 'yess'", "tags/dev.jsonl, row 1", "one of: N, V")
def _unknown_label_in_dev(world):
    world.rows("tags/dev", [{"id": "1", "words": ["a"], "tags": ["yess"]}])
    return world.study()


@case("unknown label 'ye'", "pairs/train.jsonl, row 1", "did you mean 'yes'?")
def _unknown_label(world):
    world.rows("pairs/train", [{"id": "1", "text": "a", "pair": "b", "label": "ye"}])
    return world.study()


@case("no English training examples", "'pairs'", "pairs/train.jsonl")
def _no_english(world):
    world.rows("pairs/train", [{"id": "1", "lang": "de", "text": "a", "pair": "b", "label": "yes"}])
    return world.study()


@case("truncated or no parquet file", "pairs/train.parquet")
def _broken_parquet(world):
    (world.data / "pairs" / "train.jsonl").unlink()
    (world.data / "pairs" / "train.parquet").write_bytes(b"PAR1 and then nothing")
    return world.study()


# --- folders ----------------------------------------------------------------------------------------------------------


@case("lacks model.safetensors", "--model")
def _model_without_weights(world):
    (world.model / "model.safetensors").unlink()
    return world.study()


@case("the model cannot be read", "--model")
def _model_with_a_broken_configuration(world):
    (world.model / "config.json").write_text("{")
    return world.study()


@case("nothing can be written", "afile/out", "--out")
def _out_below_a_file(world):
    (world.folder / "afile").write_text("")
    return world.study("--out", world.folder / "afile" / "out")


@case("nothing can be written", "/proc/out", "--out")
def _out_where_even_root_cannot_write(world):
    return world.study("--out", "/proc/out", "--store", world.folder / "store")


@case("cannot be written to", "--store", "afile/store")
def _store_below_a_file(world):
    (world.folder / "afile").write_text("")
    return world.study("--store", world.folder / "afile" / "store")


@case("cannot be opened", "--store", "ftpp://host/store")
def _store_of_an_unknown_kind(world):
    return world.study("--store", "ftpp://host/store")


# --- the tests --------------------------------------------------------------------------------------------------------


def check(code, shown, error, told):
    assert code == 2, error
    assert shown == ""
    assert error.startswith("mistake ")
    assert len(error.splitlines()) <= SCREEN
    assert "Traceback" not in error
    for fragment in told:
        assert fragment in error


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told(name, world, capsys):
    function, told = CASES[name]
    words = [str(word) for word in function(world)]
    before = world.files()
    code = main(words)
    shown = capsys.readouterr()
    check(code, shown.out, shown.err, told)
    assert world.files() == before


@pytest.mark.parametrize("name", ["space", "example_without_a_label", "out_below_a_file"])
def test_a_mistake_is_told_by_the_script(name, world):
    function, told = CASES[name]
    command = [sys.executable, str(ROOT / "search" / "run.py"), *(str(word) for word in function(world))]
    before = world.files()
    done = subprocess.run(command, capture_output=True, text=True, cwd=world.folder, timeout=60)
    check(done.returncode, done.stdout, done.stderr, told)
    assert world.files() == before


def test_there_are_cases_enough():
    assert len(CASES) >= 24


def test_debug_shows_where_a_mistake_was_found(world):
    from trainables.errors import Mistake

    with pytest.raises(Mistake, match="ordrs"):
        main(["--space", "ordrs", "--debug"])


def test_the_same_mistakes_are_told_by_a_dry_run(world, capsys):
    world.rows("pairs/train", [{"id": "1", "text": "a", "pair": "b", "label": "ye"}])
    assert main(world.study("--dry-run")) == 2
    assert "unknown label 'ye'" in capsys.readouterr().err


def test_all_errors_of_a_file_are_told_at_once(world, capsys):
    space = world.yaml("space", {"seeds": 0, "modle": "micro", "train": {"steps": "many", "warmup": -1}})
    assert main(world.study("--space", space)) == 2
    told = capsys.readouterr().err
    for fragment in ("seeds", "modle", "train.steps", "train.warmup"):
        assert f"key '{fragment}'" in told
    assert json.dumps(str(space))[1:-1] in told


def test_the_world_itself_is_without_mistakes(world, capsys):
    before = world.files()
    assert main(world.study("--dry-run")) == 0
    assert "candidates in the space" in capsys.readouterr().out
    assert world.files() == before
