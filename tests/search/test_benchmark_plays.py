"""Searches of the study of strategies, what they cost, and how they are compared."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.strategies import compare, plot
from benchmarks.strategies.__main__ import main, named
from benchmarks.strategies.baselines import OptunaTPE
from benchmarks.strategies.play import RULES, incumbent, play
from benchmarks.strategies.problems import Spec
from benchmarks.strategies.study import Job, Player, play_all
from search.candidate import Candidate
from search.order import Order
from search.strategies import STRATEGIES
from search.strategies.adaptive import Told
from trainables.errors import Mistake


def order(*tasks):
    return Order(tuple((task,) for task in tasks))


class Listed:
    """Proposes these orders in turn."""

    def __init__(self, *orders):
        self.orders, self.told = list(orders), []

    def ask(self):
        return Candidate(self.orders.pop(0), "full", 1e-3) if self.orders else None

    def tell(self, candidate, value, roots=1):
        self.told.append((candidate.order, value, roots))


@pytest.fixture
def three():
    return Spec("subsets", size=3, noise=0).make(1)


def test_cost_is_counted_marginally_and_marks_are_not_passed(three):
    a, ab, b = order("t0"), order("t0", "t1"), order("t1")
    # none 1, t0 1 + 1, t0>t1 1 + 1, t1 1 + 1, and none again on fresh roots 1: 8 in all
    found = play(Listed(Order(()), a, ab, b, Order(())), three, [0.5, 1, 2, 3, 6, 9], by="cost")
    assert [(point.mark, point.evaluations, point.cost) for point in found] == [
        (1, 1, 1), (2, 1, 1), (3, 2, 3), (6, 3, 5), (9, 5, 8)
    ]  # fmt: skip
    assert found[-1].share == pytest.approx(8 / (3 + 2 * 6 + 3 * 6 + 16))


def test_a_second_visit_pays_for_all_its_stages(three):
    ab = order("t0", "t1")
    found = play(Listed(ab, ab), three, [1, 2])
    assert [point.cost for point in found] == [3, 6]
    assert play(Listed(ab, order("t0", "t2")), three, [2], leaf=0.5)[-1].cost == 2.5 + 1.5


def test_no_evaluation_passes_the_last_mark(three):
    strategy = Listed(*three.space.orders)
    play(strategy, three, [4])
    assert len(strategy.told) == 4
    strategy = Listed(*three.space.orders)
    play(strategy, three, [4.9], by="cost")  # none 1, three single tasks at 2: only one fits, and the next would pass
    assert len(strategy.told) == 2


def test_the_regret_is_that_of_the_recommended_order(three):
    orders = list(three.space.orders)
    found = play(Listed(*orders), three, range(1, 17))
    so_far = list(itertools.accumulate(map(three.regret, orders), min))
    assert [point.regret for point in found] == so_far
    worst = max(three.space, key=lambda candidate: three.regret(candidate.order))
    found = play(Listed(*orders), three, [5], recommend=lambda space, history: worst)
    assert (found[0].order, found[0].regret) == (str(worst.order), three.regret(worst.order))


def test_the_incumbent_is_the_best_mean_of_what_was_observed():
    a, b = (Candidate(order(name), "full", 1e-3) for name in "ab")
    history = [Told(a, (1.0,)), Told(b, (1.2,)), Told(b, (0.6,)), Told(b, None)]
    assert incumbent(None, history) == a


def test_roots_multiply_the_cost(tmp_path):
    (tmp_path / "study.csv").write_text(
        "order,seed,en_dev,score,seconds\n" + "none,0,1,1,1\nnone,1,1,1,1\na,0,1,1,1\na,1,1,1,1"
    )
    problem = Spec("recorded", table=str(tmp_path / "study.csv"), roots=2).make(0)
    strategy = Listed(Order(()), order("a"))
    assert play(strategy, problem, [2])[0].cost == 2 * (1 + 2)
    assert [roots for *_, roots in strategy.told] == [2, 2]


def test_smaller_budgets_have_no_values(three):
    with pytest.raises(Mistake, match="smaller budgets"):
        play(STRATEGIES["halving"](three.space), three, [3])


def test_strategies_meet_the_same_noise():
    marks = (24.0,)
    rows = {name: Job(Spec("qap", 4), Player.parse(name, "incumbent"), 7, marks).play()[0]
            for name in ("random", "exhaustive")}  # fmt: skip
    assert rows["random"]["order"] == rows["exhaustive"]["order"]  # all 24 were seen, by both alike
    assert rows["random"]["evaluations"] == 24


def test_nothing_outside_the_space_is_valued(three):
    with pytest.raises(ValueError, match="not in the space"):
        play(Listed(order("t0", "elsewhere")), three, [3])


def test_stock_optuna_proposes_whole_permutations_of_a_large_instance():
    space = Spec("qap", size=9).make(0).space
    strategy = OptunaTPE(space, seed=1, candidates=20)
    assert all(len(strategy.ask().order) == 9 for _ in range(20))


@pytest.mark.parametrize("kind", ["subsets", "lop"])
def test_stock_optuna_plays(kind):
    problem = Spec(kind, size=3, noise=0).make(2)
    found = [
        play(OptunaTPE(problem.space, seed=4, candidates=25), problem, range(1, 26)) for _ in range(2)
    ]  # fmt: skip
    assert found[0] == found[1]
    assert found[0][-1].evaluations == 25  # of 6 or 16 orders: it proposes one again
    assert found[0][-1].regret < 0.5
    lengths = {len(Order.parse(point.order)) for point in found[0]}
    assert lengths <= ({0, 1, 2, 3} if kind == "subsets" else {3})


def test_unknown_players_are_mistakes():
    for text, what in (
        ("rnd", "unknown strategy"), ("random:eta=2", "no option"), ("random:recommend=best", "unknown rule")
    ):  # fmt: skip
        with pytest.raises(Mistake, match=what):
            Player.parse(text)


def test_players_are_written_with_their_options():
    player = Player.parse("halving:eta=4:recommend=incumbent")
    assert (player.name, player.options, player.recommend) == ("halving", (("eta", 4),), "incumbent")
    assert Player.parse("random", "posterior").recommend == "posterior"
    assert Player.parse("optuna-tpe").recommend == "incumbent"
    made = player.make(Spec("lop", 3).make(0), 0, 6, 1.0, batch=1)  # batch is not halving's, and is left out
    assert made.state()["eta"] == 4
    assert set(RULES) == {"posterior", "incumbent"}
    assert named("gp:kernels=[kendall,position]:batch=2,random") == ["gp:kernels=[kendall,position]:batch=2", "random"]
    assert Player.parse("halving:rungs=[1, 2]").options == (("rungs", [1, 2]),)


# Comparisons ----------------------------------------------------------------------------------------------------------


def rows_of(regrets, marks=(10.0, 20.0, 30.0), strategy="mine", problem="lop"):
    """A long table of searches whose cost is their mark; `regrets` is seeds × marks."""
    return pd.DataFrame([
        {"problem": problem, "strategy": strategy, "seed": seed, "unit": "σ", "mark": mark, "regret": float(regret),
         "evaluations": int(mark), "cost": mark, "share": mark / 100, "order": "a"}
        for seed, row in enumerate(regrets) for mark, regret in zip(marks, row, strict=True)
    ])  # fmt: skip


def test_summary_pairs_by_seed():
    mine, other = [[3, 2, 1], [5, 4, 1], [4, 3, 1]], [[4, 3, 2], [6, 4, 2], [6, 6, 2]]
    rows = pd.concat([rows_of(mine), rows_of(other, strategy="other")])
    found = compare.summary(rows, [10.0, 30.0], "other").set_index(["strategy", "at"])
    assert found.loc[("mine", 10.0), ["regret", "median", "difference"]].tolist() == pytest.approx([4, 4, -4 / 3])
    # Differences −1, −1, −2: SD 0.577, t at 2 degrees of freedom 4.303.
    half = 4.30265 * math.sqrt(1 / 3) / math.sqrt(3)
    assert found.loc[("mine", 10.0), "difference_low"] == pytest.approx(-4 / 3 - half, abs=1e-4)
    assert found.loc[("mine", 10.0), "difference_high"] == pytest.approx(-4 / 3 + half, abs=1e-4)
    assert found.loc[("mine", 10.0), "from_end"] == pytest.approx(2)
    assert found.loc[("other", 30.0), "difference"] == 0


def test_cost_to_reach():
    costs, regrets = np.array([10.0, 20, 30]), np.array([4.0, 2, 1])
    assert compare.cost_to_reach(costs, regrets, 3) == 15
    assert compare.cost_to_reach(costs, regrets, 1) == 30
    assert compare.cost_to_reach(costs, regrets, 5) == 10
    assert compare.cost_to_reach(costs, regrets, 0.5) == math.inf


def test_cost_ratio():
    costs = np.array([10.0, 20, 30, 40])
    fast, slow = np.array([[4.0, 2, 1, 1]] * 5), np.array([[4.0, 4, 3, 2]] * 5)
    assert compare.cost_ratio(fast, slow, costs) == (0.5, 0.5, 0.5)
    assert compare.cost_ratio(slow, fast, costs) == (math.inf, math.inf, math.inf)
    assert compare.cost_ratio(slow, slow, costs) == (1, 1, 1)
    noisy = fast + np.random.default_rng(0).normal(0, 0.3, (5, 1))
    found = compare.cost_ratio(noisy, slow, costs)
    assert found.low < found.mean < found.high


def test_ratios_of_all_pairs():
    rows = pd.concat([rows_of([[4, 2, 1]] * 3), rows_of([[4, 3, 2]] * 3, strategy="other")])
    found = compare.ratios(rows).set_index(["strategy", "reaches"]).ratio
    assert found["mine", "other"] == pytest.approx(20 / 30)
    assert found["other", "mine"] == math.inf
    assert found["mine", "mine"] == 1


def test_curves_are_step_functions_of_what_was_spent(tmp_path):
    rows = rows_of([[4, 2, 1], [6, 4, 1]])
    grid = compare.on_grid(rows, "lop", "mine", "cost", np.array([5.0, 10, 19, 20, 30, 31]))
    assert np.array_equal(grid[0], [math.nan, 4, 4, 2, 1, math.nan], equal_nan=True)
    found = {curve.axis: curve for curve in plot.curves(rows)}
    assert found["cost"].mean[0] == 5
    assert found["evaluations"].mean[-1] == 1
    plot.write(rows, tmp_path / "curves.html")
    page = (tmp_path / "curves.html").read_text("utf-8")
    assert "lop: regret against stage cost" in page
    assert '<script src="http' not in page


def test_a_study_in_processes_equals_its_jobs():
    jobs = [Job(Spec("tsp", 4), Player.parse(name, "incumbent"), 1, (5.0, 10.0)) for name in ("random", "exhaustive")]
    found = play_all(jobs, processes=2)
    assert found.to_dict("records") == [row for job in jobs for row in job.play()]


def test_the_command_writes_tables_and_a_plot(tmp_path, capsys):
    main(["--problem", "subsets", "--size", "3", "--strategies", "random,exhaustive", "--recommend", "incumbent",
          "--seeds", "2", "--cost", "12", "--against", "random", "--out", str(tmp_path / "out")])  # fmt: skip
    printed = capsys.readouterr().out
    assert "subsets" in printed
    assert "exhaustive" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "curves.csv", "curves.html", "ratios.csv", "summary.csv"
    ]  # fmt: skip
    rows = pd.read_csv(tmp_path / "out" / "curves.csv")
    assert rows.cost.max() <= 12
    assert set(rows.seed) == {0, 1}
    with pytest.raises(Mistake, match="does not play"):
        main(["--strategies", "random", "--against", "gp"])
    with pytest.raises(Mistake, match="one problem's"):
        main(["--problem", "lop,tsp", "--instance", "any"])
