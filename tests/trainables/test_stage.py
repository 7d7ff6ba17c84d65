"""A stage's key: a hash of every field, the same on every machine and in every order of writing."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.stage import Stage

STAGE = Stage(
    "train", None, ("mnli", "squad"), ("0123456789abcdef", "fedcba9876543210"), "feedfacecafebeef", "full",
    settings={"learning_rate": 0.0005, "batch_size": 32, "warmup": 10}, steps=100, seed=0,
)  # fmt: skip

CHANGED = {
    "kind": "score", "parent": "0" * 32, "tasks": ("squad", "mnli"), "data": ("0123456789abcdef", "0" * 16),
    "model": "0" * 16, "method": "probe", "settings": {**STAGE.settings, "warmup": 11}, "steps": 101, "seed": 1,
    "recipe": STAGE.recipe + 1,
}  # fmt: skip


def test_the_key_is_stable():
    """A changed key orphans every store: raise RECIPE instead when results change, and this figure with it."""
    assert replace(STAGE, recipe=1).key == "0ba8c6b41dec51998fb02f1136a5d09a"


def test_every_field_is_covered():
    assert {*CHANGED, "resumes", "resumable"} == {field.name for field in fields(Stage)}


def test_how_a_budget_is_reached_changes_nothing():
    stepwise = replace(STAGE, resumes="0" * 32, resumable=True)
    assert (stepwise.key, stepwise.random_seed) == (STAGE.key, STAGE.random_seed)
    assert Stage.from_json(stepwise.to_json()) == stepwise


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_the_key_depends_on_every_field(name):
    changed = replace(STAGE, **{name: CHANGED[name]})
    assert changed.key != STAGE.key
    assert (changed.random_seed != STAGE.random_seed) == (name != "steps")  # so that a budget can be cut anywhere


@pytest.mark.parametrize("settings", [{}, {**STAGE.settings, "more": None}, {**STAGE.settings, "batch_size": "32"}])
def test_the_key_depends_on_every_setting(settings):
    assert replace(STAGE, settings=settings).key != STAGE.key


def test_no_seed_is_not_seed_zero():
    assert replace(STAGE, seed=None).key != replace(STAGE, seed=0).key


def test_tasks_do_not_run_together():
    assert replace(STAGE, tasks=("a", "b")).key != replace(STAGE, tasks=("a,b",)).key


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
stages = st.builds(
    Stage,
    kind=st.sampled_from(["train", "score"]),
    parent=st.none() | st.text("0123456789abcdef", min_size=32, max_size=32),
    tasks=st.lists(st.text(min_size=1), min_size=1, max_size=4).map(tuple),
    data=st.lists(st.text(), max_size=4).map(tuple),
    model=st.text(),
    method=st.text(),
    settings=st.dictionaries(st.text(), scalars, max_size=6),
    steps=st.integers(0, 10**6),
    seed=st.none() | st.integers(0, 2**31),
)


@given(stages)
def test_json_round_trip(stage):
    again = Stage.from_json(stage.to_json())
    assert again == stage
    assert again.key == stage.key
    assert Stage.from_json(again.to_json()).to_json() == stage.to_json()


@given(stages, st.randoms(use_true_random=False))
def test_the_order_of_settings_does_not_matter(stage, rng):
    names = list(stage.settings)
    rng.shuffle(names)
    other = replace(stage, settings={name: stage.settings[name] for name in names})
    assert other.key == stage.key
    assert other == stage


@given(stages, stages)
def test_equal_keys_mean_equal_stages(first, second):
    assert (first.key == second.key) == (first.to_json() == second.to_json())
    assert first.key == replace(first, resumes=second.key, resumable=True).key


def test_the_key_is_the_hash_of_the_json():
    import hashlib

    text = STAGE.to_json().replace('"resumable":false,"resumes":null,', "")
    assert STAGE.key == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert json.loads(STAGE.to_json())["settings"] == STAGE.settings
    assert 0 <= STAGE.random_seed < 2**63


def test_figures_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        replace(STAGE, settings={"learning_rate": float("nan")}).key  # noqa: B018
