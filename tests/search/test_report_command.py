"""`order-search report`, pictures for papers, and what is made with a run's store."""

from __future__ import annotations

import csv
import html
from types import SimpleNamespace

import pandas as pd
import pytest
from browser import browser_path
from made_runs import made_run

from search.cli import main
from search.publish import published
from search.report import images
from search.report.parts import Picture
from search.report.summary import summarize
from search.report.weights import export_model, root_of, scores_of, told
from search.results import load
from trainables.errors import Mistake


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("command") / "run", max_length=1, roots=3)


def test_report_writes_its_files_where_it_is_told(run, tmp_path, capsys):
    assert main(["report", str(run), "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "report.md", "report.json", "cards"}
    assert "report.html" in capsys.readouterr().out


def test_several_runs_need_a_folder_for_their_report(run, capsys):
    other = made_run(run.parent / "other", max_length=1, roots=3, seed=1)
    assert main(["report", str(run), str(other)]) == 2
    assert "--out DIR" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_told(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_pictures_without_a_browser_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "browser", lambda: None)
    with pytest.raises(Mistake, match="there is none") as mistake:
        images.write_images([], tmp_path)
    assert "BROWSER_PATH" in mistake.value.right


@pytest.mark.skipif(browser_path() is None, reason="there is no Chromium or Chrome on the PATH")
def test_pictures_are_written_as_png_svg_and_csv(tmp_path):
    pytest.importorskip("kaleido")
    data = {"labels": ["<b>a</b>", "b"], "values": [1.0, 2.0], "x": "seconds"}
    table = pd.DataFrame({"stage": ["=cmd()", "b"], "seconds": [1.0, 2.0]})
    made = images.write_images([Picture("cost", "Cost", "bars", "It cost.", data, table)], tmp_path)
    assert [path.name for path in made] == ["cost.svg", "cost.png"]
    assert made[1].read_bytes().startswith(b"\x89PNG")
    drawn = made[0].read_text("utf-8")
    assert "<b>a</b>" in html.unescape(drawn)
    assert "<b>" not in drawn
    assert "http://" not in drawn.replace("http://www.w3.org/", "")
    with (tmp_path / "cost.csv").open(encoding="utf-8") as file:
        assert list(csv.reader(file))[1] == ["'=cmd()", "1.0"]


def test_weights_are_of_the_root_that_is_best_on_dev(run):
    scores = pd.read_parquet(run / "scores.parquet")
    dev = scores[(scores.portion == "dev") & (scores.candidate == "none full 0.0007")]
    best = int(dev.groupby("seed").value.mean().idxmax())
    results = load([run])
    assert root_of(results, "none full 0.0007") == best
    found = scores_of(results, "none full 0.0007", best)
    own = scores[(scores.candidate == "none full 0.0007") & (scores.seed == best) & (scores.portion == "test")]
    row = own[(own.target == "mini-xnli") & (own.language == "sw")].iloc[0]
    assert found["scores"]["mini-xnli"]["sw"] == round(100 * row.value, 3)


def test_a_run_whose_stages_are_others_now_exports_nothing(run, tmp_path, monkeypatch):
    """Other data, versions or another machine give other keys; the planted run's are those of no study."""
    asked = []
    stages = [SimpleNamespace(after="", stage=SimpleNamespace(kind="score", key="of now", measure=""))]
    planned = lambda candidate, root: asked.append((str(candidate.order), root)) or stages  # noqa: E731
    monkeypatch.setattr("search.study.Study", lambda settings: SimpleNamespace(planned=planned))
    results = load([run])
    summary = summarize(results, published(results)[0].board, [])
    with pytest.raises(Mistake, match="cannot be named any more"):
        export_model(results, summary, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    name = summary.head.recommended
    assert asked == [(summary.about["recommended"]["order"], root_of(results, name))]


def test_an_example_is_told_in_words():
    row = {
        "target": "mini-xnli", "language": "sw", "id": "test-3", "suite": "standard", "perturbation": "keyboard",
        "severity": 3, "texts": {"text": "x" * 700, "pair": "y"}, "changed": False, "gold": "yes", "predicted": "no",
        "right": 0.0,
    }  # fmt: skip
    shown = told(row)
    assert shown["as"] == "keyboard, severity 3 (nothing to change)"
    assert len(shown["text"]) == 602
    assert (shown["gold"], shown["predicted"], shown["score"]) == ("yes", "no", "wrong")
    assert (
        told({**row, "perturbation": "attack:pruthi", "severity": 0, "changed": True, "right": 1.0})["as"]
        == "pruthi attack"
    )
