"""What a candidate is besides its order (method, learning rate, prompt length), its stages, and how many there are."""

from __future__ import annotations

import itertools

import pytest
import yaml
from enumerating import enumerated

from search.candidate import Arm, Candidate
from search.order import Order, OrderSpace
from search.plan import probes
from search.settings import Settings, load_settings
from search.space import Space
from search.study import Study
from trainables.errors import Mistake
from trainables.methods import METHODS


def study_of(world, **changed):
    flags = {"suite": str(world.suite), "data_dir": str(world.data), "model": str(world.model), "out": str(world.out)}
    return Study(*load_settings(flags, changed))


def stages_of(study, order, arm, seed=0, budget=1.0):
    return study.stages(Candidate(Order.parse(order), *arm, budget=budget), seed)


def keys(study, order, arm, kind=None, **more):
    return [stage.key for stage in stages_of(study, order, arm, **more) if kind in (None, stage.kind)]


# --- arms of the settings ---------------------------------------------------------------------------------------------


def arms(**fields):
    return Settings.model_validate(fields).arms


def test_one_arm_by_default():
    assert arms() == [Arm("full", 1e-3, None)]


def test_methods_times_rates_times_lengths_of_prompts():
    assert arms(method=["full", "prompt", "lora"], learning_rate=[1e-3, 1e-2], prompt_length=[0, 8]) == [
        Arm("full", 1e-3), Arm("full", 1e-2),
        Arm("prompt", 1e-3, 0), Arm("prompt", 1e-2, 0), Arm("prompt", 1e-3, 8), Arm("prompt", 1e-2, 8),
        Arm("lora", 1e-3), Arm("lora", 1e-2),
    ]  # fmt: skip


def test_rates_by_method():
    rates = {"full": 1e-4, "prompt": [1e-2, 3e-2], "lora": "1e-3,2e-3"}
    assert arms(method=["prompt", "full"], learning_rate=rates) == [
        Arm("prompt", 1e-2, 16), Arm("prompt", 3e-2, 16), Arm("full", 1e-4),
    ]  # fmt: skip
    settings = Settings.model_validate({"learning_rate": rates})
    assert settings.rates("lora") == [1e-3, 2e-3]
    assert settings.rates("adapter") == []


def test_rates_of_learning_in_context_are_those_of_full():
    """Its intermediate stages are trained in full."""
    both = Settings.model_validate({"learning_rate": {"full": [1e-4], "icl": [2e-4]}})
    assert both.rates("icl") == [2e-4]
    assert Settings.model_validate({"learning_rate": {"full": [1e-4]}}).rates("icl") == [1e-4]
    assert Settings.model_validate({"learning_rate": {"lora": [1e-4]}}).rates("icl") == []
    assert Settings.model_validate({"learning_rate": [1e-4]}).rates("icl") == [1e-4]


def test_a_list_of_rates_is_of_all_methods():
    assert [Settings.model_validate({"learning_rate": 5e-4}).rates(name) for name in METHODS] == [[5e-4]] * len(METHODS)


def rates_of(world, suite, space, overrides):
    """What a suite's, a space file's and `--set`'s learning rates make together."""
    content = yaml.safe_load(world.suite.read_text())
    own = {"learning_rate": suite} if suite is not None else {}
    world.yaml("suite", {**content, "settings": own})
    file = world.yaml("space", {"learning_rate": space} if space is not None else {})
    changed = {"learning_rate": overrides} if overrides is not None else {}
    return load_settings({"suite": str(world.suite), "space": str(file)}, changed)[0].learning_rate


def test_rates_by_method_are_merged_between_files_and_flags(world):
    by_method = {"full": 1e-4, "lora": 1e-3}
    assert rates_of(world, by_method, None, None) == {"full": [1e-4], "lora": [1e-3]}
    assert rates_of(world, by_method, {"lora": [2e-3], "prompt": 1e-2}, None) == {
        "full": [1e-4], "lora": [2e-3], "prompt": [1e-2],
    }  # fmt: skip
    assert rates_of(world, by_method, {"prompt": 1e-2}, {"prompt": [3e-2], "full": 5e-4}) == {
        "full": [5e-4], "lora": [1e-3], "prompt": [3e-2],
    }  # fmt: skip


def test_a_list_of_rates_takes_the_place_of_rates_by_method(world):
    by_method = {"full": 1e-4, "lora": 1e-3}
    assert rates_of(world, by_method, [2e-3], None) == [2e-3]
    assert rates_of(world, by_method, {"full": 3e-4}, [2e-3, 1e-3]) == [2e-3, 1e-3]
    assert rates_of(world, [2e-3], by_method, None) == {"full": [1e-4], "lora": [1e-3]}


def test_a_rate_is_a_number_between_0_and_1():
    for rate in (0, -1e-3, 1, "nan", [1e-3, 2]):
        for given in (rate, {"full": rate}):
            with pytest.raises(ValueError, match=r"learning.rate"):
                Settings.model_validate({"learning_rate": given})


def test_nothing_is_named_twice():
    for fields in ({"learning_rate": [1e-3, 1e-3]}, {"learning_rate": {"lora": [1e-3, 1e-3]}},
                   {"prompt_length": [4, 4]}, {"method": ["full", "full"]}):  # fmt: skip
        with pytest.raises(ValueError, match="named twice"):
            Settings.model_validate(fields)


# --- the space --------------------------------------------------------------------------------------------------------

MIXED = {
    "method": ["full", "prompt", "adapter", "probe"], "prompt_length": [0, 4, 16],
    "learning_rate": {"full": [1e-4, 1.00001e-4], "prompt": [1e-2, 3e-2], "adapter": [1e-3], "probe": [1e-2]},
}  # fmt: skip


def test_every_candidate_has_its_own_name():
    space = Space(OrderSpace("abc"), arms(**MIXED))
    budgets = (1 / 9, 1 / 3, 1.0)
    names = [candidate.at(budget).name for candidate in space for budget in budgets]
    assert len(set(names)) == len(names) == space.size * len(budgets) == 16 * 10 * 3
    assert Candidate(Order.parse("a>b+c"), "prompt", 3e-2, 0).name == "a>b+c prompt 0.03 p0"
    assert Candidate(Order(), "prompt", 3e-2, 16).at(1 / 3).name == "none prompt 0.03 p16 at 0.3333"
    assert Candidate(Order.parse("a"), "full", 1e-4).name == "a full 0.0001"


def test_a_space_is_orders_times_arms():
    """The baselines with the first arm come first, so that a strategy's draws are free of the others."""
    orders, listed = OrderSpace("abc"), arms(**MIXED)
    space = Space(orders, listed)
    short, long = ([order for order in orders if (len(order) < 2) == wanted] for wanted in (True, False))
    expected = [Candidate(order, *listed[0]) for order in short]
    expected += [Candidate(order, *arm) for order in short for arm in listed[1:]]
    expected += [Candidate(order, *arm) for order in long for arm in listed]
    assert len(set(expected)) == len(expected)
    assert [space[index] for index in range(space.size)] == list(space) == expected
    assert space.size == orders.size * len(listed)
    assert space.baselines == 4
    assert {len(space[index].order) for index in range(space.baselines)} == {0, 1}
    assert {space[index].arm for index in range(space.baselines)} == {listed[0]}
    for index in (-1, space.size):
        with pytest.raises(IndexError):
            space[index]


def test_control_orders_stand_after_the_baselines():
    listed, chain = arms(method=["full", "probe"]), [Order((("s",),)), Order((("s",), ("t",)))]
    space = Space(OrderSpace("ab"), listed, chain)
    first = ["none", "a", "b", "s", "s>t"]
    named = [(str(candidate.order), candidate.method) for candidate in space]
    assert named[:10] == [(name, "full") for name in first] + [(name, "probe") for name in first]
    assert named[10:] == [(name, method) for name in ("a>b", "b>a") for method in ("full", "probe")]
    assert space.baselines == 5


@pytest.mark.parametrize(("changed", "told"), [
    ({"learning_rate": [0.5], "learning_rate_factors": [1, 3]}, "learning_rate_factors"),
    ({"learning_rate": [0.5], "train": {"targets": {"mini-pos": {"learning_rate_scale": {"full": 2}}}}}, "mini-pos"),
])  # fmt: skip
def test_factors_leave_rates_below_one(changed, told):
    with pytest.raises(Mistake, match=r"the learning rate of 'full' would be 1") as caught:
        load_settings({}, changed)
    assert told in str(caught.value)


@pytest.mark.parametrize(("answer", "method", "pair"), [
    ("complexity", ["full", "adapter"], ("adapter", "full")), ("complexity", ["lora", "full"], ("lora", "full")),
    ("complexity", ["lora", "probe"], ("lora", "probe")), ("methods", ["full", "lora", "probe"], ("lora", "full")),
    ("icl", ["icl", "full"], ("icl", "full")), ("icl", ["full", "icl-target", "icl"], ("icl", "full")),
])  # fmt: skip
def test_the_methods_that_an_answer_compares(answer, method, pair):
    assert load_settings({}, {"answer": answer, "method": method})[0].pair == pair


@pytest.mark.parametrize(("answer", "method"), [
    ("complexity", ["full"]), ("methods", ["probe"]), ("icl", ["full"]), ("icl", ["icl"]),
    ("icl", ["icl-target", "full"]),
])  # fmt: skip
def test_an_answer_without_its_methods_is_refused(answer, method):
    with pytest.raises(Mistake, match=f"the answer '{answer}' compares methods") as caught:
        load_settings({}, {"answer": answer, "method": method})
    assert "--method" in str(caught.value)


def test_a_budget_is_part_of_a_candidate():
    candidate = Candidate(Order.parse("a"), "full", 1e-3)
    assert candidate.at(1) == candidate != candidate.at(0.5)
    assert candidate.at(0.5).arm == candidate.arm
    for budget in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="0 < budget <= 1"):
            candidate.at(budget)


# --- prompts and probes -----------------------------------------------------------------------------------------------

ORDERS = ["none", "pairs", "topics>pairs", "pairs+topics"]


def test_a_prompt_of_no_vectors_is_the_probe(world):
    """To the very stages: same keys, so that they are trained once."""
    study = study_of(world, **{**MIXED, "learning_rate": 1e-2})
    for order, seed in itertools.product(ORDERS, (0, 1)):
        none, probe = (stages_of(study, order, arm, seed) for arm in (("prompt", 1e-2, 0), ("probe", 1e-2)))
        assert none == probe
        assert {stage.method for stage in none if stage.kind == "train"} == {"probe"}
        assert not [stage for stage in none if any(name.startswith("prompt") for name in stage.settings)]
    assert not set(keys(study, "pairs", ("prompt", 1e-2, 4))) & set(keys(study, "pairs", ("probe", 1e-2)))
    assert probes(Arm("prompt", 1e-2, 0)) and probes(Arm("probe", 1e-2)) and not probes(Arm("prompt", 1e-2, 4))


def test_a_prompts_length_is_in_every_stage_of_its_candidates(world):
    study = study_of(world, **MIXED)
    for stage in stages_of(study, "pairs>topics", ("prompt", 1e-2, 4)):
        assert stage.settings["prompt_length"] == 4
    lengths = [set(keys(study, "pairs>topics", ("prompt", 1e-2, length))) for length in (0, 4, 16)]
    assert not lengths[0] & lengths[1] and not lengths[1] & lengths[2]


def test_a_probe_has_the_same_stages_for_all_orders(world):
    """The negative control: new heads on the same frozen encoder, so that no order is trained at all."""
    study = study_of(world, method=["probe"])
    found = {tuple(keys(study, order, ("probe", 1e-3))) for order in ORDERS}
    assert len(found) == 1
    stages = stages_of(study, "topics>pairs", ("probe", 1e-3))
    assert [(stage.kind, stage.tasks, stage.parent) for stage in stages] == [
        ("train", ("tags",), None), ("score", ("tags",), stages[0].key), ("score", ("links",), None),
    ]  # fmt: skip
    assert not study.carries(Arm("probe", 1e-3))


def test_a_probe_with_carried_heads_has_its_orders(world):
    study = study_of(world, method=["probe"], train={"heads": "carry"})
    found = [tuple(keys(study, order, ("probe", 1e-3))) for order in ORDERS]
    assert len(set(found)) == len(ORDERS)
    assert [len(one) for one in found] == [3, 4, 5, 4]
    assert study.carries(Arm("probe", 1e-3)) and study.carries(Arm("prompt", 1e-3, 0))
    assert all(stage.settings["heads"] == "carry" for stage in stages_of(study, "pairs", ("full", 1e-3))
               if stage.kind == "train")  # fmt: skip


def test_methods_share_no_stage_but_the_base_models_scores(world):
    study = study_of(world, method=["full", "prompt", "adapter", "lora", "probe"], prompt_length=[4])
    untrained = study.score_stage(Candidate(Order(), "full", 1e-3), 0, "links").key
    by_arm = [set(keys(study, "none", arm)) for arm in study.space.arms]
    assert len(by_arm) == 5
    for one, other in itertools.combinations(by_arm, 2):
        assert one & other == {untrained}


@pytest.mark.parametrize(("method", "fields", "kept"), [
    ("full", {"full": {"freeze_layers": 1}}, False), ("full", {"lora": {"rank": 4}}, True),
    ("lora", {"lora": {"rank": 4}}, False), ("lora", {"lora": {"along": "merge"}}, False),
    ("lora", {"adapter": {"along": "stack"}}, True), ("adapter", {"adapter": {"along": "stack"}}, False),
    ("adapter", {"adapter": {"form": "houlsby"}}, False), ("prompt", {"prompt": {"form": "input"}}, False),
    ("prompt", {"prompt": {"bottleneck": 8}}, True), ("probe", {"full": {"freeze_layers": 1}}, True),
])  # fmt: skip
def test_settings_of_a_method_are_in_its_own_keys_alone(world, method, fields, kept):
    """A prompt's bottleneck belongs to its reparameterised form."""
    arm = Arm(method, 1e-3, 4 if method == "prompt" else None)
    before, after = (keys(study_of(world, method=[method], methods=one), "pairs", arm, "train") for one in ({}, fields))
    assert (before == after) == kept
    assert kept or not set(before) & set(after)


# --- counts -----------------------------------------------------------------------------------------------------------


class Counting(Study):
    """A study of tasks a, b, … whose data need not exist."""

    fingerprints = property(lambda self: dict.fromkeys(itertools.product(("train", "score"), "abcdxyz"), "-"))
    model_fingerprint = property(lambda self: "-")
    grid = property(lambda self: {name: ["en"] for name in "abcdxyz"})
    _check_tasks = lambda self: None  # noqa: E731


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of tasks a, b, c, x, of y, which is trained on x's set, and of z, a retrieval task."""
    folder, found = tmp_path_factory.mktemp("tasks"), {}
    for name in "abcxyz":
        kind = {"kind": "retrieval"} if name == "z" else {"kind": "classification", "labels": ["l"]}
        kind |= {"train": str(folder / "x.yaml")} if name == "y" else {}
        found[name] = folder / f"{name}.yaml"
        found[name].write_text(yaml.safe_dump({"name": name, **kind, "source": {"mini": "nli"}}))
    return found


def counting(files, targets, **fields):
    return Counting(Settings.model_validate({
        "intermediate": [str(files[name]) for name in "abc"], "targets": [str(files[name]) for name in targets],
        "orders": {"kind": "subsets", "max_length": 2}, **fields,
    }))  # fmt: skip


MIXTURES = {
    "full": {"method": ["full"]},
    "probe": {"method": ["probe"], "learning_rate": [1e-3, 1e-2]},
    "full and probe": {"method": ["full", "probe"]},
    "no prompt": {"method": ["prompt"], "prompt_length": [0]},
    "prompts": {"method": ["prompt"], "prompt_length": [0, 4, 16], "learning_rate": [1e-3, 1e-2]},
    "no prompt and the probe": {
        "method": ["prompt", "probe"], "prompt_length": [0, 4],
        "learning_rate": {"prompt": [1e-3, 1e-2], "probe": [1e-2, 1e-4]},
    },
    "all": MIXED,
}  # fmt: skip


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("heads", ["new", "carry"])
@pytest.mark.parametrize("targets", ["x", "z", "xz", "az"])
def test_counts_of_mixed_methods(files, name, heads, targets):
    for target_steps, seeds in itertools.product((100, 50), (1, 2)):
        train = {"steps": 100, "target_steps": target_steps, "heads": heads}
        study = counting(files, targets, train=train, seeds=seeds, **MIXTURES[name])
        assert study.counts() == enumerated(study), (target_steps, seeds)


@pytest.mark.parametrize("name", MIXTURES)
def test_counts_of_mixed_methods_in_spaces_without_the_empty_order(files, name):
    orders = {"kind": "explicit", "explicit": ["a", "b>a", "b>c", "a+b>c"]}
    for targets in ("x", "z", "xz"):
        study = counting(files, targets, orders=orders, **MIXTURES[name])
        assert study.counts() == enumerated(study), targets


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("own", [{}, {"y": {"steps": 7}}, {"x": {"steps": 7}, "y": {"steps": 7}}, {"a": {"warmup": 3}}])
def test_counts_of_targets_that_train_alike(files, name, own):
    """Two targets share the training of one task where it is the same for both."""
    for targets in ("xy", "axy", "ya"):
        study = counting(files, targets, train={"targets": own}, **MIXTURES[name])
        assert study.counts() == enumerated(study), targets


@pytest.mark.parametrize("name", MIXTURES)
def test_counts_where_representations_are_measured(files, name):
    """After every training stage, and once of the base model."""
    for targets, heads in itertools.product(("z", "xz"), ("new", "carry")):
        study = counting(files, targets, representations=["z"], train={"heads": heads}, **MIXTURES[name])
        assert study.counts() == enumerated(study), (targets, heads)


def test_a_measurement_is_not_the_score(world):
    study = study_of(world, representations=["links"])
    scored = study.score_stage(Candidate(Order.parse("pairs"), "full", 1e-3), 0, "links")
    assert "measure" not in scored.settings
    found = [stage for stage in stages_of(study, "pairs", ("full", 1e-3)) if stage.tasks == ("links",)]
    measured = "representations"
    assert [stage.settings.get("measure") for stage in found] == [measured, measured, None, measured]


def test_a_targets_own_rate_makes_the_count_an_upper_bound(files):
    """Stages that would differ by the candidate's learning rate alone then coincide."""
    too_many = {}
    for name, fields in MIXTURES.items():
        study = counting(files, "x", train={"targets": {"x": {"learning_rate": 1e-3}}}, **fields)
        counts, found = study.counts(), enumerated(study)
        assert counts["stages_naive"] == found["stages_naive"]
        too_many[name] = counts["stages_distinct"] - found["stages_distinct"]
    assert min(too_many.values()) == too_many["full"] == too_many["full and probe"] == 0
    assert too_many["probe"] == 2 * 2  # x's training and score, at two seeds, the same at both learning rates


# --- successive halving -----------------------------------------------------------------------------------------------


def halving_of(world, **changed):
    return study_of(world, strategy="halving", method=["full", "prompt", "probe"], prompt_length=[4], **changed)


@pytest.mark.parametrize("arm", [Arm("full", 1e-3), Arm("prompt", 1e-3, 4), Arm("probe", 1e-3)])
def test_a_larger_budget_goes_on_from_a_smaller_one(world, arm):
    """The first stage of each budget: the same but for its steps, with the same random numbers."""
    study = halving_of(world)
    least, middle, whole = (stages_of(study, "pairs>topics", arm, budget=budget)[0] for budget in (1 / 9, 1 / 3, 1.0))
    assert [stage.steps for stage in (least, middle, whole)] == [11, 33, 100]
    assert [stage.resumes for stage in (least, middle, whole)] == [None, least.key, middle.key]
    assert [stage.resumable for stage in (least, middle, whole)] == [True, True, False]
    assert len({stage.random_seed for stage in (least, middle, whole)}) == 1
    assert len({stage.key for stage in (least, middle, whole)}) == 3
    assert least.settings == middle.settings == whole.settings


def test_only_first_stages_go_on(world):
    """A later stage has another parent at each budget, so there is nothing that it could go on from."""
    study, arm = halving_of(world), Arm("full", 1e-3)
    for budget in (1 / 9, 1 / 3, 1.0):
        first, *later = [s for s in stages_of(study, "pairs>topics", arm, budget=budget) if s.kind == "train"]
        assert first.parent is None and all(stage.parent for stage in later)
        assert [stage.resumes for stage in later] == [None, None]
        assert {stage.resumable for stage in (first, *later)} == {budget < 1}
    by_budget = [set(keys(study, "pairs>topics", arm, budget=budget)) for budget in (1 / 9, 1 / 3, 1.0)]
    assert not by_budget[0] & by_budget[1] and not by_budget[1] & by_budget[2]


def test_a_targets_own_stage_goes_on_where_it_is_the_first(world):
    study, arm = halving_of(world), Arm("full", 1e-3)
    least, middle = (stages_of(study, "none", arm, budget=budget)[0] for budget in (1 / 9, 1 / 3))
    assert (least.tasks, least.parent, least.resumes) == (("tags",), None, None)
    assert middle.resumes == least.key


def test_the_whole_budget_has_the_stages_of_other_strategies(world):
    """So that what halving trained in full is found by a later study."""
    halved, plain = halving_of(world), study_of(world, method=["full", "prompt", "probe"], prompt_length=[4])
    for order, arm in itertools.product(ORDERS, plain.space.arms):
        assert keys(halved, order, arm) == keys(plain, order, arm)
        assert not any(stage.resumes or stage.resumable for stage in stages_of(plain, order, arm))


@pytest.mark.parametrize("eta", [2, 3, 5, 7, 10])
@pytest.mark.parametrize("rungs", [1, 2, 3, 6])
def test_the_smallest_budget_goes_on_from_nothing(world, eta, rungs):
    """Whatever the rounding of eta's powers."""
    study = halving_of(world, halving={"eta": eta, "rungs": rungs}, train={"steps": eta**rungs})
    budgets = [1 / eta**power for power in reversed(range(rungs))]
    stages = [stages_of(study, "pairs", Arm("full", 1e-3), budget=budget)[0] for budget in budgets]
    assert [stage.resumes for stage in stages] == [None, *(stage.key for stage in stages[:-1])]


def test_a_stage_has_one_step_at_least(world):
    study = halving_of(world, train={"steps": 2, "target_steps": 1})
    assert [stage.steps for stage in stages_of(study, "pairs", Arm("full", 1e-3), budget=1 / 9)] == [1, 1, 0, 0]


def test_a_method_without_a_rate_is_told(world):
    with pytest.raises(Mistake, match="no learning rate for the method 'lora'"):
        study_of(world, method=["full", "lora"], learning_rate={"full": [1e-3]})
