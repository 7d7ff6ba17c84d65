"""Settings: default < suite < space file < --set < flag, inner keys merged; and a run's config.yaml repeats the run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from search.settings import Settings, check_out, load_settings, load_suite, parse_overrides
from search.study import Study
from trainables.errors import Mistake, Mistakes

DEFAULT = Settings.model_validate({})


@pytest.fixture
def suite(world):
    return str(world.yaml("suite", {
        "name": "own", "intermediate": ["pairs"], "targets": ["tags"],
        "settings": {"seeds": 3, "learning_rate": 1e-4, "method": "probe", "train": {"steps": 30, "warmup": 3}},
    }))  # fmt: skip


def space(world, **content):
    return str(world.yaml("space", content or {"question": "?"}))


def settings_of(flags, *overrides):
    return load_settings(flags, parse_overrides(list(overrides)))[0]


# --- precedence -------------------------------------------------------------------------------------------------------

LAYERS = ("default", "suite", "space", "set", "flag")
KEYS = {
    "seeds": (2, 3, 4, 5, 6),
    "learning_rate": ([1e-3], 1e-4, [2e-4, 3e-4], "4e-4", "5e-4,6e-4"),
    "method": (["full"], "probe", ["full", "probe"], "full", "probe,full"),
    "candidates": (None, 10, 11, 12, 13),
    "strategy": ("exhaustive", "random", "exhaustive", "random", "exhaustive"),
    "limit": (None, 20, 21, 22, 23),
    "targets": ([], ["a"], ["b"], "c", "d,e"),
    "objective": ("en-dev", "target-dev", "en-dev", "target-dev", "en-dev"),
    "gpus_per_trial": (0, 0.1, 0.2, 0.3, 0.4),
    "store": (None, "s3://a/b", "/mnt/c", "s3://d", "/mnt/e"),
}


@pytest.mark.parametrize("highest", LAYERS)
@pytest.mark.parametrize("key", KEYS)
def test_precedence(world, key, highest):
    given = dict(zip(LAYERS, KEYS[key], strict=True))
    upto = LAYERS[: LAYERS.index(highest) + 1]
    content = {"name": "own", "intermediate": [], "targets": []}
    if "suite" in upto:
        inner = {} if key == "targets" else {"settings": {key: given["suite"]}}
        content |= inner or {key: given["suite"]}
    path = str(world.yaml("suite", content))
    layer = {key: given["space"]} if "space" in upto else {}
    flags = {"suite": path, "space": space(world, **layer)}
    if "flag" in upto:
        flags[key] = given["flag"]
    value = given["set"]
    settings = settings_of(flags, *([f"{key}={value}"] if "set" in upto else []))
    expected = Settings.model_validate({key: [] if (key, highest) == ("targets", "default") else given[highest]})
    assert getattr(settings, key) == getattr(expected, key)


def test_inner_keys_are_merged(world, suite):
    flags = {"suite": suite, "space": space(world, train={"steps": 40, "batch_size": 8})}
    train = settings_of(flags, "train.batch_size=16", "train.target_steps=1e2").train
    assert (train.warmup, train.steps, train.batch_size, train.target_steps) == (3, 40, 16, 100)
    assert train.weight_decay == DEFAULT.train.weight_decay


def test_two_overrides_of_one_section(world, suite):
    train = settings_of({"suite": suite, "space": space(world)}, "train.steps=7", "train.warmup=1").train
    assert (train.steps, train.warmup) == (7, 1)


def test_the_last_override_counts(world, suite):
    assert settings_of({"suite": suite}, "seeds=7", "seeds=8").seeds == 8


def test_the_suite_of_a_space_file_and_of_set(world, suite):
    own = space(world, suite=suite)
    assert settings_of({"space": own}).intermediate == ["pairs"]
    assert settings_of({"space": own, "suite": "mini"}).intermediate == load_suite("mini")[0].intermediate
    assert settings_of({"space": own}, "suite=mini").suite == "mini"
    assert settings_of({}).suite == "mini"


def test_where_each_key_was_set(world, suite):
    path = space(world, train={"steps": 5}, seeds=4)
    _, where = load_settings({"suite": suite, "space": path, "limit": 5}, parse_overrides(["train.warmup=1"]))
    assert where["learning_rate"] == suite
    assert (where["seeds"], where["train.steps"]) == (path, path)
    assert where["train.warmup"] == "--set"
    assert where["limit"] == "--limit"


def test_what_was_not_given_changes_nothing(world, suite):
    flags = {"suite": suite, "space": space(world), "seeds": None, "method": None, "out": None}
    assert (settings_of(flags).seeds, settings_of(flags).method) == (3, ["probe"])
    assert settings_of(flags).out == DEFAULT.out


# --- values -----------------------------------------------------------------------------------------------------------


def test_lists_are_cut_at_commas(world, suite):
    flags = {"suite": suite, "targets": " a , b,,c ", "languages": "en,de", "method": "full"}
    settings = settings_of(flags, "learning_rate=1e-3,5e-4")
    assert settings.targets == ["a", "b", "c"]
    assert settings.languages == ["en", "de"]
    assert settings.method == ["full"]
    assert settings.learning_rate == [1e-3, 5e-4]


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "[1e-3]", ".001"])
def test_learning_rates_as_people_write_them(text):
    content = parse_overrides([f"learning_rate={text}"])
    assert Settings.model_validate(content).learning_rate == [1e-3]


def test_values_of_set():
    content = parse_overrides(["a=1", "b=1e-3", "c.d=x=y", "c.e=[a, b]", "f=", "g=true", "h=mini-nli"])
    assert content == {"a": 1, "b": 1e-3, "c": {"d": "x=y", "e": ["a", "b"]}, "f": None, "g": True, "h": "mini-nli"}


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_on_and_off_are_words(word, world):
    assert settings_of({}, f"fuse={word}").fuse == word
    assert load_settings({"space": space(world, fuse=f"{word}")})[0].fuse == word
    (world.folder / "plain.yaml").write_text(f"fuse: {word}\n")
    assert load_settings({"space": str(world.folder / "plain.yaml")})[0].fuse == word


def test_precisions(world):
    assert (settings_of({}).precision, settings_of({}, "precision=bfloat16").precision) == ("float32", "bfloat16")
    assert settings_of({"space": space(world, precision="bfloat16")}).precision == "bfloat16"
    with pytest.raises(Mistake, match="unknown value 'float16'") as told:
        settings_of({}, "precision=float16")
    assert "--set precision" in str(told.value)
    assert "Known: bfloat16, float32" in str(told.value)


@pytest.mark.parametrize("text", ["nan", "inf", "infinity"])
def test_words_that_python_takes_for_numbers_stay_words(text):
    assert parse_overrides([f"out={text}"]) == {"out": text}


@pytest.mark.parametrize("rate", [0, -1e-3, 1, float("inf"), float("nan")])
def test_learning_rates_out_of_range(rate):
    with pytest.raises(ValueError, match=r"between 0 and 1|a finite number"):
        Settings.model_validate({"learning_rate": rate})


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        DEFAULT.seeds = 3


def test_all_wrong_keys_at_once(world, suite):
    path = space(world, seeds="x", train={"steps": 0}, nonsense=1)
    with pytest.raises(Mistakes) as caught:
        load_settings({"suite": suite, "space": path, "objective": "best"})
    assert len(caught.value.mistakes) == 4
    assert {mistake.where for mistake in caught.value.mistakes} == {
        f"{path}, key 'seeds'", f"{path}, key 'train.steps'", f"{path}, key 'nonsense'", "--objective",
    }  # fmt: skip


# --- places -----------------------------------------------------------------------------------------------------------


def test_the_store_is_absolute(world):
    def url(**keys):
        return Settings.model_validate(keys).store_url

    assert url() == str(world.folder / "runs" / "store")
    assert url(out="elsewhere") == str(world.folder / "elsewhere" / "store")
    assert url(store="here/store") == str(world.folder / "here" / "store")
    assert url(store="~/store") == str(Path("~/store").expanduser())
    assert url(store="s3://bucket/prefix") == "s3://bucket/prefix"


@pytest.mark.parametrize("exists", [True, False])
def test_looking_whether_out_can_be_written_leaves_nothing(world, exists):
    out = world.folder / "a" / "b"
    if exists:
        out.mkdir(parents=True)
        (out / "run").write_text("")
    before = world.files()
    check_out(Settings.model_validate({"out": str(out)}), "--out")
    assert world.files() == before


def test_an_out_that_is_a_file(world):
    (world.folder / "file").write_text("")
    with pytest.raises(Mistake, match="nothing can be written"):
        check_out(Settings.model_validate({"out": "file"}), "--out")


# --- config.yaml ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [
    [],
    ["--method", "full,probe", "--set", "learning_rate=[1e-3, 5e-4]", "--seeds", "3", "--limit", "4"],
    ["--set", "orders.max_length=1", "--set", "train.steps=7", "--strategy", "random", "--candidates", "3"],
    ["--languages", "en,de", "--store", "kept", "--objective", "target-dev"],
    ["--set", "orders={kind: explicit, explicit: [none, pairs>topics]}"],
])  # fmt: skip
def test_a_runs_config_repeats_it(world, command):
    from search.cli import run_parser
    from search.run_folder import RunFolder

    flags = vars(run_parser().parse_args(world.study(*command)))
    given = {key: value for key, value in flags.items() if key not in ("set", "dry_run", "debug")}
    settings, places = load_settings(given, parse_overrides(flags["set"]))
    first = RunFolder(Study(settings, places), ["order-search", "run"])
    again, places = load_settings({"space": str(first.path / "config.yaml")})
    assert again.model_dump(exclude={"space"}) == settings.model_dump(exclude={"space"})
    study = Study(again, places)
    assert [study.space[i] for i in range(study.space.size)] == list(Study(settings).space)
    second = RunFolder(study, ["order-search", "run"])
    assert second.path != first.path
    contents = [yaml.safe_load((folder.path / "config.yaml").read_text("utf-8")) for folder in (first, second)]
    assert contents[0] == contents[1]
