"""Parts of a study: filters cut the grid before means and ranks are made; groups have a column or a block each."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
from made_runs import made_run

from search.leaderboard import shown, to_markdown
from search.leaderboard.cuts import View
from search.leaderboard.sheet import sheet
from search.leaderboard.views import view
from search.results import load
from trainables.errors import Mistake

TASKS = ("mini-nli", "mini-tags", "mini-topic")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two methods, ten orders each, four roots; an edit that reaches all, one that reaches few, and an attack."""
    path = tmp_path_factory.mktemp("views") / "run"
    return made_run(
        path, tasks=TASKS, max_length=2, roots=4, methods=("full", "adapter"), edits=("keyboard", "deletion"),
        severities=(1, 5), attacks=("deepwordbug",), partial={"mini-pos": "5 of 9 languages (en, ar, de, sw, zh)"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(folder):
    return load([folder])


def mean_of(results, rows):
    """Each candidate's mean over targets of means over languages, over roots, in percent."""
    cells = rows.groupby(["candidate", "target", "language"], observed=True).value.mean()
    by_target = cells.groupby(["candidate", "target"], observed=True).mean()
    return (by_target.groupby("candidate", observed=True).mean() * 100).to_dict()


def clean(results):
    rows = results.scores
    return rows[(rows.portion == "test") & (rows.perturbation == "none") & rows.main]


def scores_of(board):
    return dict(zip(board.candidate, board.score, strict=True))


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked, kept", [
    ({}, lambda rows: rows.value > -1),
    ({"languages": ("de", "sw")}, lambda rows: rows.language.isin(["de", "sw"])),
    ({"families": ("Indo-European",)}, lambda rows: rows.language.isin(["en", "de"])),
    ({"scripts": ("Latin",)}, lambda rows: rows.language.isin(["en", "de", "sw"])),
    ({"scripts": ("Han",)}, lambda rows: rows.language == "zh"),
    ({"targets": ("mini-pos",)}, lambda rows: rows.target == "mini-pos"),
    ({"methods": ("adapter",)}, lambda rows: rows.method == "adapter"),
    ({"targets": ("mini-pos",), "languages": ("sw",)}, lambda r: r.target.eq("mini-pos") & r.language.eq("sw")),
])  # fmt: skip
def test_a_filter_cuts_the_grid(results, asked, kept):
    board, about = view(results, View(**asked))
    rows = clean(results)
    assert scores_of(board) == pytest.approx(mean_of(results, rows[kept(rows)]))
    assert board.place.is_monotonic_increasing
    assert board["rank"].notna().all()
    for names in asked.values():
        assert all(name in about["title"] for name in names)


def test_what_is_left_of_the_grid_is_said(results):
    _, about = view(results, View(languages=("de", "en")))
    assert about["notes"][0] == (
        "only these cells, for all candidates alike, in means and ranks: mini-xnli in 2 of 5, mini-pos in 2 of 5, "
        "mini-tatoeba in 1 of 4 languages"
    )
    assert not [note for note in view(results)[1]["notes"] if note.startswith("only")]


def test_ranks_are_made_of_what_is_left(tmp_path):
    """An order that is best in one language alone."""
    folder = made_run(tmp_path / "run", tasks=TASKS, max_length=1, roots=5, luck_sd=0.1, leaf_sd=0.1, set_sd=0.1,
                      language_effects={("mini-tags", "sw"): 30.0, ("mini-nli", "de"): 8.0})  # fmt: skip
    results = load([folder])
    board = view(results, View(languages=("de",))).board
    first = board.iloc[0]
    assert (first.order, first["rank"], first.rank_high, first.borda) == ("mini-nli", 1, 1, 100)
    assert view(results).board.order[0] == "mini-tags"


def test_under_an_edit_candidates_are_ranked_by_what_is_left(results):
    board, about = view(results, View(perturbations=("keyboard",)))
    rows = results.scores
    rows = rows[(rows.metric == "robust") & (rows.perturbation == "keyboard")]
    assert scores_of(board) == pytest.approx(mean_of(results, rows))
    assert not [name for name in board if name.startswith(("robust", "attack"))]
    assert board.ranked_by.eq("significance").all()
    assert [note for note in about["notes"] if note.startswith("score:")] == [
        "score: the robust score under keyboard at severity 1, 5: the mean of the worse of the clean and the changed "
        "figure of an example, over severities, then languages and targets; on at most 50 examples of a language; "
        "ranks are made from it"
    ]


def test_under_an_attack(results):
    board = view(results, View(perturbations=("attack:deepwordbug",), languages=("de",))).board
    rows = results.scores
    rows = rows[(rows.metric == "robust") & (rows.perturbation == "attack:deepwordbug") & (rows.language == "de")]
    assert scores_of(board) == pytest.approx(mean_of(results, rows))


def test_clean_texts_alone(results):
    board = view(results, View(perturbations=("none",))).board
    whole = view(results).board
    assert not [name for name in board if "robust" in name or "attack" in name]
    assert scores_of(board) == scores_of(whole)


@pytest.mark.parametrize("asked, flag, told", [
    ({"languages": ("dee",)}, "--language", "did you mean 'de'?"),
    ({"families": ("indo",)}, "--family", "Indo-European"),
    ({"scripts": ("Latn",)}, "--script", "did you mean 'Latin'?"), ({"targets": ("pos",)}, "--target", "mini-pos"),
    ({"methods": ("lora",)}, "--method", "adapter"), ({"perturbations": ("keybord",)}, "--perturbation", "keyboard"),
    ({"perturbations": ("none", "keyboard")}, "--perturbation", "one of these"),
    ({"languages": ("en",), "targets": ("mini-tatoeba",)}, "--language, --target", "fewer"),
    ({"perturbations": ("deletion",)}, "--perturbation", "another edit"),
])  # fmt: skip
def test_what_there_is_not_is_a_mistake(results, asked, flag, told):
    with pytest.raises(Mistake) as raised:
        view(results, View(**asked))
    assert raised.value.where == flag
    assert told in raised.value.right


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by, headings", [
    ("language", ["ar", "de", "en", "sw", "zh"]), ("script", ["Arabic", "Han", "Latin"]),
    ("family", ["Afro-Asiatic", "Indo-European", "Niger-Congo", "Sino-Tibetan"]),
    ("target", ["mini-xnli", "mini-pos, 5 of 9 languages", "mini-tatoeba"]),
    ("perturbation", ["keyboard", "attack:deepwordbug"]),
])  # fmt: skip
def test_a_column_each_group(results, by, headings):
    board, about = view(results, View(by=by))
    assert list(about["columns"].values()) == headings
    found = shown(board, about["columns"])
    assert found[-len(headings) - 1 :] == [*(f"{name} ↑" for name in headings), "stages"]
    assert scores_of(board) == scores_of(view(results).board)  # the groups change no score


def test_the_figures_of_groups(results):
    rows = clean(results)
    boards = {by: view(results, View(by=by)).board.set_index("candidate") for by in ("language", "script")}
    name = boards["language"].index[3]
    own = rows[rows.candidate == name].groupby(["target", "language"], observed=True).value.mean() * 100
    assert boards["language"].language_sw[name] == pytest.approx(own.xs("sw", level="language").mean())
    latin = own[own.index.get_level_values("language").isin(["de", "en", "sw"])].groupby("target", observed=True).mean()
    assert boards["script"].script_latin[name] == pytest.approx(latin.mean())


def test_groups_of_robust_figures(results):
    both = view(results, View(by="language", perturbations=("keyboard",))).board.set_index("candidate")
    one = view(results, View(languages=("de",), perturbations=("keyboard",))).board.set_index("candidate")
    assert both.language_de.to_dict() == pytest.approx(one.score.to_dict())
    edits = view(results, View(by="perturbation")).board.set_index("candidate")
    assert edits.perturbation_keyboard.to_dict() == pytest.approx(
        view(results, View(perturbations=("keyboard",))).board.set_index("candidate").score.to_dict()
    )


def test_a_block_each_method(results):
    board, about = view(results, View(by="method"))
    assert board.method.to_list() == ["full"] * 10 + ["adapter"] * 10
    for method, part in board.groupby("method"):
        alone = view(results, View(methods=(method,))).board
        pd.testing.assert_frame_equal(part.reset_index(drop=True), alone)
    assert about["notes"][0] == "one block a method, each ranked by itself"
    best = [row[shown(board).index("score ↑")].best for row in sheet(board, about).rows]
    assert any(best[:10])
    assert any(best[10:])


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_partial_target_says_so(results):
    assert "| mini-pos, 5 of 9 languages ↑ |" in to_markdown(*view(results))


def changed_copy(folder, to, **manifest):
    shutil.copytree(folder, to)
    content = json.loads((to / "manifest.json").read_text("utf-8"))
    (to / "manifest.json").write_text(json.dumps({**content, **manifest}), "utf-8")
    return to


def test_runs_that_are_not_of_one_study_stand_side_by_side(folder, tmp_path):
    other = changed_copy(folder, tmp_path / "other", model={"name": "other", "fingerprint": "f" * 16})
    board, about = view(load([folder, other], mix=True))
    assert len(board) == 40
    assert set(board.run) == {"run", "other"}
    assert board.rank_low.isna().all()
    assert set(board.ranked_by) == {"mean"}
    assert about["notes"][0].startswith("runs: run, other; not of one study, side by side: base model differs")
    assert "run" in shown(board)


def test_a_planned_edit_that_nobody_has(folder, tmp_path):
    """A suite that was planned and never measured is no robust score that happens to be whole."""
    content = json.loads((folder / "manifest.json").read_text("utf-8"))["perturbed"]
    content["standard"]["mini-pos"] = {
        code: [*cells, "spacing"] for code, cells in content["standard"]["mini-pos"].items()
    }
    board = view(load([changed_copy(folder, tmp_path / "planned", perturbed=content)])).board
    assert board.robust_score.isna().all()
    assert (board.robust_seeds == 0).all()
    assert board.robust_target_mini_xnli.notna().all()
    assert board.robust_target_mini_pos.isna().all()
    assert board.attacked_deepwordbug.notna().all()
    assert board.score.notna().all()
