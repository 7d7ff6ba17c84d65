"""Sham controls, joint groups and their sampling, published presets, budgets in epochs."""

from __future__ import annotations

import math

import pytest

from search.order import Order
from search.settings import load_settings
from search.strategies import STRATEGIES
from search.study import Study
from trainables.batches import sampling_weights
from trainables.config import configs_dir, names, read_yaml
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.tasks import load_task


def study_of(**changed):
    return Study(*load_settings({}, changed))


def orders_of(space):
    return [str(candidate.order) for candidate in space]


# --- sham controls ----------------------------------------------------------------------------------------------------


def test_controls_come_after_the_baselines():
    study = study_of(controls=True, orders={"max_length": 2})
    shams = ["sham-mini-nli", "sham-mini-nli>sham-mini-paraphrase"]
    plain = orders_of(study_of(orders={"max_length": 2}).space)
    assert orders_of(study.space) == plain[:5] + shams + plain[5:]
    assert study.space.baselines == 7
    assert study.space.size == len(plain) + 2


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_proposes_the_controls(strategy):
    made = STRATEGIES[strategy](study_of(controls=True).space, seed=3, candidates=8)
    asked = {str(candidate.order) for candidate in iter(made.ask, None)}
    assert {"none", "sham-mini-nli", "sham-mini-nli>sham-mini-paraphrase"} <= asked


def test_a_control_trains_as_long_as_what_it_controls():
    study = study_of(controls=True, orders={"max_length": 2})
    by_order = {str(c.order): study.stages(c, 0) for c in study.space}
    real, fake = by_order["mini-nli>mini-paraphrase"], by_order["sham-mini-nli>sham-mini-paraphrase"]
    assert [(s.kind, s.steps, s.tasks[0].removeprefix("sham-")) for s in fake if s.kind == "train"] == [
        (s.kind, s.steps, s.tasks[0]) for s in real if s.kind == "train"
    ]
    assert not {s.key for s in fake} & {s.key for s in real}


def test_the_counts_with_controls_are_those_of_the_tree():
    study = study_of(controls=True, orders={"max_length": 1}, intermediate=["mini-topic", "mini-tags"], seeds=1)
    stages = [stage.key for candidate in study.space for stage in study.stages(candidate, 0)]
    counts = study.counts()
    assert (counts["stages_naive"], counts["stages_distinct"]) == (len(stages), len(set(stages)))


@pytest.mark.parametrize("name", ["mini-nli", "mini-tags", "mini-topic"])
def test_a_sham_keeps_texts_and_label_counts(name):
    task, fake, data = load_task(name, ""), load_task(f"sham-{name}", ""), DataSource()
    real, shuffled = data.training(task), data.training(fake)
    assert [(e.id, e.text, e.words) for e in real] == [(e.id, e.text, e.words) for e in shuffled]
    labels = [e.tags or (e.label,) for e in real], [e.tags or (e.label,) for e in shuffled]
    assert sorted(x for row in labels[0] for x in row) == sorted(x for row in labels[1] for x in row)
    same = sum(a == b for a, b in zip(*labels, strict=True)) / len(real)
    assert same < 0.5
    assert shuffled == DataSource().training(fake)
    assert data.fingerprint(task, {"train": ["en"]}) != data.fingerprint(fake, {"train": ["en"]})


def test_dev_labels_of_a_sham_are_real():
    task, fake, data = load_task("mini-nli", ""), load_task("sham-mini-nli", ""), DataSource()
    assert data.load(fake, "dev") == data.load(task, "dev")


def test_what_has_no_labels_has_no_sham():
    with pytest.raises(Mistake, match="no labels to shuffle"):
        load_task("sham-mini-tatoeba", "--targets")


# --- groups -----------------------------------------------------------------------------------------------------------


def test_the_joint_space():
    assert orders_of(Study(*load_settings({"space": "mix"})).space) == [
        "none", "mini-nli", "mini-paraphrase", "mini-tags", "mini-topic",
        "mini-nli+mini-paraphrase+mini-tags+mini-topic",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, [100, 300, 10]),
        ({"sampling": "proportional"}, [100, 300, 10]),
        ({"sampling": "capped", "cap": 50}, [50, 50, 10]),
        ({"sampling": "uniform"}, [1, 1, 1]),
        ({"sampling": "temperature", "temperature": 2.0}, [10, math.sqrt(300), math.sqrt(10)]),
        ({"sampling": "temperature", "temperature": 1.0}, [100, 300, 10]),
    ],
)
def test_sampling_weights(settings, weights):
    assert sampling_weights([100, 300, 10], settings) == pytest.approx(weights)


def test_sampling_changes_groups_alone():
    joint = Order((("mini-nli", "mini-tags"),))
    plain, uniform = study_of(), study_of(train={"sampling": "uniform"})
    single = next(c for c in plain.space if len(c.order) == 1)
    group = type(single)(joint, single.method, single.learning_rate)
    assert plain.stages(single, 0)[0].key == uniform.stages(single, 0)[0].key
    assert plain.stages(group, 0)[0].key != uniform.stages(group, 0)[0].key


@pytest.mark.parametrize("train", [{"sampling": "capped"}, {"cap": 5}, {"sampling": "largest"}])
def test_wrong_sampling(train):
    with pytest.raises(Mistake, match=r"sampling|cap"):
        load_settings({}, {"train": train})


# --- budgets and presets ----------------------------------------------------------------------------------------------


def stages_by_task(study):
    return {stage.tasks[0]: stage for stage in study.stages(study.space[0], 0) if stage.kind == "train"}


def test_epochs_are_steps_of_the_data():
    study = study_of(train={"target_epochs": 2.5, "batch_size": 16}, limit=100)
    assert stages_by_task(study)["mini-nli"].steps == math.ceil(2.5 * 100 / 16)


def test_a_target_has_settings_of_its_own():
    own = {"mini-pos": {"steps": 7, "learning_rate": 2e-3, "batch_size": 4, "warmup": 0.5, "weight_decay": 0.0}}
    found = stages_by_task(study_of(train={"targets": own}))
    assert found["mini-pos"].steps == 7
    assert {k: found["mini-pos"].settings[k] for k in ("learning_rate", "batch_size", "warmup", "weight_decay")} == {
        "learning_rate": 2e-3, "batch_size": 4, "warmup": 4, "weight_decay": 0.0,
    }  # fmt: skip
    assert found["mini-nli"].key == stages_by_task(study_of())["mini-nli"].key


def test_a_target_may_have_a_share_of_each_methods_rate():
    scale = {"mini-pos": {"learning_rate_scale": {"full": 0.5, "lora": 2}}}
    for method, factor in {"full": 0.5, "lora": 2, "probe": 1}.items():
        found = stages_by_task(study_of(train={"targets": scale}, method=[method], learning_rate=[1e-3]))
        assert found["mini-pos"].settings["learning_rate"] == 1e-3 * factor
        assert found["mini-nli"].settings["learning_rate"] == 1e-3


def test_a_length_of_ones_own():
    study = study_of(max_length={"mini-pos": 32})
    assert study.tasks["mini-pos"].max_length == 32
    assert stages_by_task(study)["mini-pos"].key != stages_by_task(study_of())["mini-pos"].key


@pytest.mark.parametrize("name", names("presets"))
def test_every_preset_is_read(name):
    settings, places = load_settings({"suite": "xtreme", "preset": name})
    content = read_yaml(configs_dir() / "presets" / f"{name}.yaml")
    rates = {method: [rate] for method, rate in content["learning_rate"].items()}
    assert rates.items() <= settings.learning_rate.items()
    assert settings.learning_rate.keys() >= {"full", "prompt", "adapter", "lora", "probe"}  # the suite's, of the others
    assert settings.train.batch_size == content["train"]["batch_size"]
    assert settings.preset == name
    assert f"{name}.yaml" in places["learning_rate"]
    known = set(names("tasks"))
    assert set(settings.train.targets) <= known
    assert set(settings.max_length) <= known


@pytest.mark.parametrize("name", names("presets"))
def test_every_value_of_a_preset_has_its_source(name):
    text = (configs_dir() / "presets" / f"{name}.yaml").read_text("utf-8")
    assert "[R] recalled, not read" in text
    body = [line for line in text.splitlines() if not line.startswith("#") and ":" in line]
    # A mapping over several lines has its source at its first or last line.
    bare = [line for line in body if "#" not in line and not line.endswith((":", ",")) and not line.endswith("256}")]
    assert not bare


def test_flags_and_files_go_before_a_preset():
    flags = {"suite": "xtreme", "preset": "xtreme", "learning_rate": 1e-4}
    settings, _ = load_settings(flags, {"train": {"epochs": 9}})
    assert settings.learning_rate == [1e-4]
    assert settings.train.epochs == 9
    assert settings.train.target_epochs == 5


def test_an_unknown_preset():
    with pytest.raises(Mistake, match="unknown preset"):
        load_settings({"preset": "xtreem"})


# --- text of other languages ------------------------------------------------------------------------------------------


def test_masked_text_of_all_languages_mixes_into_a_stage(tmp_path, tiny_model):
    import json

    from trainables.bench import Bench, Workplace

    study = study_of(
        model=tiny_model, intermediate=["mini-nli", "mini-mlm"], targets=["mini-xnli"], languages=["de"], limit=8,
        orders={"kind": "joint"}, train={"steps": 4, "target_steps": 2, "batch_size": 4, "sampling": "uniform"},
    )  # fmt: skip
    candidate = next(c for c in study.space if str(c.order) == "mini-mlm+mini-nli")
    bench = Bench(Workplace(**{**json.loads(study.workplace()), "store": str(tmp_path)}))
    assert {e.lang for e in bench._data.training(study.tasks["mini-mlm"])} == set(
        study.tasks["mini-mlm"].train_languages
    )
    stages = study.stages(candidate, 0)
    for stage in stages:
        bench.run(stage)
    assert stages[0].tasks == ("mini-mlm", "mini-nli")
    assert math.isfinite(bench.store.record(stages[0].key)["loss_last"])


def test_translated_training_data_are_said(world):
    from search.describe import describe

    rows = [{"id": str(i), "text": f"Satz {i}", "label": ("yes", "no")[i % 2]} for i in range(4)]
    for code in ("de", "sw"):
        world.rows(f"mt/{code}", rows)
    path = world.task(
        "topics-mt", kind="classification", labels=["yes", "no"], translated=True, train_languages=["de", "sw"],
        source={"folder": {"train": "mt/{lang}"}},
    )  # fmt: skip
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    study = Study(*load_settings(flags, {"intermediate": [str(path)]}))
    assert [e.lang for e in study.data.training(study.tasks["topics-mt"])] == ["de"] * 4 + ["sw"] * 4
    assert "not zero-shot: topics-mt is trained on translated data in de, sw" in describe(study)["notes"]


# --- settings that would be lost --------------------------------------------------------------------------------------


def test_targets_settings_are_merged():
    settings, _ = load_settings({"suite": "mini-full"}, {"train": {"targets": {"mini-xnli": {"steps": 100}}}})
    assert settings.train.targets["mini-xquad"].steps == 240
    assert settings.train.targets["mini-xnli"].steps == 100


def test_steps_take_the_place_of_a_presets_epochs():
    flags = {"suite": "xtreme", "preset": "xtreme"}
    settings, _ = load_settings(flags, {"train": {"steps": 40, "targets": {"xnli": {"steps": 7}}}})
    assert (settings.train.steps, settings.train.epochs) == (40, None)
    assert settings.train.target_epochs == 5
    assert (settings.train.targets["xnli"].steps, settings.train.targets["xnli"].epochs) == (7, None)
    assert settings.train.targets["xnli"].learning_rate == 3e-5


def test_a_runs_config_repeats_what_was_nulled(world):
    import yaml

    from search.run_folder import RunFolder

    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    preset = world.yaml("slow", {"train": {"epochs": 3}})
    settings, places = load_settings(flags | {"preset": str(preset)}, {"train": {"epochs": None, "steps": 3}})
    folder = RunFolder(Study(settings, places), ["order-search"])
    again, _ = load_settings({"space": str(folder.path / "config.yaml")})
    assert again.model_copy(update={"space": settings.space}) == settings
    assert yaml.safe_load((folder.path / "config.yaml").read_text("utf-8"))["train"]["epochs"] is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"max_length": {"mini-pos": 4}}, "max_length"),
        ({"max_length": {"mini-pso": 40}}, "no task is named 'mini-pso'"),
        ({"train": {"targets": {"mini-pso": {"steps": 4}}}}, "no task is named 'mini-pso'"),
        ({"train": {"targets": {"mini-tatoeba": {"steps": 4}}}}, "no stage of its own"),
        ({"controls": True, "intermediate": ["mini-nli", "sham-mini-nli"]}, "sham tasks are intermediate"),
        ({"controls": True, "intermediate": ["mini-nli", "mini-mlm"]}, "as many tasks with labels"),
    ],
)
def test_settings_that_would_do_nothing(changed, said):
    with pytest.raises(Mistake, match=said):
        study_of(**changed)


def test_a_borrowed_training_set_has_its_own_length():
    study = study_of(intermediate=["mini-topic"], max_length={"mini-nli": 32, "mini-xnli": 40})
    assert (study.tasks["mini-nli"].max_length, study.tasks["mini-xnli"].max_length) == (32, 40)
    assert study_of(intermediate=["mini-topic"], max_length={"mini-xnli": 40}).tasks["mini-nli"].max_length == 40


def test_a_wrong_preset_is_the_flags():
    with pytest.raises(Mistake) as mistake:
        load_settings({"preset": "nope"})
    assert mistake.value.where == "--preset"
