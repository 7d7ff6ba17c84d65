"""What a study finds in the store, and what it remembers of it: broken off and run again it goes on the same."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from test_planner import Workers, study_of

from search.candidate import Candidate
from search.dry_run import print_plan
from search.order import Order
from search.plan import trunk
from search.prices import Ledger
from search.stored import stored, stored_before, stored_prefixes
from trainables.stage import WEIGHTS
from trainables.store import Store

STUDIES = {
    "subsets": {},
    "one task at most": {"orders": {"max_length": 1}},
    "groups": {"orders": {"kind": "groups"}},
    "small groups": {"orders": {"kind": "groups", "max_group": 1, "max_length": 2}},
    "permutations": {"orders": {"kind": "permutations"}},
    "joint": {"orders": {"kind": "joint"}},
    "explicit": {"orders": {"kind": "explicit", "explicit": ["none", "pairs+topics", "topics>pairs"]}},
    "controls": {"controls": True},
    "measured": {"representations": ["links"]},
    "measured permutations": {"representations": ["links"], "orders": {"kind": "permutations"}},
    "forgetting": {"forgetting": True},
    "forgetting of permutations": {"forgetting": True, "orders": {"kind": "permutations"}},
    "forgetting of shams": {"forgetting": True, "controls": True},
    "arms": {"method": ["full", "lora"], "learning_rate": [1e-3, 1e-2]},
    "heads": {"method": ["probe", "prompt"], "prompt_length": [0, 8], "train": {"heads": "carry"}},
    "nothing carried": {"method": ["probe", "prompt"], "prompt_length": [0, 8]},
}  # fmt: skip


def stages_of(study):
    """Every stage of a study, by key."""
    runs = [study.stages(candidate, seed) for candidate in study.space for seed in range(study.settings.seeds)]
    return {stage.key: stage for run in runs for stage in run}


def some(stages, generator, share):
    """Keys of some of the stages, none without what it hangs on."""
    kept = set()
    for key, stage in stages.items():  # parents come before children
        if generator.random() < share and (stage.parent is None or stage.parent in kept):
            kept.add(key)
    return kept


def trained(study, order, arm, seed):
    """The keys of an order's own training stages."""
    found = [stage.key for stage in study.stages(Candidate(order, *arm), seed) if stage.kind == "train"]
    return found[: len(order.groups)]


@pytest.mark.parametrize("kind", STUDIES)
def test_stored_stages_and_prefixes_are_those_of_all_candidates(world, kind):
    study = study_of(world, **STUDIES[kind])
    stages, generator = stages_of(study), random.Random(kind)
    larger = study_of(world, **{**STUDIES[kind], "orders": {"kind": "groups", "max_length": None}})
    others = stages_of(larger).keys() - stages.keys()  # which another study has left
    prefixes = {prefix for candidate in study.space for prefix in candidate.order.prefixes()}
    for share in (1, 0.9, 0.7, 0.5):
        own = some(stages, generator, share)
        keys = own | others
        assert stored(study, keys) == own
        assert stored_prefixes(study, keys) == {
            (trunk(arm), prefix.groups)
            for arm in study.space.arms if study.carries(arm)
            for prefix in prefixes
            if all(keys.issuperset(trained(study, prefix, arm, seed)) for seed in range(study.settings.seeds))
        }  # fmt: skip
    assert stored(study, set()) == stored_prefixes(study, set()) == set()


def test_a_prefix_counts_when_all_roots_have_it(world):
    study = study_of(world)
    order, arm = Order.parse("pairs"), study.space.arms[0]
    first, second = (set(trained(study, order, arm, seed)) for seed in range(2))
    assert stored_prefixes(study, first) == set()
    assert stored_prefixes(study, first | second) == {(arm, order.groups)}


# --- what the store remembers -----------------------------------------------------------------------------------------


def put(study, *orders):
    """Train these orders with the first arm at every root, as another study would have."""
    store = Store(study.settings.store_url)
    for text in orders:
        for seed in range(study.settings.seeds):
            for stage in study.stages(Candidate(Order.parse(text), *study.space.arms[0]), seed):
                if stage.kind == "train":
                    store.put(stage.key, {}, {WEIGHTS: b"weights"})
    return store


def test_prices_are_those_of_the_first_start(world):
    study = study_of(world)
    store = put(study, "pairs")
    before = stored_prefixes(study, store.keys())
    assert stored_before(study, store, remember=False) == before
    put(study, "topics>pairs")
    now = stored_prefixes(study, store.keys())
    assert now > before
    assert stored_before(study, store) == now  # a dry run has left nothing behind
    put(study, "pairs>topics")
    assert stored_prefixes(study, store.keys()) > now
    assert stored_before(study_of(world), store) == now
    assert stored_before(study_of(world, seeds=1), store) > now  # another study, begun later


def test_of_two_drivers_the_first_is_believed(world):
    study = study_of(world)
    store = put(study, "pairs")
    first = stored_prefixes(study, store.keys())
    document = store.document

    def late(name):
        """Another driver begins between the look and the writing, and the store has grown since then."""
        if document(name) is None and not late.begun:
            late.begun = True
            stored_before(study, store)
            put(study, "topics")
            return None
        return document(name)

    late.begun, store.document = False, late
    assert stored_before(study, store) == first
    assert stored_prefixes(study, store.keys()) > first


def test_arms_come_back_as_they_were(world):
    study = study_of(world, method=["prompt", "full"], learning_rate=[1e-5, 3e-2], prompt_length=8)
    store = put(study, "pairs>topics")
    assert stored_before(study, store) == stored_before(study, store) == stored_prefixes(study, store.keys())
    assert {arm for arm, _ in stored_before(study, store)} == {study.space.arms[0]}


def test_a_dry_run_leaves_no_memory(world):
    from rich.console import Console

    study = study_of(world, strategy="evolution", candidates=4)
    store = put(study, "pairs")
    print_plan(study, store, Console(quiet=True))
    assert not (Path(study.settings.store_url) / "studies").exists()


# --- broken off and run again -----------------------------------------------------------------------------------------

ADAPTIVE = ("gp", "evolution", "tpe", "plackett-luce")


@pytest.fixture
def wide(world):
    """A world of four intermediate tasks: 65 orders."""
    pairs = {"kind": "classification", "labels": ["yes", "no"], "fields": {"pair": "pair"}}
    for name in ("claims", "stances"):
        source = {"folder": {split: f"pairs/{split}" for split in ("train", "dev", "test")}}
        world.task(name, **pairs, source=source)
    tasks = [world.of(name) for name in ("pairs", "topics", "claims", "stances")]
    world.yaml("suite", {"name": "own", "intermediate": tasks, "targets": [world.of("tags"), world.of("links")]})
    return world


def adaptive(world, strategy, store, **changed):
    finals = {"finalists": 2, "most": 5}
    more = {"candidates": 16, "orders": {"max_length": 4}, "confidence": 0.9, "finals": finals, **changed}
    return study_of(world, strategy=strategy, store=str(world.folder / store), **more)


def break_off(study, after, seed=0):
    """Run a study with three workers and stop after so many steps; the workers."""
    workers = Workers(study, 3, seed)
    with pytest.raises(AssertionError, match="not finished"):
        workers.run(most=after)
    return workers


def outcome(planner):
    finals = planner.campaign.finals
    return planner.candidates, finals.recommended, finals.rule.standing(), planner.rows


@pytest.mark.parametrize("strategy", ADAPTIVE)
def test_broken_off_and_run_again_it_proposes_the_same(wide, strategy):
    whole = Workers(adaptive(wide, strategy, "whole"), 2)
    undisturbed = whole.run()
    assert len(undisturbed.candidates) == 16
    # In a batch that was learned, and later.
    tried = [set(break_off(adaptive(wide, strategy, "store"), after).tried) for after in (70, 15)]
    last = Workers(adaptive(wide, strategy, "store"), 2, seed=9)
    assert outcome(last.run()) == outcome(undisturbed)
    tried.append(set(last.tried))
    assert sum(map(len, tried)) == len(set.union(*tried))  # what was done is not done again
    assert set.union(*tried) == set(whole.tried)


def test_broken_off_with_a_pruner(wide):
    changed = {"objective": "target-dev", "seeds": 3, "pruning": {"pruner": "median", "candidates": 3}}
    whole = Workers(adaptive(wide, "random", "whole", **changed)).run()
    assert whole.campaign.pruned
    for seed in range(2):
        break_off(adaptive(wide, "random", "store", **changed), 50, seed)
    again = Workers(adaptive(wide, "random", "store", **changed), 2).run()
    assert again.campaign.pruned == whole.campaign.pruned
    assert outcome(again)[:3] == outcome(whole)[:3]


def test_what_another_study_left_is_free_and_again_after_a_restart(wide):
    """The store is full of what the study itself did before it was broken off: that was to be paid for."""
    orders = {"kind": "explicit", "explicit": ["none", "claims>stances>topics"], "max_length": None}
    theirs = study_of(wide, orders=orders, store=str(wide.folder / "one"))
    Workers(theirs).run()
    shutil.copytree(wide.folder / "one", wide.folder / "two")
    other = Order.parse("claims>stances>topics")
    prices, proposed = [], []
    for store, stops in (("one", (60, 15)), ("two", ())):
        for after in stops:
            break_off(adaptive(wide, "gp", store, confidence=None), after)
        study = adaptive(wide, "gp", store, confidence=None)
        planner = Workers(study).run()
        prices.append([Ledger(planner.prices).marginal(candidate) for candidate in study.space])
        proposed.append(planner.candidates)
        assert set(planner.prices.stored()) == {(study.space.arms[0], one.groups) for one in other.prefixes()}
        assert stored_prefixes(study, planner.store.keys()) > set(planner.prices.stored())
    assert prices[0] == prices[1]
    assert proposed[0] == proposed[1]
    leaf = planner.prices.leaf(study.space.arms[0])
    assert Ledger(planner.prices).marginal(Candidate(other, *study.space.arms[0])) == leaf
