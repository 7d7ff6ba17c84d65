"""The stage tree: merging, need, order of work, failures, counts; and simulated workers on random trees."""

from __future__ import annotations

import gc
import itertools
import math
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.order import Order, OrderSpace
from search.tree import StageTree
from trainables.stage import Stage


def stages_of(order, targets=("xnli",)):
    """Train stages along an order such as 'a>b', then one score stage a target. Parents first."""
    stages = []
    parent = None
    for group in Order.parse(order).groups:
        stages.append(Stage("train", parent, group, ("-",) * len(group), "micro", "full", steps=10, seed=0))
        parent = stages[-1].key
    return stages + [Stage("score", parent, (target,), ("-",), "micro", "full") for target in targets]


def train(order):
    return stages_of(order)[-2]


def score(order, target="xnli"):
    return stages_of(order, (target,))[-1]


def cost_of(stage):
    return 10.0 if stage.kind == "train" else 1.0


def tree_of(*orders, stored=(), cost=cost_of):
    tree = StageTree(cost, frozenset(stage.key for stage in stored).__contains__)
    for order in orders:
        tree.add(order, stages_of(order))
    return tree


def names(path):
    return [f"{stage.kind} {'+'.join(stage.tasks)}" for stage in path]


def finish(tree, path):
    """Run a claimed path; the runs that became complete."""
    complete = []
    for stage in path:
        tree.start(stage.key)
        complete += tree.complete(stage.key, 2.0)
    return complete


def counts(tree):
    return {name: getattr(tree, name) for name in ("naive", "distinct", "executed", "reused", "remaining")}


# Merging and counting ------------------------------------------------------------------------------------------------


def test_shared_prefixes_are_merged():
    tree = tree_of("none", "a", "a>b", "a>c", "b>a")
    assert counts(tree) == {"naive": 1 + 2 + 3 + 3 + 3, "distinct": 10, "executed": 0, "reused": 0, "remaining": 10}
    assert tree.remaining_cost() == 5 * 10 + 5 * 1
    assert tree.longest_path() == 21
    assert tree.lower_bound(1) == 55
    assert tree.lower_bound(100) == 21


def test_the_ratio_of_naive_to_distinct_train_stages_is_the_arithmetic_one():
    space = OrderSpace(["a", "b", "c", "d"])
    tree = tree_of(*map(str, space))
    assert tree.naive - space.size == space.naive_stages()
    assert tree.distinct - space.size == space.distinct_stages()


def test_a_run_is_refused_whole_when_it_makes_no_sense():
    tree = tree_of("a")
    before = counts(tree)
    with pytest.raises(ValueError, match="already in the tree"):
        tree.add("a", stages_of("a"))
    with pytest.raises(ValueError, match="before its parent"):
        tree.add("b>c", stages_of("b>c")[::-1])
    with pytest.raises(ValueError, match="no score stage"):
        tree.add("b", stages_of("b")[:-1])
    assert counts(tree) == before
    assert tree.add("b", stages_of("b")) is False


def test_unknown_stages_and_wrong_moments_are_errors():
    tree = tree_of("a")
    with pytest.raises(ValueError, match="not in the tree"):
        tree.start("f" * 32)
    with pytest.raises(ValueError, match="is waiting, not claimed"):
        tree.start(train("a").key)
    with pytest.raises(ValueError, match="no weights"):
        tree.forget(score("a").key)
    with pytest.raises(ValueError, match="workers >= 1"):
        tree.lower_bound(0)
    assert not tree.is_done("f" * 32)


# What is needed ------------------------------------------------------------------------------------------------------


def test_a_run_whose_scores_are_stored_is_complete_at_once():
    tree = tree_of(stored=[score("a>b")])
    assert tree.add("a>b", stages_of("a>b")) is True
    assert counts(tree) == {"naive": 3, "distinct": 3, "executed": 0, "reused": 3, "remaining": 0}
    assert tree.next_path() == []


def test_collected_weights_are_made_again_only_when_something_below_needs_them():
    tree = tree_of("a>b", stored=[score("a>b")])
    assert tree.remaining == 0
    tree.add("a>b>c", stages_of("a>b>c"))
    assert names(tree.next_path()) == ["train a", "train b", "train c", "score xnli"]


def test_the_walk_upwards_stops_at_the_first_stored_ancestor():
    tree = tree_of("a>b>c", stored=[train("a>b")])
    assert names(tree.next_path()) == ["train c", "score xnli"]
    assert tree.reused == 2
    assert tree.is_done(train("a>b").key)
    assert not tree.is_done(train("a").key)


def test_a_stored_score_beside_a_missing_one():
    tree = tree_of(stored=[train("a"), score("a", "xnli")])
    assert tree.add("a", stages_of("a", ("xnli", "ner"))) is False
    path = tree.next_path()
    assert names(path) == ["score ner"]
    assert finish(tree, path) == ["a"]


def test_the_store_is_asked_once_a_stage():
    asked = []
    tree = StageTree(cost_of, lambda key: bool(asked.append(key)))
    for order in ("a", "a>b", "a>c"):
        tree.add(order, stages_of(order))
    assert len(asked) == len(set(asked)) == tree.distinct


# Order of work -------------------------------------------------------------------------------------------------------


def test_paths_start_with_the_longest_and_walk_down_the_longest():
    tree = tree_of("a", "b>c", "b>d>e")
    assert tree.ready_count() == 2
    assert names(tree.next_path()) == ["train b", "train d", "train e", "score xnli"]
    assert names(tree.next_path()) == ["train a", "score xnli"]
    assert tree.next_path() == []


def test_what_a_path_leaves_beside_it_is_ready_when_its_parent_is_done():
    tree = tree_of("a>b", "a>c", "a")
    path = tree.next_path()
    assert names(path) == ["train a", "train b", "score xnli"]
    assert tree.ready_count() == 0
    tree.start(path[0].key)
    assert tree.complete(path[0].key, 3.0) == []
    assert tree.ready_count() == 2
    assert finish(tree, tree.next_path()) == ["a>c"]
    assert finish(tree, tree.next_path()) == ["a"]
    assert finish(tree, path[1:]) == ["a>b"]
    assert (tree.remaining, tree.remaining_cost(), tree.longest_path()) == (0, 0, 0)
    assert tree.seconds == 13


def test_baselines_come_first_in_their_order():
    tree = tree_of("c>d>e")
    tree.add("a", stages_of("a"), urgent=1)
    tree.add("none", stages_of("none"), urgent=0)
    assert names(tree.next_path()) == ["score xnli"]
    assert names(tree.next_path()) == ["train a", "score xnli"]
    assert names(tree.next_path()) == ["train c", "train d", "train e", "score xnli"]


def test_a_path_goes_down_to_the_urgent_leaf_first():
    tree = tree_of("a>b>c")
    tree.add("a", stages_of("a"), urgent=0)
    assert names(tree.next_path()) == ["train a", "score xnli"]


def test_a_ready_stage_that_becomes_urgent_moves_ahead():
    tree = tree_of("b>c", "a")
    tree.add("a again", stages_of("a"), urgent=3)
    assert names(tree.next_path()) == ["train a", "score xnli"]


def test_a_ready_stage_that_grows_moves_ahead():
    tree = tree_of("a>b", "c")
    tree.add("c>d>e", stages_of("c>d>e"))
    assert names(tree.next_path())[0] == "train c"


def test_ties_go_to_the_first_added():
    tree = tree_of("b", "a", "c")
    assert [path[0].tasks[0] for path in (tree.next_path(), tree.next_path(), tree.next_path())] == ["b", "a", "c"]


def test_repricing_reorders_what_waits():
    seconds = {"a": 1.0, "b": 2.0}
    tree = tree_of("a", "b", cost=lambda stage: seconds.get(stage.tasks[0], 0.0))
    seconds["a"] = 5.0
    assert tree.remaining_cost() == 3
    tree.reprice()
    assert (tree.remaining_cost(), tree.longest_path()) == (7, 5)
    assert names(tree.next_path())[0] == "train a"


# Failures and lost workers -------------------------------------------------------------------------------------------


def test_a_failure_loses_everything_below_and_nothing_beside():
    tree = tree_of("a", "a>b", "a>b>c", "a>d", "e")
    path = tree.next_path()
    assert names(path)[:2] == ["train a", "train b"]
    tree.start(path[0].key)
    tree.complete(path[0].key, 1.0)
    tree.start(path[1].key)
    assert sorted(tree.fail(path[1].key, "out of memory")) == ["a>b", "a>b>c"]
    assert tree.fail(path[1].key, "again") == []
    tree.release(stage.key for stage in path)
    assert dict(tree.lost) == {"a>b": "out of memory", "a>b>c": "out of memory"}
    complete = []
    while later := tree.next_path():
        complete += finish(tree, later)
    assert sorted(complete) == ["a", "a>d", "e"]
    assert counts(tree) == {"naive": 14, "distinct": 10, "executed": 6, "reused": 0, "remaining": 0}


def test_a_lost_stage_is_never_complete():
    """A worker that reports late, after its stage was given up, changes nothing."""
    tree = tree_of("a", "b")
    path = tree.next_path()
    tree.start(path[0].key)
    assert tree.fail(path[0].key, "diverged") == [path[0].tasks[0]]
    for stage in path:
        with pytest.raises(ValueError, match=r"lost|given up"):
            tree.complete(stage.key, 1.0)
    assert tree.executed == 0
    assert list(tree.lost) == [path[0].tasks[0]]


def test_a_run_added_below_a_lost_stage_is_lost_at_once():
    tree = tree_of("a>b")
    tree.fail(tree.next_path()[0].key, "no such data")
    assert tree.add("a>b#1", stages_of("a>b")) is False
    assert tree.add("a>c", stages_of("a>c")) is False
    assert dict(tree.lost) == dict.fromkeys(["a>b", "a>b#1", "a>c"], "no such data")
    assert tree.next_path() == []


def test_the_other_goals_of_a_lost_run_are_still_run():
    tree = StageTree(cost_of, lambda key: False)
    tree.add("none", stages_of("none", ("xnli", "ner")))
    path = tree.next_path()
    assert tree.fail(path[0].key, "bad labels") == ["none"]
    assert finish(tree, tree.next_path()) == []
    assert tree.executed == 1


def test_a_failure_shortens_the_longest_path():
    tree = tree_of("a>b>c", "a>d")
    tree.fail(train("a>b").key, "never mind")
    assert tree.longest_path() == 21
    assert names(tree.next_path()) == ["train a", "train d", "score xnli"]


def test_a_ready_stage_that_shrinks_moves_back():
    tree = tree_of("a>b>c>d", "a", "e>f")
    tree.fail(train("a>b").key, "never mind")
    assert names(tree.next_path())[0] == "train e"


def test_released_stages_are_ready_again_and_run_once():
    tree = tree_of("a>b")
    path = tree.next_path()
    tree.start(path[0].key)
    tree.release(stage.key for stage in path)
    assert tree.next_path() == path
    tree.start(path[0].key)
    tree.complete(path[0].key, 1.0)
    tree.release(stage.key for stage in path)
    assert tree.next_path() == path[1:]


def test_a_worker_believed_lost_may_finish_after_all():
    tree = tree_of("a")
    first = tree.next_path()
    tree.start(first[0].key)
    tree.release(stage.key for stage in first)
    assert tree.complete(first[0].key, 1.0) == []
    second = tree.next_path()
    assert names(second) == ["score xnli"]
    assert finish(tree, second) == ["a"]
    assert tree.complete(second[0].key, 1.0) == []
    assert tree.fail(second[0].key, "too late") == []
    assert (tree.executed, tree.seconds, tree.ready_count()) == (2, 3.0, 0)


def test_forgotten_weights_are_made_again_where_they_are_needed():
    gone = set()
    tree = StageTree(cost_of, lambda key: key == train("a").key and key not in gone)
    tree.add("a>b", stages_of("a>b"))
    path = tree.next_path()
    assert names(path) == ["train b", "score xnli"]
    tree.start(path[0].key)
    gone.add(train("a").key)
    assert tree.forget(train("a").key) == []
    tree.release(stage.key for stage in path)
    assert tree.ready_count() == 1
    path = tree.next_path()
    assert names(path) == ["train a", "train b", "score xnli"]
    assert finish(tree, path) == ["a>b"]
    gone.add(train("a>b").key)
    assert tree.forget(train("a>b").key) == []
    assert tree.remaining == 0
    tree.add("a>b>c", stages_of("a>b>c"))
    assert names(tree.next_path()) == ["train b", "train c", "score xnli"]


def test_a_path_passes_by_what_runs_already():
    gone = set()
    tree = StageTree(cost_of, lambda key: key == train("a").key and key not in gone)
    tree.add("a>b", stages_of("a>b"))
    running = tree.next_path()
    tree.start(running[0].key)
    tree.add("a", stages_of("a"))
    gone.add(train("a").key)
    tree.forget(train("a").key)
    assert names(tree.next_path()) == ["train a", "score xnli"]
    assert tree.complete(running[0].key, 1.0) == []
    assert finish(tree, running[1:]) == ["a>b"]


def test_forgotten_weights_below_a_lost_stage_lose_their_runs():
    tree = StageTree(cost_of, lambda key: key == train("a>b").key and not tree.lost)
    tree.add("a>b>c", stages_of("a>b>c"))
    tree.add("a>d", stages_of("a>d"))
    assert tree.fail(train("a").key, "gone") == ["a>d"]
    assert tree.forget(train("a>b").key) == ["a>b>c"]
    assert (tree.ready_count(), tree.remaining) == (0, 0)


# Simulated workers on random trees -----------------------------------------------------------------------------------


orders = st.lists(
    st.permutations("abcd").flatmap(lambda tasks: st.integers(0, 4).map(lambda n: tasks[:n])), max_size=12
)
targets = st.sampled_from([("xnli",), ("ner",), ("xnli", "ner", "qa")])
runs = orders.flatmap(lambda found: st.tuples(st.just(found), st.lists(targets, min_size=12, max_size=12)))


def random_cost(stage):
    return 1 + int(stage.key[:2], 16) % 5 * (3 if stage.kind == "train" else 1)


def make_runs(drawn):
    return [
        (f"{'>'.join(order) or 'none'}#{number}", stages_of(">".join(order) or "none", wanted))
        for number, (order, wanted) in enumerate(zip(*drawn, strict=False))
    ]


class Oracle:
    """What the tree should say, found by plain recursion over all its stages."""

    def __init__(self, found, stored):
        self.stages = {stage.key: stage for _, stages in found for stage in stages}
        self.numbers = {key: number for number, key in enumerate(self.stages)}
        self.urgent = {
            stage.key: min(n if n < 2 else math.inf for n, (_, s) in enumerate(found) if stage in s)
            for stage in self.stages.values()
        }
        self.stored = stored
        self.needed = set()
        for stage in self.stages.values():
            key = stage.key if stage.kind == "score" else None
            while key is not None and key not in stored:
                self.needed.add(key)
                key = self.stages[key].parent

    def longest(self, key, done):
        below = [child.key for child in self.stages.values() if child.parent == key]
        pending = [child for child in below if child in self.needed and child not in done]
        return random_cost(self.stages[key]) + max((self.longest(child, done) for child in pending), default=0)

    def best(self, keys, done):
        return min(keys, key=lambda key: (self.urgent[key], -self.longest(key, done), self.numbers[key]), default=None)

    def ready(self, claimed, done):
        waiting = self.needed - claimed - done
        return {key for key in waiting if (parent := self.stages[key].parent) is None or parent in done | self.stored}

    def path(self, claimed, done):
        path = []
        key = self.best(self.ready(claimed, done), done)
        while key is not None:
            path.append(key)
            waiting = self.needed - claimed - done
            key = self.best({child for child in waiting if self.stages[child].parent == key}, done)
        return path


@settings(deadline=None, max_examples=150)
@given(runs, st.integers(1, 4), st.data())
def test_simulated_workers_run_each_needed_stage_once_and_in_order(drawn, workers, data):
    found = make_runs(drawn)
    keys = sorted({stage.key for _, stages in found for stage in stages})
    stored = (
        set(data.draw(st.lists(st.sampled_from(keys), unique=True))) if keys and data.draw(st.booleans()) else set()
    )
    oracle = Oracle(found, stored)
    tree = StageTree(random_cost, stored.__contains__)
    complete = []
    for number, (run, stages) in enumerate(found):
        if tree.add(run, stages, number if number < 2 else None):
            complete.append(run)

    done, claimed, paths, lengths = set(), set(), [], 0.0
    while tree.remaining:
        while len(paths) < workers:
            expected = oracle.path(claimed, done)
            assert tree.ready_count() == len(oracle.ready(claimed, done))
            path = [stage.key for stage in tree.next_path()]
            assert path == expected
            if not path:
                break
            claimed.update(path)
            paths.append(path)
        worker = data.draw(st.integers(0, len(paths) - 1))
        path = paths[worker]
        if data.draw(st.integers(0, 5)) == 0:  # the worker is lost, or its path is ended early
            tree.release(path)
            claimed.difference_update(path)
            del paths[worker]
            continue
        key = path.pop(0)
        parent = oracle.stages[key].parent
        assert parent is None or parent in done | stored
        assert key not in done
        tree.start(key)
        complete += tree.complete(key, 0.5)
        done.add(key)
        lengths += 0.5
        assert tree.is_done(key)
        assert tree.remaining_cost() == sum(random_cost(oracle.stages[key]) for key in oracle.needed - done)
        pending = oracle.needed - done
        assert tree.longest_path() == max((oracle.longest(key, done) for key in pending), default=0)
        if not path:
            del paths[worker]

    assert done == oracle.needed
    assert sorted(complete) == sorted(run for run, _ in found)
    assert (tree.executed, tree.reused, tree.distinct) == (len(done), len(keys) - len(done), len(keys))
    assert tree.naive == sum(len(stages) for _, stages in found)
    assert tree.seconds == lengths
    assert tree.next_path() == []


@settings(deadline=None)
@given(runs, st.data())
def test_every_run_ends_complete_or_lost(drawn, data):
    found = make_runs(drawn)
    tree = StageTree(random_cost, lambda key: False)
    for run, stages in found:
        tree.add(run, stages)
    complete, lost, failed = [], [], 0
    while path := tree.next_path():
        for stage in path:
            tree.start(stage.key)
            if data.draw(st.integers(0, 4)) == 0:
                lost += tree.fail(stage.key, "bad luck")
                failed += 1
                break
            complete += tree.complete(stage.key, 1.0)
    assert sorted(complete + lost) == sorted(run for run, _ in found)
    assert sorted(tree.lost) == sorted(lost)
    assert (tree.remaining, tree.ready_count(), tree.longest_path()) == (0, 0, 0)
    assert tree.executed + failed <= tree.distinct


# Size ----------------------------------------------------------------------------------------------------------------


def run_all(tree):
    while path := tree.next_path():
        finish(tree, path)


def timed(action):
    gc.collect()
    began = time.process_time()
    action()
    return time.process_time() - began


def add_all(tree, found):
    for run, stages in found:
        tree.add(run, stages)


def test_ten_thousand_stages_are_quick_and_small():
    space = OrderSpace([f"t{number}" for number in range(7)])
    found = [(str(order), stages_of(str(order))) for order in itertools.islice(space, 5001)]
    for _, stages in found:
        for stage in stages:
            assert stage.key  # hashing is the stage's cost, not the tree's
    tree = tree_of()
    seconds = timed(lambda: (add_all(tree, found), run_all(tree)))
    assert tree.executed == tree.distinct == 10_001
    assert seconds / tree.distinct < 1e-3

    tracemalloc.start()
    tree = tree_of()
    add_all(tree, found)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / tree.distinct < 10_000


@pytest.mark.parametrize("shape", ["deep", "wide"])
def test_deep_chains_and_wide_nodes(shape):
    stages = [Stage("train", None, ("t0",), ("-",), "micro", "full")]
    found = []
    for number in range(1, 10_000):
        parent = stages[-1].key if shape == "deep" else stages[0].key
        stages.append(Stage("train", parent, (f"t{number}",), ("-",), "micro", "full"))
    leaves = stages[-1:] if shape == "deep" else stages[1:]
    for leaf in leaves:
        goal = Stage("score", leaf.key, ("xnli",), ("-",), "micro", "full")
        found.append((leaf.key, [*stages, goal] if shape == "deep" else [stages[0], leaf, goal]))
    tree = tree_of()
    seconds = timed(lambda: (add_all(tree, found), tree.reprice(), run_all(tree)))
    assert tree.executed == tree.distinct == 10_000 + len(leaves)
    assert seconds / tree.distinct < 1e-3
