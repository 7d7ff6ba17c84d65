"""The seed control: further roots of one order beside the search, of which the search and its tables know nothing."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from enumerating import enumerated
from rich.console import Console
from test_campaign import Study as Play
from test_campaign import score
from test_forgetting import STUDIES, finish, small
from test_planner import Workers, study_of

from search import roots
from search.cli import main
from search.dry_run import print_plan
from search.run_folder import RunFolder
from search.seed_control import SeedControl
from search.settings import load_settings
from trainables.errors import Mistake
from trainables.stage import FORGETTING
from trainables.store import Store

FIRST = roots.SEED_CONTROL


# --- which runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "order"),
    [
        ({}, "pairs>topics"),
        ({"orders": {"max_length": 1}}, "pairs"),
        ({"orders": {"kind": "permutations"}}, "pairs>topics"),
        ({"orders": {"kind": "groups"}}, "pairs>topics"),
        ({"orders": {"kind": "explicit", "explicit": ["pairs", "pairs>topics"]}}, "pairs>topics"),
        ({"orders": {"kind": "joint"}}, "pairs"),
        ({"orders": {"kind": "joint"}, "seed_control_order": "topics+pairs"}, "pairs+topics"),
        ({"seed_control_order": "topics"}, "topics"),
        ({"seed_control_order": "none"}, "none"),
    ],
)
def test_it_is_the_first_arm_of_an_order(world, changed, order):
    study = study_of(world, seed_control=3, method=["lora", "full"], **changed)
    candidate = study.seed_control.candidate
    assert (str(candidate.order), candidate.arm, candidate.budget) == (order, study.space.arms[0], 1)
    assert candidate in study.space
    assert study.control_runs == [(candidate, FIRST), (candidate, FIRST + 1), (candidate, FIRST + 2)]
    assert study_of(world).control_runs == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed_control": 1}, "greater than or equal to 2"),
        ({"seed_control_order": "pairs"}, "no seed control is asked for"),
        ({"seed_control": 2, "seed_control_order": "tags"}, "unknown task 'tags'"),
        ({"seed_control": 2, "seed_control_order": "pairs+topics"}, r"'pairs\+topics' is not in the space"),
        (
            {"seed_control": 2, "orders": {"kind": "explicit", "explicit": ["topics>pairs"]}},
            "'pairs>topics' is not in the space",
        ),
        ({"seeds": roots.MOST_ROOTS + 1}, "less than or equal to 500000"),
    ],
)
def test_what_cannot_be(world, changed, said):
    with pytest.raises(Mistake, match=said):
        study_of(world, **changed)


def test_whose_a_root_is():
    seeds, column = 3, pd.Series([0, 2, 3, FIRST - 1, FIRST])
    assert roots.own(column, seeds).tolist() == [True, True, False, False, False]
    assert roots.fresh(column, seeds).tolist() == [False, False, True, True, False]
    assert roots.control(column).tolist() == [False, False, False, False, True]
    for seed in column:
        assert sum([roots.own(seed, seeds), roots.fresh(seed, seeds), roots.control(seed)]) == 1


# --- the campaign -----------------------------------------------------------------------------------------------------

CAMPAIGNS = {
    "exhaustive": {"strategy": "exhaustive"},
    "learning": {"strategy": "gp", "candidates": 10},
    "pruned": {"strategy": "random", "pruning": {"pruner": "median", "candidates": 3}},
    "finals": {"strategy": "exhaustive", "confidence": 0.9, "finals": {"finalists": 3, "most": 6}},
}


@pytest.mark.parametrize("kind", CAMPAIGNS)
@pytest.mark.parametrize("broken", [False, True])
def test_the_search_does_not_hear_of_it(kind, broken):
    """Proposals, what is told and the finals are the same, whatever the control scores and whenever it ends."""
    plain = Play(**CAMPAIGNS[kind]).play()
    control = SeedControl(plain.campaign.proposed[-1], 7)

    def scored(candidate, seed):
        return None if broken and roots.control(seed) else score(candidate, seed)

    for seed in range(3):
        beside = Play(seed, scored, controls=control.runs, **CAMPAIGNS[kind]).play()
        assert [run for run in beside.runs if roots.control(run[1])] == control.runs
        assert sorted(map(str, beside.runs)) == sorted(map(str, [*control.runs, *plain.runs]))
        assert beside.campaign.proposed == plain.campaign.proposed
        assert beside.campaign.history == plain.campaign.history
        assert beside.campaign.pruned == plain.campaign.pruned
        for candidate in plain.campaign.proposed:
            assert beside.campaign.told_rows(candidate) == plain.campaign.told_rows(candidate)
        if plain.campaign.finals:
            found = [one.campaign.finals for one in (plain, beside)]
            assert found[0].recommended == found[1].recommended
            assert found[0].rule.standing() == found[1].rule.standing()


def test_the_search_goes_on_while_it_runs():
    control = SeedControl(Play().campaign.next()[0], 2)
    play = Play(controls=control.runs, strategy="random", pruning={"pruner": "median", "candidates": 3})
    first = play.out()
    assert first[:2] == control.runs
    for run in first[2:]:
        play.campaign.done(run, score(*run))
    assert play.out()  # the next root of the cohort, though the control is under way
    assert not play.campaign.finished


# --- counted and priced -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STUDIES)
@pytest.mark.parametrize("order", [None, "pairs"])
@pytest.mark.parametrize("forgetting", [False, True])
def test_it_is_counted(world, kind, order, forgetting):
    if kind == "explicit" and order is None:
        order = "topics>pairs"
    own = {"forgetting": forgetting, **STUDIES[kind]}
    study = study_of(world, seed_control=3, seed_control_order=order, **own)
    assert study.counts() == enumerated(study)
    assert study.counts()["stages_naive"] > study_of(world, **own).counts()["stages_naive"]


def told(study, capsys):
    """The rows of a dry run."""
    print_plan(study, Store(study.settings.store_url), Console(width=200))
    lines = [line for line in capsys.readouterr().out.splitlines() if "  " in line.strip()]
    return {line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[1].strip() for line in lines}


@pytest.mark.parametrize("changed", [{}, {"strategy": "random", "candidates": 4}])
def test_a_dry_run_says_what_will_be_run(world, capsys, changed):
    """By formulas, and of a rehearsed strategy."""
    study = study_of(world, seed_control=3, seed_control_order="pairs", forgetting=True, **changed)
    before = told(study, capsys)
    label = "of them the seed control's, 3 roots of pairs full 0.001"
    # Training and forgetting of pairs, the target's own stage, two scores; and so on at each root.
    assert before[label].startswith("15 stages, about ")
    assert before["already in the store"] == "0"
    planner = Workers(study).run()
    assert before["stages, each run alone"] == f"{planner.tree.naive}"
    assert before["stages, shared"] == f"{planner.tree.distinct}"
    after = told(study, capsys)
    assert after["already in the store"] == after["stages, shared"] == before["stages, shared"]
    assert after[label] == "15 stages, about 0.0 h"


# --- a study ----------------------------------------------------------------------------------------------------------


def test_its_rows_come_last_and_change_no_others(world):
    plain = Workers(study_of(world, store=str(world.folder / "plain"))).run()
    for number in (1, 3):
        study = study_of(world, seed_control=2, store=str(world.folder / f"store{number}"))
        workers = Workers(study, number, number)
        planner = workers.run()
        assert planner.rows[: len(plain.rows)] == plain.rows
        rest = planner.rows[len(plain.rows) :]
        assert {(row.order, row.seed) for row in rest} == {("pairs>topics", FIRST), ("pairs>topics", FIRST + 1)}
        assert len(rest) == 2 * len([row for row in plain.rows if row.order == "pairs>topics" and row.seed == 0])
        assert planner.candidates == plain.candidates
        assert planner.standings() == plain.standings()
        assert planner.campaign.history == plain.campaign.history
        counts = study.counts()
        assert (counts["stages_naive"], counts["stages_distinct"]) == (planner.tree.naive, planner.tree.distinct)


def test_one_worker_begins_with_the_baselines_all_the_same(world):
    workers = Workers(study_of(world, seed_control=4))
    planner = workers.run()
    orders = [str(planner.runs[name].candidate.order) for name in workers.names("run")]
    assert orders[:6] == ["none"] * 2 + ["pairs"] * 2 + ["topics"] * 2


def test_added_to_a_finished_study_it_alone_is_run(world):
    """Also of a strategy that learns: it proposes the same from the same prices."""
    changed = {"strategy": "gp", "candidates": 4}
    before = Workers(study_of(world, **changed)).run()
    study = study_of(world, seed_control=3, forgetting=True, **changed)
    assert study.identity == before.study.identity
    workers = Workers(study, 2)
    planner = workers.run()
    assert planner.candidates == before.candidates
    assert {planner.stages[key][0].seed for key in workers.tried if planner.stages[key][0].kind == "train"} == {
        FIRST, FIRST + 1, FIRST + 2,
    }  # fmt: skip
    assert Workers(study_of(world, seed_control=3, **changed)).plan().finished
    more = Workers(study_of(world, seed_control=5, **changed))
    more.run()
    assert len(more.tried) == 2 * 5


@pytest.mark.parametrize("stop", [2, 9, 30])
def test_stopped_and_begun_again(world, stop):
    first = Workers(study_of(world, seed_control=3), 3)
    with pytest.raises(AssertionError, match="not finished"):
        first.run(most=stop)
    rest = Workers(study_of(world, seed_control=3), 2, seed=5)
    assert rest.run().rows == Workers(study_of(world, seed_control=3, store=str(world.folder / "other"))).run().rows
    assert not first.tried.keys() & rest.tried.keys()


def test_a_root_of_it_that_fails_is_named(world):
    def trouble(stage, attempt):
        return {"error": "Diverged: loss is nan", "fatal": True} if stage.seed == FIRST + 1 else None

    workers = Workers(study_of(world, seed_control=3), 2, trouble=trouble)
    planner = workers.run()
    assert list(planner.failed) == workers.names("failed") == [f"pairs>topics full 0.001 #{FIRST + 1}"]
    assert {row.seed for row in planner.rows} == {0, 1, FIRST, FIRST + 2}
    assert len(planner.standings()) == 5


def test_tables_are_the_same_but_for_the_controls_rows(world):
    """With both controls: whatever is written but the scores and stages themselves. Only the false-discovery figures
    know of more tests, and the course of the search of more stages."""
    folders = []
    for changed in ({}, {"seed_control": 4, "seed_control_order": "pairs", "forgetting": True}):
        study = study_of(world, seeds=3, **changed)
        workers = Workers(study)
        planner = workers.run()
        for stage, _ in planner.stages.values():
            if stage.kind == "score":
                rewrite(workers.store, stage)
        folder = RunFolder(study, ["order-search"])
        folder.finish(planner, {})
        folders.append(folder.path)
    compared = {str(path.relative_to(folders[0])) for path in folders[0].rglob("*.csv")} - {"scores.csv", "stages.csv"}
    assert {"leaderboard.csv", "candidates.csv", "answer.csv", "pareto.csv", "analysis/order.csv"} <= compared
    for name in compared:
        one, other = (pd.read_csv(path / name).drop(columns=["q", "seconds"], errors="ignore") for path in folders)
        pd.testing.assert_frame_equal(one, other)
    plain, scores = (pd.read_parquet(folder / "scores.parquet") for folder in folders)
    assert set(scores.seed) - set(plain.seed) == {FIRST + number for number in range(4)}
    assert (scores[scores.seed < 3].portion == FORGETTING).sum() == 3 * (1 + 1 + 3 + 3)
    assert len(scores[(scores.seed < 3) & (scores.portion != FORGETTING)]) == len(plain)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert manifests[0]["seed_control"] is None
    assert manifests[1]["seed_control"] == {
        "candidate": "pairs full 0.001", "order": "pairs", "seeds": [FIRST + number for number in range(4)],
    }  # fmt: skip
    assert manifests[0]["fresh_roots"] == manifests[1]["fresh_roots"] == []
    again, _ = load_settings({"space": str(folders[1] / "config.yaml")})
    assert (again.seed_control, again.seed_control_order, again.forgetting) == (4, "pairs", True)
    note = "seed control: 4 further roots of pairs full 0.001, in scores from root 1,000,000 on, in no mean"
    assert [note in manifest["notes"] for manifest in manifests] == [False, True]


def rewrite(store, stage):
    """Predictions that can be read, in place of the workers' bytes."""
    record = store.record(stage.key)
    blob = io.BytesIO()
    pd.DataFrame({"portion": ["test"], "language": ["de"], "id": ["0"], "score": [1.0]}).to_parquet(blob)
    store.discard(stage.key)
    store.put(stage.key, {"scores": record["scores"]}, {"predictions.parquet": blob.getvalue()})


def test_both_controls_of_a_real_model(tmp_path, tiny_model):
    """Rows of both are there, and the leaderboard is the one without them; the weights differ from root to root."""
    orders = {"kind": "explicit", "explicit": ["none", "mini-nli>mini-tags"]}
    own = {"intermediate": ["mini-nli", "mini-tags"], "orders": orders, "seed_control": 2}
    study = small(tmp_path, tiny_model, targets=["mini-xnli"], **own)
    planner = finish(study)
    folder = RunFolder(study, ["order-search"])
    board = folder.finish(planner, {}).board
    assert board.set_index("order").seeds.to_dict() == {"none": 1, "mini-nli>mini-tags": 1}
    scores = pd.read_parquet(folder.path / "scores.parquet")
    kept = scores[(scores.portion == FORGETTING) & scores.main]
    after = ["mini-nli", "mini-nli>mini-tags", "mini-nli>mini-tags"]
    assert kept.groupby("seed").stage.agg(list).to_dict() == {0: after, FIRST: after, FIRST + 1: after}
    losses = {
        planner.store.record(key)["loss_last"] for key, (stage, label) in planner.stages.items()
        if stage.kind == "train" and label.startswith("mini-nli #")
    }  # fmt: skip
    assert len(losses) == 3


@pytest.mark.slow
def test_both_controls_from_the_command_line(tmp_path, tiny_model, capsys):
    """A real run on Ray: the rows of both, and a leaderboard without them."""
    words = [
        "run", "--model", tiny_model, "--out", str(tmp_path), "--seeds", "1", "--max-concurrent", "1", "--limit", "8",
        "--targets", "mini-xnli", "--languages", "en,de", "--seed-control", "2", "--set", "forgetting=true",
        "--set", "intermediate=[mini-topic,mini-tags]", "--set", "orders.kind=explicit",
        "--set", "orders.explicit=[none,mini-topic>mini-tags]", "--set", "train.steps=2",
        "--set", "train.target_steps=2", "--set", "train.batch_size=4", "--set", "learning_rate=0.001",
    ]  # fmt: skip
    assert main([*words, "--dry-run"]) == 0
    # Two stages, their measurements (1 + 2), the target's own stage and its score, at two roots.
    assert "2 roots of mini-topic>mini-tags full 0.001   14 stages" in capsys.readouterr().out
    assert main(words) == 0
    folder = next(tmp_path.glob("orders-*"))
    scores = pd.read_parquet(folder / "scores.parquet")
    kept = scores[(scores.portion == "forgetting") & scores.main]
    after = ["mini-topic", "mini-topic>mini-tags", "mini-topic>mini-tags"]
    assert kept.groupby("seed").stage.agg(list).to_dict() == {0: after, FIRST: after, FIRST + 1: after}
    board = pd.read_csv(folder / "leaderboard.csv")
    assert board.set_index("order").seeds.to_dict() == {"none": 1, "mini-topic>mini-tags": 1}
    capsys.readouterr()
    assert main(["run", "--space", str(folder / "config.yaml")]) == 0  # nothing is left to do
    assert "\n0 stages run" in capsys.readouterr().out
