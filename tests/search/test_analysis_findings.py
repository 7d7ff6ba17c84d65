"""The registry: every finding in its place, false discoveries held down, and one that fails loses no other."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from statsmodels.stats.multitest import multipletests

from search.analysis import export
from search.analysis import findings as registry
from search.analysis.export import to_json, to_markdown, write_analysis
from search.analysis.finding import Finding
from search.analysis.findings import EXPLORATORY, findings, with_q
from search.cli import run_parser
from search.results import load
from search.settings import load_settings, parse_overrides

TASKS = ("mini-nli", "mini-tags")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    return load([made_run(folder, tasks=TASKS, roots=4, methods=("full", "adapter"), controls=True, edits=("keyboard",),
                          attacks=("deepwordbug",), set_sd=3.0, seed=2)])  # fmt: skip


@pytest.fixture(scope="module")
def found(results):
    return findings(results)


def test_every_finding_stands_once_in_a_readable_order(found):
    names = [one.name for one in found]
    lacking = {"items", "forgetting", "budget_curves"}  # no predictions, and no forgetting was measured
    assert names == ["estimand", "primary", "five_questions", *(name for name in EXPLORATORY if name not in lacking)]
    assert [one.name for one in found if one.primary] == ["primary"]
    assert all(one.title and one.sentence.endswith(".") for one in found)


def test_orders_are_compared_within_a_method(found):
    by_name = {one.name: one for one in found}
    for name in ("precedence", "positions", "inclusion", "gains", "variance"):
        table = by_name[name].table
        assert set(table.method) == {"full", "adapter"}, name
        assert "full: " in by_name[name].sentence and "adapter: " in by_name[name].sentence
    assert set(by_name["order"].table.method) == {"all", "full", "adapter"}
    gains = by_name["gains"].table
    assert (gains.candidate.str.split().str[1] == gains.method).all()


def test_sham_controls_are_no_orders_of_tasks(found):
    by_name = {one.name: one for one in found}
    for name in ("precedence", "positions", "inclusion", "gains", "order", "which_tasks", "course"):
        table = by_name[name].table
        texts = table.drop(columns=["candidate"] if name == "course" else []).to_csv()
        assert "sham-" not in texts, name
    assert len(by_name["sham_controls"].table) == 2 * len(TASKS)


# --- false discoveries ------------------------------------------------------------------------------------------------


def of_p(name, p, **more):
    return Finding(name, name, pd.DataFrame({"p": p, **more}), "Said.")


def test_q_is_benjamini_and_hochbergs_over_all_findings_at_once():
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(size=40), rng.uniform(size=5) / 1000])
    parts = [of_p("a", [*p[:10], np.nan]), Finding("b", "b", pd.DataFrame({"n": [1]}), "None."), of_p("c", p[10:])]
    adjusted = with_q(parts, {"contrast": "order", "outcome": "score"})
    assert list(adjusted[0].table.columns) == ["p", "q"] and "q" not in adjusted[1].table
    assert np.isnan(adjusted[0].table.q.iloc[-1])
    mine = np.concatenate([adjusted[0].table.q[:10], adjusted[2].table.q])
    assert mine == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_the_primary_contrast_is_no_discovery():
    about = {"contrast": "order", "outcome": "score", "method": ["all", "full"]}
    one = of_p("order", [0.001, 0.04], **about)
    q = with_q([one, of_p("other", [0.02, 0.03])], {"contrast": "order", "outcome": "score"})
    assert np.isnan(q[0].table.q[0])
    rest = multipletests([0.04, 0.02, 0.03], method="fdr_bh")[1]
    assert [q[0].table.q[1], *q[1].table.q] == pytest.approx(list(rest))


def test_of_a_real_study_every_exploratory_p_has_its_q(found):
    rest = [one for one in found if one.name in EXPLORATORY and "p" in one.table]
    primary = next(one for one in found if one.primary).table.iloc[0]
    pairs = pd.concat([one.table[["p", "q"]].assign(of=one.name) for one in rest], ignore_index=True)
    skipped = pairs[pairs.p.notna() & pairs.q.isna()]
    assert len(skipped) == 1 and skipped.of.iloc[0] == "order" and skipped.p.iloc[0] == primary.p
    tested = pairs[pairs.q.notna()]
    assert tested.q.to_numpy() == pytest.approx(multipletests(tested.p, method="fdr_bh")[1])


# --- odd data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("odd data"), np.linalg.LinAlgError("odd data")])
def test_a_finding_that_cannot_be_made_says_why_and_loses_no_other(results, monkeypatch, error):
    def fails(designs):
        raise error

    few = {name: EXPLORATORY[name] for name in ("order", "gains")}
    monkeypatch.setattr(registry, "EXPLORATORY", {**few, "order": ("The order", fails)})
    made = findings(results)
    assert [one.name for one in made] == ["estimand", "primary", "five_questions", "order", "gains"]
    assert made[3].sentence == "It cannot be made of these results: odd data."
    assert len(made[4].table) and len(made[2].table)


def test_other_errors_are_faults_and_are_not_hidden(results, monkeypatch):
    def fails(designs):
        raise ZeroDivisionError

    monkeypatch.setattr(registry, "EXPLORATORY", {"order": ("The order", fails)})
    with pytest.raises(ZeroDivisionError):
        findings(results)


def test_one_candidate_at_one_root_has_an_analysis_that_claims_nothing(tmp_path):
    made = findings(load([made_run(tmp_path / "run", orders=["none"], tasks=TASKS, roots=1)]))
    assert [one.name for one in made][:4] == ["estimand", "primary", "five_questions", "which_tasks"]
    for one in made:
        if one.name == "distance":
            continue  # its n are languages
        assert "p" not in one.table or one.table.p.isna().all(), one.name


# --- files ------------------------------------------------------------------------------------------------------------


def test_each_finding_is_a_table_and_all_are_json_and_markdown(results, found, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "findings", lambda _: found)
    old = tmp_path / "analysis" / "gone.csv"
    old.parent.mkdir()
    old.write_text("a finding of before")
    assert write_analysis(results, tmp_path) == found
    with_rows = [one for one in found if len(one.table)]
    files = {path.name for path in (tmp_path / "analysis").iterdir()}
    assert files == {f"{one.name}.{kind}" for one in with_rows for kind in ("csv", "parquet")}
    content = json.loads((tmp_path / "analysis.json").read_text(), parse_constant=pytest.fail)
    assert set(content) == {"schema", "primary", "reason", "findings"} and content["reason"] == ""
    for one, record in zip(found, content["findings"], strict=True):
        assert set(record) == {"name", "title", "unit", "primary", "sentence", "notes", "columns", "rows"}
        assert record["name"] == one.name and record["columns"] == list(one.table.columns)
        assert len(record["rows"]) == len(one.table)
    stored = pd.read_parquet(tmp_path / "analysis" / "order.parquet")
    assert stored.p.to_numpy() == pytest.approx(next(one for one in found if one.name == "order").table.p.to_numpy())
    text = (tmp_path / "analysis.md").read_text()
    assert text.startswith("# Analysis: Task orders on mini\n")
    assert "## The primary contrast\n" in text and "## Which task before which (exploratory)\n" in text
    assert "## Not in this study\n\n- Prompt tuning: Nothing to compare" in text


def test_the_same_results_give_the_same_bytes(tmp_path):
    path = made_run(tmp_path / "run", tasks=TASKS, roots=3)
    one, two = ((results := load([path])), findings(results)), ((again := load([path])), findings(again))
    assert to_json(*one) == to_json(*two) and to_markdown(*one) == to_markdown(*two)


def test_mixed_runs_are_not_analysed_and_the_files_say_why(results, tmp_path):
    mixed = replace(results, differences=("base model differs (a and b)",))
    assert write_analysis(mixed, tmp_path) == []
    content = json.loads((tmp_path / "analysis.json").read_text())
    assert content["findings"] == [] and "base model differs (a and b)" in content["reason"]
    assert "base model differs (a and b)" in (tmp_path / "analysis.md").read_text()


def test_hostile_names_stay_text(results):
    name = "<script>alert(1)</script>|`x`*"
    one = Finding("odd", name, pd.DataFrame({"who": [name], "n": [1]}), f"Of {name}.")
    text = to_markdown(results, [one])
    assert "<script>" not in text and r"\|\`x\`\*" in text


# --- docs -------------------------------------------------------------------------------------------------------------


def test_every_finding_is_documented_and_every_documented_command_is_right():
    text = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text("utf-8")
    for name in ("estimand", "primary", "five_questions", *EXPLORATORY):
        assert f"`{name}`" in text, name
    commands = re.findall(r"^    python search/run.py (.*)$", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        given = vars(run_parser().parse_args(shlex.split(command)))
        overrides = parse_overrides(given.pop("set"))
        settings, _ = load_settings({key: given[key] for key in ("space", "seeds", "perturbations")}, overrides)
        assert settings.primary.outcome != "score" or settings.primary.contrast == "tasks"
