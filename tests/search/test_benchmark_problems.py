"""The problems that strategies are played on: generated, of files, and recorded."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pandas as pd
import pytest

from benchmarks.strategies.formats import read
from benchmarks.strategies.instances import best_found, generated
from benchmarks.strategies.problems import KINDS, Spec
from benchmarks.strategies.recorded import COLUMNS, make
from search.order import Order, OrderSpace
from trainables.errors import Mistake

ENUMERATED = ("lop", "tsp", "qap", "pfsp", "transfer", "subsets")


def order(*tasks):
    return Order(tuple((task,) for task in tasks))


@pytest.mark.parametrize("kind", ENUMERATED)
def test_values_are_standardised_and_regret_is_exact(kind):
    problem = Spec(kind, size=4, noise=0).make(3)
    orders = list(problem.space.orders)
    assert len(orders) == problem.space.size == (65 if kind == "subsets" else 24)
    values = np.array([problem.draw(one, 0) for one in orders])
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1)
    assert [problem.regret(one) for one in orders] == pytest.approx(list(values.max() - values))


@pytest.mark.parametrize("kind", ENUMERATED)
def test_a_seed_draws_the_instance(kind):
    def regrets(seed):
        problem = Spec(kind, size=4).make(seed)
        return [problem.regret(one) for one in problem.space.orders]

    assert regrets(1) == regrets(1)
    assert regrets(1) != regrets(2)


def test_noise_is_of_seed_order_and_visit_alone():
    problem, again = Spec("lop", size=4).make(1), Spec("lop", size=4).make(1)
    orders = list(problem.space.orders)
    first = {one: problem.draw(one, 0) for one in orders}
    assert {one: again.draw(one, 0) for one in reversed(orders)} == first
    assert all(problem.draw(one, 1) != first[one] for one in orders)
    noise = [problem.draw(one, visit) + problem.regret(one) for one in orders for visit in range(50)]
    assert np.std(noise) == pytest.approx(0.3, rel=0.1)


def test_subsets_have_baselines_and_permutations_have_none():
    assert Spec("subsets", size=3).make(0).space.baselines == 4
    assert Spec("lop", size=3).make(0).space.baselines == 0


def test_a_large_instance_is_judged_by_the_best_that_is_known(tmp_path):
    size = 9
    matrix = np.random.default_rng(1).integers(0, 100, (size, size))
    path = str(tmp_path / "instance")
    (tmp_path / "instance").write_text(f"{size}\n" + "\n".join(" ".join(map(str, row)) for row in matrix))
    problem = Spec("lop", instance=path, noise=0).make(0)
    best = best_found(read("lop", path))
    drawn = [random.Random(seed).sample(range(size), size) for seed in range(50)]
    assert max(np.triu(matrix[np.ix_(items, items)], 1).sum() for items in drawn) < best
    for items in drawn:
        one = order(*(f"t{item}" for item in items))
        assert one in problem.space.orders
        assert problem.regret(one) > 0
        assert problem.draw(one, 0) + problem.regret(one) == pytest.approx(problem.regret(Order(())))
    higher = Spec("lop", instance=path, noise=0, best=best + 100).make(0)
    assert higher.regret(Order(())) > problem.regret(Order(()))


def test_local_search_finds_the_best_of_a_small_instance():
    for kind in ("lop", "tsp", "qap", "pfsp"):
        instance = generated(kind, 6, seed=2)
        orders = np.array(list(itertools.permutations(range(6))))
        assert best_found(instance) == instance.values(orders).max()


def test_unknown_names_are_mistakes():
    with pytest.raises(Mistake, match="unknown problem"):
        Spec("lopp").make(0)
    with pytest.raises(Mistake, match="all orders are worth the same"):
        Spec("tsp", size=3).make(0)  # a triangle has one tour
    assert set(ENUMERATED) | {"recorded"} == set(KINDS)


def test_spaces_hold_what_strategies_need():
    for kind in ENUMERATED:
        orders = Spec(kind, size=4).make(0).space.orders
        assert isinstance(orders, OrderSpace)
        assert {len(one) for one in orders} == ({0, 1, 2, 3, 4} if kind == "subsets" else {4})


# Recorded studies -----------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """All ordered subsets of two tasks, three roots."""
    rows = [
        (name, seed, place / 10 + seed / 100, 0.5 - place / 10 + seed / 100, 1.0)
        for place, name in enumerate(["none", "a", "b", "a>b", "b>a"]) for seed in range(3)
    ]  # fmt: skip
    path = tmp_path / "study.csv.gz"
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    return str(path)


def test_a_recorded_study_is_replayed(table):
    problem = Spec("recorded", table=table).make(1)
    assert problem.space.orders.kind == "subsets"
    assert problem.unit == "points"
    for place, one in enumerate(problem.space.orders):
        assert round(problem.draw(one, 0), 6) in (10 * place, 10 * place + 1, 10 * place + 2)
        assert problem.regret(one) == pytest.approx(40 - 10 * place)
    drawn = {round(Spec("recorded", table=table).make(seed).draw(Order(()), 0)) for seed in range(30)}
    assert drawn == {0, 1, 2}  # each root is drawn under some seed


def test_told_says_which_column_and_roots_how_many(table):
    problem = Spec("recorded", table=table, told="score", roots=3).make(1)
    assert problem.roots == 3
    for place, one in enumerate(problem.space.orders):
        assert problem.draw(one, 0) == pytest.approx(51 - 10 * place)
        assert problem.regret(one) == pytest.approx(10 * place)
    with pytest.raises(Mistake, match="4 roots"):
        Spec("recorded", table=table, roots=4).make(1)
    with pytest.raises(Mistake, match="not recorded"):
        Spec("recorded", table=table, told="seconds").make(1)


def test_a_part_of_the_orders_is_an_explicit_space(table, tmp_path):
    rows = pd.read_csv(table)
    part = tmp_path / "part.csv"
    rows[rows.order != "a"].to_csv(part, index=False)
    space = Spec("recorded", table=str(part)).make(0).space
    assert (space.orders.kind, space.size, space.baselines) == ("explicit", 4, 2)


def test_other_tables_are_mistakes(table, tmp_path):
    with pytest.raises(Mistake, match="cannot be read"):
        Spec("recorded", table=str(tmp_path / "none.csv")).make(0)
    rows = pd.read_csv(table)
    for number, wrong in enumerate((rows.drop(columns="score"), rows.assign(en_dev=math.nan), rows.head(0))):
        path = tmp_path / f"{number}.csv"
        wrong.to_csv(path, index=False)
        with pytest.raises(Mistake, match="not the table"):
            Spec("recorded", table=str(path)).make(0)


def score_rows(name, seed, target, values):
    shared = {"candidate": f"{name} full 0.001", "order": name, "seed": seed, "target": target, "perturbation": "none"}
    plain = {"main": True, "apart": False}
    return [
        {
            **shared,
            **plain,
            **dict(zip(("portion", "language", "value"), one[:3], strict=True)),
            **(one[3:] or ({},))[0],
        }
        for one in values
    ]


def test_a_table_is_made_from_a_run(tmp_path):
    scores, stages = [], []
    for seed in (0, 1):
        for name, level in (("none", 0.1), ("a", 0.2), ("a>b", 0.3)):
            scores += score_rows(name, seed, "x", [
                ("dev", "en", level), ("test", "de", level + 0.2), ("test", "sw", level),
                ("test", "ka", 0.9, {"apart": True}), ("test", "de", 0.9, {"main": False}),
                ("test", "de", 0.0, {"perturbation": "noise"}),
            ])  # fmt: skip
            scores += score_rows(name, seed, "y", [("test", "de", level + 0.4)])
        # key, label, kind, tasks, parent, seconds; None: it was in the store already
        for key, label, kind, tasks, parent, seconds in (
            ("A", "a", "train", "a", None, 100), ("AB", "a>b", "train", "b", "A", 200),
            ("X0", "none | train x", "train", "x", None, 10), ("XA", "a | train x", "train", "x", "A", None),
            ("XAB", "a>b | train x", "train", "x", "AB", 12), ("SX0", "none | score x", "score", "x", "X0", 1),
            ("SXA", "a | score x", "score", "x", "XA", 1), ("SXAB", "a>b | score x", "score", "x", "XAB", 1),
            ("SY0", "none | score y", "score", "y", None, 2), ("SYA", "a | score y", "score", "y", "A", 2),
            ("SYAB", "a>b | score y", "score", "y", "AB", 2),
        ):  # fmt: skip
            stages.append({
                "key": f"{key}{seed}", "label": f"{label} #{seed}", "kind": kind, "tasks": tasks, "seed": seed,
                "parent": parent and f"{parent}{seed}", "executed": seconds is not None, "seconds": seconds or 0.0,
            })  # fmt: skip
    pd.DataFrame(scores).to_parquet(tmp_path / "scores.parquet")
    pd.DataFrame(stages).to_parquet(tmp_path / "stages.parquet")
    found = make(tmp_path)
    assert list(found.columns) == COLUMNS
    assert found.order.tolist() == ["none", "none", "a", "a", "a>b", "a>b"]
    assert found.seed.tolist() == [0, 1] * 3
    assert found.en_dev[::2].tolist() == pytest.approx([0.1, 0.2, 0.3])
    # The mean over targets of means over languages: of level + 0.1 and level + 0.4.
    assert found.score[::2].tolist() == pytest.approx([0.35, 0.45, 0.55])
    # The stage from the store has the median of its kind: 11.
    assert found.seconds[::2].tolist() == [10 + 1 + 2, 100 + 11 + 1 + 2, 100 + 200 + 12 + 1 + 2]


def test_a_run_that_cannot_be_a_table(tmp_path):
    with pytest.raises(Mistake, match="finished run"):
        make(tmp_path)
