"""The recorded study of docs/example: what is committed there is what the code makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.analysis.findings import findings
from search.leaderboard.exports import FORMATS
from search.publish import published
from search.report.markdown import to_markdown
from search.report.summary import summarize
from search.results import load

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "example"


@pytest.fixture(scope="module")
def results():
    return load([EXAMPLE / "run"])


def test_the_study_is_the_one_that_is_told(results):
    orders = results.own.order.unique()
    assert sum("sham" not in order for order in orders) == 65
    assert (results.own.seed.nunique(), results.control.seed.nunique()) == (6, 24)
    assert {"none", "keyboard", "deletion", "code-mixing", "attack:deepwordbug"} == set(results.own.perturbation)
    assert results.manifest["primary"]["contrast"] == "order"


def test_the_leaderboard_in_every_format(results):
    (board, about), _ = published(results)
    for name in FORMATS.keys() - {"parquet"}:
        assert FORMATS[name](board, about) == (EXAMPLE / f"leaderboard.{name}").read_text("utf-8"), name


def test_nothing_tells_of_the_machine_it_ran_on(results):
    texts = [path.read_text("utf-8") for name in ("*.md", "*.json", "run/*.json", "run/*.yaml")
             for path in EXAMPLE.glob(name)]  # fmt: skip
    assert not any(place in text for text in texts for place in ("/home/", "/root/", "/work/"))
    assert set(results.stages.worker.dropna()) <= {"worker-1", "worker-2"}


@pytest.mark.slow
def test_the_report(results):
    (board, about), _ = published(results)
    told = to_markdown(summarize(results, board, findings(results), answer=about.get("answer")))
    assert [line for line in told.splitlines() if line.startswith("#")] == [
        line for line in (EXAMPLE / "report.md").read_text("utf-8").splitlines() if line.startswith("#")
    ]
